"""How the reference convolution reads its input: windows of a zero-padded image, block by block.

A convolution compares every tap k of its kernel with the input at ``p*stride + start +
k*dilation``, for every output position p (``start`` is minus the padding). The windows of a few
thousand positions at a time are laid out as the rows of a matrix in a small, reused buffer that
stays in the processor's cache; one matrix product does the rest. On a GPU there is nothing to gain
from small blocks, so they are large.

K. Chellapilla, S. Puri, P. Simard, High Performance Convolutional Neural Networks for Document
Processing, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory

__all__ = [
    "Phase",
    "Window",
    "columns",
    "depthwise",
    "depthwise_weight",
    "matrix",
    "phases",
    "pixels",
]

Sizes = tuple[int, ...]

BLOCK = 4 << 20  # bytes of one block of columns on a CPU: what its last-level caches hold
FEWEST_ROWS = 256  # with fewer rows a matrix product is slow
DEPTHWISE_BLOCK = 512 << 10
GPU_BLOCK = 512 << 20
LANES = 8192  # a run of multiply-adds that stays in the first-level cache
FEW_CHANNELS = 4  # below this, runs of pixels are longer than runs of channels


class Window(NamedTuple):
    """Where tap k of position p reads: ``p*stride + start + k*dilation``, per spatial axis."""

    kernel: Sizes
    stride: Sizes
    start: Sizes
    dilation: Sizes


def columns(
    xp: Any, input: Any, positions: Sizes, window: Window, groups: int
) -> Iterator[tuple[slice, Any]]:
    """Yield ``(block, cols)``: the rows ``cols[group, (n, p), (k, c)]`` of the positions in
    ``block``.

    ``block`` counts positions (n, p) in order. ``cols`` is valid until the next one is asked for.
    """
    n, channels = len(positions), input.shape[1]
    width = math.prod(window.kernel) * channels
    limit = max(_block(xp, BLOCK) // max(1, width * input.dtype.itemsize), FEWEST_ROWS)
    if _is_pointwise(input, positions, window):
        # A 1x1 convolution: the pixels themselves are the rows.
        rows = _channels_last(input).reshape(-1, groups, channels // groups).swapaxes(0, 1)
        for box in _boxes(rows.shape[1:2], limit):
            yield box[0], rows[:, box[0]]
        return
    planar = groups == 1 and channels < FEW_CHANNELS
    for box, view in _windows(xp, input, positions, window, limit, planar):
        block = _rows_of(box, (input.shape[0], *positions))
        count = block.stop - block.start
        if planar:  # taps outside, positions inside: the product reads the matrix transposed
            view = view.transpose(*range(n + 1, 2 * n + 2), *range(n + 1))
            cols = _scratch(xp, view.shape, input.dtype, 1)
            cols[...] = view
            yield block, cols.reshape(1, width, count).swapaxes(1, 2)
        else:
            view = view.reshape(*view.shape[:-1], groups, channels // groups)
            view = view.transpose(2 * n + 1, *range(2 * n + 1), 2 * n + 2)
            cols = _scratch(xp, view.shape, input.dtype, 1)
            cols[...] = view
            yield block, cols.reshape(groups, count, width // groups)


def matrix(xp: Any, weight: Any) -> Any:
    """The weight [group, o, c, k...] as matrices [group, (k, c), o], in the order that costs the
    cheaper copy."""
    groups, outputs, inputs, *kernel = weight.shape
    taps, width = tuple(range(3, weight.ndim)), math.prod(kernel) * inputs
    if abs(weight.strides[1]) < abs(weight.strides[2]):
        return xp.ascontiguousarray(weight.transpose(0, *taps, 2, 1)).reshape(
            groups, width, outputs
        )
    rows = xp.ascontiguousarray(weight.transpose(0, 1, *taps, 2))
    return rows.reshape(groups, outputs, width).swapaxes(1, 2)


def pixels(xp: Any, array: Any) -> Any:
    """The array [N, C, ...] as channels-last [N, ..., C]: a view if its memory is in that order,
    else a copy."""
    view = _channels_last(array)
    if view.flags.c_contiguous:
        return view
    copy = memory.empty(view.shape, array.dtype, xp=xp)
    copy[...] = view
    return copy


class Phase(NamedTuple):
    """The positions of the input, one stride apart, that are reached by the same taps of a
    convolution."""

    positions: tuple[slice, ...]
    taps: tuple[slice, ...]
    sizes: Sizes  # the number of those positions along each axis
    window: Window  # how they read the output gradient, with the taps in reverse order


def phases(
    sizes: Sizes, kernel: Sizes, stride: Sizes, start: Sizes, dilation: Sizes
) -> Iterator[Phase]:
    """Split the input of a convolution into phases, each of which is read back with stride 1.

    Position p reads input i = p*stride + start + k*dilation. Seen from i, only taps k with
    k*dilation = i - start (mod stride) take part: every ``step``-th one, the same for i, i +
    stride, ...
    """
    axes = [
        _axis_phases(*axis) for axis in zip(sizes, kernel, stride, start, dilation, strict=True)
    ]
    for parts in product(*axes):
        where, taps, count, length, first, spread = zip(*parts, strict=True)
        yield Phase(where, taps, count, Window(length, (1,) * len(sizes), first, spread))


def _axis_phases(
    size: int, kernel: int, stride: int, start: int, dilation: int
) -> list[tuple[slice, slice, int, int, int, int]]:
    """For one axis: (positions, taps, number of positions, number of taps, window start, window
    dilation)."""
    step = stride // math.gcd(stride, dilation)
    spread = step * dilation // stride
    found = []
    for i in range(min(stride, size)):
        count = -(-(size - i) // stride)
        hits = [k for k in range(min(step, kernel)) if (i - start - k * dilation) % stride == 0]
        taps = slice(hits[0], kernel, step) if hits else slice(0, 0)
        length = len(range(*taps.indices(kernel)))
        first = (i - start - hits[0] * dilation) // stride - (length - 1) * spread if hits else 0
        found.append((slice(i, size, stride), taps, count, length, first, spread))
    return found


def depthwise(xp: Any, input: Any, weight: Any, window: Window, output: Any) -> None:
    """One kernel per channel: ``output[n, p, c] = sum_k input[n, c, ...] * weight[k, c]``.

    ``output`` is channels-last in shape, [N, P..., C], in any memory.
    """
    n, channels = len(window.kernel), output.shape[-1]
    for box, view, lanes in _lanes(xp, input, output.shape[1:-1], window):
        kernel = xp.broadcast_to(weight[..., None, :], (*window.kernel, lanes, channels))
        kernel = xp.ascontiguousarray(kernel).reshape(*window.kernel, lanes * channels)
        axes = list(range(2 * n + 2))  # n, p, ..., k, ..., lane
        total = xp.einsum(view, axes, kernel, axes[n + 1 :], [*axes[: n + 1], axes[-1]])
        output[box] = total.reshape(output[box].shape)


def depthwise_weight(xp: Any, input: Any, grad: Any, window: Window) -> Any:
    """Weight gradient of :func:`depthwise`, as [k..., C]; ``grad`` is [N, P..., C]."""
    n = len(window.kernel)
    channels = grad.shape[-1]
    total = xp.zeros((*window.kernel, channels), grad.dtype)
    for box, view, lanes in _lanes(xp, input, grad.shape[1:-1], window):
        axes = list(range(2 * n + 2))
        g = xp.ascontiguousarray(grad[box]).reshape(*view.shape[: n + 1], lanes * channels)
        part = xp.einsum(view, axes, g, [*axes[: n + 1], axes[-1]], axes[n + 1 :])
        total += part.reshape(*window.kernel, lanes, channels).sum(-2)
    return total


def _lanes(
    xp: Any, input: Any, positions: Sizes, window: Window
) -> Iterator[tuple[tuple[slice, ...], Any, int]]:
    """Yield ``(box, view[n, p..., k..., lane], lanes)`` for multiply-adds over long runs of memory.

    With stride 1 along the last axis, neighbouring positions with all their channels are one run of
    memory: a lane is a (position, channel), and ``lanes`` positions share a run. Otherwise a run is
    the channels of one position.
    """
    n = len(positions)
    channels, item = input.shape[1], input.dtype.itemsize
    limit = _block(xp, DEPTHWISE_BLOCK) // max(1, channels * item)
    for box, view in _windows(xp, input, positions, window, max(1, limit), False):
        row = view.shape[n]
        fitting = (q for q in range(min(row, LANES // max(1, channels)), 1, -1) if row % q == 0)
        lanes = next(fitting, 1) if view.strides[n] == channels * item else 1
        shape = (*view.shape[:n], row // lanes, *view.shape[n + 1 : -1], lanes * channels)
        strides = list(view.strides)
        strides[n] *= lanes
        yield box, _strided(xp, view, shape, tuple(strides)), lanes


def _windows(
    xp: Any, input: Any, positions: Sizes, window: Window, limit: int, planar: bool
) -> Iterator[tuple[tuple[slice, ...], Any]]:
    """Yield ``(box, view[n, p..., k..., c])`` for boxes of about ``limit`` positions (n, p).

    The view reads the input itself where it can, else a zero-padded copy of the part that it needs:
    with the channels last, or first if ``planar``.
    """
    n = len(positions)
    source = input if planar else _channels_last(input)
    first = 2 if planar else 1  # the first spatial axis of source
    for box in _boxes((input.shape[0], *positions), limit):
        begin = [
            b.start * s + st for b, s, st in zip(box[1:], window.stride, window.start, strict=True)
        ]
        extent = [
            (b.stop - b.start - 1) * s + (k - 1) * d + 1
            for b, s, k, d in zip(
                box[1:], window.stride, window.kernel, window.dilation, strict=True
            )
        ]
        padded = _padded(xp, source[box[0]], first, begin, extent)
        steps = padded.strides
        channel = 1 if planar else -1
        along = steps[first : first + n]
        shape = (*(b.stop - b.start for b in box), *window.kernel, input.shape[1])
        strides = (
            steps[0],
            *(a * s for a, s in zip(along, window.stride, strict=True)),
            *(a * d for a, d in zip(along, window.dilation, strict=True)),
            steps[channel],
        )
        yield box, _strided(xp, padded, shape, strides)


def _padded(xp: Any, source: Any, first: int, begin: list[int], extent: list[int]) -> Any:
    """The part of ``source`` from ``begin``, ``extent`` long, on the axes from ``first``; zero
    outside."""
    sizes = source.shape[first : first + len(begin)]
    inside = [
        (min(max(b, 0), b + e), max(min(max(b, 0), b + e), min(b + e, size)))
        for b, e, size in zip(begin, extent, sizes, strict=True)
    ]
    taken = source[(slice(None),) * first + tuple(slice(*span) for span in inside)]
    whole = all(hi - lo == e for (lo, hi), e in zip(inside, extent, strict=True))
    if whole and source.strides[-1] == source.dtype.itemsize:
        return taken
    shape = (*source.shape[:first], *extent, *source.shape[first + len(begin) :])
    space = _scratch(xp, shape, source.dtype, 0)
    here = (slice(None),) * first
    for axis, ((lo, hi), b, e) in enumerate(zip(inside, begin, extent, strict=True)):
        before = (*here, *(slice(None),) * axis)
        space[(*before, slice(0, lo - b))] = 0
        space[(*before, slice(hi - b, e))] = 0
    space[
        here + tuple(slice(lo - b, hi - b) for (lo, hi), b in zip(inside, begin, strict=True))
    ] = taken
    return space


def _boxes(sizes: Sizes, limit: int) -> Iterator[tuple[slice, ...]]:
    """Cut a grid, in order, into boxes of consecutive cells, about ``limit`` cells each."""
    axis, below = 0, math.prod(sizes[1:])
    while below > limit and axis < len(sizes) - 1:
        axis += 1
        below //= sizes[axis]
    size = sizes[axis]
    parts = -(-size // max(1, limit // max(1, below)))
    step = -(-size // max(1, parts))
    rest = tuple(slice(0, s) for s in sizes[axis + 1 :])
    for lead in product(*(range(s) for s in sizes[:axis])):
        for low in range(0, size, max(1, step)):
            yield (*(slice(i, i + 1) for i in lead), slice(low, min(low + step, size)), *rest)


def _rows_of(box: tuple[slice, ...], sizes: Sizes) -> slice:
    """The cells of a box as a range of flat indices."""
    start, count = 0, 1
    for cut, size in zip(box, sizes, strict=True):
        start = start * size + cut.start
        count *= cut.stop - cut.start
    return slice(start, start + count)


def _block(xp: Any, nbytes: int) -> int:
    return nbytes if xp is np else GPU_BLOCK


def _scratch(xp: Any, shape: Sizes, dtype: Any, slot: int) -> Any:
    return memory.scratch(shape, dtype, slot) if xp is np else xp.empty(shape, dtype)


def _strided(xp: Any, array: Any, shape: Sizes, strides: Sizes) -> Any:
    return xp.lib.stride_tricks.as_strided(array, shape, strides)


def _channels_last(array: Any) -> Any:
    """[N, C, ...] seen as [N, ..., C]."""
    return array.transpose(0, *range(2, array.ndim), 1)


def _is_pointwise(input: Any, positions: Sizes, window: Window) -> bool:
    """True if every position reads exactly its own pixel, and pixels follow each other in
    memory."""
    return (
        set(window.kernel) == {1}
        and set(window.stride) == {1}
        and set(window.start) == {0}
        and positions == input.shape[2:]
        and _channels_last(input).flags.c_contiguous
    )
