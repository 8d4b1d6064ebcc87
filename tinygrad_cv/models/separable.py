"""Depthwise separable convolution: space first, channels after."""

from __future__ import annotations

from typing import Any

from tinygrad_cv import nn
from tinygrad_cv.models._arguments import check_axes

__all__ = ["DepthwiseSeparableConv2d"]


class DepthwiseSeparableConv2d(nn.Module):
    """A convolution of each channel alone, then a 1x1 convolution across the channels, each with
    batch normalisation and ReLU: [N, C, H, W] to [N, O, H_out, W_out].

    Per output pixel and channel it multiplies C + K*K*C/O times instead of K*K*C: for 3x3 kernels
    and many channels about an eighth to a ninth of the work.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation: as of
            :class:`~tinygrad_cv.nn.Conv2d`; the depthwise convolution has the last four.
        bias: give both convolutions a bias. The normalisation after them takes it away, so there
            is none by default.
        padding_mode, device, dtype: as of ``Conv2d``.

    There is no ``groups``: it is C in the first convolution, 1 in the second.

    State: ``depthwise.weight`` [C, 1, KH, KW], ``pointwise.weight`` [O, C, 1, 1], and
    ``depthwise_norm`` and ``pointwise_norm`` with weight, bias and recorded statistics.

    Raises:
        ArgumentError: a size below 1, or what ``Conv2d`` refuses.
        ShapeError: an input without 4 axes, with other channels, or smaller than the kernel.

    Source: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications" (2017), and the lecture's depthwise convolution.

    >>> import tinygrad_cv as tg
    >>> block = tg.models.DepthwiseSeparableConv2d(16, 32, 3, stride=2, padding=1)
    >>> block(tg.zeros(2, 16, 28, 28)).shape
    (2, 32, 14, 14)
    >>> [sum(w.numel() for w in b.parameters()) for b in (block, tg.nn.Conv2d(16, 32, 3))]
    [752, 4640]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        *,
        bias: bool = False,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            in_channels,
            bias,
            padding_mode,
            **factory,
        )
        self.depthwise_norm = nn.BatchNorm2d(in_channels, **factory)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias, **factory)
        self.pointwise_norm = nn.BatchNorm2d(out_channels, **factory)
        self.relu = nn.ReLU()

    def forward(self, input: Any) -> Any:
        check_axes(type(self).__name__, input, "N, C, H, W")
        filtered = self.relu(self.depthwise_norm(self.depthwise(input)))
        return self.relu(self.pointwise_norm(self.pointwise(filtered)))
