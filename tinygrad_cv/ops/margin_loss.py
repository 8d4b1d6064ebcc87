"""Losses with a margin: it is enough that a right score is better than a wrong one by so much."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.array import on_device_of
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._labels import check_weight
from tinygrad_cv.ops._pair_loss import (
    apply_reduction,
    as_floats,
    check_floats,
    check_mean,
    check_number,
    in_common,
    reduced,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.activation import Softplus, relu
from tinygrad_cv.ops.classes import class_pick, class_place
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.creation import ones_like
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.masking import index_select
from tinygrad_cv.ops.places import raw
from tinygrad_cv.ops.probability_loss import BCEWithLogits
from tinygrad_cv.ops.reduce import Sum
from tinygrad_cv.ops.select import clamp, masked
from tinygrad_cv.ops.shape import reshape

__all__ = ["MultiLabelMargin", "hinge_embedding_loss", "margin_ranking_loss"]
__all__ += ["multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss"]
__all__ += ["soft_margin_loss"]

NN_FUNCTIONS = (
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
)
TENSOR_ARGUMENTS = ("input1", "input2", "target", "weight")


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Distances x of pairs that belong together (t = 1) or not (t = -1): ``x`` if t = 1,
    ``max(0, margin - x)`` if t = -1.

    Args:
        input: distances, any shape; integers have whole losses, and no mean.
        target: 1 or -1, float or integer; broadcasts with the input.
        margin: from which distance on a pair is far enough apart.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    Edge rules: the derivative at x = margin is -1; a target that is neither 1 nor -1 gets both
    terms. As in PyTorch.

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([0.2, 0.2, 3.0]), tg.tensor([1, -1, -1])
    >>> loss = tg.nn.functional.hinge_embedding_loss(x, t, reduction="none")
    >>> [round(v, 4) for v in loss.tolist()]
    [0.2, 0.8, 0.0]
    """
    op = "hinge_embedding_loss"
    check_reduction(op, reduction, size_average, reduce)
    margin = check_number(op, "margin", margin)
    if input.dtype.kind not in "iu":
        check_floats(op, input=input)
    check_mean(op, input, reduction)
    shape = common_shape(op, input=input.shape, target=target.shape)
    input = input if input.shape == shape else expand(input, shape)
    apart = masked(clamp(margin - input, 0, None), target != 1)
    if apart.dtype != input.dtype:  # integers keep their dtype, as in PyTorch
        apart = cast(apart, input.dtype)
    return apply_reduction(apart + masked(input, target != -1), reduction)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Scores of which the first should be the greater (t = 1) or the lesser (t = -1):
    ``max(0, margin - t (x1 - x2))``.

    Args:
        input1, input2: as many axes each; their shapes broadcast, integers become floats.
        target: 1 or -1, float or integer, as many axes.
        margin: by how much the scores should differ.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        ShapeError: the numbers of axes differ, or the shapes do not broadcast.
        ArgumentError: an unknown reduction.

    Edge rules: the derivative where the difference is just the margin is -t, as in PyTorch.

    >>> import tinygrad_cv as tg
    >>> a, b, t = tg.tensor([2.0, 2.0]), tg.tensor([1.0, 1.0]), tg.tensor([1, -1])
    >>> tg.nn.functional.margin_ranking_loss(a, b, t, reduction="none").tolist()
    [0.0, 1.0]
    """
    op = "margin_ranking_loss"
    check_reduction(op, reduction, size_average, reduce)
    margin = check_number(op, "margin", margin)
    tensors = {"input1": input1, "input2": input2, "target": target}
    if len({len(x.shape) for x in tensors.values()}) > 1:
        raise ShapeError(
            op,
            "input1, input2 and target must have the same number of axes",
            values=[(name, x.shape) for name, x in tensors.items()],
        )
    common_shape(op, **tensors)
    input1, input2, target = in_common(input1, input2, target)
    return apply_reduction(clamp((input2 - input1) * target + margin, 0, None), reduction)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Logistic loss of scores x of two classes t = 1 and t = -1: ``log(1 + exp(-t x))``.

    Args:
        input: scores, float, any shape.
        target: 1 or -1, float or integer; broadcasts with the input.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    It does not overflow, where PyTorch's becomes infinite for ``t x`` below -88 in float32.

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([0.0, -1000.0]), tg.tensor([1, 1])
    >>> loss = tg.nn.functional.soft_margin_loss(x, t, reduction="none")
    >>> [round(v, 4) for v in loss.tolist()]
    [0.6931, 1000.0]
    """
    op = "soft_margin_loss"
    check_reduction(op, reduction, size_average, reduce)
    common_shape(op, input=input, target=target)
    input, target = as_floats(op, input=input, target=target)
    return apply_reduction(Softplus.call(-(target * input), 1.0, math.inf), reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Hinge loss of several classes, for each sample with label y:
    ``w[y] sum over c other than y of max(0, margin - x[y] + x[c])^p / C``.

    Args:
        input: scores [N, C], or [C] for one sample; float.
        target: labels [N] (or a scalar), integers from 0 to C - 1.
        p: 1 or 2.
        margin: by how much the right score should be greater.
        weight: [C], a factor per class, or None.
        reduction: "mean" over the samples, "sum", or "none" for [N].
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Raises:
        RangeError: a label is outside 0 ... C - 1.
        ShapeError: the shapes do not fit.
        DTypeError: the input is not float, or the labels are not integers.
        ArgumentError: another p, or an unknown reduction.

    Edge rules: the derivative where a difference is just the margin is 0.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[2.0, 0.0, 1.5]])
    >>> tg.nn.functional.multi_margin_loss(x, tg.tensor([0])).item()  # 0.5 / 3
    0.1666666716337204
    """
    op = "multi_margin_loss"
    check_reduction(op, reduction, size_average, reduce)
    margin = check_number(op, "margin", margin)
    if check_number(op, "p", p) not in (1, 2):
        raise ArgumentError(op, f"p must be 1 or 2, it is {p}", repairs=[{"p": 1}, {"p": 2}])
    check_floats(op, input=input)
    single = len(input.shape) < 2  # a scalar is one score
    rows = reshape(input, (1, -1)) if single and 0 not in input.shape else input
    wanted = (rows.shape[0],) if len(rows.shape) == 2 else None
    if target.shape != wanted and not (single and not target.shape):
        raise ShapeError(
            op,
            "one label for each row of scores is needed",
            law=["loss[n] is made of x[n,:] and the label t[n]"],
            values=[("input", input.shape, "[N, C] or [C]"), ("target", target.shape, "[N] or []")],
            repair=None if wanted is None else f"Give a target of shape {wanted}.",
            repairs=[] if wanted is None else [{"target": wanted}],
        )
    _check_labels(op, input, target, 0, rows.shape[1])
    if weight is not None:
        check_weight(op, rows, weight)
    label = cast(reshape(target, (rows.shape[0], 1)), "int64")
    picked = class_pick(rows, label)
    wrong = class_place(ones_like(picked), label, rows.shape[1]) == 0
    loss = relu(rows - picked + margin)
    if p == 2:
        loss = loss * loss
    loss = masked(loss, wrong)
    if weight is not None:
        loss = loss * reshape(index_select(weight, 0, reshape(label, (-1,))), (-1, 1))
    loss = Sum.call(loss, (1,), False) / rows.shape[1]
    return apply_reduction(reshape(loss, target.shape), reduction)


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Hinge loss of samples that belong to several classes: for each sample
    ``sum over its labels y and all other classes c of max(0, 1 - x[y] + x[c]) / C``.

    Args:
        input: scores [N, C], or [C] for one sample; float.
        target: the same shape, integers: the labels of a sample, then -1. What follows the first
            -1 does not count.
        reduction: "mean" over the samples, "sum", or "none" for [N].
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Raises:
        RangeError: a label is outside -1 ... C - 1.
        ShapeError: the input has other axes, or the target another shape.
        DTypeError: the input is not float, or the labels are not integers.
        ArgumentError: an unknown reduction.

    Edge rules: the derivative where a difference is just 1 is 0.

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([[0.1, 0.2, 0.4, 0.8]]), tg.tensor([[3, 0, -1, 1]])
    >>> round(tg.nn.functional.multilabel_margin_loss(x, t).item(), 4)
    0.85
    """
    op = "multilabel_margin_loss"
    check_reduction(op, reduction, size_average, reduce)
    check_floats(op, input=input)
    if len(input.shape) > 2 or target.shape != input.shape:
        raise ShapeError(
            op,
            "input and target must have the same shape, [N, C] or [C]",
            law=["loss[n] is made of the scores x[n,:] and the labels t[n,:] up to the first -1"],
            repair=f"Give a target of shape {input.shape}." if len(input.shape) < 3 else None,
            repairs=[{"target": tuple(input.shape)}] if len(input.shape) < 3 else [],
            values=[("input", input.shape), ("target", target.shape)],
        )
    _check_labels(op, input, target, -1, input.shape[-1] if input.shape else 1)
    if len(input.shape) == 2:
        return _multilabel_margin(input, target, reduction)
    count = math.prod(input.shape)
    rows, labels = (reshape(x, (1, count)) for x in (input, target))
    return reshape(_multilabel_margin(rows, labels, reduction), ())


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy of each class against all others, the mean over the classes:
    ``-sum_c w[c] (t log s(x) + (1 - t) log(1 - s(x))) / C`` with the logistic function s.

    Args:
        input: scores [..., C], float.
        target: 0 or 1, the same shape; integers and bools are converted.
        weight: a factor per class [C], or None.
        reduction: "mean" over the samples, "sum", or "none" for the shape without C.
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Raises:
        ShapeError: the shapes do not broadcast, or there is no axis of classes.
        DTypeError: the input is not float.
        ArgumentError: an unknown reduction.

    >>> import tinygrad_cv as tg
    >>> x, t = tg.tensor([[0.0, 1000.0]]), tg.tensor([[1, 1]])
    >>> round(tg.nn.functional.multilabel_soft_margin_loss(x, t).item(), 4)  # log(2) / 2
    0.3466
    """
    op = "multilabel_soft_margin_loss"
    check_reduction(op, reduction, size_average, reduce)
    shape = common_shape(op, input=input, target=target)
    input, target = (expand(x, shape) for x in as_floats(op, input=input, target=target))
    if not shape or not shape[-1]:
        raise ShapeError(op, "the input has no classes", values=[("input", input.shape, "[N, C]")])
    if weight is None and reduction == "mean":
        return _with_logits(input, target, "mean")
    losses = _with_logits(input, target, "none")
    if weight is not None:
        common_shape(op, input=input, target=target, weight=weight)
        losses = losses * weight
    return apply_reduction(Sum.call(losses, (len(shape) - 1,), False) / shape[-1], reduction)


class MultiLabelMargin(Op):
    """Hinge loss of rows of scores, each with several right classes.

    The slope, how often a score enters with either sign, is constant between the kinks.
    """

    name = "multilabel_margin_loss"
    equation = (
        "loss[n] = sum_{y in t[n], c not in t[n]} max(0, 1 - x[n,y] + x[n,c]) / C, then the mean"
    )
    gradients = {"input": "dx[n,c] = g * slope[n,c] / N, slope = d loss[n] / d x[n,c]"}
    edges = "labels end at the first -1; gradient 0 at the margin"
    cost = "4 per score"
    inputs = ("input", "target")
    residuals = constants = ("slope",)

    @staticmethod
    def infer(input: Spec, target: Spec, reduction: str) -> tuple[Spec, Spec]:
        shape = input.shape[:1] if reduction == "none" else ()
        return Spec(shape, input.dtype), Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> tuple[Any, Any]:
        n, classes = input.shape
        meant = xp.cumsum(target < 0, axis=1) == 0  # before the first -1
        labels, rows = xp.where(meant, target, 0), xp.arange(n)
        right = xp.zeros((n, classes), bool)
        counts = int(meant.sum(axis=1).max()) if meant.size else 0
        for k in range(counts):
            right[rows, labels[:, k]] |= meant[:, k]
        loss, slope = xp.zeros(n, input.dtype), xp.zeros((n, classes), input.dtype)
        for k in range(counts):
            label = labels[:, k]
            room = 1 - input[rows, label][:, None] + input
            active = (room > 0) & ~right & meant[:, k, None]
            loss += xp.where(active, room, 0).sum(axis=1)
            slope += active
            slope[rows, label] -= active.sum(axis=1)
        if classes:
            loss /= classes
            slope /= classes
        return reduced(xp, loss, reduction), slope

    @staticmethod
    def vjp_input(g: Any, slope: Any, reduction: str) -> Any:
        g = reshape(g, (slope.shape[0], 1)) if g.ndim else g
        count = slope.shape[0] if reduction == "mean" else 1
        return slope * (g * (1 / max(count, 1)))

    @staticmethod
    def flops(input: Spec, target: Spec, reduction: str) -> int:
        return 4 * input.size


_multilabel_margin, _with_logits = MultiLabelMargin.call, BCEWithLogits.call


def _check_labels(op: str, input: Any, target: Any, lowest: int, classes: int) -> None:
    """The labels are integers from ``lowest`` to the number of classes, less one."""
    if target.dtype.kind not in "iu":
        raise DTypeError(
            op,
            f"labels must be integers, they are {target.dtype}",
            values=[("input", input.shape), ("target", target.shape)],
            repair='Convert them with target.to("int64").',
        )
    labels = raw(target)
    if isinstance(labels, Spec):
        return
    with on_device_of(labels):
        wrong = (labels < lowest) | (labels >= classes)
        if not wrong.any():
            return
        label = int(labels[wrong].reshape(-1)[0])
    raise RangeError(
        op,
        f"the label {label} is outside {lowest} ... {classes - 1}",
        values=[("input", input.shape), ("target", target.shape)],
        repair="Number the classes from 0, or give the model more outputs.",
    )
