"""Choosing by a mask without a branch: values as integers, bit by bit.

True is the integer -1, all of whose bits are 1. A branch per element, as ``where`` has it, costs
five to ten times as much where the mask is irregular.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["choose", "keep", "positive_part"]

LARGE = 4096  # elements; below, a choice of three passes costs more than a branch

SMALL = 1024  # elements; below, two calls of NumPy take longer than its slower loops
_ZEROS = {np.dtype(name): np.zeros((), name) for name in ("float32", "float64")}
_INTEGERS = {4: np.dtype("int32"), 8: np.dtype("int64")}


def keep(xp: Any, values: Any, mask: Any, out: Any = None) -> Any:
    """The values where the mask is True, exactly 0 elsewhere, even for NaN and infinities.

    The shapes broadcast; ``out`` has the result's.

    >>> keep(np, np.array([1.0, np.nan]), np.array([True, False])).tolist()
    [1.0, 0.0]
    """
    small = xp is np and out is None and mask.size < SMALL
    if small and values.shape == mask.shape and values.flags.c_contiguous:
        return np.where(mask, values, _ZEROS.get(values.dtype, values.dtype.type(0)))
    bits = _INTEGERS.get(values.dtype.itemsize)
    if bits is None or mask.dtype.kind != "b":
        zero = values.dtype.type(0)  # a plain 0 would make integers of bools
        if out is None:
            return xp.where(mask, values, zero)
        out[...] = xp.where(mask, values, zero)
        return out
    every_bit = xp.negative(mask.view(xp.int8))
    if out is None:
        fits = values.shape == mask.shape or (
            np.broadcast_shapes(values.shape, mask.shape) == values.shape
        )
        if not fits or not values.ndim:
            return xp.bitwise_and(values.view(bits), every_bit).view(values.dtype)
        out = memory.empty_like(values)
    xp.bitwise_and(values.view(bits), every_bit, out=out.view(bits))
    return out


def positive_part(xp: Any, values: Any) -> Any:
    """The larger of each value and 0; NaN stays.

    >>> positive_part(np, np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if xp is np and values.size < SMALL:
        return np.maximum(values, _ZEROS.get(values.dtype, 0))
    if values.dtype.kind != "f":
        return xp.maximum(values, 0, out=memory.empty_like(values))
    return values.clip(0, math.inf, out=memory.empty_like(values))  # NumPy's fastest way


def choose(xp: Any, mask: Any, values: Any, others: Any) -> Any:
    """The values where the mask is True, the others elsewhere.

    The three broadcast; values and others are arrays of one dtype, or numbers. From large arrays of
    one shape, or from one and a Python number, it is chosen bit by bit.

    >>> choose(np, np.array([True, False]), np.array([1, 2]), np.array([3, 4])).tolist()
    [1, 4]
    """
    arrays = [x for x in (values, others) if hasattr(x, "dtype")]
    alike = mask.size >= LARGE and {x.shape for x in arrays} == {mask.shape}
    bits = _INTEGERS.get(arrays[0].dtype.itemsize) if alike else None
    if bits is None:
        return xp.where(mask, values, others)
    out = memory.empty_like(arrays[-1])
    values, others = (xp.asarray(x, dtype=out.dtype) for x in (values, others))
    work = out.view(bits)
    xp.bitwise_xor(values.view(bits), others.view(bits), out=work)  # where they differ,
    xp.bitwise_and(work, xp.negative(mask.view(xp.int8)), out=work)  # and shall be taken,
    xp.bitwise_xor(work, others.view(bits), out=work)  # change the bits of the others
    return out
