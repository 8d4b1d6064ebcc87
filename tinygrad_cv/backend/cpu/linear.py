"""Fully connected layers that are too small for a BLAS library to be fast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.compiling import usable
from tinygrad_cv.backend.kernels import register

__all__ = ["input_grad", "linear", "register_kernels", "weight_grad"]

SMALLEST = 1 << 20  # multiplications; below, NumPy is done before others are awake
LARGEST = 5 << 20  # and above, starting the threads of a library costs nothing
LARGEST_FACTOR = 1 << 17  # numbers of what every row is multiplied with: half a level-2 cache

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
    return _takes(input, -1, weight, 1)


def _takes_input_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    grad, weight = specs
    return _takes(grad, -1, weight, 0)


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
    return SMALLEST <= work <= LARGEST and second.size <= LARGEST_FACTOR and usable()


def linear(xp: Any, input: Any, weight: Any, bias: Any) -> Any:
    """``Linear.forward``."""
    from tinygrad_cv.backend.cpu.compiled import linear
    from tinygrad_cv.backend.cpu.compiled.vector import WIDTH

    outputs, inputs = weight.shape
    y = memory.empty((math.prod(input.shape[:-1]), outputs), np.float32)
    width = (inputs + WIDTH) * WIDTH
    panels = memory.scratch((threads.get_num_threads(), width), np.float32, "linear.panels")
    addend = NO_BIAS if bias is None else np.ascontiguousarray(bias)
    linear.rows_times_rows(_rows(input), np.ascontiguousarray(weight), addend, y, panels)
    return y.reshape(*input.shape[:-1], outputs)


def input_grad(xp: Any, grad: Any, weight: Any) -> Any:
    """``LinearInputGrad.forward``."""
    from tinygrad_cv.backend.cpu.compiled import linear

    dx = memory.empty((math.prod(grad.shape[:-1]), weight.shape[1]), np.float32)
    weight, workers = np.ascontiguousarray(weight), threads.get_num_threads()
    linear.product_of(_rows(grad), weight, dx, 0, workers)
    return dx.reshape(*grad.shape[:-1], weight.shape[1])


def weight_grad(xp: Any, grad: Any, input: Any) -> Any:
    """``LinearWeightGrad.forward``."""
    from tinygrad_cv.backend.cpu.compiled import linear

    dw = memory.empty((grad.shape[-1], input.shape[-1]), np.float32)
    linear.product_of(_rows(grad), _rows(input), dw, 1, threads.get_num_threads())
    return dw


def _rows(array: Any) -> Any:
    """[..., I] as a matrix [N, I] without gaps."""
    return np.ascontiguousarray(array).reshape(-1, array.shape[-1])
