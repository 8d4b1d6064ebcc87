"""Sums per channel of large float32 images in channels-last memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.layout import contiguous_pixels
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.spec import CHANNELS_LAST

__all__ = ["channel_sum", "register_kernels"]

SMALLEST = 1 << 15  # elements; below, NumPy is done before others are awake
RUN = 512  # sums side by side, about


def register_kernels() -> None:
    """Enter the kernel of this file into the table."""
    register("sum", provider="numba", priority=10, supports=_takes)(channel_sum)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (dims, _) = specs, attributes
    return (
        input.dtype == np.float32
        and input.layout == CHANNELS_LAST
        and dims == (0, *range(2, input.ndim))
        and repays(input.size, max(SMALLEST, 1), slow=256)
    )


def channel_sum(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """``Sum.forward`` over all axes but that of the channels."""
    from tinygrad_cv.backend.cpu.compiled import sums

    c, workers = input.shape[1], threads.get_num_threads()
    total, run = np.empty(c, np.float32), max(1, RUN // c) * c
    near = memory.scratch((workers, run), np.float32, "sums.near")
    far = memory.scratch((workers, run), np.float64, "sums.far")
    sums.channel_sum(contiguous_pixels(input).reshape(-1), total, near, far)
    return total.reshape(1, c, *(1,) * (input.ndim - 2)) if keepdim else total
