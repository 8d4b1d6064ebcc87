"""Windows as columns and back: unfold (im2col) and fold (col2im), each the other's adjoint."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.windows import Geometry, window_taps
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._spatial import (
    AXES,
    Pairs,
    Sizes,
    batched,
    does_not_fit,
    letters,
    output_size,
    pairs,
    per_axis,
)
from tinygrad_cv.ops.shape import reshape

__all__ = ["Fold", "Unfold", "fold", "unfold"]

NN_FUNCTIONS = ("fold", "unfold")


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """The windows of an image as columns of a matrix (im2col).

    ``y[n, c*K + k, l] = x[n, c, p*stride + k*dilation - padding]``: column l holds the window at
    position p, which is the l-th in row-major order; K = KH*KW, and k counts the taps likewise.

    Args:
        input: [N, C, H, W], or [C, H, W] for one image; any dtype.
        kernel_size, dilation, stride: an int, or one per axis.
        padding: zeros around the image: an int, one per axis, or one pair (before, after) per axis.

    Returns:
        [N, C*KH*KW, L] with L = H_out*W_out and
        ``H_out = floor((H + 2*padding - dilation*(KH - 1) - 1) / stride) + 1``.

    Raises:
        ShapeError: the kernel does not fit the padded image; the input has other axes.
        ArgumentError: sizes below 1, or negative padding.

    Source: K. Chellapilla, S. Puri, P. Simard, High Performance Convolutional Neural Networks for
    Document Processing, 2006; names and defaults as ``torch.nn.functional.unfold``.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.unfold(tg.arange(9.0).reshape(1, 1, 3, 3), 2)[0].tolist()[0]
    [0.0, 1.0, 3.0, 4.0]
    """
    _check_rank("unfold", input, (3, 4), "[N, C, H, W], or [C, H, W] without the batch")
    kernel, step, pads, spread = _window("unfold", kernel_size, dilation, padding, stride)
    if input.ndim == 3:  # while the error can still show the shape that the user knows
        _check_fit("unfold", input.shape, kernel, step, pads, spread)
    return batched(2, _unfold, input, kernel, step, pads, spread)


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Columns added up to an image (col2im), the adjoint of :func:`unfold`.

    ``y[n,c,i] = sum_{k,p: p*stride + k*dilation - padding = i} x[n, c*K + k, l]``, where l is the
    number of position p. Folding what was unfolded multiplies each pixel by the number of windows
    that hold it.

    Args:
        input: [N, C*KH*KW, L], or [C*KH*KW, L] for one image.
        output_size: (H, W) of the image, or an int for both.
        kernel_size, dilation, padding, stride: as :func:`unfold` had them.

    Returns:
        [N, C, H, W].

    Raises:
        ShapeError: the second axis is no multiple of KH*KW, L is not the number of windows, or the
            kernel does not fit the padded image.
        ArgumentError: sizes below 1, or negative padding.
        DTypeError: a bool input, which cannot be added.

    >>> import tinygrad_cv as tg
    >>> columns = tg.ones(1, 4, 4)  # 2x2 windows of a 3x3 image
    >>> tg.nn.functional.fold(columns, 3, 2).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    _check_rank("fold", input, (2, 3), "[N, C*KH*KW, L], or [C*KH*KW, L] without the batch")
    kernel, step, pads, spread = _window("fold", kernel_size, dilation, padding, stride)
    size = per_axis("fold", "output_size", output_size, 2)
    if input.ndim == 2:
        _check_columns(input, size, kernel, step, pads, spread)
        one = _fold(reshape(input, (1, *input.shape)), size, kernel, step, pads, spread)
        return reshape(one, one.shape[1:])
    return _fold(input, size, kernel, step, pads, spread)


class Unfold(Op):
    """The windows of images [N, C, spatial...] as columns [N, C*K, L]."""

    name = "unfold"
    equation = "y[n, c*K + k, l] = x[n, c, p*stride + k*dilation - padding], l the number of p"
    gradients = {
        "input": "dx[n,c,i] = sum_{k,p: p*stride + k*dilation - padding = i} g[n, c*K + k, l]"
    }
    edges = "zeros of the padding"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> Spec:
        out = _check_fit("unfold", input.shape, kernel, stride, padding, dilation)
        shape = (input.shape[0], input.shape[1] * math.prod(kernel), math.prod(out))
        return Spec(shape, input.dtype)

    @staticmethod
    def forward(
        xp: Any, input: Any, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
    ) -> Any:
        n, c, *sizes = input.shape
        out = tuple(map(output_size, sizes, kernel, stride, padding, dilation))
        columns = memory.empty((n, c, math.prod(kernel), *out), input.dtype, xp=xp)
        if any(map(any, padding)):
            columns[...] = 0
        geometry = Geometry(tuple(sizes), out, kernel, stride, padding, dilation)
        for tap, into, at in window_taps(geometry, 2):
            columns[:, :, tap][at] = input[into]
        return columns.reshape(n, c * math.prod(kernel), math.prod(out))

    @staticmethod
    def vjp_input(
        g: Any, input_shape: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
    ) -> Any:
        return _fold(g, input_shape[2:], kernel, stride, padding, dilation)


class Fold(Op):
    """Columns [N, C*K, L] added up to images [N, C, spatial...]: the adjoint of ``Unfold``."""

    name = "fold"
    equation = (
        "y[n,c,i] = sum_{k,p: p*stride + k*dilation - padding = i} x[n, c*K + k, l], "
        "l the number of p"
    )
    gradients = {"input": "dx[n, c*K + k, l] = g[n, c, p*stride + k*dilation - padding]"}
    edges = "what comes to one pixel is added"
    cost = "1 per element"
    dtypes = "integer, floating"

    @staticmethod
    def infer(
        input: Spec,
        size: Sizes,
        kernel: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
    ) -> Spec:
        _check_columns(input, size, kernel, stride, padding, dilation)
        return Spec((input.shape[0], input.shape[1] // math.prod(kernel), *size), input.dtype)

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        size: Sizes,
        kernel: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
    ) -> Any:
        n, rows, _ = input.shape
        taps = math.prod(kernel)
        out = tuple(map(output_size, size, kernel, stride, padding, dilation))
        columns = input.reshape(n, rows // taps, taps, *out)
        image = memory.empty((n, rows // taps, *size), input.dtype, xp=xp)
        image[...] = 0
        geometry = Geometry(tuple(size), out, kernel, stride, padding, dilation)
        for tap, into, at in window_taps(geometry, 2):
            target = image[into]
            target += columns[:, :, tap][at]
        return image

    @staticmethod
    def vjp_input(g: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
        return _unfold(g, kernel, stride, padding, dilation)

    @staticmethod
    def flops(input: Spec, *attributes: Any) -> int:
        return input.size


_unfold = Unfold.call
_fold = Fold.call


def _window(
    op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Sizes, Sizes, Pairs, Sizes]:
    """(kernel, stride, padding, dilation) per axis."""
    kernel = per_axis(op, "kernel_size", kernel_size, 2)
    spread = per_axis(op, "dilation", dilation, 2)
    return kernel, per_axis(op, "stride", stride, 2), pairs(op, padding, 2), spread


def _check_rank(op: str, input: Any, ranks: tuple[int, int], wanted: str) -> None:
    if input.ndim not in ranks:
        raise ShapeError(
            op,
            f"the input must be {wanted}; it has {input.ndim} axes",
            values=[("input", input.shape)],
        )


def _check_fit(
    op: str, shape: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> Sizes:
    """The number of windows along every axis, or the error of a kernel that does not fit."""
    n = len(kernel)
    out = tuple(map(output_size, shape[-n:], kernel, stride, padding, dilation))
    if min(out) < 1:
        first = "C" if len(shape) == n + 1 else "N, C"
        rows = [
            ("input", shape, letters(n, first)),
            ("kernel_size", kernel, f"[{', '.join('K' + axis for axis in AXES[n])}]"),
        ]
        raise does_not_fit(op, shape, kernel, stride, padding, dilation, rows)
    return out


def _check_columns(
    input: Any, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> None:
    """Raise if the columns [..., C*K, L] are not those of the windows of an image of this size."""
    taps = math.prod(kernel)
    out = tuple(map(output_size, size, kernel, stride, padding, dilation))
    rows, count = input.shape[-2:]
    values = [
        ("input", input.shape, "[N, C*KH*KW, L]" if input.ndim == 3 else "[C*KH*KW, L]"),
        ("output_size", size, letters(len(size), "").replace("[, ", "[")),
        ("kernel_size", kernel),
    ]
    if min(out) < 1:
        axis = next(a for a, p in enumerate(out) if p < 1)
        span = dilation[axis] * (kernel[axis] - 1) + 1
        room = size[axis] + sum(padding[axis])
        fitting = tuple(
            max(s, d * (k - 1) + 1 - sum(pad))
            for s, k, pad, d in zip(size, kernel, padding, dilation, strict=True)
        )
        raise ShapeError(
            "fold",
            "the kernel does not fit the image",
            law=[
                "dilation*(kernel - 1) + 1 <= size + 2*padding",
                f"{dilation[axis]}*({kernel[axis]} - 1) + 1 = {span} <= {room} is false",
            ],
            values=values,
            repair=f"An output_size of {fitting} or more takes a window.",
        )
    if rows % taps:
        fewer = max(rows // taps, 1) * taps
        raise ShapeError(
            "fold",
            "the axis of channels and taps is no multiple of the number of taps",
            law=["size = C * KH*KW", f"{rows} = C * {taps} has no whole C"],
            values=values,
            repair=f"A size of {fewer} fits.",
            repairs=[{"input": (*input.shape[:-2], fewer, math.prod(out))}],
        )
    if count != math.prod(out):
        product = "*".join(map(str, out))
        raise ShapeError(
            "fold",
            f"the image has {math.prod(out)} windows, the input has {count} columns",
            law=[
                "L = product of floor((size + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1",
                f"  = {product} = {math.prod(out)}",
            ],
            values=values,
            repair=f"Give {math.prod(out)} columns.",
            repairs=[{"input": (*input.shape[:-1], math.prod(out))}],
        )
    if input.dtype.kind == "b":
        raise DTypeError(
            "fold",
            "bool cannot be added",
            values=[("input", "bool")],
            repair="Convert with .int().",
        )
