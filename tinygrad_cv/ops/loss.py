"""Losses of classification: cross-entropy and negative log-likelihood over class labels.

Both are sums over positions of ``share * loss``: ``share`` is the weight of the position's class, divided by the sum
of these weights for ``reduction="mean"``, and 0 where the label is ignored. It depends on labels only, so it is a
constant to every derivative, and the rules are short.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import int64, is_float
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.softmax import log_softmax, softmax
from tinygrad_cv.ops.reduce import mean
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.shape import reshape

__all__ = ["ClassPick", "ClassPlace", "CrossEntropy", "NLLLoss", "cross_entropy", "nll_loss"]

NN_FUNCTIONS = ("cross_entropy", "nll_loss")

REDUCTIONS = ("none", "mean", "sum")


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

    Labels: ``loss = -w[t] * log softmax(x)[t]``; with ``label_smoothing`` e the target is ``(1 - e) [c = t] + e / C``.
    Probabilities: ``loss = -sum_c w[c] * target[c] * log softmax(x)[c]``, differentiable in the target too.

    Args:
        input: scores (logits) [N, C], [N, C, d...] (one loss per position) or [C].
        target: integer labels [N], [N, d...] or a scalar; or probabilities, float, in the shape of ``input``.
        weight: [C], a factor per class, or None. A constant: it gets no gradient.
        ignore_index: positions with this label do not count (labels only).
        reduction: "mean" divides the sum by the sum of ``w[t]`` over the counted positions (labels), or by the
            number of positions (probabilities); "sum"; "none" gives the loss of each position.
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
    _refuse_old_arguments("cross_entropy", size_average, reduce)
    _check_options("cross_entropy", input, weight, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            "cross_entropy", f"label_smoothing must be in [0, 1], it is {label_smoothing}"
        )
    if is_float(target.dtype) and target.shape == input.shape:
        return _with_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    input, target, single = _as_batch(input, target)
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
    _refuse_old_arguments("nll_loss", size_average, reduce)
    _check_options("nll_loss", input, weight, reduction)
    input, target, single = _as_batch(input, target)
    loss = _nll_loss(input, target, weight, int(ignore_index), reduction)
    return reshape(loss, ()) if single and reduction == "none" else loss


class CrossEntropy(Op):
    """Softmax and negative log-likelihood in one operator, for integer labels."""

    name = "cross_entropy"
    equation = "loss = sum_n share[n] * (log sum_c exp(x[n,c]) - x[n,t_n])"
    gradients = {"input": "dx[n,c] = g * share[n] * (softmax(x)[n,c] - [c = t_n])"}
    inputs = ("input", "target", "weight")
    residuals = ("label", "share", "even", "lse")
    may_warn = True

    @staticmethod
    def infer(
        input: Spec,
        target: Spec,
        weight: Spec | None,
        ignore_index: int,
        reduction: str,
        label_smoothing: float,
    ) -> tuple[Spec, ...]:
        output, label, share = _label_specs("cross_entropy", input, target, weight, reduction)
        return output, label, share, share, share

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
        label, share, even = _shares(
            xp, "cross_entropy", input, target, weight, ignore_index, reduction
        )
        top = input.max(axis=1, keepdims=True)
        lse = top + xp.log(xp.exp(input - top).sum(axis=1, keepdims=True))
        loss = share * (lse - xp.take_along_axis(input, label, axis=1))
        if label_smoothing:
            # Smoothing mixes in the loss of every class, each weighted by 1 / C.
            others = lse - input
            if weight is not None:
                others = others * _class_axis(weight, input.ndim)
            smooth = even * others.mean(axis=1, keepdims=True)
            loss = (1 - label_smoothing) * loss + label_smoothing * smooth
        loss = _reduced(xp, loss, target, reduction)
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
        mass, goal = _target_mass(g, input, weight, label, share, even, label_smoothing)
        gradient = xp.subtract(input, lse)
        xp.exp(gradient, out=gradient)
        xp.multiply(gradient, mass, out=gradient)
        xp.subtract(gradient, goal, out=gradient)
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
    inputs = ("input", "target", "weight")
    residuals = ("label", "share")
    may_warn = True

    @staticmethod
    def infer(
        input: Spec, target: Spec, weight: Spec | None, ignore_index: int, reduction: str
    ) -> tuple[Spec, ...]:
        return _label_specs("nll_loss", input, target, weight, reduction)

    @staticmethod
    def forward(
        xp: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
    ) -> tuple[Any, ...]:
        label, share, _ = _shares(xp, "nll_loss", input, target, weight, ignore_index, reduction)
        picked = xp.take_along_axis(input, label, axis=1)
        # An ignored position counts 0 even if its log-probability is infinite.
        loss = xp.where(share == 0, xp.zeros_like(picked), -share * picked)
        loss = _reduced(xp, loss, target, reduction)
        return loss, label, share

    @staticmethod
    def vjp_input(g: Any, input_shape: tuple[int, ...], label: Any, share: Any) -> Any:
        return class_place(-(_positions(g, label) * share), label, input_shape[1])

    @staticmethod
    def flops(
        input: Spec, target: Spec, weight: Spec | None, ignore_index: int, reduction: str
    ) -> int:
        return 2 * target.size


class ClassPick(Op):
    """The score of one class per position; adjoint of ``ClassPlace``."""

    name = "class_pick"
    equation = "y[n,0,p] = x[n, label[n,0,p], p]"
    gradients = {"input": "dx[n,c,p] = g[n,0,p] * [c = label[n,0,p]]"}
    inputs = ("input", "label")

    @staticmethod
    def infer(input: Spec, label: Spec) -> Spec:
        return Spec(label.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, label: Any) -> Any:
        return xp.take_along_axis(input, label, axis=1)

    @staticmethod
    def vjp_input(g: Any, input_shape: tuple[int, ...], label: Any) -> Any:
        return class_place(g, label, input_shape[1])

    @staticmethod
    def flops(input: Spec, label: Spec) -> int:
        return 0


class ClassPlace(Op):
    """One value per position, put at its class, zero elsewhere; adjoint of ``ClassPick``."""

    name = "class_place"
    equation = "y[n,c,p] = v[n,0,p] * [c = label[n,0,p]]"
    gradients = {"value": "dv[n,0,p] = g[n, label[n,0,p], p]"}
    inputs = ("value", "label")

    @staticmethod
    def infer(value: Spec, label: Spec, classes: int) -> Spec:
        return Spec((value.shape[0], classes, *value.shape[2:]), value.dtype)

    @staticmethod
    def forward(xp: Any, value: Any, label: Any, classes: int) -> Any:
        here = label == _class_axis(xp.arange(classes), label.ndim)
        return xp.where(here, value, xp.zeros((), value.dtype))

    @staticmethod
    def vjp_value(g: Any, label: Any) -> Any:
        return class_pick(g, label)

    @staticmethod
    def flops(value: Spec, label: Spec, classes: int) -> int:
        return 0


_cross_entropy = CrossEntropy.call
_nll_loss = NLLLoss.call
class_pick = ClassPick.call
class_place = ClassPlace.call


# ---- expressions of differentiable operators, for the rules


def _target_mass(
    g: Any, input: Any, weight: Any, label: Any, share: Any, even: Any, smoothing: float
) -> tuple[Any, Any]:
    """``goal[n,c,p]``, the weighted target distribution times g, and ``mass[n,0,p]``, its sum over the classes."""
    g = _positions(g, label)
    mass = g * share
    if not smoothing:
        return mass, class_place(mass, label, input.shape[1])
    classes = input.shape[1]
    hard, soft = mass * (1 - smoothing), g * even * (smoothing / classes)
    goal = class_place(hard, label, classes)
    if weight is None:
        return hard + soft * classes, goal + soft
    return hard + soft * sum_over(weight), goal + soft * _class_axis(weight, input.ndim)


def _positions(g: Any, label: Any) -> Any:
    """The gradient of the loss beside the labels [N, 1, d...]; of a reduced loss it stays a scalar."""
    return reshape(g, label.shape) if g.ndim else g


def _class_axis(weight: Any, ndim: int) -> Any:
    """[C] -> [C, 1, ...], which broadcasts against [N, C, d...]."""
    return reshape(weight, (weight.shape[0], *(1 for _ in range(ndim - 2))))


def _with_probabilities(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    if ignore_index >= 0:
        raise ArgumentError(
            "cross_entropy", "ignore_index is for integer labels, not for probabilities"
        )
    axis = 0 if input.ndim == 1 else 1
    if input.shape[axis] == 0:
        _raise_no_class("cross_entropy", input, target)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / input.shape[axis]
    if weight is not None:
        _check_weight("cross_entropy", input, weight)
        target = target * (weight if axis == 0 else _class_axis(weight, input.ndim))
    loss = -sum_over(log_softmax(input, axis) * target, dim=axis)
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else sum_over(loss)


# ---- raw arithmetic and checks


def _shares(
    xp: Any, op: str, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> tuple[Any, Any, Any]:
    """Labels that are safe to index with, and how much each position counts, all [N, 1, d...].

    ``share`` has the class weights in it, ``even`` has not. An ignored position has label 0 and share 0.
    """
    classes = input.shape[1]
    label = xp.expand_dims(target, 1).astype(int64, copy=False)
    counted = None
    if label.size and label.view(np.uint64).max() >= classes:  # a negative label is huge here
        counted = label != ignore_index
        wrong = counted & ((label < 0) | (label >= classes))
        if wrong.any():
            _raise_label(op, wrong, target, classes)
        label = xp.where(counted, label, 0)
    elif 0 <= ignore_index < classes:
        counted = label != ignore_index
    even = xp.ones(label.shape, input.dtype) if counted is None else counted.astype(input.dtype)
    share = even if weight is None else even * weight[label]
    if reduction == "mean":
        total = share.sum()
        share, even = share / total, even / total
    return label, share, (share if weight is None else even)


def _reduced(xp: Any, loss: Any, target: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss.reshape(target.shape)
    if reduction == "mean" and not loss.size:
        return xp.full((), np.nan, loss.dtype)
    return xp.asarray(loss.sum())


def _raise_label(op: str, wrong: Any, target: Any, classes: int) -> None:
    flat = int(wrong.reshape(-1).argmax())
    position = tuple(int(i) for i in np.unravel_index(flat, target.shape))
    label = int(target[position])
    others = int(wrong.sum()) - 1
    raise RangeError(
        op,
        f"the label {label} at position {position} is outside 0 ... {classes - 1}",
        values=[("classes", classes), ("target", target.shape, "[N, d...]")],
        repair="Number the classes from 0, give the model more outputs, or skip this label with "
        f"ignore_index={label}.",
        notes=[f"{others} more labels are outside."] if others else [],
    )


def _label_specs(
    op: str, input: Spec, target: Spec, weight: Spec | None, reduction: str
) -> tuple[Spec, Spec, Spec]:
    """Specs of output, labels and shares, after every check that needs no data."""
    values = [("input", input.shape, "[N, C, d...]"), ("target", target.shape, "[N, d...]")]
    if target.dtype.kind not in "iu":
        raise DTypeError(
            op,
            f"labels must be integers, they are {target.dtype}",
            values=values,
            repair='Convert them with target.to("int64")'
            + (
                f", or give probabilities in the shape {input.shape}."
                if op == "cross_entropy"
                else "."
            ),
        )
    expected = (input.shape[0], *input.shape[2:])
    if input.ndim < 2 or target.shape != expected:
        raise ShapeError(
            op,
            f"the labels need shape {expected}: the input's without its class axis 1",
            values=values,
            repair="One-hot targets: pass them as float probabilities, or target.argmax(1)."
            if target.shape == input.shape
            else None,
        )
    if input.shape[1] == 0:
        _raise_no_class(op, input, target)
    _check_weight(op, input, weight)
    positions = (expected[0], 1, *expected[1:])
    output = Spec(expected if reduction == "none" else (), input.dtype)
    return output, Spec(positions, int64), Spec(positions, input.dtype)


def _raise_no_class(op: str, input: Any, target: Any) -> None:
    values = [("input", input.shape, "[N, C, d...]"), ("target", target.shape)]
    raise ShapeError(op, "there is no class to choose from", values=values)


def _as_batch(input: Any, target: Any) -> tuple[Any, Any, bool]:
    """One sample [C] with a scalar label becomes a batch of one."""
    if input.ndim == 1 and target.ndim == 0:
        return reshape(input, (1, input.shape[0])), reshape(target, (1,)), True
    return input, target, False


def _check_options(op: str, input: Any, weight: Any, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            op, f"reduction must be one of {', '.join(REDUCTIONS)}, it is {reduction!r}"
        )
    if not is_float(input.dtype):
        raise DTypeError(op, f"the input must be float, it is {input.dtype}")
    if input.ndim == 0:
        raise ShapeError(op, "the input has no class axis", values=[("input", (), "[N, C, d...]")])
    if weight is not None and getattr(weight, "requires_grad", False):
        raise ArgumentError(
            op, "the class weights get no gradient", repair="Pass weight.detach() to say so."
        )


def _check_weight(op: str, input: Any, weight: Any) -> None:
    classes = input.shape[0 if input.ndim == 1 else 1]
    if weight is None:
        return
    if weight.shape != (classes,):
        raise ShapeError(
            op,
            f"the weight needs one value for each of the {classes} classes",
            values=[("input", input.shape, "[N, C, d...]"), ("weight", weight.shape, "[C]")],
        )
    if weight.dtype != input.dtype:
        raise DTypeError(op, f"the weight is {weight.dtype}, the input {input.dtype}")


def _refuse_old_arguments(op: str, size_average: Any, reduce: Any) -> None:
    if size_average is not None or reduce is not None:
        raise ArgumentError(
            op,
            "size_average and reduce are PyTorch's arguments of old and not supported",
            repair='Use reduction="mean", "sum" or "none".',
        )
