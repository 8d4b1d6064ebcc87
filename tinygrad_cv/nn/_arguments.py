"""Reading and refusing arguments, as the layers share it."""

from __future__ import annotations

import functools
from numbers import Integral, Real
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import as_device, is_device
from tinygrad_cv.backend.dtypes import as_dtype
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._axes import check_bits
from tinygrad_cv.ops._refusal import FAILURES, refusal

__all__ = ["flag", "number", "own_init", "positive", "to_arguments"]


def positive(layer: str, **numbers: int) -> None:
    """Each of the numbers must be a whole number of at least 1."""
    for name, value in numbers.items():
        if not isinstance(value, Integral):
            raise DTypeError(layer, f"{name} must be a whole number, not {value!r}")
        if value < 1:
            raise ArgumentError(layer, f"{name} must be positive, it is {value}")
        check_bits(layer, name, int(value))


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
    """Give a layer of the library an ``__init__`` whose failures say, under the layer's own name,
    which argument was wrong."""
    if not cls.__module__.startswith("tinygrad_cv.nn."):
        return
    inherited: Any = cls.__init__  # type: ignore[misc]
    inner = getattr(inherited, "__wrapped__", inherited)

    @functools.wraps(inner)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            inner(self, *args, **kwargs)
        except FAILURES as problem:
            bound = inner.__get__(self)
            error = refusal(bound, args, kwargs, problem, type(self).__name__)
            if error is None:
                raise
            raise error from problem

    init.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = init  # type: ignore[misc]


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
