"""What max and average pooling share: arguments, the shape rule, and the memory layout."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._spatial import (
    AXES,
    Pairs,
    Sizes,
    axes_in_front,
    channels_last,
    does_not_fit,
    letters,
    no_pixels,
    output_size,
    pairs,
    per_axis,
    plain,
)

__all__ = [
    "adaptive_size",
    "check_input",
    "layout",
    "pool_args",
    "pool_positions",
    "refuse_empty",
]


def pool_args(
    op: str,
    n: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
) -> tuple[Sizes, Sizes, Pairs, Sizes]:
    """(kernel_size, stride, padding, dilation) per axis; the stride is the kernel size if None."""
    check_input(op, n, input)
    kernel = per_axis(op, "kernel_size", kernel_size, n)
    step = (
        kernel
        if stride is None or (isinstance(stride, (list, tuple)) and not stride)
        else per_axis(op, "stride", stride, n)
    )
    spread = per_axis(op, "dilation", dilation, n)
    pads = pairs(op, padding, n)
    if not _allowed(kernel, pads):
        most = tuple(k // 2 for k in kernel)
        raise ArgumentError(
            op,
            f"padding must be at most half of the kernel, got padding={padding!r} for "
            f"kernel_size={kernel_size!r} (dilation does not count)",
            repair=f"Use padding={plain(most)} or less.",
            repairs=[{"padding": plain(most)}],
        )
    if input.ndim == n + 1:  # while the error can still show the shape that the user knows
        pool_positions(op, input, kernel, step, pads, spread, ceil_mode)
    return kernel, step, pads, spread


def check_input(op: str, n: int, input: Any, alike: tuple[str, ...] = ("input",)) -> None:
    """Raise unless the input is [N, C, spatial...] or [C, spatial...] of numbers; ``alike`` are the
    arguments that have its shape."""
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(
            op,
            f"the input needs {n + 2} axes {letters(n)}, or {n + 1} without the batch, "
            f"it has {input.ndim}",
            values=[("input", input.shape)],
            **axes_in_front(n, input.shape, alike),
        )
    if input.dtype.kind == "b":
        raise DTypeError(
            op, "bool cannot be pooled", values=[("input", "bool")], repair="Convert with .float()."
        )


def pool_positions(
    op: str,
    input: Spec,
    kernel: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    ceil_mode: bool,
) -> Sizes:
    """The number of windows along every axis, or the error of a kernel that does not fit."""
    n = len(kernel)
    refuse_empty(
        op, n, input, tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    )
    sizes = input.shape[-n:]
    out = tuple(
        output_size(*axis, ceil_mode)
        for axis in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        rows = [
            ("input", input.shape, _letters(input.shape, n)),
            ("kernel_size", kernel, f"[{', '.join('K' + axis for axis in AXES[n])}]"),
        ]
        raise does_not_fit(
            op,
            input.shape,
            kernel,
            stride,
            padding,
            dilation,
            rows,
            can_pad=_allowed,
            ceil_mode=ceil_mode,
        )
    if any(d > size for d, size in zip(dilation, sizes, strict=True)):
        _refuse_blind(op, input, stride, padding, dilation)
    return out


def adaptive_size(op: str, n: int, input: Any, output_size: Any) -> Sizes:
    """The output size per axis; None keeps the size of the input."""
    check_input(op, n, input)
    items = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,)
    items = items * n if len(items) == 1 else items
    kept = input.shape[-n:] if len(items) == n else (None,) * len(items)
    size = tuple(old if new is None else new for new, old in zip(items, kept, strict=True))
    sizes = per_axis(op, "output_size", size, n)
    refuse_empty(op, n, input)
    elements = math.prod(input.shape[:-n]) * math.prod(sizes)
    if elements >= 2**48:  # bytes that no processor can address
        raise ArgumentError(
            op,
            f"output_size={output_size!r} makes {elements:.1e} elements, beyond any memory",
            values=[("input", input.shape, _letters(input.shape, n))],
        )
    return sizes


def refuse_empty(op: str, n: int, array: Any, kernel: Sizes = ()) -> None:
    """Raise if an array has no pixels."""
    if 0 in array.shape[-n:]:
        values = [("input", array.shape, _letters(array.shape, n))]
        raise no_pixels(op, n, array.shape, values, kernel)


def layout(shape: Sizes, like: Any) -> str:
    """The memory layout of a result of this shape: that of the array or Spec it is made from.

    One pixel per channel is in both orders; then it is channels-last, as convolutions want it.
    """
    one_pixel = set(like.shape[2:]) == {1}
    return channels_last(shape) if one_pixel or layout_of(like) == CHANNELS_LAST else CONTIGUOUS


def _allowed(kernel: Sizes, padding: Pairs) -> bool:
    """At most half of a window may lie in the padding, so that it sees a pixel."""
    return all(max(pad) <= k // 2 for k, pad in zip(kernel, padding, strict=True))


def _refuse_blind(op: str, input: Spec, stride: Sizes, padding: Pairs, dilation: Sizes) -> None:
    """Raise if a window has taps on both sides of the input and none in it. Such a window begins in
    the padding before the input, and its first tap after that lies behind the last pixel."""
    n = len(stride)
    sizes = input.shape[-n:]
    for a, (size, s, d) in enumerate(zip(sizes, stride, dilation, strict=True)):
        blind = [tap for tap in range(-padding[a][0], 0, s) if tap % d >= size]
        if blind:
            axis, last = AXES[n][a], blind[0] % d
            near = tuple(map(min, dilation, sizes))
            raise ShapeError(
                op,
                f"a window would see only padding: along {axis}, of size {size}, it has taps at "
                f"{last - d} and {last}",
                values=[("input", input.shape, _letters(input.shape, n)), ("dilation", dilation)],
                repair=f"Use a dilation of at most {size} along {axis}.",
                repairs=[{"dilation": plain(near)}],
            )


def _letters(shape: Sizes, n: int) -> str:
    return letters(n, "C" if len(shape) == n + 1 else "N, C")
