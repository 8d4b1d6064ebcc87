"""Raw arithmetic of values that are standardised set by set: statistics, output, gradients.

Group, instance, layer and RMS normalisation differ only in the sets that share their statistics. An
array is seen here as [N, G, S, L], and the set (n, g) has S * L values: G groups of S channels of L
pixels; of a layer normalisation G = L = 1. In channels-last memory the view is [N, L, G, S]. Weight
and bias are numbers of (g, s). A block of samples is worked on at a time, and sums are products:
both are what a CPU is quick at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dots import TERMS, dots
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of

__all__ = ["Sets", "channel_sets", "gradients", "standardised", "trailing_sets"]

Shape = tuple[int, ...]

BLOCK = 1 << 18  # elements of the samples that are worked on together


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
        """Numbers of the sets [n, G], or of their channels [n, G, S], ready to broadcast against
        the view of n samples."""
        values = values[:, :, None] if values.ndim == 2 else values
        return values[:, None] if self.last else values[..., None]

    def weights(self, values: Any) -> Any:
        """Numbers of (g, s), as [1, G, S]."""
        return None if values is None else values.reshape(1, self.groups, self.inner)

    def blocks(self, xp: Any) -> Iterator[slice]:
        """Ranges of samples; on a GPU one range for all."""
        of_sample = max(self.groups * self.inner * self.length, 1)
        step = max(min(BLOCK // of_sample, TERMS), 1) if xp is np else max(self.samples, 1)
        for start in range(0, self.samples, step):
            yield slice(start, min(start + step, self.samples))

    def lines(self, xp: Any, view: Any, other: Any = None) -> Any:
        """``sum_l view * other`` of n samples, [n, G, S]; without ``other`` ``sum_l view``."""
        n = len(view)
        if self.length == 1:
            product = view if other is None else xp.multiply(view, other)
            return product.reshape(n, self.groups, self.inner)
        if not self.last:
            return dots(xp, view, other)
        product = view if other is None else xp.multiply(view, other)
        lines = product.reshape(n, self.length, self.groups * self.inner)
        sums = xp.matmul(xp.ones((1, self.length), view.dtype), lines)
        return sums.reshape(n, self.groups, self.inner)

    def sum(self, xp: Any, view: Any, other: Any = None) -> Any:
        """``sum_{s,l} view * other`` of n samples in float64, [n, G]."""
        if self.last:
            return self.lines(xp, view, other).sum(axis=-1, dtype=np.float64)
        rows = (len(view), self.groups, self.inner * self.length)
        other = None if other is None else other.reshape(rows)
        return dots(xp, view.reshape(rows), other).astype(np.float64)


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

    Where a mean is larger than its deviation, values are centred by a first mean, and the rest of
    it is taken from the centred values, so that little cancels.
    """
    dtype, shape = input.dtype, (sets.samples, sets.groups)
    output = memory.empty(input.shape, dtype, sets.layout, xp)
    mean, var = (xp.empty(shape, dtype) for _ in range(2))
    weight, bias = sets.weights(weight), sets.weights(bias)
    xs, ys = sets.view(input), sets.view(output)
    for block in sets.blocks(xp):
        x, y, first = xs[block], ys[block], 0.0
        square = sets.sum(xp, x, x) / sets.size
        rest = sets.sum(xp, x) / sets.size if centre else xp.zeros_like(square)
        small = (2 * rest * rest <= square) & (square < math.inf)
        if centre and (xp is not np or not small.all()):
            first = rest.astype(dtype)
            x = xp.subtract(x, sets.spread(first), out=y)
            rest, square = sets.sum(xp, x) / sets.size, sets.sum(xp, x, x) / sets.size
        mean[block] = first + rest
        var[block] = square = xp.maximum(square - rest * rest, 0)
        scale = 1 / xp.sqrt(square + eps)
        scale = scale.astype(dtype)
        if sets.length > 1:  # few channels against the values: one factor and one summand
            factor = _weighted(scale, weight)
            offset = (0 if bias is None else bias) - rest.astype(dtype)[:, :, None] * factor
            xp.multiply(x, sets.spread(factor), out=y)
            xp.add(y, sets.spread(offset), out=y)
            continue
        if centre:
            x = xp.subtract(x, sets.spread(rest.astype(dtype)), out=y)
        xp.multiply(x, sets.spread(scale), out=y)
        if weight is not None:
            xp.multiply(y, sets.spread(weight), out=y)
        if bias is not None:
            xp.add(y, sets.spread(bias), out=y)
    return output, mean if centre else None, var


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
    weight = sets.weights(weight)
    result = memory.empty(input.shape, dtype, sets.layout, xp) if needs[0] else None
    d_weight = d_bias = xp.zeros((sets.groups, sets.inner), np.float64)
    scales = 1 / xp.sqrt(var.astype(np.float64) + eps)
    xs, gs = sets.view(input), sets.view(gy)
    for block in sets.blocks(xp):
        values, g, scale = xs[block], gs[block], scales[block]
        if mean is not None:
            centred = memory.scratch(values.shape, dtype, "standardise.centred", xp)
            values = xp.subtract(values, sets.spread(mean[block]), out=centred)
        g_lines, product = sets.lines(xp, g), sets.lines(xp, g, values)
        if needs[1]:
            d_weight = d_weight + _over_samples(xp, scale.astype(dtype), product)
        if needs[-1] and mean is not None:
            d_bias = d_bias + _over_samples(xp, xp.ones(scale.shape, dtype), g_lines)
        if result is None:
            continue
        slope = (2 * g_var[block] - scale**3 * _total(xp, product, weight)) / n
        scale, dx = scale.astype(dtype), sets.view(result)[block]
        # In an order that leaves exactly 0 where all gradients of a set are equal.
        middle = 0.0 if mean is None else (_total(xp, g_lines, weight) / n).astype(dtype)
        if sets.length > 1:
            g = xp.multiply(g, sets.spread(_weighted(scale, weight)), out=dx)
            middle = middle * scale
        elif weight is not None:
            g = xp.multiply(g, sets.spread(weight), out=dx)
        if mean is not None:
            g = xp.subtract(g, sets.spread(middle), out=dx)
        if sets.length == 1:
            xp.multiply(g, sets.spread(scale), out=dx)
        if mean is not None and (xp is not np or g_mean.any()):
            xp.add(dx, sets.spread((g_mean[block] / n).astype(dtype)), out=dx)
        part = memory.scratch(values.shape, dtype, "standardise.centred", xp)
        xp.add(dx, xp.multiply(values, sets.spread(slope.astype(dtype)), out=part), out=dx)
    flat = [d.astype(dtype).reshape(-1) for d in (d_weight, d_bias)]
    return (
        result,
        flat[0] if needs[1] else None,
        flat[1] if needs[-1] and mean is not None else None,
    )


def _weighted(scale: Any, weight: Any) -> Any:
    """[n, G] -> [n, G, S], or [n, G, 1] without a weight."""
    return scale[:, :, None] if weight is None else scale[:, :, None] * weight


def _total(xp: Any, lines: Any, weight: Any) -> Any:
    """``sum_s lines[n,g,s] * weight[g,s]`` in float64, [n, G]."""
    return dots(xp, lines, weight).astype(np.float64)


def _over_samples(xp: Any, scale: Any, lines: Any) -> Any:
    """``sum_n scale[n,g] * lines[n,g,s]``, [G, S]."""
    return xp.matmul(xp.ascontiguousarray(scale.T)[:, None], lines.transpose(1, 0, 2))[:, 0]
