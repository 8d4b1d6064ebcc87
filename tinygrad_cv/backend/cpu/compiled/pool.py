"""Pooling of [N, D, H, W, C]: the largest or the sum of the pixels of a window, and the way back.

Along each axis, a window is a list of pixels, and a pixel has a list of windows that it is in. The
caller writes these lists down (``starts`` and ``links``), so one text serves every kernel, stride,
padding, dilation and overlap, adaptive windows as well, in one to three dimensions. The way back is
the same text with the other lists: a pixel collects from its windows.

The unit of work is a row of targets. For each target and each vector of channels, all its links are
followed with the result in registers, and it is stored once: nothing is set to zero before, no two
threads write to one place, and each sum has one order. What a whole row has in common, the links of
the first two axes, is put together once per row.

``links[starts[t] : starts[t + 1]]`` are those of target t, the targets of the three axes being
numbered one after the other. A link is (place of the source, number of the tap); summed over the
three axes they are the place in the image, counted in floats, and the number in the window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.vector import (
    BYTES,
    LANE,
    LANES,
    VECTOR,
    WORD,
    Emitter,
    for_each_vector,
    word,
)
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["maxima", "sums", "winners"]

_READ, _BYTES = "Array(float32, 5, 'C', readonly=True)", "Array(uint8, 5, 'C', readonly=True)"
_WRITE = "float32[:, :, :, :, ::1]"
_LISTS = "Array(int64, 1, 'C', readonly=True), Array(int64, 2, 'C', readonly=True)"
_LISTS += ", int64[:, :, ::1]"  # [threads, links, 2]


@compiled(f"void({_READ}, {_WRITE}, uint8[:, :, :, :, ::1], {_LISTS})", parallel=True)
def maxima(x, y, k, starts, links, scratch):  # type: ignore[no-untyped-def]
    """y = the first largest pixel of every window, or its last NaN; k = the number of its tap."""
    images, planes, rows, across, c = y.shape
    size = x.shape[1] * x.shape[2] * x.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    for worker in prange(workers):
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
def winners(g, k, dx, starts, links, scratch):  # type: ignore[no-untyped-def]
    """dx = for every pixel, the sum of g over the windows whose k names it."""
    images, planes, rows, across, c = dx.shape
    size = g.shape[1] * g.shape[2] * g.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    for worker in prange(workers):
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


@compiled(
    f"void({_READ}, {_WRITE}, Array(float32, 1, 'C', readonly=True), {_LISTS})", parallel=True
)
def sums(x, y, counts, starts, links, scratch):  # type: ignore[no-untyped-def]
    """y = for every target, the sum of its sources, divided by the counts of its three axes."""
    images, planes, rows, across, c = y.shape
    size = x.shape[1] * x.shape[2] * x.shape[3] * c
    units, workers = images * planes * rows, len(scratch)
    for worker in prange(workers):
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
def _join(starts, links, d, p, joined):  # type: ignore[no-untyped-def]
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

        def body(e: Emitter, offset: Any) -> None:
            best, winner = (cgutils.alloca_once(builder, kind) for kind in (VECTOR, LANES))
            builder.store(e.constant(float("-inf")), best)
            builder.store(e.spread(first, LANES), winner)
            start = builder.add(x, offset)

            def compare(place: Any, tap: Any) -> None:
                value, so_far = e.load(_floats(builder, start, place)), builder.load(best)
                nan = builder.fcmp_unordered("uno", value, value)
                better = builder.or_(builder.fcmp_ordered(">", value, so_far), nan)
                number = e.spread(builder.trunc(tap, LANE), LANES)
                builder.store(builder.select(better, value, so_far), best)
                builder.store(builder.select(better, number, builder.load(winner)), winner)

            _follow(builder, links, compare)
            e.store(builder.load(best), builder.add(y, offset))
            taps = builder.add(k, builder.udiv(offset, word(4)))
            e.store(builder.trunc(builder.load(winner), BYTES), taps)

        for_each_vector(builder, c, body)
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

        def body(e: Emitter, offset: Any) -> None:
            total = cgutils.alloca_once(builder, VECTOR)
            builder.store(e.constant(0.0), total)
            start, taps = builder.add(g, offset), builder.add(k, builder.udiv(offset, word(4)))

            def collect(place: Any, tap: Any) -> None:
                found = builder.zext(e.load(builder.add(taps, place), BYTES), LANES)
                won = builder.icmp_signed("==", found, e.spread(builder.trunc(tap, LANE), LANES))
                value = e.load(_floats(builder, start, place))
                part = builder.select(won, value, e.constant(0.0))
                builder.store(builder.fadd(builder.load(total), part), total)

            _follow(builder, links, collect)
            e.store(builder.load(total), builder.add(dx, offset))

        for_each_vector(builder, c, body)
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

        def body(e: Emitter, offset: Any) -> None:
            total, run = (cgutils.alloca_once(builder, VECTOR) for _ in range(2))
            builder.store(e.constant(0.0), total)
            builder.store(e.constant(0.0), run)
            start = builder.add(x, offset)

            def collect(place: Any, tap: Any) -> None:
                value = e.load(_floats(builder, start, place))
                builder.store(builder.fadd(builder.load(run), value), run)

            def finish_run() -> None:
                builder.store(builder.fadd(builder.load(total), builder.load(run)), total)
                builder.store(e.constant(0.0), run)

            _follow(builder, links, collect, finish_run)
            with builder.if_then(builder.fcmp_unordered("!=", divisor, divisor.type(1.0))):
                mean = builder.fdiv(builder.load(total), e.spread(divisor, VECTOR))
                builder.store(mean, total)
            e.store(builder.load(total), builder.add(y, offset))

        for_each_vector(builder, c, body)
        return context.get_dummy_value()

    return types.void(_ADDRESS, _ADDRESS, types.float32, *_LINKS), emit
