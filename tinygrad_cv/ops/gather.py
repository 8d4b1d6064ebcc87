"""Gather and scatter: one index for every element, along one axis.

``Gather`` reads ``y[i] = x[index[i]]`` along an axis; ``GatherGrad``, its adjoint, adds into zeros
at the same positions, and ``Scatter`` writes there. The index is an input without a gradient. The
functions that scatter are in ``scatter.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.blocks import BLOCK
from tinygrad_cv.backend.scatter import last_of_each, sum_rows, write_rows
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axis, check_within
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.places import on_input_device, raw
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.slicing import slice_

__all__ = [
    "Gather",
    "GatherGrad",
    "Scatter",
    "ScatterFill",
    "checked",
    "cropped",
    "flat_places",
    "gather",
    "gather_grad",
    "take_along_dim",
]

TENSOR_FUNCTIONS = ("gather", "take_along_dim")
TENSOR_ARGUMENTS = ("indices",)

Shape = tuple[int, ...]


def gather(input: Any, dim: int, index: Any) -> Any:
    """``y[i][j] = x[index[i][j]][j]`` for dim 0, ``x[i][index[i][j]]`` for dim 1, and so on.

    Args:
        index: int64, as many axes as the input, and along every axis but ``dim`` at most as long.

    Returns:
        The shape of ``index``.

    Raises:
        ShapeError: the index has other axes than the input, or is longer along another axis.
        RangeError: an index is outside 0 .. size - 1 of axis ``dim``.
        DTypeError: the index is not integer.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1, 2], [3, 4]])
    >>> tg.gather(x, 1, tg.tensor([[0, 0], [1, 0]])).tolist()
    [[1, 1], [4, 3]]
    """
    if not input.shape and not index.shape:
        return reshape(gather(reshape(input, (1,)), dim, reshape(index, (1,))), ())
    axis = checked("gather", input, dim, index)
    return _gather(input, index, axis, False)


def take_along_dim(input: Any, indices: Any, dim: Any = None, axis: Any = None) -> Any:
    """NumPy's ``take_along_axis``: :func:`gather` that broadcasts, and counts -1 from the end.

    Without ``dim`` both are read flat.

    Raises:
        ShapeError: the shapes do not broadcast outside axis ``dim``.
        RangeError: an index is outside axis ``dim``.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[3, 1], [2, 4]])
    >>> tg.take_along_dim(x, tg.tensor([[1], [-1]]), dim=1).tolist()
    [[1], [4]]
    """
    dim = axis if dim is None else dim
    if dim is None:
        input, indices, dim = reshape(input, (-1,)), reshape(indices, (-1,)), 0
    along = as_axis("take_along_dim", dim, len(input.shape), input.shape)
    _check_rank("take_along_dim", input, indices)
    shapes = [input.shape, indices.shape]
    outer = [(*s[:along], *s[along + 1 :]) for s in shapes]
    common = tuple(max(pair) if min(pair) else 0 for pair in zip(*outer, strict=True))
    if any(n not in (1, m) for shape in outer for n, m in zip(shape, common, strict=True)):
        raise ShapeError(
            "take_along_dim",
            f"the shapes do not broadcast outside axis {along}",
            values=[("input", shapes[0]), ("indices", shapes[1])],
        )
    input, indices = (
        expand(x, (*common[:along], x.shape[along], *common[along:])) for x in (input, indices)
    )
    _check_index("take_along_dim", input, indices, along, negative=True)
    return _gather(input, indices, along, False)


class Gather(Op):
    """One element of a line along ``dim`` for each entry of the index.

    With ``last`` a position that stands several times is read once, at its last place, and the
    other places are 0: the adjoint of writing.
    """

    name = "gather"
    equation = "y[i,j] = x[index[i,j], j]"
    gradients = {"input": "dx[p,j] = sum of g[i,j] over all i with index[i,j] = p"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    inputs = ("input", "index")

    @staticmethod
    def infer(input: Spec, index: Spec, dim: int, last: bool) -> Spec:
        return Spec(index.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, dim: int, last: bool) -> Any:
        line, y = (
            xp.ascontiguousarray(input).reshape(-1),
            memory.empty(index.shape, input.dtype, xp=xp),
        )
        for block in _blocks(xp, index):
            places = flat_places(xp, index[block], input.shape, dim, block.start)
            y[block] = line.take(places)
        if last:
            flat = flat_places(xp, index, input.shape, dim).reshape(-1)
            y = xp.where(last_of_each(xp, flat).reshape(y.shape), y, 0)
        return y

    @staticmethod
    def vjp_input(g: Any, index: Any, input_shape: Shape, dim: int, last: bool) -> Any:
        return gather_grad(g, index, input_shape, dim, last)


class GatherGrad(Op):
    """Adjoint of ``Gather``: zeros, with each element of ``grad`` added at its position.

    With ``last`` the elements replace each other instead, and the last one stands.
    """

    name = "gather_grad"
    equation = "y[p,j] = sum of g[i,j] over all i with index[i,j] = p"
    gradients = {"grad": "dg[i,j] = G[index[i,j], j]"}
    edges = "what comes to one place is added in order"
    inputs = ("grad", "index")

    @staticmethod
    def infer(grad: Spec, index: Spec, shape: Shape, dim: int, last: bool) -> Spec:
        return Spec(shape, grad.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, index: Any, shape: Shape, dim: int, last: bool) -> Any:
        if last:
            flat, grad = flat_places(xp, index, shape, dim).reshape(-1), grad.reshape(-1)
            out = xp.zeros(math.prod(shape), grad.dtype)
            write_rows(xp, out, (flat,), grad)
            return out.reshape(shape)
        y = memory.empty(shape, grad.dtype, xp=xp)
        # Along axis 0 all may go to one place; along another, blocks of axis 0 stay apart.
        for block in _blocks(xp, index) if dim else [slice(None)]:
            part = y[block]
            flat = flat_places(xp, index[block], part.shape, dim).reshape(-1)
            part[...] = sum_rows(xp, flat, grad[block].reshape(-1, 1), part.size).reshape(
                part.shape
            )
        if dim:
            y[index.shape[0] :] = 0
        return y

    @staticmethod
    def vjp_grad(g: Any, index: Any, dim: int, last: bool) -> Any:
        return _gather(g, index, dim, last)


class Scatter(Op):
    """The input with other values at gathered positions; of several for one the last stands."""

    name = "scatter"
    equation = "y = x, then y[index[i,j], j] = s[i,j] for i in order"
    gradients = {
        "input": "dx = g, but 0 at the written positions",
        "src": "ds[i,j] = g[index[i,j], j] where this write was the last, else 0",
    }
    edges = "of several values for one place the last stands, and alone gets the gradient"
    dtypes = "bool, integer, floating"
    inputs = ("input", "index", "src")

    @staticmethod
    def infer(input: Spec, index: Spec, src: Spec, dim: int) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, src: Any, dim: int) -> Any:
        out = memory.empty(input.shape, input.dtype, xp=xp)
        out[...] = input
        flat = flat_places(xp, index, input.shape, dim).reshape(-1)
        write_rows(xp, out.reshape(-1), (flat,), src.reshape(-1))
        return out

    @staticmethod
    def vjp_input(g: Any, index: Any, dim: int) -> Any:
        return _scatter_fill(g, index, 0.0, dim)

    @staticmethod
    def vjp_src(g: Any, index: Any, dim: int) -> Any:
        return _gather(g, index, dim, True)


class ScatterFill(Op):
    """The input with one number at gathered positions."""

    name = "scatter_fill"
    equation = "y = x, then y[index[i,j], j] = value"
    gradients = {"input": "dx = g, but 0 at the written positions"}
    edges = "the value is a constant"
    dtypes = "bool, integer, floating"
    inputs = ("input", "index")

    @staticmethod
    def infer(input: Spec, index: Spec, value: float, dim: int) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, value: float, dim: int) -> Any:
        out = memory.empty(input.shape, input.dtype, xp=xp)
        out[...] = input
        out.reshape(-1)[flat_places(xp, index, input.shape, dim).reshape(-1)] = value
        return out

    @staticmethod
    def vjp_input(g: Any, index: Any, dim: int) -> Any:
        return _scatter_fill(g, index, 0.0, dim)


_gather = Gather.call
gather_grad = GatherGrad.call
_scatter = Scatter.call
_scatter_fill = ScatterFill.call


def _blocks(xp: Any, index: Any) -> list[slice]:
    """Ranges of axis 0 whose positions fit the cache together; on a GPU one range for all."""
    count = index.shape[0]
    step = max(BLOCK * count // max(index.size, 1), 1) if xp is np else max(count, 1)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def flat_places(xp: Any, index: Any, shape: Shape, dim: int, first: int = 0) -> Any:
    """Where each position lies in an array of ``shape``, read row by row; axis 0 of the index is
    counted from ``first``, unless it is ``dim``."""
    if xp is not np or index.min(initial=0) < 0:
        index = xp.where(index < 0, index + shape[dim], index)
    starts = xp.zeros((1,) * index.ndim, xp.int64)
    for axis, length in enumerate(index.shape):
        if axis != dim:
            steps = (xp.arange(length) + (0 if axis else first)) * math.prod(shape[axis + 1 :])
            starts = starts + steps.reshape((length,) + (1,) * (index.ndim - axis - 1))
    flat = index * xp.int64(math.prod(shape[dim + 1 :])) if dim < len(shape) - 1 else index
    return flat + starts


def checked(op: str, input: Any, dim: Any, index: Any) -> int:
    """The axis of ``dim``; raises what is wrong with an index to gather or scatter with."""
    axis = as_axis(op, dim, len(input.shape), input.shape)
    _check_rank(op, input, index)
    for other, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)):
        if other != axis and n > m:
            raise ShapeError(
                op,
                f"the index is longer than the input along axis {other}",
                law=[f"index.shape[d] <= input.shape[d] for d != {axis}: {n} <= {m} is false"],
                values=[("input", input.shape), ("index", index.shape)],
                repair=f"Shorten the index along axis {other} to {m}, or less.",
            )
    _check_index(op, input, index, axis, negative=False)
    return axis


def _check_rank(op: str, input: Any, index: Any) -> None:
    if len(index.shape) != len(input.shape) or not index.shape:
        raise ShapeError(
            op,
            "the index needs as many axes as the input",
            values=[("input", input.shape), ("index", index.shape)],
            repair="One index for each row of the input: index.unsqueeze(-1)."
            if index.shape and index.shape == input.shape[:-1]
            else None,
        )


@on_input_device
def _check_index(op: str, input: Any, index: Any, axis: int, negative: bool) -> None:
    array = raw(index)
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1:
        raise DTypeError(
            op,
            f"the index must be int64 (or int32), it is {array.dtype.name}",
            values=[("index", array.shape)],
            repair='Convert it with index.to("int64").',
        )
    if not isinstance(array, Spec):
        check_within(op, array, axis, input.shape, negative)


def cropped(op: str, input: Any, index: Any, src: Any) -> Any:
    """The part of ``src`` that the index covers, in the input's dtype."""
    if len(src.shape) != len(index.shape) or any(
        n > m for n, m in zip(index.shape, src.shape, strict=True)
    ):
        raise ShapeError(
            op,
            "src must be at least as long as the index along every axis",
            values=[("index", index.shape), ("src", src.shape)],
        )
    if src.dtype != input.dtype:
        src = cast(src, input.dtype)
    if src.shape == index.shape:
        return src
    return slice_(src, tuple((0, n, 1) for n in index.shape))
