"""The linear recurrence along an axis, which the gradients of running products are made of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.blocks import line_blocks, many_lines
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.slicing import narrow, replaced, slice_grad

__all__ = ["Recurrence", "placed", "recurrence", "shifted"]

Shape = tuple[int, ...]


class Recurrence(Op):
    """``y[k] = x[k] + a[k] y[k-1]`` along an axis; with ``reverse`` from the back, ``y[k] = x[k] +
    a[k+1] y[k+1]``. Each is the adjoint of the other.
    """

    name = "recurrence"
    equation = "y[k] = x[k] + a[k] y[k-1], reverse: y[k] = x[k] + a[k+1] y[k+1]"
    gradients = {
        "input": "dx[k] = g[k] + a[k+1] dx[k+1], reverse: dx[k] = g[k] + a[k] dx[k-1]",
        "factor": "da[k] = dx[k] y[k-1], reverse: da[k] = dx[k-1] y[k]",
    }
    edges = "an infinite factor or summand stays in all later results"
    cost = "2 per element"
    inputs = ("input", "factor")

    @staticmethod
    def infer(input: Spec, factor: Spec, dim: int, reverse: bool) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, factor: Any, dim: int, reverse: bool) -> Any:
        if many_lines(dim, input, factor):
            return _step_by_step(input, factor, dim, reverse)
        # By doubling: after each round y[k] holds twice as many terms.
        y, a = (xp.moveaxis(xp.array(v), dim, 0) for v in (input, factor))
        if reverse:
            y, a = y[::-1], xp.concatenate([a[:1], a[:0:-1]])  # a[k+1] links k with k + 1
        step, size = 1, y.shape[0]
        while step < size:
            head, tail = y[:step], y[step:] + a[step:] * y[:-step]
            a = xp.concatenate([a[:step], a[step:] * a[:-step]])
            y = xp.concatenate([head, tail])
            step *= 2
        y = y[::-1] if reverse else y
        return xp.ascontiguousarray(xp.moveaxis(y, 0, dim))

    @staticmethod
    def vjp_input(g: Any, factor: Any, dim: int, reverse: bool) -> Any:
        return recurrence(g, factor, dim, not reverse)

    @staticmethod
    def vjp_factor(g: Any, factor: Any, output: Any, dim: int, reverse: bool) -> Any:
        passed = recurrence(g, factor, dim, not reverse)
        if reverse:
            return shifted(passed, dim, 1, False, 0) * output
        return passed * shifted(output, dim, 1, False, 0)

    @staticmethod
    def flops(input: Spec, factor: Spec, dim: int, reverse: bool) -> int:
        return 2 * input.size


recurrence = Recurrence.call


def _step_by_step(input: Any, factor: Any, dim: int, reverse: bool) -> Any:
    output = memory.empty(input.shape, input.dtype)
    places = range(input.shape[dim])[::-1] if reverse else range(input.shape[dim])
    for x, a, y in line_blocks(dim, input, factor, output):
        y[:, places[0]] = x[:, places[0]]
        for before, here in pairwise(places):
            np.multiply(a[:, before if reverse else here], y[:, before], out=y[:, here])
            y[:, here] += x[:, here]
    return output


def shifted(x: Any, dim: int, step: int, reverse: bool, fill: int) -> Any:
    """``x`` moved by ``step`` positions along ``dim`` (back, if ``reverse``); ``fill``, 0 or 1,
    follows behind.
    """
    size = x.shape[dim]
    step = min(step, size)
    start = step if reverse else 0
    kept_part = narrow(x, dim, start, size - step)
    moved = placed(kept_part, x.shape, dim, step - start)
    if not fill:
        return moved
    ones = zero_map(narrow(x, dim, 0, step)) + 1
    return moved + placed(ones, x.shape, dim, size - step if reverse else 0)


def placed(part: Any, shape: Shape, dim: int, start: int) -> Any:
    """Zeros of ``shape`` with ``part`` standing from ``start`` on."""
    return slice_grad(part, shape, replaced(shape, dim, (start, start + part.shape[dim], 1)))
