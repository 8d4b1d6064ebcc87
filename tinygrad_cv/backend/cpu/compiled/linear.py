"""The matrix products of fully connected layers, C = A B, where A or B may be read transposed.

A BLAS library would start threads of its own, which go on spinning for milliseconds beside those of
the kernels that follow.

The unit of work is a block of WIDE columns of C, or a part of its rows. DEEP rows of B at a time,
WIDE columns of each, are brought together in a panel, which stays in the level-2 cache while all
rows of A are multiplied with it; rows of B that are columns in memory are transposed on the way.
Sums over more than DEEP products are sums of such sums, so that their error grows slowly.
"""

from __future__ import annotations

from tinygrad_cv.backend.cpu.compiled.lanes import to_lanes
from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH, copy
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["ROOM", "multiply"]

WIDE, DEEP, ROWS = 64, 256, 192
PANEL = WIDE * (DEEP + WIDTH)  # floats; a transposition writes past the end
ROOM = PANEL + WIDE * ROWS  # of a thread: the panel, and a tile of products

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1 = "Array(float32, 1, 'C', readonly=True)"


@compiled(f"void({_R2}, {_R2}, {_R1}, {_W2}, {_W2}, int64, int64, int64)", parallel=True)
def multiply(a, b, bias, c, room, a_transposed, b_transposed, parts, task):
    """c [M, N] = a [M, K] b [K, N] + bias [N] (or [0], which is none). A transposed a is [K, M], a
    transposed b [N, K]. Each thread has a row of ``room``; the rows of c are cut into ``parts``."""
    m, n = c.shape
    k, workers = b.shape[1] if b_transposed else b.shape[0], room.shape[0]
    row, column = (4, m * 4) if a_transposed else (k * 4, 4)
    blocks = (n + WIDE - 1) // WIDE
    for q in shared(0, workers, task):
        panel, tile = room[q].ctypes.data, room[q, PANEL:].reshape(ROWS, WIDE)
        for job in range(blocks * parts * q // workers, blocks * parts * (q + 1) // workers):
            part, block = divmod(job, blocks)
            r0, r1, c0 = m * part // parts, m * (part + 1) // parts, block * WIDE
            wide = min(WIDE, n - c0)
            for k0 in range(0, k, DEEP):
                deep = min(DEEP, k - k0)
                if b_transposed:
                    for j in range(0, wide, WIDTH):
                        source = b.ctypes.data + ((c0 + j) * k + k0) * 4
                        lanes = min(WIDTH, wide - j)
                        to_lanes(panel + j * 4, WIDE * 4, source, k * 4, lanes, deep)
                else:
                    for i in range(deep):
                        source = b.ctypes.data + ((k0 + i) * n + c0) * 4
                        copy(panel + i * WIDE * 4, source, wide * 4)
                if k0 == 0:
                    product(
                        r1 - r0, wide, deep, a.ctypes.data + r0 * row, row, column, panel,
                        WIDE * 4, c.ctypes.data + (r0 * n + c0) * 4, n * 4, 0,
                    )  # fmt: skip
                    continue
                for start in range(r0, r1, ROWS):
                    rows = min(ROWS, r1 - start)
                    product(
                        rows, wide, deep, a.ctypes.data + start * row + k0 * column, row, column,
                        panel, WIDE * 4, tile.ctypes.data, WIDE * 4, 0,
                    )  # fmt: skip
                    for r in range(rows):
                        values, more = c[start + r, c0 : c0 + wide], tile[r]
                        for j in range(values.size):
                            values[j] += more[j]
            if bias.size:
                addend = bias[c0 : c0 + wide]
                for r in range(r0, r1):
                    values = c[r, c0 : c0 + wide]
                    for j in range(values.size):
                        values[j] += addend[j]
