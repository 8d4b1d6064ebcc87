"""Refusals that the layers share."""

from __future__ import annotations

from numbers import Integral, Real

from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["number", "positive"]


def positive(layer: str, **numbers: int) -> None:
    """Each of the numbers must be a whole number of at least 1."""
    for name, value in numbers.items():
        if not isinstance(value, Integral):
            raise DTypeError(layer, f"{name} must be a whole number, not {value!r}")
        if value < 1:
            raise ArgumentError(layer, f"{name} must be positive, it is {value}")


def number(layer: str, name: str, value: object) -> None:
    """The argument must be a number."""
    if not isinstance(value, Real):
        raise DTypeError(layer, f"{name} must be a number, not {value!r}")
