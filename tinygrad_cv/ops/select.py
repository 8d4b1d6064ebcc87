"""Choosing among values: where, clamp, maximum, minimum, abs, and masking.

``Masked`` is the work horse of the gradient rules of this library: it puts an exact 0 where a mask
is False, also where the gradient is infinite or NaN, and is its own adjoint.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import get_default_dtype, promote
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.select import choose, keep
from tinygrad_cv.backend.spec import Spec, broadcast_layout
from tinygrad_cv.core.op import general_call
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._elementwise import Binary, Elementwise, Unary
from tinygrad_cv.ops.compare import isfinite
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.logic import logical_not, logical_or
from tinygrad_cv.ops.nonzero import nonzero
from tinygrad_cv.ops.rounding import StepFunction

__all__ = [
    "Abs",
    "Clamp",
    "Masked",
    "Maximum",
    "Minimum",
    "NanToNum",
    "Sign",
    "Where",
    "abs",
    "clamp",
    "clip",
    "masked",
    "maximum",
    "minimum",
    "nan_to_num",
    "sign",
    "where",
]

TENSOR_FUNCTIONS = ("abs", "clamp", "clip", "maximum", "minimum", "nan_to_num", "sign")
TG_FUNCTIONS = ("where",)


class Masked(Elementwise):
    """The input where the mask is True, exactly 0 elsewhere, even where the input is NaN or
    infinite.
    """

    name = "masked"
    equation = "y = x if m else 0"
    gradients = {"input": "masked(g, m)"}
    edges = "exactly 0 where the mask is False, even for NaN and infinity"
    dtypes = "integer, floating"
    inputs = ("input", "mask")

    @classmethod
    def promoted(cls, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        return arrays

    @classmethod
    def infer(cls, input: Spec, mask: Spec) -> Spec:
        shape = common_shape(cls.name, input=input, mask=mask)
        return Spec(shape, input.dtype, broadcast_layout(shape, (input,)))

    @staticmethod
    def forward(xp: Any, input: Any, mask: Any) -> Any:
        return keep(xp, input, mask)

    @staticmethod
    def vjp_input(g: Any, mask: Any) -> Any:
        return masked(g, mask)

    @classmethod
    def _make_call(cls) -> Any:
        """Rules call it on plain arrays of one shape most of the time."""
        general = general_call(cls)

        def call(input: Any, mask: Any) -> Any:
            if type(input) is type(mask) is np.ndarray and input.shape == mask.shape:
                return keep(np, input, mask)
            return general(input, mask)

        return call


masked = Masked.call


class Where(Elementwise):
    """``input`` where the condition holds, ``other`` elsewhere."""

    name = "where"
    equation = "y = a if c else b"
    gradients = {"input": "masked(g, c)", "other": "masked(g, not c)"}
    edges = "the side that is not taken gets exactly 0, even for NaN and infinity"
    dtypes = "bool, integer, floating"
    inputs = ("condition", "input", "other")

    @classmethod
    def promoted(cls, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        condition, *values = arrays
        dtype = promote(*values)
        return (condition, *(_as(dtype, value) for value in values))

    @classmethod
    def infer(cls, condition: Any, input: Any, other: Any) -> Spec:
        shape = common_shape(cls.name, condition=condition, input=input, other=other)
        specs = tuple(s for s in (condition, input, other) if isinstance(s, Spec))
        return Spec(shape, promote(input, other), broadcast_layout(shape, specs))

    @staticmethod
    def forward(xp: Any, condition: Any, input: Any, other: Any) -> Any:
        if isinstance(input, (bool, int, float)) and isinstance(other, (bool, int, float)):
            dtype = promote(input, other)
            input, other = dtype.type(input), dtype.type(other)
        return choose(xp, condition, input, other)

    @staticmethod
    def vjp_input(g: Any, condition: Any) -> Any:
        return masked(g, condition)

    @staticmethod
    def vjp_other(g: Any, condition: Any) -> Any:
        return masked(g, logical_not(condition))


def _as(dtype: Any, value: Any) -> Any:
    if isinstance(value, Spec):
        return value._replace(dtype=dtype)
    if isinstance(value, (bool, int, float)) or value.dtype == dtype:
        return value
    return value.astype(dtype)


class Maximum(Binary):
    """The larger of two, element by element; NaN if either is. On ties each gets half the gradient.

    >>> import tinygrad_cv as tg
    >>> tg.maximum(tg.tensor([1.0, 5.0]), tg.tensor([3.0, 2.0])).tolist()
    [3.0, 5.0]
    """

    name = "maximum"
    equation = "y = max(a, b)"
    gradients = {"input": "g * [a > b] + g/2 * [a = b]", "other": "g * [b > a] + g/2 * [a = b]"}
    edges = "ties share the gradient, a half each; NaN wins"
    dtypes = "bool, integer, floating"
    ufunc = "maximum"

    @staticmethod
    def vjp_input(g: Any, input: Any, other: Any) -> Any:
        return _won(g, input < other, input == other)

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return _won(g, input > other, input == other)


class Minimum(Binary):
    """The smaller of two, element by element; NaN if either is. On ties each gets half the
    gradient.

    >>> import tinygrad_cv as tg
    >>> tg.minimum(tg.tensor([1.0, 5.0]), tg.tensor([3.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    name = "minimum"
    equation = "y = min(a, b)"
    gradients = {"input": "g * [a < b] + g/2 * [a = b]", "other": "g * [b < a] + g/2 * [a = b]"}
    edges = "ties share the gradient, a half each; NaN wins"
    dtypes = "bool, integer, floating"
    ufunc = "minimum"

    @staticmethod
    def vjp_input(g: Any, input: Any, other: Any) -> Any:
        return _won(g, input > other, input == other)

    @staticmethod
    def vjp_other(g: Any, input: Any, other: Any) -> Any:
        return _won(g, input < other, input == other)


def _won(g: Any, lost: Any, tied: Any) -> Any:
    """The gradient of one of two competitors. With NaN neither has lost, and both get it, as in
    PyTorch.
    """
    return masked(_where(tied, g * 0.5, g), logical_not(lost))


class Sign(StepFunction):
    """-1, 0 or 1, as the input is negative, zero or positive; 0 for NaN, as in PyTorch (NumPy:
    NaN).

    >>> import tinygrad_cv as tg
    >>> tg.sign(tg.tensor([-3.0, 0.0, 2.0])).tolist()
    [-1.0, 0.0, 1.0]
    """

    name = "sign"
    equation = "y = [x > 0] - [x < 0]"
    edges = "0 at 0 and at NaN; gradient 0"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        if input.dtype.kind == "b":
            return input.copy()
        return xp.subtract(input > 0, input < 0, out=empty_like(input), dtype=input.dtype)


class Abs(Unary):
    """The absolute value; its gradient at 0 is 0.

    >>> import tinygrad_cv as tg
    >>> tg.abs(tg.tensor([-3.0, 2.0])).tolist()
    [3.0, 2.0]
    """

    name = "abs"
    equation = "y = |x|"
    gradients = {"input": "g * sign(x)"}
    dtypes = "integer, floating"
    edges = "gradient 0 at 0"
    ufunc = "absolute"

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * sign(input)


class Clamp(Unary):
    """The nearest value in [min, max]; None leaves a side open."""

    name = "clamp"
    equation = "y = min(max(x, lo), hi)"
    gradients = {"input": "g * [lo <= x <= hi]"}
    edges = "gradient 1 at the bounds; NaN stays; the upper bound wins where they cross"
    dtypes = "integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, min: float | None, max: float | None) -> Any:
        low, high = -math.inf if min is None else min, math.inf if max is None else max
        if input.dtype.kind != "f":
            info = np.iinfo(input.dtype)
            low, high = (int(_within(bound, info)) for bound in (low, high))
        return input.clip(low, high, out=empty_like(input))

    @staticmethod
    def vjp_input(g: Any, input: Any, min: float | None, max: float | None) -> Any:
        if min is None:
            return masked(g, input <= max)
        if max is None:
            return masked(g, input >= min)
        return masked(g, (input >= min) * (input <= max))


def _within(bound: float, info: Any) -> float:
    return info.min if bound < info.min else info.max if bound > info.max else bound


class NanToNum(Unary):
    """NaN and the infinities replaced by numbers."""

    name = "nan_to_num"
    equation = "y = x if |x| < inf else (nan, posinf or neginf)"
    gradients = {"input": "g * [|x| < inf]"}
    edges = "gradient 0 where something was replaced"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, nan: float, posinf: float | None, neginf: float | None) -> Any:
        if input.dtype.kind != "f":
            return input.copy()
        return xp.nan_to_num(input, nan=nan, posinf=posinf, neginf=neginf)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return masked(g, isfinite(input))


_where = Where.call
maximum, minimum = Maximum.call, Minimum.call
sign, abs = Sign.call, Abs.call


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` holds, ``other`` elsewhere; the three broadcast.

    Args:
        condition: bool.
        input, other: tensors or numbers; their common dtype is the result's. Without both,
            ``where(condition)`` is ``nonzero(condition, as_tuple=True)``, of any dtype.

    The gradient goes to the chosen element only, and is exactly 0 for the other, even if it is
    infinite.

    Raises:
        DTypeError: the condition is not bool.
        ShapeError: the shapes do not broadcast.
        ArgumentError: only one of ``input`` and ``other`` is given.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([-1.0, 2.0])
    >>> tg.where(x > 0, x, 0.0).tolist()
    [0.0, 2.0]
    >>> [t.tolist() for t in tg.where(tg.tensor([[0, 5], [6, 0]]))]
    [[0, 1], [1, 0]]
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise ArgumentError("where", "input and other must be given together, or neither")
    if condition.dtype.kind != "b":
        raise DTypeError(
            "where",
            f"the condition must be bool, it is {condition.dtype.name}",
            values=[("condition", condition.shape)],
            repair="Write the comparison out, for example condition != 0.",
        )
    return _where(condition, input, other)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """``min(max(input, min), max)``, element by element: values outside [min, max] move to the
    nearest bound.

    Args:
        input: any shape; NaN stays NaN.
        min, max: numbers or tensors that broadcast; None leaves that side open. Where min > max the
            result is max.

    The gradient is 1 inside the bounds and on them, and 0 outside; a bound that is a tensor gets
    the gradient of the elements that it replaced.

    Raises:
        ArgumentError: both bounds are None.

    >>> import tinygrad_cv as tg
    >>> tg.clamp(tg.tensor([-1.0, 0.5, 3.0]), 0, 1).tolist()
    [0.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ArgumentError(
            "clamp",
            "at least one of min and max must be given",
            values=[("input", input.shape)],
        )
    if input.dtype.kind == "b":
        raise DTypeError("clamp", "bool has no order", values=[("input", input.shape)])
    numbers = (bool, int, float, type(None))
    for name, bound in (("min", min), ("max", max)):
        if not isinstance(bound, numbers) and not hasattr(bound, "dtype"):
            kind = type(bound).__name__
            raise DTypeError("clamp", f"{name} must be a number or a tensor, not {kind} {bound!r}")
    if isinstance(min, numbers) and isinstance(max, numbers):
        if input.dtype.kind != "f" and (isinstance(min, float) or isinstance(max, float)):
            input = cast(input, get_default_dtype())
        return Clamp.call(input, _plain(min), _plain(max))
    if min is not None:
        input = _where(logical_or(input < min, min != min), min, input)  # NaN != NaN
    if max is not None:
        input = _where(logical_or(input > max, max != max), max, input)
    return input


def _plain(number: Any) -> Any:
    """A Python number: NumPy's float64 is a float too, but would change the dtype."""
    return number if number is None else float(number) if isinstance(number, float) else int(number)


def clip(input: Any, min: Any = None, max: Any = None) -> Any:
    """NumPy's name of ``clamp``.

    >>> import tinygrad_cv as tg
    >>> tg.clip(tg.tensor([-1.0, 3.0]), 0, 1).tolist()
    [0.0, 1.0]
    """
    return clamp(input, min, max)


def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """NaN replaced by ``nan``, infinities by ``posinf`` and ``neginf`` (default: the largest finite
    numbers).

    The gradient is 0 at the replaced elements.

    >>> import tinygrad_cv as tg
    >>> tg.nan_to_num(tg.tensor([1.0, float("nan"), float("inf")]), posinf=9.0).tolist()
    [1.0, 0.0, 9.0]
    """
    return NanToNum.call(input, nan, posinf, neginf)


def _tensor_where(self: Any, condition: Any, other: Any) -> Any:
    """The elements of this tensor where ``condition`` holds, ``other`` elsewhere; see
    :func:`where`.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([-1.0, 2.0])
    >>> x.where(x > 0, 0.0).tolist()
    [0.0, 2.0]
    """
    return where(condition, self, other)


METHODS = {"where": _tensor_where, "__abs__": abs}
