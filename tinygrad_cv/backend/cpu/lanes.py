"""Convolution of as many images at once as a vector has lanes: which cases, and their memory.

With few channels the vectors of channels-last memory are mostly empty. One number of each of
several images fills them always; what it costs is turning the images around and back.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.case import (
    Case,
    lines_that_fit,
    partial_sums,
    parts_of,
    thread_rows,
    three,
)

__all__ = ["convolve", "fills", "weight_gradient"]

BROAD = 64  # outputs that are a row of the matrix product's tile
WINDOW = 128  # numbers of a window from which on turning its images around is little of the work
FILLED = 0.6  # part of the lanes that images must fill
STRIP = 256 << 10  # bytes of padded input, of as many images as lanes, that are worked on together
PADDED = 1 << 20  # bytes of it, of its outputs, or of the sums of a weight gradient, at most
SHORT = 60  # outputs of a weight gradient that are worked on together


def fills(case: Case) -> bool:
    """True if this is a good way: with enough images, and outputs too few to fill vectors, or
    windows so large that turning costs little."""
    from tinygrad_cv.backend.cpu.compiled.vector import WIDTH

    window = math.prod(case.kernel) * case.channels
    if case.groups > 1 or case.outputs >= (WIDTH if window < WINDOW else BROAD):
        return False
    filled = case.images / (-(-case.images // WIDTH) * WIDTH)
    largest = max(_strip(case, threads.get_num_threads())[2], window * case.outputs)
    return filled >= FILLED and largest * WIDTH * 4 <= PADDED


def convolve(case: Case, x: Any, w: Any, bias: Any, y: Any) -> None:
    """y of x and w [taps, C, O]."""
    from tinygrad_cv.backend.cpu.compiled import images
    from tinygrad_cv.backend.cpu.compiled.vector import WIDTH

    together, width, padded = _strip(case, threads.get_num_threads())
    line, bias_room = case.positions[-1] * case.outputs, case.outputs // WIDTH + 2
    vectors = bias_room + padded + WIDTH + line + WIDTH
    scratch = thread_rows("images", threads.get_num_threads(), vectors * WIDTH)
    images.forward(x, w, bias, y, scratch, case.geometry, together, width)


def weight_gradient(case: Case, x: Any, dy: Any, dw: Any) -> None:
    """dw [taps, C, O] of x and dy."""
    from tinygrad_cv.backend.cpu.compiled import images
    from tinygrad_cv.backend.cpu.compiled.vector import WIDTH

    workers, across = threads.get_num_threads(), case.positions[-1]
    together, width, padded = _strip(case, threads.get_num_threads())
    vectors = dw.size + padded + WIDTH + together * across * case.outputs + WIDTH
    scratch = thread_rows("images", workers, vectors * WIDTH)
    parts = partial_sums(parts_of(case, workers, dw.size), *dw.shape)
    short = max(1, SHORT // across)
    images.weight_gradient(x, dy, dw, parts, scratch, case.geometry, together, short, width)


@lru_cache(maxsize=512)
def _strip(case: Case, workers: int) -> tuple[int, int, int]:
    """For as many images as lanes: lines of outputs in a unit of work, pixels in a line of the
    padded input, and vectors in all padded lines of the unit."""
    from tinygrad_cv.backend.cpu.compiled.vector import WIDTH

    units = -(-case.images // WIDTH) * math.prod(case.positions[:-2])
    lines = three(case.positions, 1)[1]
    planes, line = three(case.kernel, 1)[0] * case.channels, case.positions[-1] * case.outputs
    most = -(-lines // -(-2 * workers // units))

    def fits(together: int, rows: int, width: int) -> bool:
        padded, outputs = planes * rows * width, together * line
        return padded * WIDTH * 4 <= STRIP and outputs * WIDTH * 4 <= PADDED

    together, rows, width = lines_that_fit(case, most, fits)
    return together, width, planes * rows * width
