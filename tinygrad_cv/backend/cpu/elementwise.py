"""Elementwise operators on large float32 arrays, shared among threads."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.layout import reordered
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register, with_parameters
from tinygrad_cv.backend.random import keep_mask
from tinygrad_cv.backend.spec import CONTIGUOUS, layout_of

__all__ = ["TABLE", "Row", "common_order", "dropout", "dropout_vjp", "register_kernels"]

SMALLEST = 1 << 17  # elements; below, one core does it before others are awake
SLOW = 16  # times as many, where threads start slowly


class Row(NamedTuple):
    """What serves an operator: the compiled kernel and, by name, the arrays and numbers that it
    gets. For a gradient the arrays are ``g`` and what the rule saves."""

    operator: str
    kernel: str
    arrays: str
    numbers: str = ""


TABLE = [
    Row("celu", "celu", "input", "alpha"),
    Row("celu.vjp", "celu_gradient", "g input", "alpha"),
    Row("elu", "elu", "input", "alpha"),
    Row("elu.vjp", "elu_gradient", "g input", "alpha"),
    Row("exp", "exp", "input"),
    Row("gelu", "gelu", "input"),
    Row("gelu.vjp", "gelu_gradient", "g input"),
    Row("gelu_tanh", "gelu_tanh", "input"),
    Row("gelu_tanh.vjp", "gelu_tanh_gradient", "g input"),
    Row("hardshrink", "hardshrink", "input input", "lambd"),
    Row("hardshrink.vjp", "hardshrink", "g input", "lambd"),
    Row("hardsigmoid", "hardsigmoid", "input"),
    Row("hardsigmoid.vjp", "hardsigmoid_gradient", "g input"),
    Row("hardswish", "hardswish", "input"),
    Row("hardswish.vjp", "hardswish_gradient", "g input"),
    Row("hardtanh", "hardtanh", "input", "min_val max_val"),
    Row("hardtanh.vjp", "hardtanh_gradient", "g input", "min_val max_val"),
    Row("leaky_relu", "leaky_relu", "input input", "negative_slope"),
    Row("leaky_relu.vjp", "leaky_relu", "g input", "negative_slope"),
    Row("log", "log", "input"),
    Row("log.vjp", "divide", "g input"),
    Row("logsigmoid", "logsigmoid", "input"),
    Row("logsigmoid.vjp", "logsigmoid_gradient", "g input"),
    Row("mish", "mish", "input"),
    Row("mish.vjp", "mish_gradient", "g input"),
    Row("neg", "negative", "input"),
    Row("relu", "relu", "input"),
    Row("relu.vjp", "relu_gradient", "g output"),
    Row("selu", "selu", "input"),
    Row("selu.vjp", "selu_gradient", "g input"),
    Row("sigmoid", "sigmoid", "input"),
    Row("sigmoid.vjp", "sigmoid_gradient", "g output"),
    Row("silu", "silu", "input"),
    Row("silu.vjp", "silu_gradient", "g input"),
    Row("softplus", "softplus", "input", "beta threshold"),
    Row("softplus.vjp", "softplus_gradient", "g input", "beta threshold"),
    Row("softshrink", "softshrink", "input", "lambd"),
    Row("softshrink.vjp", "hardshrink", "g input", "lambd"),
    Row("softsign", "softsign", "input"),
    Row("softsign.vjp", "softsign_gradient", "g input"),
    Row("sqrt", "sqrt", "input"),
    Row("sqrt.vjp", "sqrt_gradient", "g output"),
    Row("tanh", "tanh", "input"),
    Row("tanh.vjp", "tanh_gradient", "g output"),
]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    rows: list[tuple[str, Callable[..., Any], Callable[..., bool]]] = [
        ("dropout", dropout, _takes_dropout),
        ("dropout.vjp", dropout_vjp, _takes),
    ]
    for row in TABLE:
        takes = _takes_positive if row.kernel.startswith("celu") else _takes
        rows.append((row.operator, _serving(row), takes))
    for name, function, supports in rows:
        register(name, provider="numba", priority=10, supports=supports)(function)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    # A rule that reads no input has no Spec: the function sees the arrays, and may decline.
    return specs[0] is None or _large(specs[0])


def _takes_dropout(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    _, _, shared = attributes
    return not shared and _large(specs[0])


def _takes_positive(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    # The exponentials of a negative alpha grow, which the kernel's do not.
    (alpha,) = attributes
    return alpha > 0 and _takes(specs, attributes)


def _large(spec: Any) -> bool:
    dense = getattr(spec, "dtype", None) == np.float32
    return dense and repays(spec.size, SMALLEST, SLOW)


def _serving(row: Row) -> Callable[..., Any]:
    """The function of the kernel table that runs a kernel; it reads what the row names."""
    arrays, numbers = row.arrays.split(), row.numbers.split()
    fused = arrays[0] == "g"
    names = ["xp", *(["g", "needs"] if fused else []), *arrays[fused:], *numbers]
    names = list(dict.fromkeys(names))

    def serve(*args: Any) -> Any:
        given = dict(zip(names, args, strict=True))
        result = _run(row.kernel, [given[n] for n in arrays], [given[n] for n in numbers])
        return (result,) if fused and result is not None else result

    serve.__name__ = serve.__qualname__ = row.operator
    return with_parameters(serve, names)


def _run(kernel: str, arrays: list[Any], numbers: list[float]) -> Any:
    """The result of a compiled kernel, in the memory order of the arrays; None if they are small,
    no float32 or do not lie alike."""
    first = arrays[0]
    if first.dtype != np.float32 or not repays(first.size, SMALLEST, SLOW):
        return None
    axes = common_order(arrays)
    if axes is None:
        return None
    result = memory.empty_like(first)
    runs = [array.transpose(axes).reshape(-1) for array in (*arrays, result)]
    compiled = importlib.import_module("tinygrad_cv.backend.cpu.compiled.elementwise")
    getattr(compiled, kernel)(*runs, *map(np.float32, numbers), threads.get_num_threads())
    return result


def common_order(arrays: list[Any]) -> tuple[int, ...] | None:
    """The axes in the order in which the memory of all arrays runs without a gap, if there is
    one."""
    shape, ndim = arrays[0].shape, arrays[0].ndim
    if any(array.shape != shape for array in arrays):
        return None
    for axes in (tuple(range(ndim)), (0, *range(2, ndim), 1)[:ndim]):
        if all(array.transpose(axes).flags.c_contiguous for array in arrays):
            return axes
    return None


def dropout(xp: Any, input: Any, p: float, key: tuple[int, int], shared: int = 0) -> Any:
    """``Dropout.forward`` of single elements: the output, and the mask in the input's order."""
    mask, layout = keep_mask(key, input.shape, 1 - p), layout_of(input)
    if layout != CONTIGUOUS:
        mask = reordered(mask, layout)
    output = _masked(input, mask, p)
    return None if output is None else (output, mask)


def dropout_vjp(xp: Any, g: Any, needs: Any, mask: Any, p: float) -> tuple[Any, ...] | None:
    """The gradient of ``Dropout``."""
    gradient = _masked(g, mask, p)
    return None if gradient is None else (gradient,)


def _masked(values: Any, mask: Any, p: float) -> Any:
    """``values * mask / (1 - p)``."""
    return _run("masked_scale", [values, mask.view(np.uint8)], [1 / (1 - p) if p < 1 else 0.0])
