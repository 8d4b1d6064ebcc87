"""The gradient rules of values that are standardised set by set, for every such normalisation.

``mean`` and ``var`` are [N, G]: G sets in each of N samples, each set a run of values as the shape
of the input reads. Both are outputs of the operators, so rules may use them at every order.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.ops.math import rsqrt
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.shape import reshape

__all__ = ["input_gradient", "standard_values"]


def input_gradient(
    g: Any, g_mean: Any, g_var: Any, input: Any, mean: Any, var: Any, eps: float
) -> Any:
    """The gradient of the input from those of the standard values (the output before weight and
    bias), the mean and the variance. Without a mean the variance is the mean square."""
    s = rsqrt(var + eps)
    rows, values = _rows(g, var), _centred(input, mean, var)
    n = max(rows.shape[2], 1)
    slope = (2 * g_var - s * s * s * sum_over(rows * values, dim=2)) / n
    result = values * _spread(slope)
    if mean is not None:
        rows = rows - _spread(sum_over(rows, dim=2) / n)
        result = result + _spread(g_mean / n)
    return reshape(result + rows * _spread(s), input.shape)


def standard_values(input: Any, mean: Any, var: Any, eps: float) -> Any:
    """``(x - mean) / sqrt(var + eps)``."""
    return reshape(_centred(input, mean, var) * _spread(rsqrt(var + eps)), input.shape)


def _centred(input: Any, mean: Any, var: Any) -> Any:
    rows = _rows(input, var)
    return rows if mean is None else rows - _spread(mean)


def _rows(x: Any, var: Any) -> Any:
    """The values of each set next to each other, [N, G, values]."""
    return reshape(x, (*var.shape, math.prod(x.shape) // max(math.prod(var.shape), 1)))


def _spread(values: Any) -> Any:
    """[N, G] -> [N, G, 1]."""
    return reshape(values, (*values.shape, 1))
