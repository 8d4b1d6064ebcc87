"""Convolution and transposed convolution in 1, 2 and 3 dimensions: one text for all ranks."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank
from tinygrad_cv.ops._conv_args import conv_args
from tinygrad_cv.ops._spatial import pairs, per_axis

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

PADDING_MODES = ("zeros", "reflect", "symmetric", "replicate", "circular")


class _ConvNd(Module):
    """What both kinds share: arguments, weight, bias, initial values, looks."""

    spatial: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        layer, n = type(self).__name__, self.spatial
        positive(layer, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                layer,
                f"groups = {groups} must divide in_channels and out_channels",
                values=[("in_channels", in_channels), ("out_channels", out_channels)],
                repair=f"Use groups={math.gcd(in_channels, out_channels)} or a divisor of it.",
                repairs=[{"groups": math.gcd(in_channels, out_channels)}],
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, n)
        self.stride = per_axis(layer, "stride", stride, n)
        self.dilation = per_axis(layer, "dilation", dilation, n)
        self.output_padding = per_axis(layer, "output_padding", output_padding, n, least=0)
        self.padding = self._checked_padding(padding)
        self.padding_mode = padding_mode
        first, second = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        # Memory runs (taps, C, O), as the products of a convolution read it.
        order = (*range(2, n + 2), 1, 0)
        self.weight = blank((first, second // groups, *self.kernel_size), device, dtype, order)
        self.register_parameter("bias", blank((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def _checked_padding(self, padding: Any) -> Any:
        """One number per axis, or one pair (before, after) per axis if the two differ."""
        both = pairs(type(self).__name__, padding, self.spatial)
        even = all(before == after for before, after in both)
        return tuple(before for before, _ in both) if even else both

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias: uniform on [-k, k] with k = 1 / sqrt(fan_in), as
        PyTorch; fan_in = weight.shape[1] * prod(kernel_size).

        >>> from tinygrad_cv import nn
        >>> layer = nn.Conv2d(4, 64, 5)  # fan_in = 4*5*5 = 100
        >>> layer.reset_parameters()
        >>> 0.09 < layer.weight.abs().max().item() <= 0.1
        True
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight.shape[1] * math.prod(self.kernel_size))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * self.spatial:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.spatial:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.spatial:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
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
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode not in PADDING_MODES:
            raise ArgumentError(
                type(self).__name__,
                f"padding_mode must be one of {', '.join(PADDING_MODES)}, it is {padding_mode!r}",
            )
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
            padding_mode,
            device,
            dtype,
        )

    def _checked_padding(self, padding: Any) -> Any:
        if not isinstance(padding, str):
            return super()._checked_padding(padding)
        if padding not in ("same", "valid"):
            raise ArgumentError(
                type(self).__name__, f'padding must be numbers, "same" or "valid", not {padding!r}'
            )
        return padding

    def forward(self, input: Any) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._border(input), mode=self.padding_mode)
            padding = 0
        convolve = getattr(F, f"conv{self.spatial}d")
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _border(self, input: Any) -> list[int]:
        """Width of the border on both sides of each axis, last axis first: what ``F.pad`` takes."""
        options = (self.stride, self.padding, self.dilation, self.groups)
        _, both, _, _ = conv_args(self.spatial, input, self.weight, *options)
        return [width for pair in reversed(both) for width in pair]


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ArgumentError(
                type(self).__name__,
                f'a transposed convolution has padding_mode="zeros" only, not {padding_mode!r}',
            )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any, output_size: Any = None) -> Any:
        convolve = getattr(F, f"conv_transpose{self.spatial}d")
        return convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
            output_size,
        )


class Conv1d(_Conv):
    """Convolution of [N, C, L]; see :func:`~tinygrad_cv.nn.functional.conv1d`.

    The weight is [O, C/groups, K].

    >>> import tinygrad_cv as tg
    >>> tg.nn.Conv1d(4, 8, 3)(tg.zeros(2, 4, 10)).shape
    (2, 8, 8)
    """

    spatial = 1


class Conv2d(_Conv):
    """Convolution of [N, C, H, W]; see :func:`~tinygrad_cv.nn.functional.conv2d`.

    The weight is [O, C/groups, KH, KW]. ``padding_mode`` "reflect", "symmetric", "replicate" or
    "circular" fills the border by :func:`~tinygrad_cv.nn.functional.pad`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Conv2d(3, 8, 3, stride=2, padding=1)(tg.zeros(2, 3, 32, 32)).shape
    (2, 8, 16, 16)
    """

    spatial = 2


class Conv3d(_Conv):
    """Convolution of [N, C, D, H, W]; see :func:`~tinygrad_cv.nn.functional.conv3d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Conv3d(3, 4, (1, 3, 3))(tg.zeros(1, 3, 4, 8, 8)).shape
    (1, 4, 4, 6, 6)
    """

    spatial = 3


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of [N, C, L]. The weight is [C, O/groups, K].

    >>> import tinygrad_cv as tg
    >>> tg.nn.ConvTranspose1d(4, 2, 3, stride=2)(tg.zeros(1, 4, 5)).shape
    (1, 2, 11)
    """

    spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of [N, C, H, W], the input gradient of a convolution.

    The weight is [C, O/groups, KH, KW]. ``layer(x, output_size=(H, W))`` chooses among the sizes
    that the convolution would bring back to the input's.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
    >>> x = tg.zeros(1, 4, 5, 5)
    >>> layer(x).shape, layer(x, output_size=(10, 10)).shape
    ((1, 2, 9, 9), (1, 2, 10, 10))
    """

    spatial = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of [N, C, D, H, W]. The weight is [C, O/groups, KD, KH, KW].

    >>> import tinygrad_cv as tg
    >>> tg.nn.ConvTranspose3d(2, 1, 2, stride=2)(tg.zeros(1, 2, 2, 3, 4)).shape
    (1, 1, 4, 6, 8)
    """

    spatial = 3
