"""How each value of a function came about, so that two runs of it can be compared.

A computation is an operator, its attributes and the origins of its inputs; equal computations have
one number. An input comes from a computation of the run, or from outside: what was there before is
known by its array, what nobody here computed (a constant that the function makes, what went through
NumPy, memory that it wrote into) by a checksum of its values.
"""

from __future__ import annotations

import struct
import weakref
import zlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from tinygrad_cv.autograd.function_node import FunctionOp
from tinygrad_cv.autograd.function_plan import State as FunctionState
from tinygrad_cv.backend.array import is_array, to_numpy
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import clock, written_after
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.ops.places import Places

__all__ = ["Computation", "Flow", "difference"]

SMALL = 1 << 16  # bytes of a leaf up to which its values count, and not that it is the same array

# (operator, attributes, origins of the inputs), and of a user's Function what it gave.
Computation = tuple[Any, ...]


class Flow:
    """The computations of all runs of one function.

    Attributes:
        computations: by number: (operator, attributes, origins of the inputs).
    """

    def __init__(self, arguments: Iterable[Any]) -> None:
        self.begin = clock.tick()
        self.computations: list[Computation] = []
        self._numbers: dict[Computation, int] = {}
        # id of an array -> (the array, its origin, when that was so)
        self._known: dict[int, tuple[Any, Any, int]] = {}
        self._outside = 0
        for array in arguments:
            self._from_outside(array)

    def number(self, op: Any, inputs: Any, outputs: Any, attrs: Any, node: Node | None) -> int:
        """The number of the computation that just ran, and that ``node`` stands for."""
        computation: Computation = (
            op,
            tuple(map(_frozen, attrs)),
            tuple(map(self._origin, inputs)),
        )
        if issubclass(op, FunctionOp):  # may depend on more than its arguments
            computation += (_given(outputs, node),)
        number = self._numbers.get(computation)
        if number is None:
            number = self._numbers[computation] = len(self.computations)
            self.computations.append(computation)
        return number

    def made(self, outputs: Any, number: int) -> None:
        """The computation of this number gave ``outputs``."""
        for k, tensor in enumerate(outputs):
            self._know(tensor.array, ("computed", number, k))

    def forget(self) -> None:
        """Between two runs: drop what is known of arrays that are gone, and of those known by their
        values, which NumPy may write into unseen."""
        self._known = {
            key: row
            for key, row in self._known.items()
            if row[0]() is not None and row[1][0] != "values"
        }

    def _origin(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return _frozen(value)
        array = value.array
        if isinstance(array, Spec):
            return _values(array)
        reference, origin, time = self._known.get(id(array), (None, None, 0))
        if reference is not None and reference() is array:
            written = clock.last_write > time and written_after(array, time) is not None
            return _values(array) if written else origin
        node: Any = value.node
        old = isinstance(node, Node) and node.stamp < self.begin
        if old or (isinstance(node, Leaf) and array.nbytes > SMALL):
            return self._from_outside(array)
        return self._know(array, _values(array))

    def _from_outside(self, array: Any) -> Any:
        self._outside += 1
        return self._know(array, ("outside", self._outside))

    def _know(self, array: Any, origin: Any) -> Any:
        if not isinstance(array, Spec):
            self._known[id(array)] = (weakref.ref(array), origin, clock.tick())
        return origin


def difference(op: Any, now: Computation, before: Computation) -> str:
    """How two computations by ``op`` differ, in words."""
    for name, a, b in zip(op.attributes, now[1], before[1], strict=False):
        if a != b:
            return _told(name, a, b)
    for k, (a, b) in enumerate(zip(now[2], before[2], strict=False)):
        if a != b:
            return _told(f"{op.inputs[0]}[{k}]" if op.variadic else op.inputs[k], a, b)
    if len(now[2]) != len(before[2]):
        return f"it has {len(now[2])} inputs, it had {len(before[2])}"
    return "it returned or saved other values"


def _told(name: str, now: Any, before: Any) -> str:
    if now[0] == before[0] == "outside" or {now[0], before[0]} == {"outside", "values"}:
        return f"{name!r} is another tensor than it was"
    if now[0] == before[0] == "values":
        if now[1:3] == before[1:3]:
            return f"{name!r} has other values than it had"
        return f"{name!r} is {now[1]} {now[2]}, it was {before[1]} {before[2]}"
    if any(type(kind) is str for kind in (now[0], before[0])):
        return f"{name!r} was not computed as it was before"
    if now[0] is before[0] is Places:
        return f"{name} are other positions than they were"
    one, other = f"{_thawed(now)!r:.60}", f"{_thawed(before)!r:.60}"
    return (
        f"{name} is not what it was, {one}" if one == other else f"{name} is {one}, it was {other}"
    )


def _thawed(frozen: Any) -> Any:
    """The attribute behind ``_frozen``, as it is to be printed."""
    kind, value, *_ = frozen
    if kind is float:
        return struct.unpack("d", value)[0]
    if kind == "values":
        return f"an array {frozen[1]} {frozen[2]}"
    if kind is slice:
        return slice(*map(_thawed, value))
    if kind is dict:
        return {_thawed(k): _thawed(v) for k, v in value}
    if isinstance(value, tuple) and issubclass(kind, (tuple, list)):
        items = [_thawed(item) for item in value]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if is_dataclass(kind):
        return str(tuple(map(_thawed, value)))
    return value.value if isinstance(value, _Object) else value


def _values(array: Any) -> tuple[Any, ...]:
    """An array by its values; on the meta device it has none."""
    if isinstance(array, Spec):
        return "values", array.shape, array.dtype
    flat = np.ascontiguousarray(to_numpy(array)).reshape(-1).view(np.uint8)
    return "values", array.shape, array.dtype, zlib.crc32(flat.data)


def _frozen(value: Any) -> Any:
    """What stands for an attribute or a number: equal for equal types and values only."""
    if type(value) is float:
        return float, struct.pack("d", value)  # tells 0.0 from -0.0, and NaN is itself
    if isinstance(value, Tensor):
        value = value.array
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if is_array(value):
        return _values(value)
    if isinstance(value, Places):
        return Places, _frozen((value.dims, value.sizes, value.flat, value.unique))
    if isinstance(value, (tuple, list)):
        return type(value), tuple(map(_frozen, value))
    if isinstance(value, dict):
        return dict, tuple((_frozen(k), _frozen(v)) for k, v in value.items())
    if isinstance(value, slice):
        return slice, (_frozen(value.start), _frozen(value.stop), _frozen(value.step))
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(_frozen(getattr(value, field.name)) for field in fields(value))
    try:
        hash(value)
    except TypeError:
        return type(value), _Object(value)
    return type(value), value


def _given(outputs: Any, node: Node | None) -> Any:
    """What a user's Function returned and saved."""
    saved = node.saved if node is not None and type(node.saved) is tuple else ()
    kept = [x.attributes if isinstance(x, FunctionState) else x for x in saved]
    return _plain(list(outputs)), _plain(kept)


def _plain(value: Any) -> Any:
    """As ``_frozen``, but of the user's own objects only the types: they may be new in each run."""
    if isinstance(value, (tuple, list)):
        return type(value), tuple(map(_plain, value))
    if isinstance(value, dict):
        return dict, tuple((_frozen(k), _plain(v)) for k, v in value.items())
    if isinstance(value, Tensor) or is_array(value) or type(value) in (bool, int, float, str):
        return _frozen(value)
    return type(value)


class _Object:
    """Something without a hash, equal to what it says that it is equal to."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(type(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Object) and bool(
            self.value is other.value or self.value == other.value
        )
