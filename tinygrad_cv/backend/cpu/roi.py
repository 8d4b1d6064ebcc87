"""RoIPool in float32 and non-maximum suppression, compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.compiling import usable
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous_pixels, pixels
from tinygrad_cv.backend.nms import ordered_boxes
from tinygrad_cv.backend.roi import Regions, bin_edges
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["nms", "register_kernels", "roi_pool"]

SMALLEST = 1 << 14  # results
FEWEST = 1000  # boxes; for less, loading the compiler would never pay


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("roi_pool", provider="numba", priority=10, supports=_takes_pool)(roi_pool)
    register("nms", provider="numba", priority=10, supports=_takes_boxes)(nms)


def _takes_pool(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (regions,) = specs, attributes
    results = regions.count * math.prod(regions.size) * input.shape[1]
    return (
        input.dtype == np.float32
        and math.prod(input.shape[2:]) < 1 << 31  # places in a plane are int32
        and repays(results, SMALLEST)
    )


def _takes_boxes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return bool(specs[0].shape[0] >= FEWEST) and usable()


def roi_pool(xp: Any, input: Any, regions: Regions) -> tuple[Any, Any]:
    """``RoIPool.forward``."""
    from tinygrad_cv.backend.cpu.compiled import roi as kernels

    n, c, height, width = input.shape
    rois = regions.within("roi_pool", n)
    edges = bin_edges(rois, (height, width), regions)
    image, shape = rois[:, 0].astype(np.int64), (regions.count, c, *regions.size)
    values = memory.empty(shape, np.float32, CHANNELS_LAST)
    places = memory.empty(shape, np.int64, CHANNELS_LAST)
    rows = contiguous_pixels(np, input).reshape(-1, c)
    scratch = memory.scratch((threads.get_num_threads(), c), np.int32, "roi.won")
    kernels.largest(
        rows, image, *edges, pixels(values), pixels(places), height, width, scratch
    )  # fmt: skip
    if layout_of(input) == CHANNELS_LAST:
        return values, places
    return _row_by_row(values), _row_by_row(places)


def _row_by_row(array: Any) -> Any:
    if array.flags.c_contiguous:
        return array
    copy = memory.empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def nms(xp: Any, boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """``Nms.forward``."""
    from tinygrad_cv.backend.cpu.compiled import roi as kernels

    order, corners, labels = ordered_boxes(boxes, scores, idxs)
    labels = np.zeros(len(order), np.int64) if labels is None else labels
    removed = np.empty(len(order), np.uint8)
    kernels.suppress(corners, labels, iou_threshold, np.empty(len(order)), removed)
    return order[removed == 0]
