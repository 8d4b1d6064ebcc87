"""Fully connected layers without the threads of a BLAS library, which spin beside ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous

__all__ = ["input_grad", "linear", "register_kernels", "weight_grad"]

SMALLEST = 1 << 18  # multiplications; a library takes one thread for less, and is as fast
ALONE = 8  # so many times larger with one thread: then that of a library is no hindrance
FEWEST_ROWS = 24  # of the result for a thread, if its rows are to be shared
MANY_COLUMNS = 256  # for a thread: then there is no need to

NO_BIAS = np.empty(0, np.float32)


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, function, supports in (
        ("linear", linear, _takes_linear),
        ("linear_input_grad", input_grad, _takes_input_grad),
        ("linear_weight_grad", weight_grad, _takes_weight_grad),
    ):
        register(name, provider="numba", priority=10, supports=supports)(function)


def _takes_linear(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, weight, bias = specs
    if bias is not None and (bias.dtype != np.float32 or bias.shape != weight.shape[:1]):
        return False
    return weight.ndim == 2 and _takes(input, -1, weight, 1)


def _takes_input_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    grad, weight = specs
    return weight.ndim == 2 and _takes(grad, -1, weight, 0)


def _takes_weight_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    grad, input = specs
    return grad.shape[:-1] == input.shape[:-1] and _takes(grad, 0, input, 0)


def _takes(first: Any, axis: int, second: Any, other: int) -> bool:
    """Are these float32 of the right size, whose axes ``axis`` and ``other`` are summed over?"""
    if first.dtype != np.float32 or second.dtype != np.float32:
        return False
    if first.ndim < 2 or second.ndim < 2 or first.shape[axis] != second.shape[other]:
        return False
    each = first.shape[-1] if axis == 0 else second.shape[1 - other]
    work = second.size * each if axis == 0 else first.size * each
    alone = threads.get_num_threads() == 1
    smallest, slow = (SMALLEST * ALONE, 16) if alone else (SMALLEST, 8)
    return repays(work, max(smallest, 1), slow)


def linear(xp: Any, input: Any, weight: Any, bias: Any) -> Any:
    """``Linear.forward``."""
    addend = NO_BIAS if bias is None else np.ascontiguousarray(bias)
    y = _multiply(_rows(input), _rows(weight), addend, False, True)
    return y.reshape(*input.shape[:-1], weight.shape[0])


def input_grad(xp: Any, grad: Any, weight: Any) -> Any:
    """``LinearInputGrad.forward``."""
    dx = _multiply(_rows(grad), _rows(weight), NO_BIAS, False, False)
    return dx.reshape(*grad.shape[:-1], weight.shape[1])


def weight_grad(xp: Any, grad: Any, input: Any) -> Any:
    """``LinearWeightGrad.forward``."""
    return _multiply(_rows(grad), _rows(input), NO_BIAS, True, False)


def _multiply(a: Any, b: Any, bias: Any, a_transposed: bool, b_transposed: bool) -> Any:
    from tinygrad_cv.backend.cpu.compiled import linear

    rows, columns, workers = (
        a.shape[a_transposed],
        b.shape[not b_transposed],
        threads.get_num_threads(),
    )
    c = memory.empty((rows, columns), np.float32)
    room = memory.scratch((workers, linear.ROOM), np.float32, "linear.room")
    parts = workers if rows >= workers * FEWEST_ROWS and columns < workers * MANY_COLUMNS else 1
    linear.multiply(a, b, bias, c, room, int(a_transposed), int(b_transposed), parts)
    return c


def _rows(array: Any) -> Any:
    """[..., I] as a matrix [N, I] without gaps."""
    return contiguous(array).reshape(-1, array.shape[-1])
