"""Convolution as a matrix product: the windows of the input are the rows of a matrix (im2col).

A row holds the pixels of one window, a column of the weights' matrix one kernel; each of their
products is one output value. The rows of a few thousand positions at a time are laid out in a
buffer that stays in the processor's cache.

K. Chellapilla, S. Puri, P. Simard, High Performance Convolutional Neural Networks for Document
Processing, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.convolution.blocks import Window, block_bytes, boxes
from tinygrad_cv.backend.convolution.reading import windows
from tinygrad_cv.backend.layout import contiguous_pixels, pixels

__all__ = ["columns", "correlate", "weight_gradient"]

Sizes = tuple[int, ...]

BLOCK = 4 << 20  # bytes of one block of columns on a CPU: what its last-level caches hold
FEWEST_ROWS = 256  # with fewer rows a matrix product is slow
ONE_THREAD = 1 << 19  # multiply-adds of a group that one thread does before others are awake
FEW_IN_GROUP = 16  # the same in groups, where a run of channels ends with the group
FEW_CHANNELS = 4  # below this, runs of pixels are longer than runs of channels


def correlate(xp: Any, input: Any, weight: Any, window: Window, output: Any) -> Iterator[slice]:
    """Convolution of [N, C, ...] with [group, o, c, k...] into ``output`` [N, P..., O].

    Yields the ranges of positions (n, p) that are done.
    """
    groups, outputs = weight.shape[:2]
    matrix = _matrix(xp, weight)  # [group, (k, c), o]
    rows = output.reshape(-1, groups, outputs).swapaxes(0, 1)  # [group, (n, p), o]
    for block, cols in columns(xp, input, output.shape[1:-1], window, groups):
        for part in _parts(xp, cols, matrix.shape[2]):
            xp.matmul(cols[:, part], matrix, out=rows[:, block][:, part])
        yield block


def weight_gradient(
    xp: Any, input: Any, grad: Any, weight_shape: Sizes, window: Window, groups: int
) -> Any:
    """``dw[o, c, k...]``: the columns of each block times the gradients of its positions."""
    outputs, inputs, *kernel = weight_shape
    rows = contiguous_pixels(xp, grad).reshape(-1, groups, outputs // groups).swapaxes(0, 1)
    total = xp.zeros((groups, outputs // groups, math.prod(kernel) * inputs), grad.dtype)
    for block, cols in columns(xp, input, grad.shape[2:], window, groups):
        for part in _parts(xp, cols, outputs // groups):
            total += _over_rows(rows[:, block][:, part], cols[:, part])  # [group, o, (k, c)]
    result = memory.empty(weight_shape, grad.dtype, xp=xp)
    result[...] = xp.moveaxis(total.reshape(outputs, *kernel, inputs), -1, 1)
    return result


def columns(
    xp: Any, input: Any, positions: Sizes, window: Window, groups: int
) -> Iterator[tuple[slice, Any]]:
    """The windows of an image as rows of a matrix, a block of positions at a time.

    Yields ``(block, cols)``: ``cols[group, (n, p), (k, c)]`` are the rows of the positions (n, p)
    that ``block`` counts in order. They are valid until the next ones are asked for; until the last
    are asked for, no other convolution may run in this thread.
    """
    channels = input.shape[1]
    row = math.prod(window.kernel) * channels * input.dtype.itemsize
    limit = max(block_bytes(xp, BLOCK) // max(1, row), FEWEST_ROWS)
    if _is_pointwise(input, positions, window):  # a 1x1 convolution: its rows are the pixels
        rows = pixels(input).reshape(-1, groups, channels // groups).swapaxes(0, 1)
        for (block,) in boxes(rows.shape[1:2], limit):
            yield block, rows[:, block]
    elif channels // groups < (FEW_CHANNELS if groups == 1 else FEW_IN_GROUP):
        for read, view in windows(xp, input, positions, window, limit, channels_first=True):
            yield read.rows, _tap_by_tap(xp, view, groups)
    else:
        for read, view in windows(xp, input, positions, window, limit):
            yield read.rows, _row_by_row(xp, view, groups)


def _row_by_row(xp: Any, view: Any, groups: int) -> Any:
    """Columns of ``view[n, p..., k..., c]``, copied a run of channels at a time."""
    n = (view.ndim - 2) // 2
    channels = view.shape[-1] // groups
    split = view.reshape(*view.shape[:-1], groups, channels)
    split = split.transpose(-2, *range(view.ndim - 1), -1)  # [group, n, p..., k..., c]
    cols = memory.scratch(split.shape, view.dtype, "convolution.columns", xp)
    cols[...] = split
    width = math.prod(split.shape[n + 2 :])
    return cols.reshape(groups, math.prod(split.shape[1 : n + 2]), width)


def _tap_by_tap(xp: Any, view: Any, groups: int) -> Any:
    """The same for groups of few channels, copied a run of positions at a time: in memory the
    matrix is transposed, which a matrix product reads as well."""
    n = (view.ndim - 2) // 2
    split = view.reshape(*view.shape[:-1], groups, view.shape[-1] // groups)
    axes = (-2, *range(n + 1, 2 * n + 1), -1, *range(n + 1))
    taps = split.transpose(axes)  # [group, k..., c, n, p...]
    cols = memory.scratch(taps.shape, view.dtype, "convolution.columns", xp)
    cols[...] = taps
    width = math.prod(taps.shape[1 : n + 2])
    return cols.reshape(groups, width, math.prod(taps.shape[n + 2 :])).swapaxes(1, 2)


def _parts(xp: Any, cols: Any, outputs: int) -> list[slice]:
    """Ranges of the rows of groups; one range for all without groups, and on a GPU."""
    groups, count, width = cols.shape
    step = max(ONE_THREAD // max(width * outputs, 1), 1)
    if xp is not np or groups == 1 or step >= count:
        return [slice(None)]
    return [slice(start, start + step) for start in range(0, count, step)]


def _over_rows(rows: Any, cols: Any) -> Any:
    """The product ``rows[group, (n, p), o]`` transposed @ ``cols``: [group, o, (k, c)].

    Columns that lie in memory tap by tap go to the left, where the product reads them in order.
    """
    if cols.strides[-1] == cols.itemsize:
        return rows.swapaxes(1, 2) @ cols
    return (cols.swapaxes(1, 2) @ rows).swapaxes(1, 2)


def _matrix(xp: Any, weight: Any) -> Any:
    """The weight [group, o, c, k...] as matrices [group, (k, c), o]."""
    groups, outputs, inputs, *kernel = weight.shape
    taps, width = tuple(range(3, weight.ndim)), math.prod(kernel) * inputs
    if abs(weight.strides[1]) < abs(weight.strides[2]):  # of two orders the cheaper copy
        lines = xp.ascontiguousarray(weight.transpose(0, *taps, 2, 1))
        return lines.reshape(groups, width, outputs)
    rows = xp.ascontiguousarray(weight.transpose(0, 1, *taps, 2))
    return rows.reshape(groups, outputs, width).swapaxes(1, 2)


def _is_pointwise(input: Any, positions: Sizes, window: Window) -> bool:
    """True if every position reads its own pixel, and pixels follow each other in memory."""
    return (
        set(window.kernel) == {1}
        and set(window.stride) == {1}
        and set(window.start) == {0}
        and positions == input.shape[2:]
        and pixels(input).flags.c_contiguous
    )
