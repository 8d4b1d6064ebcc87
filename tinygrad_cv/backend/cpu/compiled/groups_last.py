"""Group and instance normalisation of channels-last images [N, L, C], each image by itself.

Sums are those of the channels of an image, which batch normalisation has too; those of a group
follow from them, and the results are maps with numbers of the channel.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.norm import (
    gradient_map,
    gradient_sums,
    map_rows,
    mean_of_few,
    row_sums,
)
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["standardise", "standardise_gradient"]

_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_SUMS = "float64[:, :, ::1]"


@compiled(f"void({_R3}, {_R1}, {_R1}, float64, {_SUMS}, {_W3}, {_W2}, {_W2}, {_W3})", parallel=True)
def standardise(x, weight, bias, eps, sums, numbers, mean, var, y, task):
    """Mean and biased variance [N, G], and y of x [N, L, C]; ``sums`` is [threads, 2, C] and
    ``numbers`` [threads, 4, C]."""
    images, length, c = x.shape
    groups, workers = mean.shape[1], sums.shape[0]
    inner = c // groups
    for worker in shared(0, workers, task):
        total = sums[worker]
        centre, middle, scale, offset = numbers[worker]
        for n in range(images * worker // workers, images * (worker + 1) // workers):
            mean_of_few(x[n], centre)
            row_sums(x[n], centre, total)
            for group in range(groups):
                first, last = group * inner, (group + 1) * inner
                average = 0.0
                for k in range(first, last):
                    average += centre[k] + total[0, k] / length
                average /= inner
                spread = 0.0
                for k in range(first, last):
                    shift = total[0, k] / length
                    away = centre[k] + shift - average
                    spread += total[1, k] / length - shift * shift + away * away
                spread = 0 if spread < 0 else spread / inner
                mean[n, group], var[n, group] = average, spread
                inverse = 1 / np.sqrt(spread + eps)
                for k in range(first, last):
                    middle[k], factor = mean[n, group], inverse * weight[k]
                    scale[k] = factor
                    offset[k] = bias[k] - (average - np.float64(middle[k])) * factor
            map_rows(
                y[n].ctypes.data, x[n].ctypes.data, middle.ctypes.data, scale.ctypes.data,
                offset.ctypes.data, length, c,
            )  # fmt: skip


@compiled(
    f"void({_R3}, {_R3}, {_R1}, {_R2}, {_R2}, {_R2}, {_R2}, float64, {_SUMS}, {_SUMS}, {_W3}, "
    f"{_W3}, {_W1}, {_W1})",
    parallel=True,
)
def standardise_gradient(
    g, x, weight, mean, var, g_mean, g_var, eps, sums, parts, numbers, dx, dw, db, task
):
    """The gradients of x, weight and bias from those of y, mean and var. Without images of dx only
    the others are computed."""
    images, length, c = x.shape
    groups, workers = mean.shape[1], sums.shape[0]
    inner = c // groups
    count = inner * length
    for worker in shared(0, workers, task):
        total, part = sums[worker], parts[worker]
        middle, scale, slope, offset = numbers[worker]
        part[:] = 0.0
        for n in range(images * worker // workers, images * (worker + 1) // workers):
            for k in range(c):
                middle[k] = mean[n, k // inner]
            gradient_sums(g[n], x[n], middle, total)
            for group in range(groups):
                first, last = group * inner, (group + 1) * inner
                inverse = 1 / np.sqrt(np.float64(var[n, group]) + eps)
                g_sum = gx_sum = 0.0
                for k in range(first, last):
                    part[0, k] += total[0, k]
                    part[1, k] += total[1, k] * inverse
                    g_sum += total[0, k] * weight[k]
                    gx_sum += total[1, k] * weight[k]
                steep = (2 * g_var[n, group] - inverse * inverse * inverse * gx_sum) / count
                rest = (g_mean[n, group] - inverse * g_sum) / count
                for k in range(first, last):
                    scale[k], slope[k], offset[k] = inverse * weight[k], steep, rest
            if dx.shape[0]:
                gradient_map(
                    dx[n].ctypes.data, g[n].ctypes.data, x[n].ctypes.data, middle.ctypes.data,
                    scale.ctypes.data, slope.ctypes.data, offset.ctypes.data, length, c,
                )  # fmt: skip
    if task < 0:
        for k in range(c):
            one = two = 0.0
            for worker in range(workers):
                one += parts[worker, 0, k]
                two += parts[worker, 1, k]
            db[k], dw[k] = one, two
