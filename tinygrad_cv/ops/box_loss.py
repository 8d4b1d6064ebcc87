"""Losses of boxes (x1, y1, x2, y2), after their intersection over union."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import get_default_dtype, is_float, promote
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._pair_loss import apply_reduction, check_number
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.index import getitem
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.select import masked, maximum, minimum
from tinygrad_cv.ops.trig import atan

__all__ = ["complete_box_iou_loss", "distance_box_iou_loss", "generalized_box_iou_loss"]

NN_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("boxes1", "boxes2")


def generalized_box_iou_loss(
    boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7
) -> Any:
    """``1 - IoU + (E - U) / E`` of pairs of boxes: U is the area of their union, E that of the
    smallest box around both.

    Args:
        boxes1, boxes2: [N, 4] or [4] (any axes in front), each (x1, y1, x2, y2) with x1 < x2 and
            y1 < y2; integers are converted.
        reduction: "none", "mean" or "sum".
        eps: added to the areas that are divided by.

    Returns:
        [N], the axes in front; or a scalar.

    Raises:
        ShapeError: the last axis is not 4, or the shapes differ.
        ArgumentError: an unknown reduction.

    Edge rules: the mean of no box is 0, as in torchvision. Where edges are equal, each box gets
    half the gradient.

    Source: Rezatofighi et al., "Generalized intersection over union" (2019); torchvision.ops.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([0.0, 0.0, 1.0, 1.0]), tg.tensor([2.0, 0.0, 3.0, 1.0])
    >>> round(tg.nn.functional.generalized_box_iou_loss(a, b).item(), 4)  # 1 + 1/3
    1.3333
    """
    first, second, eps = _boxes("generalized_box_iou_loss", boxes1, boxes2, reduction, eps)
    common, union = _overlap(first, second)
    width, height = _around(first, second)
    area = width * height
    loss = 1 - common / (union + eps) + (area - union) / (area + eps)
    return _reduced(loss, reduction)


def distance_box_iou_loss(
    boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7
) -> Any:
    """``1 - IoU + d^2 / c^2`` of pairs of boxes: d is the distance of their centres, c the diagonal
    of the smallest box around both.

    Arguments, errors and edge rules as :func:`generalized_box_iou_loss`.

    Source: Zheng et al., "Distance-IoU loss" (2020); torchvision.ops.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([0.0, 0.0, 1.0, 1.0]), tg.tensor([2.0, 0.0, 3.0, 1.0])
    >>> round(tg.nn.functional.distance_box_iou_loss(a, b).item(), 4)  # 1 + 4/10
    1.4
    """
    first, second, eps = _boxes("distance_box_iou_loss", boxes1, boxes2, reduction, eps)
    loss, _ = _distance_loss(first, second, eps)
    return _reduced(loss, reduction)


def complete_box_iou_loss(
    boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7
) -> Any:
    """:func:`distance_box_iou_loss` plus ``a v``, which compares the shapes of the boxes:
    ``v = 4 / pi^2 (atan(w2 / h2) - atan(w1 / h1))^2`` and ``a = v / (1 - IoU + v + eps)``, which
    counts as a constant in the derivative.

    Arguments, errors and edge rules as :func:`generalized_box_iou_loss`.

    Source: Zheng et al., "Distance-IoU loss" (2020); torchvision.ops.

    >>> import tinygrad_cv as tg
    >>> a = tg.tensor([0.0, 0.0, 1.0, 1.0])
    >>> round(tg.nn.functional.complete_box_iou_loss(a, a).item(), 4)
    0.0
    """
    first, second, eps = _boxes("complete_box_iou_loss", boxes1, boxes2, reduction, eps)
    loss, iou = _distance_loss(first, second, eps)
    shapes = [atan((x2 - x1) / (y2 - y1)) for x1, y1, x2, y2 in (second, first)]
    difference = shapes[0] - shapes[1]
    v = 4 / math.pi**2 * (difference * difference)
    share = _constant(v / (1 - iou + v + eps))
    return _reduced(loss + share * v, reduction)


def _distance_loss(first: Any, second: Any, eps: float) -> tuple[Any, Any]:
    """The loss, and the intersection over union."""
    common, union = _overlap(first, second)
    iou = common / (union + eps)
    width, height = _around(first, second)
    (x1, y1, x2, y2), (x3, y3, x4, y4) = first, second
    right, down = (x1 + x2 - x3 - x4) / 2, (y1 + y2 - y3 - y4) / 2
    distance = right * right + down * down
    return 1 - iou + distance / (width * width + height * height + eps), iou


def _overlap(first: Any, second: Any) -> tuple[Any, Any]:
    """Areas of intersection and union."""
    (x1, y1, x2, y2), (x3, y3, x4, y4) = first, second
    width, height = minimum(x2, x4) - maximum(x1, x3), minimum(y2, y4) - maximum(y1, y3)
    common = masked(width * height, (width > 0) & (height > 0))
    return common, (x2 - x1) * (y2 - y1) + (x4 - x3) * (y4 - y3) - common


def _around(first: Any, second: Any) -> tuple[Any, Any]:
    """Width and height of the smallest box around both."""
    (x1, y1, x2, y2), (x3, y3, x4, y4) = first, second
    return maximum(x2, x4) - minimum(x1, x3), maximum(y2, y4) - minimum(y1, y3)


def _constant(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _reduced(loss: Any, reduction: str) -> Any:
    empty = reduction == "mean" and 0 in loss.shape
    return 0.0 * sum_over(loss) if empty else apply_reduction(loss, reduction)


def _boxes(
    op: str, boxes1: Any, boxes2: Any, reduction: str, eps: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...], float]:
    """The four coordinates of either set, and eps."""
    check_reduction(op, reduction)
    eps = check_number(op, "eps", eps)
    values = [("boxes1", boxes1.shape, "[N, 4]"), ("boxes2", boxes2.shape, "[N, 4]")]
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if not boxes.shape or boxes.shape[-1] != 4:
            raise ShapeError(
                op, f"the last axis of {name} must hold the 4 numbers of a box", values=values
            )
    if boxes1.shape != boxes2.shape:
        raise ShapeError(
            op,
            "boxes are compared in pairs, so both must have the same shape",
            values=values,
            repair="Take as many boxes from both.",
        )
    dtype = promote(boxes1, boxes2)
    if not is_float(dtype):
        dtype = get_default_dtype()
    first, second = (
        tuple(getitem(b if b.dtype == dtype else cast(b, dtype), (..., k)) for k in range(4))
        for b in (boxes1, boxes2)
    )
    return first, second, eps
