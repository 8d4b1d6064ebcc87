"""Reading ``x[...]`` and its mirror image, writing at chosen positions.

A read is at most two operators: ``Slice`` for integers, ranges and new axes (a view), then
``Index`` for index arrays and masks (a copy). Adjoint to ``Index`` is ``IndexGrad``, which adds the
gradients of a position that was read several times; the two are closed under differentiation.
``SetItem`` is the write as a pure function: a new tensor, equal to the input but for the positions
written. Where a position is written several times the last value stands, and it alone gets the
gradient.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.array import on_device_of, xp_of
from tinygrad_cv.backend.layout import copied
from tinygrad_cv.backend.scatter import sum_rows, write_rows
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import expand, sum_to
from tinygrad_cv.ops.places import Places, parse
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.slicing import (
    Key,
    as_slices,
    full_key,
    position,
    replaced,
    slice_,
    slice_grad,
    sliced_shape,
)

__all__ = ["Index", "IndexGrad", "SetFill", "SetItem", "getitem", "index_put"]

TENSOR_FUNCTIONS = ("index_put",)

Shape = tuple[int, ...]


def getitem(input: Any, index: Any) -> Any:
    """``x[index]``: integers, slices (of either sign), None, ``...``, masks, index arrays, mixed.

    Without masks and arrays the result is a view. Integer arrays take positions, broadcast against
    each other, and put their common axes where the first of them stood, or in front if a slice
    stands between them. A mask counts as the arrays of its True positions. Rules as PyTorch.

    Raises:
        RangeError: a position is outside its axis, or there are more indices than axes.
        ShapeError: a mask has another shape than the axes it covers; arrays do not broadcast.
        DTypeError: the index is a float, a string, a uint8 array ...
        GraphError: a mask on the meta device, whose result has no known shape.

    >>> import tinygrad_cv as tg
    >>> x = tg.arange(6).reshape(2, 3)
    >>> x[1, ::2].tolist(), x[:, [2, 0]].tolist(), x[x > 2].tolist()
    ([3, 5], [[2, 0], [5, 3]], [3, 4, 5])
    """
    if type(index) is int and input.shape:
        return slice_(input, replaced(input.shape, 0, position("getitem", index, 0, input.shape)))
    key, places = parse("getitem", input, index)
    if places is None:
        return slice_(input, key)
    return read(input if is_full(key) else slice_(input, key), places)


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy of the input with ``values`` at ``x[indices]``; the values are broadcast and cast.

    Args:
        indices: whatever can stand between the brackets of ``x[...]``.
        values: a tensor or a number; broadcasts to the shape of ``x[indices]``.
        accumulate: add to what is there instead of replacing it. Positions that stand several
            times get every value then; without it the last value stands.

    Raises:
        ShapeError: the values do not broadcast to the shape of ``x[indices]``.
        RangeError, DTypeError, GraphError: as for reading ``x[indices]``.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(4)
    >>> tg.index_put(x, [1, 1, 3], tg.tensor([1.0, 2.0, 3.0])).tolist()
    [0.0, 2.0, 0.0, 3.0]
    >>> tg.index_put(x, [1, 1, 3], tg.tensor([1.0, 2.0, 3.0]), accumulate=True).tolist()
    [0.0, 3.0, 0.0, 3.0]
    """
    key, places = parse("index_put", input, indices)
    if type(values) in (bool, int, float) and not accumulate:
        return _set_fill(input, _number(input.dtype, values), key, places)
    target = _selected(input.shape, key, places)
    values = _fitted(input, values, target)
    if not accumulate:
        return _set_item(input, values, key, places)
    added = expand(values, target)
    if places is not None:
        added = add_at(added, sliced_shape(input.shape, key), places)
    return input + (added if is_full(key) else slice_grad(added, input.shape, key))


def assign(target: Tensor, index: Any, value: Any) -> tuple[type[Op], Any, tuple[Any, ...]]:
    """``target[index] = value`` in the memory of the target, unrecorded; costs what is written.

    Returns:
        The operator that would have recorded it, its inputs and its attributes.

    Raises:
        ShapeError, RangeError, DTypeError, GraphError: as :func:`index_put`, before anything is
            changed.
    """
    key, places = parse("index_put", target, index)
    run: tuple[type[Op], Any, tuple[Any, ...]]
    if type(value) in (bool, int, float):
        written = _number(target.dtype, value)
        run = SetFill, (target,), (written, key, places)
    else:
        values = _fitted(target, value, _selected(target.shape, key, places))
        written, run = values.array, (SetItem, (target, values), (key, places))
    if not isinstance(target.array, Spec):
        with on_device_of(target.array):
            put(xp_of(target.array), target.array, written, key, places)
    return run


def _number(dtype: Any, value: Any) -> Any:
    """A Python number as it reads in this dtype."""
    try:
        return dtype.type(value).item()
    except (OverflowError, ValueError):
        raise DTypeError("index_put", f"{value} does not fit into {dtype.name}") from None


def _fitted(input: Any, values: Any, target: Shape) -> Any:
    """The values as an operand that broadcasts to ``target``, in the input's dtype."""
    if isinstance(input, Tensor) or type(values) in (bool, int, float):
        values = as_tensor(values)
        if isinstance(input, Tensor) and values.ndim == 0 and values.device != input.device:
            values = as_tensor(values, device=input.device)
    if values.dtype != input.dtype:
        values = cast(values, input.dtype)
    extra = len(values.shape) - len(target)
    if extra > 0 and values.shape[:extra] == (1,) * extra:
        values = reshape(values, values.shape[extra:])
    _check_fit(input.shape, values.shape, target)
    return values


def _selected(shape: Shape, key: Key, places: Places | None) -> Shape:
    """The shape of what is written to."""
    sliced = sliced_shape(shape, key)
    return sliced if places is None else places.result("index_put", sliced)


def _check_fit(shape: Shape, values: Shape, target: Shape) -> None:
    aligned = (1,) * (len(target) - len(values)) + values
    if len(aligned) > len(target) or any(
        n not in (1, m) for n, m in zip(aligned, target, strict=True)
    ):
        raise ShapeError(
            "index_put",
            "the values do not broadcast to the selected positions",
            law=[f"{values} does not broadcast to {target}"],
            values=[("input", shape), ("selected", target), ("values", values)],
            repair=f"Give one number, or values of shape {target}.",
            repairs=[{"values": target}],
        )


class Index(Op):
    """The elements at positions given by index arrays.

    With ``last`` a position that stands several times is read once, at its last place, and the
    other places are 0: the adjoint of writing, where only the last value stands.
    """

    name = "index"
    equation = "y[k] = x[index[k]]"
    gradients = {"input": "dx[p] = sum of g[k] over all k with index[k] = p"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, places: Places, last: bool) -> Spec:
        return Spec(places.result("index", input.shape), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, places: Places, last: bool) -> Any:
        dims, start = places.dims, places.start
        if len(dims) == 1:
            y = xp.take(input, places.flat, axis=dims[0])
        elif places.adjacent and input.flags.c_contiguous:
            count = math.prod(places.sizes)
            merged = input.reshape(*input.shape[:start], count, *input.shape[dims[-1] + 1 :])
            y = xp.take(merged, places.flat, axis=start)
        else:
            rest = places.rest(input.shape)
            y = input.transpose(dims + rest)[places.key(xp)]
            y = _from_front(places, y.reshape(places.flat.shape + y.shape[1:]))
        if last and not places.unique:
            won = places.winners(xp)
            y = xp.where(won.reshape(won.shape + (1,) * (y.ndim - start - won.ndim)), y, 0)
        return xp.ascontiguousarray(y).reshape(y.shape)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, places: Places, last: bool) -> Any:
        return _index_grad(g, input_shape, places, last)


class IndexGrad(Op):
    """Adjoint of ``Index``: zeros, with each element of ``grad`` added at its position.

    With ``last`` the elements replace each other instead, and the last one stands. The sums run in
    the order of the index, so they are the same in every run.
    """

    name = "index_grad"
    equation = "y[p] = sum of g[k] over all k with index[k] = p"
    gradients = {"grad": "dg[k] = G[index[k]]"}
    edges = "what comes to one place is added in order"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, shape: Shape, places: Places, last: bool) -> Spec:
        if grad.shape != places.result("index_grad", shape):
            raise ShapeError(
                "index_grad",
                f"the index takes {places.result('index_grad', shape)} of {shape}",
                values=[("grad", grad.shape), ("shape", shape)],
            )
        return Spec(shape, grad.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, shape: Shape, places: Places, last: bool) -> Any:
        rest = places.rest(shape)
        rows = _rows(places, grad)
        flat = places.flat.reshape(-1)
        if last or places.unique:
            table = xp.zeros((math.prod(places.sizes), rows.shape[1]), grad.dtype)
            write_rows(xp, table, (flat,), rows)
        else:
            table = sum_rows(xp, flat, rows, math.prod(places.sizes))
        table = table.reshape(places.sizes + tuple(shape[axis] for axis in rest))
        order = places.dims + rest
        y = table.transpose(tuple(order.index(axis) for axis in range(len(shape))))
        return xp.ascontiguousarray(y).reshape(shape)

    @staticmethod
    def vjp_grad(g: Any, places: Places, last: bool) -> Any:
        return _index(g, places, last)


class SetItem(Op):
    """The input with other values at some positions; of several values for one, the last stands."""

    name = "setitem"
    equation = "y = x, then y[index[k]] = v[k] for k in order"
    gradients = {
        "input": "dx = g, but 0 at the written positions",
        "values": "dv[k] = g[index[k]] where write k was the last to its position, else 0",
    }
    edges = "of several values for one place the last stands, and alone gets the gradient"
    dtypes = "bool, integer, floating"
    inputs = ("input", "values")

    @staticmethod
    def infer(input: Spec, values: Spec, key: Key, places: Places | None) -> Spec:
        _check_fit(input.shape, values.shape, _selected(input.shape, key, places))
        return input

    @staticmethod
    def forward(xp: Any, input: Any, values: Any, key: Key, places: Places | None) -> Any:
        out = copied(xp, input)
        put(xp, out, values, key, places)
        return out

    @staticmethod
    def vjp_input(g: Any, key: Key, places: Places | None) -> Any:
        return _set_fill(g, 0.0, key, places)

    @staticmethod
    def vjp_values(g: Any, values_shape: Shape, key: Key, places: Places | None) -> Any:
        taken = slice_(g, key)
        if places is not None:
            taken = _index(taken, places, True)
        return sum_to(taken, values_shape)


class SetFill(Op):
    """The input with one number at some positions."""

    name = "setitem_fill"
    equation = "y = x, then y[index[k]] = value"
    gradients = {"input": "dx = g, but 0 at the written positions"}
    edges = "the value is a constant"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, value: float, key: Key, places: Places | None) -> Spec:
        _selected(input.shape, key, places)
        return input

    @staticmethod
    def forward(xp: Any, input: Any, value: float, key: Key, places: Places | None) -> Any:
        out = copied(xp, input)
        put(xp, out, value, key, places)
        return out

    @staticmethod
    def vjp_input(g: Any, key: Key, places: Places | None) -> Any:
        return _set_fill(g, 0.0, key, places)


_index = Index.call
_index_grad = IndexGrad.call
_set_item = SetItem.call
_set_fill = SetFill.call


def read(input: Any, places: Places) -> Any:
    """The elements at index arrays."""
    return _index(input, places, False)


def write(input: Any, values: Any, places: Places) -> Any:
    """A copy of the input with ``values`` at index arrays."""
    return _set_item(input, values, full_key(len(input.shape)), places)


def add_at(grad: Any, shape: Shape, places: Places) -> Any:
    """Zeros of ``shape``, with ``grad`` added at index arrays."""
    return _index_grad(grad, shape, places, False)


def is_full(key: Key) -> bool:
    """True if a key takes every axis whole, so that slicing with it changes nothing."""
    return all(type(entry) is tuple and entry == (None, None, 1) for entry in key)


def put(xp: Any, array: Any, values: Any, key: Key, places: Places | None) -> None:
    """Write into a raw array, in place; later values replace earlier ones."""
    target = array[as_slices(key)]
    if places is None:
        target[...] = values
        return
    shape = target.shape
    target = target.transpose(places.dims + places.rest(shape))
    if not getattr(values, "shape", ()):
        target[places.key(xp)] = values
    else:
        rows = _to_front(places, xp.broadcast_to(values, places.result("setitem", shape)))
        rows = rows.reshape(places.flat.size, *rows.shape[places.flat.ndim :])
        write_rows(xp, target, places.key(xp), rows)


def _to_front(places: Places, result: Any) -> Any:
    """The axes of the index, which stand at ``places.start``, moved to the front."""
    start, count = places.start, places.flat.ndim
    inner = tuple(range(start, start + count))
    return result.transpose(*inner, *(a for a in range(result.ndim) if a not in inner))


def _from_front(places: Places, result: Any) -> Any:
    start, count = places.start, places.flat.ndim
    return result.transpose(
        *range(count, count + start), *range(count), *range(count + start, result.ndim)
    )


def _rows(places: Places, result: Any) -> Any:
    """A result of ``Index`` as a matrix: one row for each entry of the index."""
    moved = _to_front(places, result)
    return moved.reshape(places.flat.size, math.prod(moved.shape[places.flat.ndim :]))


METHODS = {"__getitem__": getitem}
