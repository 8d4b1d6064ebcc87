"""Matrices transposed, which takes images from one memory order to the other.

A unit of work is a strip of a matrix, as wide as a vector: it is transposed in squares that lie in
the registers, and written row by row.
"""

from __future__ import annotations

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH, transpose
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["transposed", "transposed_bytes"]

_STRIP = 64  # bytes of a row, a line of the cache


@compiled("void(Array(float32, 3, 'C', readonly=True), float32[:, :, ::1], int64)", parallel=True)
def transposed(x, y, workers, task):
    """[N, A, B] as [N, B, A]."""
    images, a, b = x.shape
    strips = (b + WIDTH - 1) // WIDTH
    units = images * strips
    for worker in shared(0, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            image, strip = divmod(unit, strips)
            first = strip * WIDTH
            transpose(
                y.ctypes.data + (image * b + first) * a * 4, a * 4,
                x.ctypes.data + (image * a * b + first) * 4, b * 4, a, min(WIDTH, b - first),
            )  # fmt: skip


@compiled("void(Array(uint8, 3, 'C', readonly=True), uint8[:, :, ::1], int64)", parallel=True)
def transposed_bytes(x, y, workers, task):
    """The same of bytes."""
    images, a, b = x.shape
    strips = (b + _STRIP - 1) // _STRIP
    units = images * strips
    for worker in shared(0, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            image, strip = divmod(unit, strips)
            for j in range(strip * _STRIP, min((strip + 1) * _STRIP, b)):
                for i in range(a):
                    y[image, j, i] = x[image, i, j]
