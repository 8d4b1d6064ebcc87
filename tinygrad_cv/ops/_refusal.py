"""Saying what was wrong with the arguments of a call that failed.

Nothing is checked before a call, which would slow down every right one. Where a public function
fails with an error that is not ours, ``refusal`` looks for the argument that cannot have been
meant.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import NO_VALUE, ArgumentError, DTypeError, TinygradError

__all__ = ["FAILURES", "no_out", "refusal", "tensor_arguments"]

# What a wrong argument makes Python and NumPy raise.
FAILURES = (AttributeError, TypeError, ValueError, IndexError, ArithmeticError)


@cache
def tensor_arguments(module: str) -> frozenset[str]:
    """The names under which the functions of a module take tensors: ``input``, the inputs of the
    operators that it defines or imports, and what it declares as ``TENSOR_ARGUMENTS``."""
    scope = vars(sys.modules[module])
    names = {"input", *scope.get("TENSOR_ARGUMENTS", ())}
    for value in scope.values():
        op = getattr(value, "op", value)  # the callable of an operator knows its class
        if isinstance(op, type) and issubclass(op, Op) and not op.variadic:
            names.update(op.inputs)
    return frozenset(names)


def refusal(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    problem: Exception,
    name: str,
) -> TinygradError | None:
    """Our error for a call of the function ``name`` that failed with ``problem``.

    None if it is ours already, and for a failure inside the engine that no argument explains: that
    is a defect of ours, not the user's mistake.
    """
    if isinstance(problem, TinygradError):
        return None
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as misfit:  # the names or the number of the arguments
        return _misnamed(name, kwargs, signature, misfit)
    given, parameters = bound.arguments, bound.signature.parameters
    tensors = tensor_arguments(function.__module__)
    optional = getattr(sys.modules[function.__module__], "OPTIONAL_TENSORS", ())
    for key, value in given.items():
        if value is parameters[key].default or (value is None and key in optional):
            continue
        if key in tensors and not _is_tensor(value) and _explains(value, problem):
            return DTypeError(
                name,
                f"{key} must be a tensor, not {_described(value)}",
                repair=NO_VALUE
                if value is None
                else f"Convert it with tg.tensor({key}) if it holds numbers.",
            )
    for key, value in given.items():
        wanted = parameters[key].annotation  # Any, where a tuple or a word may stand for a number
        if wanted in ("bool", "int", "float") and not isinstance(value, _NUMBERS):
            return DTypeError(name, f"{key} must be a number, not {_described(value)}")
    if _inside_engine(problem):
        return None
    values = [
        (key, value.shape if _is_tensor(value) else _described(value))
        for key, value in given.items()
    ]
    kind = DTypeError if isinstance(problem, TypeError) else ArgumentError
    return kind(name, f"these arguments cannot be used ({problem})", values=values)


def _misnamed(
    name: str, kwargs: Mapping[str, Any], signature: inspect.Signature, misfit: TypeError
) -> TinygradError:
    """The error for names or a number of arguments that do not fit; ``out=``, which PyTorch's
    functions have, and names that are nearly right get a repair."""
    unknown = [key for key in kwargs if key not in signature.parameters]
    if "out" in unknown:
        return no_out(name)
    near = [get_close_matches(key, signature.parameters, n=1) for key in unknown]
    repair = next((f"Did you mean {found[0]}=?" for found in near if found), None)
    return DTypeError(name, str(misfit), law=[name + _plain(signature)], repair=repair)


def no_out(name: str) -> ArgumentError:
    """The error for an array that the result is to be written to."""
    return ArgumentError(
        name,
        "out= is not supported: the result is a new tensor",
        repair=f"Write y = {name}(...), or y.copy_({name}(...)) to write into y.",
    )


def _plain(signature: inspect.Signature) -> str:
    """The signature without annotations."""
    empty = inspect.Parameter.empty
    parameters = [p.replace(annotation=empty) for p in signature.parameters.values()]
    return str(inspect.Signature(parameters))


def _explains(value: Any, problem: Exception) -> bool:
    """Did this value, which is no tensor, bring the problem? Some functions take None or a number
    for a tensor; where they do not, Python says what it found instead."""
    usual = value is None or isinstance(value, _NUMBERS)
    return not usual or f"'{type(value).__name__}'" in str(problem)


def _inside_engine(problem: Exception) -> bool:
    """True if the innermost frame of the package is one of ``backend/`` or ``core/``."""
    place, trace = "", problem.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        place = file.removeprefix(_PACKAGE) if file.startswith(_PACKAGE) else place
        trace = trace.tb_next
    return place.startswith((f"backend{os.sep}", f"core{os.sep}"))


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or is_array(value)


def _described(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
