"""Pooling layers in 1, 2 and 3 dimensions: one text over the spatial rank."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import flag
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._spatial import pairs, per_axis

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]


class _Pool(Module):
    spatial: ClassVar[int]

    def _check_sizes(self, *names: str) -> None:
        """Refuse at once what no input could be pooled with."""
        layer = type(self).__name__
        for name in names:
            per_axis(layer, name, getattr(self, name), self.spatial)
        pairs(layer, self.padding, self.spatial)


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self._check_sizes("kernel_size", "stride", "dilation")
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"max_pool{self.spatial}d")
        return pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self._check_sizes("kernel_size", "stride")
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"avg_pool{self.spatial}d")
        return pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    spatial: ClassVar[int]

    def _set(self, output_size: Any) -> None:
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,)
        known = tuple(1 if size is None else size for size in sizes)
        per_axis(type(self).__name__, "output_size", known, self.spatial)
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_Adaptive):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self._set(output_size)

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_avg_pool{self.spatial}d")(input, self.output_size)


class _AdaptiveMaxPool(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self._set(output_size)
        flag(type(self).__name__, "return_indices", return_indices)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"adaptive_max_pool{self.spatial}d")
        return pool(input, self.output_size, self.return_indices)


class MaxPool1d(_MaxPool):
    """Maximum over windows of [N, C, L]; arguments as :class:`MaxPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.MaxPool1d(2)(tg.tensor([[[1.0, 3.0, 2.0, 0.0]]])).tolist()
    [[[3.0, 2.0]]]
    """

    spatial = 1


class MaxPool2d(_MaxPool):
    """Maximum over windows, [N, C, H, W] to [N, C, H_out, W_out] with
    ``H_out = floor((H + 2*padding - dilation*(KH - 1) - 1) / stride) + 1``; see
    :func:`~tinygrad_cv.nn.functional.max_pool2d` for ties, NaN and errors.

    Args:
        kernel_size, stride, padding, dilation: an int, or one per axis; a stride of None is the
            kernel size.
        return_indices: also give where the winners are, flat in the plane [H, W].
        ceil_mode: round the output size up.

    >>> import tinygrad_cv as tg
    >>> tg.nn.MaxPool2d(3, stride=2, padding=1)(tg.zeros(1, 2, 8, 8)).shape  # floor(7 / 2) + 1
    (1, 2, 4, 4)
    """

    spatial = 2


class MaxPool3d(_MaxPool):
    """Maximum over windows of [N, C, D, H, W]; arguments as :class:`MaxPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.MaxPool3d((1, 2, 2))(tg.zeros(1, 2, 4, 4, 4)).shape  # depth stays
    (1, 2, 4, 2, 2)
    """

    spatial = 3


class AvgPool1d(_AvgPool):
    """Mean over windows of [N, C, L]; arguments as :class:`AvgPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AvgPool1d(2)(tg.tensor([[[1.0, 3.0, 2.0, 0.0]]])).tolist()
    [[[2.0, 1.0]]]
    """

    spatial = 1


class AvgPool2d(_AvgPool):
    """Mean over windows, [N, C, H, W] to [N, C, H_out, W_out] with
    ``H_out = floor((H + 2*padding - KH) / stride) + 1``; see
    :func:`~tinygrad_cv.nn.functional.avg_pool2d` for edge rules and errors.

    Args:
        kernel_size, stride, padding: an int, or one per axis; a stride of None is the kernel size.
        ceil_mode: round the output size up.
        count_include_pad: padded zeros count as pixels.
        divisor_override: divide by this number instead.

    >>> import tinygrad_cv as tg
    >>> image = tg.ones(1, 1, 2, 2)
    >>> tg.nn.AvgPool2d(2, padding=1)(image).flatten().tolist()  # one pixel and three zeros
    [0.25, 0.25, 0.25, 0.25]
    >>> tg.nn.AvgPool2d(2, padding=1, count_include_pad=False)(image).flatten().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    spatial = 2


class AvgPool3d(_AvgPool):
    """Mean over windows of [N, C, D, H, W]; arguments as :class:`AvgPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AvgPool3d(2)(tg.zeros(1, 2, 4, 4, 4)).shape
    (1, 2, 2, 2, 2)
    """

    spatial = 3


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean over as many windows as the output has, [N, C, L] to [N, C, P]; otherwise as
    :class:`AdaptiveAvgPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AdaptiveAvgPool1d(1)(tg.tensor([[[1.0, 2.0, 6.0]]])).tolist()
    [[[3.0]]]
    """

    spatial = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean over as many windows as the output has, [N, C, H, W] to [N, C, P, Q]; with 1, global
    average pooling (Lin et al., "Network in network", ICLR 2014).

    Output row p is the mean of the rows from floor(p*H/P) to ceil((p + 1)*H/P), end not included;
    see :func:`~tinygrad_cv.nn.functional.adaptive_avg_pool2d` for errors.

    Args:
        output_size: an int, or (P, Q); None keeps the size of the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AdaptiveAvgPool2d((2, None))(tg.zeros(1, 4, 7, 5)).shape
    (1, 4, 2, 5)
    """

    spatial = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Mean over as many windows as the output has, [N, C, D, H, W] to [N, C, P, Q, R]; otherwise as
    :class:`AdaptiveAvgPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AdaptiveAvgPool3d(1)(tg.zeros(1, 4, 2, 5, 5)).shape
    (1, 4, 1, 1, 1)
    """

    spatial = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maximum over as many windows as the output has, [N, C, L] to [N, C, P]; otherwise as
    :class:`AdaptiveMaxPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AdaptiveMaxPool1d(1)(tg.tensor([[[1.0, 6.0, 2.0]]])).tolist()
    [[[6.0]]]
    """

    spatial = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maximum over as many windows as the output has, [N, C, H, W] to [N, C, P, Q]; windows as of
    :class:`AdaptiveAvgPool2d`, ties and errors as in
    :func:`~tinygrad_cv.nn.functional.adaptive_max_pool2d`.

    Args:
        output_size: an int, or (P, Q); None keeps the size of the input.
        return_indices: also give where the winners are, flat in the plane [H, W].

    >>> import tinygrad_cv as tg
    >>> tg.nn.AdaptiveMaxPool2d((2, None))(tg.zeros(1, 4, 7, 5)).shape
    (1, 4, 2, 5)
    """

    spatial = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maximum over as many windows as the output has, [N, C, D, H, W] to [N, C, P, Q, R]; otherwise
    as :class:`AdaptiveMaxPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.AdaptiveMaxPool3d(1)(tg.zeros(1, 4, 2, 5, 5)).shape
    (1, 4, 1, 1, 1)
    """

    spatial = 3
