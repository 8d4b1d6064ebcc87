"""Elementwise operators over large arrays that lie alike in memory, seen as one run of floats."""

from __future__ import annotations

import numpy as np
from numba import prange

from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["add", "relu", "relu_gradient"]

_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def add(a, b, y, workers):  # type: ignore[no-untyped-def]
    """y = a + b."""
    n = a.size
    for worker in prange(workers):
        first, last = n * worker // workers, n * (worker + 1) // workers
        left, right, out = a[first:last], b[first:last], y[first:last]
        for k in range(out.size):
            out[k] = left[k] + right[k]


@compiled(f"void({_R1}, {_W1}, int64)", parallel=True)
def relu(x, y, workers):  # type: ignore[no-untyped-def]
    """y = max(x, 0), NaN where x is."""
    n = x.size
    for worker in prange(workers):
        first, last = n * worker // workers, n * (worker + 1) // workers
        source, out = x[first:last], y[first:last]
        for k in range(out.size):
            out[k] = np.float32(0) if source[k] <= 0 else source[k]


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def relu_gradient(g, y, dx, workers):  # type: ignore[no-untyped-def]
    """dx = g where y is not 0."""
    n = g.size
    for worker in prange(workers):
        first, last = n * worker // workers, n * (worker + 1) // workers
        gradient, output, out = g[first:last], y[first:last], dx[first:last]
        for k in range(out.size):
            value = gradient[k]
            out[k] = value if output[k] != 0 else np.float32(0)
