"""Average pooling in one, two and three dimensions.

The mean over a window is a sum along each axis in turn, divided by the number of pixels.
``AvgPool`` and its adjoint ``AvgPoolInputGrad`` are linear, and each is the gradient of the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.dtypes import float64
from tinygrad_cv.backend.pooling import spread_means, window_counts, window_means
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.windows import Geometry
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._pooling import layout, pool_args, pool_positions
from tinygrad_cv.ops._spatial import Pairs, Sizes, batched
from tinygrad_cv.ops.convert import cast

__all__ = [
    "AvgPool",
    "AvgPoolInputGrad",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "check_float",
]

NN_FUNCTIONS = ("avg_pool1d", "avg_pool2d", "avg_pool3d")


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Average pooling of [N, C, L] or [C, L]; see :func:`avg_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.avg_pool1d(tg.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[2.0, 1.0]]]
    """
    return _pooled(
        1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of every window.

    ``y[n,c,p] = sum_k x[n, c, p*stride + k - padding] / count[p]``, where p and k stand for one
    coordinate per axis.

    Args:
        input: [N, C, H, W] or [C, H, W]. Means of integers are cut to integers.
        kernel_size: an int, or one per axis.
        stride: the same; None is the kernel size.
        padding: an int, one per axis, or a pair (before, after) per axis; at most half of the
            kernel.
        ceil_mode: round the output size up: a last window may end beyond the padded input, if it
            starts inside the input or the padding before it.
        count_include_pad: padded zeros count as pixels. What lies beyond the padding never does.
        divisor_override: divide by this number instead.

    Returns:
        [N, C, H_out, W_out] with ``H_out = floor((H + 2*padding - KH) / stride) + 1``.

    Raises:
        ShapeError: the kernel does not fit the padded input.
        ArgumentError: sizes below 1, padding of more than half of the kernel, or a divisor of 0.
        DTypeError: the input is bool.

    Source: the lecture's average pooling; names and defaults as ``torch.nn.functional.avg_pool2d``.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[2.0, 3.0, 3.0, 4.0], [6.0, 7.0, 8.0, 9.0]]])
    >>> tg.nn.functional.avg_pool2d(x, 2).tolist()
    [[[4.5, 6.0]]]
    """
    return _pooled(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Average pooling of [N, C, D, H, W] or [C, D, H, W]; see :func:`avg_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.avg_pool3d(tg.ones(1, 8, 16, 28, 28), (1, 2, 2)).shape
    (1, 8, 16, 14, 14)
    """
    return _pooled(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


class AvgPool(Op):
    """The mean of every window."""

    name = "avg_pool"
    equation = "y[n,c,p] = sum_k x[n, c, p*stride + k - padding] / count[p]"
    gradients = {"input": "dx[n,c,i] = sum_{k,p: p*stride + k - padding = i} g[n,c,p] / count[p]"}
    edges = (
        "padding counts as zeros, or not at all (count_include_pad); NaN and infinity spread to "
        "the windows that see them"
    )
    cost = "K + 1 per output"

    @staticmethod
    def infer(
        input: Spec,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Pairs,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor: int | None,
    ) -> Spec:
        op = f"avg_pool{len(kernel_size)}d"
        check_float(op, input)
        near = (1,) * len(kernel_size)
        out = pool_positions(op, input, kernel_size, stride, padding, near, ceil_mode)
        shape = (*input.shape[:2], *out)
        return Spec(shape, input.dtype, layout(shape, input))

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Pairs,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor: int | None,
    ) -> Any:
        means = AvgPool.infer(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor
        )
        sizes = input.shape[2:], means.shape[2:]
        geometry = Geometry(*sizes, kernel_size, stride, padding, (1,) * len(stride))
        counts = window_counts(geometry, count_include_pad, divisor)
        return window_means(xp, input, means, geometry, counts)

    @staticmethod
    def vjp_input(
        g: Any,
        input_shape: Any,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        ceil_mode: Any,
        count_include_pad: Any,
        divisor: Any,
    ) -> Any:
        return avg_pool_input_grad(
            g, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor
        )

    @staticmethod
    def flops(input: Spec, kernel_size: Sizes, *attributes: Any) -> int:
        return AvgPool.infer(input, kernel_size, *attributes).size * (math.prod(kernel_size) + 1)


class AvgPoolInputGrad(Op):
    """Input gradient of ``AvgPool``: the value of every window, shared evenly among its pixels."""

    name = "avg_pool_input_grad"
    equation = "dx[n,c,i] = sum_{k,p: p*stride + k - padding = i} g[n,c,p] / count[p]"
    gradients = {"grad": "dg[n,c,p] = sum_k G[n, c, p*stride + k - padding] / count[p]"}
    edges = "linear: NaN and infinity of g spread as in the sum"
    cost = "K + 1 per output"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, input_shape: Sizes, *attributes: Any) -> Spec:
        return Spec(input_shape, grad.dtype, layout(input_shape, grad))

    @staticmethod
    def forward(
        xp: Any,
        grad: Any,
        input_shape: Sizes,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Pairs,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor: int | None,
    ) -> Any:
        sizes = input_shape[2:], grad.shape[2:]
        geometry = Geometry(*sizes, kernel_size, stride, padding, (1,) * len(stride))
        counts = window_counts(geometry, count_include_pad, divisor)
        pixels = AvgPoolInputGrad.infer(grad, input_shape)
        return spread_means(xp, grad, pixels, geometry, counts)

    @staticmethod
    def vjp_grad(
        g: Any,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        ceil_mode: Any,
        count_include_pad: Any,
        divisor: Any,
    ) -> Any:
        return _avg_pool(g, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor)

    @staticmethod
    def flops(grad: Spec, input_shape: Sizes, kernel_size: Sizes, *attributes: Any) -> int:
        return grad.size * (math.prod(kernel_size) + 1)


_avg_pool = AvgPool.call
avg_pool_input_grad = AvgPoolInputGrad.call


def _pooled(
    n: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor: Any,
) -> Any:
    """Average pooling from arguments as the user gives them."""
    op = f"avg_pool{n}d"
    kernel, step, pads, _ = pool_args(op, n, input, kernel_size, stride, padding, 1, ceil_mode)
    if divisor is not None:
        divisor = as_int(op, "divisor_override", divisor)
        if not divisor:
            raise ArgumentError(
                op,
                "divisor_override must be a whole number other than 0, it is 0",
                repair="Leave divisor_override out to divide by the size of the window.",
                repairs=[{"divisor_override": None}],
            )
    options = (bool(ceil_mode), bool(count_include_pad), divisor)
    if input.dtype.kind in "iu":
        return batched(n, _whole, input, kernel, step, pads, *options)
    return batched(n, _avg_pool, input, kernel, step, pads, *options)


def _whole(input: Any, kernel: Any, step: Any, pads: Any, *options: Any) -> Any:
    """The means of integers, cut to integers, as in PyTorch: the sums of the windows, divided by
    what they count along one axis after the other."""
    ceil_mode, include_pad, divisor = options
    y = _avg_pool(cast(input, float64), kernel, step, pads, ceil_mode, include_pad, 1)
    sizes = input.shape[2:], y.shape[2:]
    geometry = Geometry(*sizes, kernel, step, pads, (1,) * len(step))
    for axis, count in enumerate(window_counts(geometry, include_pad, divisor)):
        if isinstance(count, list):
            shape = (len(count), *(1,) * (len(kernel) - axis - 1))
            count = as_tensor(np.reshape(count, shape), float64, input.device)
        y = cast(y / count, input.dtype)
    return y


def check_float(op: str, input: Any) -> None:
    """Raise unless the input is floating: a mean of integers is not an integer."""
    if input.dtype.kind != "f":
        raise DTypeError(
            op,
            f"means need a floating input, got {input.dtype}",
            values=[("input", input.shape)],
            repair="Convert with .float().",
        )
