"""Where the elements of lines stand in order: stable, NaN behind everything.

NumPy sorts integers by vectors of the processor, but sorts positions (``argsort``) one comparison
at a time. So the values of up to 32 bits become the upper half of an integer, in an order of their
own, and the position its lower half: these are sorted, and a tie is settled by the position.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["order", "taken"]

_LAST = 0x7FFFFFFF  # above the bits of every number


def order(xp: Any, rows: Any, descending: bool = False, count: int | None = None) -> Any:
    """The positions of the smallest elements of each row, or with ``descending`` of the largest.

    Equal elements stay in their order; NaN counts as the largest number.

    Args:
        rows: [R, N].
        count: how many of them; default N.

    Returns:
        int64 [R, count].

    >>> order(np, np.array([[3.0, 1.0, 3.0, 2.0]])).tolist()
    [[1, 3, 0, 2]]
    >>> order(np, np.array([[3.0, 1.0, 3.0, 2.0]]), descending=True, count=2).tolist()
    [[0, 2]]
    """
    size = rows.shape[1]
    count = size if count is None else count
    if xp is np and rows.dtype.itemsize <= 4 and size < _LAST:
        return _by_keys(rows, descending, count)
    if descending:
        found = size - 1 - xp.argsort(xp.flip(rows, 1), axis=1, kind="stable")
        return xp.ascontiguousarray(xp.flip(found, 1)[:, :count])
    return xp.ascontiguousarray(xp.argsort(rows, axis=1, kind="stable")[:, :count])


def _by_keys(rows: Any, descending: bool, count: int) -> Any:
    keys = _keys(rows)
    if descending:
        np.invert(keys, out=keys)
    keys <<= 32
    keys |= np.arange(rows.shape[1])
    if count < rows.shape[1]:
        if count:
            keys.partition(count - 1, axis=1)
        keys = keys[:, :count].copy()
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    return keys


def _keys(rows: Any) -> Any:
    """int64 in the order of the values; equal for equal values, and for NaN the largest."""
    if rows.dtype.kind != "f":
        return rows.astype(np.int64)
    values = rows + rows.dtype.type(0)  # -0.0 is equal to 0.0
    bits = values.view(np.int32)
    bits ^= (bits >> 31) & _LAST  # the larger a negative number, the smaller its bits
    bits[rows != rows] = _LAST
    return bits.astype(np.int64)


def taken(xp: Any, rows: Any, positions: Any) -> Any:
    """The elements of rows [R, N] at positions [R, K] of each.

    >>> taken(np, np.array([[5, 6], [7, 8]]), np.array([[1], [0]])).tolist()
    [[6], [7]]
    """
    starts = xp.arange(rows.shape[0])[:, None] * rows.shape[1]
    if not math.prod(positions.shape):
        return xp.empty(positions.shape, rows.dtype)
    return xp.take(xp.ascontiguousarray(rows).reshape(-1), positions + starts)
