"""Conversion of dtypes and transfer between devices; gradients come back in the old dtype, on the
old device.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.array import Device, as_device, device_of, is_device, to_device
from tinygrad_cv.backend.dtypes import as_dtype, bool_, float32, float64, int32, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._elementwise import Unary

__all__ = ["Cast", "Move", "cast", "move"]


class Cast(Unary):
    """The same numbers in another dtype; the memory order stays."""

    name = "cast"
    equation = "y = x"
    gradients = {"input": "g"}
    edges = "to integers: towards zero, NaN and what does not fit undefined; to bool: not 0"
    dtypes = "bool, integer, floating"

    @classmethod
    def infer(cls, input: Spec, dtype: Any) -> Spec:
        return input._replace(dtype=dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dtype: Any) -> Any:
        return input.astype(dtype)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g


class Move(Op):
    """The same numbers on another device."""

    name = "move"
    equation = "y = x"
    gradients = {"input": "g, moved back"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, device: Device, source: Device) -> Spec:
        return input

    @staticmethod
    def forward(xp: Any, input: Any, device: Device, source: Device) -> Any:
        moved = to_device(input, device)
        return input.copy() if moved is input else moved

    @staticmethod
    def vjp_input(g: Any, device: Device, source: Device) -> Any:
        return _move(g, source, device)


_move = Move.call


def cast(input: Any, dtype: Any) -> Any:
    """The input in another dtype; itself if it has that dtype already. The gradient comes back in
    the old one.

    Floats to integers lose their fraction; the value of NaN or of a number that does not fit is
    undefined.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1.9, -1.9]).long().tolist()
    [1, -1]
    """
    dtype = as_dtype(dtype)
    return input if input.dtype == dtype else Cast.call(input, dtype)


def move(input: Any, device: Any) -> Any:
    """The input on ``device``; itself if it lies there already. The gradient comes back to the old
    device.

    Raises:
        GraphError: the input is on the meta device and has no data to move.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3).to("meta").shape
    (2, 3)
    """
    target, source = as_device(device), device_of(input.array)
    if target == source:
        return input
    if "meta" in (target.type, source.type):  # nothing to differentiate, or nothing to move
        return Tensor(to_device(input.array, target))
    return _move(input, target, source)


def _to(
    self: Any,
    *args: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Any:
    """This tensor in another dtype and/or on another device; itself if nothing changes, unless
    ``copy``.

    ``t.to(dtype)``, ``t.to(device)``, ``t.to(device, dtype)`` and ``t.to(other_tensor)`` as in
    PyTorch.

    Raises:
        ArgumentError: the arguments are neither a device nor a dtype nor a tensor, or
            ``non_blocking`` is asked for.
        BackendError: the device cannot be used.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.5, -2.5], requires_grad=True)
    >>> x.to("float64").sum().backward()
    >>> x.grad.dtype.name, x.to("int64").tolist(), x.to("float32") is x
    ('float32', [1, -2], True)
    """
    if non_blocking:
        raise ArgumentError(
            "to",
            "non_blocking=True is not supported, every transfer ends before the next operation",
            repair="Leave non_blocking out.",
        )
    for value in args:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif is_device(value):
            device = value
        elif value is None or isinstance(value, bool):
            raise ArgumentError("to", f"{value!r} is neither a device nor a dtype nor a tensor")
        else:
            dtype = value
    result = self if device is None else move(self, device)
    if dtype is not None:
        result = cast(result, dtype)
    return result.clone() if copy and result is self else result


def _float(self: Any) -> Any:
    """This tensor in float32.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([0, 255], dtype="uint8").float() / 255).tolist()  # pixels
    [0.0, 1.0]
    """
    return cast(self, float32)


def _double(self: Any) -> Any:
    """This tensor in float64.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1.0]).double().dtype.name
    'float64'
    """
    return cast(self, float64)


def _long(self: Any) -> Any:
    """This tensor in int64; fractions are cut off.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1.9, -1.9]).long()
    tensor([ 1, -1])
    """
    return cast(self, int64)


def _int(self: Any) -> Any:
    """This tensor in int32; fractions are cut off.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1.9, -1.9]).int()
    tensor([ 1, -1], dtype=int32)
    """
    return cast(self, int32)


def _bool(self: Any) -> Any:
    """This tensor in bool: True where it is nonzero.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([0.0, -0.5, float("nan")]).bool().tolist()
    [False, True, True]
    """
    return cast(self, bool_)


METHODS = {
    "to": _to,
    "float": _float,
    "double": _double,
    "long": _long,
    "int": _int,
    "bool": _bool,
}
