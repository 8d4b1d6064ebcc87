"""How reductions and scans read their ``dim`` argument, or NumPy's ``axis``."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._axes import as_axes, as_axis

__all__ = ["count", "every_dim", "kept", "named", "one_dim", "reduced_shape"]

Shape = tuple[int, ...]


def named(op: str, dim: Any, axis: Any) -> Any:
    """``dim``, or ``axis`` if that is the one given.

    Raises:
        ArgumentError: both are given.
    """
    if axis is None:
        return dim
    if dim is not None:
        raise ArgumentError(op, f"dim={dim!r} and axis={axis!r} are two names of one argument")
    return axis


def kept(keepdim: bool, keepdims: bool | None) -> bool:
    """``keepdim``, or ``keepdims`` if that is the one given."""
    return bool(keepdim if keepdims is None else keepdims)


def one_dim(op: str, shape: Shape, dim: Any) -> int:
    """The axis ``dim`` of ``shape``, counted from the front; a 0-d shape has the axes 0 and -1.

    Raises:
        DTypeError: ``dim`` is not an integer.
        RangeError: there is no such axis.
    """
    return as_axis(op, dim, len(shape), shape)


def every_dim(op: str, shape: Shape, dim: Any) -> Shape:
    """The axes named by ``dim``, sorted: one, several, or with None, () and [] all of them.

    Raises:
        ArgumentError: an axis is named twice.
        DTypeError, RangeError: as ``one_dim``.
    """
    if dim is None or (type(dim) in (tuple, list) and not dim):
        return tuple(range(len(shape)))
    if type(dim) is int:
        found: Shape = (as_axis(op, dim, len(shape), shape),)
    else:
        found = tuple(sorted(as_axes(op, dim, len(shape), shape)))
    return found if shape else ()


def reduced_shape(shape: Shape, dims: Shape, keepdim: bool) -> Shape:
    """The shape that is left when ``dims`` (sorted, not negative) are reduced."""
    if keepdim:
        return tuple([1 if axis in dims else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in dims])


def count(shape: Shape, dims: Shape) -> int:
    """How many elements go into one result of a reduction over ``dims``."""
    return math.prod([shape[axis] for axis in dims])
