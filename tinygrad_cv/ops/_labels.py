"""What the losses of class labels share: the checks that need no data."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import int64, is_float
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "as_batch",
    "check_options",
    "check_weight",
    "label_aliases",
    "label_specs",
    "raise_no_class",
]


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
        elif input.ndim > 2 and target.shape == input.shape[:-1]:
            repair = "The classes seem to be last: input.movedim(-1, 1)."
        raise ShapeError(
            op,
            f"the labels need shape {expected}: the input's without its class axis 1",
            law=["loss[n,d] is made of x[n,:,d] and the label t[n,d]"],
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


def label_aliases(target: Spec, weight: Spec | None) -> dict[str, str]:
    """The memory that ``shares`` gives twice, if every label is a class."""
    aliases = {} if weight is not None else {"even": "share"}
    return aliases | ({"label": "target"} if target.dtype == int64 else {})


def as_batch(input: Any, target: Any) -> tuple[Any, Any, bool]:
    """One sample [C] with a scalar label becomes a batch of one."""
    if input.ndim == 1 and target.ndim == 0:
        return reshape(input, (1, input.shape[0])), reshape(target, (1,)), True
    return input, target, False


def check_options(op: str, input: Any, weight: Any) -> None:
    """The input is float with a class axis, and no gradient is asked for the class weights."""
    if not is_float(input.dtype):
        raise DTypeError(
            op,
            f"the input must be float, it is {input.dtype}",
            repair="Convert it with input.float(); or are input and target exchanged?",
        )
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
        raise DTypeError(
            op,
            f"the weight is {weight.dtype}, the input {input.dtype}",
            repair=f"Convert with weight.to({input.dtype.name!r}).",
        )


def raise_no_class(op: str, input: Any, target: Any) -> None:
    """An input without any class."""
    values = [("input", input.shape, "[N, C, d...]"), ("target", target.shape)]
    raise ShapeError(op, "there is no class to choose from", values=values)
