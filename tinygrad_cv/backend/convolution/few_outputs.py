"""Convolution with few output channels, whose matrix product would have too few columns.

The taps along the first axis count as output channels of a convolution that is one tap long there;
their results, each shifted by its tap, are added: ``y[p] = sum_k z[k, p + k*dilation]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.convolution.blocks import Window, block_bytes
from tinygrad_cv.backend.convolution.im2col import columns

__all__ = ["correlate", "serves"]

FEW_OUTPUTS = 8  # a matrix product with fewer columns than this is slow
# Bytes of results by tap that are added up while the cache has them. From 256 KB to 16 MB the time
# hardly changes; smaller blocks leave the matrix product too few positions.
BLOCK = 1 << 20


def serves(weight: Any, window: Window) -> bool:
    """Does this pay for the weight [group, o, c, k...]?"""
    groups, outputs, inputs, *kernel = weight.shape
    return bool(
        groups == 1 and outputs <= FEW_OUTPUTS <= inputs and kernel[0] > 2 and window.stride[0] == 1
    )


def correlate(xp: Any, input: Any, weight: Any, window: Window, output: Any) -> Iterator[slice]:
    """Convolution of [N, C, ...] with [1, o, c, k...] into ``output`` [N, P..., O].

    Yields the ranges of positions (n, p) that are done.
    """
    _, outputs, inputs, taps, *kernel = weight.shape
    images, count, *rest = output.shape[:-1]
    start, apart = window.start[0], window.dilation[0]
    low = max(0, -start)  # outside of low..high z would read padding only
    high = max(low, min(count + (taps - 1) * apart, input.shape[2] - start))
    flat = window._replace(kernel=(1, *kernel), start=(start + low, *window.start[1:]))
    lines = weight[0].transpose(2, 0, *range(3, weight.ndim - 1), 1)  # [k, o, other taps, c]
    lines = xp.ascontiguousarray(lines).reshape(taps * outputs, math.prod(kernel) * inputs)
    zeros = (lines * 0).sum(1)  # NaN if a weight is not finite
    outside = zeros.reshape(taps, outputs, *(1,) * (len(rest) + 2))
    size = lines.shape[0] * (high - low) * math.prod(rest) * input.dtype.itemsize
    step = max(1, block_bytes(xp, BLOCK) // max(1, size))
    for n in range(0, images, step):
        part, y = input[n : n + step], xp.moveaxis(output[n : n + step], -1, 0)
        shape = (taps, outputs, len(part), high - low, *rest)
        z = memory.scratch(shape, input.dtype, "few_outputs.by_tap", xp)
        results = z.reshape(lines.shape[0], math.prod(shape[2:]))
        for block, cols in columns(xp, part, (high - low, *rest), flat, 1):
            xp.matmul(lines, cols[0].T, out=results[:, block])
        total = memory.scratch(y.shape, input.dtype, "few_outputs.total", xp)
        total[...] = 0
        for k in range(taps):
            first = min(max(0, low - k * apart), count)
            last = max(first, min(count, high - k * apart))
            shift = k * apart - low
            total[:, :, :first] += outside[k]
            total[:, :, first:last] += z[k, :, :, first + shift : last + shift]
            total[:, :, last:] += outside[k]
        y[...] = total
        done = count * math.prod(rest)
        yield slice(n * done, (n + len(part)) * done)
