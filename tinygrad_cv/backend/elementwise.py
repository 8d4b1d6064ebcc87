"""Elementwise arithmetic on raw arrays: where the result goes, and no warnings on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.layout import reordered
from tinygrad_cv.backend.spec import Spec, layout_of, spec_of

__all__ = ["SMALL", "in_promised_order", "power", "quietly", "run_ufunc"]

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
    """The ufunc on arrays and numbers; large results go into recycled memory in the order that
    ``infer``, which gives the Spec of the result, promises."""
    function = getattr(xp, name)
    small = max(getattr(arrays[0], "size", 1), getattr(arrays[-1], "size", 1)) < SMALL
    if xp is np and small:
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


def in_promised_order(
    op: Any, xp: Any, inputs: tuple[Any, ...], attrs: tuple[Any, ...], result: Any
) -> Any:
    """The result of an elementwise operator, or the tuple of its results, in the memory order that
    its ``infer`` promises.

    NumPy weighs the strides of all operands, CuPy none, so that a view of channels-last memory, or
    a small operand that is broadcast, would decide. Of operands that lie row by row both make such
    a result.
    """
    arrays = [x for x in inputs if hasattr(x, "dtype")]
    if all(x.flags.c_contiguous for x in arrays) or max(x.ndim for x in arrays) < 3:
        return result
    promised = op.infer(*(spec_of(x) if hasattr(x, "dtype") else x for x in inputs), *attrs)
    if isinstance(promised, Spec):
        return _in_order(xp, result, promised)
    return tuple(_in_order(xp, x, spec) for x, spec in zip(result, promised, strict=True))


def _in_order(xp: Any, array: Any, spec: Spec) -> Any:
    return array if layout_of(array) == spec.layout else reordered(xp, array, spec.layout)
