"""Statistics per channel, and maps x -> a x + b with numbers of the channel, over rows [R, C].

Each thread sums its rows in blocks: floats inside a block, float64 across blocks, so that the error
does not grow with the number of rows. Rows are read as they lie; a block is in the cache when the
second pass of a gradient comes to it only if the whole array is, so passes are few instead.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["affine", "affine_gradient", "gradient_sums", "statistics"]

BLOCK = 64  # rows whose sum is kept in float32

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_SUMS = "float64[:, :, ::1]"


@compiled(f"void({_R2}, {_R1}, {_SUMS}, float64[:, ::1])", parallel=True)
def statistics(x, centre, parts, total):  # type: ignore[no-untyped-def]
    """total = sum(x - centre), sum((x - centre)^2) per channel; ``parts`` is [threads, 2, C]."""
    rows, c = x.shape
    workers = parts.shape[0]
    for worker in prange(workers):
        part = parts[worker]
        part[:] = 0.0
        one, two = np.zeros(c, np.float32), np.zeros(c, np.float32)
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        for start in range(first, end, BLOCK):
            stop = min(start + BLOCK, end)
            for r in range(start, stop):
                for k in range(c):
                    value = x[r, k] - centre[k]
                    one[k] += value
                    two[k] += value * value
            for k in range(c):
                part[0, k] += one[k]
                part[1, k] += two[k]
                one[k] = two[k] = np.float32(0)
    total[:] = 0.0
    for worker in range(workers):
        for k in range(c):
            total[0, k] += parts[worker, 0, k]
            total[1, k] += parts[worker, 1, k]


@compiled(f"void({_R2}, {_R1}, {_R1}, {_W2}, int64)", parallel=True)
def affine(x, scale, offset, y, workers):  # type: ignore[no-untyped-def]
    """y = scale * x + offset."""
    rows, c = x.shape
    for worker in prange(workers):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            for k in range(c):
                y[r, k] = scale[k] * x[r, k] + offset[k]


@compiled(f"void({_R2}, {_R2}, {_R1}, {_SUMS}, float64[:, ::1])", parallel=True)
def gradient_sums(g, x, mean, parts, total):  # type: ignore[no-untyped-def]
    """total = sum(g), sum(g * (x - mean)) per channel."""
    rows, c = x.shape
    workers = parts.shape[0]
    for worker in prange(workers):
        part = parts[worker]
        part[:] = 0.0
        one, two = np.zeros(c, np.float32), np.zeros(c, np.float32)
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        for start in range(first, end, BLOCK):
            stop = min(start + BLOCK, end)
            for r in range(start, stop):
                for k in range(c):
                    one[k] += g[r, k]
                    two[k] += g[r, k] * (x[r, k] - mean[k])
            for k in range(c):
                part[0, k] += one[k]
                part[1, k] += two[k]
                one[k] = two[k] = np.float32(0)
    total[:] = 0.0
    for worker in range(workers):
        for k in range(c):
            total[0, k] += parts[worker, 0, k]
            total[1, k] += parts[worker, 1, k]


@compiled(f"void({_R2}, {_R2}, {_R1}, {_R1}, {_R1}, {_W2}, int64)", parallel=True)
def affine_gradient(g, x, scale, slope, offset, dx, workers):  # type: ignore[no-untyped-def]
    """dx = scale * g + slope * x + offset."""
    rows, c = x.shape
    for worker in prange(workers):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            for k in range(c):
                dx[r, k] = scale[k] * g[r, k] + (slope[k] * x[r, k] + offset[k])
