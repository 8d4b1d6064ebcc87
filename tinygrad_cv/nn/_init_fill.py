"""Writing initial values into a tensor, whatever its device."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.array import device_of, on_device_of, to_device
from tinygrad_cv.backend.random import Generator, default_generator
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import note_write
from tinygrad_cv.core.tensor import Tensor

__all__ = ["draw", "fill", "on_meta"]


def on_meta(tensor: Tensor) -> bool:
    """True if the tensor has no memory to write into."""
    return isinstance(tensor.array, Spec)


def draw(tensor: Tensor, make: Any, generator: Generator | None) -> Any:
    """Values for the tensor as a NumPy array, or None on the meta device."""
    if on_meta(tensor):
        return None
    return make((generator or default_generator).next_key(), tensor.shape, tensor.dtype)


def fill(tensor: Tensor, values: Any) -> Tensor:
    """Write values, cast to the dtype of the tensor, and note that it was written."""
    array = tensor.array
    if isinstance(values, np.ndarray):
        values = to_device(values.astype(array.dtype, copy=False), device_of(array))
    with on_device_of(array):
        array[...] = values
    note_write(array, "nn.init")
    return tensor
