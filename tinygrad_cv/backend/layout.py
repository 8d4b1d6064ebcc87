"""The two memory orders of images, [N, C, ...] row by row and channels-last: views and copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of

__all__ = ["contiguous", "contiguous_pixels", "copied", "copy_pixels", "pixels", "reordered"]

GROUP = 16  # channels: as float32 they fill one cache line of a channels-last result
FEW = 4  # so few channels, as of pictures, are quicker one by one


def pixels(array: Any) -> Any:
    """[N, C, ...] seen as [N, ..., C]: contiguous if memory is channels-last.

    >>> pixels(np.zeros((1, 2, 3, 4))).shape
    (1, 3, 4, 2)
    """
    return array.transpose(0, *range(2, array.ndim), 1)


def contiguous(array: Any) -> Any:
    """The array itself if its memory runs row by row without gaps, else such a copy.

    >>> array = np.zeros((2, 3))
    >>> contiguous(array) is array, contiguous(array.T).strides
    (True, (16, 8))
    """
    if array.flags.c_contiguous:
        return array
    copy = memory.empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def contiguous_pixels(xp: Any, array: Any) -> Any:
    """[N, C, ...] as contiguous [N, ..., C]: a view if memory is in that order, else a copy.

    >>> contiguous_pixels(np, np.zeros((1, 2, 3, 4))).flags.c_contiguous
    True
    """
    view = pixels(array)
    return view if view.flags.c_contiguous else pixels(reordered(xp, array, CHANNELS_LAST))


def copied(xp: Any, array: Any) -> Any:
    """A copy in the layout of the array, without the gaps of a view.

    >>> copied(np, np.zeros((1, 2, 3, 4))[..., ::2]).strides
    (96, 48, 16, 8)
    """
    copy = memory.empty(array.shape, array.dtype, layout_of(array), xp)
    copy[...] = array
    return copy


def reordered(xp: Any, array: Any, layout: str) -> Any:
    """A copy of the array in memory of the given layout.

    On a CPU the channels go over to channels-last memory in groups, which takes less than half of
    the time of one plain assignment.

    >>> reordered(np, np.zeros((1, 2, 3, 4), "float32"), "channels_last").strides
    (96, 4, 32, 8)
    """
    out = memory.empty(array.shape, array.dtype, layout, xp)
    if layout == CONTIGUOUS:
        out[...] = array
    else:
        copy_pixels(xp, pixels(array), pixels(out))
    return out


def copy_pixels(xp: Any, source: Any, target: Any) -> None:
    """``target[...] = source``, both [N, ..., C]; from memory [N, C, ...] in groups of channels.

    >>> target = np.zeros((1, 2, 3))
    >>> copy_pixels(np, pixels(np.ones((1, 3, 2))), target)
    >>> target.sum()
    np.float64(6.0)
    """
    channels = target.shape[-1]
    group = GROUP if channels > FEW else 1
    if (
        xp is not np
        or source.strides[-1] == source.itemsize
        or target.strides[-1] != target.itemsize
    ):
        group = max(channels, 1)
    for first in range(0, channels, group):
        target[..., first : first + group] = source[..., first : first + group]
