"""Means and maxima over regions of interest, and non-maximum suppression: loops over rows of
channels or boxes, which LLVM vectorises."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["largest", "means", "spread", "suppress"]

_ROWS = "Array(float32, 2, 'C', readonly=True)"
_EDGES = "Array(int64, 2, 'C', readonly=True)"
_IMAGES = "Array(int64, 1, 'C', readonly=True)"
_AXIS = ", ".join(
    f"Array({dtype}, 3, 'C', readonly=True)" for dtype in ("int64", "float32", "uint8")
)
_LOWEST = np.float32(np.finfo(np.float32).min)


@compiled(
    f"void({_ROWS}, {_IMAGES}, {_IMAGES}, {_AXIS}, {_AXIS}, float32[:, :, :, ::1], int64, int64, "
    "int64)",
    parallel=True,
)
def means(x, image, count, y, y_weight, y_counts, z, z_weight, z_counts, out, height, width,
          workers, task):  # fmt: skip
    """out [K, P, Q, C] = the means of the samples, whose taps are the products of ``y`` down and
    ``z`` across."""
    for worker in shared(0, workers, task):
        regions, down, across, channels = out.shape
        for k in range(regions * worker // workers, regions * (worker + 1) // workers):
            for p in range(down):
                for q in range(across):
                    total = out[k, p, q]
                    total[:] = 0
                    for a in range(y.shape[2]):
                        line = (image[k] * height + y[k, p, a]) * width
                        for b in range(z.shape[2]):
                            if y_counts[k, p, a] and z_counts[k, q, b]:
                                weight = y_weight[k, p, a] * z_weight[k, q, b]
                                weight /= np.float32(count[k])
                                pixel = x[line + z[k, q, b]]
                                for c in range(channels):
                                    total[c] += weight * pixel[c]


@compiled(
    f"void(Array(float32, 4, 'C', readonly=True), {_IMAGES}, {_IMAGES}, {_AXIS}, {_AXIS}, "
    "float32[:, ::1], int64, int64, int64)",
    parallel=True,
)
def spread(g, image, count, y, y_weight, y_counts, z, z_weight, z_counts, dx, height, width,
           workers, task):  # fmt: skip
    """dx += the adjoint. Each worker has some channels, so no two write to one place."""
    regions, down, across, channels = g.shape
    for worker in shared(0, workers, task):
        first, last = channels * worker // workers, channels * (worker + 1) // workers
        for k in range(regions):
            for p in range(down):
                for q in range(across):
                    mean = g[k, p, q, first:last]
                    for a in range(y.shape[2]):
                        line = (image[k] * height + y[k, p, a]) * width
                        for b in range(z.shape[2]):
                            if y_counts[k, p, a] and z_counts[k, q, b]:
                                weight = y_weight[k, p, a] * z_weight[k, q, b]
                                weight /= np.float32(count[k])
                                pixel = dx[line + z[k, q, b], first:last]
                                for c in range(last - first):
                                    pixel[c] += weight * mean[c]


@compiled(
    f"void({_ROWS}, {_IMAGES}, {', '.join([_EDGES] * 4)}, float32[:, :, :, ::1], "
    "int64[:, :, :, ::1], int64, int64, int32[:, ::1])",
    parallel=True,
)
def largest(x, image, top, bottom, left, right, y, place, height, width, scratch, task):
    """y = the first largest pixel [K, P, Q, C] of every bin, place = where in the input [N, C, H,
    W] it stands; ``scratch`` has a row of channels for each worker."""
    count, down, across, channels = y.shape
    plane, workers = height * width, len(scratch)
    for worker in shared(0, workers, task):
        won = scratch[worker]
        for k in range(count * worker // workers, count * (worker + 1) // workers):
            first = image[k] * plane
            for p in range(down):
                for q in range(across):
                    best, where = y[k, p, q], place[k, p, q]
                    best[:] = _LOWEST
                    won[:] = -1
                    for i in range(top[k, p], bottom[k, p]):
                        for j in range(left[k, q], right[k, q]):
                            pixel, number = x[first + i * width + j], np.int32(i * width + j)
                            for c in range(channels):
                                better = pixel[c] > best[c]
                                best[c] = pixel[c] if better else best[c]
                                won[c] = number if better else won[c]
                    for c in range(channels):
                        here = (image[k] * channels + c) * plane + won[c]
                        where[c] = here if won[c] >= 0 else -1
                    if bottom[k, p] <= top[k, p] or right[k, q] <= left[k, q]:
                        best[:] = 0


@compiled(
    "void(Array(float64, 2, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), float64, "
    "float64[::1], uint8[::1])"
)
def suppress(corners, labels, threshold, areas, removed):
    """removed = 1 for the boxes that overlap one before them, of their label, that is not removed.
    The rows of ``corners`` are x1, y1, x2, y2; ``areas`` is working memory."""
    x1, y1, x2, y2 = corners[0], corners[1], corners[2], corners[3]
    count = len(labels)
    for i in range(count):
        areas[i] = (x2[i] - x1[i]) * (y2[i] - y1[i])
        removed[i] = 0
    for i in range(count):
        if removed[i]:
            continue
        a, b, c, d, area, label = x1[i], y1[i], x2[i], y2[i], areas[i], labels[i]
        for j in range(i + 1, count):
            width = (c if c < x2[j] else x2[j]) - (a if a > x1[j] else x1[j])
            height = (d if d < y2[j] else y2[j]) - (b if b > y1[j] else y1[j])
            both = (width if width > 0 else 0.0) * (height if height > 0 else 0.0)
            over = both / (area + areas[j] - both) > threshold
            removed[j] |= over & (labels[j] == label)
