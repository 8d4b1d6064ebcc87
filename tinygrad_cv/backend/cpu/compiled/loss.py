"""Cross-entropy of rows of scores [R, C] with labels [R], and its gradient.

A row is in the level-1 cache while its maximum, the sum of its exponentials and the score of its
label are taken, so the scores are read from memory once in either direction. Threads share the
rows. Exponentials are those of ``functions``; the sum of a row is in float32, as the reference's.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled import functions
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["cross_entropy", "cross_entropy_gradient"]

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_LABELS = "Array(int64, 1, 'C', readonly=True)"


@compiled(f"void({_R2}, {_LABELS}, {_W1}, {_W1}, int64)", parallel=True)
def cross_entropy(x, label, lse, loss, workers, task):
    """lse = log sum_c exp(x[r, c]) and loss = lse - x[r, label]; labels lie in 0 ... C - 1."""
    rows, classes = x.shape
    for worker in shared(0, workers, task):
        for r in range(rows * worker // workers, rows * (worker + 1) // workers):
            row, top, total = x[r], x[r, 0], np.float32(0)
            for c in range(1, classes):
                top = row[c] if row[c] > top else top
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
