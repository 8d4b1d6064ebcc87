"""Sums with factors: what ``addmm`` and its kin share."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["refuse_fractions", "weighted", "whole_factor"]


def weighted(op: str, input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * input + alpha * product``; with beta = 0 the input does not count at all.

    The input broadcasts to the product. Factors of integers are whole: see :func:`whole_factor`.
    """
    ours, theirs = input.shape, product.shape
    fits = len(ours) <= len(theirs) and all(
        n in (1, m) for n, m in zip(ours[::-1], theirs[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(
            op,
            f"the input {ours} does not broadcast to the product {theirs}",
            law=["sizes, aligned at the last axis, must be equal, or 1 in the input"],
            values=[("input", ours), ("product", theirs)],
            repair=f"Use an input of shape {theirs}.",
            repairs=[{"input": theirs}],
        )
    if input.dtype.kind != "f" and product.dtype.kind != "f":
        beta, alpha = whole_factor(op, "beta", beta), whole_factor(op, "alpha", alpha)
    scaled = product if alpha == 1 else product * alpha
    return scaled if beta == 0 else (input if beta == 1 else input * beta) + scaled


def whole_factor(op: str, name: str, value: Any) -> Any:
    """The factor of integers: what follows the point is cut off, as in PyTorch."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ArgumentError(op, f"{name} must be a whole number for integers, it is {value}")
    return int(value)


def refuse_fractions(op: str, inputs: Any, **factors: Any) -> None:
    """Raise if all inputs are integers and a factor is not."""
    if all(x.dtype.kind != "f" for x in inputs):
        for name, value in factors.items():
            if isinstance(value, float):
                raise DTypeError(op, f"{name} must be an integer for integers, it is {value}")
