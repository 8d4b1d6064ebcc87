"""Convolution of any kernel, stride, padding, dilation and groups, and its two gradients.

Arrays are [N, D, H, W, C] in memory; one and two dimensions are the case D = 1 or D = H = 1.
Nothing is copied into columns where a matrix product can read the pixels where they lie: along a
row of outputs, the pixels that one tap of the kernel meets are ``stride`` pixels apart, so they are
the rows of a matrix with a larger step, and each tap adds one product::

    y[n,d,p, q0:q1, :] += x[n,z,h, w0:w1:stride, :] w[tap]        for the q whose pixel exists

With few channels a product per tap would be mostly overhead. But the channels of neighbouring
pixels follow each other, so a line of a window is one run of floats, and one product can do all
taps of a plane (``by_rows``), if the lines have their padding around them: they are copied for
that.

``geometry`` is (kernel, stride, padding before, dilation), three numbers each, then the groups.
"""

from __future__ import annotations

from numba import njit

from tinygrad_cv.backend.cpu.compiled.product import product, product_of_runs
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import copy, zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["CHUNK", "by_rows", "by_taps", "input_gradient", "weight_gradient"]
__all__ += ["add_up", "weight_gradient_by_rows", "weight_gradient_of_groups"]

CHUNK = 64  # channels of a piece of the weight gradient, which stays in the level-1 cache
TOGETHER = 32  # blocks of outputs whose products are one sum, before it is added to the others
OUTPUTS = 64  # of a unit of work where all taps of a group's gradient stay in the cache

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_R1, _W2 = "Array(float32, 1, 'C', readonly=True)", "float32[:, ::1]"
_GEOMETRY = "Array(int64, 1, 'C', readonly=True)"


@njit(inline="always")
def _fill(y, image, d, p, first, last, bias):
    """Start a run of outputs with the bias, or with zeros."""
    o = y.shape[4]
    if bias.size == 0:
        place = (((image * y.shape[1] + d) * y.shape[2] + p) * y.shape[3] + first) * o * 4
        zero(y.ctypes.data + place, (last - first) * o * 4)
        return
    for q in range(first, last):
        for k in range(o):
            y[image, d, p, q, k] = bias[k]


@njit
def _is_pointwise(x, y, geometry):
    """True if every output is made of the pixel in its place."""
    alike = x.shape[1] == y.shape[1] and x.shape[2] == y.shape[2] and x.shape[3] == y.shape[3]
    for k in range(9):  # kernel, stride, padding; what NumPy has for this would be compiled, too
        alike = alike and geometry[k] <= (1 if k < 6 else 0)
    return alike


@compiled(f"void({_R5}, {_R3}, {_R1}, {_W5}, {_GEOMETRY}, int64, int64, int64)", parallel=True)
def by_taps(x, w, bias, y, geometry, length, together, workers, task):
    """y of x and w [taps, C/groups, O].

    A unit of work is a run of ``length`` outputs along a row. ``together`` units are done tap by
    tap, so that the weights of a tap are read once for all of them.
    """
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw, groups = geometry
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    images, planes, rows, across, o = y.shape
    runs = (across + length - 1) // length
    units = images * planes * rows * runs
    cg, og = c // groups, o // groups
    fresh = bias.size == 0 and _is_pointwise(x, y, geometry)  # nothing to add to
    for worker in shared(0, workers, task):
        start, end = units * worker // workers, units * (worker + 1) // workers
        while start < end:
            stop = min(start + together, end)
            for unit in range(start, start if fresh else stop):
                row, run = divmod(unit, runs)
                plane, p = divmod(row, rows)
                image, d = divmod(plane, planes)
                _fill(y, image, d, p, run * length, min(run * length + length, across), bias)
            for tap in range(kd * kh * kw):
                ij, j = divmod(tap, kw)
                a, i = divmod(ij, kh)
                offset = j * dw - left
                for unit in range(start, stop):
                    row, run = divmod(unit, runs)
                    plane, p = divmod(row, rows)
                    image, d = divmod(plane, planes)
                    z, h = d * sd - front + a * dd, p * sh - top + i * dh
                    if z < 0 or z >= depth or h < 0 or h >= height:
                        continue
                    q0 = max(run * length, (sw - 1 - offset) // sw)
                    q1 = min(min(run * length + length, across), (width - 1 - offset) // sw + 1)
                    if q0 >= q1:
                        continue
                    pixel = ((image * depth + z) * height + h) * width + q0 * sw + offset
                    place = ((image * planes + d) * rows + p) * across + q0
                    for g in range(groups):
                        product(
                            q1 - q0, og, cg,
                            x.ctypes.data + (pixel * c + g * cg) * 4, sw * c * 4, 4,
                            w.ctypes.data + (tap * cg * o + g * og) * 4, o * 4,
                            y.ctypes.data + (place * o + g * og) * 4, o * 4, 0 if fresh else 1,
                        )  # fmt: skip
            start = stop


@compiled(f"void({_R5}, {_R3}, {_W5}, {_GEOMETRY}, int64, int64, int64)", parallel=True)
def input_gradient(dy, w, dx, geometry, length, together, workers, task):
    """dx of dy and w [taps, O, C/groups]: every tap sends the outputs' gradients to the pixels that
    it met, which lie ``stride`` apart."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw, groups = geometry
    images, depth, height, width, c = dx.shape
    planes, rows, across, o = dy.shape[1], dy.shape[2], dy.shape[3], dy.shape[4]
    runs = (width + length - 1) // length
    units = images * depth * height * runs
    cg, og = c // groups, o // groups
    fresh = _is_pointwise(dx, dy, geometry)
    for worker in shared(0, workers, task):
        start, end = units * worker // workers, units * (worker + 1) // workers
        while start < end:
            stop = min(start + together, end)
            for unit in range(start, start if fresh else stop):
                row, run = divmod(unit, runs)
                first, last = run * length, min(run * length + length, width)
                zero(dx.ctypes.data + (row * width + first) * c * 4, (last - first) * c * 4)
            for tap in range(kd * kh * kw):
                ij, j = divmod(tap, kw)
                a, i = divmod(ij, kh)
                offset = j * dw - left
                for unit in range(start, stop):
                    row, run = divmod(unit, runs)
                    plane, h = divmod(row, height)
                    image, z = divmod(plane, depth)
                    d, p = z + front - a * dd, h + top - i * dh
                    if d < 0 or d % sd or d // sd >= planes or p < 0 or p % sh or p // sh >= rows:
                        continue
                    d, p = d // sd, p // sh
                    first, last = run * length, min(run * length + length, width)
                    q0 = max(0, (first - offset + sw - 1) // sw)
                    q1 = min(across, (last - 1 - offset) // sw + 1)
                    if q0 >= q1:
                        continue
                    pixel = row * width + q0 * sw + offset
                    place = ((image * planes + d) * rows + p) * across + q0
                    for g in range(groups):
                        product(
                            q1 - q0, cg, og, dy.ctypes.data + (place * o + g * og) * 4, o * 4, 4,
                            w.ctypes.data + (tap * o + g * og) * cg * 4, cg * 4,
                            dx.ctypes.data + (pixel * c + g * cg) * 4, sw * c * 4,
                            0 if fresh else 1,
                        )  # fmt: skip
            start = stop


@compiled(
    f"void({_R5}, {_R5}, {_W3}, float32[:, :, :, ::1], {_W2}, {_GEOMETRY}, int64, int64, int64)",
    parallel=True,
)
def weight_gradient(x, dy, dw_, parts, scratch, geometry, block, chunk, workers, task):
    """dw [taps, C/groups, O] of x and dy.

    A piece is one tap and ``chunk`` x ``chunk`` channels. Where there are fewer pieces than
    threads, the outputs are split as well, and ``parts`` [splits, taps, C/groups, O] added up; a
    single part is dw itself.
    The pixels that the tap meets are copied, a ``block`` at a time; with a chunk above ``CHUNK``,
    for a kernel of one pixel, they are read where they lie. Long sums are sums of sums over a few
    blocks, so that their error grows slowly: ``scratch`` has the copy, and such a sum.
    """
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw, groups = geometry
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    planes, rows, across, o = dy.shape[1], dy.shape[2], dy.shape[3], dy.shape[4]
    outputs, taps, splits = dy.size // o, kd * kh * kw, parts.shape[0]
    cg, og = c // groups, o // groups
    pieces_c, pieces_o = (cg + chunk - 1) // chunk, (og + chunk - 1) // chunk
    pieces = taps * groups * pieces_c * pieces_o
    jobs = pieces * splits
    for worker in shared(0, workers, task):
        packed = scratch[worker].ctypes.data
        for job in range(jobs * worker // workers, jobs * (worker + 1) // workers):
            split, piece = divmod(job, pieces)
            rest, part_o = divmod(piece, pieces_o)
            rest, part_c = divmod(rest, pieces_c)
            tap, g = divmod(rest, groups)
            ij, j = divmod(tap, kw)
            a, i = divmod(ij, kh)
            c0, o0 = part_c * chunk, part_o * chunk
            deep, wide = min(chunk, cg - c0), min(chunk, og - o0)
            target = parts.ctypes.data
            target += (((split * taps + tap) * cg + c0) * o + g * og + o0) * 4
            tile = packed + block * CHUNK * 4
            first, last = outputs * split // splits, outputs * (split + 1) // splits
            source = x.ctypes.data + (g * cg + c0) * 4
            for start in range(first, last, block):
                count = min(block, last - start)
                windows, pixel_step = source + start * c * 4, c * 4
                if chunk <= CHUNK:
                    windows, pixel_step = packed, deep * 4
                    row, q = divmod(start, across)
                    plane, p = divmod(row, rows)
                    image, d = divmod(plane, planes)
                    for t in range(count):
                        z, h = d * sd - front + a * dd, p * sh - top + i * dh
                        v = q * sw - left + j * dw
                        place = packed + t * deep * 4
                        if z < 0 or z >= depth or h < 0 or h >= height or v < 0 or v >= width:
                            zero(place, deep * 4)
                        else:
                            pixel = ((image * depth + z) * height + h) * width + v
                            copy(place, source + pixel * c * 4, deep * 4)
                        q += 1
                        if q == across:
                            q = 0
                            p += 1
                            if p == rows:
                                p = 0
                                d += 1
                                if d == planes:
                                    d = 0
                                    image += 1
                done = (start - first) // block
                place, line = (target, o * 4) if done < TOGETHER else (tile, wide * 4)
                product(
                    deep, wide, count, windows, 4, pixel_step,
                    dy.ctypes.data + (start * o + g * og + o0) * 4, o * 4, place, line,
                    done % TOGETHER,
                )  # fmt: skip
                if place == tile and ((done + 1) % TOGETHER == 0 or start + count == last):
                    for k in range(deep):
                        more = scratch[worker, block * CHUNK + k * wide :]
                        sums = parts[split, tap, c0 + k, g * og + o0 : g * og + o0 + wide]
                        for t in range(wide):
                            sums[t] += more[t]
    if parts.shape[0] > 1:
        for worker in shared(1, workers, task):
            add_up(parts, dw_, worker, workers)


@compiled(f"void({_R5}, {_R5}, {_W3}, float32[:, :, :, ::1], {_GEOMETRY}, int64)", parallel=True)
def weight_gradient_of_groups(x, dy, dw_, parts, geometry, workers, task):
    """dw [taps, C/groups, O], where a group has so few channels that all taps of its gradient stay
    in the cache.

    A unit of work is some lines of outputs. Every group and tap adds one product for each line,
    of the pixels where they lie. The outputs are summed in parts, then the parts are added.
    """
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw, groups = geometry
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    images, planes, rows, across, o = dy.shape
    cg, og, every, pixel = c // groups, o // groups, parts.shape[0], c * 4
    together = max(1, OUTPUTS // max(across, 1))
    blocks = (rows + together - 1) // together
    units = images * planes * blocks
    for worker in shared(0, workers, task):
        for part in range(every * worker // workers, every * (worker + 1) // workers):
            sums = parts[part].ctypes.data
            zero(sums, kd * kh * kw * cg * o * 4)
            for unit in range(units * part // every, units * (part + 1) // every):
                plane, block = divmod(unit, blocks)
                image, d = divmod(plane, planes)
                p0 = block * together
                p1 = min(p0 + together, rows)
                for g in range(groups):
                    for tap in range(kd * kh * kw):
                        ij, j = divmod(tap, kw)
                        a, i = divmod(ij, kh)
                        offset = j * dw - left
                        z = d * sd - front + a * dd
                        q0 = max(0, (sw - 1 - offset) // sw)
                        q1 = min(across, (width - 1 - offset) // sw + 1)
                        if z < 0 or z >= depth or q0 >= q1:
                            continue
                        for p in range(p0, p1):
                            h = p * sh - top + i * dh
                            if h < 0 or h >= height:
                                continue
                            source = ((image * depth + z) * height + h) * width + q0 * sw + offset
                            place = (plane * rows + p) * across + q0
                            product(
                                cg, og, q1 - q0, x.ctypes.data + source * pixel + g * cg * 4, 4,
                                sw * pixel, dy.ctypes.data + (place * o + g * og) * 4, o * 4,
                                sums + (tap * cg * o + g * og) * 4, o * 4, 1,
                            )  # fmt: skip
    for worker in shared(1, workers, task):
        add_up(parts, dw_, worker, workers)


@njit
def add_up(parts, total, worker, workers):
    """What one of the workers does of the sum over the first axis, in order."""
    size, source, target = total.size, parts.ravel(), total.ravel()
    first, last = size * worker // workers, size * (worker + 1) // workers
    for k in range(first, last):
        target[k] = source[k]
    for part in range(1, parts.shape[0]):
        for k in range(first, last):
            target[k] += source[part * size + k]


@njit(inline="always")
def _padded(x, image, z, first, rows, left, width, packed):
    """``rows`` lines of a plane from line ``first`` on, ``width`` pixels each, zeros around."""
    depth, height, across, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    pixel = c * 4
    for i in range(rows):
        line, h = packed + i * width * pixel, first + i
        if z < 0 or z >= depth or h < 0 or h >= height:
            zero(line, width * pixel)
            continue
        inside = min(across, width - left)
        source = x.ctypes.data + ((image * depth + z) * height + h) * across * pixel
        zero(line, left * pixel)
        copy(line + left * pixel, source, inside * pixel)
        zero(line + (left + inside) * pixel, (width - left - inside) * pixel)


@compiled(f"void({_R5}, {_R3}, {_R1}, {_W5}, {_W2}, {_GEOMETRY}, int64, int64)", parallel=True)
def by_rows(x, w, bias, y, scratch, geometry, together, width, task):
    """y of x and w [taps, C, O], without groups.

    A unit of work is ``together`` lines of outputs. The lines of the input that they see are copied
    with the padding, ``width`` pixels long; the windows are then rows of a matrix where they lie.
    """
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    images, planes, rows, across, o = y.shape
    c, workers = x.shape[4], scratch.shape[0]
    parts, pixel = (rows + together - 1) // together, c * 4
    units = images * planes * parts
    deep, pieces = (kw * c, 1) if dw == 1 else (c, kw)
    for worker in shared(0, workers, task):
        packed = scratch[worker].ctypes.data
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, part = divmod(unit, parts)
            image, d = divmod(plane, planes)
            p0 = part * together
            p1 = min(p0 + together, rows)
            for p in range(p0, p1):
                _fill(y, image, d, p, 0, across, bias)
            for a in range(kd):
                lines = (p1 - p0 - 1) * sh + (kh - 1) * dh + 1
                z = d * sd - front + a * dd
                _padded(x, image, z, p0 * sh - top, lines, left, width, packed)
                for p in range(p0, p1):
                    source = packed + (p - p0) * sh * width * pixel
                    target = y.ctypes.data + ((plane * rows + p) * across) * o * 4
                    for j in range(pieces):
                        product_of_runs(
                            across, o, deep, kh, source + j * dw * pixel, sw * pixel, 4,
                            dh * width * pixel, w.ctypes.data + (a * kh * kw + j) * c * o * 4,
                            o * 4, kw * c * o * 4, target, o * 4, 1,
                        )  # fmt: skip


@compiled(
    f"void({_R5}, {_R5}, {_W3}, float32[:, :, :, ::1], {_W2}, {_GEOMETRY}, int64, int64)",
    parallel=True,
)
def weight_gradient_by_rows(x, dy, dw_, parts, scratch, geometry, together, width, task):
    """dw [taps, C, O]: the outputs are summed in parts, then the parts are added."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    images, planes, rows, across, o = dy.shape
    c, workers, every = x.shape[4], scratch.shape[0], parts.shape[0]
    blocks, pixel = (rows + together - 1) // together, c * 4
    units = images * planes * blocks
    deep, pieces = (kw * c, 1) if dw == 1 else (c, kw)
    for worker in shared(0, workers, task):
        packed = scratch[worker].ctypes.data
        for part in range(every * worker // workers, every * (worker + 1) // workers):
            sums = parts[part].ctypes.data
            zero(sums, kd * kh * kw * c * o * 4)
            for unit in range(units * part // every, units * (part + 1) // every):
                plane, block = divmod(unit, blocks)
                image, d = divmod(plane, planes)
                p0 = block * together
                p1 = min(p0 + together, rows)
                for a in range(kd):
                    lines = (p1 - p0 - 1) * sh + (kh - 1) * dh + 1
                    z = d * sd - front + a * dd
                    _padded(x, image, z, p0 * sh - top, lines, left, width, packed)
                    for p in range(p0, p1):
                        source = dy.ctypes.data + ((plane * rows + p) * across) * o * 4
                        for i in range(kh):
                            line = packed + ((p - p0) * sh + i * dh) * width * pixel
                            for j in range(pieces):
                                product(
                                    deep, o, across, line + j * dw * pixel, 4, sw * pixel, source,
                                    o * 4, sums + (((a * kh + i) * kw + j) * c) * o * 4, o * 4, 1,
                                )  # fmt: skip
    for worker in shared(1, workers, task):
        add_up(parts, dw_, worker, workers)
