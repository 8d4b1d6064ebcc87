"""Elementwise work on large arrays in blocks that stay in the cache, on a CPU.

A formula of many passes reads and writes every array once per pass. Where it runs block by block,
all passes but the first find their block in the level-2 cache, and what lies between them takes a
few hundred KB, however large the arrays are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["BLOCK", "flat_blocks", "in_blocks", "line_blocks", "many_lines"]

BLOCK = 1 << 16  # elements: 256 KB of float32, so that a few of them fit the cache
LINES = 1024  # with fewer lines, NumPy is quicker line by line


def in_blocks(xp: Any, function: Callable[..., Any], *inputs: Any, out: Any = None) -> Any:
    """``function(xp, *blocks, block_of_out)`` on flat blocks of arrays of one shape; on a GPU one
    call for all.

    ``function`` works element by element and writes all of its last argument. Without ``out`` that
    is an array with the dtype and memory order of the first input.

    >>> in_blocks(np, lambda xp, x, y: xp.add(x, 1, out=y), np.ones((2, 3))).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """
    out = memory.empty_like(inputs[0]) if out is None else out
    if xp is not np:
        function(xp, *inputs, out)
        return out
    for blocks in flat_blocks(out, *inputs):
        function(np, *blocks[1:], blocks[0])
    return out


def flat_blocks(first: Any, *others: Any) -> Iterator[tuple[Any, ...]]:
    """Flat blocks of NumPy arrays of one shape, in the memory order of the first.

    >>> [a.tolist() for a, in flat_blocks(np.ones((2, 2)))]
    [[1.0, 1.0, 1.0, 1.0]]
    """
    order = sorted(range(first.ndim), key=lambda axis: -abs(first.strides[axis]))
    flat = [first.transpose(order).reshape(-1), *(_flat(x.transpose(order)) for x in others)]
    for start in range(0, first.size, BLOCK):
        yield tuple(x[start : start + BLOCK] for x in flat)


def _flat(array: Any) -> Any:
    """A view of the elements in order, or a copy where they do not lie side by side."""
    if array.size > 1 and not any(array.strides):  # one number, broadcast
        return np.broadcast_to(array[(0,) * array.ndim], array.size)
    return array.reshape(-1)


def many_lines(dim: int, *arrays: Any) -> bool:
    """Is it worth going step by step along ``dim``, for all lines at once? NumPy's own scans go
    line by line, and wait in each step for the one before."""
    first = arrays[0]
    dense = all(isinstance(x, np.ndarray) and x.flags.c_contiguous for x in arrays)
    return bool(dense and first.size >= LINES * first.shape[dim] > 0)


def line_blocks(dim: int, *arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Blocks [lines, size, below] of row-major arrays of one shape, whose axis 1 is ``dim``.

    >>> [a.shape for a, in line_blocks(1, np.zeros((2, 3, 4)))]
    [(2, 3, 4)]
    """
    shape = arrays[0].shape
    size, below = shape[dim], math.prod(shape[dim + 1 :])
    step = max(BLOCK // (size * below), -(-LINES // below))
    views = [x.reshape(-1, size, below) for x in arrays]
    for start in range(0, len(views[0]), step):
        yield tuple(x[start : start + step] for x in views)
