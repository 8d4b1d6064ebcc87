"""Deformable convolution: every tap of every window reads at a place of its own.

The places are those of a convolution plus learned offsets; what lies there is read bilinearly
(``Sample``), scaled by a mask if there is one, and multiplied by the weights as in any convolution.
Images are worked on one after the other: the columns of all at once would be KH*KW times as large
as the input.

J. Dai et al., Deformable Convolutional Networks, 2017 (v1); X. Zhu, H. Hu, S. Lin, J. Dai,
Deformable ConvNets v2, 2019 (the mask).
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cells import base_places
from tinygrad_cv.backend.spec import CHANNELS_LAST, Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._deform_args import check_deform
from tinygrad_cv.ops._spatial import Pairs, Sizes, channels_last, pairs, per_axis
from tinygrad_cv.ops.linalg import matmul
from tinygrad_cv.ops.rearrange import flip
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.sample import input_gradient, points_gradient, sample
from tinygrad_cv.ops.shape import permute, reshape

__all__ = ["DeformConv2d", "DeformPoints", "deform_conv2d"]

NN_FUNCTIONS = ("deform_conv2d",)
TENSOR_ARGUMENTS = ("offset", "weight", "bias", "mask")
OPTIONAL_TENSORS = ("bias", "mask")


def deform_conv2d(
    input: Any,
    offset: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    mask: Any = None,
) -> Any:
    """Deformable convolution, v2 with a mask and v1 without one.

    ``y[n,o,p] = b[o] + sum_{c,k} w[o,c,k] * mask[n,k,p] * x(n, c, p*stride - padding + k*dilation
    + offset[n,k,p])``, where x( ) reads bilinearly between the pixels, and 0 outside of them.

    Args:
        input: [N, C, H, W], float.
        offset: [N, 2*D*KH*KW, H_out, W_out]: for each of D groups of offsets and each tap the
            shift (down, right) in pixels. Each group moves C/D channels.
        weight: [O, C/groups, KH, KW]; groups follow from its shape.
        bias: [O] or None.
        stride, dilation: an int, or one per axis.
        padding: zeros around the input: an int, one per axis, or one pair (before, after) per axis.
        mask: [N, D*KH*KW, H_out, W_out] or None, which stands for ones.

    Returns:
        [N, O, H_out, W_out], channels-last in memory, with
        ``H_out = floor((H + 2*padding - dilation*(KH - 1) - 1) / stride) + 1``.

    Raises:
        ShapeError: the kernel does not fit, or the shapes do not go together.
        ArgumentError: stride or dilation below 1, negative padding.
        DTypeError: not floating, or different dtypes.

    Edge rule: at a whole number of pixels, where training usually starts, the gradient of the
    offset is that of the cell behind, the right derivative.

    Source: J. Dai et al., Deformable Convolutional Networks, 2017; X. Zhu et al., Deformable
    ConvNets v2, 2019; the lecture's deformable convolution. Names as
    ``torchvision.ops.deform_conv2d``.

    >>> import tinygrad_cv as tg
    >>> image = tg.arange(9.0).reshape(1, 1, 3, 3)
    >>> offset = tg.tensor([0.5, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    >>> tg.nn.functional.deform_conv2d(image, offset, tg.ones(1, 1, 1, 1))[0, 0, 0].tolist()
    [2.5, 3.5, 0.0]
    """
    steps = per_axis("deform_conv2d", "stride", stride, 2)
    spread = per_axis("deform_conv2d", "dilation", dilation, 2)
    pads = pairs("deform_conv2d", padding, 2)
    return _deform_conv(input, offset, mask, weight, bias, steps, pads, spread)


class DeformPoints(Op):
    """The places that the taps read: those of a convolution plus offsets.

    offset [N, 2*D*K, P, Q] in (down, right), output [N*D, K, P, Q, 2] in (x, y).
    """

    name = "deform_points"
    equation = "y[n,k,p] = p*stride - padding + k*dilation + offset[n,k,p]"
    gradients = {"offset": "doffset[n,k,p] = g[n,k,p]"}
    edges = "linear in the offsets"
    cost = "1 per number"
    inputs = ("offset",)

    @staticmethod
    def infer(offset: Spec, kernel: Sizes, *attributes: Any) -> Spec:
        n, channels, p, q = offset.shape
        taps = math.prod(kernel)
        return Spec((n * (channels // (2 * taps)), taps, p, q, 2), offset.dtype)

    @staticmethod
    def forward(
        xp: Any, offset: Any, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
    ) -> Any:
        spec = DeformPoints.infer(offset, kernel)
        points = memory.empty(*spec[:2], xp=xp)
        images, taps, *positions, _ = spec.shape
        moves = offset.reshape(images, taps, 2, *positions)
        places = base_places(xp, positions, kernel, stride, padding, dilation, offset.dtype)
        for axis, base in enumerate(places):
            xp.add(moves[:, :, axis], base, out=points[..., 1 - axis])
        return points

    @staticmethod
    def vjp_offset(g: Any, offset_shape: Any) -> Any:
        return reshape(permute(flip(g, (4,)), (0, 1, 4, 2, 3)), offset_shape)

    @staticmethod
    def flops(offset: Spec, *attributes: Any) -> int:
        return offset.size


class DeformConv2d(Op):
    """Deformable convolution of images; see :func:`deform_conv2d`."""

    name = "deform_conv2d"
    equation = (
        "y[n,o,p] = b[o] + sum_{c,k} w[o,c,k] * m[n,k,p] * x(n, c, p*stride - padding + k*dilation "
        "+ offset[n,k,p])"
    )
    gradients = {
        "input": "dx = gcol * m put back, gcol[n,c,k,p] = sum_o w[o,c,k] * g[n,o,p]",
        "offset": "doffset[n,k,p] = sum_c gcol * m * dx(n, c, place)/dplace",
        "mask": "dm[n,k,p] = sum_c gcol[n,c,k,p] * x(n, c, place)",
        "weight": "dw[o,c,k] = sum_{n,p} g[n,o,p] * m[n,k,p] * x(n, c, place)",
        "bias": "db[o] = sum_{n,p} g[n,o,p]",
    }
    edges = (
        "points more than a pixel outside read 0; at whole positions the derivative of the floor "
        "rule, from the right"
    )
    cost = "2 N O P Q C/groups KH KW, and 8 per point and channel"
    inputs = ("input", "offset", "mask", "weight", "bias")

    @staticmethod
    def infer(
        input: Spec,
        offset: Spec,
        mask: Spec | None,
        weight: Spec,
        bias: Spec | None,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
    ) -> Spec:
        out = check_deform(input, offset, mask, weight, bias, stride, padding, dilation)
        shape = (input.shape[0], weight.shape[0], *out)
        return Spec(shape, input.dtype, channels_last(shape))

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        offset: Any,
        mask: Any,
        weight: Any,
        bias: Any,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
    ) -> Any:
        shape = (input.shape[0], weight.shape[0], *offset.shape[2:])
        output = memory.empty(shape, input.dtype, CHANNELS_LAST, xp)
        for n in range(shape[0]):
            one = slice(n, n + 1)
            some = None if mask is None else mask[one]
            columns = _columns(input[one], offset[one], some, weight, stride, padding, dilation)
            product = matmul(_by_group(weight, columns.shape[1]), columns)
            output[n] = product.reshape(shape[1:])
        if bias is not None:
            output += bias[:, None, None]
        return output

    @staticmethod
    def vjp_input(
        g: Any,
        offset: Any,
        mask: Any,
        weight: Any,
        input_shape: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
    ) -> Any:
        points = deform_points(offset, weight.shape[2:], stride, padding, dilation)
        gradient = _masked(_gradient_of_columns(g, weight, input_shape, points), mask)
        each = (points.shape[0], gradient.shape[1], *input_shape[2:])
        d_each = input_gradient(gradient, points, each, "bilinear", "zeros", False, False)
        return reshape(d_each, input_shape)

    @staticmethod
    def vjp_offset(
        g: Any,
        input: Any,
        offset: Any,
        mask: Any,
        weight: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
    ) -> Any:
        points = deform_points(offset, weight.shape[2:], stride, padding, dilation)
        gradient = _masked(_gradient_of_columns(g, weight, input.shape, points), mask)
        each = _by_offset(input, points)
        moved = points_gradient(gradient, each, points, "bilinear", "zeros", False, False)
        return reshape(permute(flip(moved, (4,)), (0, 1, 4, 2, 3)), offset.shape)

    @staticmethod
    def vjp_mask(
        g: Any,
        input: Any,
        offset: Any,
        weight: Any,
        mask_shape: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
    ) -> Any:
        points = deform_points(offset, weight.shape[2:], stride, padding, dilation)
        gradient = _gradient_of_columns(g, weight, input.shape, points)
        each = sample(_by_offset(input, points), points, "bilinear", "zeros", False, False)
        return reshape(sum_over(gradient * each, dim=1), mask_shape)

    @staticmethod
    def vjp_weight(
        g: Any,
        input: Any,
        offset: Any,
        mask: Any,
        weight: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
    ) -> Any:
        columns = _columns(input, offset, mask, weight, stride, padding, dilation)
        groups = columns.shape[1]
        values = reshape(g, (g.shape[0], groups, g.shape[1] // groups, columns.shape[3]))
        product = matmul(values, permute(columns, (0, 1, 3, 2)))
        return reshape(sum_over(product, dim=0), weight.shape)

    @staticmethod
    def vjp_bias(g: Any) -> Any:
        return sum_over(g, dim=(0, 2, 3))

    @staticmethod
    def fused_vjp(
        xp: Any,
        g: Any,
        needs: Any,
        input: Any,
        offset: Any,
        mask: Any,
        weight: Any,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
    ) -> tuple[Any, ...]:
        how = (stride, padding, dilation)
        shaped: list[Any] = [
            memory.empty(x.shape, x.dtype, xp=xp) if need else None
            for x, need in zip((input, offset, mask), needs, strict=False)
        ]
        d_weight = xp.zeros(weight.shape, weight.dtype) if needs[3] else None
        for n in range(input.shape[0]):
            one = slice(n, n + 1)
            some: Any = None if mask is None else mask[one]
            x, o, gy = input[one], offset[one], g[one]
            if needs[0]:
                shaped[0][one] = DeformConv2d.vjp_input(gy, o, some, weight, x.shape, *how)
            if needs[1]:
                shaped[1][one] = DeformConv2d.vjp_offset(gy, x, o, some, weight, *how)
            if needs[2]:
                shaped[2][one] = DeformConv2d.vjp_mask(gy, x, o, weight, some.shape, *how)
            if needs[3]:
                d_weight += DeformConv2d.vjp_weight(gy, x, o, some, weight, *how)
        return (*shaped, d_weight, DeformConv2d.vjp_bias(g) if needs[4] else None)

    @staticmethod
    def flops(input: Spec, offset: Spec, mask: Spec | None, weight: Spec, *attributes: Any) -> int:
        positions = offset.shape[0] * math.prod(offset.shape[2:])
        taps = math.prod(weight.shape[2:])
        read = positions * taps * input.shape[1] * (8 if mask is None else 9)
        return 2 * positions * weight.size + read


_deform_conv = DeformConv2d.call
deform_points = DeformPoints.call


# ---- expressions of differentiable operators, for the rules


def _columns(
    input: Any, offset: Any, mask: Any, weight: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """What the taps read, as a matrix for each image and group [N, groups, C/groups*K, L]."""
    points = deform_points(offset, weight.shape[2:], stride, padding, dilation)
    read = sample(_by_offset(input, points), points, "bilinear", "zeros", False, False)
    n, c = input.shape[0], input.shape[1]
    rows = weight.shape[1] * weight.shape[2] * weight.shape[3]
    length = offset.shape[2] * offset.shape[3]
    return reshape(_masked(read, mask), (n, c // weight.shape[1], rows, length))


def _gradient_of_columns(g: Any, weight: Any, input_shape: Any, points: Any) -> Any:
    """[N*D, C/D, K, P, Q], before the mask."""
    n, c = input_shape[0], input_shape[1]
    groups, length = c // weight.shape[1], g.shape[2] * g.shape[3]
    turned = permute(_by_group(weight, groups), (0, 2, 1))
    values = reshape(g, (n, groups, g.shape[1] // groups, length))
    images = points.shape[0]
    each = c // max(images // max(n, 1), 1)
    return reshape(matmul(turned, values), (images, each, *points.shape[1:4]))


def _masked(values: Any, mask: Any) -> Any:
    """[N*D, C/D, K, P, Q] times the mask [N, D*K, P, Q]."""
    if mask is None:
        return values
    return values * reshape(mask, (values.shape[0], 1, *values.shape[2:]))


def _by_offset(input: Any, points: Any) -> Any:
    """[N, C, H, W] as [N*D, C/D, H, W], one image for each group of offsets."""
    n, c, h, w = input.shape
    images = points.shape[0]
    return reshape(input, (images, c // max(images // max(n, 1), 1), h, w))


def _by_group(weight: Any, groups: Any) -> Any:
    """[O, C/groups, KH, KW] as [groups, O/groups, C/groups*K]."""
    o, c, kh, kw = weight.shape
    return reshape(weight, (groups, o // groups, c * kh * kw))
