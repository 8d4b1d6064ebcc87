"""Elementwise work on large arrays in blocks that stay in the cache, on a CPU.

A formula of many passes reads and writes every array once per pass. Where it runs block by block,
all passes but the first find their block in the level-2 cache, and what lies between them takes a
few hundred KB, however large the arrays are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["BLOCK", "in_blocks"]

BLOCK = 1 << 16  # elements: 256 KB of float32, so that a few of them fit the cache


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
    order = sorted(range(out.ndim), key=lambda axis: -abs(out.strides[axis]))
    flat = [*(_flat(x.transpose(order)) for x in inputs), out.transpose(order).reshape(-1)]
    for start in range(0, out.size, BLOCK):
        function(np, *(x[start : start + BLOCK] for x in flat))
    return out


def _flat(array: Any) -> Any:
    """A view of the elements in order, or a copy where they do not lie side by side."""
    if array.size > 1 and not any(array.strides):  # one number, broadcast
        return np.broadcast_to(array[(0,) * array.ndim], array.size)
    return array.reshape(-1)
