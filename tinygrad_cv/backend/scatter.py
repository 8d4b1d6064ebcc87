"""Sums and writes into chosen rows that may repeat, in the same order in every run."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["last_of_each", "sum_rows", "tap_matrix", "write_rows"]


def sum_rows(xp: Any, flat: Any, rows: Any, count: int) -> Any:
    """y[p] = sum of rows[k] over all k with flat[k] = p, added in the order of k.

    `numpy.add.at` does the same 15 to 50 times slower. CuPy's adds by atomics, in an order of its
    own in every run, and its `add.reduceat` subtracts running sums, which loses the small ones.

    Args:
        flat: int64 [K], each from 0 to `count` - 1 (not checked).
        rows: [K, W].
        count: the number of rows of the result, which is [count, W].

    >>> rows = np.array([[1.0], [2.0], [4.0]])
    >>> sum_rows(np, np.array([2, 0, 2]), rows, 4).ravel().tolist()
    [2.0, 0.0, 5.0, 0.0]
    """
    size, width = rows.shape
    if size == 0 or width == 0:
        return xp.zeros((count, width), rows.dtype)
    if xp is not np:
        return _by_segment(xp, flat, rows, count)
    if rows.dtype.kind != "f":
        table = np.zeros((count, width), rows.dtype)
        np.add.at(table, flat, rows)
        return table
    if width == 1:
        sums = np.bincount(flat, weights=rows[:, 0], minlength=count)
        return sums.astype(rows.dtype, copy=False).reshape(count, 1)
    from scipy.sparse import csc_array

    ones, ends = np.ones(size, rows.dtype), np.arange(size + 1)
    return csc_array((ones, flat, ends), shape=(count, size)) @ rows


def tap_matrix(flat: Any, weights: Any, count: int) -> Any:
    """The sparse matrix A [M, count] of a weighted reading, on NumPy: ``A @ rows`` is the sum of
    weights[m,k] * rows[flat[m,k]] over k, and ``A.T @ values`` puts values back, for [M, K] each.

    >>> a = tap_matrix(np.array([[0, 2]]), np.array([[0.5, 2.0]]), 3)
    >>> (a @ np.array([[2.0], [4.0], [8.0]])).tolist(), (a.T @ np.array([[1.0]])).ravel().tolist()
    ([[17.0]], [0.5, 0.0, 2.0])
    """
    from scipy.sparse import csr_array

    m, taps = flat.shape
    ends = np.arange(m + 1) * taps
    return csr_array((weights.reshape(-1), flat.reshape(-1), ends), shape=(m, count))


def _by_segment(xp: Any, flat: Any, rows: Any, count: int) -> Any:
    """A stable sort brings what goes to one row together; one thread adds one element of it."""
    order = xp.argsort(flat, kind="stable")
    bounds = xp.searchsorted(flat[order], xp.arange(count + 1, dtype=flat.dtype))
    table = xp.empty((count, rows.shape[1]), rows.dtype)
    return _kernel(xp)(xp.ascontiguousarray(rows), order, bounds, rows.shape[1], table)


@cache
def _kernel(xp: Any) -> Any:
    return xp.ElementwiseKernel(
        "raw T rows, raw int64 order, raw int64 bounds, int64 width",
        "T total",
        """
        const long long place = i / width;
        const long long column = i - place * width;
        T sum = 0;
        for (long long k = bounds[place]; k < bounds[place + 1]; ++k) {
            sum += rows[order[k] * width + column];
        }
        total = sum;
        """,
        "tinygrad_cv_sum_rows",
    )


def write_rows(xp: Any, table: Any, where: tuple[Any, ...], rows: Any) -> None:
    """table[where[k]] = rows[k] in the order of k: of several rows for one place the last stands.

    Only NumPy keeps that order by itself; elsewhere every writer of a place writes its last row.

    Args:
        table: written in place.
        where: one int64 [K] for each of the first axes of the table.
        rows: [K, ...].

    >>> table = np.zeros(3)
    >>> write_rows(np, table, (np.array([2, 0, 2]),), np.array([1.0, 2.0, 3.0]))
    >>> table.tolist()
    [2.0, 0.0, 3.0]
    """
    if xp is not np:
        flat = where[0]
        for axis, places in enumerate(where[1:], 1):
            flat = flat * table.shape[axis] + places
        order = xp.argsort(flat, kind="stable")
        ordered = flat[order]
        rows = rows[order[xp.searchsorted(ordered, ordered, side="right") - 1]]
        where = tuple(places[order] for places in where)
    table[where] = rows


def last_of_each(xp: Any, flat: Any) -> Any:
    """bool [K]: True where an entry of ``flat`` [K], not negative, does not come again.

    >>> last_of_each(np, np.array([2, 0, 2])).tolist()
    [False, True, True]
    """
    if xp is np:
        entries = np.arange(flat.size)
        owner = memory.scratch((int(flat.max(initial=-1)) + 1,), entries.dtype, "scatter.owner")
        owner[flat] = entries
        return owner[flat] == entries
    order = xp.argsort(flat, kind="stable")
    ordered = flat[order]
    last = xp.ones(flat.shape, bool)
    last[order[:-1]] = ordered[1:] != ordered[:-1]
    return last
