"""Sums per channel of channels-last pixels, as the gradient of a bias needs it, and per row; of few
long rows in parts, so that every thread has some.

Channels may be fewer than a vector has lanes, or no multiple of them; pixels follow each other
without a gap, so a run of several pixels is added to a run of sums, whatever the channels. Floats
are added BLOCK at a time and the blocks in float64, so that the error does not grow with the number
of pixels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["centred", "channel_sum", "known_gradient", "known_sum", "row_sum", "row_variance"]

BLOCK = 64  # floats added in float32
RUN = 1024  # floats of a row added in float32, of many lanes

_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_PARTS = "float64[:, ::1]"


@njit(inline="always")
def _mean_of(row):
    """The mean of a row; added in float64, so that the mean of equal numbers is that number."""
    total = 0.0
    for k in range(row.size):
        total += np.float64(row[k])
    return total / row.size


@compiled(f"void({_R1}, float32[::1], float32[:, ::1], float64[:, ::1])", parallel=True)
def channel_sum(x, total, near, far, task):
    """total [C] of x [pixels * C]; ``near`` and ``far`` are the sums of each thread, as long as
    some whole pixels."""
    c = total.size
    pixels, workers, run = x.size // c, near.shape[0], near.shape[1]
    for worker in shared(0, workers, task):
        sums, wide = near[worker], far[worker]
        for k in range(wide.size):
            wide[k] = 0
        place, last = pixels * worker // workers * c, pixels * (worker + 1) // workers * c
        while place < last:
            for k in range(sums.size):
                sums[k] = np.float32(0)
            stop = min(last, place + BLOCK * run)
            while place < stop:
                values = x[place : min(place + run, stop)]
                for k in range(values.size):
                    sums[k] += values[k]
                place += run
            place = stop
            for k in range(wide.size):
                wide[k] += sums[k]
        for k in range(c, run):
            wide[k % c] += wide[k]
    if task < 0:
        for k in range(c):
            everything = 0.0
            for worker in range(workers):
                everything += far[worker, k]
            total[k] = everything


@compiled(f"void({_R2}, {_PARTS}, boolean, int64)", parallel=True)
def row_sum(x, parts, squares, workers, task):
    """parts[r, p] = the sum of part p of row r of x, or of its squares."""
    rows, pieces = parts.shape
    units, length = rows * pieces, -(-x.shape[1] // pieces)
    for worker in shared(0, workers, task):
        r, p = divmod(units * worker // workers, pieces)
        for _ in range(units * worker // workers, units * (worker + 1) // workers):
            part, total = x[r, p * length : (p + 1) * length], 0.0
            if squares:
                for k in range(part.size):
                    total += np.float64(part[k] * part[k])
            else:
                for k in range(part.size):
                    total += np.float64(part[k])
            parts[r, p], p = total, p + 1
            if p == pieces:
                r, p = r + 1, 0


@compiled(f"void({_R2}, {_PARTS}, int64[:, ::1], int64)", parallel=True)
def known_sum(x, parts, counts, workers, task):
    """The same sums of what is not NaN, and how many that are."""
    rows, pieces = parts.shape
    units, length = rows * pieces, -(-x.shape[1] // pieces)
    for worker in shared(0, workers, task):
        r, p = divmod(units * worker // workers, pieces)
        for _ in range(units * worker // workers, units * (worker + 1) // workers):
            part, total = x[r, p * length : (p + 1) * length], 0.0
            for k in range(part.size):
                total += np.float64(part[k])
            count = part.size
            if total != total:  # a NaN, or infinities of both signs
                total, count = 0.0, 0
                for k in range(part.size):
                    known = part[k] == part[k]
                    total += np.float64(part[k] if known else np.float32(0))
                    count += known
            parts[r, p], counts[r, p], p = total, count, p + 1
            if p == pieces:
                r, p = r + 1, 0


@compiled(f"void({_R2}, {_W1}, float64, int64)", parallel=True)
def row_variance(x, out, scale, workers, task):
    """out[r] = scale * sum_c (x[r, c] - mean_c x[r, c])^2."""
    rows, size = x.shape
    for worker in shared(0, workers, task):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            row, total = x[r], 0.0
            middle = np.float32(_mean_of(row))
            for first in range(0, size, RUN):
                part = row[first : min(first + RUN, size)]
                near = np.float32(0)
                for k in range(part.size):
                    near += (part[k] - middle) * (part[k] - middle)
                total += np.float64(near)
            out[r] = np.float32(total * scale)


@compiled(f"void({_R2}, {_R1}, {_W2}, int64)", parallel=True)
def centred(x, factor, out, workers, task):
    """out[r, c] = factor[r] (x[r, c] - mean_c x[r, c])."""
    rows, size = x.shape
    for worker in shared(0, workers, task):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            row, result, scale = x[r], out[r], factor[r]
            middle = np.float32(_mean_of(row))
            for c in range(size):
                result[c] = (row[c] - middle) * scale


@compiled(f"void({_R2}, {_R1}, {_W2}, int64)", parallel=True)
def known_gradient(x, g, out, workers, task):
    """out[r, c] = g[r] where x is not NaN, else 0."""
    rows, size = x.shape
    for worker in shared(0, workers, task):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            row, result, slope = x[r], out[r], g[r]
            for c in range(size):
                result[c] = slope if row[c] == row[c] else np.float32(0)
