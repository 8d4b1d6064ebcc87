"""Signs, infinities and the unit step, element by element."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.select import masked, sign, where

__all__ = [
    "Copysign",
    "Heaviside",
    "IsNegInf",
    "IsPosInf",
    "SignBit",
    "copysign",
    "heaviside",
    "isneginf",
    "isposinf",
    "positive",
    "sgn",
    "signbit",
]

TENSOR_FUNCTIONS = (
    "copysign",
    "heaviside",
    "isneginf",
    "isposinf",
    "positive",
    "sgn",
    "signbit",
)


class Copysign(Binary):
    """The size of the input with the sign of the other, that of a zero included. The gradient of
    the input is 0 where it is 0.

    >>> import tinygrad_cv as tg
    >>> tg.copysign(tg.tensor([1.0, -2.0]), tg.tensor([-0.0, 3.0])).tolist()
    [-1.0, 2.0]
    """

    name = "copysign"
    equation = "y = |a| * sign(b)"
    gradients = {"input": "g y / a, 0 where a = 0", "other": "0"}
    edges = "the sign of -0 counts; gradient 0 at 0"
    ufunc = "copysign"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any) -> Any:
        return g * where(input == 0, 0, output / input)

    @staticmethod
    def vjp_other(g: Any) -> Any:
        return zero_map(g)


class Heaviside(Binary):
    """The unit step: 0 below 0 and for NaN, 1 above, and ``values`` at 0, which get the gradient
    there.

    >>> import tinygrad_cv as tg
    >>> tg.heaviside(tg.tensor([-1.0, 0.0, 2.0]), 0.5).tolist()
    [0.0, 0.5, 1.0]
    """

    name = "heaviside"
    equation = "y = [x > 0] + v [x = 0]"
    gradients = {"input": "0", "values": "g * [x = 0]"}
    edges = "the second input at 0; 0 at NaN; gradient 0"
    inputs = ("input", "values")

    @staticmethod
    def forward(xp: Any, input: Any, values: Any) -> Any:
        specs = [spec_of(x) if hasattr(x, "dtype") else x for x in (input, values)]
        y = memory.empty(*Heaviside.infer(*specs), xp=xp)
        y[...] = xp.greater(input, 0)
        xp.copyto(y, xp.asarray(values, y.dtype), where=xp.equal(input, 0))
        return y

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return zero_map(g)

    @staticmethod
    def vjp_values(g: Any, input: Any) -> Any:
        if isinstance(input, (bool, int, float)):
            return g if input == 0 else zero_map(g)
        return masked(g, input == 0)


class SignBit(Unary):
    """True where the sign bit is set: of negative numbers, of -0.0 and of some NaN.

    >>> import tinygrad_cv as tg
    >>> tg.signbit(tg.tensor([-1.0, -0.0, 0.0])).tolist()
    [True, True, False]
    """

    name = "signbit"
    equation = "y = (x < 0 or x = -0)"
    edges = "True for -0 and for a NaN whose sign is set"
    dtypes = "bool, integer, floating"
    ufunc = "signbit"
    result = "bool"


class IsPosInf(Unary):
    """True where the input is inf.

    >>> import tinygrad_cv as tg
    >>> tg.isposinf(tg.tensor([float("inf"), -float("inf")])).tolist()
    [True, False]
    """

    name = "isposinf"
    equation = "y = (x = inf)"
    edges = "True for inf only"
    dtypes = "bool, integer, floating"
    result = "bool"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return xp.equal(input, math.inf)


class IsNegInf(Unary):
    """True where the input is -inf.

    >>> import tinygrad_cv as tg
    >>> tg.isneginf(tg.tensor([float("inf"), -float("inf")])).tolist()
    [False, True]
    """

    name = "isneginf"
    equation = "y = (x = -inf)"
    edges = "True for -inf only"
    dtypes = "bool, integer, floating"
    result = "bool"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return xp.equal(input, -math.inf)


copysign, heaviside, signbit = Copysign.call, Heaviside.call, SignBit.call
isposinf, isneginf = IsPosInf.call, IsNegInf.call


def sgn(input: Any) -> Any:
    """PyTorch's name of ``sign`` that has a meaning for complex numbers too.

    >>> import tinygrad_cv as tg
    >>> tg.sgn(tg.tensor([-3.0, 0.0, 2.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return sign(input)


def positive(input: Any) -> Any:
    """The input itself, as ``+x`` is.

    Raises:
        DTypeError: the input is bool.

    >>> import tinygrad_cv as tg
    >>> tg.positive(tg.tensor([-1.0, 2.0])).tolist()
    [-1.0, 2.0]
    """
    if input.dtype.kind == "b":
        raise DTypeError(
            "positive",
            "bool has no sign",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .long().",
        )
    return input
