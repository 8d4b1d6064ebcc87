"""What max and average pooling share: arguments, windows, and the blocks they work in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._spatial import (
    AXES,
    Pairs,
    Sizes,
    channels_last,
    does_not_fit,
    letters,
    output_size,
    pairs,
    per_axis,
    plain,
)

__all__ = [
    "Geometry",
    "Piece",
    "Step",
    "adaptive_size",
    "check_input",
    "coverage",
    "empty",
    "images",
    "layout",
    "oriented",
    "pool_args",
    "pool_positions",
    "refuse_empty",
    "steps",
    "windows",
]

BLOCK = 512 << 10  # bytes of input that are pooled at a time, so that all passes find them in cache


class Geometry(NamedTuple):
    """The windows of a pooling, per spatial axis.

    They start every ``stride``. With ``kernel`` None they are adaptive: window p covers the pixels
    from floor(p*size/positions) to ceil((p + 1)*size/positions), end not included.
    """

    sizes: Sizes
    positions: Sizes
    kernel: Sizes | None = None
    stride: Sizes | None = None
    padding: Pairs | None = None
    dilation: Sizes | None = None


class Piece(NamedTuple):
    """Along one axis: one tap of the window reads ``into`` for the positions ``at``."""

    into: slice
    at: slice


class Step(NamedTuple):
    """A tap of the window (counted in row-major order), what it reads, and for which positions."""

    tap: int
    into: tuple[slice, ...]
    at: tuple[slice, ...]


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
        if stride is None or (isinstance(stride, list) and not stride)
        else per_axis(op, "stride", stride, n)
    )
    spread = per_axis(op, "dilation", dilation, n)
    pads = pairs(op, padding, n)
    if not _allowed(kernel, pads, spread):
        most = tuple((d * (k - 1) + 1) // 2 for k, d in zip(kernel, spread, strict=True))
        raise ArgumentError(
            op,
            f"padding must be at most half of the kernel, got padding={padding!r} for "
            f"kernel_size={kernel_size!r} and dilation={dilation!r}",
            repair=f"Use padding={plain(most)} or less.",
            repairs=[{"padding": plain(most)}],
        )
    if input.ndim == n + 1:  # while the error can still show the shape that the user knows
        pool_positions(op, input, kernel, step, pads, spread, ceil_mode)
    return kernel, step, pads, spread


def check_input(op: str, n: int, input: Any) -> None:
    """Raise unless the input is [N, C, spatial...] or [C, spatial...] of numbers."""
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(
            op,
            f"the input needs {n + 2} axes {letters(n)}, or {n + 1} without the batch, "
            f"it has {input.ndim}",
            values=[("input", input.shape)],
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
    refuse_empty(op, n, input)
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
            can_pad=lambda kernel, pads: _allowed(kernel, pads, dilation),
            ceil_mode=ceil_mode,
        )
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
    return sizes


def refuse_empty(op: str, n: int, array: Any) -> None:
    """Raise if an array has no pixels."""
    if 0 in array.shape[-n:]:
        values = [("input", array.shape, _letters(array.shape, n))]
        raise ShapeError(op, "there is nothing to pool", values=values)


@lru_cache(maxsize=256)
def windows(geometry: Geometry) -> list[list[list[Piece]]]:
    """For every axis and tap, the pieces of input and output that the tap connects.

    Taps in the padding are left out.
    """
    if geometry.kernel is None:
        return [_adaptive(*axis) for axis in zip(geometry.sizes, geometry.positions, strict=True)]
    regular: Any = geometry
    return [
        [_taps(size, count, s, k * d - before) for k in range(taps)]
        for size, count, taps, s, (before, _), d in zip(*regular, strict=True)
    ]


@lru_cache(maxsize=256)
def steps(geometry: Geometry, first: int) -> list[Step]:
    """All taps of the window, as slices of arrays whose spatial axes start at ``first``."""
    lead = (slice(None),) * first
    found = []
    for tap, pieces in enumerate(product(*windows(geometry))):
        for cut in product(*pieces):
            into, at = zip(*cut, strict=True)
            found.append(Step(tap, lead + into, lead + at))
    return found


@lru_cache(maxsize=256)
def coverage(geometry: Geometry) -> tuple[bool, bool]:
    """Does every pixel belong to one window at most? Does every pixel belong to one at least?"""
    exclusive = complete = True
    for taps, size in zip(windows(geometry), geometry.sizes, strict=True):
        seen = [i for pieces in taps for piece in pieces for i in range(*piece.into.indices(size))]
        exclusive &= len(seen) == len(set(seen))
        complete &= len(set(seen)) == size
    return exclusive, complete


def layout(shape: Sizes, like: Any) -> str:
    """The memory layout of a result of this shape: that of the array or Spec it is made from.

    One pixel per channel is in both orders; then it is channels-last, as convolutions want it.
    """
    one_pixel = set(like.shape[2:]) == {1}
    return channels_last(shape) if one_pixel or layout_of(like) == CHANNELS_LAST else CONTIGUOUS


def empty(xp: Any, shape: Sizes, dtype: Any, like: Any) -> Any:
    """A new array in the layout of ``like``."""
    return memory.empty(shape, dtype, layout(shape, like), xp)


def oriented(last: bool, *arrays: Any) -> tuple[Any, ...]:
    """The arrays seen as [N, ..., C] if ``last``, so that new arrays beside them run alike."""
    if not last:
        return arrays
    return tuple(a.transpose(0, *range(2, a.ndim), 1) for a in arrays)


def images(xp: Any, array: Any) -> Iterator[slice]:
    """Blocks of whole images of ``array`` that fit the cache together; on a GPU, all at once."""
    count = array.shape[0]
    size = max(1, array.nbytes // max(1, count))
    step = max(1, BLOCK // size) if xp is np else max(1, count)
    for low in range(0, count, step):
        yield slice(low, min(low + step, count))


def _taps(size: int, count: int, stride: int, offset: int) -> list[Piece]:
    """The positions whose tap at ``p*stride + offset`` lies inside the input."""
    low = max(0, -(offset // stride))
    high = min(count, (size - 1 - offset) // stride + 1)
    if high <= low:
        return []
    start = low * stride + offset
    return [Piece(slice(start, (high - 1) * stride + offset + 1, stride), slice(low, high))]


def _adaptive(size: int, count: int) -> list[list[Piece]]:
    starts = [p * size // count for p in range(count)]
    ends = [-(-(p + 1) * size // count) for p in range(count)]
    longest = max(e - s for s, e in zip(starts, ends, strict=True))
    taps = []
    for k in range(longest):
        pieces, p = [], 0
        while p < count:
            if starts[p] + k >= ends[p]:
                p += 1
                continue
            # As many equally spaced windows as follow each other make one piece.
            run = p + 1
            gap = starts[run] - starts[p] if run < count else 1
            while (
                run < count
                and gap > 0
                and starts[run] - starts[run - 1] == gap
                and starts[run] + k < ends[run]
            ):
                run += 1
            into = slice(starts[p] + k, starts[run - 1] + k + 1, max(gap, 1))
            pieces.append(Piece(into, slice(p, run)))
            p = run
        taps.append(pieces)
    return taps


def _allowed(kernel: Sizes, padding: Pairs, dilation: Sizes) -> bool:
    """Every window must see a pixel: at most half of it may lie in the padding."""
    return all(
        max(pad) <= (d * (k - 1) + 1) // 2
        for k, pad, d in zip(kernel, padding, dilation, strict=True)
    )


def _letters(shape: Sizes, n: int) -> str:
    return letters(n, "C" if len(shape) == n + 1 else "N, C")
