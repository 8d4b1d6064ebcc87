"""Sums that stay accurate: blocked where NumPy would add one number after the other.

NumPy adds pairwise along contiguous memory only. Over any other axis it keeps one running sum per
result, whose rounding error grows with the number of terms: the float32 variance of a channel of
64x112x112 channels-last values is off by 4e-4. Here such a sum is done block by block, each block
as the product of a row of ones with a matrix, which is faster too.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_cv.backend.memory import empty, empty_like

__all__ = ["channel_sum", "products", "repeated_axes", "sum_rows", "total"]

ROWS = 512  # of a block; its rounding error is that of 512 terms at most
BLOCK = 1024  # terms that a dot product adds in float32
SMALL = 8192  # elements; below, one call of NumPy is the fastest


def total(
    xp: Any, array: Any, dims: tuple[int, ...], keepdim: bool = False, dtype: Any = None
) -> Any:
    """The sum of ``array`` over the axes ``dims`` (sorted, not negative), in ``dtype`` (default:
    the array's), row-major whatever the array is.
    """
    dtype = array.dtype if dtype is None else dtype
    # CuPy's reductions are blocked already.
    if xp is np and array.size >= SMALL and dims and array.dtype == dtype and dtype.kind == "f":
        matrix = _as_rows(xp, array, dims)
        if matrix is not None:
            shape = [1 if axis in dims else size for axis, size in enumerate(array.shape)]
            if not keepdim:
                shape = [size for axis, size in enumerate(array.shape) if axis not in dims]
            return sum_rows(xp, matrix).reshape(shape)
    result = xp.add.reduce(array, axis=dims, keepdims=keepdim, dtype=dtype)
    return xp.ascontiguousarray(result) if result.ndim > 2 else result


def products(xp: Any, a: Any, b: Any, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """The sum of ``a * b``, arrays of one shape and float dtype, over the axes ``dims`` (sorted,
    not negative).

    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> products(np, a, a, (1,)).tolist()
    [5.0, 25.0]
    """
    shape = tuple(1 if axis in dims else size for axis, size in enumerate(a.shape))
    count, rows = math.prod(a.shape[axis] for axis in dims), math.prod(shape)
    last = dims == tuple(range(a.ndim - len(dims), a.ndim))
    if xp is np and last and a.flags.c_contiguous and b.flags.c_contiguous and count:
        block = count if count <= BLOCK else BLOCK
        if count % block == 0:
            parts = np.vecdot(*(x.reshape(rows, count // block, block) for x in (a, b)))
            result = np.add.reduce(parts, axis=1)
            return result.reshape(shape if keepdim else shape[: a.ndim - len(dims)])
    both = empty_like(a)
    return total(xp, xp.multiply(a, b, out=both), dims, keepdim)


def repeated_axes(
    shape: tuple[int, ...], smaller: tuple[int, ...], lacking: tuple[int, ...] | None
) -> tuple[int, ...]:
    """The axes that are repeated when ``smaller`` is broadcast to ``shape``; it has none of those
    that are ``lacking``, by default the leading ones.

    >>> repeated_axes((2, 3, 4), (3, 1), None)
    (0, 2)
    """
    absent = range(len(shape) - len(smaller)) if lacking is None else lacking
    sizes = iter(smaller)
    return tuple(
        axis
        for axis, size in enumerate(shape)
        if axis in absent or (next(sizes) == 1 and size != 1)
    )


def channel_sum(xp: Any, array: Any) -> Any:
    """The sum of [N, C, spatial...] over all axes but C: [C]."""
    return total(xp, array, (0, *range(2, array.ndim)))


def sum_rows(xp: Any, matrix: Any) -> Any:
    """The sum of [R, C] over R: [C]; the rounding error grows with ROWS + R / ROWS, not with R."""
    rows, columns = matrix.shape
    while rows > ROWS:
        blocks, rest = divmod(rows, ROWS)
        ones = xp.ones((1, ROWS), matrix.dtype)
        partial = empty((blocks + (rest > 0), 1, columns), matrix.dtype, xp=xp)
        whole = matrix[: blocks * ROWS].reshape(blocks, ROWS, columns)
        xp.matmul(ones, whole, out=partial[:blocks])
        if rest:
            xp.add.reduce(matrix[blocks * ROWS :], axis=0, out=partial[blocks, 0])
        matrix = partial.reshape(-1, columns)
        rows = matrix.shape[0]
    return xp.ones(rows, matrix.dtype) @ matrix


def _as_rows(xp: Any, array: Any, dims: tuple[int, ...]) -> Any:
    """A view [R, C] whose rows are what is summed over; None where memory runs another way."""
    ndim = array.ndim
    if dims == tuple(range(len(dims))) and len(dims) < ndim and array.flags.c_contiguous:
        columns = math.prod(array.shape[len(dims) :])
    elif ndim > 1 and dims == (0, *range(2, ndim)) and _evenly_spaced(array):
        array = xp.moveaxis(array, 1, -1)
        columns = array.shape[-1]
    else:
        return None
    if columns < 2 or array.size // columns < 16:
        return None  # a matrix product with one column or few rows gains nothing
    return array.reshape(-1, columns)


def _evenly_spaced(array: Any) -> bool:
    """Do the pixels of [N, C, spatial...] follow each other at equal distances, each with its
    channels side by side? Channels-last memory is so, and some channels of it."""
    axes = (0, *range(2, array.ndim))
    return array.strides[1] == array.itemsize and all(
        array.strides[a] == array.strides[b] * array.shape[b] for a, b in pairwise(axes)
    )
