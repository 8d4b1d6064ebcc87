"""`cupy.ndarray` of the stand-in: a NumPy array that keeps CuPy's rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy as real
import numpy as np

from tests.cupy_standin import state
from tests.cupy_standin.signatures import check_method

__all__ = ["Flags", "StandInError", "check_kind", "ndarray", "poison", "unwrap", "wrap"]

# What `atomicAdd` and its like exist for.
_SCATTER = {
    "add": "iILQefd",
    "max": "iILQfd",
    "min": "iILQfd",
}


class StandInError(AssertionError):
    """The code under test relies on something that real CuPy does not do."""


class Flags:
    """The flags that CuPy has; it has no `writeable`."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous = flags.c_contiguous
        self.f_contiguous = flags.f_contiguous
        self.owndata = flags.owndata
        self.fnc, self.forc = flags.fnc, flags.forc

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class ndarray:
    """An array on a device. Made by the functions of the module, not by its constructor."""

    __slots__ = ("__weakref__", "_base", "_device", "_raw")
    __hash__ = None

    def __init__(self, *_: Any, **__: Any) -> None:
        raise StandInError("use cupy.empty, cupy.zeros or cupy.asarray")

    # Where it lies and how.

    @property
    def device(self) -> state.Device:
        return state.Device(self._device)

    @property
    def base(self) -> ndarray | None:
        return self._base

    @property
    def flags(self) -> Flags:
        return Flags(self._raw.flags)

    @property
    def T(self) -> ndarray:
        return wrap(self._raw.T, self)

    @property
    def mT(self) -> ndarray:
        return wrap(np.swapaxes(self._raw, -1, -2), self)

    # Transfers to the host.

    def get(self, *args: Any, **kwargs: Any) -> np.ndarray:
        check_method("get", args, kwargs)
        state.counts.to_host += 1
        return self._raw.copy()

    def item(self) -> Any:
        state.counts.to_host += 1
        return self._raw.item()

    def tolist(self) -> Any:
        state.counts.to_host += 1
        return self._raw.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        state.counts.to_host += 1
        return self._raw.tobytes(order)

    def __bool__(self) -> bool:
        state.counts.to_host += 1
        return bool(self._raw)

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __repr__(self) -> str:
        state.counts.to_host += 1
        return repr(self._raw)

    __str__ = __repr__

    def __reduce__(self) -> Any:
        from tests.cupy_standin.modules import to_device

        return to_device, (self.get(),)

    # What CuPy refuses.

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise StandInError(f"numpy.{function.__name__} was called with a CuPy array; use xp")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """`np.float32(2) * x` works as in CuPy; a NumPy function or a NumPy array does not."""
        scalars = [x for x in inputs if isinstance(x, np.generic)]
        if method != "__call__" or not scalars or kwargs:
            if any(isinstance(x, np.ndarray) for x in inputs):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
            raise StandInError(f"numpy.{ufunc.__name__} was called with a CuPy array; use xp")
        return _ufunc(ufunc.__name__)(*inputs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(real.ndarray, name):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        raise StandInError(f"the stand-in does not model cupy.ndarray.{name}")

    # Elements.

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[ndarray]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    def __getitem__(self, key: Any) -> ndarray:
        key, by_array = _key(key)
        if not by_array and Ellipsis not in (key if isinstance(key, tuple) else (key,)):
            key = (*key, ...) if isinstance(key, tuple) else (key, ...)  # a view, not a scalar
        return wrap(_indexed(by_array, self._raw.__getitem__, key), self)

    def __setitem__(self, key: Any, value: Any) -> None:
        key, by_array = _key(key)
        source = unwrap(value)
        if not by_array and isinstance(source, np.ndarray):
            target = self._raw[key]
            same = isinstance(target, np.ndarray) and _identical(target, source)
            if not same and np.shares_memory(target, source):
                raise StandInError("assignment between overlapping memory: undefined in CuPy")
        _here(self)
        state.counts.launches += 1
        _indexed(by_array, self._raw.__setitem__, key, source)

    def fill(self, value: Any) -> None:
        self[...] = value

    def _scatter(self, slices: Any, value: Any, what: str) -> None:
        if self.dtype.char not in _SCATTER[what] and self.dtype not in (
            np.dtype(c) for c in _SCATTER[what]
        ):
            raise TypeError(f"scatter_{what} does not support {self.dtype} as data type")
        key, by_array = _key(slices)
        _here(self)
        state.counts.launches += 1
        function = {"add": np.add, "max": np.maximum, "min": np.minimum}[what]
        _indexed(by_array, function.at, self._raw, key, unwrap(value))

    def scatter_add(self, slices: Any, value: Any) -> None:
        self._scatter(slices, value, "add")

    def scatter_max(self, slices: Any, value: Any) -> None:
        self._scatter(slices, value, "max")

    def scatter_min(self, slices: Any, value: Any) -> None:
        self._scatter(slices, value, "min")

    # Copies, whose memory order is CuPy's own.

    def astype(self, *args: Any, **kwargs: Any) -> ndarray:
        check_method("astype", args, kwargs)
        return wrap(self._raw.astype(*args, **kwargs), self, order="K")

    def copy(self, *args: Any, **kwargs: Any) -> ndarray:
        check_method("copy", args, kwargs)
        return wrap(self._raw.copy(*args, **kwargs), order="K")  # to the current device

    def _on_current_device(self) -> ndarray:
        """What `cupy.asarray` makes of an array of another device: a copy."""
        return self if self._device == state.current_device() else self.copy("K")

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, _: Any) -> ndarray:
        return self.copy()

    def argsort(self, *args: Any, **kwargs: Any) -> ndarray:
        check_method("argsort", args, kwargs)
        check_kind(kwargs.get("kind"))
        axis = args[0] if args else kwargs.get("axis", -1)
        return wrap(self._raw.argsort(axis=axis, kind="stable"), self)


def _attribute(name: str) -> Any:
    return property(lambda self: getattr(self._raw, name))


def _method(name: str) -> Any:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        check_method(name, args, kwargs)
        if "copy" in kwargs and kwargs["copy"] is None:
            del kwargs["copy"]
        out = kwargs.pop("out", None)
        result = getattr(self._raw, name)(*unwrap(args), **unwrap(kwargs))
        if out is not None:
            out[...] = wrap(result, self)
            return out
        return wrap(result, self)

    method.__name__ = name
    return method


for _name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides"):
    setattr(ndarray, _name, _attribute(_name))
for _name in (
    *("all", "any", "argmax", "argmin", "clip", "cumprod", "cumsum", "diagonal", "dot", "flatten"),
    *("max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "squeeze"),
    *("std", "sum", "swapaxes", "take", "trace", "transpose", "var", "view", "searchsorted"),
):
    setattr(ndarray, _name, _method(_name))


def _operator(ufunc: str, reflected: bool = False, in_place: bool = False) -> Any:
    def operator(self: ndarray, other: Any) -> Any:
        if not isinstance(other, (ndarray, np.ndarray, np.generic, bool, int, float)):
            return NotImplemented
        pair = (other, self) if reflected else (self, other)
        return _ufunc(ufunc)(*pair, **({"out": self} if in_place else {}))

    return operator


for _name, _function in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}.items():
    setattr(ndarray, f"__{_name}__", _operator(_function))
    setattr(ndarray, f"__r{_name}__", _operator(_function, reflected=True))
    setattr(ndarray, f"__i{_name}__", _operator(_function, in_place=True))
for _name, _function in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}.items():
    setattr(ndarray, f"__{_name}__", _operator(_function))
ndarray.__matmul__ = _operator("matmul")
ndarray.__rmatmul__ = _operator("matmul", reflected=True)
for _name, _function in {
    "neg": "negative",
    "pos": "positive",
    "abs": "absolute",
    "invert": "invert",
}.items():
    setattr(ndarray, f"__{_name}__", lambda self, _function=_function: _ufunc(_function)(self))


def wrap(result: Any, *inputs: Any, order: str = "C") -> Any:
    """A NumPy result as device arrays: a view of an input stays one, fresh memory is C-contiguous
    (`order="K"`: as it is), scalars become 0-d arrays, and what computes counts as a launch."""
    if isinstance(result, (tuple, list)):
        return type(result)(wrap(part, *inputs, order=order) for part in result)
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if not isinstance(result, np.ndarray):
        return result
    for source in inputs:
        raw = source._raw
        if raw is result:
            return source
        if _is_view(result, raw):
            base = source if source._base is None else source._base
            return _new(result, source._device, base)
        _here(source)
    state.counts.launches += 1
    if order == "C" and not result.flags.c_contiguous:
        result = result.copy(order="C")
    return _new(result, state.current_device(), None)


def _is_view(result: np.ndarray, raw: np.ndarray) -> bool:
    """Without elements there is no memory to share, but an owner whose view it is."""
    if result.size:
        return np.may_share_memory(raw, result)
    return result.base is not None and (result.base is raw or result.base is raw.base)


def unwrap(value: Any) -> Any:
    """The NumPy arrays behind device arrays, in nested containers; a NumPy array is refused."""
    if isinstance(value, ndarray):
        _here(value)
        return value._raw
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if type(value) in (tuple, list):
        return type(value)(unwrap(part) for part in value)
    if type(value) is dict:
        return {key: unwrap(part) for key, part in value.items()}
    return value


def poison(raw: np.ndarray) -> np.ndarray:
    """Fresh memory holds anything; NaN shows whoever reads it."""
    raw[...] = np.nan if raw.dtype.kind == "f" else -86 if raw.dtype.kind == "i" else 1
    return raw


def check_kind(kind: Any) -> None:
    """CuPy sorts in one way."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")


def arrays_in(value: Any) -> list[ndarray]:
    """The device arrays in nested containers."""
    if isinstance(value, ndarray):
        return [value]
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in arrays_in(part)]
    return []


def _new(raw: np.ndarray, device: int, base: ndarray | None) -> ndarray:
    array = object.__new__(ndarray)
    array._raw, array._device, array._base = raw, device, base
    return array


def _here(array: ndarray) -> None:
    if array._device != state.current_device():
        raise StandInError(
            f"an array on device {array._device} is used while device {state.current_device()} "
            "is current: CuPy computes through peer access and leaves the result on the latter"
        )


def _key(key: Any) -> tuple[Any, bool]:
    """An index with NumPy arrays behind it, and whether there is one among them."""
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, np.ndarray) for part in parts):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: indices must be on the device")
    for part in parts:
        if isinstance(part, ndarray) and part.dtype.kind == "b":
            state.counts.to_host += 1  # CuPy must learn how many there are
    by_array = any(isinstance(part, (ndarray, list)) for part in parts)
    return unwrap(key), by_array


def _indexed(by_array: bool, function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except IndexError as problem:
        if by_array and "out of bounds" in str(problem):
            raise StandInError(f"CuPy wraps indices out of range silently: {problem}") from None
        raise


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    first, second = a.__array_interface__, b.__array_interface__
    return first["data"] == second["data"] and (a.shape, a.strides) == (b.shape, b.strides)


def _ufunc(name: str) -> Any:
    from tests.cupy_standin.modules import function

    return function(name)
