"""Boxes: areas, formats, overlaps, clipping; names and meaning as ``torchvision.ops``.

A box is four numbers in the last axis: the corners (x1, y1, x2, y2) with x1 < x2 and y1 < y2, where
x runs to the right and y down. All functions here are made of differentiable operators, so they
have gradients at every order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import int32
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.join import stack
from tinygrad_cv.ops.select import clamp, maximum, minimum
from tinygrad_cv.ops.shape import unsqueeze
from tinygrad_cv.ops.slicing import unbind
from tinygrad_cv.ops.trig import atan

__all__ = [
    "as_number",
    "box_area",
    "box_convert",
    "box_iou",
    "check_boxes",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
]

NN_FUNCTIONS = (
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
)
TENSOR_ARGUMENTS = ("boxes", "boxes1", "boxes2")

FORMATS = ("xyxy", "xywh", "cxcywh")


def box_area(boxes: Any, fmt: str = "xyxy") -> Any:
    """``(x2 - x1) * (y2 - y1)``.

    Args:
        boxes: [..., 4].
        fmt: "xyxy", "xywh" or "cxcywh", as in :func:`box_convert`.

    Returns:
        [...]; small integers become int32.

    Raises:
        ShapeError: the last axis is not 4.
        DTypeError: a bool input.
        ArgumentError: an unknown format.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.box_area(tg.tensor([[0.0, 0.0, 3.0, 2.0]])).tolist()
    [6.0]
    """
    boxes = _read("box_area", "boxes", boxes)
    _check_format("box_area", "fmt", fmt)
    a, b, c, d = unbind(boxes, -1)
    return (c - a) * (d - b) if fmt == "xyxy" else c * d


def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Any:
    """Boxes in another format.

    Args:
        boxes: [..., 4].
        in_fmt, out_fmt: "xyxy", corners; "xywh", the first corner, width and height; "cxcywh", the
            centre, width and height.

    Returns:
        [..., 4]. Centres are floats, also of integers.

    Raises:
        ShapeError, DTypeError: as :func:`box_area`.
        ArgumentError: an unknown format.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.box_convert(tg.tensor([1.0, 2.0, 5.0, 8.0]), "xyxy", "cxcywh").tolist()
    [3.0, 5.0, 4.0, 6.0]
    """
    op = "box_convert"
    boxes = _read(op, "boxes", boxes, small=True)
    for name, value in (("in_fmt", in_fmt), ("out_fmt", out_fmt)):
        _check_format(op, name, value)
    if in_fmt == out_fmt:
        return stack(unbind(boxes, -1), -1)
    return stack(_from_corners(*_corners(boxes, in_fmt), out_fmt), -1)


def box_iou(boxes1: Any, boxes2: Any, fmt: str = "xyxy") -> Any:
    """The area that two boxes share, divided by the area that they cover together.

    Args:
        boxes1, boxes2: [..., N, 4] and [..., M, 4], every box of the first with every box of the
            second.
        fmt: their format, as in :func:`box_convert`.

    Returns:
        [..., N, M], floats between 0 and 1.

    Edge rules: two boxes without an area give NaN. Boxes that only touch give 0, with the gradient
    of an overlap that begins.

    Raises:
        ShapeError: the last axis is not 4, there is no axis of boxes, or the leading axes do not
            broadcast.
        DTypeError, ArgumentError: as :func:`box_area`.

    Source: P. Jaccard, 1901.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[0.0, 0.0, 2.0, 2.0]]), tg.tensor([[1.0, 0.0, 3.0, 2.0]])
    >>> round(tg.nn.functional.box_iou(a, b).item(), 4)
    0.3333
    """
    _check_format("box_iou", "fmt", fmt)
    shared, union, _ = _overlap("box_iou", boxes1, boxes2, fmt)
    return shared / union


def generalized_box_iou(boxes1: Any, boxes2: Any) -> Any:
    """GIoU: the IoU minus the part of the smallest enclosing box that neither box covers.

    ``iou - (hull - union) / hull``, from -1 (far apart) to 1 (equal). Arguments, results and errors
    as :func:`box_iou`.

    Source: H. Rezatofighi et al., Generalized Intersection over Union, 2019.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[0.0, 0.0, 1.0, 1.0]]), tg.tensor([[3.0, 0.0, 4.0, 1.0]])
    >>> tg.nn.functional.generalized_box_iou(a, b).tolist()
    [[-0.5]]
    """
    shared, union, (width, height) = _overlap("generalized_box_iou", boxes1, boxes2)
    hull = width * height
    return shared / union - (hull - union) / hull


def distance_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
    """DIoU: the IoU minus the squared distance of the centres, divided by the squared diagonal of
    the smallest enclosing box, to which ``eps`` is added.

    Arguments, results and errors as :func:`box_iou`.

    Source: Z. Zheng et al., Distance-IoU Loss, 2020.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[0.0, 0.0, 1.0, 1.0]]), tg.tensor([[3.0, 0.0, 4.0, 1.0]])
    >>> round(tg.nn.functional.distance_box_iou(a, b).item(), 4)  # - 9 / 17
    -0.5294
    """
    return _with_distance("distance_box_iou", boxes1, boxes2, eps)[0]


def complete_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
    """CIoU: the DIoU minus a term for another ratio of width and height.

    ``diou - a * v`` with ``v = 4/pi^2 * (atan(w1 / h1) - atan(w2 / h2))^2`` and
    ``a = v / (1 - iou + v + eps)``, where a counts as a constant to every derivative. Arguments,
    results and errors as :func:`box_iou`.

    Source: Z. Zheng et al., Distance-IoU Loss, 2020.

    >>> import tinygrad_cv as tg
    >>> a = tg.tensor([[0.0, 0.0, 1.0, 1.0]])
    >>> tg.nn.functional.complete_box_iou(a, a).tolist()
    [[1.0]]
    """
    op = "complete_box_iou"
    distance_iou, iou = _with_distance(op, boxes1, boxes2, eps)
    first, second = (_read(op, "boxes1", boxes1), _read(op, "boxes2", boxes2))
    slopes = []
    for boxes, axis in ((first, -1), (second, -2)):
        x1, y1, x2, y2 = unbind(boxes, -1)
        slopes.append(unsqueeze(atan((x2 - x1) / (y2 - y1)), axis))
    difference = slopes[0] - slopes[1]
    v = difference * difference * (4 / math.pi**2)
    weight = v.detach() / (1 - iou.detach() + v.detach() + as_number(op, "eps", eps))
    return distance_iou - weight * v


def clip_boxes_to_image(boxes: Any, size: Any) -> Any:
    """Boxes with the corners that lie outside the image moved to its border.

    Args:
        boxes: [..., 4], corners.
        size: (height, width) of the image.

    Raises:
        ShapeError, DTypeError: as :func:`box_area`.
        ArgumentError: a size that is not a pair.

    The gradient passes where nothing was moved, at the border too.

    >>> import tinygrad_cv as tg
    >>> boxes = tg.tensor([[-1.0, 2.0, 30.0, 8.0]])
    >>> tg.nn.functional.clip_boxes_to_image(boxes, (10, 20)).tolist()
    [[0.0, 2.0, 20.0, 8.0]]
    """
    op = "clip_boxes_to_image"
    boxes = _read(op, "boxes", boxes, small=True)
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ArgumentError(op, f"size needs two numbers (height, width), got {size!r:.40}")
    height, width = (as_number(op, "size", end) for end in size)
    ends = (width, height, width, height)
    return stack(
        [clamp(part, 0, end) for part, end in zip(unbind(boxes, -1), ends, strict=True)], -1
    )


def as_number(op: str, name: str, value: Any) -> float:
    """A Python float from an argument that must be a number."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        return float(value)
    raise DTypeError(op, f"{name} must be a number, not {value!r:.40}")


def check_boxes(op: str, name: str, boxes: Any, ndim: int | None = None) -> None:
    """Raise unless boxes are numbers with a last axis of 4, and of ``ndim`` axes if it is given."""
    shape = tuple(boxes.shape)
    if not shape or shape[-1] != 4 or (ndim is not None and len(shape) != ndim):
        wanted, repair = "[..., 4]" if ndim is None else "[N, 4]", None
        if shape == (4,):
            repair = "Write one box as [[x1, y1, x2, y2]]."
        elif len(shape) > 1 and shape[-1] > 4:
            repair = f"Take the columns that are coordinates, such as {name}[..., :4]."
        raise ShapeError(
            op,
            f"{name} must be {wanted}, four numbers for each box",
            values=[(name, shape)],
            repair=repair,
        )
    if boxes.dtype.kind == "b":
        raise DTypeError(
            op, f"{name} must be numbers, not bool", values=[(name, shape)],
            repair=f"Convert with {name}.float().",
        )  # fmt: skip


def _read(op: str, name: str, boxes: Any, small: bool = False) -> Any:
    """The boxes, checked; without ``small``, small integers as int32, whose products fit."""
    check_boxes(op, name, boxes)
    if boxes.dtype.kind in "iu" and boxes.dtype.itemsize < 4 and not small:
        return cast(boxes, int32)
    return boxes


def _check_format(op: str, name: str, value: Any) -> None:
    if value not in FORMATS:
        raise ArgumentError(
            op,
            f"{name} must be one of {', '.join(FORMATS)}, it is {value!r}",
            repairs=[{name: choice} for choice in FORMATS],
        )


def _corners(boxes: Any, fmt: str) -> tuple[Any, Any, Any, Any]:
    a, b, c, d = unbind(boxes, -1)
    if fmt == "xyxy":
        return a, b, c, d
    if fmt == "xywh":
        return a, b, a + c, b + d
    return a - c * 0.5, b - d * 0.5, a + c * 0.5, b + d * 0.5


def _from_corners(x1: Any, y1: Any, x2: Any, y2: Any, fmt: str) -> tuple[Any, ...]:
    if fmt == "xyxy":
        return x1, y1, x2, y2
    if fmt == "xywh":
        return x1, y1, x2 - x1, y2 - y1
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _pairs(op: str, boxes1: Any, boxes2: Any, fmt: str) -> tuple[Any, Any]:
    """The corners of both as columns that broadcast to [..., N, M]."""
    found = []
    for name, boxes, axis in (("boxes1", boxes1, -1), ("boxes2", boxes2, -2)):
        boxes = _read(op, name, boxes)
        if len(boxes.shape) < 2:
            check_boxes(op, name, boxes, 2)
        found.append([unsqueeze(part, axis) for part in _corners(boxes, fmt)])
    lead1, lead2 = (tuple(boxes.shape[:-2]) for boxes in (boxes1, boxes2))
    if any(n != m and 1 not in (n, m) for n, m in zip(lead1[::-1], lead2[::-1], strict=False)):
        raise ShapeError(
            op,
            "the leading axes do not broadcast",
            values=[("boxes1", tuple(boxes1.shape)), ("boxes2", tuple(boxes2.shape))],
        )
    return found[0], found[1]


def _overlap(op: str, boxes1: Any, boxes2: Any, fmt: str = "xyxy") -> tuple[Any, Any, Any]:
    """The area that two boxes share, the area that they cover together, and the (width, height) of
    the smallest box around both."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = _pairs(op, boxes1, boxes2, fmt)
    width = clamp(minimum(ax2, bx2) - maximum(ax1, bx1), min=0)
    height = clamp(minimum(ay2, by2) - maximum(ay1, by1), min=0)
    shared = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    around = (
        clamp(maximum(ax2, bx2) - minimum(ax1, bx1), min=0),
        clamp(maximum(ay2, by2) - minimum(ay1, by1), min=0),
    )
    return shared, union, around


def _with_distance(op: str, boxes1: Any, boxes2: Any, eps: float) -> tuple[Any, Any]:
    """The DIoU and the IoU."""
    eps = as_number(op, "eps", eps)
    shared, union, (width, height) = _overlap(op, boxes1, boxes2)
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = _pairs(op, boxes1, boxes2, "xyxy")
    across = (ax1 + ax2) / 2 - (bx1 + bx2) / 2
    down = (ay1 + ay2) / 2 - (by1 + by2) / 2
    iou = shared / union
    diagonal = width * width + height * height + eps
    return iou - (across * across + down * down) / diagonal, iou
