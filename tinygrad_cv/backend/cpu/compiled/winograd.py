"""Winograd convolution: 3x3 kernels at stride 1 with 2.25 or 4 multiplications per output, not 9.

A tile of m x m outputs depends on n x n pixels, n = m + 2. Both tile and kernel are transformed,
multiplied point by point, and the products transformed back (S. Winograd, 1980; A. Lavin and
S. Gray, Fast algorithms for convolutional neural networks, 2016)::

    V = B^t d B     U = G w G^t     M[k] = V[k] U[k]  for each of the n*n points k     Y = A^t M A

V[k] is [tiles, C], U[k] is [C, O], so each point is a matrix product over the channels. Pixels are
channels-last, so a transform moves runs of channels, one vector after the other. A kernel of three
dimensions is a sum over its depth: M[k] = sum_a V_a[k] U_a[k], where V_a is made of the plane that
tap a meets. In two dimensions there is one plane and one tap.

Two orders of the same work, by where it finds room:

* ``blocks``: U is made first. Every thread takes tiles, as many as fit its level-2 cache, through
  all steps.
* ``stationary`` (many channels): U would not stay in the cache, and for a few hundred channels it
  is larger than all activations. All tiles of a larger block are transformed first; then each
  thread makes a piece of U, 64 x 64 channels, in its cache, uses it for all tiles, and drops it.

The gradient of the input is a convolution with the kernel turned by 180 degrees and its channels
swapped; that of the weight is in ``winograd_weights``.

A NaN or an infinity spreads over its whole tile here, where a direct sum keeps it in the 3 x 3
window. So every kernel adds up its results times 0 in ``spoilt``, one number for each thread; what
is not 0 afterwards says that the caller must compute this case directly.

The interpolation points 0, +-1/sqrt(2), +-sqrt(2) and infinity make F(4x4) four times more accurate
than the usual 0, +-1, +-2 at the same cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.transform import separable
from tinygrad_cv.backend.cpu.compiled.vector import copy, zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["CHUNK", "GAP", "KERNELS", "Kernels", "matrices", "pitch", "taking", "turned"]

POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))}
CHUNK = 64  # channels of a piece of the weights: 36 points of 64 x 64 floats fill half a cache
GAP = 64  # bytes between the matrices of two points, so that they do not fall on the same lines

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R4, _W4 = "Array(float32, 4, 'C', readonly=True)", "float32[:, :, :, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_W2 = "float32[:, ::1]"


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


@njit(inline="always")
def pitch(channels):  # type: ignore[no-untyped-def]
    """Bytes from tile to tile: rows a large power of two apart would share few cache lines."""
    return channels * 4 + (GAP if channels % 128 == 0 else 0)


def taking(m: int) -> Any:
    """The function that gives V of one tile."""
    n = m + 2
    read = separable(matrices(m)[2])

    @njit(inline="always")
    def take(x, image, z, h, w, tile, v, step):  # type: ignore[no-untyped-def]
        """V of the n x n pixels at (h, w) of a plane; ``tile`` is room for those at a border."""
        depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
        pixel = c * 4
        if z < 0 or z >= depth:
            for k in range(n * n):
                zero(v + k * step, pixel)
            return
        origin = x.ctypes.data + (((image * depth + z) * height + h) * width + w) * pixel
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

    return take


class Kernels(NamedTuple):
    """What F(m x m, 3 x 3) needs forward, compiled at the first call of each."""

    weights: Callable[..., None]
    blocks: Callable[..., None]
    stationary: Callable[..., None]


def _kernels(m: int) -> Kernels:
    n = m + 2
    points = n * n
    at, g, _ = matrices(m)
    take, write = taking(m), separable(at)
    enter, enter_turned = separable(g), separable(g, flip=True)

    @njit(inline="always")
    def put(y, image, d, h, w, tile, source, step, bias):  # type: ignore[no-untyped-def]
        """The m x m outputs at (h, w) from M, without those beyond the border. Returns the sum of
        the outputs times 0."""
        planes, height, width, o = y.shape[1], y.shape[2], y.shape[3], y.shape[4]
        pixel = o * 4
        origin = y.ctypes.data + (((image * planes + d) * height + h) * width + w) * pixel
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
                line = y[image, d, h + i, w + j]
                for k in range(o):
                    total += line[k] * np.float32(0)
                if bias.size:
                    for k in range(o):
                        line[k] += bias[k]
        return total

    @compiled(f"void({_R5}, {_W4}, int64, int64)", parallel=True)
    def weights(w, u, turn, workers):  # type: ignore[no-untyped-def]
        """U [taps, points, C, O] of w [taps, 3, 3, C, O]; with ``turn`` of the kernel turned by 180
        degrees, its depth too."""
        taps, c, o = w.shape[0], w.shape[3], w.shape[4]
        size = c * o * 4
        for q in prange(workers):
            first, last = c * q // workers * o, c * (q + 1) // workers * o
            for a in range(taps):
                source = w.ctypes.data + a * 9 * size + first * 4
                target = u.ctypes.data + a * points * size + first * 4
                if turn:
                    target = u.ctypes.data + (taps - 1 - a) * points * size + first * 4
                    enter_turned(source, 3 * size, size, target, n * size, size, last - first)
                else:
                    enter(source, 3 * size, size, target, n * size, size, last - first)

    @compiled(
        f"void({_R5}, {_R4}, {_R1}, {_W5}, {_W2}, {_W1}, int64, int64, int64, int64)",
        parallel=True,
    )
    def blocks(x, u, bias, y, scratch, spoilt, front, top, left, block):  # type: ignore[no-untyped-def]
        """Each thread takes ``block`` tiles at a time through all steps, in its row of scratch."""
        c, o, planes, taps = x.shape[4], y.shape[4], y.shape[1], u.shape[0]
        down, across = (y.shape[2] + m - 1) // m, (y.shape[3] + m - 1) // m
        tiles, workers = y.shape[0] * planes * down * across, scratch.shape[0]
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
                for a in range(taps):
                    for i in range(count):
                        plane, place = divmod(t + i, down * across)
                        image, d = divmod(plane, planes)
                        h, w = place // across * m - top, place % across * m - left
                        take(x, image, d + a - front, h, w, tile, v + i * v_line, v_step)
                    for k in range(points):
                        product(
                            count, o, c, v + k * v_step, v_line, 4,
                            u.ctypes.data + (a * points + k) * c * o * 4, o * 4, mm + k * m_step,
                            m_line, a,
                        )  # fmt: skip
                for i in range(count):
                    plane, place = divmod(t + i, down * across)
                    image, d = divmod(plane, planes)
                    h, w = place // across * m, place % across * m
                    total += put(y, image, d, h, w, tile, mm + i * m_line, m_step, bias)
                t += count
            spoilt[q] = total

    @compiled(
        f"void({_R5}, {_R5}, {_R1}, {_W5}, {_W1}, {_W1}, {_W2}, {_W1}, int64, int64, int64, int64, "
        "int64, int64)",
        parallel=True,
    )
    def stationary(  # type: ignore[no-untyped-def]
        x, w, bias, y, vs, ms, scratch, spoilt, turn, front, top, left, block, across_o
    ):
        """``block`` tiles at a time; pieces of U are made where they are used.

        The products are shared among threads as a grid: ``across_o`` ranges of output channels,
        and ranges of tiles.
        """
        c, o, planes, taps = x.shape[4], y.shape[4], y.shape[1], w.shape[0]
        down, across = (y.shape[2] + m - 1) // m, (y.shape[3] + m - 1) // m
        tiles, workers = y.shape[0] * planes * down * across, scratch.shape[0]
        v_line, m_line, size = pitch(c), pitch(o), c * o * 4
        v_step, m_step = block * v_line + GAP, block * m_line + GAP
        u_step, across_t = CHUNK * CHUNK * 4 + GAP, workers // across_o
        v, mm = vs.ctypes.data, ms.ctypes.data
        for job in range((tiles + block - 1) // block * taps):
            start, a = job // taps * block, job % taps
            count = min(block, tiles - start)
            for q in prange(workers):
                tile = scratch[q].ctypes.data
                for i in range(count * q // workers, count * (q + 1) // workers):
                    plane, place = divmod(start + i, down * across)
                    image, d = divmod(plane, planes)
                    h, w_ = place // across * m - top, place % across * m - left
                    take(x, image, d + a - front, h, w_, tile, v + i * v_line, v_step)
            for q in prange(across_o * across_t):
                u = scratch[q].ctypes.data
                share, part = divmod(q, across_o)
                t0, t1 = count * share // across_t, count * (share + 1) // across_t
                lines = (o + 15) // 16
                first = lines * part // across_o * 16
                last = min(o, lines * (part + 1) // across_o * 16)
                tap = taps - 1 - a if turn else a
                for o0 in range(first, last, CHUNK):
                    wide = min(CHUNK, last - o0)
                    for c0 in range(0, c, CHUNK):
                        deep = min(CHUNK, c - c0)
                        for i in range(deep):
                            from_ = w.ctypes.data + tap * 9 * size + ((c0 + i) * o + o0) * 4
                            to = u + i * CHUNK * 4
                            if turn:
                                enter_turned(from_, 3 * size, size, to, n * u_step, u_step, wide)
                            else:
                                enter(from_, 3 * size, size, to, n * u_step, u_step, wide)
                        for k in range(points):
                            product(
                                t1 - t0, wide, deep, v + k * v_step + t0 * v_line + c0 * 4, v_line,
                                4, u + k * u_step, CHUNK * 4,
                                mm + k * m_step + t0 * m_line + o0 * 4, m_line, a + c0,
                            )  # fmt: skip
            if a == taps - 1:
                for q in prange(workers):
                    tile = scratch[q].ctypes.data
                    for i in range(count * q // workers, count * (q + 1) // workers):
                        plane, place = divmod(start + i, down * across)
                        image, d = divmod(plane, planes)
                        h, w_ = place // across * m, place % across * m
                        source = mm + i * m_line
                        spoilt[q] += put(y, image, d, h, w_, tile, source, m_step, bias)

    return Kernels(weights, blocks, stationary)


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
