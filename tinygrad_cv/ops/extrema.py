"""Largest and smallest elements, and where they stand.

Ties: ``amax``, ``amin`` and ``max()`` / ``min()`` of everything share the gradient evenly among
equal elements; ``max(dim)`` and ``min(dim)`` pick the first of them, and it gets the gradient. NaN
wins every comparison.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._dims import every_dim, kept, named, one_dim, reduced_shape
from tinygrad_cv.ops.argmax import index_mask, refuse_empty
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import spread
from tinygrad_cv.ops.reduce import Sum
from tinygrad_cv.ops.select import masked, maximum, minimum

__all__ = [
    "Amax",
    "Amin",
    "Max",
    "MaxDim",
    "Min",
    "MinDim",
    "amax",
    "amin",
    "aminmax",
    "max",
    "min",
]

TENSOR_FUNCTIONS = ("amax", "amin", "aminmax", "max", "min")

Shape = tuple[int, ...]


class MaxResult(NamedTuple):
    """What ``max`` along an axis gives."""

    values: Any
    indices: Any


class MinResult(NamedTuple):
    """What ``min`` along an axis gives."""

    values: Any
    indices: Any


class MinMaxResult(NamedTuple):
    """What ``aminmax`` gives."""

    min: Any
    max: Any


class _Extremum(Op, abstract=True):
    """The extreme element over the axes ``dims`` (sorted, counted from the front)."""

    gradients = {"input": "dx[i,j] = g[j] [x[i,j] = y[j]] / #{k: x[k,j] = y[j]}"}

    @classmethod
    def infer(cls, input: Spec, dims: Shape, keepdim: bool) -> Spec:
        refuse_empty(cls.name, input.shape, dims)
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any, dims: Shape, keepdim: bool) -> Any:
        """Shared evenly by the elements that equal the extremum; which do is a constant."""
        tied = input == spread(output, input.shape, dims, keepdim)
        return _shared(g, tied, dims, keepdim)

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool) -> int:
        return input.size


class Amax(_Extremum):
    """The largest element over the axes ``dims``."""

    name = "amax"
    equation = "y[j] = max_i x[i,j]"
    edges = "ties share the gradient evenly; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return xp.amax(input, axis=dims, keepdims=keepdim)


class Amin(_Extremum):
    """The smallest element over the axes ``dims``."""

    name = "amin"
    equation = "y[j] = min_i x[i,j]"
    edges = "ties share the gradient evenly; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return xp.amin(input, axis=dims, keepdims=keepdim)


class _OfAll(_Extremum, abstract=True):
    """The extreme element of a whole tensor. If that is NaN, the gradient goes to the NaN elements,
    as in PyTorch; that of ``amax`` and ``amin`` is then NaN everywhere.
    """

    gradients = {"input": "dx[i] = g [x[i] = y] / #{k: x[k] = y}, where NaN = NaN"}

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any, dims: Shape, keepdim: bool) -> Any:
        tied = (input == spread(output, input.shape, dims, keepdim)) | (input != input)
        return _shared(g, tied, dims, keepdim)


class Max(_OfAll):
    """The largest element of all."""

    name = "max"
    equation = "y = max_i x[i]"
    edges = "ties share the gradient evenly; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    forward = Amax.forward


class Min(_OfAll):
    """The smallest element of all."""

    name = "min"
    equation = "y = min_i x[i]"
    edges = "ties share the gradient evenly; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    forward = Amin.forward


def _shared(g: Any, tied: Any, dims: Shape, keepdim: bool) -> Any:
    """``g``, shared evenly by the elements where ``tied`` is True."""
    ties = Sum.call(tied, dims, keepdim)
    return spread(g / cast(ties, g.dtype), tied.shape, dims, keepdim) * tied


class _Picked(Op, abstract=True):
    """The extreme elements along one axis and where they stand: the first of equal ones, the first
    NaN if any.
    """

    gradients = {"input": "dx[i,j] = g[j] [i = i*]"}
    outputs = ("values", "indices")

    @classmethod
    def infer(cls, input: Spec, dim: int, keepdim: bool) -> tuple[Spec, Spec]:
        refuse_empty(cls.name.removesuffix("_dim"), input.shape, (dim,))
        shape = reduced_shape(input.shape, (dim,), keepdim)
        return Spec(shape, input.dtype), Spec(shape, int64)

    @staticmethod
    def vjp_input(g: Any, indices: Any, input_shape: Shape, dim: int, keepdim: bool) -> Any:
        """The gradient, put where the picked elements stand."""
        if not input_shape:
            return g
        mask = index_mask(indices, input_shape[dim], dim, keepdim)
        return masked(spread(g, input_shape, (dim,), keepdim), mask)

    @staticmethod
    def flops(input: Spec, dim: int, keepdim: bool) -> int:
        return input.size


class MaxDim(_Picked):
    """The largest elements along one axis, and where they stand."""

    name = "max_dim"
    equation = "y[j] = x[i*,j], i* = argmax_i x[i,j]"
    edges = "the first of equal values, which alone gets the gradient; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
        return _picked(xp, input, xp.argmax, dim, keepdim)


class MinDim(_Picked):
    """The smallest elements along one axis, and where they stand."""

    name = "min_dim"
    equation = "y[j] = x[i*,j], i* = argmin_i x[i,j]"
    edges = "the first of equal values, which alone gets the gradient; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
        return _picked(xp, input, xp.argmin, dim, keepdim)


def _picked(xp: Any, x: Any, search: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    if not x.ndim:
        return x.copy(), xp.zeros((), int64)
    indices = xp.expand_dims(xp.asarray(search(x, axis=dim)), dim)
    values = xp.take_along_axis(x, indices, axis=dim)
    if not keepdim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return values, indices


def amax(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The largest element over the axes ``dim``: ``y[j] = max_i input[i, j]``; NaN if there is any.

    Args:
        input: any shape.
        dim: an axis, several, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.

    The gradient is shared evenly among equal elements.

    Raises:
        ShapeError: there is no element to choose from.

    >>> import tinygrad_cv as tg
    >>> tg.amax(tg.tensor([[1.0, 4.0], [3.0, 2.0]]), dim=1).tolist()
    [4.0, 3.0]
    """
    return Amax.call(input, *_over("amax", input, dim, keepdim, axis, keepdims))


def amin(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The smallest element over the axes ``dim``; otherwise as ``amax``.

    >>> import tinygrad_cv as tg
    >>> tg.amin(tg.tensor([[1.0, 4.0], [3.0, 2.0]]), dim=1).tolist()
    [1.0, 2.0]
    """
    return Amin.call(input, *_over("amin", input, dim, keepdim, axis, keepdims))


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """``(amin, amax)`` as a named tuple ``(min, max)``.

    >>> import tinygrad_cv as tg
    >>> tg.aminmax(tg.tensor([3.0, 1.0, 2.0])).max.item()
    3.0
    """
    if dim is None:
        refuse_empty("aminmax", input.shape, tuple(range(len(input.shape))))
    else:
        refuse_empty("aminmax", input.shape, (one_dim("aminmax", input.shape, dim),))
    return MinMaxResult(amin(input, dim, keepdim), amax(input, dim, keepdim))


def max(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The largest element of all; or along one axis, with indices; or of two tensors, element by
    element.

    ``max(x)`` shares the gradient evenly among equal elements; of NaN, among these. ``max(x, dim)``
    gives a named tuple ``(values, indices)`` with int64 indices, of the first of equal elements,
    which gets the whole gradient. ``max(x, other_tensor)`` is ``maximum(x, other_tensor)``.

    Raises:
        ShapeError: there is no element to choose from.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> values, indices = tg.max(tg.tensor([[1.0, 4.0], [3.0, 3.0]]), dim=1)
    >>> values.tolist(), indices.tolist()
    ([4.0, 3.0], [1, 0])
    """
    if _is_other("max", dim, keepdim):
        return maximum(input, dim)
    dim, keepdim = named("max", dim, axis), kept(keepdim, keepdims)
    if dim is None:
        return Max.call(input, tuple(range(len(input.shape))), keepdim)
    return MaxResult(*MaxDim.call(input, one_dim("max", input.shape, dim), keepdim))


def min(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The smallest element of all; or along one axis, with indices; or of two tensors. As ``max``.

    >>> import tinygrad_cv as tg
    >>> tg.min(tg.tensor([3.0, 1.0, 2.0])).item()
    1.0
    """
    if _is_other("min", dim, keepdim):
        return minimum(input, dim)
    dim, keepdim = named("min", dim, axis), kept(keepdim, keepdims)
    if dim is None:
        return Min.call(input, tuple(range(len(input.shape))), keepdim)
    return MinResult(*MinDim.call(input, one_dim("min", input.shape, dim), keepdim))


def _is_other(op: str, dim: Any, keepdim: Any) -> bool:
    """True if a tensor to compare with was given in place of an axis."""
    if not hasattr(dim, "dtype") or isinstance(dim, np.integer):
        return False
    if keepdim is not False:
        raise ArgumentError(op, "keepdim is for one axis, not for two tensors")
    return True


def _over(
    op: str, input: Any, dim: Any, keepdim: bool, axis: Any, keepdims: Any
) -> tuple[Shape, bool]:
    return every_dim(op, input.shape, named(op, dim, axis)), kept(keepdim, keepdims)
