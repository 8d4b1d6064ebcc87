"""Raw arithmetic per channel, in blocks: statistics, affine maps, and the gradient of both.

An array [N, C, spatial...] is seen as rows [A, C] (channels-last memory, or no spatial axes) or as
images [A, C, L]. Rows of few channels are joined, [A/k, k*C], so that NumPy's inner loop is long.
Sums over a block are products with a vector of ones: faster than NumPy's reductions over a strided
axis, and more accurate, since each block is summed apart and the blocks are added in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["affine", "gradient_sums", "input_gradient", "statistics"]

# A block, its centred copy and its gradient stay in the level-2 cache together.
BLOCK_BYTES = 512 * 1024
ROW = 1024  # elements that a row should have to make the loop over rows cheap


def statistics(xp: Any, input: Any) -> tuple[Any, Any]:
    """Mean and biased variance per channel, both [C], in one pass over the data.

    Each block is centred by the mean of what came before it, so nothing cancels even where the mean
    is large against the deviation; blocks are merged by the rule of Chan, Golub and LeVeque (1983)
    in float64.
    """
    x = _as_blocks(input, input)
    c = input.shape[1]
    mean = squares = xp.zeros(c, np.float64)
    done = 0
    for where in _block_ranges(xp, x):
        block = x[where]
        count = block.size // max(c, 1)
        if count == 0:
            continue
        if not done:
            mean = _sum_block(xp, block, c) / count
        centre = mean.astype(x.dtype)
        centred = _minus(xp, block, _column(xp, centre, x))
        offset = _sum_block(xp, centred, c) / count
        xp.multiply(centred, centred, out=centred)
        block_squares = _sum_block(xp, centred, c) - count * offset * offset
        delta = centre + offset - mean
        total = done + count
        mean = mean + delta * (count / total)
        squares = squares + block_squares + delta * delta * (done * count / total)
        done = total
    return mean.astype(x.dtype), (squares / max(done, 1)).astype(x.dtype)


def affine(xp: Any, input: Any, mean: Any, scale: Any, bias: Any) -> Any:
    """``(input - mean) * scale + bias`` per channel, in the memory order of the input."""
    output = memory.empty(input.shape, input.dtype, layout_of(input), xp)
    x, y = _as_blocks(input, input), _as_blocks(output, input)
    mean, scale = _column(xp, mean, x), _column(xp, scale, x)
    bias = None if bias is None else _column(xp, bias, x)
    for where in _block_ranges(xp, x):
        out = y[where]
        xp.subtract(x[where], mean, out=out)
        xp.multiply(out, scale, out=out)
        if bias is not None:
            xp.add(out, bias, out=out)
    return output


def gradient_sums(xp: Any, gy: Any, input: Any, mean: Any) -> tuple[Any, Any]:
    """``sum(gy)`` and ``sum(gy * (input - mean))`` per channel."""
    x, g = _as_blocks(input, input), _as_blocks(gy, input)
    c, column = input.shape[1], _column(xp, mean, x)
    g_sum, gx_sum = xp.zeros(c, np.float64), xp.zeros(c, np.float64)
    for where in _block_ranges(xp, x):
        block = g[where]
        centred = _minus(xp, x[where], column)
        xp.multiply(centred, block, out=centred)
        g_sum += _sum_block(xp, block, c)
        gx_sum += _sum_block(xp, centred, c)
    return g_sum.astype(x.dtype), gx_sum.astype(x.dtype)


def input_gradient(
    xp: Any, gy: Any, input: Any, mean: Any, scale: Any, slope: Any, shift: Any
) -> Any:
    """``gy * scale + (input - mean) * slope + shift`` per channel, in the input's memory order."""
    output = memory.empty(input.shape, input.dtype, layout_of(input), xp)
    x, y = _as_blocks(input, input), _as_blocks(output, input)
    g = _as_blocks(gy, input)
    mean, scale, slope, shift = (_column(xp, v, x) for v in (mean, scale, slope, shift))
    for where in _block_ranges(xp, x):
        out = y[where]
        xp.multiply(g[where], scale, out=out)
        centred = _minus(xp, x[where], mean)
        xp.multiply(centred, slope, out=centred)
        xp.add(centred, shift, out=centred)
        xp.add(out, centred, out=out)
    return output


def _as_blocks(array: Any, like: Any) -> Any:
    """``array`` as rows [A/k, k*C] or images [A, C, L], in the memory order of ``like``."""
    n, c = array.shape[:2]
    length = math.prod(array.shape[2:])
    if length > 1 and layout_of(like) != CHANNELS_LAST:
        return array.reshape(n, c, length)
    rows, joined = n * length, 1
    while 2 * joined * max(c, 1) <= ROW and rows % (2 * joined) == 0:
        joined *= 2
    return array.transpose(0, *range(2, array.ndim), 1).reshape(rows // joined, joined * c)


def _block_ranges(xp: Any, blocks: Any) -> Iterator[slice]:
    """Ranges of the first axis whose blocks fit the cache; on a GPU one range for all."""
    total = blocks.shape[0]
    row = max(math.prod(blocks.shape[1:]) * blocks.dtype.itemsize, 1)
    step = max(BLOCK_BYTES // row, 1) if xp is np else max(total, 1)
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def _sum_block(xp: Any, block: Any, c: int) -> Any:
    """[A, k*C] or [A, C, L] -> [C] in float64."""
    if block.ndim == 2:
        joined = xp.ones(block.shape[0], block.dtype) @ block
        return joined.reshape(block.shape[1] // max(c, 1), c).sum(axis=0, dtype=np.float64)
    a, _, length = block.shape
    per_image = block.reshape(a * c, length) @ xp.ones(length, block.dtype)
    return per_image.reshape(a, c).sum(axis=0, dtype=np.float64)


def _minus(xp: Any, block: Any, column: Any) -> Any:
    """``block - column`` in working memory that the next call takes again."""
    out = memory.scratch(block.shape, block.dtype, xp=xp)
    return xp.subtract(block, column, out=out)


def _column(xp: Any, channel: Any, blocks: Any) -> Any:
    """[C] in the blocks' dtype, ready to broadcast against a block."""
    channel = channel.astype(blocks.dtype, copy=False)
    if blocks.ndim == 3:
        return channel[:, None]
    joined = blocks.shape[1] // max(channel.size, 1)
    return channel if joined == 1 else xp.tile(channel, joined)
