"""What a function works with besides its arguments: the modules and tensors that it refers to."""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

from tinygrad_cv.autograd.tree import flatten, tensors_of
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import is_internal

__all__ = ["tensors_behind"]


def tensors_behind(function: Any, given: Any = ()) -> Iterator[Tensor]:
    """Each Tensor that ``function`` can reach by name, once: in its module, or the object whose
    method it is, with all that their attributes hold; in variables of the functions around it, in
    globals that it names, in defaults, and in what ``functools.partial`` has bound. Also of the
    modules in ``given``, its arguments, but not the Tensors there. Functions of the package itself
    are not looked into.

    >>> import tinygrad_cv as tg
    >>> net, scale = tg.nn.Linear(2, 1), tg.ones(1)
    >>> [t.shape for t in tensors_behind(lambda x: net(x) * scale)]
    [(1, 2), (1,), (1,)]
    """
    seen: set[int] = set()
    arguments = {id(t) for t in tensors_of(given)}
    stack = [*flatten(given)[0], function]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            if id(item) not in arguments:
                yield item
        else:
            stack += reversed(list(_behind(item)))


def _behind(item: Any) -> Iterator[Any]:
    if isinstance(item, types.MethodType):
        yield from (item.__self__, item.__func__)
        yield from _attributes(item.__self__)
    elif hasattr(item, "__wrapped__"):  # a function under a decorator
        yield item.__wrapped__
    elif isinstance(item, types.FunctionType):
        if not is_internal(item.__code__.co_filename):
            yield from _named(item)
    elif isinstance(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif isinstance(item, (tuple, list, dict)):
        yield from item.values() if isinstance(item, dict) else item
    elif callable(item) and not isinstance(item, type):  # a module, or an object that is called
        yield from _attributes(item)
        yield from (getattr(type(item), name, None) for name in ("__call__", "forward"))


def _named(function: types.FunctionType) -> Iterator[Any]:
    """The values of the names in a function."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals that it reads; ``co_names`` has attributes too."""
    yield from (i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):  # a function inside
            yield from _names(constant)


def _attributes(item: Any) -> Iterator[Any]:
    yield from vars(item).values() if hasattr(item, "__dict__") else ()
