"""Work along one axis of large float32 arrays: scans, gather, and sums or extrema at gathered
positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of

__all__ = ["register_kernels"]

SMALLEST = 1 << 15  # elements; below, NumPy is done before others are awake
WIDTH = 512  # places side by side that a thread takes at once
HELD = 1 << 15  # sums that a thread holds, if one line has no more
FEW = 64  # numbers that go to the places of one line, whose sums float32 holds

Shape = tuple[int, ...]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, function, supports in (
        ("cummax", cummax, _takes_rows),
        ("cummin", cummin, _takes_rows),
        ("cumprod", cumprod, _takes),
        ("cumsum", cumsum, _takes),
        ("gather", gather, _takes_gather),
        ("gather_grad", gather_grad, _takes_gather_grad),
        ("index_grad", index_grad, _takes_index_grad),
        ("recurrence", recurrence, _takes_two),
        ("scatter_max", scatter_max, _takes_scatter),
        ("scatter_max.vjp", scatter_extremum_vjp, _takes_scatter),
        ("scatter_min", scatter_min, _takes_scatter),
        ("scatter_min.vjp", scatter_extremum_vjp, _takes_scatter),
    ):
        register(name, provider="numba", priority=10, supports=supports)(function)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input = specs[0]
    return (
        input.dtype == np.float32
        and input.ndim > 0
        and repays(input.size, max(SMALLEST, 1), slow=64)
    )


def _takes_rows(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _takes(specs, attributes) and specs[0].layout == CONTIGUOUS


def _takes_two(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _takes(specs, attributes) and specs[1].dtype == np.float32


def _takes_gather(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input, index), (dim, last) = specs, attributes
    return not last and _fits(input, index, input.shape, dim)


def _takes_gather_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (grad, index), (shape, dim, last) = specs, attributes
    return not last and math.prod(shape) > 0 and _fits(grad, index, shape, dim)


def _takes_scatter(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input, index, src), (dim, _) = specs, attributes
    return (
        input.dtype == np.float32
        and input.size > 0
        and src.shape == index.shape
        and _fits(src, index, input.shape, dim)
    )


def _fits(values: Any, index: Any, shape: Shape, dim: int) -> bool:
    """Only along ``dim`` has the index another size than the array."""
    return (
        values.dtype == np.float32
        and index.dtype == np.int64
        and index.ndim > 0
        and _without(index.shape, dim) == _without(shape, dim)
        and repays(index.size, max(SMALLEST, 1), slow=64)
    )


def _takes_index_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    shape, places, last = attributes
    return (
        not last
        and len(places.dims) == 1
        and places.flat.ndim == 1
        and math.prod(shape) > 0
        and _takes(specs, attributes)
    )


def _without(shape: Shape, dim: int) -> Shape:
    return (*shape[:dim], *shape[dim + 1 :])


def _lines(array: Any, dim: int) -> Any:
    """A contiguous array as [L, N, I]; a copy if it is not contiguous."""
    shape = array.shape
    sizes = math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])
    return contiguous(array).reshape(sizes)


def _held(workers: int, width: int) -> Any:
    return memory.scratch((workers, width), np.float64, "lines.held")


def _compiled() -> Any:
    from tinygrad_cv.backend.cpu.compiled import lines

    return lines


def _scanned(kernel: str, arrays: list[Any], dim: int, *flags: int) -> Any:
    """The result of a scan in the memory order of the first array."""
    first = arrays[0]
    out = memory.empty(first.shape, np.float32, layout_of(first))
    if layout_of(first) == CHANNELS_LAST:
        order = (0, *range(2, first.ndim), 1)
        arrays = [array.transpose(order) for array in arrays]
        target, dim = out.transpose(order), order.index(dim)
    else:
        target = out
    lines = [_lines(array, dim) for array in arrays]
    held = _held(threads.get_num_threads(), min(WIDTH, lines[0].shape[2]))
    getattr(_compiled(), kernel)(*lines, _lines(target, dim), held, *flags)
    return out


def cumsum(xp: Any, input: Any, dim: int, reverse: bool) -> Any:
    """``Cumsum.forward``."""
    return _scanned("running", [input], dim, 0, int(reverse))


def cumprod(xp: Any, input: Any, dim: int, reverse: bool) -> Any:
    """``Cumprod.forward``."""
    return _scanned("running", [input], dim, 1, int(reverse))


def recurrence(xp: Any, input: Any, factor: Any, dim: int, reverse: bool) -> Any:
    """``Recurrence.forward``."""
    return _scanned("recurrence", [contiguous(input), factor], dim, int(reverse))


def cummax(xp: Any, input: Any, dim: int) -> tuple[Any, Any]:
    """``Cummax.forward``."""
    return _extremum(input, dim, 1)


def cummin(xp: Any, input: Any, dim: int) -> tuple[Any, Any]:
    """``Cummin.forward``."""
    return _extremum(input, dim, -1)


def _extremum(input: Any, dim: int, sign: int) -> tuple[Any, Any]:
    values, places = (memory.empty(input.shape, dtype) for dtype in (np.float32, np.int64))
    lines = [_lines(array, dim) for array in (input, values, places)]
    _compiled().extremum(*lines, np.float32(sign), threads.get_num_threads())
    return values, places


def gather(xp: Any, input: Any, index: Any, dim: int, last: bool) -> Any:
    """``Gather.forward`` without ``last``."""
    out = memory.empty(index.shape, np.float32)
    lines = [_lines(array, dim) for array in (input, index, out)]
    _compiled().gather(*lines, threads.get_num_threads())
    return out


def gather_grad(xp: Any, grad: Any, index: Any, shape: Shape, dim: int, last: bool) -> Any:
    """``GatherGrad.forward`` without ``last``."""
    out = memory.empty(shape, np.float32)
    n, count, inner = _sizes(out, index, dim)
    if inner == 1 and count <= FEW:
        flat = [contiguous(array).reshape(-1) for array in (grad, index, out)]
        _compiled().add_few(*flat, n, count, threads.get_num_threads())
        return out
    lines = [_lines(array, dim) for array in (grad, index, out)]
    _compiled().add_at(*lines, _sums(lines[2]))
    return out


def index_grad(xp: Any, grad: Any, shape: Shape, places: Any, last: bool) -> Any:
    """``IndexGrad.forward`` of positions along one axis, without ``last``."""
    (dim,) = places.dims
    out, workers = memory.empty(shape, np.float32), threads.get_num_threads()
    given, lines = _lines(grad, dim), _lines(out, dim)
    shared = max(WIDTH, -(-given.shape[2] // workers))
    width = given.shape[2] if given.shape[0] >= workers else min(given.shape[2], shared)
    _compiled().add_rows(given, contiguous(places.flat), lines, width, workers)
    return out


def scatter_max(xp: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
    """``ScatterMax.forward``."""
    return _extremum_at(input, index, src, dim, 1, include_self)


def scatter_min(xp: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
    """``ScatterMin.forward``."""
    return _extremum_at(input, index, src, dim, -1, include_self)


def _extremum_at(input: Any, index: Any, src: Any, dim: int, sign: int, include_self: bool) -> Any:
    out, workers = memory.empty(input.shape, np.float32), threads.get_num_threads()
    flat = [contiguous(array).reshape(-1) for array in (input, index, src, out)]
    sizes = _sizes(input, index, dim)
    _compiled().extremum_at(*flat, *sizes, np.float32(sign), include_self, workers)
    return out


def scatter_extremum_vjp(
    xp: Any, g: Any, needs: Any, input: Any, index: Any, src: Any, output: Any, dim: int,
    include_self: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of ``ScatterMax`` and ``ScatterMin``."""
    dx, ds = (memory.empty(array.shape, np.float32) for array in (input, src))
    arrays = (g, input, index, src, output, dx, ds)
    flat = [contiguous(array).reshape(-1) for array in arrays]
    n, count, inner = _sizes(input, index, dim)
    room = memory.scratch((threads.get_num_threads(), n * inner), np.float32, "lines.ties")
    _compiled().extremum_at_gradient(*flat, room, n, count, inner, include_self)
    return dx, None, ds


def _sizes(array: Any, index: Any, dim: int) -> Shape:
    """Of a line of the array and of the index, and how much stands behind their axis."""
    return array.shape[dim], index.shape[dim], math.prod(array.shape[dim + 1 :])


def _sums(lines: Any) -> Any:
    """Room for the sums of some places side by side of a line [N, I], for each thread."""
    n, inner = lines.shape[1:]
    width = max(min(HELD // n, inner), 1)
    return _held(threads.get_num_threads(), n * width)
