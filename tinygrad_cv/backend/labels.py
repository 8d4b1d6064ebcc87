"""Class labels: which positions count in a loss, and how much; labels out of range are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dots import sum_along
from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.errors import RangeError

__all__ = ["counted_only", "label_index", "log_sum_exp", "reduced", "shares"]


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


def counted_only(xp: Any, loss: Any, even: Any) -> Any:
    """The losses, with those of ignored positions 0, even if their scores are not finite."""
    return xp.where(even != 0, loss, xp.zeros((), loss.dtype))


def label_index(xp: Any, label: Any) -> tuple[Any, ...]:
    """What takes the scores of the labels [N, 1, d...] from those of all classes [N, C, d...]."""
    shape = (label.shape[0], *label.shape[2:])
    n, *positions = (
        xp.arange(size).reshape((size,) + (1,) * (len(shape) - axis - 1))
        for axis, size in enumerate(shape)
    )
    return (n, label[:, 0], *positions)


def log_sum_exp(xp: Any, input: Any) -> Any:
    """``log sum_c exp(input[n,c,p])``, [N, 1, d...], without overflow."""
    top = input.max(axis=1, keepdims=True)
    powers = xp.subtract(input, top, out=memory.empty_like(input))
    xp.exp(powers, out=powers)
    return top + xp.log(sum_along(xp, powers, 1))


def reduced(xp: Any, loss: Any, share: Any, target: Any, reduction: str) -> Any:
    """The losses of the positions in the shape of the labels, or their sum. The mean of nothing is
    NaN."""
    if reduction == "none":
        return loss.reshape(target.shape)
    total = xp.asarray(loss.sum())
    return xp.where(share.any(), total, total.dtype.type(np.nan)) if reduction == "mean" else total


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
