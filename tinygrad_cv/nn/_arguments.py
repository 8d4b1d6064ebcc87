"""Reading and refusing arguments, as the layers share it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from tinygrad_cv.backend.array import as_device, is_device
from tinygrad_cv.backend.dtypes import as_dtype
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["number", "positive", "to_arguments"]


def positive(layer: str, **numbers: int) -> None:
    """Each of the numbers must be a whole number of at least 1."""
    for name, value in numbers.items():
        if not isinstance(value, Integral):
            raise DTypeError(layer, f"{name} must be a whole number, not {value!r}")
        if value < 1:
            raise ArgumentError(layer, f"{name} must be positive, it is {value}")


def number(layer: str, name: str, value: object) -> None:
    """The argument must be a number."""
    if not isinstance(value, Real):
        raise DTypeError(layer, f"{name} must be a number, not {value!r}")


def to_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Device and dtype, or None for each, from the arguments of ``Module.to``."""
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    if kwargs.pop("non_blocking", False):
        raise ArgumentError(
            "to",
            "non_blocking=True is not supported, every transfer ends before the next operation",
            repair="Leave non_blocking out.",
        )
    for value in args:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype if value.dtype.kind == "f" else None
        elif is_device(value):
            device = value
        elif value is not None:
            dtype = value
    if kwargs:
        raise ArgumentError("to", f"unknown argument {next(iter(kwargs))!r}")
    return (
        None if device is None else as_device(device),
        None if dtype is None else as_dtype(dtype),
    )
