"""Vector instructions that Numba has no words for, written in LLVM's language.

An intrinsic here works at addresses (``array.ctypes.data``) with strides in bytes, on runs of
float32 that lie next to each other: whole vectors first, then one masked vector for the rest. The
width of a vector is the machine's, so the same text serves AVX-512, AVX2 and NEON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["BYTE", "BYTES", "COLUMNS", "FLOAT", "LANE", "LANES", "VECTOR", "WIDTH", "WORD"]
__all__ += ["Emitter", "copy", "emit_prefetch", "for_each_group", "for_each_vector"]
__all__ += [
    "lanes_added",
    "mask_of",
    "prefetch_later",
    "prefetch_to_write",
    "transpose",
    "transposed",
    "word",
    "zero",
]

FLOAT, WORD, BIT = ir.FloatType(), ir.IntType(64), ir.IntType(1)
LANE, BYTE = ir.IntType(32), ir.IntType(8)
FAST = ("fast",)  # sums may be reordered and contracted into fused multiply-adds


def _host() -> tuple[int, int]:
    """(floats in a vector, vectors in a row of the matrix product's tile). Six rows of the tile,
    one row of B and one value of A fill the registers: 32 with AVX-512 and NEON, else 16."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 4
    if features.get("avx2"):
        return 8, 2
    return (4, 4) if features.get("neon") else (4, 2)


WIDTH, COLUMNS = _host()
VECTOR = ir.VectorType(FLOAT, WIDTH)
_MOVE = {16: "llvm.x86.avx512.permvar.sf.512", 8: "llvm.x86.avx2.permps"}.get(WIDTH)
BYTES, LANES = ir.VectorType(BYTE, WIDTH), ir.VectorType(LANE, WIDTH)


class Emitter:
    """Arithmetic on vectors, as instructions of one function. ``mask`` says which lanes count."""

    def __init__(self, builder: Any, mask: Any = None) -> None:
        self.builder = builder
        self.mask = mask

    def constant(self, value: float) -> Any:
        """``value`` in all lanes."""
        return ir.Constant(VECTOR, [value] * WIDTH)

    def load(self, address: Any, kind: Any = VECTOR) -> Any:
        """The vector at an address; lanes that do not count are 0 and not read."""
        pointer, align = self.builder.inttoptr(address, kind.as_pointer()), _align(kind)
        if self.mask is None:
            return self.builder.load(pointer, align=align)
        function = self._intrinsic(
            f"llvm.masked.load.{_suffix(kind)}.p0", kind, [pointer.type, LANE, self._lanes(), kind]
        )
        nothing = ir.Constant(kind, None)
        return self.builder.call(function, [pointer, ir.Constant(LANE, align), self.mask, nothing])

    def store(self, value: Any, address: Any) -> None:
        """Write the lanes that count."""
        kind = value.type
        pointer, align = self.builder.inttoptr(address, kind.as_pointer()), _align(kind)
        if self.mask is None:
            self.builder.store(value, pointer, align=align)
            return
        function = self._intrinsic(
            f"llvm.masked.store.{_suffix(kind)}.p0",
            ir.VoidType(),
            [kind, pointer.type, LANE, self._lanes()],
        )
        self.builder.call(function, [value, pointer, ir.Constant(LANE, align), self.mask])

    def splat(self, address: Any) -> Any:
        """One float in all lanes."""
        value = self.builder.load(self.builder.inttoptr(address, FLOAT.as_pointer()), align=4)
        return self.spread(value, VECTOR)

    def spread(self, value: Any, kind: Any) -> Any:
        """``value`` in all lanes of a vector of type ``kind``."""
        nothing = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(nothing, value, ir.Constant(LANE, 0))
        places = ir.Constant(ir.VectorType(LANE, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(first, nothing, places)

    def moved(self, value: Any, places: Any) -> Any:
        """For each lane, what ``value`` has in the lane that ``places`` says."""
        if _MOVE is not None:
            return self.builder.call(
                self._intrinsic(_MOVE, VECTOR, [VECTOR, LANES]), [value, places]
            )
        moved = value
        for lane in range(WIDTH):
            here = ir.Constant(LANE, lane)
            found = self.builder.extract_element(value, self.builder.extract_element(places, here))
            moved = self.builder.insert_element(moved, found, here)
        return moved

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=FAST)

    def sub(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b, flags=FAST)

    def mul(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=FAST)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once."""
        function = self._intrinsic(f"llvm.fma.{_suffix(VECTOR)}", VECTOR, [VECTOR] * 3)
        return self.builder.call(function, [a, b, c])

    def once(self) -> None:
        """Keeps the loop around this place as it is written. Unrolled, a loop whose values fill the
        registers would not find room in them."""
        nothing = ir.FunctionType(ir.VoidType(), [])
        self.builder.asm(nothing, "", "", [], side_effect=True).attributes.add("convergent")

    def _lanes(self) -> Any:
        return ir.VectorType(BIT, WIDTH)

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)


def _suffix(kind: Any) -> str:
    """The name of a vector's type inside the name of an instruction."""
    return f"v{kind.count}{'f32' if kind.element == FLOAT else kind.element}"


def _align(kind: Any) -> int:
    """Bytes of an element."""
    return 4 if kind.element == FLOAT else kind.element.width // 8


def word(value: int) -> Any:
    """An integer of the size of an address."""
    return ir.Constant(WORD, value)


def for_each_vector(builder: Any, count: Any, body: Callable[[Emitter, Any], None]) -> None:
    """Emit ``body(emitter, offset in bytes)`` for ``count`` floats, the last lanes masked."""
    whole = builder.udiv(count, word(WIDTH))
    with cgutils.for_range(builder, whole, intp=WORD) as loop:
        body(Emitter(builder), builder.mul(loop.index, word(4 * WIDTH)))
    done = builder.mul(whole, word(WIDTH))
    rest = builder.sub(count, done)
    with builder.if_then(builder.icmp_signed(">", rest, word(0))):
        body(Emitter(builder, mask_of(builder, rest)), builder.mul(done, word(4)))


def for_each_group(
    builder: Any, count: Any, together: int, body: Callable[[Emitter, Any, int], None]
) -> None:
    """Emit ``body(emitter, offset in bytes, number of vectors)`` for ``count`` floats: several
    vectors together, so that what they share is read once for all, then one by one, the last with
    a mask."""
    whole = builder.udiv(count, word(together * WIDTH))
    with cgutils.for_range(builder, whole, intp=WORD) as loop:
        body(Emitter(builder), builder.mul(loop.index, word(4 * together * WIDTH)), together)
    done = builder.mul(whole, word(together * WIDTH))

    def alone(e: Emitter, offset: Any) -> None:
        body(e, builder.add(offset, builder.mul(done, word(4))), 1)

    for_each_vector(builder, builder.sub(count, done), alone)


def mask_of(builder: Any, count: Any) -> Any:
    """The first ``count`` lanes."""
    lanes = ir.Constant(LANES, list(range(WIDTH)))
    limit = Emitter(builder).spread(builder.trunc(count, LANE), LANES)
    return builder.icmp_signed("<", lanes, limit)


def lanes_added(builder: Any, vector: Any) -> Any:
    """The sum of the lanes, half by half; what is not finite stays so."""
    size = WIDTH // 2
    while size:
        places = ir.Constant(LANES, [(k + size) % WIDTH for k in range(WIDTH)])
        vector = builder.fadd(vector, builder.shuffle_vector(vector, vector, places))
        size //= 2
    return builder.extract_element(vector, ir.Constant(LANE, 0))


@intrinsic
def copy(typingctx: Any, target: Any, source: Any, nbytes: Any) -> Any:
    """``nbytes`` from address ``source`` to address ``target``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = BYTE.as_pointer()
        to, start = (builder.inttoptr(a, pointer) for a in arguments[:2])
        cgutils.raw_memcpy(builder, to, start, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), emit


def emit_prefetch(builder: Any, address: Any, write: bool = False, locality: int = 3) -> None:
    """Ask for the cache line at an address; no address is wrong."""
    to = builder.inttoptr(address, BYTE.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [to.type, LANE, LANE, LANE])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    how = [ir.Constant(LANE, value) for value in (int(write), locality, 1)]
    builder.call(function, [to, *how])


def _prefetcher(write: bool) -> Any:
    @intrinsic
    def ask(typingctx: Any, address: Any) -> Any:
        """Ask for the cache line at ``address``, into the level-2 cache."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit_prefetch(builder, arguments[0], write, locality=2)
            return context.get_dummy_value()

        return types.void(types.intp), emit

    return ask


prefetch_later, prefetch_to_write = _prefetcher(write=False), _prefetcher(write=True)


@intrinsic
def zero(typingctx: Any, target: Any, nbytes: Any) -> Any:
    """``nbytes`` of zeros at address ``target``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = builder.inttoptr(arguments[0], BYTE.as_pointer())
        cgutils.memset(builder, to, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


@intrinsic
def transpose(
    typingctx: Any, target: Any, target_row: Any, source: Any, source_row: Any, rows: Any,
    columns: Any,
) -> Any:  # fmt: skip
    """``target[j, i] = source[i, j]`` for ``rows`` x ``columns`` floats, steps in bytes: squares of
    vectors are transposed in the registers."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, target_row, source, source_row, rows, columns = arguments

        def square(i: Any, j: Any, down: Any, across: Any) -> None:
            """At row i and column j; with ``down`` and ``across``, only so many lines count."""

            def lines(base: Any, row: Any, i: Any, j: Any, down: Any, across: Any) -> Any:
                start = builder.add(base, builder.add(builder.mul(i, row), builder.shl(j, word(2))))
                for k in range(WIDTH):
                    mask = None
                    if down is not None:
                        inside = builder.icmp_signed(">", down, word(k))
                        mask = mask_of(builder, builder.select(inside, across, word(0)))
                    yield Emitter(builder, mask), builder.add(start, builder.mul(row, word(k)))

            read = lines(source, source_row, i, j, down, across)
            square = transposed(builder, [e.load(place) for e, place in read])
            written = lines(target, target_row, j, i, across, down)
            for line, (e, place) in zip(square, written, strict=True):
                e.store(line, place)

        def every(end: Any) -> Any:
            return cgutils.for_range_slice(builder, word(0), end, word(WIDTH), WORD)

        with every(rows) as (i, _), every(columns) as (j, _):
            down, across = builder.sub(rows, i), builder.sub(columns, j)
            whole = builder.and_(
                builder.icmp_signed(">=", down, word(WIDTH)),
                builder.icmp_signed(">=", across, word(WIDTH)),
            )
            with builder.if_else(whole) as (then, other):
                with then:
                    square(i, j, None, None)
                with other:
                    square(i, j, down, across)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), emit


def transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """A matrix of WIDTH vectors, transposed: squares of 1, 2, 4... lanes change places."""
    size = 1
    while size < WIDTH:
        first = [k if k & size == 0 else WIDTH + k - size for k in range(WIDTH)]
        second = [k + size if k & size == 0 else WIDTH + k for k in range(WIDTH)]
        for i in range(WIDTH):
            if i & size == 0:
                a, b = lines[i], lines[i + size]
                lines[i] = builder.shuffle_vector(a, b, ir.Constant(LANES, first))
                lines[i + size] = builder.shuffle_vector(a, b, ir.Constant(LANES, second))
        size *= 2
    return lines
