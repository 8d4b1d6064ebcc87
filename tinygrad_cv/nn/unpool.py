"""Layers of pooling by the p-norm, and of max unpooling."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import flag, number
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._spatial import per_axis

__all__ = ["LPPool1d", "LPPool2d", "LPPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]


class _LPPool(Module):
    spatial: ClassVar[int]

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        number(layer, "norm_type", norm_type)
        if norm_type == 0 or norm_type != norm_type:
            raise ArgumentError(
                layer,
                f"norm_type must be a number other than 0, it is {norm_type}",
                repairs=[{"norm_type": 2}],
            )
        per_axis(layer, "kernel_size", kernel_size, self.spatial)
        if stride is not None:
            per_axis(layer, "stride", stride, self.spatial)
        flag(layer, "ceil_mode", ceil_mode)
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"lp_pool{self.spatial}d")
        return pool(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class _MaxUnpool(Module):
    spatial: ClassVar[int]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        layer, n = type(self).__name__, self.spatial
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, n)
        self.stride = self.kernel_size if stride is None else per_axis(layer, "stride", stride, n)
        self.padding = per_axis(layer, "padding", padding, n, least=0)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        unpool = getattr(F, f"max_unpool{self.spatial}d")
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool1d(_LPPool):
    """The p-norm of windows of [N, C, L]; arguments as :class:`LPPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LPPool1d(2, 2)(tg.tensor([[[3.0, 4.0, 0.0, 1.0]]])).tolist()
    [[[5.0, 1.0]]]
    """

    spatial = 1


class LPPool2d(_LPPool):
    """The p-norm of windows, [N, C, H, W] to [N, C, H_out, W_out]; see
    :func:`~tinygrad_cv.nn.functional.lp_pool2d` for the sign of the sum and for edge rules.

    Args:
        norm_type: p; 1 is the sum, inf the largest absolute value.
        kernel_size, stride: an int, or one per axis; a stride of None is the kernel size.
        ceil_mode: round the output size up.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LPPool2d(2, 3, stride=2)(tg.zeros(1, 2, 7, 7)).shape
    (1, 2, 3, 3)
    """

    spatial = 2


class LPPool3d(_LPPool):
    """The p-norm of windows of [N, C, D, H, W]; arguments as :class:`LPPool2d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LPPool3d(1, 2)(tg.ones(1, 1, 2, 2, 2)).item()
    8.0
    """

    spatial = 3


class MaxUnpool1d(_MaxUnpool):
    """Max unpooling of [N, C, P]; arguments as :class:`MaxUnpool2d`.

    >>> import tinygrad_cv as tg
    >>> pool = tg.nn.MaxPool1d(2, return_indices=True)
    >>> tg.nn.MaxUnpool1d(2)(*pool(tg.tensor([[[1.0, 3.0, 2.0, 0.0]]]))).tolist()
    [[[0.0, 3.0, 2.0, 0.0]]]
    """

    spatial = 1


class MaxUnpool2d(_MaxUnpool):
    """The values of max pooling at the places that they came from, 0 elsewhere; called with the
    values and the indices of a ``MaxPool2d(..., return_indices=True)``, and an ``output_size``
    where several fit. See :func:`~tinygrad_cv.nn.functional.max_unpool2d`.

    Args:
        kernel_size, stride, padding: of the pooling.

    >>> import tinygrad_cv as tg
    >>> pool, unpool = tg.nn.MaxPool2d(2, return_indices=True), tg.nn.MaxUnpool2d(2)
    >>> even, odd = tg.rand(1, 3, 4, 4), tg.rand(1, 3, 5, 5)  # both are pooled to 2x2
    >>> unpool(*pool(even)).shape, unpool(*pool(odd), output_size=odd.shape).shape
    ((1, 3, 4, 4), (1, 3, 5, 5))
    """

    spatial = 2


class MaxUnpool3d(_MaxUnpool):
    """Max unpooling of [N, C, P, Q, R]; arguments as :class:`MaxUnpool2d`.

    >>> import tinygrad_cv as tg
    >>> pool = tg.nn.MaxPool3d(2, return_indices=True)
    >>> tg.nn.MaxUnpool3d(2)(*pool(tg.rand(1, 1, 2, 4, 4))).shape
    (1, 1, 2, 4, 4)
    """

    spatial = 3
