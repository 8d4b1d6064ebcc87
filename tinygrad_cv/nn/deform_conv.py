"""The layer of deformable convolution."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.conv import _ConvNd

__all__ = ["DeformConv2d"]


class DeformConv2d(_ConvNd):
    """Deformable convolution of [N, C, H, W] by offsets that another layer makes; see
    :func:`~tinygrad_cv.nn.functional.deform_conv2d`.

    ``layer(input, offset)`` is v1, ``layer(input, offset, mask)`` v2. The layer that makes the
    offsets usually starts with zeros, so that this one starts as a plain convolution. Arguments,
    initial values and the keys of ``state_dict`` (weight, bias) are those of
    ``torchvision.ops.DeformConv2d``.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(2, 3, 8, 8)
    >>> offsets, layer = tg.nn.Conv2d(3, 18, 3, padding=1), tg.nn.DeformConv2d(3, 4, 3, padding=1)
    >>> layer(x, offsets(x)).shape
    (2, 4, 8, 8)
    """

    spatial = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            "zeros",
            device,
            dtype,
        )

    def forward(self, input: Any, offset: Any, mask: Any = None) -> Any:
        return F.deform_conv2d(
            input,
            offset,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            mask,
        )
