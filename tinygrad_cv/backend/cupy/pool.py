"""Max pooling on a GPU: one kernel each way, where the reference launches several per tap.

A thread makes one element of the result, and the threads run in the order of its memory, so that
neighbours write side by side. The gradient is read, not scattered: each pixel looks at the windows
that it is in. So nothing is added by atomics, and every run gives the same bits.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of
from tinygrad_cv.backend.windows import output_size

__all__ = ["max_pool", "max_pool_scatter", "register_kernels"]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    enter = {"provider": "cupy", "device": "cuda", "priority": 10}
    register("max_pool", supports=_takes_pool, **enter)(max_pool)  # type: ignore[arg-type]
    register("max_pool_scatter", supports=_takes_scatter, **enter)(  # type: ignore[arg-type]
        max_pool_scatter
    )


def _takes_pool(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (kernel, _, _, _, ceil_mode) = specs, attributes
    return input.dtype.kind == "f" and math.prod(kernel) <= 256 and not ceil_mode


def _takes_scatter(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (grad, argmax), (_, kernel, _, _, _) = specs, attributes
    return grad.dtype.kind == "f" and argmax.dtype.name == "uint8" and kernel is not None


def max_pool(
    xp: Any,
    input: Any,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    ceil_mode: bool,
) -> tuple[Any, Any]:
    """The values, and the number of the tap that each of them came from."""
    positions = tuple(map(output_size, input.shape[2:], kernel_size, stride, padding, dilation))
    shape = (*input.shape[:2], *positions)
    output = memory.empty(shape, input.dtype, layout_of(input), xp)
    argmax = memory.empty(shape, "uint8", layout_of(input), xp)
    if output.size:
        _kernels(xp)[0](
            *(input, *_strides(input), shape[1], *_three(input.shape[2:], 1)),
            *(*_three(positions, 1), *_windows(kernel_size, stride, padding, dilation)),
            *(_channels_last(output), output, argmax),
            size=output.size,
        )
    return output, argmax


def max_pool_scatter(
    xp: Any,
    grad: Any,
    argmax: Any,
    input_shape: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> Any:
    """The gradient of every window, put to the tap that won it."""
    spread = memory.empty(input_shape, grad.dtype, layout_of(argmax), xp)
    if spread.size:
        _kernels(xp)[1](
            *(grad, *_strides(grad), argmax, *_strides(argmax), input_shape[1]),
            *(*_three(input_shape[2:], 1), *_three(grad.shape[2:], 1)),
            *_windows(kernel_size, stride, padding, dilation),
            *(_channels_last(spread), spread),
            size=spread.size,
        )
    return spread


def _three(values: Sizes, missing: int) -> Sizes:
    """Values for three spatial axes; images and signals have leading axes of one pixel."""
    return (missing,) * (3 - len(values)) + tuple(values)


def _windows(kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> Sizes:
    before = tuple(pads[0] for pads in padding)
    return _three(kernel, 1) + _three(stride, 1) + _three(before, 0) + _three(dilation, 1)


def _strides(array: Any) -> Sizes:
    """Steps in elements along N, C and three spatial axes."""
    steps = tuple(step // array.itemsize for step in array.strides)
    return steps[:2] + _three(steps[2:], 0)


def _channels_last(array: Any) -> int:
    return int(layout_of(array) == CHANNELS_LAST)


def _int64(*names: str) -> str:
    return ", ".join(f"int64 {name}" for name in names)


_AXES = "dhw"
_GEOMETRY = _int64(
    "channels",
    *(f"size_{a}" for a in _AXES),
    *(f"count_{a}" for a in _AXES),
    *(f"kernel_{a}" for a in _AXES),
    *(f"stride_{a}" for a in _AXES),
    *(f"before_{a}" for a in _AXES),
    *(f"dilation_{a}" for a in _AXES),
    "last",
)


def _split(d: str, h: str, w: str) -> str:
    """C text: the place (image, c, zd, zh, zw) of the thread in an array with these spatial sizes,
    in C or channels-last order."""
    return f"""
    long long rest = i, c = 0;
    if (last) {{ c = rest % channels; rest /= channels; }}
    const long long zw = rest % {w}; rest /= {w};
    const long long zh = rest % {h}; rest /= {h};
    const long long zd = rest % {d}; rest /= {d};
    if (!last) {{ c = rest % channels; rest /= channels; }}
    const long long image = rest;
    """


_MAX_POOL = (
    _split("count_d", "count_h", "count_w")
    + """
    const T* pixels = &x[0] + image * x_n + c * x_c;
    T best = 0;
    unsigned char winner = 0;
    bool first = true;
    for (long long a = 0; a < kernel_d; ++a) {
        const long long d = zd * stride_d + a * dilation_d - before_d;
        if (d < 0 || d >= size_d) continue;
        for (long long b = 0; b < kernel_h; ++b) {
            const long long h = zh * stride_h + b * dilation_h - before_h;
            if (h < 0 || h >= size_h) continue;
            for (long long e = 0; e < kernel_w; ++e) {
                const long long w = zw * stride_w + e * dilation_w - before_w;
                if (w < 0 || w >= size_w) continue;
                const T value = pixels[d * x_d + h * x_h + w * x_w];
                if (first || value > best || value != value) {
                    best = value;
                    winner = (unsigned char)((a * kernel_h + b) * kernel_w + e);
                }
                first = false;
            }
        }
    }
    (&y[0])[i] = best;
    (&taps[0])[i] = winner;
    """
)

_MAX_POOL_SCATTER = (
    _split("size_d", "size_h", "size_w")
    + """
    const T* gradients = &g[0] + image * g_n + c * g_c;
    const unsigned char* winners = &taps[0] + image * t_n + c * t_c;
    T sum = 0;
    for (long long a = 0; a < kernel_d; ++a) {
        const long long d = zd + before_d - a * dilation_d;
        if (d < 0 || d % stride_d || d / stride_d >= count_d) continue;
        for (long long b = 0; b < kernel_h; ++b) {
            const long long h = zh + before_h - b * dilation_h;
            if (h < 0 || h % stride_h || h / stride_h >= count_h) continue;
            for (long long e = 0; e < kernel_w; ++e) {
                const long long w = zw + before_w - e * dilation_w;
                if (w < 0 || w % stride_w || w / stride_w >= count_w) continue;
                const long long p = d / stride_d, q = h / stride_h, r = w / stride_w;
                const long long tap = (a * kernel_h + b) * kernel_w + e;
                if (winners[p * t_d + q * t_h + r * t_w] == tap) {
                    sum += gradients[p * g_d + q * g_h + r * g_w];
                }
            }
        }
    }
    (&y[0])[i] = sum;
    """
)


@cache
def _kernels(xp: Any) -> tuple[Any, Any]:
    """(max_pool, max_pool_scatter), compiled for each dtype when it first comes."""
    steps = ("n", "c", "d", "h", "w")
    pool = xp.ElementwiseKernel(
        f"raw T x, {_int64(*(f'x_{s}' for s in steps))}, {_GEOMETRY}",
        "raw T y, raw uint8 taps",
        _MAX_POOL,
        "tinygrad_cv_max_pool",
    )
    scatter = xp.ElementwiseKernel(
        f"raw T g, {_int64(*(f'g_{s}' for s in steps))}, "
        f"raw uint8 taps, {_int64(*(f't_{s}' for s in steps))}, {_GEOMETRY}",
        "raw T y",
        _MAX_POOL_SCATTER,
        "tinygrad_cv_max_pool_scatter",
    )
    return pool, scatter
