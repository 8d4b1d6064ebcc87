"""Special functions: NumPy and CuPy leave them to their SciPy companions, loaded at first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import Spec, spec_of

__all__ = ["erf", "special"]


def erf(xp: Any, x: Any) -> Any:
    """erf(x) = 2/sqrt(pi) * integral of exp(-t^2) from 0 to x, in the precision of `x`.

    >>> erf(np, np.array([0.0, np.inf, -np.inf])).tolist()
    [0.0, 1.0, -1.0]
    """
    if xp is not np:
        return importlib.import_module("cupyx.scipy.special").erf(x)
    function = importlib.import_module("scipy.special").erf
    return function(x, out=memory.empty_like(x)) if x.dtype.kind == "f" else function(x)


def special(xp: Any, name: str, *operands: Any, infer: Callable[..., Spec] | None = None) -> Any:
    """SciPy's function of that name, of floating arrays and numbers.

    The result is like the last operand; of several arrays, which broadcast, as ``infer`` says.

    >>> special(np, "gammaln", np.array([1.0, 4.0])).round(4).tolist()
    [0.0, 1.7918]
    """
    package = "scipy.special" if xp is np else "cupyx.scipy.special"
    function = getattr(importlib.import_module(package), name)
    if infer is None:
        return function(*operands, out=memory.empty_like(operands[-1]))
    spec = infer(*(spec_of(x) if hasattr(x, "dtype") else x for x in operands))
    numbers = [x if hasattr(x, "dtype") else spec.dtype.type(x) for x in operands]
    return function(*numbers, out=memory.empty(*spec, xp=xp))
