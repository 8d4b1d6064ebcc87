"""Powers: square, reciprocal, and any exponent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import bool_, int64
from tinygrad_cv.backend.elementwise import power
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.math import log
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.select import masked, where

__all__ = ["Pow", "Reciprocal", "Square", "pow", "reciprocal", "square"]

TENSOR_FUNCTIONS = ("pow", "reciprocal", "square")


class Square(Unary):
    """The square.

    >>> import tinygrad_cv as tg
    >>> tg.square(tg.tensor([3.0, -2.0])).tolist()
    [9.0, 4.0]
    """

    name = "square"
    equation = "y = x^2"
    gradients = {"input": "2 g x"}
    dtypes = "integer, floating"
    ufunc = "square"

    @classmethod
    def _common_dtype(cls, operands: tuple[Any, ...]) -> Any:
        dtype = super()._common_dtype(operands)
        return int64 if dtype == bool_ else dtype  # of bool it counts, as in PyTorch

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * (2 * input)


class Reciprocal(Unary):
    """One over the input; of integers too a float.

    >>> import tinygrad_cv as tg
    >>> tg.reciprocal(tg.tensor([4.0, 0.0])).tolist()
    [0.25, inf]
    """

    name = "reciprocal"
    equation = "y = 1 / x"
    gradients = {"input": "-g y^2"}
    edges = "infinite at 0"
    ufunc = "reciprocal"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return -(g * (output * output))


class Pow(Binary):
    """``input ** exponent``, element by element.

    The gradients are 0 where the exponent is 0 (for the base), and where the base is 0 and the
    exponent is not negative (for the exponent), as in PyTorch.

    Raises:
        ArgumentError: integers to a negative integer power.

    >>> import tinygrad_cv as tg
    >>> tg.pow(tg.tensor([2.0, 3.0]), 2).tolist()
    [4.0, 9.0]
    """

    name = "pow"
    equation = "y = a^b"
    gradients = {"input": "g b a^(b-1)", "exponent": "g y ln a"}
    edges = (
        "0^0 = 1; a negative base with a fractional exponent is NaN; integers to a negative power"
        " are refused"
    )
    dtypes = "bool, integer, floating"
    inputs = ("input", "exponent")
    ufunc = "power"

    @staticmethod
    def forward(xp: Any, input: Any, exponent: Any) -> Any:
        kinds = {_kind(input), _kind(exponent)}
        if kinds == {"b"}:
            return xp.logical_or(input, xp.logical_not(exponent))
        if "f" not in kinds:
            _refuse_fractions(input, exponent)
        return power(xp, input, exponent, Pow.infer)

    @staticmethod
    def vjp_input(g: Any, input: Any, exponent: Any) -> Any:
        if not isinstance(exponent, (bool, int, float)):
            # 0 * 0^-1 would be NaN; 0 * 0^0 is the 0 that is meant.
            lowered = where((input == 0) & (exponent == 0), 0, exponent - 1)
            return g * (exponent * input**lowered)
        if exponent == 0:
            return zero_map(g)
        if exponent == 2:
            return g * (2 * input)
        return g if exponent == 1 else g * (exponent * input ** (exponent - 1))

    @staticmethod
    def vjp_exponent(g: Any, input: Any, exponent: Any, output: Any) -> Any:
        if not isinstance(input, (bool, int, float)):
            base = where((input == 0) & (exponent >= 0), 1, input)  # ln 1 = 0 instead of 0 * -inf
            return g * (output * log(base))
        if input == 0:
            return masked(g * (output * -math.inf), exponent < 0)
        return g * (output * (float(log(input)) if input > 0 else math.nan))


def _kind(value: Any) -> str:
    """The kind of a dtype, of Python numbers too."""
    kind: str = value.dtype.kind if hasattr(value, "dtype") else np.dtype(type(value)).kind
    return kind


def _refuse_fractions(input: Any, exponent: Any) -> None:
    """NumPy refuses integers to a negative power, CuPy gives 0 or 1."""
    negative = exponent < 0
    if negative if isinstance(negative, bool) else negative.any():
        raise ArgumentError(
            "pow",
            "an integer to a negative integer power is a fraction, not an integer",
            values=[
                ("input", getattr(input, "shape", ())),
                ("exponent", getattr(exponent, "shape", ())),
            ],
            repair="Use floats, for example x.float() ** -1.",
        )


pow, square, reciprocal = Pow.call, Square.call, Reciprocal.call


def _rpow(self: Any, other: Any) -> Any:
    return pow(other, self)


METHODS = {"__pow__": pow, "__rpow__": _rpow}
