"""What the makers of new tensors share: reading sizes, and making an array on a device."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import Device, as_device
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._axes import as_ints

__all__ = ["checked_shape", "made"]

Shape = tuple[int, ...]


def made(
    make: Callable[[Any], Any],
    shape: Shape,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    layout: str = "contiguous",
) -> Tensor:
    """A tensor around ``make(xp)``, on a device; on the meta device nothing is made."""
    target: Device = as_device(device)
    if target.type == "meta":
        return Tensor(Spec(shape, dtype, layout), requires_grad=requires_grad)
    if target.type == "cpu":
        return Tensor(make(np), requires_grad=requires_grad)
    cupy = importlib.import_module("cupy")
    with cupy.cuda.Device(target.index):
        return Tensor(make(cupy), requires_grad=requires_grad)


def checked_shape(op: str, size: Any) -> Shape:
    """Sizes, or one tuple of them, as a shape; raises ShapeError if one is negative, and
    OverflowError if no index can count the elements."""
    shape = as_ints(op, "size", size)
    if min(shape, default=0) < 0:
        raise ShapeError(
            op,
            f"a size cannot be negative: {shape}",
            values=[("size", shape)],
            repair="Use sizes of 0 or more.",
        )
    if math.prod(shape) >= 2**63:
        raise OverflowError(f"a size of {math.prod(shape):.1e} elements is beyond any memory")
    return shape
