"""The rectifier with a learned slope, and the gradients of the input and of the slopes.

Arrays are flat, in memory order. With channels-last memory a run has a number of every channel;
otherwise it has the numbers of one channel, and the next run is of the next channel. Products for
the slopes are added up in float64, so that the error does not grow with their number.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["prelu", "prelu_gradient"]

_ZERO = np.float32(0)
PART = 4096  # products of one channel whose sum is kept in float32

_R1 = "Array(float32, 1, 'C', readonly=True)"


@compiled(f"void({_R1}, {_R1}, float32[::1], int64, boolean, int64)", parallel=True)
def prelu(x, w, y, run, last, workers, task):
    """y = x if x > 0 else w x; with ``last`` a run has a number of every channel."""
    for worker in shared(0, workers, task):
        place, end = x.size * worker // workers, x.size * (worker + 1) // workers
        while place < end:
            start = place // run * run
            stop = min(start + run, end)
            values, result = x[place:stop], y[place:stop]
            if last:
                slopes = w[place - start : stop - start]
                for k in range(values.size):
                    v = values[k]
                    result[k] = v if v > _ZERO else slopes[k] * v
            else:
                slope = w[start // run % w.size]
                for k in range(values.size):
                    v = values[k]
                    result[k] = v if v > _ZERO else slope * v
            place = stop


@compiled(
    f"void({_R1}, {_R1}, {_R1}, float32[::1], float64[:, ::1], int64, boolean)", parallel=True
)
def prelu_gradient(g, x, w, dx, parts, run, last, task):
    """dx = g if x > 0 else w g; ``parts`` are the sums of g x over x <= 0 of each thread."""
    workers = parts.shape[0]
    for worker in shared(0, workers, task):
        sums = parts[worker]
        for k in range(sums.size):
            sums[k] = 0
        place, end = x.size * worker // workers, x.size * (worker + 1) // workers
        while place < end:
            start = place // run * run
            stop = min(start + run, end)
            if last:
                slopes, near = w[place - start : stop - start], sums[place - start : stop - start]
                values, given, result = x[place:stop], g[place:stop], dx[place:stop]
                for k in range(values.size):
                    v, s = values[k], given[k]
                    result[k] = s if v > _ZERO else slopes[k] * s
                    near[k] += _ZERO if v > _ZERO else s * v
            else:
                stop = min(stop, place + PART)
                slope, total = w[start // run % w.size], _ZERO
                values, given, result = x[place:stop], g[place:stop], dx[place:stop]
                for k in range(values.size):
                    v, s = values[k], given[k]
                    result[k] = s if v > _ZERO else slope * s
                    total += _ZERO if v > _ZERO else s * v
                sums[start // run % w.size] += total
            place = stop
