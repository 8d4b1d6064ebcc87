"""Sums and moments of large float32 arrays: per channel of channels-last images, and over the last
axes of row-major memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.layout import contiguous_pixels
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of

__all__ = ["channel_sum", "register_kernels"]

SMALLEST = 1 << 15  # elements; below, NumPy is done before others are awake
RUN = 512  # sums side by side, about
SHORTEST = 64  # a row; the sums of shorter ones are not worth a function for each


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, function, supports in (
        ("mean", mean, _takes),
        ("std", std, _takes_moments),
        ("std.vjp", std_vjp, _takes_moments),
        ("sum", total, _takes),
        ("var", var, _takes_moments),
        ("var.vjp", var_vjp, _takes_moments),
    ):
        register(name, provider="numba", priority=10, supports=supports)(function)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _takes_channels(specs, attributes) or _takes_rows(specs, attributes)


def _takes_channels(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (dims, _) = specs, attributes
    return (
        input.dtype == np.float32
        and input.layout == CHANNELS_LAST
        and dims == (0, *range(2, input.ndim))
        and repays(input.size, max(SMALLEST, 1), slow=256)
    )


def _takes_rows(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    """Sums over the last axes: enough of them for all threads, each not too short."""
    (input,), dims = specs, attributes[0]
    if input is None or input.dtype != np.float32 or input.layout != CONTIGUOUS or not dims:
        return False
    kept = input.ndim - len(dims)
    return (
        dims == tuple(range(kept, input.ndim))
        and math.prod(input.shape[:kept]) >= threads.get_num_threads()
        and math.prod(input.shape[kept:]) >= SHORTEST
        and repays(input.size, max(SMALLEST, 1), slow=256)
    )


def _takes_moments(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    dims, _, correction = attributes
    return _takes_rows(specs, attributes) and _size(specs[0], dims) > correction


def total(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``Sum.forward``."""
    if layout_of(input) == CHANNELS_LAST:
        return channel_sum(xp, input, dims, keepdim)
    return _reduced("row_sum", input, dims, keepdim, 1.0)


def mean(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``Mean.forward``."""
    size = _size(input, dims)
    if layout_of(input) == CHANNELS_LAST:
        return channel_sum(xp, input, dims, keepdim) / np.float32(size)
    return _reduced("row_sum", input, dims, keepdim, 1 / size)


def var(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    """``Var.forward``."""
    return _variance(input, dims, keepdim, correction)


def std(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    """``Std.forward``."""
    return np.sqrt(_variance(input, dims, keepdim, correction))


def var_vjp(
    xp: Any, g: Any, needs: Any, input: Any, dims: tuple[int, ...], correction: float
) -> Any:
    """The gradient of ``Var``."""
    return _centred(input, g * np.float32(2 / (_size(input, dims) - correction)))


def std_vjp(
    xp: Any, g: Any, needs: Any, input: Any, output: Any, dims: tuple[int, ...], correction: float
) -> Any:
    """The gradient of ``Std``, 0 where that is 0."""
    slope = g / np.float32(_size(input, dims) - correction)
    return _centred(input, slope / np.where(output == 0, np.float32(math.inf), output))


def _variance(input: Any, dims: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    return _reduced("row_variance", input, dims, keepdim, 1 / (_size(input, dims) - correction))


def _size(input: Any, dims: tuple[int, ...]) -> int:
    return math.prod(input.shape[axis] for axis in dims)


def _reduced(kernel: str, input: Any, dims: tuple[int, ...], keepdim: bool, scale: float) -> Any:
    """One number for each row of the last axes."""
    from tinygrad_cv.backend.cpu.compiled import sums

    shape = input.shape[: input.ndim - len(dims)]
    out = np.empty(shape, np.float32)
    rows = contiguous(input).reshape(out.size, -1)
    getattr(sums, kernel)(rows, out.reshape(-1), scale, threads.get_num_threads())
    return out.reshape(shape + (1,) * len(dims)) if keepdim else out


def _centred(input: Any, factor: Any) -> tuple[Any]:
    from tinygrad_cv.backend.cpu.compiled import sums

    out = memory.empty(input.shape, np.float32)
    factor = np.ascontiguousarray(factor, np.float32).reshape(-1)
    rows = (contiguous(input).reshape(factor.size, -1), factor, out.reshape(factor.size, -1))
    sums.centred(*rows, threads.get_num_threads())
    return (out,)


def channel_sum(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """The sum over all axes but that of the channels."""
    from tinygrad_cv.backend.cpu.compiled import sums

    c, workers = input.shape[1], threads.get_num_threads()
    total, run = np.empty(c, np.float32), max(1, RUN // c) * c
    near = memory.scratch((workers, run), np.float32, "sums.near")
    far = memory.scratch((workers, run), np.float64, "sums.far")
    sums.channel_sum(contiguous_pixels(input).reshape(-1), total, near, far)
    return total.reshape(1, c, *(1,) * (input.ndim - 2)) if keepdim else total
