"""Lines of pixels with a border around them, or cut: any border, along three axes.

Arrays are [A, D, H, W, B], the axes with a border, what stands before them and what stands behind
them side by side. Along each axis a list names the place that each place of the result is copied
from, -1 where it is given a value: so one text serves every mode and cropping. The unit of work is
a row of the result; what is inside the border is one copy.
"""

from __future__ import annotations

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import copy
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["pad"]

_READ, _LIST = "Array(float32, 2, 'C', readonly=True)", "Array(int64, 1, 'C', readonly=True)"


@compiled(
    f"void({_READ}, float32[:, ::1], {_LIST}, {_LIST}, {_LIST}, {_LIST}, float32, int64)",
    parallel=True,
)
def pad(x, y, planes, rows, across, sizes, value, workers, task):
    """y [rows, R * B] of x [rows, W * B]; ``sizes`` are D, H, B and the run inside the border:
    where it begins in the result, and how long it is."""
    depth, height, block, first, count = sizes
    units, last = y.shape[0], first + count
    for worker in shared(0, workers, task):
        unit, end = units * worker // workers, units * (worker + 1) // workers
        image, rest = divmod(unit, planes.size * rows.size)
        p, q = divmod(rest, rows.size)
        while unit < end:
            result, d, h = y[unit], planes[p], rows[q]
            if d < 0 or h < 0:
                for k in range(result.size):
                    result[k] = value
            else:
                line = (image * depth + d) * height + h
                source, target = x.ctypes.data + line * x.shape[1] * 4, result.ctypes.data
                for part in range(2):
                    start, stop = (0, first) if part == 0 else (last, across.size)
                    for r in range(start, stop):
                        place = across[r]
                        if place < 0:
                            for k in range(r * block, (r + 1) * block):
                                result[k] = value
                        elif block == 1:
                            result[r] = x[line, place]
                        else:
                            to, size = target + r * block * 4, block * 4
                            copy(to, source + place * size, size)
                if count:
                    inside = across[first] * block * 4
                    copy(target + first * block * 4, source + inside, count * block * 4)
            unit, q = unit + 1, q + 1
            if q == rows.size:
                p, q = p + 1, 0
                if p == planes.size:
                    image, p = image + 1, 0
