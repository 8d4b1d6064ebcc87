"""Functions that pull the input towards 0: by a constant, by a threshold, or by its size."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import get_default_dtype
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.select import keep
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._activating import check_floating, refuse_bool
from tinygrad_cv.ops._elementwise import Unary
from tinygrad_cv.ops.activation import tanh
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.select import abs, masked

__all__ = [
    "Hardshrink",
    "Softshrink",
    "Softsign",
    "hardshrink",
    "softshrink",
    "softsign",
    "tanhshrink",
]

TENSOR_FUNCTIONS = ("hardshrink",)
NN_FUNCTIONS = ("hardshrink", "softshrink", "softsign", "tanhshrink")


class Hardshrink(Unary):
    """The input outside an interval around 0, and 0 inside."""

    name = "hardshrink"
    equation = "y = 0 if -l <= x <= l else x"
    gradients = {"input": "0 if -l <= x <= l else g"}
    edges = "gradient 0 at the bounds; at NaN g passes"

    @staticmethod
    def forward(xp: Any, input: Any, lambd: float) -> Any:
        inside = (input >= -lambd) & (input <= lambd)  # NaN is not, and stays
        return keep(xp, input, xp.logical_not(inside))

    @staticmethod
    def vjp_input(g: Any, input: Any, lambd: float) -> Any:
        return masked(g, logical_not((input >= -lambd) & (input <= lambd)))


class Softshrink(Unary):
    """The input moved towards 0 by a constant, and 0 where it would pass 0."""

    name = "softshrink"
    equation = "y = x - l if x > l, x + l if x < -l, else 0"
    gradients = {"input": "0 if -l <= x <= l else g"}
    edges = "gradient 0 at the bounds; at NaN g passes"

    @staticmethod
    def forward(xp: Any, input: Any, lambd: float) -> Any:
        taken = input.clip(-lambd, lambd, out=empty_like(input))  # all of x inside the bounds
        return xp.subtract(input, taken, out=taken)

    @staticmethod
    def vjp_input(g: Any, input: Any, lambd: float) -> Any:
        return masked(g, logical_not((input >= -lambd) & (input <= lambd)))


class Softsign(Unary):
    """The input divided by 1 plus its size: like tanh, but slower towards its bounds."""

    name = "softsign"
    equation = "y = x / (1 + |x|)"
    gradients = {"input": "g / (1 + |x|)^2"}
    edges = "gradient 1 at 0; NaN at the infinities"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        size = xp.abs(input, out=empty_like(input))
        size += 1
        return xp.divide(input, size, out=size)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        size = abs(input) + 1
        return g / (size * size)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """``x`` where x > lambd or x < -lambd, else 0; its gradient at the bounds is 0.

    Args:
        input: any shape, floating; NaN stays NaN, and lets the gradient through.
        lambd: half the width of the interval; with a negative one there is none.

    Raises:
        DTypeError: the input is not floating.

    Source: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.hardshrink(tg.tensor([-2.0, 0.5, 2.0])).tolist()
    [-2.0, 0.0, 2.0]
    """
    check_floating("hardshrink", input)
    return Hardshrink.call(input, float(lambd))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """``x - lambd`` where x > lambd, ``x + lambd`` where x < -lambd, else 0; its gradient at the
    bounds is 0. It is the step of proximal gradient descent for lambd times the L1 norm.

    Args:
        input: any shape, floating; NaN stays NaN, and lets the gradient through.
        lambd: how far numbers are moved, not negative.

    Raises:
        DTypeError: the input is not floating.
        ArgumentError: ``lambd`` is negative, infinite or NaN.

    Source: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.softshrink(tg.tensor([-2.0, 0.5, 2.0])).tolist()
    [-1.5, 0.0, 1.5]
    """
    check_floating("softshrink", input)
    lambd = float(lambd)
    if not 0 <= lambd < float("inf"):
        raise ArgumentError(
            "softshrink",
            f"lambd must be finite and not negative, it is {lambd}",
            law=["lambd >= 0"],
            repair="Use lambd=0.5, or 0.0 to change nothing.",
            repairs=[{"lambd": 0.5}, {"lambd": 0.0}],
        )
    return Softshrink.call(input, lambd)


def softsign(input: Any) -> Any:
    """``x / (1 + |x|)``, between -1 and 1.

    Args:
        input: any shape, not bool; integers become the default float dtype. At infinity the value
            is NaN, as in PyTorch.

    Raises:
        DTypeError: the input is bool.

    Source: Turian et al., "Quadratic features and deep architectures for chunking", NAACL 2009.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1.0, 0.0, 3.0])).tolist()
    [-0.5, 0.0, 0.75]
    """
    refuse_bool("softsign", input)
    return Softsign.call(input)


def tanhshrink(input: Any) -> Any:
    """``x - tanh(x)``; integers become the default float dtype.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.tanhshrink(tg.tensor([0.0, 1000.0])).tolist()
    [0.0, 999.0]
    """
    if input.dtype.kind != "f":
        input = cast(input, get_default_dtype())
    return input - tanh(input)
