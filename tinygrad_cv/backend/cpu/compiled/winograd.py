"""Winograd convolution: 3x3 kernels at stride 1 or 2 in one of the forms of ``forms``.

Pixels are channels-last, so a transform moves runs of channels, one vector after the other. A
kernel of three dimensions is a sum over its depth: every tap adds its products, with V made of the
plane that the tap meets. In two dimensions there is one plane and one tap.

Two orders of the same work, by where it finds room:

* ``blocks``: U is made first. Every thread takes tiles, as many as fit its level-2 cache, through
  all steps. With groups U is [taps, points, K/groups, N], and the products are those of a group.
* ``stationary`` (many channels): U would not stay in the cache, and for a few hundred channels it
  is larger than all activations. All tiles of a larger block are transformed first; then each
  thread makes a piece of U, 64 x 64 channels, in its cache, uses it for all tiles, and drops it.

The gradient of the input at stride 1 is a convolution with the kernel rotated by 180 degrees and
its channels swapped, at stride 2 the form SPREAD of the same kernel: with ``backward``, w
[taps, 3, 3, N, K] is read as [taps, 3, 3, K, N], a few lines at a time. The weight gradient is in
``winograd_weights``.

While a thread multiplies, it asks for the pixels that its next tiles are made of.

A NaN or an infinity spreads over its whole tile here, where a direct sum keeps it in the 3 x 3
window. So every kernel adds up its results times 0 in ``spoilt``, where each thread has a row; what
is not 0 afterwards says that the caller must compute this case directly.
"""

from __future__ import annotations

from numba import njit

from tinygrad_cv.backend.cpu.compiled.forms import (
    IN,
    M_SIDE,
    OUT,
    STEP,
    U_SIDE,
    V_SIDE,
    enter,
    read,
    write,
)
from tinygrad_cv.backend.cpu.compiled.product import product
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import (
    WIDTH,
    copy,
    prefetch_later,
    prefetch_to_write,
    transpose,
    zero,
)
from tinygrad_cv.backend.cpu.compiling import compiled, routine

__all__ = [
    "CHUNK",
    "GAP",
    "TRANSPOSED",
    "blocks",
    "pitch",
    "stationary",
    "take",
    "weights",
]

CHUNK = 64  # channels of a piece of the weights: 36 points of 64 x 64 floats fill half a cache
GAP = 64  # bytes between the matrices of two points, so that they do not fall on the same lines
TRANSPOSED = 9 * WIDTH * CHUNK  # floats of the lines that are transposed together

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R4, _W4 = "Array(float32, 4, 'C', readonly=True)", "float32[:, :, :, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_W2, _PRODUCTS = "float32[:, ::1]", "Array(int64, 2, 'C', readonly=True)"


@njit(inline="always")
def pitch(channels):
    """Bytes from tile to tile: rows a large power of two apart would share few cache lines."""
    return channels * 4 + (GAP if channels % 128 == 0 else 0)


@njit(inline="always")
def take(form, x, image, z, h, w, tile, v, step):
    """V of the pixels at (h, w) of a plane; ``tile`` is room for those at a border."""
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    n, side = IN[form], V_SIDE[form]
    pixel = c * 4
    if z < 0 or z >= depth:
        for k in range(side * side):
            zero(v + k * step, pixel)
        return
    origin = x.ctypes.data + (((image * depth + z) * height + h) * width + w) * pixel
    line = width * pixel
    if h < 0 or w < 0 or h + n > height or w + n > width:
        left = min(n, max(0, -w))
        right = max(left, min(n, width - w))
        for i in range(n):
            place = tile + i * n * pixel
            if h + i < 0 or h + i >= height:
                zero(place, n * pixel)
            else:
                zero(place, left * pixel)
                inside = origin + (i * width + left) * pixel
                copy(place + left * pixel, inside, (right - left) * pixel)
                zero(place + right * pixel, (n - right) * pixel)
        origin, line = tile, n * pixel
    read(form, origin, line, pixel, v, side * step, step, c)


@njit(inline="always")
def expect(size, array, image, z, h, w, written):
    """Ask for ``size`` x ``size`` pixels at (h, w) of a plane."""
    depth, height, width, pixel = array.shape[1], array.shape[2], array.shape[3], array.shape[4] * 4
    if z >= 0 and z < depth:
        left, right = max(w, 0), min(w + size, width)
        for i in range(max(h, 0), min(h + size, height)):
            start = array.ctypes.data + (((image * depth + z) * height + i) * width + left) * pixel
            for byte in range(0, (right - left) * pixel, 64):
                if written:
                    prefetch_to_write(start + byte)
                else:
                    prefetch_later(start + byte)


@njit(inline="always")
def put(form, y, image, d, h, w, tile, source, step, bias, spoilt):
    """The outputs at (h, w) from M, without those beyond a border."""
    planes, height, width, o = y.shape[1], y.shape[2], y.shape[3], y.shape[4]
    m, side = OUT[form], M_SIDE[form]
    pixel = o * 4
    origin = y.ctypes.data + (((image * planes + d) * height + h) * width + w) * pixel
    first, left = max(0, -h), max(0, -w)
    last, right = min(m, height - h), min(m, width - w)
    whole = last - first == m and right - left == m
    target, line = (origin, width * pixel) if whole else (tile, m * pixel)
    write(form, source, side * step, step, target, line, pixel, o, spoilt)
    if not whole:
        start, size = left * pixel, (right - left) * pixel
        for i in range(first, last):
            copy(origin + i * width * pixel + start, tile + i * m * pixel + start, size)
    if bias.size:
        for i in range(first, last):
            for j in range(left, right):
                line = y[image, d, h + i, w + j]
                for k in range(o):
                    line[k] += bias[k]


@routine
def piece(
    form: int, backward: int, deep: int, wide: int, w: int, w_tap: int, w_row: int, u: int,
    u_row: int, u_step: int, room: int,
) -> None:  # fmt: skip
    """U of ``deep`` x ``wide`` channels; with ``backward``, w lies as ``wide`` x ``deep``, and
    ``room`` takes ``TRANSPOSED`` floats. All are addresses and steps in bytes."""
    side = U_SIDE[form]
    if not backward:
        for i in range(deep):
            place = u + i * u_row
            enter(form, 0, w + i * w_row, 3 * w_tap, w_tap, place, side * u_step, u_step, wide)
        return
    line = CHUNK * 4
    for first in range(0, deep, WIDTH):
        rows = min(WIDTH, deep - first)
        for tap in range(9):
            source = w + tap * w_tap + first * 4
            transpose(room + tap * WIDTH * line, line, source, w_row, wide, rows)
        for i in range(rows):
            place = u + (first + i) * u_row
            enter(
                form, 1, room + i * line, 3 * WIDTH * line, WIDTH * line, place, side * u_step,
                u_step, wide,
            )  # fmt: skip


@compiled(f"void(int64, {_R5}, {_W4}, {_W2}, int64)", parallel=True)
def weights(form, w, u, scratch, backward, task):
    """U [taps, points, K, N] of w [taps, 3, 3, K, N]; with ``backward`` of the rotated kernel, its
    depth too, and w is [taps, 3, 3, N, K], or with groups [taps, 3, 3, N/groups, groups*K]."""
    taps, points, deep, wide = u.shape
    row, size, workers = w.shape[4] * 4, deep * wide * 4, scratch.shape[0]
    groups = w.shape[4] // deep if backward else 1
    near = wide // groups
    run = CHUNK if backward else max(wide, 1)
    down, across = (deep + WIDTH - 1) // WIDTH, (near + run - 1) // run
    jobs, each = taps * groups * down * across, down * across
    for q in shared(0, workers, task):
        room = scratch[q].ctypes.data
        for job in range(jobs * q // workers, jobs * (q + 1) // workers):
            a, place = divmod(job, groups * each)
            g, place = divmod(place, each)
            j, i = place // down * run, place % down * WIDTH
            tap = taps - 1 - a if backward else a
            lies = j * row + (g * deep + i) * 4 if backward else i * row + j * 4
            piece(
                form, backward, min(WIDTH, deep - i), min(run, near - j),
                w.ctypes.data + tap * 9 * size + lies, size, row,
                u.ctypes.data + a * points * size + (i * wide + g * near + j) * 4, wide * 4, size,
                room,
            )  # fmt: skip


@compiled(
    f"void(int64, {_PRODUCTS}, {_R5}, {_R4}, {_R1}, {_W5}, {_W2}, {_W2}, int64, int64, int64, "
    "int64, int64, int64)",
    parallel=True,
)
def blocks(
    form, products, x, u, bias, y, scratch, spoilt, front, top, left, above, beside, block, task
):
    """Each thread takes ``block`` tiles at a time through all steps, in its row of scratch.

    The first tile begins ``top`` and ``left`` pixels before the first pixel, and ``above`` and
    ``beside`` outputs before the first output.
    """
    c, o, planes, taps = x.shape[4], y.shape[4], y.shape[1], u.shape[0]
    points_v, points_m, points = V_SIDE[form] ** 2, M_SIDE[form] ** 2, u.shape[1]
    deep, every = u.shape[2], products.shape[0]
    groups = c // deep
    m, step, wide = OUT[form], STEP[form], o // groups
    down, across = (y.shape[2] + above + m - 1) // m, (y.shape[3] + beside + m - 1) // m
    tiles, workers = y.shape[0] * planes * down * across, scratch.shape[0]
    v_line, m_line = pitch(c), pitch(o)
    v_step, m_step = block * v_line + GAP, block * m_line + GAP
    for q in shared(0, workers, task):
        v = scratch[q].ctypes.data
        mm = v + points_v * v_step
        tile = mm + points_m * m_step
        t, end = tiles * q // workers, tiles * (q + 1) // workers
        while t < end:
            count = min(block, end - t)
            for a in range(taps):
                for i in range(count):
                    plane, place = divmod(t + i, down * across)
                    image, d = divmod(plane, planes)
                    h, w = place // across * step - top, place % across * step - left
                    take(form, x, image, d + a - front, h, w, tile, v + i * v_line, v_step)
                for k in range(products.shape[0]):
                    first, last = count * k // every, count * (k + 1) // every
                    for i in range(first, last):  # what is read and written after the products
                        ahead, tap = (t + i, a + 1) if a + 1 < taps else (t + count + i, 0)
                        plane, place = divmod(min(ahead, end - 1), down * across)
                        image, d = divmod(plane, planes)
                        h, w = place // across * step - top, place % across * step - left
                        expect(step, x, image, d + tap - front, h, w, False)
                        if a + 1 == taps:
                            plane, place = divmod(t + i, down * across)
                            image, d = divmod(plane, planes)
                            h, w = place // across * m - above, place % across * m - beside
                            expect(m, y, image, d, h, w, True)
                    near = v + products[k, 0] * v_step
                    factor = u.ctypes.data + (a * points + products[k, 1]) * deep * o * 4
                    total = mm + products[k, 2] * m_step
                    for g in range(groups):
                        product(
                            count, wide, deep, near + g * deep * 4, v_line, 4,
                            factor + g * wide * 4, o * 4, total + g * wide * 4, m_line,
                            a + k - products[k, 3],
                        )  # fmt: skip
            for i in range(count):
                plane, place = divmod(t + i, down * across)
                image, d = divmod(plane, planes)
                h, w = place // across * m - above, place % across * m - beside
                put(
                    form, y, image, d, h, w, tile, mm + i * m_line, m_step, bias,
                    spoilt[q].ctypes.data,
                )  # fmt: skip
            t += count


@compiled(
    f"void(int64, {_PRODUCTS}, {_R5}, {_R5}, {_R1}, {_W5}, {_W1}, {_W1}, {_W2}, {_W2}, int64, "
    "int64, int64, int64, int64, int64, int64, int64)",
    parallel=True,
)
def stationary(
    form, products, x, w, bias, y, vs, ms, scratch, spoilt, backward, front, top, left, above,
    beside, block, across_o, task,
):  # fmt: skip
    """``block`` tiles at a time; pieces of U are made where they are used.

    The products are shared among threads as a grid: ``across_o`` ranges of output channels,
    and ranges of tiles.
    """
    c, o, planes, taps = x.shape[4], y.shape[4], y.shape[1], w.shape[0]
    points, m, step = U_SIDE[form] ** 2, OUT[form], STEP[form]
    down, across = (y.shape[2] + above + m - 1) // m, (y.shape[3] + beside + m - 1) // m
    tiles, workers = y.shape[0] * planes * down * across, scratch.shape[0]
    v_line, m_line, size, row = pitch(c), pitch(o), c * o * 4, w.shape[4] * 4
    v_step, m_step = block * v_line + GAP, block * m_line + GAP
    u_step, across_t = CHUNK * CHUNK * 4 + GAP, workers // across_o
    v, mm = vs.ctypes.data, ms.ctypes.data
    for job in range((tiles + block - 1) // block * taps):
        start, a = job // taps * block, job % taps
        count = min(block, tiles - start)
        for q in shared(3 * job, workers, task):
            tile = scratch[q].ctypes.data
            for i in range(count * q // workers, count * (q + 1) // workers):
                plane, place = divmod(start + i, down * across)
                image, d = divmod(plane, planes)
                h, w_ = place // across * step - top, place % across * step - left
                take(form, x, image, d + a - front, h, w_, tile, v + i * v_line, v_step)
        for q in shared(3 * job + 1, across_o * across_t, task):
            u = scratch[q].ctypes.data
            room = u + points * u_step
            share, part = divmod(q, across_o)
            t0, t1 = count * share // across_t, count * (share + 1) // across_t
            lines = (o + 15) // 16
            first = lines * part // across_o * 16
            last = min(o, lines * (part + 1) // across_o * 16)
            tap = taps - 1 - a if backward else a
            for o0 in range(first, last, CHUNK):
                wide = min(CHUNK, last - o0)
                for c0 in range(0, c, CHUNK):
                    deep = min(CHUNK, c - c0)
                    source = w.ctypes.data + tap * 9 * size
                    source += o0 * row + c0 * 4 if backward else c0 * row + o0 * 4
                    piece(
                        form, backward, deep, wide, source, size, row, u, CHUNK * 4, u_step, room
                    )  # fmt: skip
                    for k in range(products.shape[0]):
                        product(
                            t1 - t0, wide, deep,
                            v + products[k, 0] * v_step + t0 * v_line + c0 * 4, v_line, 4,
                            u + products[k, 1] * u_step, CHUNK * 4,
                            mm + products[k, 2] * m_step + t0 * m_line + o0 * 4, m_line,
                            a + c0 + k - products[k, 3],
                        )  # fmt: skip
        if a == taps - 1:
            for q in shared(3 * job + 2, workers, task):
                tile = scratch[q].ctypes.data
                for i in range(count * q // workers, count * (q + 1) // workers):
                    plane, place = divmod(start + i, down * across)
                    image, d = divmod(plane, planes)
                    h, w_ = place // across * m - above, place % across * m - beside
                    put(
                        form, y, image, d, h, w_, tile, mm + i * m_line, m_step, bias,
                        spoilt[q].ctypes.data,
                    )  # fmt: skip
