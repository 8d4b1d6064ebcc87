"""Convolution with few channels and its weight gradient, WIDTH images at a time.

Arrays are [N, D, H, W, C] in memory. A unit of work is WIDTH images and ``together`` lines of
outputs. The lines of the input that they see are turned into [plane, line, pixel, channel, lane],
with zeros for the padding on the left and right; a line above or below is not there and is skipped.
A window is then a few runs of vectors, one for each of its lines, and a line of outputs is one
product with the weights::

    y[q, o, :] = sum over i, j, c of  w[i, j, c, o] x[p + i, q + j, c, :]
    dw[i, j, c, o, :] = sum over p, q of  dy[p, q, o, :] x[p + i, q + j, c, :]

The line goes back into the order of images while it is in the level-1 cache. The weight gradient
is kept for each lane, and the lanes are added at the end.

``geometry`` is as in ``convolution``, without groups.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinygrad_cv.backend.cpu.compiled.convolution import add_up
from tinygrad_cv.backend.cpu.compiled.lanes import (
    product_of_lanes,
    product_with_numbers,
    to_images,
    to_lanes,
)
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH, zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["forward", "weight_gradient"]

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_R1, _W2 = "Array(float32, 1, 'C', readonly=True)", "float32[:, ::1]"
_GEOMETRY = "Array(int64, 1, 'C', readonly=True)"

VECTOR = 4 * WIDTH  # bytes


@njit
def _lines_of(x, first, count, z, h, lines, left, width, packed):
    """Turn ``lines`` lines of plane z from line h on, ``width`` pixels each."""
    depth, height, across, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    step, inside = depth * height * across * c * 4, min(across, width - left)
    for line in range(max(0, -h), min(lines, height - h)):
        target = packed + line * width * c * VECTOR
        source = x.ctypes.data + first * step + ((z * height + h + line) * across * c) * 4
        zero(target, left * c * VECTOR)
        to_lanes(target + left * c * VECTOR, VECTOR, source, step, count, inside * c)
        zero(target + (left + inside) * c * VECTOR, (width - left - inside) * c * VECTOR)


@njit
def _planes_of(x, first, count, z, step, planes, h, lines, left, width, packed):
    """The same for ``planes`` planes, ``step`` apart, that exist."""
    for a in range(planes):
        if 0 <= z + a * step < x.shape[1]:
            place = packed + a * lines * width * x.shape[4] * VECTOR
            _lines_of(x, first, count, z + a * step, h, lines, left, width, place)


@njit
def _there(first, step, count, size):
    """The first and the number of those of first + step k, k < count, that are in 0 .. size."""
    start = min(count, max(0, (step - 1 - first) // step))
    return start, max(0, min(count, (size - 1 - first) // step + 1) - start)


@compiled(f"void({_R5}, {_R3}, {_R1}, {_W5}, {_W2}, {_GEOMETRY}, int64, int64)", parallel=True)
def forward(x, w, bias, y, scratch, geometry, together, width, task):
    """y of x and w [taps, C, O]. ``scratch`` has the padded input, a line of outputs, and the
    bias, for each thread."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    images, planes, rows, across, o = y.shape
    depth, height, c, workers = x.shape[1], x.shape[2], x.shape[4], scratch.shape[0]
    parts = (rows + together - 1) // together
    units = (images + WIDTH - 1) // WIDTH * planes * parts
    deep, pieces = (kw * c, 1) if dw == 1 else (c, kw)
    lines = (together - 1) * sh + (kh - 1) * dh + 1
    row, pixel, step = width * c * VECTOR, c * VECTOR, planes * rows * across * o * 4
    for worker in shared(0, workers, task):
        room = scratch[worker]
        addend = room[: o + WIDTH]
        for k in range(addend.size):
            addend[k] = bias[k % o] if bias.size > 0 else np.float32(0)
        packed = room.ctypes.data + (o + 2 * WIDTH - 1) // WIDTH * VECTOR
        line = packed + kd * lines * row + WIDTH * VECTOR
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            rest, part = divmod(unit, parts)
            block, d = divmod(rest, planes)
            first, p0 = block * WIDTH, part * together
            count, p1 = min(WIDTH, images - first), min(p0 + together, rows)
            z = d * sd - front
            _planes_of(x, first, count, z, dd, kd, p0 * sh - top, lines, left, width, packed)
            for p in range(p0, p1):
                i, runs = _there(p * sh - top, dh, kh, height)
                for a in range(kd):
                    exists = runs if 0 <= z + a * dd < depth else 0
                    source = packed + (a * lines + (p - p0) * sh + i * dh) * row
                    weights = w.ctypes.data + (a * kh + i) * kw * c * o * 4
                    for j in range(pieces):
                        product_with_numbers(
                            o, across, deep, exists, weights + j * c * o * 4, 4, o * 4,
                            kw * c * o * 4, source + j * dw * pixel, VECTOR, sw * pixel, dh * row,
                            line, VECTOR, o * VECTOR, a + j,
                        )  # fmt: skip
                place = ((first * planes + d) * rows + p) * across * o * 4
                to_images(y.ctypes.data + place, step, line, count, across * o, room.ctypes.data, o)


@compiled(
    f"void({_R5}, {_R5}, {_W3}, float32[:, :, :, ::1], {_W2}, {_GEOMETRY}, int64, int64, int64)",
    parallel=True,
)
def weight_gradient(x, dy, dw_, parts, scratch, geometry, together, short, width, task):
    """dw [taps, C, O] of x and dy: the outputs are summed in parts, then the parts are added.
    ``scratch`` has the sums of the lanes, the padded input, and the gradient of the outputs, of
    which ``short`` lines are worked on together."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    images, planes, rows, across, o = dy.shape
    depth, height, c, workers = x.shape[1], x.shape[2], x.shape[4], scratch.shape[0]
    blocks = (rows + together - 1) // together
    units = (images + WIDTH - 1) // WIDTH * planes * blocks
    deep, pieces = (kw * c, 1) if dw == 1 else (c, kw)
    lines = (together - 1) * sh + (kh - 1) * dh + 1
    row, pixel, step = width * c * VECTOR, c * VECTOR, planes * rows * across * o * 4
    taps, every = kd * kh * kw, parts.shape[0]
    for worker in shared(0, workers, task):
        room = scratch[worker]
        lanes = room[: taps * c * o * WIDTH].reshape((kd * kh * pieces, o, deep, WIDTH))
        sums = room.ctypes.data
        packed = sums + taps * c * o * VECTOR
        gradient = packed + kd * lines * row + WIDTH * VECTOR
        for part in range(every * worker // workers, every * (worker + 1) // workers):
            zero(sums, taps * c * o * VECTOR)
            for unit in range(units * part // every, units * (part + 1) // every):
                rest, block = divmod(unit, blocks)
                group, d = divmod(rest, planes)
                first, p0 = group * WIDTH, block * together
                count, p1 = min(WIDTH, images - first), min(p0 + together, rows)
                z = d * sd - front
                _planes_of(x, first, count, z, dd, kd, p0 * sh - top, lines, left, width, packed)
                place = ((first * planes + d) * rows + p0) * across * o * 4
                size = (p1 - p0) * across * o
                to_lanes(gradient, VECTOR, dy.ctypes.data + place, step, count, size)
                for p in range(p0, p1, short):
                    for a in range(kd):
                        if z + a * dd < 0 or z + a * dd >= depth:
                            continue
                        for i in range(kh):
                            h, there = p * sh - top + i * dh, min(short, p1 - p)
                            skip, runs = _there(h, sh, there, height)
                            source = gradient + (p - p0 + skip) * across * o * VECTOR
                            line = packed + (a * lines + (p - p0 + skip) * sh + i * dh) * row
                            for j in range(pieces):
                                target = sums + ((a * kh + i) * pieces + j) * o * deep * VECTOR
                                product_of_lanes(
                                    o, deep, across, runs, source, VECTOR, o * VECTOR,
                                    across * o * VECTOR, line + j * dw * pixel, sw * pixel, VECTOR,
                                    sh * row, target, deep * VECTOR, VECTOR, 1,
                                )  # fmt: skip
            added = parts[part].reshape((kd * kh * pieces, deep, o))
            for k in range(kd * kh * pieces):
                for r in range(deep):
                    for q in range(o):
                        values, total = lanes[k, q, r], np.float32(0)
                        for lane in range(values.size):
                            total += values[lane]
                        added[k, r, q] = total
    for worker in shared(1, workers, task):
        add_up(parts, dw_, worker, workers)
