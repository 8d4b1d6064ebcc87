"""Which module owns an array, where it lives, and how it moves.

Three kinds of array exist: ``numpy.ndarray`` (device ``cpu``), ``cupy.ndarray`` (device ``cuda:i``)
and :class:`~tinygrad_cv.backend.spec.Spec`, which has no data (device ``meta``). CuPy is imported
only when a CUDA device is asked for, and used only where a device is usable.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import as_dtype, get_default_dtype
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, GraphError

__all__ = [
    "CPU",
    "META",
    "Device",
    "add",
    "as_device",
    "asarray",
    "copy_of",
    "cuda_is_available",
    "default_device",
    "device_of",
    "is_array",
    "is_device",
    "on_device_of",
    "owner_of",
    "placing",
    "set_default_device",
    "shares_memory",
    "to_device",
    "to_numpy",
    "xp_of",
    "zeros",
]


_TYPES = ("cpu", "cuda", "meta")


@dataclass(frozen=True, slots=True, init=False)
class Device:
    """A place for arrays: ``type`` is "cpu", "cuda" or "meta"; ``index`` counts CUDA devices, None
    is the current one. Made from a text ("cuda:1"), a type and an index, or the index of a CUDA
    device. Whether the device exists is seen when it is used.

    On "meta" tensors have a shape, a dtype and a layout but no data, so a network of any size can
    be tried in no memory.

    >>> import tinygrad_cv as tg
    >>> tg.device("cuda", 1), tg.device("cuda:1").index
    (device('cuda:1'), 1)
    >>> tg.zeros(10**6, 10**6, device=tg.device("meta")).sum(0).shape
    (1000000,)
    """

    type: str
    index: int | None

    def __init__(self, type: Any, index: Any = None) -> None:
        name, number = _parsed(type, index)
        object.__setattr__(self, "type", name)
        object.__setattr__(self, "index", number)

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


def _parsed(device: Any, index: Any) -> tuple[str, int | None]:
    """Type and index. "cpu" and "meta" are one place each, with or without the number 0."""
    name, number = str(device), index
    if index is None and _is_number(device):
        name, number = "cuda", device
    elif index is None and ":" in name:
        name, _, digits = name.partition(":")
        number = int(digits) if re.fullmatch("0|[1-9][0-9]*", digits) else -1
    whole = number is None or (_is_number(number) and number >= 0)
    if name not in _TYPES or not whole or (name != "cuda" and number):
        raise ArgumentError(
            "device",
            f"unknown device {device!r}" + ("" if index is None else f" with the index {index!r}"),
            repair='Use "cpu", "cuda", "cuda:1" or "meta".',
        )
    return name, int(number) if name == "cuda" and number is not None else None


def _is_number(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_device(value: Any) -> bool:
    """True for what names a device, also one that does not exist: a Device or PyTorch's, a text
    that begins with the type of one, or the number of a CUDA device."""
    if isinstance(value, str):
        return value.partition(":")[0] in _TYPES
    described = hasattr(value, "index") and hasattr(value, "type") and not isinstance(value, type)
    return described or _is_number(value)


CPU = Device("cpu")
META = Device("meta")
_NOTHING: AbstractContextManager[None] = nullcontext()
_default = CPU
_placed: ContextVar[Device | None] = ContextVar("tinygrad_cv_device", default=None)


def as_device(device: Any = None) -> Device:
    """A usable Device from None (the default), a Device, the index of a CUDA device, or "cpu",
    "cuda", "cuda:1", "meta".

    Raises:
        ArgumentError: the name is unknown.
        BackendError: CUDA is asked for and CuPy or the device is missing; says what and how to
            install it.
    """
    if device is None:
        return default_device()
    found: Device = device if isinstance(device, Device) else Device(device)
    if found.type != "cuda":
        return found
    cupy = _usable_cupy()
    count = int(cupy.cuda.runtime.getDeviceCount())
    index = int(cupy.cuda.Device().id) if found.index is None else found.index
    if index >= count:
        raise BackendError(
            "device", f"cuda:{index} does not exist, this machine has {count} CUDA device(s)"
        )
    return Device("cuda", index)


def default_device() -> Device:
    """Where new tensors are made unless a device is named: the CPU unless changed by
    :func:`set_default_device`.

    >>> import tinygrad_cv as tg
    >>> tg.default_device(), tg.zeros(2).device == tg.default_device()
    (device('cpu'), True)
    """
    return _placed.get() or _default


def set_default_device(device: Any) -> None:
    """Make ``device`` the place of new tensors: "cpu" (at start), "cuda", "cuda:1" or "meta"; None
    is the CPU. Tensors that exist stay where they are.

    Raises:
        ArgumentError: the name is unknown.
        BackendError: CUDA is asked for and CuPy or the device is missing.

    >>> import tinygrad_cv as tg
    >>> tg.set_default_device("meta")
    >>> tg.nn.Linear(10**6, 10**6).weight.device  # a layer of 4 TB, without its memory
    device('meta')
    >>> tg.set_default_device("cpu")
    """
    global _default
    _default = CPU if device is None else as_device(device)


@contextmanager
def placing(device: Device) -> Iterator[None]:
    """Inside the block, and in this thread only, new tensors are made on ``device``.

    >>> with placing(META):
    ...     default_device()
    device('meta')
    """
    token = _placed.set(device)
    try:
        yield
    finally:
        _placed.reset(token)


def cuda_is_available() -> bool:
    """True if CuPy is installed and a CUDA device answers. Never raises.

    >>> import tinygrad_cv as tg
    >>> device = "cuda" if tg.cuda_is_available() else "cpu"
    >>> tg.ones(2, 3, device=device).sum().item()  # the same program on both
    6.0
    """
    try:
        return bool(importlib.import_module("cupy").cuda.is_available())
    except Exception:  # a broken driver may raise anything at import
        return False


def _usable_cupy() -> ModuleType:
    how = (
        "Install CuPy for your CUDA version: pip install cupy-cuda12x, or for CUDA 13 "
        "pip install cupy-cuda13x."
    )
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as missing:
        raise BackendError(
            "device",
            f"cuda needs the package cupy, which cannot be imported ({missing})",
            repair=how,
        ) from None
    try:
        usable = bool(cupy.cuda.is_available())
    except Exception:
        usable = False
    if not usable:
        raise BackendError(
            "device",
            "cupy is installed, but no usable CUDA device was found",
            repair="Check the driver with nvidia-smi and that CuPy's CUDA version is the driver's. "
            + how,
        )
    return cupy


def owner_of(array: Any) -> Any:
    """What owns the memory of a view; another array, or what gave it its memory. An array that
    stands in bytes counts itself: they take no weak reference.

    >>> array = np.zeros(4)
    >>> owner_of(array[1:][1:]) is array
    True
    """
    base = getattr(array, "base", None)
    while base is not None and not isinstance(base, (bytes, bytearray)):
        array, base = base, getattr(base, "base", None)
    return array


def shares_memory(array: Any, others: Iterable[Any]) -> bool:
    """True if ``array`` is one of the others, or stands in memory of one.

    >>> array = np.zeros(4)
    >>> shares_memory(array[1:], [array]), shares_memory(array + 1, [array])
    (True, False)
    """
    base = getattr(array, "base", None)
    for other in others:
        if other is array or (base is not None and owner_of(other) is owner_of(array)):
            return True
    return False


def is_array(value: Any) -> bool:
    """True for an array that an operator computes with: NumPy's, CuPy's, or a Spec."""
    if isinstance(value, (np.ndarray, Spec)):
        return True
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)


def xp_of(array: Any) -> ModuleType:
    """The module, numpy or cupy, whose functions take this array. Python scalars count as
    NumPy's."""
    if isinstance(array, (np.ndarray, np.generic, bool, int, float)):
        return np
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    if isinstance(array, Spec):
        raise GraphError(
            "meta",
            "a tensor on the meta device has no data",
            repair="Move the model to cpu or cuda first.",
        )
    raise DTypeError("array", f"{type(array).__name__} is not an array of NumPy or CuPy")


def device_of(array: Any) -> Device:
    """The device on which an array lies."""
    if isinstance(array, np.ndarray):
        return CPU
    if isinstance(array, Spec):
        return META
    xp_of(array)
    return Device("cuda", int(array.device.id))


def on_device_of(array: Any) -> AbstractContextManager[Any]:
    """CuPy computes, and leaves its results, on the current device: inside the block it is that of
    ``array``. Arrays on the host need nothing."""
    if isinstance(array, (np.ndarray, np.generic, Spec)):
        return _NOTHING
    device: AbstractContextManager[Any] = array.device
    return device


def copy_of(array: Any) -> Any:
    """A copy in the same memory order, on the same device; a Spec has nothing to copy."""
    if isinstance(array, Spec):
        return array
    with on_device_of(array):
        if xp_of(array) is not np or array.nbytes < memory.POOLED_BYTES:
            return array.copy(order="K")
        copy = memory.empty_like(array)
        copy[...] = array
        return copy


def add(a: Any, b: Any, out: Any = None) -> Any:
    """``a + b`` of two arrays of one shape, on the device of ``a``; into ``out`` if it is given."""
    with on_device_of(a):
        xp = xp_of(a)
        return xp.asarray(xp.add(a, b, out=out))


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Zeros on the device of ``like``."""
    if isinstance(like, Spec):
        return Spec(shape, dtype)
    with on_device_of(like):
        return xp_of(like).zeros(shape, dtype)


def asarray(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """An array of a supported dtype on ``device`` from arrays, numbers or nested lists; shares
    memory if it can.

    Python floats take the default float dtype; float64 NumPy arrays keep theirs.
    """
    if dtype is not None:
        dtype = as_dtype(dtype)
    if is_array(data):
        if isinstance(data, np.ndarray) and type(data) is not np.ndarray:
            data = _plain(data)
        target = device_of(data) if device is None else as_device(device)
        moved = to_device(data, target)
        wanted = _dtype_of(data, data) if dtype is None else dtype
        if wanted == moved.dtype:
            return moved
        if isinstance(moved, Spec):
            return moved._replace(dtype=wanted)
        with on_device_of(moved), np.errstate(all="ignore"):
            return moved.astype(wanted)
    try:
        array = np.asarray(data)
    except ValueError as ragged:
        raise ArgumentError(
            "tensor", f"the nested lists have different lengths ({ragged})"
        ) from None
    if dtype is None:
        plain = not isinstance(data, np.generic) and array.dtype == np.float64
        plain = plain and not _holds_numpy(data)
        dtype = get_default_dtype() if plain else _dtype_of(array, data)
    elif array.dtype.kind not in "biuf":
        raise _no_numbers(data)
    with np.errstate(all="ignore"):
        array = array.astype(dtype, copy=False)
    return to_device(array, as_device(device))


def _dtype_of(array: Any, data: Any) -> Any:
    """The dtype of ``array``, which was made of ``data``, if a tensor can have it."""
    try:
        return as_dtype(array.dtype)
    except DTypeError as error:
        if array is not data and array.dtype.kind not in "biuf":
            raise _no_numbers(data) from None
        raise DTypeError("tensor", error.problem, repair=error.repair) from None


def _no_numbers(data: Any) -> DTypeError:
    return DTypeError(
        "tensor",
        f"cannot be made of {data!r:.60}, a {type(data).__name__}",
        repair="Give real numbers, nested lists of them, or an array.",
    )


def _plain(array: Any) -> Any:
    """The plain ndarray in the memory of a subclass: the ``*`` of np.matrix is another one."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DTypeError(
            "tensor", "the mask of a masked array would be lost", repair="Use array.filled(0)."
        )
    return np.asarray(array)


def _holds_numpy(data: Any) -> bool:
    """True if the first element of nested lists is NumPy's, so that its float64 was chosen, not
    assumed."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic))


def to_device(array: Any, device: Device) -> Any:
    """The array on ``device``: itself if it is there already, else a copy."""
    source = device_of(array)
    if source == device:
        return array
    if device.type == "meta":
        return spec_of(array)
    if source.type == "meta":
        raise GraphError(
            "to",
            f"a tensor on the meta device has no data to move to {device}",
            repair="Make the tensor on the target device, or load a state_dict into it.",
        )
    if device.type == "cpu":
        return array.get()
    cupy = _usable_cupy()
    with cupy.cuda.Device(device.index):
        return cupy.asarray(array)


def to_numpy(array: Any) -> np.ndarray:
    """The array's values as a NumPy array; shares memory on the CPU."""
    moved: np.ndarray = to_device(array, CPU)
    return moved
