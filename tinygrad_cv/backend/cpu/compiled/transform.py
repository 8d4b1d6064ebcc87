"""Y = T X T^t for small matrices T: one generator for every separable transform of tiles.

X holds q x q pixels, each a run of channels; Y holds p x p. T is known when the kernel is compiled,
so zeros cost nothing, ones cost no multiplication, and rows or columns that differ only in signs
(as for the interpolation points +a and -a) share their work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.vector import (
    FLOAT,
    VECTOR,
    Emitter,
    for_each_vector,
    lanes_added,
    word,
)

__all__ = ["separable"]


def separable(matrices: Sequence[np.ndarray], flip: bool = False, checked: bool = False) -> Any:
    """The intrinsic ``f(number, source, row, column, target, target_row, target_column, channels)``
    with the number of T among the matrices.

    Args:
        matrices: T [p, q] in float64, each.
        flip: read X upside down and right to left.
        checked: one argument more, the address of a float, to which the sum of Y times 0 is added;
            it is 0 if all of Y is finite.

    Strides are in bytes, from pixel to pixel; ``channels`` floats follow each other at a pixel.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for number, matrix in enumerate(matrices):
            with builder.if_then(builder.icmp_signed("==", arguments[0], word(number))):
                _emit(builder, matrix, flip, checked, *arguments[1:])
        return context.get_dummy_value()

    if checked:

        @intrinsic
        def transform(
            typingctx: Any, number: Any, source: Any, row: Any, column: Any, target: Any,
            target_row: Any, target_column: Any, channels: Any, spoilt: Any,
        ) -> Any:  # fmt: skip
            return types.void(*[types.intp] * 9), emit

        return transform

    @intrinsic
    def plain_transform(
        typingctx: Any, number: Any, source: Any, row: Any, column: Any, target: Any,
        target_row: Any, target_column: Any, channels: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.intp] * 8), emit

    return plain_transform


def _emit(
    builder: Any, matrix: np.ndarray, flip: bool, checked: bool, source: Any, row: Any, column: Any,
    target: Any, target_row: Any, target_column: Any, channels: Any, *spoilt: Any,
) -> None:  # fmt: skip
    """Emit the loop over the channels for one T."""
    p, q = matrix.shape

    def at(base: Any, i: int, rows: Any, j: int, columns: Any) -> Any:
        down = builder.add(base, builder.mul(rows, word(i)))
        return builder.add(down, builder.mul(columns, word(j)))

    sums = cgutils.alloca_once(builder, VECTOR)
    builder.store(Emitter(builder).constant(0.0), sums)

    def body(e: Emitter, offset: Any) -> None:
        start, end = builder.add(source, offset), builder.add(target, offset)
        order = range(q)[::-1] if flip else range(q)
        columns = [  # T X, column by column
            _product(e, matrix, [e.load(at(start, i, row, j, column)) for i in order])
            for j in order
        ]
        total = builder.load(sums)
        for i in range(p):  # (T X) T^t, row by row
            line = _product(e, matrix, [columns[j][i] for j in range(q)])
            for j in range(p):
                e.store(line[j], at(end, i, target_row, j, target_column))
                if checked:
                    total = e.multiply_add(line[j], e.constant(0.0), total)
        builder.store(total, sums)

    for_each_vector(builder, channels, body)
    if checked:
        pointer = builder.inttoptr(spoilt[0], FLOAT.as_pointer())
        total = lanes_added(builder, builder.load(sums))
        builder.store(builder.fadd(builder.load(pointer), total), pointer)


def _product(e: Emitter, matrix: np.ndarray, x: list[Any]) -> list[Any]:
    """T x. Columns that differ in signs only are first added and subtracted; then rows that do."""
    pair = _signed_pair(matrix.T)
    if pair is not None:
        i, j = pair
        same = np.sign(matrix[:, i] * matrix[:, j]) >= 0
        # c_i x_i + c_j x_j = c_i (x_i + x_j) or c_i (x_i - x_j): two new unknowns for two old ones.
        both = np.column_stack([np.where(same, matrix[:, i], 0), np.where(same, 0, matrix[:, i])])
        kept = [k for k in range(len(x)) if k not in pair]
        rest = np.column_stack([matrix[:, kept], both])
        return _product(e, rest, [*(x[k] for k in kept), e.add(x[i], x[j]), e.sub(x[i], x[j])])
    pair = _signed_pair(matrix)
    if pair is not None:
        i, j = pair
        same = np.sign(matrix[i] * matrix[j]) >= 0
        common = _sum(e, np.where(same, matrix[i], 0), x)
        differing = _sum(e, np.where(same, 0, matrix[i]), x)
        kept = [k for k in range(len(matrix)) if k not in pair]
        lines = dict(zip(kept, _product(e, matrix[kept], x), strict=True)) if kept else {}
        lines[i], lines[j] = e.add(common, differing), e.sub(common, differing)
        return [lines[k] for k in range(len(matrix))]
    return [_sum(e, line, x) for line in matrix]


def _signed_pair(matrix: np.ndarray) -> tuple[int, int] | None:
    """Two rows with the same absolute values, where some entries agree and others do not."""
    for i in range(len(matrix)):
        for j in range(i + 1, len(matrix)):
            a, b = matrix[i], matrix[j]
            if np.allclose(abs(a), abs(b)) and (a * b > 0).any() and (a * b < 0).any():
                return i, j
    return None


def _sum(e: Emitter, line: np.ndarray, x: list[Any]) -> Any:
    """sum_j c_j x_j, terms without a multiplication first, then fused multiply-adds."""
    terms = [(float(c), value) for c, value in zip(line, x, strict=True) if c]
    if not terms:
        return e.constant(0.0)
    terms.sort(key=lambda term: (abs(abs(term[0]) - 1) > 1e-12, term[0] < 0))
    (c, total), *rest = terms
    if abs(c - 1) > 1e-12:
        total = e.mul(e.constant(c), total)
    for c, value in rest:
        if abs(c - 1) < 1e-12:
            total = e.add(total, value)
        elif abs(c + 1) < 1e-12:
            total = e.sub(total, value)
        else:
            total = e.multiply_add(e.constant(c), value, total)
    return total
