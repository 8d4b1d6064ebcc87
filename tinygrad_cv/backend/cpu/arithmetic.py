"""Sums, differences, products and quotients of large float32 arrays: dense ones, slices of such,
broadcast ones, and numbers; and copies of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.spec import CONTIGUOUS, Spec, broadcast_layout, layout_of, spec_of

__all__ = ["OPERATIONS", "clone", "combined", "register_kernels"]

OPERATIONS = ("add", "sub", "mul", "div")  # as the compiled loop numbers them

SMALLEST = 1 << 17  # elements; below, one core does it before others are awake
SLOW = 64  # times as many, where threads start slowly: NumPy is good at these
SHORT = 64  # numbers of a line; with fewer, what is repeated is written down for several lines
LEAST = 8  # numbers of a line below which NumPy is as fast
TILE = 1024  # numbers of a line that is made of several

Shape = tuple[int, ...]
Axis = tuple[int, int, int]  # size, and the steps of two operands


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for number, name in enumerate(OPERATIONS):
        function = partial(combined, number)
        register(name, provider="numba", priority=10, supports=_takes)(function)
    register("clone", provider="numba", priority=10, supports=_takes)(clone)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    arrays = [spec for spec in specs if isinstance(spec, Spec)]
    if any(array.dtype != np.float32 for array in arrays):
        return False
    shapes = [array.shape for array in arrays]
    if len(shapes) == 1 or shapes[0] == shapes[1]:
        size = arrays[0].size
    else:
        size = math.prod(map(max, zip_longest(*(s[::-1] for s in shapes), fillvalue=1)))
    return repays(size, SMALLEST, SLOW)


def combined(operation: int, xp: Any, input: Any, other: Any) -> Any:
    """``Add.forward`` and its like; None where the lines are short, or do not lie side by side."""
    from tinygrad_cv.backend.cpu.compiled import arithmetic

    operands = [_array(x) for x in (input, other)]
    shape = _common(*(x.shape for x in operands))
    layout = broadcast_layout(shape, tuple(spec_of(x) for x in operands if x.ndim))
    lines = _lines(shape, *(_strides(x, shape) for x in operands), layout)
    if lines is None or not all(x.flags.aligned for x in operands):
        return None
    steps, tiles = lines
    y = memory.empty(shape, np.float32, layout)
    flat = y.reshape(-1) if layout == CONTIGUOUS else y.transpose(_order(y.ndim)).reshape(-1)
    pair = [_run(x, tile) for x, tile in zip(operands, tiles, strict=True)]
    arithmetic.combine(*pair, flat, steps, operation, threads.get_num_threads())
    return y


def clone(xp: Any, input: Any) -> Any:
    """``Clone.forward``; None of an array whose axes lie in another order, which a copy keeps."""
    order = range(input.ndim) if layout_of(input) == CONTIGUOUS else _order(input.ndim)
    steps = [input.strides[axis] for axis in order if input.shape[axis] > 1]
    descending = all(a >= b > 0 for a, b in pairwise(steps))
    return combined(len(OPERATIONS), xp, input, 0.0) if descending else None


def _array(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else np.asarray(value, np.float32)


def _common(one: Shape, two: Shape) -> Any:
    """The shape of the result. Raises ValueError, as NumPy does, if there is none."""
    return one if one == two or not two else np.broadcast_shapes(one, two)


def _strides(array: Any, shape: Shape) -> Any:
    """The steps of an array that is broadcast to ``shape``: 0 where it is repeated."""
    if array.shape == shape:
        return array.strides
    axes = zip(array.shape, array.strides, shape[len(shape) - array.ndim :], strict=True)
    found = tuple(stride if size == wanted else 0 for size, stride, wanted in axes)
    return (0,) * (len(shape) - array.ndim) + found


def _order(ndim: int) -> Shape:
    """The axes as they follow each other in channels-last memory."""
    return (0, *range(2, ndim), 1)


class _Tile(NamedTuple):
    """What an operand has in some lines together: the view to be copied."""

    shape: Shape
    strides: Shape


def _run(array: Any, tile: _Tile | None) -> Any:
    """All that lies between the first and the last number of an operand, as one line."""
    if tile is not None:
        return np.lib.stride_tricks.as_strided(array, *tile).reshape(-1)
    if array.flags.c_contiguous:
        return array.reshape(-1)
    steps = zip(array.shape, array.strides, strict=True)
    count = 1 + sum((size - 1) * stride for size, stride in steps) // array.itemsize
    return np.lib.stride_tricks.as_strided(array, (count,), (array.itemsize,))


@lru_cache(maxsize=512)
def _lines(
    shape: Shape, one: Shape, two: Shape, layout: str
) -> tuple[Any, tuple[_Tile | None, _Tile | None]] | None:
    """The steps that the kernel wants, and for which operand a tile is to be made; None where this
    is none of its cases."""
    if 0 in shape or any(stride < 0 or stride % 4 for stride in (*one, *two)):
        return None
    order = range(len(shape)) if layout == CONTIGUOUS else _order(len(shape))
    axes = _merged([(shape[k], one[k], two[k]) for k in order if shape[k] > 1])
    tiles: list[_Tile | None] = [None, None]
    if axes[-1][0] < SHORT and len(axes) > 1:
        for operand in (1, 2):
            found = _tiled(axes, operand)
            if found is not None:
                axes, tiles[operand - 1] = found
                break
    size, *last = axes[-1]
    if len(axes) > 3 or size < LEAST or sorted(last) not in ([0, 4], [4, 4]):
        return None
    axes = [(1, 0, 0)] * (3 - len(axes)) + axes
    steps = np.array([[axis[k] // (4 if k else 1) for axis in axes] for k in range(3)], np.int64)
    steps.flags.writeable = False
    return steps, (tiles[0], tiles[1])


def _merged(axes: Sequence[Axis]) -> list[Axis]:
    """Axes that both operands step through as if they were one are one."""
    found: list[Axis] = []
    for size, a, b in axes:
        if found and found[-1][1:] == (a * size, b * size):
            found[-1] = (found[-1][0] * size, a, b)
        else:
            found.append((size, a, b))
    return found or [(1, 4, 4)]


def _tiled(axes: list[Axis], operand: int) -> tuple[list[Axis], _Tile] | None:
    """Short lines joined: an operand that repeats a line, or the numbers of the lines, is written
    down for as many lines as make a long one. None where it would not be much smaller than the
    result, or where the other operand has gaps."""
    *outer, rows, line = axes
    size, other = line[0], 3 - operand
    dense = rows[other] == 4 * size and line[other] == 4
    if not dense or (rows[operand] and line[operand]):
        return None
    count = rows[0]
    if not rows[operand]:
        most = max(TILE // size, 1)
        count = next(k for k in range(min(most, rows[0]), 0, -1) if rows[0] % k == 0)
    kept = [axis[0] if axis[operand] else 1 for axis in outer]
    total = math.prod(axis[0] for axis in axes)
    if count == 1 or 4 * math.prod(kept) * count * size > total:
        return None
    tile = _Tile(
        (*kept, count, size),
        (*(axis[operand] for axis in outer), rows[operand], line[operand]),
    )
    run = 4 * count * size  # bytes of a joined line
    joined, step = [(count * size, 4, 4), (rows[0] // count, 0, run)], run
    for axis, n in zip(outer[::-1], kept[::-1], strict=True):
        joined.append((axis[0], step if n > 1 else 0, axis[other]))
        step *= n
    turned = [axis if operand == 1 else (axis[0], axis[2], axis[1]) for axis in joined[::-1]]
    return _merged([axis for axis in turned if axis[0] > 1]), tile
