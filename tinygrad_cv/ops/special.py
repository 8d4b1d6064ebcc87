"""Special functions: the error function's relatives, the gamma function's, Bessel's, and sinc.

Integers become the default float dtype first. Outside a function's domain the value is NaN, at a
pole it is infinite, without a warning.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.select import choose
from tinygrad_cv.backend.special import special
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._elementwise import Unary
from tinygrad_cv.ops.math import exp
from tinygrad_cv.ops.select import abs, where

__all__ = [
    "BesselI0",
    "BesselI1",
    "Digamma",
    "Erfc",
    "Erfinv",
    "Lgamma",
    "Polygamma",
    "Sinc",
    "digamma",
    "erfc",
    "erfinv",
    "i0",
    "lgamma",
    "polygamma",
    "sinc",
]

TENSOR_FUNCTIONS = ("digamma", "erfc", "erfinv", "i0", "lgamma", "sinc")
TG_FUNCTIONS = ("polygamma",)

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
_HALF_SQRT_PI = math.sqrt(math.pi) / 2
# I1'(x) = sum_k (2k + 1) / (k! (k + 1)!) x^2k / 2^(2k + 1), which is 1e-17 exact for |x| <= 1
_I1_SLOPE = [
    (2 * k + 1) / (math.factorial(k) * math.factorial(k + 1) * 2 ** (2 * k + 1)) for k in range(10)
]


class Erfc(Unary):
    """The complement of the error function, ``1 - erf(x)``, which keeps its digits for large x.

    >>> import tinygrad_cv as tg
    >>> tg.erfc(tg.tensor([-float("inf"), 0.0, float("inf")])).tolist()
    [2.0, 1.0, 0.0]
    """

    name = "erfc"
    equation = "y = 2/sqrt(pi) * integral_x^inf exp(-t^2) dt"
    gradients = {"input": "-g * 2/sqrt(pi) * exp(-x^2)"}
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return special(xp, "erfc", input)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * (-_TWO_OVER_SQRT_PI * exp(-(input * input)))


class Erfinv(Unary):
    """The inverse of the error function; infinite at -1 and 1, NaN outside.

    >>> import tinygrad_cv as tg
    >>> tg.erfinv(tg.tensor([0.0, 1.0, 2.0])).tolist()
    [0.0, inf, nan]
    """

    name = "erfinv"
    equation = "erf(y) = x"
    gradients = {"input": "g * sqrt(pi)/2 * exp(y^2)"}
    edges = "infinite at -1 and 1, NaN outside"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return special(xp, "erfinv", input)

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (_HALF_SQRT_PI * exp(output * output))


class Lgamma(Unary):
    """The logarithm of the absolute value of the gamma function; inf at 0, -1, -2, ...

    >>> import tinygrad_cv as tg
    >>> tg.lgamma(tg.tensor([1.0, 2.0, 0.0])).tolist()
    [0.0, 0.0, inf]
    """

    name = "lgamma"
    equation = "y = ln |Gamma(x)|, Gamma(x) = integral_0^inf t^(x-1) e^-t dt"
    gradients = {"input": "g * digamma(x)"}
    edges = "infinite at 0 and at negative integers"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        # C and PyTorch say that it is infinite at both ends; SciPy has -inf at -inf.
        return choose(xp, input == -math.inf, -input, special(xp, "gammaln", input))

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * digamma(input)


class Digamma(Unary):
    """The derivative of ``lgamma``; infinite at 0, NaN at -1, -2, ...

    >>> import tinygrad_cv as tg
    >>> round(-tg.digamma(tg.tensor([1.0])).item(), 4)  # Euler's constant
    0.5772
    """

    name = "digamma"
    equation = "y = d/dx ln |Gamma(x)|"
    gradients = {"input": "g * polygamma(1, x)"}
    edges = "infinite at 0, NaN at negative integers"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return special(xp, "digamma", input)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * _polygamma(input, 1)


class Polygamma(Unary):
    """The derivative of order n >= 1 of ``digamma``."""

    name = "polygamma"
    equation = "y = d^n/dx^n digamma(x) = (-1)^(n+1) n! sum_k 1 / (x + k)^(n+1)"
    gradients = {"input": "g * polygamma(n + 1, x)"}
    edges = "infinite or NaN at 0 and at negative integers"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any, n: int) -> Any:
        y = special(xp, "zeta", float(n + 1), input)
        factor = float(math.factorial(n)) if n <= 170 else math.inf  # 171! is above all floats
        y *= factor if n % 2 else -factor
        return y

    @staticmethod
    def vjp_input(g: Any, input: Any, n: int) -> Any:
        return g * _polygamma(input, n + 1)


class BesselI0(Unary):
    """The modified Bessel function of the first kind of order 0, as in the Kaiser window.

    >>> import tinygrad_cv as tg
    >>> [round(v, 4) for v in tg.i0(tg.tensor([0.0, 1.0])).tolist()]
    [1.0, 1.2661]
    """

    name = "i0"
    equation = "y = sum_k (x^2/4)^k / k!^2"
    gradients = {"input": "g * I1(x)"}
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return special(xp, "i0", input)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * _i1(input)


class BesselI1(Unary):
    """The modified Bessel function of the first kind of order 1: the derivative of ``i0``."""

    name = "i1"
    equation = "y = x/2 sum_k (x^2/4)^k / (k! (k+1)!)"
    gradients = {"input": "g * (I0(x) - y / x)"}
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return special(xp, "i1", input)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        # Near 0 by the series, for y / x is 0 / 0 there, and derivatives of it lose all digits.
        near = abs(input) < 1
        square, slope = input * input, _I1_SLOPE[-1]
        for coefficient in reversed(_I1_SLOPE[:-1]):
            slope = slope * square + coefficient
        far = where(near, 1, input)
        return g * where(near, slope, i0(far) - _i1(far) / far)


class Sinc(Unary):
    """``sin(pi x) / (pi x)``, or its derivative of an order, each smooth at 0 too."""

    name = "sinc"
    equation = "y = d^n/dx^n sin(pi x) / (pi x)"
    gradients = {"input": "g * d^(n+1)/dx^(n+1) sinc(x)"}
    edges = "1 at 0, with the gradient 0"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any, order: int = 0) -> Any:
        u = xp.multiply(input, math.pi, out=empty_like(input))
        near = xp.abs(u) <= order + 1 if order else u == 0
        far = choose(xp, near, 1.0, u)
        waves = [xp.sin(far), xp.cos(far)]
        y = xp.divide(waves[0], far, out=empty_like(far))
        for n in range(1, order + 1):  # u S_n + n S_(n-1) = d^n/du^n sin u
            wave = waves[n % 2] if n % 4 < 2 else -waves[n % 2]
            y = (wave - n * y) / far
        y = choose(xp, near, _sinc_series(xp, u, near, order), y)
        return xp.multiply(y, math.pi**order, out=empty_like(u))

    @staticmethod
    def vjp_input(g: Any, input: Any, order: int = 0) -> Any:
        return g * _sinc(input, order + 1)


erfc, erfinv, lgamma, digamma = Erfc.call, Erfinv.call, Lgamma.call, Digamma.call
i0, _i1, _polygamma, _sinc = BesselI0.call, BesselI1.call, Polygamma.call, Sinc.call


def _sinc_series(xp: Any, u: Any, near: Any, order: int) -> Any:
    """d^order/du^order of sin(u) / u = sum_k (-1)^k u^2k / (2k + 1)!, where |u| <= order + 1."""
    if not order:
        return 1.0
    terms = [
        (-1) ** k / (math.factorial(2 * k - order) * (2 * k + 1))
        for k in range((order + 1) // 2, 2 * order + 14)
    ]
    u = choose(xp, near, u, 0.0)
    square = u * u
    total = xp.full(u.shape, terms[-1], u.dtype)
    for term in reversed(terms[:-1]):
        total = total * square + term
    return total * u if order % 2 else total


def polygamma(n: int, input: Any) -> Any:
    """The derivative of order n of ``digamma``:
    ``(-1)^(n+1) * n! * sum over k >= 0 of 1 / (x + k)^(n+1)``; for n = 0 ``digamma`` itself.

    Args:
        n: the order, an integer of at least 0.
        input: any shape; integers become the default float dtype. Infinite at 0, -1, -2, ...

    Raises:
        DTypeError: ``n`` is no integer.
        ArgumentError: ``n`` is negative.

    >>> import tinygrad_cv as tg
    >>> round(tg.polygamma(1, tg.tensor([1.0])).item(), 4)  # pi^2 / 6
    1.6449
    """
    try:
        order = operator.index(n)
    except TypeError:
        raise DTypeError("polygamma", f"the order n must be a whole number, not {n!r}") from None
    if order < 0:
        raise ArgumentError(
            "polygamma",
            f"the order n must be at least 0, it is {order}",
            repair="Use n=0 for digamma, n=1 for its derivative.",
            repairs=[{"n": 0}],
        )
    return _polygamma(input, order) if order else digamma(input)


def sinc(input: Any) -> Any:
    """``sin(pi x) / (pi x)``, and 1 at 0, where all its derivatives exist too.

    Args:
        input: any shape; integers become the default float dtype.

    >>> import tinygrad_cv as tg
    >>> tg.sinc(tg.tensor([0.0, 0.5])).mul(100).round().tolist()
    [100.0, 64.0]
    """
    return _sinc(input, 0)


def _polygamma_method(self: Any, n: int) -> Any:
    """The derivative of order n of ``digamma`` at these numbers; see :func:`polygamma`.

    >>> import tinygrad_cv as tg
    >>> round(tg.tensor([1.0]).polygamma(1).item(), 4)
    1.6449
    """
    return polygamma(n, self)


METHODS = {"polygamma": _polygamma_method}
