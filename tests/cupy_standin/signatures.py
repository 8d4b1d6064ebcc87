"""What arguments the real CuPy takes, from its signatures and, for compiled methods, its texts."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import cupy as real

__all__ = ["check_call", "check_method"]


def check_call(name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises TypeError if the real function does not take these arguments."""
    problem = _refusal(name, function, len(args), tuple(kwargs))
    if problem is not None:
        raise TypeError(f"cupy.{name}{_signature(name, function)}: {problem}")
    known = _KEYWORDS.get(name)
    if known is not None and not set(kwargs) <= known:
        raise TypeError(f"cupy.{name}() takes no argument {sorted(set(kwargs) - known)}")


def check_method(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The same for a method of `cupy.ndarray`, without `self`."""
    check_call(f"ndarray.{name}", getattr(real.ndarray, name), (None, *args), kwargs)


@cache
def _refusal(name: str, function: Any, count: int, names: tuple[str, ...]) -> str | None:
    """Why so many arguments by position and these by name do not fit; None if they do."""
    signature = _signature(name, function)
    try:
        if signature is not None:
            signature.bind(*(None,) * count, **dict.fromkeys(names))
    except TypeError as problem:
        return str(problem)
    return None


@cache
def _signature(name: str, function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # compiled: its text begins with the signature
        text = (function.__doc__ or "").lstrip().split("\n")[0]
        match = re.match(r"[\w.]*\((.*)\)(\s*->.*)?$", text)
        if match is None:
            return None
        arguments = re.sub(r"\b(?:Py_ssize_t|int|_ndarray_base|bint)\s+(?=\w)", "", match[1])
        space: dict[str, Any] = {}
        exec(f"def signature({arguments}): ...", space)  # CuPy's own text
        return inspect.signature(space["signature"])


# Functions whose `**kwargs` hide what they take.
_KEYWORDS = {
    "einsum": {"dtype", "optimize"},
    "pad": {"mode", "stat_length", "constant_values", "end_values", "reflect_type"},
}
