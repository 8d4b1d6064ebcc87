"""Softmax, its logarithm, and the logarithm of a sum of exponentials: none of them overflows."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory, sums
from tinygrad_cv.backend.dots import dots, sum_along
from tinygrad_cv.backend.dtypes import as_dtype, get_default_dtype
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._dims import every_dim, kept, named, one_dim, reduced_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import spread
from tinygrad_cv.ops.math import exp
from tinygrad_cv.ops.reduce import Sum

__all__ = ["LogSoftmax", "LogSumExp", "Softmax", "log_softmax", "logsumexp", "softmax", "softmin"]

TENSOR_FUNCTIONS = ("log_softmax", "logsumexp", "softmax")
NN_FUNCTIONS = ("log_softmax", "softmax", "softmin")

Shape = tuple[int, ...]


class Softmax(Op):
    """Exponentials divided by their sum along one axis."""

    name = "softmax"
    equation = "y_i = e^(x_i - m) / sum_j e^(x_j - m), m = max_j x_j"
    gradients = {"input": "dx_i = y_i (g_i - sum_j g_j y_j)"}
    edges = "no overflow; NaN where the largest score is infinite"
    cost = "5 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dim: int) -> Spec:
        return input

    @staticmethod
    def forward(xp: Any, input: Any, dim: int) -> Any:
        if not input.size:
            return input.copy()
        y = _shifted(xp, input, dim)
        xp.exp(y, out=y)
        y *= 1 / _row_sum(xp, y, dim)
        return y

    @staticmethod
    def vjp_input(g: Any, output: Any, dim: int) -> Any:
        weighted = g * output
        return weighted - output * _sum_along(weighted, dim)

    @staticmethod
    def fused_vjp(xp: Any, g: Any, needs: Any, output: Any, dim: int) -> tuple[Any]:
        if not output.size or not output.ndim:
            return (g * 0,)
        dx = memory.empty_like(output)
        if dim == output.ndim - 1:
            weighted = dots(xp, g, output)[..., None]
        else:
            weighted = _row_sum(xp, xp.multiply(g, output, out=dx), dim)
        xp.subtract(g, weighted, out=dx)
        dx *= output
        return (dx,)

    @staticmethod
    def flops(input: Spec, dim: int) -> int:
        return 5 * input.size


class LogSoftmax(Op):
    """The logarithm of softmax, without the detour that would overflow."""

    name = "log_softmax"
    equation = "y_i = x_i - m - ln sum_j e^(x_j - m), m = max_j x_j"
    gradients = {"input": "dx_i = g_i - e^(y_i) sum_j g_j"}
    edges = "no overflow; NaN where the largest score is infinite"
    cost = "5 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dim: int) -> Spec:
        return input

    @staticmethod
    def forward(xp: Any, input: Any, dim: int) -> Any:
        if not input.size:
            return input.copy()
        y = _shifted(xp, input, dim)
        y -= xp.log(_row_sum(xp, xp.exp(y, out=memory.empty_like(y)), dim))
        return y

    @staticmethod
    def vjp_input(g: Any, output: Any, dim: int) -> Any:
        return g - exp(output) * _sum_along(g, dim)

    @staticmethod
    def fused_vjp(xp: Any, g: Any, needs: Any, output: Any, dim: int) -> tuple[Any]:
        if not output.size or not output.ndim:
            return (g * 0,)
        dx = xp.exp(output, out=memory.empty_like(output))
        dx *= _row_sum(xp, g, dim)
        return (xp.subtract(g, dx, out=dx),)

    @staticmethod
    def flops(input: Spec, dim: int) -> int:
        return 5 * input.size


class LogSumExp(Op):
    """The logarithm of a sum of exponentials, over the axes ``dims`` (sorted, counted from the
    front).
    """

    name = "logsumexp"
    equation = "y[j] = m[j] + ln sum_i e^(x[i,j] - m[j]), m[j] = max_i x[i,j]"
    gradients = {"input": "dx[i,j] = g[j] e^(x[i,j] - y[j])"}
    edges = "no overflow; -inf of nothing but -inf"
    cost = "4 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        if not input.size:
            return xp.full(reduced_shape(input.shape, dims, keepdim), -xp.inf, input.dtype)
        largest = xp.amax(input, axis=dims, keepdims=True)
        largest = xp.where(xp.isfinite(largest), largest, 0)  # inf - inf would be NaN
        total = xp.log(sums.total(xp, xp.exp(input - largest), dims, True)) + largest
        return total.reshape(reduced_shape(input.shape, dims, keepdim))

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any, dims: Shape, keepdim: bool) -> Any:
        share = exp(input - spread(output, input.shape, dims, keepdim))
        return spread(g, input.shape, dims, keepdim) * share

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool) -> int:
        return 4 * input.size


def _shifted(xp: Any, x: Any, dim: int) -> Any:
    largest = x.max(axis=dim, keepdims=True) if x.ndim else x  # CuPy has no maximum.reduce
    return xp.subtract(x, largest, out=memory.empty(x.shape, x.dtype, layout_of(x), xp))


def _row_sum(xp: Any, x: Any, dim: int) -> Any:
    return sum_along(xp, x, dim) if x.ndim else x


def _sum_along(x: Any, dim: int) -> Any:
    return Sum.call(x, (dim,), True) if x.ndim else x


def softmax(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Any:
    """``exp(x_i) / sum_j exp(x_j)`` along one axis: positive numbers that add up to 1.

    Args:
        input: any shape, floating.
        dim: the axis; NumPy's name ``axis`` is accepted too. It must be given.
        dtype: convert the input first.

    Where all elements are -inf the result is NaN.

    Raises:
        ArgumentError: no axis is given. (PyTorch guesses one from the number of axes, and warns.)
        DTypeError: the input is not floating.

    >>> import tinygrad_cv as tg
    >>> tg.softmax(tg.tensor([[0.0, 0.0], [0.0, 1000.0]]), dim=1).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    return Softmax.call(*_along("softmax", input, dim, dtype, axis))


def softmin(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Any:
    """``exp(-x_i) / sum_j exp(-x_j)`` along one axis, the softmax of ``-x``; arguments as
    ``softmax``.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.softmin(tg.tensor([0.0, 1000.0]), dim=0).tolist()
    [1.0, 0.0]
    """
    input, dim = _along("softmin", input, dim, dtype, axis)
    return Softmax.call(-input, dim)


def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Any:
    """``x_i - log(sum_j exp(x_j))`` along one axis; arguments as ``softmax``.

    >>> import tinygrad_cv as tg
    >>> tg.log_softmax(tg.tensor([0.0, 1000.0]), dim=0).tolist()
    [-1000.0, 0.0]
    """
    return LogSoftmax.call(*_along("log_softmax", input, dim, dtype, axis))


def logsumexp(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """``log(sum_i exp(input[i, j]))`` over the axes ``dim``, without overflow.

    Args:
        input: any shape; integers become the default float dtype.
        dim: an axis, several, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.

    Where all elements are -inf, and of no elements, the result is -inf.

    >>> import tinygrad_cv as tg
    >>> tg.logsumexp(tg.tensor([1000.0, -1000.0]), 0).item()
    1000.0
    """
    if input.dtype.kind != "f":
        input = cast(input, get_default_dtype())
    dims = every_dim("logsumexp", input.shape, named("logsumexp", dim, axis))
    return LogSumExp.call(input, dims, kept(keepdim, keepdims))


def _along(name: str, input: Any, dim: Any, dtype: Any, axis: Any) -> tuple[Any, int]:
    """The input in its dtype and the axis, or the error that one of them brings."""
    dim = named(name, dim, axis)
    if dim is None:
        raise ArgumentError(
            name,
            "the axis must be given",
            values=[("input", input.shape)],
            repair="Give dim, for example -1 for the last axis or 1 for the classes of [N, C].",
            repairs=[{"dim": -1}],
        )
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    if input.dtype.kind != "f":
        raise DTypeError(
            name,
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
    return input, one_dim(name, input.shape, dim)
