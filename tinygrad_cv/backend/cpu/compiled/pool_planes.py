"""The gradient of a maximum in memory that runs row by row: each window adds to its winner.

Planes are [N*C, pixels] and [N*C, windows]. The winner of a window is where the window starts, plus
where its tap is from there: both are lists that the caller writes down, so one text serves every
kernel, stride, dilation and overlap, adaptive windows as well, in one to three dimensions. The unit
of work is a plane, which is set to zero just before and lies in the cache.
"""

from __future__ import annotations

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["scatter"]

_GRAD, _TAPS = (f"Array({kind}, 2, 'C', readonly=True)" for kind in ("float32", "uint8"))
_LIST = "Array(int32, 1, 'C', readonly=True)"


@compiled(f"void({_GRAD}, {_TAPS}, float32[:, ::1], {_LIST}, {_LIST}, int64)", parallel=True)
def scatter(g, k, dx, starts, offsets, workers, task):
    """dx = for every pixel, the sum of g over the windows whose winner it is, which is at
    ``starts[window] + offsets[tap]``; winners that are outside are left out."""
    planes, size = dx.shape
    for worker in shared(0, workers, task):
        for plane in range(planes * worker // workers, planes * (worker + 1) // workers):
            zero(dx.ctypes.data + plane * size * 4, size * 4)
            result, taps, slopes = dx[plane], k[plane], g[plane]
            for window in range(starts.size):
                place = starts[window] + offsets[taps[window]]
                if 0 <= place < size:
                    result[place] += slopes[window]
