"""Adaptive pooling: average and max pooling to a given output size, global pooling included.

Along every axis, window p of P covers the pixels from floor(p*H/P) to ceil((p + 1)*H/P), end not
included. Windows may overlap by a pixel where H is no multiple of P.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend.pooling import (
    spread_means,
    window_counts,
    window_maxima,
    window_means,
    winner_positions,
)
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.windows import Geometry, windows
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._pooling import adaptive_size, layout, refuse_empty
from tinygrad_cv.ops._spatial import Sizes, batched
from tinygrad_cv.ops.avg_pool import check_float
from tinygrad_cv.ops.pool import max_pool_scatter, pool_specs

__all__ = [
    "AdaptiveAvgPool",
    "AdaptiveAvgPoolInputGrad",
    "AdaptiveMaxPool",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
]

NN_FUNCTIONS = (
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Average pooling of [N, C, L] to a given length; see :func:`adaptive_avg_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.adaptive_avg_pool1d(tg.tensor([[[1.0, 5.0, 3.0]]]), 2).tolist()
    [[[3.0, 4.0]]]
    """
    return _mean(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Average pooling to a given output size.

    Output row p is the mean of the rows from floor(p*H/P) to ceil((p + 1)*H/P), end not included.

    Args:
        input: [N, C, H, W] or [C, H, W].
        output_size: an int, or (P, Q); None keeps the size of the input. 1 is global average
            pooling, the usual head of a classifier.

    Returns:
        [N, C, P, Q].

    Raises:
        ArgumentError: a size below 1.
        ShapeError: there are no pixels.
        DTypeError: the input is not floating.

    Source: the lecture's global average pooling; M. Lin, Q. Chen, S. Yan, Network in Network, 2014.
    Names as ``torch.nn.functional.adaptive_avg_pool2d``.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.adaptive_avg_pool2d(tg.arange(8.0).reshape(2, 2, 2), 1).flatten().tolist()
    [1.5, 5.5]
    """
    return _mean(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Average pooling of [N, C, D, H, W] to a given size; see :func:`adaptive_avg_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.adaptive_avg_pool3d(tg.ones(1, 2, 5, 7, 7), (None, 3, 3)).shape
    (1, 2, 5, 3, 3)
    """
    return _mean(3, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Max pooling of [N, C, L] to a given length; see :func:`adaptive_max_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.adaptive_max_pool1d(tg.tensor([[[1.0, 5.0, 2.0]]]), 2).tolist()
    [[[5.0, 5.0]]]
    """
    return _max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Max pooling to a given output size.

    Output row p is the maximum of the rows from floor(p*H/P) to ceil((p + 1)*H/P), end not
    included. Ties and NaN as in :func:`max_pool2d`.

    Args:
        input: [N, C, H, W] or [C, H, W].
        output_size: an int, or (P, Q); None keeps the size of the input.
        return_indices: also return the winners, as :func:`max_pool2d` does.

    Returns:
        [N, C, P, Q], or with ``return_indices`` the pair (values, indices).

    Raises:
        ArgumentError: a size below 1.
        ShapeError: there are no pixels.
        DTypeError: a bool input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.adaptive_max_pool2d(tg.arange(9.0).reshape(1, 3, 3), 2).tolist()
    [[[4.0, 5.0], [7.0, 8.0]]]
    """
    return _max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Max pooling of [N, C, D, H, W] to a given size; see :func:`adaptive_max_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.adaptive_max_pool3d(tg.ones(1, 2, 5, 7, 7), (None, 3, 3)).shape
    (1, 2, 5, 3, 3)
    """
    return _max(3, input, output_size, return_indices)


class AdaptiveAvgPool(Op):
    """The mean of every adaptive window."""

    name = "adaptive_avg_pool"
    equation = "y[n,c,p] = mean of x[n,c,i] over floor(p*H/P) <= i < ceil((p + 1)*H/P)"
    gradients = {"input": "dx[n,c,i] = sum_{p: i in window p} g[n,c,p] / size of window p"}
    edges = "every window holds a pixel; NaN and infinity spread to the windows that see them"
    cost = "1 per pixel and 1 per output"

    @staticmethod
    def infer(input: Spec, output_size: Sizes) -> Spec:
        n = len(output_size)
        check_float(f"adaptive_avg_pool{n}d", input)
        refuse_empty(f"adaptive_avg_pool{n}d", n, input)
        shape = (*input.shape[:2], *output_size)
        return Spec(shape, input.dtype, layout(shape, input))

    @staticmethod
    def forward(xp: Any, input: Any, output_size: Sizes) -> Any:
        geometry = Geometry(input.shape[2:], output_size)
        means = AdaptiveAvgPool.infer(input, output_size)
        return window_means(xp, input, means, geometry, window_counts(geometry))

    @staticmethod
    def vjp_input(g: Any, input_shape: Any) -> Any:
        return adaptive_avg_pool_input_grad(g, input_shape)

    @staticmethod
    def flops(input: Spec, output_size: Sizes) -> int:
        return input.size + math.prod(input.shape[:2]) * math.prod(output_size)


class AdaptiveAvgPoolInputGrad(Op):
    """Input gradient of ``AdaptiveAvgPool``: the value of every window, shared among its pixels."""

    name = "adaptive_avg_pool_input_grad"
    equation = "dx[n,c,i] = sum_{p: i in window p} g[n,c,p] / size of window p"
    gradients = {"grad": "dg[n,c,p] = mean of G[n,c,i] over window p"}
    edges = "linear: NaN and infinity of g spread as in the sum"
    cost = "1 per pixel and 1 per output"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, input_shape: Sizes) -> Spec:
        refuse_empty("adaptive_avg_pool_input_grad", grad.ndim - 2, grad)
        return Spec(input_shape, grad.dtype, layout(input_shape, grad))

    @staticmethod
    def forward(xp: Any, grad: Any, input_shape: Sizes) -> Any:
        geometry = Geometry(input_shape[2:], grad.shape[2:])
        pixels = AdaptiveAvgPoolInputGrad.infer(grad, input_shape)
        return spread_means(xp, grad, pixels, geometry, window_counts(geometry))

    @staticmethod
    def vjp_grad(g: Any, grad_shape: Any) -> Any:
        return _adaptive_avg_pool(g, grad_shape[2:])

    @staticmethod
    def flops(grad: Spec, input_shape: Sizes) -> int:
        return grad.size + math.prod(input_shape)


class AdaptiveMaxPool(Op):
    """The largest value of every adaptive window, where it is in the plane, and its tap."""

    name = "adaptive_max_pool"
    equation = "y[n,c,p] = max of x[n,c,i] over floor(p*H/P) <= i < ceil((p + 1)*H/P)"
    gradients = {"input": "dx[n,c,i] = sum_{p: the winner of window p is i} g[n,c,p]"}
    edges = "of equal values the first wins; of NaNs the last"
    cost = "1 per pixel"
    dtypes = "integer, floating"
    outputs = ("output", "indices")
    residuals = ("argmax",)

    @staticmethod
    def infer(input: Spec, output_size: Sizes) -> tuple[Spec, ...]:
        n = len(output_size)
        refuse_empty(f"adaptive_max_pool{n}d", n, input)
        longest = math.prod(map(len, windows(Geometry(input.shape[2:], output_size))))
        output, argmax = pool_specs(input, output_size, longest)
        return output, argmax._replace(dtype=np.dtype("int64")), argmax

    @staticmethod
    def forward(xp: Any, input: Any, output_size: Sizes) -> tuple[Any, ...]:
        geometry = Geometry(input.shape[2:], output_size)
        values, _, taps = AdaptiveMaxPool.infer(input, output_size)
        output, argmax = window_maxima(xp, input, values, taps, geometry)
        return output, winner_positions(xp, argmax, geometry), argmax

    @staticmethod
    def vjp_input(g: Any, argmax: Any, input_shape: Any) -> Any:
        return max_pool_scatter(g, argmax, input_shape, None, None, None, None)

    @staticmethod
    def flops(input: Spec, output_size: Sizes) -> int:
        return input.size


_adaptive_avg_pool = AdaptiveAvgPool.call
_adaptive_max_pool = AdaptiveMaxPool.call
adaptive_avg_pool_input_grad = AdaptiveAvgPoolInputGrad.call


def _mean(n: int, input: Any, output_size: Any) -> Any:
    """Adaptive average pooling from arguments as the user gives them."""
    size = adaptive_size(f"adaptive_avg_pool{n}d", n, input, output_size)
    return batched(n, _adaptive_avg_pool, input, size)


def _max(n: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    """Adaptive max pooling from arguments as the user gives them."""
    size = adaptive_size(f"adaptive_max_pool{n}d", n, input, output_size)
    results = batched(n, _adaptive_max_pool, input, size)
    return results if return_indices else results[0]
