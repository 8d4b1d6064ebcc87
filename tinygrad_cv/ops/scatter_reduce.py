"""Product and extremum of all that goes to one position: the operators behind
``scatter_reduce``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import bool_, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.gather import Gather, GatherGrad, flat_places
from tinygrad_cv.ops.join import cat
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.recurrence import shifted
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.select import masked, where
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.slicing import narrow, select

__all__ = ["FactorOrder", "ScatterMax", "ScatterMin", "ScatterProd"]

Shape = tuple[int, ...]


class _ScatterExtremum(Op, abstract=True):
    """The extreme one of all that goes to a position; with ``include_self`` of the input's element
    there too. Where nothing goes to, the input's element stays.
    """

    gradients = {
        "input": "dx[p] = g[p] [x[p] = y[p]] / ties[p]",
        "src": "ds[i] = g[p] [s[i] = y[p]] / ties[p] with p = index[i]",
    }
    inputs = ("input", "index", "src")

    @staticmethod
    def infer(input: Spec, index: Spec, src: Spec, dim: int, include_self: bool) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def vjp_input(
        g: Any, input: Any, index: Any, src: Any, output: Any, dim: int, include_self: bool
    ) -> Any:
        """Shared evenly by all that equal the extremum; which do is a constant."""
        own, others = _ties(input, index, src, output, dim, include_self)
        return masked(g / _count(own, others, index, g.dtype, dim), own)

    @staticmethod
    def vjp_src(
        g: Any, input: Any, index: Any, src: Any, output: Any, dim: int, include_self: bool
    ) -> Any:
        own, others = _ties(input, index, src, output, dim, include_self)
        share = g / _count(own, others, index, g.dtype, dim)
        return masked(Gather.call(share, index, dim, False), others)

    @staticmethod
    def flops(input: Spec, index: Spec, src: Spec, dim: int, include_self: bool) -> int:
        return src.size


class ScatterMax(_ScatterExtremum):
    """The largest of all that goes to a position."""

    name = "scatter_max"
    equation = "y[p] = max(x[p], s[i] for all i with index[i] = p)"
    edges = "ties share the gradient evenly"
    cost = "1 per value"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
        lowest = -math.inf if input.dtype.kind == "f" else _limits(input.dtype)[0]
        return _combined(xp, xp.maximum, lowest, input, index, src, dim, include_self)


class ScatterMin(_ScatterExtremum):
    """The smallest of all that goes to a position."""

    name = "scatter_min"
    equation = "y[p] = min(x[p], s[i] for all i with index[i] = p)"
    edges = "ties share the gradient evenly"
    cost = "1 per value"
    dtypes = "bool, integer, floating"

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
        highest = math.inf if input.dtype.kind == "f" else _limits(input.dtype)[1]
        return _combined(xp, xp.minimum, highest, input, index, src, dim, include_self)


class ScatterProd(Op):
    """The product of all that goes to a position; with ``include_self`` times the input's element
    there. Where nothing goes to, the input's element stays.

    The gradient of a factor is the product of the others, never made by division.
    """

    name = "scatter_prod"
    equation = "y[p] = x[p] * product of s[i] over all i with index[i] = p"
    gradients = {
        "input": "dx[p] = g[p] * product of s[i] over all i with index[i] = p",
        "src": "ds[i] = g[p] x[p] * product of the other s[k] with index[k] = p = index[i]",
    }
    edges = "right gradients where factors are 0"
    cost = "1 per value"
    dtypes = "bool, integer, floating"
    inputs = ("input", "index", "src")

    @staticmethod
    def infer(input: Spec, index: Spec, src: Spec, dim: int, include_self: bool) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
        return _combined(xp, xp.multiply, 1, input, index, src, dim, include_self)

    @staticmethod
    def vjp_input(g: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
        size = math.prod(input.shape)
        every = _of_factors(g, input, index, src, dim, include_self)
        return reshape(narrow(every, 0, 0, size), input.shape)

    @staticmethod
    def vjp_src(g: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
        size = math.prod(input.shape)
        every = _of_factors(g, input, index, src, dim, include_self)
        return reshape(narrow(every, 0, size, math.prod(src.shape)), src.shape)

    @staticmethod
    def flops(input: Spec, index: Spec, src: Spec, dim: int, include_self: bool) -> int:
        return src.size


class FactorOrder(Op):
    """The elements of the input and behind them those of ``src``, sorted by the position where they
    meet: their places, the positions, whether they count, and for the distances 1, 2, 4 ... who
    stands that far before, and behind, in the same run.
    """

    name = "factor_order"
    equation = "y = the places of all factors, sorted by p"
    edges = "none"
    inputs = ("index",)
    outputs = ("order", "positions", "counts", "before", "behind")
    shaped = False

    @staticmethod
    def infer(index: Spec, shape: Shape, dim: int, include_self: bool) -> tuple[Spec, ...]:
        size = math.prod(shape) + index.size
        line, rounds = (size,), (_rounds(index, dim), size)
        return (
            *(Spec(line, int64), Spec(line, int64), Spec(line, bool_)),
            *(Spec(rounds, bool_), Spec(rounds, bool_)),
        )

    @staticmethod
    def forward(xp: Any, index: Any, shape: Shape, dim: int, include_self: bool) -> Any:
        size = math.prod(shape)
        flat = flat_places(xp, index, shape, dim).reshape(-1)
        runs = xp.concatenate([xp.arange(size), flat])
        alone = xp.zeros(runs.size, bool)
        if not include_self:
            alone[flat] = True
        runs = xp.where(alone, -1 - runs, runs)  # a run of its own, which is not passed on
        order = xp.argsort(runs, kind="stable")
        ordered = runs[order]
        rounds = _rounds(index, dim)
        before = xp.zeros((rounds, runs.size), bool)
        behind = xp.zeros(before.shape, bool)
        for k in range(rounds):
            alike = ordered[2**k :] == ordered[: -(2**k)]
            before[k, 2**k :] = alike
            behind[k, : -(2**k)] = alike
        return order, xp.where(ordered < 0, -1 - ordered, ordered), ordered >= 0, before, behind


def _rounds(index: Any, dim: int) -> int:
    """Doublings until a run is as long: along ``dim`` stands all that can meet, and the input."""
    return max(int(index.shape[dim]).bit_length(), 1)


def _ties(
    input: Any, index: Any, src: Any, output: Any, dim: int, include_self: bool
) -> tuple[Any, Any]:
    """Where the input, and where ``src``, equals the extremum of its position."""
    own = input == output
    if not include_self:
        own = own & logical_not(_met(index, input.shape, dim))
    return own, src == Gather.call(output, index, dim, False)


def _met(index: Any, shape: Shape, dim: int) -> Any:
    """True at the positions that something goes to."""
    return GatherGrad.call(zero_map(index) + 1, index, shape, dim, False) > 0


def _count(own: Any, others: Any, index: Any, dtype: Any, dim: int) -> Any:
    """How many share an extremum; 1 where it is NaN, which equals nothing."""
    found = GatherGrad.call(cast(others, dtype), index, own.shape, dim, False) + own
    return where(found == 0, 1.0, found)


def _of_factors(g: Any, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
    """The gradients of the elements of the input, and behind them those of ``src``."""
    every = cat([reshape(input, (-1,)), reshape(src, (-1,))], 0)
    order, positions, counts, before, behind = FactorOrder.call(
        index, input.shape, dim, include_self
    )
    factors = Gather.call(every, order, 0, False)
    others = _product(factors, before, False) * _product(factors, behind, True)
    passed = masked(Gather.call(reshape(g, (-1,)), positions, 0, False) * others, counts)
    return GatherGrad.call(passed, order, every.shape, 0, False)


def _product(factors: Any, alike: Any, reverse: bool) -> Any:
    """The product of those that stand before (``reverse``: behind) each factor in its run, by
    doubling."""
    found = factors
    for k in range(alike.shape[0]):
        found = found * where(select(alike, 0, k), shifted(found, 0, 2**k, reverse, 1), 1.0)
    return where(select(alike, 0, 0), shifted(found, 0, 1, reverse, 1), 1.0)


def _limits(dtype: Any) -> tuple[Any, Any]:
    if dtype.kind == "b":
        return False, True
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _combined(
    xp: Any,
    combine: Any,
    neutral: Any,
    input: Any,
    index: Any,
    src: Any,
    dim: int,
    include_self: bool,
) -> Any:
    out = xp.array(input, order="C")
    flat, line = flat_places(xp, index, input.shape, dim).reshape(-1), out.reshape(-1)
    if not include_self:
        line[flat] = neutral
    values = xp.ascontiguousarray(src).reshape(-1)
    if xp is np:
        combine.at(line, flat, values)
        return out
    if not flat.size:
        return out
    # CuPy has no product of this kind: sorted by position, the runs are combined by doubling.
    order = xp.argsort(flat, kind="stable")
    flat, values, step = flat[order], values[order], 1
    while step < flat.size:
        joined = combine(values[step:], values[:-step])
        same = flat[step:] == flat[:-step]
        values = xp.concatenate([values[:step], xp.where(same, joined, values[step:])])
        step *= 2
    last = xp.searchsorted(flat, flat, side="right") - 1  # every place of a run writes the same
    line[flat] = combine(line[flat], values[last])
    return out
