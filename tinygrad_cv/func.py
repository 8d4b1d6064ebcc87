"""Derivatives as functions that make functions, with the names of ``torch.func``.

Arguments and outputs are tensors, or tuples, lists and dictionaries of them, nested as you like;
gradients are nested as what they belong to. Transforms may be applied to one another, to any order,
and to functions of tensors that ask for gradients: a result has a graph if something that asks for
one went into it, and none otherwise.

>>> import tinygrad_cv as tg
>>> from tinygrad_cv.func import grad
>>> grad(grad(lambda x: x**3))(tg.tensor(2.0))
tensor(12.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tinygrad_cv.autograd.held import held, restored
from tinygrad_cv.autograd.trace import ArgNums, Trace, check_function, gradient_of
from tinygrad_cv.backend.replay import surrounded
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn.module import Module

__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "hvp", "jacfwd", "jacrev", "jvp"]
__all__ += ["value_and_grad", "vjp"]

Function = Callable[..., Any]


def grad(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """The function that gives the gradient of ``func``, dy/dx, nested and shaped as x.

    Args:
        func: gives one number, of shape ().
        argnums: which positional argument is x; of a tuple of positions a tuple of gradients.
        has_aux: ``func`` returns (number, anything), and the result is (gradient, anything).

    Raises:
        ShapeError: ``func`` returns more than one number.
        DTypeError: x is no floating tensor, or ``func`` returns none.
        ArgumentError: there is no such argument.

    >>> import tinygrad_cv as tg
    >>> def loss(weights, x):
    ...     return (weights["w"] * x + weights["b"]).sum()
    >>> weights = {"w": tg.tensor(1.0), "b": tg.tensor(0.0)}
    >>> grad(loss)(weights, tg.tensor([1.0, 2.0]))
    {'w': tensor(3.), 'b': tensor(2.)}
    """
    gradient = gradient_of("func.grad", func, argnums, has_aux=has_aux)

    @_named("grad", func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        slopes, _, aux = gradient(*args, **kwargs)
        return (slopes, aux) if has_aux else slopes

    return wrapper


def grad_and_value(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """As :func:`grad`; the result is (gradient, value), with ``has_aux`` (gradient, (value, aux)).

    Args:
        func, argnums, has_aux: as in :func:`grad`.

    Raises:
        As :func:`grad`.

    >>> import tinygrad_cv as tg
    >>> grad_and_value(lambda x: x**2)(tg.tensor(3.0))
    (tensor(6.), tensor(9.))
    """
    gradient = gradient_of("func.grad_and_value", func, argnums, has_aux=has_aux)

    @_named("grad_and_value", func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        slopes, value, aux = gradient(*args, **kwargs)
        return slopes, ((value, aux) if has_aux else value)

    return wrapper


def value_and_grad(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """:func:`grad_and_value` in the order of JAX: (value, gradient), or ((value, aux), gradient).

    Args:
        func, argnums, has_aux: as in :func:`grad`.

    Raises:
        As :func:`grad`.

    >>> import tinygrad_cv as tg
    >>> value_and_grad(lambda x: x**2)(tg.tensor(3.0))
    (tensor(9.), tensor(6.))
    """
    both = grad_and_value(func, argnums, has_aux)

    @_named("value_and_grad", func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[::-1]

    return wrapper


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """``(func(*primals), pull)``, where ``pull(g)`` gives g^T J: the tuple of gradients of
    <g, output>, one for each primal. With ``has_aux`` (output, pull, aux).

    Args:
        func: of tensors, to tensors; with ``has_aux`` to (tensors, anything).
        primals: its arguments, all to be differentiated.
        has_aux: see above.

    Raises:
        DTypeError: a primal is no floating tensor.
        ShapeError, ArgumentError: g has not the shape or nesting of the output.

    >>> import tinygrad_cv as tg
    >>> y, pull = vjp(lambda x: x**2, tg.tensor([1.0, 2.0]))
    >>> y, pull(tg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), (tensor([ 2., 40.]),))
    """
    trace = Trace("func.vjp", func, primals, has_aux=has_aux)

    def pull(cotangents: Any) -> Any:
        found = trace.pull(trace.cotangents(cotangents), retain=True)
        return trace.structure.rebuild([trace.settled(g) for g in found])

    return (trace.value, pull, trace.aux) if has_aux else (trace.value, pull)


def jvp(
    func: Function, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple[Any, ...]:
    """``(func(*primals), J v)``: the value and its derivative along the tangents v. Exact, by two
    vector-Jacobian products; see :func:`tinygrad_cv.autograd.functional.jvp`.

    Args:
        func: of tensors, to tensors; with ``has_aux`` to (tensors, anything).
        primals: the tuple of its arguments.
        tangents: nested and shaped as the primals.
        strict: refuse outputs that do not depend on a primal, instead of giving zeros.
        has_aux: the result is (output, J v, aux).

    Raises:
        DTypeError: a primal is no floating tensor, or ``primals`` no tuple.
        ShapeError, ArgumentError: the tangents have not the shapes or nesting of the primals.
        GraphError: with ``strict``, see there.

    >>> import tinygrad_cv as tg
    >>> x, v = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 0.5])
    >>> jvp(lambda x: x**2, (x,), (v,))
    (tensor([1., 4.]), tensor([2., 2.]))
    """
    trace = Trace("func.jvp", func, _tuple("func.jvp", primals), has_aux=has_aux, strict=strict)
    found = trace.push(trace.tangents(_tuple("func.jvp", tangents)))
    result = trace.out_structure.rebuild([trace.settled(t) for t in found])
    return (trace.value, result, trace.aux) if has_aux else (trace.value, result)


def hvp(func: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """``(func(*primals), H v)``: the value and the Hessian times the tangents v, which is the
    derivative of the gradient along v (Pearlmutter, 1994). H is never made.

    Args:
        func: gives one number, of shape ().
        primals, tangents: as in :func:`jvp`.

    Returns:
        The value, and a tuple nested and shaped as the primals.

    Raises:
        ShapeError: ``func`` returns more than one number. Otherwise as :func:`jvp`.

    >>> import tinygrad_cv as tg
    >>> x, v = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0])
    >>> hvp(lambda x: (x**3).sum(), (x,), (v,))
    (tensor(9.), (tensor([ 6., 12.]),))
    """
    gradient = gradient_of("func.hvp", func, None)

    def both(*args: Any) -> tuple[Any, Any]:
        slopes, value, _ = gradient(*args)
        return slopes, value

    _, result, value = jvp(both, _tuple("func.hvp", primals), tangents, has_aux=True)
    return value, result


def jacrev(func: Function, argnums: ArgNums = 0, *, has_aux: bool = False) -> Function:
    """The function that gives the Jacobian dy/dx, of shape [*y.shape, *x.shape], row by row: one
    backward for each element of the output. Nested as the output and, inside, as x.

    Args:
        func: of tensors, to tensors; with ``has_aux`` to (tensors, anything).
        argnums: which positional argument is x, or which are.
        has_aux: the result is (Jacobian, anything).

    Raises:
        As :func:`grad`, but outputs may have any shape.

    >>> import tinygrad_cv as tg
    >>> jacrev(lambda x: x * x.sum())(tg.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    return _jacobian("jacrev", func, argnums, has_aux, forward=False)


def jacfwd(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """As :func:`jacrev`, column by column: one :func:`jvp` for each element of x.

    Args:
        func, argnums, has_aux: as in :func:`jacrev`.

    Raises:
        As :func:`jacrev`.

    >>> import tinygrad_cv as tg
    >>> jacfwd(lambda x: x * x.sum())(tg.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    return _jacobian("jacfwd", func, argnums, has_aux, forward=True)


def hessian(func: Function, argnums: ArgNums = 0) -> Function:
    """The function that gives d2y/dx2, of shape [*y.shape, *x.shape, *x.shape]:
    ``jacfwd(jacrev(func))``.

    Args:
        func: of tensors, to tensors; one number for the usual Hessian.
        argnums: which positional argument is x; of a tuple of positions blocks, nested twice.

    Raises:
        As :func:`jacrev`.

    >>> import tinygrad_cv as tg
    >>> hessian(lambda x: x[0] ** 2 * x[1])(tg.tensor([1.0, 3.0]))
    tensor([[6., 2.],
            [2., 0.]])
    """
    check_function("func.hessian", func)
    return jacfwd(jacrev(func, argnums), argnums)


def _jacobian(
    name: str, func: Function, argnums: ArgNums, has_aux: bool, forward: bool
) -> Function:
    @_named(name, func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        trace = Trace(f"func.{name}", func, args, kwargs, argnums, has_aux)
        matrix = trace.jacobian(forward)
        return (matrix, trace.aux) if has_aux else matrix

    return wrapper


def _named(name: str, func: Function) -> Callable[[Function], Function]:
    """The made function says what it was made from."""
    check_function(f"func.{name}", func)

    def named(wrapper: Function) -> Function:
        if hasattr(func, "__name__"):
            functools.update_wrapper(wrapper, func)
            wrapper.__name__ = wrapper.__qualname__ = f"{name}({func.__name__})"
        return wrapper

    return named


def _tuple(what: str, given: Any) -> tuple[Any, ...]:
    if not isinstance(given, tuple):
        raise DTypeError(
            what,
            f"primals and tangents are tuples of arguments, not {type(given).__name__}",
            repair="Write (x,) for one argument.",
        )
    return given


# Modules as functions of their parameters


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with other tensors in place of its parameters and buffers.

    The module is as it was afterwards. Buffers that the call replaces (``self.count = ...``) or
    writes into, such as running statistics, change in the dictionary instead. While it runs, the
    module must not be used by another thread; nor in a backward that runs a :func:`checkpoint` of
    it again, for which these tensors stand in the module once more.

    Args:
        module: the module.
        parameter_and_buffer_dicts: tensors by their names in ``named_parameters()`` and
            ``named_buffers()``; what is not named stays the module's own. Several dictionaries
            with different names count as one.
        args: a tuple of arguments, or one argument.
        kwargs: arguments by name.
        tie_weights: a parameter that has several names in the module is replaced under all of them.
        strict: every parameter and buffer must be named.

    Raises:
        DTypeError: ``module`` is no Module, or a value no tensor.
        ArgumentError: a name is unknown, given twice, missing (``strict``), or tied names got
            different tensors.
        ShapeError: a tensor has not the shape of what it replaces.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.Linear(2, 1, bias=False)
    >>> functional_call(layer, {"weight": tg.tensor([[2.0, 3.0]])}, tg.tensor([1.0, 1.0]))
    tensor([5.])
    """
    what = "functional_call"
    if not isinstance(module, Module):
        raise DTypeError(what, f"a Module is called, not a {type(module).__name__}")
    given = _one_dict(what, parameter_and_buffer_dicts)
    places = _replaced(what, module, given, tie_weights, strict)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    tables = [(table, key) for (_, table, key), _ in places]
    with _in_place(places, given), surrounded(lambda: _as_now(tables)):
        return module(*args, **(kwargs or {}))


# A place is (name, table of a module, key in the table).
Place = tuple[str, dict[str, Any], str]


def _one_dict(what: str, dicts: Any) -> list[tuple[Any, str, Any]]:
    """(dictionary, name, tensor) of everything given."""
    several = [dicts] if isinstance(dicts, Mapping) else dicts
    if not isinstance(several, Sequence) or not all(isinstance(d, Mapping) for d in several):
        raise DTypeError(
            what,
            f"parameters are a dictionary of tensors by name, not a {type(dicts).__name__}",
            repair="Use dict(module.named_parameters()).",
        )
    entries = [(d, name, tensor) for d in several for name, tensor in d.items()]
    seen = set()
    for _, name, tensor in entries:
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise DTypeError(what, f"{name!r} must be a tensor, not a {kind}")
        if name in seen:
            raise ArgumentError(what, f"{name!r} is in more than one of the dictionaries")
        seen.add(name)
    return entries


def _replaced(
    what: str, module: Module, given: list[tuple[Any, str, Any]], tie: bool, strict: bool
) -> list[tuple[Place, Any]]:
    """The places to fill and with what."""
    places = {place[0]: place for place in _places(module)}
    tensors = {name: tensor for _, name, tensor in given}
    unknown = [name for name in tensors if name not in places]
    if unknown:
        raise ArgumentError(
            what,
            f"{type(module).__name__} has no parameter or buffer {', '.join(map(repr, unknown))}",
            repair=f"It has {', '.join(map(repr, places)) or 'none'}.",
        )
    tied: dict[int, list[str]] = {}
    for name, table, key in places.values():
        tied.setdefault(id(table[key]), []).append(name)
        if name in tensors and tensors[name].shape != table[key].shape:
            raise ShapeError(
                what,
                f"{name!r} has not the shape of what it replaces",
                values=[("given", tensors[name].shape), ("the module's", table[key].shape)],
            )
    for names in tied.values() if tie else []:
        chosen = [tensors[name] for name in names if name in tensors]
        if any(tensor is not chosen[0] for tensor in chosen):
            raise ArgumentError(
                what,
                f"{', '.join(map(repr, names))} are one parameter, but got different tensors",
                repair="Give it under one name, or pass tie_weights=False.",
            )
        tensors |= {name: chosen[0] for name in names if chosen}
    missing = [name for name in places if name not in tensors]
    if strict and missing:
        raise ArgumentError(what, f"strict=True, and {', '.join(map(repr, missing))} is missing")
    return [(places[name], tensor) for name, tensor in tensors.items()]


def _places(module: Module) -> Iterator[Place]:
    for path, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, tensor in table.items():
                if tensor is not None:
                    yield (f"{path}.{key}".lstrip("."), table, key)


@contextmanager
def _in_place(places: list[tuple[Place, Any]], given: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """The tensors stand in the tables inside the block; what the module put into their place goes
    to the dictionary that they came from."""
    owners = {name: source for source, name, _ in given}
    before = [(table, key, table[key]) for (_, table, key), _ in places]
    try:
        for (_, table, key), tensor in places:
            table[key] = tensor
        yield
        for (name, table, key), tensor in places:
            if table[key] is not tensor and name in owners:
                owners[name][name] = table[key]
    finally:
        for table, key, tensor in before:
            table[key] = tensor


def _as_now(tables: list[tuple[dict[str, Any], str]]) -> Callable[[], AbstractContextManager[None]]:
    """What makes a block in which the tensors that stand in the tables now do so again."""
    values = held([table[key] for table, key in tables])
    return lambda: _again_in_place(tables, restored(values))


@contextmanager
def _again_in_place(tables: list[tuple[dict[str, Any], str]], values: list[Any]) -> Iterator[None]:
    before = [table[key] for table, key in tables]
    try:
        for (table, key), value in zip(tables, values, strict=True):
            table[key] = value
        yield
    finally:
        for (table, key), value in zip(tables, before, strict=True):
            table[key] = value
