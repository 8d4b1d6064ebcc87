"""All pairs and more: grids, products and combinations of vectors, blocks, Kronecker products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import promote
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.index import getitem
from tinygrad_cv.ops.join import cat, stack
from tinygrad_cv.ops.layout import contiguous
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.slicing import slice_grad

__all__ = ["block_diag", "cartesian_prod", "combinations", "kron", "meshgrid"]

TENSOR_FUNCTIONS = ("kron",)
TG_FUNCTIONS = ("block_diag", "cartesian_prod", "combinations", "meshgrid")
TENSOR_ARGUMENTS = ("other",)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """The coordinates of a grid: one tensor for each vector, all of the shape of the grid.

    Args:
        tensors: vectors [N_k] (0-d tensors count as vectors of one), of one dtype.
        indexing: "ij": ``y_k[i_0, i_1, ...] = x_k[i_k]``; "xy": the first two axes exchanged, as
            for coordinates x, y of an image [H, W].

    Returns:
        A tuple of expanded views.

    Raises:
        ShapeError: a tensor has more than one axis.
        DTypeError: the dtypes differ.
        ArgumentError: another ``indexing``, or no tensor.

    >>> import tinygrad_cv as tg
    >>> y, x = tg.meshgrid(tg.arange(2), tg.arange(3))
    >>> y.tolist(), x.tolist()
    ([[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]])
    """
    if indexing not in ("ij", "xy"):
        raise ArgumentError(
            "meshgrid",
            f"indexing must be 'ij' or 'xy', it is {indexing!r}",
            repairs=[{"indexing": "ij"}, {"indexing": "xy"}],
        )
    vectors = _vectors("meshgrid", tensors)
    if not vectors:
        raise ArgumentError("meshgrid", "needs at least one tensor")
    if len({v.dtype for v in vectors}) > 1:
        raise DTypeError(
            "meshgrid",
            "the dtypes differ",
            values=[(f"tensors[{k}]", v.dtype.name, v.shape) for k, v in enumerate(vectors)],
            repair="Convert them first.",
        )
    axes = list(range(len(vectors)))
    if indexing == "xy" and len(axes) > 1:
        axes[:2] = 1, 0
    sizes = [0] * len(axes)
    for vector, axis in zip(vectors, axes, strict=True):
        sizes[axis] = vector.shape[0]
    found = []
    for vector, axis in zip(vectors, axes, strict=True):
        line = tuple(vector.shape[0] if a == axis else 1 for a in range(len(axes)))
        found.append(expand(reshape(vector, line), tuple(sizes)))
    return tuple(found)


def cartesian_prod(*tensors: Any) -> Any:
    """All ways to take one element of each vector, the last one changing fastest: [N_0 N_1 ..., K].
    Of a single vector, itself.

    Raises:
        ShapeError: a tensor is no vector.
        DTypeError: the dtypes differ.

    >>> import tinygrad_cv as tg
    >>> tg.cartesian_prod(tg.tensor([1, 2]), tg.tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    vectors = _vectors("cartesian_prod", tensors, least=1)
    if len(vectors) == 1:
        return reshape(vectors[0], vectors[0].shape)
    grids = meshgrid(*vectors)
    return stack([reshape(grid, (math.prod(grid.shape),)) for grid in grids], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All ways to take ``r`` elements of a vector, in their order: [C, r].

    Args:
        input: [N].
        r: how many.
        with_replacement: an element may be taken several times.

    Raises:
        ShapeError: the input is no vector.
        RangeError: ``r`` is negative.

    >>> import tinygrad_cv as tg
    >>> tg.combinations(tg.tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    if len(input.shape) != 1:
        raise ShapeError(
            "combinations", "the input must be a vector", values=[("input", input.shape)]
        )
    r = as_int("combinations", "r", r)
    if r < 0:
        raise RangeError(
            "combinations",
            f"r = {r} is negative",
            values=[("input", input.shape)],
            repairs=[{"r": 2}],
        )
    positions = range(input.shape[0])
    ways: Iterable[tuple[int, ...]] = itertools.combinations(positions, r)
    if with_replacement:
        ways = itertools.combinations_with_replacement(positions, r)
    flat = np.fromiter(itertools.chain.from_iterable(ways), np.int64)
    return getitem(input, flat.reshape((-1, r) if r else (0,)))


def block_diag(*tensors: Any) -> Any:
    """The matrices on the diagonal of a matrix of zeros, each right below the one before.

    Args:
        tensors: matrices [R, C]; a vector counts as a row, a 0-d tensor as [1, 1]. Their common
            dtype is the result's.

    Raises:
        ShapeError: a tensor has more than 2 axes.

    >>> import tinygrad_cv as tg
    >>> tg.block_diag(tg.tensor([[1, 2]]), tg.tensor(3)).tolist()
    [[1, 2, 0], [0, 0, 3]]
    """
    matrices = []
    for k, x in enumerate(_tensors("block_diag", tensors)):
        if len(x.shape) > 2:
            raise ShapeError(
                "block_diag",
                f"takes matrices, tensors[{k}] has {len(x.shape)} axes",
                values=[(f"tensors[{k}]", x.shape)],
            )
        matrices.append(x if len(x.shape) == 2 else reshape(x, (1, *(x.shape or (1,)))))
    if not matrices:
        raise ArgumentError("block_diag", "needs at least one tensor")
    common, width = promote(*matrices), sum(x.shape[1] for x in matrices)
    rows, start = [], 0
    for x in matrices:
        height, columns = x.shape
        key = ((None, None, 1), (start, start + columns, 1))
        rows.append(slice_grad(cast(x, common), (height, width), key))
        start += columns
    return cat(rows, 0)


def kron(input: Any, other: Any) -> Any:
    """The Kronecker product: each element of the input times the whole of ``other``, as a block.

    ``y[i * N + j] = input[i] * other[j]`` along every axis; the one with fewer axes gets leading
    ones of size 1.

    >>> import tinygrad_cv as tg
    >>> tg.kron(tg.tensor([1, 10]), tg.tensor([1, 2])).tolist()
    [1, 2, 10, 20]
    """
    ndim = max(len(input.shape), len(other.shape))
    sizes = [(1,) * (ndim - len(x.shape)) + x.shape for x in (input, other)]
    blocks = tuple(n for size in sizes[0] for n in (size, 1))
    inner = tuple(n for size in sizes[1] for n in (1, size))
    product = reshape(contiguous(input), blocks) * reshape(contiguous(other), inner)
    return reshape(product, tuple(a * b for a, b in zip(*sizes, strict=True)))


def _tensors(op: str, tensors: tuple[Any, ...]) -> list[Any]:
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    for k, x in enumerate(tensors):
        if not hasattr(x, "shape"):
            kind = type(x).__name__
            raise DTypeError(op, f"tensors[{k}] must be a tensor, not {kind} {x!r:.60}")
    return list(tensors)


def _vectors(op: str, tensors: tuple[Any, ...], least: int = 0) -> list[Any]:
    found = _tensors(op, tensors)
    for k, x in enumerate(found):
        if not least <= len(x.shape) <= 1:
            raise ShapeError(
                op,
                f"takes vectors, tensors[{k}] has {len(x.shape)} axes",
                values=[(f"tensors[{k}]", x.shape)],
                repair="Use ravel().",
            )
    return [x if x.shape else reshape(x, (1,)) for x in found]
