"""Reading and checking the arguments of convolution and transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._spatial import (
    AXES,
    Pairs,
    Sizes,
    does_not_fit,
    letters,
    no_pixels,
    pairs,
    per_axis,
    plain,
)

__all__ = ["check_conv", "check_grads", "conv_args", "transpose_args"]

Rows = list[tuple[Any, ...]]


def conv_args(
    n: int, input: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> tuple[Sizes, Pairs, Sizes, int]:
    """(stride, padding, dilation, groups) of an n-dimensional convolution, per axis.

    'same' gives ceil(size / stride) positions; an odd pixel of padding goes behind. 'valid': none.
    """
    op = f"conv{n}d"
    _check_ranks(op, n, input, weight, "[O, C/groups, {}]")
    stride = per_axis(op, "stride", stride, n)
    dilation = per_axis(op, "dilation", dilation, n)
    groups = per_axis(op, "groups", groups, 1)[0]
    if input.ndim == n + 1 and input.shape[0] != groups * weight.shape[1]:
        rows = [
            ("input", input.shape, letters(n, "C")),
            ("weight", weight.shape, f"[O, C/groups, {_taps(n)}]"),
        ]
        raise _bad_channels(op, n, input.shape, weight.shape, groups, rows)
    if padding == "valid":
        return stride, ((0, 0),) * n, dilation, groups
    if padding == "same":
        totals = [
            max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip(
                input.shape[-n:], weight.shape[2:], stride, dilation, strict=True
            )
        ]
        return stride, tuple((total // 2, total - total // 2) for total in totals), dilation, groups
    if isinstance(padding, str):
        raise ArgumentError(
            op,
            f"unknown padding {padding!r}",
            repair="Use 'same', 'valid' or numbers.",
            repairs=[{"padding": "same"}],
        )
    return stride, pairs(op, padding, n), dilation, groups


def transpose_args(
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
    output_size: Any,
) -> tuple[Sizes, Sizes, Pairs, Sizes, int]:
    """(output shape without N, stride, padding, dilation, groups) of a transposed convolution.

    What ``output_padding`` adds is what padding takes away less, so it is returned as padding.
    """
    op = f"conv_transpose{n}d"
    _check_ranks(op, n, input, weight, "[C, O/groups, {}]")
    stride = per_axis(op, "stride", stride, n)
    dilation = per_axis(op, "dilation", dilation, n)
    groups = per_axis(op, "groups", groups, 1)[0]
    pads = pairs(op, padding, n)
    kernel, sizes = weight.shape[2:], input.shape[-n:]
    rows = _rows(n, input, weight, bias, "[C, O/groups, {}]", "[O]")
    _check_dtypes(op, [("input", input), ("weight", weight), ("bias", bias)])
    channels = input.shape[-n - 1]
    if channels != weight.shape[0]:
        raise ShapeError(
            op,
            f"the input has {channels} channels, the weight takes {weight.shape[0]}",
            values=rows,
            repair=f"Make the layer with in_channels={channels}.",
            repairs=[{"weight": (channels, *weight.shape[1:])}]
            if channels and channels % groups == 0
            else [],
        )
    _check_groups(op, groups, channels, "C", rows)
    if 0 in weight.shape or 0 in sizes:
        raise _empty(op, input.shape, weight.shape, n, rows)
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        raise _bad_bias(op, weight.shape[1] * groups, rows)
    least = [
        (size - 1) * s - before - after + d * (k - 1) + 1
        for size, s, (before, after), d, k in zip(
            sizes, stride, pads, dilation, kernel, strict=True
        )
    ]
    if output_size is not None:
        wanted = _wanted(op, output_size, n)
        extra = tuple(w - size for w, size in zip(wanted, least, strict=True))
    else:
        extra = per_axis(op, "output_padding", output_padding, n, least=0)
    limit = tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))
    if any(not 0 <= e <= most for e, most in zip(extra, limit, strict=True)):
        raise _bad_extra(op, output_size, extra, tuple(least), limit, rows)
    out = tuple(size + e for size, e in zip(least, extra, strict=True))
    if min(out) < 1:
        raise _nothing_left(op, n, sizes, kernel, stride, pads, dilation, extra, out, rows)
    pads = tuple((before, after - e) for (before, after), e in zip(pads, extra, strict=True))
    return (weight.shape[1] * groups, *out), stride, pads, dilation, groups


def _empty(op: str, input: Sizes, weight: Sizes, n: int, rows: Rows) -> ShapeError:
    """The error of a transposed convolution of nothing, or by nothing. Its gradient would be the
    convolution that gives back an image of size 0, and there is none."""
    if 0 in weight:
        return ShapeError(op, "the weight has an axis of size 0", values=rows)
    return no_pixels(op, n, input, rows)


def _bad_extra(
    op: str, output_size: Any, extra: Sizes, least: Sizes, limit: Sizes, rows: Rows
) -> ArgumentError | ShapeError:
    """The error of an output that a convolution would not bring back to the input."""
    most = tuple(size + e for size, e in zip(least, limit, strict=True))
    possible = f"Any output size from {least} to {most} fits."
    if output_size is None:
        return ArgumentError(
            op,
            f"output_padding must be at least 0 and smaller than stride or dilation, got {extra}",
            values=rows,
            repair=possible,
            repairs=[{"output_padding": limit}] if min(least) > 0 else [],
        )
    return ShapeError(
        op,
        f"an output of size {output_size} cannot come from this input",
        law=[
            "size_out = (size_in - 1)*stride - 2*padding + dilation*(kernel - 1) + 1 + e",
            "where 0 <= e < max(stride, dilation)",
        ],
        values=[*rows, ("smallest", least), ("largest", most)],
        repair=possible,
        repairs=[{"output_size": s} for s in (least, most) if min(s) > 0],
    )


def _wanted(op: str, output_size: Any, n: int) -> Sizes:
    """The spatial sizes of ``output_size``, which may be the shape of the whole output."""
    whole = isinstance(output_size, (tuple, list)) and len(output_size) in (n + 1, n + 2)
    return per_axis(op, "output_size", output_size[-n:] if whole else output_size, n)


def check_conv(
    input: Spec,
    weight: Spec,
    bias: Spec | None,
    out: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> None:
    """Raise what is wrong with the inputs of ``Conv``, which give ``out`` positions."""
    n = len(stride)
    channels, (outputs, inputs) = input.shape[1], weight.shape[:2]
    if (
        input.ndim == weight.ndim == n + 2
        and channels == groups * inputs
        and outputs % groups == 0
        and min(out) >= 1
        and min(weight.shape[2:]) >= 1
        and input.dtype == weight.dtype
        and input.dtype.kind != "b"
        and (bias is None or (bias.shape == (outputs,) and bias.dtype == input.dtype))
    ):
        return
    op = f"conv{n}d"
    _check_ranks(op, n, input, weight, "[O, C/groups, {}]")
    _check_dtypes(op, [("input", input), ("weight", weight), ("bias", bias)])
    rows = _rows(n, input, weight, bias, "[O, C/groups, {}]", "[O]")
    _check_groups(op, groups, outputs, "O", rows)
    if channels != groups * inputs:
        raise _bad_channels(op, n, input.shape, weight.shape, groups, rows)
    if bias is not None and bias.shape != (outputs,):
        raise _bad_bias(op, outputs, rows)
    if min(weight.shape[2:]) < 1:
        raise ShapeError(op, "the kernel has no taps", values=rows)
    if min(out) < 1:
        raise does_not_fit(op, input.shape, weight.shape[2:], stride, padding, dilation, rows)


def check_grads(
    op: str, grad: Spec, other: Spec, input: Sizes, weight: Sizes, out: Sizes, groups: int
) -> None:
    """Raise if the gradient of an output with ``out`` positions does not fit input and weight."""
    n, shape, fits = len(out), (input[0], weight[0], *out), input[1] == groups * weight[1]
    if grad.shape == shape and fits and weight[0] % groups == 0 and grad.dtype == other.dtype:
        return
    rows = [
        ("grad", grad.shape, letters(n, "N, O")),
        ("input", input, letters(n)),
        ("weight", weight, f"[O, C/groups, {_taps(n)}]"),
    ]
    if grad.shape != shape:
        raise ShapeError(op, f"the output gradient must have shape {shape}", values=rows)
    if not fits:
        raise ShapeError(
            op,
            f"the input has {input[1]} channels, the weight takes {groups * weight[1]}",
            law=["C = groups * weight.shape[1]", f"{input[1]} != {groups} * {weight[1]}"],
            values=rows,
        )
    _check_dtypes(op, [("grad", grad), ("other", other)])
    _check_groups(op, groups, weight[0], "O", rows)


def _check_ranks(op: str, n: int, input: Any, weight: Any, form: str) -> None:
    if weight.ndim == n + 2 and input.ndim in (n + 1, n + 2):
        return
    rows = [("input", input.shape, letters(n)), ("weight", weight.shape, form.format(_taps(n)))]
    if weight.ndim != n + 2:
        raise ShapeError(
            op,
            f"the weight needs {n + 2} axes {form.format(_taps(n))}, it has {weight.ndim}",
            values=rows,
        )
    raise ShapeError(
        op,
        f"the input needs {n + 2} axes {letters(n)}, or {n + 1} without the batch, "
        f"it has {input.ndim}",
        values=rows,
        repair="Add the missing axes with unsqueeze or reshape." if input.ndim < n + 1 else None,
    )


def _check_dtypes(op: str, arrays: Sequence[tuple[str, Any]]) -> None:
    present = [(name, array.dtype) for name, array in arrays if array is not None]
    dtypes = dict.fromkeys(dtype.name for _, dtype in present)
    if len(dtypes) > 1:
        given, wanted = present[0][1], present[1][1].name
        repair = f"Convert the input with .to({wanted!r})"
        if given.kind == "f":
            repair += ", or the layer with .to(dtype)"
        elif given.name == "uint8":
            repair += "; / 255 then puts the pixels of an image between 0 and 1"
        raise DTypeError(
            op,
            f"the dtypes differ: {' and '.join(dtypes)}",
            values=present,
            repair=repair + ".",
        )
    if present[0][1].kind == "b":
        raise DTypeError(
            op, "bool has no sums of products", values=present, repair="Convert with .float()."
        )


def _check_groups(op: str, groups: int, channels: int, letter: str, rows: Rows) -> None:
    if channels % groups:
        fitting = [d for d in range(min(groups, channels), 0, -1) if channels % d == 0]
        raise ShapeError(
            op,
            f"{letter} = {channels} channels cannot be split into groups = {groups}",
            values=rows,
            repair=f"groups must divide {channels}, for example {fitting[0]}.",
        )


def _bad_channels(
    op: str, n: int, input: Sizes, weight: Sizes, groups: int, rows: Rows
) -> ShapeError:
    axis = len(input) - n - 1  # of the channels; 0 without a batch
    channels, (outputs, inputs) = input[axis], weight[:2]
    wanted = groups * inputs
    repair = ""
    repairs: list[dict[str, Any]] = []
    places = [a for a in range(axis + 1, len(input)) if input[a] == wanted]
    if places == [len(input) - 1]:
        axes = (*range(axis), *places, *range(axis, len(input) - 1))
        repair = f"The channels seem to be last: input.permute{axes}, or else "
    elif axis == 0 and wanted == 1:
        repair = "If this is a batch of grey images: input.unsqueeze(1), or else "
    elif axis == 0 and places == [1]:
        repair = "If this is a batch [N, C, ...] that lacks an axis: input.unsqueeze(2), or else "
    elif len(places) == 1:
        repair = f"The channels seem to be in axis {places[0]}: input.movedim({places[0]}, {axis}),"
        repair += " or else "
    if channels and channels % groups == 0:
        repairs.append({"weight": (outputs, channels // groups, *weight[2:])})
        text = f"make the layer with in_channels={channels}"
    else:
        repairs.append({"input": (*input[:axis], wanted, *input[axis + 1 :])})
        text = f"give an input with {wanted} channels"
    if inputs and channels % inputs == 0 and channels and outputs % (channels // inputs) == 0:
        text += f", or groups={channels // inputs}"
        repairs.append({"groups": channels // inputs})
    return ShapeError(
        op,
        f"the input has {channels} channels, the weight takes {wanted}",
        law=["C = groups * weight.shape[1]", f"{channels} != {groups} * {inputs}"],
        values=rows,
        repair=(repair + text if repair else text[0].upper() + text[1:]) + ".",
        repairs=repairs,
    )


def _bad_bias(op: str, outputs: int, rows: Rows) -> ShapeError:
    return ShapeError(
        op,
        f"the bias must have shape ({outputs},), one value per output channel",
        values=rows,
        repairs=[{"bias": (outputs,)}],
    )


def _nothing_left(
    op: str,
    n: int,
    sizes: Sizes,
    kernel: Sizes,
    stride: Sizes,
    pads: Pairs,
    dilation: Sizes,
    extra: Sizes,
    out: Sizes,
    rows: Rows,
) -> ShapeError:
    """The error of a transposed convolution whose padding takes away the whole output."""
    a = min(range(n), key=lambda axis: out[axis])
    name = AXES[n][a]
    even = all(before == after for before, after in pads)
    before, after = pads[a]
    pad_law, pad_value = (
        ("2*padding", f"2*{before}") if even else ("before - after", f"{before} - {after}")
    )
    start = f"{name}_out ="
    values = f"({sizes[a]} - 1)*{stride[a]} - {pad_value} + {dilation[a]}*({kernel[a]} - 1)"
    law = [
        f"{start} ({name}_in - 1)*stride - {pad_law} + dilation*(kernel - 1) + output_padding + 1",
        f"{'=':>{len(start)}} {values} + {extra[a]} + 1 = {out[a]}",
    ]
    full = [o + b + e for o, (b, e) in zip(out, pads, strict=True)]
    fitting = tuple(
        (min(b, (f - 1) // 2), min(e, (f - 1) // 2)) for f, (b, e) in zip(full, pads, strict=True)
    )
    repair, repairs = None, []
    if min(full) >= 1:
        repair = f"This fits: padding={plain(fitting)}."
        repairs = [{"padding": plain(fitting)}]
    return ShapeError(
        op, "nothing is left of the output", law=law, values=rows, repair=repair, repairs=repairs
    )


def _taps(n: int) -> str:
    """The axis letters of a kernel."""
    return ", ".join("K" + axis if n > 1 else "K" for axis in AXES[n])


def _rows(n: int, input: Any, weight: Any, bias: Any, form: str, bias_form: str) -> Rows:
    kernel = form.format(_taps(n))
    rows: Rows = [("input", input.shape, letters(n)), ("weight", weight.shape, kernel)]
    if bias is not None:
        rows.append(("bias", bias.shape, bias_form))
    return rows
