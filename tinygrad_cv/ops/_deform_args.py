"""Checking the shapes of a deformable convolution."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._spatial import Pairs, Sizes, does_not_fit, no_pixels, output_size

__all__ = ["check_deform"]


def check_deform(
    input: Any,
    offset: Any,
    mask: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> Sizes:
    """(H_out, W_out), or the error of what does not go together."""
    op = "deform_conv2d"
    rows = [
        ("input", input.shape, "[N, C, H, W]"),
        ("offset", offset.shape, "[N, 2*D*KH*KW, H_out, W_out]"),
        ("weight", weight.shape, "[O, C/groups, KH, KW]"),
    ]
    if mask is not None:
        rows.append(("mask", mask.shape, "[N, D*KH*KW, H_out, W_out]"))
    if bias is not None:
        rows.append(("bias", bias.shape, "[O]"))
    for name, value in (("input", input), ("offset", offset), ("weight", weight), ("mask", mask)):
        if value is not None and value.ndim != 4:
            raise ShapeError(op, f"{name} must have 4 axes, it has {value.ndim}", values=rows)
    given = [x for x in (input, offset, weight, bias, mask) if x is not None]
    if input.dtype.kind != "f" or any(x.dtype != input.dtype for x in given):
        raise DTypeError(
            op,
            "all tensors must be of one floating dtype, they are "
            + ", ".join(x.dtype.name for x in given),
            values=rows,
            repair="Convert them with .to(dtype).",
        )
    n, c = input.shape[:2]
    o, inner, *kernel = weight.shape
    if 0 in weight.shape or c % inner or o % (c // inner) or c == 0:
        raise ShapeError(
            op,
            "the weight does not fit the channels",
            law=[f"groups = C / weight.shape[1] = {c} / {inner} must be whole and divide O = {o}"],
            values=rows,
            repair=f"A weight of shape {(max(o, 1), max(c, 1), *kernel)} fits, in one group.",
            repairs=[{"weight": (o, c, *kernel)}] if c and o and min(kernel) else [],
        )
    out = tuple(map(output_size, input.shape[2:], kernel, stride, padding, dilation))
    if min(out) < 1:
        error = does_not_fit(op, input.shape, tuple(kernel), stride, padding, dilation, rows)
        error.repairs = []  # the offsets must follow
        raise error
    taps = math.prod(kernel)
    each = offset.shape[1] // (2 * taps)
    if offset.shape[1] % (2 * taps) or each == 0 or c % each:
        raise ShapeError(
            op,
            "the channels of offset do not fit the kernel and the channels",
            law=[
                "offset.shape[1] = 2 * D * KH*KW, where D divides C",
                f"{offset.shape[1]} = 2 * D * {taps} with D dividing {c} has no solution",
            ],
            values=rows,
            repair=f"With D = 1 it has {2 * taps} channels.",
            repairs=[{"offset": (n, 2 * taps, *out)}] if mask is None else [],
        )
    for name, value, channels in (("offset", offset, 2 * each * taps), ("mask", mask, each * taps)):
        wanted = (n, channels, *out)
        if value is not None and value.shape != wanted:
            raise ShapeError(
                op,
                f"{name} must be {wanted}",
                law=[
                    "H_out = floor((H + 2*padding - dilation*(KH - 1) - 1) / stride) + 1",
                    f"H_out, W_out = {out[0]}, {out[1]}",
                ],
                values=rows,
                repair=f"Give {name} the shape {wanted}.",
                repairs=[{name: wanted}],
            )
    if bias is not None and bias.shape != (o,):
        raise ShapeError(
            op,
            f"the bias must have one value per output channel, O = {o}",
            values=rows,
            repair=f"Give bias the shape {(o,)}.",
            repairs=[{"bias": (o,)}],
        )
    if 0 in input.shape[2:]:
        raise no_pixels(op, 2, input.shape, rows)
    return out
