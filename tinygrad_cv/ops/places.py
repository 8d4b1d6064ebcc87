"""What stands between the brackets of ``x[...]``, read once: a basic key and an advanced index.

Reading follows PyTorch: integers count as basic indices even beside index arrays (NumPy makes them
arrays, which can move axes: ``x[0, :, [1, 2]]``), masks and lists are index arrays, and arrays
with a slice between them put their common axes first. Negative steps are allowed, as in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import device_of, is_array, on_device_of, to_device, xp_of
from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.scatter import last_of_each
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops._axes import check_within
from tinygrad_cv.ops.slicing import ALL, Key, position

__all__ = ["Places", "along", "check_positions", "parse", "raw"]

Shape = tuple[int, ...]


class Places:
    """Positions along some axes, chosen by index arrays; constant, owned by the operator.

    Attributes:
        dims: the indexed axes.
        sizes: their sizes.
        flat: where in these axes, read row by row, each position lies; int64, none negative.
        unique: True if it is known that no position stands twice (a mask).
    """

    __slots__ = ("dims", "flat", "last", "sizes", "unique")

    def __init__(self, dims: Shape, sizes: Shape, flat: Any, unique: bool) -> None:
        self.dims = dims
        self.sizes = sizes
        self.flat = flat
        self.unique = unique
        self.last: Any = None

    @property
    def start(self) -> int:
        """Where the axes of the index stand in the result."""
        return self.dims[0] if self.adjacent else 0

    @property
    def adjacent(self) -> bool:
        """True if no slice stands between the indexed axes."""
        return self.dims[-1] - self.dims[0] == len(self.dims) - 1

    def rest(self, shape: Shape) -> Shape:
        """The axes of the input that are not indexed."""
        return tuple(axis for axis in range(len(shape)) if axis not in self.dims)

    def result(self, op: str, shape: Shape) -> Shape:
        """The shape of ``x[...]`` for an input of this shape.

        Raises:
            ShapeError: the indexed axes have other sizes than those the positions were made for.
        """
        if tuple(shape[axis] for axis in self.dims) != self.sizes:
            raise ShapeError(
                op,
                f"the positions are made for sizes {self.sizes} of the axes {self.dims}",
                values=[("input", shape)],
            )
        rest = tuple(shape[axis] for axis in self.rest(shape))
        return (*rest[: self.start], *self.flat.shape, *rest[self.start :])

    def key(self, xp: Any) -> tuple[Any, ...]:
        """One flat index array for each indexed axis."""
        flat = self.flat.reshape(-1)
        return (flat,) if len(self.dims) == 1 else tuple(xp.unravel_index(flat, self.sizes))

    def winners(self, xp: Any) -> Any:
        """True where a position is chosen for the last time, so that its write is the one seen."""
        if self.last is None:
            self.last = last_of_each(xp, self.flat.reshape(-1)).reshape(self.flat.shape)
        return self.last

    def __repr__(self) -> str:
        return f"Places(dims={self.dims}, shape={self.flat.shape})"

    def __str__(self) -> str:
        axes = ("axis " if len(self.dims) == 1 else "axes ") + ", ".join(map(str, self.dims))
        return f"{'×'.join(map(str, self.flat.shape))} of {axes}"


def on_input_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for ``function(op, input, ...)``: its raw arithmetic runs where the input lies."""

    @wraps(function)
    def there(op: str, input: Any, *args: Any, **kwargs: Any) -> Any:
        with on_device_of(raw(input)):
            return function(op, input, *args, **kwargs)

    return there


def parse(op: str, input: Any, index: Any) -> tuple[Key, Places | None]:
    """The basic key of an index, and the advanced part, which applies to the result of the key.

    Raises:
        RangeError: a position is outside its axis, or there are more indices than axes.
        ShapeError: a mask does not have the shape of the axes it covers, or index arrays do not
            broadcast.
        DTypeError: something that cannot be an index.
        ArgumentError: two ellipses, or a step of 0.
        GraphError: the index has no values (meta device).
    """
    key = _of_numbers(op, input.shape, index if type(index) is tuple else (index,))
    return _parsed(op, input, index) if key is None else (key, None)


def _of_numbers(op: str, shape: Shape, entries: tuple[Any, ...]) -> Key | None:
    """The key of ints and of slices of ints, which are most; None if there is anything else."""
    if len(entries) > len(shape):
        return None
    key: list[Any] = []
    for axis, entry in enumerate(entries):
        if type(entry) is slice:
            start, stop, step = entry.start, entry.stop, entry.step
            for part in (start, stop, step):
                if part is not None and type(part) is not int:
                    return None
            if step == 0:
                return None
            key.append((start, stop, 1 if step is None else step))
        elif type(entry) is int:
            key.append(position(op, entry, axis, shape))
        else:
            return None
    return (*key, *(ALL,) * (len(shape) - len(key)))


@on_input_device
def _parsed(op: str, input: Any, index: Any) -> tuple[Key, Places | None]:
    shape = input.shape
    entries = [_entry(op, e) for e in (index if type(index) is tuple else (index,))]
    used = sum(_width(e) for e in entries)
    if used > len(shape):
        raise RangeError(
            op,
            f"{used} indices for {len(shape)} axes",
            values=[("input", shape)],
            repair=f"Use at most {len(shape)}.",
        )
    entries = _without_ellipsis(op, entries, len(shape) - used)

    key: list[Any] = []
    arrays: list[tuple[int, int, Any]] = []  # (axis of the sliced result, size, index array)
    axis = place = 0
    unique = True
    for entry in entries:
        if entry is None or isinstance(entry, bool):
            key.append(None)
            if entry is not None:  # a mask of no axes: takes all or nothing
                arrays.append((place, 1, np.zeros(int(entry), int64)))
            place += 1
        elif isinstance(entry, int):
            key.append(position(op, entry, axis, shape))
            axis += 1
        elif isinstance(entry, slice):
            key.append((entry.start, entry.stop, entry.step))
            axis, place = axis + 1, place + 1
        elif entry.dtype.kind == "b":
            for size, positions in _mask(op, entry, axis, shape):
                key.append(ALL)
                arrays.append((place, size, positions))
                axis, place = axis + 1, place + 1
        else:
            key.append(ALL)
            arrays.append((place, shape[axis], check_positions(op, entry, shape, axis)))
            axis, place, unique = axis + 1, place + 1, False
    if not arrays:
        return tuple(key), None
    return tuple(key), _places(op, raw(input), arrays, unique)


@on_input_device
def along(op: str, input: Any, axis: int, index: Any, negative: bool = False) -> Places:
    """Positions along one axis, given by an index array that counts from the front only, unless
    ``negative``."""
    array, size = raw(index), input.shape[axis]
    array = _entry(op, array) if array.ndim else array
    if array.dtype.kind == "b":
        raise DTypeError(op, "the index must be integer, a mask is not", repair="Use x[mask].")
    places = check_positions(op, array, input.shape, axis, negative)
    return _places(op, raw(input), [(axis, size, places)], False)


def raw(value: Any) -> Any:
    """The array of a Tensor; other values as they are."""
    return value.array if isinstance(value, Tensor) else value


def check_positions(op: str, index: Any, shape: Shape, axis: int, negative: bool = True) -> Any:
    """A copy of an index array as int64, counted from the front; RangeError outside the axis."""
    if isinstance(index, Spec):
        return index._replace(dtype=int64)
    check_within(op, index, axis, shape, negative)
    if not negative:
        return index.astype(int64)
    return xp_of(index).where(index < 0, index + shape[axis], index).astype(int64)


def _entry(op: str, entry: Any) -> Any:
    """An index as None, Ellipsis, bool, int, slice of ints, or an array of ints or bools."""
    if entry is None or entry is Ellipsis or type(entry) is int:
        return entry
    if isinstance(entry, slice):
        parts = (
            None if p is None else _whole(op, p) for p in (entry.start, entry.stop, entry.step)
        )
        start, stop, step = parts
        if step == 0:
            raise ArgumentError(
                op, "a step of 0 takes no end", repair="Use a step such as 1 or -1."
            )
        return slice(start, stop, 1 if step is None else step)
    if isinstance(entry, (bool, np.bool_)):
        return bool(entry)
    entry = raw(entry)
    if not is_array(entry):
        if not isinstance(entry, (list, tuple, range)):
            return _whole(op, entry)
        entry = _array_of(op, entry)
    if entry.dtype.kind not in "iub" or entry.dtype == np.uint8:
        also = " (PyTorch reads uint8 as a mask, NumPy as positions)" * (entry.dtype == np.uint8)
        raise DTypeError(
            op,
            f"an index array must be integer or bool, this one is {entry.dtype.name}{also}",
            values=[("index", entry.shape)],
            repair="Convert it to int64 for positions, to bool for a mask.",
        )
    if entry.ndim:
        return entry
    if isinstance(entry, Spec):
        raise _no_values(op)
    return bool(entry) if entry.dtype.kind == "b" else int(entry)


def _whole(op: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(
            op,
            f"an index can be int, slice, None, Ellipsis, list, array or tensor, not "
            f"{type(value).__name__} {value!r}",
        ) from None


def _array_of(op: str, values: Any) -> Any:
    """A list of positions or truth values as an array; an empty list holds positions."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as problem:
        raise DTypeError(op, f"this list cannot be an index: {problem}") from None
    return array.astype(int64) if array.size == 0 else array


def _width(entry: Any) -> int:
    """How many axes of the input an entry takes."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    if isinstance(entry, (int, slice)):
        return 1
    return int(entry.ndim) if entry.dtype.kind == "b" else 1


def _without_ellipsis(op: str, entries: list[Any], missing: int) -> list[Any]:
    where = [k for k, entry in enumerate(entries) if entry is Ellipsis]
    if len(where) > 1:
        raise ArgumentError(op, "an index can have one ellipsis (...) only")
    at = where[0] if where else len(entries)
    return [*entries[:at], *[slice(None, None, 1)] * missing, *entries[at + 1 :]]


def _mask(op: str, mask: Any, axis: int, shape: Shape) -> list[tuple[int, Any]]:
    """(size, positions) for each axis that a mask covers."""
    covered = shape[axis : axis + mask.ndim]
    if mask.shape != covered:
        raise ShapeError(
            op,
            f"the mask must have the shape of the axes it covers, {covered}",
            values=[("input", shape), ("mask", mask.shape)],
        )
    if isinstance(mask, Spec):
        raise _no_values(op)
    return list(zip(covered, xp_of(mask).nonzero(mask), strict=True))


def _places(op: str, input: Any, arrays: list[tuple[int, int, Any]], unique: bool) -> Places:
    dims = tuple(place for place, _, _ in arrays)
    sizes = tuple(size for _, size, _ in arrays)
    try:
        shape = np.broadcast_shapes(*(array.shape for _, _, array in arrays))
    except ValueError:
        raise ShapeError(
            op,
            "the index arrays do not broadcast to one shape",
            law=["sizes, aligned at the right, must be equal or 1"],
            values=[("input", input.shape)]
            + [(f"index {k}", array.shape) for k, (_, _, array) in enumerate(arrays)],
        ) from None
    if any(isinstance(array, Spec) for _, _, array in arrays):
        if not isinstance(input, Spec):
            raise _no_values(op)
        return Places(dims, sizes, Spec(shape, int64), unique)
    flat = None
    for _, size, array in arrays:
        if not isinstance(input, Spec):
            array = to_device(array, device_of(input))
        flat = array if flat is None else flat * size + array
    return Places(dims, sizes, flat, unique)


def _no_values(op: str) -> GraphError:
    return GraphError(
        op,
        "the shape of the result depends on the values of the index, which lies on the meta device",
        repair="Use an index on the CPU, or masked_fill / where, which keep the shape.",
    )
