"""Running sums and products, and the product of all.

The gradients of products are never computed by division, so zeros are no special case, at no order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.blocks import line_blocks, many_lines
from tinygrad_cv.backend.dtypes import as_dtype, int64
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._dims import kept, named, one_dim, reduced_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import spread
from tinygrad_cv.ops.recurrence import recurrence, shifted
from tinygrad_cv.ops.shape import reshape

__all__ = ["Cumprod", "Cumsum", "Prod", "cumprod", "cumsum", "prod"]

TENSOR_FUNCTIONS = ("cumprod", "cumsum", "prod")

Shape = tuple[int, ...]


class Cumsum(Op):
    """Running sums along one axis, from the front or from the back."""

    name = "cumsum"
    equation = "y[i] = sum_{k<=i} x[k]"
    gradients = {"input": "dx[k] = sum_{i>=k} g[i]"}
    edges = "NaN and infinity stay"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, dim: int, reverse: bool) -> Spec:
        return _scanned(input, dim, reverse)

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, reverse: bool) -> Any:
        return _scan(xp, xp.cumsum, input, dim, reverse)

    @staticmethod
    def vjp_input(g: Any, dim: int, reverse: bool) -> Any:
        return Cumsum.call(g, dim, not reverse)

    @staticmethod
    def flops(input: Spec, dim: int, reverse: bool) -> int:
        return input.size


class Cumprod(Op):
    """Running products along one axis, from the front or from the back."""

    name = "cumprod"
    equation = "y[i] = prod_{k<=i} x[k]"
    gradients = {"input": "dx[k] = sum_{i>=k} g[i] prod_{j<=i, j!=k} x[j]"}
    edges = "right where factors are 0; NaN and infinity stay"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, dim: int, reverse: bool) -> Spec:
        return _scanned(input, dim, reverse)

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, reverse: bool) -> Any:
        return _scan(xp, xp.cumprod, input, dim, reverse)

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any, dim: int, reverse: bool) -> Any:
        if not input.shape:
            return g
        # dx[k] = y[k-1] r[k], where r[k] = g[k] + x[k+1] r[k+1] is what the later products pass
        # back.
        before = shifted(output, dim, 1, reverse, 1)
        if reverse:  # there x[k-1] links r[k-1] with r[k]
            return before * recurrence(g, shifted(input, dim, 1, False, 0), dim, False)
        return before * recurrence(g, input, dim, True)

    @staticmethod
    def flops(input: Spec, dim: int, reverse: bool) -> int:
        return input.size


class Prod(Op):
    """The product along one axis."""

    name = "prod"
    equation = "y = prod_i x[i]"
    gradients = {"input": "dx[k] = g prod_{i!=k} x[i]"}
    edges = "1 of nothing; right gradients where factors are 0"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, dim: int, keepdim: bool) -> Spec:
        return Spec(reduced_shape(input.shape, (dim,), keepdim), _wide(input.dtype))

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, keepdim: bool) -> Any:
        return xp.prod(input, axis=dim, dtype=_wide(input.dtype), keepdims=keepdim)

    @staticmethod
    def vjp_input(g: Any, input: Any, dim: int, keepdim: bool) -> Any:
        before = shifted(_cumprod(input, dim, False), dim, 1, False, 1)
        after = shifted(_cumprod(input, dim, True), dim, 1, True, 1)
        return spread(g, input.shape, (dim,), keepdim) * (before * after)

    @staticmethod
    def flops(input: Spec, dim: int, keepdim: bool) -> int:
        return input.size


_cumsum, _cumprod, _prod = Cumsum.call, Cumprod.call, Prod.call


def _wide(dtype: Any) -> Any:
    return dtype if dtype.kind == "f" else int64


def _scanned(input: Spec, dim: int, reverse: bool) -> Spec:
    return Spec(input.shape, _wide(input.dtype), input.layout)


def _scan(xp: Any, function: Any, x: Any, dim: int, reverse: bool) -> Any:
    dtype = _wide(x.dtype)
    if not x.ndim:
        return x.astype(dtype)
    out = memory.empty(x.shape, dtype, layout_of(x), xp)
    if many_lines(dim, x):
        _step_by_step(x, out, dim, reverse, np.add if function is np.cumsum else np.multiply)
        return out
    source, target = (xp.flip(x, dim), xp.flip(out, dim)) if reverse else (x, out)
    if xp is np:
        function(source, axis=dim, dtype=dtype, out=target)
    else:  # CuPy writes into row-major memory only
        target[...] = function(source, axis=dim, dtype=dtype)
    return out


def _step_by_step(x: Any, out: Any, dim: int, reverse: bool, ufunc: Any) -> None:
    places = range(x.shape[dim])[::-1] if reverse else range(x.shape[dim])
    for source, target in line_blocks(dim, x, out):
        target[:, places[0]] = source[:, places[0]]
        for before, here in pairwise(places):
            ufunc(target[:, before], source[:, here], out=target[:, here])


def cumsum(input: Any, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Any:
    """Running sums along ``dim``: ``y[i] = sum_{k<=i} input[k]``.

    Args:
        input: any shape; integers and bool give int64.
        dim: the axis; NumPy's name ``axis`` is accepted too.
        dtype: convert the input first; the result has this dtype, in which small integers wrap.

    Raises:
        DTypeError: no axis is given.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 3.0, 6.0]
    """
    return _running("cumsum", _cumsum, input, dim, dtype, axis)


def cumprod(input: Any, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Any:
    """Running products along ``dim``: ``y[i] = prod_{k<=i} input[k]``; arguments as ``cumsum``.

    >>> import tinygrad_cv as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 2.0, 6.0]
    """
    return _running("cumprod", _cumprod, input, dim, dtype, axis)


def _running(op: str, scan: Any, input: Any, dim: Any, dtype: Any, axis: Any) -> Any:
    dim = one_dim(op, input.shape, named(op, dim, axis))
    if dtype is None:
        return scan(input, dim, False)
    dtype = as_dtype(dtype)
    return cast(scan(cast(input, dtype), dim, False), dtype)


def prod(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The product of all elements, or along ``dim``; of no elements 1.

    Args:
        input: any shape; integers and bool give int64.
        dim: an axis or None for all. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axis with size 1.
        dtype: convert the input first; the result has this dtype. A small integer dtype wraps
            around, the product in bool says whether all are nonzero.

    The gradient of an element is the product of the others, right for zeros too.

    Raises:
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.prod(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1).tolist()
    [2.0, 12.0]
    """
    if dtype is not None:
        dtype = as_dtype(dtype)
        product = prod(cast(input, dtype), dim, keepdim, axis=axis, keepdims=keepdims)
        return cast(product, dtype)
    dim, keepdim, shape = named("prod", dim, axis), kept(keepdim, keepdims), input.shape
    if dim is None or not shape:
        if dim is not None:
            one_dim("prod", shape, dim)
        result = _prod(reshape(input, (-1,) if 0 not in shape else (0,)), 0, False)
        return reshape(result, (1,) * len(shape)) if keepdim else result
    return _prod(input, one_dim("prod", shape, dim), keepdim)
