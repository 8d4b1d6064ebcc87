"""Sums, differences, products and quotients of arrays that need not lie alike, and copies.

The result is [P, Q, L] without gaps; each operand has a step from plane to plane, from line to line
and from number to number, in floats, 0 where it is repeated and 1 or 0 for the last. So one text
serves broadcasting and slices. A unit of work is a line, or a part of one: numbers that lie side by
side, against as many others or against a single one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import Emitter, copy, for_each_vector, word
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["combine"]

# An instruction without a flag would get those of the kernel: a / b might become a (1 / b).
_EXACT = ("contract",)

_READ = "Array(float32, 1, 'C', readonly=True)"
_STEPS = "Array(int64, 2, 'C', readonly=True)"


def _line(instruction: str) -> Any:
    """Emits the loop over a line."""

    @intrinsic
    def line(typingctx: Any, y: Any, a: Any, a_moves: Any, b: Any, b_moves: Any, count: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            y, a, a_moves, b, b_moves, count = arguments

            def loop(first: Callable[..., Any], second: Callable[..., Any]) -> None:
                def body(e: Emitter, offset: Any) -> None:
                    pair = first(e, offset), second(e, offset)
                    result = getattr(builder, instruction)(*pair, flags=_EXACT)
                    e.store(result, builder.add(y, offset))

                for_each_vector(builder, count, body)

            def moving(start: Any) -> Callable[..., Any]:
                return lambda e, offset: e.load(builder.add(start, offset))

            def single(start: Any) -> Callable[..., Any]:
                value = Emitter(builder).splat(start)
                return lambda e, offset: value

            nothing = word(0)
            with builder.if_else(builder.icmp_signed("==", a_moves, nothing)) as (still, moves):
                with still:
                    loop(single(a), moving(b))
                with moves:
                    alone = builder.icmp_signed("==", b_moves, nothing)
                    with builder.if_else(alone) as (other, both):
                        with other:
                            loop(moving(a), single(b))
                        with both:
                            loop(moving(a), moving(b))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6), emit

    return line


_added, _subtracted, _multiplied, _divided = map(_line, ("fadd", "fsub", "fmul", "fdiv"))


@compiled(f"void({_READ}, {_READ}, float32[::1], {_STEPS}, int64, int64)", parallel=True)
def combine(a, b, y, steps, operation, workers, task):
    """y = a + b, a - b, a b, a / b or a, by the number of the operation; ``steps`` are P, Q and L,
    then the steps of a, and those of b."""
    rows, size = steps[0, 1], steps[0, 2]
    plane_a, row_a, moves = steps[1]
    plane_b, row_b, others = steps[2]
    for worker in shared(0, workers, task):
        place, end = y.size * worker // workers, y.size * (worker + 1) // workers
        line, first = divmod(place, size)
        plane, row = divmod(line, rows)
        while place < end:
            count = min(size - first, end - place)
            left = plane * plane_a + row * row_a + first * moves
            right = plane * plane_b + row * row_b + first * others
            to, one = y.ctypes.data + place * 4, a.ctypes.data + left * 4
            two = b.ctypes.data + right * 4
            if operation == 0:
                _added(to, one, moves, two, others, count)
            elif operation == 1:
                _subtracted(to, one, moves, two, others, count)
            elif operation == 2:
                _multiplied(to, one, moves, two, others, count)
            elif operation == 3:
                _divided(to, one, moves, two, others, count)
            else:
                copy(to, one, count * 4)
            place, first, row = place + count, 0, row + 1
            if row == rows:
                plane, row = plane + 1, 0
