"""Reading and checking regions of interest, which several operators take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import to_numpy
from tinygrad_cv.backend.roi import Regions
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._spatial import no_pixels, per_axis
from tinygrad_cv.ops.boxes import as_number
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.creation import full_like
from tinygrad_cv.ops.join import cat
from tinygrad_cv.ops.places import raw
from tinygrad_cv.ops.slicing import slice_

__all__ = ["as_regions", "as_rois", "check_input"]

MOST = 100  # samples of a bin along an axis


def as_regions(
    op: str,
    rois: Any,
    output_size: Any,
    spatial_scale: Any,
    sampling_ratio: Any = -1,
    aligned: Any = False,
) -> Regions:
    """Regions and how they are read, from arguments as the user gives them."""
    size = per_axis(op, "output_size", output_size, 2)
    scale = as_number(op, "spatial_scale", spatial_scale)
    if not math.isfinite(scale):
        raise ArgumentError(op, f"spatial_scale must be finite, it is {scale}")
    sampling = as_int(op, "sampling_ratio", sampling_ratio)
    if sampling > MOST:
        raise ArgumentError(
            op,
            f"sampling_ratio must be at most {MOST}, it is {sampling}",
            repairs=[{"sampling_ratio": MOST}],
        )
    if not isinstance(aligned, (bool, np.bool_, int)):
        raise DTypeError(op, f"aligned must be True or False, not {aligned!r:.40}")
    array = raw(rois)
    # A copy: what the user writes into the boxes later must not reach a gradient.
    host = array if array is None or isinstance(array, Spec) else to_numpy(array).copy()
    return Regions(host, size, scale, sampling, bool(aligned))


def as_rois(op: str, input: Any, boxes: Any) -> Any:
    """Boxes as one tensor [K, 5], whose first column is the number of the image."""
    check_input(op, input)
    rois = _joined(op, input, boxes) if isinstance(boxes, (list, tuple)) else boxes
    rows = [("input", tuple(input.shape)), ("boxes", tuple(rois.shape))]
    if len(rois.shape) != 2 or rois.shape[1] != 5:
        fitting = (rois.shape[0] if len(rois.shape) == 2 else 1, 5)
        raise ShapeError(
            op,
            "boxes must be one tensor [K, 5] of rows (image, x1, y1, x2, y2), or for each image a "
            "tensor [L, 4]",
            law=["y[k,c,p] is made of the pixels of x[image of box k, c] in box k"],
            values=rows,
            repair=_list_repair(rois.shape, input.shape[0]),
            repairs=[{"boxes": fitting}],
        )
    if rois.dtype != input.dtype:
        raise DTypeError(
            op,
            f"the input is {input.dtype.name}, the boxes are {rois.dtype.name}",
            values=rows,
            repair=f'Convert with boxes.to("{input.dtype.name}").',
        )
    return rois


def check_input(op: str, input: Any) -> None:
    """Raise unless the input is [N, C, H, W] of floats."""
    shape = tuple(input.shape)
    if len(shape) != 4:
        raise ShapeError(
            op,
            f"the input needs 4 axes [N, C, H, W], it has {len(shape)}",
            values=[("input", shape)],
            repair="input.unsqueeze(0) adds the batch axis." if len(shape) == 3 else None,
        )
    if input.dtype.kind != "f":
        raise DTypeError(
            op,
            f"the input must be float, it is {input.dtype.name}",
            values=[("input", shape)],
            repair="Convert with input.float().",
        )
    if 0 in shape[2:]:
        raise no_pixels(op, 2, shape, [("input", shape, "[N, C, H, W]")])


def _list_repair(shape: tuple[int, ...], images: int) -> str | None:
    """For boxes without the number of their image."""
    if len(shape) == 2 and shape[1] == 4 and images == 1:
        return "For the one image write [boxes]."
    if len(shape) == 3 and shape[0] == images and shape[2] == 4:
        return "For the same number in each image write list(boxes)."
    return None


def _joined(op: str, input: Any, boxes: Any) -> Any:
    """Boxes of each image, with the number of the image in front."""
    if len(boxes) > input.shape[0]:
        raise ShapeError(
            op,
            f"there are boxes for {len(boxes)} images, the input has {input.shape[0]}",
            values=[("input", tuple(input.shape), "[N, C, H, W]")],
        )
    parts = []
    for number, part in enumerate(boxes):
        if not hasattr(part, "shape") or len(part.shape) != 2 or part.shape[1] != 4:
            what = tuple(part.shape) if hasattr(part, "shape") else type(part).__name__
            raise ShapeError(
                op,
                f"the boxes of image {number} must be a tensor [L, 4]",
                values=[("input", tuple(input.shape)), (f"boxes[{number}]", what)],
            )
        parts.append(
            cat([full_like(slice_(part, ((0, part.shape[0], 1), (0, 1, 1))), number), part], 1)
        )
    if not parts:
        raise ArgumentError(
            op, "the list of boxes is empty", repair="Give a tensor of shape [0, 5]."
        )
    joined = cat(parts, 0)
    return cast(joined, input.dtype) if joined.dtype.kind != "f" else joined
