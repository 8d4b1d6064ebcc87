"""Saying what was wrong with the arguments of a call that failed.

Nothing is checked before a call, which would slow down every right one. Where a public function
fails with an error that is not ours, ``refusal`` looks for the argument that cannot have been
meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, TinygradError

__all__ = ["TENSORS", "refusal"]

# Under these names our functions take tensors.
_NAMES = """a b batch1 batch2 bias condition end index input mask mat1 mat2 other running_mean
running_var source src target tensor vec vec2 weight"""
TENSORS = frozenset(_NAMES.split())


def refusal(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    problem: Exception,
) -> TinygradError | None:
    """Our error for a call that failed with ``problem``, or None if the names of the arguments
    themselves do not fit, which Python says best."""
    name = getattr(function, "__name__", "function")
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return None
    given, parameters = bound.arguments, bound.signature.parameters
    for key, value in given.items():
        if key in TENSORS and value is not parameters[key].default and not _is_tensor(value):
            return DTypeError(
                name,
                f"{key} must be a tensor, not {_described(value)}",
                repair=f"Convert it with tg.tensor({key}) if it holds numbers.",
            )
    for key, value in given.items():
        default = parameters[key].default
        if isinstance(default, (int, float)) and not isinstance(value, _NUMBERS):
            return DTypeError(name, f"{key} must be a number, not {_described(value)}")
    values = [
        (key, value.shape if _is_tensor(value) else _described(value))
        for key, value in given.items()
    ]
    kind = DTypeError if isinstance(problem, TypeError) else ArgumentError
    return kind(name, f"these arguments cannot be used ({problem})", values=values)


_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or is_array(value)


def _described(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
