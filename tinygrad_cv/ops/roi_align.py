"""RoIAlign: regions of images, brought to one size by interpolation.

For fixed boxes the result is linear in the input: ``RoIAlign`` takes weighted means of pixels, and
``RoIAlignInputGrad``, its adjoint, spreads them over the same pixels. The two are closed under
differentiation; boxes get no gradient, as in torchvision.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.roi import Regions, align, align_input_grad
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._pooling import layout
from tinygrad_cv.ops._rois import as_regions, as_rois, check_input
from tinygrad_cv.ops._spatial import Sizes

__all__ = ["RoIAlign", "RoIAlignInputGrad", "roi_align"]

NN_FUNCTIONS = ("roi_align",)
TENSOR_ARGUMENTS = ("boxes",)


def roi_align(
    input: Any,
    boxes: Any,
    output_size: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Any:
    """Regions of the input, each cut into P x Q bins: the mean of samples in every bin.

    A bin of a region has ``sampling_ratio`` x ``sampling_ratio`` samples, evenly spaced; each is
    interpolated between the four pixels around it.

    Args:
        input: float [N, C, H, W].
        boxes: [K, 5], rows (image, x1, y1, x2, y2), or a list of [L, 4], one tensor for each image.
            The dtype is that of the input.
        output_size: P = Q, or (P, Q).
        spatial_scale: what coordinates are multiplied by, such as 1/16 for features of stride 16.
        sampling_ratio: samples of a bin along each axis, at most 100; 0 or less: one for each
            pixel, rounded up.
        aligned: pixel (i, j) is at (i, j), as its centre would be, by moving boxes half a pixel up
            and left; without it boxes are at least one pixel wide and high.

    Returns:
        [K, C, P, Q]. Channels-last memory stays.

    Edge rules: samples up to one pixel outside the image are taken at its border, those further
    out are 0.

    Raises:
        ShapeError: other axes than these.
        DTypeError: an input that is not float, or boxes of another dtype.
        RangeError: a box in an image that does not exist.
        ArgumentError: an output size below 1, coordinates that are not finite.

    Source: K. He et al., Mask R-CNN, 2017. Names and meaning as ``torchvision.ops.roi_align``.

    >>> import tinygrad_cv as tg
    >>> x = tg.arange(16.0).reshape(1, 1, 4, 4)
    >>> box = [tg.tensor([[0.0, 0.0, 2.0, 2.0]])]
    >>> tg.nn.functional.roi_align(x, box, 2, aligned=True).tolist()
    [[[[0.0, 1.0], [4.0, 5.0]]]]
    """
    rois = as_rois("roi_align", input, boxes)
    return _roi_align(
        input, as_regions("roi_align", rois, output_size, spatial_scale, sampling_ratio, aligned)
    )


class RoIAlign(Op):
    """Means of interpolated samples in the bins of regions."""

    name = "roi_align"
    equation = "y[k,c,p,q] = mean over samples s of bin (p,q) of sum_i x[n_k,c,i] * w(s, i)"
    gradients = {"input": "dx[n,c,i] = sum_{k: n_k = n} sum_{p,q} g[k,c,p,q] * mean_s w(s, i)"}
    edges = "samples up to a pixel outside are taken at the border, those further out are 0"
    cost = "8*K*C*P*Q * samples of a bin"

    @staticmethod
    def infer(input: Spec, regions: Regions) -> Spec:
        check_input("roi_align", input)
        shape = (regions.count, input.shape[1], *regions.size)
        return Spec(shape, input.dtype, layout(shape, input))

    @staticmethod
    def forward(xp: Any, input: Any, regions: Regions) -> Any:
        return align(xp, input, regions, RoIAlign.infer(input, regions))

    @staticmethod
    def vjp_input(g: Any, input_shape: Any, regions: Any) -> Any:
        return _roi_align_input_grad(g, input_shape, regions)

    @staticmethod
    def flops(input: Spec, regions: Regions) -> int:
        samples = max(regions.sampling, 1) ** 2  # at least, where it depends on the boxes
        return 8 * samples * RoIAlign.infer(input, regions).size


class RoIAlignInputGrad(Op):
    """Adjoint of ``RoIAlign``: every bin spread over the pixels it was made of."""

    name = "roi_align_input_grad"
    equation = "dx[n,c,i] = sum_{k: n_k = n} sum_{p,q} g[k,c,p,q] * mean_s w(s, i)"
    gradients = {
        "grad": "dg[k,c,p,q] = mean over samples s of bin (p,q) of sum_i G[n_k,c,i] w(s,i)"
    }
    edges = "as roi_align"
    cost = "8*K*C*P*Q * samples of a bin"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, input_shape: Sizes, regions: Regions) -> Spec:
        shape = (regions.count, input_shape[1], *regions.size)
        if grad.shape != shape:
            raise ShapeError(
                "roi_align_input_grad",
                f"the output gradient must have shape {shape}",
                values=[("grad", grad.shape), ("input", input_shape)],
            )
        return Spec(input_shape, grad.dtype, layout(input_shape, grad))

    @staticmethod
    def forward(xp: Any, grad: Any, input_shape: Sizes, regions: Regions) -> Any:
        spec = RoIAlignInputGrad.infer(grad, input_shape, regions)
        return align_input_grad(xp, grad, regions, spec)

    @staticmethod
    def vjp_grad(g: Any, regions: Any) -> Any:
        return _roi_align(g, regions)

    @staticmethod
    def flops(grad: Spec, input_shape: Sizes, regions: Regions) -> int:
        return 8 * max(regions.sampling, 1) ** 2 * grad.size


_roi_align = RoIAlign.call
_roi_align_input_grad = RoIAlignInputGrad.call
