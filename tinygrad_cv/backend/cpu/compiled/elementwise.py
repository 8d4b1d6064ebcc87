"""Elementwise operators over large arrays that lie alike in memory, seen as one run of floats."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["add", "leaky_relu", "masked_scale", "multiply", "relu", "relu_gradient"]
__all__ += ["sigmoid_gradient", "tanh_gradient"]

_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_MASK = "Array(uint8, 1, 'C', readonly=True)"


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def add(a, b, y, workers, task):  # type: ignore[no-untyped-def]
    """y = a + b."""
    n = a.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        left, right, out = a[first:last], b[first:last], y[first:last]
        for k in range(out.size):
            out[k] = left[k] + right[k]


@compiled(f"void({_R1}, {_W1}, int64)", parallel=True)
def relu(x, y, workers, task):  # type: ignore[no-untyped-def]
    """y = max(x, 0), NaN where x is."""
    n = x.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        source, out = x[first:last], y[first:last]
        for k in range(out.size):
            out[k] = np.float32(0) if source[k] <= 0 else source[k]


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def relu_gradient(g, y, dx, workers, task):  # type: ignore[no-untyped-def]
    """dx = g where y is not 0."""
    n = g.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        gradient, output, out = g[first:last], y[first:last], dx[first:last]
        for k in range(out.size):
            value = gradient[k]
            out[k] = value if output[k] != 0 else np.float32(0)


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def multiply(a, b, y, workers, task):  # type: ignore[no-untyped-def]
    """y = a b."""
    n = a.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        left, right, out = a[first:last], b[first:last], y[first:last]
        for k in range(out.size):
            out[k] = left[k] * right[k]


@compiled(f"void({_R1}, {_MASK}, {_W1}, float32, int64)", parallel=True)
def masked_scale(x, mask, y, scale, workers, task):  # type: ignore[no-untyped-def]
    """y = x mask scale, the mask being 0 or 1; so NaN and infinity stay NaN where it is 0."""
    n = x.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        source, keep, out = x[first:last], mask[first:last], y[first:last]
        for k in range(out.size):
            out[k] = source[k] * np.float32(keep[k]) * scale


@compiled(f"void({_R1}, {_R1}, {_W1}, float32, int64)", parallel=True)
def leaky_relu(s, x, y, slope, workers, task):  # type: ignore[no-untyped-def]
    """y = s if x > 0 else slope s: with s = x the function, with s = g its gradient."""
    n = s.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        source, input, out = s[first:last], x[first:last], y[first:last]
        for k in range(out.size):
            value = source[k]
            out[k] = value if input[k] > 0 else slope * value


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def sigmoid_gradient(g, y, dx, workers, task):  # type: ignore[no-untyped-def]
    """dx = g y (1 - y)."""
    n = g.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        gradient, output, out = g[first:last], y[first:last], dx[first:last]
        for k in range(out.size):
            value = output[k]
            out[k] = gradient[k] * (value * (np.float32(1) - value))


@compiled(f"void({_R1}, {_R1}, {_W1}, int64)", parallel=True)
def tanh_gradient(g, y, dx, workers, task):  # type: ignore[no-untyped-def]
    """dx = g (1 - y^2)."""
    n = g.size
    for worker in shared(0, workers, task):
        first, last = n * worker // workers, n * (worker + 1) // workers
        gradient, output, out = g[first:last], y[first:last], dx[first:last]
        for k in range(out.size):
            value = output[k]
            out[k] = gradient[k] * (np.float32(1) - value * value)
