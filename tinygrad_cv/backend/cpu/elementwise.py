"""Elementwise operators on large float32 arrays, shared among threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import reordered
from tinygrad_cv.backend.random import keep_mask
from tinygrad_cv.backend.spec import CONTIGUOUS, layout_of

__all__ = ["add", "dropout", "dropout_vjp", "leaky_relu", "leaky_relu_vjp", "mul"]
__all__ += ["register_kernels", "relu", "relu_vjp", "sigmoid_vjp", "tanh_vjp"]

SMALLEST = 1 << 17  # elements; below, one core does it before others are awake
SLOW = 16  # times as many, where threads start slowly


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, function, supports in (
        ("add", add, _takes_two),
        ("dropout", dropout, _takes_dropout),
        ("dropout.vjp", dropout_vjp, _takes_output),
        ("leaky_relu", leaky_relu, _takes),
        ("leaky_relu.vjp", leaky_relu_vjp, _takes),
        ("mul", mul, _takes_two),
        ("relu", relu, _takes),
        ("relu.vjp", relu_vjp, _takes_output),
        ("sigmoid.vjp", sigmoid_vjp, _takes_output),
        ("tanh.vjp", tanh_vjp, _takes_output),
    ):
        register(name, provider="numba", priority=10, supports=supports)(function)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _large(specs[0])


def _takes_output(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return True  # a rule that reads no input: the function sees the arrays, and judges


def _takes_dropout(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    _, _, shared = attributes
    return not shared and _large(specs[0])


def _takes_two(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    a, b = specs
    alike = getattr(a, "shape", None) == getattr(b, "shape", ()) and a.layout == b.layout
    return alike and a.dtype == b.dtype and _large(a, 4 * SLOW)  # NumPy is good at these


def _large(spec: Any, slow: int = SLOW) -> bool:
    dense = getattr(spec, "dtype", None) == np.float32
    return dense and repays(spec.size, SMALLEST, slow)


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
    result = memory.empty_like(output)
    runs = _large_runs(g, output, result)
    if runs is None:
        return (np.multiply(g, output != 0, out=result),)
    from tinygrad_cv.backend.cpu.compiled import elementwise

    elementwise.relu_gradient(*runs, threads.get_num_threads())
    return (result,)


def leaky_relu(xp: Any, input: Any, negative_slope: float) -> Any:
    """``LeakyRelu.forward``."""
    return _leaky(input, input, negative_slope)


def leaky_relu_vjp(
    xp: Any, g: Any, needs: Any, input: Any, negative_slope: float
) -> tuple[Any, ...]:
    """The gradient of ``LeakyRelu``."""
    return (_leaky(g, input, negative_slope),)


def _leaky(values: Any, input: Any, slope: float) -> Any:
    """The values where the input is above 0, times the slope elsewhere."""
    result = memory.empty_like(input)
    runs = _large_runs(values, input, result)
    if runs is None:
        return np.where(input > 0, values, values * slope)
    from tinygrad_cv.backend.cpu.compiled import elementwise

    elementwise.leaky_relu(*runs, np.float32(slope), threads.get_num_threads())
    return result


def sigmoid_vjp(xp: Any, g: Any, needs: Any, output: Any) -> tuple[Any, ...]:
    """The gradient of ``Sigmoid``."""
    result = memory.empty_like(output)
    runs = _large_runs(g, output, result)
    if runs is None:
        return (g * (output * (1 - output)),)
    from tinygrad_cv.backend.cpu.compiled import elementwise

    elementwise.sigmoid_gradient(*runs, threads.get_num_threads())
    return (result,)


def tanh_vjp(xp: Any, g: Any, needs: Any, output: Any) -> tuple[Any, ...]:
    """The gradient of ``Tanh``."""
    result = memory.empty_like(output)
    runs = _large_runs(g, output, result)
    if runs is None:
        return (g * (1 - output * output),)
    from tinygrad_cv.backend.cpu.compiled import elementwise

    elementwise.tanh_gradient(*runs, threads.get_num_threads())
    return (result,)


def dropout(xp: Any, input: Any, p: float, key: tuple[int, int], shared: int = 0) -> Any:
    """``Dropout.forward`` of single elements: the output, and the mask in the input's order."""
    mask, layout = keep_mask(key, input.shape, 1 - p), layout_of(input)
    if layout != CONTIGUOUS:
        mask = reordered(np, mask, layout)
    return _masked(input, mask, p), mask


def dropout_vjp(xp: Any, g: Any, needs: Any, mask: Any, p: float) -> tuple[Any, ...]:
    """The gradient of ``Dropout``."""
    return (_masked(g, mask, p),)


def _masked(values: Any, mask: Any, p: float) -> Any:
    """``values * mask / (1 - p)``."""
    scale = 1 / (1 - p) if p < 1 else 0.0
    result = memory.empty_like(values)
    runs = _large_runs(values, mask.view(np.uint8), result)
    if runs is None:
        np.multiply(values, mask, out=result)
        return np.multiply(result, scale, out=result)
    from tinygrad_cv.backend.cpu.compiled import elementwise

    elementwise.masked_scale(*runs, np.float32(scale), threads.get_num_threads())
    return result


def add(xp: Any, input: Any, other: Any) -> Any:
    """``Add.forward`` of arrays that lie alike."""
    from tinygrad_cv.backend.cpu.compiled import elementwise

    output = memory.empty_like(input)
    runs = _runs(input, other, output)
    if runs is None:
        return np.add(input, other, out=output)
    elementwise.add(*runs, threads.get_num_threads())
    return output


def mul(xp: Any, input: Any, other: Any) -> Any:
    """``Mul.forward`` of arrays that lie alike."""
    from tinygrad_cv.backend.cpu.compiled import elementwise

    output = memory.empty_like(input)
    runs = _runs(input, other, output)
    if runs is None:
        return np.multiply(input, other, out=output)
    elementwise.multiply(*runs, threads.get_num_threads())
    return output


def _large_runs(values: Any, *arrays: Any) -> list[Any] | None:
    """As ``_runs``, for large float32 arrays only."""
    large = values.dtype == np.float32 and repays(values.size, SMALLEST, SLOW)
    return _runs(values, *arrays) if large and values.shape == arrays[0].shape else None


def _runs(*arrays: Any) -> list[Any] | None:
    """The arrays as runs of numbers in the same order, or None if they do not lie so."""
    for axes in (range(arrays[0].ndim), (0, *range(2, arrays[0].ndim), 1)):
        moved = [array.transpose(axes) for array in arrays if array.ndim == len(axes)]
        if len(moved) == len(arrays) and all(array.flags.c_contiguous for array in moved):
            return [array.reshape(-1) for array in moved]
    return None
