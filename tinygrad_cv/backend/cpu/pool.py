"""Max pooling of float32 images in channels-last memory, compiled by Numba.

One pass over the input, where NumPy makes one per tap. The inner loops run over the channels and
choose without a branch, so that the compiler turns them into vector instructions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu.compiling import compiled, usable
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST
from tinygrad_cv.backend.windows import output_size

__all__ = ["max_pool", "max_pool_scatter", "register_kernels"]

SMALLEST = 1 << 16  # elements of input; for less, loading the compiler would never pay
CHANNELS = 16  # with fewer the vectors stay empty, and NumPy is as fast

Axes = tuple[int, int]
Pairs = tuple[tuple[int, int], tuple[int, int]]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("max_pool", provider="numba", priority=10, supports=_takes_pool)(max_pool)
    register("max_pool_scatter", provider="numba", priority=10, supports=_takes_scatter)(
        max_pool_scatter
    )


def _takes_pool(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (kernel, _, _, dilation, ceil_mode) = specs, attributes
    return (
        input.dtype == np.float32
        and input.layout == CHANNELS_LAST
        and len(kernel) == 2
        and kernel[0] * kernel[1] <= 256
        and dilation == (1, 1)
        and not ceil_mode
        and input.shape[1] >= CHANNELS
        and input.size >= SMALLEST
        and usable()
    )


def _takes_scatter(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (grad, argmax), (shape, kernel, _, _, dilation) = specs, attributes
    return (
        grad.dtype == np.float32
        and grad.layout == argmax.layout == CHANNELS_LAST
        and argmax.dtype == np.uint8
        and len(shape) == 4
        and kernel is not None
        and dilation == (1, 1)
        and shape[1] >= CHANNELS
        and math.prod(shape) >= SMALLEST
        and usable()
    )


def max_pool(
    xp: Any,
    input: Any,
    kernel_size: Axes,
    stride: Axes,
    padding: Pairs,
    dilation: Axes,
    ceil_mode: bool,
) -> tuple[Any, Any]:
    """The values, and the number of the tap that each of them came from."""
    shape = input.shape[:2] + tuple(
        map(output_size, input.shape[2:], kernel_size, stride, padding, dilation)
    )
    output = memory.empty(shape, np.float32, CHANNELS_LAST)
    argmax = memory.empty(shape, np.uint8, CHANNELS_LAST)
    geometry = (*kernel_size, *stride, padding[0][0], padding[1][0])
    _pool(pixels(input), pixels(output), pixels(argmax), *geometry)
    return output, argmax


def max_pool_scatter(
    xp: Any,
    grad: Any,
    argmax: Any,
    input_shape: tuple[int, ...],
    kernel_size: Axes,
    stride: Axes,
    padding: Pairs,
    dilation: Axes,
) -> Any:
    """The gradient of every window, put to the tap that won it."""
    spread = memory.empty(input_shape, np.float32, CHANNELS_LAST)
    geometry = (*kernel_size, *stride, padding[0][0], padding[1][0])
    _scatter(pixels(grad), pixels(argmax), pixels(spread), *geometry)
    return spread


_READ = "Array({}, 4, 'C', readonly=True)"
_SIZES = "int64, int64, int64, int64, int64, int64"


@compiled(f"void({_READ.format('float32')}, float32[:, :, :, ::1], uint8[:, :, :, ::1], {_SIZES})")
def _pool(x: Any, y: Any, k: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int) -> None:
    """The first largest pixel of every window, or its last NaN."""
    for n in range(y.shape[0]):
        for p in range(y.shape[1]):
            for q in range(y.shape[2]):
                best, tap = y[n, p, q], k[n, p, q]
                first = True
                for i in range(kh):
                    h = p * sh + i - top
                    if h < 0 or h >= x.shape[1]:
                        continue
                    for j in range(kw):
                        w = q * sw + j - left
                        if w < 0 or w >= x.shape[2]:
                            continue
                        t = np.uint8(i * kw + j)
                        pixel = x[n, h, w]
                        if first:
                            first = False
                            for c in range(best.size):
                                best[c] = pixel[c]
                                tap[c] = t
                            continue
                        for c in range(best.size):
                            value = pixel[c]
                            better = (value > best[c]) | (value != value)
                            best[c] = value if better else best[c]
                            tap[c] = t if better else tap[c]


@compiled(
    f"void({_READ.format('float32')}, {_READ.format('uint8')}, float32[:, :, :, ::1], {_SIZES})"
)
def _scatter(
    g: Any, k: Any, d: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int
) -> None:
    """Every pixel gets the gradients of the windows that it won."""
    for n in range(d.shape[0]):
        d[n] = 0
        for p in range(g.shape[1]):
            for q in range(g.shape[2]):
                value, tap = g[n, p, q], k[n, p, q]
                for i in range(kh):
                    h = p * sh + i - top
                    if h < 0 or h >= d.shape[1]:
                        continue
                    for j in range(kw):
                        w = q * sw + j - left
                        if w < 0 or w >= d.shape[2]:
                            continue
                        t = np.uint8(i * kw + j)
                        pixel = d[n, h, w]
                        for c in range(value.size):
                            pixel[c] += value[c] if tap[c] == t else np.float32(0)
