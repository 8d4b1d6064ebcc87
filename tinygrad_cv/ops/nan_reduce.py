"""Reductions that pass over NaN, counts, and differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import select, sums
from tinygrad_cv.backend.dtypes import as_dtype, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._dims import every_dim, kept, named, one_dim, reduced_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import spread
from tinygrad_cv.ops.join import cat
from tinygrad_cv.ops.logic import logical_xor
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.select import masked
from tinygrad_cv.ops.slicing import narrow
from tinygrad_cv.ops.vector_norm import norm

__all__ = ["NanSum", "count_nonzero", "diff", "dist", "nanmean", "nansum"]

TENSOR_FUNCTIONS = ("count_nonzero", "diff", "dist", "nanmean", "nansum")
TENSOR_ARGUMENTS = ("append", "other", "prepend")


Shape = tuple[int, ...]


class NanSum(Op):
    """The sum of what is not NaN over the axes ``dims`` (sorted, counted from the front), and how
    many numbers that are."""

    name = "nansum"
    equation = "y[j] = sum_i x[i,j] over the x[i,j] that are not NaN"
    gradients = {"input": "dx[i,j] = g[j] where x[i,j] is not NaN, else 0"}
    edges = "0 of nothing; infinity as in a sum"
    cost = "1 per element"
    outputs = ("output", "count")
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool) -> tuple[Spec, Spec]:
        shape = reduced_shape(input.shape, dims, keepdim)
        return Spec(shape, input.dtype), Spec(shape, int64)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> tuple[Any, Any]:
        if xp is np:  # on a GPU the host would wait for the answer
            total = sums.total(xp, input, dims, keepdim)
            if not np.isnan(total).any():  # then no element is
                size = math.prod(input.shape[axis] for axis in dims)
                return total, np.full(total.shape, size, int64)
        known = input == input
        total = sums.total(xp, select.keep(xp, input, known), dims, keepdim)
        return total, sums.total(xp, known, dims, keepdim, int64)

    @staticmethod
    def vjp_input(g: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return masked(spread(g, input.shape, dims, keepdim), input == input)

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool) -> int:
        return input.size


def nansum(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The sum of what is not NaN over the axes ``dim``; of nothing 0. Arguments as ``sum``.

    NaN gets the gradient 0.

    Raises:
        RangeError: there is no such axis.
        ArgumentError: an axis is named twice.

    >>> import tinygrad_cv as tg
    >>> tg.nansum(tg.tensor([1.0, float("nan"), 3.0])).item()
    4.0
    """
    dims = every_dim("nansum", input.shape, named("nansum", dim, axis))
    wanted, keep = None if dtype is None else as_dtype(dtype), kept(keepdim, keepdims)
    if input.dtype.kind != "f":
        return sum_over(input, dims if dims else None, keep, dtype=wanted)
    if wanted is not None and wanted.kind == "f":
        input = cast(input, wanted)
    total = NanSum.call(input, dims, keep)[0]
    return total if wanted is None else cast(total, wanted)


def nanmean(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The mean of what is not NaN over the axes ``dim``; of nothing NaN. Arguments as ``mean``.

    NaN gets the gradient 0.

    Raises:
        DTypeError: the input is not floating.
        RangeError: there is no such axis.
        ArgumentError: an axis is named twice.

    >>> import tinygrad_cv as tg
    >>> tg.nanmean(tg.tensor([1.0, float("nan"), 3.0])).item()
    2.0
    """
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    if input.dtype.kind != "f":
        raise DTypeError(
            "nanmean",
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
    dims = every_dim("nanmean", input.shape, named("nanmean", dim, axis))
    total, count = NanSum.call(input, dims, kept(keepdim, keepdims))
    return total / cast(count, input.dtype)


def count_nonzero(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """How many elements are not 0, int64: of all, or over the axes ``dim``. NaN is not 0.

    Raises:
        RangeError: there is no such axis.
        ArgumentError: an axis is named twice.

    >>> import tinygrad_cv as tg
    >>> tg.count_nonzero(tg.tensor([[1, 0], [2, 3]]), dim=0).tolist()
    [2, 1]
    """
    dims = every_dim("count_nonzero", input.shape, named("count_nonzero", dim, axis)) or None
    return sum_over(input != 0, dims)


def diff(
    input: Any,
    n: int = 1,
    dim: int = -1,
    prepend: Any = None,
    append: Any = None,
    *,
    axis: Any = None,
) -> Any:
    """The differences of neighbours along ``dim``, ``n`` times: ``y[i] = x[i + 1] - x[i]``.

    Args:
        input: any shape but 0-d; of bool it is ``x[i + 1] != x[i]``.
        n: how often; the axis gets shorter by one each time.
        dim: the axis; NumPy's name ``axis`` is accepted too.
        prepend, append: what to put before and behind the input first, along ``dim``.

    Raises:
        ShapeError: the input is 0-d, or ``prepend`` or ``append`` does not fit.
        RangeError: ``n`` is negative, or there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.diff(tg.tensor([1, 4, 9])).tolist(), tg.diff(tg.tensor([1, 4, 9]), n=2).tolist()
    ([3, 5], [2])
    """
    shape, n = input.shape, as_int("diff", "n", n)
    if not shape:
        raise ShapeError("diff", "a 0-d tensor has no neighbours", values=[("input", shape)])
    if n < 0:
        raise RangeError(
            "diff", f"n = {n} is negative", values=[("input", shape)], repairs=[{"n": 1}]
        )
    along = one_dim("diff", shape, dim if axis is None else axis)
    if not n:
        return input
    parts = [part for part in (prepend, input, append) if part is not None]
    for part in parts:
        others = [(*p.shape[:along], *p.shape[along + 1 :]) for p in (part, input)]
        if len(part.shape) != len(shape) or others[0] != others[1]:
            raise ShapeError(
                "diff",
                f"prepend and append must agree with the input in all axes but {along}",
                values=[("input", shape), ("given", part.shape)],
            )
    x = cat(parts, along) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[along])):
        size = max(x.shape[along] - 1, 0)
        later, earlier = narrow(x, along, 1, size), narrow(x, along, 0, size)
        x = logical_xor(later, earlier) if x.dtype.kind == "b" else later - earlier
    return x


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of ``input - other``, a 0-d tensor; the two broadcast.

    Args:
        p: as that of ``norm``.

    The gradient is 0 where the distance is 0.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: the difference is not floating.

    >>> import tinygrad_cv as tg
    >>> tg.dist(tg.tensor([3.0, 0.0]), tg.tensor([0.0, 4.0])).item()
    5.0
    """
    return norm(input - other, p)
