# Written by tools/stubs.py; do not edit.
from tinygrad_cv.backend.random import Generator
from tinygrad_cv.core.tensor import Tensor
from typing import Any

def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """Average pooling of [N, C, L] to a given length; see :func:`adaptive_avg_pool2d`."""
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """Average pooling to a given output size."""
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """Average pooling of [N, C, D, H, W] to a given size; see :func:`adaptive_avg_pool2d`."""
def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Tensor:
    """Max pooling of [N, C, L] to a given length; see :func:`adaptive_max_pool2d`."""
def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Tensor:
    """Max pooling to a given output size."""
def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Tensor:
    """Max pooling of [N, C, D, H, W] to a given size; see :func:`adaptive_max_pool2d`."""
def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average pooling of [N, C, L] or [C, L]; see :func:`avg_pool2d`."""
def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window."""
def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average pooling of [N, C, D, H, W] or [C, D, H, W]; see :func:`avg_pool2d`."""
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Batch normalisation per channel: ``y = (x - mean) / sqrt(var + eps) * weight + bias``."""
def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Tensor:
    """:func:`nms` within each class by itself: boxes of different ``idxs`` never ..."""
def box_area(boxes: Any, fmt: str = 'xyxy') -> Tensor:
    """``(x2 - x1) * (y2 - y1)``."""
def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes in another format."""
def box_iou(boxes1: Any, boxes2: Any, fmt: str = 'xyxy') -> Tensor:
    """The area that two boxes share, divided by the area that they cover together."""
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` if x > 0, else ``alpha * (exp(x / alpha) - 1)``; its gradient at 0 is 1."""
def channel_shuffle(input: Any, groups: int) -> Tensor:
    """The channels of all groups mixed: the first of every group, then the second of ..."""
def clip_boxes_to_image(boxes: Any, size: Any) -> Tensor:
    """Boxes with the corners that lie outside the image moved to its border."""
def complete_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-07) -> Tensor:
    """CIoU: the DIoU minus a term for another ratio of width and height."""
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of [N, C, L] or [C, L] with a weight [O, C/groups, K]; see :func:`conv2d`."""
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of images with kernels (which are not flipped)."""
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of clips or volumes [N, C, D, H, W] or [C, D, H, W]; see :func:`conv2d`."""
def conv_matrix(
    weight: Any,
    input_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Tensor:
    """The matrix C of a convolution: ``h = C @ I`` for the flat image I and the flat ..."""
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    output_size: Any = None,
) -> Tensor:
    """Transposed convolution of [N, C, L] or [C, L]; see :func:`conv_transpose2d`."""
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    output_size: Any = None,
) -> Tensor:
    """Transposed convolution: the input gradient of the convolution with this weight, as ..."""
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    output_size: Any = None,
) -> Tensor:
    """Transposed convolution of clips or volumes [N, C, D, H, W]; see ..."""
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = 'mean',
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between the softmax of the scores and class labels, or class ..."""
def distance_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-07) -> Tensor:
    """DIoU: the IoU minus the squared distance of the centres, divided by the squared ..."""
def dropout(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Set each element to zero with probability ``p`` and divide the others by ``1 - p``."""
def dropout1d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Tensor:
    """Drop whole channels of [N, C, L] or [C, L]; otherwise as :func:`dropout`."""
def dropout2d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Tensor:
    """Drop whole channels of [N, C, H, W] or [C, H, W]; otherwise as :func:`dropout`."""
def dropout3d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Tensor:
    """Drop whole channels of [N, C, D, H, W] or [C, D, H, W]; otherwise as :func:`dropout`."""
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` if x > 0, else ``alpha * (exp(x) - 1)``; its gradient at 0 is alpha."""
def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns added up to an image (col2im), the adjoint of :func:`unfold`."""
def gelu(input: Any, approximate: str = 'none') -> Tensor:
    """The Gaussian error linear unit ``x * Phi(x)``, with Phi the normal distribution ..."""
def generalized_box_iou(boxes1: Any, boxes2: Any) -> Tensor:
    """GIoU: the IoU minus the part of the smallest enclosing box that neither box covers."""
def glu(input: Any, dim: int = -1) -> Tensor:
    """The first half of an axis, gated by the second: ``a * sigmoid(b)``."""
def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """``x`` where x > lambd or x < -lambd, else 0; its gradient at the bounds is 0."""
def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``, between 0 and 1; its gradient at -3 and 3 is 0."""
def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """``x * min(max(x + 3, 0), 6) / 6``; its gradient is 0 at -3 and 1 at 3."""
def hardtanh(
    input: Any,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> Tensor:
    """``min(max(x, min_val), max_val)``; its gradient at the bounds is 0."""
def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = 'nearest',
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The image resized, each axis by a linear map of its own."""
def l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
    weight: None = None,
) -> Tensor:
    """Absolute difference: ``|input - target|``, its mean, or its sum; otherwise as ..."""
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` if x > 0, else ``negative_slope * x``; its gradient at 0 is the slope."""
def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Fully connected layer: ``y[..., o] = sum_i input[..., i] * weight[o, i] + bias[o]``."""
def log_softmax(
    input: Any,
    dim: int | None = None,
    *,
    dtype: Any = None,
    axis: Any = None,
) -> Tensor:
    """``x_i - log(sum_j exp(x_j))`` along one axis; arguments as ``softmax``."""
def logsigmoid(input: Any) -> Tensor:
    """``log(1 / (1 + exp(-x)))``, finite where the logarithm of a rounded sigmoid would ..."""
def masks_to_boxes(masks: Any) -> Tensor:
    """The smallest box around the nonzero pixels of each mask."""
def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Max pooling of [N, C, L] or [C, L]; see :func:`max_pool2d`."""
def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest value of every window."""
def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Max pooling of [N, C, D, H, W] or [C, D, H, W]; see :func:`max_pool2d`."""
def maxout(input: Any, pool_size: int, dim: int = 1) -> Tensor:
    """The largest of each ``pool_size`` consecutive channels: ``y[n, c] = max over k < ..."""
def median_filter(
    input: Any,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    padding_mode: str = 'zeros',
    even: str = 'mean',
) -> Tensor:
    """The median of every window, channel by channel."""
def mish(input: Any, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``, a smooth function with one shallow valley."""
def mse_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
    weight: None = None,
) -> Tensor:
    """Squared difference: ``(input - target) ** 2``, its mean, or its sum."""
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Negative log-likelihood: ``loss = -w[t] * input[t]`` with log-probabilities as input."""
def nms(boxes: Any, scores: Any, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: from the highest score down, a box is kept unless its IoU ..."""
def pad(input: Any, pad: Any, mode: str = 'constant', value: Any = None) -> Tensor:
    """A border around the last axes; negative widths take positions away."""
def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Channels become pixels: [*, C*r*r, H, W] to [*, C, H*r, W*r], r = ``upscale_factor``."""
def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """Pixels become channels: [*, C, H*r, W*r] to [*, C*r*r, H, W], r = ..."""
def prelu(input: Any, weight: Any) -> Tensor:
    """``x`` if x > 0, else ``weight * x``, with a learned slope; its gradient at 0 is ..."""
def relu(input: Any, inplace: bool = False) -> Tensor:
    """The rectifier ``max(x, 0)``; its gradient at 0 is 0."""
def relu6(input: Any, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``; its gradient at 0 and 6 is 0."""
def remove_small_boxes(boxes: Any, min_size: float) -> Tensor:
    """The indices of the boxes whose width and height are at least ``min_size``."""
def roi_align(
    input: Any,
    boxes: Any,
    output_size: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Regions of the input, each cut into P x Q bins: the mean of samples in every bin."""
def roi_pool(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0) -> Tensor:
    """Regions of the input, each cut into P x Q bins: the largest pixel of every bin."""
def rrelu(
    input: Any,
    lower: float = 0.125,
    upper: float = 0.3333333333333333,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """``x`` if x > 0, else ``a * x`` with a slope drawn from [lower, upper) for each ..."""
def selu(input: Any, inplace: bool = False) -> Tensor:
    """``scale * (x if x > 0 else alpha * (exp(x) - 1))`` with scale 1.0507 and alpha ..."""
def sigmoid(input: Any) -> Tensor:
    """The logistic function."""
def silu(input: Any, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also called swish."""
def softmax(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """``exp(x_i) / sum_j exp(x_j)`` along one axis: positive numbers that add up to 1."""
def softmin(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """``exp(-x_i) / sum_j exp(-x_j)`` along one axis, the softmax of ``-x``; arguments ..."""
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, a smooth rectifier; where ``beta * x > ..."""
def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """``x - lambd`` where x > lambd, ``x + lambd`` where x < -lambd, else 0; its ..."""
def softsign(input: Any) -> Tensor:
    """``x / (1 + |x|)``, between -1 and 1."""
def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent."""
def tanhshrink(input: Any) -> Tensor:
    """``x - tanh(x)``; integers become the default float dtype."""
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` if x > threshold, else ``value``; its gradient at the threshold is 0."""
def unfold(
    input: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """The windows of an image as columns of a matrix (im2col)."""
