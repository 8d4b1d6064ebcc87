"""Functions and ufuncs of the stand-in: looked up in the real CuPy, computed by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cupy as real
import numpy as np

from tests.cupy_standin import state
from tests.cupy_standin.arrays import (
    StandInError,
    arrays_in,
    check_kind,
    ndarray,
    poison,
    unwrap,
    wrap,
)
from tests.cupy_standin.signatures import check_call

__all__ = ["SPECIAL", "Function", "UFunc", "to_device"]

_KEEP_ORDER = {"copy", "empty_like", "full_like", "ones_like", "zeros_like", "asfortranarray"}
_ARRAY_OF_BOOL = {"allclose", "array_equal", "array_equiv", "count_nonzero"}  # 0-d in CuPy
_INDEXING = {"take", "take_along_axis", "put_along_axis", "put", "choose"}
_RETURNS_NONE = {"copyto", "put_along_axis", "put", "fill_diagonal", "place", "putmask"}


class Function:
    """A function of the real module by name, with its argument check."""

    def __init__(self, name: str, function: Any, host: Callable[..., Any]) -> None:
        self.__name__ = name
        self._real = function
        self._host = host

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self.__name__
        check_call(name, self._real, args, kwargs)
        out = kwargs.pop("out", None)
        inputs = [a for part in (*args, *kwargs.values()) for a in arrays_in(part)]
        hidden = unwrap(args), unwrap(kwargs)
        if name in ("sort", "argsort"):
            check_kind(kwargs.get("kind"))
            hidden[1]["kind"] = "stable"
        with np.errstate(all="ignore"):
            try:
                result = self._host(*hidden[0], **hidden[1])
            except IndexError as problem:
                if name in _INDEXING and "out of bounds" in str(problem):
                    raise StandInError(f"CuPy wraps indices silently: {problem}") from None
                raise
        if name in _RETURNS_NONE:
            state.counts.launches += 1
            return None
        if name in ("nonzero", "flatnonzero", "argwhere", "unique", "bincount"):
            state.counts.to_host += 1  # the size of the result depends on the data
        if name in _ARRAY_OF_BOOL and not isinstance(result, np.ndarray):
            result = np.asarray(result)
        wrapped = wrap(result, *inputs, order="K" if name in _KEEP_ORDER else "C")
        if out is not None:
            out[...] = wrapped
            return out
        return wrapped


class UFunc:
    """A ufunc of the real module: its arguments, its loops, and the few methods it has."""

    def __init__(self, name: str, ufunc: Any, host: Callable[..., Any]) -> None:
        self.__name__ = name
        self._real = ufunc
        self._host = host
        self.nin, self.nout, self.nargs = ufunc.nin, ufunc.nout, ufunc.nargs
        self.types = ufunc.types

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        unknown = set(kwargs) - {"dtype", "casting"}
        if unknown:
            raise TypeError(f"Wrong arguments {sorted(unknown)}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.__name__!r}")
        args, outs = args[: self.nin], args[self.nin :]
        if out is not None:
            outs = out if isinstance(out, tuple) else (out,)
        if not any(isinstance(x, (ndarray, np.generic, bool, int, float)) for x in args):
            raise TypeError(f"Unsupported type {type(args[0])}")
        inputs = arrays_in(args)
        hidden = unwrap(args)
        with np.errstate(all="ignore"):
            try:
                result = self._host(*hidden, **kwargs)
            except ValueError as problem:
                if "negative integer powers" in str(problem):
                    raise StandInError(f"CuPy gives 0 or 1 silently: {problem}") from None
                raise
        results = result if isinstance(result, tuple) else (result,)
        if "dtype" not in kwargs:
            self._check_loop(hidden, results)
        if not outs:
            return wrap(result, *inputs)
        for target, values in zip(outs, results, strict=True):
            if not isinstance(target, ndarray):
                raise TypeError("Output arguments type must be cupy.ndarray")
            if target.shape != np.shape(values):
                raise ValueError("Out shape is mismatched")
            if not np.can_cast(values.dtype, target.dtype, kwargs.get("casting", "same_kind")):
                raise TypeError(f"output cannot be cast from {values.dtype} to {target.dtype}")
            unwrap(target)
            state.counts.launches += 1
            target._raw[...] = values
        return outs[0] if self.nout == 1 else tuple(outs)

    def _check_loop(self, inputs: tuple[Any, ...], results: tuple[Any, ...]) -> None:
        """The first loop of the real ufunc that takes these dtypes must give NumPy's dtypes."""
        given = tuple(type(x) if _is_weak(x) else np.asarray(x).dtype for x in inputs)
        found = [np.asarray(r).dtype for r in results]
        expected = _loop(tuple(self.types), given)
        if expected is None:
            raise TypeError(f"Wrong type {given} of arguments for cupy_{self.__name__}")
        if expected and expected != found:
            raise StandInError(f"cupy.{self.__name__} of {given} gives {expected}, NumPy {found}")

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self._real._scatter_op not in ("add", "max", "min"):
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        a._scatter(indices, b, self._real._scatter_op)

    def reduce(self, array: ndarray, axis: Any = 0, dtype: Any = None, **kwargs: Any) -> Any:
        check_call(f"{self.__name__}.reduce", self._real.reduce, (None, array), kwargs)
        name = {"add": "sum", "multiply": "prod"}.get(self.__name__)
        if name is None:
            raise NotImplementedError(f"`cupy_{self.__name__}.reduce` is not supported yet")
        return getattr(array, name)(axis, dtype, **kwargs)

    def accumulate(self, array: ndarray, axis: int = 0, dtype: Any = None) -> Any:
        name = {"add": "cumsum", "multiply": "cumprod"}.get(self.__name__)
        if name is None:
            raise NotImplementedError(f"`cupy_{self.__name__}.accumulate` is not supported yet")
        return getattr(array, name)(axis, dtype)

    def reduceat(self, array: ndarray, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
        if self.__name__ != "add":
            raise NotImplementedError(f"`cupy_{self.__name__}.reduceat` is not supported yet")
        raise StandInError("CuPy's add.reduceat subtracts running sums, which loses the small ones")


@cache
def _loop(types: tuple[str, ...], given: tuple[Any, ...]) -> list[np.dtype[Any]] | None:
    """The dtypes that come out of the first loop which takes these: dtypes, and the types of Python
    numbers, which are weak. Empty if such a number lifts the dtype: not looked up in the loops.
    None if no loop takes them."""
    dtypes = [d for d in given if isinstance(d, np.dtype)]
    rank = {"b": 0, "i": 1, "u": 1, "f": 2}
    highest = max((rank[d.kind] for d in dtypes), default=0)
    if any((bool, int, float).index(d) > highest for d in given if not isinstance(d, np.dtype)):
        return []
    for loop in types:
        before, _, after = loop.partition("->")
        if "E" in loop:  # bfloat16, which CuPy has beside ml_dtypes, and NumPy has no letter for
            continue
        if all(
            np.can_cast(d, char)
            for char, d in zip(before, given, strict=True)
            if isinstance(d, np.dtype)
        ):
            return [np.dtype(char) for char in after]
    return None


def to_device(data: Any, dtype: Any = None, order: Any = None) -> ndarray:
    """`cupy.asarray` of what lies on the host."""
    if arrays_in(data):
        data = unwrap(data)
        state.counts.launches += 1
    else:
        state.counts.to_device += 1
    raw = np.array(data, dtype=dtype, order="K" if order is None else order)
    if raw.dtype.kind not in "biuf":
        raise ValueError(f"Unsupported dtype {raw.dtype}")
    launches = state.counts.launches
    array: ndarray = wrap(raw, order="K")
    state.counts.launches = launches
    return array


def _asarray(name: str) -> Callable[..., Any]:
    def convert(data: Any, *args: Any, **kwargs: Any) -> Any:
        check_call(name, getattr(real, name), (data, *args), kwargs)
        if isinstance(data, ndarray):
            kwargs.pop("blocking", None)
            data = data._on_current_device()
            if name == "array":
                kwargs["copy"] = kwargs.get("copy", True)
            order = "K" if name in ("array", "asarray", "asfortranarray") else "C"
            return wrap(getattr(np, name)(data._raw, *args, **kwargs), data, order=order)
        return to_device(data, *args[:1], **{k: v for k, v in kwargs.items() if k == "dtype"})

    return convert


def _asnumpy(a: Any, *args: Any, **kwargs: Any) -> np.ndarray:
    check_call("asnumpy", real.asnumpy, (a, *args), kwargs)
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def _empty(*args: Any, **kwargs: Any) -> ndarray:
    check_call("empty", real.empty, args, kwargs)
    array: ndarray = wrap(poison(np.empty(*args, **kwargs)), order="K")
    state.counts.launches -= 1  # memory from the pool
    return array


def _empty_like(a: ndarray, *args: Any, **kwargs: Any) -> ndarray:
    check_call("empty_like", real.empty_like, (a, *args), kwargs)
    array: ndarray = wrap(poison(np.empty_like(unwrap(a), *args, **kwargs)), order="K")
    state.counts.launches -= 1
    return array


SPECIAL: dict[str, Any] = {
    "asnumpy": _asnumpy,
    "empty": _empty,
    "empty_like": _empty_like,
    **{
        name: _asarray(name)
        for name in ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")
    },
}


def _is_weak(x: Any) -> bool:
    return type(x) in (bool, int, float)  # numpy.float64 is a float, but not weak
