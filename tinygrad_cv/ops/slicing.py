"""Basic indexing: integers, slices and new axes. The result shares memory with the input.

A key has one entry for each axis of the input, plus None for each new axis: an int takes one
position (the axis goes), ``(start, stop, step)`` takes a range. ``index.py`` makes keys from what
stands between the brackets of ``x[...]``.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int, as_ints, outside
from tinygrad_cv.ops._strides import dense_strides, layout_from_strides, settled_layout

__all__ = [
    "Slice",
    "SliceGrad",
    "chunk",
    "narrow",
    "select",
    "split",
    "tensor_split",
    "unbind",
]

TENSOR_FUNCTIONS = ("chunk", "narrow", "select", "tensor_split", "unbind")
TG_FUNCTIONS = ("split",)
TENSOR_ARGUMENTS = ("tensor",)

Shape = tuple[int, ...]
Key = tuple[Any, ...]  # int | (start, stop, step) | None


def select(input: Any, dim: int, index: int) -> Any:
    """Position ``index`` along axis ``dim``, which goes: ``x.select(1, 0)`` is ``x[:, 0]``. A view.

    Raises:
        RangeError: the dim or the index is out of range.

    >>> import tinygrad_cv as tg
    >>> tg.select(tg.tensor([[1, 2], [3, 4]]), 1, -1).tolist()
    [2, 4]
    """
    shape = input.shape
    axis = _axis("select", shape, dim)
    return slice_(input, replaced(shape, axis, position("select", index, axis, shape)))


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """``length`` positions along axis ``dim`` from ``start`` on. A view.

    Raises:
        RangeError: the range does not lie inside the axis.

    >>> import tinygrad_cv as tg
    >>> tg.narrow(tg.arange(5), 0, 1, 3).tolist()
    [1, 2, 3]
    """
    shape = input.shape
    axis = _axis("narrow", shape, dim)
    size, start = shape[axis], as_int("narrow", "start", start)
    length = as_int("narrow", "length", length)
    first = start + size if start < 0 else start
    if not 0 <= first <= size or not 0 <= length <= size - first:
        raise RangeError(
            "narrow",
            f"start = {start}, length = {length} does not lie inside axis {axis} of size {size}",
            law=[
                "0 <= start and start + length <= size",
                f"0 <= {first} and {first} + {length} <= {size} is false",
            ],
            values=[("input", shape)],
            repair=f"Use start = 0 and length <= {size}.",
            repairs=[{"start": 0, "length": size}],
        )
    return slice_(input, replaced(shape, axis, (first, first + length, 1)))


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """A tuple of views, cut along ``dim``.

    Args:
        split_size_or_sections: the size of each piece (the last may be smaller), or the list of
            all sizes. (NumPy's ``split`` takes positions: that is ``tensor_split``.)

    Raises:
        ShapeError: the sizes do not sum to the size of the axis, or a size is negative.

    >>> import tinygrad_cv as tg
    >>> [t.tolist() for t in tg.split(tg.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    >>> [t.tolist() for t in tg.split(tg.arange(5), (1, 4))]
    [[0], [1, 2, 3, 4]]
    """
    shape = tensor.shape
    cut = _axis("split", shape, dim)
    total = shape[cut]
    sizes = as_ints("split", "split_size_or_sections", split_size_or_sections)
    if not isinstance(split_size_or_sections, (tuple, list)):
        size = sizes[0]
        if size < 0 or (size == 0 and total > 0):
            raise ShapeError(
                "split",
                f"pieces of size {size} never fill an axis of size {total}",
                values=[("tensor", shape)],
                repair="Use a size of 1 or more.",
                repairs=[{"split_size_or_sections": 1}],
            )
        pieces = max(math.ceil(total / size), 1) if size else 1
        sizes = (*(size,) * (pieces - 1), total - size * (pieces - 1))
    elif sum(sizes) != total or min(sizes, default=0) < 0:
        raise ShapeError(
            "split",
            f"the sizes must be 0 or more and sum to {total}, the size of axis {cut}",
            law=[" + ".join(map(str, sizes)) + f" = {sum(sizes)}"],
            values=[("tensor", shape), ("sections", sizes)],
            repair=f"Let the sections sum to {total}, or give one size such as {max(total, 1)}.",
            repairs=[{"split_size_or_sections": max(total, 1)}],
        )
    return _pieces(tensor, cut, sizes)


def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """At most ``chunks`` views of equal size along ``dim``; the last may be smaller.

    The size of a piece is ``ceil(size / chunks)``, so there can be fewer pieces than asked for.

    Raises:
        ArgumentError: ``chunks`` is not positive.

    >>> import tinygrad_cv as tg
    >>> [t.tolist() for t in tg.chunk(tg.arange(5), 4)]
    [[0, 1], [2, 3], [4]]
    """
    shape = input.shape
    axis, chunks = _axis("chunk", shape, dim), as_int("chunk", "chunks", chunks)
    if chunks < 1:
        raise ArgumentError(
            "chunk",
            f"chunks = {chunks} is not positive",
            values=[("input", shape)],
            repair="Use 1 or more.",
            repairs=[{"chunks": 1}],
        )
    size = math.ceil(shape[axis] / chunks)
    if size == 0:
        return _pieces(input, axis, (0,) * chunks)
    return split(input, size, axis)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> Any:
    """A tuple of views: so many nearly equal pieces, or cut at the given positions.

    NumPy's ``array_split``. The first ``size mod sections`` pieces are longer by one.

    Raises:
        ArgumentError: the number of sections is not positive.

    >>> import tinygrad_cv as tg
    >>> [t.tolist() for t in tg.tensor_split(tg.arange(5), 3)]
    [[0, 1], [2, 3], [4]]
    >>> [t.tolist() for t in tg.tensor_split(tg.arange(5), (1, 3))]
    [[0], [1, 2], [3, 4]]
    """
    shape = input.shape
    axis = _axis("tensor_split", shape, dim)
    total = shape[axis]
    if getattr(indices_or_sections, "shape", ()):
        indices_or_sections = indices_or_sections.tolist()
    cuts = as_ints("tensor_split", "indices_or_sections", indices_or_sections)
    if isinstance(indices_or_sections, (tuple, list)):
        edges = [0, *cuts, total]
        ranges = [slice(a, b).indices(total)[:2] for a, b in itertools.pairwise(edges)]
    else:
        count = cuts[0]
        if count < 1:
            raise ArgumentError("tensor_split", f"{count} sections are not possible, use 1 or more")
        small, longer = divmod(total, count)
        starts = [k * small + min(k, longer) for k in range(count + 1)]
        ranges = list(itertools.pairwise(starts))
    return tuple(slice_(input, replaced(shape, axis, (a, max(a, b), 1))) for a, b in ranges)


def unbind(input: Any, dim: int = 0) -> Any:
    """A tuple of views, one for each position along ``dim``, which goes.

    Raises:
        RangeError: the dim is out of range.

    >>> import tinygrad_cv as tg
    >>> [t.tolist() for t in tg.unbind(tg.tensor([[1, 2], [3, 4]]), 1)]
    [[1, 3], [2, 4]]
    """
    shape = input.shape
    axis = _axis("unbind", shape, dim)
    return tuple(slice_(input, replaced(shape, axis, i)) for i in range(shape[axis]))


class Slice(Op):
    """Positions and ranges along some axes, new axes of size 1; shares memory."""

    name = "slice"
    equation = "y[i] = x[start + i*step]"
    gradients = {"input": "dx[start + i*step] = g[i], else 0"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    view = True

    @staticmethod
    def infer(input: Spec, key: Key) -> Spec:
        shape = sliced_shape(input.shape, key)
        if input.layout != CHANNELS_LAST:
            return Spec(shape, input.dtype)
        old, strides = iter(dense_strides(input)), []
        for entry in key:
            step = 0 if entry is None else next(old)
            if type(entry) is not int:
                strides.append(step if entry is None else step * entry[2])
        return Spec(shape, input.dtype, layout_from_strides(shape, strides))

    @staticmethod
    def forward(xp: Any, input: Any, key: Key) -> Any:
        return input[as_slices(key)]

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, key: Key) -> Any:
        return slice_grad(g, input_shape, key)


class SliceGrad(Op):
    """Adjoint of ``Slice``: zeros of the shape of its input, with ``grad`` at the chosen places."""

    name = "slice_grad"
    equation = "y[start + i*step] = g[i], else 0"
    gradients = {"grad": "dg[i] = G[start + i*step]"}
    edges = "0 outside the slice"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, shape: Shape, key: Key) -> Spec:
        wanted = sliced_shape(shape, key)
        if grad.shape != wanted:
            raise ShapeError(
                "slice_grad",
                f"the key takes {wanted} of {shape}",
                values=[("grad", grad.shape), ("shape", shape)],
            )
        layout = grad.layout if grad.ndim == len(shape) else CONTIGUOUS
        return Spec(shape, grad.dtype, settled_layout(shape, layout))

    @staticmethod
    def forward(xp: Any, grad: Any, shape: Shape, key: Key) -> Any:
        layout = layout_of(grad) if grad.ndim == len(shape) else CONTIGUOUS
        out = memory.empty(shape, grad.dtype, layout, xp)
        out[...] = 0
        out[as_slices(key)] = grad
        return out

    @staticmethod
    def vjp_grad(g: Any, key: Key) -> Any:
        return slice_(g, key)


slice_ = Slice.call
slice_grad = SliceGrad.call


def full_key(ndim: int) -> Key:
    """The key that takes everything."""
    return (ALL,) * ndim


def replaced(shape: Shape, axis: int, entry: Any) -> Key:
    """The key that takes everything, but ``entry`` along one axis."""
    return (*full_key(axis), entry, *full_key(len(shape) - axis - 1))


def as_slices(key: Key) -> tuple[Any, ...]:
    """The key as NumPy reads it; the Ellipsis makes it a view even if nothing but ints is left."""
    return (*(slice(*entry) if type(entry) is tuple else entry for entry in key), ...)


def sliced_shape(shape: Shape, key: Key) -> Shape:
    """The shape that a key takes of an array of ``shape``; RangeError if an int is outside."""
    sizes, axis = [], 0
    for entry in key:
        if entry is None:
            sizes.append(1)
            continue
        if type(entry) is tuple:
            sizes.append(len(range(*slice(*entry).indices(shape[axis]))))
        else:
            position("slice", entry, axis, shape)
        axis += 1
    return tuple(sizes)


def position(op: str, index: Any, axis: int, shape: Shape) -> int:
    """An index counted from the front; raises RangeError if it is outside its axis."""
    index, size = as_int(op, "index", index), shape[axis]
    if not -size <= index < size:
        raise outside(op, index, axis, shape, -size)
    return index % size


def _axis(op: str, shape: Shape, dim: Any) -> int:
    if not shape:
        raise ShapeError(op, "a 0-d tensor has no axis to cut", values=[("input", shape)])
    return as_axis(op, dim, len(shape), shape)


def _pieces(tensor: Any, axis: int, sizes: Shape) -> tuple[Any, ...]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(slice_(tensor, replaced(tensor.shape, axis, (start, start + size, 1))))
        start += size
    return tuple(pieces)


ALL = (None, None, 1)


def _split_method(self: Any, split_size: Any, dim: int = 0) -> Any:
    """A tuple of views, cut along ``dim``; see :func:`tinygrad_cv.split`.

    >>> import tinygrad_cv as tg
    >>> [t.tolist() for t in tg.arange(5).split(split_size=2)]
    [[0, 1], [2, 3], [4]]
    """
    return split(self, split_size, dim)


METHODS = {"split": _split_method}
