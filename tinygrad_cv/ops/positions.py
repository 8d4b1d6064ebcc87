"""Positions as tensors: of the elements of triangles, and of flat indices in a shape."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import as_dtype, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError, RangeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._new import checked_shape, made
from tinygrad_cv.ops.division import floor_divide, remainder
from tinygrad_cv.ops.places import on_input_device, raw

__all__ = ["tril_indices", "triu_indices", "unravel_index"]

CREATION = ("tril_indices", "triu_indices")
TG_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("indices",)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The positions of the lower triangle of a matrix [row, col], row by row: what ``tril`` keeps.

    Args:
        offset: of the diagonal up to which it goes.
        dtype: integer; default int64.

    Returns:
        [2, K]: the rows, and below them the columns.

    Raises:
        ShapeError: a size is negative.
        DTypeError: the dtype is not integer.

    >>> import tinygrad_cv as tg
    >>> tg.tril_indices(2, 2).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    return _triangle("tril_indices", row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The positions of the upper triangle of a matrix [row, col]; otherwise as ``tril_indices``.

    >>> import tinygrad_cv as tg
    >>> tg.triu_indices(2, 2).tolist()
    [[0, 0, 1], [0, 1, 1]]
    """
    return _triangle("triu_indices", row, col, offset, dtype, device)


def _triangle(op: str, row: Any, col: Any, offset: Any, dtype: Any, device: Any) -> Tensor:
    rows, columns = checked_shape(op, (row, col))
    k, wanted = as_int(op, "offset", offset), int64 if dtype is None else as_dtype(dtype)
    if wanted.kind not in "iu":
        raise DTypeError(op, f"positions are integers, not {wanted.name}")
    below = sum(min(max(i + k + (op == "tril_indices"), 0), columns) for i in range(rows))
    count = below if op == "tril_indices" else rows * columns - below

    def make(xp: Any) -> Any:
        i, j = xp.arange(rows)[:, None], xp.arange(columns)
        inside = j - i <= k if op == "tril_indices" else j - i >= k
        return xp.stack(xp.nonzero(inside)).astype(wanted)

    return made(make, (2, count), wanted, device, False)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Flat positions as one tensor for each axis of an array of ``shape``, read row by row.

    Args:
        indices: integers of any shape, from 0 to the number of elements - 1; negative ones count
            from the end.
        shape: the sizes.

    Raises:
        DTypeError: the indices are not integer.
        RangeError: a position is outside the shape.
        ShapeError: a size is negative.

    >>> import tinygrad_cv as tg
    >>> [t.tolist() for t in tg.unravel_index(tg.tensor([1, 5]), (2, 3))]
    [[0, 1], [1, 2]]
    """
    if indices.dtype.kind not in "iu":
        raise DTypeError(
            "unravel_index",
            f"the indices must be integers, they are {indices.dtype.name}",
            values=[("indices", indices.shape)],
            repair="Convert them first, for example with .long().",
        )
    sizes = checked_shape("unravel_index", shape)
    _check("unravel_index", indices, math.prod(sizes), sizes)
    step, found = math.prod(sizes), []
    for size in sizes:
        step //= max(size, 1)
        found.append(remainder(floor_divide(indices, max(step, 1)), max(size, 1)))
    return tuple(found)


@on_input_device
def _check(op: str, indices: Any, size: int, shape: tuple[int, ...]) -> None:
    array = raw(indices)
    if isinstance(array, Spec) or not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < -size or high >= size:
        wrong = low if low < -size else high
        raise RangeError(
            op,
            f"index {wrong} is out of range for {size} elements",
            law=[f"{-size} <= index < {size}"],
            values=[("indices", array.shape), ("shape", shape)],
        )
