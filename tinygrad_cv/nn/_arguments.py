"""Reading and refusing arguments, as the layers share it."""

from __future__ import annotations

import functools
from numbers import Integral, Real
from types import FunctionType
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import as_device, is_device
from tinygrad_cv.backend.dtypes import as_dtype
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["flag", "number", "own_init", "positive", "to_arguments"]


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
        raise DTypeError(
            layer, f"{name} must be a number, not {value!r:.60}", repair=_how_to_call(layer, value)
        )


def flag(layer: str, name: str, value: object) -> None:
    """The argument must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise DTypeError(
            layer,
            f"{name} must be True or False, not {value!r:.60}",
            repair=_how_to_call(layer, value),
        )


def _how_to_call(layer: str, value: object) -> str | None:
    """For an input that was given to the class instead of to a layer made from it."""
    return f"Make the layer, then call it: nn.{layer}()(x)." if isinstance(value, Tensor) else None


def own_init(cls: type) -> None:
    """Give a layer its ``__init__`` under its own name if it has that of a private base, so that
    Python's messages about missing arguments name the layer."""
    inherited: Any = cls.__init__  # type: ignore[misc]
    private = inherited.__qualname__.startswith("_")
    if not private or cls.__name__.startswith("_") or not cls.__module__.startswith("tinygrad_cv."):
        return
    own = FunctionType(
        inherited.__code__,
        inherited.__globals__,
        "__init__",
        inherited.__defaults__,
        inherited.__closure__,
    )
    functools.update_wrapper(own, inherited)
    own.__kwdefaults__ = inherited.__kwdefaults__
    own.__qualname__ = f"{cls.__qualname__}.__init__"
    del own.__wrapped__  # type: ignore[attr-defined]
    cls.__init__ = own  # type: ignore[misc]


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
