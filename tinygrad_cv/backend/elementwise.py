"""Elementwise arithmetic on raw arrays: where the result goes, and no warnings on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import Spec, spec_of

__all__ = ["SMALL", "mixed_orders", "power", "quietly", "run_ufunc"]

_POWERS: dict[float, np.ufunc] = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}

SMALL = 16_384  # elements; below this the overhead of a call matters more than the memory it takes


def _quiet_context() -> Context:
    context = Context()
    context.run(np.seterr, all="ignore")
    return context


# NumPy keeps its floating-point error state in a context variable, so a function that runs inside
# this context never warns. Entering it costs a tenth of what `np.errstate` does. One thread can be
# inside at a time.
quietly = _quiet_context().run


def run_ufunc(xp: Any, name: str, arrays: tuple[Any, ...], infer: Callable[..., Spec]) -> Any:
    """The ufunc on arrays and numbers; large results go into recycled memory, channels-last if an
    operand is.

    ``infer`` gives the Spec of the result. NumPy keeps the memory order of operands that agree, so
    a small result needs no Spec; CuPy does not.
    """
    function = getattr(xp, name)
    first, last = arrays[0], arrays[-1]
    small = max(getattr(first, "size", 1), getattr(last, "size", 1)) < SMALL
    if xp is np and small and not mixed_orders(first, last):
        return function(*arrays)
    spec = infer(*(spec_of(x) if hasattr(x, "dtype") else x for x in arrays))
    return function(*arrays, out=memory.empty(*spec, xp=xp))


def power(xp: Any, base: Any, exponent: Any, infer: Callable[..., Spec]) -> Any:
    """``base ** exponent``; NumPy's operator has shorter ways for some exponents than its ufunc."""
    if xp is np and max(getattr(base, "size", 1), getattr(exponent, "size", 1)) < SMALL:
        return base**exponent
    if xp is np and type(exponent) in (int, float) and base.dtype.kind == "f":
        shorter = _POWERS.get(exponent)
        if shorter is not None:
            return shorter(base, out=memory.empty_like(base))
    return run_ufunc(xp, "power", (base, exponent), infer)


def mixed_orders(x: Any, y: Any) -> bool:
    """True for two arrays of one shape that may lie in different memory orders."""
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or x.ndim < 3:
        return False
    return x.shape == y.shape and x.flags.c_contiguous != y.flags.c_contiguous
