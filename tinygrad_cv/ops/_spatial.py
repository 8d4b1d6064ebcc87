"""What convolution and pooling share: arguments per axis, single images, a kernel too large.

Along every spatial axis a window has ``kernel`` taps, ``dilation`` apart; consecutive windows are
``stride`` apart. Padding is kept as one pair (before, after) per axis.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS
from tinygrad_cv.backend.windows import output_size
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import check_bits
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "AXES",
    "axes_in_front",
    "batched",
    "channels_last",
    "does_not_fit",
    "letters",
    "no_pixels",
    "output_size",
    "pairs",
    "per_axis",
    "plain",
]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

_LARGE = 2**31  # what is larger is looked at more closely

AXES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}  # names of the spatial axes by their number


def batched(n: int, function: Callable[..., Any], input: Any, *arguments: Any) -> Any:
    """``function(input, *arguments)``, also of a single image, which has no batch axis; then the
    outputs have none either."""
    if input.ndim != n + 1:
        return function(input, *arguments)
    outputs = function(reshape(input, (1, *input.shape)), *arguments)
    if isinstance(outputs, tuple):
        return tuple(reshape(y, y.shape[1:]) for y in outputs)
    return reshape(outputs, outputs.shape[1:])


def letters(n: int, first: str = "N, C") -> str:
    """The axis letters of a shape: ``[N, C, H, W]``."""
    return f"[{', '.join((first, *AXES[n]))}]"


def axes_in_front(n: int, shape: Sizes, names: tuple[str, ...]) -> dict[str, Any]:
    """The repair of arguments that have the spatial axes only, for a ShapeError."""
    if len(shape) != n:
        return {}
    image = (1, 1, *shape)
    return {
        "repair": f"One channel of one sample: {names[0]}.reshape{image}.",
        "repairs": [dict.fromkeys(names, image)],
    }


def no_pixels(
    op: str, n: int, shape: Sizes, values: Sequence[tuple[Any, ...]], kernel: Sizes = ()
) -> ShapeError:
    """The error of an input of this shape that is empty along a spatial axis, and is to hold a
    kernel."""
    sizes = shape[-n:]
    fitting = (*shape[:-n], *map(max, sizes, kernel or (1,) * n))
    return ShapeError(
        op,
        "the input has no pixels; only its batch may be empty",
        law=[
            " * ".join(AXES[n]) + " >= 1",
            " * ".join(map(str, sizes)) + " >= 1 is false",
        ],
        values=values,
        repair=f"Give an input of shape {fitting} or larger.",
        repairs=[{"input": fitting}],
    )


def channels_last(shape: Sizes) -> str:
    """The layout of an array of this shape whose memory is channels-last.

    With one channel, or one position, the two orders are the same and count as contiguous.
    """
    trivial = shape[1] == 1 or math.prod(shape[2:]) == 1 or 0 in shape
    return CONTIGUOUS if trivial else CHANNELS_LAST


def per_axis(op: str, name: str, value: Any, n: int, least: int = 1) -> Sizes:
    """An int for all axes, or one per axis, as a tuple of n ints that are at least ``least``."""
    if type(value) is int and least <= value < _LARGE:
        return (value,) * n
    items = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(items) == 1:
        items *= n
    try:
        sizes = tuple(operator.index(item) for item in items)
    except TypeError:
        raise DTypeError(op, f"{name} must be whole numbers, not {value!r}") from None
    if len(sizes) != n:
        raise ArgumentError(
            op,
            f"{name} needs one int or {n}, one per axis {_names(n)}, got {value!r}",
            repair=f"Leave out batch and channels: {name}={sizes[2:]}."
            if len(sizes) == n + 2 and name in ("size", "output_size")
            else None,
        )
    for size in sizes:
        check_bits(op, name, size)
    if min(sizes) < least:
        raise ArgumentError(
            op,
            f"{name} must be at least {least} along every axis, got {value!r}",
            repair=f"Use {name}={least} or more.",
            repairs=[{name: least}],
        )
    return sizes


def pairs(op: str, padding: Any, n: int) -> Pairs:
    """Padding as (before, after) per axis, from an int, one int per axis, or one pair per axis."""
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != n or any(
            not isinstance(p, (tuple, list)) or len(p) != 2 for p in padding
        ):
            raise ArgumentError(
                op,
                f"padding needs {n} pair(s) (before, after), one per axis {_names(n)}, "
                f"got {padding!r}",
            )
        flat = per_axis(op, "padding", tuple(v for pair in padding for v in pair), 2 * n, least=0)
        return tuple(zip(flat[::2], flat[1::2], strict=True))
    return tuple((p, p) for p in per_axis(op, "padding", padding, n, least=0))


def plain(values: Sequence[Any]) -> Any:
    """Values per axis as a user would write them: as one, or as pairs, where that says it all."""
    short = tuple(v[0] if isinstance(v, tuple) and v[0] == v[1] else v for v in values)
    if any(isinstance(v, tuple) for v in short):
        return tuple(values)
    return short[0] if len(set(short)) == 1 else short


def does_not_fit(
    op: str,
    input: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    rows: Sequence[tuple[Any, ...]],
    can_pad: Callable[[Sizes, Pairs], bool] = lambda kernel, padding: True,
    ceil_mode: bool = False,
) -> ShapeError:
    """The error of a window that is larger than the padded input, with the repairs computed.

    ``can_pad`` says whether a padding is allowed at all (pooling limits it).
    """
    n = len(kernel)
    sizes = input[-n:]
    axes = range(n)
    out = [
        output_size(sizes[a], kernel[a], stride[a], padding[a], dilation[a], ceil_mode)
        for a in axes
    ]
    rounded = "ceil" if ceil_mode else "floor"
    bad = [a for a in axes if out[a] < 1]
    spans = [dilation[a] * (kernel[a] - 1) + 1 for a in axes]
    room = [sizes[a] + sum(padding[a]) for a in axes]

    needed = tuple(max(size, spans[a] - sum(padding[a])) for a, size in enumerate(sizes))
    fits = [" and ".join(f"{AXES[n][a]}_in >= {needed[a]}" for a in bad)]
    repairs: list[dict[str, Any]] = [{"input": (*input[:-n], *needed)}]

    wide = tuple(_wider(padding[a], spans[a] - sizes[a]) for a in axes)
    if can_pad(kernel, wide):
        least = [plain([wide[a]]) for a in bad]
        fits.append(_bound("padding", ">=", least, [AXES[n][a] for a in bad]))
        most = max(max(pad) for pad in wide)
        if all(before == after for before, after in wide) and can_pad(kernel, ((most, most),) * n):
            wide = tuple((most, most) for _ in axes)  # one number is easier to write
        repairs.append({"padding": plain(wide)})

    small = tuple(min(k, (room[a] - 1) // dilation[a] + 1) for a, k in enumerate(kernel))
    if min(small) >= 1 and can_pad(small, padding):
        fits.append(_bound("kernel", "<=", [small[a] for a in bad], [AXES[n][a] for a in bad]))
        repairs.append({"kernel_size": plain(small)})

    near = tuple(
        min(d, (room[a] - 1) // (kernel[a] - 1)) if kernel[a] > 1 else d
        for a, d in enumerate(dilation)
    )
    if min(near) >= 1 and near != dilation:
        fits.append(_bound("dilation", "<=", [near[a] for a in bad], [AXES[n][a] for a in bad]))
        repairs.append({"dilation": plain(near)})

    a = bad[0]
    letter = AXES[n][a]
    before, after = padding[a]
    even = before == after
    pad_law, pad_values = (
        ("2*padding", f"2*{before}") if even else ("before + after", f"{before} + {after}")
    )
    values = f"{sizes[a]} + {pad_values} - {dilation[a]}*({kernel[a]} - 1) - 1"
    start = f"{letter}_out ="
    law = [
        f"{start} {rounded}(({letter}_in + {pad_law} - dilation*(kernel - 1) - 1) / stride) + 1",
        f"{'=':>{len(start)}} {rounded}(({values}) / {stride[a]}) + 1 = {out[a]}",
    ]
    head = "Any of these fits: " if len(fits) > 1 else "This fits: "
    return ShapeError(
        op,
        "the kernel does not fit the input",
        law=law,
        values=rows,
        repair=head + ", ".join(fits) + ".",
        repairs=repairs,
    )


def _wider(pad: tuple[int, int], missing: int) -> tuple[int, int]:
    """The padding enlarged evenly until it adds up to ``missing`` or more."""
    more = max(0, -((sum(pad) - missing) // 2))
    return pad[0] + more, pad[1] + more


def _bound(name: str, relation: str, values: list[Any], axes: list[str]) -> str:
    if len(set(map(str, values))) == 1:
        return f"{name} {relation} {values[0]}"
    return " and ".join(
        f"{name} {relation} {v} along {axis}" for v, axis in zip(values, axes, strict=True)
    )


def _names(n: int) -> str:
    return ", ".join(AXES.get(n, ())) or str(n)
