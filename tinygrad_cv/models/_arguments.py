"""What the models share: reading arguments, and a shape that is told before a layer meets it."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.ops._axes import as_ints

__all__ = ["check_axes", "one_of", "positives"]


def positives(owner: str, name: str, values: Any) -> tuple[int, ...]:
    """One or more whole numbers of at least 1."""
    numbers = as_ints(owner, name, values)
    if not numbers:
        raise ArgumentError(owner, f"{name} is empty", repair=f"Give at least one of {name}.")
    for number in numbers:
        positive(owner, **{name: number})
    return numbers


def one_of(owner: str, name: str, value: Any, known: Any) -> Any:
    """What ``known`` has under this name."""
    if not isinstance(value, str) or value not in known:
        names = ", ".join(known)
        raise ArgumentError(owner, f"unknown {name} {value!r}", repair=f"Use one of {names}.")
    return known[value]


def check_axes(owner: str, input: Any, axes: str) -> None:
    """Raise unless the input has the axes of these letters, the batch among them."""
    count = len(axes.split(", "))
    if input.ndim == count:
        return
    raise ShapeError(
        owner,
        f"the input must have {count} axes, it has {input.ndim}",
        values=[("input", input.shape, f"[{axes}]")],
        repair="x.unsqueeze(0) adds the batch axis." if input.ndim == count - 1 else None,
    )
