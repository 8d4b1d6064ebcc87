"""C = A B or C += A B for float32 matrices that lie in the cache: the product inside every kernel.

A tile of six rows and a few vectors of C stays in registers while one row of B after the other is
multiplied with one column of A. Nothing is packed: A may lie anyhow (a step from row to row and one
from column to column), B and C have rows without gaps. Reads of B stream from the level-2 cache.
BLAS libraries need more: they pack, start threads, and are slow for matrices this small.

``runs`` lets a sum have two levels: after every k columns of A and rows of B, A goes on ``a_run``
and B ``b_run`` bytes after where this run began. So the windows of an image are rows of A where
they lie, without having been copied: a run for each line of the window, k long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.vector import (
    COLUMNS,
    VECTOR,
    WIDTH,
    WORD,
    Emitter,
    emit_prefetch,
    mask_of,
    word,
)
from tinygrad_cv.backend.cpu.compiling import routine

__all__ = ["ROWS", "emit_tile", "in_pieces", "product", "product_of_runs"]


ROWS = 6  # of C in a tile
_NEXT = 4 * WIDTH  # bytes from one vector of a row to the next


def _strip(columns: int, masked: bool) -> Any:
    """The intrinsic for all rows of a strip of C that is ``columns`` vectors wide; masked, only its
    first ``lanes`` floats count."""

    @intrinsic
    def strip(
        typingctx: Any, m: Any, runs: Any, a_run: Any, b_run: Any, k: Any, a: Any, a_row: Any,
        a_column: Any, b: Any, b_row: Any, c: Any, c_row: Any, accumulate: Any, lanes: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            m, runs, a_run, b_run, k, a, a_row, a_column, b, b_row, *rest = arguments
            c, c_row, accumulate, lanes = rest
            e, vector = Emitter(builder, mask_of(builder, lanes) if masked else None), word(_NEXT)
            adjacent = builder.and_(
                builder.icmp_signed("==", runs, word(1)),
                builder.icmp_signed("==", a_column, word(4)),
            )

            def tile(i: Any, rows: int) -> None:
                first_a = builder.add(a, builder.mul(i, a_row))
                first_c = builder.add(c, builder.mul(i, c_row))
                if rows == ROWS and not masked:  # the rows after these may be far
                    there = builder.icmp_signed("<=", builder.add(i, word(2 * ROWS)), m)
                    with builder.if_then(builder.and_(adjacent, there)):
                        _ask(builder, first_a, a_row, builder.shl(k, word(2)))
                        _ask(builder, first_c, c_row, word(_NEXT * columns))
                emit_tile(
                    e, rows, columns, runs, a_run, b_run, k, first_a, a_row, a_column, b, b_row,
                    vector, first_c, c_row, vector, accumulate, Emitter.splat,
                )  # fmt: skip

            in_pieces(builder, m, (ROWS, 2, 1), tile)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 14), emit

    return strip


def _ask(builder: Any, place: Any, row: Any, nbytes: Any) -> None:
    """Emit a request for ``nbytes`` of each of the ``ROWS`` rows after those that begin here."""
    first, line = builder.add(place, builder.mul(row, word(ROWS))), word(64)
    with cgutils.for_range(builder, word(ROWS), intp=WORD) as loop:
        start = builder.add(first, builder.mul(row, loop.index))
        with cgutils.for_range_slice(builder, word(0), nbytes, line, WORD) as (byte, _):
            emit_prefetch(builder, builder.add(start, byte))


def in_pieces(
    builder: Any, count: Any, sizes: tuple[int, ...], body: Callable[[Any, int], None]
) -> None:
    """Emit ``body(first, size)`` for pieces of ``count``, as large as possible."""
    done = word(0)
    for size in sizes:
        pieces = builder.sdiv(builder.sub(count, done), word(size))
        with cgutils.for_range(builder, pieces, intp=WORD) as loop:
            body(builder.add(done, builder.mul(loop.index, word(size))), size)
        done = builder.add(done, builder.mul(pieces, word(size)))


def emit_tile(
    e: Emitter, rows: int, columns: int, runs: Any, a_run: Any, b_run: Any, k: Any, a: Any,
    a_row: Any, a_column: Any, b: Any, b_row: Any, b_vector: Any, c: Any, c_row: Any,
    c_vector: Any, accumulate: Any, factor_at: Callable[[Emitter, Any], Any],
) -> None:  # fmt: skip
    """Emit the loop of a tile.

    ``b_vector`` and ``c_vector`` are the steps from one vector of a row to the next; ``factor_at``
    makes a vector of what lies at an address of A.
    """
    builder = e.builder
    registers = [
        [cgutils.alloca_once(builder, VECTOR) for _ in range(columns)] for _ in range(rows)
    ]
    b_steps, c_steps = (
        [builder.mul(step, word(j)) for j in range(columns)] for step in (b_vector, c_vector)
    )
    places = [
        [builder.add(builder.add(c, builder.mul(c_row, word(i))), step) for step in c_steps]
        for i in range(rows)
    ]
    with builder.if_else(builder.icmp_signed("!=", accumulate, word(0))) as (then, other):
        with then:
            _each(registers, places, lambda r, p: builder.store(e.load(p), r))
        with other:
            _each(registers, places, lambda r, p: builder.store(e.constant(0.0), r))
    down = [builder.mul(a_row, word(i)) for i in range(rows)]
    with cgutils.for_range(builder, runs, intp=WORD) as run:
        first_a = builder.add(a, builder.mul(run.index, a_run))
        first_b = builder.add(b, builder.mul(run.index, b_run))
        with cgutils.for_range(builder, k, intp=WORD) as loop:
            row = builder.add(first_b, builder.mul(loop.index, b_row))
            column = builder.add(first_a, builder.mul(loop.index, a_column))
            line = [e.load(builder.add(row, step)) for step in b_steps]
            for i in range(rows):
                factor = factor_at(e, builder.add(column, down[i]))
                for j in range(columns):
                    register = registers[i][j]
                    total = e.multiply_add(factor, line[j], builder.load(register))
                    builder.store(total, register)
            e.once()
    _each(registers, places, lambda r, p: e.store(builder.load(r), p))


def _each(registers: Any, places: Any, action: Any) -> None:
    for line, spots in zip(registers, places, strict=True):
        for register, place in zip(line, spots, strict=True):
            action(register, place)


_wide, _narrow = _strip(COLUMNS, masked=False), _strip(1, masked=True)


@routine
def product_of_runs(
    m: int, n: int, k: int, runs: int, a: int, a_row: int, a_column: int, a_run: int, b: int,
    b_row: int, b_run: int, c: int, c_row: int, accumulate: int,
) -> None:  # fmt: skip
    """C [m, n] = A B, added to C if ``accumulate`` is not 0; A has ``runs`` times k columns, B as
    many rows. a, b, c are addresses, the others strides in bytes.
    """
    j = 0
    while j + WIDTH * COLUMNS <= n:
        _wide(
            m, runs, a_run, b_run, k, a, a_row, a_column, b + 4 * j, b_row, c + 4 * j, c_row,
            accumulate, 0,
        )  # fmt: skip
        j += WIDTH * COLUMNS
    while j < n:
        _narrow(
            m, runs, a_run, b_run, k, a, a_row, a_column, b + 4 * j, b_row, c + 4 * j, c_row,
            accumulate, min(n - j, WIDTH),
        )  # fmt: skip
        j += WIDTH


@njit
def product(
    m: int, n: int, k: int, a: int, a_row: int, a_column: int, b: int, b_row: int, c: int,
    c_row: int, accumulate: int,
) -> None:  # fmt: skip
    """The same in one run."""
    product_of_runs(m, n, k, 1, a, a_row, a_column, 0, b, b_row, 0, c, c_row, accumulate)
