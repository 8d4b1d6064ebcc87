"""Winograd convolution: 3x3 kernels at stride 1 with 2.25 or 4 multiplications per output, not 9.

A tile of m x m outputs depends on n x n pixels, n = m + 2. Both tile and kernel are transformed,
multiplied point by point, and the products transformed back (S. Winograd, 1980; A. Lavin and
S. Gray, Fast algorithms for convolutional neural networks, 2016)::

    V = B^t d B     U = G w G^t     M[k] = V[k] U[k]  for each of the n*n points k     Y = A^t M A

V[k] is [tiles, C], U[k] is [C, O], so each point is a matrix product over the channels. Pixels are
channels-last, so a transform moves runs of channels, one vector after the other.

Two orders of the same work, by where it finds room:

* ``blocks`` (few channels): U is small. Every thread takes tiles, as many as fit its level-2 cache,
  through all three steps.
* ``stationary`` (many channels): U would not stay in the cache, and for a few hundred channels it
  is larger than all activations. All tiles of a larger block are transformed first; then each
  thread makes a piece of U, 64 x 64 channels, in its cache, uses it for all tiles, and drops it.

The gradient of the input is a convolution with the kernel turned by 180 degrees and its channels
swapped. That of the weight is dw = G^t dU G, where dU[k] = V[k]^t dM[k] and dM = A dY A^t.

A NaN or an infinity spreads over its whole tile here, where a direct sum keeps it in the 3 x 3
window. So every kernel adds up its results times 0 in ``spoilt``, one number for each thread; what
is not 0 afterwards says that the caller must compute this case directly.

The interpolation points 0, +-1/sqrt(2), +-sqrt(2) and infinity make F(4x4) four times more accurate
than the usual 0, +-1, +-2 at the same cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.transform import separable
from tinygrad_cv.backend.cpu.compiled.vector import copy, zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["CHUNK", "KERNELS", "Kernels", "matrices", "turned"]

POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))}
CHUNK = 64  # channels of a piece of the weights: 36 points of 64 x 64 floats fill half a cache
GAP = 64  # bytes between the matrices of two points, so that they do not fall on the same lines


def matrices(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A^t [m, n], G [n, 3], B^t [n, n]) of F(m, 3) by Toom and Cook, for the points of ``POINTS``
    and infinity."""
    points = np.array(POINTS[m])
    n = m + 2

    def powers(count: int) -> np.ndarray:
        return np.vstack([np.vander(points, count, increasing=True), np.eye(1, count, count - 1)])

    differences = [np.prod([a - b for b in points if b != a]) for a in points]
    scale = np.array([*differences, 1.0])[:, None]
    g, bt = powers(3) / scale, np.linalg.inv(powers(n)).T * scale
    bt[abs(bt) < 1e-12] = 0
    # Rows of G and B may trade factors; powers of two that balance them cost no accuracy.
    balance = 2.0 ** np.round(np.log2(np.sqrt(abs(bt).sum(1) / abs(g).sum(1))))[:, None]
    return powers(m).T, g * balance, bt / balance


class Kernels(NamedTuple):
    """What F(m x m, 3 x 3) needs, compiled at the first call of each."""

    weights: Callable[..., None]
    blocks: Callable[..., None]
    stationary: Callable[..., None]
    private_weight_gradient: Callable[..., None]
    weight_gradient: Callable[..., None]
    stationary_weight_gradient: Callable[..., None]


_R4, _W4 = "Array(float32, 4, 'C', readonly=True)", "float32[:, :, :, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_W2 = "float32[:, ::1]"


@njit(inline="always")
def pitch(channels):  # type: ignore[no-untyped-def]
    """Bytes from tile to tile: rows a large power of two apart would share few cache lines."""
    return channels * 4 + (GAP if channels % 128 == 0 else 0)


def _kernels(m: int) -> Kernels:
    n = m + 2
    points = n * n
    at, g, bt = matrices(m)
    read, write = separable(bt), separable(at)
    spread, gather = separable(at.T), separable(g.T)
    enter, enter_turned = separable(g), separable(g, flip=True)

    @njit(inline="always")
    def take(x, image, h, w, tile, v, step):  # type: ignore[no-untyped-def]
        """V of the n x n pixels at (h, w) of an image; ``tile`` is room for those at a border."""
        height, width, c = x.shape[1], x.shape[2], x.shape[3]
        pixel = c * 4
        origin = x.ctypes.data + ((image * height + h) * width + w) * pixel
        if h >= 0 and w >= 0 and h + n <= height and w + n <= width:
            read(origin, width * pixel, pixel, v, n * step, step, c)
            return
        for i in range(n):
            for j in range(n):
                place = tile + (i * n + j) * pixel
                if h + i >= 0 and h + i < height and w + j >= 0 and w + j < width:
                    copy(place, origin + (i * width + j) * pixel, pixel)
                else:
                    zero(place, pixel)
        read(tile, n * pixel, pixel, v, n * step, step, c)

    @njit(inline="always")
    def put(y, image, h, w, tile, source, step, bias):  # type: ignore[no-untyped-def]
        """The m x m outputs at (h, w) from M, without those beyond the border. Returns the sum of
        the outputs times 0."""
        height, width, o = y.shape[1], y.shape[2], y.shape[3]
        pixel = o * 4
        origin = y.ctypes.data + ((image * height + h) * width + w) * pixel
        rows, columns = min(m, height - h), min(m, width - w)
        if rows == m and columns == m:
            write(source, n * step, step, origin, width * pixel, pixel, o)
        else:
            write(source, n * step, step, tile, m * pixel, pixel, o)
            for i in range(rows):
                copy(origin + i * width * pixel, tile + i * m * pixel, columns * pixel)
        total = np.float32(0)
        for i in range(rows):
            for j in range(columns):
                line = y[image, h + i, w + j]
                for k in range(o):
                    total += line[k] * np.float32(0)
                if bias.size:
                    for k in range(o):
                        line[k] += bias[k]
        return total

    @njit(inline="always")
    def take_gradient(dy, image, h, w, tile, target, step):  # type: ignore[no-untyped-def]
        """dM of the m x m output gradients at (h, w)."""
        height, width, o = dy.shape[1], dy.shape[2], dy.shape[3]
        pixel = o * 4
        origin = dy.ctypes.data + ((image * height + h) * width + w) * pixel
        rows, columns = min(m, height - h), min(m, width - w)
        if rows == m and columns == m:
            spread(origin, width * pixel, pixel, target, n * step, step, o)
            return
        zero(tile, m * m * pixel)
        for i in range(rows):
            copy(tile + i * m * pixel, origin + i * width * pixel, columns * pixel)
        spread(tile, m * pixel, pixel, target, n * step, step, o)

    @compiled(f"void({_R4}, {_W3}, int64, int64)", parallel=True)
    def weights(w, u, turn, workers):  # type: ignore[no-untyped-def]
        """U [points, C, O] of w [3, 3, C, O], turned by 180 degrees if ``turn``."""
        c, o = w.shape[2], w.shape[3]
        size = c * o * 4
        for q in prange(workers):
            first, last = c * q // workers * o, c * (q + 1) // workers * o
            source, target = w.ctypes.data + first * 4, u.ctypes.data + first * 4
            if turn:
                enter_turned(source, 3 * size, size, target, n * size, size, last - first)
            else:
                enter(source, 3 * size, size, target, n * size, size, last - first)

    @compiled(f"void({_R4}, {_R3}, {_R1}, {_W4}, {_W2}, {_W1}, int64, int64, int64)", parallel=True)
    def blocks(x, u, bias, y, scratch, spoilt, top, left, block):  # type: ignore[no-untyped-def]
        """Each thread takes ``block`` tiles at a time through all steps, in its row of scratch."""
        c, o = x.shape[3], y.shape[3]
        down, across = (y.shape[1] + m - 1) // m, (y.shape[2] + m - 1) // m
        tiles, workers = y.shape[0] * down * across, scratch.shape[0]
        v_line, m_line = pitch(c), pitch(o)
        v_step, m_step = block * v_line + GAP, block * m_line + GAP
        for q in prange(workers):
            v = scratch[q].ctypes.data
            mm = v + points * v_step
            tile = mm + points * m_step
            total = np.float32(0)
            t, end = tiles * q // workers, tiles * (q + 1) // workers
            while t < end:
                count = min(block, end - t)
                for i in range(count):
                    image, place = divmod(t + i, down * across)
                    h, w = place // across * m, place % across * m
                    take(x, image, h - top, w - left, tile, v + i * v_line, v_step)
                for k in range(points):
                    product(
                        count, o, c, v + k * v_step, v_line, 4,
                        u.ctypes.data + k * c * o * 4, o * 4, mm + k * m_step, m_line, 0,
                    )  # fmt: skip
                for i in range(count):
                    image, place = divmod(t + i, down * across)
                    h, w = place // across * m, place % across * m
                    total += put(y, image, h, w, tile, mm + i * m_line, m_step, bias)
                t += count
            spoilt[q] = total

    @compiled(
        f"void({_R4}, {_R4}, {_R1}, {_W4}, {_W1}, {_W1}, {_W2}, {_W1}, int64, int64, int64, int64, "
        "int64)",
        parallel=True,
    )
    def stationary(x, w, bias, y, vs, ms, scratch, spoilt, turn, top, left, block, across_o):  # type: ignore[no-untyped-def]
        """``block`` tiles at a time; pieces of U are made where they are used.

        The products are shared among threads as a grid: ``across_o`` ranges of output channels,
        and ranges of tiles.
        """
        c, o = x.shape[3], y.shape[3]
        down, across = (y.shape[1] + m - 1) // m, (y.shape[2] + m - 1) // m
        tiles, workers = y.shape[0] * down * across, scratch.shape[0]
        v_line, m_line = pitch(c), pitch(o)
        v_step, m_step = block * v_line + GAP, block * m_line + GAP
        u_step = CHUNK * CHUNK * 4 + GAP
        v, mm, size = vs.ctypes.data, ms.ctypes.data, c * o * 4
        across_t = workers // across_o
        for start in range(0, tiles, block):
            count = min(block, tiles - start)
            for q in prange(workers):
                tile = scratch[q].ctypes.data
                for i in range(count * q // workers, count * (q + 1) // workers):
                    image, place = divmod(start + i, down * across)
                    h, w_ = place // across * m, place % across * m
                    take(x, image, h - top, w_ - left, tile, v + i * v_line, v_step)
            for q in prange(across_o * across_t):
                u = scratch[q].ctypes.data
                t0, t1 = (
                    count * (q // across_o) // across_t,
                    count * (q // across_o + 1) // across_t,
                )
                part, lines = q % across_o, (o + 15) // 16
                first = lines * part // across_o * 16
                last = min(o, lines * (part + 1) // across_o * 16)
                for o0 in range(first, last, CHUNK):
                    wide = min(CHUNK, last - o0)
                    for c0 in range(0, c, CHUNK):
                        deep = min(CHUNK, c - c0)
                        for i in range(deep):
                            source = w.ctypes.data + ((c0 + i) * o + o0) * 4
                            target = u + i * CHUNK * 4
                            if turn:
                                enter_turned(
                                    source, 3 * size, size, target, n * u_step, u_step, wide
                                )
                            else:
                                enter(source, 3 * size, size, target, n * u_step, u_step, wide)
                        for k in range(points):
                            product(
                                t1 - t0, wide, deep, v + k * v_step + t0 * v_line + c0 * 4, v_line,
                                4, u + k * u_step, CHUNK * 4,
                                mm + k * m_step + t0 * m_line + o0 * 4, m_line, c0,
                            )  # fmt: skip
            for q in prange(workers):
                tile = scratch[q].ctypes.data
                for i in range(count * q // workers, count * (q + 1) // workers):
                    image, place = divmod(start + i, down * across)
                    h, w_ = place // across * m, place % across * m
                    spoilt[q] += put(y, image, h, w_, tile, mm + i * m_line, m_step, bias)

    @njit(inline="always")
    def both(x, dy, start, count, q, workers, top, left, tile, v, v_step, dm, m_step):  # type: ignore[no-untyped-def]
        """V and dM of one thread's share of ``count`` tiles."""
        c, o = x.shape[3], dy.shape[3]
        down, across = (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
        for i in range(count * q // workers, count * (q + 1) // workers):
            image, place = divmod(start + i, down * across)
            h, w = place // across * m, place % across * m
            take(x, image, h - top, w - left, tile, v + i * pitch(c), v_step)
            take_gradient(dy, image, h, w, tile, dm + i * pitch(o), m_step)

    @compiled(f"void({_R4}, {_R4}, {_W4}, {_W4}, {_W2}, {_W1}, int64, int64, int64)", parallel=True)
    def private_weight_gradient(x, dy, dw, du, scratch, spoilt, top, left, block):  # type: ignore[no-untyped-def]
        """Each thread has a dU of its own for its tiles, ``block`` at a time."""
        c, o = x.shape[3], dy.shape[3]
        down, across = (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
        tiles, workers, size = dy.shape[0] * down * across, scratch.shape[0], c * o * 4
        v_line, m_line = pitch(c), pitch(o)
        v_step, m_step = block * v_line + GAP, block * m_line + GAP
        for q in prange(workers):
            v = scratch[q].ctypes.data
            dm = v + points * v_step
            tile = dm + points * m_step
            first, end = tiles * q // workers, tiles * (q + 1) // workers
            if first == end:
                zero(du[q].ctypes.data, points * size)
            for start in range(first, end, block):
                count = min(block, end - start)
                both(x, dy, start, count, 0, 1, top, left, tile, v, v_step, dm, m_step)
                for k in range(points):
                    product(
                        c, o, count, v + k * v_step, 4, v_line, dm + k * m_step, m_line,
                        du[q].ctypes.data + k * size, o * 4, start - first,
                    )  # fmt: skip
        for q in prange(workers):
            first, last = c * q // workers, c * (q + 1) // workers
            for k in range(points):
                for i in range(first, last):
                    total = du[0, k, i]
                    for other in range(1, workers):
                        part = du[other, k, i]
                        for j in range(o):
                            total[j] += part[j]
            source, target = du.ctypes.data + first * o * 4, dw.ctypes.data + first * o * 4
            gather(source, n * size, size, target, 3 * size, size, (last - first) * o)
            for tap in range(9):
                for i in range(first, last):
                    line = dw[tap // 3, tap % 3, i]
                    for j in range(o):
                        spoilt[q] += line[j] * np.float32(0)

    @compiled(
        f"void({_R4}, {_R4}, {_W4}, {_W3}, {_W1}, {_W1}, {_W2}, {_W1}, int64, int64, int64)",
        parallel=True,
    )
    def weight_gradient(x, dy, dw, du, vs, ms, scratch, spoilt, top, left, block):  # type: ignore[no-untyped-def]
        """dU is kept whole; threads share its points."""
        c, o = x.shape[3], dy.shape[3]
        down, across = (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
        tiles, workers = dy.shape[0] * down * across, scratch.shape[0]
        v_line, m_line = pitch(c), pitch(o)
        v_step, m_step = block * v_line + GAP, block * m_line + GAP
        v, dm, size = vs.ctypes.data, ms.ctypes.data, c * o * 4
        for start in range(0, tiles, block):
            count = min(block, tiles - start)
            for q in prange(workers):
                tile = scratch[q].ctypes.data
                both(x, dy, start, count, q, workers, top, left, tile, v, v_step, dm, m_step)
            for k in prange(points):
                product(
                    c, o, count, v + k * v_step, 4, v_line, dm + k * m_step, m_line,
                    du.ctypes.data + k * size, o * 4, start,
                )  # fmt: skip
        for q in prange(workers):
            first, last = c * q // workers * o, c * (q + 1) // workers * o
            source, target = du.ctypes.data + first * 4, dw.ctypes.data + first * 4
            gather(source, n * size, size, target, 3 * size, size, last - first)
            for tap in range(9):
                for i in range(c * q // workers, c * (q + 1) // workers):
                    line = dw[tap // 3, tap % 3, i]
                    for j in range(o):
                        spoilt[q] += line[j] * np.float32(0)

    @compiled(
        f"void({_R4}, {_R4}, {_W4}, {_W1}, {_W1}, {_W2}, {_W1}, int64, int64, int64)",
        parallel=True,
    )
    def stationary_weight_gradient(x, dy, dw, vs, ms, scratch, spoilt, top, left, block):  # type: ignore[no-untyped-def]
        """Each thread makes pieces of dU, 64 x 64 channels, and turns them into dw at once."""
        c, o = x.shape[3], dy.shape[3]
        down, across = (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
        tiles, workers = dy.shape[0] * down * across, scratch.shape[0]
        v_line, m_line = pitch(c), pitch(o)
        v_step, m_step = block * v_line + GAP, block * m_line + GAP
        u_step = CHUNK * CHUNK * 4 + GAP
        v, dm, size = vs.ctypes.data, ms.ctypes.data, c * o * 4
        pieces_c, pieces_o = (c + CHUNK - 1) // CHUNK, (o + CHUNK - 1) // CHUNK
        pieces = pieces_c * pieces_o
        for start in range(0, tiles, block):
            count = min(block, tiles - start)
            for q in prange(workers):
                tile = scratch[q].ctypes.data
                both(x, dy, start, count, q, workers, top, left, tile, v, v_step, dm, m_step)
            for q in prange(workers):
                du = scratch[q].ctypes.data
                part = du + points * u_step
                for piece in range(pieces * q // workers, pieces * (q + 1) // workers):
                    c0, o0 = piece // pieces_o * CHUNK, piece % pieces_o * CHUNK
                    deep, wide = min(CHUNK, c - c0), min(CHUNK, o - o0)
                    for k in range(points):
                        product(
                            deep, wide, count, v + k * v_step + c0 * 4, 4, v_line,
                            dm + k * m_step + o0 * 4, m_line, du + k * u_step, CHUNK * 4, 0,
                        )  # fmt: skip
                    for i in range(deep):
                        target = dw.ctypes.data + ((c0 + i) * o + o0) * 4
                        source = du + i * CHUNK * 4
                        if start == 0:
                            gather(source, n * u_step, u_step, target, 3 * size, size, wide)
                        else:
                            gather(source, n * u_step, u_step, part, 3 * CHUNK * 4, CHUNK * 4, wide)
                            for a in range(3):
                                for b in range(3):
                                    sums = scratch[
                                        q, (points * u_step) // 4 + (a * 3 + b) * CHUNK :
                                    ]
                                    for j in range(wide):
                                        dw[a, b, c0 + i, o0 + j] += sums[j]

    return Kernels(
        weights,
        blocks,
        stationary,
        private_weight_gradient,
        weight_gradient,
        stationary_weight_gradient,
    )


KERNELS = {m: _kernels(m) for m in POINTS}


@compiled(f"void({_R4}, {_W4}, int64)", parallel=True)
def turned(w, swapped, workers):  # type: ignore[no-untyped-def]
    """[kh, kw, C, O] as [kh, kw, O, C]."""
    taps, c, o = w.shape[0] * w.shape[1], w.shape[2], w.shape[3]
    lines = (c + 15) // 16
    for q in prange(workers):
        for job in range(taps * lines * q // workers, taps * lines * (q + 1) // workers):
            tap, line = divmod(job, lines)
            i, j = divmod(tap, w.shape[1])
            for k in range(o):
                for t in range(line * 16, min(line * 16 + 16, c)):
                    swapped[i, j, k, t] = w[i, j, t, k]
