"""The weight gradient of Winograd's convolution::

    dw = G^t dU G     dU[u] = sum V[v]^t dM[m] over products (v, u, m)     dM = A dY A^t

Two orders of the same work, by the size of dU:

* ``private``: every thread has dU of its own and takes its tiles through all steps in its cache;
* ``stationary``: a thread makes a piece of dU, 64 x 64 channels, and turns it into dw at once.

With a kernel of three dimensions all this happens for each tap of its depth. ``spoilt`` is as in
``winograd``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinygrad_cv.backend.cpu.compiled.forms import M_SIDE, OUT, STEP, U_SIDE, V_SIDE, gather, spread
from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import copy, zero
from tinygrad_cv.backend.cpu.compiled.winograd import CHUNK, GAP, expect, pitch, take
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["private", "stationary"]

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_W4, _W2, _W1 = "float32[:, :, :, ::1]", "float32[:, ::1]", "float32[::1]"
_PRODUCTS = "Array(int64, 2, 'C', readonly=True)"


@njit(inline="always")
def take_gradient(form, dy, image, d, h, w, tile, target, step):
    """dM of the m x m output gradients at (h, w) of a plane."""
    planes, height, width, o = dy.shape[1], dy.shape[2], dy.shape[3], dy.shape[4]
    m, side = OUT[form], M_SIDE[form]
    pixel = o * 4
    origin = dy.ctypes.data + (((image * planes + d) * height + h) * width + w) * pixel
    rows, columns = min(m, height - h), min(m, width - w)
    line = width * pixel
    if rows < m or columns < m:
        zero(tile, m * m * pixel)
        for i in range(rows):
            copy(tile + i * m * pixel, origin + i * width * pixel, columns * pixel)
        origin, line = tile, m * pixel
    spread(form, origin, line, pixel, target, side * step, step, o)


@njit(inline="always")
def both(form, x, dy, a, start, first, last, front, top, left, tile, v, v_step, dm, m_step):
    """V for tap a, and with a = 0 dM, of tiles ``first`` to ``last`` after ``start``."""
    c, o, planes, m, step = x.shape[4], dy.shape[4], dy.shape[1], OUT[form], STEP[form]
    down, across = (dy.shape[2] + m - 1) // m, (dy.shape[3] + m - 1) // m
    for i in range(first, last):
        plane, place = divmod(start + i, down * across)
        image, d = divmod(plane, planes)
        row, column = divmod(place, across)
        h, w = row * step - top, column * step - left
        take(form, x, image, d + a - front, h, w, tile, v + i * pitch(c), v_step)
        if a == 0:
            take_gradient(
                form, dy, image, d, row * m, column * m, tile, dm + i * pitch(o), m_step
            )  # fmt: skip


@njit(inline="always")
def leave(form, du, step, dw, spoilt, q, first, last):
    """dw of rows ``first`` to ``last`` of dU [taps, points, C, O]."""
    taps, c, o = dw.shape[0], dw.shape[3], dw.shape[4]
    side, size = U_SIDE[form], c * o * 4
    points = side * side
    for a in range(taps):
        source = du + a * points * size + first * o * 4
        target = dw.ctypes.data + a * 9 * size + first * o * 4
        gather(form, source, side * size, size, target, 3 * size, size, (last - first) * o)
        for tap in range(9):
            for i in range(first, last):
                line = dw[a, tap // 3, tap % 3, i]
                for j in range(o):
                    spoilt[q, 0] += line[j] * np.float32(0)


@compiled(
    f"void(int64, {_PRODUCTS}, {_R5}, {_R5}, {_W5}, {_W5}, {_W2}, {_W2}, int64, int64, int64, "
    "int64)",
    parallel=True,
)
def private(form, products, x, dy, dw, du, scratch, spoilt, front, top, left, block, task):
    """``block`` tiles at a time; du is [parts, taps, points, C/groups, O]. ``products`` go by u."""
    c, o, taps, deep = x.shape[4], dy.shape[4], dw.shape[0], dw.shape[3]
    groups = c // deep
    wide = o // groups
    points, m = U_SIDE[form] ** 2, OUT[form]
    down, across = (dy.shape[2] + m - 1) // m, (dy.shape[3] + m - 1) // m
    tiles, workers = dy.shape[0] * dy.shape[1] * down * across, scratch.shape[0]
    planes, step, every, parts = dy.shape[1], STEP[form], products.shape[0], du.shape[0]
    v_line, m_line, size = pitch(c), pitch(o), deep * o * 4
    v_step, m_step = block * v_line + GAP, block * m_line + GAP
    for q in shared(0, workers, task):
        v = scratch[q].ctypes.data
        dm = v + V_SIDE[form] ** 2 * v_step
        tile = dm + M_SIDE[form] ** 2 * m_step
        for part in range(parts * q // workers, parts * (q + 1) // workers):
            begin, end = tiles * part // parts, tiles * (part + 1) // parts
            if begin == end:
                zero(du[part].ctypes.data, taps * points * size)
            for start in range(begin, end, block):
                count = min(block, end - start)
                for a in range(taps):
                    both(
                        form, x, dy, a, start, 0, count, front, top, left, tile, v, v_step, dm,
                        m_step,
                    )  # fmt: skip
                    for k in range(every):
                        first, last = count * k // every, count * (k + 1) // every
                        for i in range(first, last):  # what is read after the products
                            ahead, tap = start + i, a + 1
                            if tap == taps:
                                ahead, tap = start + count + i, 0
                            plane, place = divmod(min(ahead, end - 1), down * across)
                            image, d = divmod(plane, planes)
                            row, column = divmod(place, across)
                            h, w = row * step - top, column * step - left
                            expect(step, x, image, d + tap - front, h, w, False)
                            if a + 1 == taps:
                                expect(m, dy, image, d, row * m, column * m, False)
                        near = v + products[k, 0] * v_step
                        far = dm + products[k, 2] * m_step
                        total = du[part].ctypes.data + (a * points + products[k, 1]) * size
                        for g in range(groups):
                            product(
                                deep, wide, count, near + g * deep * 4, 4, v_line,
                                far + g * wide * 4, m_line, total + g * wide * 4, o * 4,
                                start - begin + k - products[k, 3],
                            )  # fmt: skip
    for q in shared(1, workers, task):
        first, last = deep * q // workers, deep * (q + 1) // workers
        for k in range(taps * points):
            for i in range(first, last):
                total = du[0, k // points, k % points, i]
                for other in range(1, parts):
                    more = du[other, k // points, k % points, i]
                    for j in range(o):
                        total[j] += more[j]
        leave(form, du.ctypes.data, size, dw, spoilt, q, first, last)


@compiled(
    f"void(int64, {_PRODUCTS}, {_R5}, {_R5}, {_W5}, {_W1}, {_W1}, {_W2}, {_W2}, int64, int64, "
    "int64, int64)",
    parallel=True,
)
def stationary(form, products, x, dy, dw, vs, ms, scratch, spoilt, front, top, left, block, task):
    """Threads share the pieces; later blocks of tiles are added to dw."""
    c, o, taps = x.shape[4], dy.shape[4], dw.shape[0]
    side, m = U_SIDE[form], OUT[form]
    points = side * side
    down, across = (dy.shape[2] + m - 1) // m, (dy.shape[3] + m - 1) // m
    tiles, workers = dy.shape[0] * dy.shape[1] * down * across, scratch.shape[0]
    v_line, m_line = pitch(c), pitch(o)
    v_step, m_step = block * v_line + GAP, block * m_line + GAP
    v, dm, u_step = vs.ctypes.data, ms.ctypes.data, CHUNK * CHUNK * 4 + GAP
    pieces_o = (o + CHUNK - 1) // CHUNK
    pieces = (c + CHUNK - 1) // CHUNK * pieces_o
    for job in range((tiles + block - 1) // block * taps):
        start, a = job // taps * block, job % taps
        count = min(block, tiles - start)
        for q in shared(2 * job, workers, task):
            tile = scratch[q].ctypes.data
            first, last = count * q // workers, count * (q + 1) // workers
            both(
                form, x, dy, a, start, first, last, front, top, left, tile, v, v_step, dm, m_step
            )  # fmt: skip
        for q in shared(2 * job + 1, workers, task):
            du = scratch[q].ctypes.data
            part = du + points * u_step
            for piece in range(pieces * q // workers, pieces * (q + 1) // workers):
                c0, o0 = piece // pieces_o * CHUNK, piece % pieces_o * CHUNK
                deep, wide = min(CHUNK, c - c0), min(CHUNK, o - o0)
                for k in range(products.shape[0]):
                    product(
                        deep, wide, count, v + products[k, 0] * v_step + c0 * 4, 4, v_line,
                        dm + products[k, 2] * m_step + o0 * 4, m_line,
                        du + products[k, 1] * u_step, CHUNK * 4, k - products[k, 3],
                    )  # fmt: skip
                for i in range(deep):
                    source = du + i * CHUNK * 4
                    gather(
                        form, source, side * u_step, u_step, part, 3 * CHUNK * 4, CHUNK * 4, wide
                    )
                    for tap in range(9):
                        sums = scratch[q, points * u_step // 4 + tap * CHUNK :]
                        line = dw[a, tap // 3, tap % 3, c0 + i, o0 : o0 + wide]
                        for j in range(wide):
                            line[j] = sums[j] + (line[j] if start else np.float32(0))
                        for j in range(wide):
                            spoilt[q, 0] += line[j] * np.float32(0)
