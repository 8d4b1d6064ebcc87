"""What the losses of two tensors share: the checks, the reduction, and the base of their operators.

A subclass of :class:`PairLoss` writes the loss of one element; the kernels of
``backend/cpu/pair_loss.py`` serve it by its name.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import get_default_dtype, is_float, promote
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.reduce import mean
from tinygrad_cv.ops.reduce import sum as sum_over

__all__ = ["PairLoss", "apply_reduction", "as_floats", "broadcast_pair", "check_floats"]
__all__ += ["check_mean", "check_number", "check_same_shape", "fresh", "in_common", "over_count"]
__all__ += ["reduced"]


class PairLoss(Op, abstract=True):
    """A loss of tensors of one shape and dtype: elementwise, then reduced.

    Its last attribute is the reduction. ``forward`` computes the loss of each element in fresh
    memory and gives it to :func:`reduced`.
    """

    inputs: ClassVar[tuple[str, ...]] = ("input", "target")

    @staticmethod
    def infer(input: Spec, *others: Any) -> Spec:
        if others[-1] != "none":
            return Spec((), input.dtype)
        specs = (input, *(s for s in others if isinstance(s, Spec)))
        return Spec(input.shape, input.dtype, _common_layout(specs))

    @staticmethod
    def flops(input: Spec, *others: Any) -> int:
        return input.size * (2 if others[-1] == "none" else 3)


def fresh(xp: Any, *inputs: Any) -> Any:
    """An array for the losses of the elements, channels-last if all inputs are; CuPy by itself
    makes it row-major."""
    first = inputs[0]
    return memory.empty(first.shape, first.dtype, _common_layout(inputs), xp)


def _common_layout(inputs: Any) -> str:
    same = all(layout_of(x) == CHANNELS_LAST for x in inputs)
    return CHANNELS_LAST if same else CONTIGUOUS


def reduced(xp: Any, values: Any, reduction: str) -> Any:
    """Raw values as they are, their mean or their sum."""
    if reduction == "none":
        return values
    # A scalar of the array's own kind is divided, so that the mean of nothing is NaN and not an
    # exception.
    total = values.sum()
    return xp.asarray(total / total.dtype.type(values.size) if reduction == "mean" else total)


def over_count(input: Any, reduction: str) -> float:
    """What the reduction multiplies each element's loss by."""
    return 1 / max(math.prod(input.shape), 1) if reduction == "mean" else 1.0


def apply_reduction(values: Any, reduction: str) -> Any:
    """Values as they are, their mean or their sum, differentiable."""
    if reduction == "none":
        return values
    return mean(values) if reduction == "mean" else sum_over(values)


def check_floats(op: str, **tensors: Any) -> None:
    """All are float, and of one dtype, which is that of the first."""
    first = next(iter(tensors))
    wanted = tensors[first].dtype
    usual = wanted.name if is_float(wanted) else "float32"
    for name, value in tensors.items():
        if not is_float(value.dtype):
            raise DTypeError(
                op,
                f"{name} must be float, it is {value.dtype}",
                repair=f"Convert with {name}.to({usual!r}).",
            )
    for name, value in tensors.items():
        if value.dtype != wanted:
            raise DTypeError(
                op,
                f"the {first} is {wanted}, the {name} {value.dtype}",
                repair=f"Convert with {name}.to({wanted.name!r}).",
            )


def as_floats(op: str, **tensors: Any) -> list[Any]:
    """The tensors in their common dtype, as PyTorch promotes them. The first must be float."""
    first = next(iter(tensors))
    check_floats(op, **{first: tensors[first]})
    return in_common(*tensors.values())


def in_common(*tensors: Any) -> list[Any]:
    """The tensors in their common dtype; integers alone become the default float dtype."""
    dtype = promote(*tensors)
    dtype = dtype if is_float(dtype) else get_default_dtype()
    return [x if x.dtype == dtype else cast(x, dtype) for x in tensors]


def check_mean(op: str, input: Any, reduction: str) -> None:
    """Refuse the mean of integers, which is none."""
    if reduction == "mean" and not is_float(input.dtype):
        raise DTypeError(
            op,
            f"the mean of {input.dtype} is no integer",
            repair='Convert with .float(), or use reduction="sum".',
            repairs=[{"reduction": "sum"}],
        )


def check_same_shape(op: str, **tensors: Any) -> None:
    """All have the shape of the first."""
    first, *others = tensors
    shape = tensors[first].shape
    for name in others:
        if tensors[name].shape != shape:
            same, repair = math.prod(tensors[name].shape) == math.prod(shape), None
            if same:
                repair = f"The number of elements is right: {name}.reshape{shape}."
            elif len(shape) > 1 and tensors[name].shape == (shape[0], *shape[2:]):
                one_hot = f"F.one_hot({name}, {shape[1]}).movedim(-1, 1)"
                repair = f"If these are the numbers of classes: {one_hot} has the shape."
            raise ShapeError(
                op,
                f"{first} and {name} must have the same shape",
                law=[f"{first}.shape = {name}.shape", f"{shape} = {tensors[name].shape} is false"],
                values=[(n, t.shape) for n, t in tensors.items()],
                repair=repair or f"Give {name} the shape {shape}.",
                repairs=[{name: shape}],
            )


def broadcast_pair(op: str, input: Any, target: Any, quiet: bool = False) -> tuple[Any, Any]:
    """Both in their common shape. That they differ is nearly always a mistake, so it warns."""
    if input.shape == target.shape:
        return input, target
    shape = common_shape(op, input=input, target=target)
    if not quiet:
        warnings.warn(
            f"{op}: the input {input.shape} and the target {target.shape} are broadcast to "
            f"{shape}; is that meant?",
            stacklevel=5,
        )
    return expand(input, shape), expand(target, shape)


def check_number(op: str, name: str, value: Any, above: float = -math.inf) -> float:
    """A Python float from an argument that must be a number greater than ``above``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        kind = type(value).__name__
        raise DTypeError(op, f"{name} must be a number, not {kind} {value!r:.40}")
    if not value > above and not (above == -math.inf and value == value):
        raise ArgumentError(
            op,
            f"{name} must be greater than {above:g}, it is {value}",
            repair=f"Use {name}=1.0.",
            repairs=[{name: 1.0}],
        )
    return float(value)
