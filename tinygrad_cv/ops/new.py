"""More new tensors: on a logarithmic scale, and like another one in dtype and device."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import as_dtype, get_default_dtype, int8, int16, uint8
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError
from tinygrad_cv.ops import creation
from tinygrad_cv.ops._axes import as_axis, as_int
from tinygrad_cv.ops._new import made
from tinygrad_cv.ops._strides import dense_strides
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.facts import numel as numel_of
from tinygrad_cv.ops.select import clamp

__all__ = ["clamp_max", "clamp_min", "logspace", "numel"]

CREATION = ("logspace",)
TENSOR_FUNCTIONS = ("clamp_max", "clamp_min")
TG_FUNCTIONS = ("logspace", "numel")


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` powers of ``base``, from ``base ** start`` to ``base ** end``, both included, whose
    exponents lie at equal distances.

    For an integer ``dtype`` both exponents are cut to integers first, as in PyTorch.

    Raises:
        ArgumentError: ``steps`` is negative, or an end is not finite for an integer ``dtype``.

    >>> import tinygrad_cv as tg
    >>> tg.logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    count, ends = as_int("logspace", "steps", steps), (("start", start), ("end", end))
    if count < 0:
        raise ArgumentError("logspace", f"steps={count} is negative", repairs=[{"steps": 2}])
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    first, last = (_number(n, v) for n, v in ends)
    if count != 1:  # PyTorch does not cut the exponent of a single power
        first, last = (creation.ending("logspace", v, wanted) for v in (first, last))
    power = _number("base", base)

    def make(xp: Any) -> Any:
        with np.errstate(all="ignore"):  # overflow is infinity
            return (power ** creation.evenly(xp, first, last, count)).astype(wanted)

    return made(make, (count,), wanted, device, requires_grad)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise DTypeError("logspace", f"{name} must be a number, not {kind} {value!r}") from None


def clamp_min(input: Any, min: Any) -> Any:
    """``clamp`` with a lower bound only.

    >>> import tinygrad_cv as tg
    >>> tg.clamp_min(tg.tensor([-1.0, 2.0]), 0.0).tolist()
    [0.0, 2.0]
    """
    return clamp(input, min, None)


def clamp_max(input: Any, max: Any) -> Any:
    """``clamp`` with an upper bound only.

    >>> import tinygrad_cv as tg
    >>> tg.clamp_max(tg.tensor([-1.0, 2.0]), 0.0).tolist()
    [-1.0, 0.0]
    """
    return clamp(input, None, max)


def numel(input: Any) -> int:
    """The number of elements.

    >>> import tinygrad_cv as tg
    >>> tg.numel(tg.ones(2, 3))
    6
    """
    return numel_of(input)


def _new_tensor(
    self: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of ``data``, by default of this dtype and on this device.

    >>> import tinygrad_cv as tg
    >>> tg.ones(1, dtype="float64").new_tensor([1, 2]).dtype.name
    'float64'
    """
    dtype, device = _like(self, dtype, device)
    return creation.tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def _new_zeros(
    self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the given sizes, by default of this dtype and on this device.

    >>> import tinygrad_cv as tg
    >>> tg.arange(1).new_zeros(2, 2).tolist()
    [[0, 0], [0, 0]]
    """
    dtype, device = _like(self, dtype, device)
    return creation.zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def _new_ones(
    self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the given sizes, by default of this dtype and on this device.

    >>> import tinygrad_cv as tg
    >>> tg.arange(1).new_ones((2,)).tolist()
    [1, 1]
    """
    dtype, device = _like(self, dtype, device)
    return creation.ones(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def _new_empty(
    self: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Undefined values of the given sizes, by default of this dtype and on this device.

    >>> import tinygrad_cv as tg
    >>> tg.arange(1).new_empty(2, 3).shape
    (2, 3)
    """
    dtype, device = _like(self, dtype, device)
    return creation.empty(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def _new_full(
    self: Any,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value everywhere, of the given sizes, by default of this dtype and on this device.

    >>> import tinygrad_cv as tg
    >>> tg.ones(1).new_full((2,), 7).tolist()
    [7.0, 7.0]
    """
    dtype, device = _like(self, dtype, device)
    full = importlib.import_module("tinygrad_cv.ops").TG_FUNCTIONS["full"]  # says what is wrong
    return full(size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def _like(self: Any, dtype: Any, device: Any) -> tuple[Any, Any]:
    return self.dtype if dtype is None else dtype, self.device if device is None else device


def _short(self: Any) -> Any:
    """This tensor in int16; fractions are cut off.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1.9]).short().dtype.name
    'int16'
    """
    return cast(self, int16)


def _char(self: Any) -> Any:
    """This tensor in int8; fractions are cut off.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1.9]).char().dtype.name
    'int8'
    """
    return cast(self, int8)


def _byte(self: Any) -> Any:
    """This tensor in uint8, as pictures have it; fractions are cut off.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([254.9]).byte().tolist()
    [254]
    """
    return cast(self, uint8)


def _stride(self: Any, dim: int | None = None) -> Any:
    """How many elements of memory lie between neighbours: along each axis, or along ``dim``.

    Raises:
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3).stride(), tg.zeros(2, 3).T.stride(0)
    ((3, 1), 1)
    """
    array = self.array
    if isinstance(array, Spec):
        strides = dense_strides(array)
    else:
        strides = tuple(n // array.itemsize for n in array.strides)
    if dim is None:
        return strides
    axis = as_axis("stride", dim, self.ndim, self.shape)
    if not self.shape:
        raise RangeError("stride", "a 0-d tensor has no axis", values=[("input", ())])
    return strides[axis]


def _is_contiguous(self: Any, memory_format: Any = CONTIGUOUS) -> bool:
    """True if memory runs row by row without gaps, or with ``memory_format="channels_last"`` in
    that order.

    Raises:
        ArgumentError: another memory format.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3).is_contiguous(), tg.zeros(2, 3).T.is_contiguous()
    (True, False)
    """
    name = str(memory_format).removeprefix("torch.").removesuffix("_format")
    if name not in (CONTIGUOUS, CHANNELS_LAST):
        raise ArgumentError(
            "is_contiguous",
            f"there is no memory format {memory_format!r}",
            repairs=[{"memory_format": CONTIGUOUS}, {"memory_format": CHANNELS_LAST}],
        )
    array = self.array
    if isinstance(array, Spec):
        return layout_of(array) == name
    if name == CONTIGUOUS:
        return bool(array.flags.c_contiguous)
    order = (0, *range(2, array.ndim), 1)
    return array.ndim > 2 and bool(array.transpose(order).flags.c_contiguous)


METHODS = {
    "byte": _byte,
    "char": _char,
    "is_contiguous": _is_contiguous,
    "new_empty": _new_empty,
    "new_full": _new_full,
    "new_ones": _new_ones,
    "new_tensor": _new_tensor,
    "new_zeros": _new_zeros,
    "short": _short,
    "stride": _stride,
}
