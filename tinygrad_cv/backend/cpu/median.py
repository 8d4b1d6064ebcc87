"""Order statistics of windows in float32, several neighbouring windows at a time.

An image is given to the compiled loops as planes of rows, and the columns of a window as distances
along a row. In channels-last memory a row has the channels of its pixels side by side; with a
stride across, the pixels of a row are sorted by their remainder first, so that what neighbouring
windows read stands side by side as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.layout import contiguous_pixels
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["rank_filter", "rank_pair_filter", "register_kernels"]

Sizes = tuple[int, ...]

SMALLEST = 1 << 13  # windows
NETWORKS: dict[Sizes, int] = {(3, 3): 4, (5, 5): 12}  # windows with loops of their own: which rank
MOST = 1 << 15  # taps, which are numbered in 16 bits


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for op, function in (("rank_filter", rank_filter), ("rank_pair_filter", rank_pair_filter)):
        register(op, provider="numba", priority=10, supports=_takes)(function)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (kernel, stride, _) = specs, attributes
    return (
        input.dtype == np.float32
        and math.prod(kernel) <= MOST
        and repays(math.prod((*input.shape[:2], *_positions(input, kernel, stride))), SMALLEST)
    )


def rank_filter(
    xp: Any, input: Any, kernel_size: Sizes, stride: Sizes, rank: int
) -> tuple[Any, ...]:
    """``RankFilter.forward``."""
    from tinygrad_cv.backend.cpu.compiled import median as kernels

    workers = threads.get_num_threads()
    image, across, flags = _lines(input, kernel_size, stride)
    result = _Result(input, kernel_size, stride)
    windows = kernel_size[0], stride[0], across, flags
    if NETWORKS.get(kernel_size) == rank:
        taps = memory.empty(result.shape, np.uint8, result.layout)
        floats = kernel_size[0] * image.shape[2]
        scratch = memory.scratch((workers, floats), np.float32, "median.columns")
        kernels.median(image, result.lines(result.values), result.lines(taps), *windows, scratch)
        return result.values, taps
    kernels.rank(image, *result.both(), *windows, rank, workers)
    return result.values, result.taps()


def rank_pair_filter(
    xp: Any, input: Any, kernel_size: Sizes, stride: Sizes, rank: int
) -> tuple[Any, ...]:
    """``RankPairFilter.forward``."""
    from tinygrad_cv.backend.cpu.compiled import median as kernels

    workers = threads.get_num_threads()
    image, across, flags = _lines(input, kernel_size, stride)
    lower, upper = (_Result(input, kernel_size, stride) for _ in range(2))
    windows = kernel_size[0], stride[0], across, flags
    kernels.rank_pair(image, *lower.both(), *upper.both(), *windows, rank, workers)
    return lower.values, upper.values, lower.taps(), upper.taps()


class _Result:
    """The values of a filter, and room for the numbers of their taps."""

    def __init__(self, input: Any, kernel: Sizes, stride: Sizes) -> None:
        self.shape = (*input.shape[:2], *_positions(input, kernel, stride))
        self.layout, self.small = layout_of(input), math.prod(kernel) <= 256
        self.values = memory.empty(self.shape, np.float32, self.layout)
        self.numbers: Any = None

    def both(self) -> tuple[Any, Any]:
        """Values and taps as the loops write them."""
        self.numbers = memory.empty(self.shape, np.int16, self.layout)
        return self.lines(self.values), self.lines(self.numbers)

    def taps(self) -> Any:
        """The taps in the smallest dtype that can number them."""
        if not self.small:
            return self.numbers
        taps = memory.empty(self.shape, np.uint8, self.layout)
        taps[...] = self.numbers
        return taps

    def lines(self, array: Any) -> Any:
        """The same memory as [planes, rows, length of a row]."""
        n, c, p, q = self.shape
        if self.layout == CHANNELS_LAST:
            return array.transpose(0, 2, 3, 1).reshape(n, p, q * c)
        return array.reshape(n * c, p, q)


def _positions(input: Any, kernel: Sizes, stride: Sizes) -> Sizes:
    axes = zip(input.shape[2:], kernel, stride, strict=True)
    return tuple((size - k) // s + 1 for size, k, s in axes)


def _lines(input: Any, kernel: Sizes, stride: Sizes) -> tuple[Any, Any, Any]:
    """The image as [planes, rows, floats of a row], for every column of the window where it starts
    in a row, and working memory for a flag of every row."""
    n, c, h, w = input.shape
    if layout_of(input) == CHANNELS_LAST:
        image, planes, pixel = contiguous_pixels(input), n, c
    else:
        image, planes, pixel = contiguous(input), n * c, 1
    image, step = image.reshape(planes, h, w, pixel), stride[1]
    columns = np.arange(kernel[1])
    size = -(-w // step)
    if step > 1:
        sorted_image = memory.empty((planes, h, step, size, pixel), np.float32)
        for phase in range(step):
            part = image[:, :, phase::step]
            sorted_image[:, :, phase, : part.shape[2]] = part
            sorted_image[:, :, phase, part.shape[2] :] = 0
        image = sorted_image
    across = (columns % step * size + columns // step) * pixel
    flags = memory.scratch((planes, h), np.uint8, "median.flags")
    return image.reshape(planes, h, step * size * pixel), across.astype(np.int64), flags
