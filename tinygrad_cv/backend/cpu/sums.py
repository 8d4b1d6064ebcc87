"""Sums and moments of large float32 arrays: per channel of channels-last images, and of row-major
memory over the last axes, with others beside them."""

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
from tinygrad_cv.backend.sums import repeated_axes

__all__ = ["channel_sum", "register_kernels"]

SMALLEST = 1 << 15  # elements; below, NumPy is done before others are awake
RUN = 512  # sums side by side, about
SHORTEST = 64  # a row; the sums of shorter ones are not worth a function for each


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, function, supports in (
        ("mean", mean, _takes),
        ("nansum", nansum, _takes_rows),
        ("nansum.vjp", nansum_vjp, _takes_rows),
        ("norm", norm, _takes_norm),
        ("std", std, _takes_moments),
        ("std.vjp", std_vjp, _takes_moments),
        ("sum", total, _takes),
        ("sum_to", sum_to, _takes_sum_to),
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
    """Sums over the last axes, and maybe over others: the rows are not too short."""
    (input,), dims = specs, attributes[0]
    if input is None or input.dtype != np.float32 or input.layout != CONTIGUOUS:
        return False
    return math.prod(input.shape[_kept(input, dims) :]) >= SHORTEST and repays(
        input.size, max(SMALLEST, 1), slow=256
    )


def _takes_sum_to(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    dims = repeated_axes(specs[0].shape, *attributes)
    return bool(dims) and _takes(specs, (dims, False))


def _takes_norm(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    p, *others = attributes
    return p == 2 and _takes_rows(specs, tuple(others))


def _takes_moments(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    """Rows over the last axes alone, enough of them for all threads."""
    (input,), (dims, _, correction) = specs, attributes
    return (
        input is not None
        and len(dims) > 0
        and input.ndim - len(dims) == _kept(input, dims)
        and math.prod(input.shape[: -len(dims)]) >= threads.get_num_threads()
        and _takes_rows(specs, attributes)
        and _size(input, dims) > correction
    )


def _kept(input: Any, dims: tuple[int, ...]) -> int:
    """How many axes there are up to the last one that is not summed over."""
    axis: int = input.ndim
    while axis and axis - 1 in dims:
        axis -= 1
    return axis


def total(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``Sum.forward``."""
    if layout_of(input) == CHANNELS_LAST:
        return channel_sum(xp, input, dims, keepdim)
    return row_sum(input, dims, keepdim).astype(np.float32)


def mean(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``Mean.forward``."""
    size = _size(input, dims)
    if layout_of(input) == CHANNELS_LAST:
        return channel_sum(xp, input, dims, keepdim) / np.float32(size)
    return (row_sum(input, dims, keepdim) / size).astype(np.float32)


def sum_to(xp: Any, input: Any, shape: tuple[int, ...], dims: tuple[int, ...] | None) -> Any:
    """``SumTo.forward``."""
    return total(xp, input, repeated_axes(input.shape, shape, dims), False).reshape(shape)


def norm(xp: Any, input: Any, p: float, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``Norm.forward`` of the 2-norm."""
    squares = row_sum(input, dims, keepdim, squares=True)
    return np.sqrt(squares.astype(np.float32))


def nansum(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``NanSum.forward``: the sum, and how many are summed."""
    from tinygrad_cv.backend.cpu.compiled import sums

    rows = _rows(input, dims)
    parts = np.empty((len(rows), _pieces(rows)))
    counts = np.empty(parts.shape, np.int64)
    sums.known_sum(rows, parts, counts, threads.get_num_threads())
    found, count = (_joined(x, input, dims, keepdim) for x in (parts, counts))
    return found.astype(np.float32), count


def nansum_vjp(xp: Any, g: Any, needs: Any, input: Any, dims: tuple[int, ...]) -> Any:
    """The gradient of ``NanSum``."""
    from tinygrad_cv.backend.cpu.compiled import sums

    shape = tuple(1 if axis in dims else size for axis, size in enumerate(input.shape))
    kept = _kept(input, dims)
    spread = np.broadcast_to(g.reshape(shape[:kept]), input.shape[:kept])
    slopes = np.ascontiguousarray(spread, np.float32).reshape(-1)
    out, rows = memory.empty(input.shape, np.float32), _rows(input, dims)
    sums.known_gradient(rows, slopes, out.reshape(rows.shape), threads.get_num_threads())
    return (out,)


def row_sum(input: Any, dims: tuple[int, ...], keepdim: bool, squares: bool = False) -> Any:
    """The sum of all, or of the squares, in float64."""
    from tinygrad_cv.backend.cpu.compiled import sums

    rows = _rows(input, dims)
    parts = np.empty((len(rows), _pieces(rows)))
    sums.row_sum(rows, parts, squares, threads.get_num_threads())
    return _joined(parts, input, dims, keepdim)


def _rows(input: Any, dims: tuple[int, ...]) -> Any:
    """What lies side by side and is summed, in a row."""
    count = math.prod(input.shape[: _kept(input, dims)])
    return contiguous(input).reshape(count, -1)


def _pieces(rows: Any) -> int:
    """In how many parts a row is summed: with few rows, all threads have one."""
    return -(-threads.get_num_threads() // max(len(rows), 1))


def _joined(parts: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """The sums of rows over the axes that are left, and of the parts of a row."""
    kept = _kept(input, dims)
    left = tuple(axis for axis in dims if axis < kept)
    if left or parts.shape[1] > 1:
        parts = parts.reshape(*input.shape[:kept], -1)
        parts = np.add.reduce(parts, axis=(*left, kept))
    sizes = [1 if axis in dims else size for axis, size in enumerate(input.shape)]
    if not keepdim:
        sizes = [size for axis, size in enumerate(input.shape) if axis not in dims]
    return parts.reshape(sizes)


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
    from tinygrad_cv.backend.cpu.compiled import sums

    rows, scale = _rows(input, dims), 1 / (_size(input, dims) - correction)
    out = np.empty(len(rows), np.float32)
    sums.row_variance(rows, out, scale, threads.get_num_threads())
    return out.reshape(input.shape[: -len(dims)] + (1,) * (len(dims) if keepdim else 0))


def _size(input: Any, dims: tuple[int, ...]) -> int:
    return math.prod(input.shape[axis] for axis in dims)


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
