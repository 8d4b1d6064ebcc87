"""Softmax and log-softmax of large float32 arrays along any axis, one kernel in each direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.elementwise import common_order
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register

__all__ = ["register_kernels"]

SMALLEST = 1 << 15  # elements; below, NumPy is as fast
SHORT = 4  # a line of less is no work for a vector


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, logarithm in (("softmax", False), ("log_softmax", True)):
        forward, gradient = _pair(logarithm)
        register(name, provider="numba", priority=10, supports=_takes)(forward)
        # The rule reads no input, so that there is no Spec: the function sees the arrays.
        register(f"{name}.vjp", provider="numba", priority=10, supports=_always)(gradient)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return specs[0].dtype == np.float32 and repays(specs[0].size, SMALLEST)


def _always(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return True


def _pair(logarithm: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward kernel, and the gradient's."""

    def forward(xp: Any, input: Any, dim: int) -> Any:
        return _run(logarithm, dim, input)

    def gradient(xp: Any, g: Any, needs: Any, output: Any, dim: int) -> tuple[Any] | None:
        found = _run(logarithm, dim, g, output)
        return None if found is None else (found,)

    return forward, gradient


def _run(logarithm: bool, dim: int, *arrays: Any) -> Any:
    """The result of a kernel, in the memory order of the arrays; None if they are small, no
    float32, or do not lie alike."""
    first = arrays[0]
    if first.dtype != np.float32 or not first.ndim or not repays(first.size, SMALLEST):
        return None
    axes = common_order(list(arrays))
    if axes is None:
        return None
    from tinygrad_cv.backend.cpu.compiled import softmax

    result, at = memory.empty_like(first), axes.index(dim)
    shape = [first.shape[axis] for axis in axes]
    before, n, places = math.prod(shape[:at]), shape[at], math.prod(shape[at + 1 :])
    if n < SHORT:
        return None
    workers, made = threads.get_num_threads(), (*arrays, result)
    if places == 1:
        lines = [a.transpose(axes).reshape(before, n) for a in made]
        kernel = softmax.rows if len(arrays) == 1 else softmax.rows_gradient
        kernel(*lines, int(logarithm), workers)
        return result
    lines = [a.transpose(axes).reshape(before, n, places) for a in made]
    near = memory.scratch((workers, 2, softmax.PLACES), np.float32, "softmax.near")
    kernel = softmax.planes if len(arrays) == 1 else softmax.planes_gradient
    kernel(*lines, near, int(logarithm), workers)
    return result
