"""Elementwise operators on large float32 arrays, shared among threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.compiling import usable
from tinygrad_cv.backend.kernels import register

__all__ = ["add", "register_kernels", "relu", "relu_vjp"]

SMALLEST = 1 << 17  # elements; below, one core does it before others are awake


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("relu", provider="numba", priority=10, supports=_takes)(relu)
    register("relu.vjp", provider="numba", priority=10, supports=_takes_output)(relu_vjp)
    register("add", provider="numba", priority=10, supports=_takes_two)(add)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _large(specs[0])


def _takes_output(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return usable()


def _takes_two(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    a, b = specs
    alike = getattr(a, "shape", None) == getattr(b, "shape", ()) and a.layout == b.layout
    return alike and a.dtype == b.dtype and _large(a)


def _large(spec: Any) -> bool:
    dense = getattr(spec, "dtype", None) == np.float32
    return dense and spec.size >= SMALLEST and usable()


def relu(xp: Any, input: Any) -> Any:
    """``Relu.forward``."""
    from tinygrad_cv.backend.cpu.compiled import elementwise

    output = memory.empty_like(input)
    runs = _runs(input, output)
    if runs is None:
        return np.maximum(input, 0, out=output)
    elementwise.relu(*runs, threads.get_num_threads())
    return output


def relu_vjp(xp: Any, g: Any, needs: Any, output: Any) -> tuple[Any, ...]:
    """The gradient of ``Relu``."""
    from tinygrad_cv.backend.cpu.compiled import elementwise

    result = memory.empty_like(output)
    runs = _runs(g, output, result)
    if runs is None or output.size < SMALLEST or output.dtype != np.float32:
        return (np.multiply(g, output != 0, out=result),)
    elementwise.relu_gradient(*runs, threads.get_num_threads())
    return (result,)


def add(xp: Any, input: Any, other: Any) -> Any:
    """``Add.forward`` of arrays that lie alike."""
    from tinygrad_cv.backend.cpu.compiled import elementwise

    output = memory.empty_like(input)
    runs = _runs(input, other, output)
    if runs is None:
        return np.add(input, other, out=output)
    elementwise.add(*runs, threads.get_num_threads())
    return output


def _runs(*arrays: Any) -> list[Any] | None:
    """The arrays as runs of floats in the same order, or None if they do not lie so."""
    for axes in (range(arrays[0].ndim), (0, *range(2, arrays[0].ndim), 1)):
        moved = [array.transpose(axes) for array in arrays if array.ndim == len(axes)]
        if len(moved) == len(arrays) and all(array.flags.c_contiguous for array in moved):
            return [array.reshape(-1) for array in moved]
    return None
