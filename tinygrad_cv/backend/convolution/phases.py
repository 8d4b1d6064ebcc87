"""Seen from the input: which taps of a convolution with stride reach which pixels."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from tinygrad_cv.backend.convolution.blocks import Window

__all__ = ["Phase", "phases"]

Sizes = tuple[int, ...]


class Phase(NamedTuple):
    """Pixels of the input, one stride apart, that the same taps of a convolution reach."""

    pixels: tuple[slice, ...]
    taps: tuple[slice, ...]  # in reverse order
    window: Window  # how these pixels read the output gradient


class _AxisPhase(NamedTuple):
    """A phase along one axis; the last three make the window that reads the gradient."""

    pixels: slice
    taps: slice
    kernel: int
    start: int
    dilation: int


@lru_cache(maxsize=256)
def phases(sizes: Sizes, window: Window) -> tuple[Phase, ...]:
    """Split the input of a convolution into phases, each of which is read back with stride 1.

    Position p reads pixel i = p*stride + start + k*dilation. Seen from i, only those taps k take
    part for which i - start - k*dilation is a multiple of the stride: every ``step``-th tap, and
    the same ones for i + stride. Along them p falls by ``dilation`` over the common divisor.
    """
    axes = [_along_axis(*axis) for axis in zip(sizes, *window, strict=True)]
    found = []
    for parts in product(*axes):
        where, taps, kernel, start, dilation = zip(*parts, strict=True)
        found.append(Phase(where, taps, Window(kernel, (1,) * len(sizes), start, dilation)))
    return tuple(found)


def _along_axis(size: int, kernel: int, stride: int, start: int, dilation: int) -> list[_AxisPhase]:
    step = stride // math.gcd(stride, dilation)
    apart = step * dilation // stride
    found = []
    for i in range(min(stride, size)):
        pixels = slice(i, size, stride)
        hits = [k for k in range(min(step, kernel)) if (i - start - k * dilation) % stride == 0]
        if not hits:  # between the windows: no tap reaches these pixels
            found.append(_AxisPhase(pixels, slice(0, 0), 0, 0, apart))
            continue
        k, count = hits[0], -(-(kernel - hits[0]) // step)
        first = (i - start - k * dilation) // stride - (count - 1) * apart
        last = k + (count - 1) * step
        taps = slice(last, k - 1 if k else None, -step)
        found.append(_AxisPhase(pixels, taps, count, first, apart))
    return found
