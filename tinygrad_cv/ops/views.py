"""Short names for changes of shape: least ranks, equal parts, quarter turns, windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int, as_ints, check_like
from tinygrad_cv.ops.convert import cast, move
from tinygrad_cv.ops.diagonal import diag_embed
from tinygrad_cv.ops.expand import sum_to
from tinygrad_cv.ops.join import cat, vstack
from tinygrad_cv.ops.rearrange import flip
from tinygrad_cv.ops.shape import movedim, reshape, transpose
from tinygrad_cv.ops.slicing import split, tensor_split

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "column_stack",
    "diagflat",
    "dsplit",
    "hsplit",
    "moveaxis",
    "ravel",
    "rot90",
    "row_stack",
    "split_with_sizes",
    "swapdims",
    "t",
    "vsplit",
]

TENSOR_FUNCTIONS = (
    *("adjoint", "diagflat", "dsplit", "hsplit", "moveaxis", "ravel", "rot90"),
    *("split_with_sizes", "swapdims", "t", "vsplit"),
)
TG_FUNCTIONS = (*("atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "row_stack"),)
TENSOR_ARGUMENTS = ("other",)

Shape = tuple[int, ...]


def ravel(input: Any) -> Any:
    """All elements as a vector, read row by row.

    >>> import tinygrad_cv as tg
    >>> tg.ravel(tg.tensor([[1, 2], [3, 4]])).tolist()
    [1, 2, 3, 4]
    """
    return reshape(input, (int(np.prod(input.shape, dtype=np.int64)),))


def t(input: Any) -> Any:
    """The transpose of a matrix; vectors and 0-d tensors stay as they are.

    Raises:
        ShapeError: more than 2 axes.

    >>> import tinygrad_cv as tg
    >>> tg.t(tg.tensor([[1, 2], [3, 4]])).tolist()
    [[1, 3], [2, 4]]
    """
    if len(input.shape) > 2:
        raise ShapeError(
            "t",
            f"takes at most 2 axes, the input has {len(input.shape)}",
            values=[("input", input.shape)],
            repair="Use transpose, permute or mT.",
        )
    return transpose(input, 0, 1) if len(input.shape) == 2 else reshape(input, input.shape)


def adjoint(input: Any) -> Any:
    """The last two axes exchanged: the transpose of each matrix of a batch.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> import tinygrad_cv as tg
    >>> tg.adjoint(tg.zeros(2, 3, 4)).shape
    (2, 4, 3)
    """
    if len(input.shape) < 2:
        raise ShapeError(
            "adjoint",
            f"needs at least 2 axes, the input has {len(input.shape)}",
            values=[("input", input.shape)],
        )
    return transpose(input, -2, -1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """Another name of ``transpose``.

    >>> import tinygrad_cv as tg
    >>> tg.swapdims(tg.zeros(2, 3), 0, 1).shape
    (3, 2)
    """
    return transpose(input, dim0, dim1)


def moveaxis(input: Any, source: Any, destination: Any) -> Any:
    """NumPy's name of ``movedim``.

    >>> import tinygrad_cv as tg
    >>> tg.moveaxis(tg.zeros(8, 32, 32, 3), -1, 1).shape
    (8, 3, 32, 32)
    """
    return movedim(input, source, destination)


def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """The plane of two axes turned by ``k`` quarters, from the first axis towards the second.

    Args:
        k: how many; negative ones turn back.
        dims: the two axes. An image [..., H, W] turns left with ``dims=(-2, -1)``.

    Raises:
        ShapeError: fewer than 2 axes.
        ArgumentError: ``dims`` does not name two different axes.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.rot90(tg.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    """
    shape, named = input.shape, as_ints("rot90", "dims", dims)
    k = as_int("rot90", "k", k) % 4
    if len(shape) < 2:
        raise ShapeError(
            "rot90",
            f"needs at least 2 axes, the input has {len(shape)}",
            values=[("input", shape)],
        )
    axes = [as_axis("rot90", dim, len(shape), shape) for dim in named]
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ArgumentError(
            "rot90",
            f"dims must name two different axes, not {named}",
            values=[("input", shape)],
            repairs=[{"dims": (0, 1)}],
        )
    first, second = axes
    if k == 2:
        return flip(input, (first, second))
    if k == 0:
        return reshape(input, shape)
    turned = transpose(input, first, second)
    return flip(turned, first if k == 1 else second)


def _least(op: str, tensors: tuple[Any, ...], rank: int) -> Any:
    """One tensor, or a tuple of several, each with at least ``rank`` axes."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tuple(_with_axes(op, x, rank) for x in tensors[0])
    several = tuple(_with_axes(op, x, rank) for x in tensors)
    return several[0] if len(several) == 1 else several


def _with_axes(op: str, x: Any, rank: int) -> Any:
    if not hasattr(x, "shape"):
        kind = type(x).__name__
        raise DTypeError(op, f"takes tensors, not {kind} {x!r:.60}")
    shape = x.shape
    if rank == 1 or len(shape) == 0:
        return reshape(x, shape or (1,) * rank)
    if len(shape) == 1:
        return reshape(x, (1, *shape, 1)[:rank])
    return reshape(x, (*shape, 1)) if len(shape) < rank else x


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least 1 axis: one, or a tuple of several.

    >>> import tinygrad_cv as tg
    >>> tg.atleast_1d(tg.tensor(3)).tolist()
    [3]
    """
    return _least("atleast_1d", tensors, 1)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least 2 axes; a vector becomes a row [1, N].

    >>> import tinygrad_cv as tg
    >>> tg.atleast_2d(tg.tensor([1, 2])).tolist()
    [[1, 2]]
    """
    return _least("atleast_2d", tensors, 2)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least 3 axes; a vector becomes [1, N, 1], a matrix [M, N, 1].

    >>> import tinygrad_cv as tg
    >>> tg.atleast_3d(tg.zeros(2, 3)).shape
    (2, 3, 1)
    """
    return _least("atleast_3d", tensors, 3)


def column_stack(tensors: Any) -> Any:
    """Joined along axis 1; a vector [N] counts as a column [N, 1].

    Raises:
        ShapeError: sizes differ.

    >>> import tinygrad_cv as tg
    >>> tg.column_stack([tg.tensor([1, 2]), tg.tensor([3, 4])]).tolist()
    [[1, 3], [2, 4]]
    """
    if not isinstance(tensors, (tuple, list)):
        raise DTypeError(
            "column_stack",
            f"takes a list or tuple of tensors, not {type(tensors).__name__}",
            repair="Write column_stack([a, b]).",
        )
    columns = [
        reshape(x, (x.shape[0] if x.shape else 1, 1)) if len(getattr(x, "shape", "  ")) < 2 else x
        for x in tensors
    ]
    return cat(columns, 1)


def row_stack(tensors: Any) -> Any:
    """Another name of ``vstack``.

    >>> import tinygrad_cv as tg
    >>> tg.row_stack([tg.tensor([1, 2]), tg.tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    return vstack(tensors)


def _equal_parts(op: str, input: Any, parts: Any, axis: int, rank: int) -> tuple[Any, ...]:
    shape = input.shape
    if len(shape) < rank:
        raise ShapeError(
            op,
            f"needs at least {rank} {'axis' if rank == 1 else 'axes'}, the input has {len(shape)}",
            values=[("input", shape)],
        )
    if not isinstance(parts, (tuple, list)):
        count = as_int(op, "indices_or_sections", parts)
        if count < 1 or shape[axis] % count:
            fits = [n for n in range(1, shape[axis] + 1) if shape[axis] % n == 0] or [1]
            raise ShapeError(
                op,
                f"axis {axis} of size {shape[axis]} cannot be cut into {count} equal parts",
                law=[f"{shape[axis]} mod {count} = 0 is false"] if count > 0 else [],
                values=[("input", shape)],
                repair=f"Any of these fits: {', '.join(map(str, fits[:8]))}; or use tensor_split.",
                repairs=[{"indices_or_sections": n} for n in fits[:8]],
            )
    found: tuple[Any, ...] = tensor_split(input, parts, axis)
    return found


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Cut along axis 1 (vectors: axis 0) into equal parts, or at the given positions.

    Raises:
        ShapeError: no axis, or the size cannot be divided.

    >>> import tinygrad_cv as tg
    >>> [x.tolist() for x in tg.hsplit(tg.tensor([[1, 2], [3, 4]]), 2)]
    [[[1], [3]], [[2], [4]]]
    """
    axis = 0 if len(input.shape) == 1 else 1
    return _equal_parts("hsplit", input, indices_or_sections, axis, 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Cut along axis 0 into equal parts, or at the given positions.

    Raises:
        ShapeError: fewer than 2 axes, or the size cannot be divided.

    >>> import tinygrad_cv as tg
    >>> [x.tolist() for x in tg.vsplit(tg.tensor([[1, 2], [3, 4]]), 2)]
    [[[1, 2]], [[3, 4]]]
    """
    return _equal_parts("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Cut along axis 2 into equal parts, or at the given positions.

    Raises:
        ShapeError: fewer than 3 axes, or the size cannot be divided.

    >>> import tinygrad_cv as tg
    >>> [x.shape for x in tg.dsplit(tg.zeros(2, 3, 4), (1,))]
    [(2, 3, 1), (2, 3, 3)]
    """
    return _equal_parts("dsplit", input, indices_or_sections, 2, 3)


def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    """``split`` with the list of all sizes.

    Raises:
        ShapeError: the sizes do not sum to the size of the axis, or a size is negative.

    >>> import tinygrad_cv as tg
    >>> [x.tolist() for x in tg.split_with_sizes(tg.arange(3), [1, 2])]
    [[0], [1, 2]]
    """
    found: tuple[Any, ...] = split(input, as_ints("split", "split_sizes", split_sizes), dim)
    return found


def diagflat(input: Any, offset: int = 0) -> Any:
    """The elements, read row by row, on the diagonal of a matrix of zeros.

    >>> import tinygrad_cv as tg
    >>> tg.diagflat(tg.tensor([[1, 2]]), 1).tolist()
    [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
    """
    return diag_embed(ravel(input), offset)


def _type_as(self: Any, other: Any) -> Any:
    """This tensor in the dtype and on the device of ``other``.

    Raises:
        DTypeError: ``other`` is no tensor.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1, 2]).type_as(tg.tensor(0.5))
    tensor([1., 2.])
    """
    check_like("type_as", other)
    device = getattr(other, "device", None)
    return cast(self if device is None else move(self, device), other.dtype)


def _sum_to_size(self: Any, *size: Any) -> Any:
    """The sum over the axes that broadcasting ``size`` to this shape would repeat.

    Raises:
        ShapeError: ``size`` does not broadcast to this shape.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2, 3).sum_to_size(1, 3).tolist()
    [[2.0, 2.0, 2.0]]
    """
    wanted = as_ints("sum_to_size", "size", size)
    missing = len(self.shape) - len(wanted)
    pairs = zip(self.shape[max(missing, 0) :], wanted, strict=False)
    if missing < 0 or any(n not in (1, m) for m, n in pairs):
        raise ShapeError(
            "sum_to_size",
            f"{wanted} does not broadcast to {self.shape}",
            law=["sizes, aligned at the last axis, must be equal, or 1 in the smaller shape"],
            values=[("self", self.shape), ("size", wanted)],
        )
    if self.shape == wanted and wanted:
        return reshape(self, wanted)
    whole = self.dtype.kind != "f"  # sums of integers are int64
    return sum_to(cast(self, int64) if whole else self, wanted)


METHODS: dict[str, Any] = {
    "H": property(t),
    "mH": property(adjoint),
    "sum_to_size": _sum_to_size,
    "type_as": _type_as,
}
