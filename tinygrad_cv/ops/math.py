"""Exponentials, logarithms, roots and the error function, element by element.

Integers become the default float dtype first. Outside a function's domain the value is the IEEE one
(``log(0)`` is -inf, ``sqrt(-1)`` is NaN), without a warning.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.special import erf as erf_of
from tinygrad_cv.ops._elementwise import Unary

__all__ = [
    "Erf",
    "Exp",
    "Exp2",
    "Expm1",
    "Log",
    "Log1p",
    "Log2",
    "Log10",
    "Rsqrt",
    "Sqrt",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "rsqrt",
    "sqrt",
]

TENSOR_FUNCTIONS = (
    "erf",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "rsqrt",
    "sqrt",
)

_LN2 = math.log(2)
_LN10 = math.log(10)
_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


class Exp(Unary):
    """The exponential function.

    >>> import tinygrad_cv as tg
    >>> tg.exp(tg.tensor([0.0, -float("inf")])).tolist()
    [1.0, 0.0]
    """

    name = "exp"
    equation = "y = e^x"
    gradients = {"input": "g * y"}
    ufunc = "exp"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * output


class Exp2(Unary):
    """Two to the power of the input.

    >>> import tinygrad_cv as tg
    >>> tg.exp2(tg.tensor([0.0, 1.0])).tolist()
    [1.0, 2.0]
    """

    name = "exp2"
    equation = "y = 2^x"
    gradients = {"input": "g * y * ln 2"}
    ufunc = "exp2"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (output * _LN2)


class Expm1(Unary):
    """``exp(x) - 1``, exact for small x too.

    >>> import tinygrad_cv as tg
    >>> tg.expm1(tg.tensor([0.0, -float("inf")])).tolist()
    [0.0, -1.0]
    """

    name = "expm1"
    equation = "y = e^x - 1"
    gradients = {"input": "g * (y + 1)"}
    ufunc = "expm1"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (output + 1)


class Log(Unary):
    """The natural logarithm; -inf at 0, NaN below.

    >>> import tinygrad_cv as tg
    >>> tg.log(tg.tensor([1.0, 0.0])).tolist()
    [0.0, -inf]
    """

    name = "log"
    equation = "y = ln x"
    gradients = {"input": "g / x"}
    edges = "-inf at 0, NaN below"
    ufunc = "log"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g / input


class Log2(Unary):
    """The logarithm to the base 2; -inf at 0, NaN below.

    >>> import tinygrad_cv as tg
    >>> tg.log2(tg.tensor([1.0, 2.0])).tolist()
    [0.0, 1.0]
    """

    name = "log2"
    equation = "y = ln x / ln 2"
    gradients = {"input": "g / (x * ln 2)"}
    edges = "-inf at 0, NaN below"
    ufunc = "log2"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g / (input * _LN2)


class Log10(Unary):
    """The logarithm to the base 10; -inf at 0, NaN below.

    >>> import tinygrad_cv as tg
    >>> tg.log10(tg.tensor([1.0, 0.0])).tolist()
    [0.0, -inf]
    """

    name = "log10"
    equation = "y = ln x / ln 10"
    gradients = {"input": "g / (x * ln 10)"}
    edges = "-inf at 0, NaN below"
    ufunc = "log10"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g / (input * _LN10)


class Log1p(Unary):
    """``ln(1 + x)``, exact for small x too; -inf at -1, NaN below.

    >>> import tinygrad_cv as tg
    >>> tg.log1p(tg.tensor([0.0, -1.0])).tolist()
    [0.0, -inf]
    """

    name = "log1p"
    equation = "y = ln(1 + x)"
    gradients = {"input": "g / (1 + x)"}
    edges = "-inf at -1, NaN below"
    ufunc = "log1p"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g / (input + 1)


class Sqrt(Unary):
    """The square root; NaN for negative inputs. Its gradient at 0 is inf.

    >>> import tinygrad_cv as tg
    >>> tg.sqrt(tg.tensor([4.0, 0.0])).tolist()
    [2.0, 0.0]
    """

    name = "sqrt"
    equation = "y = x^(1/2)"
    gradients = {"input": "g / (2 y)"}
    edges = "NaN below 0; the gradient at 0 is infinite"
    ufunc = "sqrt"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g / (2 * output)


class Rsqrt(Unary):
    """One over the square root; inf at 0, NaN for negative inputs.

    >>> import tinygrad_cv as tg
    >>> tg.rsqrt(tg.tensor([4.0, 0.25])).tolist()
    [0.5, 2.0]
    """

    name = "rsqrt"
    equation = "y = x^(-1/2)"
    gradients = {"input": "-g y^3 / 2"}
    edges = "inf at 0, NaN below"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        root = xp.sqrt(input, out=empty_like(input))
        return xp.reciprocal(root, out=root)

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (-0.5 * output * output * output)


class Erf(Unary):
    """The error function: 2/sqrt(pi) times the integral of ``exp(-t^2)`` from 0 to x.

    >>> import tinygrad_cv as tg
    >>> tg.erf(tg.tensor([0.0, float("inf")])).tolist()
    [0.0, 1.0]
    """

    name = "erf"
    equation = "y = 2/sqrt(pi) * integral_0^x exp(-t^2) dt"
    gradients = {"input": "g * 2/sqrt(pi) * exp(-x^2)"}
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return erf_of(xp, input)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * (_TWO_OVER_SQRT_PI * exp(-(input * input)))


erf, rsqrt, sqrt = Erf.call, Rsqrt.call, Sqrt.call
exp, exp2, expm1 = Exp.call, Exp2.call, Expm1.call
log, log2, log10, log1p = Log.call, Log2.call, Log10.call, Log1p.call
