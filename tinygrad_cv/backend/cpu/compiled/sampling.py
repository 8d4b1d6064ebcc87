"""Reading images between their pixels, for grids and for the columns of deformable convolution.

x is [N, S, C], the pixels of an image as rows; points are [N, M, D, n], D of them for each row of
the result, each for C/D channels; ``mask`` [N, M, D] scales what they read, or has no element. The
result is [groups, N*M, C/groups], so that each group is the matrix of a product.

Around a point are T pixels, 2 or 4 along each axis. Their places and weights are worked out by
scalars and followed by loops over the channels. The gradient of x is made by parts of the channels,
each by one thread: no two write to one place, and each sum has one order.

``sizes`` are those of the image, first axis first; ``frames`` [n, 3] are (lift, factor, shift) of
their coordinates; ``how`` is (taps along an axis, padding, align_corners): padding 0 stands for
zeros, 1 border, 2 reflection. ``step`` channels belong to one point and one group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.blend import blend, row_at, weight_at
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import (
    FLOAT,
    VECTOR,
    WORD,
    Emitter,
    for_each_vector,
    lanes_added,
    word,
)
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["MOST", "read", "read_points", "write_back"]

MOST = 16  # pixels around a point

_R1, _R2, _R3, _R4 = (f"Array(float32, {n}, 'C', readonly=True)" for n in (1, 2, 3, 4))
_WHOLE = "Array(int64, 1, 'C', readonly=True)"
_FRAME = f"{_WHOLE}, {_R2}, {_WHOLE}, int64, int64[:, ::1], float32[:, :, ::1]"


@njit(inline="always")
def _bounded(u, size, padding, align):
    """The coordinate that is read for u, and its derivative: 0 where it is clipped."""
    turned = np.float32(1)
    if padding == 0:
        return u, turned
    last = np.float32(size - 1)
    if padding == 2:
        low = np.float32(0) if align else np.float32(-0.5)
        span = last if align else np.float32(size)
        if span == 0:
            return np.float32(0), np.float32(0)
        distance = u - low
        if distance < 0:
            distance, turned = -distance, -turned
        flips = np.floor(distance / span)
        rest = distance - flips * span
        if flips % np.float32(2) == 1:
            rest, turned = span - rest, -turned
        u = low + rest
    if u <= 0:
        return np.float32(0), np.float32(0)
    if u >= last:
        return last, np.float32(0)
    return u, turned


@njit(inline="always")
def _place(u, size):
    """A coordinate as the number of a pixel, -1 outside."""
    return np.int64(u) if u >= 0 and u <= size - 1 else np.int64(-1)


@njit(inline="always")
def _axis(u, size, taps, padding, align, places, numbers, at):
    """Along one axis the pixels around u in ``places[MOST + at :]``, their weights, and the
    derivatives of these in rows 4 and 5 of ``numbers``."""
    if taps == 4:
        first = np.floor(u)
        t = u - first
        s = np.float32(1) - t
        for k in range(4):
            pixel, _ = _bounded(first + np.float32(k - 1), size, padding, align)
            places[MOST + at + k] = _place(pixel, size)
        numbers[4, at], numbers[4, at + 1] = _far(t + np.float32(1)), _near(t)
        numbers[4, at + 2], numbers[4, at + 3] = _near(s), _far(s + np.float32(1))
        numbers[5, at], numbers[5, at + 1] = _far_slope(t + np.float32(1)), _near_slope(t)
        numbers[5, at + 2], numbers[5, at + 3] = -_near_slope(s), -_far_slope(s + np.float32(1))
        return
    v, turned = _bounded(u, size, padding, align)
    if taps == 1:
        places[MOST + at] = _place(np.rint(v), size)
        numbers[4, at], numbers[5, at] = np.float32(1), np.float32(0)
        return
    first = np.floor(v)
    t = v - first
    places[MOST + at] = _place(first, size)
    places[MOST + at + 1] = _place(first + np.float32(1), size)
    numbers[4, at], numbers[4, at + 1] = np.float32(1) - t, t
    numbers[5, at], numbers[5, at + 1] = -turned, turned


@njit(inline="always")
def _near(x):
    return (np.float32(1.25) * x - np.float32(2.25)) * x * x + np.float32(1)


@njit(inline="always")
def _far(x):
    y = np.float32(-0.75) * x + np.float32(3.75)
    return (y * x - np.float32(6)) * x + np.float32(3)


@njit(inline="always")
def _near_slope(x):
    return (np.float32(3.75) * x - np.float32(4.5)) * x


@njit(inline="always")
def _far_slope(x):
    return (np.float32(-2.25) * x + np.float32(7.5)) * x - np.float32(6)


@njit(inline="always")
def _cell(points, n, m, d, sizes, frames, how, places, numbers, scale, slopes):
    """The pixels around a point that are inside, in ``places``, their weights times ``scale`` in
    row 0 of ``numbers``, and with ``slopes`` their derivatives along each coordinate of the point
    in rows 1 to 3. Returns their number, and 0 or NaN: what the pixels outside add to a sum."""
    taps, axes, count = how[0], sizes.size, 1
    places[0], numbers[0, 0] = 0, scale
    if slopes:
        for row in range(1, axes + 1):
            numbers[row, 0] = np.float32(1)
    for axis in range(axes):
        at, size, factor = 4 * axis, sizes[axis], frames[axis, 1]
        u = (points[n, m, d, axes - 1 - axis] + frames[axis, 0]) * factor + frames[axis, 2]
        _axis(u, size, taps, how[1], how[2], places, numbers, at)
        for old in range(count - 1, -1, -1):  # each tap so far becomes as many as this axis has
            flat, weight = places[old] * size, numbers[0, old]
            for k in range(taps - 1, -1, -1):
                place, new = places[MOST + at + k], old * taps + k
                places[new] = -1 if place < 0 or flat < 0 else flat + place
                numbers[0, new] = weight * numbers[4, at + k]
        if slopes:
            for row in range(1, axes + 1):
                line = 5 if row == axes - axis else 4
                for old in range(count - 1, -1, -1):
                    slope = numbers[row, old] * factor if line == 5 else numbers[row, old]
                    for k in range(taps - 1, -1, -1):
                        numbers[row, old * taps + k] = slope * numbers[line, at + k]
        count *= taps
    kept, nothing = 0, np.float32(0)
    for tap in range(count):
        if places[tap] < 0:
            nothing += numbers[0, tap] * np.float32(0)
            continue
        if kept < tap:
            places[kept], numbers[0, kept] = places[tap], numbers[0, tap]
            if slopes:
                for row in range(1, axes + 1):
                    numbers[row, kept] = numbers[row, tap]
        kept += 1
    return kept, nothing


@compiled(f"void({_R3}, {_R4}, {_R3}, float32[:, :, ::1], {_FRAME})", parallel=True)
def read(x, points, mask, y, sizes, frames, how, step, whole, real, task):
    """y = what the points read."""
    images, rows, each, _ = points.shape
    channels, width, workers = x.shape[2], y.shape[2], whole.shape[0]
    units, image = images * rows, x.shape[1] * channels * 4
    for worker in shared(0, workers, task):
        places, numbers = whole[worker], real[worker]
        here, weights = places.ctypes.data, numbers.ctypes.data
        n, m = divmod(units * worker // workers, rows)
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            target, c, end = y.ctypes.data + unit * width * 4, 0, width
            for d in range(each):
                scale = mask[n, m, d] if mask.size else np.float32(1)
                count, nothing = _cell(
                    points, n, m, d, sizes, frames, how, places, numbers, scale, False
                )
                for _ in range(0, channels // each, step):
                    if c == end:
                        target, end = target + (units - 1) * width * 4, end + width
                    source = x.ctypes.data + n * image + c * 4
                    blend(target, source, channels * 4, here, weights, count, nothing, step)
                    target, c = target + step * 4, c + step
            m += 1
            if m == rows:
                n, m = n + 1, 0


@compiled(
    f"void({_R3}, {_R4}, {_R3}, {_R3}, float32[:, :, :, ::1], float32[:, :, ::1], {_FRAME})",
    parallel=True,
)
def read_points(x, points, mask, g, dpoints, dmask, sizes, frames, how, step, whole, real, task):
    """The gradients of the points and of the mask, if there is one."""
    images, rows, each, axes = points.shape
    channels, width, workers = x.shape[2], g.shape[2], whole.shape[0]
    units, image, one = images * rows, x.shape[1] * channels * 4, np.float32(1)
    for worker in shared(0, workers, task):
        places, numbers = whole[worker], real[worker]
        here, sums = places.ctypes.data, numbers.ctypes.data + 6 * MOST * 4
        n, m = divmod(units * worker // workers, rows)
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            source, c, end = g.ctypes.data + unit * width * 4, 0, width
            for d in range(each):
                count, nothing = _cell(
                    points, n, m, d, sizes, frames, how, places, numbers, one, True
                )
                for tap in range(count):
                    numbers[6, tap] = np.float32(0)
                for _ in range(0, channels // each, step):
                    if c == end:
                        source, end = source + (units - 1) * width * 4, end + width
                    pixels = x.ctypes.data + n * image + c * 4
                    _products(sums, source, pixels, channels * 4, here, count, step)
                    source, c = source + step * 4, c + step
                scale = one
                if mask.size:
                    scale, total = mask[n, m, d], nothing
                    for tap in range(count):
                        total += numbers[6, tap] * numbers[0, tap]
                    dmask[n, m, d] = total
                for axis in range(axes):
                    total = nothing
                    for tap in range(count):
                        total += numbers[6, tap] * numbers[1 + axis, tap]
                    dpoints[n, m, d, axis] = total * scale
            m += 1
            if m == rows:
                n, m = n + 1, 0


@compiled(f"void({_R4}, {_R3}, {_R3}, float32[:, :, ::1], int64, {_FRAME})", parallel=True)
def write_back(points, mask, g, dx, parts, sizes, frames, how, step, whole, real, task):
    """dx += g put back onto the pixels; the channels of an image are done in ``parts``."""
    images, rows, each, _ = points.shape
    channels, width, workers = dx.shape[2], g.shape[2], whole.shape[0]
    runs, units, image = channels // step, images * parts, dx.shape[1] * channels * 4
    for worker in shared(0, workers, task):
        places, numbers = whole[worker], real[worker]
        here, weights = places.ctypes.data, numbers.ctypes.data
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            n, part = divmod(unit, parts)
            first, last = runs * part // parts * step, runs * (part + 1) // parts * step
            group, set_ = first // width, first * each // channels
            for m in range(rows):
                place = (group * images * rows + n * rows + m) * width + first - group * width
                source, end, d = g.ctypes.data + place * 4, (group + 1) * width, set_
                count, moved = 0, True
                for c in range(first, last, step):
                    if c == end:
                        source, end = source + (images * rows - 1) * width * 4, end + width
                    if c * each == (d + 1) * channels:
                        d, moved = d + 1, True
                    if moved:
                        scale = mask[n, m, d] if mask.size else np.float32(1)
                        count, _ = _cell(
                            points, n, m, d, sizes, frames, how, places, numbers, scale, False
                        )
                        moved = False
                    target = dx.ctypes.data + n * image + c * 4
                    _spread(target, source, channels * 4, here, weights, count, step)
                    source += step * 4


# For one point: all channels of one group, vector by vector ---------------------------------------

_ADDRESS = types.intp


@intrinsic
def _products(
    typingctx: Any, sums: Any, g: Any, x: Any, row: Any, places: Any, taps: Any, c: Any
) -> Any:
    """Add the product of g with each of the pixels to its sum."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, g, x, row, places, taps, c = arguments
        total = cgutils.alloca_once(builder, VECTOR)
        with cgutils.for_range(builder, taps, intp=WORD) as loop:
            builder.store(Emitter(builder).constant(0.0), total)
            pixel = row_at(builder, x, row, places, loop.index)

            def body(e: Emitter, offset: Any) -> None:
                source, value = (e.load(builder.add(a, offset)) for a in (g, pixel))
                builder.store(e.multiply_add(source, value, builder.load(total)), total)

            for_each_vector(builder, c, body)
            place = builder.add(sums, builder.mul(loop.index, word(4)))
            pointer = builder.inttoptr(place, FLOAT.as_pointer())
            found = lanes_added(builder, builder.load(total))
            builder.store(builder.fadd(builder.load(pointer), found), pointer)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 7), emit


@intrinsic
def _spread(
    typingctx: Any, dx: Any, g: Any, row: Any, places: Any, weights: Any, taps: Any, c: Any
) -> Any:
    """Add g, weighted, to each of the pixels."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        dx, g, row, places, weights, taps, c = arguments
        with cgutils.for_range(builder, taps, intp=WORD) as loop:
            pixel = row_at(builder, dx, row, places, loop.index)
            weight = weight_at(Emitter(builder), weights, loop.index)

            def body(e: Emitter, offset: Any) -> None:
                at = builder.add(pixel, offset)
                value = e.load(builder.add(g, offset))
                e.store(e.multiply_add(weight, value, e.load(at)), at)

            for_each_vector(builder, c, body)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 7), emit
