"""Regions of interest in float32 and non-maximum suppression, compiled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.compiling import usable
from tinygrad_cv.backend.cpu.layout import contiguous_pixels
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous, pixels
from tinygrad_cv.backend.nms import ordered_boxes
from tinygrad_cv.backend.roi import Regions, bin_edges, samples
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["nms", "register_kernels", "roi_align", "roi_align_input_grad", "roi_pool"]

SMALLEST = 1 << 14  # results
FEWEST = 1000  # boxes; for less, loading the compiler would never pay

_FLOAT = np.dtype(np.float32)

Sizes = tuple[int, ...]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for op, function, supports in (
        ("roi_align", roi_align, _takes_input),
        ("roi_align_input_grad", roi_align_input_grad, _takes_grad),
        ("roi_pool", roi_pool, _takes_pool),
        ("nms", nms, _takes_boxes),
    ):
        register(op, provider="numba", priority=10, supports=supports)(function)


def _takes_input(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (regions,) = specs, attributes
    results = regions.count * math.prod(regions.size) * input.shape[1]
    return input.dtype == np.float32 and repays(results, SMALLEST)


def _takes_pool(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    # Places in a plane are int32.
    return math.prod(specs[0].shape[2:]) < 1 << 31 and _takes_input(specs, attributes)


def _takes_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return specs[0].dtype == np.float32 and repays(specs[0].size, SMALLEST)


def _takes_boxes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return bool(specs[0].shape[0] >= FEWEST) and usable()


def roi_align(xp: Any, input: Any, regions: Regions) -> Any:
    """``RoIAlign.forward``."""
    from tinygrad_cv.backend.cpu.compiled import roi as kernels

    n, c, *sizes = input.shape
    rows, workers = contiguous_pixels(input).reshape(-1, c), threads.get_num_threads()
    out = memory.empty((regions.count, c, *regions.size), np.float32, CHANNELS_LAST)
    for part, *taps in _parts(regions.within("roi_align", n), sizes, regions):
        target = memory.empty((len(part), *regions.size, c), np.float32)
        kernels.means(rows, *taps, target, *sizes, workers)
        pixels(out)[part] = target
    return _as_from(input, out)


def roi_align_input_grad(xp: Any, grad: Any, input_shape: Sizes, regions: Regions) -> Any:
    """``RoIAlignInputGrad.forward``."""
    from tinygrad_cv.backend.cpu.compiled import roi as kernels

    n, c, *sizes = input_shape
    g, workers = contiguous_pixels(grad), threads.get_num_threads()
    dx = memory.empty(input_shape, np.float32, CHANNELS_LAST)
    dx[...] = 0
    rows = pixels(dx).reshape(-1, c)
    for part, *taps in _parts(regions.within("roi_align", n), sizes, regions):
        kernels.spread(g[part], *taps, rows, *sizes, workers)
    return _as_from(grad, dx)


def _parts(rois: Any, sizes: Any, regions: Regions) -> Iterator[tuple[Any, ...]]:
    """Numbers of some regions, their images, counts of samples, and the taps of both axes."""
    for part, image, count, *axes in samples(rois, sizes, regions, _FLOAT, products=False):
        flat = (a.view(np.uint8) if a.dtype == bool else a for axis in axes for a in axis)
        yield part, image, count, *map(np.ascontiguousarray, flat)


def roi_pool(xp: Any, input: Any, regions: Regions) -> tuple[Any, Any]:
    """``RoIPool.forward``."""
    from tinygrad_cv.backend.cpu.compiled import roi as kernels

    n, c, height, width = input.shape
    rois = regions.within("roi_pool", n)
    edges = bin_edges(rois, (height, width), regions)
    image, shape = rois[:, 0].astype(np.int64), (regions.count, c, *regions.size)
    values = memory.empty(shape, np.float32, CHANNELS_LAST)
    places = memory.empty(shape, np.int64, CHANNELS_LAST)
    rows = contiguous_pixels(input).reshape(-1, c)
    scratch = memory.scratch((threads.get_num_threads(), c), np.int32, "roi.won")
    kernels.largest(
        rows, image, *edges, pixels(values), pixels(places), height, width, scratch
    )  # fmt: skip
    return _as_from(input, values), _as_from(input, places)


def _as_from(like: Any, array: Any) -> Any:
    """A channels-last array in the memory order of a result that is made from ``like``. One pixel
    per channel counts as channels-last."""
    if layout_of(like) == CHANNELS_LAST or set(like.shape[2:]) == {1}:
        return array
    return contiguous(array)


def nms(xp: Any, boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """``Nms.forward``."""
    from tinygrad_cv.backend.cpu.compiled import roi as kernels

    order, corners, labels = ordered_boxes(boxes, scores, idxs)
    labels = np.zeros(len(order), np.int64) if labels is None else labels
    removed = np.empty(len(order), np.uint8)
    kernels.suppress(corners, labels, iou_threshold, np.empty(len(order)), removed)
    return order[removed == 0]
