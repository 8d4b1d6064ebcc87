"""Reading images between their pixels, with gradients of the image and of the points.

What a point reads is a sum over the pixels around it: which pixels these are is constant
(``SampleCells``), they are read and written back by two operators that are each other's adjoint
(``TakePixels``, ``PutPixels``), and their weights are polynomials of the point's place in its cell.
The rules are made of these three, so that derivatives of every order are right.

M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, Spatial Transformer Networks, 2015.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cells import cells, taps_of
from tinygrad_cv.backend.dots import dots
from tinygrad_cv.backend.layout import contiguous_pixels, pixels
from tinygrad_cv.backend.scatter import sum_rows, tap_matrix
from tinygrad_cv.backend.select import keep
from tinygrad_cv.backend.spec import CHANNELS_LAST, Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._spatial import Sizes, channels_last, no_pixels
from tinygrad_cv.ops.join import stack
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.select import masked
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "PutPixels",
    "Sample",
    "SampleCells",
    "TakePixels",
    "input_gradient",
    "points_gradient",
    "sample",
]


class TakePixels(Op):
    """The pixels of images [N, C, spatial...] at flat places [N, M]; 0 where the place is -1."""

    name = "take_pixels"
    equation = "y[n,c,m] = x[n, c, index[n,m]], 0 where index = -1"
    gradients = {"input": "dx[n,c,i] = sum_{m: index[n,m] = i} g[n,c,m]"}
    edges = "0 at index -1, which is outside"
    inputs = ("input", "index")

    @staticmethod
    def infer(input: Spec, index: Spec) -> Spec:
        _check("take_pixels", input, "index", index, index.ndim == 2)
        shape = (*input.shape[:2], index.shape[1])
        return Spec(shape, input.dtype, channels_last(shape))

    @staticmethod
    def forward(xp: Any, input: Any, index: Any) -> Any:
        spec = TakePixels.infer(input, index)
        output = memory.empty(*spec[:2], CHANNELS_LAST, xp)
        rows = pixels(output)
        for n in range(spec.shape[0]):
            rows[n] = _taken(xp, _rows(xp, input, n), index[n])
        return output

    @staticmethod
    def vjp_input(g: Any, index: Any, input_shape: Any) -> Any:
        return put_pixels(g, index, input_shape)


class PutPixels(Op):
    """Adjoint of ``TakePixels``: zeros, with every value added at its place, none at -1."""

    name = "put_pixels"
    equation = "y[n,c,i] = sum_{m: index[n,m] = i} g[n,c,m]"
    gradients = {"grad": "dg[n,c,m] = G[n, c, index[n,m]], 0 where index = -1"}
    edges = "what comes to one pixel is added; index -1 goes nowhere"
    cost = "1 per element of g"
    inputs = ("grad", "index")

    @staticmethod
    def infer(grad: Spec, index: Spec, shape: Sizes) -> Spec:
        fitting = grad.shape == (*shape[:2], index.shape[1])
        _check("put_pixels", Spec(shape, grad.dtype), "index", index, fitting)
        return Spec(tuple(shape), grad.dtype, channels_last(shape))

    @staticmethod
    def forward(xp: Any, grad: Any, index: Any, shape: Sizes) -> Any:
        output = memory.empty(shape, grad.dtype, CHANNELS_LAST, xp)
        count = math.prod(shape[2:])
        for n in range(shape[0]):
            flat = xp.where(index[n] < 0, count, index[n])
            table = sum_rows(xp, flat, grad[n].transpose(), count + 1)[:count]
            pixels(output)[n] = table.reshape(*shape[2:], shape[1])
        return output

    @staticmethod
    def vjp_grad(g: Any, index: Any) -> Any:
        return take_pixels(g, index)

    @staticmethod
    def flops(grad: Spec, *attributes: Any) -> int:
        return grad.size


class SampleCells(Op):
    """Which pixels points read, and the affine map from a point to its place in the cell; all
    constant between kinks, so without a gradient."""

    name = "sample_cells"
    equation = "t = slope * point + origin in [0, 1); index = the flat places of the pixels around"
    edges = "at whole positions the cell to the right"
    inputs = ("points",)
    outputs = ("index", "slope", "origin")

    @staticmethod
    def infer(points: Spec, sizes: Sizes, mode: str, *attributes: Any) -> tuple[Spec, ...]:
        n, m, count = points.shape
        _check(
            "sample_cells",
            Spec((n, 0, *sizes), points.dtype),
            "points",
            points,
            count == len(sizes),
        )
        index = Spec((taps_of(mode) ** len(sizes), n, m), np.dtype("int64"))
        constants = Spec(points.shape, points.dtype)
        return index, constants, constants

    @staticmethod
    def forward(
        xp: Any,
        points: Any,
        sizes: Sizes,
        mode: str,
        padding_mode: str,
        align_corners: bool,
        normalized: bool,
    ) -> tuple[Any, ...]:
        return cells(xp, points, sizes, mode, padding_mode, align_corners, normalized)


class Sample(Op):
    """Images [N, C, spatial...] read at points [N, ..., n], whose coordinate 0 is along the last
    axis. ``normalized`` points run from -1 to 1, others count pixels."""

    name = "sample"
    equation = "y[n,c,m] = sum_i w[i, points[n,m]] * x[n,c,i]"
    gradients = {
        "input": "dx[n,c,i] = sum_m w[i, points[n,m]] * g[n,c,m]",
        "points": "dpoints[n,m] = sum_{c,i} g[n,c,m] * x[n,c,i] * dw[i, points[n,m]]/dpoint",
    }
    edges = "points outside by the padding mode; NaN points give NaN"
    cost = "2 per pixel that a point reads and channel: 4 or 8, bicubic 16"
    inputs = ("input", "points")

    @staticmethod
    def public_name(*attributes: Any) -> str:
        return "grid_sample"

    @staticmethod
    def infer(input: Spec, points: Spec, *attributes: Any) -> Spec:
        _check("sample", input, "points", points, points.shape[-1] == input.ndim - 2)
        shape = (*input.shape[:2], *points.shape[1:-1])
        return Spec(shape, input.dtype, channels_last(shape))

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        points: Any,
        mode: str,
        padding_mode: str,
        align_corners: bool,
        normalized: bool,
    ) -> Any:
        shape = Sample.infer(input, points).shape
        output = memory.empty(shape, input.dtype, CHANNELS_LAST, xp)
        listed = points.reshape(len(points), math.prod(points.shape[1:-1]), points.shape[-1])
        how = (mode, padding_mode, align_corners, normalized)
        for n in range(len(points)):  # image by image, which bounds the memory
            rows, one = _rows(xp, input, n), listed[n : n + 1]
            if xp is np and mode != "nearest":
                matrix = _taps(one, input.shape[2:], how)[0]
                pixels(output)[n] = (matrix @ _with_outside(rows)).reshape(*shape[2:], shape[1])
                continue
            index, slope, origin = cells(xp, one, input.shape[2:], *how)
            lines = _lines(one, slope, origin, mode)[0]
            total: Any = None
            for tap in range(len(index)):
                part = _taken(xp, rows, index[tap, 0])
                if mode != "nearest":
                    part = part * _weight(lines, tap)[0][:, None]
                total = part if total is None else total + part
            pixels(output)[n] = total.reshape(*shape[2:], shape[1])
        return output

    @staticmethod
    def vjp_input(
        g: Any,
        points: Any,
        input_shape: Any,
        mode: Any,
        padding_mode: Any,
        align_corners: Any,
        normalized: Any,
    ) -> Any:
        return input_gradient(g, points, input_shape, mode, padding_mode, align_corners, normalized)

    @staticmethod
    def vjp_points(
        g: Any,
        input: Any,
        points: Any,
        mode: Any,
        padding_mode: Any,
        align_corners: Any,
        normalized: Any,
    ) -> Any:
        return points_gradient(g, input, points, mode, padding_mode, align_corners, normalized)

    @staticmethod
    def fused_vjp(
        xp: Any,
        g: Any,
        needs: Any,
        input: Any,
        points: Any,
        mode: str,
        padding_mode: str,
        align_corners: bool,
        normalized: bool,
    ) -> tuple[Any, ...]:
        how = (mode, padding_mode, align_corners, normalized)
        d_input = memory.empty(input.shape, input.dtype, CHANNELS_LAST, xp) if needs[0] else None
        d_points = memory.empty(points.shape, points.dtype, xp=xp) if needs[1] else None
        for n in range(len(points)):
            x, p, one = input[n : n + 1], points[n : n + 1], g[n : n + 1]
            if xp is np and mode != "nearest":
                dx, dp = _gradients_of_one(x, p, one, needs, how)
                if d_input is not None:
                    pixels(d_input)[n] = dx
                if d_points is not None:
                    d_points[n] = dp
                continue
            if d_input is not None:
                d_input[n : n + 1] = input_gradient(one, p, x.shape, *how)
            if d_points is not None:
                d_points[n : n + 1] = points_gradient(one, x, p, *how)
        return d_input, d_points

    @staticmethod
    def flops(input: Spec, points: Spec, mode: str, *attributes: Any) -> int:
        taps = taps_of(mode) ** (input.ndim - 2)
        return 2 * taps * Sample.infer(input, points).size


take_pixels = TakePixels.call
put_pixels = PutPixels.call
sample_cells = SampleCells.call
sample = Sample.call


# ---- expressions of differentiable operators, for the rules


def input_gradient(
    g: Any,
    points: Any,
    input_shape: Any,
    mode: Any,
    padding_mode: Any,
    align_corners: Any,
    normalized: Any,
) -> Any:
    """Every value of ``g`` put back onto the pixels that it was read from."""
    n, c, count = input_shape[0], input_shape[1], len(input_shape) - 2
    m = math.prod(points.shape[1:-1])
    listed = reshape(points, (n, m, count))
    index, slope, origin = sample_cells(
        listed, input_shape[2:], mode, padding_mode, align_corners, normalized
    )
    values = reshape(g, (n, c, m))
    if mode == "nearest":
        return put_pixels(values, index[0], input_shape)
    lines = _lines(listed, slope, origin, mode)[0]
    parts = [
        put_pixels(values * reshape(_weight(lines, tap), (n, 1, m)), index[tap], input_shape)
        for tap in range(index.shape[0])
    ]
    return sum(parts[1:], parts[0])


def points_gradient(
    g: Any,
    input: Any,
    points: Any,
    mode: Any,
    padding_mode: Any,
    align_corners: Any,
    normalized: Any,
) -> Any:
    """How the sum of g * y changes when the points move."""
    if mode == "nearest":
        return zero_map(points)
    n, c, count = input.shape[0], input.shape[1], input.ndim - 2
    m = math.prod(points.shape[1:-1])
    listed = reshape(points, (n, m, count))
    index, slope, origin = sample_cells(
        listed, input.shape[2:], mode, padding_mode, align_corners, normalized
    )
    values = reshape(g, (n, c, m))
    lines, derivatives = _lines(listed, slope, origin, mode)
    products = [
        sum_over(values * take_pixels(input, index[tap]), dim=1) for tap in range(index.shape[0])
    ]
    moved = [
        sum(
            [
                products[tap] * _weight([*lines[:a], derivatives[a], *lines[a + 1 :]], tap)
                for tap in range(index.shape[0])
            ]
        )
        * slope[:, :, count - 1 - a]
        for a in reversed(range(count))
    ]
    return reshape(stack(moved, -1), points.shape)


def _lines(points: Any, slope: Any, origin: Any, mode: Any) -> Any:
    """Per spatial axis the weights of its taps, and the same for their derivatives."""
    if mode == "nearest":
        return [], []
    # An infinite point that is clipped has slope 0, and 0 times infinity must not matter.
    place = masked(slope * points, slope != 0) + origin
    count = points.shape[2]
    each = [_polynomials(place[:, :, count - 1 - a], mode) for a in range(count)]
    return [weights for weights, _ in each], [derivatives for _, derivatives in each]


def _polynomials(t: Any, mode: Any) -> Any:
    """The weights of the taps of an axis at place t of the cell, and their derivatives."""
    if mode == "bilinear":
        return (1 - t, t), (-1.0, 1.0)
    s = 1 - t
    return (
        (_far(t + 1), _near(t), _near(s), _far(s + 1)),
        (_far_slope(t + 1), _near_slope(t), -_near_slope(s), -_far_slope(s + 1)),
    )


# Cubic convolution with a = -0.75 at a distance below 1 and from 1 to 2.


def _near(x: Any) -> Any:
    return (1.25 * x - 2.25) * x * x + 1


def _far(x: Any) -> Any:
    return ((-0.75 * x + 3.75) * x - 6) * x + 3


def _near_slope(x: Any) -> Any:
    return (3.75 * x - 4.5) * x


def _far_slope(x: Any) -> Any:
    return (-2.25 * x + 7.5) * x - 6


def _weight(lines: Any, tap: Any) -> Any:
    """The product over the axes for a tap, counted in row-major order."""
    taps, rest = len(lines[0]), tap
    weight = lines[-1][rest % taps]
    for line in reversed(lines[:-1]):
        rest = rest // taps
        weight = line[rest % taps] * weight
    return weight


# ---- raw arrays


def _check(op: str, input: Any, name: str, where: Any, fitting: bool) -> None:
    """Raise if an image has no pixels, or what says where to read is not for it."""
    values = [("input", input.shape), (name, where.shape)]
    if not fitting or where.shape[0] != input.shape[0]:
        raise ShapeError(op, f"{name} and input do not fit", values=values)
    if 0 in input.shape[2:]:
        raise no_pixels(op, input.ndim - 2, input.shape, values)


def _taps(points: Any, sizes: Sizes, how: Any) -> tuple[Any, ...]:
    """How one image is read at points [1, M, n]: the matrix [M, S + 1] of the weights, where the
    last pixel stands for all outside; its places [M, taps], and what the weights are made of."""
    index, slope, origin = cells(np, points, sizes, *how)
    lines, derivatives = _lines(points, slope, origin, how[0])
    weights = np.stack([_weight(lines, tap)[0] for tap in range(len(index))], axis=1)
    flat, count = np.ascontiguousarray(index[:, 0].T), math.prod(sizes)
    flat[flat < 0] = count
    return tap_matrix(flat, weights, count + 1), flat, slope, lines, derivatives


def _with_outside(rows: Any) -> Any:
    """Rows [S, C], and a last one of zeros."""
    wide = np.empty((len(rows) + 1, rows.shape[1]), rows.dtype)
    wide[:-1], wide[-1] = rows, 0
    return wide


def _gradients_of_one(input: Any, points: Any, g: Any, needs: Any, how: Any) -> tuple[Any, Any]:
    """The gradients of one image, as [spatial..., C], and of its points: those of
    :func:`input_gradient` and :func:`points_gradient`."""
    count, sizes = points.shape[-1], input.shape[2:]
    listed = points.reshape(1, math.prod(points.shape[1:-1]), count)
    matrix, flat, slope, lines, derivatives = _taps(listed, sizes, how)
    values = contiguous_pixels(np, g).reshape(listed.shape[1], g.shape[1])
    d_input = d_points = None
    if needs[0]:
        d_input = (matrix.T @ values)[:-1].reshape(*sizes, input.shape[1])
    if needs[1]:
        rows, moved = _with_outside(_rows(np, input, 0)), np.zeros(listed.shape, points.dtype)
        for tap in range(flat.shape[1]):
            product = dots(np, values, rows.take(flat[:, tap], axis=0))
            for a in range(count):
                weight = _weight([*lines[:a], derivatives[a], *lines[a + 1 :]], tap)
                moved[0, :, count - 1 - a] += product * np.reshape(weight, -1)
        moved *= slope
        d_points = moved.reshape(points.shape[1:])
    return d_input, d_points


def _rows(xp: Any, input: Any, n: int) -> Any:
    """The pixels of one image as rows [S, C]."""
    one = contiguous_pixels(xp, input[n : n + 1])
    return one.reshape(math.prod(input.shape[2:]), input.shape[1])


def _taken(xp: Any, rows: Any, index: Any) -> Any:
    """Rows at an index, 0 where it is -1."""
    return keep(xp, xp.take(rows, xp.maximum(index, 0), axis=0), (index >= 0)[:, None])
