"""Elements by their rank: k-th smallest, median, quantile.

``median()`` of everything shares the gradient evenly among equal elements, as ``max()`` does;
``median(dim)`` and ``kthvalue`` pick one, which gets it. Quantiles are made of ``sort`` and
``gather``, and lie between two elements.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.order import order, taken
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._dims import kept, named, one_dim, reduced_shape
from tinygrad_cv.ops.argmax import refuse_empty
from tinygrad_cv.ops.arithmetic import lerp
from tinygrad_cv.ops.compare import isnan
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import expand, spread
from tinygrad_cv.ops.gather import Gather, GatherGrad
from tinygrad_cv.ops.logic import any as any_true
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.order import Sort, as_rows, check_rank, from_rows
from tinygrad_cv.ops.places import on_input_device, raw
from tinygrad_cv.ops.reduce import Sum
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.rounding import ceil, floor, round
from tinygrad_cv.ops.select import clamp, where
from tinygrad_cv.ops.shape import movedim, reshape, squeeze, unsqueeze

__all__ = ["KthValue", "Median", "MedianDim", "kthvalue", "median", "nanmedian", "nanquantile"]
__all__ += ["quantile"]

TENSOR_FUNCTIONS = ("kthvalue", "median", "nanmedian", "nanquantile", "quantile")

Shape = tuple[int, ...]


class KthValueResult(NamedTuple):
    """What ``kthvalue`` gives."""

    values: Any
    indices: Any


class MedianResult(NamedTuple):
    """What ``median`` and ``nanmedian`` along an axis give."""

    values: Any
    indices: Any


class _Ranked(Op, abstract=True):
    """One element of each line along ``dim``, chosen by its rank, and where it stands."""

    gradients = {"input": "dx[i,j] = g[j] [i = i*]"}
    outputs = ("values", "indices")

    @staticmethod
    def flops(input: Spec, *attributes: Any) -> int:
        return input.size

    @staticmethod
    def vjp_input(g: Any, indices: Any, input_shape: Shape, dim: int, keepdim: bool) -> Any:
        if not input_shape:
            return g
        if not keepdim:
            g, indices = unsqueeze(g, dim), unsqueeze(indices, dim)
        return GatherGrad.call(g, indices, input_shape, dim, False)


class KthValue(_Ranked):
    """The k-th smallest element along one axis, and where it stands."""

    name = "kthvalue"
    equation = "y[j] = x[i*,j], the k-th smallest of x[.,j]"
    edges = "NaN counts as the largest value; the picked element gets the gradient"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, k: int, dim: int, keepdim: bool) -> tuple[Spec, Spec]:
        check_rank("kthvalue", input.shape, dim, k, 1)
        return _one_of_each(input, dim, keepdim)

    @staticmethod
    def forward(xp: Any, input: Any, k: int, dim: int, keepdim: bool) -> tuple[Any, Any]:
        if not input.ndim:
            return input.copy(), xp.zeros((), int64)
        rows = as_rows(xp, input, dim)
        return _chosen(xp, input, rows, order(xp, rows, count=k)[:, k - 1 :], dim, keepdim)


class MedianDim(_Ranked):
    """The lower median along one axis, and where it stands; ``skip`` leaves NaN out."""

    name = "median_dim"
    equation = "y[j] = x[i*,j], the element of rank floor((n - 1)/2) of x[.,j]"
    edges = "the lower of two middle values; the picked element gets the gradient; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, dim: int, keepdim: bool, skip: bool) -> tuple[Spec, Spec]:
        refuse_empty("nanmedian" if skip else "median", input.shape, (dim,))
        return _one_of_each(input, dim, keepdim)

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, keepdim: bool, skip: bool) -> tuple[Any, Any]:
        if not input.ndim:
            return input.copy(), xp.zeros((), int64)
        rows = as_rows(xp, input, dim)
        size = rows.shape[1]
        missing = (rows != rows).sum(1) if input.dtype.kind == "f" else None
        if missing is None or (xp is np and not missing.any()):
            rank = (size - 1) // 2
            return _chosen(xp, input, rows, order(xp, rows, count=rank + 1)[:, rank:], dim, keepdim)
        numbers = size - missing  # they stand before NaN
        ranks = xp.maximum(numbers - 1, 0) // 2
        if not skip:
            ranks = xp.where(missing > 0, numbers, ranks)
        positions = taken(xp, order(xp, rows), ranks[:, None])
        return _chosen(xp, input, rows, positions, dim, keepdim)


class Median(Op):
    """The lower median of all elements; ``skip`` leaves NaN out."""

    name = "median"
    equation = "y = the element of rank floor((n - 1)/2) of x"
    gradients = {"input": "dx[i] = g [x[i] = y] / #{k: x[k] = y}, where NaN = NaN"}
    edges = "the lower of two middle values; ties share the gradient evenly; NaN wins"
    cost = "1 per element"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, skip: bool) -> Spec:
        if not input.size and input.dtype.kind != "f":
            axes = tuple(range(input.ndim))
            refuse_empty("nanmedian" if skip else "median", input.shape, axes)
        return Spec((), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, skip: bool) -> Any:
        flat = xp.ascontiguousarray(input).reshape(-1)
        if not flat.size:
            return xp.full((), float("nan"), input.dtype)
        if input.dtype.kind != "f" or (xp is np and not (flat != flat).any()):
            rank = (flat.size - 1) // 2
            return xp.partition(flat, rank)[rank].reshape(())
        numbers = (flat == flat).sum()  # they stand before NaN
        rank = xp.maximum(numbers - 1, 0) // 2
        if not skip:
            rank = xp.where(numbers < flat.size, flat.size - 1, rank)
        return xp.take(xp.sort(flat), rank).reshape(())

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any) -> Any:
        dims = tuple(range(input.ndim))
        middle = spread(output, input.shape, dims, False)
        tied = (input == middle) | ((input != input) & (middle != middle))
        share = g / cast(Sum.call(tied, dims, False), g.dtype)
        return spread(share, input.shape, dims, False) * tied

    @staticmethod
    def flops(input: Spec, skip: bool) -> int:
        return input.size


def _one_of_each(input: Spec, dim: int, keepdim: bool) -> tuple[Spec, Spec]:
    shape = reduced_shape(input.shape, (dim,), keepdim)
    return Spec(shape, input.dtype), Spec(shape, int64)


def _chosen(xp: Any, x: Any, rows: Any, positions: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """Values and positions [R, 1] in the shape of the result."""
    shape = (*x.shape[:dim], 1, *x.shape[dim + 1 :])
    positions = xp.ascontiguousarray(positions)
    found = [from_rows(xp, a, shape, dim) for a in (taken(xp, rows, positions), positions)]
    if not keepdim:
        found = [a.reshape(a.shape[:dim] + a.shape[dim + 1 :]) for a in found]
    return found[0], found[1]


def kthvalue(
    input: Any,
    k: int,
    dim: int = -1,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The ``k``-th smallest element along ``dim``, counted from 1, and its position.

    Args:
        input: any shape and dtype; NaN counts as larger than every number.
        k: from 1 to the size of the axis.
        dim: the axis. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the axis with size 1.

    Returns:
        A named tuple ``(values, indices)``. The chosen element gets the gradient.

    Raises:
        RangeError: ``k`` or the axis is out of range.

    >>> import tinygrad_cv as tg
    >>> values, indices = tg.kthvalue(tg.tensor([3.0, 1.0, 2.0]), 2)
    >>> values.item(), indices.item()
    (2.0, 2)
    """
    along = one_dim("kthvalue", input.shape, dim if axis is None else axis)
    k = as_int("kthvalue", "k", k)
    return KthValueResult(*KthValue.call(input, k, along, kept(keepdim, keepdims)))


def median(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The middle element: of all, or along ``dim`` with its position.

    Of an even number of elements it is the lower of the two in the middle, as in PyTorch. (NumPy
    takes their mean, which here is ``quantile(x, 0.5)``.)

    Args:
        input: any shape and dtype; with a NaN the median is NaN.
        dim: the axis, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the axis with size 1.

    Returns:
        Without ``dim`` a 0-d tensor, NaN of no elements; it shares its gradient evenly among equal
        elements. With ``dim`` a named tuple ``(values, indices)``, whose chosen element gets the
        gradient.

    Raises:
        ShapeError: there is no element to choose from.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[4.0, 1.0], [3.0, 2.0]])
    >>> x.median().item(), x.median(dim=1).values.tolist()
    (2.0, [1.0, 2.0])
    """
    return _median("median", input, named("median", dim, axis), kept(keepdim, keepdims), False)


def nanmedian(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The median of what is not NaN; otherwise as ``median``. Of nothing but NaN it is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.nanmedian(tg.tensor([1.0, float("nan"), 3.0])).item()
    1.0
    """
    return _median("nanmedian", input, named("nanmedian", dim, axis), kept(keepdim, keepdims), True)


def _median(op: str, input: Any, dim: Any, keepdim: bool, skip: bool) -> Any:
    if dim is None:
        middle = Median.call(input, skip)
        return reshape(middle, (1,) * len(input.shape)) if keepdim else middle
    along = one_dim(op, input.shape, dim)
    return MedianResult(*MedianDim.call(input, along, keepdim, skip))


def quantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """What a part ``q`` of the elements does not exceed: the value at rank ``r = q (n - 1)`` of the
    elements in order, between two of them for a rank that is no whole number.

    Args:
        input: any shape, floating; a line with a NaN gives NaN.
        q: from 0 to 1: a number, or a tensor or list of several, which the first axis of the
            result then counts.
        dim: the axis, or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.
        interpolation: "linear" ``(x[floor r] + (r - floor r) (x[ceil r] - x[floor r]))``,
            "lower", "higher", "nearest" (a half to the even one) or "midpoint".

    Raises:
        DTypeError: the input, or a tensor ``q``, is not floating.
        ShapeError: there are no elements, or ``q`` has more than one axis.
        RangeError: ``q`` is outside [0, 1], or there is no such axis.
        ArgumentError: another ``interpolation``.

    >>> import tinygrad_cv as tg
    >>> tg.quantile(tg.tensor([1.0, 2.0, 4.0]), [0.5, 0.75]).tolist()
    [2.0, 3.0]
    """
    return _quantile(
        "quantile", input, q, named("quantile", dim, axis), kept(keepdim, keepdims), interpolation
    )


def nanquantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The quantile of what is not NaN; otherwise as ``quantile``. Of nothing but NaN it is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.nanquantile(tg.tensor([1.0, float("nan"), 3.0]), 0.5).item()
    2.0
    """
    dim = named("nanquantile", dim, axis)
    return _quantile("nanquantile", input, q, dim, kept(keepdim, keepdims), interpolation)


_WAYS = ("linear", "lower", "higher", "nearest", "midpoint")


def _quantile(op: str, input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str) -> Any:
    if interpolation not in _WAYS:
        known = ", ".join(_WAYS)
        raise ArgumentError(
            op,
            f"there is no interpolation {interpolation!r}",
            repair=f"Use one of {known}.",
            repairs=[{"interpolation": way} for way in _WAYS],
        )
    if input.dtype.kind != "f":
        raise DTypeError(
            op,
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
    shape = input.shape
    along = None if dim is None else one_dim(op, shape, dim)
    lines = reshape(input, (-1,)) if 0 not in shape and (dim is None or not shape) else input
    if lines.shape == shape and shape:
        refuse_empty(op, shape, tuple(range(len(shape))))
        lines = lines if along is None else movedim(lines, along, -1)
    q = _parts(op, input, q)
    values = Sort.call(lines, len(lines.shape) - 1, False)[0]
    several = len(q.shape) == 1
    found = _between(values, lines, reshape(q, (-1,)), op == "nanquantile", interpolation)
    if keepdim and shape:
        found = (
            reshape(found, (1,) * len(shape) + (found.shape[-1],))
            if along is None
            else unsqueeze(found, along)
        )
    return movedim(found, -1, 0) if several else squeeze(found, -1)


def _between(values: Any, lines: Any, q: Any, skip: bool, interpolation: str) -> Any:
    """[..., Q]: what stands at the ranks of the parts q [Q] among sorted values [..., N]."""
    last, missing = values.shape[-1] - 1, isnan(lines)
    outer = (*values.shape[:-1], q.shape[0])
    if skip:
        known = sum_over(logical_not(missing), -1, True)
        ranks = q * cast(clamp(known - 1, min=0), q.dtype)
    else:  # NaN stands last
        ranks = where(any_true(missing, -1, True), float(last), q * last)
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": floor, "higher": ceil, "nearest": round}[interpolation](ranks)
    below = floor(ranks)
    lower = _at(values, below, outer)
    if interpolation not in ("linear", "midpoint"):
        return lower
    upper = _at(values, ceil(ranks), outer)
    return lerp(lower, upper, 0.5 if interpolation == "midpoint" else expand(ranks - below, outer))


def _at(values: Any, ranks: Any, shape: Shape) -> Any:
    return Gather.call(values, expand(cast(ranks, int64), shape), len(shape) - 1, False)


def _parts(op: str, input: Any, q: Any) -> Any:
    """``q`` as a tensor of the input's dtype with at most one axis."""
    if not isinstance(q, Tensor) and not hasattr(q, "dtype"):
        q = as_tensor(q, dtype=input.dtype, device=input.device)
    if q.dtype.kind != "f":
        raise DTypeError(op, f"q must be floating, it is {q.dtype.name}", values=[("q", q.shape)])
    if len(q.shape) > 1:
        raise ShapeError(
            op, "q must be one number or a vector", values=[("input", input.shape), ("q", q.shape)]
        )
    _check_parts(op, q)
    return cast(q, input.dtype)


@on_input_device
def _check_parts(op: str, q: Any) -> None:
    array = raw(q)
    if not isinstance(array, Spec) and not ((array >= 0) & (array <= 1)).all():
        raise RangeError(op, "q must lie between 0 and 1", values=[("q", array.tolist())])
