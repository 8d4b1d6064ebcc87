"""Derivatives of functions of Tensors, with PyTorch's names and arguments
(``torch.autograd.functional``): products with the Jacobian and the Hessian, and these matrices.

``inputs`` is a tensor, or a tuple of the arguments of ``func``; each argument, and what ``func``
returns, may also be nested in tuples, lists and dictionaries. Results are nested in the same way.

``create_graph=False`` cuts results from the graph, so they cannot be differentiated further;
with True they can, by whatever asks for a gradient. ``strict=True`` refuses outputs that do not
depend on an input, where the derivative is zero otherwise. :mod:`tinygrad_cv.func` has the same
mathematics as functions that make functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_cv.autograd.trace import Trace, gradient_of
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, GraphError

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Function = Callable[..., Any]
STRATEGIES = ("reverse-mode", "forward-mode")


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), v^T J)``: the product of a vector with the Jacobian J[i, j] = dy[i]/dx[j],
    by one backward.

    Args:
        func: of tensors, to tensors.
        inputs: where; a tensor or a tuple of arguments.
        v: nested and shaped as the output; may be left out if that has one element.
        create_graph, strict: see the module's text.

    Raises:
        DTypeError: an input is no floating tensor, or the output no tensor.
        ShapeError, ArgumentError, GraphError: v has not the output's shape or nesting, or is
            missing.
        GraphError: the output does not depend on an input, with ``strict``.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> vjp(lambda x: x**2, x, tg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    trace = _trace("vjp", func, inputs, create_graph, strict)
    found = trace.pull(trace.cotangents(v, "v"))
    return trace.value, _result(trace, found, trace.structure, create_graph)


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), J v)``: the derivative along v. Exact: u -> u^T J is linear, and its own
    vector-Jacobian product at v is J v (Townsend, "A new trick for calculating Jacobian vector
    products", 2017).

    Args:
        v: nested and shaped as the inputs; may be left out if they have one element.
        others: as in :func:`vjp`.

    Raises:
        As :func:`vjp`, with v compared to the inputs.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> jvp(lambda x: x.sum() * x, x, tg.tensor([1.0, 0.0]))
    (tensor([3., 6.]), tensor([4., 2.]))
    """
    trace = _trace("jvp", func, inputs, create_graph, strict)
    found = trace.push(trace.tangents(v, "v"))
    return trace.value, _result(trace, found, trace.out_structure, create_graph)


def vhp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), v^T H)`` with the Hessian H[i, j] = d2y / dx[i] dx[j] of a function that
    gives one number: the gradient of <gradient, v>. The cheaper of the two Hessian products.

    Args:
        func: of tensors, to one number.
        others: as in :func:`jvp`.

    Raises:
        ShapeError: the function returns more than one number. Otherwise as :func:`vjp`.

    >>> import tinygrad_cv as tg
    >>> vhp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    trace = _gradient("vhp", func, inputs, create_graph, strict)
    found = trace.pull(trace.tangents(v, "v"))
    return trace.aux, _result(trace, found, trace.structure, create_graph)


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), H v)``: as :func:`vhp`, but by the derivative of the gradient along v
    (Pearlmutter, "Fast exact multiplication by the Hessian", 1994). The two are equal where the
    second derivatives are continuous.

    Args:
        all: as in :func:`vhp`.

    Raises:
        As :func:`vhp`.

    >>> import tinygrad_cv as tg
    >>> hvp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    trace = _gradient("hvp", func, inputs, create_graph, strict)
    found = trace.push(trace.tangents(v, "v"))
    return trace.aux, _result(trace, found, trace.structure, create_graph)


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    *,
    strategy: str = "reverse-mode",
) -> Any:
    """J[i, j] = dy[i]/dx[j], of shape [*y.shape, *x.shape]; for several outputs or inputs nested as
    the outputs and, inside, as the inputs.

    Args:
        func, inputs, create_graph, strict: as in :func:`vjp`.
        strategy: "reverse-mode", one backward for each element of the output, or "forward-mode",
            one for each element of the inputs.

    Raises:
        ArgumentError: there is no such strategy. Otherwise as :func:`vjp`.

    >>> import tinygrad_cv as tg
    >>> jacobian(lambda x, y: x * y.sum(), (tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])))
    (tensor([[7., 0.],
             [0., 7.]]), tensor([[1., 1.],
             [2., 2.]]))
    """
    _check("jacobian", "strategy", strategy)
    trace = _trace("jacobian", func, inputs, create_graph, strict)
    matrix = trace.jacobian(strategy == "forward-mode")
    return _differentiable("jacobian", matrix, create_graph and strict)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    *,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """H[i, j] = d2y / dx[i] dx[j] of a function that gives one number: the Jacobian of its
    gradient. For several inputs nested as the inputs, twice.

    Args:
        func: of tensors, to one number.
        inputs, create_graph, strict: as in :func:`vjp`.
        outer_jacobian_strategy: as ``strategy`` of :func:`jacobian`.

    Raises:
        ShapeError: the function returns more than one number. Otherwise as :func:`jacobian`.

    >>> import tinygrad_cv as tg
    >>> hessian(lambda x: x[0] ** 2 * x[1], tg.tensor([1.0, 3.0]))
    tensor([[6., 2.],
            [2., 0.]])
    """
    _check("hessian", "outer_jacobian_strategy", outer_jacobian_strategy)
    trace = _gradient("hessian", func, inputs, create_graph, strict)
    matrix = trace.jacobian(outer_jacobian_strategy == "forward-mode")
    return _differentiable("hessian", matrix, create_graph and strict)


def _trace(
    what: str, func: Function, inputs: Any, record: bool, strict: bool, **more: Any
) -> Trace:
    alone = not isinstance(inputs, tuple)
    args = (inputs,) if alone else inputs
    argnums = 0 if alone else None
    return Trace(what, func, args, argnums=argnums, record=record, strict=strict, **more)


def _gradient(what: str, func: Function, inputs: Any, record: bool, strict: bool) -> Trace:
    """The trace of the gradient of ``func``; ``aux`` is the value."""
    argnums = None if isinstance(inputs, tuple) else 0
    gradient = gradient_of(what, func, argnums, scalar=False, strict=strict)

    def function(*args: Any) -> tuple[Any, Any]:
        slopes, value, _ = gradient(*args)
        return slopes, value

    return _trace(what, function, inputs, record, strict, has_aux=True)


def _result(trace: Trace, found: list[Tensor], structure: Any, create_graph: bool) -> Any:
    result = structure.rebuild([trace.settled(t) for t in found])
    return _differentiable(trace.what, result, create_graph and trace.strict)


def _differentiable(what: str, result: Any, wanted: bool) -> Any:
    """``result``; what was asked for strictly and with a graph must have one."""
    leaves, structure = flatten(result)
    for leaf, path in zip(leaves, structure.paths("the result"), strict=True):
        if wanted and leaf.node is None:
            raise GraphError(
                what,
                f"{path} depends on nothing that asks for a gradient, so create_graph=True with "
                "strict=True cannot be had",
                repair="Call requires_grad_() on the inputs, or use strict=False.",
            )
    return result


def _check(what: str, name: str, strategy: str) -> None:
    if strategy not in STRATEGIES:
        raise ArgumentError(
            what,
            f"{name} must be {' or '.join(map(repr, STRATEGIES))}, not {strategy!r}",
            repairs=[{name: s} for s in STRATEGIES],
        )
