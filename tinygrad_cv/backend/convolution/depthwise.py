"""Depthwise convolution: one kernel per channel, as many groups as channels.

A matrix product would have one column, so this is a sum of products over shifted images. Its speed
is that of NumPy's inner loop, which therefore should run over long stretches of memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.convolution.blocks import Block, Window, block_bytes
from tinygrad_cv.backend.convolution.reading import strided, windows
from tinygrad_cv.backend.layout import contiguous_pixels

__all__ = ["correlate", "serves", "weight_gradient"]

Sizes = tuple[int, ...]

# Bytes of input that are summed at a time on a CPU: the fastest from 32 KB to 16 MB, measured for
# 32 to 256 channels and kernels of 3x3 and 5x5. Smaller blocks spend their time in calls, larger
# ones leave the cache.
BLOCK = 2 << 20
LANES = 8192  # a run of multiply-adds that stays in the first-level cache


def serves(weight: Any) -> bool:
    """Is this weight [group, o, c, k...] that of a depthwise convolution?"""
    groups, outputs, inputs = weight.shape[:3]
    return bool(outputs == inputs == 1 < groups)


def correlate(xp: Any, input: Any, weight: Any, window: Window, output: Any) -> Iterator[slice]:
    """``output[n, p, c] = sum_k input[n, c, ...] * weight[c, 0, 0, k]``.

    Yields the ranges of positions (n, p) that are done.
    """
    n, channels = len(window.kernel), output.shape[-1]
    axes = list(range(2 * n + 2))  # n, p..., k..., lane
    kernel = xp.moveaxis(weight[:, 0, 0], 0, -1)[..., None, :]
    for block, view, lanes in _lanes(xp, input, output.shape[1:-1], window):
        each = xp.broadcast_to(kernel, (*window.kernel, lanes, channels))
        each = xp.ascontiguousarray(each).reshape(*window.kernel, lanes * channels)
        total = xp.einsum(view, axes, each, axes[n + 1 :], [*axes[: n + 1], axes[-1]])
        target = output[block.positions]
        target[...] = total.reshape(target.shape)
        yield block.rows


def weight_gradient(xp: Any, input: Any, grad: Any, weight_shape: Sizes, window: Window) -> Any:
    """``dw[c, 0, k] = sum_{n,p} grad[n, c, p] * input[n, c, ...]``."""
    n, channels = len(window.kernel), grad.shape[1]
    axes = list(range(2 * n + 2))
    gradients = contiguous_pixels(xp, grad)
    total = xp.zeros((*window.kernel, channels), grad.dtype)
    for block, view, lanes in _lanes(xp, input, grad.shape[2:], window):
        g = xp.ascontiguousarray(gradients[block.positions])
        g = g.reshape(*view.shape[: n + 1], lanes * channels)
        part = xp.einsum(view, axes, g, [*axes[: n + 1], axes[-1]], axes[n + 1 :])
        total += part.reshape(*window.kernel, lanes, channels).sum(-2)
    result = memory.empty(weight_shape, grad.dtype, xp=xp)
    result[:, 0] = xp.moveaxis(total, -1, 0)
    return result


def _lanes(
    xp: Any, input: Any, positions: Sizes, window: Window
) -> Iterator[tuple[Block, Any, int]]:
    """Yield ``(block, view[n, p..., k..., lane], lanes)`` for multiply-adds over long runs.

    With stride 1 along the last axis, neighbouring positions with all their channels are one run of
    memory: a lane is a (position, channel), and ``lanes`` positions share a run. Otherwise a run is
    the channels of one position.
    """
    n, channels, item = len(positions), input.shape[1], input.dtype.itemsize
    taps = 1 if xp is np else math.prod(window.kernel)  # a GPU copies the windows
    limit = max(1, block_bytes(xp, BLOCK) // max(1, channels * item * taps))
    for block, view in windows(xp, input, positions, window, limit):
        row = view.shape[n]
        fitting = (q for q in range(min(row, LANES // max(1, channels)), 1, -1) if row % q == 0)
        lanes = next(fitting, 1) if view.strides[n] == channels * item else 1
        shape = (*view.shape[:n], row // lanes, *view.shape[n + 1 : -1], lanes * channels)
        strides = list(view.strides)
        strides[n] *= lanes
        yield block, strided(xp, view, shape, tuple(strides)), lanes
