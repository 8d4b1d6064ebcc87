"""Rounded division and what it leaves: // and %, with Python's signs or C's."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.elementwise import run_ufunc
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._elementwise import Binary
from tinygrad_cv.ops.rounding import trunc, zero_map

__all__ = [
    "FloorDivide",
    "Fmod",
    "Remainder",
    "TruncDivide",
    "floor_divide",
    "fmod",
    "remainder",
    "trunc_divide",
]

TENSOR_FUNCTIONS = ("floor_divide", "fmod", "remainder")


class FloorDivide(Binary):
    """The quotient rounded down, ``floor(input / other)``; of integers an integer. Its gradients
    are 0.

    Raises:
        ArgumentError: division of integers by 0.

    >>> import tinygrad_cv as tg
    >>> tg.floor_divide(tg.tensor([7, -7]), 2).tolist()
    [3, -4]
    """

    name = "floor_divide"
    equation = "y = floor(a / b)"
    gradients = {"input": "0", "other": "0"}
    edges = "rounds down; integers by zero are refused"
    dtypes = "integer"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        _refuse_integer_zero("floor_divide", xp, input, other)
        return run_ufunc(xp, "floor_divide", (input, other), FloorDivide.infer)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return zero_map(g)

    @staticmethod
    def vjp_other(g: Any) -> Any:
        return zero_map(g)


class TruncDivide(Binary):
    """The quotient rounded towards 0; of integers an integer. Its gradients are 0."""

    name = "trunc_divide"
    equation = "y = trunc(a / b)"
    gradients = {"input": "0", "other": "0"}
    edges = "rounds towards zero; integers by zero are refused"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        _refuse_integer_zero("trunc_divide", xp, input, other)
        down = xp.floor_divide(input, other)
        exact = down * other == input
        away = xp.logical_not(exact) & (down < 0)  # rounding down went away from 0
        return xp.trunc(input / other) if down.dtype.kind == "f" else down + away.astype(down.dtype)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return zero_map(g)

    @staticmethod
    def vjp_other(g: Any) -> Any:
        return zero_map(g)


class Remainder(Binary):
    """``input - floor(input / other) * other``: what is left, with the sign of ``other``, as
    Python's ``%``.

    Raises:
        ArgumentError: division of integers by 0.

    >>> import tinygrad_cv as tg
    >>> tg.remainder(tg.tensor([5.0, -5.0]), 3).tolist()
    [2.0, 1.0]
    """

    name = "remainder"
    equation = "y = a - floor(a / b) * b"
    gradients = {"input": "g", "other": "-g * floor(a / b)"}
    edges = "the sign of the divisor; integers by zero are refused"
    dtypes = "integer"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        _refuse_integer_zero("remainder", xp, input, other)
        return run_ufunc(xp, "remainder", (input, other), Remainder.infer)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return -(g * floor_divide(input, other))


class Fmod(Binary):
    """``input - trunc(input / other) * other``: what is left, with the sign of ``input``, as C's
    ``fmod``.

    Raises:
        ArgumentError: division of integers by 0.

    >>> import tinygrad_cv as tg
    >>> tg.fmod(tg.tensor([5.0, -5.0]), 3).tolist()
    [2.0, -2.0]
    """

    name = "fmod"
    equation = "y = a - trunc(a / b) * b"
    gradients = {"input": "g", "other": "-g * trunc(a / b)"}
    edges = "the sign of the dividend; integers by zero are refused"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        _refuse_integer_zero("fmod", xp, input, other)
        return run_ufunc(xp, "fmod", (input, other), Fmod.infer)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return -(g * trunc(input / other))


def _refuse_integer_zero(op: str, xp: Any, input: Any, other: Any) -> None:
    kinds = [getattr(getattr(x, "dtype", None), "kind", "i") for x in (input, other)]
    if "f" in kinds or isinstance(input, float) or isinstance(other, float):
        return
    if xp.any(xp.asarray(other) == 0):
        raise ArgumentError(
            op,
            "division of integers by 0",
            values=[("input", getattr(input, "shape", ())), ("other", getattr(other, "shape", ()))],
            repair="Divide floats for inf or NaN, for example x.float().",
        )


floor_divide, trunc_divide = FloorDivide.call, TruncDivide.call
remainder, fmod = Remainder.call, Fmod.call


def _rfloordiv(self: Any, other: Any) -> Any:
    return floor_divide(other, self)


def _rmod(self: Any, other: Any) -> Any:
    return remainder(other, self)


METHODS = {
    "__floordiv__": floor_divide,
    "__rfloordiv__": _rfloordiv,
    "__mod__": remainder,
    "__rmod__": _rmod,
}
