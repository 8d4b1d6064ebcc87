"""The rectifier with a learned slope on large float32 arrays, shared among threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["prelu", "prelu_vjp", "register_kernels"]

SMALLEST = 1 << 17  # elements; below, one core does it before others are awake
SLOW = 16  # times as many, where threads start slowly


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("prelu", provider="numba", priority=10, supports=_takes)(prelu)
    register("prelu.vjp", provider="numba", priority=10, supports=_takes)(prelu_vjp)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, weight = specs
    return (
        getattr(input, "dtype", None) == getattr(weight, "dtype", None) == np.float32
        and _is_of_channels(input.shape, weight.shape)
        and repays(input.size, SMALLEST, SLOW)
    )


def _is_of_channels(shape: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """True for one slope, and for [1, C, 1, ...] of [N, C, ...]."""
    if math.prod(weight) == 1:
        return len(weight) <= len(shape)
    return len(weight) == len(shape) and weight == (1, shape[1], *(1,) * (len(shape) - 2))


def prelu(xp: Any, input: Any, weight: Any) -> Any:
    """``Prelu.forward``."""
    from tinygrad_cv.backend.cpu.compiled import prelu as kernels

    output = memory.empty(input.shape, np.float32, layout_of(input))
    run, last = _runs(input, weight)
    flat = (_flat(input, input), _flat_weight(weight), _flat(output, input))
    if input.size:
        kernels.prelu(*flat, run, last, threads.get_num_threads())
    return output


def prelu_vjp(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> tuple[Any, ...]:
    """The gradients of ``Prelu``."""
    from tinygrad_cv.backend.cpu.compiled import prelu as kernels

    dx = memory.empty(input.shape, np.float32, layout_of(input))
    parts = np.zeros((threads.get_num_threads(), weight.size))
    run, last = _runs(input, weight)
    flat = (_flat(g, input), _flat(input, input), _flat_weight(weight), _flat(dx, input))
    if input.size:
        kernels.prelu_gradient(*flat, parts, run, last)
    return dx, parts.sum(0).astype(np.float32).reshape(weight.shape)


def _runs(input: Any, weight: Any) -> tuple[int, bool]:
    """How many numbers a run of the kernel has, and whether they are of all channels."""
    if weight.size == 1:
        return max(input.size, 1), False
    pixels = math.prod(input.shape[2:])
    if layout_of(input) == CHANNELS_LAST or pixels == 1:
        return weight.size, True
    return max(pixels, 1), False


def _flat(array: Any, input: Any) -> Any:
    """The numbers in the memory order of the input, copied only if they do not lie so."""
    if layout_of(input) == CHANNELS_LAST:
        array = array.transpose(0, *range(2, array.ndim), 1)
    return np.ascontiguousarray(array).reshape(-1)


def _flat_weight(weight: Any) -> Any:
    return np.ascontiguousarray(weight).reshape(-1)
