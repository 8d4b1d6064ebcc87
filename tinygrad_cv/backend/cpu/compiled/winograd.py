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

import numpy as np
from numba import njit, prange

from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.transform import separable
from tinygrad_cv.backend.cpu.compiled.vector import copy, zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["CHUNK", "GAP", "blocks", "matrices", "pitch", "stationary", "take", "turned", "weights"]

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


# Machine code is found on disk again only for functions without a closure, so one text serves both
# tiles, m = 2 and m = 4.
_read2, _read4 = separable(matrices(2)[2]), separable(matrices(4)[2])
_write2, _write4 = separable(matrices(2)[0]), separable(matrices(4)[0])
_enter2, _enter4 = separable(matrices(2)[1]), separable(matrices(4)[1])
_turn2, _turn4 = separable(matrices(2)[1], flip=True), separable(matrices(4)[1], flip=True)


@njit(inline="always")
def pitch(channels):  # type: ignore[no-untyped-def]
    """Bytes from tile to tile: rows a large power of two apart would share few cache lines."""
    return channels * 4 + (GAP if channels % 128 == 0 else 0)


@njit(inline="always")
def _read(m, source, row, column, target, target_row, target_column, channels):  # type: ignore[no-untyped-def]
    if m == 4:
        _read4(source, row, column, target, target_row, target_column, channels)
    else:
        _read2(source, row, column, target, target_row, target_column, channels)


@njit(inline="always")
def _write(m, source, row, column, target, target_row, target_column, channels):  # type: ignore[no-untyped-def]
    if m == 4:
        _write4(source, row, column, target, target_row, target_column, channels)
    else:
        _write2(source, row, column, target, target_row, target_column, channels)


@njit(inline="always")
def _enter(m, turn, source, row, column, target, target_row, target_column, channels):  # type: ignore[no-untyped-def]
    if m == 4 and turn:
        _turn4(source, row, column, target, target_row, target_column, channels)
    elif m == 4:
        _enter4(source, row, column, target, target_row, target_column, channels)
    elif turn:
        _turn2(source, row, column, target, target_row, target_column, channels)
    else:
        _enter2(source, row, column, target, target_row, target_column, channels)


@njit(inline="always")
def take(m, x, image, z, h, w, tile, v, step):  # type: ignore[no-untyped-def]
    """V of the n x n pixels at (h, w) of a plane; ``tile`` is room for those at a border."""
    n, depth, height, width, c = m + 2, x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    pixel = c * 4
    if z < 0 or z >= depth:
        for k in range(n * n):
            zero(v + k * step, pixel)
        return
    origin = x.ctypes.data + (((image * depth + z) * height + h) * width + w) * pixel
    if h >= 0 and w >= 0 and h + n <= height and w + n <= width:
        _read(m, origin, width * pixel, pixel, v, n * step, step, c)
        return
    for i in range(n):
        for j in range(n):
            place = tile + (i * n + j) * pixel
            if h + i >= 0 and h + i < height and w + j >= 0 and w + j < width:
                copy(place, origin + (i * width + j) * pixel, pixel)
            else:
                zero(place, pixel)
    _read(m, tile, n * pixel, pixel, v, n * step, step, c)


@njit(inline="always")
def put(m, y, image, d, h, w, tile, source, step, bias):  # type: ignore[no-untyped-def]
    """The m x m outputs at (h, w) from M, without those beyond the border. Returns the sum of
    the outputs times 0."""
    n, planes, height, width, o = m + 2, y.shape[1], y.shape[2], y.shape[3], y.shape[4]
    pixel = o * 4
    origin = y.ctypes.data + (((image * planes + d) * height + h) * width + w) * pixel
    rows, columns = min(m, height - h), min(m, width - w)
    if rows == m and columns == m:
        _write(m, source, n * step, step, origin, width * pixel, pixel, o)
    else:
        _write(m, source, n * step, step, tile, m * pixel, pixel, o)
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


@compiled(f"void(int64, {_R5}, {_W4}, int64, int64)", parallel=True)
def weights(m, w, u, turn, workers):  # type: ignore[no-untyped-def]
    """U [taps, points, C, O] of w [taps, 3, 3, C, O]; with ``turn`` of the kernel turned by 180
    degrees, its depth too."""
    taps, c, o = w.shape[0], w.shape[3], w.shape[4]
    n, size = m + 2, c * o * 4
    points = n * n
    for q in prange(workers):
        first, last = c * q // workers * o, c * (q + 1) // workers * o
        for a in range(taps):
            source = w.ctypes.data + a * 9 * size + first * 4
            target = u.ctypes.data + a * points * size + first * 4
            if turn:
                target = u.ctypes.data + (taps - 1 - a) * points * size + first * 4
            _enter(m, turn, source, 3 * size, size, target, n * size, size, last - first)


@compiled(
    f"void(int64, {_R5}, {_R4}, {_R1}, {_W5}, {_W2}, {_W1}, int64, int64, int64, int64)",
    parallel=True,
)
def blocks(m, x, u, bias, y, scratch, spoilt, front, top, left, block):  # type: ignore[no-untyped-def]
    """Each thread takes ``block`` tiles at a time through all steps, in its row of scratch."""
    c, o, planes, taps = x.shape[4], y.shape[4], y.shape[1], u.shape[0]
    points = (m + 2) ** 2
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
                    take(m, x, image, d + a - front, h, w, tile, v + i * v_line, v_step)
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
                total += put(m, y, image, d, h, w, tile, mm + i * m_line, m_step, bias)
            t += count
        spoilt[q] = total


@compiled(
    f"void(int64, {_R5}, {_R5}, {_R1}, {_W5}, {_W1}, {_W1}, {_W2}, {_W1}, int64, int64, int64, "
    "int64, int64, int64)",
    parallel=True,
)
def stationary(  # type: ignore[no-untyped-def]
    m, x, w, bias, y, vs, ms, scratch, spoilt, turn, front, top, left, block, across_o
):
    """``block`` tiles at a time; pieces of U are made where they are used.

    The products are shared among threads as a grid: ``across_o`` ranges of output channels,
    and ranges of tiles.
    """
    c, o, planes, taps = x.shape[4], y.shape[4], y.shape[1], w.shape[0]
    n, points = m + 2, (m + 2) ** 2
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
                take(m, x, image, d + a - front, h, w_, tile, v + i * v_line, v_step)
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
                        _enter(m, turn, from_, 3 * size, size, to, n * u_step, u_step, wide)
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
                    spoilt[q] += put(m, y, image, d, h, w_, tile, source, m_step, bias)


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
