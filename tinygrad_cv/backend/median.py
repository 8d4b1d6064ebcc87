"""Order statistics of windows: the value of a given rank, and the tap that it came from.

Windows are copied side by side, a few megabytes at a time, so that the memory needed beside input
and output does not grow with the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import Spec

__all__ = ["window_ranks"]

BLOCK = 2 << 20  # bytes of windows that are ordered at a time; a GPU takes more
LARGE_BLOCK = 256 << 20

Sizes = tuple[int, ...]


def window_ranks(
    xp: Any, x: Any, kernel: Sizes, stride: Sizes, ranks: Sizes, values: Spec, taps: Spec
) -> list[tuple[Any, Any]]:
    """For every rank (values, taps): the element of each window that has this rank, counted from
    the smallest, and its place in the window in row-major order.

    Of equal values the first counts. A window with a NaN gives NaN, and its first NaN counts.

    >>> x = np.array([[[[3.0, 1.0, 2.0]]]])
    >>> spec = Spec((1, 1, 1, 1), x.dtype)
    >>> window_ranks(np, x, (1, 3), (1, 1), (1,), spec, spec._replace(dtype=np.dtype("uint8")))
    [(array([[[[2.]]]]), array([[[[2]]]], dtype=uint8))]
    """
    found = [(memory.empty(*values, xp=xp), memory.empty(*taps, xp=xp)) for _ in ranks]
    width = math.prod(kernel) * x.dtype.itemsize
    read = _reader(xp, x, kernel, stride)
    for block in _blocks(values.shape, max(1, (BLOCK if xp is np else LARGE_BLOCK) // width)):
        windows = read(block)  # [positions, taps]
        ordered = xp.partition(windows, ranks, axis=-1)
        nan = _nan(xp, windows)
        for rank, (value, tap) in zip(ranks, found, strict=True):
            wanted = ordered[:, rank, None]
            first = (windows == wanted).argmax(axis=-1)
            if nan is not None:
                first = xp.where(nan.any(axis=-1), nan.argmax(axis=-1), first)
            part = value[block]
            picked = xp.take_along_axis(windows, first[:, None], axis=-1)
            value[block] = picked.reshape(part.shape)
            tap[block] = first.reshape(part.shape)
    return found


def _reader(xp: Any, x: Any, kernel: Sizes, stride: Sizes) -> Any:
    """A function of a block of positions that gives a copy of their windows."""
    taps = math.prod(kernel)
    if xp is np:
        view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
        view = view[:, :, :: stride[0], :: stride[1]]
        return lambda block: view[block].reshape(-1, taps)

    def gathered(block: tuple[slice, ...]) -> Any:
        lines = [
            xp.arange(part.start, part.stop)[:, None] * s + xp.arange(k)
            for part, s, k in zip(block[2:], stride, kernel, strict=True)
        ]
        rows, columns = lines[0][:, None, :, None], lines[1][None, :, None, :]
        return x[block[:2]][:, :, rows, columns].reshape(-1, taps)

    return gathered


def _blocks(shape: Sizes, most: int) -> Iterator[tuple[slice, ...]]:
    """Cuts positions into blocks of at most ``most``, the last axes whole as long as they fit."""
    steps = []
    for size in reversed(shape):
        steps.append(max(1, min(size, most)))
        most //= steps[-1]
    cuts = [
        [slice(low, min(low + step, size)) for low in range(0, size, step)]
        for size, step in zip(shape, reversed(steps), strict=True)
    ]
    return itertools.product(*cuts)


def _nan(xp: Any, windows: Any) -> Any:
    """Where the windows have NaNs, or None if it is known that they have none."""
    if windows.dtype.kind != "f":
        return None
    nan = xp.isnan(windows)
    # Asking a GPU whether there is one would make the host wait for it.
    return nan if xp is not np or nan.any() else None
