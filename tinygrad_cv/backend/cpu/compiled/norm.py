"""Batch normalisation of rows [R, C]: statistics per channel, and maps with numbers of the channel.

Each thread sums its rows in blocks: floats inside a block, float64 across blocks, so that the error
does not grow with the number of rows. Both directions pass over the rows twice, first for the sums
and then for the result. The second pass goes from the last block to the first: what the first one
read last is still in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["affine", "batch_norm", "batch_norm_gradient"]

BLOCK = 64  # rows whose sum is kept in float32
MAPPED = 1 << 16  # numbers that are mapped at once
FEW = 16  # rows whose mean the sums are centred by

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_SUMS = "float64[:, :, ::1]"


@compiled(f"void({_R2}, {_R1}, {_R1}, float64, {_SUMS}, {_W1}, {_W1}, {_W2})", parallel=True)
def batch_norm(x, weight, bias, eps, parts, mean, var, y):  # type: ignore[no-untyped-def]
    """Mean, biased variance and y of x. A weight or bias of size 0 counts as 1 or 0; ``parts`` is
    [threads, 2, C]."""
    rows, c = x.shape
    workers = parts.shape[0]
    # Where the mean is large against the deviation, the mean of a few rows takes most of it away.
    centre, step, few = np.zeros(c, np.float32), max(rows // FEW, 1), 0
    for r in range(0, rows, step):
        few += 1
        for k in range(c):
            centre[k] += x[r, k]
    for k in range(c):
        centre[k] /= np.float32(few)
    for worker in prange(workers):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        _sums(x[first:end], centre, parts[worker])
    _add_up(parts)
    scale, offset = np.empty(c, np.float32), np.zeros(c, np.float32)
    together = MAPPED // max(c, 1) + 1
    for k in range(c):
        shift, square = parts[0, 0, k] / rows, parts[0, 1, k] / rows
        mean[k] = centre[k] + shift
        spread = square - shift * shift
        var[k] = 0 if spread < 0 else spread
        scale[k] = 1 / np.sqrt(np.float64(var[k]) + eps) * (weight[k] if weight.size else 1)
        if bias.size:
            offset[k] = bias[k]
    for worker in prange(workers):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        for stop in range(end, first, -together):
            start = max(stop - together, first)
            _map(x[start:stop], mean, scale, offset, y[start:stop])


@compiled(f"void({_R2}, {_R1}, {_R1}, {_R1}, {_W2}, int64)", parallel=True)
def affine(x, mean, scale, offset, y, workers):  # type: ignore[no-untyped-def]
    """y = scale * (x - mean) + offset."""
    rows = x.shape[0]
    for worker in prange(workers):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        _map(x[first:end], mean, scale, offset, y[first:end])


@compiled(
    f"void({_R2}, {_R2}, {_R1}, {_R1}, {_R1}, {_R1}, {_R1}, float64, {_SUMS}, {_W2}, {_W1}, {_W1})",
    parallel=True,
)
def batch_norm_gradient(g, x, weight, mean, var, g_mean, g_var, eps, parts, dx, dw, db):  # type: ignore[no-untyped-def]
    """The gradients of x, weight and bias from those of y, mean and var. Without rows of dx only
    the others are computed."""
    rows, c = x.shape
    workers = parts.shape[0]
    for worker in prange(workers):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        _gradient_sums(g[first:end], x[first:end], mean, parts[worker])
    _add_up(parts)
    scale, slope = np.empty(c, np.float32), np.empty(c, np.float32)
    offset, n, together = np.empty(c, np.float32), max(rows, 1), MAPPED // max(c, 1) + 1
    for k in range(c):
        inverse = 1 / np.sqrt(np.float64(var[k]) + eps)
        factor = inverse * (weight[k] if weight.size else 1)
        g_sum, gx_sum = parts[0, 0, k], parts[0, 1, k]
        steep = (2 * g_var[k] - factor * inverse * inverse * gx_sum) / n
        scale[k], slope[k] = factor, steep
        offset[k] = (g_mean[k] - factor * g_sum) / n
        dw[k], db[k] = gx_sum * inverse, g_sum
    for worker in prange(workers):
        first, end = dx.shape[0] * worker // workers, dx.shape[0] * (worker + 1) // workers
        for stop in range(end, first, -together):
            start = max(stop - together, first)
            _gradient_map(g[start:stop], x[start:stop], mean, scale, slope, offset, dx[start:stop])


@njit
def _map(x, mean, scale, offset, y):  # type: ignore[no-untyped-def]
    """The mean is taken away first: a constant channel becomes its offset exactly."""
    rows, c = x.shape
    for r in range(rows):
        for k in range(c):
            y[r, k] = scale[k] * (x[r, k] - mean[k]) + offset[k]


@njit
def _gradient_map(g, x, mean, scale, slope, offset, dx):  # type: ignore[no-untyped-def]
    rows, c = x.shape
    for r in range(rows):
        for k in range(c):
            dx[r, k] = scale[k] * g[r, k] + (slope[k] * (x[r, k] - mean[k]) + offset[k])


@njit
def _sums(x, centre, total):  # type: ignore[no-untyped-def]
    """total = sum(x - centre), sum((x - centre)^2); four rows for each time that sums are read."""
    rows, c = x.shape
    total[:] = 0.0
    one, two = np.zeros(c, np.float32), np.zeros(c, np.float32)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        fours = stop - (stop - start) % 4
        for r in range(start, fours, 4):
            for k in range(c):
                v0, v1 = x[r, k] - centre[k], x[r + 1, k] - centre[k]
                v2, v3 = x[r + 2, k] - centre[k], x[r + 3, k] - centre[k]
                one[k] += (v0 + v1) + (v2 + v3)
                two[k] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3)
        for r in range(fours, stop):
            for k in range(c):
                value = x[r, k] - centre[k]
                one[k] += value
                two[k] += value * value
        _move(one, two, total)


@njit
def _gradient_sums(g, x, mean, total):  # type: ignore[no-untyped-def]
    """total = sum(g), sum(g * (x - mean))."""
    rows, c = x.shape
    total[:] = 0.0
    one, two = np.zeros(c, np.float32), np.zeros(c, np.float32)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        pairs = stop - (stop - start) % 2
        for r in range(start, pairs, 2):
            for k in range(c):
                g0, g1 = g[r, k], g[r + 1, k]
                one[k] += g0 + g1
                two[k] += g0 * (x[r, k] - mean[k]) + g1 * (x[r + 1, k] - mean[k])
        for r in range(pairs, stop):
            for k in range(c):
                one[k] += g[r, k]
                two[k] += g[r, k] * (x[r, k] - mean[k])
        _move(one, two, total)


@njit
def _move(one, two, total):  # type: ignore[no-untyped-def]
    """Add two sums to the total, and start them anew."""
    for k in range(one.size):
        total[0, k] += one[k]
        total[1, k] += two[k]
        one[k] = two[k] = np.float32(0)


@njit
def _add_up(parts):  # type: ignore[no-untyped-def]
    """The sums of all threads into the first, in order."""
    for worker in range(1, parts.shape[0]):
        for i in range(2):
            for k in range(parts.shape[2]):
                parts[0, i, k] += parts[worker, i, k]
