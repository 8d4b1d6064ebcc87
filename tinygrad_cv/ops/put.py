"""Copies of a tensor with other values in one part: a slice, a diagonal, flat positions, a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import DTypeError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.diagonal import Diagonal, plane
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.gather import Gather
from tinygrad_cv.ops.index import SetItem, index_put
from tinygrad_cv.ops.places import check_positions, on_input_device, raw
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.scan import Cumsum
from tinygrad_cv.ops.select import clamp, where
from tinygrad_cv.ops.shape import movedim, reshape
from tinygrad_cv.ops.slicing import position, replaced, sliced_shape

__all__ = ["diagonal_scatter", "masked_scatter", "put", "select_scatter", "slice_scatter"]

TENSOR_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("index", "mask", "source", "src")

Shape = tuple[int, ...]


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of the input with ``src`` at position ``index`` of axis ``dim``: of what ``select``
    reads.

    Args:
        src: the shape of the input without that axis.

    Raises:
        ShapeError: ``src`` has another shape.
        RangeError: the dim or the index is out of range.

    >>> import tinygrad_cv as tg
    >>> tg.select_scatter(tg.zeros(2, 2), tg.tensor([1.0, 2.0]), 1, 0).tolist()
    [[1.0, 0.0], [2.0, 0.0]]
    """
    shape = input.shape
    axis = _axis("select_scatter", dim, shape)
    key = replaced(shape, axis, position("select_scatter", index, axis, shape))
    return SetItem.call(input, _fitted("select_scatter", input, src, key), key, None)


def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """A copy of the input with ``src`` in the slice ``start:end:step`` of axis ``dim``.

    Args:
        src: the shape of that slice.
        start, end, step: as in ``x[start:end:step]``.

    Raises:
        ShapeError: ``src`` has another shape.
        RangeError: the dim is out of range, or the step is not positive.

    >>> import tinygrad_cv as tg
    >>> tg.slice_scatter(tg.zeros(4), tg.tensor([1.0, 2.0]), start=1, step=2).tolist()
    [0.0, 1.0, 0.0, 2.0]
    """
    shape = input.shape
    axis, step = _axis("slice_scatter", dim, shape), as_int("slice_scatter", "step", step)
    if step < 1:
        raise RangeError(
            "slice_scatter",
            f"step = {step} is not positive",
            values=[("input", shape)],
            repairs=[{"step": 1}],
        )
    first, last = (
        None if n is None else as_int("slice_scatter", name, n)
        for name, n in (("start", start), ("end", end))
    )
    key = replaced(shape, axis, (first, last, step))
    return SetItem.call(input, _fitted("slice_scatter", input, src, key), key, None)


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of the input with ``src`` on the diagonal that ``diagonal`` reads.

    Args:
        src: the shape of ``diagonal(input, offset, dim1, dim2)``.

    Raises:
        ShapeError: ``src`` has another shape.
        RangeError: a dim is out of range.
        ArgumentError: the two dims are the same axis.

    >>> import tinygrad_cv as tg
    >>> tg.diagonal_scatter(tg.zeros(2, 2), tg.tensor([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    first, second = plane("diagonal_scatter", dim1, dim2, input.shape)
    offset = as_int("diagonal_scatter", "offset", offset)
    wanted = Diagonal.infer(Spec(input.shape, input.dtype), offset, first, second).shape
    _check_shape("diagonal_scatter", input, src, wanted)
    rows = np.arange(wanted[-1]) + max(-offset, 0)
    key: list[Any] = [slice(None)] * len(input.shape)
    key[first], key[second] = rows, rows + offset
    adjacent = first - second in (1, -1)  # else the axis of the diagonal comes first
    return index_put(input, tuple(key), movedim(src, -1, min(first, second) if adjacent else 0))


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """A copy of the input with ``source`` at positions of the flat input: what ``take`` reads.

    Args:
        index: int64 of any shape; negative positions count from the end.
        source: as many elements as ``index``.
        accumulate: add to what is there. Without it the last of several values for one position
            stands.

    Raises:
        ShapeError: ``source`` has another number of elements.
        DTypeError: the index is not integer, or the dtypes differ.
        RangeError: a position is outside the input.

    >>> import tinygrad_cv as tg
    >>> tg.put(tg.zeros(2, 2), tg.tensor([3, 0]), tg.tensor([5.0, 6.0])).tolist()
    [[6.0, 0.0], [0.0, 5.0]]
    """
    size = int(np.prod(index.shape, dtype=np.int64))
    if int(np.prod(source.shape, dtype=np.int64)) != size:
        raise ShapeError(
            "put",
            "each position needs one element of the source",
            values=[("index", index.shape), ("source", source.shape)],
        )
    if index.dtype.kind not in "iu" or index.dtype.itemsize == 1:
        raise DTypeError(
            "put",
            f"the index must be int64 (or int32), it is {index.dtype.name}",
            values=[("index", index.shape)],
            repair='Convert it with index.to("int64").',
        )
    _same_dtype("put", input, source)
    flat = reshape(input, (int(np.prod(input.shape, dtype=np.int64)),))
    _check_flat("put", flat, reshape(index, (size,)))
    written = index_put(flat, reshape(index, (size,)), reshape(source, (size,)), bool(accumulate))
    return reshape(written, input.shape)


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The input with the elements of ``source``, one after the other, where the mask is True.

    Args:
        input, mask: broadcast to the shape of the result; the mask is bool.
        source: at least as many elements as True in the mask, of the input's dtype.

    Raises:
        ShapeError: the shapes do not broadcast, or ``source`` has too few elements.
        DTypeError: the mask is not bool, or the dtypes differ.

    >>> import tinygrad_cv as tg
    >>> x, mask = tg.zeros(3), tg.tensor([True, False, True])
    >>> tg.masked_scatter(x, mask, tg.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, 0.0, 2.0]
    """
    if mask.dtype.kind != "b":
        raise DTypeError(
            "masked_scatter",
            f"the mask must be bool, it is {mask.dtype.name}",
            values=[("input", input.shape), ("mask", mask.shape)],
            repair="Make it with a comparison such as x > 0, or with mask.bool().",
        )
    _same_dtype("masked_scatter", input, source)
    shape = common_shape("masked_scatter", input=input, mask=mask)
    input, mask = expand(input, shape), expand(mask, shape)
    size = int(np.prod(shape, dtype=np.int64))
    given = int(np.prod(source.shape, dtype=np.int64))
    _check_enough("masked_scatter", mask, given, source.shape)
    if not given:  # nothing is taken
        return where(mask, zero_map(input), input)
    places = clamp(Cumsum.call(reshape(mask, (size,)), 0, False) - 1, 0, given - 1)
    taken = Gather.call(reshape(source, (given,)), places, 0, False)
    return where(mask, reshape(taken, shape), input)


@on_input_device
def _check_enough(op: str, mask: Any, given: int, shape: Shape) -> None:
    array = raw(mask)
    wanted = 0 if isinstance(array, Spec) else int(array.sum())
    if wanted > given:
        raise ShapeError(
            op,
            f"the mask takes {wanted} elements, the source has {given}",
            values=[("mask", array.shape), ("source", shape)],
        )


@on_input_device
def _check_flat(op: str, flat: Any, index: Any) -> None:
    check_positions(op, raw(index), flat.shape, 0)


def _axis(op: str, dim: Any, shape: Shape) -> int:
    if not shape:
        raise ShapeError(op, "a 0-d tensor has no axis to write along", values=[("input", shape)])
    return as_axis(op, dim, len(shape), shape)


def _fitted(op: str, input: Any, src: Any, key: Any) -> Any:
    """``src`` in the input's dtype; it must have the shape of what is written."""
    _check_shape(op, input, src, sliced_shape(input.shape, key))
    return src if src.dtype == input.dtype else cast(src, input.dtype)


def _check_shape(op: str, input: Any, src: Any, wanted: Shape) -> None:
    if src.shape != wanted:
        raise ShapeError(
            op,
            f"src must have the shape {wanted}",
            values=[("input", input.shape), ("src", src.shape)],
            repair="Broadcast it with expand(), if that is meant.",
        )


def _same_dtype(op: str, input: Any, source: Any) -> None:
    if source.dtype != input.dtype:
        raise DTypeError(
            op,
            f"the input is {input.dtype.name}, the source {source.dtype.name}",
            values=[("input", input.shape), ("source", source.shape)],
            repair="Convert the source with source.to(input.dtype).",
        )
