"""What a convolution in compiled loops is: its case, its numbers for the loops, working memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import checking

__all__ = ["Case", "Sizes", "lines_seen", "lines_that_fit", "partial_sums", "parts_of"]
__all__ += ["thread_rows", "three"]

LONG = 1 << 13  # outputs of a part of a sum: the longer it is, the larger its error in float32
SHARE = 32  # the parts take at most this part of the memory of input and output

Sizes = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A convolution of ``images`` x ``sizes`` x ``channels`` to ``outputs``, gradients included.
    It knows its numbers once it was asked for them."""

    images: int
    channels: int
    sizes: Sizes
    outputs: int
    positions: Sizes
    kernel: Sizes
    stride: Sizes
    before: Sizes
    dilation: Sizes
    groups: int

    @cached_property
    def multiplications(self) -> int:
        taps, places = math.prod(self.kernel), self.images * math.prod(self.positions)
        return places * self.outputs * self.channels // self.groups * taps

    @cached_property
    def is_pointwise(self) -> bool:
        """True if every output is made of the pixel in its place."""
        return max(self.kernel) == max(self.stride) == 1 and self.sizes == self.positions

    @cached_property
    def geometry(self) -> Any:
        """Kernel, stride, padding before and dilation for three axes, then the groups; not to be
        written."""
        lists = (self.kernel, 1), (self.stride, 1), (self.before, 0), (self.dilation, 1)
        numbers = [number for values, fill in lists for number in three(values, fill)]
        geometry = np.array([*numbers, self.groups], np.int64)
        geometry.flags.writeable = False
        return geometry


def three(values: Sizes, fill: int = 0) -> Sizes:
    """Numbers of the last axes, with those of the missing axes in front."""
    return (fill,) * (3 - len(values)) + values


def lines_seen(case: Case, together: int) -> tuple[int, int]:
    """How many lines of the input that many lines of outputs see, and pixels of a padded line."""
    kernel, stride = three(case.kernel, 1), three(case.stride, 1)
    dilation, positions = three(case.dilation, 1), three(case.positions, 1)
    rows, width = (
        (count - 1) * s + (k - 1) * d + 1
        for count, s, k, d in zip(
            (together, positions[2]), stride[1:], kernel[1:], dilation[1:], strict=True
        )
    )
    return rows, max(width, case.before[-1] + 1)


def lines_that_fit(
    case: Case, most: int, fits: Callable[[int, int, int], bool]
) -> tuple[int, int, int]:
    """How many lines of outputs to work on together, at most ``most``, halved until
    ``fits(together, rows, width)`` of ``lines_seen`` says yes; then these two."""
    together = most
    while True:
        rows, width = lines_seen(case, together)
        if together == 1 or fits(together, rows, width):
            return together, rows, width
        together = -(-together // 2)


def thread_rows(name: str, workers: int, floats: int) -> Any:
    """A row of working memory for each thread, from 64 bytes to 64 bytes: no two threads write into
    one line of the cache. A float too many would be hidden by this, so not under checks."""
    step = 1 if checking.ON else 16
    return memory.scratch((workers, -(-floats // step) * step), np.float32, f"convolution.{name}")


def parts_of(case: Case, workers: int, size: int) -> int:
    """How many parts a weight gradient, ``size`` floats each, is summed in: one for each thread, or
    more where the sums are long and their memory small beside that of input and output."""
    places = case.images * math.prod(case.positions)
    floats = case.images * math.prod(case.sizes) * case.channels + places * case.outputs
    return max(workers, min(places // LONG, floats // (SHARE * size)) // workers * workers)


def partial_sums(*shape: int) -> Any:
    """Room for parts of sums, which are added up at the end."""
    return memory.scratch(shape, np.float32, "convolution.parts")
