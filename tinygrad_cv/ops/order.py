"""Elements in order: sort, argsort, msort, topk.

The sort is stable: equal elements keep their order, ascending and descending. NaN counts as larger
than every number. An element that was moved takes its gradient along; the positions have none.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.order import order, taken
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import RangeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._dims import named, one_dim
from tinygrad_cv.ops.gather import GatherGrad

__all__ = ["Sort", "TopK", "argsort", "as_rows", "check_rank", "from_rows", "msort"]
__all__ += ["sort", "topk"]

TENSOR_FUNCTIONS = ("argsort", "msort", "sort", "topk")

Shape = tuple[int, ...]


class SortResult(NamedTuple):
    """What ``sort`` gives."""

    values: Any
    indices: Any


class TopKResult(NamedTuple):
    """What ``topk`` gives."""

    values: Any
    indices: Any


class Sort(Op):
    """The elements along one axis in order, and where they stood."""

    name = "sort"
    equation = "y[i] = x[p[i]], y[0] <= y[1] <= ... (descending: >=)"
    gradients = {"input": "dx[p[i]] = g[i]"}
    edges = "NaN counts as the largest value; stable=True keeps the order of equal values"
    cost = "log2 of the length, rounded up, per element"
    dtypes = "bool, integer, floating"
    outputs = ("values", "indices")

    @staticmethod
    def infer(input: Spec, dim: int, descending: bool) -> tuple[Spec, Spec]:
        return Spec(input.shape, input.dtype), Spec(input.shape, int64)

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, descending: bool) -> tuple[Any, Any]:
        return _ordered(xp, input, dim, descending, input.shape[dim] if input.ndim else 1)

    @staticmethod
    def vjp_input(g: Any, indices: Any, input_shape: Shape, dim: int) -> Any:
        return _placed(g, indices, input_shape, dim)

    @staticmethod
    def flops(input: Spec, dim: int, descending: bool) -> int:
        return _comparisons(input, dim)


class TopK(Op):
    """The k largest or smallest elements along one axis, in order, and where they stood."""

    name = "topk"
    equation = "y[i] = x[p[i]], y[0] >= ... >= y[k-1] >= all others (smallest: <=)"
    gradients = {"input": "dx[p[i]] = g[i], 0 for the others"}
    edges = "NaN counts as the largest value"
    cost = "log2 of the length, rounded up, per element"
    dtypes = "bool, integer, floating"
    outputs = ("values", "indices")

    @staticmethod
    def infer(input: Spec, k: int, dim: int, largest: bool) -> tuple[Spec, Spec]:
        check_rank("topk", input.shape, dim, k, 0 if input.shape else 1)
        shape = (*input.shape[:dim], k, *input.shape[dim + 1 :]) if input.shape else ()
        return Spec(shape, input.dtype), Spec(shape, int64)

    @staticmethod
    def forward(xp: Any, input: Any, k: int, dim: int, largest: bool) -> tuple[Any, Any]:
        return _ordered(xp, input, dim, largest, k)

    @staticmethod
    def vjp_input(g: Any, indices: Any, input_shape: Shape, dim: int) -> Any:
        return _placed(g, indices, input_shape, dim)

    @staticmethod
    def flops(input: Spec, k: int, dim: int, largest: bool) -> int:
        return _comparisons(input, dim)


def _comparisons(input: Spec, dim: int) -> int:
    size = input.shape[dim] if input.shape else 1
    return input.size * max(size - 1, 0).bit_length()


def _placed(g: Any, indices: Any, shape: Shape, dim: int) -> Any:
    """The gradient of moved elements, put where they stood."""
    return GatherGrad.call(g, indices, shape, dim, False) if shape else g


def _ordered(xp: Any, x: Any, dim: int, descending: bool, count: int) -> tuple[Any, Any]:
    if not x.ndim:
        return x.copy(), xp.zeros((), int64)
    rows = as_rows(xp, x, dim)
    positions = order(xp, rows, descending, count)
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
    values = taken(xp, rows, positions)
    return from_rows(xp, values, shape, dim), from_rows(xp, positions, shape, dim)


def check_rank(op: str, shape: Shape, dim: int, k: int, least: int) -> None:
    """Raise RangeError unless k lies between ``least`` and the number of elements along ``dim``."""
    size = shape[dim] if shape else 1
    if not least <= k <= size:
        raise RangeError(
            op,
            f"k = {k}, but there are {size} elements along axis {dim}",
            law=[f"{least} <= k <= {size}"],
            values=[("input", shape)],
            repair=f"Use a k from {least} to {size}." if size else "Use an axis that is not empty.",
            repairs=[{"k": size}] if size else [],
        )


def as_rows(xp: Any, x: Any, dim: int) -> Any:
    """The lines of an array along one axis as a matrix [R, N], row by row in memory."""
    rows = xp.ascontiguousarray(xp.moveaxis(x, dim, -1))
    size = x.shape[dim]
    return rows.reshape(math.prod(x.shape[:dim] + x.shape[dim + 1 :]), size)


def from_rows(xp: Any, rows: Any, shape: Shape, dim: int) -> Any:
    """The inverse of ``as_rows``, in row-major memory."""
    moved = (*shape[:dim], *shape[dim + 1 :], shape[dim])
    return xp.ascontiguousarray(xp.moveaxis(rows.reshape(moved), -1, dim))


def sort(
    input: Any,
    dim: Any = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: Any = None,
) -> Any:
    """The elements along ``dim`` in order, smallest first, and their positions before.

    Args:
        input: any shape and dtype.
        dim: the axis; NumPy's name ``axis`` is accepted too.
        descending: largest first.
        stable: equal elements keep their order. They always do here.

    Returns:
        A named tuple ``(values, indices)``; ``indices`` is int64.

    NaN counts as larger than every number. The gradient of each element goes back to where it
    stood.

    Raises:
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> values, indices = tg.sort(tg.tensor([3.0, 1.0, 2.0]))
    >>> values.tolist(), indices.tolist()
    ([1.0, 2.0, 3.0], [1, 2, 0])
    """
    if isinstance(dim, bool):  # PyTorch's sort(input, descending)
        dim, descending = -1, dim
    along = one_dim("sort", input.shape, dim if axis is None else axis)
    return SortResult(*Sort.call(input, along, bool(descending)))


def argsort(
    input: Any,
    dim: Any = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: Any = None,
) -> Any:
    """The positions that would bring the elements along ``dim`` in order; arguments as ``sort``.

    >>> import tinygrad_cv as tg
    >>> tg.argsort(tg.tensor([3.0, 1.0, 2.0])).tolist()
    [1, 2, 0]
    """
    along = one_dim("argsort", input.shape, dim if axis is None else axis)
    return Sort.call(input, along, bool(descending))[1]


def msort(input: Any) -> Any:
    """The elements in order along the first axis: ``sort(input, 0).values``.

    >>> import tinygrad_cv as tg
    >>> tg.msort(tg.tensor([[3, 1], [2, 4]])).tolist()
    [[2, 1], [3, 4]]
    """
    return Sort.call(input, 0, False)[0]


def topk(
    input: Any,
    k: int,
    dim: Any = None,
    largest: bool = True,
    sorted: bool = True,
    *,
    axis: Any = None,
) -> Any:
    """The ``k`` largest elements along ``dim`` and their positions; of equal ones the first.

    Args:
        input: any shape and dtype.
        k: how many.
        dim: the axis; by default the last. NumPy's name ``axis`` is accepted too.
        largest: False for the smallest.
        sorted: in order, the most extreme first. They always are here.

    Returns:
        A named tuple ``(values, indices)``; ``indices`` is int64.

    NaN counts as larger than every number. The chosen elements get the gradient.

    Raises:
        RangeError: there are fewer than ``k`` elements along the axis, or there is no such axis.

    >>> import tinygrad_cv as tg
    >>> values, indices = tg.topk(tg.tensor([3.0, 1.0, 4.0, 1.5]), 2)
    >>> values.tolist(), indices.tolist()
    ([4.0, 3.0], [2, 0])
    """
    dim = named("topk", dim, axis)
    along = one_dim("topk", input.shape, -1 if dim is None else dim)
    return TopKResult(*TopK.call(input, as_int("topk", "k", k), along, bool(largest)))
