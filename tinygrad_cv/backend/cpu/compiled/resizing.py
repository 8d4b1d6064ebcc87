"""Resizing of the three middle axes of [A, D, H, W, B]: each target a weighted sum of sources.

B is the channels of channels-last memory, or 1, with A then the images times the channels. The unit
of work is a row of targets: the rows of the source that it sees are added up, weighted by the links
of the first two axes, and the sum is resized along the last. Links are numbered as in ``pool``;
here each has a place along its own axis and a weight.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["resize"]

_READ = "Array(float32, 2, 'C', readonly=True)"
_WHERE, _HOW = (f"Array({kind}, 1, 'C', readonly=True)" for kind in ("int64", "float32"))


@compiled(
    f"void({_READ}, float32[:, ::1], {_WHERE}, {_WHERE}, {_HOW}, {_WHERE}, float32[:, ::1])",
    parallel=True,
)
def resize(x, y, starts, places, weights, sizes, scratch, task):
    """y [rows, across * B] of x [rows, W * B].

    ``sizes`` are D and H of the source, then planes, rows and positions across of the result.
    ``scratch`` has a row of the source for each thread.
    """
    depth, height, planes, rows, across = sizes
    units, workers, width = y.shape[0], scratch.shape[0], x.shape[1]
    inner = y.shape[1] // across
    for worker in shared(0, workers, task):
        line = scratch[worker][:width]
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, h = divmod(unit, rows)
            first, d = divmod(plane, planes)
            count = 0
            for i in range(starts[d], starts[d + 1]):
                for j in range(starts[planes + h], starts[planes + h + 1]):
                    source = x[(first * depth + places[i]) * height + places[j]]
                    weight = weights[i] * weights[j]
                    if count == 0:
                        for k in range(width):
                            line[k] = weight * source[k]
                    else:
                        for k in range(width):
                            line[k] += weight * source[k]
                    count += 1
            if count == 0:
                for k in range(width):
                    line[k] = np.float32(0)
            links = starts[planes + rows : planes + rows + across + 1]
            if inner == 1:
                _across(y[unit], line, links, places, weights)
            else:
                _channels(y[unit], line, links, places, weights, inner)


@njit
def _across(y, line, links, places, weights):
    """The last axis where one number is at each place."""
    for w in range(y.size):
        first, last = links[w], links[w + 1]
        if last - first == 2:
            y[w] = (
                weights[first] * line[places[first]] + weights[first + 1] * line[places[first + 1]]
            )
        else:
            total = np.float32(0)
            for k in range(first, last):
                total += weights[k] * line[places[k]]
            y[w] = total


@njit
def _channels(y, line, links, places, weights, inner):
    """The last axis where ``inner`` channels are at each place, two links at a time."""
    for w in range(y.size // inner):
        target = y[w * inner : (w + 1) * inner]
        first, last = links[w], links[w + 1]
        if last == first:
            for c in range(inner):
                target[c] = np.float32(0)
        elif last - first == 1:
            start, weight = places[first] * inner, weights[first]
            source = line[start : start + inner]
            for c in range(inner):
                target[c] = weight * source[c]
        else:
            start, weight = places[first] * inner, weights[first]
            then, other = places[first + 1] * inner, weights[first + 1]
            source, second = line[start : start + inner], line[then : then + inner]
            for c in range(inner):
                target[c] = weight * source[c] + other * second[c]
        for k in range(first + 2, last):
            start, weight = places[k] * inner, weights[k]
            source = line[start : start + inner]
            for c in range(inner):
                target[c] += weight * source[c]
