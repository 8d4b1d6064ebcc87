"""Selecting by masks and along one axis: the named functions of indexing, made of its operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import DTypeError, GraphError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._dims import named
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.index import add_at, getitem, index_put, read, write
from tinygrad_cv.ops.places import Places, along, raw
from tinygrad_cv.ops.select import where
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "masked_fill",
    "masked_select",
    "repeat_interleave",
    "take",
]

TENSOR_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("index", "mask", "source")

Shape = tuple[int, ...]


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``value`` where the mask is True, the input elsewhere; input and mask broadcast.

    Args:
        mask: bool.
        value: a number or a 0-d tensor, cast to the input's dtype.

    Raises:
        DTypeError: the mask is not bool, or the value does not fit into an integer tensor: it is a
            float, or too large. Unsigned tensors take negative numbers, which wrap around.
        ShapeError: the shapes do not broadcast, or the value is not one number.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.masked_fill(x, x > 1, 0.0).tolist()
    [1.0, 0.0]
    """
    _check_mask("masked_fill", input, mask)
    if hasattr(value, "shape"):
        if value.shape:
            raise ShapeError(
                "masked_fill",
                "the value must be one number",
                values=[("value", value.shape)],
                repair="Use where(mask, value, input) for a tensor of values.",
            )
        value = value if value.dtype == input.dtype else cast(value, input.dtype)
    elif isinstance(value, float) and input.dtype.kind != "f":
        raise DTypeError(
            "masked_fill",
            f"the float {value} does not fit into {input.dtype.name}",
            repair="Use an integer, or convert the input with x.float().",
        )
    elif input.dtype.kind == "b":
        value = bool(value)  # an int would make the result int64
    elif input.dtype.kind in "iu":
        value = _fitting("masked_fill", input.dtype, value)
    return where(mask, value, input)


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where the mask is True, as a vector; input and mask broadcast first.

    Raises:
        DTypeError: the mask is not bool.
        ShapeError: the shapes do not broadcast.
        GraphError: on the meta device, where the number of elements is unknown.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1, 2], [3, 4]])
    >>> tg.masked_select(x, x > 1).tolist()
    [2, 3, 4]
    """
    _check_mask("masked_select", input, mask)
    if isinstance(raw(mask), Spec):
        raise GraphError(
            "masked_select",
            "the number of True elements is not known on the meta device",
            repair="Use masked_fill or where, which keep the shape.",
        )
    shape = common_shape("masked_select", input=input, mask=mask)
    return getitem(expand(input, shape), expand(mask, shape))


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of axis ``dim`` at the positions ``index`` (a vector, or one number).

    A 0-d input counts as a vector of one; the result is 0-d again.

    Raises:
        RangeError: a position is outside 0 .. size - 1.
        ShapeError: the index has more than one axis.
        DTypeError: the index is not integer.

    >>> import tinygrad_cv as tg
    >>> tg.index_select(tg.tensor([[1, 2], [3, 4]]), 1, tg.tensor([1, 1])).tolist()
    [[2, 2], [4, 4]]
    """
    vector, places = _along("index_select", input, dim, index)
    result = read(vector, places)
    if input.shape:
        return result
    if result.shape != (1,):
        raise ShapeError(
            "index_select",
            f"a 0-d input has one element, the index has {result.shape[0]}",
            values=[("input", input.shape), ("index", index.shape)],
            repair="Use input.reshape(1).",
        )
    return reshape(result, ())


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """The input plus ``alpha * source``, slice k of ``source`` added at position ``index[k]``.

    Positions may repeat; the sums run in the order of ``index``.

    Raises:
        ShapeError: ``source`` does not have the shape of ``index_select(input, dim, index)``.
        RangeError, DTypeError: as :func:`index_select`.

    >>> import tinygrad_cv as tg
    >>> tg.index_add(tg.zeros(2), 0, tg.tensor([1, 1]), tg.tensor([2.0, 3.0])).tolist()
    [0.0, 5.0]
    """
    vector, places = _along("index_add", input, dim, index)
    source = source if type(alpha) is int and alpha == 1 else source * alpha
    source = _source("index_add", places.result("index_add", vector.shape), input, source)
    return input + reshape(add_at(source, vector.shape, places), input.shape)


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy of the input, with slice k of ``source`` written at position ``index[k]``.

    Raises:
        ShapeError, RangeError, DTypeError: as :func:`index_add`.

    >>> import tinygrad_cv as tg
    >>> tg.index_copy(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([5.0, 6.0])).tolist()
    [6.0, 0.0, 5.0]
    """
    vector, places = _along("index_copy", input, dim, index)
    source = _source("index_copy", places.result("index_copy", vector.shape), input, source)
    return reshape(write(vector, source, places), input.shape)


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy of the input, with ``value`` in the slices of axis ``dim`` at the positions ``index``.

    Negative positions count from the back here, as in PyTorch.

    Raises:
        RangeError, DTypeError: as :func:`index_select`.

    >>> import tinygrad_cv as tg
    >>> tg.index_fill(tg.zeros(3), 0, tg.tensor([2, 0]), 1.0).tolist()
    [1.0, 0.0, 1.0]
    """
    vector, places = _along("index_fill", input, dim, index, negative=True)
    filled = index_put(vector, (slice(None),) * places.dims[0] + (places.flat,), value)
    return reshape(filled, input.shape)


def take(input: Any, index: Any) -> Any:
    """The elements at positions of the flat input: ``y[k] = x.flat[index[k]]``.

    Raises:
        RangeError: a position is outside the input.

    >>> import tinygrad_cv as tg
    >>> tg.take(tg.tensor([[1, 2], [3, 4]]), tg.tensor([0, 3])).tolist()
    [1, 4]
    """
    return getitem(reshape(input, (-1,)), index)


def repeat_interleave(
    input: Any, repeats: Any, dim: Any = None, axis: Any = None, *, output_size: Any = None
) -> Any:
    """Each slice of axis ``dim`` repeated in place; NumPy's ``repeat``. Without ``dim``, flat.

    Args:
        repeats: one number for all, or a vector with one for each slice.
        output_size: the sum of all repeats, for those who know it; it is checked.

    Raises:
        ShapeError: as many repeats as slices are needed, or the sum is not ``output_size``.

    >>> import tinygrad_cv as tg
    >>> tg.repeat_interleave(tg.tensor([1, 2, 3]), 2).tolist()
    [1, 1, 2, 2, 3, 3]
    >>> tg.repeat_interleave(tg.tensor([1, 2, 3]), tg.tensor([0, 1, 2])).tolist()
    [2, 3, 3]
    """
    dim = named("repeat_interleave", dim, axis)
    if dim is None:
        input, dim = reshape(input, (math.prod(input.shape),)), 0
    along_axis = as_axis("repeat_interleave", dim, len(input.shape), input.shape)
    if not input.shape:
        input = reshape(input, (1,))
    size = input.shape[along_axis]
    if hasattr(repeats, "shape") or isinstance(repeats, (list, tuple)):
        counts = np.asarray(as_tensor(repeats).tolist(), np.int64).reshape(-1)
    else:
        counts = np.asarray([as_int("repeat_interleave", "repeats", repeats)])
    if counts.size not in (1, size) or counts.min(initial=0) < 0:
        raise ShapeError(
            "repeat_interleave",
            f"needs one repeat, or {size}, none negative; there are {counts.size}",
            values=[("input", input.shape), ("repeats", counts.shape)],
        )
    places = np.repeat(np.arange(size), counts)
    if output_size is not None and places.size != output_size:
        raise ShapeError(
            "repeat_interleave",
            f"output_size = {output_size}, the repeats give {places.size}",
            values=[("input", input.shape), ("repeats", counts.shape)],
            repairs=[{"output_size": places.size}],
        )
    return index_select(input, along_axis, places)


def _along(op: str, input: Any, dim: Any, index: Any, negative: bool = False) -> tuple[Any, Places]:
    """The input with at least one axis, and the positions along axis ``dim``. A number counts as a
    vector of one, as input and as index."""
    if len(index.shape) > 1:
        raise ShapeError(
            op,
            "the index must be a vector or one number",
            values=[("input", input.shape), ("index", index.shape)],
        )
    axis = as_axis(op, dim, len(input.shape), input.shape)
    index = index if index.shape else reshape(index, (1,))
    vector = input if input.shape else reshape(input, (1,))
    return vector, along(op, vector, axis, index, negative)


def _source(op: str, wanted: Shape, input: Any, source: Any) -> Any:
    """The source in the shape and dtype in which it is written."""
    if not source.shape and wanted == (1,):
        source = reshape(source, wanted)
    if source.shape != wanted:
        raise ShapeError(
            op,
            f"source must have the shape {wanted if input.shape else ()}",
            values=[("input", input.shape), ("source", source.shape)],
        )
    return source if source.dtype == input.dtype else cast(source, input.dtype)


def _fitting(op: str, dtype: Any, value: Any) -> Any:
    """An int as this integer dtype holds it."""
    info = np.iinfo(dtype)
    if not (info.min or -info.max) <= value <= info.max:
        raise DTypeError(
            op,
            f"{value} does not fit into {dtype.name}, which holds {info.min} to {info.max}",
            repair="Convert the input to a larger dtype first.",
        )
    return int(np.asarray(value).astype(dtype))


def _check_mask(op: str, input: Any, mask: Any) -> None:
    if mask.dtype.kind != "b":
        raise DTypeError(
            op,
            f"the mask must be bool, it is {mask.dtype.name}",
            values=[("input", input.shape), ("mask", mask.shape)],
            repair="Make it with a comparison such as x > 0, or with mask.bool().",
        )
