"""Order statistics of windows, for vectors of neighbouring windows at once and without a branch.

An image is [planes, rows, floats of a row], and tap (i, j) of the windows of one row of results is
a run of a row of the image: ``image[plane, p*stride + i, across[j]:][:length]``. So one text serves
row by row and channels-last memory, and every stride.

3x3 and 5x5 go through sorting networks. In other windows the value is looked for between the
smallest and the largest element, by halving the interval in the order of the bits. The half that
has it begins and ends at elements again, so a few passes over the window are enough.

Then the first tap that equals the value is found. A row of windows that holds a NaN is corrected
afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.networks import (
    larger,
    pick_3,
    pick_5,
    smaller,
    sort_3,
    sort_5,
    word_at,
)
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import (
    COLUMNS,
    LANE,
    LANES,
    VECTOR,
    WIDTH,
    WORD,
    Emitter,
    for_each_vector,
    word,
)
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["median", "rank", "rank_pair"]

TOGETHER = COLUMNS  # vectors of windows whose taps are read together
TAPS = ir.VectorType(ir.IntType(16), WIDTH)  # a byte does not number those of a large window
SIGN = 0x7FFFFFFF

_IMAGE = "Array(float32, 3, 'C', readonly=True)"
_ACROSS = "Array(int64, 1, 'C', readonly=True)"
_VALUES, _BYTES, _NUMBERS = "float32[:, :, ::1]", "uint8[:, :, ::1]", "int16[:, :, ::1]"
_FLAGS = "uint8[:, ::1]"  # [planes, rows]: working memory
_WINDOWS = f"int64, int64, {_ACROSS}, {_FLAGS}"


@compiled(f"void({_IMAGE}, {_VALUES}, {_BYTES}, {_WINDOWS}, float32[:, ::1])", parallel=True)
def median(x, y, k, height, down, across, flags, scratch, task):
    """y = the medians of windows of 3x3 or 5x5, k = their taps. A row of ``scratch`` for each
    worker holds ``height`` rows of x."""
    planes, rows, length = y.shape
    width, units, workers = x.shape[2], planes * rows, len(scratch)
    _look_for_nan(x, flags, workers, task)
    for worker in shared(1, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            source = x.ctypes.data + (plane * x.shape[1] + p * down) * width * 4
            columns = scratch[worker].ctypes.data
            values, taps = y.ctypes.data + unit * length * 4, k.ctypes.data + unit * length
            if height == 3:
                sort_3(columns, source, width)
                pick_3(values, taps, length, source, columns, width, across.ctypes.data)
            else:
                sort_5(columns, source, width)
                pick_5(values, taps, length, source, columns, width, across.ctypes.data)
            _correct(x, y, k, plane, p, height, down, across, flags)


@compiled(f"void({_IMAGE}, {_VALUES}, {_NUMBERS}, {_WINDOWS}, int64, int64)", parallel=True)
def rank(x, y, k, height, down, across, flags, place, workers, task):
    """y = the value of rank ``place`` of windows of any size, k = its tap."""
    planes, rows, length = y.shape
    width, units = x.shape[2], planes * rows
    _look_for_nan(x, flags, workers, task)
    for worker in shared(1, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            _find(
                y.ctypes.data + unit * length * 4, k.ctypes.data + unit * length * 2, length,
                x.ctypes.data + (plane * x.shape[1] + p * down) * width * 4, width,
                height, across.ctypes.data, len(across), place,
            )  # fmt: skip
            _correct(x, y, k, plane, p, height, down, across, flags)


@compiled(
    f"void({_IMAGE}, {_VALUES}, {_NUMBERS}, {_VALUES}, {_NUMBERS}, {_WINDOWS}, int64, int64)",
    parallel=True,
)
def rank_pair(x, y, k, y1, k1, height, down, across, flags, place, workers, task):
    """The same, and y1 and k1 of rank ``place + 1``."""
    planes, rows, length = y.shape
    width, units = x.shape[2], planes * rows
    _look_for_nan(x, flags, workers, task)
    for worker in shared(1, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            _find_pair(
                y.ctypes.data + unit * length * 4, k.ctypes.data + unit * length * 2,
                y1.ctypes.data + unit * length * 4, k1.ctypes.data + unit * length * 2, length,
                x.ctypes.data + (plane * x.shape[1] + p * down) * width * 4, width,
                height, across.ctypes.data, len(across), place,
            )  # fmt: skip
            _correct(x, y, k, plane, p, height, down, across, flags)
            _correct(x, y1, k1, plane, p, height, down, across, flags)


@njit(inline="always")
def _look_for_nan(x, flags, workers, task):
    """Flag the rows of x that hold a NaN."""
    rows = x.shape[1]
    units = x.shape[0] * rows
    for worker in shared(0, workers, task):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, h = divmod(unit, rows)
            row, found = x[plane, h], False
            for v in row:
                found |= v != v
            flags[plane, h] = found


@njit
def _correct(x, y, k, plane, p, height, down, across, flags):
    """Of windows with a NaN: the first one and its tap."""
    if not flags[plane, p * down : p * down + height].any():
        return
    for q in range(y.shape[2]):
        for tap in range(height * len(across) - 1, -1, -1):
            i, j = divmod(tap, len(across))
            value = x[plane, p * down + i, across[j] + q]
            if value != value:
                y[plane, p, q], k[plane, p, q] = value, tap


# Halving an interval ------------------------------------------------------------------------------


class _Windows:
    """Some vectors of neighbouring windows, whose taps are read one after the other."""

    def __init__(
        self, e: Emitter, source: Any, width: Any, height: Any, across: Any, count: Any,
        vectors: int,
    ) -> None:  # fmt: skip
        self.e, self.builder, self.vectors = e, e.builder, range(vectors)
        self.source, self.row = source, e.builder.shl(width, word(2))
        self.height, self.across, self.count = height, across, count

    def registers(self, kind: Any, value: Any) -> list[Any]:
        """One variable for each vector."""
        places = [cgutils.alloca_once(self.builder, kind) for _ in self.vectors]
        for place in places:
            self.builder.store(value, place)
        return places

    def update(self, place: Any, value: Any) -> None:
        self.builder.store(value, place)

    def each_tap(self, body: Callable[[int, Any, Any], None], backwards: bool = False) -> None:
        """Emit ``body(vector, its pixels, number of the tap)`` for every tap."""
        builder = self.builder

        def turned(index: Any, count: Any) -> Any:
            return builder.sub(builder.sub(count, word(1)), index) if backwards else index

        with cgutils.for_range(builder, self.height, intp=WORD) as outer:
            i = turned(outer.index, self.height)
            line = builder.add(self.source, builder.mul(i, self.row))
            first = builder.mul(i, self.count)
            with cgutils.for_range(builder, self.count, intp=WORD) as inner:
                j = turned(inner.index, self.count)
                step = builder.shl(word_at(builder, self.across, j), word(2))
                pixel, tap = builder.add(line, step), builder.add(first, j)
                for v in self.vectors:
                    body(v, self.e.load(builder.add(pixel, word(4 * WIDTH * v))), tap)

    def value_of(self, place: Any) -> list[Any]:
        """For each vector a variable with the value of rank ``place``."""
        builder, e = self.builder, self.e
        above_all, below_all = e.constant(float("inf")), e.constant(float("-inf"))
        low, high = self.registers(VECTOR, above_all), self.registers(VECTOR, below_all)

        def widen(v: int, x: Any, tap: Any) -> None:
            self.update(low[v], smaller(builder, x, builder.load(low[v])))
            self.update(high[v], larger(builder, x, builder.load(high[v])))

        self.each_tap(widen)
        again, found = (builder.append_basic_block(name) for name in ("again", "found"))
        builder.branch(again)
        builder.position_at_end(again)
        middle = [
            _middle(builder, builder.load(a), builder.load(b))
            for a, b in zip(low, high, strict=True)
        ]
        count, below, above = self.split_at(middle)
        more = []
        wanted = e.spread(builder.trunc(place, LANE), LANES)
        for v in self.vectors:
            enough = builder.icmp_signed(">", builder.load(count[v]), wanted)
            at_least = builder.select(enough, builder.load(low[v]), builder.load(above[v]))
            at_most = builder.select(enough, builder.load(below[v]), builder.load(high[v]))
            self.update(low[v], at_least)
            self.update(high[v], at_most)
            more.append(builder.fcmp_ordered("<", at_least, at_most))
        builder.cbranch(_any(builder, more), again, found)
        builder.position_at_end(found)
        return low

    def split_at(self, values: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """How many elements are not larger than the values, the largest of them, and the smallest
        of the others."""
        builder, e = self.builder, self.e
        above_all, below_all = e.constant(float("inf")), e.constant(float("-inf"))
        count = self.registers(LANES, ir.Constant(LANES, [0] * WIDTH))
        below, above = self.registers(VECTOR, below_all), self.registers(VECTOR, above_all)

        def compare(v: int, x: Any, tap: Any) -> None:
            under = builder.fcmp_ordered("<=", x, values[v])
            more = builder.add(builder.load(count[v]), builder.zext(under, LANES))
            self.update(count[v], more)
            lower = builder.select(under, x, below_all)
            self.update(below[v], larger(builder, lower, builder.load(below[v])))
            upper = builder.select(under, above_all, x)
            self.update(above[v], smaller(builder, upper, builder.load(above[v])))

        self.each_tap(compare)
        return count, below, above

    def store(self, values: list[Any], y: Any, k: Any) -> None:
        """Write the values, as the first elements that equal them, and their taps."""
        builder, e = self.builder, self.e
        wanted = [builder.load(value) for value in values]
        number = self.registers(LANES, ir.Constant(LANES, [0] * WIDTH))

        def compare(v: int, x: Any, tap: Any) -> None:
            equal = builder.fcmp_ordered("==", x, wanted[v])
            self.update(values[v], builder.select(equal, x, builder.load(values[v])))
            here = e.spread(builder.trunc(tap, LANE), LANES)
            self.update(number[v], builder.select(equal, here, builder.load(number[v])))

        self.each_tap(compare, backwards=True)
        for v in self.vectors:
            e.store(builder.load(values[v]), builder.add(y, word(4 * WIDTH * v)))
            tap = builder.trunc(builder.load(number[v]), TAPS)
            e.store(tap, builder.add(k, word(2 * WIDTH * v)))


@intrinsic
def _find(
    typingctx: Any, y: Any, k: Any, length: Any, source: Any, width: Any, height: Any, across: Any,
    count: Any, place: Any,
) -> Any:  # fmt: skip
    """The value of rank ``place`` of a row of windows, and its tap."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, k, length, source, width, height, across, count, place = arguments

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            image = builder.add(source, offset)
            windows = _Windows(e, image, width, height, across, count, vectors)
            taps = builder.add(k, builder.lshr(offset, word(1)))
            windows.store(windows.value_of(place), builder.add(y, offset), taps)

        _for_each_group(builder, length, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 9), emit


@intrinsic
def _find_pair(
    typingctx: Any, y: Any, k: Any, y1: Any, k1: Any, length: Any, source: Any, width: Any,
    height: Any, across: Any, count: Any, place: Any,
) -> Any:  # fmt: skip
    """The same, and for rank ``place + 1``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, k, y1, k1, length, source, width, height, across, count, place = arguments

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            image = builder.add(source, offset)
            windows = _Windows(e, image, width, height, across, count, vectors)
            taps, taps1 = (builder.add(a, builder.lshr(offset, word(1))) for a in (k, k1))
            lower = windows.value_of(place)
            values = [builder.load(value) for value in lower]
            number, _, above = windows.split_at(values)
            wanted = e.spread(builder.trunc(builder.add(place, word(1)), LANE), LANES)
            for v in windows.vectors:  # equal values may have both ranks
                both = builder.icmp_signed(">", builder.load(number[v]), wanted)
                upper = builder.select(both, values[v], builder.load(above[v]))
                windows.update(above[v], upper)
            windows.store(lower, builder.add(y, offset), taps)
            windows.store(above, builder.add(y1, offset), taps1)

        _for_each_group(builder, length, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 11), emit


def _for_each_group(builder: Any, count: Any, body: Callable[[Emitter, Any, int], None]) -> None:
    """Emit ``body(emitter, offset in bytes, number of vectors)``: several vectors together, then
    one by one, the last with a mask."""
    whole = builder.udiv(count, word(TOGETHER * WIDTH))
    with cgutils.for_range(builder, whole, intp=WORD) as loop:
        body(Emitter(builder), builder.mul(loop.index, word(4 * TOGETHER * WIDTH)), TOGETHER)
    done = builder.mul(whole, word(TOGETHER * WIDTH))

    def alone(e: Emitter, offset: Any) -> None:
        body(e, builder.add(offset, builder.shl(done, word(2))), 1)

    for_each_vector(builder, builder.sub(count, done), alone)


def _middle(builder: Any, low: Any, high: Any) -> Any:
    """The float in the middle of the bits of two, which is below the larger one."""
    a, b = (_in_order(builder, builder.bitcast(x, LANES)) for x in (low, high))
    one = ir.Constant(LANES, [1] * WIDTH)
    half = builder.ashr(builder.xor(a, b), one)
    return builder.bitcast(_in_order(builder, builder.add(builder.and_(a, b), half)), VECTOR)


def _in_order(builder: Any, bits: Any) -> Any:
    """The bits of floats as integers in the same order, and back."""
    last = ir.Constant(LANES, [31] * WIDTH)
    negative = builder.ashr(bits, last)
    return builder.xor(bits, builder.and_(negative, ir.Constant(LANES, [SIGN] * WIDTH)))


def _any(builder: Any, masks: list[Any]) -> Any:
    """True if a lane of a mask is."""
    union = masks[0]
    for mask in masks[1:]:
        union = builder.or_(union, mask)
    bits = builder.bitcast(union, ir.IntType(WIDTH))
    return builder.icmp_signed("!=", bits, bits.type(0))
