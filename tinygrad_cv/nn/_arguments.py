"""What the layers share: arguments per axis, and refusals."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError

__all__ = ["per_axis", "positive", "refuse_inplace"]


def per_axis(layer: str, name: str, value: Any, count: int, least: int = 0) -> tuple[int, ...]:
    """An int or one int per spatial axis as a tuple of ``count`` ints, each at least ``least``."""
    values = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) != count:
        raise ArgumentError(
            layer, f"{name} needs one value or {count} (one per spatial axis), it has {len(values)}"
        )
    numbers = tuple(int(v) for v in values)
    if any(n < least for n in numbers):
        raise ArgumentError(layer, f"{name} must be at least {least}, it is {value}")
    return numbers


def positive(layer: str, **numbers: int) -> None:
    """Each of the numbers must be at least 1."""
    for name, value in numbers.items():
        if value < 1:
            raise ArgumentError(layer, f"{name} must be positive, it is {value}")


def refuse_inplace(layer: str, inplace: bool) -> None:
    """Layers have no in-place form: the graph would need the overwritten value anyway."""
    if inplace:
        raise ArgumentError(
            layer, "inplace=True is not supported", repair="Leave it out: the result is the same."
        )
