"""Arithmetic with broadcasting: + - * /, and what is made of them.

The dtype of a result is the common dtype of the operands, as in PyTorch; ``/`` gives floats for
integers too.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.division import floor_divide, trunc_divide
from tinygrad_cv.ops.select import where

__all__ = [
    "Add",
    "Div",
    "Mul",
    "Neg",
    "Sub",
    "add",
    "div",
    "divide",
    "lerp",
    "mul",
    "multiply",
    "neg",
    "negative",
    "rsub",
    "sub",
    "subtract",
    "true_divide",
]

TENSOR_FUNCTIONS = (
    "add",
    "div",
    "divide",
    "lerp",
    "mul",
    "multiply",
    "neg",
    "negative",
    "rsub",
    "sub",
    "subtract",
    "true_divide",
)
TENSOR_ARGUMENTS = ("end", "weight")


class Add(Binary):
    """The sum of two tensors, element by element."""

    name = "add"
    equation = "y = a + b"
    gradients = {"input": "g", "other": "g"}
    edges = "NaN and infinity as in IEEE 754; of bools: or"
    dtypes = "bool, integer, floating"
    ufunc = "add"

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g

    @staticmethod
    def vjp_other(g: Any) -> Any:
        return g


class Sub(Binary):
    """The difference of two tensors, element by element."""

    name = "sub"
    equation = "y = a - b"
    gradients = {"input": "g", "other": "-g"}
    dtypes = "integer, floating"
    ufunc = "subtract"

    @classmethod
    def infer(cls, input: Any, other: Any) -> Any:
        spec = super().infer(input, other)
        if spec.dtype.kind == "b":
            raise DTypeError(
                "sub",
                "the difference of two bool tensors is not defined",
                values=[
                    ("input", getattr(input, "shape", ())),
                    ("other", getattr(other, "shape", ())),
                ],
                repair="Use a ^ b, or a.long() - b.long().",
            )
        return spec

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g

    @staticmethod
    def vjp_other(g: Any) -> Any:
        return -g


class Mul(Binary):
    """The product of two tensors, element by element.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([1.0, 2.0]) * tg.tensor([[3.0], [4.0]])).tolist()
    [[3.0, 6.0], [4.0, 8.0]]
    """

    name = "mul"
    equation = "y = a * b"
    gradients = {"input": "g * b", "other": "g * a"}
    edges = "NaN and infinity as in IEEE 754; of bools: and"
    dtypes = "bool, integer, floating"
    ufunc = "multiply"

    @staticmethod
    def vjp_input(g: Any, other: Any) -> Any:
        return g * other

    @staticmethod
    def vjp_other(g: Any, input: Any) -> Any:
        return g * input


class Div(Binary):
    """The quotient of two tensors, element by element; of integers too a float."""

    name = "div"
    equation = "y = a / b"
    gradients = {"input": "g / b", "other": "-g * y / b"}
    edges = "division by zero gives infinity or NaN, without a warning"
    ufunc = "true_divide"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, other: Any) -> Any:
        return g / other

    @staticmethod
    def vjp_other(g: Any, other: Any, output: Any) -> Any:
        return -(g * output / other)


class Neg(Unary):
    """The input with the other sign.

    >>> import tinygrad_cv as tg
    >>> (-tg.tensor([1.0, -2.0])).tolist()
    [-1.0, 2.0]
    """

    name = "neg"
    equation = "y = -x"
    gradients = {"input": "-g"}
    dtypes = "integer, floating"
    ufunc = "negative"

    @classmethod
    def infer(cls, input: Any) -> Any:
        if input.dtype.kind == "b":
            raise DTypeError(
                "neg",
                "a bool tensor has no negative",
                values=[("input", input.shape)],
                repair="Use ~x to invert a mask.",
            )
        return super().infer(input)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return -g


_add, _sub, _mul, _div = Add.call, Sub.call, Mul.call, Div.call
mul = multiply = _mul
neg = negative = Neg.call


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """``input + alpha * other``, element by element.

    Args:
        input, other: tensors that broadcast, or numbers.
        alpha: a number; an integer for integers.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> tg.add(tg.tensor([1.0, 2.0]), tg.tensor([10.0, 20.0]), alpha=2).tolist()
    [21.0, 42.0]
    """
    return _add(input, _scaled("add", input, other, alpha))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """``input - alpha * other``, element by element; arguments as ``add``.

    Raises:
        DTypeError: both are bool.
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> tg.sub(tg.tensor([1.0, 2.0]), 1.0).tolist()
    [0.0, 1.0]
    """
    return _sub(input, _scaled("sub", input, other, alpha))


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """``other - alpha * input``: ``sub`` the other way round.

    >>> import tinygrad_cv as tg
    >>> tg.rsub(tg.tensor([1.0, 2.0]), 1.0).tolist()
    [0.0, -1.0]
    """
    return _sub(other, _scaled("rsub", other, input, alpha))


def _scaled(op: str, input: Any, other: Any, alpha: float) -> Any:
    if alpha == 1:
        return other
    whole = all(getattr(getattr(x, "dtype", None), "kind", "i") != "f" for x in (input, other))
    if whole and isinstance(alpha, float) and not any(isinstance(x, float) for x in (input, other)):
        raise DTypeError(op, f"alpha must be an integer for integers, it is {alpha}")
    return _mul(other, alpha) if hasattr(other, "dtype") else other * alpha


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``, element by element; integers give floats unless the quotient is rounded.

    Args:
        input, other: tensors that broadcast, or numbers.
        rounding_mode: None, "floor" (down) or "trunc" (towards 0). Rounded quotients have the
            gradient 0.

    Division by 0 gives inf or NaN, and raises for rounded quotients of integers.

    Raises:
        ArgumentError: another rounding mode.

    >>> import tinygrad_cv as tg
    >>> tg.div(tg.tensor([7, -7]), 2).tolist()
    [3.5, -3.5]
    >>> tg.div(tg.tensor([7, -7]), 2, rounding_mode="trunc").tolist()
    [3, -3]
    """
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return trunc_divide(input, other)
    raise ArgumentError(
        "div",
        f"rounding_mode must be None, 'floor' or 'trunc', not {rounding_mode!r}",
        repair='Use rounding_mode="floor" or "trunc", or leave it out.',
        repairs=[{"rounding_mode": "floor"}, {"rounding_mode": "trunc"}, {"rounding_mode": None}],
    )


subtract = sub
divide = true_divide = div


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """Linear interpolation: ``input + weight * (end - input)``.

    Args:
        input, end: start and end, floating; they broadcast.
        weight: a number or a tensor; 0 gives ``input`` and 1 gives ``end``, both exactly.

    Raises:
        DTypeError: the start is not floating.

    >>> import tinygrad_cv as tg
    >>> tg.lerp(tg.tensor([0.0, 10.0]), tg.tensor([1.0, 20.0]), 0.5).tolist()
    [0.5, 15.0]
    """
    if input.dtype.kind != "f":
        raise DTypeError("lerp", f"the start must be floating, it is {input.dtype.name}")
    difference = end - input
    if isinstance(weight, (int, float)):
        near_start = weight < 0.5
        return input + weight * difference if near_start else end - difference * (1 - weight)
    # Each end is reached exactly because the interpolation starts at the nearer one.
    start, signed = where(weight < 0.5, input, end), where(weight < 0.5, weight, weight - 1)
    return start + signed * difference


def _rsub(self: Any, other: Any) -> Any:
    return _sub(other, self)


def _rdiv(self: Any, other: Any) -> Any:
    return _div(other, self)


def _pos(self: Any) -> Any:
    return self


METHODS = {
    "__add__": _add,
    "__radd__": _add,
    "__sub__": _sub,
    "__rsub__": _rsub,
    "__mul__": _mul,
    "__rmul__": _mul,
    "__truediv__": _div,
    "__rtruediv__": _rdiv,
    "__neg__": neg,
    "__pos__": _pos,
}
