"""Losses of probabilities: cross-entropy of two classes, and the Kullback-Leibler divergence."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tinygrad_cv.backend.select import keep
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._pair_loss import (
    PairLoss,
    apply_reduction,
    as_floats,
    broadcast_pair,
    check_floats,
    check_same_shape,
    fresh,
    over_count,
    reduced,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.activation import Softplus, sigmoid
from tinygrad_cv.ops.math import exp, log, log1p
from tinygrad_cv.ops.select import clamp

__all__ = ["BCEWithLogits", "BinaryCrossEntropy", "KLDiv", "binary_cross_entropy"]
__all__ += ["binary_cross_entropy_with_logits", "kl_div"]

NN_FUNCTIONS = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div")
TENSOR_ARGUMENTS = ("weight", "pos_weight")

_LEAST_LOG = -100.0  # what PyTorch takes for the logarithm of 0
_LEAST_SPREAD = 1e-12  # and for x (1 - x) at the ends


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities x, its mean, or its sum.

    Args:
        input: probabilities, float, any shape.
        target: the same shape and dtype, usually 0 or 1.
        weight: each element's loss is multiplied by it; broadcasts to the input. The mean is over
            the number of elements.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the shape of the input.

    Raises:
        ArgumentError: a probability is outside [0, 1] or NaN, or an unknown reduction.
        ShapeError: input and target have different shapes, or the weight does not broadcast.
        DTypeError: an argument is not float, or their dtypes differ.

    Edge rules: logarithms are not below -100, so the loss is finite at 0 and 1; the derivative is
    ``(x - t) / max(x (1 - x), 1e-12)``. As in PyTorch.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([0.5, 0.0])
    >>> loss = tg.nn.functional.binary_cross_entropy(x, tg.tensor([1.0, 1.0]), reduction="none")
    >>> [round(v, 4) for v in loss.tolist()]
    [0.6931, 100.0]
    """
    op = "binary_cross_entropy"
    check_reduction(op, reduction, size_average, reduce)
    check_floats(op, input=input, target=target)
    check_same_shape(op, input=input, target=target)
    if weight is None:
        return _binary_cross_entropy(input, target, reduction)
    losses = _binary_cross_entropy(input, target, "none")
    return apply_reduction(losses * _weight(op, "weight", weight, input), reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """``-(p t log s(x) + (1 - t) log(1 - s(x)))`` with the logistic function s, its mean, or sum.

    It never overflows, unlike :func:`binary_cross_entropy` of a sigmoid.

    Args:
        input: scores (logits), float, any shape.
        target: the same shape, usually 0 or 1; integers and bools are converted.
        weight: each element's loss is multiplied by it; broadcasts to the input.
        pos_weight: the factor p of the positive term, for example [C] for scores [N, C];
            broadcasts to the input.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the shape of the input.

    Raises:
        ShapeError: input and target have different shapes, or a weight does not broadcast.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    >>> import tinygrad_cv as tg
    >>> x, one = tg.tensor([1000.0, -1000.0]), tg.ones(2)
    >>> tg.nn.functional.binary_cross_entropy_with_logits(x, one, reduction="none").tolist()
    [0.0, 1000.0]
    """
    op = "binary_cross_entropy_with_logits"
    check_reduction(op, reduction, size_average, reduce)
    check_same_shape(op, input=input, target=target)
    input, target = as_floats(op, input=input, target=target)
    if weight is None and pos_weight is None:
        return _bce_with_logits(input, target, reduction)
    if pos_weight is None:
        losses = _bce_with_logits(input, target, "none")
    else:
        factor = (_weight(op, "pos_weight", pos_weight, input) - 1) * target + 1
        losses = (1 - target) * input + factor * _softplus(-input)
    if weight is not None:
        losses = losses * _weight(op, "weight", weight, input)
    return apply_reduction(losses, reduction)


def kl_div(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """The Kullback-Leibler divergence, element by element: ``t (log t - x)`` of log-probabilities
    x and probabilities t, with 0 log 0 = 0.

    Args:
        input: log-probabilities, float.
        target: probabilities, or with ``log_target`` log-probabilities; broadcasts with the input.
        reduction: "none"; "sum"; "batchmean", the sum divided by the size of axis 0, which is the
            divergence itself; or "mean" over all elements, which is not, and warns as in PyTorch.
        log_target: the target is given as logarithms u: ``e^u (u - x)``.
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([[0.5, 0.5]]).log(), tg.tensor([[1.0, 0.0]])
    >>> round(tg.nn.functional.kl_div(x, t, reduction="batchmean").item(), 4)  # log 2
    0.6931
    """
    check_reduction("kl_div", reduction, size_average, reduce, ("none", "batchmean", "mean", "sum"))
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements; 'batchmean' divides by "
            "the size of the batch, which gives the Kullback-Leibler divergence.",
            stacklevel=3,
        )
    input, target = as_floats("kl_div", input=input, target=target)
    rows = input.shape[0] if input.shape else 1
    input, target = broadcast_pair("kl_div", input, target, quiet=True)
    if reduction != "batchmean":
        return _kl_div(input, target, bool(log_target), reduction)
    return _kl_div(input, target, bool(log_target), "sum") / rows


class BinaryCrossEntropy(PairLoss):
    """Cross-entropy of two classes, given the probability of one of them."""

    name = "binary_cross_entropy"
    equation = "loss = -mean_i (t_i max(ln x_i, -100) + (1 - t_i) max(ln(1 - x_i), -100))"
    gradients = {
        "input": "dx_i = g * (x_i - t_i) / max(x_i (1 - x_i), 1e-12) / n",
        "target": "dt_i = g * (max(ln(1 - x_i), -100) - max(ln x_i, -100)) / n",
    }
    edges = "logarithms are cut off at -100; inputs outside [0, 1] are refused"
    cost = "9 per element"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> Any:
        inside = (input >= 0) & (input <= 1)
        if not inside.all():
            raise _no_probability(input, inside)
        one = xp.log(input, out=fresh(xp, input, target))
        xp.maximum(one, _LEAST_LOG, out=one)
        other = xp.maximum(xp.log1p(-input), _LEAST_LOG)
        other *= target - 1
        one *= target
        xp.subtract(other, one, out=one)
        return reduced(xp, one, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, reduction: str) -> Any:
        spread = clamp(input * (1 - input), _LEAST_SPREAD, None)
        return (input - target) / spread * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, reduction: str) -> Any:
        odds = clamp(log1p(-input), _LEAST_LOG, None) - clamp(log(input), _LEAST_LOG, None)
        return odds * (g * over_count(input, reduction))

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 9 * input.size


class BCEWithLogits(PairLoss):
    """Cross-entropy of two classes, given the score of one of them."""

    name = "binary_cross_entropy_with_logits"
    equation = "loss = mean_i ((1 - t_i) x_i + ln(1 + e^-x_i))"
    gradients = {
        "input": "dx_i = g * (s(x_i) - t_i) / n, s(x) = 1 / (1 + e^-x)",
        "target": "dt_i = -g * x_i / n",
    }
    edges = "no overflow"
    cost = "8 per element"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> Any:
        loss = xp.abs(input, out=fresh(xp, input, target))
        xp.negative(loss, out=loss)
        xp.log1p(xp.exp(loss, out=loss), out=loss)
        loss -= input.clip(-math.inf, 0)
        loss += (1 - target) * input
        return reduced(xp, loss, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return (sigmoid(input) - target) * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, reduction: str) -> Any:
        return -input * (g * over_count(input, reduction))

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 8 * input.size


class KLDiv(PairLoss):
    """Kullback-Leibler divergence of probabilities, or of their logarithms, element by element."""

    name = "kl_div"
    equation = "loss = mean_i t_i (ln t_i - x_i); e^(u_i) (u_i - x_i) of logarithms u = ln t"
    gradients = {
        "input": "dx_i = -g * t_i / n",
        "target": "dt_i = g * (ln t_i + 1 - x_i) / n, or du_i = g * e^(u_i) (u_i + 1 - x_i) / n",
    }
    edges = "0 where the target is 0; NaN of nothing (mean)"
    cost = "5 per element"

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, log_target: bool, reduction: str) -> Any:
        loss = fresh(xp, input, target)
        if log_target:
            xp.subtract(target, input, out=loss)
            loss *= xp.exp(target)
        else:
            xp.log(target, out=loss)
            loss *= target
            keep(xp, loss, target != 0, out=loss)
            loss -= target * input
        return reduced(xp, loss, reduction)

    @staticmethod
    def vjp_input(g: Any, target: Any, log_target: bool, reduction: str) -> Any:
        return -(exp(target) if log_target else target) * (g * over_count(target, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, log_target: bool, reduction: str) -> Any:
        if log_target:
            slope = exp(target) * (target + 1 - input)
        else:
            slope = log(target) + 1 - input
        return slope * (g * over_count(input, reduction))

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 5 * input.size


_binary_cross_entropy, _bce_with_logits = BinaryCrossEntropy.call, BCEWithLogits.call
_kl_div = KLDiv.call


def _softplus(x: Any) -> Any:
    """ln(1 + e^x), exact everywhere."""
    return Softplus.call(x, 1.0, math.inf)


def _weight(op: str, name: str, weight: Any, input: Any) -> Any:
    """A weight that broadcasts to the input, in its dtype."""
    _, weight = as_floats(op, input=input, weight=weight)
    fits = len(weight.shape) <= len(input.shape) and all(
        n in (1, m) for n, m in zip(reversed(weight.shape), reversed(input.shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            op,
            f"{name} does not broadcast to the input",
            law=["sizes, aligned at the last axis, must be equal, or 1 in the weight"],
            values=[("input", input.shape), (name, weight.shape)],
            repair=f"Give {name} the shape {input.shape}, or size 1 along some axes.",
            repairs=[{name: input.shape}],
        )
    return weight


def _no_probability(input: Any, inside: Any) -> ArgumentError:
    place = int((~inside).reshape(-1).argmax())
    value = float(input.reshape(-1)[place])
    return ArgumentError(
        "binary_cross_entropy",
        f"the input must hold probabilities in [0, 1], it has {value:g}",
        values=[("input", input.shape)],
        repair="Use binary_cross_entropy_with_logits for scores, or take sigmoid(input) first.",
    )
