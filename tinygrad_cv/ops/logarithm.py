"""Functions made of logarithms: sums in the logarithm, log-odds, and x log y.

Integers become the default float dtype first.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.select import choose
from tinygrad_cv.backend.special import special
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.activation import sigmoid
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.math import exp2
from tinygrad_cv.ops.select import masked, where

__all__ = [
    "LogAddExp",
    "LogAddExp2",
    "Logit",
    "Xlogy",
    "logaddexp",
    "logaddexp2",
    "logit",
    "xlogy",
]

TENSOR_FUNCTIONS = ("logaddexp", "logaddexp2", "logit", "xlogy")


class LogAddExp(Binary):
    """The logarithm of the sum of two exponentials, without overflow.

    >>> import tinygrad_cv as tg
    >>> tg.logaddexp(tg.tensor([1000.0]), tg.tensor([0.0])).tolist()
    [1000.0]
    """

    name = "logaddexp"
    equation = "y = ln(e^a + e^b)"
    gradients = {"input": "g / (1 + e^(b - a))", "other": "g / (1 + e^(a - b))"}
    edges = "no overflow; equal infinities give that infinity, with NaN gradients"
    ufunc = "logaddexp"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any, other: Any) -> Any:
        return g * sigmoid(input - other)

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return g * sigmoid(other - input)


class LogAddExp2(Binary):
    """The logarithm to the base 2 of the sum of two powers of 2, without overflow.

    >>> import tinygrad_cv as tg
    >>> tg.logaddexp2(tg.tensor([1000.0]), tg.tensor([1000.0])).tolist()
    [1001.0]
    """

    name = "logaddexp2"
    equation = "y = log2(2^a + 2^b)"
    gradients = {"input": "g / (1 + 2^(b - a))", "other": "g / (1 + 2^(a - b))"}
    edges = "no overflow; equal infinities give that infinity, with NaN gradients"
    ufunc = "logaddexp2"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any, other: Any) -> Any:
        return g / (exp2(other - input) + 1)

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return g / (exp2(input - other) + 1)


class Xlogy(Binary):
    """``input * log(other)``, and 0 where the input is 0, whatever number the other is.

    >>> import tinygrad_cv as tg
    >>> tg.xlogy(tg.tensor([0.0, 2.0]), tg.tensor([0.0, 1.0])).tolist()
    [0.0, 0.0]
    """

    name = "xlogy"
    equation = "y = a ln b, 0 where a = 0"
    gradients = {"input": "g ln b, 0 where a = 0 and b <= 0", "other": "g a / b"}
    edges = "0 where the first input is 0, unless the second is NaN"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        return special(xp, "xlogy", input, other, infer=Xlogy.infer)

    @staticmethod
    def vjp_input(g: Any, input: Any, other: Any) -> Any:
        if isinstance(other, (bool, int, float)):
            return masked(xlogy(g, other), input == input if other > 0 else input != 0)
        return masked(xlogy(g, other), logical_not((input == 0) & (other <= 0)))

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return g * input / other


class Logit(Unary):
    """The logarithm of the odds ``x / (1 - x)``, of the input moved into [eps, 1 - eps] before."""

    name = "logit"
    equation = "y = ln(z / (1 - z)), z = x or min(max(x, eps), 1 - eps)"
    gradients = {"input": "g / (x (1 - x)), 0 where x was moved"}
    edges = "infinite at 0 and 1, NaN outside; with eps the input is cut off to [eps, 1 - eps]"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any, eps: float | None) -> Any:
        if eps is not None:
            below = choose(xp, input > 1 - eps, 1 - eps, input)
            input = choose(xp, input < eps, eps, below)
        rest = xp.subtract(1, input, out=empty_like(input))
        odds = xp.divide(input, rest, out=rest)
        return xp.log(odds, out=odds)

    @staticmethod
    def vjp_input(g: Any, input: Any, eps: float | None) -> Any:
        slope = g / (input * (1 - input))
        if eps is None:
            return where((input < 0) | (input > 1), math.nan, slope)
        return masked(slope, logical_not((input < eps) | (input > 1 - eps)))


logaddexp, logaddexp2, xlogy = LogAddExp.call, LogAddExp2.call, Xlogy.call


def logit(input: Any, eps: float | None = None) -> Any:
    """``log(x / (1 - x))``, the inverse of the sigmoid.

    Args:
        input: any shape; integers become the default float dtype.
        eps: first move the input into [eps, 1 - eps], with the gradient 0 where it was outside. If
            None (or negative, as in PyTorch) it is not moved: -inf at 0, inf at 1, NaN outside.

    >>> import tinygrad_cv as tg
    >>> tg.logit(tg.tensor([0.0, 0.5, 1.0])).tolist()
    [-inf, 0.0, inf]
    >>> tg.logit(tg.tensor([0.0, 1.0]), eps=0.5).tolist()
    [0.0, 0.0]
    """
    if eps is not None and not isinstance(eps, Real):
        raise DTypeError("logit", f"eps must be a number or None, not {eps!r:.40}")
    return Logit.call(input, None if eps is None or eps < 0 else float(eps))
