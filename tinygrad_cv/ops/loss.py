"""Losses of classification: cross-entropy and negative log-likelihood over class labels.

Both are sums over positions of ``share * loss``: ``share`` is the weight of the position's class,
divided by the sum of these weights for ``reduction="mean"``, and 0 where the label is ignored. It
depends on labels only, so it is a constant to every derivative, and the rules are short.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import is_float
from tinygrad_cv.backend.labels import counted_only, label_index, log_sum_exp, reduced, shares
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._labels import (
    as_batch,
    check_options,
    check_weight,
    label_aliases,
    label_specs,
    raise_no_class,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.classes import class_axis, class_place
from tinygrad_cv.ops.reduce import mean
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.select import masked
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.softmax import log_softmax, softmax

__all__ = ["CrossEntropy", "NLLLoss", "cross_entropy", "nll_loss"]

NN_FUNCTIONS = ("cross_entropy", "nll_loss")


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy between the softmax of the scores and class labels, or class probabilities.

    Labels: ``loss = -w[t] * log softmax(x)[t]``; with ``label_smoothing`` e the target distribution
    is ``(1 - e) * [c = t] + e / C``. Probabilities, differentiable too:
    ``loss = -sum_c w[c] * target[c] * log softmax(x)[c]``.

    Args:
        input: scores (logits) [N, C], [N, C, d...] (one loss per position) or [C].
        target: integer labels [N], [N, d...] or a scalar; or probabilities, float, in the shape of
            ``input``.
        weight: [C], a factor per class, or None. A constant: it gets no gradient.
        ignore_index: positions with this label do not count (labels only).
        reduction: "mean" divides the sum by the sum of ``w[t]`` over the counted positions
            (labels), or by the number of positions (probabilities); "sum"; "none" gives the loss of
            each position.
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    Returns:
        A scalar, or for "none" the shape of integer ``target``.

    Raises:
        RangeError: a label is outside 0 ... C - 1 and is not ``ignore_index``.
        ShapeError: the shapes do not fit.
        DTypeError: the labels are not integers.
        ArgumentError: an unknown reduction, smoothing outside [0, 1].

    Edge rules: if every label is ignored, the mean is NaN (a mean of nothing), the sum 0.

    >>> import tinygrad_cv as tg
    >>> scores = tg.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> round(tg.nn.functional.cross_entropy(scores, tg.tensor([0, 2])).item(), 4)
    0.6691
    """
    check_reduction("cross_entropy", reduction, size_average, reduce)
    check_options("cross_entropy", input, weight)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            "cross_entropy", f"label_smoothing must be in [0, 1], it is {label_smoothing}"
        )
    if is_float(target.dtype) and target.shape == input.shape:
        return _with_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    input, target, single = as_batch(input, target)
    loss = _cross_entropy(
        input, target, weight, int(ignore_index), reduction, float(label_smoothing)
    )
    return reshape(loss, ()) if single and reduction == "none" else loss


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood: ``loss = -w[t] * input[t]`` with log-probabilities as input.

    Arguments, results, errors and edge rules as :func:`cross_entropy` with labels.

    >>> import tinygrad_cv as tg
    >>> log_p = tg.tensor([[-0.5, -1.0], [-2.0, -0.25]])
    >>> tg.nn.functional.nll_loss(log_p, tg.tensor([0, 1])).item()
    0.375
    """
    check_reduction("nll_loss", reduction, size_average, reduce)
    check_options("nll_loss", input, weight)
    input, target, single = as_batch(input, target)
    loss = _nll_loss(input, target, weight, int(ignore_index), reduction)
    return reshape(loss, ()) if single and reduction == "none" else loss


class CrossEntropy(Op):
    """Softmax and negative log-likelihood in one operator, for integer labels."""

    name = "cross_entropy"
    equation = "loss = sum_n share[n] * (log sum_c exp(x[n,c]) - x[n,t_n])"
    gradients = {"input": "dx[n,c] = g * share[n] * (softmax(x)[n,c] - [c = t_n])"}
    edges = "NaN where all labels are ignored (mean); a label outside the classes is refused"
    cost = "4 per score"
    inputs = ("input", "target", "weight")
    residuals = ("label", "share", "even", "lse")
    constants = ("share", "even")

    @staticmethod
    def infer(
        input: Spec,
        target: Spec,
        weight: Spec | None,
        ignore_index: int,
        reduction: str,
        label_smoothing: float,
    ) -> tuple[Spec, ...]:
        output, label, share = label_specs("cross_entropy", input, target, weight, reduction)
        return output, label, share, share, share

    @staticmethod
    def aliases(input: Spec, target: Spec, weight: Spec | None, *_: Any) -> dict[str, str]:
        return label_aliases(target, weight)

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        target: Any,
        weight: Any,
        ignore_index: int,
        reduction: str,
        label_smoothing: float,
    ) -> tuple[Any, ...]:
        label, share, even = shares(
            xp, "cross_entropy", input, target, weight, ignore_index, reduction
        )
        lse = log_sum_exp(xp, input)
        loss = share * (lse - input[label_index(xp, label)][:, None])
        if label_smoothing:
            # Smoothing mixes in the loss of every class, each weighted by 1 / C.
            others = lse - input
            if weight is not None:
                others = others * class_axis(weight, input.ndim)
            smooth = even * others.mean(axis=1, keepdims=True)
            loss = (1 - label_smoothing) * loss + label_smoothing * smooth
        loss = counted_only(xp, loss, even)
        loss = reduced(xp, loss, share, target, reduction)
        return loss, label, share, even, lse

    @staticmethod
    def vjp_input(
        g: Any, input: Any, weight: Any, label: Any, share: Any, even: Any, label_smoothing: float
    ) -> Any:
        mass, goal = _target_mass(g, input, weight, label, share, even, label_smoothing)
        return softmax(input, 1) * mass - goal

    @staticmethod
    def fused_vjp(
        xp: Any,
        g: Any,
        needs: Any,
        input: Any,
        weight: Any,
        label: Any,
        share: Any,
        even: Any,
        lse: Any,
        label_smoothing: float,
    ) -> tuple[Any, ...]:
        gradient = xp.subtract(input, lse, out=memory.empty_like(input))
        xp.exp(gradient, out=gradient)
        if label_smoothing:
            mass, goal = _target_mass(g, input, weight, label, share, even, label_smoothing)
            xp.multiply(gradient, mass, out=gradient)
            xp.subtract(gradient, goal, out=gradient)
        else:
            mass = _positions(g, label, even) * share
            xp.multiply(gradient, mass, out=gradient)
            gradient[label_index(xp, label)] -= mass[:, 0]
        return gradient, None, None

    @staticmethod
    def flops(
        input: Spec,
        target: Spec,
        weight: Spec | None,
        ignore_index: int,
        reduction: str,
        label_smoothing: float,
    ) -> int:
        return 4 * input.size  # maximum, difference, exponential, sum


class NLLLoss(Op):
    """Negative log-likelihood of integer labels; linear in the log-probabilities."""

    name = "nll_loss"
    equation = "loss = -sum_n share[n] * x[n,t_n]"
    gradients = {"input": "dx[n,c] = -g * share[n] * [c = t_n]"}
    edges = "NaN where all labels are ignored (mean); a label outside the classes is refused"
    cost = "2 per label"
    inputs = ("input", "target", "weight")
    residuals = ("label", "share", "even")
    constants = ("share", "even")

    @staticmethod
    def infer(
        input: Spec, target: Spec, weight: Spec | None, ignore_index: int, reduction: str
    ) -> tuple[Spec, ...]:
        output, label, share = label_specs("nll_loss", input, target, weight, reduction)
        return output, label, share, share

    @staticmethod
    def aliases(input: Spec, target: Spec, weight: Spec | None, *_: Any) -> dict[str, str]:
        return label_aliases(target, weight)

    @staticmethod
    def forward(
        xp: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
    ) -> tuple[Any, ...]:
        label, share, even = shares(xp, "nll_loss", input, target, weight, ignore_index, reduction)
        loss = counted_only(xp, -share * xp.take_along_axis(input, label, axis=1), even)
        loss = reduced(xp, loss, share, target, reduction)
        return loss, label, share, even

    @staticmethod
    def vjp_input(g: Any, input_shape: tuple[int, ...], label: Any, share: Any, even: Any) -> Any:
        return class_place(-(_positions(g, label, even) * share), label, input_shape[1])

    @staticmethod
    def flops(
        input: Spec, target: Spec, weight: Spec | None, ignore_index: int, reduction: str
    ) -> int:
        return 2 * target.size


_cross_entropy = CrossEntropy.call
_nll_loss = NLLLoss.call


# ---- expressions of differentiable operators, for the rules


def _target_mass(
    g: Any, input: Any, weight: Any, label: Any, share: Any, even: Any, smoothing: float
) -> tuple[Any, Any]:
    """``goal[n,c,p]``, the weighted target distribution times g, and its sum ``mass[n,0,p]``."""
    g = _positions(g, label, even)
    mass = g * share
    if not smoothing:
        return mass, class_place(mass, label, input.shape[1])
    classes = input.shape[1]
    hard, soft = mass * (1 - smoothing), g * even * (smoothing / classes)
    goal = class_place(hard, label, classes)
    if weight is None:
        return hard + soft * classes, goal + soft
    return hard + soft * sum_over(weight), goal + soft * class_axis(weight, input.ndim)


def _positions(g: Any, label: Any, even: Any) -> Any:
    """The loss's gradient in the shape of the labels [N, 1, d...]; exactly 0 at ignored ones."""
    return masked(reshape(g, label.shape) if g.ndim else g, even != 0)


def _with_probabilities(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    if ignore_index >= 0:
        raise ArgumentError(
            "cross_entropy", "ignore_index is for integer labels, not for probabilities"
        )
    axis = 0 if input.ndim == 1 else 1
    if input.shape[axis] == 0:
        raise_no_class("cross_entropy", input, target)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / input.shape[axis]
    if weight is not None:
        check_weight("cross_entropy", input, weight)
        target = target * (weight if axis == 0 else class_axis(weight, input.ndim))
    loss = -sum_over(log_softmax(input, axis) * target, dim=axis)
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else sum_over(loss)
