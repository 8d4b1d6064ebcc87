"""Filters of images without weights."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops.median_filter import check_options, median_args

__all__ = ["MedianFilter"]


class MedianFilter(Module):
    """The median of every window, channel by channel; see
    :func:`~tinygrad_cv.nn.functional.median_filter` for shapes, ties, NaN and errors.

    Args:
        kernel_size, stride: an int, or one per axis.
        padding: an int, one per axis, one pair (before, after) per axis, "same" or "valid".
        padding_mode: "zeros", "reflect", "symmetric", "replicate" or "circular".
        even: for an even number of taps the "mean" of the two values in the middle, the "lower" or
            the "upper".

    >>> import tinygrad_cv as tg
    >>> despeckle = tg.nn.MedianFilter(3, padding="same", padding_mode="reflect")
    >>> despeckle(tg.tensor([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]])).amax().item()
    0.0
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        padding_mode: str = "zeros",
        even: str = "mean",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        median_args(layer, None, kernel_size, stride, padding)
        check_options(layer, padding_mode, even)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.padding_mode, self.even = padding_mode, even

    def forward(self, input: Any) -> Any:
        return F.median_filter(
            input, self.kernel_size, self.stride, self.padding, self.padding_mode, self.even
        )

    def extra_repr(self) -> str:
        text = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text if self.even == "mean" else text + f", even={self.even}"
