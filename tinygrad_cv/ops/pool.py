"""Max pooling in one, two and three dimensions.

``MaxPool`` remembers which tap of its window won. With the winners fixed, pooling is linear: it
gathers one pixel per window (``MaxPoolGather``), and its gradient puts one value per window back
(``MaxPoolScatter``). These two are each other's adjoint, so the family is closed under
differentiation. How the passes over memory are ordered is the matter of ``backend/pooling.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.pooling import (
    window_maxima,
    winner_positions,
    winner_scatter,
    winner_values,
)
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.backend.windows import Geometry
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._pooling import layout, pool_args, pool_positions
from tinygrad_cv.ops._spatial import Pairs, Sizes, batched

__all__ = [
    "MaxPool",
    "MaxPoolGather",
    "MaxPoolScatter",
    "MaxPoolWithIndices",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_pool_scatter",
    "pool_specs",
]

NN_FUNCTIONS = (
    *("max_pool1d", "max_pool2d", "max_pool3d"),
    *("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices"),
)


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling of [N, C, L] or [C, L]; see :func:`max_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.max_pool1d(tg.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2, stride=1).tolist()
    [[[3.0, 3.0, 2.0]]]
    """
    return _pooled(1, input, return_indices, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of every window.

    ``y[n,c,p] = max_k x[n, c, p*stride + k*dilation - padding]``, where p and k stand for one
    coordinate per axis.

    Args:
        input: [N, C, H, W] or [C, H, W].
        kernel_size, dilation: an int, or one per axis.
        stride: the same; None is the kernel size.
        padding: an int, one per axis, or a pair (before, after) per axis; at most half of
            ``kernel_size``. What is outside the input never wins.
        ceil_mode: round the output size up: a last window may end beyond the padded input, if it
            starts inside the input or the padding before it.
        return_indices: also return where the winners are.

    Returns:
        [N, C, H_out, W_out], or with ``return_indices`` the pair (values, indices), where indices
        are int64 and flat in the plane [H, W].
        ``H_out = floor((H + 2*padding - dilation*(KH - 1) - 1) / stride) + 1``.

    Ties go to the first pixel of the window in row-major order. A window that holds a NaN gives
    NaN, and its last NaN gets the gradient.

    Raises:
        ShapeError: the kernel does not fit the padded input, or a dilation larger than the input
            leaves a window without any pixel.
        ArgumentError: sizes below 1, or padding of more than half of the kernel.
        DTypeError: a bool input.

    Source: the lecture's max pooling; names and defaults as ``torch.nn.functional.max_pool2d``.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[2.0, 3.0, 3.0, 4.0], [6.0, 7.0, 8.0, 9.0]]])
    >>> tg.nn.functional.max_pool2d(x, 2).tolist()
    [[[7.0, 9.0]]]
    """
    return _pooled(2, input, return_indices, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling of [N, C, D, H, W] or [C, D, H, W]; see :func:`max_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.max_pool3d(tg.ones(1, 8, 16, 28, 28), (1, 2, 2)).shape
    (1, 8, 16, 14, 14)
    """
    return _pooled(3, input, return_indices, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool1d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """:func:`max_pool1d` with the places of the largest values, whatever ``return_indices`` says.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0, 3.0, 2.0, 0.0]]])
    >>> y, where = tg.nn.functional.max_pool1d_with_indices(x, 2)
    >>> y.tolist(), where.tolist()
    ([[[3.0, 2.0]]], [[[1, 2]]])
    """
    return _pooled(1, input, True, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """:func:`max_pool2d` with the places of the largest values, whatever ``return_indices`` says.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[[1.0, 3.0], [2.0, 0.0]]]])
    >>> y, where = tg.nn.functional.max_pool2d_with_indices(x, 2)
    >>> y.tolist(), where.tolist()
    ([[[[3.0]]]], [[[[1]]]])
    """
    return _pooled(2, input, True, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """:func:`max_pool3d` with the places of the largest values, whatever ``return_indices`` says.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[[[1.0, 3.0]], [[2.0, 4.0]]]]])
    >>> y, where = tg.nn.functional.max_pool3d_with_indices(x, (2, 1, 2))
    >>> y.tolist(), where.tolist()
    ([[[[[4.0]]]]], [[[[[3]]]]])
    """
    return _pooled(3, input, True, kernel_size, stride, padding, dilation, ceil_mode)


class MaxPool(Op):
    """The largest value of every window; ``argmax`` is the number of the tap that it came from."""

    name = "max_pool"
    equation = "y[n,c,p] = max_k x[n, c, p*stride + k*dilation - padding]"
    gradients = {"input": "dx[n,c,i] = sum_{p: the winner of window p is i} g[n,c,p]"}
    edges = "of equal values the first wins; of NaNs the last"
    cost = "K per output"
    dtypes = "integer, floating"
    residuals = ("argmax",)

    @staticmethod
    def infer(
        input: Spec,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        ceil_mode: bool,
    ) -> tuple[Spec, ...]:
        op = f"max_pool{len(kernel_size)}d"
        out = pool_positions(op, input, kernel_size, stride, padding, dilation, ceil_mode)
        return pool_specs(input, out, math.prod(kernel_size))

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        ceil_mode: bool,
    ) -> tuple[Any, ...]:
        output, argmax = MaxPool.infer(input, kernel_size, stride, padding, dilation, ceil_mode)
        geometry = Geometry(
            input.shape[2:], output.shape[2:], kernel_size, stride, padding, dilation
        )
        return window_maxima(xp, input, output, argmax, geometry)

    @staticmethod
    def vjp_input(
        g: Any,
        argmax: Any,
        input_shape: Any,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
    ) -> Any:
        return max_pool_scatter(g, argmax, input_shape, kernel_size, stride, padding, dilation)

    @staticmethod
    def flops(input: Spec, kernel_size: Sizes, *attributes: Any) -> int:
        return MaxPool.infer(input, kernel_size, *attributes)[0].size * math.prod(kernel_size)


class MaxPoolWithIndices(MaxPool):
    """``MaxPool`` that also gives the winners as int64 positions, flat in the plane of their
    channel."""

    name = "max_pool_with_indices"
    edges = "of equal values the first wins; of NaNs the last"
    cost = "K per output"
    dtypes = "integer, floating"
    outputs = ("output", "indices")

    @staticmethod
    def infer(input: Spec, *attributes: Any) -> tuple[Spec, ...]:
        output, argmax = MaxPool.infer(input, *attributes)
        return output, argmax._replace(dtype=np.dtype("int64")), argmax

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        ceil_mode: bool,
    ) -> tuple[Any, ...]:
        output, argmax = MaxPool.forward(
            xp, input, kernel_size, stride, padding, dilation, ceil_mode
        )
        geometry = Geometry(
            input.shape[2:], output.shape[2:], kernel_size, stride, padding, dilation
        )
        return output, winner_positions(xp, argmax, geometry), argmax


class MaxPoolScatter(Op):
    """Input gradient of max pooling: the value of every window goes to the pixel that won it.

    ``kernel_size`` None stands for adaptive windows, which the shapes alone determine.
    """

    name = "max_pool_scatter"
    equation = "dx[n,c,i] = sum_{p: the winner of window p is i} g[n,c,p]"
    gradients = {"grad": "dg[n,c,p] = G[n, c, winner of window p]"}
    edges = "what comes to one pixel is added; other pixels are exactly 0"
    cost = "1 per element of g"
    inputs = ("grad", "argmax")

    @staticmethod
    def infer(grad: Spec, argmax: Spec, input_shape: Sizes, *attributes: Any) -> Spec:
        return Spec(input_shape, grad.dtype, layout(input_shape, argmax))

    @staticmethod
    def forward(
        xp: Any,
        grad: Any,
        argmax: Any,
        input_shape: Sizes,
        kernel_size: Sizes | None,
        stride: Sizes | None,
        padding: Pairs | None,
        dilation: Sizes | None,
    ) -> Any:
        geometry = Geometry(input_shape[2:], grad.shape[2:], kernel_size, stride, padding, dilation)
        pixels = MaxPoolScatter.infer(grad, argmax, input_shape)
        return winner_scatter(xp, grad, argmax, pixels, geometry)

    @staticmethod
    def vjp_grad(
        g: Any, argmax: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any
    ) -> Any:
        return max_pool_gather(g, argmax, kernel_size, stride, padding, dilation)

    @staticmethod
    def flops(grad: Spec, *attributes: Any) -> int:
        return grad.size


class MaxPoolGather(Op):
    """The pixel of every window that ``argmax`` names: max pooling with the winners fixed."""

    name = "max_pool_gather"
    equation = "y[n,c,p] = x[n, c, winner of window p]"
    gradients = {"input": "dx[n,c,i] = sum_{p: the winner of window p is i} g[n,c,p]"}
    edges = "the winners are fixed, so it is linear"
    cost = "1 per output"
    inputs = ("input", "argmax")

    @staticmethod
    def infer(input: Spec, argmax: Spec, *attributes: Any) -> Spec:
        return Spec(argmax.shape, input.dtype, layout_of(argmax))

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        argmax: Any,
        kernel_size: Sizes | None,
        stride: Sizes | None,
        padding: Pairs | None,
        dilation: Sizes | None,
    ) -> Any:
        geometry = Geometry(
            input.shape[2:], argmax.shape[2:], kernel_size, stride, padding, dilation
        )
        return winner_values(xp, input, argmax, MaxPoolGather.infer(input, argmax), geometry)

    @staticmethod
    def vjp_input(
        g: Any,
        argmax: Any,
        input_shape: Any,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
    ) -> Any:
        return max_pool_scatter(g, argmax, input_shape, kernel_size, stride, padding, dilation)

    @staticmethod
    def flops(input: Spec, argmax: Spec, *attributes: Any) -> int:
        return argmax.size


_max_pool = MaxPool.call
_max_pool_with_indices = MaxPoolWithIndices.call
max_pool_scatter = MaxPoolScatter.call
max_pool_gather = MaxPoolGather.call


def _pooled(n: int, input: Any, return_indices: bool, *options: Any) -> Any:
    """Max pooling from arguments as the user gives them."""
    attributes = pool_args(f"max_pool{n}d", n, input, *options)
    pool = _max_pool_with_indices if return_indices else _max_pool
    return batched(n, pool, input, *attributes, bool(options[-1]))


def pool_specs(input: Any, positions: Sizes, taps: int) -> tuple[Spec, Spec]:
    """What max pooling gives: the values, and the winning taps in the smallest dtype of a tensor
    that can number them."""
    shape = (*input.shape[:2], *positions)
    kind = "uint8" if taps <= 256 else "int16" if taps <= 32768 else "int32"
    order = layout(shape, input)
    return Spec(shape, input.dtype, order), Spec(shape, np.dtype(kind), order)
