"""Trigonometric and hyperbolic functions, element by element; angles in radians.

Integers become the default float dtype first. Outside a function's domain the value is NaN, without
a warning.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.math import rsqrt
from tinygrad_cv.ops.select import where

__all__ = [
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atan2",
    "Atanh",
    "Cos",
    "Cosh",
    "Sin",
    "Sinh",
    "Tan",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
]

TENSOR_FUNCTIONS = (
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
)


class Sin(Unary):
    """The sine.

    >>> import tinygrad_cv as tg
    >>> tg.sin(tg.tensor([0.0])).tolist()
    [0.0]
    """

    name = "sin"
    equation = "y = sin x"
    gradients = {"input": "g * cos x"}
    edges = "NaN at the infinities"
    ufunc = "sin"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * cos(input)


class Cos(Unary):
    """The cosine.

    >>> import tinygrad_cv as tg
    >>> tg.cos(tg.tensor([0.0])).tolist()
    [1.0]
    """

    name = "cos"
    equation = "y = cos x"
    gradients = {"input": "-g * sin x"}
    edges = "NaN at the infinities"
    ufunc = "cos"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return -(g * sin(input))


class Tan(Unary):
    """The tangent.

    >>> import tinygrad_cv as tg
    >>> tg.tan(tg.tensor([0.0])).tolist()
    [0.0]
    """

    name = "tan"
    equation = "y = tan x"
    gradients = {"input": "g * (1 + y^2)"}
    edges = "NaN at the infinities"
    ufunc = "tan"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (1 + output * output)


class Asin(Unary):
    """The angle in [-pi/2, pi/2] whose sine is the input; NaN outside [-1, 1].

    >>> import tinygrad_cv as tg
    >>> tg.asin(tg.tensor([0.0, 2.0])).tolist()
    [0.0, nan]
    """

    name = "asin"
    equation = "y = arcsin x"
    gradients = {"input": "g / sqrt(1 - x^2)"}
    edges = "NaN outside [-1, 1]; infinite gradients at both ends"
    ufunc = "arcsin"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * rsqrt(1 - input * input)


class Acos(Unary):
    """The angle in [0, pi] whose cosine is the input; NaN outside [-1, 1].

    >>> import tinygrad_cv as tg
    >>> tg.acos(tg.tensor([1.0, 2.0])).tolist()
    [0.0, nan]
    """

    name = "acos"
    equation = "y = arccos x"
    gradients = {"input": "-g / sqrt(1 - x^2)"}
    edges = "NaN outside [-1, 1]; infinite gradients at both ends"
    ufunc = "arccos"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return -(g * rsqrt(1 - input * input))


class Atan(Unary):
    """The angle in (-pi/2, pi/2) whose tangent is the input.

    >>> import tinygrad_cv as tg
    >>> tg.atan(tg.tensor([0.0])).tolist()
    [0.0]
    """

    name = "atan"
    equation = "y = arctan x"
    gradients = {"input": "g / (1 + x^2)"}
    ufunc = "arctan"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g / (1 + input * input)


class Atan2(Binary):
    """The angle in [-pi, pi] of the point with ordinate ``input`` and abscissa ``other``; its
    gradient at 0, 0 is 0.

    >>> import tinygrad_cv as tg
    >>> tg.atan2(tg.tensor([0.0]), tg.tensor([1.0])).tolist()
    [0.0]
    """

    name = "atan2"
    equation = "y = angle of (b, a)"
    gradients = {"input": "g * b / (a^2 + b^2)", "other": "-g * a / (a^2 + b^2)"}
    edges = "gradient 0 at (0, 0); signed zeros and infinities as in C"
    ufunc = "arctan2"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any, other: Any) -> Any:
        return g * (other / _squared_radius(input, other))

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return -(g * (input / _squared_radius(input, other)))


def _squared_radius(a: Any, b: Any) -> Any:
    """``a^2 + b^2``, and inf at the origin, so that what is divided by it is 0 there, at every
    order.
    """
    squared = a * a + b * b
    return where(squared == 0, float("inf"), squared)


class Sinh(Unary):
    """The hyperbolic sine.

    >>> import tinygrad_cv as tg
    >>> tg.sinh(tg.tensor([0.0])).tolist()
    [0.0]
    """

    name = "sinh"
    equation = "y = (e^x - e^-x) / 2"
    gradients = {"input": "g * cosh x"}
    ufunc = "sinh"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * cosh(input)


class Cosh(Unary):
    """The hyperbolic cosine.

    >>> import tinygrad_cv as tg
    >>> tg.cosh(tg.tensor([0.0])).tolist()
    [1.0]
    """

    name = "cosh"
    equation = "y = (e^x + e^-x) / 2"
    gradients = {"input": "g * sinh x"}
    ufunc = "cosh"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * sinh(input)


class Asinh(Unary):
    """The inverse of the hyperbolic sine.

    >>> import tinygrad_cv as tg
    >>> tg.asinh(tg.tensor([0.0])).tolist()
    [0.0]
    """

    name = "asinh"
    equation = "y = ln(x + sqrt(x^2 + 1))"
    gradients = {"input": "g / sqrt(x^2 + 1)"}
    ufunc = "arcsinh"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * rsqrt(input * input + 1)


class Acosh(Unary):
    """The inverse of the hyperbolic cosine, not negative; NaN below 1.

    >>> import tinygrad_cv as tg
    >>> tg.acosh(tg.tensor([1.0, 0.0])).tolist()
    [0.0, nan]
    """

    name = "acosh"
    equation = "y = ln(x + sqrt(x^2 - 1))"
    gradients = {"input": "g / sqrt(x^2 - 1)"}
    edges = "NaN below 1; infinite gradient at 1"
    ufunc = "arccosh"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * rsqrt(input * input - 1)


class Atanh(Unary):
    """The inverse of the hyperbolic tangent; infinite at -1 and 1, NaN outside.

    >>> import tinygrad_cv as tg
    >>> tg.atanh(tg.tensor([0.0, 1.0])).tolist()
    [0.0, inf]
    """

    name = "atanh"
    equation = "y = ln((1 + x) / (1 - x)) / 2"
    gradients = {"input": "g / (1 - x^2)"}
    edges = "infinite at -1 and 1, NaN outside"
    ufunc = "arctanh"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g / (1 - input * input)


sin, cos, tan = Sin.call, Cos.call, Tan.call
asin, acos, atan, atan2 = Asin.call, Acos.call, Atan.call, Atan2.call
sinh, cosh, asinh, acosh, atanh = Sinh.call, Cosh.call, Asinh.call, Acosh.call, Atanh.call
