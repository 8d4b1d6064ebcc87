"""Losses of regression: a distance per element, then a reduction."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import is_float
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._differences import opposite_gradients, quadratic
from tinygrad_cv.ops._pair_loss import (
    PairLoss,
    apply_reduction,
    broadcast_pair,
    check_floats,
    check_mean,
    check_number,
    check_same_shape,
    fresh,
    in_common,
    over_count,
    reduced,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.arithmetic import sub
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.select import abs, clamp, sign

__all__ = ["HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss", "huber_loss", "l1_loss", "mse_loss"]
__all__ += ["smooth_l1_loss"]

NN_FUNCTIONS = ("huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss")
TENSOR_ARGUMENTS = ("weight",)


def mse_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Squared difference: ``(input - target) ** 2``, its mean, or its sum.

    Args:
        input, target: the same shape. Shapes that only broadcast are taken with a warning, as in
            PyTorch: it is nearly always a mistake. One of them is float; the other may have
            another dtype.
        reduction: "mean" over all elements, "sum", or "none".
        weight: the shape of the input: each element's loss is multiplied by it, and the mean is
            divided by the sum of the weights.
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        DTypeError: neither is float, or the weight has another dtype than the loss.
        ShapeError: the shapes do not broadcast, or the weight has another one than the input.
        ArgumentError: an unknown reduction.

    Edge rules: the mean of no element is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1.0, 4.0]), tg.tensor([1.0, 2.0])).item()
    2.0
    """
    check_reduction("mse_loss", reduction, size_average, reduce)
    return _compare(_mse_loss, input, target, weight, reduction, True)


def l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Absolute difference: ``|input - target|``, its mean, or its sum; otherwise as
    :func:`mse_loss`. Integers have whole differences, and a sum, but no mean.

    Edge rules: the derivative at equality is 0.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, 4.0]), tg.tensor([1.0, 2.0])).item()
    1.0
    """
    check_reduction("l1_loss", reduction, size_average, reduce)
    if input.dtype.kind in "iu" and target.dtype.kind in "iu" and weight is None:
        check_mean("l1_loss", input, reduction)
        return apply_reduction(abs(sub(*broadcast_pair("l1_loss", input, target))), reduction)
    return _compare(_l1_loss, input, target, weight, reduction, True)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """A parabola near 0, a straight line beyond: with d = input - target,
    ``d ** 2 / (2 beta)`` where |d| < beta, else ``|d| - beta / 2``.

    Args:
        beta: where the two meet; 0 makes it :func:`l1_loss`.

    Otherwise as :func:`mse_loss`.

    Raises:
        ArgumentError: beta is negative, or an unknown reduction.

    Source: Girshick, "Fast R-CNN" (2015).

    >>> import tinygrad_cv as tg
    >>> zero = tg.zeros(2)
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([0.5, 3.0]), zero, reduction="none").tolist()
    [0.125, 2.5]
    """
    check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if check_number("smooth_l1_loss", "beta", beta) < 0:
        raise ArgumentError(
            "smooth_l1_loss",
            f"beta must not be negative, it is {beta}",
            repair="Use beta=1.0.",
            repairs=[{"beta": 1.0}],
        )
    if beta == 0:
        return _compare(_l1_loss, input, target, None, reduction, False)
    return _compare(_smooth_l1_loss, input, target, None, reduction, False, float(beta))


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """A parabola near 0, a straight line beyond: with d = input - target,
    ``d ** 2 / 2`` where |d| <= delta, else ``delta (|d| - delta / 2)``.

    It is delta times :func:`smooth_l1_loss` with beta = delta.

    Args:
        delta: where the two meet, above 0.
        weight: the shape of the input: each element's loss is multiplied by it. The mean is over
            the number of elements, unlike that of :func:`mse_loss`; so it is in PyTorch.

    Otherwise as :func:`mse_loss`.

    Raises:
        ArgumentError: delta is not positive, or an unknown reduction.

    Source: Huber, "Robust estimation of a location parameter" (1964).

    >>> import tinygrad_cv as tg
    >>> zero = tg.zeros(2)
    >>> tg.nn.functional.huber_loss(tg.tensor([1.0, 5.0]), zero, "none", delta=2.0).tolist()
    [0.5, 8.0]
    """
    check_reduction("huber_loss", reduction)
    delta = check_number("huber_loss", "delta", delta, above=0)
    return _compare(_huber_loss, input, target, weight, reduction, False, delta)


class MSELoss(PairLoss):
    """Squared difference."""

    name = "mse_loss"
    equation = "loss = mean_i (x_i - t_i)^2"
    gradients = {"input": "dx_i = g * 2 (x_i - t_i) / n", "target": "dt_i = -g * 2 (x_i - t_i) / n"}
    edges = "NaN of nothing (mean)"
    cost = "2 per element, 3 with a reduction"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> Any:
        def terms(xp: Any, x: Any, t: Any) -> Any:
            d = x - t
            return [(1.0, d, d)]

        return quadratic(xp, terms, input, target, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return (input - target) * (g * (2 * over_count(input, reduction)))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return (target - input) * (g * (2 * over_count(input, reduction)))

    @staticmethod
    def fused_vjp(
        xp: Any, g: Any, needs: Any, input: Any, target: Any, reduction: str
    ) -> tuple[Any, Any]:
        scale = g * (2 * over_count(input, reduction))
        return opposite_gradients(xp, needs, input, target, scale, None)


class L1Loss(PairLoss):
    """Absolute difference."""

    name = "l1_loss"
    equation = "loss = mean_i |x_i - t_i|"
    gradients = {
        "input": "dx_i = g * sign(x_i - t_i) / n",
        "target": "dt_i = g * sign(t_i - x_i) / n",
    }
    edges = "gradient 0 where both are equal; NaN of nothing (mean)"
    cost = "2 per element, 3 with a reduction"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> Any:
        difference = xp.subtract(input, target, out=fresh(xp, input, target))
        xp.absolute(difference, out=difference)
        return reduced(xp, difference, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return sign(input - target) * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return sign(target - input) * (g * over_count(input, reduction))


class SmoothL1Loss(PairLoss):
    """A parabola where the difference is less than beta, a straight line beyond."""

    name = "smooth_l1_loss"
    equation = "loss = mean_i d_i^2 / (2 beta) where |d_i| < beta, |d_i| - beta/2 beyond; d = x - t"
    gradients = {
        "input": "dx_i = g * min(max(d_i / beta, -1), 1) / n",
        "target": "dt_i = -g * min(max(d_i / beta, -1), 1) / n",
    }
    edges = (
        "the two parts meet with equal slopes at beta; beta = 0 is l1_loss; NaN of nothing (mean)"
    )
    cost = "6 per element"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, beta: float, reduction: str) -> Any:
        def terms(xp: Any, x: Any, t: Any) -> Any:
            d = x - t
            near = d.clip(-beta, beta)  # with this m, both parts are m / beta * (d - m / 2)
            share = near if beta == 1 else near / beta
            return [(1.0, share, d), (-0.5, share, near)]

        return quadratic(xp, terms, input, target, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, beta: float, reduction: str) -> Any:
        slope = clamp(input - target, -beta, beta)
        return slope * (g * (over_count(input, reduction) / beta))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, beta: float, reduction: str) -> Any:
        slope = clamp(target - input, -beta, beta)
        return slope * (g * (over_count(input, reduction) / beta))

    @staticmethod
    def fused_vjp(
        xp: Any, g: Any, needs: Any, input: Any, target: Any, beta: float, reduction: str
    ) -> tuple[Any, Any]:
        scale = g * (over_count(input, reduction) / beta)
        return opposite_gradients(
            xp, needs, input, target, scale, lambda d: d.clip(-beta, beta, out=d)
        )

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 6 * input.size


class HuberLoss(PairLoss):
    """A parabola where the difference is at most delta, a straight line beyond."""

    name = "huber_loss"
    equation = (
        "loss = mean_i d_i^2 / 2 where |d_i| <= delta, delta (|d_i| - delta/2) beyond; d = x - t"
    )
    gradients = {
        "input": "dx_i = g * min(max(d_i, -delta), delta) / n",
        "target": "dt_i = -g * min(max(d_i, -delta), delta) / n",
    }
    edges = "the two parts meet with equal slopes at delta; NaN of nothing (mean)"
    cost = "5 per element"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, delta: float, reduction: str) -> Any:
        def terms(xp: Any, x: Any, t: Any) -> Any:
            d = x - t
            near = d.clip(-delta, delta)  # with this m, both parts are m * (d - m / 2)
            return [(1.0, near, d), (-0.5, near, near)]

        return quadratic(xp, terms, input, target, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, delta: float, reduction: str) -> Any:
        return clamp(input - target, -delta, delta) * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, delta: float, reduction: str) -> Any:
        return clamp(target - input, -delta, delta) * (g * over_count(input, reduction))

    @staticmethod
    def fused_vjp(
        xp: Any, g: Any, needs: Any, input: Any, target: Any, delta: float, reduction: str
    ) -> tuple[Any, Any]:
        scale = g * over_count(input, reduction)
        return opposite_gradients(
            xp, needs, input, target, scale, lambda d: d.clip(-delta, delta, out=d)
        )

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 5 * input.size


_mse_loss, _l1_loss = MSELoss.call, L1Loss.call
_smooth_l1_loss, _huber_loss = SmoothL1Loss.call, HuberLoss.call


def _compare(
    function: Any,
    input: Any,
    target: Any,
    weight: Any,
    reduction: str,
    by_weight: bool,
    *numbers: float,
) -> Any:
    """The loss ``function``; ``by_weight`` says that the mean is divided by the sum of weights."""
    op = function.op.name
    if op == "huber_loss" or not (is_float(input.dtype) or is_float(target.dtype)):
        check_floats(op, input=input, target=target)
    input, target = in_common(input, target)
    shape = input.shape
    input, target = broadcast_pair(op, input, target)
    if weight is None:
        return function(input, target, *numbers, reduction)
    check_floats(op, input=input, weight=weight)
    if weight.shape != shape:
        check_same_shape(op, input=input, weight=weight)
    losses = function(input, target, *numbers, "none") * weight
    if reduction == "mean" and by_weight:
        return sum_over(losses) / sum_over(weight)
    return apply_reduction(losses, reduction)
