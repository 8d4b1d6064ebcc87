"""Losses of regression: a distance per element, then a reduction."""

from __future__ import annotations

import warnings
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import is_float
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._elementwise import broadcast_shape
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.select import sign

__all__ = ["L1Loss", "MSELoss", "l1_loss", "mse_loss"]

NN_FUNCTIONS = ("l1_loss", "mse_loss")
TENSOR_ARGUMENTS = ("weight",)


def mse_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: None = None,
) -> Any:
    """Squared difference: ``(input - target) ** 2``, its mean, or its sum.

    Args:
        input, target: float, the same shape. Shapes that only broadcast are taken with a warning,
            as in PyTorch: it is nearly always a mistake.
        reduction: "mean" over all elements, "sum", or "none".
        size_average, reduce, weight: not supported; anything but None raises.

    Returns:
        A scalar; for "none" the common shape.

    Edge rules: the mean of no element is NaN.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1.0, 4.0]), tg.tensor([1.0, 2.0])).item()
    2.0
    """
    return _compare("mse_loss", _mse_loss, input, target, size_average, reduce, weight, reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: None = None,
) -> Any:
    """Absolute difference: ``|input - target|``, its mean, or its sum; otherwise as
    :func:`mse_loss`.

    Edge rules: the derivative at equality is 0.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, 4.0]), tg.tensor([1.0, 2.0])).item()
    1.0
    """
    return _compare("l1_loss", _l1_loss, input, target, size_average, reduce, weight, reduction)


class _PairLoss(Op, abstract=True):
    """A loss of two tensors of one shape: elementwise, then reduced."""

    inputs = ("input", "target")

    @staticmethod
    def infer(input: Spec, target: Spec, reduction: str) -> Spec:
        if reduction != "none":
            return Spec((), input.dtype)
        return Spec(input.shape, input.dtype, _common_layout(input, target))

    @staticmethod
    def flops(input: Spec, target: Spec, reduction: str) -> int:
        return input.size * (2 if reduction == "none" else 3)


class MSELoss(_PairLoss):
    """Squared difference."""

    name = "mse_loss"
    equation = "loss = mean_i (x_i - t_i)^2"
    gradients = {"input": "dx_i = g * 2 (x_i - t_i) / n", "target": "dt_i = -g * 2 (x_i - t_i) / n"}

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> Any:
        difference = _difference(xp, input, target)
        xp.multiply(difference, difference, out=difference)
        return _reduced(xp, difference, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return (input - target) * (g * (2 * _factor(input, reduction)))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return (target - input) * (g * (2 * _factor(input, reduction)))


class L1Loss(_PairLoss):
    """Absolute difference."""

    name = "l1_loss"
    equation = "loss = mean_i |x_i - t_i|"
    gradients = {
        "input": "dx_i = g * sign(x_i - t_i) / n",
        "target": "dt_i = g * sign(t_i - x_i) / n",
    }

    @staticmethod
    def forward(xp: Any, input: Any, target: Any, reduction: str) -> Any:
        difference = _difference(xp, input, target)
        xp.absolute(difference, out=difference)
        return _reduced(xp, difference, reduction)

    @staticmethod
    def vjp_input(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return sign(input - target) * (g * _factor(input, reduction))

    @staticmethod
    def vjp_target(g: Any, input: Any, target: Any, reduction: str) -> Any:
        return sign(target - input) * (g * _factor(input, reduction))


def _common_layout(input: Any, target: Any) -> str:
    same = layout_of(input) == layout_of(target) == CHANNELS_LAST
    return CHANNELS_LAST if same else CONTIGUOUS


def _difference(xp: Any, input: Any, target: Any) -> Any:
    """``input - target``, channels-last if both are; CuPy by itself makes it row-major."""
    out = memory.empty(input.shape, input.dtype, _common_layout(input, target), xp)
    return xp.subtract(input, target, out=out)


_mse_loss = MSELoss.call
_l1_loss = L1Loss.call


def _factor(input: Any, reduction: str) -> float:
    """What the reduction multiplies each element's loss by."""
    size = 1
    for n in input.shape:
        size *= n
    return 1 / max(size, 1) if reduction == "mean" else 1.0


def _reduced(xp: Any, values: Any, reduction: str) -> Any:
    if reduction == "none":
        return values
    # A scalar of the array's own kind is divided, so that the mean of nothing is NaN and not an
    # exception.
    total = values.sum()
    return xp.asarray(total / total.dtype.type(values.size) if reduction == "mean" else total)


def _compare(
    op: str,
    function: Any,
    input: Any,
    target: Any,
    size_average: Any,
    reduce: Any,
    weight: Any,
    reduction: str,
) -> Any:
    check_reduction(op, reduction, size_average, reduce)
    if weight is not None:
        raise ArgumentError(op, "weight is not supported")
    for name, value in (("input", input), ("target", target)):
        if not is_float(value.dtype):
            raise DTypeError(
                op,
                f"{name} must be float, it is {value.dtype}",
                repair=f"Convert with {name}.to('float32').",
            )
    if input.dtype != target.dtype:
        raise DTypeError(
            op,
            f"the input is {input.dtype}, the target {target.dtype}",
            repair=f"Convert with target.to({input.dtype.name!r}).",
        )
    if input.shape != target.shape:
        shape = broadcast_shape(function.op, (input, target))
        warnings.warn(
            f"{op}: the input {input.shape} and the target {target.shape} are broadcast to "
            f"{shape}; is that meant?",
            stacklevel=4,
        )
        input, target = expand(input, shape), expand(target, shape)
    return function(input, target, reduction)
