"""The weighted sum of some rows of floats: what resizing and sampling are made of."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.vector import (
    VECTOR,
    WIDTH,
    WORD,
    Emitter,
    for_each_group,
    word,
)

__all__ = ["blend", "row_at", "weight_at"]

TOGETHER = 4  # vectors that follow the places together

_ADDRESS = types.intp


def row_at(builder: Any, base: Any, row: Any, places: Any, k: Any) -> Any:
    """The address of the row of ``row`` bytes that the k-th of the places names."""
    at = builder.inttoptr(builder.add(places, builder.mul(k, word(8))), WORD.as_pointer())
    return builder.add(base, builder.mul(builder.load(at), row))


def weight_at(e: Emitter, weights: Any, k: Any) -> Any:
    """The k-th of the weights, in all lanes."""
    return e.splat(e.builder.add(weights, e.builder.mul(k, word(4))))


@intrinsic
def blend(
    typingctx: Any, target: Any, source: Any, row: Any, places: Any, weights: Any, count: Any,
    start: Any, size: Any,
) -> Any:  # fmt: skip
    """``target = start + the sum of weights[k] * source[places[k]]``, rows of ``size`` floats that
    are ``row`` bytes apart; places are int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, row, places, weights, count, start, size = arguments

        def body(e: Emitter, offset: Any, vectors: int) -> None:
            totals = [cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)]
            steps = [word(4 * WIDTH * v) for v in range(vectors)]
            for total in totals:
                builder.store(e.spread(start, VECTOR), total)
            base = builder.add(source, offset)
            with cgutils.for_range(builder, count, intp=WORD) as loop:
                at = row_at(builder, base, row, places, loop.index)
                weight = weight_at(e, weights, loop.index)
                for total, step in zip(totals, steps, strict=True):
                    value = e.load(builder.add(at, step))
                    builder.store(e.multiply_add(weight, value, builder.load(total)), total)
            for total, step in zip(totals, steps, strict=True):
                e.store(builder.load(total), builder.add(builder.add(target, offset), step))

        for_each_group(builder, size, TOGETHER, body)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 6, types.float32, _ADDRESS), emit
