"""Sums along the last axis as products, which a CPU is quicker at than at sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["TERMS", "dots", "sum_along"]

TERMS = 1024  # that a product adds in the array's own precision


def dots(xp: Any, a: Any, b: Any = None) -> Any:
    """``sum_k a[..., k] * b[..., k]``; without ``b`` ``sum_k a[..., k]``. On a CPU these are dot
    products of at most ``TERMS`` terms, and their sum.

    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> dots(np, a).tolist(), dots(np, a, a).tolist()
    ([3.0, 7.0], [5.0, 25.0])
    """
    count = a.shape[-1]
    part = count if count <= TERMS else math.gcd(count, TERMS)
    if xp is not np or count == 0 or part < 32 < count:
        return (a if b is None else a * b).sum(axis=-1)
    a = a.reshape(*a.shape[:-1], count // part, part)
    if b is None:
        return (a @ np.ones(part, a.dtype)).sum(axis=-1)
    return np.vecdot(a, b.reshape(*b.shape[:-1], count // part, part)).sum(axis=-1)


def sum_along(xp: Any, x: Any, dim: int) -> Any:
    """The sum along one axis, which stays with size 1.

    >>> sum_along(np, np.array([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [[3.0], [7.0]]
    """
    if dim == x.ndim - 1:
        return dots(xp, x)[..., None]
    return x.sum(axis=dim, keepdims=True)
