"""How the reference convolution reads its input: windows of a zero-padded image, block by block.

At output position p, tap k of the kernel meets the pixel at ``p*stride + start + k*dilation``,
where ``start`` is minus the padding. The windows of a few thousand positions at a time are laid out
as the rows of a matrix, in a small, reused buffer that stays in the processor's cache, and a matrix
product does the rest. A GPU gains nothing from small blocks; there they are large.

K. Chellapilla, S. Puri, P. Simard, High Performance Convolutional Neural Networks for Document
Processing, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.layout import reordered
from tinygrad_cv.backend.spec import CHANNELS_LAST

__all__ = [
    "Phase",
    "Window",
    "columns",
    "correlate_few",
    "depthwise",
    "depthwise_weight",
    "few_outputs",
    "matrix",
    "over_rows",
    "phases",
    "pixels",
]

Sizes = tuple[int, ...]

BLOCK = 4 << 20  # bytes of one block of columns on a CPU: what its last-level caches hold
FEWEST_ROWS = 256  # with fewer rows a matrix product is slow
FEW_BLOCK = 1 << 20
DEPTHWISE_BLOCK = 512 << 10
GPU_BLOCK = 512 << 20
LANES = 8192  # a run of multiply-adds that stays in the first-level cache
PADDED_SLOT, COLUMNS_SLOT, PARTS_SLOT, SUM_SLOT = range(4, 8)  # of the working memory
FEW_OUTPUTS = 8  # a matrix product with fewer columns than this is slow
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
    """The windows of an image as rows of a matrix, a block of positions at a time.

    Yields ``(block, cols)``: ``cols[group, (n, p), (k, c)]`` are the rows of the positions (n, p)
    that ``block`` counts in order. They are valid until the next ones are asked for; until the last
    are asked for, no other convolution may run in this thread.
    """
    n, channels = len(positions), input.shape[1]
    width = math.prod(window.kernel) * channels
    limit = max(_block(xp, BLOCK) // max(1, width * input.dtype.itemsize), FEWEST_ROWS)
    if _is_pointwise(input, positions, window):  # a 1x1 convolution: its rows are the pixels
        rows = _channels_last(input).reshape(-1, groups, channels // groups).swapaxes(0, 1)
        for box in _boxes(rows.shape[1:2], limit):
            yield box[0], rows[:, box[0]]
        return
    planar = groups == 1 and channels < FEW_CHANNELS
    last: Any = None
    windows: Any = None
    cols: Any = None
    for cut, view in _windows(xp, input, positions, window, limit, planar):
        if view is not last:  # the next block often reads the same place
            last, count = view, cut.rows.stop - cut.rows.start
            if planar:  # taps outside, positions inside: the product reads the matrix transposed
                windows = view.transpose(*range(n + 1, 2 * n + 2), *range(n + 1))
            else:
                windows = view.reshape(*view.shape[:-1], groups, channels // groups)
                windows = windows.transpose(2 * n + 1, *range(2 * n + 1), 2 * n + 2)
            cols = memory.scratch(windows.shape, input.dtype, COLUMNS_SLOT, xp)
            if planar:
                rows = cols.reshape(1, width, count).swapaxes(1, 2)
            else:
                rows = cols.reshape(groups, count, width // groups)
        cols[...] = windows
        yield cut.rows, rows


def over_rows(rows: Any, cols: Any) -> Any:
    """The product ``rows[group, (n, p), o]`` transposed @ ``cols``: [group, o, (k, c)].

    Columns that lie in memory tap by tap go to the left, where the product reads them in order.
    """
    if cols.strides[-1] == cols.itemsize:
        return rows.swapaxes(1, 2) @ cols
    return (cols.swapaxes(1, 2) @ rows).swapaxes(1, 2)


def few_outputs(weight: Any, window: Window) -> bool:
    """Does :func:`correlate_few` pay for this weight [group, o, c, k...]?"""
    groups, outputs, inputs, *kernel = weight.shape
    return (
        groups == 1 and outputs <= FEW_OUTPUTS <= inputs and kernel[0] > 2 and window.stride[0] == 1
    )


def correlate_few(xp: Any, input: Any, weight: Any, window: Window, output: Any) -> None:
    """Convolution with few output channels, whose matrix product would have too few columns.

    The taps along the first axis count as output channels of a convolution that is one tap long
    there; their results, each shifted by its tap, are added: ``y[p] = sum_k z[k, p + k*dilation]``.
    """
    _, outputs, inputs, taps, *kernel = weight.shape
    images, count, *rest = output.shape[:-1]
    start, spread = window.start[0], window.dilation[0]
    low = max(0, -start)  # z is 0 outside of low..high, where it would read padding only
    high = max(low, min(count + (taps - 1) * spread, input.shape[2] - start))
    flat = window._replace(kernel=(1, *kernel), start=(start + low, *window.start[1:]))
    lines = weight[0].transpose(2, 0, *range(3, weight.ndim - 1), 1)  # [k, o, other taps, c]
    lines = xp.ascontiguousarray(lines).reshape(taps * outputs, math.prod(kernel) * inputs)
    size = lines.shape[0] * (high - low) * math.prod(rest) * input.dtype.itemsize
    step = max(1, _block(xp, FEW_BLOCK) // max(1, size))
    for n in range(0, images, step):
        part, y = input[n : n + step], xp.moveaxis(output[n : n + step], -1, 0)
        z = memory.scratch(
            (taps, outputs, len(part), high - low, *rest), input.dtype, PARTS_SLOT, xp
        )
        results = z.reshape(lines.shape[0], -1)
        for block, cols in columns(xp, part, (high - low, *rest), flat, 1):
            xp.matmul(lines, cols[0].T, out=results[:, block])
        total = memory.scratch(y.shape, input.dtype, SUM_SLOT, xp)
        total[...] = 0
        for k in range(taps):
            first, last = max(0, low - k * spread), min(count, high - k * spread)
            if first < last:
                shift = k * spread - low
                total[:, :, first:last] += z[k, :, :, first + shift : last + shift]
        y[...] = total


def matrix(xp: Any, weight: Any) -> Any:
    """The weight [group, o, c, k...] as matrices [group, (k, c), o]."""
    groups, outputs, inputs, *kernel = weight.shape
    taps, width = tuple(range(3, weight.ndim)), math.prod(kernel) * inputs
    if abs(weight.strides[1]) < abs(weight.strides[2]):  # of two orders the cheaper copy
        lines = xp.ascontiguousarray(weight.transpose(0, *taps, 2, 1))
        return lines.reshape(groups, width, outputs)
    rows = xp.ascontiguousarray(weight.transpose(0, 1, *taps, 2))
    return rows.reshape(groups, outputs, width).swapaxes(1, 2)


def pixels(xp: Any, array: Any) -> Any:
    """[N, C, ...] as contiguous [N, ..., C]: a view if memory is in that order, else a copy."""
    view = _channels_last(array)
    if view.flags.c_contiguous:
        return view
    return _channels_last(reordered(xp, array, CHANNELS_LAST))


class Phase(NamedTuple):
    """Pixels of the input, one stride apart, that the same taps of a convolution reach."""

    pixels: tuple[slice, ...]
    taps: tuple[slice, ...]  # in reverse order
    window: Window  # how these pixels read the output gradient


@lru_cache(maxsize=256)
def phases(sizes: Sizes, window: Window) -> tuple[Phase, ...]:
    """Split the input of a convolution into phases, each of which is read back with stride 1.

    Position p reads pixel i = p*stride + start + k*dilation. Seen from i, only those taps k take
    part for which i - start - k*dilation is a multiple of the stride: every ``step``-th tap, and
    the same ones for i + stride. Along them p falls by ``dilation`` over the common divisor.
    """
    axes = [_axis_phases(*axis) for axis in zip(sizes, *window, strict=True)]
    found = []
    for parts in product(*axes):
        where, taps, count, first, spread = zip(*parts, strict=True)
        found.append(Phase(where, taps, Window(count, (1,) * len(sizes), first, spread)))
    return tuple(found)


def _axis_phases(
    size: int, kernel: int, stride: int, start: int, dilation: int
) -> list[tuple[slice, slice, int, int, int]]:
    """For one axis: (pixels, taps, number of taps, where the window starts, its dilation)."""
    step = stride // math.gcd(stride, dilation)
    spread = step * dilation // stride
    found = []
    for i in range(min(stride, size)):
        hits = [k for k in range(min(step, kernel)) if (i - start - k * dilation) % stride == 0]
        if not hits:
            found.append((slice(i, size, stride), slice(0, 0), 0, 0, spread))
            continue
        k, count = hits[0], -(-(kernel - hits[0]) // step)
        first = (i - start - k * dilation) // stride - (count - 1) * spread
        last = k + (count - 1) * step
        taps = slice(last, k - 1 if k else None, -step)
        found.append((slice(i, size, stride), taps, count, first, spread))
    return found


def depthwise(xp: Any, input: Any, weight: Any, window: Window, output: Any) -> None:
    """One kernel per channel: ``output[n, p, c] = sum_k input[n, c, ...] * weight[k, c]``.

    A matrix product would have one column, so this is a sum of products over shifted images.
    """
    n, channels = len(window.kernel), output.shape[-1]
    axes = list(range(2 * n + 2))  # n, p, ..., k, ..., lane
    for cut, view, lanes in _lanes(xp, input, output.shape[1:-1], window):
        kernel = xp.broadcast_to(weight[..., None, :], (*window.kernel, lanes, channels))
        kernel = xp.ascontiguousarray(kernel).reshape(*window.kernel, lanes * channels)
        total = xp.einsum(view, axes, kernel, axes[n + 1 :], [*axes[: n + 1], axes[-1]])
        output[cut.box] = total.reshape(output[cut.box].shape)


def depthwise_weight(xp: Any, input: Any, grad: Any, window: Window) -> Any:
    """Weight gradient of :func:`depthwise`, as [k..., C]; ``grad`` is [N, P..., C]."""
    n, channels = len(window.kernel), grad.shape[-1]
    axes = list(range(2 * n + 2))
    total = xp.zeros((*window.kernel, channels), grad.dtype)
    for cut, view, lanes in _lanes(xp, input, grad.shape[1:-1], window):
        g = xp.ascontiguousarray(grad[cut.box]).reshape(*view.shape[: n + 1], lanes * channels)
        part = xp.einsum(view, axes, g, [*axes[: n + 1], axes[-1]], axes[n + 1 :])
        total += part.reshape(*window.kernel, lanes, channels).sum(-2)
    return total


def _lanes(
    xp: Any, input: Any, positions: Sizes, window: Window
) -> Iterator[tuple[_Cut, Any, int]]:
    """Yield ``(cut, view[n, p..., k..., lane], lanes)`` for multiply-adds over long runs of memory.

    With stride 1 along the last axis, neighbouring positions with all their channels are one run of
    memory: a lane is a (position, channel), and ``lanes`` positions share a run. Otherwise a run is
    the channels of one position.
    """
    n, channels, item = len(positions), input.shape[1], input.dtype.itemsize
    taps = 1 if xp is np else math.prod(window.kernel)  # a GPU copies the windows
    limit = max(1, _block(xp, DEPTHWISE_BLOCK) // max(1, channels * item * taps))
    for cut, view in _windows(xp, input, positions, window, limit, False):
        row = view.shape[n]
        fitting = (q for q in range(min(row, LANES // max(1, channels)), 1, -1) if row % q == 0)
        lanes = next(fitting, 1) if view.strides[n] == channels * item else 1
        shape = (*view.shape[:n], row // lanes, *view.shape[n + 1 : -1], lanes * channels)
        strides = list(view.strides)
        strides[n] *= lanes
        yield cut, _strided(xp, view, shape, tuple(strides)), lanes


class _Cut(NamedTuple):
    """A block of output positions, and the part of the input that it reads."""

    box: tuple[slice, ...]  # of (n, p...)
    rows: slice  # the same as a range of flat indices
    taken: tuple[slice, ...]  # of the input's axes (n, spatial...): what there is
    extent: Sizes  # what is read, zeros around the input included
    place: tuple[slice, ...]  # where in that the taken part lies
    zeros: tuple[tuple[slice, ...], ...]  # the rest of it


def _windows(
    xp: Any, input: Any, positions: Sizes, window: Window, limit: int, planar: bool
) -> Iterator[tuple[_Cut, Any]]:
    """Yield ``(cut, view[n, p..., k..., c])`` for blocks of about ``limit`` positions (n, p).

    The view reads the input itself where it can, else a zero-padded copy of the part that it needs:
    with the channels last, or first if ``planar``.
    """
    channels = input.shape[1]
    source = input if planar else _channels_last(input)
    direct = source.strides[-1] == source.dtype.itemsize
    form: Any = None  # of the padded copy: the next block often has the same, zeros included
    for cut in _cuts((input.shape[0], *input.shape[2:]), positions, window, limit):
        part = source[_along(cut.taken, planar)]
        if direct and not cut.zeros:
            form = None
            view = _view(xp, part, cut, window, planar)
        else:
            images = cut.taken[0].stop - cut.taken[0].start
            if form != (images, cut.extent, cut.place):
                form = (images, cut.extent, cut.place)
                shape = (
                    (images, channels, *cut.extent) if planar else (images, *cut.extent, channels)
                )
                space = memory.scratch(shape, source.dtype, PADDED_SLOT, xp)
                for edge in cut.zeros:
                    space[_along(edge, planar)] = 0
                inside = space[_along(cut.place, planar)]
                view = _view(xp, space, cut, window, planar)
            inside[...] = part
        yield cut, view


def _view(xp: Any, part: Any, cut: _Cut, window: Window, planar: bool) -> Any:
    """The windows of a block as ``view[n, p..., k..., c]`` of the part of the input they read."""
    steps = part.strides[2:] if planar else part.strides[1:-1]
    shape = (*(b.stop - b.start for b in cut.box), *window.kernel, part.shape[1 if planar else -1])
    strides = (
        part.strides[0],
        *(step * s for step, s in zip(steps, window.stride, strict=True)),
        *(step * d for step, d in zip(steps, window.dilation, strict=True)),
        part.strides[1 if planar else -1],
    )
    return _strided(xp, part, shape, strides)


@lru_cache(maxsize=256)
def _cuts(sizes: Sizes, positions: Sizes, window: Window, limit: int) -> tuple[_Cut, ...]:
    """The blocks of a convolution of an input with ``sizes`` (n, spatial...)."""
    found = []
    grid = (sizes[0], *positions)
    for box in _boxes(grid, limit):
        taken, place, extents = [box[0]], [slice(None)], []
        zeros = []
        for axis, (b, size, k, s, start, d) in enumerate(
            zip(box[1:], sizes[1:], *window, strict=True)
        ):
            begin, extent = b.start * s + start, (b.stop - b.start - 1) * s + (k - 1) * d + 1
            low = min(max(begin, 0), begin + extent)
            high = max(low, min(begin + extent, size))
            taken.append(slice(low, high))
            place.append(slice(low - begin, high - begin))
            extents.append(extent)
            before = (slice(None),) * (axis + 1)
            if low > begin:
                zeros.append((*before, slice(0, low - begin)))
            if high < begin + extent:
                zeros.append((*before, slice(high - begin, extent)))
        rows = _rows_of(box, grid)
        found.append(_Cut(box, rows, tuple(taken), tuple(extents), tuple(place), tuple(zeros)))
    return tuple(found)


def _along(cut: tuple[slice, ...], planar: bool) -> tuple[slice, ...]:
    """A cut of (n, spatial...) for an array [N, C, spatial...] if ``planar``, else [N, ..., C]."""
    return (cut[0], slice(None), *cut[1:]) if planar else cut


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


def _strided(xp: Any, array: Any, shape: Sizes, strides: Sizes) -> Any:
    return xp.lib.stride_tricks.as_strided(array, shape, strides)


def _channels_last(array: Any) -> Any:
    """[N, C, ...] seen as [N, ..., C]."""
    return array.transpose(0, *range(2, array.ndim), 1)


def _is_pointwise(input: Any, positions: Sizes, window: Window) -> bool:
    """True if every position reads its own pixel, and pixels follow each other in memory."""
    return (
        set(window.kernel) == {1}
        and set(window.stride) == {1}
        and set(window.start) == {0}
        and positions == input.shape[2:]
        and _channels_last(input).flags.c_contiguous
    )
