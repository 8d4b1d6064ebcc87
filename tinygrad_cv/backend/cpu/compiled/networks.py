"""Sorting networks on vectors of neighbouring windows: the median of 3x3 and 5x5.

The columns of a row of windows are sorted once, for all the windows that they are in, then the rows
of each window. In a window sorted both ways, the element in row i and column j has
(i + 1)*(j + 1) - 1 others that are not larger, and as many on the other side, so that most elements
cannot be the median; those that can are sorted. What the networks make and nobody asks for is left
out by LLVM. (A. Adams, Fast median filters using separable sorting networks, 2021.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.vector import (
    BYTES,
    LANES,
    WIDTH,
    WORD,
    Emitter,
    for_each_vector,
    word,
)

__all__ = ["larger", "pick_3", "pick_5", "smaller", "sort_3", "sort_5", "word_at"]


def _sorted(builder: Any, values: list[Any]) -> list[Any]:
    """Vectors in the order of their lanes, by Batcher's odd-even merge sort."""
    values = list(values)
    for low, high in _comparisons(len(values)):
        values[low], values[high] = _ordered(builder, values[low], values[high])
    return values


def _comparisons(count: int) -> Iterator[tuple[int, int]]:
    """Which two places are brought in order, one after the other."""
    p = 1
    while p < count:
        k = p
        while k:
            for j in range(k % p, count - k, 2 * k):
                for i in range(j, min(j + k, count - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        yield i, i + k
            k //= 2
        p *= 2


def _ordered(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """The smaller and the larger number of each lane."""
    return smaller(builder, a, b), larger(builder, a, b)


def smaller(builder: Any, a: Any, b: Any) -> Any:
    """b where a is NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def larger(builder: Any, a: Any, b: Any) -> Any:
    """b where a is NaN."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _candidates(size: int) -> tuple[list[tuple[int, int]], int]:
    """Places of a window sorted both ways that can hold its median, and how many of the others are
    not larger than it."""
    half = size * size // 2
    places = [(i, j) for i in range(size) for j in range(size)]
    smaller = [(i, j) for i, j in places if (size - i) * (size - j) - 1 > half]
    larger = [(i, j) for i, j in places if (i + 1) * (j + 1) - 1 > half]
    return [place for place in places if place not in smaller + larger], len(smaller)


def _sorter(size: int) -> Any:
    @intrinsic
    def sort(typingctx: Any, columns: Any, source: Any, width: Any) -> Any:
        """``size`` rows of ``width`` floats, each column sorted."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            columns, source, width = arguments
            rows = [builder.mul(width, word(4 * i)) for i in range(size)]

            def body(e: Emitter, offset: Any) -> None:
                here = [builder.add(row, offset) for row in rows]
                lines = [e.load(builder.add(source, place)) for place in here]
                for line, place in zip(_sorted(builder, lines), here, strict=True):
                    e.store(line, builder.add(columns, place))

            for_each_vector(builder, width, body)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 3), emit

    return sort


def _picker(size: int) -> Any:
    @intrinsic
    def pick(
        typingctx: Any, y: Any, k: Any, length: Any, source: Any, columns: Any, width: Any,
        across: Any,
    ) -> Any:  # fmt: skip
        """The medians of a row of windows, from the image and from its sorted columns."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            y, k, length, source, columns, width, across = arguments
            rows = [builder.mul(width, word(4 * i)) for i in range(size)]
            steps = [builder.shl(word_at(builder, across, word(j)), word(2)) for j in range(size)]

            def body(e: Emitter, offset: Any) -> None:
                def tap(image: Any, i: int, j: int) -> Any:
                    place = builder.add(builder.add(image, rows[i]), steps[j])
                    return e.load(builder.add(place, offset))

                window = [
                    _sorted(builder, [tap(columns, i, j) for j in range(size)]) for i in range(size)
                ]
                places, smaller = _candidates(size)
                chosen = _sorted(builder, [window[i][j] for i, j in places])
                median = chosen[size * size // 2 - smaller]
                value, number = median, ir.Constant(LANES, [0] * WIDTH)
                for place in reversed(range(size * size)):
                    x = tap(source, *divmod(place, size))
                    equal = builder.fcmp_ordered("==", x, median)
                    value = builder.select(equal, x, value)
                    number = builder.select(equal, ir.Constant(LANES, [place] * WIDTH), number)
                e.store(value, builder.add(y, offset))
                e.store(builder.trunc(number, BYTES), builder.add(k, builder.lshr(offset, word(2))))

            for_each_vector(builder, length, body)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), emit

    return pick


sort_3, pick_3, sort_5, pick_5 = _sorter(3), _picker(3), _sorter(5), _picker(5)


def word_at(builder: Any, address: Any, index: Any) -> Any:
    """The ``index``-th word from an address on."""
    place = builder.add(address, builder.shl(index, word(3)))
    return builder.load(builder.inttoptr(place, WORD.as_pointer()))
