"""Convolution with few channels per group, depthwise above all, and its two gradients.

A vector holds the outputs of whole groups at one pixel: in depthwise convolution as many channels
as it has lanes. Each tap multiplies a vector of pixels with one of weights. With ``deep`` inputs
and ``wide`` outputs per group this is done ``deep`` times, and input k of the group of each lane is
brought to that lane before::

    y[q, o] += x[pixel(q, tap), o // wide * deep + k] w[tap, k, o]

A few outputs of a row stay in registers while all taps pass over them: weights are read once for
all of them, and an output is written once. Rows that meet the same taps are done in one go, their
first and last outputs, which some taps miss, down the rows. Where the pixel that a tap meets for an
output is the one that the tap before met for the next output, it is read once for three taps of a
line. The gradient of the input is the same sum, the taps in reverse order, inputs and outputs
exchanged: with a stride, every ``stride``-th pixel meets the same taps, so each such class of
pixels is a line of its own. The gradient of the weights keeps the sums of a few taps in registers
while it passes over some rows of outputs.

Arrays are [N, D, H, W, C], weights [taps, deep, O]; ``geometry`` is as in ``convolution``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.convolution import add_up
from tinygrad_cv.backend.cpu.compiled.product import in_pieces
from tinygrad_cv.backend.cpu.compiled.taps import inside, taps_met
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import (
    LANE,
    LANES,
    VECTOR,
    WIDTH,
    WORD,
    Emitter,
    emit_prefetch,
    for_each_vector,
    mask_of,
    word,
    zero,
)
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["convolve", "weight_gradient"]

_PIXELS = (10, 2, 1)  # outputs of a row that are worked on together, as many as are left
_MET = 6  # outputs of a row that add to the gradient of a tap together
_ROWS = 12  # rows of outputs that meet the same taps, and are worked on together
_TAPS = 3  # taps of a line of the kernel that are worked on together
_OUTPUTS = 48  # outputs over which the sums of the weights stay in registers, at least

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_R1, _GEOMETRY = "Array(float32, 1, 'C', readonly=True)", "Array(int64, 1, 'C', readonly=True)"

Read = Callable[[Any, Any], Any]


@njit
def _lanes_of(deep, wide):
    """For each lane of a vector of outputs, the lane of its group's first input."""
    lanes = np.empty(WIDTH, np.int32)
    for lane in range(WIDTH):
        lanes[lane] = lane // wide * deep % WIDTH
    return lanes


class _Channels:
    """The channels of a pixel, vector by vector. ``grouped`` is False where a group has one input
    and one output: then every lane is where it belongs. ``lanes`` is the address of what
    ``_lanes_of`` gives."""

    def __init__(
        self, builder: Any, grouped: bool, outputs: Any, deep: Any, wide: Any, lanes: Any
    ) -> None:
        self.builder, self.grouped, self.outputs = builder, grouped, outputs
        self.deep, self.wide, self.lanes = deep, wide, lanes
        self.line = builder.shl(outputs, word(2))  # bytes from one input's weights to the next's

    def each_vector(self, body: Callable[[Emitter, Any, Any, Read], None]) -> None:
        """Emit ``body(emitter, offset in inputs, offset in outputs, read)``, offsets in bytes, for
        each vector of whole groups. ``read(address, k)`` is input k of each lane's group."""
        builder = self.builder
        if not self.grouped:

            def plain(e: Emitter, offset: Any) -> None:
                body(e, offset, offset, lambda address, _: e.load(address))

            for_each_vector(builder, self.outputs, plain)
            return
        larger = builder.select(
            builder.icmp_signed(">", self.deep, self.wide), self.deep, self.wide
        )
        groups, together = (
            builder.udiv(self.outputs, self.wide), builder.udiv(word(WIDTH), larger),
        )  # fmt: skip
        lanes = Emitter(builder).load(self.lanes, LANES)
        with cgutils.for_range_slice(builder, word(0), groups, together, WORD) as (group, _):
            left = builder.sub(groups, group)
            count = builder.select(builder.icmp_signed("<", left, together), left, together)
            inputs, e = (
                Emitter(builder, mask_of(builder, builder.mul(count, each)))
                for each in (self.deep, self.wide)
            )

            def read(address: Any, k: Any) -> Any:
                step = inputs.spread(builder.trunc(k, LANE), LANES)
                return inputs.moved(inputs.load(address), builder.add(lanes, step))

            source, target = (
                builder.shl(builder.mul(group, each), word(2)) for each in (self.deep, self.wide)
            )
            body(e, source, target, read)

    def each_input(self, body: Callable[[Any], None]) -> None:
        """Emit ``body(k)`` for each input of a group."""
        if not self.grouped:
            body(word(0))
            return
        with cgutils.for_range(self.builder, self.deep, intp=WORD) as loop:
            body(loop.index)


@intrinsic
def window_sums(
    typingctx: Any, outputs: Any, target: Any, target_step: Any, source: Any, source_step: Any,
    w: Any, bias: Any, count: Any, deep: Any, wide: Any, lanes: Any, table: Any, taps: Any,
    threes: Any, lines: Any, w_step: Any, ahead: Any,
) -> Any:  # fmt: skip
    """All channels of ``outputs`` outputs in a row that meet the same taps:
    ``table`` holds for each tap where its pixel lies and where its weights do. Offsets and steps
    are in bytes.

    ``threes`` is not 0 where the pixel that a tap meets for an output is the one that the tap
    before meets for the next output. Then three taps along a line, their weights ``w_step`` apart,
    read each pixel once; ``threes`` times for all ``lines`` lines, entry after entry.

    ``ahead`` is where the pixels lie that the next row of outputs will be the first to meet.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        outputs, target, target_step, source, source_step, w, bias, *rest = arguments
        count, deep, wide, lanes, table, taps, threes, lines, w_step, ahead = rest
        table = builder.inttoptr(table, WORD.as_pointer())

        def sums_of(grouped: bool) -> None:
            channels = _Channels(builder, grouped, count, deep, wide, lanes)
            together = builder.mul(lines, word(_TAPS))
            steps = [builder.mul(source_step, word(t)) for t in range(max(_PIXELS) + _TAPS - 1)]
            w_steps = [builder.mul(w_step, word(t)) for t in range(_TAPS)]

            def piece(first: Any, pixels: int) -> None:
                start = builder.add(source, builder.mul(first, source_step))
                end = builder.add(target, builder.mul(first, target_step))

                def body(e: Emitter, from_: Any, to: Any, read: Read) -> None:
                    sums = [cgutils.alloca_once(builder, VECTOR) for _ in range(pixels)]
                    value = e.load(builder.add(bias, to))
                    for register in sums:
                        builder.store(value, register)

                    def meet(entry: Any, taps: int) -> None:
                        entry = builder.gep(table, [builder.shl(entry, word(1))])
                        place = builder.add(builder.add(start, from_), builder.load(entry))
                        tap = builder.load(builder.gep(entry, [word(1)]))
                        tap = builder.add(builder.add(w, to), tap)

                        def add(k: Any) -> None:
                            line = builder.add(tap, builder.mul(k, channels.line))
                            factors = [e.load(builder.add(line, step)) for step in w_steps[:taps]]
                            for p in range(pixels + taps - 1):
                                value = read(builder.add(place, steps[p]), k)
                                for j, factor in enumerate(factors):
                                    if 0 <= p - j < pixels:
                                        _add_product(e, value, factor, sums[p - j])

                        channels.each_input(add)

                    done = word(0)
                    if pixels > 1:
                        with cgutils.for_range(builder, threes, intp=WORD) as three:
                            first = builder.mul(three.index, together)
                            with cgutils.for_range(builder, lines, intp=WORD) as line:
                                meet(builder.add(first, line.index), _TAPS)
                        done = builder.mul(threes, together)
                    with cgutils.for_range_slice(builder, done, taps, word(1), WORD) as (entry, _):
                        meet(entry, 1)
                    place = builder.add(end, to)
                    near = builder.add(builder.add(start, from_), ahead)
                    for t, register in enumerate(sums):
                        if pixels > 1:
                            emit_prefetch(builder, builder.add(near, steps[t]), locality=2)
                        there = builder.add(place, builder.mul(target_step, word(t)))
                        e.store(builder.load(register), there)

                channels.each_vector(body)

            in_pieces(builder, outputs, _PIXELS, piece)

        _by_groups(builder, deep, wide, sums_of)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 17), emit


def _by_groups(builder: Any, deep: Any, wide: Any, body: Callable[[bool], None]) -> None:
    """Emit ``body(grouped)`` for depthwise convolution and for groups, and the choice."""
    one = word(1)
    depthwise = builder.and_(
        builder.icmp_signed("==", deep, one), builder.icmp_signed("==", wide, one)
    )
    with builder.if_else(depthwise) as (then, other):
        with then:
            body(False)
        with other:
            body(True)


def _add_product(e: Emitter, a: Any, b: Any, register: Any) -> None:
    e.builder.store(e.multiply_add(a, b, e.builder.load(register)), register)


@compiled(f"void({_R5}, {_R3}, {_R1}, {_W5}, {_GEOMETRY}, int64, int64)", parallel=True)
def convolve(x, w, bias, y, geometry, backward, workers, task):
    """y of x and bias [O]; ``backward``, x is the gradient of the output, y that of the input, and
    w [taps, O/groups, C] has inputs and outputs exchanged."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw, groups = geometry
    images, planes, rows, across, o = y.shape
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    deep, wide, pixel = c // groups, o // groups, c * 4
    units, classes, step = images * planes * rows, sw if backward else 1, 1 if backward else sw
    down = 1 if backward else sh
    line_x, line_y = down * width * pixel, across * o * 4
    for worker in shared(0, workers, task):
        table, lanes = np.empty((kw * kd * kh, 2), np.int64), _lanes_of(deep, wide)
        unit, end = units * worker // workers, units * (worker + 1) // workers
        while unit < end:
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            a, a_step, na, z, z_step = taps_met(d, front, kd, sd, dd, backward)
            i, i_step, ni, h, h_step = taps_met(p, top, kh, sh, dh, backward)
            a0, a1 = inside(z, z_step, na, depth)
            i0, i1 = inside(h, h_step, ni, height)
            lines, below = (a1 - a0) * (i1 - i0), 1
            if i1 - i0 == ni and (sh == 1 or not backward):
                below = (height - 1 - (ni - 1) * h_step - h) // down + 1
                below = max(1, min(below, rows - p, end - unit, _ROWS))
            after = (z + (a1 - 1) * z_step) * height + h + (i1 - 1) * h_step + 1
            for first in range(min(classes, across)):
                j, j_step, nj, v, v_step = taps_met(first, left, kw, sw, dw, backward)
                entry, next_ = 0, (after * width + v) * pixel
                for tj in range(nj):
                    for ta in range(a0, a1):
                        for ti in range(i0, i1):
                            line = (z + ta * z_step) * height + h + ti * h_step
                            tap = (a + ta * a_step) * kh + i + ti * i_step
                            table[entry, 0] = (line * width + v + tj * v_step) * pixel
                            table[entry, 1] = (tap * kw + j + tj * j_step) * deep * o * 4
                            entry += 1
                count = (across - first + classes - 1) // classes
                inner0 = min(max(0, -(v // step)), count)
                inner1 = min(count, (width - 1 - (nj - 1) * v_step - v) // step + 1)
                target = y.ctypes.data + (unit * across + first) * o * 4
                source = x.ctypes.data + image * depth * height * width * pixel
                q = 0
                while q < count:
                    alike = max(1, inner1 - q) if q >= inner0 else 1
                    j0, j1 = inside(v + q * step, v_step, nj, width)
                    to, from_ = target + q * classes * o * 4, source + q * step * pixel
                    start, taps = table.ctypes.data + j0 * lines * 16, (j1 - j0) * lines
                    outputs, to_step, from_step, calls = alike, classes * o * 4, step * pixel, below
                    threes = (j1 - j0) // _TAPS if step == v_step and alike > 1 else 0
                    if alike == 1:  # side by side are those of several rows
                        outputs, to_step, from_step, calls = below, line_y, line_x, 1
                    for r in range(calls):
                        window_sums(
                            outputs, to + r * line_y, to_step, from_ + r * line_x, from_step,
                            w.ctypes.data, bias.ctypes.data, o, deep, wide, lanes.ctypes.data,
                            start, taps, threes, lines, j_step * deep * o * 4, next_,
                        )  # fmt: skip
                    q += alike
            unit += below


@intrinsic
def weight_sums(
    typingctx: Any, taps: Any, target: Any, x: Any, x_row: Any, dy: Any, rows: Any, across: Any,
    count: Any, deep: Any, wide: Any, lanes: Any, at: Any, stride: Any, dilation: Any, width: Any,
    inner0: Any, inner1: Any,
) -> Any:  # fmt: skip
    """Adds to the gradients of ``taps`` neighbours along a line of the kernel,
    ``_TAPS`` at most: ``target[tap] += sum_r sum_q x[r, q * stride + at + tap * dilation] * dy[r,
    q]``, where q from ``inner0`` to ``inner1`` meets all of them. Two sums at a time, since one
    would wait for itself; where stride and dilation are equal, a pixel is read once for a few
    outputs. Rows are ``x_row`` and ``dy_row`` bytes apart, ``across`` outputs long."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        taps, target, x, x_row, dy, rows, across, count, deep, wide, lanes, *rest = arguments
        at, stride, dilation, width, inner0, inner1 = rest

        def sums_of(grouped: bool) -> None:
            channels = _Channels(builder, grouped, count, deep, wide, lanes)
            pixel = builder.mul(builder.mul(builder.udiv(count, wide), deep), word(4))
            place_of, dy_row = channels.line, builder.mul(across, channels.line)
            near = builder.icmp_signed("==", stride, dilation)
            joined = builder.udiv(builder.sub(inner1, inner0), word(_MET))
            joined = builder.select(near, joined, word(0))
            done = builder.add(inner0, builder.mul(joined, word(_MET)))
            pairs = builder.lshr(builder.sub(inner1, done), word(1))
            paired = builder.add(done, builder.mul(pairs, word(2)))
            apart = builder.mul(dilation, pixel)
            steps = [builder.mul(apart, word(p)) for p in range(_MET + _TAPS - 1)]

            def taps_of(taps: int, e: Emitter, from_: Any, to: Any, read: Read, k: Any) -> None:
                sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(taps)] for _ in "ab"]
                for register in sums[0] + sums[1]:
                    builder.store(e.constant(0.0), register)

                def meet(left: Any, right: Any, q: Any, registers: Any, guarded: bool) -> None:
                    factor = e.load(builder.add(right, builder.mul(q, place_of)))
                    place = builder.add(at, builder.mul(q, stride))
                    for register in registers:
                        exists = builder.icmp_unsigned("<", place, width)
                        with builder.if_then(exists) if guarded else nullcontext():
                            value = read(builder.add(left, builder.mul(place, pixel)), k)
                            _add_product(e, value, factor, register)
                        place = builder.add(place, dilation)

                def meet_joined(left: Any, right: Any, q: Any) -> None:
                    place = builder.mul(builder.add(at, builder.mul(q, stride)), pixel)
                    place = builder.add(left, place)
                    there, factors = builder.add(right, builder.mul(q, place_of)), []
                    for p in range(_MET + taps - 1):
                        if p < _MET:
                            factors.append(e.load(there))
                            there = builder.add(there, place_of)
                        value = read(builder.add(place, steps[p]), k)
                        for j in range(taps):
                            if 0 <= p - j < _MET:
                                _add_product(e, value, factors[p - j], sums[p % 2][j])

                def every(start: Any, end: Any, step: int = 1) -> Any:
                    return cgutils.for_range_slice(builder, start, end, word(step), WORD)

                with cgutils.for_range(builder, rows, intp=WORD) as loop:
                    left = builder.add(builder.add(x, from_), builder.mul(loop.index, x_row))
                    right = builder.add(builder.add(dy, to), builder.mul(loop.index, dy_row))
                    with every(word(0), inner0) as (q, _):
                        meet(left, right, q, sums[0], True)
                    with every(inner0, done, _MET) as (q, _):
                        meet_joined(left, right, q)
                    with every(done, paired, 2) as (q, _):
                        meet(left, right, q, sums[0], False)
                        meet(left, right, builder.add(q, word(1)), sums[1], False)
                    with every(paired, across) as (q, _):
                        meet(left, right, q, sums[0], True)
                place = builder.add(builder.add(target, to), builder.mul(k, channels.line))
                for one, two in zip(*sums, strict=True):
                    total = e.add(builder.load(one), builder.load(two))
                    e.store(e.add(e.load(place), total), place)
                    place = builder.add(place, builder.mul(deep, channels.line))

            for size in range(1, _TAPS + 1):
                with builder.if_then(builder.icmp_signed("==", taps, word(size))):
                    channels.each_vector(
                        lambda *vector, size=size: channels.each_input(
                            partial(taps_of, size, *vector)
                        )
                    )

        _by_groups(builder, deep, wide, sums_of)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 17), emit


@compiled(f"void({_R5}, {_R5}, {_W3}, float32[:, :, :, ::1], {_GEOMETRY}, int64)", parallel=True)
def weight_gradient(x, dy, dw_, parts, geometry, workers, task):
    """dw [taps, C/groups, O] of x and dy: the outputs are summed in parts, which are added up in
    order."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw, groups = geometry
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    images, planes, rows, across, o = dy.shape
    deep, wide, tap = c // groups, o // groups, c // groups * o * 4
    pixel, together = c * 4, max(1, (_OUTPUTS + across - 1) // max(across, 1))
    blocks = (rows + together - 1) // together
    units, every = images * planes * blocks, parts.shape[0]
    for worker in shared(0, workers, task):
        lanes = _lanes_of(deep, wide)
        for part in range(every * worker // workers, every * (worker + 1) // workers):
            sums = parts[part].ctypes.data
            zero(sums, kd * kh * kw * tap)
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
                    line = ((image * depth + z) * height + p0 * sh + at) * width
                    source = x.ctypes.data + line * pixel
                    place, j = dy.ctypes.data + (plane * rows + p0) * across * o * 4, 0
                    while j < kw:
                        taps = min(kw - j, _TAPS)
                        offset = j * dw - left
                        inner0 = min(max(0, -(offset // sw)), across)
                        inner1 = (width - 1 - offset - (taps - 1) * dw) // sw + 1
                        inner1 = max(inner0, min(across, inner1))
                        weight_sums(
                            taps, sums + (ai * kw + j) * tap, source, sh * width * pixel, place,
                            p1 - p0, across, o, deep, wide, lanes.ctypes.data, offset, sw, dw,
                            width, inner0, inner1,
                        )  # fmt: skip
                        j += taps
    for worker in shared(1, workers, task):
        add_up(parts, dw_, worker, workers)
