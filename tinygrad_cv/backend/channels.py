"""Raw arithmetic per channel, in blocks: statistics, affine maps, and the gradient of both.

An array [N, C, spatial...] is seen as rows [A, C] (channels-last memory, or no spatial axes) or as
images [A, C, L]. Rows of few channels are joined, [A/k, k*C], so that NumPy's inner loop is long.
Sums over a block are products with a vector of ones: faster than NumPy's reductions over a strided
axis, and more accurate, since each block is summed apart and the blocks are added in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dots import dots
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["add_bias", "affine", "gradient_sums", "input_gradient", "statistics"]

# A block, its centred copy and its gradient stay in the level-2 cache together.
BLOCK_BYTES = 512 * 1024
ROW = 8192  # elements that a row should have to make the loop over rows cheap
FEWEST_ROWS = 16  # rows are not joined beyond this: a column must be small against the data


def statistics(xp: Any, input: Any) -> tuple[Any, Any]:
    """Mean and biased variance per channel, both [C], in one pass over the data.

    All values are centred by the mean of a few of them, so that little cancels even where the mean
    is large against the deviation, and the sums of the blocks are added in float64 (T. Chan,
    G. Golub, R. LeVeque, Algorithms for computing the sample variance, 1983, section 3).
    """
    x = _as_blocks(input, input)
    c = input.shape[1]
    count = input.size // max(c, 1)
    if not count:
        return xp.zeros(c, x.dtype), xp.zeros(c, x.dtype)
    few = x[:: max(x.shape[0] // FEWEST_ROWS, 1)]
    centre = (_channels(_sum_block(xp, few), c) / (few.size // c)).astype(x.dtype)
    column = _column(xp, centre, x)
    shift = squares = 0.0
    for where in _block_ranges(xp, x):
        centred = _minus(xp, x[where], column)
        shift = shift + _sum_block(xp, centred)
        squares = squares + _sum_of_products(xp, centred, centred)
    offset = _channels(shift, c) / count
    var = _channels(squares, c) / count - offset * offset
    return (centre + offset).astype(x.dtype), xp.maximum(var, 0).astype(x.dtype)


def affine(xp: Any, input: Any, mean: Any, scale: Any, bias: Any) -> Any:
    """``(input - mean) * scale + bias`` per channel, in the memory order of the input."""
    output = memory.empty(input.shape, input.dtype, layout_of(input), xp)
    x, y = _as_blocks(input, input), _as_blocks(output, input)
    offset = _offset(bias, mean, scale)
    scale, offset = _column(xp, scale, x), _column(xp, offset, x)
    for where in _block_ranges(xp, x):
        out = y[where]
        xp.multiply(x[where], scale, out=out)
        xp.add(out, offset, out=out)
    return output


def add_bias(xp: Any, rows: Any, bias: Any) -> None:
    """``rows[r, c] += bias[c]`` in place, many rows at a time where memory allows."""
    count, c = rows.shape
    joined = min(ROW // max(c, 1), count // FEWEST_ROWS)
    if xp is not np or joined < 2:
        rows += bias
        return
    line = memory.scratch((joined, c), rows.dtype, "channels.bias")
    line[...] = bias
    whole = count - count % joined
    head, rest = rows[:whole].reshape(-1, joined * c), rows[whole:]
    head += line.reshape(-1)
    rest += bias


def gradient_sums(xp: Any, gy: Any, input: Any, mean: Any) -> tuple[Any, Any]:
    """``sum(gy)`` and ``sum(gy * (input - mean))`` per channel."""
    x, g = _as_blocks(input, input), _as_blocks(gy, input)
    c, column = input.shape[1], _column(xp, mean, x)
    g_sum = gx_sum = xp.zeros(x.shape[1], np.float64)
    for where in _block_ranges(xp, x):
        block = g[where]
        centred = _minus(xp, x[where], column)
        g_sum = g_sum + _sum_block(xp, block)
        gx_sum = gx_sum + _sum_of_products(xp, block, centred)
    return _channels(g_sum, c).astype(x.dtype), _channels(gx_sum, c).astype(x.dtype)


def input_gradient(
    xp: Any, gy: Any, input: Any, mean: Any, scale: Any, slope: Any, shift: Any
) -> Any:
    """``gy * scale + (input - mean) * slope + shift`` per channel, in the input's memory order."""
    output = memory.empty(input.shape, input.dtype, layout_of(input), xp)
    x, y = _as_blocks(input, input), _as_blocks(output, input)
    g = _as_blocks(gy, input)
    offset = _offset(shift, mean, slope)
    scale, slope, offset = (_column(xp, v, x) for v in (scale, slope, offset))
    for where in _block_ranges(xp, x):
        part = memory.scratch(x[where].shape, x.dtype, "channels.part", xp)
        xp.multiply(x[where], slope, out=part)
        xp.add(part, offset, out=part)
        out = y[where]
        xp.multiply(g[where], scale, out=out)
        xp.add(out, part, out=out)
    return output


def _as_blocks(array: Any, like: Any) -> Any:
    """``array`` as rows [A/k, k*C] or images [A, C, L], in the memory order of ``like``."""
    n, c = array.shape[:2]
    length = math.prod(array.shape[2:])
    if length > 1 and layout_of(like) != CHANNELS_LAST:
        return array.reshape(n, c, length)
    rows, joined = n * length, 1
    while (
        2 * joined * max(c, 1) <= ROW
        and rows % (2 * joined) == 0
        and rows // (2 * joined) >= FEWEST_ROWS
    ):
        joined *= 2
    return pixels(array).reshape(rows // joined, joined * c)


def _block_ranges(xp: Any, blocks: Any) -> list[slice]:
    """Ranges of the first axis whose blocks fit the cache; on a GPU one range for all."""
    total = blocks.shape[0]
    row = max(math.prod(blocks.shape[1:]) * blocks.dtype.itemsize, 1)
    step = max(BLOCK_BYTES // row, 1) if xp is np else max(total, 1)
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]


def _sum_block(xp: Any, block: Any) -> Any:
    """The sum of a block in float64, still to be folded by :func:`_channels`: [k*C] or [C]."""
    if block.ndim == 2:
        return (xp.ones(block.shape[0], block.dtype) @ block).astype(np.float64)
    a, c, length = block.shape
    per_image = block.reshape(a * c, length) @ xp.ones(length, block.dtype)
    return per_image.reshape(a, c).sum(axis=0, dtype=np.float64)


def _sum_of_products(xp: Any, block: Any, centred: Any) -> Any:
    """As :func:`_sum_block`, of ``block * centred``; writes into ``centred``."""
    if block.ndim == 3:
        return dots(xp, block, centred).sum(axis=0, dtype=np.float64)
    return _sum_block(xp, xp.multiply(block, centred, out=centred))


def _channels(sums: Any, c: int) -> Any:
    """[k*C] -> [C]: the sums of joined rows, added up."""
    return sums.reshape(-1, c).sum(axis=0)


def _offset(bias: Any, mean: Any, scale: Any) -> Any:
    """``bias - mean * scale`` in float64, so that ``x * scale + offset`` is rounded no worse than
    ``(x - mean) * scale + bias``, where ``mean`` is rounded."""
    product = mean.astype(np.float64) * scale
    return -product if bias is None else bias - product


def _minus(xp: Any, block: Any, column: Any) -> Any:
    """``block - column`` in working memory that the next call takes again."""
    out = memory.scratch(block.shape, block.dtype, "channels.centred", xp)
    return xp.subtract(block, column, out=out)


def _column(xp: Any, channel: Any, blocks: Any) -> Any:
    """[C] in the blocks' dtype, ready to broadcast against a block."""
    channel = channel.astype(blocks.dtype, copy=False)
    if blocks.ndim == 3:
        return channel[:, None]
    joined = blocks.shape[1] // max(channel.size, 1)
    return channel if joined == 1 else xp.tile(channel, joined)
