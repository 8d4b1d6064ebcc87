"""Pooling by the p-norm of every window, in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import get_default_dtype
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.ops._pair_loss import check_number
from tinygrad_cv.ops._pooling import check_input, refuse_empty
from tinygrad_cv.ops._spatial import AXES, Sizes, does_not_fit, letters, output_size, per_axis
from tinygrad_cv.ops.avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.math import sqrt
from tinygrad_cv.ops.pool import max_pool1d, max_pool2d, max_pool3d
from tinygrad_cv.ops.select import abs, masked, where

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d"]

NN_FUNCTIONS = ("lp_pool1d", "lp_pool2d", "lp_pool3d")

_MEANS = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_MAXIMA = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of every window of [N, C, L] or [C, L]; see :func:`lp_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.lp_pool1d(tg.tensor([[[3.0, 4.0, 0.0, 0.0]]]), 2, 2).tolist()
    [[[5.0, 0.0]]]
    """
    return _pooled(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of every window: ``y[n,c,q] = (sum_k x[n, c, q*stride + k] ** p) ** (1/p)``.

    p = 1 is the sum, p = inf the largest absolute value. As in PyTorch, x itself is raised to the
    power, not its absolute value: for an odd p values of different sign cancel, and where the sum
    is negative the result is NaN (but for p = 1).

    Args:
        input: [N, C, H, W] or [C, H, W], float.
        norm_type: p, not 0; inf and -inf are the largest and the smallest absolute value.
        kernel_size: an int, or one per axis.
        stride: the same; None is the kernel size.
        ceil_mode: round the output size up. Of a last window that ends beyond the input, the mean
            of its pixels counts for the missing ones too.

    Returns:
        [N, C, H_out, W_out] with ``H_out = floor((H - KH) / stride) + 1``.

    Raises:
        ShapeError: the kernel does not fit the input.
        ArgumentError: p is 0 or NaN, or a size is below 1.
        DTypeError: the input is not floating.

    Edge rules: where the sum is 0 its gradient is 0, and so is that of an element 0 for p < 1.

    Source: Gulcehre et al., "Learned-norm pooling for deep feedforward and recurrent neural
    networks" (2014).

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[3.0, 4.0, 1.0], [0.0, 0.0, 1.0]]])
    >>> tg.nn.functional.lp_pool2d(x, 2, 2, stride=1).numpy().round(3)
    array([[[5.   , 4.243]]], dtype=float32)
    """
    return _pooled(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of every window of [N, C, D, H, W] or [C, D, H, W]; see :func:`lp_pool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.lp_pool3d(tg.ones(1, 1, 2, 4, 4), 1, 2).flatten().tolist()
    [8.0, 8.0, 8.0, 8.0]
    """
    return _pooled(3, input, norm_type, kernel_size, stride, ceil_mode)


def _pooled(
    n: int, input: Any, norm_type: Any, kernel_size: Any, stride: Any, ceil_mode: Any
) -> Any:
    op = f"lp_pool{n}d"
    check_input(op, n, input)
    if input.dtype.kind != "f":
        input = cast(input, get_default_dtype())
    p = check_number(op, "norm_type", norm_type)
    if p == 0 or math.isnan(p):
        raise ArgumentError(
            op,
            f"norm_type must be a number other than 0, it is {norm_type}",
            law=["y = (sum x ** p) ** (1/p)"],
            repair="Use norm_type=2.",
            repairs=[{"norm_type": 2}],
        )
    kernel = per_axis(op, "kernel_size", kernel_size, n)
    step = kernel if stride is None else per_axis(op, "stride", stride, n)
    _check_fit(op, n, input, kernel, step, bool(ceil_mode))
    if math.isinf(p):
        sign = math.copysign(1.0, p)
        largest = _MAXIMA[n](abs(input) * sign, kernel, step, 0, 1, ceil_mode)
        return largest * sign
    means = _MEANS[n](_power(input, p), kernel, step, 0, ceil_mode)
    return _root(means * math.prod(kernel), p)


def _check_fit(op: str, n: int, input: Any, kernel: Sizes, stride: Sizes, ceil_mode: bool) -> None:
    """Raise if the kernel is larger than the input, which cannot be padded here."""
    refuse_empty(op, n, input, kernel)
    none, sizes = ((0, 0),) * n, input.shape[-n:]
    if all(
        output_size(size, k, s, (0, 0), 1, ceil_mode) >= 1
        for size, k, s in zip(sizes, kernel, stride, strict=True)
    ):
        return
    rows = [
        ("input", input.shape, letters(n, "C" if input.ndim == n + 1 else "N, C")),
        ("kernel_size", kernel, f"[{', '.join('K' + axis for axis in AXES[n])}]"),
    ]
    raise does_not_fit(
        op,
        input.shape,
        kernel,
        stride,
        none,
        (1,) * n,
        rows,
        can_pad=lambda kernel, padding: not any(map(max, padding)),
        ceil_mode=ceil_mode,
    )


def _power(x: Any, p: float) -> Any:
    if p == 1:
        return x
    if p == 2:
        return x * x
    if p == 3:
        return x * x * x
    if p < 0 or p.is_integer():
        return x**p
    return masked(where(x == 0, 1.0, x) ** p, x != 0)  # 0 ** p has infinite slopes, soon or late


def _root(sums: Any, p: float) -> Any:
    """``sums ** (1/p)``, as a constant where the sum is 0."""
    zero = sums == 0
    inside = where(zero, 1.0, sums)
    root = inside if p == 1 else sqrt(inside) if p == 2 else inside ** (1 / p)
    return masked(root, sums != 0) if p > 0 else where(zero, math.inf, root)
