"""Choosing among boxes: non-maximum suppression, boxes that are large enough, boxes of masks.

The results are indices, or follow from positions in a mask, so nothing here has a gradient.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import float32, int64
from tinygrad_cv.backend.nms import kept_boxes
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from tinygrad_cv.ops.argmax import argmax
from tinygrad_cv.ops.boxes import as_number, check_boxes
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.join import stack
from tinygrad_cv.ops.logic import any as any_of
from tinygrad_cv.ops.logic import logical_and
from tinygrad_cv.ops.nonzero import nonzero
from tinygrad_cv.ops.places import on_input_device, raw
from tinygrad_cv.ops.rearrange import flip
from tinygrad_cv.ops.slicing import unbind

__all__ = ["Nms", "batched_nms", "masks_to_boxes", "nms", "remove_small_boxes"]

NN_FUNCTIONS = ("batched_nms", "masks_to_boxes", "nms", "remove_small_boxes")
TENSOR_ARGUMENTS = ("boxes", "scores", "idxs", "masks")


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Non-maximum suppression: from the highest score down, a box is kept unless its IoU with a
    box that was kept before is larger than ``iou_threshold``.

    Args:
        boxes: float [N, 4], corners (x1, y1, x2, y2).
        scores: float [N].

    Returns:
        int64, the indices of the boxes that are kept, by decreasing score.

    Edge rules: of equal scores the first comes first; a NaN comes before all numbers. The IoU of
    two boxes without an area is NaN, which suppresses nothing. The IoU is computed in float64.

    Raises:
        ShapeError: boxes are not [N, 4], or there is not one score for each.
        DTypeError: boxes or scores are not float.
        GraphError: on the meta device, where the number of boxes that are kept is unknown.

    Names and meaning as ``torchvision.ops.nms``.

    >>> import tinygrad_cv as tg
    >>> boxes = tg.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])
    >>> tg.nn.functional.nms(boxes, tg.tensor([0.6, 0.9, 0.7]), 0.5).tolist()
    [1, 2]
    """
    _check_scored("nms", boxes, scores)
    return _nms(boxes, scores, None, as_number("nms", "iou_threshold", iou_threshold))


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """:func:`nms` within each class by itself: boxes of different ``idxs`` never suppress each
    other.

    Args:
        boxes, scores, iou_threshold: as :func:`nms`.
        idxs: integer [N], the class of each box.

    Returns:
        int64, the indices of the boxes that are kept, by decreasing score over all classes.

    Raises:
        ShapeError, DTypeError, GraphError: as :func:`nms`, for ``idxs`` as well.

    >>> import tinygrad_cv as tg
    >>> boxes = tg.tensor([[0.0, 0.0, 2.0, 2.0]] * 3)
    >>> scores, classes = tg.tensor([0.6, 0.9, 0.7]), tg.tensor([0, 1, 1])
    >>> tg.nn.functional.batched_nms(boxes, scores, classes, 0.5).tolist()
    [1, 0]
    """
    op = "batched_nms"
    if tuple(idxs.shape) != tuple(boxes.shape[:1]):
        rows = [("boxes", tuple(boxes.shape), "[N, 4]"), ("idxs", tuple(idxs.shape), "[N]")]
        raise ShapeError(op, "there must be one class for each box", values=rows)
    if idxs.dtype.kind not in "iu":
        raise DTypeError(
            op,
            f"idxs must be integers, they are {idxs.dtype.name}",
            values=[("idxs", tuple(idxs.shape))],
            repair="Convert with idxs.long().",
        )
    _check_scored(op, boxes, scores)
    return _nms(boxes, scores, idxs, as_number(op, "iou_threshold", iou_threshold))


def remove_small_boxes(boxes: Any, min_size: float) -> Any:
    """The indices of the boxes whose width and height are at least ``min_size``.

    Args:
        boxes: [N, 4], corners.

    Returns:
        int64, in order.

    Raises:
        ShapeError, DTypeError: boxes are not [N, 4] numbers.
        GraphError: on the meta device, where their number is unknown.

    >>> import tinygrad_cv as tg
    >>> boxes = tg.tensor([[0.0, 0.0, 9.0, 1.0], [0.0, 0.0, 2.0, 2.0]])
    >>> tg.nn.functional.remove_small_boxes(boxes, 2).tolist()
    [1]
    """
    op = "remove_small_boxes"
    check_boxes(op, "boxes", boxes, 2)
    least = as_number(op, "min_size", min_size)
    if isinstance(raw(boxes), Spec):
        raise _unknown(op, boxes)
    x1, y1, x2, y2 = unbind(boxes, -1)
    large = logical_and((x2 - x1) >= least, (y2 - y1) >= least)
    return nonzero(large, as_tuple=True)[0]


def masks_to_boxes(masks: Any) -> Any:
    """The smallest box around the nonzero pixels of each mask.

    Args:
        masks: [N, H, W], bool or numbers.

    Returns:
        float32 [N, 4]: the column and row of the first pixel, then of the last, both included.

    Raises:
        ShapeError: masks are not [N, H, W].
        ArgumentError: a mask has no pixel. On the meta device this is not seen.

    >>> import tinygrad_cv as tg
    >>> mask = tg.tensor([[[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]]])
    >>> tg.nn.functional.masks_to_boxes(mask).tolist()
    [[1.0, 1.0, 2.0, 2.0]]
    """
    op = "masks_to_boxes"
    shape = tuple(masks.shape)
    if len(shape) != 3 or (shape[0] and 0 in shape[1:]):
        raise ShapeError(op, "masks must be [N, H, W]", values=[("masks", shape)])
    if 0 in shape:
        return cast(stack([any_of(masks != 0, dim=(1, 2))] * 4, -1), float32)
    found = masks != 0
    rows, columns = any_of(found, dim=2), any_of(found, dim=1)
    _check_filled(op, rows)
    ends = []
    for line, size in ((columns, shape[2]), (rows, shape[1])):
        ends.append((_first(line), size - 1 - _first(flip(line, 1))))
    (x1, x2), (y1, y2) = ends
    return cast(stack([x1, y1, x2, y2], -1), float32)


class Nms(Op):
    """Non-maximum suppression. How many boxes are kept depends on the values."""

    name = "nms"
    equation = "keep i in order of scores, unless iou(i, j) > threshold for a kept j of its class"
    dtypes = "integer, floating"
    edges = "of equal scores the first, NaN before all; an IoU of NaN suppresses nothing"
    cost = "0: the number of comparisons depends on the data"
    inputs = ("boxes", "scores", "idxs")
    shaped = False

    @staticmethod
    def infer(boxes: Spec, scores: Spec, idxs: Spec | None, iou_threshold: float) -> Spec:
        raise _unknown("nms" if idxs is None else "batched_nms", boxes)

    @staticmethod
    def forward(xp: Any, boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
        return xp.asarray(kept_boxes(boxes, scores, idxs, iou_threshold))


_nms = Nms.call


def _first(line: Any) -> Any:
    """Where the first True stands."""
    return argmax(cast(line, int64), 1)


def _check_scored(op: str, boxes: Any, scores: Any) -> None:
    check_boxes(op, "boxes", boxes, 2)
    rows = [("boxes", tuple(boxes.shape), "[N, 4]"), ("scores", tuple(scores.shape), "[N]")]
    if tuple(scores.shape) != tuple(boxes.shape[:1]):
        same = math.prod(scores.shape) == boxes.shape[0]
        raise ShapeError(
            op,
            "there must be one score for each box",
            values=rows,
            repair=f"The number is right: scores.reshape({boxes.shape[0]})." if same else None,
            repairs=[{"scores": (boxes.shape[0],)}] if same else [],
        )
    for name, array in (("boxes", boxes), ("scores", scores)):
        if array.dtype.kind != "f":
            raise DTypeError(
                op,
                f"{name} must be float, they are {array.dtype.name}",
                values=rows,
                repair=f"Convert with {name}.float().",
            )


@on_input_device
def _check_filled(op: str, rows: Any) -> None:
    filled = raw(rows)
    if isinstance(filled, Spec):
        return
    empty = ~filled.any(axis=1)
    if empty.any():
        raise ArgumentError(
            op,
            f"mask {int(empty.argmax())} has no pixel, so there is no box around it",
            repair="Leave such masks out: masks[(masks != 0).any(dim=2).any(dim=1)].",
        )


def _unknown(op: str, boxes: Any) -> GraphError:
    return GraphError(
        op,
        "how many boxes are kept depends on their values, which the meta device has not",
        values=[("boxes", tuple(boxes.shape), "[N, 4]")],
        repair="Choose boxes on the CPU.",
    )
