"""Reading arguments: dims counted from the front, sizes, repeats, and tensors to be like."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError

__all__ = ["as_axes", "as_axis", "as_int", "as_ints", "check_bits", "check_like", "check_within"]
__all__ += ["outside"]

Shape = tuple[int, ...]

_LIMIT = 2**63


def as_int(op: str, name: str, value: Any) -> int:
    """A Python int from an argument that must be a whole number."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        kind = type(value).__name__
        raise DTypeError(op, f"{name} must be a whole number, not {kind} {value!r}") from None
    if not -_LIMIT <= number < _LIMIT:
        check_bits(op, name, number)
    return number


def check_bits(op: str, name: str, number: int) -> None:
    """Raise if a whole number is too large for NumPy and for any memory."""
    if not -_LIMIT <= number < _LIMIT:
        raise ArgumentError(op, f"{name} is {number:.3e}: more than 64 bits can hold")


def as_ints(op: str, name: str, values: Any) -> Shape:
    """A tuple of ints from an int, a sequence of them, or varargs that hold one sequence."""
    if isinstance(values, (tuple, list)):
        if len(values) == 1 and isinstance(values[0], (tuple, list)):
            values = values[0]
        return tuple(as_int(op, name, value) for value in values)
    return (as_int(op, name, values),)


def check_like(op: str, other: Any) -> None:
    """Raise unless ``other``, whose shape or dtype is taken over, is a tensor."""
    if not hasattr(other, "dtype"):
        kind = type(other).__name__
        raise DTypeError(op, f"other must be a tensor, not {kind} {other!r:.60}")


def outside(
    op: str, index: Any, axis: int, shape: Shape, lowest: int, positions: Shape | None = None
) -> RangeError:
    """The error of an index that is outside its axis of an input of ``shape``; ``positions`` is the
    shape of the array that holds it."""
    size = shape[axis]
    return RangeError(
        op,
        f"index {int(index)} is out of range for axis {axis} of size {size}",
        law=[f"{lowest} <= index < {size}"],
        values=[("input", shape)] + ([] if positions is None else [("index", positions)]),
    )


def check_within(op: str, index: Any, axis: int, shape: Shape, negative: bool) -> None:
    """Raise if an index array has an entry outside its axis; ``negative`` counts from the end."""
    lowest = -shape[axis] if negative else 0
    on_cpu = type(index) is np.ndarray  # elsewhere each look at a number waits for the device
    if on_cpu and index.size and index.min() >= lowest and index.max() < shape[axis]:
        return
    wrong = (index < lowest) | (index >= shape[axis])
    if wrong.any():
        raise outside(op, index[wrong][0], axis, shape, lowest, index.shape)


def as_axis(op: str, dim: Any, ndim: int, shape: Shape | None = None) -> int:
    """`dim` counted from the front. A 0-d tensor has one axis here, as in PyTorch."""
    axis, count = as_int(op, "dim", dim), max(ndim, 1)
    if not -count <= axis < count:
        raise RangeError(
            op,
            f"dim {axis} is out of range for {ndim} axes",
            law=[f"{-count} <= dim <= {count - 1}"],
            values=[] if shape is None else [("input", shape)],
            repair=f"Use a dim from {-count} to {count - 1}.",
        )
    return axis % count


def as_axes(op: str, dims: Any, ndim: int, shape: Shape | None = None) -> Shape:
    """Several different dims, counted from the front; an int is one dim."""
    axes = tuple(as_axis(op, dim, ndim, shape) for dim in as_ints(op, "dim", dims))
    if len(set(axes)) < len(axes):
        values = [] if shape is None else [("input", shape)]
        raise ArgumentError(op, f"an axis is named twice in dim={dims}", values=values)
    return axes
