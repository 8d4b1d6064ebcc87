"""Layers that only move values: windows to columns and back, channels to pixels and back."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._spatial import pairs, per_axis

__all__ = ["ChannelShuffle", "Fold", "PixelShuffle", "PixelUnshuffle", "Unfold"]


class _Windows(Module):
    """The windows that both directions share."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride
        layer = type(self).__name__
        for name in ("kernel_size", "dilation", "stride"):
            per_axis(layer, name, getattr(self, name), 2)
        pairs(layer, padding, 2)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Unfold(_Windows):
    """The windows of images [N, C, H, W] as columns [N, C*KH*KW, L] (im2col); see
    :func:`~tinygrad_cv.nn.functional.unfold`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Unfold(3, padding=1)(tg.zeros(2, 4, 5, 6)).shape
    (2, 36, 30)
    """

    def forward(self, input: Any) -> Any:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """Columns [N, C*KH*KW, L] added up to images [N, C, H, W] (col2im); see
    :func:`~tinygrad_cv.nn.functional.fold`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Fold((5, 6), 3, padding=1)(tg.zeros(2, 36, 30)).shape
    (2, 4, 5, 6)
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        per_axis("Fold", "output_size", output_size, 2)
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"


class PixelShuffle(Module):
    """Channels become pixels: [*, C*r*r, H, W] to [*, C, H*r, W*r]; see
    :func:`~tinygrad_cv.nn.functional.pixel_shuffle`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.PixelShuffle(2)(tg.zeros(1, 12, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        positive("PixelShuffle", upscale_factor=upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels become channels: [*, C, H*r, W*r] to [*, C*r*r, H, W]; see
    :func:`~tinygrad_cv.nn.functional.pixel_unshuffle`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.PixelUnshuffle(2)(tg.zeros(1, 3, 8, 8)).shape
    (1, 12, 4, 4)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        positive("PixelUnshuffle", downscale_factor=downscale_factor)
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Any:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels of all groups mixed; see :func:`~tinygrad_cv.nn.functional.channel_shuffle`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ChannelShuffle(2)(tg.arange(4).reshape(1, 4, 1)).flatten().tolist()
    [0, 2, 1, 3]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        positive("ChannelShuffle", groups=groups)
        self.groups = groups

    def forward(self, input: Any) -> Any:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
