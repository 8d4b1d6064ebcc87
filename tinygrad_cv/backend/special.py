"""Special functions: NumPy and CuPy leave them to their SciPy companions, loaded at first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.blocks import in_blocks
from tinygrad_cv.backend.spec import Spec, spec_of

__all__ = ["erf", "special"]


# artanh(erf(x)) / x as a polynomial in x^2, fitted for |x| < 4 so that the error of its tanh is
# even; beyond, that is 1 in float32. It ends positive, so that nothing turns around at infinity.
_ARTANH = (
    *(1.1283792743204646, 0.1027690556742893, -1.9183055637993858e-4, -6.197848537060162e-4),
    *(8.763739484022314e-5, -5.668485796433298e-6, 1.4185276465831026e-7),
)


def erf(xp: Any, x: Any, out: Any = None) -> Any:
    """erf(x) = 2/sqrt(pi) * integral of exp(-t^2) from 0 to x, in the precision of `x`; into `out`
    if that is given, another array than `x`.

    In float32 it is ``tanh(x * p(x^2))`` with a polynomial p, off by 3e-7 of the value at most:
    SciPy takes ten times as long.

    >>> erf(np, np.array([0.0, np.inf, -np.inf])).tolist()
    [0.0, 1.0, -1.0]
    >>> erf(np, np.array([-0.5, 5.0], "float32")).round(6).tolist() == [np.float32(-0.5205), 1.0]
    True
    """
    if xp is not np:
        return importlib.import_module("cupyx.scipy.special").erf(x, out=out)
    if x.dtype == np.float32:
        return in_blocks(np, _erf_float32, x, out=out)
    function = importlib.import_module("scipy.special").erf
    if out is None and x.dtype.kind == "f":
        out = memory.empty_like(x)
    return function(x, out=out)


def _erf_float32(xp: Any, x: Any, y: Any) -> None:
    squares = x * x
    xp.multiply(squares, _ARTANH[-1], out=y)
    for coefficient in _ARTANH[-2:0:-1]:
        y += coefficient
        y *= squares
    y += _ARTANH[0]
    y *= x
    xp.tanh(y, out=y)


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
