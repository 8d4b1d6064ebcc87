"""Changing the shape without touching the elements: reshape, permute and their relatives.

Two operators do it all: ``Reshape`` reads the elements in row-major order under a new shape,
``Permute`` reorders the axes. Both share memory with their input where the memory allows it, and
the adjoint of each is the same operator again.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axes, as_axis, as_ints, check_like
from tinygrad_cv.ops._dims import named
from tinygrad_cv.ops._strides import dense_strides, layout_from_strides, reshaped_strides

__all__ = [
    "Permute",
    "Reshape",
    "flatten",
    "movedim",
    "permute",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
    "unflatten",
    "unsqueeze",
]

TENSOR_FUNCTIONS = (
    "flatten",
    "movedim",
    "squeeze",
    "swapaxes",
    "transpose",
    "unflatten",
    "unsqueeze",
)
TG_FUNCTIONS = ("permute", "reshape")
TENSOR_ARGUMENTS = ("other",)

Shape = tuple[int, ...]


def reshape(input: Any, shape: Any) -> Any:
    """The same elements, read in row-major order, under another shape: ``y.flat[i] = x.flat[i]``.

    Args:
        input: any shape.
        shape: the new sizes; one of them may be -1 and is computed. ``x.reshape(2, -1)`` and
            ``x.reshape((2, -1))`` are the same, and ``x.view`` is another name (it never refuses).

    Returns:
        A view where the memory order allows it (always for row-major memory), else a copy.

    Raises:
        ShapeError: the number of elements differs, or -1 is ambiguous or stands twice.

    >>> import tinygrad_cv as tg
    >>> tg.reshape(tg.arange(6), (2, -1)).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    return _reshape(input, as_ints("reshape", "shape", shape))


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes ``start_dim`` to ``end_dim`` (included) as one; a 0-d tensor becomes 1-d.

    Raises:
        RangeError: a dim is out of range.
        ArgumentError: ``start_dim`` comes after ``end_dim``.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(8, 3, 4, 4).flatten(1).shape
    (8, 48)
    """
    shape = input.shape
    start, end = (as_axis("flatten", d, len(shape), shape) for d in (start_dim, end_dim))
    if start > end:
        raise ArgumentError(
            "flatten",
            f"start_dim = {start_dim} comes after end_dim = {end_dim}",
            values=[("input", shape)],
            repair="Exchange the two.",
            repairs=[{"start_dim": end_dim, "end_dim": start_dim}],
        )
    return _reshape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """Axis ``dim`` split into axes of the given sizes, one of which may be -1.

    Raises:
        ShapeError: the sizes do not multiply to the size of the axis.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 12).unflatten(1, (3, -1)).shape
    (2, 3, 4)
    """
    shape = input.shape
    axis = as_axis("unflatten", dim, len(shape), shape)
    parts = _resolve(
        "unflatten", shape[axis : axis + 1], as_ints("unflatten", "sizes", sizes), shape
    )
    return _reshape(input, (*shape[:axis], *parts, *shape[axis + 1 :]))


def squeeze(input: Any, dim: Any = None, axis: Any = None) -> Any:
    """Without the axes of size 1: all of them, or those named by ``dim`` (an int or several).

    An axis that is named and has another size stays, as in PyTorch (NumPy refuses).

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(1, 3, 1)
    >>> x.squeeze().shape, x.squeeze(0).shape, x.squeeze(1).shape
    ((3,), (3, 1), (1, 3, 1))
    """
    shape, dim = input.shape, named("squeeze", dim, axis)
    axes = tuple(range(len(shape))) if dim is None else as_axes("squeeze", dim, len(shape), shape)
    return _reshape(input, tuple(n for i, n in enumerate(shape) if n != 1 or i not in axes))


def unsqueeze(input: Any, dim: int) -> Any:
    """A new axis of size 1 at position ``dim`` of the result (NumPy's ``expand_dims``).

    Raises:
        RangeError: unless -(ndim + 1) <= dim <= ndim.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(2, 3)
    >>> x.unsqueeze(0).shape, x.unsqueeze(-1).shape
    ((1, 2, 3), (2, 3, 1))
    """
    shape = input.shape
    axis = as_axis("unsqueeze", dim, len(shape) + 1, shape)
    return _reshape(input, (*shape[:axis], 1, *shape[axis:]))


def permute(input: Any, dims: Any) -> Any:
    """The axes in another order: axis i of the result is axis ``dims[i]`` of the input.

    Shares memory. ``x.permute(0, 2, 1)`` and ``x.permute((0, 2, 1))`` are the same.

    Raises:
        ArgumentError: ``dims`` is not a permutation of all axes.
        RangeError: a dim is out of range.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(8, 32, 32, 3).permute(0, 3, 1, 2).shape
    (8, 3, 32, 32)
    """
    ndim = len(input.shape)
    dims = as_ints("permute", "dims", dims)
    axes = as_axes("permute", dims, ndim, input.shape)
    if len(axes) != ndim:
        raise ArgumentError(
            "permute",
            f"dims must name each of the {ndim} axes once, got {dims}",
            values=[("input", input.shape)],
            repair="Add the missing axes.",
            repairs=[{"dims": (axes + tuple(i for i in range(ndim) if i not in axes))[:ndim]}],
        )
    return _permute(input, axes)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged; shares memory. ``swapaxes`` is another name.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3, 4).transpose(-1, 0).shape
    (4, 3, 2)
    """
    shape = input.shape
    first, second = (as_axis("transpose", d, len(shape), shape) for d in (dim0, dim1))
    dims = list(range(len(shape)))
    if dims:
        dims[first], dims[second] = second, first
    return _permute(input, tuple(dims))


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """NumPy's name of :func:`transpose`.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3).swapaxes(0, 1).shape
    (3, 2)
    """
    return transpose(input, axis0, axis1)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """The axes ``source`` moved to the positions ``destination``, the others in their order.

    Raises:
        ArgumentError: the two have different lengths, or name an axis twice.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(8, 32, 32, 3).movedim(-1, 1).shape
    (8, 3, 32, 32)
    """
    shape = input.shape
    origin, target = (as_axes("movedim", d, len(shape), shape) for d in (source, destination))
    if len(origin) != len(target):
        raise ArgumentError(
            "movedim",
            f"source names {len(origin)} axes, destination {len(target)}",
            values=[("input", shape), ("source", source), ("destination", destination)],
        )
    rest = [i for i in range(len(shape)) if i not in origin]
    placed = dict(zip(target, origin, strict=True))
    dims = tuple(placed[i] if i in placed else rest.pop(0) for i in range(len(shape)))
    return _permute(input, dims)


class Reshape(Op):
    """The elements in row-major order under another shape."""

    name = "reshape"
    equation = "y.flat[i] = x.flat[i]"
    gradients = {"input": "dx.flat[i] = g.flat[i]"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    view = True

    @staticmethod
    def infer(input: Spec, shape: Shape) -> Spec:
        shape = _resolve("reshape", input.shape, shape)
        strides = None
        if input.layout == CHANNELS_LAST:
            strides = reshaped_strides(input.shape, dense_strides(input), shape)
        layout = CONTIGUOUS if strides is None else layout_from_strides(shape, strides)
        return Spec(shape, input.dtype, layout)

    @staticmethod
    def forward(xp: Any, input: Any, shape: Shape) -> Any:
        return input.reshape(shape)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape) -> Any:
        return _reshape(g, input_shape)


class Permute(Op):
    """The axes in another order."""

    name = "permute"
    equation = "y[i0, i1, ...] = x[j], j[dims[k]] = i_k"
    gradients = {"input": "dx = permute(g, inverse of dims)"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    view = True

    @staticmethod
    def infer(input: Spec, dims: Shape) -> Spec:
        shape = tuple(input.shape[d] for d in dims)
        layout = CONTIGUOUS
        if len(dims) > 2:
            strides = dense_strides(input)
            layout = layout_from_strides(shape, [strides[d] for d in dims])
        return Spec(shape, input.dtype, layout)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape) -> Any:
        return input.transpose(dims)

    @staticmethod
    def vjp_input(g: Any, dims: Shape) -> Any:
        return _permute(g, _inverse(dims))


_reshape = Reshape.call
_permute = Permute.call


def _inverse(dims: Shape) -> Shape:
    return tuple(position for _, position in sorted(zip(dims, range(len(dims)), strict=True)))


def _resolve(op: str, old: Shape, new: Shape, whole: Shape | None = None) -> Shape:
    """`new` with its -1 computed; raises unless both shapes hold the same number of elements."""
    size, known = math.prod(old), math.prod(n for n in new if n != -1)
    unknown = new.count(-1)
    if unknown == 0 and known == size and min(new, default=0) >= 0:
        return new
    if unknown == 1 and known > 0 and size % known == 0 and min(new) >= -1:
        return tuple(size // known if n == -1 else n for n in new)
    values = [("input", old if whole is None else whole), ("shape", new)]
    before, after = (_product(shape) for shape in (old, new))
    if min(new, default=0) < -1:
        raise ShapeError(op, f"a size cannot be negative: {new}", values=values)
    if unknown > 1:
        raise ShapeError(op, "only one size can be -1", values=values)
    if unknown and known == 0:
        raise ShapeError(
            op,
            "-1 cannot be computed beside a size of 0: any number would fit",
            law=[f"{before} = {after}"],
            values=values,
            repair="Write the size out.",
        )
    raise ShapeError(
        op,
        f"{size} elements do not fit into {new}",
        law=[
            "product of the old sizes = product of the new sizes",
            f"{before} = {size}",
            f"{after} = {known}",
        ],
        values=values,
        repair=_reshape_repair(size, new),
        repairs=[{"shape": shape} for shape in _fitting(size, new)[:1] if whole is None],
    )


def _product(shape: Shape) -> str:
    return "*".join("?" if n == -1 else str(n) for n in shape) or "1"


def _fitting(size: int, new: Shape) -> list[Shape]:
    """Shapes that hold `size` elements and differ from `new` in one place; -1 stays."""
    found = []
    for i, n in reversed(list(enumerate(new))):
        known = math.prod(m for j, m in enumerate(new) if j != i and m != -1)
        if n == -1 or known == 0 or size % known or size == 0:
            continue
        room = size // known
        if -1 in new:  # the largest divisor up to what was asked for
            room = next(d for d in range(max(min(n, room), 1), 0, -1) if room % d == 0)
        found.append((*new[:i], room, *new[i + 1 :]))
    return found


def _reshape_repair(size: int, new: Shape) -> str:
    shapes = _fitting(size, new)[:3] or [(size,)]
    return "Any of these fits: " + ", ".join(map(str, shapes)) + "."


def _reshape_method(self: Any, *shape: Any) -> Any:
    """The same elements in row-major order under another shape: ``x.reshape(2, -1)`` or
    ``x.reshape((2, -1))``; see :func:`tinygrad_cv.reshape`.

    >>> import tinygrad_cv as tg
    >>> tg.arange(6).reshape(2, -1).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    return reshape(self, shape)


def _view(self: Any, *size: Any) -> Any:
    """The same as ``reshape``: a view where the memory order allows it, else a copy.

    Raises:
        ShapeError: the shape has another number of elements.
        DTypeError: a dtype is given: views of other bytes are not supported.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3, 4).view(2, -1).shape
    (2, 12)
    """
    if len(size) == 1 and not isinstance(size[0], (int, tuple, list)):
        raise DTypeError(
            "view",
            f"a view of other bytes is not supported ({size[0]!r})",
            repair="Use x.to(dtype).",
        )
    sizes = as_ints("view", "size", size)
    return _reshape(self, _resolve("view", self.shape, sizes))


def _reshape_as(self: Any, other: Any) -> Any:
    """The same elements under the shape of ``other``.

    Raises:
        ShapeError: ``other`` has another number of elements.
        DTypeError: ``other`` is no tensor.

    >>> import tinygrad_cv as tg
    >>> tg.arange(4).reshape_as(tg.zeros(2, 2)).tolist()
    [[0, 1], [2, 3]]
    """
    check_like("reshape_as", other)
    return reshape(self, other.shape)


def _permute_method(self: Any, *dims: Any) -> Any:
    """The axes in another order, sharing memory: ``x.permute(0, 3, 1, 2)`` or
    ``x.permute((0, 3, 1, 2))``; see :func:`tinygrad_cv.permute`.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(8, 32, 32, 3).permute(0, 3, 1, 2).shape  # [N, H, W, C] to [N, C, H, W]
    (8, 3, 32, 32)
    """
    return permute(self, dims)


def _transposed(self: Any) -> Any:
    """All axes in reverse order, as NumPy; of a matrix, its transpose.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3, 4).T.shape
    (4, 3, 2)
    """
    return _permute(self, tuple(range(self.ndim))[::-1])


def _matrix_transposed(self: Any) -> Any:
    """The last two axes exchanged: the transpose of a matrix, or of each matrix of a batch.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3, 4).mT.shape
    (2, 4, 3)
    """
    if self.ndim < 2:
        raise ShapeError(
            "mT",
            f"needs at least 2 axes, the input has {self.ndim}",
            values=[("input", self.shape)],
        )
    return transpose(self, -2, -1)


METHODS = {
    "reshape": _reshape_method,
    "view": _view,
    "reshape_as": _reshape_as,
    "view_as": _reshape_as,
    "permute": _permute_method,
    "T": property(_transposed),
    "mT": property(_matrix_transposed),
}
