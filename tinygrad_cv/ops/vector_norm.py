"""The p-norm of vectors."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import sums
from tinygrad_cv.backend.dtypes import as_dtype
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._dims import count, every_dim, kept, named, reduced_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import spread
from tinygrad_cv.ops.reduce import Sum
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.select import abs, masked, sign, where

__all__ = ["Norm", "norm"]

TENSOR_FUNCTIONS = ("norm",)

Shape = tuple[int, ...]


class Norm(Op):
    """The p-norm over the axes ``dims`` (sorted, counted from the front)."""

    name = "norm"
    equation = "y[j] = (sum_i |x[i,j]|^p)^(1/p)"
    gradients = {"input": "dx[i,j] = g[j] sign(x[i,j]) (|x[i,j]| / y[j])^(p-1), 0 where y[j] = 0"}
    edges = "gradient 0 at 0"
    cost = "2 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, p: float, dims: Shape, keepdim: bool) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, p: float, dims: Shape, keepdim: bool) -> Any:
        size = xp.abs(input)
        if p == math.inf:
            return _row_major(xp, xp.amax(size, axis=dims, keepdims=keepdim))
        if p == -math.inf:
            return _row_major(xp, xp.amin(size, axis=dims, keepdims=keepdim))
        if p == 0:
            return sums.total(xp, (size != 0).astype(input.dtype), dims, keepdim)
        if p == 1:
            return sums.total(xp, size, dims, keepdim)
        if p == 2:
            return xp.sqrt(sums.products(xp, input, input, dims, keepdim))
        return sums.total(xp, size**p, dims, keepdim) ** (1 / p)

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any, p: float, dims: Shape, keepdim: bool) -> Any:
        if p == 0:
            return zero_map(input)
        if p == 1:
            return spread(g, input.shape, dims, keepdim) * sign(input)
        if p in (math.inf, -math.inf):
            tied = abs(input) == spread(output, input.shape, dims, keepdim)
            ties = cast(Sum.call(tied, dims, keepdim), g.dtype)
            return masked(spread(g / ties, input.shape, dims, keepdim), tied) * sign(input)
        # Divided by inf where the norm is 0: that is 0 at every order, without 0/0.
        length = where(output == 0, math.inf, output)
        if p == 2:
            return input * spread(g / length, input.shape, dims, keepdim)
        # Only elements other than 0 enter the power: 0^(p-1) is inf for p < 1, and so is its
        # derivative for p < 2. A negative p has the norm 0 as soon as one element is 0.
        inside = (input != 0) & (spread(output, input.shape, dims, keepdim) != 0)
        ratio = abs(input) / spread(length, input.shape, dims, keepdim)
        slope = where(inside, ratio, 1) ** (p - 1) * sign(input)
        return masked(spread(g, input.shape, dims, keepdim) * slope, inside)

    @staticmethod
    def flops(input: Spec, p: float, dims: Shape, keepdim: bool) -> int:
        return 2 * input.size


def _row_major(xp: Any, values: Any) -> Any:
    return xp.ascontiguousarray(values) if values.ndim > 2 else values


def norm(
    input: Any,
    p: float | str = "fro",
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The p-norm ``(sum_i |input[i, j]|**p)**(1/p)`` over the axes ``dim``.

    Args:
        input: any shape, floating (or give ``dtype``).
        p: any number; inf and -inf are the largest and the smallest absolute value, 0 counts
            what is not 0. "fro", the default, is 2.
        dim: an axis, several, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.
        dtype: convert the input first.

    The gradient is 0 where the norm is 0; for p = inf and -inf it is shared evenly among equal
    elements.

    Raises:
        DTypeError: the input is not floating.
        ArgumentError: another text for ``p``.
        ShapeError: p is infinite or negative and there is no element.

    >>> import tinygrad_cv as tg
    >>> tg.norm(tg.tensor([3.0, -4.0])).item(), tg.norm(tg.tensor([3.0, -4.0]), 1).item()
    (5.0, 7.0)
    """
    if p == "fro":
        p = 2.0
    if isinstance(p, (str, type(None))):
        raise ArgumentError(
            "norm", f'p must be a number or "fro", not {p!r}', repair="Use p=2.", repairs=[{"p": 2}]
        )
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    if input.dtype.kind != "f":
        raise DTypeError(
            "norm",
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
    dims = every_dim("norm", input.shape, named("norm", dim, axis))
    if (p < 0 or p == math.inf) and count(input.shape, dims) == 0:
        raise ShapeError(
            "norm", f"the {p}-norm of no elements is not defined", values=[("input", input.shape)]
        )
    return Norm.call(input, float(p), dims, kept(keepdim, keepdims))
