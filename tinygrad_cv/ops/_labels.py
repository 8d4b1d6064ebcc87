"""What the losses of class labels share: reading labels and weights, and refusing bad ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import int64, is_float
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "as_batch",
    "check_options",
    "check_weight",
    "label_specs",
    "raise_no_class",
    "reduced",
    "shares",
]


def shares(
    xp: Any, op: str, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> tuple[Any, Any, Any]:
    """Labels that are safe to index with, and how much each position counts, all [N, 1, d...].

    ``share`` has the class weights in it, ``even`` has not, so that it is 0 at ignored positions
    only. These have label 0 and share 0.
    """
    classes = input.shape[1]
    label = target[:, None].astype(int64, copy=False)
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
        if counted is not None:  # 0 / 0 where all are ignored, but no position gets a gradient
            share, even = xp.where(counted, share, 0), xp.where(counted, even, 0)
    return label, share, (share if weight is None else even)


def reduced(xp: Any, loss: Any, share: Any, target: Any, reduction: str) -> Any:
    """The losses of the positions in the shape of the labels, or their sum. The mean of nothing is
    NaN."""
    if reduction == "none":
        return loss.reshape(target.shape)
    total = xp.asarray(loss.sum())
    return xp.where(share.any(), total, total.dtype.type(np.nan)) if reduction == "mean" else total


def label_specs(
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
        repair = None
        if target.shape == input.shape:
            repair = "One-hot targets: pass them as float probabilities, or target.argmax(1)."
        elif input.ndim > 1 and target.size == math.prod(expected):
            repair = f"The number is right: target.reshape{expected}."
        raise ShapeError(
            op,
            f"the labels need shape {expected}: the input's without its class axis 1",
            values=values,
            repair=repair,
            repairs=[{"target": expected}] if input.ndim > 1 else [],
        )
    if input.shape[1] == 0:
        raise_no_class(op, input, target)
    check_weight(op, input, weight)
    positions = (expected[0], 1, *expected[1:])
    output = Spec(expected if reduction == "none" else (), input.dtype)
    return output, Spec(positions, int64), Spec(positions, input.dtype)


def as_batch(input: Any, target: Any) -> tuple[Any, Any, bool]:
    """One sample [C] with a scalar label becomes a batch of one."""
    if input.ndim == 1 and target.ndim == 0:
        return reshape(input, (1, input.shape[0])), reshape(target, (1,)), True
    return input, target, False


def check_options(op: str, input: Any, weight: Any) -> None:
    """The input is float with a class axis, and no gradient is asked for the class weights."""
    if not is_float(input.dtype):
        raise DTypeError(op, f"the input must be float, it is {input.dtype}")
    if input.ndim == 0:
        raise ShapeError(op, "the input has no class axis", values=[("input", (), "[N, C, d...]")])
    if weight is not None and getattr(weight, "requires_grad", False):
        raise ArgumentError(
            op, "the class weights get no gradient", repair="Pass weight.detach() to say so."
        )


def check_weight(op: str, input: Any, weight: Any) -> None:
    """The class weights have one value per class, in the dtype of the input."""
    classes = input.shape[0 if input.ndim == 1 else 1]
    if weight is None:
        return
    if weight.shape != (classes,):
        raise ShapeError(
            op,
            f"the weight needs one value for each of the {classes} classes",
            values=[("input", input.shape, "[N, C, d...]"), ("weight", weight.shape, "[C]")],
            repairs=[{"weight": (classes,)}],
        )
    if weight.dtype != input.dtype:
        raise DTypeError(op, f"the weight is {weight.dtype}, the input {input.dtype}")


def raise_no_class(op: str, input: Any, target: Any) -> None:
    """An input without any class."""
    values = [("input", input.shape, "[N, C, d...]"), ("target", target.shape)]
    raise ShapeError(op, "there is no class to choose from", values=values)


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
        repairs=[] if others else [{"ignore_index": label}],
        notes=[f"{others} more labels are outside."] if others else [],
    )
