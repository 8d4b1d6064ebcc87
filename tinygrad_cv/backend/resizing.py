"""Resizing along axes, each a sparse matrix: for every position of the result a few pixels and
their weights.

The same text serves every mode and both directions: the adjoint follows the transposed table. The
positions and weights are computed in the precision of the data, as PyTorch does, so that both
round alike where a position falls between two pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST, Spec, layout_of

__all__ = ["FILTERS", "Axis", "Table", "resize_axes", "table_of"]

BLOCK = 1 << 20  # bytes of input or output that are worked on at a time on a CPU


class Axis(NamedTuple):
    """How one axis is resized.

    ``mode`` is nearest, nearest-exact, linear, cubic, or lanczos; ``scale`` the factor that the
    user gave, which need not be ``out / size``, or None; ``antialias`` widens the filter where the
    axis shrinks. ``single`` finds the nearest pixels in float32 whatever the dtype, as PyTorch does
    for images, but not for one or three axes.
    """

    size: int
    out: int
    mode: str
    align_corners: bool = False
    scale: float | None = None
    antialias: bool = False
    single: bool = False


class Table(NamedTuple):
    """The pixels ``index[starts[p] : starts[p + 1]]`` of target p, and their weights."""

    starts: Any  # int64 [targets + 1]
    index: Any  # int64 [links]
    weights: Any  # float [links]


def _triangle(x: Any) -> Any:
    return np.where(abs(x) < 1, 1 - abs(x), 0)


def _cubic(x: Any, a: float) -> Any:
    """The cubic convolution kernel; R. Keys, Cubic convolution interpolation, 1981."""
    x = abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: Any) -> Any:
    return np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


# With antialias: the filter, and how many pixels wide it is.
FILTERS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "linear": (_triangle, 2),
    "cubic": (lambda x: _cubic(x, -0.5), 4),
    "lanczos": (_lanczos, 6),
}


@lru_cache(maxsize=256)
def table_of(axis: Axis, dtype: str, back: bool = False) -> Table:
    """What an axis reads, in the arithmetic of ``dtype``; ``back`` is the way of the gradient."""
    kind = np.float32 if dtype == "float32" else np.float64
    targets, index, weights = _filtered(axis, kind) if axis.antialias else _taken(axis, kind)
    if back:
        index, targets, weights = _added(targets, index, weights, axis)
    count = axis.size if back else axis.out
    starts = np.searchsorted(targets, np.arange(count + 1)).astype(np.int64)
    table = Table(starts, index.astype(np.int64), weights.astype(kind))
    for array in table:
        array.flags.writeable = False  # they are shared
    return table


def _step(axis: Axis, kind: Any) -> Any:
    """How far the source moves for one position of the result."""
    if axis.align_corners:
        return kind(axis.size - 1) / kind(axis.out - 1) if axis.out > 1 else kind(0)
    return kind(1 / axis.scale) if axis.scale else kind(axis.size) / kind(axis.out)


def _taken(axis: Axis, kind: Any) -> tuple[Any, Any, Any]:
    """(target, pixel, weight) of every link without antialias: one, two or four pixels each."""
    kind = np.float32 if axis.single else kind
    step, places, last = _step(axis, kind), np.arange(axis.out, dtype=kind), axis.size - 1
    half = kind(0.5)
    source = step * places if axis.align_corners else step * (places + half) - half
    if axis.mode.startswith("nearest"):
        exact = axis.mode == "nearest-exact"
        at = np.maximum(source, 0) + half if exact else step * places
        index = np.minimum(np.floor(at.astype(np.float32)).astype(np.int64), last)[:, None]
        weights = np.ones(index.shape, kind)
    elif axis.mode == "linear":
        source = np.maximum(source, 0)
        if axis.size == axis.out:
            source = places
        first = np.minimum(source.astype(np.int64), last)
        t = np.clip(source - first.astype(kind), 0, 1)
        second = first if axis.size == axis.out else np.minimum(first + 1, last)
        index, weights = np.stack([first, second], 1), np.stack([1 - t, t], 1)
    else:
        first = np.minimum(np.floor(source).astype(np.int64), last)
        t = np.clip(source - first.astype(kind), 0, 1)
        index = np.clip(first[:, None] + np.arange(-1, 3), 0, last)
        weights = np.stack([_cubic(t - k, -0.75) for k in range(-1, 3)], 1)
    targets = np.repeat(np.arange(axis.out), index.shape[1])
    return targets, index.reshape(-1), weights.reshape(-1)


def _filtered(axis: Axis, kind: Any) -> tuple[Any, Any, Any]:
    """The same with a filter as wide as the step, whose weights are made to sum up to 1."""
    function, width = FILTERS[axis.mode]
    step, half = _step(axis, kind), kind(0.5)
    support = kind(width / 2) * max(step, kind(1))
    centre = step * (np.arange(axis.out, dtype=kind) + half)
    low = np.maximum((centre - support + half).astype(np.int64), 0)
    high = np.minimum((centre + support + half).astype(np.int64), axis.size)
    counts = np.clip(high - low, 0, math.ceil(support) * 2 + 1)
    targets = np.repeat(np.arange(axis.out), counts)
    index = low[targets] + np.arange(len(targets)) - (np.cumsum(counts) - counts)[targets]
    narrow = kind(1) / step if step >= 1 else kind(1)
    weights = function((index.astype(kind) - centre[targets] + half) * narrow).astype(kind)
    total = np.zeros(axis.out, kind)
    np.add.at(total, targets, weights)
    total[total == 0] = 1
    return targets, index, weights / total[targets]


def _added(targets: Any, index: Any, weights: Any, axis: Axis) -> tuple[Any, Any, Any]:
    """The links (target, pixel, weight) ordered by pixel, those between the same two made one."""
    keys, where = np.unique(index * axis.out + targets, return_inverse=True)
    total = np.zeros(len(keys), weights.dtype)
    np.add.at(total, where.reshape(-1), weights)
    return keys % axis.out, keys // axis.out, total


def resize_axes(xp: Any, input: Any, result: Spec, axes: tuple[Axis, ...], back: bool) -> Any:
    """The spatial axes of [N, C, ...] resized, or ``back`` the adjoint of that."""
    output = memory.empty(*result, xp=xp)
    x, y, first = input, output, 2
    if layout_of(output) == CHANNELS_LAST:
        x, y, first = pixels(input), pixels(output), 1
    # The axis that shrinks most comes first.
    ratios = [a.size / a.out if back else a.out / a.size for a in axes]
    order = sorted(range(len(axes)), key=ratios.__getitem__)
    for block in _blocks(xp, x, y):
        part = x[block]
        for number in order:
            table = table_of(axes[number], str(input.dtype), back)
            part = _along(xp, part, first + number, table)
        y[block] = part
    return output


def _blocks(xp: Any, x: Any, y: Any) -> Iterator[slice]:
    """Blocks of whole images; on a GPU, all at once."""
    count = x.shape[0]
    size = max(x.nbytes, y.nbytes) // max(count, 1)
    step = max(1, BLOCK // max(size, 1)) if xp is np else max(count, 1)
    for low in range(0, count, step):
        yield slice(low, low + step)


def _along(xp: Any, x: Any, axis: int, table: Table) -> Any:
    """``y[p] = sum of weight * x[pixel]`` over the links of p, along one axis: a pass for the first
    link of every target, one for the second, and so on."""
    counts = np.diff(table.starts)
    lead, below = (slice(None),) * axis, (1,) * (x.ndim - axis - 1)
    y: Any = None
    for k in range(max(int(counts.max(initial=0)), 1)):
        rows = np.flatnonzero(counts > k)
        links = table.starts[rows] + k
        part = xp.take(x, xp.asarray(table.index[links]), axis=axis)
        weights = table.weights[links]
        if not (weights == 1).all():
            part = part * xp.asarray(weights.reshape(-1, *below))
        if len(rows) == len(counts):
            y = part if y is None else xp.add(y, part, out=y)
            continue
        if y is None:
            y = xp.zeros((*x.shape[:axis], len(counts), *x.shape[axis + 1 :]), x.dtype)
        y[(*lead, xp.asarray(rows))] += part
    return y
