"""Regions of interest: which pixels make which results, and sums and maxima over them.

A region is a row (image, x1, y1, x2, y2). It is cut into bins, P down and Q across. Positions are
computed on the host, a part of the regions at a time; values are rows of pixels [N*H*W, C].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.layout import contiguous_pixels, pixels
from tinygrad_cv.backend.scatter import sum_rows
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import ArgumentError, BackendError, RangeError

__all__ = [
    "FARTHEST",
    "Regions",
    "Samples",
    "align",
    "align_input_grad",
    "bin_edges",
    "largest",
    "samples",
]

ENTRIES = 1 << 19  # pixels of bins that are listed at a time
ELEMENTS = 1 << 21  # numbers that are gathered at a time
FARTHEST = 1e6  # coordinates beyond it are taken for a mistake

Sizes = tuple[int, ...]
Axis = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class Regions:
    """Regions and how they are read off an image: an attribute of operators, constant.

    Attributes:
        rois: float [K, 5] on the host; on the meta device a Spec.
        size: (P, Q).
        scale: what coordinates are multiplied by.
        sampling: samples of a bin along each axis; 0 or less: as many as pixels.
        aligned: coordinates are those of the corners of pixels.
    """

    rois: Any
    size: Sizes
    scale: float = 1.0
    sampling: int = -1
    aligned: bool = False

    @property
    def count(self) -> int:
        return int(self.rois.shape[0])

    def __repr__(self) -> str:
        return f"<{self.count} regions to {self.size[0]}x{self.size[1]}>"

    def within(self, op: str, images: int) -> np.ndarray:
        """``rois``, after a look at their images and coordinates.

        Raises:
            RangeError: an image does not exist.
            ArgumentError: a coordinate is not finite, or far from any image.
            BackendError: they lie on the meta device.
        """
        if isinstance(self.rois, Spec):
            raise BackendError(op, "the boxes lie on meta, the input has values")
        rois: np.ndarray = self.rois
        wrong = ~((rois[:, 0] >= 0) & (rois[:, 0] < images))
        if wrong.any():
            place = int(wrong.argmax())
            raise RangeError(
                op,
                f"boxes[{place}] is in image {rois[place, 0]:g}",
                law=[f"0 <= image < {images}"],
                values=[("boxes", rois.shape, "[K, 5]")],
            )
        far = FARTHEST / max(abs(self.scale), 1)
        wrong = ~(np.abs(rois[:, 1:]) < far).all(axis=1)
        if wrong.any():
            raise ArgumentError(
                op,
                f"boxes[{int(wrong.argmax())}] has a coordinate that is not finite, or beyond "
                f"{far:,.0f}",
                values=[("boxes", rois.shape, "[K, 5]")],
            )
        return rois


# Means of samples ---------------------------------------------------------------------------------


def align(xp: Any, input: Any, regions: Regions, output: Spec) -> Any:
    """The mean of the samples of every bin, each interpolated between four pixels."""
    rows, out = _rows(xp, input), memory.empty(*output, xp=xp)
    rois = regions.within("roi_align", input.shape[0])
    for chosen, *taps in _products(rois, input.shape[2:], regions, rows.dtype):
        means = _gathered(xp, rows, *taps).reshape(len(chosen), *regions.size, rows.shape[1])
        pixels(out)[xp.asarray(chosen)] = means
    return out


def align_input_grad(xp: Any, grad: Any, regions: Regions, output: Spec) -> Any:
    """The adjoint of :func:`align`: every bin spread over its pixels."""
    n, c, *sizes = output.shape
    total = xp.zeros((n * math.prod(sizes), c), grad.dtype)
    g = pixels(grad)
    rois = regions.within("roi_align", n)
    for chosen, *taps in _products(rois, tuple(sizes), regions, grad.dtype):
        part = g[xp.asarray(chosen)].reshape(-1, c)
        total += _scattered(xp, part, len(total), *taps)
    out = memory.empty(*output, xp=xp)
    pixels(out)[...] = total.reshape(n, *sizes, c)
    return out


class Samples(NamedTuple):
    """The samples of some regions, along each axis by itself: ``y`` [K, P, taps] holds two rows of
    pixels for each sample, with weights, and which of them count; ``x`` [K, Q, taps] columns."""

    regions: np.ndarray  # their numbers
    image: np.ndarray
    many: np.ndarray  # samples in a bin
    y: Axis
    x: Axis


def samples(
    rois: np.ndarray, sizes: Sizes, regions: Regions, dtype: Any, products: bool
) -> Iterator[Samples]:
    """Parts of the regions, those with as many samples together: as many that the taps of both axes
    fit into memory, or with ``products`` every tap down with every tap across."""
    shift = 0.5 if regions.aligned else 0.0
    image = rois[:, 0].astype(np.int64)
    corners = rois[:, 1:].astype(dtype) * dtype.type(regions.scale) - dtype.type(shift)
    start, length = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not regions.aligned:
        length = np.maximum(length, 1)
    steps = length / np.array(regions.size[::-1], dtype)
    grids = np.full(steps.shape, regions.sampling, np.int64)
    if regions.sampling <= 0:
        grids = np.ceil(steps).astype(np.int64)
    grids = np.maximum(grids, 0)
    many = grids.prod(axis=1)
    entries = 2 * grids @ np.array(regions.size[::-1])
    if products:
        entries = 4 * many * math.prod(regions.size)
    for part in _parts(np.argsort(many, kind="stable"), entries):
        y, x = (
            _axis(start[part, a], steps[part, a], grids[part, a], bins, size)
            for a, bins, size in zip((1, 0), regions.size, sizes, strict=True)
        )
        yield Samples(part, image[part], np.maximum(many[part], 1), y, x)


def _products(
    rois: np.ndarray, sizes: Sizes, regions: Regions, dtype: Any
) -> Iterator[tuple[np.ndarray, ...]]:
    """Parts of the regions: their numbers, and for every bin [bins, taps] the rows of its pixels,
    their weights, and which of them count."""
    height, width = sizes
    for part, image, count, (y, wy, inside_y), (x, wx, inside_x) in samples(
        rois, sizes, regions, dtype, products=True
    ):
        first = image[:, None, None, None, None] * height
        places = (first + y[:, :, None, :, None]) * width + x[:, None, :, None, :]
        weights = wy[:, :, None, :, None] * wx[:, None, :, None, :]
        weights /= count[:, None, None, None, None].astype(dtype)
        inside = inside_y[:, :, None, :, None] & inside_x[:, None, :, None, :]
        shape = (len(part) * math.prod(regions.size), y.shape[2] * x.shape[2])
        yield part, *(a.reshape(shape) for a in (places, weights, inside))


def _axis(start: np.ndarray, step: np.ndarray, grid: np.ndarray, bins: int, size: int) -> Axis:
    """Along one axis, for every region and bin [K, bins, 2*samples]: two pixels for each sample,
    their weights, and which count. Samples up to a pixel outside the image are taken at its
    border; those further out are 0."""
    many = max(int(grid.max(initial=0)), 0)
    dtype = start.dtype
    start, step, grid = (a[:, None, None] for a in (start, step, grid))
    sample = np.arange(many)
    within = (sample + dtype.type(0.5)) * step / np.maximum(grid, 1).astype(dtype)
    position = start + np.arange(bins).astype(dtype)[:, None] * step + within
    inside = (position >= -1) & (position <= size) & (sample < grid)
    used = inside.any(axis=(0, 1))  # a region may be far larger than the image
    inside, position = inside[..., used], position[..., used]
    position = np.where(inside, np.clip(position, 0, size - 1), 0)
    low = np.floor(position)
    weight = (position - low).astype(dtype)
    low = low.astype(np.int64)
    both = np.stack([low, np.minimum(low + 1, size - 1)], -1)
    weights = np.stack([1 - weight, weight], -1)
    flat = (*both.shape[:2], -1)
    return both.reshape(flat), weights.reshape(flat), np.repeat(inside, 2, axis=-1)


def _gathered(xp: Any, rows: Any, places: Any, weights: Any, inside: Any) -> Any:
    """y[r] = sum_t weights[r, t] * rows[places[r, t]] over what is inside."""
    if xp is np:
        return _matrix(places, weights, inside, len(rows)) @ rows
    total = xp.zeros((len(places), rows.shape[1]), rows.dtype)
    places, weights, inside = (xp.asarray(a) for a in (places, weights, inside))
    for t in range(places.shape[1]):
        term = weights[:, t, None] * rows[places[:, t]]
        total += xp.where(inside[:, t, None], term, 0)
    return total


def _scattered(xp: Any, values: Any, count: int, places: Any, weights: Any, inside: Any) -> Any:
    """The adjoint: y[places[r, t]] += weights[r, t] * values[r]."""
    if xp is np:
        return _matrix(places, weights, inside, count).T @ np.ascontiguousarray(values)
    bins, taps = inside.nonzero()
    flat, weight = (xp.asarray(a[inside]) for a in (places, weights))
    total, bins = xp.zeros((count, values.shape[1]), values.dtype), xp.asarray(bins)
    step = max(1, ELEMENTS // max(1, values.shape[1]))
    for low in range(0, len(taps), step):
        part = slice(low, low + step)
        terms = weight[part, None] * values[bins[part]]
        total += sum_rows(xp, flat[part], terms, count)
    return total


def _matrix(places: np.ndarray, weights: np.ndarray, inside: np.ndarray, count: int) -> Any:
    """Bins from pixels as a sparse matrix [bins, pixels]."""
    from scipy.sparse import csr_array

    ends = np.zeros(len(places) + 1, np.int64)
    np.cumsum(inside.sum(axis=1), out=ends[1:])
    return csr_array((weights[inside], places[inside], ends), shape=(len(places), count))


# Maxima -------------------------------------------------------------------------------------------


def largest(xp: Any, input: Any, regions: Regions, output: Spec) -> tuple[Any, Any]:
    """The largest pixel of every bin, and its place in the whole input, -1 for none.

    Of equal pixels the first wins. Those that are not larger than every finite number's negative,
    and NaN, never do; a bin without another gives the lowest finite number, an empty bin 0.
    """
    n, c, height, width = input.shape
    rows = _rows(xp, input)
    values = memory.empty(*output, xp=xp)
    places = memory.empty(output.shape, np.int64, output.layout, xp)
    lowest = float(np.finfo(input.dtype).min)
    host, bins = regions.within("roi_pool", n), math.prod(regions.size)
    image = host[:, 0].astype(np.int64)
    top, bottom, left, right = bin_edges(host, (height, width), regions)
    most = (bottom - top).max(axis=1, initial=0) * (right - left).max(axis=1, initial=0)
    for part in _parts(np.argsort(most, kind="stable"), most * bins):
        down, across = (
            max(int((last[part] - first[part]).max(initial=0)), 1)
            for first, last in ((top, bottom), (left, right))
        )
        best = xp.full((len(part) * bins, c), lowest, input.dtype)
        where = xp.full(best.shape, -1, np.int64)
        step = max(1, ELEMENTS // (len(best) * max(1, c)))
        for low in range(0, down * across, step):
            i, j = np.divmod(np.arange(low, min(low + step, down * across)), across)
            y, x = top[part, :, None, None] + i, left[part, None, :, None] + j
            inside = (y < bottom[part, :, None, None]) & (x < right[part, None, :, None])
            place = np.where(inside, y * width + x, 0)
            row = xp.asarray((image[part, None, None, None] * height * width + place).reshape(
                len(best), -1))  # fmt: skip
            pixel = rows[row]
            counts = xp.asarray(inside.reshape(len(best), -1))[..., None] & ~xp.isnan(pixel)
            pixel = xp.where(counts, pixel, -math.inf)
            tap = pixel.argmax(axis=1)
            found = xp.take_along_axis(pixel, tap[:, None], axis=1)[:, 0]
            better = found > best
            best = xp.where(better, found, best)
            plane = xp.asarray(place.reshape(len(best), -1))
            where = xp.where(better, xp.take_along_axis(plane, tap, axis=1), where)
        empty = ((bottom <= top)[part, :, None] | (right <= left)[part, None, :]).reshape(-1, 1)
        best = xp.where(xp.asarray(empty), 0, best)
        channel = (
            (xp.asarray(image[part]).repeat(bins)[:, None] * c + xp.arange(c)) * height * width
        )
        where = xp.where(where < 0, -1, channel + where)
        shape = (len(part), *regions.size, c)
        chosen = xp.asarray(part)
        pixels(values)[chosen] = best.reshape(shape)
        pixels(places)[chosen] = where.reshape(shape)
    return values, places


def bin_edges(rois: np.ndarray, sizes: Sizes, regions: Regions) -> list[np.ndarray]:
    """First and last row, then column, of every bin, the last not included: [K, P], [K, Q]."""
    dtype = rois.dtype
    corners = rois[:, 1:] * dtype.type(regions.scale)
    corners = np.copysign(np.floor(np.abs(corners) + 0.5), corners).astype(np.int64)
    found = []
    for a, bins, size in ((1, regions.size[0], sizes[0]), (0, regions.size[1], sizes[1])):
        start = corners[:, a]
        length = np.maximum(corners[:, a + 2] - start + 1, 1)
        step = (length.astype(rois.dtype) / rois.dtype.type(bins))[:, None]
        number = np.arange(bins).astype(rois.dtype)
        first = np.floor(number * step).astype(np.int64) + start[:, None]
        last = np.ceil((number + 1) * step).astype(np.int64) + start[:, None]
        found += [np.clip(first, 0, size), np.clip(last, 0, size)]
    return found


# Both ---------------------------------------------------------------------------------------------


def _rows(xp: Any, input: Any) -> Any:
    """[N, C, H, W] as rows of pixels [N*H*W, C]."""
    return contiguous_pixels(xp, input).reshape(-1, input.shape[1])


def _parts(order: np.ndarray, entries: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts regions in this order into parts with about ``ENTRIES`` entries, the last being the
    largest."""
    low = 0
    while low < len(order):
        high = low + 1
        while high < len(order) and (high + 1 - low) * entries[order[high]] <= ENTRIES:
            high += 1
        yield order[low:high]
        low = high
