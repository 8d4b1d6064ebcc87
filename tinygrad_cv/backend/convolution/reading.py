"""How a convolution reads its input: the windows of a block of positions as one strided view.

At output position p, tap k of the kernel meets the pixel at ``p*stride + start + k*dilation``, so
the windows overlap in memory and nothing is copied. Only where a window hangs over the border does
a block read from a copy with zeros around it: small, reused, and still in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import mul
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.convolution.blocks import Block, BlockGroup, Window, blocks
from tinygrad_cv.backend.layout import copy_pixels, pixels

__all__ = ["strided", "windows"]

Sizes = tuple[int, ...]


def windows(
    xp: Any,
    input: Any,
    positions: Sizes,
    window: Window,
    limit: int,
    channels_first: bool = False,
) -> Iterator[tuple[Block, Any]]:
    """Yield ``(block, view[n, p..., k..., c])`` for blocks of about ``limit`` positions (n, p).

    One pixel's channels follow each other in memory; if ``channels_first``, the pixels of one
    channel do. A view holds until the next is asked for.
    """
    source = pixels(input)
    run = -2 if channels_first else -1  # the axis of the source that must be without gaps
    direct = source.strides[run] == source.itemsize
    sizes = (input.shape[0], *input.shape[2:])
    for group in blocks(sizes, positions, window, limit):
        if direct and not group.zeros:
            for block in group.blocks:
                yield block, _view(xp, source[block.pixels], group, window)
            continue
        padded = _scratch(xp, group, source, channels_first)
        for edge in group.zeros:
            padded[edge] = 0
        inside, view = padded[group.inside], _view(xp, padded, group, window)
        for block in group.blocks:
            copy_pixels(xp, source[block.pixels], inside)
            yield block, view


def strided(xp: Any, array: Any, shape: Sizes, strides: Sizes) -> Any:
    """The memory of an array, read with another shape and other strides."""
    return xp.lib.stride_tricks.as_strided(array, shape, strides)


def _scratch(xp: Any, group: BlockGroup, source: Any, channels_first: bool) -> Any:
    """Working memory [n, spatial..., c] for what one block of the group reads."""
    images, *sizes = group.extent
    channels = source.shape[-1]
    if channels_first:
        planes = memory.scratch((images, channels, *sizes), source.dtype, "convolution.padded", xp)
        return pixels(planes)
    return memory.scratch((images, *sizes, channels), source.dtype, "convolution.padded", xp)


def _view(xp: Any, piece: Any, group: BlockGroup, window: Window) -> Any:
    """``view[n, p..., k..., c]`` of the pixels [n, spatial..., c] that a block reads."""
    image, *steps, channel = piece.strides
    shape = (*group.counts, *window.kernel, piece.shape[-1])
    strides = (
        image,
        *map(mul, steps, window.stride),
        *map(mul, steps, window.dilation),
        channel,
    )
    return strided(xp, piece, shape, strides)
