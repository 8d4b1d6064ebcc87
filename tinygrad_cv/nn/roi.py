"""Layers that bring regions of images to one size."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._rois import as_regions

__all__ = ["RoIAlign", "RoIPool"]


class RoIAlign(Module):
    """Regions of [N, C, H, W] by interpolation; see
    :func:`~tinygrad_cv.nn.functional.roi_align`.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.RoIAlign(7, spatial_scale=1 / 4, sampling_ratio=2)
    >>> layer(tg.zeros(2, 8, 16, 16), [tg.zeros(3, 4), tg.zeros(1, 4)]).shape
    (4, 8, 7, 7)
    """

    def __init__(
        self, output_size: Any, spatial_scale: float, sampling_ratio: int, aligned: bool = False
    ) -> None:
        super().__init__()
        as_regions(type(self).__name__, None, output_size, spatial_scale, sampling_ratio, aligned)
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Any, rois: Any) -> Any:
        return F.roi_align(
            input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


class RoIPool(Module):
    """The largest pixels of regions of [N, C, H, W]; see
    :func:`~tinygrad_cv.nn.functional.roi_pool`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.RoIPool((2, 3), 1.0)(tg.zeros(2, 8, 16, 16), tg.zeros(4, 5)).shape
    (4, 8, 2, 3)
    """

    def __init__(self, output_size: Any, spatial_scale: float) -> None:
        super().__init__()
        as_regions(type(self).__name__, None, output_size, spatial_scale)
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Any, rois: Any) -> Any:
        return F.roi_pool(input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"
