"""Max and average pooling, tap by tap: each pass handles one tap of all windows at once.

A tap is a slice of the input and a slice of the output, so the plain form of all that is done here
is ``for tap, into, at in taps: output[at] = combine(output[at], input[into])``. The passes run
over a few whole images at a time, so that on a CPU all of them find these in the cache; a GPU takes
everything at once. Arrays in channels-last memory are seen as [N, ..., C], so that the buffers of a
pass run in the same order as they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.select import keep
from tinygrad_cv.backend.spec import CHANNELS_LAST, Spec, layout_of
from tinygrad_cv.backend.windows import (
    Geometry,
    Piece,
    Tap,
    coverage,
    first_pixels,
    window_taps,
    windows,
)

__all__ = [
    "Counts",
    "divide",
    "spread_means",
    "window_counts",
    "window_maxima",
    "window_means",
    "winner_positions",
    "winner_scatter",
    "winner_values",
]

BLOCK = 512 << 10  # bytes of input that are pooled at a time

Counts = list[Any]  # per axis: how many pixels a window divides by, one number or one per window


def window_maxima(
    xp: Any, input: Any, values: Spec, taps: Spec, geometry: Geometry
) -> tuple[Any, Any]:
    """The largest value of every window, and the number of the tap that it came from.

    Of equal values the first wins, of NaNs the last.
    """
    output, argmax = memory.empty(*values, xp=xp), memory.empty(*taps, xp=xp)
    if xp is np and _is_global(geometry):
        _largest_of_all(input, output, argmax)
        return output, argmax
    first, (x, y, k) = _oriented(output, input, output, argmax)
    every_tap = window_taps(geometry, first)
    for block in _images(xp, x):
        _largest(xp, x[block], y[block], every_tap)
        _first_taps(xp, x[block], y[block], k[block], every_tap)
    return output, argmax


def winner_values(xp: Any, input: Any, argmax: Any, values: Spec, geometry: Geometry) -> Any:
    """``y[p] = x[winner of p]``: the pixel of every window that the tap in ``argmax`` names."""
    output = memory.empty(*values, xp=xp)
    first, (x, y, k) = _oriented(output, input, output, argmax)
    y[...] = 0
    for tap, into, at in window_taps(geometry, first):
        target = y[at]
        target += _kept(xp, x[into], _equal(xp, k[at], tap))
    return output


def winner_scatter(xp: Any, grad: Any, argmax: Any, pixels: Spec, geometry: Geometry) -> Any:
    """``d[i] = sum_{p: the winner of p is i} g[p]``: the adjoint of :func:`winner_values`."""
    spread = memory.empty(*pixels, xp=xp)
    if xp is np and _is_global(geometry):
        spread[...] = 0
        n, c = np.indices(grad.shape[:2], sparse=True)
        places = np.unravel_index(argmax.reshape(argmax.shape[:2]), geometry.sizes)
        spread[n, c, *places] = grad.reshape(grad.shape[:2])
        return spread
    exclusive, complete = coverage(geometry)
    first, (d, g, k) = _oriented(spread, spread, grad, argmax)
    if xp is np and argmax.size and spread.size:
        _scatter_by_place(d, g, k, geometry, first, exclusive)
        return spread
    for block in _images(xp, d):
        if not (exclusive and complete):
            d[block] = 0
        for tap, into, at in window_taps(geometry, first):
            target = d[block][into]
            won = _equal(xp, k[block][at], tap)
            if exclusive:  # nothing to add to: every pixel is written once
                keep(xp, g[block][at], won, target)
            else:
                target += _kept(xp, g[block][at], won)
    return spread


def _scatter_by_place(
    d: Any, g: Any, k: Any, geometry: Geometry, first: int, exclusive: bool
) -> None:
    """The same by the place of every winner: fewer passes than one for each tap of a window."""
    steps = [stride // d.itemsize for stride in d.strides]
    spatial = slice(first, first + len(geometry.sizes))
    taps = [len(axis) for axis in windows(geometry)]
    dilation = geometry.dilation or (1,) * len(taps)
    reach = [np.arange(many) * apart for many, apart in zip(taps, dilation, strict=True)]
    of_tap = _places(reach, steps[spatial]).reshape(-1)
    starts: list[Any] = [range(size) for size in k.shape]
    starts[spatial] = first_pixels(geometry)
    for block in _images(np, d):
        starts[0] = range(block.stop - block.start)
        places = of_tap.take(k[block])
        places += _places(starts, steps)
        target = d[block].reshape(-1)
        if exclusive:
            target[...] = 0
            target[places.reshape(-1)] = g[block].reshape(-1)
        else:
            target[...] = np.bincount(places.reshape(-1), g[block].reshape(-1), target.size)


def _places(axes: list[Any], steps: list[int]) -> Any:
    """The sum over all axes of position times step, for every combination of positions."""
    total: Any = 0
    for positions, step in zip(axes, steps, strict=True):
        total = np.add.outer(total, np.asarray(positions, np.int64) * step)
    return total


def winner_positions(xp: Any, argmax: Any, geometry: Geometry) -> Any:
    """Where the taps in ``argmax`` read, as int64 positions that are flat in the plane."""
    sizes = geometry.sizes
    flat = memory.empty(argmax.shape, np.int64, layout_of(argmax), xp)
    flat[...] = 0
    rest = argmax.astype(np.int64)
    scale = math.prod(sizes)
    taps = [len(axis) for axis in windows(geometry)]
    below = math.prod(taps)
    dilation = geometry.dilation or (1,) * len(sizes)
    for axis, (size, starts) in enumerate(zip(sizes, first_pixels(geometry), strict=True)):
        scale //= size
        below //= taps[axis]
        tap = rest // below
        rest -= tap * below
        start = xp.asarray(starts, np.int64).reshape(-1, *(1,) * (len(sizes) - 1 - axis))
        flat += (start + tap * dilation[axis]) * scale
    return flat


def window_means(xp: Any, input: Any, means: Spec, geometry: Geometry, counts: Counts) -> Any:
    """Sum the windows along one axis after the other, and divide by the counts."""
    output = memory.empty(*means, xp=xp)
    first, (x, y) = _oriented(output, input, output)
    axes = windows(geometry)
    if first == 2 and all(
        all(taps) and len(taps) == size and count == 1
        for taps, size, count in zip(axes, geometry.sizes, geometry.positions, strict=True)
    ):  # global, the pixels of a channel side by side
        x.sum(axis=tuple(range(2, x.ndim)), keepdims=True, out=y)
        divide(xp, y, y, counts, first)
        return output
    for block in _images(xp, x):
        source = x[block]
        for n, taps in enumerate(axes):
            axis, last = first + n, n == len(axes) - 1
            target = y[block] if last else _halfway(xp, source, axis, geometry.positions[n], n)
            _gather(xp, source, target, axis, taps)
            source = target
        divide(xp, source, source, counts, first)
    return output


def spread_means(xp: Any, grad: Any, pixels: Spec, geometry: Geometry, counts: Counts) -> Any:
    """The adjoint of :func:`window_means`: divide, then spread along one axis after the other."""
    output = memory.empty(*pixels, xp=xp)
    first, (d, g) = _oriented(output, output, grad)
    axes = windows(geometry)
    for block in _images(xp, d):
        source = memory.scratch(g[block].shape, grad.dtype, "pooling.divided", xp)
        divide(xp, g[block], source, counts, first)
        for n in range(len(axes) - 1, -1, -1):
            axis = first + n
            target = d[block] if n == 0 else _halfway(xp, source, axis, geometry.sizes[n], n)
            _scatter(xp, source, target, axis, axes[n])
            source = target
    return output


@lru_cache(maxsize=256)
def window_counts(
    geometry: Geometry, include_pad: bool = False, divisor: int | None = None
) -> Counts:
    """How many pixels every window divides by, per axis: a number, or a list if it varies."""
    if divisor is not None:
        return [divisor]
    sizes, starts = geometry.sizes, first_pixels(geometry)
    if geometry.kernel is None:
        axes = zip(sizes, geometry.positions, starts, strict=True)
        spans = [
            [-(-(p + 1) * size // many) - start for p, start in enumerate(firsts)]
            for size, many, firsts in axes
        ]
    else:
        regular: Any = geometry
        spans = []
        for size, firsts, k, (before, after) in zip(
            sizes, starts, regular.kernel, regular.padding, strict=True
        ):
            low, high = (-before, size + after) if include_pad else (0, size)
            spans.append([min(start + k, high) - max(start, low) for start in firsts])
    return [axis[0] if len(set(axis)) == 1 else axis for axis in spans]


def divide(xp: Any, source: Any, target: Any, counts: Counts, first: int) -> None:
    """``target = source / count``, the count being a product over the axes."""
    even = math.prod(c for c in counts if not isinstance(c, list))
    xp.true_divide(source, even, out=target)
    for n, count in enumerate(counts):
        if isinstance(count, list):
            below = (1,) * (target.ndim - first - n - 1)
            xp.true_divide(target, xp.asarray(count, target.dtype).reshape(-1, *below), out=target)


def _is_global(geometry: Geometry) -> bool:
    """True if one window is the whole plane: then its taps are the pixels."""
    return geometry.kernel is None and set(geometry.positions) == {1}


def _largest_of_all(input: Any, output: Any, argmax: Any) -> None:
    """The first largest pixel of every channel, or the last NaN, and its number."""
    n, c, *sizes = input.shape
    size = math.prod(sizes)
    _, (x,) = _oriented(input, input)
    axis = 1 if x is not input else 2
    planes = x.reshape(n, size, c) if axis == 1 else x.reshape(n, c, size)
    found = planes.argmax(axis)
    best = np.take_along_axis(planes, np.expand_dims(found, axis), axis).reshape(n, c)
    if input.dtype.kind == "f":
        for image, channel in np.argwhere(np.isnan(best)):
            plane = planes[image, :, channel] if axis == 1 else planes[image, channel]
            found[image, channel] = np.flatnonzero(np.isnan(plane))[-1]
    output[...], argmax[...] = best.reshape(output.shape), found.reshape(argmax.shape)


def _oriented(like: Any, *arrays: Any) -> tuple[int, tuple[Any, ...]]:
    """The first spatial axis, and the arrays [N, C, ...]: as they are, or as [N, ..., C] if
    ``like`` is channels-last in memory."""
    if layout_of(like) != CHANNELS_LAST:
        return 2, arrays
    return 1, tuple(a.transpose(0, *range(2, a.ndim), 1) for a in arrays)


def _images(xp: Any, array: Any) -> Iterator[slice]:
    """Blocks of whole images of ``array`` that fit the cache together; on a GPU, all at once."""
    count = array.shape[0]
    size = max(1, array.nbytes // max(1, count))
    step = max(1, BLOCK // size) if xp is np else max(1, count)
    for low in range(0, count, step):
        yield slice(low, min(low + step, count))


def _largest(xp: Any, x: Any, y: Any, taps: list[Tap]) -> None:
    """y = the maximum over all taps; NaN wins."""
    everywhere = [x[into] for _, into, at in taps if y[at].shape == y.shape]
    if len(everywhere) == len(taps) > 1:
        xp.maximum(everywhere[0], everywhere[1], out=y)
        for candidate in everywhere[2:]:
            xp.maximum(y, candidate, out=y)
        return
    y[...] = -math.inf if y.dtype.kind == "f" else np.iinfo(y.dtype).min
    for _, into, at in taps:
        xp.maximum(y[at], x[into], out=y[at])


def _first_taps(xp: Any, x: Any, y: Any, k: Any, taps: list[Tap]) -> None:
    """k = the first tap whose value is y, or the last NaN.

    From the last tap to the first, ``k = (k + 1) * (value != y)`` counts how far back the winner
    is: arithmetic without a branch, where masked assignment would cost ten times the time.
    """
    k[...] = 0
    current = taps[-1].number if taps else 0
    for tap, into, at in reversed(taps):
        if tap == taps[-1].number:
            continue  # it wins where no other does
        if tap < current:
            k += current - tap
            current = tap
        mask = memory.scratch(y[at].shape, np.bool_, "pooling.mask", xp)
        differs = xp.not_equal(x[into], y[at], out=mask)
        here = k[at]
        here *= differs.view(xp.uint8)
    if current:
        k += current
    # Asking a GPU whether there is a NaN would make the host wait for it.
    if y.dtype.kind == "f" and (xp is not np or xp.isnan(y).any()):
        for tap, into, at in taps:
            xp.copyto(k[at], tap, where=xp.isnan(x[into]))


def _equal(xp: Any, argmax: Any, tap: int) -> Any:
    return xp.equal(argmax, tap, out=memory.scratch(argmax.shape, np.bool_, "pooling.mask", xp))


def _kept(xp: Any, values: Any, mask: Any) -> Any:
    """The values where the mask is True, 0 elsewhere, in working memory."""
    return keep(xp, values, mask, memory.scratch(values.shape, values.dtype, "pooling.kept", xp))


def _halfway(xp: Any, source: Any, axis: int, size: int, n: int) -> Any:
    """Working memory for the result along the n-th spatial axis, which has ``size`` there."""
    shape = (*source.shape[:axis], size, *source.shape[axis + 1 :])
    # The result along one axis is read while that along the next is made: two buffers take turns.
    return memory.scratch(shape, source.dtype, f"pooling.halfway.{n % 2}", xp)


def _gather(xp: Any, source: Any, target: Any, axis: int, taps: list[list[Piece]]) -> None:
    """``target[p] = sum_k source[p*stride + k - padding]`` along one axis."""
    lead = (slice(None),) * axis
    if target.shape[axis] == 1 and all(taps) and len(taps) == source.shape[axis]:  # global
        source.sum(axis=axis, keepdims=True, out=target)
        return
    whole = [
        pieces for pieces in taps if pieces and target[(*lead, pieces[0].at)].shape == target.shape
    ]
    if len(whole) > 1:
        (a,), (b,), *_ = whole
        xp.add(source[(*lead, a.into)], source[(*lead, b.into)], out=target)
        done = whole[:2]
    else:
        target[...] = 0
        done = []
    for pieces in taps:
        if pieces not in done:
            for into, at in pieces:
                part = target[(*lead, at)]
                part += source[(*lead, into)]


def _scatter(xp: Any, source: Any, target: Any, axis: int, taps: list[list[Piece]]) -> None:
    """``target[i] = sum_{k,p: p*stride + k - padding = i} source[p]`` along one axis."""
    lead = (slice(None),) * axis
    size = target.shape[axis]
    pieces = [piece for tap in taps for piece in tap]
    reached = [i for piece in pieces for i in range(*piece.into.indices(size))]
    exclusive = len(reached) == len(set(reached))
    if not exclusive or len(reached) < size:
        target[...] = 0
    for into, at in pieces:
        part = target[(*lead, into)]
        if exclusive:
            part[...] = source[(*lead, at)]
        else:
            part += source[(*lead, at)]
