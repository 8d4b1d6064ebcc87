"""What a convolution is asked to do, and working memory for its threads."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory

__all__ = ["Case", "Pairs", "Sizes", "per_thread", "three"]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class Case(NamedTuple):
    """A convolution of ``images`` x ``sizes`` x ``channels`` to ``outputs``, gradients included."""

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

    @property
    def multiplications(self) -> int:
        taps, places = math.prod(self.kernel), self.images * math.prod(self.positions)
        return places * self.outputs * self.channels // self.groups * taps


def three(values: Sizes, fill: int = 0) -> Sizes:
    """Numbers of the last axes, with those of the missing axes in front."""
    return (fill,) * (3 - len(values)) + values


def per_thread(name: str, workers: int, floats: int) -> Any:
    """A row of working memory for each thread."""
    return memory.scratch((workers, -(-floats // 16) * 16), np.float32, f"convolution.{name}")
