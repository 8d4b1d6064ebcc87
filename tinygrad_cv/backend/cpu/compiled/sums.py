"""The sum of channels-last pixels per channel, as the gradient of a bias needs it.

Channels may be fewer than a vector has lanes, or no multiple of them; pixels follow each other
without a gap, so a run of several pixels is added to a run of sums, whatever the channels. Floats
are added BLOCK at a time and the blocks in float64, so that the error does not grow with the number
of pixels.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["channel_sum"]

BLOCK = 64  # floats added in float32

_R1 = "Array(float32, 1, 'C', readonly=True)"


@compiled(f"void({_R1}, float32[::1], float32[:, ::1], float64[:, ::1])", parallel=True)
def channel_sum(x, total, near, far, task):
    """total [C] of x [pixels * C]; ``near`` and ``far`` are the sums of each thread, as long as
    some whole pixels."""
    c = total.size
    pixels, workers, run = x.size // c, near.shape[0], near.shape[1]
    for worker in shared(0, workers, task):
        sums, wide = near[worker], far[worker]
        for k in range(wide.size):
            wide[k] = 0
        place, last = pixels * worker // workers * c, pixels * (worker + 1) // workers * c
        while place < last:
            for k in range(sums.size):
                sums[k] = np.float32(0)
            stop = min(last, place + BLOCK * run)
            while place < stop:
                values = x[place : min(place + run, stop)]
                for k in range(values.size):
                    sums[k] += values[k]
                place += run
            place = stop
            for k in range(wide.size):
                wide[k] += sums[k]
        for k in range(c, run):
            wide[k % c] += wide[k]
    if task < 0:
        for k in range(c):
            everything = 0.0
            for worker in range(workers):
                everything += far[worker, k]
            total[k] = everything
