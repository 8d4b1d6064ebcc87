"""The common shape of several shapes, and tensors expanded to theirs."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_ints
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops.expand import expand

__all__ = ["broadcast_shapes", "broadcast_tensors"]

CREATION = ("broadcast_shapes",)
TG_FUNCTIONS = (*CREATION, "broadcast_tensors")

Shape = tuple[int, ...]


def broadcast_shapes(*shapes: Any) -> Shape:
    """The shape that tensors of these shapes broadcast to. Sizes are aligned at the last axis and
    must be equal or 1; an axis that one shape lacks counts as 1.

    Args:
        shapes: tuples or lists of sizes; a number alone is the shape of a vector.

    Raises:
        ShapeError: the shapes do not broadcast, or a size is negative.
        DTypeError: a size is no whole number.

    >>> import tinygrad_cv as tg
    >>> tg.broadcast_shapes((2, 1), (3,), (1, 1, 1))
    (1, 2, 3)
    """
    sizes = [as_ints("broadcast_shapes", f"shapes[{k}]", shape) for k, shape in enumerate(shapes)]
    for k, shape in enumerate(sizes):
        if min(shape, default=0) < 0:
            raise ShapeError(
                "broadcast_shapes",
                f"a size cannot be negative: {shape}",
                values=[(f"shapes[{k}]", shape)],
                repair="Use sizes of 0 or more.",
            )
    named = {f"shapes[{k}]": shape for k, shape in enumerate(sizes)}
    return common_shape("broadcast_shapes", **named)


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """The tensors expanded to their common shape.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> [x.shape for x in tg.broadcast_tensors(tg.zeros(3, 1), tg.zeros(4))]
    [(3, 4), (3, 4)]
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    for x in tensors:
        if not hasattr(x, "shape"):
            kind = type(x).__name__
            raise DTypeError("broadcast_tensors", f"takes tensors, not {kind} {x!r:.60}")
    named = {f"tensors[{k}]": x for k, x in enumerate(tensors)}
    shape = common_shape("broadcast_tensors", **named)
    return tuple(expand(x, shape) for x in tensors)
