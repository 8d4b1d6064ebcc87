"""Dtypes are NumPy's; promotion is PyTorch's.

Categories are bool < integer < float. The result has the highest category among the operands;
inside that category, arrays with dimensions decide before 0-d arrays, and 0-d arrays before Python
scalars:

>>> import numpy as np
>>> promote(np.zeros(2, "int64"), np.zeros(2, "float32"))
dtype('float32')
>>> promote(np.zeros(2, "float32"), np.zeros((), "float64"), 2.5)
dtype('float32')
>>> promote(np.zeros(2, "int64"), 2.5)      # the default float dtype
dtype('float32')
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.errors import DTypeError

__all__ = [
    "as_dtype",
    "bool_",
    "float32",
    "float64",
    "get_default_dtype",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_float",
    "promote",
    "set_default_dtype",
    "supported",
    "uint8",
]

DType = np.dtype[Any]

bool_: DType = np.dtype("bool")
uint8: DType = np.dtype("uint8")
int8: DType = np.dtype("int8")
int16: DType = np.dtype("int16")
int32: DType = np.dtype("int32")
int64: DType = np.dtype("int64")
float32: DType = np.dtype("float32")
float64: DType = np.dtype("float64")

supported = (bool_, uint8, int8, int16, int32, int64, float32, float64)
_BY_NAME: dict[Any, DType] = {d: d for d in supported} | {d.name: d for d in supported}
_BY_NAME |= {
    bool: bool_,
    int: int64,
    "float": float32,
    "double": float64,
    "long": int64,
    "int": int32,
}

_default = float32


def as_dtype(dtype: Any) -> DType:
    """A supported dtype from a dtype, its name, a NumPy scalar type, or Python's bool, int,
    float."""
    if dtype is float:
        return _default
    try:
        found = _BY_NAME.get(dtype)
        if found is None:
            known = isinstance(dtype, (str, type, np.dtype))  # NumPy finds a dtype in anything
            found = _BY_NAME.get(np.dtype(dtype)) if known else None
    except TypeError:
        found = None
    if found is None:
        repair = "Use one of " + ", ".join(d.name for d in supported) + "."
        if isinstance(dtype, str):
            repair += " Devices are called cpu, cuda, cuda:1 and meta."
        raise DTypeError("dtype", f"{dtype!r} is not supported", repair=repair)
    return found


def get_default_dtype() -> DType:
    """The dtype given to Python floats; float32 unless changed.

    NumPy's own float64 arrays and numbers keep theirs:

    >>> import numpy as np, tinygrad_cv as tg
    >>> tg.get_default_dtype(), tg.tensor([0.5]).dtype, tg.tensor(np.array([0.5])).dtype
    (dtype('float32'), dtype('float32'), dtype('float64'))
    """
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Make ``dtype`` (float32 or float64) the dtype of Python floats and of new parameters.

    Raises:
        DTypeError: the dtype is not floating, or not supported.

    >>> import tinygrad_cv as tg
    >>> tg.set_default_dtype("float64")
    >>> tg.tensor([0.5]).dtype.name, tg.nn.Linear(2, 1).weight.dtype.name
    ('float64', 'float64')
    >>> tg.set_default_dtype("float32")
    """
    global _default
    wanted = as_dtype(dtype)
    if wanted.kind != "f":
        raise DTypeError("set_default_dtype", f"{wanted.name} is not a floating dtype")
    _default = wanted


def is_float(dtype: DType) -> bool:
    """True for the dtypes that can have a gradient."""
    return dtype.kind == "f"


_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}


def promote(*operands: Any) -> DType:
    """The common dtype of arrays and Python scalars by PyTorch's rule."""
    by_rank: list[DType | None] = [None, None, None]  # scalars, 0-d arrays, arrays
    for operand in operands:
        rank, dtype = _rank(operand)
        known = by_rank[rank]
        by_rank[rank] = dtype if known is None else _common(known, dtype)
    result: DType | None = None
    for candidate in reversed(by_rank):
        if candidate is None:
            continue
        if result is None or _CATEGORY[candidate.kind] > _CATEGORY[result.kind]:
            result = candidate
    return result if result is not None else _default


def _rank(operand: Any) -> tuple[int, DType]:
    kind = type(operand)
    if kind is bool:
        return 0, bool_
    if kind is int:
        return 0, int64
    if kind is float:
        return 0, _default
    dtype = as_dtype(operand.dtype)
    return (2 if operand.ndim else 1), dtype


def _common(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if _CATEGORY[a.kind] != _CATEGORY[b.kind]:
        return a if _CATEGORY[a.kind] > _CATEGORY[b.kind] else b
    return np.promote_types(a, b)
