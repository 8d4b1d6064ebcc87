"""Cross-entropy of rows of scores [R, C] with labels [R], or of planes [N, C, P] with labels
[N, P], and its gradient.

A row is in the level-1 cache while its maximum, the sum of its exponentials and the score of its
label are taken, so the scores are read from memory once in either direction. Threads share the
rows. Of planes a block of pixels is in that cache, whose classes are taken one after the other.
Exponentials are those of ``functions``; the sum of a row is in float32, as the reference's.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled import functions
from tinygrad_cv.backend.cpu.compiled.softmax import PLACES, block, block_top, row_top
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["cross_entropy", "cross_entropy_gradient", "cross_entropy_planes"]
__all__ += ["cross_entropy_planes_gradient"]

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_LABELS = "Array(int64, 1, 'C', readonly=True)"
_MAPS = "Array(int64, 2, 'C', readonly=True)"


@compiled(f"void({_R2}, {_LABELS}, {_W1}, {_W1}, int64)", parallel=True)
def cross_entropy(x, label, lse, loss, workers, task):
    """lse = log sum_c exp(x[r, c]) and loss = lse - x[r, label]; labels lie in 0 ... C - 1."""
    rows, classes = x.shape
    for worker in shared(0, workers, task):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            row, total = x[r], np.float32(0)
            top = row_top(row)
            for c in range(classes):
                total += functions.exp(row[c] - top)
            lse[r] = top + functions.log(total)
            loss[r] = lse[r] - row[label[r]]


@compiled(f"void({_R2}, {_LABELS}, {_R1}, {_R1}, {_W2}, int64)", parallel=True)
def cross_entropy_gradient(x, label, lse, mass, dx, workers, task):
    """dx = mass (exp(x - lse) - [c = label])."""
    rows, classes = x.shape
    for worker in shared(0, workers, task):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            row, out, below, factor = x[r], dx[r], lse[r], mass[r]
            for c in range(classes):
                out[c] = functions.exp(row[c] - below) * factor
            out[label[r]] -= factor


@compiled(f"void({_R3}, {_MAPS}, {_W2}, {_W2}, {_W3}, int64)", parallel=True)
def cross_entropy_planes(x, label, lse, loss, near, workers, task):
    """As ``cross_entropy``, of [N, C, P]; ``near`` [workers, 2, PLACES] is for a block's largest
    scores and sums."""
    images, classes, pixels = x.shape
    blocks = images * -(-pixels // PLACES)
    for worker in shared(0, workers, task):
        for k in range(blocks * worker // workers, blocks * (worker + 1) // workers):
            n, first, last = block(k, pixels)
            top, total = near[worker, 0, : last - first], near[worker, 1, : last - first]
            block_top(x, n, first, top)
            for p in range(total.size):
                total[p] = np.float32(0)
            for c in range(classes):
                scores = x[n, c, first:last]
                for p in range(total.size):
                    total[p] += functions.exp(scores[p] - top[p])
            sums = lse[n, first:last]
            for p in range(sums.size):
                sums[p] = top[p] + functions.log(total[p])
            for p in range(first, last):
                loss[n, p] = lse[n, p] - x[n, label[n, p], p]


@compiled(f"void({_R3}, {_MAPS}, {_R2}, {_R2}, {_W3}, int64)", parallel=True)
def cross_entropy_planes_gradient(x, label, lse, mass, dx, workers, task):
    """As ``cross_entropy_gradient``, of [N, C, P]."""
    images, classes, pixels = x.shape
    blocks = images * -(-pixels // PLACES)
    for worker in shared(0, workers, task):
        for k in range(blocks * worker // workers, blocks * (worker + 1) // workers):
            n, first, last = block(k, pixels)
            below, factor = lse[n, first:last], mass[n, first:last]
            for c in range(classes):
                scores, out = x[n, c, first:last], dx[n, c, first:last]
                for p in range(out.size):
                    out[p] = functions.exp(scores[p] - below[p]) * factor[p]
            for p in range(first, last):
                dx[n, label[n, p], p] -= mass[n, p]
