"""Copies of float32 images, and of bytes beside them, from one memory order to the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import layout as reference
from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of

__all__ = ["NARROW", "contiguous_pixels", "register_kernels", "reordered", "transposed"]

SMALLEST = 1 << 15  # elements
NARROW = 8  # channels, or pixels, from which on squares in the registers are quicker than NumPy


def register_kernels() -> None:
    """Enter the kernel of this file into the table."""
    register("layout", provider="numba", priority=10, supports=_takes)(_layout)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (layout,) = specs, attributes
    return input.layout != layout and _transposes(input)


def _transposes(array: Any) -> bool:
    return (
        array.ndim > 2
        and array.dtype in (np.float32, np.uint8)
        and min(array.shape[1], math.prod(array.shape[2:])) >= NARROW
        and repays(math.prod(array.shape), SMALLEST)
    )


def _layout(xp: Any, input: Any, layout: str) -> Any:
    """``Layout.forward``; None of an array with gaps, or whose axes lie in another order."""
    lies = input.flags.c_contiguous or layout_of(input) == CHANNELS_LAST
    return reordered(input, layout) if lies else None


def reordered(array: Any, layout: str) -> Any:
    """``backend.layout.reordered``, by a kernel if that is quicker."""
    forth = layout == CHANNELS_LAST and array.flags.c_contiguous
    back = layout == CONTIGUOUS and layout_of(array) == CHANNELS_LAST
    if layout == layout_of(array) and pixels(array).flags.c_contiguous:  # it lies in both orders
        return array
    if not (forth or back) or not _transposes(array):
        return reference.reordered(np, array, layout)
    n, c = array.shape[:2]
    out = memory.empty(array.shape, array.dtype, layout)
    x, y = (array, pixels(out)) if forth else (pixels(array), out)
    x = x.reshape(n, c, -1) if forth else x.reshape(n, -1, c)
    transposed(x, y.reshape(n, x.shape[2], x.shape[1]))
    return out


def contiguous_pixels(array: Any) -> Any:
    """[N, C, ...] as contiguous [N, ..., C]: a view if memory is in that order, else a copy."""
    view = pixels(array)
    return view if view.flags.c_contiguous else pixels(reordered(array, CHANNELS_LAST))


def transposed(x: Any, y: Any) -> None:
    """Write [N, A, B] into ``y`` [N, B, A]."""
    from tinygrad_cv.backend.cpu.compiled import layout

    kernel = layout.transposed if x.dtype == np.float32 else layout.transposed_bytes
    kernel(x, y, threads.get_num_threads())
