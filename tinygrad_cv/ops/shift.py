"""Shifting the bits of integers, ``<<`` and ``>>``."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import promote
from tinygrad_cv.backend.select import keep
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops._elementwise import Binary

__all__ = [
    "BitwiseLeftShift",
    "BitwiseRightShift",
    "bitwise_left_shift",
    "bitwise_right_shift",
]

TENSOR_FUNCTIONS = ("bitwise_left_shift", "bitwise_right_shift")


class _Shift(Binary, abstract=True):
    """What two shifts share: integers only, and an answer for every distance."""

    @classmethod
    def infer(cls, input: Any, other: Any) -> Any:
        _refuse(cls.name, input, other)
        return super().infer(input, other)


class BitwiseLeftShift(_Shift):
    """Integers with their bits moved up: ``input * 2^other``, without what leaves the dtype. A
    distance that is negative or as wide as the dtype gives 0.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([1, 3]) << 2).tolist()
    [4, 12]
    """

    name = "bitwise_left_shift"
    equation = "y = a 2^b mod 2^bits"
    edges = "a negative shift, or one by all bits or more, gives 0"
    dtypes = "integer"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        value, distance, inside = _operands("bitwise_left_shift", xp, input, other)
        return keep(xp, xp.left_shift(value, distance), xp.broadcast_to(inside, distance.shape))


class BitwiseRightShift(_Shift):
    """Integers with their bits moved down: ``floor(input / 2^other)``. A distance that is negative
    or as wide as the dtype gives 0, of negative integers -1.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([12, -1]) >> 2).tolist()
    [3, -1]
    """

    name = "bitwise_right_shift"
    equation = "y = floor(a / 2^b)"
    edges = "a negative shift, or one by all bits or more, leaves only the sign"
    dtypes = "integer"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        value, distance, inside = _operands("bitwise_right_shift", xp, input, other)
        y = xp.right_shift(value, distance)
        if value.dtype.kind == "i":
            return xp.where(inside, y, xp.right_shift(y, value.dtype.itemsize * 8 - 1))
        return keep(xp, y, inside)


def _operands(op: str, xp: Any, input: Any, other: Any) -> tuple[Any, Any, Any]:
    """Both as arrays of one dtype, the distances that are inside, and which they are: outside, C
    leaves the result open."""
    _refuse(op, input, other)
    dtype = promote(input, other)
    value, distance = xp.asarray(input, dtype), xp.asarray(other, dtype)
    inside = (distance >= 0) & (distance < dtype.itemsize * 8)
    return value, xp.where(inside, distance, dtype.type(0)), inside


def _refuse(op: str, *operands: Any) -> None:
    dtype = promote(*operands)
    if dtype.kind not in "iu":
        raise DTypeError(
            op,
            f"bits are moved in integers, not in {dtype.name}",
            values=[("input", getattr(x, "shape", ())) for x in operands],
            repair="Multiply by a power of 2, or convert with .long().",
        )


bitwise_left_shift, bitwise_right_shift = BitwiseLeftShift.call, BitwiseRightShift.call


def _rlshift(self: Any, other: Any) -> Any:
    return bitwise_left_shift(other, self)


def _rrshift(self: Any, other: Any) -> Any:
    return bitwise_right_shift(other, self)


METHODS = {
    "__lshift__": bitwise_left_shift,
    "__rlshift__": _rlshift,
    "__rshift__": bitwise_right_shift,
    "__rrshift__": _rrshift,
}
