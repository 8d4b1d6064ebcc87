"""The arguments of a call and the Tensors in them, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.viz.values_text import value_text

__all__ = ["bound", "named", "named_inputs", "named_tensors"]


def named_tensors(names: Any) -> list[tuple[str, Tensor]]:
    """The pairs of ``names``; none for None.

    Raises:
        DTypeError: it is no dict of texts to Tensors.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     named_tensors({"a": 5})
    ... except tg.DTypeError as error:
    ...     print(error)
    trace: names= has Tensors as its values, names['a'] is int
      Give a dict of names to Tensors, such as names={"image": x}.
    """
    repair = 'Give a dict of names to Tensors, such as names={"image": x}.'
    if names is None:
        return []
    if not isinstance(names, Mapping):
        problem = f"names= takes a dict, not {type(names).__name__}"
        raise DTypeError("trace", problem, repair=repair)
    for name, tensor in names.items():
        if not isinstance(name, str):
            problem = f"names= has texts as its keys, one is {type(name).__name__}"
            raise DTypeError("trace", problem, repair=repair)
        if not isinstance(tensor, Tensor):
            problem = f"names= has Tensors as its values, names[{name!r:.40}] is "
            raise DTypeError("trace", problem + type(tensor).__name__, repair=repair)
    return list(names.items())


def named_inputs(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Tensor]]:
    """The Tensors in the arguments of a call, named after the function's parameters.

    >>> import tinygrad_cv as tg
    >>> def loss(image, scale=1): ...
    >>> [name for name, _ in named_inputs(loss, (tg.zeros(2),), {"scale": [tg.ones(1)]})]
    ['image', 'scale[0]']
    """
    return list(named(bound(function, args, kwargs)))


def bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """The arguments of a call with the names of the function's (or the module's forward's)
    parameters.

    >>> bound(lambda x, *more: x, (1, 2, 3), {})
    [('x', 1), ('more', (2, 3))]
    """
    target = getattr(function, "forward", function)
    try:
        found = inspect.signature(target).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return [*((f"input {i}", value) for i, value in enumerate(args)), *kwargs.items()]
    return list(found.arguments.items())


def named(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """All Tensors in nested tuples, lists and dicts, named after their place.

    >>> import tinygrad_cv as tg
    >>> [name for name, _ in named([("pair", (1, {"a": tg.zeros(2)}))])]
    ["pair[1]['a']"]
    """
    stack = list(values)[::-1]
    while stack:
        name, value = stack.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (tuple, list)):
            stack += [(f"{name}[{i}]", v) for i, v in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            stack += [
                (f"{name}[{value_text(k, quoted=True)}]", v)
                for k, v in reversed(list(value.items()))
            ]
