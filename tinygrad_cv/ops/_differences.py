"""Losses of the difference of two tensors, in few passes: sums, and both gradients at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend.blocks import flat_blocks
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.backend.sums import products
from tinygrad_cv.ops._pair_loss import fresh, reduced

__all__ = ["opposite_gradients", "quadratic"]

Terms = Callable[[Any, Any, Any], list[tuple[float, Any, Any]]]


def quadratic(xp: Any, terms: Terms, input: Any, target: Any, reduction: str) -> Any:
    """A loss of products: ``terms(xp, x, t)`` gives ``[(c, a, b), ...]``, whose ``c a b`` add up to
    the loss of each element. On a CPU, sums of them are dot products of blocks."""
    if reduction == "none" or xp is not np:
        loss = fresh(xp, input, target)
        (scale, a, b), *others = terms(xp, input, target)
        xp.multiply(a, b if scale == 1 else scale * b, out=loss)
        for scale, a, b in others:
            loss += scale * a * b
        return reduced(xp, loss, reduction)
    total = 0.0
    for x, t in flat_blocks(input, target):
        total += sum(c * float(products(np, a, b, (0,))) for c, a, b in terms(np, x, t))
    count = input.dtype.type(input.size if reduction == "mean" else 1)
    return np.asarray(input.dtype.type(total) / count)


def opposite_gradients(
    xp: Any, needs: Any, input: Any, target: Any, scale: Any, slope: Callable[[Any], Any] | None
) -> tuple[Any, Any]:
    """The gradients of a loss of d = input - target: ``slope(d) * scale``, and minus that.
    ``slope`` works in place; without one it is d itself."""
    d = xp.subtract(input, target, out=fresh(xp, input, target))
    if slope is not None:
        slope(d)
    xp.multiply(d, scale, out=d)
    other = None
    if needs[1]:
        other = xp.negative(d, out=empty_like(d) if needs[0] else d)
    return d if needs[0] else None, other
