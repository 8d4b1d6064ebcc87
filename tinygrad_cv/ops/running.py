"""Running extrema and the running logarithm of a sum of exponentials."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops._dims import named, one_dim
from tinygrad_cv.ops.gather import GatherGrad
from tinygrad_cv.ops.math import exp
from tinygrad_cv.ops.recurrence import placed, recurrence
from tinygrad_cv.ops.select import where
from tinygrad_cv.ops.slicing import narrow

__all__ = ["Cummax", "Cummin", "LogCumSumExp", "cummax", "cummin", "logcumsumexp"]

TENSOR_FUNCTIONS = ("cummax", "cummin", "logcumsumexp")

Shape = tuple[int, ...]


class CummaxResult(NamedTuple):
    """What ``cummax`` gives."""

    values: Any
    indices: Any


class CumminResult(NamedTuple):
    """What ``cummin`` gives."""

    values: Any
    indices: Any


class _RunningExtremum(Op, abstract=True):
    """The extreme element up to each place, and where it stands: the last of equal ones, and once
    there is a NaN, the last NaN.
    """

    gradients = {"input": "dx[k] = sum of g[i] over all i with p[i] = k"}
    outputs = ("values", "indices")

    @staticmethod
    def infer(input: Spec, dim: int) -> tuple[Spec, Spec]:
        return Spec(input.shape, input.dtype), Spec(input.shape, int64)

    @staticmethod
    def vjp_input(g: Any, indices: Any, input_shape: Shape, dim: int) -> Any:
        return GatherGrad.call(g, indices, input_shape, dim, False) if input_shape else g

    @staticmethod
    def flops(input: Spec, dim: int) -> int:
        return input.size


class Cummax(_RunningExtremum):
    """The largest element up to each place, and where it stands."""

    name = "cummax"
    equation = "y[i] = max_{k<=i} x[k] = x[p[i]]"
    edges = "the last of equal values; NaN stays"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dim: int) -> tuple[Any, Any]:
        return _with_places(xp, xp.maximum, input, dim)


class Cummin(_RunningExtremum):
    """The smallest element up to each place, and where it stands."""

    name = "cummin"
    equation = "y[i] = min_{k<=i} x[k] = x[p[i]]"
    edges = "the last of equal values; NaN stays"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dim: int) -> tuple[Any, Any]:
        return _with_places(xp, xp.minimum, input, dim)


class LogCumSumExp(Op):
    """The logarithm of the running sum of exponentials along one axis."""

    name = "logcumsumexp"
    equation = "y[i] = log sum_{k<=i} e^x[k]"
    gradients = {"input": "dx[k] = sum_{i>=k} g[i] e^(x[k] - y[i])"}
    edges = "no overflow; -inf of nothing but -inf"
    cost = "4 per element"

    @staticmethod
    def infer(input: Spec, dim: int) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dim: int) -> Any:
        return _accumulated(xp, xp.logaddexp, input, dim) if input.ndim else input.copy()

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any, dim: int) -> Any:
        """With ``r[k] = g[k] + e^(y[k] - y[k+1]) r[k+1]``, where no power exceeds 1, ``dx[k] =
        e^(x[k] - y[k]) r[k]``. Where all so far are -inf, the difference of infinities counts as
        0.
        """
        if not input.shape:
            return g
        size = input.shape[dim]
        if size > 1:
            later = narrow(output, dim, 1, size - 1)
            steps = where(later == -float("inf"), 0.0, narrow(output, dim, 0, size - 1) - later)
            factor = placed(exp(steps), input.shape, dim, 1)
            g = recurrence(g, factor, dim, True)
        return exp(where(input == -float("inf"), input, input - output)) * g

    @staticmethod
    def flops(input: Spec, dim: int) -> int:
        return 4 * input.size


def _with_places(xp: Any, extreme: Any, x: Any, dim: int) -> tuple[Any, Any]:
    if not x.ndim:
        return x.copy(), xp.zeros((), int64)
    values = _accumulated(xp, extreme, x, dim)
    found = x == values
    if x.dtype.kind == "f":
        found |= x != x
    places = xp.arange(x.shape[dim]).reshape([-1 if a == dim else 1 for a in range(x.ndim)])
    return values, _accumulated(xp, xp.maximum, xp.where(found, places, 0), dim)


def _accumulated(xp: Any, combine: Any, x: Any, dim: int) -> Any:
    """``y[i] = combine(y[i-1], x[i])`` for an associative function; row-major."""
    out = memory.empty(x.shape, x.dtype, xp=xp)
    if xp is np:
        return combine.accumulate(x, axis=dim, out=out)
    y, step = xp.moveaxis(x, dim, 0), 1  # CuPy accumulates sums and products only
    while step < x.shape[dim]:
        y = xp.concatenate([y[:step], combine(y[step:], y[:-step])])
        step *= 2
    out[...] = xp.moveaxis(y, 0, dim)
    return out


def cummax(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """The largest element up to each place along ``dim``, and where it stands.

    Args:
        input: any shape and dtype.
        dim: the axis; NumPy's name ``axis`` is accepted too.

    Returns:
        A named tuple ``(values, indices)``; of equal elements the last is meant. From the first NaN
        on all is NaN. The meant elements get the gradient.

    Raises:
        DTypeError: no axis is given.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> values, indices = tg.cummax(tg.tensor([1.0, 3.0, 2.0]), 0)
    >>> values.tolist(), indices.tolist()
    ([1.0, 3.0, 3.0], [0, 1, 1])
    """
    along = one_dim("cummax", input.shape, named("cummax", dim, axis))
    return CummaxResult(*Cummax.call(input, along))


def cummin(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """The smallest element up to each place along ``dim``; otherwise as ``cummax``.

    >>> import tinygrad_cv as tg
    >>> tg.cummin(tg.tensor([2.0, 3.0, 1.0]), 0).values.tolist()
    [2.0, 2.0, 1.0]
    """
    along = one_dim("cummin", input.shape, named("cummin", dim, axis))
    return CumminResult(*Cummin.call(input, along))


def logcumsumexp(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """``y[i] = log sum_{k<=i} e^input[k]`` along ``dim``, without overflow.

    Args:
        input: any shape, floating.
        dim: the axis; NumPy's name ``axis`` is accepted too.

    Raises:
        DTypeError: the input is not floating, or no axis is given.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.logcumsumexp(tg.tensor([1000.0, 1000.0]), 0)
    tensor([1000.    , 1000.6932])
    """
    if input.dtype.kind != "f":
        raise DTypeError(
            "logcumsumexp",
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
    along = one_dim("logcumsumexp", input.shape, named("logcumsumexp", dim, axis))
    return LogCumSumExp.call(input, along)
