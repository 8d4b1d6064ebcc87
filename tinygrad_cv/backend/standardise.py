"""Raw arithmetic of values that are standardised set by set: statistics, output, gradients.

Group, instance, layer and RMS normalisation differ only in the sets that share their statistics. An
array is seen here as [N, G, S, L], and the set (n, g) has S * L values: G groups of S channels of L
pixels; of a layer normalisation G = L = 1. In channels-last memory the view is [N, L, G, S]. Weight
and bias are numbers of (g, s).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of
from tinygrad_cv.backend.sums import total

__all__ = ["Sets", "channel_sets", "gradients", "standardised", "trailing_sets"]

Shape = tuple[int, ...]


class Sets(NamedTuple):
    """How an array is divided into sets: N, G, S, L, and the memory order of results."""

    samples: int
    groups: int
    inner: int
    length: int
    layout: str = CONTIGUOUS

    @property
    def last(self) -> bool:
        return self.layout == CHANNELS_LAST

    @property
    def size(self) -> int:
        """Values of a set, but at least 1."""
        return max(self.inner * self.length, 1)

    def view(self, array: Any) -> Any:
        """[N, G, S, L], or in channels-last memory [N, L, G, S]."""
        if self.last:
            shape = (self.samples, self.length, self.groups, self.inner)
            return pixels(array).reshape(shape)
        return array.reshape(self.samples, self.groups, self.inner, self.length)

    def spread(self, values: Any) -> Any:
        """Numbers of the sets [N, G], ready to broadcast against a view."""
        shape = (self.samples, 1, self.groups, 1) if self.last else (*values.shape, 1, 1)
        return values.reshape(shape)

    def weights(self, values: Any) -> Any:
        """Numbers of (g, s), ready to broadcast against a view."""
        middle = (self.groups, self.inner)
        return values.reshape((1, 1, *middle) if self.last else (1, *middle, 1))

    def sum(self, xp: Any, view: Any) -> Any:
        """The sums of the sets in float64, [N, G]."""
        if not self.last:
            rows = view.reshape(self.samples, self.groups, self.inner * self.length)
            return rows.sum(axis=-1).astype(np.float64)
        lines = view.reshape(self.samples, self.length, self.groups * self.inner)
        sums = xp.matmul(xp.ones((1, self.length), view.dtype), lines)
        return sums.reshape(self.samples, self.groups, self.inner).sum(axis=-1, dtype=np.float64)

    def sum_of_weights(self, xp: Any, view: Any) -> Any:
        """The sums of all values with one weight, flat."""
        if self.last or self.length == 1:
            rows = view.reshape(self.samples * self.length, self.groups * self.inner)
            return total(xp, rows, (0,))
        per_sample = view.sum(axis=-1, dtype=view.dtype)
        return per_sample.sum(axis=0, dtype=np.float64).astype(view.dtype).reshape(-1)


def channel_sets(input: Any, groups: int) -> Sets:
    """The sets of an array or Spec [N, C, spatial...] whose channels form groups."""
    n, c, *spatial = input.shape
    width = c // groups if groups else 0  # no channel, as instances of none
    return Sets(n, groups, width, math.prod(spatial), layout_of(input))


def trailing_sets(shape: Shape, dims: int) -> Sets:
    """The sets of an array whose last ``dims`` axes are normalised together."""
    split = len(shape) - dims
    return Sets(math.prod(shape[:split]), 1, math.prod(shape[split:]), 1)


def standardised(
    xp: Any, input: Any, weight: Any, bias: Any, eps: float, sets: Sets, centre: bool = True
) -> tuple[Any, Any, Any]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` with mean and biased variance of each set,
    both [N, G]; without ``centre`` the mean is 0 and the variance the mean square.

    Values are centred by a first mean, and the rest of it is taken from the centred values, so that
    little cancels even where the mean is large against the deviation.
    """
    dtype = input.dtype
    output = memory.empty(input.shape, dtype, sets.layout, xp)
    x, y = sets.view(input), sets.view(output)
    first = (sets.sum(xp, x) / sets.size).astype(dtype) if centre else None
    if first is None:
        values = x
    else:
        values = xp.subtract(x, sets.spread(first), out=y)
    squares = memory.empty(values.shape, dtype, xp=xp)
    var = sets.sum(xp, xp.multiply(values, values, out=squares)) / sets.size
    rest = 0.0
    if first is not None:
        rest = sets.sum(xp, y) / sets.size
        var = xp.maximum(var - rest * rest, 0)
    scale = 1 / xp.sqrt(var + eps)
    xp.multiply(values, sets.spread(scale.astype(dtype)), out=y)
    if first is not None:
        xp.subtract(y, sets.spread((rest * scale).astype(dtype)), out=y)
    if weight is not None:
        xp.multiply(y, sets.weights(weight), out=y)
    if bias is not None:
        xp.add(y, sets.weights(bias), out=y)
    mean = None if first is None else (first + rest).astype(dtype)
    return output, mean, var.astype(dtype)


def gradients(
    xp: Any,
    gradient: tuple[Any, Any, Any],
    needs: Any,
    input: Any,
    weight: Any,
    mean: Any,
    var: Any,
    eps: float,
    sets: Sets,
) -> tuple[Any, Any, Any]:
    """The gradients of input, weight and bias (flat) from those of output, mean and variance, in
    the memory order of the sets; None where ``needs`` asks for none. Without a mean its gradient
    does not count."""
    gy, g_mean, g_var = gradient
    dtype, n = input.dtype, sets.size
    result = memory.empty(input.shape, dtype, sets.layout, xp)
    x, g, dx = sets.view(input), sets.view(gy), sets.view(result)
    scale = 1 / xp.sqrt(var.astype(np.float64) + eps)
    values = x
    if mean is not None:
        values = xp.subtract(x, sets.spread(mean), out=memory.empty(x.shape, dtype, xp=xp))
    product = xp.multiply(g, values, out=memory.empty(x.shape, dtype, xp=xp))
    d_bias = sets.sum_of_weights(xp, g) if needs[-1] and mean is not None else None
    if weight is not None:
        g = xp.multiply(g, sets.weights(weight), out=dx)
        weighted = product * sets.weights(weight)
    else:
        weighted = product
    slope = (2 * g_var - scale**3 * sets.sum(xp, weighted)) / n
    middle = None if mean is None else sets.sum(xp, g) / n
    d_weight = None
    if needs[1]:
        xp.multiply(product, sets.spread(scale.astype(dtype)), out=product)
        d_weight = sets.sum_of_weights(xp, product)
    if not needs[0]:
        return None, d_weight, d_bias
    if middle is not None:
        # Taken away before the scale: where all gradients of a set are equal, exactly 0 is left.
        g = xp.subtract(g, sets.spread(middle.astype(dtype)), out=dx)
    xp.multiply(g, sets.spread(scale.astype(dtype)), out=dx)
    xp.multiply(values, sets.spread(slope.astype(dtype)), out=product)
    xp.add(dx, product, out=dx)
    if mean is not None:
        xp.add(dx, sets.spread((g_mean / n).astype(dtype)), out=dx)
    return result, d_weight, d_bias
