"""RoIPool: the largest pixel in the bins of regions.

``RoIPool`` remembers where in the input each winner stands. With the winners fixed it gathers one
element for each result, so ``Gather`` and its adjoint are its derivatives at every order.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.roi import Regions, largest
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._pooling import layout
from tinygrad_cv.ops._rois import as_regions, as_rois, check_input
from tinygrad_cv.ops.gather import gather_grad
from tinygrad_cv.ops.select import masked
from tinygrad_cv.ops.shape import reshape

__all__ = ["RoIPool", "roi_pool"]

NN_FUNCTIONS = ("roi_pool",)
TENSOR_ARGUMENTS = ("boxes",)


def roi_pool(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0) -> Any:
    """Regions of the input, each cut into P x Q bins: the largest pixel of every bin.

    The corners of a box, times ``spatial_scale``, are rounded to pixels, both included; bins are
    widened to whole pixels, so that they may overlap by one.

    Args:
        input: float [N, C, H, W].
        boxes: [K, 5], rows (image, x1, y1, x2, y2), or a list of [L, 4], one tensor for each image.
            The dtype is that of the input.
        output_size: P = Q, or (P, Q).
        spatial_scale: what coordinates are multiplied by.

    Returns:
        [K, C, P, Q]. Channels-last memory stays.

    Edge rules: of equal pixels the first wins, in row-major order, and gets the gradient. A bin
    outside the image is 0. As in torchvision NaN and minus infinity never win; a bin of nothing
    else gives the lowest finite number. Boxes get no gradient.

    Raises:
        ShapeError, DTypeError, RangeError, ArgumentError: as :func:`roi_align`.

    Source: R. Girshick, Fast R-CNN, 2015. Names and meaning as ``torchvision.ops.roi_pool``.

    >>> import tinygrad_cv as tg
    >>> x = tg.arange(16.0).reshape(1, 1, 4, 4)
    >>> tg.nn.functional.roi_pool(x, tg.tensor([[0.0, 0.0, 0.0, 2.0, 3.0]]), (2, 1)).tolist()
    [[[[6.0], [14.0]]]]
    """
    rois = as_rois("roi_pool", input, boxes)
    return _roi_pool(input, as_regions("roi_pool", rois, output_size, spatial_scale))


class RoIPool(Op):
    """The largest pixel in the bins of regions; ``place`` is where in the whole input it stands, or
    -1."""

    name = "roi_pool"
    equation = "y[k,c,p,q] = max of x[n_k,c,i] over the pixels i of bin (p,q) of region k"
    gradients = {"input": "dx[n,c,i] = sum of g[k,c,p,q] over the bins that i won"}
    edges = "of equal pixels the first wins; NaN and -inf never do; 0 for a bin without pixels"
    cost = "K*C*P*Q"
    residuals = ("place",)

    @staticmethod
    def infer(input: Spec, regions: Regions) -> tuple[Spec, ...]:
        check_input("roi_pool", input)
        shape = (regions.count, input.shape[1], *regions.size)
        values = Spec(shape, input.dtype, layout(shape, input))
        return values, values._replace(dtype=int64)

    @staticmethod
    def forward(xp: Any, input: Any, regions: Regions) -> tuple[Any, ...]:
        return largest(xp, input, regions, RoIPool.infer(input, regions)[0])

    @staticmethod
    def vjp_input(g: Any, place: Any, input_shape: Any) -> Any:
        won, flat = masked(g, place >= 0), (math.prod(input_shape),)
        spread = gather_grad(reshape(won, (-1,)), reshape(place, (-1,)), flat, 0, False)
        return reshape(spread, input_shape)

    @staticmethod
    def flops(input: Spec, regions: Regions) -> int:
        return RoIPool.infer(input, regions)[0].size


_roi_pool = RoIPool.call
