"""Layers that resize images."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import number
from tinygrad_cv.nn.module import Module

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")


class Upsample(Module):
    """The image resized to ``size``, or by ``scale_factor``; see
    :func:`~tinygrad_cv.nn.functional.interpolate`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Upsample(scale_factor=2, mode="bilinear")(tg.zeros(1, 3, 4, 5)).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ArgumentError(
                type(self).__name__,
                f"unknown mode {mode!r}",
                repair="Use one of " + ", ".join(MODES) + ".",
            )
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor
        several = isinstance(scale_factor, (tuple, list))
        factors = tuple(scale_factor) if several else (scale_factor,)
        for factor in factors:
            if scale_factor is not None:
                number(type(self).__name__, "scale_factor", factor)
        if several:
            self.scale_factor: Any = tuple(map(float, factors))
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None

    def forward(self, input: Any) -> Any:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images [N, C, H, W] resized, each pixel the nearest of the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.UpsamplingNearest2d(scale_factor=2)(tg.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Images [N, C, H, W] resized bilinearly, the centres of the corner pixels in place.

    >>> import tinygrad_cv as tg
    >>> tg.nn.UpsamplingBilinear2d(size=(1, 3))(tg.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.5, 2.0]]]]
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
