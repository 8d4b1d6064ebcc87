"""Where the largest and the smallest element stands."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import bool_, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._dims import kept, named, one_dim, reduced_shape

__all__ = ["Argmax", "Argmin", "IndexMask", "argmax", "argmin", "index_mask"]

TENSOR_FUNCTIONS = ("argmax", "argmin")

Shape = tuple[int, ...]


class _Position(Op, abstract=True):
    """Where the extreme element stands: the first of equal ones, the first NaN if there is any."""

    @classmethod
    def infer(cls, input: Spec, dim: int | None, keepdim: bool) -> Spec:
        dims = tuple(range(input.ndim)) if dim is None else (dim,)
        refuse_empty(cls.name, input.shape, dims)
        return Spec(reduced_shape(input.shape, dims, keepdim), int64)

    @staticmethod
    def flops(input: Spec, dim: int | None, keepdim: bool) -> int:
        return input.size


class Argmax(_Position):
    """Where the largest element stands."""

    name = "argmax"
    equation = "y[j] = argmax_i x[i,j]"
    edges = "the first of equal values; a NaN counts as the largest"
    cost = "1 per element"
    dtypes = "integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
        return xp.argmax(input, axis=dim if input.ndim else None, keepdims=keepdim)


class Argmin(_Position):
    """Where the smallest element stands."""

    name = "argmin"
    equation = "y[j] = argmin_i x[i,j]"
    edges = "the first of equal values; a NaN counts as the smallest"
    cost = "1 per element"
    dtypes = "integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
        return xp.argmin(input, axis=dim if input.ndim else None, keepdims=keepdim)


class IndexMask(Op):
    """True at the given index along one axis."""

    name = "index_mask"
    equation = "y[i,j] = (i = indices[j])"
    edges = "one place of each line is True"
    cost = "1 per element of the result"
    inputs = ("indices",)
    shaped = False

    @staticmethod
    def infer(indices: Spec, size: int, dim: int, keepdim: bool) -> Spec:
        head, tail = indices.shape[:dim], indices.shape[dim + keepdim :]
        return Spec((*head, size, *tail), bool_)

    @staticmethod
    def forward(xp: Any, indices: Any, size: int, dim: int, keepdim: bool) -> Any:
        if not keepdim:
            indices = xp.expand_dims(indices, dim)
        along = [1] * indices.ndim
        along[dim] = size
        return indices == xp.arange(size).reshape(along)

    @staticmethod
    def flops(indices: Spec, size: int, dim: int, keepdim: bool) -> int:
        return indices.size * size


index_mask = IndexMask.call


def argmax(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """Where the largest element stands, int64: along ``dim``, or without it in the flattened input.

    The first of equal elements; the first NaN if there is any.

    Raises:
        ShapeError: there is no element to choose from.
        DTypeError: the input is bool.

    >>> import tinygrad_cv as tg
    >>> tg.argmax(tg.tensor([[1.0, 4.0], [3.0, 3.0]]), dim=1).tolist()
    [1, 0]
    """
    return Argmax.call(input, *_arguments("argmax", input, dim, keepdim, axis, keepdims))


def argmin(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """Where the smallest element stands; otherwise as ``argmax``.

    >>> import tinygrad_cv as tg
    >>> tg.argmin(tg.tensor([3.0, 1.0, 2.0])).item()
    1
    """
    return Argmin.call(input, *_arguments("argmin", input, dim, keepdim, axis, keepdims))


def _arguments(
    op: str, input: Any, dim: Any, keepdim: bool, axis: Any, keepdims: Any
) -> tuple[int | None, bool]:
    if input.dtype.kind == "b":
        raise DTypeError(op, "bool has no order", values=[("input", input.shape)])
    dim = named(op, dim, axis)
    found = None if dim is None else one_dim(op, input.shape, dim)
    return found, kept(keepdim, keepdims)


def refuse_empty(op: str, shape: Shape, dims: Shape) -> None:
    """Raise ShapeError if one of the axes ``dims`` has size 0."""
    for axis in dims if shape else ():
        if not shape[axis]:
            filled = tuple(n or 1 if d in dims else n for d, n in enumerate(shape))
            raise ShapeError(
                op,
                f"axis {axis} has no element to choose from",
                law=["size >= 1, along each axis that is reduced", "0 >= 1 is false"],
                values=[("input", shape)],
                repair=f"Reduce an axis that is not empty, or an input of shape {filled}.",
                repairs=[{"input": filled}],
            )
