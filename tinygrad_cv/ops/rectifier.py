"""Rectifiers with another left half: exponential, learned, random, constant, or another channel.

The rules at the kink are PyTorch's: at 0 the derivative is that of the left half, for ``threshold``
it is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.elementwise import SMALL, run_ufunc
from tinygrad_cv.backend.layout import reordered
from tinygrad_cv.backend.random import Generator, default_generator, uniform
from tinygrad_cv.backend.select import choose
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._activating import applied, check_floating, refuse_bool
from tinygrad_cv.ops._dims import one_dim
from tinygrad_cv.ops._elementwise import Binary, Unary
from tinygrad_cv.ops.activation import leaky_relu
from tinygrad_cv.ops.extrema import MaxDim
from tinygrad_cv.ops.layout import contiguous
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.math import exp
from tinygrad_cv.ops.select import clamp, masked, where
from tinygrad_cv.ops.shape import reshape, unflatten

__all__ = [
    "Celu",
    "Prelu",
    "Rrelu",
    "Selu",
    "Threshold",
    "celu",
    "maxout",
    "prelu",
    "rrelu",
    "selu",
    "threshold",
]

TENSOR_FUNCTIONS = ("prelu",)
NN_FUNCTIONS = ("celu", "maxout", "prelu", "rrelu", "selu", "threshold")
TENSOR_ARGUMENTS = ("weight",)

# The fixed point of mean 0 and variance 1 (Klambauer et al., 2017, section 2).
_ALPHA, _SCALE = 1.6732632423543772848, 1.0507009873554804934


class Selu(Unary):
    """The exponential linear unit that keeps mean 0 and variance 1 from layer to layer."""

    name = "selu"
    equation = "y = 1.0507 (x if x > 0 else 1.6733 (e^x - 1))"
    gradients = {"input": "1.0507 g (1 if x > 0 else 1.6733 e^x)"}
    edges = "gradient scale * alpha at 0, 1.758; no overflow"

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        negative = input.clip(-math.inf, 0, out=memory.empty_like(input))
        xp.expm1(negative, out=negative)
        negative *= _ALPHA * _SCALE
        positive = xp.multiply(input, _SCALE, out=memory.empty_like(input))
        return choose(xp, input > 0, positive, negative)

    @staticmethod
    def vjp_input(g: Any, input: Any) -> Any:
        # Clamped, so that e^x cannot overflow on the side that is not taken.
        steep = (_ALPHA * _SCALE) * exp(clamp(input, None, 0))
        return where(input <= 0, g * steep, g * _SCALE)


class Celu(Unary):
    """The exponential linear unit whose derivative at 0 is 1 for every alpha."""

    name = "celu"
    equation = "y = x if x > 0 else alpha (e^(x / alpha) - 1)"
    gradients = {"input": "g if x > 0 else g e^(x / alpha)"}
    edges = "gradient 1 at 0; no overflow"

    @staticmethod
    def forward(xp: Any, input: Any, alpha: float) -> Any:
        negative = input.clip(-math.inf, 0, out=memory.empty_like(input))
        negative *= 1 / alpha
        xp.expm1(negative, out=negative)
        negative *= alpha
        return choose(xp, input > 0, input, negative)

    @staticmethod
    def vjp_input(g: Any, input: Any, alpha: float) -> Any:
        return where(input <= 0, g * exp(clamp(input, None, 0) * (1 / alpha)), g)


class Prelu(Binary):
    """The rectifier with a learned slope for negative inputs; the weight broadcasts."""

    name = "prelu"
    equation = "y = x if x > 0 else w x"
    gradients = {"input": "g if x > 0 else w g", "weight": "0 if x > 0 else g x"}
    edges = "the weight at 0"
    inputs = ("input", "weight")

    @staticmethod
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        if xp is np and input.size > SMALL and np.isfinite(weight).all():
            negative = input.clip(-math.inf, 0, out=memory.empty_like(input))
            y = run_ufunc(xp, "multiply", (negative, weight), Prelu.infer)
            y += input.clip(0, math.inf, out=negative)
            return y
        scaled = run_ufunc(xp, "multiply", (input, weight), Prelu.infer)
        return choose(xp, input > 0, input, scaled)

    @staticmethod
    def vjp_input(g: Any, input: Any, weight: Any) -> Any:
        return where(input > 0, g, g * weight)

    @staticmethod
    def vjp_weight(g: Any, input: Any) -> Any:
        return masked(g * input, logical_not(input > 0))


class Rrelu(Op):
    """The rectifier with a random slope for each input that is not positive; the slopes are
    constants to every derivative."""

    name = "rrelu"
    equation = "y = a x if x <= 0 else x, a ~ Uniform(lower, upper)"
    gradients = {"input": "a g if x <= 0 else g"}
    edges = "the slope at 0"
    cost = "3 per element"
    residuals = constants = ("slope",)

    @staticmethod
    def infer(input: Spec, lower: float, upper: float, draw: tuple[int, int]) -> tuple[Spec, Spec]:
        return input, input

    @staticmethod
    def forward(xp: Any, input: Any, lower: float, upper: float, draw: tuple[int, int]) -> Any:
        # Drawn in float32 and in the order of the public shape, so that neither the dtype nor the
        # memory layout changes a slope.
        drawn = xp.asarray(uniform(draw, input.shape))
        if layout_of(input) != CONTIGUOUS:
            drawn = reordered(xp, drawn, layout_of(input))
        slope = memory.empty(input.shape, input.dtype, layout_of(input), xp)
        slope[...] = drawn
        slope *= upper - lower
        slope += lower
        slope = choose(xp, input <= 0, slope, 1.0)
        return xp.multiply(input, slope, out=memory.empty_like(slope)), slope

    @staticmethod
    def vjp_input(g: Any, slope: Any) -> Any:
        return g * slope

    @staticmethod
    def flops(input: Spec, lower: float, upper: float, draw: tuple[int, int]) -> int:
        return 3 * input.size


class Threshold(Unary):
    """The input above a threshold, a constant elsewhere."""

    name = "threshold"
    equation = "y = x if x > t else v"
    gradients = {"input": "g * [x > t]"}
    edges = "gradient 0 at the bounds; at NaN g passes"
    dtypes = "integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, threshold: float, value: float) -> Any:
        # NaN is not below the threshold, and stays.
        return choose(xp, xp.logical_not(input <= threshold), input, value)

    @staticmethod
    def vjp_input(g: Any, input: Any, threshold: float) -> Any:
        return masked(g, logical_not(input <= threshold))


def selu(input: Any, inplace: bool = False) -> Any:
    """``scale * (x if x > 0 else alpha * (exp(x) - 1))`` with scale 1.0507 and alpha 1.6733, which
    keeps the mean 0 and the variance 1 of normal inputs; its gradient at 0 is scale * alpha, 1.758.

    Args:
        input: any shape, floating; NaN stays NaN.
        inplace: write the result into ``input``.

    Raises:
        DTypeError: the input is not floating.

    Source: Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.functional.selu(tg.tensor([-float("inf"), 0.0, 1.0]))
    >>> [round(v, 4) for v in y.tolist()]
    [-1.7581, 0.0, 1.0507]
    """
    check_floating("selu", input)
    return applied(Selu.call, input, inplace)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``x`` if x > 0, else ``alpha * (exp(x / alpha) - 1)``; its gradient at 0 is 1.

    Args:
        input: any shape, floating; NaN stays NaN.
        alpha: the depth of the left half, not 0.
        inplace: write the result into ``input``.

    Raises:
        DTypeError: the input is not floating.
        ArgumentError: ``alpha`` is 0.

    Source: Barron, "Continuously differentiable exponential linear units", 2017.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.celu(tg.tensor([-float("inf"), 3.0]), alpha=2.0).tolist()
    [-2.0, 3.0]
    """
    check_floating("celu", input)
    if float(alpha) == 0:
        raise ArgumentError(
            "celu",
            "alpha must not be 0, x is divided by it",
            law=["y = alpha * (exp(x / alpha) - 1) for x <= 0"],
            repair="Use alpha=1.0, or relu, to which it tends.",
            repairs=[{"alpha": 1.0}],
        )
    return applied(Celu.call, input, inplace, float(alpha))


def prelu(input: Any, weight: Any) -> Any:
    """``x`` if x > 0, else ``weight * x``, with a learned slope; its gradient at 0 is the weight.

    For weights in [0, 1] this is the lecture's ``max(weight * x, x)``; above 1 that would take the
    other branch, and PyTorch's meaning is followed.

    Args:
        input: any shape, floating; [N, C, ...] for a weight per channel.
        weight: one number, [] or [1], or one for each channel, [C], in the dtype of ``input``. With
            fewer than two axes there is one channel.

    The weight gets the gradient ``sum of g * x over x <= 0``.

    Raises:
        ShapeError: the weight has several axes, or neither one number nor C.
        DTypeError: the dtypes differ, or are not floating.

    Source: the lecture's parametric rectifier; He et al., "Delving deep into rectifiers", 2015.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[-2.0, -2.0, 3.0]])  # [N, C]
    >>> tg.nn.functional.prelu(x, tg.tensor([0.5, 0.25, 0.0])).tolist()
    [[-1.0, -0.5, 3.0]]
    """
    check_floating("prelu", input)
    if weight.dtype != input.dtype:
        raise DTypeError(
            "prelu",
            f"input and weight must have one dtype, not {input.dtype.name} and {weight.dtype.name}",
            values=[("input", input.shape), ("weight", weight.shape)],
            repair="Convert one of them, for example with weight.to(input.dtype).",
        )
    channels = input.shape[1] if input.ndim > 1 else 1
    count = math.prod(weight.shape)
    if weight.ndim > 1 or count not in (1, channels) or (count != 1 and not input.ndim):
        raise ShapeError(
            "prelu",
            f"the weight must be one number or one for each of {channels} channels",
            law=["weight [] or [1], or [C]"],
            values=[("input", input.shape, "[N, C, ...]"), ("weight", weight.shape, "[C]")],
            repair=f"Give a weight of shape (1,) or ({channels},).",
            repairs=[{"weight": (1,)}, {"weight": (channels,)}],
        )
    if weight.ndim != input.ndim:
        spread = [1] * input.ndim
        if input.ndim > 1:
            spread[1] = count
        weight = reshape(weight, tuple(spread))
    return Prelu.call(input, weight)


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """``x`` if x > 0, else ``a * x`` with a slope drawn from [lower, upper) for each element; in
    evaluation ``a = (lower + upper) / 2``. The gradient at 0 is the slope.

    Args:
        input: any shape, floating; NaN stays NaN.
        lower, upper: the bounds of the slopes, finite.
        training: True draws, False takes the mean.
        inplace: write the result into ``input``.
        generator: where slopes are drawn from; the default generator if None. On the meta device
            nothing is drawn.

    Raises:
        DTypeError: the input is not floating.
        ArgumentError: ``lower > upper``, or a bound is not finite.

    Source: Xu et al., "Empirical evaluation of rectified activations in convolutional network",
    2015.

    >>> import tinygrad_cv as tg
    >>> F, x = tg.nn.functional, tg.full((1000,), -1.0)
    >>> y = F.rrelu(x, 0.2, 0.4, training=True, generator=tg.Generator(0))
    >>> bool((y <= -0.2).all()), bool((y >= -0.4).all()), round(F.rrelu(x, 0.2, 0.4)[0].item(), 3)
    (True, True, -0.3)
    """
    check_floating("rrelu", input)
    lower, upper = float(lower), float(upper)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower <= upper):
        raise ArgumentError(
            "rrelu",
            f"the bounds must be finite and in order, they are {lower} and {upper}",
            law=["lower <= upper"],
            repair="Use lower=1/8 and upper=1/3, or give them in order.",
            repairs=[{"lower": 1 / 8, "upper": 1 / 3}],
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    on_meta = isinstance(getattr(input, "array", input), Spec)
    key = (0, 0) if on_meta else (generator or default_generator).next_key()
    return applied(Rrelu.call, input, inplace, lower, upper, key)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """``x`` if x > threshold, else ``value``; its gradient at the threshold is 0.

    Args:
        input: any shape, not bool; integers stay integers, and threshold and value lose their
            fractions. NaN stays NaN.
        threshold, value: numbers.
        inplace: write the result into ``input``.

    Raises:
        DTypeError: the input is bool.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.threshold(tg.tensor([0.5, 1.0, 2.0]), 1.0, -1.0).tolist()
    [-1.0, -1.0, 2.0]
    """
    refuse_bool("threshold", input)
    kind = float if input.dtype.kind == "f" else int
    return applied(Threshold.call, input, inplace, kind(threshold), kind(value))


def maxout(input: Any, pool_size: int, dim: int = 1) -> Any:
    """The largest of each ``pool_size`` consecutive channels:
    ``y[n, c] = max over k < pool_size of x[n, c * pool_size + k]``.

    Args:
        input: any shape, [N, C, ...] by default; NaN wins.
        pool_size: how many channels compete for one of the result; it divides their number.
        dim: the axis of the channels.

    Returns:
        The shape of ``input`` with C / pool_size channels, in its memory layout.

    The gradient goes to the largest; among equal ones to the first, as in max pooling.

    Raises:
        ShapeError: ``pool_size`` does not divide the channels.
        ArgumentError: ``pool_size`` is below 1.
        RangeError: the input has no such axis.

    Source: the lecture's maxout; Goodfellow et al., "Maxout networks", ICML 2013.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.maxout(tg.tensor([[1.0, 4.0, -3.0, -2.0]]), 2).tolist()
    [[4.0, -2.0]]
    """
    dim = one_dim("maxout", input.shape, dim)
    size, values = _pool_size(pool_size), [("input", input.shape)]
    if not input.ndim:
        raise ShapeError("maxout", "the input has no axis of channels", values=values)
    channels = input.shape[dim]
    if channels % size:
        fitting = [k for k in range(1, channels + 1) if channels % k == 0]
        raise ShapeError(
            "maxout",
            f"pool_size={size} does not divide the {channels} channels of axis {dim}",
            law=[
                "C_out = C / pool_size",
                f"      = {channels} / {size}, which is no whole number",
            ],
            repair=f"These pool sizes fit: {', '.join(map(str, fitting))}.",
            repairs=[{"pool_size": k} for k in fitting],
            values=values,
        )
    groups = unflatten(input, dim, (channels // size, size))
    largest, _ = MaxDim.call(groups, dim + 1, False)
    last = layout_of(getattr(input, "array", input)) == CHANNELS_LAST
    return contiguous(largest, CHANNELS_LAST) if last else largest


def _pool_size(value: Any) -> int:
    try:
        size = value.__index__()
    except AttributeError:
        raise DTypeError("maxout", f"pool_size must be a whole number, not {value!r}") from None
    if size < 1:
        raise ArgumentError(
            "maxout",
            f"pool_size must be at least 1, it is {size}",
            repair="Use pool_size=2, or 1 to change nothing.",
            repairs=[{"pool_size": 1}],
        )
    return int(size)
