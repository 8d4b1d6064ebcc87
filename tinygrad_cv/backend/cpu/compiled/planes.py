"""Normalisation of memory that runs row by row: sets of values that lie next to each other.

Group, instance, layer and RMS normalisation see [N*G, S*L], one set in a row: S channels of L
pixels, each with its weight and bias. Batch normalisation sees [N, C, L], and a channel has N runs
of L pixels. A set or channel is read twice, for its sums and for the result, and mostly lies in the
cache the second time. Floats are added BLOCK at a time and the blocks in float64, so that the error
does not grow with the number of values.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["affine", "batch_norm", "batch_norm_gradient", "standardise", "standardise_gradient"]

BLOCK = 2048  # values whose sum is kept in float32, in the lanes of a few vectors
LINES = 64  # sets whose weight gradients are added in float32
FEW = 16  # values whose mean the sums are centred by

_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_SUMS = "float64[:, :, ::1]"


@compiled(
    f"void({_R2}, {_R1}, {_R1}, float64, int64, boolean, int64, {_W1}, {_W1}, {_W2})",
    parallel=True,
)
def standardise(x, weight, bias, eps, groups, centred, workers, mean, var, y, task):
    """Mean, biased variance and y of the rows of x, row r with the weights of group r % groups.
    If not ``centred``, the mean counts as 0."""
    sets, size = x.shape
    inner = weight.size // groups
    length = size // max(inner, 1)
    for worker in shared(0, workers, task):
        for r in range(sets * worker // workers, sets * (worker + 1) // workers):
            row, out, first = x[r], y[r], r % groups * inner
            middle = _mean_of_few(row) if centred else np.float32(0)
            one, two = _moments(row, middle)
            shift = one / size if centred else 0.0
            spread = two / size - shift * shift
            mean[r] = middle + shift
            var[r] = 0 if spread < 0 else spread
            inverse = 1 / np.sqrt((0 if spread < 0 else spread) + eps)
            scale, rest = np.float32(inverse), np.float32(-shift * inverse)
            if length == 1:
                _map_each(row, out, middle, scale, rest, weight[first:], bias[first:])
                continue
            for k in range(inner):
                factor, place = weight[first + k], k * length
                _map(
                    row[place : place + length], out[place : place + length], middle,
                    scale * factor, rest * factor + bias[first + k],
                )  # fmt: skip


@compiled(
    f"void({_R2}, {_R2}, {_R1}, {_R1}, {_R1}, {_R1}, {_R1}, float64, int64, boolean, {_W3}, "
    f"{_SUMS}, {_W2}, {_W1}, {_W1})",
    parallel=True,
)
def standardise_gradient(
    g, x, weight, mean, var, g_mean, g_var, eps, groups, centred, near, parts, dx, dw, db, task
):
    """The gradients of x, weight and bias from those of y, mean and var. Without rows of dx only
    the others are computed. ``near`` and ``parts`` are [threads, 2, size of weight]."""
    sets, size = x.shape
    inner, workers = weight.size // groups, near.shape[0]
    length = size // max(inner, 1)
    for worker in shared(0, workers, task):
        lines, wide = near[worker], parts[worker]
        lines[:], wide[:] = np.float32(0), 0.0
        begin, end = sets * worker // workers, sets * (worker + 1) // workers
        for r in range(begin, end):
            row, slopes, first = x[r], g[r], r % groups * inner
            middle, inverse = mean[r], 1 / np.sqrt(np.float64(var[r]) + eps)
            g_sum = gx_sum = 0.0
            if length == 1:
                ones, twos = lines[0, first : first + inner], lines[1, first : first + inner]
                factors = weight[first : first + inner]
                g_sum, gx_sum = _weighted_sums(
                    slopes, row, factors, middle, np.float32(inverse), ones, twos
                )
            else:
                for k in range(inner):
                    place, factor = k * length, weight[first + k]
                    one, two = _products(
                        slopes[place : place + length], row[place : place + length], middle
                    )
                    wide[0, first + k] += one
                    wide[1, first + k] += two * inverse
                    g_sum += one * factor
                    gx_sum += two * factor
            if dx.shape[0]:
                steep = np.float32((2 * g_var[r] - inverse * inverse * inverse * gx_sum) / size)
                scale, away, rest = np.float32(inverse), np.float32(0), np.float32(0)
                if centred:
                    away, rest = np.float32(g_sum / size), np.float32(g_mean[r] / size)
                    if size == 1:  # standardised, one value is 0 whatever it is
                        scale = np.float32(0)
                out = dx[r]
                if length == 1:
                    factors = weight[first : first + inner]
                    _gradient_map_each(slopes, row, out, factors, middle, away, scale, steep, rest)
                else:
                    for k in range(inner):
                        place = k * length
                        _gradient_map(
                            slopes[place : place + length], row[place : place + length],
                            out[place : place + length], middle, scale * weight[first + k], steep,
                            rest - away * scale,
                        )  # fmt: skip
            if length == 1 and ((r + 1 - begin) % (LINES * groups) == 0 or r + 1 == end):
                _move(lines, wide)
    if task < 0:
        for k in range(weight.size):
            one = two = 0.0
            for worker in range(workers):
                one += parts[worker, 0, k]
                two += parts[worker, 1, k]
            db[k], dw[k] = one, two


@compiled(f"void({_R3}, {_R1}, {_R1}, float64, int64, {_W1}, {_W1}, {_W3})", parallel=True)
def batch_norm(x, weight, bias, eps, workers, mean, var, y, task):
    """Mean, biased variance and y of x [N, C, L]."""
    images, channels, length = x.shape
    count = images * length
    for worker in shared(0, workers, task):
        for c in range(channels * worker // workers, channels * (worker + 1) // workers):
            few, step = 0.0, max(images // FEW, 1)
            for n in range(0, images, step):
                few += _mean_of_few(x[n, c])
            middle = np.float32(few / max((images - 1) // step + 1, 1))
            one = two = 0.0
            for n in range(images):
                a, b = _moments(x[n, c], middle)
                one += a
                two += b
            shift = one / count
            spread = two / count - shift * shift
            mean[c] = middle + shift
            var[c] = 0 if spread < 0 else spread
            factor = 1 / np.sqrt((0 if spread < 0 else spread) + eps) * weight[c]
            scale, offset = np.float32(factor), np.float32(bias[c] - shift * factor)
            for n in range(images - 1, -1, -1):  # what was read last is still in the cache
                _map(x[n, c], y[n, c], middle, scale, offset)


@compiled(
    f"void({_R3}, {_R3}, {_R1}, {_R1}, {_R1}, {_R1}, {_R1}, float64, int64, {_W3}, {_W1}, {_W1})",
    parallel=True,
)
def batch_norm_gradient(g, x, weight, mean, var, g_mean, g_var, eps, workers, dx, dw, db, task):
    """The gradients of x, weight and bias from those of y, mean and var. Without images of dx only
    the others are computed."""
    images, channels, length = x.shape
    count = max(images * length, 1)
    for worker in shared(0, workers, task):
        for c in range(channels * worker // workers, channels * (worker + 1) // workers):
            middle, inverse = mean[c], 1 / np.sqrt(np.float64(var[c]) + eps)
            g_sum = gx_sum = 0.0
            for n in range(images):
                a, b = _products(g[n, c], x[n, c], middle)
                g_sum += a
                gx_sum += b
            factor = inverse * weight[c]
            steep = np.float32((2 * g_var[c] - factor * inverse * inverse * gx_sum) / count)
            offset = np.float32((g_mean[c] - factor * g_sum) / count)
            dw[c], db[c] = gx_sum * inverse, g_sum
            for n in range(dx.shape[0] - 1, -1, -1):
                _gradient_map(g[n, c], x[n, c], dx[n, c], middle, np.float32(factor), steep, offset)


@compiled(f"void({_R3}, {_R1}, {_R1}, {_R1}, {_W3}, int64)", parallel=True)
def affine(x, mean, scale, offset, y, workers, task):
    """y = scale * (x - mean) + offset with numbers of the channels of x [N, C, L]."""
    images, channels, _ = x.shape
    runs = images * channels
    for worker in shared(0, workers, task):
        for r in range(runs * worker // workers, runs * (worker + 1) // workers):
            n, c = r // channels, r % channels
            _map(x[n, c], y[n, c], mean[c], scale[c], offset[c])


@njit
def _mean_of_few(x):
    """The mean of a few values, exact where all are equal."""
    total, step, few = 0.0, max(x.size // FEW, 1), 0
    for k in range(0, x.size, step):
        total += x[k]
        few += 1
    return np.float32(total / max(few, 1))


@njit
def _moments(x, centre):
    """sum(x - centre), sum((x - centre)^2)."""
    total_one = total_two = np.float64(0)
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        one = two = np.float32(0)
        for k in range(part.size):
            value = part[k] - centre
            one += value
            two += value * value
        total_one += one
        total_two += two
    return total_one, total_two


@njit
def _products(g, x, mean):
    """sum(g), sum(g (x - mean))."""
    total_one = total_two = np.float64(0)
    for start in range(0, x.size, BLOCK):
        slopes, part = g[start : start + BLOCK], x[start : start + BLOCK]
        one = two = np.float32(0)
        for k in range(part.size):
            one += slopes[k]
            two += slopes[k] * (part[k] - mean)
        total_one += one
        total_two += two
    return total_one, total_two


@njit
def _weighted_sums(g, x, weight, mean, scale, ones, twos):
    """sum(g w), sum(g w (x - mean)); and ones += g, twos += g (x - mean) scale. Loops that only add
    up, and loops that write one array, become vector instructions."""
    total_one = total_two = np.float64(0)
    for start in range(0, x.size, BLOCK):
        slopes, part = g[start : start + BLOCK], x[start : start + BLOCK]
        factors = weight[start : start + BLOCK]
        one = two = np.float32(0)
        for k in range(part.size):
            value = slopes[k] * factors[k]
            one += value
            two += value * (part[k] - mean)
        total_one += one
        total_two += two
    for k in range(x.size):
        ones[k] += g[k]
    for k in range(x.size):
        twos[k] += g[k] * ((x[k] - mean) * scale)
    return total_one, total_two


@njit
def _map(x, y, mean, scale, offset):
    for k in range(x.size):
        y[k] = scale * (x[k] - mean) + offset


@njit
def _map_each(x, y, mean, scale, offset, weight, bias):
    for k in range(x.size):
        y[k] = ((x[k] - mean) * scale + offset) * weight[k] + bias[k]


@njit
def _gradient_map(g, x, dx, mean, scale, slope, offset):
    for k in range(x.size):
        dx[k] = scale * g[k] + (slope * (x[k] - mean) + offset)


@njit
def _gradient_map_each(g, x, dx, weight, mean, away, scale, slope, offset):
    for k in range(x.size):
        dx[k] = (g[k] * weight[k] - away) * scale + (slope * (x[k] - mean) + offset)


@njit
def _move(lines, wide):
    """Add the near sums to the wide ones, and start them anew."""
    for i in range(2):
        for k in range(lines.shape[1]):
            wide[i, k] += lines[i, k]
            lines[i, k] = np.float32(0)
