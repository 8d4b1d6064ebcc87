"""Arguments of the tool, checked where they come in: what was wrong, and how to write it."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from tinygrad_cv.autograd.verification import Report
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["flag", "function_of", "module_call", "report", "seconds", "text", "whole"]


def whole(owner: str, name: str, value: Any, least: int) -> int:
    """An integer that is not less than ``least``.

    Raises:
        ArgumentError: it is not.

    >>> try:
    ...     whole("depth", "k", 1.5, 0)
    ... except ArgumentError as error:
    ...     print(error)
    depth: k must be an integer, 0 or more, not 1.5
      Write .depth(k=0), or a larger integer.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ArgumentError(
            owner,
            f"{name} must be an integer, {least} or more, not {value!r:.60}",
            repair=f"Write {_call(owner)}({name}={least}), or a larger integer.",
        )
    return int(value)


def flag(owner: str, name: str, value: Any) -> bool:
    """True or False.

    Raises:
        DTypeError: it is neither.

    >>> try:
    ...     flag("draw", "backward", "yes")
    ... except DTypeError as error:
    ...     print(error)
    draw: backward must be True or False, not 'yes'
      Write backward=True, or leave it out.
    """
    if isinstance(value, bool):
        return value
    raise DTypeError(
        owner,
        f"{name} must be True or False, not {value!r:.60}",
        repair=f"Write {name}=True, or leave it out.",
    )


def text(owner: str, name: str, value: Any) -> str:
    """A text.

    Raises:
        DTypeError: it is something else.

    >>> try:
    ...     text("draw", "title", 3)
    ... except DTypeError as error:
    ...     print(error)
    draw: title must be a text, not 3
      Write title="3".
    """
    if isinstance(value, str):
        return value
    shown = json.dumps(f"{value!r:.20}", ensure_ascii=False)
    problem = f"{name} must be a text, not {value!r:.60}"
    raise DTypeError(owner, problem, repair=f"Write {name}={shown}.")


def seconds(owner: str, value: Any) -> float:
    """A time limit; a number that no float holds is no limit.

    Raises:
        ArgumentError: it is no number above 0.

    >>> try:
    ...     seconds("render", 0)
    ... except ArgumentError as error:
    ...     print(error.problem)
    time_limit must be a number of seconds above 0, not 0
    """
    limit = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            limit = float(value)
        except OverflowError:
            limit = math.copysign(math.inf, 1 if str(value)[0] != "-" else -1)
    if limit > 0:
        return limit
    problem = f"time_limit must be a number of seconds above 0, not {value!r:.60}"
    raise ArgumentError(owner, problem, repair="Write time_limit=20, or leave it out.")


def report(value: Any) -> Report:
    """What ``verify`` found.

    Raises:
        DTypeError: it is something else.
    """
    if isinstance(value, Report):
        return value
    raise DTypeError(
        "trace",
        f"verify= takes what tg.autograd.verify(...) returned, not {type(value).__name__}",
        repair="Write verify=tg.autograd.verify(loss).",
    )


def function_of(owner: str, function: Any, what: str, example: str) -> Callable[[Any], Any]:
    """A function of one argument, ``what``.

    Raises:
        DTypeError: it is no function, or takes other arguments.
    """
    if not callable(function) or isinstance(function, type):
        problem = f"a glob or a function of {what} is needed, not {function!r:.60}"
        raise DTypeError(owner, problem, repair=example)
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        problem = f"the function must take one argument, {what}: {error}"
        raise DTypeError(owner, problem, repair=example) from None
    except ValueError:  # it does not say what it takes
        pass
    return function


def module_call(target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise unless ``target(*args, **kwargs)`` can be called.

    Raises:
        DTypeError: the target is a class.
        ArgumentError: the arguments do not fit its signature.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     module_call(tg.nn.Linear(4, 3), (), {})
    ... except ArgumentError as error:
    ...     print(error)
    trace: the inputs do not fit Linear.forward(input): missing a required argument: 'input'
      Give them behind it, as in viz.draw(model, input).
    """
    if isinstance(target, type):
        name = target.__name__
        raise DTypeError(
            "trace",
            f"{name} is a class; a module or a function is needed",
            repair=f"Make one first: viz.draw({name}(...), *inputs).",
        )
    function = getattr(target, "forward", target)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it does not say what it takes
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(target, "__name__", f"{type(target).__name__}.forward")
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        needed = [p.name for p in plain if p.default is p.empty and p.kind < p.KEYWORD_ONLY]
        raise ArgumentError(
            "trace",
            f"the inputs do not fit {name}{inspect.Signature(plain)}: {error}",
            repair=f"Give them behind it, as in viz.draw({', '.join(['model', *needed])}).",
        ) from None


def _call(owner: str) -> str:
    """How a function or method of the tool is written."""
    return f"viz.{owner}" if owner in ("trace", "draw", "diff") else f".{owner}"
