"""Batch normalisation of rows [R, C]: statistics per channel, and maps with numbers of the channel.

Each thread sums its rows in blocks: floats inside a block, float64 across blocks, so that the error
does not grow with the number of rows. Both directions pass over the rows twice, first for the sums
and then for the result. The second pass goes from the last block to the first: what the first one
read last is still in the cache. Rows are short and many, so both passes take a few at once: numbers
of the channel, and their sums, are loaded once for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import WORD, Emitter, for_each_vector, word
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["affine", "batch_norm", "batch_norm_gradient", "gradient_map", "gradient_sums"]
__all__ += ["map_rows", "mean_of_few", "row_sums"]

BLOCK = 64  # rows whose sum is kept in float32
MAPPED = 1 << 16  # numbers that are mapped at once
TOGETHER = 4  # rows that are worked on together, a power of 2
FEW = 16  # rows whose mean the sums are centred by

_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1, _W1 = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"
_SUMS = "float64[:, :, ::1]"


@compiled(f"void({_R2}, {_R1}, {_R1}, float64, {_SUMS}, {_W2}, {_W1}, {_W1}, {_W2})", parallel=True)
def batch_norm(x, weight, bias, eps, parts, numbers, mean, var, y, task):
    """Mean, biased variance and y of x. A weight or bias of size 0 counts as 1 or 0; ``parts`` is
    [threads, 2, C] and ``numbers`` [3, C]."""
    rows, c = x.shape
    workers, together = parts.shape[0], MAPPED // max(c, 1) + 1
    centre, scale, offset = numbers
    if task < 0:
        mean_of_few(x, centre)
    for worker in shared(0, workers, task):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        row_sums(x[first:end], centre, parts[worker])
    if task < 0:
        _add_up(parts)
        for k in range(c):
            shift, square = parts[0, 0, k] / rows, parts[0, 1, k] / rows
            mean[k] = centre[k] + shift
            spread = square - shift * shift
            var[k] = 0 if spread < 0 else spread
            scale[k] = 1 / np.sqrt(np.float64(var[k]) + eps) * (weight[k] if weight.size else 1)
            offset[k] = bias[k] if bias.size else 0
    for worker in shared(1, workers, task):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        for stop in range(end, first, -together):
            start = max(stop - together, first)
            map_rows(
                y[start:].ctypes.data, x[start:].ctypes.data, mean.ctypes.data, scale.ctypes.data,
                offset.ctypes.data, stop - start, c,
            )  # fmt: skip


@compiled(f"void({_R2}, {_R1}, {_R1}, {_R1}, {_W2}, int64)", parallel=True)
def affine(x, mean, scale, offset, y, workers, task):
    """y = scale * (x - mean) + offset."""
    rows, c = x.shape
    for worker in shared(0, workers, task):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        map_rows(
            y[first:].ctypes.data, x[first:].ctypes.data, mean.ctypes.data, scale.ctypes.data,
            offset.ctypes.data, end - first, c,
        )  # fmt: skip


@compiled(
    f"void({_R2}, {_R2}, {_R1}, {_R1}, {_R1}, {_R1}, {_R1}, float64, {_SUMS}, {_W2}, {_W2}, {_W1}, "
    f"{_W1})",
    parallel=True,
)
def batch_norm_gradient(
    g, x, weight, mean, var, g_mean, g_var, eps, parts, numbers, dx, dw, db, task
):
    """The gradients of x, weight and bias from those of y, mean and var. Without rows of dx only
    the others are computed."""
    rows, c = x.shape
    workers, n, together = parts.shape[0], max(rows, 1), MAPPED // max(c, 1) + 1
    scale, slope, offset = numbers
    for worker in shared(0, workers, task):
        first, end = rows * worker // workers, rows * (worker + 1) // workers
        gradient_sums(g[first:end], x[first:end], mean, parts[worker])
    if task < 0:
        _add_up(parts)
        for k in range(c):
            inverse = 1 / np.sqrt(np.float64(var[k]) + eps)
            factor = inverse * (weight[k] if weight.size else 1)
            g_sum, gx_sum = parts[0, 0, k], parts[0, 1, k]
            steep = (2 * g_var[k] - factor * inverse * inverse * gx_sum) / n
            scale[k], slope[k] = factor, steep
            offset[k] = (g_mean[k] - factor * g_sum) / n
            dw[k], db[k] = gx_sum * inverse, g_sum
    for worker in shared(1, workers, task):
        first, end = dx.shape[0] * worker // workers, dx.shape[0] * (worker + 1) // workers
        for stop in range(end, first, -together):
            start = max(stop - together, first)
            gradient_map(
                dx[start:].ctypes.data, g[start:].ctypes.data, x[start:].ctypes.data,
                mean.ctypes.data, scale.ctypes.data, slope.ctypes.data, offset.ctypes.data,
                stop - start, c,
            )  # fmt: skip


def _for_each_row(
    builder: Any, rows: Any, columns: Any, body: Callable[[Emitter, Any, list[Any]], None]
) -> None:
    """Emit ``body(emitter, offset of a vector of columns, offsets of that vector in some rows)``,
    ``TOGETHER`` rows at once, so that what belongs to the columns is read once for them."""
    step = builder.mul(columns, word(4))

    def several(first: Any, count: int) -> None:
        def vector(e: Emitter, offset: Any) -> None:
            places = [builder.add(builder.mul(first, step), offset)]
            while len(places) < count:
                places.append(builder.add(places[-1], step))
            body(e, offset, places)

        for_each_vector(builder, columns, vector)

    whole = builder.mul(builder.udiv(rows, word(TOGETHER)), word(TOGETHER))
    with cgutils.for_range_slice(builder, word(0), whole, word(TOGETHER), WORD) as (r, _):
        several(r, TOGETHER)
    with cgutils.for_range_slice(builder, whole, rows, word(1), WORD) as (r, _):
        several(r, 1)


@intrinsic
def map_rows(
    typingctx: Any, y: Any, x: Any, mean: Any, scale: Any, offset: Any, rows: Any, columns: Any
) -> Any:
    """y = scale (x - mean) + offset. The mean is taken away first: a constant channel becomes its
    offset exactly."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, x, *numbers, rows, columns = arguments

        def body(e: Emitter, column: Any, places: list[Any]) -> None:
            mean, scale, offset = (e.load(builder.add(n, column)) for n in numbers)
            for place in places:
                value = e.sub(e.load(builder.add(x, place)), mean)
                e.store(e.multiply_add(scale, value, offset), builder.add(y, place))

        _for_each_row(builder, rows, columns, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), emit


@intrinsic
def gradient_map(
    typingctx: Any, dx: Any, g: Any, x: Any, mean: Any, scale: Any, slope: Any, offset: Any,
    rows: Any, columns: Any,
) -> Any:  # fmt: skip
    """dx = scale g + (slope (x - mean) + offset)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        dx, g, x, *numbers, rows, columns = arguments

        def body(e: Emitter, column: Any, places: list[Any]) -> None:
            mean, scale, slope, offset = (e.load(builder.add(n, column)) for n in numbers)
            for place in places:
                value = e.sub(e.load(builder.add(x, place)), mean)
                value = e.multiply_add(slope, value, offset)
                value = e.multiply_add(scale, e.load(builder.add(g, place)), value)
                e.store(value, builder.add(dx, place))

        _for_each_row(builder, rows, columns, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 9), emit


@intrinsic
def _add_moments(
    typingctx: Any, one: Any, two: Any, x: Any, centre: Any, rows: Any, columns: Any
) -> Any:
    """one += sum(x - centre), two += sum((x - centre)^2)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one, two, x, centre, rows, columns = arguments

        def body(e: Emitter, column: Any, places: list[Any]) -> None:
            middle = e.load(builder.add(centre, column))
            values = [e.sub(e.load(builder.add(x, place)), middle) for place in places]
            _add_to(e, builder.add(one, column), values)
            _add_to(e, builder.add(two, column), [e.mul(v, v) for v in values])

        _for_each_row(builder, rows, columns, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), emit


@intrinsic
def _add_gradients(
    typingctx: Any, one: Any, two: Any, g: Any, x: Any, mean: Any, rows: Any, columns: Any
) -> Any:
    """one += sum(g), two += sum(g (x - mean))."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one, two, g, x, mean, rows, columns = arguments

        def body(e: Emitter, column: Any, places: list[Any]) -> None:
            middle = e.load(builder.add(mean, column))
            slopes = [e.load(builder.add(g, place)) for place in places]
            values = [e.sub(e.load(builder.add(x, place)), middle) for place in places]
            _add_to(e, builder.add(one, column), slopes)
            products = [e.mul(a, b) for a, b in zip(slopes, values, strict=True)]
            _add_to(e, builder.add(two, column), products)

        _for_each_row(builder, rows, columns, body)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), emit


def _add_to(e: Emitter, address: Any, values: list[Any]) -> None:
    """Add vectors, which are added in pairs first, to the one at an address."""
    while len(values) > 1:
        values = [*(e.add(a, b) for a, b in zip(values[::2], values[1::2], strict=True))]
    e.store(e.add(e.load(address), values[0]), address)


@njit
def mean_of_few(x, mean):
    """The mean of a few rows: where it is large against the deviation, to take it away first leaves
    little to round."""
    rows, c = x.shape
    mean[:] = 0
    step, few = max(rows // FEW, 1), 0
    for r in range(0, rows, step):
        few += 1
        for k in range(c):
            mean[k] += x[r, k]
    for k in range(c):
        mean[k] /= np.float32(few)


@njit
def row_sums(x, centre, total):
    """total = sum(x - centre), sum((x - centre)^2)."""
    rows, c = x.shape
    total[:] = 0.0
    one, two = np.zeros(c, np.float32), np.zeros(c, np.float32)
    for start in range(0, rows, BLOCK):
        _add_moments(
            one.ctypes.data, two.ctypes.data, x[start:].ctypes.data, centre.ctypes.data,
            min(BLOCK, rows - start), c,
        )  # fmt: skip
        _move(one, two, total)


@njit
def gradient_sums(g, x, mean, total):
    """total = sum(g), sum(g * (x - mean))."""
    rows, c = x.shape
    total[:] = 0.0
    one, two = np.zeros(c, np.float32), np.zeros(c, np.float32)
    for start in range(0, rows, BLOCK):
        _add_gradients(
            one.ctypes.data, two.ctypes.data, g[start:].ctypes.data, x[start:].ctypes.data,
            mean.ctypes.data, min(BLOCK, rows - start), c,
        )  # fmt: skip
        _move(one, two, total)


@njit
def _move(one, two, total):
    """Add two sums to the total, and start them anew."""
    for k in range(one.size):
        total[0, k] += one[k]
        total[1, k] += two[k]
        one[k] = two[k] = np.float32(0)


@njit
def _add_up(parts):
    """The sums of all threads into the first, in order."""
    for worker in range(1, parts.shape[0]):
        for i in range(2):
            for k in range(parts.shape[2]):
                parts[0, i, k] += parts[worker, i, k]
