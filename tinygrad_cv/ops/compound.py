"""Arithmetic of several steps under one name: products added, lengths, angles, powers of 2."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import float64, get_default_dtype, promote
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops._elementwise import Binary, Elementwise
from tinygrad_cv.ops._weighted import whole_factor
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.power import pow

__all__ = [
    "Addcdiv",
    "Addcmul",
    "Hypot",
    "addcdiv",
    "addcmul",
    "deg2rad",
    "float_power",
    "hypot",
    "ldexp",
    "rad2deg",
]

TENSOR_FUNCTIONS = (
    "addcdiv",
    "addcmul",
    "deg2rad",
    "float_power",
    "hypot",
    "ldexp",
    "rad2deg",
)


class Hypot(Binary):
    """The length of the hypotenuse, ``sqrt(input^2 + other^2)``, without overflow on the way; its
    gradient at 0, 0 is NaN, as in PyTorch.

    >>> import tinygrad_cv as tg
    >>> tg.hypot(tg.tensor([3.0, 0.0]), tg.tensor([4.0, 1e38])).tolist()[0]
    5.0
    """

    name = "hypot"
    equation = "y = sqrt(a^2 + b^2)"
    gradients = {"input": "g a / y", "other": "g b / y"}
    edges = "no overflow where the result is finite; gradient NaN at (0, 0), as PyTorch's"
    ufunc = "hypot"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, input: Any, output: Any) -> Any:
        return g * input / output

    @staticmethod
    def vjp_other(g: Any, other: Any, output: Any) -> Any:
        return g * other / output


class _Added(Elementwise, abstract=True):
    """What a product and a quotient that are added share."""

    inputs = ("input", "tensor1", "tensor2")

    @classmethod
    def _joined(cls, xp: Any, ufunc: str, operands: tuple[Any, ...], value: float) -> Any:
        input, tensor1, tensor2 = operands
        y = memory.empty(*cls.infer(*map(spec_of, operands), value), xp=xp)
        getattr(xp, ufunc)(tensor1, tensor2, out=y)
        if value != 1:
            y *= value
        return xp.add(input, y, out=y)


class Addcmul(_Added):
    """A product with a factor, added."""

    name = "addcmul"
    equation = "y = x + v a b"
    gradients = {"input": "g", "tensor1": "g v b", "tensor2": "g v a"}
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, tensor1: Any, tensor2: Any, value: float) -> Any:
        return Addcmul._joined(xp, "multiply", (input, tensor1, tensor2), value)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g

    @staticmethod
    def vjp_tensor1(g: Any, tensor2: Any, value: float) -> Any:
        return g * (tensor2 * value)

    @staticmethod
    def vjp_tensor2(g: Any, tensor1: Any, value: float) -> Any:
        return g * (tensor1 * value)


class Addcdiv(_Added):
    """A quotient with a factor, added."""

    name = "addcdiv"
    equation = "y = x + v a / b"
    gradients = {"input": "g", "tensor1": "g v / b", "tensor2": "-g v a / b^2"}
    edges = "division by zero gives infinity or NaN, without a warning"

    @staticmethod
    def forward(xp: Any, input: Any, tensor1: Any, tensor2: Any, value: float) -> Any:
        return Addcdiv._joined(xp, "divide", (input, tensor1, tensor2), value)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g

    @staticmethod
    def vjp_tensor1(g: Any, tensor2: Any, value: float) -> Any:
        return g * (value / tensor2)

    @staticmethod
    def vjp_tensor2(g: Any, tensor1: Any, tensor2: Any, value: float) -> Any:
        return -(g * (tensor1 * value / (tensor2 * tensor2)))


hypot = Hypot.call


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """``input + value * tensor1 * tensor2``, element by element.

    Args:
        input, tensor1, tensor2: tensors that broadcast.
        value: a number; for integers its fraction is cut off, as in PyTorch.

    Raises:
        DTypeError: ``value`` is no number.
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.addcmul(x, x, x, value=10).tolist()
    [11.0, 42.0]
    """
    value = _number("addcmul", value)
    if "f" not in {x.dtype.kind for x in (input, tensor1, tensor2)}:
        value = whole_factor("addcmul", "value", value)
    return Addcmul.call(input, tensor1, tensor2, value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """``input + value * tensor1 / tensor2``, element by element.

    Args:
        input, tensor1, tensor2: tensors that broadcast; of the last two at least one is floating.
        value: a number.

    Raises:
        DTypeError: ``tensor1`` and ``tensor2`` are integers.
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.addcdiv(x, x, x, value=10).tolist()
    [11.0, 12.0]
    """
    value = _number("addcdiv", value)
    if tensor1.dtype.kind != "f" and tensor2.dtype.kind != "f":
        raise DTypeError(
            "addcdiv",
            "the quotient of integers would be rounded in some programs and not in others",
            values=[("tensor1", tensor1.shape), ("tensor2", tensor2.shape)],
            repair="Convert one of them first, for example with .float().",
        )
    return Addcdiv.call(input, tensor1, tensor2, value)


def _number(op: str, value: Any) -> Any:
    """A Python number from the factor of a product."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise DTypeError(op, f"value must be a number, not {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)


def deg2rad(input: Any) -> Any:
    """Angles in radians from degrees, ``input * pi / 180``; integers become the default float
    dtype.

    >>> import tinygrad_cv as tg
    >>> round(tg.deg2rad(tg.tensor([180.0])).item(), 4)
    3.1416
    """
    return input * (math.pi / 180)


def rad2deg(input: Any) -> Any:
    """Angles in degrees from radians, ``input * 180 / pi``; integers become the default float
    dtype.

    >>> import tinygrad_cv as tg
    >>> round(tg.rad2deg(tg.tensor([1.0])).item(), 4)
    57.2958
    """
    return input * (180 / math.pi)


def float_power(input: Any, exponent: Any) -> Any:
    """``input ** exponent`` in float64, whatever the dtypes are: integers to a negative power too.

    Args:
        input, exponent: tensors that broadcast, or numbers; one of them is a tensor.

    >>> import tinygrad_cv as tg
    >>> y = tg.float_power(tg.tensor([1, 2]), -1)
    >>> y.tolist(), y.dtype.name
    ([1.0, 0.5], 'float64')
    """
    return pow(_double("input", input), _double("exponent", exponent))


def _double(name: str, value: Any) -> Any:
    if hasattr(value, "dtype"):
        return cast(value, float64)
    if isinstance(value, (bool, int, float)):
        return value
    raise DTypeError(
        "float_power",
        f"{name} must be a tensor or a number, not {type(value).__name__} {value!r:.40}",
    )


def ldexp(input: Any, other: Any) -> Any:
    """``input * 2^other``, exact for whole ``other``; integers become the default float dtype.

    Args:
        input, other: tensors that broadcast, or numbers; one of them is a tensor.

    >>> import tinygrad_cv as tg
    >>> tg.ldexp(tg.tensor([1.0, 3.0]), tg.tensor([4, -1])).tolist()
    [16.0, 1.5]
    """
    dtype = promote(*(getattr(x, "array", x) for x in (input, other)))
    dtype = dtype if dtype.kind == "f" else get_default_dtype()
    power = pow(2.0, cast(other, dtype)) if hasattr(other, "dtype") else 2.0**other
    return input * power
