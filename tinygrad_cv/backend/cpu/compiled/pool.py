"""Pooling of [N, D, H, W, C]: the largest or the sum of the pixels of a window, and the way back.

Along each axis, a window is a list of pixels, and a pixel has a list of windows that it is in. The
caller writes these lists down (``starts`` and ``links``), so one text serves every kernel, stride,
padding, dilation and overlap, adaptive windows as well, in one to three dimensions. The way back is
the same text with the other lists: a pixel collects from its windows.

Where no pixel is in two windows, the gradient of a maximum needs no collecting: each window writes
to its own pixels.

The unit of work is a row of targets. For each target and a few vectors of channels, all its links
are followed with the results in registers, and stored once: nothing is set to zero before, no two
threads write to one place, and each sum has one order. What a whole row has in common, the links of
the first two axes, is put together once per row.

``links[starts[t] : starts[t + 1]]`` are those of target t, the targets of the three axes being
numbered one after the other. A link is (place of the source, number of the tap); summed over the
three axes they are the place in the image, counted in floats, and the number in the window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import (
    BYTES,
    LANE,
    LANES,
    VECTOR,
    WIDTH,
    WORD,
    Emitter,
    for_each_group,
    word,
    zero,
)
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["maxima", "placed", "sums", "winners"]

TOGETHER = 4  # vectors of channels that follow the links together

_READ, _BYTES = "Array(float32, 5, 'C', readonly=True)", "Array(uint8, 5, 'C', readonly=True)"
_WRITE = "float32[:, :, :, :, ::1]"
_LISTS = "Array(int64, 1, 'C', readonly=True), Array(int64, 2, 'C', readonly=True)"
_LISTS += ", int64[:, :, ::1]"  # [threads, links, 2]


@compiled(f"void({_READ}, {_WRITE}, uint8[:, :, :, :, ::1], {_LISTS})", parallel=True)
def maxima(x, y, k, starts, links, scratch, task):
    """y = the first largest pixel of every window, or its last NaN; k = the number of its tap."""
    images, planes, rows, across, c = y.shape
    size = x.shape[1] * x.shape[2] * x.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    for worker in shared(0, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            count = _join(starts, links, d, planes + p, scratch[worker])
            row = scratch[worker].ctypes.data
            for q in range(across):
                place = (unit * across + q) * c
                first, last = starts[planes + rows + q], starts[planes + rows + q + 1]
                _largest(
                    y.ctypes.data + place * 4, k.ctypes.data + place,
                    x.ctypes.data + image * size * 4, c,
                    row, count, links.ctypes.data + first * 16, last - first,
                )  # fmt: skip


@compiled(f"void({_READ}, {_BYTES}, {_WRITE}, {_LISTS})", parallel=True)
def winners(g, k, dx, starts, links, scratch, task):
    """dx = for every pixel, the sum of g over the windows whose k names it."""
    images, planes, rows, across, c = dx.shape
    size = g.shape[1] * g.shape[2] * g.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    for worker in shared(0, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, h = divmod(unit, rows)
            image, z = divmod(plane, planes)
            count = _join(starts, links, z, planes + h, scratch[worker])
            row = scratch[worker].ctypes.data
            for w in range(across):
                first, last = starts[planes + rows + w], starts[planes + rows + w + 1]
                _won(
                    dx.ctypes.data + (unit * across + w) * c * 4,
                    g.ctypes.data + image * size * 4, k.ctypes.data + image * size, c,
                    row, count, links.ctypes.data + first * 16, last - first,
                )  # fmt: skip


@compiled(f"void({_READ}, {_BYTES}, {_WRITE}, {_LISTS}, int64)", parallel=True)
def placed(g, k, dx, starts, links, scratch, covered, task):
    """The same where no pixel is in two windows, with the lists of the windows' pixels. With
    ``covered`` every pixel is in one."""
    images, planes, rows, across, c = g.shape
    size = dx.shape[1] * dx.shape[2] * dx.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    if not covered:
        for worker in shared(0, workers, task):
            first, last = images * worker // workers, images * (worker + 1) // workers
            zero(dx.ctypes.data + first * size * 4, (last - first) * size * 4)
    for worker in shared(1, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            count = _join(starts, links, d, planes + p, scratch[worker])
            row = scratch[worker].ctypes.data
            for q in range(across):
                place = (unit * across + q) * c
                first, last = starts[planes + rows + q], starts[planes + rows + q + 1]
                _place(
                    dx.ctypes.data + image * size * 4, g.ctypes.data + place * 4,
                    k.ctypes.data + place, c,
                    row, count, links.ctypes.data + first * 16, last - first,
                )  # fmt: skip


@compiled(
    f"void({_READ}, {_WRITE}, Array(float32, 1, 'C', readonly=True), {_LISTS})", parallel=True
)
def sums(x, y, counts, starts, links, scratch, task):
    """y = for every target, the sum of its sources, divided by the counts of its three axes."""
    images, planes, rows, across, c = y.shape
    size = x.shape[1] * x.shape[2] * x.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    for worker in shared(0, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            count = _join(starts, links, d, planes + p, scratch[worker])
            row = scratch[worker].ctypes.data
            for q in range(across):
                first, last = starts[planes + rows + q], starts[planes + rows + q + 1]
                _sum(
                    y.ctypes.data + (unit * across + q) * c * 4, x.ctypes.data + image * size * 4,
                    counts[d] * counts[planes + p] * counts[planes + rows + q], c,
                    row, count, links.ctypes.data + first * 16, last - first,
                )  # fmt: skip


@njit
def _join(starts, links, d, p, joined):
    """Write down the links of targets d and p together; returns their number."""
    count = 0
    for one in range(starts[d], starts[d + 1]):
        for other in range(starts[p], starts[p + 1]):
            joined[count, 0] = links[one, 0] + links[other, 0]
            joined[count, 1] = links[one, 1] + links[other, 1]
            count += 1
    return count


# For one target: vectors of channels, and the links that each of them follows ---------------------

_ADDRESS = types.intp
_LINKS = (types.intp,) * 5  # channels; addresses and numbers of the links of a row, and across


def _registers(builder: Any, count: int, kind: Any = VECTOR) -> list[Any]:
    return [cgutils.alloca_once(builder, kind) for _ in range(count)]


def _follow(
    builder: Any,
    links: Any,
    body: Callable[[Any, Any], None],
    after_run: Callable[[], None] = lambda: None,
) -> None:
    """Emit ``body(place of the source, number of the tap)`` for every link of a target, and
    ``after_run()`` for every run of links across."""
    rows, row_count, across, count = links
    with cgutils.for_range(builder, row_count, intp=WORD) as outer:
        place, tap = _link(builder, rows, outer.index)
        with cgutils.for_range(builder, count, intp=WORD) as inner:
            further, more = _link(builder, across, inner.index)
            body(builder.add(place, further), builder.add(tap, more))
        after_run()


def _link(builder: Any, links: Any, number: Any) -> tuple[Any, Any]:
    """(place, tap) of a link."""
    at = builder.add(links, builder.mul(number, word(16)))
    place, tap = at, builder.add(at, word(8))
    return _word_at(builder, place), _word_at(builder, tap)


def _floats(builder: Any, address: Any, count: Any) -> Any:
    """The address ``count`` floats further on."""
    return builder.add(address, builder.mul(count, word(4)))


def _word_at(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, WORD.as_pointer()))


@intrinsic
def _largest(
    typingctx: Any, y: Any, k: Any, x: Any, c: Any, rows: Any, row_count: Any, across: Any,
    count: Any,
) -> Any:  # fmt: skip
    """The largest of the linked pixels, and the tap that it came from."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, k, x, c, *links = arguments
        taps = (_link(builder, part, word(0))[1] for part in (links[0], links[2]))
        first = builder.trunc(builder.add(*taps), LANE)

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            best, winner = _registers(builder, vectors), _registers(builder, vectors, LANES)
            for one, other in zip(best, winner, strict=True):
                builder.store(e.constant(float("-inf")), one)
                builder.store(e.spread(first, LANES), other)
            start = builder.add(x, offset)

            def compare(place: Any, tap: Any) -> None:
                pixel = _floats(builder, start, place)
                number = e.spread(builder.trunc(tap, LANE), LANES)
                for v in range(vectors):
                    value = e.load(builder.add(pixel, word(4 * WIDTH * v)))
                    so_far, tap_so_far = builder.load(best[v]), builder.load(winner[v])
                    nan = builder.fcmp_unordered("uno", value, value)
                    better = builder.or_(builder.fcmp_ordered(">", value, so_far), nan)
                    builder.store(builder.select(better, value, so_far), best[v])
                    builder.store(builder.select(better, number, tap_so_far), winner[v])

            _follow(builder, links, compare)
            values, taps = builder.add(y, offset), builder.add(k, builder.udiv(offset, word(4)))
            for v in range(vectors):
                e.store(builder.load(best[v]), builder.add(values, word(4 * WIDTH * v)))
                found = builder.trunc(builder.load(winner[v]), BYTES)
                e.store(found, builder.add(taps, word(WIDTH * v)))

        for_each_group(builder, c, TOGETHER, body)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 3, *_LINKS), emit


@intrinsic
def _won(
    typingctx: Any, dx: Any, g: Any, k: Any, c: Any, rows: Any, row_count: Any, across: Any,
    count: Any,
) -> Any:  # fmt: skip
    """The sum of the linked gradients whose tap won."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        dx, g, k, c, *links = arguments

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            total = _registers(builder, vectors)
            for one in total:
                builder.store(e.constant(0.0), one)
            start, taps = builder.add(g, offset), builder.add(k, builder.udiv(offset, word(4)))

            def collect(place: Any, tap: Any) -> None:
                values, winners = _floats(builder, start, place), builder.add(taps, place)
                number = e.spread(builder.trunc(tap, LANE), LANES)
                for v in range(vectors):
                    winner = e.load(builder.add(winners, word(WIDTH * v)), BYTES)
                    won = builder.icmp_signed("==", builder.zext(winner, LANES), number)
                    value = e.load(builder.add(values, word(4 * WIDTH * v)))
                    part = builder.select(won, value, e.constant(0.0))
                    builder.store(builder.fadd(builder.load(total[v]), part), total[v])

            _follow(builder, links, collect)
            for v in range(vectors):
                place = builder.add(builder.add(dx, offset), word(4 * WIDTH * v))
                e.store(builder.load(total[v]), place)

        for_each_group(builder, c, TOGETHER, body)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 3, *_LINKS), emit


@intrinsic
def _place(
    typingctx: Any, dx: Any, g: Any, k: Any, c: Any, rows: Any, row_count: Any, across: Any,
    count: Any,
) -> Any:  # fmt: skip
    """The gradient to the linked pixel whose tap won, 0 to the others."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        dx, g, k, c, *links = arguments

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            start, taps = builder.add(dx, offset), builder.add(k, builder.udiv(offset, word(4)))
            source, steps = builder.add(g, offset), [word(WIDTH * v) for v in range(vectors)]
            values = [e.load(_floats(builder, source, step)) for step in steps]
            winners = [
                builder.zext(e.load(builder.add(taps, step), BYTES), LANES) for step in steps
            ]

            def write(place: Any, tap: Any) -> None:
                pixel = _floats(builder, start, place)
                number = e.spread(builder.trunc(tap, LANE), LANES)
                for value, winner, step in zip(values, winners, steps, strict=True):
                    won = builder.icmp_signed("==", winner, number)
                    part = builder.select(won, value, e.constant(0.0))
                    e.store(part, _floats(builder, pixel, step))

            _follow(builder, links, write)

        for_each_group(builder, c, TOGETHER, body)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 3, *_LINKS), emit


@intrinsic
def _sum(
    typingctx: Any, y: Any, x: Any, divisor: Any, c: Any, rows: Any, row_count: Any, across: Any,
    count: Any,
) -> Any:  # fmt: skip
    """The sum of the linked pixels, run by run along the last axis, divided by the count."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, x, divisor, c, *links = arguments

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            total, run = _registers(builder, vectors), _registers(builder, vectors)
            for one in (*total, *run):
                builder.store(e.constant(0.0), one)
            start = builder.add(x, offset)

            def collect(place: Any, tap: Any) -> None:
                pixel = _floats(builder, start, place)
                for v in range(vectors):
                    value = e.load(builder.add(pixel, word(4 * WIDTH * v)))
                    builder.store(builder.fadd(builder.load(run[v]), value), run[v])

            def finish_run() -> None:
                for one, other in zip(total, run, strict=True):
                    builder.store(builder.fadd(builder.load(one), builder.load(other)), one)
                    builder.store(e.constant(0.0), other)

            _follow(builder, links, collect, finish_run)
            with builder.if_then(builder.fcmp_unordered("!=", divisor, divisor.type(1.0))):
                for one in total:
                    mean = builder.fdiv(builder.load(one), e.spread(divisor, VECTOR))
                    builder.store(mean, one)
            for v in range(vectors):
                place = builder.add(builder.add(y, offset), word(4 * WIDTH * v))
                e.store(builder.load(total[v]), place)

        for_each_group(builder, c, TOGETHER, body)
        return context.get_dummy_value()

    return types.void(_ADDRESS, _ADDRESS, types.float32, *_LINKS), emit
