"""The score of one class per position, and its adjoint: how losses read and write class axes.

Both are linear in the scores and each is the other's gradient, so the family is closed at every
order. Labels are [N, 1, d...], integers from 0 to C - 1: constants to every derivative.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops.shape import reshape

__all__ = ["ClassPick", "ClassPlace", "class_axis", "class_pick", "class_place"]


def class_axis(weight: Any, ndim: int) -> Any:
    """[C] -> [C, 1, ...], which broadcasts against [N, C, d...]."""
    return reshape(weight, (weight.shape[0], *(1 for _ in range(ndim - 2))))


class ClassPick(Op):
    """The score of one class per position; adjoint of ``ClassPlace``."""

    name = "class_pick"
    equation = "y[n,0,p] = x[n, label[n,0,p], p]"
    gradients = {"input": "dx[n,c,p] = g[n,0,p] * [c = label[n,0,p]]"}
    edges = "a label outside the classes is never read"
    cost = "0"
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
    edges = "a label outside the classes is never written"
    cost = "0"
    inputs = ("value", "label")

    @staticmethod
    def infer(value: Spec, label: Spec, classes: int) -> Spec:
        return Spec((value.shape[0], classes, *value.shape[2:]), value.dtype)

    @staticmethod
    def forward(xp: Any, value: Any, label: Any, classes: int) -> Any:
        here = label == class_axis(xp.arange(classes), label.ndim)
        return xp.where(here, value, xp.zeros((), value.dtype))

    @staticmethod
    def vjp_value(g: Any, label: Any) -> Any:
        return class_pick(g, label)

    @staticmethod
    def flops(value: Spec, label: Spec, classes: int) -> int:
        return 0


class_pick = ClassPick.call
class_place = ClassPlace.call
