"""Vectors that hold one number of each of WIDTH images: into this order, products in it, and back.

Where channels are few they fill no vector, but images do. A block of images [N, ..., C] is turned
into [..., C, lane], squares of WIDTH x WIDTH floats at a time; from there on every number of an
image is a vector, and no lane is idle whatever the number of channels. ``product_of_lanes`` is the
tile of the matrix product over such vectors: the factors of A are single numbers, as weights are,
or vectors themselves, as where two images are multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.product import ROWS, emit_tile, in_pieces
from tinygrad_cv.backend.cpu.compiled.vector import (
    COLUMNS,
    WIDTH,
    Emitter,
    for_each_vector,
    mask_of,
    transposed,
    word,
)
from tinygrad_cv.backend.cpu.compiling import routine

__all__ = ["product_of_lanes", "product_with_numbers", "to_images", "to_lanes"]

_VECTOR = 4 * WIDTH  # bytes


@intrinsic
def _to_lanes(
    typingctx: Any, target: Any, target_step: Any, source: Any, source_step: Any, images: Any,
    count: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, target_step, source, source_step, images, count = arguments

        def body(e: Emitter, offset: Any, lanes: list[Any]) -> None:
            start = builder.add(source, offset)
            rows = [
                Emitter(builder, lanes[i]).load(builder.add(start, _times(builder, source_step, i)))
                for i in range(WIDTH)
            ]
            number = builder.udiv(offset, word(4))
            place = builder.add(target, builder.mul(number, target_step))
            for k, column in enumerate(transposed(builder, rows)):
                spot = builder.add(place, _times(builder, target_step, k))
                Emitter(builder).store(column, spot)

        _for_each_square(builder, images, count, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), emit


@intrinsic
def _to_images(
    typingctx: Any, target: Any, target_step: Any, source: Any, images: Any, count: Any,
    addend: Any, period: Any,
) -> Any:  # fmt: skip

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, target_step, source, images, count, addend, period = arguments

        def body(e: Emitter, offset: Any, lanes: list[Any]) -> None:
            whole, place = Emitter(builder), builder.add(source, _times(builder, offset, WIDTH))
            columns = [whole.load(builder.add(place, word(_VECTOR * k))) for k in range(WIDTH)]
            number = builder.urem(builder.udiv(offset, word(4)), period)
            bias = whole.load(builder.add(addend, _times(builder, number, 4)))
            start = builder.add(target, offset)
            for i, row in enumerate(transposed(builder, columns)):
                spot = builder.add(start, _times(builder, target_step, i))
                Emitter(builder, lanes[i]).store(whole.add(row, bias), spot)

        _for_each_square(builder, images, count, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), emit


def _for_each_square(
    builder: Any, images: Any, count: Any, body: Callable[[Emitter, Any, list[Any]], None]
) -> None:
    """Emit ``body(emitter, offset in bytes, mask for each image)`` for every WIDTH of ``count``
    floats, with masks of None where all images are there and all floats."""

    def square(e: Emitter, offset: Any) -> None:
        full = builder.icmp_signed("==", images, word(WIDTH))
        with builder.if_else(full) as (then, other):
            with then:
                body(e, offset, [e.mask] * WIDTH)
            with other:
                rest = builder.sub(count, builder.udiv(offset, word(4)))
                masks = []
                for i in range(WIDTH):
                    there = builder.icmp_signed(">", images, word(i))
                    masks.append(mask_of(builder, builder.select(there, rest, word(0))))
                body(e, offset, masks)

    for_each_vector(builder, count, square)


def _times(builder: Any, value: Any, factor: int) -> Any:
    return builder.mul(value, word(factor))


# Products -----------------------------------------------------------------------------------------


def _product(factor_at: Callable[[Emitter, Any], Any]) -> Callable[..., Any]:
    """C [m, n] = A [m, k] B [k, n] with elements of B and C that are vectors; see ``product``.

    ``b_column`` and ``c_column`` are the steps from one column to the next.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        m, n, k, runs, a, a_row, a_column, a_run, *rest = arguments
        b, b_row, b_column, b_run, c, c_row, c_column, accumulate = rest
        e = Emitter(builder)

        def tile(i: Any, rows: int, j: Any, columns: int) -> None:
            corner = builder.add(builder.mul(i, c_row), builder.mul(j, c_column))
            emit_tile(
                e, rows, columns, runs, a_run, b_run, k,
                builder.add(a, builder.mul(i, a_row)), a_row, a_column,
                builder.add(b, builder.mul(j, b_column)), b_row, b_column,
                builder.add(c, corner), c_row, c_column, accumulate, factor_at,
            )  # fmt: skip

        in_pieces(
            builder, n, (COLUMNS, 2, 1) if COLUMNS > 2 else (COLUMNS, 1),
            lambda j, columns: in_pieces(
                builder, m, (ROWS, 2, 1), lambda i, rows: tile(i, rows, j, columns)
            ),
        )  # fmt: skip
        return context.get_dummy_value()

    return emit


_numbers, _vectors = _product(Emitter.splat), _product(Emitter.load)


@intrinsic
def _product_with_numbers(
    typingctx: Any, m: Any, n: Any, k: Any, runs: Any, a: Any, a_row: Any, a_column: Any,
    a_run: Any, b: Any, b_row: Any, b_column: Any, b_run: Any, c: Any, c_row: Any,
    c_column: Any, accumulate: Any,
) -> Any:  # fmt: skip
    return types.void(*[types.intp] * 16), _numbers


@intrinsic
def _product_of_lanes(
    typingctx: Any, m: Any, n: Any, k: Any, runs: Any, a: Any, a_row: Any, a_column: Any,
    a_run: Any, b: Any, b_row: Any, b_column: Any, b_run: Any, c: Any, c_row: Any,
    c_column: Any, accumulate: Any,
) -> Any:  # fmt: skip
    return types.void(*[types.intp] * 16), _vectors


# Compiled once, for the kernels in ``images`` -----------------------------------------------------


@routine
def to_lanes(
    target: int, target_step: int, source: int, source_step: int, images: int, count: int
) -> None:
    """``target[k, lane] = source[lane, k]`` for ``count`` floats of up to WIDTH images; steps in
    bytes. Lanes without an image are 0. What follows the target, up to WIDTH vectors, is
    overwritten."""
    _to_lanes(target, target_step, source, source_step, images, count)


@routine
def to_images(
    target: int, target_step: int, source: int, images: int, count: int, addend: int, period: int
) -> None:
    """``target[lane, k] = source[k, lane] + addend[k % period]``. ``addend`` goes on for WIDTH
    floats after its period. Up to WIDTH vectors after the source are read, and not used."""
    _to_images(target, target_step, source, images, count, addend, period)


@routine
def product_with_numbers(
    m: int, n: int, k: int, runs: int, a: int, a_row: int, a_column: int, a_run: int, b: int,
    b_row: int, b_column: int, b_run: int, c: int, c_row: int, c_column: int, accumulate: int,
) -> None:  # fmt: skip
    """C [m, n, lane] (+)= A [m, k] B [k, n, lane]; all are addresses and steps in bytes."""
    _product_with_numbers(
        m, n, k, runs, a, a_row, a_column, a_run, b, b_row, b_column, b_run, c, c_row, c_column,
        accumulate,
    )  # fmt: skip


@routine
def product_of_lanes(
    m: int, n: int, k: int, runs: int, a: int, a_row: int, a_column: int, a_run: int, b: int,
    b_row: int, b_column: int, b_run: int, c: int, c_row: int, c_column: int, accumulate: int,
) -> None:  # fmt: skip
    """C [m, n, lane] (+)= A [m, k, lane] B [k, n, lane], lane by lane."""
    _product_of_lanes(
        m, n, k, runs, a, a_row, a_column, a_run, b, b_row, b_column, b_run, c, c_row, c_column,
        accumulate,
    )  # fmt: skip
