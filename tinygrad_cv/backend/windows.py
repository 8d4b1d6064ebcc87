"""How many windows fit an input, and which pixels those of a pooling cover: as slices, tap by tap,
for all windows at once."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

__all__ = ["Geometry", "Piece", "Tap", "coverage", "first_pixels", "output_size"]
__all__ += ["window_taps", "windows"]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def output_size(
    size: int,
    kernel: int,
    stride: int,
    pad: tuple[int, int],
    dilation: int,
    ceil_mode: bool = False,
) -> int:
    """Number of window positions along one axis; less than 1 if the window does not fit.

    With ``ceil_mode`` a last window may reach beyond the padded input, if it starts inside the
    input or the padding before it.

    >>> output_size(7, kernel=3, stride=2, pad=(1, 1), dilation=1)
    4
    """
    room = size + pad[0] + pad[1] - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad[0] else count


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


class Tap(NamedTuple):
    """A tap of the window, what it reads, and for which positions."""

    number: int  # in row-major order
    into: tuple[slice, ...]
    at: tuple[slice, ...]


@lru_cache(maxsize=256)
def windows(geometry: Geometry) -> list[list[list[Piece]]]:
    """For every axis and tap, the pieces of input and output that the tap connects.

    Taps in the padding are left out.
    """
    if geometry.kernel is None:
        return [_adaptive(*axis) for axis in zip(geometry.sizes, geometry.positions, strict=True)]
    regular: Any = geometry
    return [
        [_pieces(size, count, s, k * d - before) for k in range(taps)]
        for size, count, taps, s, (before, _), d in zip(*regular, strict=True)
    ]


@lru_cache(maxsize=256)
def window_taps(geometry: Geometry, first: int) -> list[Tap]:
    """All taps of the window, as slices of arrays whose spatial axes start at ``first``."""
    lead = (slice(None),) * first
    found = []
    for number, pieces in enumerate(product(*windows(geometry))):
        for cut in product(*pieces):
            into, at = zip(*cut, strict=True)
            found.append(Tap(number, lead + into, lead + at))
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


def first_pixels(geometry: Geometry) -> list[list[int]]:
    """For every axis, the pixel at which each window starts; in the padding it may be negative."""
    if geometry.kernel is None:
        axes = zip(geometry.sizes, geometry.positions, strict=True)
        return [[p * size // count for p in range(count)] for size, count in axes]
    regular: Any = geometry
    return [
        [p * s - before for p in range(count)]
        for count, s, (before, _) in zip(
            geometry.positions, regular.stride, regular.padding, strict=True
        )
    ]


def _pieces(size: int, count: int, stride: int, offset: int) -> list[Piece]:
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
