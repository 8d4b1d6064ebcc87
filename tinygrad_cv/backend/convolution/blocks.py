"""Cutting a convolution into blocks of output positions: integers only, worked out once a shape.

The blocks run through the images in order. Those inside an image look alike but for their place, so
they come in groups: what is prepared for the first block of a group serves the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, product
from typing import NamedTuple

import numpy as np

__all__ = ["Block", "BlockGroup", "Window", "block_bytes", "blocks", "boxes"]

Sizes = tuple[int, ...]
Box = tuple[slice, ...]

# What a GPU takes at a time. It gains nothing from small blocks; the limit keeps the columns of a
# 3x3 convolution, nine times as large as the input, from filling its memory.
GPU_BLOCK = 512 << 20


class Window(NamedTuple):
    """Where tap k of position p reads: ``p*stride + start + k*dilation``, per spatial axis."""

    kernel: Sizes
    stride: Sizes
    start: Sizes  # minus the padding in front
    dilation: Sizes


class Block(NamedTuple):
    """A block of output positions, and the pixels of the input that it reads."""

    positions: Box  # of (n, p...)
    rows: slice  # the same as a range of flat indices
    pixels: Box  # of (n, spatial...): those that exist


class BlockGroup(NamedTuple):
    """Consecutive blocks that read equally large pieces, with the same zeros around the input."""

    counts: Sizes  # positions of one block, along (n, p...)
    extent: Sizes  # pixels that one block reads, along (n, spatial...), zeros included
    inside: Box  # where in that extent the input lies
    zeros: tuple[Box, ...]  # the rest of it
    blocks: tuple[Block, ...]


def block_bytes(xp: object, nbytes: int) -> int:
    """How much to work on at a time: ``nbytes``, which a CPU's caches hold, or a GPU's share."""
    return nbytes if xp is np else GPU_BLOCK


@lru_cache(maxsize=256)
def blocks(sizes: Sizes, positions: Sizes, window: Window, limit: int) -> tuple[BlockGroup, ...]:
    """Blocks of about ``limit`` positions (n, p...) for an input with ``sizes`` (n, spatial...)."""
    found = [_read(box, sizes, positions, window) for box in boxes((sizes[0], *positions), limit)]
    return tuple(
        BlockGroup(counts, extent, inside, _outside(extent, inside), tuple(b for _, b in alike))
        for (counts, extent, inside), alike in groupby(found, key=lambda pair: pair[0])
    )


def _read(
    box: Box, sizes: Sizes, positions: Sizes, window: Window
) -> tuple[tuple[Sizes, Sizes, Box], Block]:
    """What the positions in ``box`` read: (counts, extent, inside), and the block itself."""
    counts = tuple(cut.stop - cut.start for cut in box)
    extent, inside, taken = [counts[0]], [slice(0, counts[0])], [box[0]]
    for cut, count, size, kernel, stride, start, dilation in zip(
        box[1:], counts[1:], sizes[1:], *window, strict=True
    ):
        first = cut.start * stride + start
        length = (count - 1) * stride + (kernel - 1) * dilation + 1
        low = min(max(first, 0), first + length)
        high = max(low, min(first + length, size))
        extent.append(length)
        inside.append(slice(low - first, high - first))
        taken.append(slice(low, high))
    block = Block(box, _flat((sizes[0], *positions), box, counts), tuple(taken))
    return (counts, tuple(extent), tuple(inside)), block


def _outside(extent: Sizes, inside: Box) -> tuple[Box, ...]:
    """Boxes that together cover the extent but for its inside."""
    found = []
    for axis, (cut, length) in enumerate(zip(inside, extent, strict=True)):
        for edge in (slice(0, cut.start), slice(cut.stop, length)):
            if edge.start < edge.stop:
                found.append((*(slice(None),) * axis, edge))
    return tuple(found)


def boxes(sizes: Sizes, limit: int) -> Iterator[Box]:
    """Cut a grid, in order, into boxes of consecutive cells, about ``limit`` cells each."""
    axis, below = 0, math.prod(sizes[1:])
    while below > limit and axis < len(sizes) - 1:  # single steps along the axes before `axis`
        axis += 1
        below //= sizes[axis]
    size = sizes[axis]
    parts = -(-size // max(1, limit // max(1, below)))
    step = max(1, -(-size // max(1, parts)))  # of nearly equal parts
    rest = tuple(slice(0, s) for s in sizes[axis + 1 :])
    for lead in product(*(range(s) for s in sizes[:axis])):
        for low in range(0, size, step):
            yield (*(slice(i, i + 1) for i in lead), slice(low, min(low + step, size)), *rest)


def _flat(sizes: Sizes, box: Box, counts: Sizes) -> slice:
    """The cells of a box of consecutive cells as a range of flat indices."""
    start = 0
    for cut, size in zip(box, sizes, strict=True):
        start = start * size + cut.start
    return slice(start, start + math.prod(counts))
