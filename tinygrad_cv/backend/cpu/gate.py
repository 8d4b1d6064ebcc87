"""The gated linear unit on large float32 arrays, one kernel in each direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["glu", "glu_vjp", "register_kernels"]

SMALLEST = 1 << 17  # elements; below, one core does it before others are awake
SLOW = 16  # times as many, where threads start slowly


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("glu", provider="numba", priority=10, supports=_takes)(glu)
    register("glu.vjp", provider="numba", priority=10, supports=_takes)(glu_vjp)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,) = specs
    return input.dtype == np.float32 and input.size > 0 and repays(input.size, SMALLEST, SLOW)


def glu(xp: Any, input: Any, dim: int) -> Any:
    """``Glu.forward``."""
    from tinygrad_cv.backend.cpu.compiled import gate

    shape = list(input.shape)
    shape[dim] //= 2
    output = memory.empty(tuple(shape), np.float32, layout_of(input))
    x = _halves(input, input, dim)
    gate.glu(x, _halves(output, input, dim), threads.get_num_threads())
    return output


def glu_vjp(xp: Any, g: Any, needs: Any, input: Any, dim: int) -> tuple[Any, ...]:
    """The gradient of ``Glu``."""
    from tinygrad_cv.backend.cpu.compiled import gate

    dx = memory.empty(input.shape, np.float32, layout_of(input))
    x, target = _halves(input, input, dim), _halves(dx, input, dim)
    gate.glu_gradient(_halves(g, input, dim), x, target, threads.get_num_threads())
    return (dx,)


def _halves(array: Any, input: Any, dim: int) -> Any:
    """[A, 2, B] in the memory order of the input, of a half [A, B]: a view if it lies so."""
    order = tuple(range(input.ndim))
    if layout_of(input) == CHANNELS_LAST:
        order = (0, *order[2:], 1)
    moved = np.ascontiguousarray(array.transpose(order))
    before = math.prod(moved.shape[: order.index(dim)])
    return moved.reshape(before, 2, -1) if array.shape == input.shape else moved.reshape(before, -1)
