"""Resizing of the three middle axes of [A, D, H, W, B]: each target a weighted sum of sources.

B is the channels of channels-last memory, or 1, with A then the images times the channels. The unit
of work is a row of targets: the rows of the source that it sees are added up, weighted by the links
of the first two axes, and the sum is resized along the last. Links are numbered as in ``pool``;
here each has a place along its own axis and a weight.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.blend import blend
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["resize"]

_READ = "Array(float32, 2, 'C', readonly=True)"
_WHERE, _HOW = (f"Array({kind}, 1, 'C', readonly=True)" for kind in ("int64", "float32"))


@compiled(
    f"void({_READ}, float32[:, ::1], {_WHERE}, {_WHERE}, {_HOW}, {_WHERE}, float32[:, ::1], "
    "int64[:, ::1], float32[:, ::1])",
    parallel=True,
)
def resize(x, y, starts, places, weights, sizes, lines, numbers, shares, task):
    """y [rows, across * B] of x [rows, W * B].

    ``sizes`` are D and H of the source, then planes, rows and positions across of the result, and
    how many links every target has along the last axis, 0 if they differ. ``lines`` has a row of
    the source for each thread; ``numbers`` and ``shares`` have the rows that a row of targets sees.
    """
    depth, height, planes, rows, across, taps = sizes
    units, workers, width = y.shape[0], lines.shape[0], x.shape[1]
    inner, zero = y.shape[1] // across, np.float32(0)
    for worker in shared(0, workers, task):
        line, seen, share = lines[worker], numbers[worker], shares[worker]
        where, how = places.ctypes.data, weights.ctypes.data
        first = units * worker // workers
        plane, h = divmod(first, rows)
        image, d = divmod(plane, planes)
        for unit in range(first, units * (worker + 1) // workers):
            count = 0
            for i in range(starts[d], starts[d + 1]):
                for j in range(starts[planes + h], starts[planes + h + 1]):
                    seen[count] = (image * depth + places[i]) * height + places[j]
                    share[count] = weights[i] * weights[j]
                    count += 1
            blend(
                line.ctypes.data, x.ctypes.data, width * 4,
                seen.ctypes.data, share.ctypes.data, count, zero, width,
            )  # fmt: skip
            last = planes + rows
            if inner > 1:
                target = y.ctypes.data + unit * y.shape[1] * 4
                for w in range(across):
                    k = starts[last + w]
                    blend(
                        target + w * inner * 4, line.ctypes.data, inner * 4,
                        where + k * 8, how + k * 4, starts[last + w + 1] - k, zero, inner,
                    )  # fmt: skip
            elif taps == 1:
                at = starts[last]
                for w in range(across):
                    y[unit, w] = weights[at + w] * line[places[at + w]]
            elif taps == 2:
                at = starts[last]
                for w in range(across):
                    k = at + 2 * w
                    y[unit, w] = weights[k] * line[places[k]] + weights[k + 1] * line[places[k + 1]]
            else:
                for w in range(across):
                    total = zero
                    for k in range(starts[last + w], starts[last + w + 1]):
                        total += weights[k] * line[places[k]]
                    y[unit, w] = total
            h += 1
            if h == rows:
                d, h = d + 1, 0
                if d == planes:
                    image, d = image + 1, 0
