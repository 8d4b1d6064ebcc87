"""Softmax and its logarithm along the middle axis of [A, N, P], and their gradients.

With P = 1 a line is a row, which is in the level-1 cache while its maximum, the sum of its
exponentials and its results are taken. Otherwise a block of ``PLACES`` lines side by side is, whose
members are taken one after the other, so that vectors hold places. Threads share lines or blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinygrad_cv.backend.cpu.compiled import functions
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["PLACES", "block", "block_top", "planes", "planes_gradient", "row_top", "rows"]
__all__ += ["rows_gradient"]

PLACES = 256  # of a block

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"


@njit(inline="always")
def row_top(row):
    """The largest number of a row."""
    top = row[0]
    for i in range(1, row.size):
        top = row[i] if row[i] > top else top
    return top


@njit(inline="always")
def block(k, places):
    """Of block number k: the index of its lines along the first axis, its first place, and the one
    behind its last."""
    blocks = -(-places // PLACES)
    first = k % blocks * PLACES
    return k // blocks, first, min(first + PLACES, places)


@njit(inline="always")
def block_top(x, a, first, top):
    """top[p] = the largest number of the line x[a, :, first + p]."""
    line = x[a, 0, first : first + top.size]
    for p in range(top.size):
        top[p] = line[p]
    for i in range(1, x.shape[1]):
        line = x[a, i, first : first + top.size]
        for p in range(top.size):
            top[p] = line[p] if line[p] > top[p] else top[p]


@compiled(f"void({_R2}, {_W2}, int64, int64)", parallel=True)
def rows(x, y, logarithm, workers, task):
    """y = softmax of the rows of x [A, N], or with ``logarithm`` its logarithm."""
    count, n = x.shape
    for worker in shared(0, workers, task):
        for r in range(count * worker // workers, count * (worker + 1) // workers):
            row, out, total = x[r], y[r], np.float32(0)
            top = row_top(row)
            if logarithm:
                for i in range(n):
                    total += functions.exp(row[i] - top)
                below = functions.log(total)
                for i in range(n):
                    out[i] = row[i] - top - below
            else:
                for i in range(n):
                    out[i] = functions.exp(row[i] - top)
                    total += out[i]
                for i in range(n):
                    out[i] /= total


@compiled(f"void({_R2}, {_R2}, {_W2}, int64, int64)", parallel=True)
def rows_gradient(g, y, dx, logarithm, workers, task):
    """dx = y (g - sum g y), or with ``logarithm`` g - e^y sum g, for the rows [A, N]."""
    count, n = g.shape
    for worker in shared(0, workers, task):
        for r in range(count * worker // workers, count * (worker + 1) // workers):
            slope, row, out, total = g[r], y[r], dx[r], np.float32(0)
            if logarithm:
                for i in range(n):
                    total += slope[i]
                for i in range(n):
                    out[i] = slope[i] - functions.exp(row[i]) * total
            else:
                for i in range(n):
                    total += slope[i] * row[i]
                for i in range(n):
                    out[i] = row[i] * (slope[i] - total)


@compiled(f"void({_R3}, {_W3}, {_W3}, int64, int64)", parallel=True)
def planes(x, y, near, logarithm, workers, task):
    """As ``rows``, of [A, N, P]; ``near`` [workers, 2, PLACES] is for a block's largest numbers and
    sums."""
    count, n, places = x.shape
    blocks = count * -(-places // PLACES)
    for worker in shared(0, workers, task):
        for k in range(blocks * worker // workers, blocks * (worker + 1) // workers):
            a, first, last = block(k, places)
            top, total = near[worker, 0, : last - first], near[worker, 1, : last - first]
            block_top(x, a, first, top)
            for p in range(total.size):
                total[p] = np.float32(0)
            for i in range(n):
                line, out = x[a, i, first:last], y[a, i, first:last]
                for p in range(total.size):
                    power = functions.exp(line[p] - top[p])
                    out[p] = power
                    total[p] += power
            if logarithm:
                for p in range(total.size):
                    total[p] = functions.log(total[p])
                for i in range(n):
                    line, out = x[a, i, first:last], y[a, i, first:last]
                    for p in range(out.size):
                        out[p] = line[p] - top[p] - total[p]
            else:
                for i in range(n):
                    out = y[a, i, first:last]
                    for p in range(out.size):
                        out[p] /= total[p]


@compiled(f"void({_R3}, {_R3}, {_W3}, {_W3}, int64, int64)", parallel=True)
def planes_gradient(g, y, dx, near, logarithm, workers, task):
    """As ``rows_gradient``, of [A, N, P]; ``near`` as in ``planes``."""
    count, n, places = g.shape
    blocks = count * -(-places // PLACES)
    for worker in shared(0, workers, task):
        for k in range(blocks * worker // workers, blocks * (worker + 1) // workers):
            a, first, last = block(k, places)
            total = near[worker, 0, : last - first]
            for p in range(total.size):
                total[p] = np.float32(0)
            for i in range(n):
                slope, line = g[a, i, first:last], y[a, i, first:last]
                for p in range(total.size):
                    total[p] += slope[p] if logarithm else slope[p] * line[p]
            for i in range(n):
                slope, line, out = g[a, i, first:last], y[a, i, first:last], dx[a, i, first:last]
                if logarithm:
                    for p in range(out.size):
                        out[p] = slope[p] - functions.exp(line[p]) * total[p]
                else:
                    for p in range(out.size):
                        out[p] = line[p] * (slope[p] - total[p])
