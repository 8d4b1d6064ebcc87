"""Halves of an axis, the first gated by the sigmoid of the second, and the gradient.

Arrays are [A, 2, B] in memory order: what is before the axis, its two halves, and the rest with
what is behind it. Threads share A B, so that either may be 1.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.functions import exact, sigmoid
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["glu", "glu_gradient"]

_ONE = np.float32(1)

_R3 = "Array(float32, 3, 'C', readonly=True)"
_R2 = "Array(float32, 2, 'C', readonly=True)"


@exact
def _gated(a, b):
    """a s(b)."""
    return a * sigmoid(b)


@exact
def _slope(s):
    """1 - s, not to be reordered."""
    return _ONE - s


@compiled(f"void({_R3}, float32[:, ::1], int64)", parallel=True)
def glu(x, y, workers, task):
    """y [A, B] of x [A, 2, B]."""
    columns = y.shape[1]
    for worker in shared(0, workers, task):
        place, end = y.size * worker // workers, y.size * (worker + 1) // workers
        while place < end:
            row, first = place // columns, place % columns
            last = min(columns, first + end - place)
            values, gates = x[row, 0, first:last], x[row, 1, first:last]
            result = y[row, first:last]
            for k in range(result.size):
                result[k] = _gated(values[k], gates[k])
            place += last - first


@compiled(f"void({_R2}, {_R3}, float32[:, :, ::1], int64)", parallel=True)
def glu_gradient(g, x, dx, workers, task):
    """dx = [g s, g a s (1 - s)] with a and b the halves of x and s = s(b)."""
    columns = g.shape[1]
    for worker in shared(0, workers, task):
        place, end = g.size * worker // workers, g.size * (worker + 1) // workers
        while place < end:
            row, first = place // columns, place % columns
            last = min(columns, first + end - place)
            given, values, gates = g[row, first:last], x[row, 0, first:last], x[row, 1, first:last]
            one, two = dx[row, 0, first:last], dx[row, 1, first:last]
            for k in range(given.size):
                s = sigmoid(gates[k])
                one[k] = given[k] * s
                two[k] = given[k] * (values[k] * (s * _slope(s)))
            place += last - first
