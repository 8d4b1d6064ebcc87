"""Rounding, and the zero map that is the gradient of every step function."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.ops._elementwise import Unary

__all__ = [
    "Ceil",
    "Floor",
    "Frac",
    "Round",
    "StepFunction",
    "Trunc",
    "ZeroMap",
    "ceil",
    "floor",
    "frac",
    "round",
    "trunc",
    "zero_map",
]

TENSOR_FUNCTIONS = ("ceil", "floor", "frac", "round", "trunc")


class StepFunction(Unary, abstract=True):
    """A function that is constant between its jumps: its derivative is 0, by convention at the
    jumps too.
    """

    gradients = {"input": "0"}

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return zero_map(g)


class ZeroMap(StepFunction):
    """0 for every input, NaN and infinities included: the derivative of a function that is constant
    in steps.
    """

    name = "zero_map"
    equation = "y = 0"
    edges = "0 for NaN and infinity too"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        zeros = empty_like(input)
        zeros.fill(0)
        return zeros


zero_map = ZeroMap.call


class Floor(StepFunction):
    """The largest integer that is not above the input; integers stay as they are. Its gradient is
    0.

    >>> import tinygrad_cv as tg
    >>> tg.floor(tg.tensor([1.5, -1.5])).tolist()
    [1.0, -2.0]
    """

    name = "floor"
    equation = "y = floor(x)"
    edges = "gradient 0"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return _stepped(xp.floor, input)


class Ceil(StepFunction):
    """The smallest integer that is not below the input; integers stay as they are. Its gradient is
    0.

    >>> import tinygrad_cv as tg
    >>> tg.ceil(tg.tensor([1.5, -1.5])).tolist()
    [2.0, -1.0]
    """

    name = "ceil"
    equation = "y = ceil(x)"
    edges = "gradient 0"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return _stepped(xp.ceil, input)


class Trunc(StepFunction):
    """The input without its fraction: rounded towards 0. Its gradient is 0.

    >>> import tinygrad_cv as tg
    >>> tg.trunc(tg.tensor([1.5, -1.5])).tolist()
    [1.0, -1.0]
    """

    name = "trunc"
    equation = "y = sign(x) floor(|x|)"
    edges = "gradient 0"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return _stepped(xp.trunc, input)


class Round(StepFunction):
    """The nearest multiple of 10**-decimals; halves go to the even neighbour."""

    name = "round"
    equation = "y = round(x * 10^d) / 10^d"
    edges = "halves to even; gradient 0"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, decimals: int) -> Any:
        return xp.round(input, decimals) if input.dtype.kind == "f" else input.copy()


class Frac(Unary):
    """The fraction of the input, with its sign: ``x - trunc(x)``. Its gradient is 1.

    >>> import tinygrad_cv as tg
    >>> tg.frac(tg.tensor([1.5, -1.5])).tolist()
    [0.5, -0.5]
    """

    name = "frac"
    equation = "y = x - trunc(x)"
    gradients = {"input": "g"}
    edges = "the sign of the input; gradient 1"
    dtypes = "integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        whole = xp.trunc(input, out=empty_like(input))
        return xp.subtract(input, whole, out=whole)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g


def _stepped(function: Any, input: Any) -> Any:
    return function(input, out=empty_like(input)) if input.dtype.kind == "f" else input.copy()


floor, ceil, trunc, frac = Floor.call, Ceil.call, Trunc.call, Frac.call


def round(input: Any, *, decimals: int = 0) -> Any:
    """The nearest multiple of ``10**-decimals``; halves go to the even neighbour. Its gradient is
    0.

    >>> import tinygrad_cv as tg
    >>> tg.round(tg.tensor([0.5, 1.5, 2.6])).tolist()
    [0.0, 2.0, 3.0]
    """
    return Round.call(input, int(decimals))


def _python_round(self: Any, ndigits: int | None = None) -> Any:
    """Python's ``round(t)`` and ``round(t, ndigits)``."""
    return round(self, decimals=ndigits or 0)


METHODS = {"__round__": _python_round}
