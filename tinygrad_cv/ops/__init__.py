"""The textbook: one file per operator family, each with equation, shape rule, reference and
gradient rules.

Modules are discovered, not listed. Each says what it gives away:

* ``TENSOR_FUNCTIONS``: names that become ``tg.name`` and ``Tensor.name``;
* ``TG_FUNCTIONS``: names that become ``tg.name`` only (``cat``, ``where`` ...);
* ``NN_FUNCTIONS``: names that become ``nn.functional.name``;
* ``METHODS``: ``{name: function}`` given to Tensor as they are (operators such as ``__add__``,
properties);
* ``TENSOR_ARGUMENTS``: names under which its functions take tensors, beside those that operators
have for their inputs; ``OPTIONAL_TENSORS``: those that may be None without being so by default.

Inside this package every function gives raw arrays for raw arrays, so that a gradient rule can call
it on either. The public functions made here turn arrays, lists and numbers into Tensors first.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.backend.contract import names_of
from tinygrad_cv.core.tensor import Tensor, as_tensor, extend
from tinygrad_cv.ops._refusal import FAILURES, refusal, tensor_arguments

__all__ = ["NN_FUNCTIONS", "TG_FUNCTIONS"]

TG_FUNCTIONS: dict[str, Callable[..., Any]] = {}
NN_FUNCTIONS: dict[str, Callable[..., Any]] = {}

_PLAIN = {Tensor, int, float, bool, str, type(None)}  # what is never an array, nor holds one

_LISTINGS = {
    "TENSOR_FUNCTIONS": (TG_FUNCTIONS,),
    "TG_FUNCTIONS": (TG_FUNCTIONS,),
    "NN_FUNCTIONS": (NN_FUNCTIONS,),
}


def _public(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """``function`` with arrays turned into constant Tensors, and a first argument of any kind as
    well."""

    first = next(iter(names_of(function)), "")
    several = first == "tensors"  # a list of numbers is then no tensor, but a list of them

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not args or type(args[0]) is not Tensor:
            args = tuple(_wrapped(a) for a in args)
            numbers = args and not several and _is_numbers(args[0])
            if numbers and not any(isinstance(a, Tensor) for a in args):
                args = (as_tensor(args[0]), *args[1:])
        elif len(args) > 1:
            for other in args:
                if type(other) not in _PLAIN:
                    args = tuple(Tensor(a) if is_array(a) else a for a in args)
                    break
        if kwargs:
            for key, other in kwargs.items():
                if type(other) not in _PLAIN:
                    kwargs[key] = _wrapped(other)
            if not args and not several and _is_numbers(kwargs.get(first)):
                kwargs[first] = as_tensor(kwargs[first])
        try:
            return function(*args, **kwargs)
        except FAILURES as problem:
            error = refusal(function, args, kwargs, problem, name)
            if error is None:
                raise
            raise error from problem

    return wrapper


def _checked(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """``function`` with failures that say which argument was wrong; what it takes as ``*sizes`` may
    be given by name too, as one tuple."""
    several = _starred(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if several in kwargs:
            args = (*args, kwargs.pop(several))
        try:
            return function(*args, **kwargs)
        except FAILURES as problem:
            error = refusal(function, args, kwargs, problem, name)
            if error is None:
                raise
            raise error from problem

    return wrapper


def _starred(function: Callable[..., Any]) -> Any:
    """The name of the parameter ``*name``, or None."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_VARARGS or hasattr(function, "__wrapped__"):
        return None
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount]


def _with_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """The callable of an operator takes its arguments by position; here by the operator's names
    too."""
    op = getattr(function, "op", None)
    if op is None or op.variadic:
        return function
    if names_of(op.forward)[1:] == names_of(function):
        return function
    parameters = list(inspect.signature(op.forward).parameters.values())[1:]
    signature = inspect.Signature(
        [p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in parameters]
    )

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*(signature.bind(*args, **kwargs).args if kwargs else args))

    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper


def _method(function: Any, name: str) -> Any:
    """``function`` as a method of Tensor. One that takes nothing but its tensor cannot be called
    wrongly, and an elementwise operator sees to what is given to it."""
    op = getattr(function, "op", None)
    if isinstance(function, property) or (op is not None and op.elementwise):
        return function
    if not tensor_arguments(function.__module__).isdisjoint(names_of(function)[1:]):
        return _public(function, name)
    plain = len(names_of(function)) < 2 and _starred(function) is None
    return function if plain else _checked(function, name)


def _wrapped(value: Any) -> Any:
    if is_array(value):
        return as_tensor(value)
    if isinstance(value, (list, tuple)) and any(is_array(v) for v in value):
        return type(value)(as_tensor(v) if is_array(v) else v for v in value)
    return value


def _is_numbers(value: Any) -> bool:
    """True for a number, and for nested lists of numbers."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (bool, int, float, np.generic))


def _discover() -> None:
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        plain = getattr(module, "CREATION", ())  # these take no tensors
        for listing, spaces in _LISTINGS.items():
            for name in getattr(module, listing, ()):
                function = _with_names(getattr(module, name))
                if listing == "TENSOR_FUNCTIONS":
                    extend(name, _method(function, name))
                for space in spaces:
                    space[name] = (_checked if name in plain else _public)(function, name)
        for name, function in getattr(module, "METHODS", {}).items():
            special = name.startswith("__")  # Python's own protocols
            extend(name, function if special else _method(function, name))


_discover()
