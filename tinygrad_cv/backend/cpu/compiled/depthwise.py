"""Depthwise convolution: one kernel per channel, and its two gradients.

Channels lie next to each other, so a vector holds channels of one pixel, and a tap multiplies and
adds whole vectors. A few outputs of a row stay in registers while all taps pass over them: the
weights of a tap are read once for all of them, and an output is written once. Outputs near the
border, which some taps miss, are done one by one; the others need no test. The gradient of the
input is the same sum, the taps in reverse order: with a stride, every ``stride``-th pixel meets the
same taps, so each such class of pixels is a line of its own. The gradient of the weights keeps the
sums of a few taps in registers while it passes over some rows of outputs.

Arrays are [N, D, H, W, C] and weights [taps, C]; ``geometry`` is as in ``convolution``.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.convolution import add_up
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import (
    VECTOR,
    WORD,
    Emitter,
    for_each_vector,
    word,
    zero,
)
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["convolve", "weight_gradient"]

_PIXELS = 6  # outputs of a row that are worked on together; two, where fewer are left
_TAPS = 3  # taps of a line of the kernel whose gradients are summed together
_OUTPUTS = 48  # outputs over which these sums stay in registers, at least

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1, _GEOMETRY = "Array(float32, 1, 'C', readonly=True)", "Array(int64, 1, 'C', readonly=True)"


def _window_sums(pixels: int) -> Any:
    """The intrinsic for all channels of ``pixels`` outputs that meet the same taps: ``table`` holds
    for each tap where its pixel lies and where its weights do. Offsets and steps are in bytes."""

    @intrinsic
    def window_sums(
        typingctx: Any, target: Any, target_step: Any, source: Any, source_step: Any, w: Any,
        bias: Any, count: Any, table: Any, taps: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, target_step, source, source_step, w, bias, count, table, taps = arguments
            table = builder.inttoptr(table, WORD.as_pointer())

            def body(e: Emitter, offset: Any) -> None:
                sums = [cgutils.alloca_once(builder, VECTOR) for _ in range(pixels)]
                first = e.load(builder.add(bias, offset))
                for register in sums:
                    builder.store(first, register)
                start, weights = builder.add(source, offset), builder.add(w, offset)
                with cgutils.for_range(builder, taps, intp=WORD) as loop:
                    entry = builder.gep(table, [builder.shl(loop.index, word(1))])
                    place = builder.add(start, builder.load(entry))
                    tap = builder.load(builder.gep(entry, [word(1)]))
                    factor = e.load(builder.add(weights, tap))
                    for t, register in enumerate(sums):
                        value = e.load(builder.add(place, builder.mul(source_step, word(t))))
                        total = e.multiply_add(value, factor, builder.load(register))
                        builder.store(total, register)
                place = builder.add(target, offset)
                for t, register in enumerate(sums):
                    to = builder.add(place, builder.mul(target_step, word(t)))
                    e.store(builder.load(register), to)

            for_each_vector(builder, count, body)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 9), emit

    return window_sums


_several, _two, _one = _window_sums(_PIXELS), _window_sums(2), _window_sums(1)


@njit
def _taps_of(index, before, kernel, stride, dilation, backward):
    """The taps that an output may meet along an axis: (first, step, count), and the positions where
    it meets them: (first, step). Backward, those of a pixel, from the last to the first."""
    if not backward:
        return 0, 1, kernel, index * stride - before, dilation
    period, tap = 1, 0
    while period * dilation % stride:
        period += 1
    while tap < min(kernel, period) and (index + before - tap * dilation) % stride:
        tap += 1
    if tap >= min(kernel, period):
        return 0, 0, 0, 0, 1
    count = (kernel - tap + period - 1) // period
    last = tap + (count - 1) * period
    position = (index + before - last * dilation) // stride
    return last, -period, count, position, period * dilation // stride


@njit
def _inside(position, step, count, length):
    """Which of ``count`` positions lie in [0, length): from the first to before the last."""
    first = min(max(0, -(position // step)), count)
    return first, max(first, min(count, (length - 1 - position) // step + 1))


@compiled(f"void({_R5}, {_R2}, {_R1}, {_W5}, {_GEOMETRY}, int64, int64)", parallel=True)
def convolve(x, w, bias, y, geometry, backward, workers, task):
    """y of x and bias [C]; ``backward``, x is the gradient of the output, y that of the input."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    images, planes, rows, across, c = y.shape
    depth, height, width, pixel = x.shape[1], x.shape[2], x.shape[3], c * 4
    units, classes, step = images * planes * rows, sw if backward else 1, 1 if backward else sw
    for worker in shared(0, workers, task):
        table = np.empty((kw * kd * kh, 2), np.int64)
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            a, a_step, na, z, z_step = _taps_of(d, front, kd, sd, dd, backward)
            i, i_step, ni, h, h_step = _taps_of(p, top, kh, sh, dh, backward)
            a0, a1 = _inside(z, z_step, na, depth)
            i0, i1 = _inside(h, h_step, ni, height)
            lines = (a1 - a0) * (i1 - i0)
            for first in range(min(classes, across)):
                j, j_step, nj, v, v_step = _taps_of(first, left, kw, sw, dw, backward)
                entry = 0
                for tj in range(nj):
                    for ta in range(a0, a1):
                        for ti in range(i0, i1):
                            line = (z + ta * z_step) * height + h + ti * h_step
                            tap = (a + ta * a_step) * kh + i + ti * i_step
                            table[entry, 0] = (line * width + v + tj * v_step) * pixel
                            table[entry, 1] = (tap * kw + j + tj * j_step) * pixel
                            entry += 1
                count = (across - first + classes - 1) // classes
                inner0 = min(max(0, -(v // step)), count)
                inner1 = min(count, (width - 1 - (nj - 1) * v_step - v) // step + 1)
                target = y.ctypes.data + (unit * across + first) * pixel
                source = x.ctypes.data + image * depth * height * width * pixel
                q = 0
                while q < count:
                    alike = inner1 - q if q >= inner0 else 0
                    if alike >= _PIXELS:
                        _several(
                            target + q * classes * pixel, classes * pixel,
                            source + q * step * pixel, step * pixel, w.ctypes.data,
                            bias.ctypes.data, c, table.ctypes.data, nj * lines,
                        )  # fmt: skip
                        q += _PIXELS
                    elif alike >= 2:
                        _two(
                            target + q * classes * pixel, classes * pixel,
                            source + q * step * pixel, step * pixel, w.ctypes.data,
                            bias.ctypes.data, c, table.ctypes.data, nj * lines,
                        )  # fmt: skip
                        q += 2
                    else:
                        j0, j1 = _inside(v + q * step, v_step, nj, width)
                        _one(
                            target + q * classes * pixel, 0, source + q * step * pixel, 0,
                            w.ctypes.data, bias.ctypes.data, c,
                            table.ctypes.data + j0 * lines * 16, (j1 - j0) * lines,
                        )  # fmt: skip
                        q += 1


def _add_taps(taps: int) -> Any:
    """The intrinsic that adds to the gradients of ``taps`` neighbours along a line of the kernel:
    ``target[tap] += sum_r sum_q x[r, q * stride + at + tap * dilation] * dy[r, q]``, where q from
    ``inner0`` to ``inner1`` meets all of them. Two sums at a time, since one would wait for
    itself."""

    @intrinsic
    def add_taps(
        typingctx: Any, target: Any, x: Any, x_row: Any, dy: Any, dy_row: Any, rows: Any,
        count: Any, pixel: Any, at: Any, stride: Any, dilation: Any, width: Any, inner0: Any,
        inner1: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, x, x_row, dy, dy_row, rows, count, pixel, at, *rest = arguments
            stride, dilation, width, inner0, inner1 = rest
            across = builder.udiv(dy_row, pixel)

            def body(e: Emitter, offset: Any) -> None:
                sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(taps)] for _ in "ab"]
                for register in sums[0] + sums[1]:
                    builder.store(e.constant(0.0), register)

                def step(left: Any, right: Any, q: Any, registers: Any, guarded: bool) -> None:
                    factor = e.load(builder.add(right, builder.mul(q, pixel)))
                    place = builder.add(at, builder.mul(q, stride))
                    for register in registers:
                        exists = builder.icmp_unsigned("<", place, width)
                        with builder.if_then(exists) if guarded else nullcontext():
                            value = e.load(builder.add(left, builder.mul(place, pixel)))
                            total = e.multiply_add(value, factor, builder.load(register))
                            builder.store(total, register)
                        place = builder.add(place, dilation)

                with cgutils.for_range(builder, rows, intp=WORD) as loop:
                    left = builder.add(builder.add(x, offset), builder.mul(loop.index, x_row))
                    right = builder.add(builder.add(dy, offset), builder.mul(loop.index, dy_row))
                    pairs = builder.lshr(builder.sub(inner1, inner0), word(1))
                    done = builder.add(inner0, builder.mul(pairs, word(2)))
                    with cgutils.for_range_slice(builder, word(0), inner0, word(1), WORD) as (q, _):
                        step(left, right, q, sums[0], True)
                    with cgutils.for_range_slice(builder, inner0, done, word(2), WORD) as (q, _):
                        step(left, right, q, sums[0], False)
                        step(left, right, builder.add(q, word(1)), sums[1], False)
                    with cgutils.for_range_slice(builder, done, across, word(1), WORD) as (q, _):
                        step(left, right, q, sums[0], True)
                place = builder.add(target, offset)
                for one, two in zip(*sums, strict=True):
                    total = e.add(builder.load(one), builder.load(two))
                    e.store(e.add(e.load(place), total), place)
                    place = builder.add(place, pixel)

            for_each_vector(builder, count, body)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 14), emit

    return add_taps


_add_several, _add_two, _add_one = _add_taps(_TAPS), _add_taps(2), _add_taps(1)


@compiled(f"void({_R5}, {_R5}, {_W2}, float32[:, :, ::1], {_GEOMETRY}, int64)", parallel=True)
def weight_gradient(x, dy, dw_, parts, geometry, workers, task):
    """dw [taps, C] of x and dy: the outputs are summed in parts, which are added up in order."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    images, planes, rows, across = dy.shape[:4]
    pixel, together = c * 4, max(1, (_OUTPUTS + across - 1) // max(across, 1))
    blocks = (rows + together - 1) // together
    units, every = images * planes * blocks, parts.shape[0]
    for worker in shared(0, workers, task):
        for part in range(every * worker // workers, every * (worker + 1) // workers):
            sums = parts[part].ctypes.data
            zero(sums, kd * kh * kw * pixel)
            for unit in range(units * part // every, units * (part + 1) // every):
                plane, block = divmod(unit, blocks)
                image, d = divmod(plane, planes)
                for ai in range(kd * kh):
                    a, i = divmod(ai, kh)
                    z, at = d * sd - front + a * dd, i * dh - top
                    if z < 0 or z >= depth:
                        continue
                    p0 = max(block * together, -(at // sh))
                    p1 = min(min((block + 1) * together, rows), (height - 1 - at) // sh + 1)
                    if p0 >= p1:
                        continue
                    source = ((image * depth + z) * height + p0 * sh + at) * width
                    place, j = (plane * rows + p0) * across, 0
                    while j < kw:
                        taps = min(kw - j, _TAPS)
                        offset = j * dw - left
                        inner0 = min(max(0, -(offset // sw)), across)
                        inner1 = (width - 1 - offset - (taps - 1) * dw) // sw + 1
                        inner1 = max(inner0, min(across, inner1))
                        if taps == _TAPS:
                            _add_several(
                                sums + (ai * kw + j) * pixel,
                                x.ctypes.data + source * pixel, sh * width * pixel,
                                dy.ctypes.data + place * pixel, across * pixel, p1 - p0, c, pixel,
                                offset, sw, dw, width, inner0, inner1,
                            )  # fmt: skip
                        elif taps == 2:
                            _add_two(
                                sums + (ai * kw + j) * pixel,
                                x.ctypes.data + source * pixel, sh * width * pixel,
                                dy.ctypes.data + place * pixel, across * pixel, p1 - p0, c, pixel,
                                offset, sw, dw, width, inner0, inner1,
                            )  # fmt: skip
                        else:
                            _add_one(
                                sums + (ai * kw + j) * pixel,
                                x.ctypes.data + source * pixel, sh * width * pixel,
                                dy.ctypes.data + place * pixel, across * pixel, p1 - p0, c, pixel,
                                offset, sw, dw, width, inner0, inner1,
                            )  # fmt: skip
                        j += taps
    for worker in shared(1, workers, task):
        add_up(parts, dw_, worker, workers)
