"""Losses of dense detection and segmentation, where one class is rare."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._pair_loss import (
    PairLoss,
    apply_reduction,
    as_floats,
    check_number,
    check_same_shape,
    fresh,
    over_count,
    reduced,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.activation import Softplus, sigmoid
from tinygrad_cv.ops.reduce import Sum
from tinygrad_cv.ops.similarity import dot

__all__ = ["SigmoidFocalLoss", "dice_loss", "sigmoid_focal_loss"]

NN_FUNCTIONS = ("dice_loss", "sigmoid_focal_loss")
TENSOR_ARGUMENTS = ("inputs", "targets")


def sigmoid_focal_loss(
    inputs: Any,
    targets: Any,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
) -> Any:
    """Cross-entropy of two classes in which easy examples count little:
    ``a (1 - p_t)^gamma * -log p_t``, with p = sigmoid(x), ``p_t = p t + (1 - p)(1 - t)`` and
    ``a = alpha t + (1 - alpha)(1 - t)``.

    Args:
        inputs: scores x (logits), float, any shape.
        targets: the same shape, 0 or 1; integers and bools are converted.
        alpha: weight of the positive class, in [0, 1]; -1 leaves the weight a out.
        gamma: how much easy examples are pushed down; 0 not at all.
        reduction: "none", "mean" or "sum"; "none" by default, as in torchvision.

    Returns:
        The shape of the inputs, or a scalar.

    Raises:
        ArgumentError: alpha is neither in [0, 1] nor -1, or an unknown reduction.
        ShapeError: inputs and targets have different shapes.
        DTypeError: the inputs are not float.

    Source: Lin et al., "Focal loss for dense object detection" (2017).

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([0.0, 8.0]), tg.ones(2)
    >>> loss = tg.nn.functional.sigmoid_focal_loss(x, t, alpha=-1)
    >>> [round(v, 4) for v in loss.tolist()]  # log(2) / 4, and nearly nothing
    [0.1733, 0.0]
    """
    op = "sigmoid_focal_loss"
    check_reduction(op, reduction)
    alpha, gamma = check_number(op, "alpha", alpha), check_number(op, "gamma", gamma)
    if not 0 <= alpha <= 1 and alpha != -1:
        raise ArgumentError(
            op,
            f"alpha must be in [0, 1], or -1 for no weight, it is {alpha}",
            repairs=[{"alpha": 0.25}, {"alpha": -1}],
        )
    check_same_shape(op, inputs=inputs, targets=targets)
    inputs, targets = as_floats(op, inputs=inputs, targets=targets)
    positive, negative = (1.0, 1.0) if alpha < 0 else (alpha, 1 - alpha)
    return _focal_loss(inputs, targets, positive, negative, gamma, reduction)


def dice_loss(input: Any, target: Any, smooth: float = 1.0, reduction: str = "mean") -> Any:
    """One minus the overlap of two masks, for each sample n:
    ``1 - (2 sum_i x[n,i] t[n,i] + smooth) / (sum_i x[n,i] + sum_i t[n,i] + smooth)``.

    The sums run over all axes but the batch: over classes and pixels of [N, C, H, W].

    Args:
        input: probabilities x, float, [N, ...]; of scores take ``softmax(dim=1)`` or ``sigmoid()``
            first, which is not checked.
        target: the same shape, 0 or 1 or probabilities; integers and bools are converted.
        smooth: keeps the quotient finite and the loss of two empty masks at 0.
        reduction: "mean" over the samples, "sum", or "none" for [N].

    Raises:
        ShapeError: there is no batch axis, or input and target have different shapes.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    Edge rules: without ``smooth`` two empty masks give NaN, as does the mean of no sample.

    Source: Milletari et al., "V-Net" (2016), with plain sums below the line; Sudre et al. (2017).

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([[1.0, 1.0, 0.0]]), tg.tensor([[1, 0, 0]])
    >>> tg.nn.functional.dice_loss(x, t).item()  # 1 - (2 + 1) / (3 + 1)
    0.25
    """
    check_reduction("dice_loss", reduction)
    smooth = check_number("dice_loss", "smooth", smooth)
    check_same_shape("dice_loss", input=input, target=target)
    if not input.shape:
        raise ShapeError(
            "dice_loss",
            "the input has no batch axis",
            values=[("input", (), "[N, ...]")],
            repair="Add the axis with input.reshape(1, 1) and target.reshape(1, 1).",
        )
    input, target = as_floats("dice_loss", input=input, target=target)
    dims = tuple(range(1, len(input.shape)))
    both, each = dot(input, target, dims), Sum.call(input + target, dims, False)
    return apply_reduction(1 - (2 * both + smooth) / (each + smooth), reduction)


class SigmoidFocalLoss(PairLoss):
    """Cross-entropy of two classes, times a power of the probability of the wrong one."""

    name = "sigmoid_focal_loss"
    equation = (
        "loss_i = a_i q_i^gamma c_i: c = (1 - t) x + ln(1 + e^-x), q = s (1 - t) + (1 - s) t, "
        "a = positive t + negative (1 - t), s = 1 / (1 + e^-x)"
    )
    gradients = {
        "input": "dx = g * a q^(gamma-1) ((s - t) q + gamma c s (1 - s)(1 - 2 t))",
        "target": "dt = g * q^(gamma-1) (a' q c + a (gamma c (1 - 2 s) - x q)), "
        "a' = positive - negative",
    }
    edges = "no overflow"
    cost = "18 per element"

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        target: Any,
        positive: float,
        negative: float,
        gamma: float,
        reduction: str,
    ) -> Any:
        wrong = 1 / (1 + xp.exp(-input))
        wrong = wrong * (1 - target) + (1 - wrong) * target
        loss = xp.abs(input, out=fresh(xp, input, target))
        xp.negative(loss, out=loss)
        xp.log1p(xp.exp(loss, out=loss), out=loss)
        loss -= input.clip(-math.inf, 0)
        loss += (1 - target) * input
        loss *= wrong**gamma
        loss *= positive * target + negative * (1 - target)
        return reduced(xp, loss, reduction)

    @staticmethod
    def vjp_input(
        g: Any,
        input: Any,
        target: Any,
        positive: float,
        negative: float,
        gamma: float,
        reduction: str,
    ) -> Any:
        s, q, c = _parts(input, target)
        slope = (s - target) * q**gamma
        if gamma:  # the derivative of q^0 is 0, not 0 times q^-1
            slope = slope + gamma * c * q ** (gamma - 1) * (s * (1 - s) * (1 - 2 * target))
        weight = positive * target + negative * (1 - target)
        return weight * slope * (g * over_count(input, reduction))

    @staticmethod
    def vjp_target(
        g: Any,
        input: Any,
        target: Any,
        positive: float,
        negative: float,
        gamma: float,
        reduction: str,
    ) -> Any:
        s, q, c = _parts(input, target)
        slope = -input * q**gamma
        if gamma:
            slope = slope + gamma * c * q ** (gamma - 1) * (1 - 2 * s)
        weight = positive * target + negative * (1 - target)
        slope = weight * slope + (positive - negative) * (q**gamma * c)
        return slope * (g * over_count(input, reduction))

    @staticmethod
    def flops(input: Any, *others: Any) -> int:
        return 18 * input.size


_focal_loss = SigmoidFocalLoss.call


def _parts(input: Any, target: Any) -> tuple[Any, Any, Any]:
    """s, q and c of the equation."""
    s = sigmoid(input)
    wrong = s * (1 - target) + (1 - s) * target
    return s, wrong, (1 - target) * input + Softplus.call(-input, 1.0, math.inf)
