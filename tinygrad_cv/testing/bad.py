"""Calls that must be refused: the declared error, the right words, a repair that works."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np

from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError, ShapeError, TinygradError
from tinygrad_cv.testing.case import Bad, CheckFailure, callable_of, flatten, operator_of
from tinygrad_cv.testing.compare import numpy_of

__all__ = ["check_bad"]


def check_bad(bad: Bad) -> None:
    """Makes the call and looks at the error; raises CheckFailure if anything about it is wrong.

    The error must be of the declared class and one of ``tinygrad_cv.errors``; its text must begin
    with the operator, show the shape of an array argument (ShapeError), contain ``match``, and be
    the same on the meta device (ShapeError, DTypeError). Every suggested repair is applied and
    must then work.

    Example:
        >>> import numpy as np, tinygrad_cv as tg
        >>> from tinygrad_cv.testing import Bad, check_bad
        >>> two, three = np.zeros((2, 2)), np.zeros((3, 3))
        >>> check_bad(Bad(tg.add, (two, three), error=tg.errors.ShapeError, match="broadcast"))
    """
    try:
        _check(bad)
    except CheckFailure as failure:
        raise CheckFailure(f"{bad.id}: {failure}") from None


def _check(bad: Bad) -> None:
    args, kwargs = _tensors(bad.args), {k: _tensors(v) for k, v in bad.kwargs.items()}
    tensors = list(flatten((args, kwargs), Tensor))
    before = [numpy_of(t).tobytes() for t in tensors]
    error = _error_of(bad, args, kwargs)
    if before != [numpy_of(t).tobytes() for t in tensors]:
        raise CheckFailure("the refused call had already changed an argument")
    text = str(error)
    if "operator" not in bad.skip and not text.startswith(bad.operator):
        raise CheckFailure(f"the text does not begin with {bad.operator!r}:\n{text}")
    if not re.search(bad.match, text):
        raise CheckFailure(f"the text does not match {bad.match!r}:\n{text}")
    shapes = [str(tuple(t.shape)) for t in tensors]
    wants_shape = isinstance(error, ShapeError) and "shapes" not in bad.skip
    if shapes and wants_shape and not any(shape in text for shape in shapes):
        raise CheckFailure(f"the text shows none of the shapes {', '.join(shapes)}:\n{text}")
    if isinstance(error, (ShapeError, DTypeError)) and "meta" not in bad.skip and shapes:
        on_meta = _error_of(bad, _to_meta(args), {k: _to_meta(v) for k, v in kwargs.items()})
        if str(on_meta) != text:
            raise CheckFailure(f"on meta the text differs:\n{on_meta}\ninstead of\n{text}")
    if "repair" not in bad.skip:
        for repair in error.repairs:
            _apply(bad, repair)


def _error_of(bad: Bad, args: Any, kwargs: Any) -> TinygradError:
    try:
        result = callable_of(bad.function)(*args, **kwargs)
    except TinygradError as error:
        if not isinstance(error, bad.error):
            text = f"raises {type(error).__name__}, declared is {bad.error.__name__}:\n{error}"
            raise CheckFailure(text) from error
        return error
    except Exception as error:
        text = f"raises a bare {type(error).__name__}: {error}"
        raise CheckFailure(text) from error
    shape = getattr(result, "shape", None)
    raise CheckFailure(f"is accepted and gives {type(result).__name__} {shape}")


def _apply(bad: Bad, repair: dict[str, Any]) -> None:
    """Makes the call as the error suggests; it must work."""
    if bad.apply is not None:
        args, kwargs = bad.apply(repair, bad.args, dict(bad.kwargs))
    else:
        args, kwargs = _replaced(bad, repair)
    try:
        callable_of(bad.function)(*_tensors(args), **{k: _tensors(v) for k, v in kwargs.items()})
    except Exception as error:
        text = f"the suggested repair {repair} does not work: {type(error).__name__}: {error}"
        raise CheckFailure(text) from error


def _replaced(bad: Bad, repair: dict[str, Any]) -> tuple[Any, Any]:
    """The arguments with those the repair names replaced, ``tensors[1]`` in a sequence; an array
    gets the shape it names."""
    op = operator_of(bad.function) if isinstance(bad.function, type) else None
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = () if op is None else (*op.inputs, *op.attributes)  # it takes them by position
    made = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    signature = made if names else inspect.signature(callable_of(bad.function))
    bound = signature.bind(*bad.args, **bad.kwargs)
    bound.apply_defaults()
    for name, value in repair.items():
        if name == "kernel_size" and name not in bound.arguments and "weight" in bound.arguments:
            weight = bound.arguments["weight"]
            size = (value,) * (weight.ndim - 2) if isinstance(value, int) else tuple(value)
            name, value = "weight", (*weight.shape[:2], *size)
        name, _, place = name.removesuffix("]").partition("[")
        if name not in bound.arguments:
            raise CheckFailure(f"the repair {repair} names no argument; give the Bad an apply=")
        old = bound.arguments[name]
        if place:
            items = list(old)
            items[int(place)] = _resized(items[int(place)], value)
            bound.arguments[name] = type(old)(items)
        else:
            bound.arguments[name] = _resized(old, value)
    return bound.args, bound.kwargs


def _resized(old: Any, value: Any) -> Any:
    """The value, or, if it is the shape of an array, the old array brought to it."""
    if isinstance(old, (np.ndarray, np.generic, Tensor)) and isinstance(value, tuple):
        return np.resize(np.asarray(getattr(old, "array", old)), value)
    return value


def _tensors(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return Tensor(item.copy())
    if type(item) in (tuple, list):
        return type(item)(_tensors(part) for part in item)
    return item


def _to_meta(item: Any) -> Any:
    if isinstance(item, Tensor):
        return Tensor(spec_of(item.array))
    if type(item) in (tuple, list):
        return type(item)(_to_meta(part) for part in item)
    return item
