"""Max pooling in one, two and three dimensions.

``MaxPool`` remembers which tap of its window won. With the winners fixed, pooling is linear: it
gathers one pixel per window (``MaxPoolGather``), and its gradient puts one value per window back
(``MaxPoolScatter``). These two are each other's adjoint, so the family is closed under
differentiation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import CHANNELS_LAST, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._pooling import (
    Geometry,
    Step,
    coverage,
    empty,
    images,
    layout,
    oriented,
    pool_args,
    pool_positions,
    steps,
)
from tinygrad_cv.ops._spatial import Pairs, Sizes
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "MaxPool",
    "MaxPoolGather",
    "MaxPoolScatter",
    "MaxPoolWithIndices",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "pool_specs",
    "pool_windows",
    "winners",
]

NN_FUNCTIONS = ("max_pool1d", "max_pool2d", "max_pool3d")


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
        padding: an int, one per axis, or a pair (before, after) per axis; at most half of the
            kernel. What is outside the input never wins.
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
        ShapeError: the kernel does not fit the padded input.
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


class MaxPool(Op):
    """The largest value of every window; ``argmax`` is the number of the tap that it came from."""

    name = "max_pool"
    equation = "y[n,c,p] = max_k x[n, c, p*stride + k*dilation - padding]"
    gradients = {"input": "dx[n,c,i] = sum_{p: the winner of window p is i} g[n,c,p]"}
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
        return pool_windows(xp, input, output, argmax, geometry)

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
        first = [
            [p * s - before for p in range(count)]
            for count, s, (before, _) in zip(output.shape[2:], stride, padding, strict=True)
        ]
        return output, winners(xp, argmax, input.shape[2:], first, kernel_size, dilation), argmax


class MaxPoolScatter(Op):
    """Input gradient of max pooling: the value of every window goes to the pixel that won it.

    ``kernel_size`` None stands for adaptive windows, which the shapes alone determine.
    """

    name = "max_pool_scatter"
    equation = "dx[n,c,i] = sum_{p: the winner of window p is i} g[n,c,p]"
    gradients = {"grad": "dg[n,c,p] = G[n, c, winner of window p]"}
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
        exclusive, complete = coverage(geometry)
        spread = empty(xp, input_shape, grad.dtype, argmax)
        last = layout_of(spread) == CHANNELS_LAST
        taps = steps(geometry, 1 if last else 2)
        d, g, k = oriented(last, spread, grad, argmax)
        for block in images(xp, d):
            if not (exclusive and complete):
                d[block] = 0
            for tap, into, at in taps:
                target = d[block][into]
                won = _equal(xp, k[block][at], tap)
                if exclusive:
                    _keep(xp, g[block][at], won, target)
                else:
                    target += _keep(xp, g[block][at], won)
        return spread

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
    inputs = ("input", "argmax")

    @staticmethod
    def infer(input: Spec, argmax: Spec, *attributes: Any) -> Spec:
        return Spec(argmax.shape, input.dtype, argmax.layout)

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
        output = empty(xp, argmax.shape, input.dtype, argmax)
        last = layout_of(output) == CHANNELS_LAST
        y, x, k = oriented(last, output, input, argmax)
        y[...] = 0
        for tap, into, at in steps(geometry, 1 if last else 2):
            target = y[at]
            target += _keep(xp, x[into], _equal(xp, k[at], tap))
        return output

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
    single = input.ndim == n + 1
    batch = reshape(input, (1, *input.shape)) if single else input
    if not return_indices:
        output = _max_pool(batch, *attributes, bool(options[-1]))
        return reshape(output, output.shape[1:]) if single else output
    results = _max_pool_with_indices(batch, *attributes, bool(options[-1]))
    return tuple(reshape(r, r.shape[1:]) if single else r for r in results)


def pool_specs(input: Any, positions: Sizes, taps: int) -> tuple[Spec, Spec]:
    """What max pooling gives: the values, and the winning taps in the smallest integer type."""
    shape = (*input.shape[:2], *positions)
    kind = "uint8" if taps <= 256 else "uint16" if taps <= 65536 else "int32"
    order = layout(shape, input)
    return Spec(shape, input.dtype, order), Spec(shape, np.dtype(kind), order)


def pool_windows(
    xp: Any, input: Any, values: Spec, taps: Spec, geometry: Geometry
) -> tuple[Any, Any]:
    """The largest value of every window, and the tap that it came from."""
    output = empty(xp, values.shape, values.dtype, values)
    argmax = empty(xp, taps.shape, taps.dtype, values)
    last = values.layout == CHANNELS_LAST
    x, y, k = oriented(last, input, output, argmax)
    moves = steps(geometry, 1 if last else 2)
    for block in images(xp, x):
        _largest(xp, x[block], y[block], moves)
        _first_taps(xp, x[block], y[block], k[block], moves)
    return output, argmax


def _largest(xp: Any, x: Any, y: Any, moves: list[Step]) -> None:
    """y = the maximum over all taps; NaN wins."""
    everywhere = [x[into] for _, into, at in moves if y[at].shape == y.shape]
    if len(everywhere) == len(moves) > 1:
        xp.maximum(everywhere[0], everywhere[1], out=y)
        for candidate in everywhere[2:]:
            xp.maximum(y, candidate, out=y)
        return
    y[...] = -math.inf if y.dtype.kind == "f" else np.iinfo(y.dtype).min
    for _, into, at in moves:
        xp.maximum(y[at], x[into], out=y[at])


def _first_taps(xp: Any, x: Any, y: Any, k: Any, moves: list[Step]) -> None:
    """k = the first tap whose value is y, or the last NaN.

    From the last tap to the first, ``k = (k + 1) * (value != y)`` counts how far back the winner
    is: arithmetic without a branch, where masked assignment would cost ten times the time.
    """
    k[...] = 0
    current = moves[-1].tap if moves else 0
    for tap, into, at in reversed(moves):
        if tap == moves[-1].tap:
            continue  # it wins where no other does
        if tap < current:
            k += current - tap
            current = tap
        differs = xp.not_equal(x[into], y[at], out=memory.scratch(y[at].shape, np.bool_, 0, xp))
        here = k[at]
        here *= differs.view(xp.uint8)
    if current:
        k += current
    # Asking a GPU whether there is a NaN would make the host wait for it.
    if y.dtype.kind == "f" and (xp is not np or xp.isnan(y).any()):
        for tap, into, at in moves:
            xp.copyto(k[at], tap, where=xp.isnan(x[into]))


def winners(
    xp: Any, argmax: Any, sizes: Sizes, first: list[list[int]], kernel: Any, dilation: Sizes
) -> Any:
    """Taps as int64 positions, flat in the plane; ``first`` are the windows' first pixels per axis.

    ``kernel`` is the window's size per axis.
    """
    flat = empty(xp, argmax.shape, np.int64, argmax)
    flat[...] = 0
    rest = argmax.astype(np.int64)
    scale = math.prod(sizes)
    below = math.prod(kernel)
    for axis, (size, starts, k, d) in enumerate(zip(sizes, first, kernel, dilation, strict=True)):
        scale //= size
        below //= k
        tap = rest // below
        rest -= tap * below
        start = xp.asarray(starts, np.int64).reshape(-1, *(1,) * (len(sizes) - 1 - axis))
        flat += (start + tap * d) * scale
    return flat


def _equal(xp: Any, argmax: Any, tap: int) -> Any:
    return xp.equal(argmax, tap, out=memory.scratch(argmax.shape, np.bool_, 0, xp))


def _keep(xp: Any, values: Any, mask: Any, out: Any = None) -> Any:
    """The values where the mask is True, exactly 0 elsewhere."""
    if out is None:
        out = memory.scratch(values.shape, values.dtype, 1, xp)
    bits = {4: np.int32, 8: np.int64}.get(values.dtype.itemsize)
    if xp is np and bits is not None:
        # Bit by bit: a branch per element is ten times slower where the winners are irregular.
        every_bit = memory.scratch(values.shape, bits, 2, xp)
        np.negative(mask.view(np.int8), out=every_bit)
        np.bitwise_and(values.view(bits), every_bit, out=out.view(bits))
    else:
        out[...] = xp.where(mask, values, 0)
    return out
