"""Checking the shapes of a deformable convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._spatial import Pairs, Sizes, does_not_fit, no_pixels, output_size, plain

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
            raise ShapeError(
                op,
                f"{name} must have 4 axes, it has {value.ndim}",
                values=rows,
                repair=f"{name}.unsqueeze(0) adds the batch axis."
                if value.ndim == 3 and name != "weight"
                else None,
            )
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
            repair=_channel_repair(offset.shape[1], taps, c, mask),
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
                **_shape_repair(name, value.shape, wanted, rows, (stride, padding, dilation)),
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


def _channel_repair(channels: int, taps: int, c: int, mask: Any) -> str:
    """One convolution often makes offsets and mask together; they are then still to be taken
    apart."""
    each = channels // (3 * taps)
    if mask is None and each and channels % (3 * taps) == 0 and c % each == 0:
        return (
            f"If it is offsets and mask in one: offset.split([{2 * each * taps}, {each * taps}], "
            "dim=1), and sigmoid() of the second."
        )
    return f"With D = 1 it has {2 * taps} channels."


def _shape_repair(
    name: str,
    given: Sizes,
    wanted: Sizes,
    rows: Sequence[tuple[Any, ...]],
    geometry: tuple[Sizes, Pairs, Sizes],
) -> dict[str, Any]:
    """The right shape, and the padding or the stride that goes with the offset as it is."""
    shapes = {row[0]: row[1] for row in rows}
    text = f"Give {name} the shape {wanted}"
    repairs: list[dict[str, Any]] = [{name: wanted}]
    if given[:2] == wanted[:2] and "mask" not in shapes and min(given) > 0:
        text += ", by a convolution with the kernel size, stride, padding and dilation of this one"
        for option, value in _fitting(
            shapes["input"][2:], shapes["weight"][2:], *geometry, given[2:]
        ).items():
            text += f"; or use {option}={value} here"
            repairs.append({option: value})
    return {"repair": text + ".", "repairs": repairs}


def _fitting(
    sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes, out: Sizes
) -> dict[str, Any]:
    """The smallest padding that gives ``out`` positions, else the stride that does, if any does."""

    def gives_out(stride: Sizes, padding: Pairs) -> bool:
        return tuple(map(output_size, sizes, kernel, stride, padding, dilation)) == out

    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    least = [
        max(0, -(-((o - 1) * s + span - size) // 2))
        for o, s, span, size in zip(out, stride, spans, sizes, strict=True)
    ]
    pads = tuple((p, p) for p in least)
    # a padding as wide as the kernel, which then reads zeros only, is not what was meant
    if all(p < span for p, span in zip(least, spans, strict=True)) and gives_out(stride, pads):
        return {"padding": plain(pads)}
    step = (sizes[0] + sum(padding[0]) - spans[0]) // out[0] + 1
    return {"stride": step} if gives_out((step, step), padding) else {}
