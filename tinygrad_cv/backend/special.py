"""Special functions: NumPy and CuPy leave them to their SciPy companions, loaded at first use."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["erf"]


def erf(xp: Any, x: Any) -> Any:
    """erf(x) = 2/sqrt(pi) * integral of exp(-t^2) from 0 to x, in the precision of `x`.

    >>> erf(np, np.array([0.0, np.inf, -np.inf])).tolist()
    [0.0, 1.0, -1.0]
    """
    if xp is not np:
        return importlib.import_module("cupyx.scipy.special").erf(x)
    function = importlib.import_module("scipy.special").erf
    return function(x, out=memory.empty_like(x)) if x.dtype.kind == "f" else function(x)
