"""Activations that let the input through a gate between 0 and 1, and gates themselves."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.blocks import in_blocks
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.select import choose, keep
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._activating import applied, check_floating
from tinygrad_cv.ops._dims import one_dim
from tinygrad_cv.ops._elementwise import Unary
from tinygrad_cv.ops.activation import Softplus, sigmoid, tanh
from tinygrad_cv.ops.join import cat
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.select import masked, where
from tinygrad_cv.ops.slicing import narrow

__all__ = [
    "Glu",
    "Hardsigmoid",
    "Hardswish",
    "LogSigmoid",
    "Mish",
    "glu",
    "hardsigmoid",
    "hardswish",
    "logsigmoid",
    "mish",
]

NN_FUNCTIONS = ("glu", "hardsigmoid", "hardswish", "logsigmoid", "mish")

_FLAT = 40  # beyond, tanh(softplus(x)) is 1 in float64, and its powers of e^x are finite in float32


class Hardsigmoid(Unary):
    """A logistic function made of three lines."""

    name = "hardsigmoid"
    equation = "y = min(max(x + 3, 0), 6) / 6"
    gradients = {"input": "g / 6 * [-3 < x < 3]"}
    edges = "gradient 0 at -3 and at 3"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        y = _hinged(xp, input)
        y /= 6
        return y

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return masked(g / 6, (input > -3) & (input < 3))


class Hardswish(Unary):
    """The input times the logistic function made of three lines."""

    name = "hardswish"
    equation = "y = x min(max(x + 3, 0), 6) / 6"
    gradients = {"input": "g (0 if x <= -3 else x/3 + 1/2 if x < 3 else 1)"}
    edges = "gradient 0 at -3 and 1 at 3"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        y = _hinged(xp, input)
        y *= input
        y /= 6
        return y

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        # NaN lies on neither side, and lets g through, as in PyTorch.
        return masked(where(input < 3, g * (input / 3 + 0.5), g), logical_not(input <= -3))

    @staticmethod
    def fused_vjp(xp: Any, g: Any, needs: Any, input: Any) -> tuple[Any]:
        return (in_blocks(xp, _hardswish_gradient, input, g),)


class Mish(Unary):
    """The input times the hyperbolic tangent of its softplus."""

    name = "mish"
    equation = "y = x t(x), t(x) = tanh(ln(1 + e^x))"
    gradients = {"input": "g (t + x (1 - t^2) s), s = 1 / (1 + e^-x)"}
    edges = "NaN at -inf, where it is -inf times 0"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        # t = n / (n + 2) with n = e^x (e^x + 2), which keeps its digits for negative x.
        power = input.clip(-math.inf, _FLAT, out=empty_like(input))
        xp.exp(power, out=power)
        y = xp.add(power, 2, out=empty_like(input))
        y *= power
        xp.add(y, 2, out=power)
        y /= power
        y *= input
        return y

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        t = tanh(_softplus(input, 1.0, math.inf))
        return g * (t + input * ((1 - t * t) * sigmoid(input)))


class LogSigmoid(Unary):
    """The logarithm of the logistic function, without underflow."""

    name = "logsigmoid"
    equation = "y = -ln(1 + e^-x)"
    gradients = {"input": "g / (1 + e^x)"}
    edges = "no overflow; -inf only at -inf"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        smooth = xp.abs(input, out=empty_like(input))
        xp.negative(smooth, out=smooth)
        xp.log1p(xp.exp(smooth, out=smooth), out=smooth)
        return xp.subtract(input.clip(-math.inf, 0, out=empty_like(input)), smooth, out=smooth)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        return g * sigmoid(-input)


class Glu(Op):
    """The first half of an axis, gated by the second; ``dim`` is counted from the front."""

    name = "glu"
    equation = "y = a s(b), [a, b] = x, s(b) = 1 / (1 + e^-b)"
    gradients = {"input": "[g s, g a s (1 - s)]"}
    edges = "NaN and infinity as in IEEE 754"
    cost = "2 per element"

    @staticmethod
    def infer(input: Spec, dim: int) -> Spec:
        shape = list(input.shape)
        shape[dim] //= 2
        return Spec(tuple(shape), input.dtype, input.layout)

    @staticmethod
    def forward(xp: Any, input: Any, dim: int) -> Any:
        half = input.shape[dim] // 2
        front = (slice(None),) * dim
        a, b = input[(*front, slice(half))], input[(*front, slice(half, None))]
        y = memory.empty(a.shape, input.dtype, layout_of(input), xp)
        xp.exp(xp.negative(b, out=y), out=y)
        y += 1
        return xp.divide(a, y, out=y)

    @staticmethod
    def vjp_input(g: Any, input: Any, dim: int) -> Any:
        half = input.shape[dim] // 2
        a, s = narrow(input, dim, 0, half), sigmoid(narrow(input, dim, half, half))
        return cat([g * s, g * (a * (s * (1 - s)))], dim)

    @staticmethod
    def flops(input: Spec, dim: int) -> int:
        return 2 * input.size


_softplus = Softplus.call


def _hardswish_gradient(xp: Any, x: Any, g: Any, dx: Any) -> None:
    xp.multiply(x, 1 / 3, out=dx)
    dx += 0.5
    dx *= g
    keep(xp, choose(xp, x < 3, dx, g), xp.logical_not(x <= -3), out=dx)


def _hinged(xp: Any, x: Any) -> Any:
    """min(max(x + 3, 0), 6) in memory of its own."""
    y = xp.add(x, 3, out=empty_like(x))
    return y.clip(0, 6, out=y)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """``min(max(x + 3, 0), 6) / 6``, between 0 and 1; its gradient at -3 and 3 is 0.

    Args:
        input: any shape, floating; NaN stays NaN.
        inplace: write the result into ``input``.

    Raises:
        DTypeError: the input is not floating.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.hardsigmoid(tg.tensor([-5.0, 0.0, 1.5, 5.0])).tolist()
    [0.0, 0.5, 0.75, 1.0]
    """
    check_floating("hardsigmoid", input)
    return applied(Hardsigmoid.call, input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """``x * min(max(x + 3, 0), 6) / 6``; its gradient is 0 at -3 and 1 at 3.

    Args:
        input: any shape, floating; NaN stays NaN, and -inf gives NaN, as 0 * inf does.
        inplace: write the result into ``input``.

    Raises:
        DTypeError: the input is not floating.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.hardswish(tg.tensor([-5.0, 0.0, 1.5, 5.0])).tolist()
    [-0.0, 0.0, 1.125, 5.0]
    """
    check_floating("hardswish", input)
    return applied(Hardswish.call, input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """``x * tanh(softplus(x))``, a smooth function with one shallow valley.

    Args:
        input: any shape, floating; NaN stays NaN, and -inf gives NaN, as 0 * inf does.
        inplace: write the result into ``input``.

    Raises:
        DTypeError: the input is not floating.

    Source: Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.mish(tg.tensor([0.0, 50.0])).tolist()
    [0.0, 50.0]
    """
    check_floating("mish", input)
    return applied(Mish.call, input, inplace)


def logsigmoid(input: Any) -> Any:
    """``log(1 / (1 + exp(-x)))``, finite where the logarithm of a rounded sigmoid would be -inf.

    Args:
        input: any shape, floating; NaN stays NaN.

    Raises:
        DTypeError: the input is not floating.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.logsigmoid(tg.tensor([-1000.0, 1000.0])).tolist()
    [-1000.0, 0.0]
    """
    check_floating("logsigmoid", input)
    return LogSigmoid.call(input)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half of an axis, gated by the second: ``a * sigmoid(b)``.

    Args:
        input: at least one axis, floating; [..., 2 n, ...] with the halves a and b.
        dim: the axis, of even size.

    Returns:
        The shape of ``input`` with n in place of 2 n.

    Raises:
        ShapeError: the axis has an odd size, or there is none.
        RangeError: the input has no such axis.
        DTypeError: the input is not floating.

    Source: Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.glu(tg.tensor([3.0, 4.0, 0.0, 1000.0])).tolist()
    [1.5, 4.0]
    """
    check_floating("glu", input)
    dim = one_dim("glu", input.shape, dim)
    size = input.shape[dim] if input.ndim else 1
    if size % 2:
        even = (*input.shape[:dim], size + 1, *input.shape[dim + 1 :]) if input.ndim else (2,)
        raise ShapeError(
            "glu",
            f"an axis of size {size} has no two halves" if input.ndim else "there is no axis",
            law=["n_out = n / 2", f"      = {size} / 2"],
            values=[("input", input.shape)],
            repair=f"Give an axis of even size, such as an input of shape {even}.",
            repairs=[{"input": even}],
        )
    return Glu.call(input, dim)
