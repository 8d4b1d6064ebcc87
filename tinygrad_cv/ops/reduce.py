"""Sums and moments: sum, mean, var, std. Float32 sums are blocked, so that their error does not
grow with length.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import sums
from tinygrad_cv.backend.dtypes import as_dtype, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._dims import count, every_dim, kept, named, reduced_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import spread
from tinygrad_cv.ops.select import where

__all__ = ["Mean", "Std", "Sum", "Var", "mean", "std", "std_mean", "sum", "var", "var_mean"]

TENSOR_FUNCTIONS = ("mean", "std", "sum", "var")
TG_FUNCTIONS = ("std_mean", "var_mean")

Shape = tuple[int, ...]


class Sum(Op):
    """The sum over the axes ``dims`` (sorted, counted from the front)."""

    name = "sum"
    equation = "y[j] = sum_i x[i,j]"
    gradients = {"input": "dx[i,j] = g[j]"}
    edges = "0 of nothing"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool) -> Spec:
        dtype = input.dtype if input.dtype.kind == "f" else int64
        return Spec(reduced_shape(input.shape, dims, keepdim), dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        dtype = input.dtype if input.dtype.kind == "f" else int64
        return sums.total(xp, input, dims, keepdim, dtype)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, dims: Shape, keepdim: bool) -> Any:
        return spread(g, input_shape, dims, keepdim)

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool) -> int:
        return input.size


class Mean(Op):
    """The mean over the axes ``dims`` (sorted, counted from the front); NaN of nothing."""

    name = "mean"
    equation = "y[j] = sum_i x[i,j] / n"
    gradients = {"input": "dx[i,j] = g[j] / n"}
    edges = "NaN of nothing"
    cost = "1 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return sums.total(xp, input, dims, keepdim) / (count(input.shape, dims) or float("nan"))

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, dims: Shape, keepdim: bool) -> Any:
        return spread(g / (count(input_shape, dims) or 1), input_shape, dims, keepdim)

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool) -> int:
        return input.size


class Var(Op):
    """The mean squared distance from the mean, of two passes, divided by ``n - correction``."""

    name = "var"
    equation = "y[j] = sum_i (x[i,j] - mean(x)[j])^2 / (n - correction)"
    gradients = {"input": "dx[i,j] = g[j] * 2 (x[i,j] - mean(x)[j]) / (n - correction)"}
    edges = "NaN where no more values than the correction are there"
    cost = "4 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool, correction: float) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool, correction: float) -> Any:
        return _variance(xp, input, dims, keepdim, correction)

    @staticmethod
    def vjp_input(g: Any, input: Any, dims: Shape, keepdim: bool, correction: float) -> Any:
        return _centred(input, dims) * spread(
            g * _inverse_freedom(input.shape, dims, correction), input.shape, dims, keepdim
        )

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool, correction: float) -> int:
        return 4 * input.size


class Std(Op):
    """The square root of the variance; its gradient is 0 where it is 0."""

    name = "std"
    equation = "y[j] = sqrt(sum_i (x[i,j] - mean(x)[j])^2 / (n - correction))"
    gradients = {
        "input": "dx[i,j] = g[j] (x[i,j] - mean(x)[j]) / ((n - correction) y[j]), 0 where y[j] = 0"
    }
    edges = (
        "NaN where no more values than the correction are there; gradient 0 where all values are "
        "equal"
    )
    cost = "4 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool, correction: float) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool, correction: float) -> Any:
        return xp.sqrt(_variance(xp, input, dims, keepdim, correction))

    @staticmethod
    def vjp_input(
        g: Any, input: Any, output: Any, dims: Shape, keepdim: bool, correction: float
    ) -> Any:
        # Divided by inf where the deviation is 0: that is 0 at every order, without 0/0.
        scale = _inverse_freedom(input.shape, dims, correction) / 2
        per_result = g * scale / where(output == 0, float("inf"), output)
        return _centred(input, dims) * spread(per_result, input.shape, dims, keepdim)

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool, correction: float) -> int:
        return 4 * input.size


_sum, _mean = Sum.call, Mean.call


def _variance(xp: Any, x: Any, dims: Shape, keepdim: bool, correction: float) -> Any:
    n = count(x.shape, dims)
    centred = x - sums.total(xp, x, dims, keepdim=True) / x.dtype.type(n)
    freedom = max(n - correction, 0)
    return sums.total(xp, centred * centred, dims, keepdim) / x.dtype.type(freedom)


def _centred(x: Any, dims: Shape) -> Any:
    return x - _mean(x, dims, True)


def _inverse_freedom(shape: Shape, dims: Shape, correction: float) -> float:
    freedom = max(count(shape, dims) - correction, 0)
    return 2 / freedom if freedom else float("inf")


def sum(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The sum over the axes ``dim``: ``y[j] = sum_i input[i, j]``.

    Args:
        input: any shape; the sum of integers and bool is int64.
        dim: an axis, several, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the summed axes with size 1.
        dtype: convert the input first; the result has this dtype. A small integer dtype wraps
            around, the sum in bool says whether any is nonzero.

    Raises:
        RangeError: there is no such axis.
        ArgumentError: an axis is named twice.

    >>> import tinygrad_cv as tg
    >>> tg.sum(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0).tolist()
    [4.0, 6.0]
    """
    if dtype is not None:
        dtype = as_dtype(dtype)
        total = sum(cast(input, dtype), dim, keepdim, axis=axis, keepdims=keepdims)
        return cast(total, dtype)
    return _sum(
        input, every_dim("sum", input.shape, named("sum", dim, axis)), kept(keepdim, keepdims)
    )


def mean(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The mean over the axes ``dim``: ``y[j] = sum_i input[i, j] / n``; of no elements NaN.

    Args:
        input: any shape, floating (or give ``dtype``).
        dim: an axis, several, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.
        dtype: convert the input first.

    Raises:
        DTypeError: the input is not floating.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.mean(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0).tolist()
    [2.0, 3.0]
    """
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    _check_floating("mean", input)
    return _mean(
        input, every_dim("mean", input.shape, named("mean", dim, axis)), kept(keepdim, keepdims)
    )


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The variance over the axes ``dim``: ``y[j] = sum_i (input[i, j] - mean[j])**2 / max(n -
    correction, 0)``.

    Args:
        input: any shape, floating.
        dim: an axis, several, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        unbiased: True is ``correction=1``, False is ``correction=0``.
        keepdim: keep the reduced axes with size 1.
        correction: what is subtracted from the number of elements; 1 (Bessel's) by default.

    Of one element, with ``correction=1``, it is NaN.

    Raises:
        DTypeError: the input is not floating.
        ArgumentError: both ``unbiased`` and ``correction`` are given.

    >>> import tinygrad_cv as tg
    >>> tg.var(tg.tensor([1.0, 2.0, 3.0, 4.0]), correction=0).item()
    1.25
    """
    return Var.call(
        input, *_moment("var", input, dim, unbiased, keepdim, correction, axis, keepdims)
    )


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The standard deviation over the axes ``dim``: the square root of ``var``; arguments as there.

    Its gradient is 0 where it is 0.

    >>> import tinygrad_cv as tg
    >>> tg.std(tg.tensor([1.0, 3.0]), correction=0).item()
    1.0
    """
    return Std.call(
        input, *_moment("std", input, dim, unbiased, keepdim, correction, axis, keepdims)
    )


def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> tuple[Any, Any]:
    """Variance and mean over the axes ``dim``; arguments as ``var``.

    >>> import tinygrad_cv as tg
    >>> [t.item() for t in tg.var_mean(tg.tensor([1.0, 3.0]), correction=0)]
    [1.0, 2.0]
    """
    dims, keep, correction = _moment(
        "var_mean", input, dim, unbiased, keepdim, correction, axis, keepdims
    )
    return Var.call(input, dims, keep, correction), _mean(input, dims, keep)


def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> tuple[Any, Any]:
    """Standard deviation and mean over the axes ``dim``; arguments as ``var``.

    >>> import tinygrad_cv as tg
    >>> [t.item() for t in tg.std_mean(tg.tensor([1.0, 3.0]), correction=0)]
    [1.0, 2.0]
    """
    dims, keep, correction = _moment(
        "std_mean", input, dim, unbiased, keepdim, correction, axis, keepdims
    )
    return Std.call(input, dims, keep, correction), _mean(input, dims, keep)


def _moment(
    op: str,
    input: Any,
    dim: Any,
    unbiased: Any,
    keepdim: bool,
    correction: Any,
    axis: Any,
    keepdims: Any,
) -> tuple[Shape, bool, float]:
    """The attributes of Var and Std."""
    _check_floating(op, input)
    if isinstance(dim, bool):  # PyTorch's var(input, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    elif unbiased is not None:
        raise ArgumentError(op, "unbiased and correction are two names of one argument")
    return every_dim(op, input.shape, named(op, dim, axis)), kept(keepdim, keepdims), correction


def _check_floating(op: str, input: Any) -> None:
    if input.dtype.kind != "f":
        raise DTypeError(
            op,
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
