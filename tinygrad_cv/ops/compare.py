"""Comparisons, and tests for NaN and infinity: results are bool and carry no gradient."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError
from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.logic import all as all_of

__all__ = [
    "allclose",
    "eq",
    "equal",
    "ge",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lt",
    "ne",
]

TENSOR_FUNCTIONS = tuple(__all__)


class Eq(Binary):
    """``input == other``, element by element, in their common dtype; NaN equals nothing.

    >>> import tinygrad_cv as tg
    >>> tg.eq(tg.tensor([1, 2]), 2).tolist()
    [False, True]
    """

    name = "eq"
    equation = "y = (a = b)"
    edges = "NaN equals nothing"
    dtypes = "integer, floating"
    ufunc = "equal"
    result = "bool"


class Ne(Binary):
    """``input != other``, element by element; NaN differs from everything, itself included.

    >>> import tinygrad_cv as tg
    >>> tg.ne(tg.tensor([1, 2]), 2).tolist()
    [True, False]
    """

    name = "ne"
    equation = "y = (a != b)"
    edges = "NaN differs from everything"
    dtypes = "integer, floating"
    ufunc = "not_equal"
    result = "bool"


class Lt(Binary):
    """``input < other``, element by element; False where either is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.lt(tg.tensor([1, 2]), 2).tolist()
    [True, False]
    """

    name = "lt"
    equation = "y = (a < b)"
    edges = "False for NaN"
    dtypes = "integer, floating"
    ufunc = "less"
    result = "bool"


class Le(Binary):
    """``input <= other``, element by element; False where either is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.le(tg.tensor([1, 2, 3]), 2).tolist()
    [True, True, False]
    """

    name = "le"
    equation = "y = (a <= b)"
    edges = "False for NaN"
    dtypes = "bool, integer, floating"
    ufunc = "less_equal"
    result = "bool"


class Gt(Binary):
    """``input > other``, element by element; False where either is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.gt(tg.tensor([1, 2]), 1).tolist()
    [False, True]
    """

    name = "gt"
    equation = "y = (a > b)"
    edges = "False for NaN"
    dtypes = "integer, floating"
    ufunc = "greater"
    result = "bool"


class Ge(Binary):
    """``input >= other``, element by element; False where either is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.ge(tg.tensor([1, 2, 3]), 2).tolist()
    [False, True, True]
    """

    name = "ge"
    equation = "y = (a >= b)"
    edges = "False for NaN"
    ufunc = "greater_equal"
    result = "bool"


class IsNan(Unary):
    """True where the input is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.isnan(tg.tensor([0.0, float("nan")])).tolist()
    [False, True]
    """

    name = "isnan"
    equation = "y = (x is NaN)"
    edges = "True for NaN only"
    ufunc = "isnan"
    result = "bool"


class IsInf(Unary):
    """True where the input is infinite, of either sign.

    >>> import tinygrad_cv as tg
    >>> tg.isinf(tg.tensor([0.0, -float("inf")])).tolist()
    [False, True]
    """

    name = "isinf"
    equation = "y = (|x| = inf)"
    edges = "True for both infinities"
    dtypes = "bool, integer, floating"
    ufunc = "isinf"
    result = "bool"


class IsFinite(Unary):
    """True where the input is neither NaN nor infinite.

    >>> import tinygrad_cv as tg
    >>> tg.isfinite(tg.tensor([0.0, float("inf")])).tolist()
    [True, False]
    """

    name = "isfinite"
    equation = "y = (|x| < inf)"
    edges = "False for NaN and infinities"
    dtypes = "bool, integer, floating"
    ufunc = "isfinite"
    result = "bool"


class IsClose(Binary):
    """Equality up to a relative and an absolute tolerance; equal infinities are close."""

    name = "isclose"
    equation = "y = (|a - b| <= atol + rtol*|b|)"
    edges = "equal infinities are close; NaN is close to NaN only with equal_nan"
    dtypes = "bool, integer, floating"
    result = "bool"

    @staticmethod
    def forward(xp: Any, input: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
        return xp.isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


eq, ne, lt, le, gt, ge = Eq.call, Ne.call, Lt.call, Le.call, Gt.call, Ge.call
isnan, isinf, isfinite = IsNan.call, IsInf.call, IsFinite.call


def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """``|input - other| <= atol + rtol * |other|``, element by element; equal infinities are close.

    Args:
        input, other: tensors that broadcast; either may be a number.
        rtol, atol: relative and absolute tolerance.
        equal_nan: NaN is close to NaN.

    Raises:
        ArgumentError: a negative tolerance.

    >>> import tinygrad_cv as tg
    >>> tg.isclose(tg.tensor([1.0, 1.0]), tg.tensor([1.000001, 1.1])).tolist()
    [True, False]
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise ArgumentError(
                "isclose", f"{name} must be 0 or more, got {value}", repairs=[{name: 0.0}]
            )
    return IsClose.call(input, other, float(rtol), float(atol), bool(equal_nan))


def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """True if all elements are close in the sense of ``isclose``; a Python bool.

    >>> import tinygrad_cv as tg
    >>> tg.allclose(tg.tensor([1.0]), tg.tensor([1.0 + 1e-7]))
    True
    """
    return _truth("allclose", isclose(input, other, rtol, atol, equal_nan))


def equal(input: Any, other: Any) -> bool:
    """True if both have the same shape and the same elements; a Python bool.

    >>> import tinygrad_cv as tg
    >>> tg.equal(tg.tensor([1, 2]), tg.tensor([1, 2])), tg.equal(tg.tensor([1]), tg.tensor([1, 1]))
    (True, False)
    """
    return input.shape == getattr(other, "shape", ()) and _truth("equal", eq(input, other))


def _truth(op: str, result: Any) -> bool:
    """True if every element of a comparison is."""
    if isinstance(getattr(result, "array", result), Spec):
        raise GraphError(
            op,
            "a tensor on the meta device has no values to compare",
            values=[("input", result.shape)],
            repair="Compare shapes and dtypes, or move both to a device with data before.",
        )
    return bool(all_of(result))


def _is_equal(self: Any, other: Any) -> Any:
    """``self == other``; with what is no number or tensor, such as None, Python says False."""
    try:
        return eq(self, other)
    except DTypeError:
        if isinstance(other, complex) or is_array(other):
            raise
        return NotImplemented


def _is_not_equal(self: Any, other: Any) -> Any:
    """``self != other``; with what is no number or tensor, such as None, Python says True."""
    try:
        return ne(self, other)
    except DTypeError:
        if isinstance(other, complex) or is_array(other):
            raise
        return NotImplemented


METHODS = {
    "__eq__": _is_equal,
    "__ne__": _is_not_equal,
    "__lt__": lt,
    "__le__": le,
    "__gt__": gt,
    "__ge__": ge,
}
