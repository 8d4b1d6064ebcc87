"""The median filter of images: of every window the value in the middle.

``RankFilter`` gives the value of one rank in every window and remembers which tap it came from;
``RankPairFilter`` gives two neighbouring ranks, for windows with an even number of taps. With the
taps fixed the filter is linear: it gathers one pixel for each window, as max pooling does with its
winners, so the operators of max pooling are its derivatives at every order.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.median import window_ranks
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._pooling import refuse_empty
from tinygrad_cv.ops._spatial import (
    Pairs,
    Sizes,
    does_not_fit,
    output_size,
    pairs,
    per_axis,
)
from tinygrad_cv.ops.pad import pad_axes
from tinygrad_cv.ops.pool import max_pool_scatter, pool_specs
from tinygrad_cv.ops.shape import reshape

__all__ = ["RankFilter", "RankPairFilter", "check_options", "median_args", "median_filter"]

NN_FUNCTIONS = ("median_filter",)

NONE: Pairs = ((0, 0), (0, 0))
NEAR = (1, 1)

# The names of convolution layers, and those of `pad`.
MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "replicate",
    "circular": "circular",
}
EVEN = ("mean", "lower", "upper")


def median_filter(
    input: Any,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    padding_mode: str = "zeros",
    even: str = "mean",
) -> Any:
    """The median of every window, channel by channel.

    ``y[n,c,p,q] = median over (i,j) of x[n, c, p*stride + i - padding, q*stride + j - padding]``

    Args:
        input: [N, C, H, W], [C, H, W] or [H, W]; float, or integer where the result is one.
        kernel_size: an int, or (KH, KW); odd or even.
        stride: an int, or one per axis.
        padding: an int, one per axis, ((top, bottom), (left, right)), "valid" for none, or "same"
            for ceil(H / stride) rows; an odd pixel of padding goes behind, as in :func:`conv2d`.
        padding_mode: what stands in the border: "zeros", or what :func:`pad` fills in for
            "reflect" (SciPy's "mirror"), "symmetric" (SciPy's "reflect"), "replicate" (SciPy's
            "nearest") or "circular" (SciPy's "wrap").
        even: for windows with an even number of taps, the "mean" of the two values in the middle,
            the "lower" of them, or the "upper" (SciPy's choice).

    Returns:
        [N, C, P, Q] with ``P = floor((H + top + bottom - KH) / stride) + 1``; without N and C if
        the input has none. The dtype and memory layout stay.

    The gradient goes to the pixel in the middle, to the first in row-major order among equal ones;
    for "mean" one half to each of the two. A window with a NaN gives NaN, and the first NaN gets
    the gradient.

    SciPy's ``median_filter(x, (KH, KW), mode=...)`` is the same with stride 1 and the padding
    ((KH // 2, (KH - 1) // 2), (KW // 2, (KW - 1) // 2)).

    Raises:
        ShapeError: another number of axes, no pixels, a window larger than the padded input, or a
            border wider than the mode can fill.
        ArgumentError: sizes below 1, an unknown padding, padding_mode or even.
        DTypeError: a bool input; an integer input where two values are averaged.

    Source: the lecture's median filter; J. W. Tukey, Exploratory Data Analysis, 1977.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1.0, 2.0, 9.0], [4.0, 5.0, 6.0], [7.0, 8.0, 3.0]])
    >>> tg.nn.functional.median_filter(x, 3).tolist()
    [[5.0]]
    >>> tg.nn.functional.median_filter(x, (1, 2), even="upper").tolist()
    [[2.0, 9.0], [5.0, 6.0], [8.0, 8.0]]
    """
    op = "median_filter"
    _check_input(op, input)
    kernel, step, border = median_args(op, input.shape, kernel_size, stride, padding)
    taps = math.prod(kernel)
    check_options(op, padding_mode, even)
    if even == "mean" and taps % 2 == 0 and input.dtype.kind != "f":
        raise DTypeError(
            op,
            f"the mean of two {input.dtype.name} values need not be one",
            values=[("input", input.shape), ("kernel_size", kernel)],
            repair='Convert with .float(), or use even="lower" or even="upper".',
            repairs=[{"even": "lower"}, {"even": "upper"}],
        )
    _check_border(op, input, border, padding_mode)
    _positions(op, input, kernel, step, border)  # while the error can still show the user's shape
    shape = input.shape
    image = reshape(input, (1,) * (4 - len(shape)) + tuple(shape)) if len(shape) < 4 else input
    if border != NONE:
        image = pad_axes(image, ((0, 0), (0, 0), *border), MODES[padding_mode])
    middle = taps // 2
    if taps % 2 or even == "upper":
        result = _rank_filter(image, kernel, step, middle)
    elif even == "lower":
        result = _rank_filter(image, kernel, step, middle - 1)
    else:
        lower, upper = _rank_pair_filter(image, kernel, step, middle - 1)
        result = lower * 0.5 + upper * 0.5  # halved first: the sum cannot overflow
    return reshape(result, result.shape[4 - len(shape) :]) if len(shape) < 4 else result


class RankFilter(Op):
    """The value of one rank in every window; ``tap`` is the place in the window it came from."""

    name = "rank_filter"
    equation = "y[n,c,p] = the value of rank r (0 is the smallest) of x[n, c, p*stride + k] over k"
    gradients = {"input": "dx[n,c,i] = sum_{p: y[n,c,p] came from i} g[n,c,p]"}
    edges = "of equal values the first counts; NaN in a window gives NaN, and the first NaN counts"
    cost = "N*C*P*Q * KH*KW"
    dtypes = "integer, floating"
    residuals = ("tap",)

    @staticmethod
    def infer(input: Spec, kernel_size: Sizes, stride: Sizes, rank: int) -> tuple[Spec, ...]:
        return _specs("rank_filter", input, kernel_size, stride)

    @staticmethod
    def forward(
        xp: Any, input: Any, kernel_size: Sizes, stride: Sizes, rank: int
    ) -> tuple[Any, ...]:
        specs = RankFilter.infer(input, kernel_size, stride, rank)
        return window_ranks(xp, input, kernel_size, stride, (rank,), *specs)[0]

    @staticmethod
    def vjp_input(g: Any, tap: Any, input_shape: Any, kernel_size: Any, stride: Any) -> Any:
        return max_pool_scatter(g, tap, input_shape, kernel_size, stride, NONE, NEAR)

    @staticmethod
    def flops(input: Spec, kernel_size: Sizes, stride: Sizes, rank: int) -> int:
        return RankFilter.infer(input, kernel_size, stride, rank)[0].size * math.prod(kernel_size)


class RankPairFilter(Op):
    """The values of two neighbouring ranks, ``rank`` and the next, and their places."""

    name = "rank_pair_filter"
    equation = "lower, upper = the values of ranks r and r + 1 of x[n, c, p*stride + k] over k"
    gradients = {"input": "dx[n,c,i] = sum_{p: lower[n,c,p] came from i} g[n,c,p], same for upper"}
    edges = "of equal values the first counts; NaN in a window gives NaN, and the first NaN counts"
    cost = "N*C*P*Q * KH*KW"
    outputs = ("lower", "upper")
    residuals = ("lower_tap", "upper_tap")

    @staticmethod
    def infer(input: Spec, kernel_size: Sizes, stride: Sizes, rank: int) -> tuple[Spec, ...]:
        value, tap = _specs("rank_pair_filter", input, kernel_size, stride)
        return value, value, tap, tap

    @staticmethod
    def forward(
        xp: Any, input: Any, kernel_size: Sizes, stride: Sizes, rank: int
    ) -> tuple[Any, ...]:
        specs = RankFilter.infer(input, kernel_size, stride, rank)
        ranks = (rank, rank + 1)
        (lower, low), (upper, high) = window_ranks(xp, input, kernel_size, stride, ranks, *specs)
        return lower, upper, low, high

    @staticmethod
    def vjp_input(
        g: Any, lower_tap: Any, upper_tap: Any, input_shape: Any, kernel_size: Any, stride: Any
    ) -> Any:
        lower, upper = g
        geometry = (input_shape, kernel_size, stride, NONE, NEAR)
        return max_pool_scatter(lower, lower_tap, *geometry) + max_pool_scatter(
            upper, upper_tap, *geometry
        )

    @staticmethod
    def flops(input: Spec, kernel_size: Sizes, stride: Sizes, rank: int) -> int:
        return RankFilter.flops(input, kernel_size, stride, rank)


_rank_filter = RankFilter.call
_rank_pair_filter = RankPairFilter.call


def median_args(
    op: str, shape: Sizes | None, kernel_size: Any, stride: Any, padding: Any
) -> tuple[Sizes, Sizes, Pairs]:
    """(kernel_size, stride, padding) per axis; without a shape, "same" counts as no padding."""
    kernel = per_axis(op, "kernel_size", kernel_size, 2)
    step = per_axis(op, "stride", stride, 2)
    if padding == "same" and shape is not None:
        totals = [
            max((-(-size // s) - 1) * s + k - size, 0)
            for size, k, s in zip(shape[-2:], kernel, step, strict=True)
        ]
        return kernel, step, tuple((total // 2, total - total // 2) for total in totals)
    if padding in ("same", "valid"):
        return kernel, step, NONE
    if isinstance(padding, str):
        raise ArgumentError(
            op,
            f"unknown padding {padding!r}",
            repair="Use 'same', 'valid' or numbers.",
            repairs=[{"padding": "same"}],
        )
    return kernel, step, pairs(op, padding, 2)


def _specs(op: str, input: Spec, kernel: Sizes, stride: Sizes) -> tuple[Spec, Spec]:
    """Values and taps of one rank."""
    return pool_specs(input, _positions(op, input, kernel, stride), math.prod(kernel))


def _positions(op: str, input: Spec, kernel: Sizes, stride: Sizes, padding: Pairs = NONE) -> Sizes:
    """The number of windows along both axes, or the error of a window that does not fit."""
    shape = tuple(input.shape)
    refuse_empty(op, 2, input, kernel)
    axes = zip(shape[-2:], kernel, stride, padding, NEAR, strict=True)
    out = tuple(output_size(*axis) for axis in axes)
    if min(out) < 1:
        rows = [("input", shape, _letters(shape)), ("kernel_size", kernel, "[KH, KW]")]
        raise does_not_fit(op, shape, kernel, stride, padding, NEAR, rows)
    return out


def _letters(shape: Sizes) -> str:
    return ("[H, W]", "[C, H, W]", "[N, C, H, W]")[len(shape) - 2]


def _check_input(op: str, input: Any) -> None:
    if not 2 <= len(input.shape) <= 4:
        raise ShapeError(
            op,
            f"the input needs 4 axes [N, C, H, W], or 3 or 2 without N and C, "
            f"it has {len(input.shape)}",
            values=[("input", input.shape)],
        )
    if input.dtype.kind == "b":
        raise DTypeError(
            op,
            "bool has no median",
            values=[("input", "bool")],
            repair='Convert with .to("uint8") or .float().',
        )


def check_options(op: str, padding_mode: Any, even: Any) -> None:
    """Raise for an unknown ``padding_mode`` or ``even``."""
    for name, value, known in (("padding_mode", padding_mode, MODES), ("even", even, EVEN)):
        if not isinstance(value, str) or value not in known:
            raise ArgumentError(
                op,
                f"unknown {name} {value!r}",
                repair=f"Use one of {', '.join(known)}.",
                repairs=[{name: choice} for choice in known],
            )


def _check_border(op: str, input: Any, border: Pairs, mode: str) -> None:
    """Raise if a mode cannot fill the border."""
    shape, sizes = tuple(input.shape), input.shape[-2:]
    less = {"reflect": 1, "symmetric": 0, "circular": 0}.get(mode)
    for axis, size, pair in zip("HW", sizes, border, strict=True):
        if less is not None and max(pair) > size - less:
            raise ShapeError(
                op,
                f"padding_mode {mode!r} cannot fill a border of {max(pair)} from {size} pixels",
                law=[
                    f"padding <= {axis}{' - 1' * less}",
                    f"{max(pair)} <= {size - less} is false",
                ],
                values=[("input", shape, _letters(shape)), ("padding", border)],
                repair=f"Pad at most {size - less} along {axis}, or use padding_mode='replicate'.",
                repairs=[{"padding_mode": "replicate"}],
            )
