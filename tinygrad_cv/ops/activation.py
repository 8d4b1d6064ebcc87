"""Activation functions.

Every formula is arranged so that it neither overflows nor cancels where that can be avoided, and
every rule is made of differentiable operators, so it is right at every order.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.blocks import in_blocks
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.select import choose, positive_part
from tinygrad_cv.backend.special import erf as erf_of
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._activating import applied, check_floating, refuse_bool
from tinygrad_cv.ops._elementwise import Unary
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.math import erf, exp
from tinygrad_cv.ops.select import clamp, masked, where
from tinygrad_cv.ops.writing import write

__all__ = [
    "Elu",
    "Gelu",
    "Hardtanh",
    "LeakyRelu",
    "Relu",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Tanh",
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
]

TENSOR_FUNCTIONS = ("relu", "sigmoid", "tanh")
NN_FUNCTIONS = (
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
)

_SQRT_HALF = math.sqrt(0.5)
_INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


class Relu(Unary):
    """The rectifier: the positive part."""

    name = "relu"
    equation = "y = max(x, 0)"
    gradients = {"input": "g * [y > 0]"}
    edges = "gradient 0 at 0; at NaN g passes"
    dtypes = "integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return positive_part(xp, input)

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return masked(g, output != 0)  # y is never negative; a NaN lets g through, as in PyTorch


class LeakyRelu(Unary):
    """The rectifier with a small slope for negative inputs."""

    name = "leaky_relu"
    equation = "y = x if x > 0 else slope * x"
    gradients = {"input": "g if x > 0 else slope * g"}
    edges = "the slope at 0"

    @staticmethod
    def forward(xp: Any, input: Any, negative_slope: float) -> Any:
        scaled = xp.multiply(input, negative_slope, out=empty_like(input))
        if 0 < negative_slope <= 1:
            return xp.maximum(input, scaled, out=scaled)
        return choose(xp, input > 0, input, scaled)

    @staticmethod
    def vjp_input(g: Any, input: Any, negative_slope: float) -> Any:
        return where(input > 0, g, g * negative_slope)


class Elu(Unary):
    """The exponential linear unit."""

    name = "elu"
    equation = "y = x if x > 0 else alpha (e^x - 1)"
    gradients = {"input": "g * alpha e^x if x <= 0 else g"}
    edges = "gradient alpha at 0; e^x is taken of the negative part only, so that nothing overflows"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any, alpha: float) -> Any:
        negative = input.clip(-math.inf, 0, out=empty_like(input))
        xp.expm1(negative, out=negative)
        negative *= alpha
        return choose(xp, input > 0, input, negative)

    @staticmethod
    def vjp_input(g: Any, input: Any, alpha: float) -> Any:
        # Clamped, so that e^x cannot overflow on the side that is not taken.
        return where(input <= 0, g * (alpha * exp(clamp(input, None, 0))), g)


class Hardtanh(Unary):
    """The input cut off at two bounds; its gradient at the bounds is 0 (that of clamp is 1)."""

    name = "hardtanh"
    equation = "y = min(max(x, lo), hi)"
    gradients = {"input": "g * [lo < x < hi]"}
    edges = "gradient 0 at both bounds; at NaN g passes"

    @staticmethod
    def forward(xp: Any, input: Any, min_val: float, max_val: float) -> Any:
        return input.clip(min_val, max_val, out=empty_like(input))

    @staticmethod
    def vjp_input(g: Any, input: Any, min_val: float, max_val: float) -> Any:
        # NaN lies on neither side, and lets g through, as in PyTorch.
        return masked(g, logical_not((input <= min_val) | (input >= max_val)))


class Sigmoid(Unary):
    """The logistic function.

    >>> import tinygrad_cv as tg
    >>> tg.sigmoid(tg.tensor([0.0, 1000.0, -1000.0])).tolist()
    [0.5, 1.0, 0.0]
    """

    name = "sigmoid"
    equation = "y = 1 / (1 + e^-x)"
    gradients = {"input": "g * y (1 - y)"}
    edges = "0 at -inf, 1 at inf; no overflow at either end"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return _sigmoid(xp, input)

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (output * (1 - output))


class Tanh(Unary):
    """The hyperbolic tangent.

    >>> import tinygrad_cv as tg
    >>> tg.tanh(tg.tensor([0.0, 1000.0, -1000.0])).tolist()
    [0.0, 1.0, -1.0]
    """

    name = "tanh"
    equation = "y = (e^x - e^-x) / (e^x + e^-x)"
    gradients = {"input": "g * (1 - y^2)"}
    edges = "-1 at -inf, 1 at inf"
    ufunc = "tanh"
    result = "float"

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        return g * (1 - output * output)


class Gelu(Unary):
    """The Gaussian error linear unit: the input times the normal distribution function, exact."""

    name = "gelu"
    equation = "y = x * Phi(x), Phi(x) = (1 + erf(x/sqrt(2))) / 2"
    gradients = {"input": "g * (Phi(x) + x * phi(x)), phi(x) = e^(-x^2/2) / sqrt(2 pi)"}
    edges = "NaN at -inf, where it is -inf times 0"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return in_blocks(xp, _gelu, input)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        distribution = 0.5 * (1 + erf(input * _SQRT_HALF))
        density = _INV_SQRT_2PI * exp(-0.5 * (input * input))
        return g * (distribution + input * density)

    @staticmethod
    def fused_vjp(xp: Any, g: Any, needs: Any, input: Any) -> Any:
        return (in_blocks(xp, _gelu_gradient, input, g),)


class GeluTanh(Unary):
    """The Gaussian error linear unit, with the distribution function approximated by a tanh."""

    name = "gelu_tanh"
    equation = "y = x/2 * (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)"
    gradients = {
        "input": "g/2 * (1 + tanh u + x (1 - tanh^2 u) u'), u' = sqrt(2/pi) (1 + 0.134145 x^2)"
    }
    edges = "NaN at -inf, where it is -inf times 0"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        y = xp.multiply(input, input, out=empty_like(input))
        y *= _SQRT_2_OVER_PI * _CUBIC
        y += _SQRT_2_OVER_PI
        y *= input
        xp.tanh(y, out=y)
        y += 1
        y *= 0.5
        return xp.multiply(input, y, out=y)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        squared = input * input
        t = tanh(input * (_SQRT_2_OVER_PI + (_SQRT_2_OVER_PI * _CUBIC) * squared))
        slope = _SQRT_2_OVER_PI + (3 * _SQRT_2_OVER_PI * _CUBIC) * squared
        return g * (0.5 * (1 + t + input * ((1 - t * t) * slope)))


class Silu(Unary):
    """The input times its logistic function (also called swish)."""

    name = "silu"
    equation = "y = x * s(x), s(x) = 1 / (1 + e^-x)"
    gradients = {"input": "g * s (1 + x (1 - s))"}
    edges = "NaN at -inf, where it is -inf times 0"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        y = _sigmoid(xp, input)
        return xp.multiply(input, y, out=y)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        s = sigmoid(input)
        return g * (s * (1 + input * (1 - s)))


class Softplus(Unary):
    """A smooth rectifier; above the threshold it is the input itself."""

    name = "softplus"
    equation = "y = ln(1 + e^(beta x)) / beta, x where beta x > threshold"
    gradients = {"input": "g * s(beta x), g where beta x > threshold"}
    edges = "linear from threshold on, where log1p would only round; no overflow"
    result = "float"

    @staticmethod
    def forward(xp: Any, input: Any, beta: float, threshold: float) -> Any:
        scaled = xp.multiply(input, beta, out=empty_like(input))
        smooth = xp.abs(scaled, out=empty_like(input))
        xp.negative(smooth, out=smooth)
        xp.log1p(xp.exp(smooth, out=smooth), out=smooth)
        smooth += scaled.clip(0, math.inf, out=empty_like(input))
        smooth /= beta
        return choose(xp, scaled > threshold, input, smooth)

    @staticmethod
    def vjp_input(g: Any, input: Any, beta: float, threshold: float) -> Any:
        scaled = input * beta
        return where(scaled > threshold, g, g * sigmoid(scaled))


def _sigmoid(xp: Any, x: Any) -> Any:
    """In one buffer. For negative x, 1/(1 + e^-x) keeps its relative accuracy; e^-x = inf gives the
    right 0.
    """
    y = xp.negative(x, out=empty_like(x))
    xp.exp(y, out=y)
    y += 1
    return xp.reciprocal(y, out=y)


def _gelu(xp: Any, x: Any, y: Any) -> None:
    _distribution(xp, x, y)
    y *= x


def _gelu_gradient(xp: Any, x: Any, g: Any, y: Any) -> None:
    _distribution(xp, x, y)
    density = x * x
    density *= -0.5
    xp.exp(density, out=density)
    density *= _INV_SQRT_2PI
    density *= x
    y += density
    y *= g


def _distribution(xp: Any, x: Any, y: Any) -> None:
    """y = Phi(x) of the normal distribution."""
    erf_of(xp, x * _SQRT_HALF, out=y)
    y += 1
    y *= 0.5


_relu, sigmoid, tanh = Relu.call, Sigmoid.call, Tanh.call


def relu(input: Any, inplace: bool = False) -> Any:
    """The rectifier ``max(x, 0)``; its gradient at 0 is 0.

    Args:
        input: any shape; NaN stays NaN.
        inplace: write the result into ``input``.

    Source: the lecture's rectified linear unit; Nair and Hinton, ICML 2010.

    >>> import tinygrad_cv as tg
    >>> tg.relu(tg.tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    refuse_bool("relu", input)
    output = _relu(input)  # its gradient reads the output, which may stand in the input's place
    return write(input, output, "relu_") if inplace else output


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """``x`` if x > 0, else ``negative_slope * x``; its gradient at 0 is the slope.

    Source: the lecture's leaky rectifier; Maas et al., ICML 2013.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.leaky_relu(tg.tensor([-2.0, 3.0]), 0.5).tolist()
    [-1.0, 3.0]
    """
    check_floating("leaky_relu", input)
    return applied(LeakyRelu.call, input, inplace, float(negative_slope))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``x`` if x > 0, else ``alpha * (exp(x) - 1)``; its gradient at 0 is alpha.

    Source: the lecture's exponential linear unit; Clevert et al., ICLR 2016.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.elu(tg.tensor([-float("inf"), 3.0])).tolist()
    [-1.0, 3.0]
    """
    check_floating("elu", input)
    return applied(Elu.call, input, inplace, float(alpha))


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """``min(max(x, min_val), max_val)``; its gradient at the bounds is 0.

    Raises:
        ArgumentError: the bounds are in the wrong order.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.hardtanh(tg.tensor([-2.0, 0.5, 2.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    refuse_bool("hardtanh", input)
    if min_val > max_val:
        raise ArgumentError("hardtanh", f"min_val={min_val} is above max_val={max_val}")
    if input.dtype.kind != "f":  # integers stay integers
        bounds = (int(v) if math.isfinite(v) else None for v in (min_val, max_val))
        return applied(clamp, input, inplace, *bounds)
    return applied(Hardtanh.call, input, inplace, min_val, max_val)


def relu6(input: Any, inplace: bool = False) -> Any:
    """``min(max(x, 0), 6)``; its gradient at 0 and 6 is 0.

    Source: Howard et al., "MobileNets", 2017.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.relu6(tg.tensor([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """
    return hardtanh(input, 0, 6, inplace)


def gelu(input: Any, approximate: str = "none") -> Any:
    """The Gaussian error linear unit ``x * Phi(x)``, with Phi the normal distribution function.

    Args:
        input: any shape, floating.
        approximate: "none" for the exact function, "tanh" for
            ``x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3)))``.

    Raises:
        ArgumentError: another approximation.

    Source: Hendrycks and Gimpel, 2016.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.gelu(tg.tensor([0.0, 30.0, -30.0])).tolist()
    [0.0, 30.0, -0.0]
    """
    check_floating("gelu", input)
    if approximate == "none":
        return Gelu.call(input)
    if approximate == "tanh":
        return GeluTanh.call(input)
    raise ArgumentError(
        "gelu",
        f"approximate must be 'none' or 'tanh', not {approximate!r}",
        repair='Use approximate="none" or approximate="tanh".',
        repairs=[{"approximate": "none"}, {"approximate": "tanh"}],
    )


def silu(input: Any, inplace: bool = False) -> Any:
    """``x * sigmoid(x)``, also called swish.

    Source: Elfwing et al., 2017; Ramachandran et al., 2017.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.silu(tg.tensor([0.0, 50.0])).tolist()
    [0.0, 50.0]
    """
    check_floating("silu", input)
    return applied(Silu.call, input, inplace)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + exp(beta * x)) / beta``, a smooth rectifier; where ``beta * x > threshold``, x
    itself.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.softplus(tg.tensor([30.0, -1000.0])).tolist()
    [30.0, 0.0]
    """
    check_floating("softplus", input)
    return Softplus.call(input, float(beta), float(threshold))
