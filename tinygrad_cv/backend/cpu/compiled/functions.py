"""Exponential, logarithm and what is made of them, as float32 arithmetic that LLVM vectorises.

Numba would call the C library for each number. Every function here is straight-line code: an
argument is reduced to a short interval, a polynomial of least relative error serves there, and the
exponent is put back by bits. NaN is carried. The largest errors found among every 997th float32
number, against float64, in units in the last place:

    exp 1.1, expm1 0.9 (x <= 0), log 0.8, log1p 1.9 (0 <= x <= 1), sigmoid 2.2 (e^-x is finite),
    tanh 2.4

The relative error of ``tail`` is at most 5e-7 + 1e-7 x^2: its exponential's argument is rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["exact", "exp", "expm1", "log", "log1p", "sigmoid", "tail", "tanh"]

# Not to be reordered: sums and differences are arranged so that what is lost is known. Products and
# sums may be fused, which loses less.
exact = njit(error_model="numpy", fastmath={"contract"}, forceinline=True)

_F, _I = np.float32, np.int32
_HALF, _ONE, _TWO = _F(0.5), _F(1), _F(2)
_PER_LN2 = _F(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)  # the first has 10 bits
_SHIFT, _SHIFT_BITS = _F(12582912.0), _I(0x4B400000)  # 1.5 * 2^23: has its integer in its bits
_BIAS, _FRACTION = _I(127), _I(23)
_LOWEST, _HIGHEST = _F(-104), _F(89)  # beyond, e^x is 0 or infinite
_TINY, _RAISE = _F(1.1754944e-38), _F(8388608)  # the least normal number; 2^23
_ROOT_HALF_BITS, _MANTISSA = _I(0x3F3504F3), _I(0x7FFFFF)
_NAN, _INFINITY = _F(np.nan), _F(np.inf)
_SIGN = _I(-0x80000000)

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2
_E0, _E1, _E2 = _F(0.5), _F(0.166665181517601), _F(0.04166620597243309)
_E3, _E4 = _F(0.008368917740881443), _F(0.0013950540451332927)

# (ln(1 + f) - f + f^2 / 2) / f^3 for sqrt(1/2) - 1 <= f <= sqrt(2) - 1
_L0, _L1, _L2 = _F(0.3333333134651184), _F(-0.2500081956386566), _F(0.20001226663589478)
_L3, _L4, _L5 = _F(-0.16623356938362122), _F(0.14201757311820984), _F(-0.13160182535648346)
_L6, _L7 = _F(0.1276157796382904), _F(-0.07634497433900833)

# (2 artanh(s) - 2 s) / s^3 for s^2 <= 1/9, in s^2
_A0, _A1 = _F(0.6666641235351562), _F(0.4002169966697693)
_A2, _A3 = _F(0.27999141812324524), _F(0.2802445888519287)

# Phi(-u) e^(u^2 / 2) / t with t = 1 / (1 + u / 4), for u >= 0
_T0, _T1, _T2 = _F(0.09973552078008652), _F(0.0997387021780014), _F(0.0934261903166771)
_T3, _T4, _T5 = _F(0.08194222301244736), _F(0.05739573389291763), _F(0.06804527342319489)
_T6, _T7, _T8 = _F(-0.03894789516925812), _F(0.10272949934005737), _F(-0.08471201360225677)
_T9, _QUARTER = _F(0.020646769553422928), _F(0.25)


def _same_bits(source: Any, target: Any, kind: Any) -> Any:
    @intrinsic
    def cast(typingctx: Any, value: Any) -> Any:
        """The number whose bits are those of ``value``."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], kind)

        return target(source), emit

    return cast


_bits = _same_bits(types.float32, types.int32, ir.IntType(32))
_float = _same_bits(types.int32, types.float32, ir.FloatType())


@exact
def _reduced(x):
    """(n, e^r - 1) with x = n ln 2 + r."""
    shifted = x * _PER_LN2 + _SHIFT
    whole = shifted - _SHIFT
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = (((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return _I(_bits(shifted) - _SHIFT_BITS), r + (r * r) * p


@exact
def _power(n):
    """2^n for -126 <= n <= 127."""
    return _float(_I((n + _BIAS) << _FRACTION))


@exact
def exp(x):
    """e^x."""
    x = _LOWEST if x < _LOWEST else x
    x = _HIGHEST if x > _HIGHEST else x
    n, less = _reduced(x)
    half = _I(n >> _I(1))  # 2^n itself may be no normal number
    return ((less + _ONE) * _power(half)) * _power(_I(n - half))


@exact
def expm1(x):
    """e^x - 1 for x <= 0."""
    x = _F(-20) if x < _F(-20) else x
    n, less = _reduced(x)
    scale = _power(n)
    return scale * less + (scale - _ONE)


@exact
def log(x):
    """ln x: -infinity at 0, NaN below."""
    small = x < _TINY
    bits = _I(_bits(x * _RAISE if small else x) - _ROOT_HALF_BITS)
    f = _float(_I((bits & _MANTISSA) + _ROOT_HALF_BITS)) - _ONE
    n = _F(_I(bits >> _FRACTION)) - (_F(23) if small else _F(0))
    p = ((((((_L7 * f + _L6) * f + _L5) * f + _L4) * f + _L3) * f + _L2) * f + _L1) * f + _L0
    square = f * f
    found = n * _LN2_HIGH + (f + ((square * f) * p - _HALF * square + n * _LN2_LOW))
    found = x if x == _INFINITY else found
    found = -_INFINITY if x == _F(0) else found
    return found if x >= _F(0) else _NAN


@exact
def log1p(x):
    """ln(1 + x) for 0 <= x <= 1."""
    s = x / (_TWO + x)
    square = s * s
    return _TWO * s + (s * square) * (((_A3 * square + _A2) * square + _A1) * square + _A0)


@exact
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return _ONE / (_ONE + exp(-x))


@exact
def tanh(x):
    """The hyperbolic tangent, -m / (2 + m) with m = e^(-2 |x|) - 1, and the sign of x."""
    m = expm1(-(abs(x) + abs(x)))
    return _float(_I(_bits(-m / (_TWO + m)) | (_bits(x) & _SIGN)))


@exact
def tail(x):
    """(P, e^(-x^2 / 2)) with P the probability that a normal number is beyond |x|, on one side."""
    u = abs(x)
    t = _ONE / (_ONE + _QUARTER * u)
    p = ((((_T9 * t + _T8) * t + _T7) * t + _T6) * t + _T5) * t + _T4
    p = (((p * t + _T3) * t + _T2) * t + _T1) * t + _T0
    density = exp(-_HALF * (u * u))
    return density * (t * p), density
