"""Negative log-likelihoods: how improbable what was seen is under Poisson or normal distributions
whose parameters a network gives.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._pair_loss import (
    PairLoss,
    as_floats,
    broadcast_pair,
    check_number,
    fresh,
    in_common,
    over_count,
    reduced,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.creation import full_like
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.math import exp, log
from tinygrad_cv.ops.select import clamp, masked
from tinygrad_cv.ops.shape import reshape

__all__ = ["GaussianNLLLoss", "PoissonNLLLoss", "gaussian_nll_loss", "poisson_nll_loss"]

NN_FUNCTIONS = ("gaussian_nll_loss", "poisson_nll_loss")


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of counts t under Poisson distributions: ``e^x - t x``.

    Args:
        input: logarithms x of the expected counts; without ``log_input`` the expected counts.
        target: the counts seen; broadcasts with the input.
        log_input: False makes it ``x - t log(x + eps)``.
        full: add Stirling's approximation of log(t!) where t > 1:
            ``t log t - t + log(2 pi t) / 2``.
        eps: keeps the logarithm finite; only for ``log_input=False``.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([0.0, 1.0]), tg.tensor([2.0, 0.0])
    >>> tg.nn.functional.poisson_nll_loss(x, t, reduction="none").tolist()[0]
    1.0
    """
    check_reduction("poisson_nll_loss", reduction, size_average, reduce)
    eps = check_number("poisson_nll_loss", "eps", eps)
    input, target = in_common(input, target)
    input, target = broadcast_pair("poisson_nll_loss", input, target, quiet=True)
    return _poisson_nll_loss(input, target, bool(log_input), bool(full), eps, reduction)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of t under normal distributions with mean x and variance v:
    ``(log w + (x - t)^2 / w) / 2`` with w = max(v, eps).

    Args:
        input: the means x, float.
        target: what was seen; broadcasts with the input.
        var: the variances: a number, the shape of the input, that shape without its last axis, or
            with one of its axes of size 1.
        full: add ``log(2 pi) / 2``.
        eps: the least variance. The derivative with respect to v takes no notice of it, as in
            PyTorch: so a variance that is too small can grow again.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        ArgumentError: a variance is negative, eps is not positive, or an unknown reduction.
        ShapeError: the variances have another shape, or input and target do not broadcast.
        DTypeError: the input is not float.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution" (1994).

    >>> import tinygrad_cv as tg
    >>> x, t, v = tg.tensor([1.0]), tg.tensor([3.0]), tg.tensor([1.0])
    >>> tg.nn.functional.gaussian_nll_loss(x, t, v).item()
    2.0
    """
    op = "gaussian_nll_loss"
    check_reduction(op, reduction)
    eps = check_number(op, "eps", eps, above=0)
    if not hasattr(var, "dtype"):
        if check_number(op, "var", var) < 0:
            raise _negative(input)
        input, target = as_floats(op, input=input, target=target)
        var = full_like(input, float(var))
    else:
        input, target, var = as_floats(op, input=input, target=target, var=var)
        var = _variances(input, var)
    shape = common_shape(op, input=input, target=target, var=var)
    input, target, var = (expand(x, shape) for x in (input, target, var))
    return _gaussian_nll_loss(input, target, var, bool(full), eps, reduction)


class PoissonNLLLoss(PairLoss):
    """Negative log-likelihood of counts under Poisson distributions."""

    name = "poisson_nll_loss"
    equation = "loss = mean_i (e^(x_i) - t_i x_i), or x_i - t_i ln(x_i + eps); full: + ~ln(t_i!)"
    gradients = {
        "input": "dx_i = g * (e^(x_i) - t_i) / n, or g * (1 - t_i / (x_i + eps)) / n",
        "target": "dt_i = -g * x_i / n, or -g * ln(x_i + eps) / n; "
        "full: + g * (ln t_i + 1 / (2 t_i)) / n where t_i > 1",
    }
    edges = "eps keeps the logarithm finite at 0"
    cost = "5 per element"

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        target: Any,
        log_input: bool,
        full: bool,
        eps: float,
        reduction: str,
    ) -> Any:
        loss = fresh(xp, input, target)
        if log_input:
            xp.exp(input, out=loss)
            loss -= target * input
        else:
            xp.log(input + eps, out=loss)
            loss *= target
            xp.subtract(input, loss, out=loss)
        if full:
            factorial = target * xp.log(target) - target + 0.5 * xp.log(2 * math.pi * target)
            loss += xp.where(target > 1, factorial, 0)
        return reduced(xp, loss, reduction)

    @staticmethod
    def vjp_input(
        g: Any, input: Any, target: Any, log_input: bool, eps: float, reduction: str
    ) -> Any:
        slope = exp(input) - target if log_input else 1 - target / (input + eps)
        return slope * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(
        g: Any, input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: str
    ) -> Any:
        slope = -input if log_input else -log(input + eps)
        if full:
            slope = slope + masked(log(target) + 0.5 / target, target > 1)
        return slope * (g * over_count(input, reduction))

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 5 * input.size


class GaussianNLLLoss(PairLoss):
    """Negative log-likelihood under normal distributions of given means and variances."""

    name = "gaussian_nll_loss"
    equation = (
        "loss = mean_i (ln w_i + (x_i - t_i)^2 / w_i) / 2, w = max(v, eps); full: + ln(2 pi)/2"
    )
    gradients = {
        "input": "dx_i = g * (x_i - t_i) / w_i / n",
        "target": "dt_i = -g * (x_i - t_i) / w_i / n",
        "var": "dv_i = g * (1 - (x_i - t_i)^2 / w_i) / (2 w_i) / n",
    }
    edges = "variances below eps count as eps; g passes as if they did not"
    cost = "6 per element"
    inputs = ("input", "target", "var")

    @staticmethod
    def forward(
        xp: Any, input: Any, target: Any, var: Any, full: bool, eps: float, reduction: str
    ) -> Any:
        if (var < 0).any():
            raise _negative(input, var)
        width = xp.maximum(var, eps, out=fresh(xp, input, target, var))
        loss = xp.subtract(input, target, out=fresh(xp, input, target, var))
        loss *= loss
        loss /= width
        loss += xp.log(width, out=width)
        loss *= 0.5
        if full:
            loss += 0.5 * math.log(2 * math.pi)
        return reduced(xp, loss, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, var: Any, eps: float, reduction: str) -> Any:
        return (input - target) / clamp(var, eps, None) * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, var: Any, eps: float, reduction: str) -> Any:
        return (target - input) / clamp(var, eps, None) * (g * over_count(input, reduction))

    @staticmethod
    def vjp_var(g: Any, input: Any, target: Any, var: Any, eps: float, reduction: str) -> Any:
        width, difference = clamp(var, eps, None), input - target
        slope = (1 - difference * difference / width) / width
        return slope * (g * (0.5 * over_count(input, reduction)))

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 6 * input.size


_poisson_nll_loss, _gaussian_nll_loss = PoissonNLLLoss.call, GaussianNLLLoss.call


def _variances(input: Any, var: Any) -> Any:
    """Variances in a shape that broadcasts to the input's, after PyTorch's rule."""
    if var.shape == input.shape:
        return var
    if var.shape == input.shape[:-1]:
        return reshape(var, (*var.shape, 1))
    differ = [n for m, n in zip(input.shape, var.shape, strict=False) if m != n]
    if len(var.shape) == len(input.shape) and sum(differ) == 1:
        return var
    raise ShapeError(
        "gaussian_nll_loss",
        "the variances do not fit the input",
        law=["the shape of the input, that without its last axis, or with one axis of size 1"],
        values=[("input", input.shape), ("var", var.shape)],
        repair=f"Give var the shape {input.shape}.",
        repairs=[{"var": input.shape}],
    )


def _negative(input: Any, var: Any = None) -> ArgumentError:
    shapes = [("input", input.shape)] + ([] if var is None else [("var", var.shape)])
    return ArgumentError(
        "gaussian_nll_loss",
        "a variance is negative",
        values=shapes,
        repair="Give variances of 0 or more, for example softplus(var).",
    )
