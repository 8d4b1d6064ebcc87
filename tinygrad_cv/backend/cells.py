"""Where a point lies between pixels: the pixels around it, and its place in their cell.

Along each axis a point has a coordinate u, counted in pixels. The pixels that it reads, and how u
is clipped or reflected, are constant around the point; its place in the cell, t, is
``slope * point + origin`` with constants too. What is made of t by arithmetic can therefore be
differentiated at every order.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["TAPS", "base_places", "cells", "frame", "taps_of"]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}  # pixels along an axis


def taps_of(mode: str) -> int:
    """How many pixels a point reads along an axis."""
    return TAPS[mode]


def frame(size: int, align_corners: bool, normalized: bool) -> tuple[float, float, float]:
    """(lift, factor, shift) of ``u = (point + lift) * factor + shift``.

    Normalised points run from -1 to 1: from edge to edge of the image, or with ``align_corners``
    from the centre of the first pixel to that of the last.

    >>> frame(4, False, True), frame(4, True, True), frame(4, True, False)
    ((1.0, 2.0, -0.5), (1.0, 1.5, 0.0), (0.0, 1.0, 0.0))
    """
    if not normalized:
        return 0.0, 1.0, 0.0
    return (1.0, (size - 1) / 2, 0.0) if align_corners else (1.0, size / 2, -0.5)


def cells(
    xp: Any,
    points: Any,
    sizes: Sizes,
    mode: str,
    padding_mode: str,
    align_corners: bool,
    normalized: bool,
) -> tuple[Any, Any, Any]:
    """(index, slope, origin) of points [N, M, n], whose coordinate 0 is along the last axis.

    ``index`` int64 [taps, N, M] is flat in the plane, -1 outside; the taps are in row-major order.
    ``slope`` and ``origin`` are [N, M, n].
    """
    n = len(sizes)
    slope, origin = memory.empty(points.shape, points.dtype, xp=xp), xp.empty_like(points)
    places: list[list[Any]] = []
    for axis, size in enumerate(sizes):
        at = n - 1 - axis
        lift, factor, shift = frame(size, align_corners, normalized)
        g = points[..., at]
        u = (g + lift) * factor + shift
        found, base, turned = _axis(xp, u, size, mode, padding_mode, align_corners)
        places.append(found)
        slope[..., at] = turned * factor
        origin[..., at] = xp.where(turned != 0, base - turned * factor * g, base)
    index = memory.empty((TAPS[mode] ** n, *points.shape[:-1]), np.int64, xp=xp)
    for tap, each in enumerate(itertools.product(*places)):
        flat, outside = each[0], each[0] < 0
        for place, size in zip(each[1:], sizes[1:], strict=True):
            flat, outside = flat * size + place, outside | (place < 0)
        index[tap] = xp.where(outside, -1, flat)
    return index, slope, origin


def _axis(
    xp: Any, u: Any, size: int, mode: str, padding_mode: str, align_corners: bool
) -> tuple[list[Any], Any, Any]:
    """The pixels (-1 outside), the place t in the cell at this u, and dt/du, which is 0 or 1, or -1
    where it is reflected."""
    one = xp.ones_like(u)
    if mode == "bicubic":
        first = xp.floor(u)
        each = [_bounded(xp, first + k, size, padding_mode, align_corners)[0] for k in range(-1, 3)]
        return [_whole(xp, place, size) for place in each], u - first, one
    v, turned = _bounded(xp, u, size, padding_mode, align_corners)
    if mode == "nearest":
        return [_whole(xp, xp.rint(v), size)], xp.zeros_like(u), xp.zeros_like(u)
    first = xp.floor(v)
    return [_whole(xp, first, size), _whole(xp, first + 1, size)], v - first, turned * one


def _bounded(xp: Any, u: Any, size: int, padding_mode: str, align_corners: bool) -> tuple[Any, Any]:
    """The coordinate that is read for u, and its derivative: 0 where it is clipped, at the bounds
    too."""
    turned = 1.0
    if padding_mode == "zeros":
        return u, turned
    if padding_mode == "reflection":
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        if span == 0:
            return xp.zeros_like(u), xp.zeros_like(u)
        turned = xp.where(u < low, -1.0, 1.0).astype(u.dtype)
        distance = abs(u - low)
        flips = xp.floor(distance / span)
        rest = distance - flips * span
        odd = flips % 2 == 1
        u = low + xp.where(odd, span - rest, rest)
        turned = xp.where(odd, -turned, turned)
    inside = (u > 0) & (u < size - 1)
    return xp.clip(u, 0, size - 1), xp.where(inside, turned, 0.0).astype(u.dtype)


def _whole(xp: Any, place: Any, size: int) -> Any:
    """A place as int64, -1 if it is outside or not a number."""
    inside = (place >= 0) & (place <= size - 1)
    return xp.where(inside, place, -1).astype(np.int64)


def base_places(
    xp: Any,
    positions: Any,
    kernel: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    dtype: Any,
) -> tuple[Any, Any]:
    """Where the taps of a convolution read, down [K, P, 1] and across [K, 1, Q]."""
    down, across = (
        (xp.arange(count) * s - before)[None, :] + (xp.arange(k) * d)[:, None]
        for count, s, (before, _), k, d in zip(
            positions, stride, padding, kernel, dilation, strict=True
        )
    )
    return (
        xp.repeat(down, kernel[1], axis=0)[:, :, None].astype(dtype),
        xp.tile(across, (kernel[0], 1))[:, None, :].astype(dtype),
    )
