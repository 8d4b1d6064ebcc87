"""The products of small fully connected layers, which fit the caches of the threads.

A library spends as long on starting its threads as on a product of this size, and its threads and
ours would wait for each other's processors.

``rows_times_rows`` multiplies every row of x with every row of w. Rows of w are columns of the
product's second factor, so WIDTH of them at a time are turned into a panel [I, lane], which stays
in the level-1 cache for all rows of x. The threads share the panels. The gradients need no
turning: in ``product_of`` the threads share the rows of the result.
"""

from __future__ import annotations

from numba import prange

from tinygrad_cv.backend.cpu.compiled.lanes import to_lanes
from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["product_of", "rows_times_rows"]

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1 = "Array(float32, 1, 'C', readonly=True)"


@compiled(f"void({_R2}, {_R2}, {_R1}, {_W2}, {_W2})", parallel=True)
def rows_times_rows(x, w, bias, y, panels):  # type: ignore[no-untyped-def]
    """y [N, O] = x [N, I] w [O, I]^t + bias [O] (or [0], which is none); each thread has a panel
    for I + WIDTH vectors."""
    n, o = y.shape
    i, lines, workers = x.shape[1], (o + WIDTH - 1) // WIDTH, panels.shape[0]
    for q in prange(workers):
        panel = panels[q].ctypes.data
        for line in range(lines * q // workers, lines * (q + 1) // workers):
            first = line * WIDTH
            wide = min(WIDTH, o - first)
            to_lanes(panel, w.ctypes.data + first * i * 4, i * 4, wide, i)
            product(
                n, wide, i, x.ctypes.data, i * 4, 4, panel, WIDTH * 4, y.ctypes.data + first * 4,
                o * 4, 0,
            )  # fmt: skip
            if bias.size:
                addend = bias[first : first + wide]
                for r in range(n):
                    values = y[r, first : first + wide]
                    for k in range(values.size):
                        values[k] += addend[k]


@compiled(f"void({_R2}, {_R2}, {_W2}, int64, int64)", parallel=True)
def product_of(a, b, c, turned, workers):  # type: ignore[no-untyped-def]
    """c [M, N] = a [M, K] b [K, N]; with ``turned``, of a [K, M]."""
    m, n = c.shape
    row, column = (4, m * 4) if turned else (a.shape[1] * 4, 4)
    for q in prange(workers):
        first, last = m * q // workers, m * (q + 1) // workers
        product(
            last - first, n, b.shape[0], a.ctypes.data + first * row, row, column, b.ctypes.data,
            n * 4, c.ctypes.data + first * n * 4, n * 4, 0,
        )  # fmt: skip
