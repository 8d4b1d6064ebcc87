# Written by tools/stubs.py; do not edit.
from collections.abc import Callable
from tinygrad_cv.backend.random import Generator
from tinygrad_cv.core.tensor import Tensor
from typing import Any
import tinygrad_cv.backend.random as random

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
def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid of an affine map, for :func:`grid_sample`: ``(x', y') = theta @ (x, y, 1)``."""
def alpha_dropout(
    input: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Set each element to the lowest value of SELU with probability ``p``, then scale ..."""
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
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """``y[..., o] = sum_{i,j} a[..., i] weight[o, i, j] b[..., j] + bias[o]``."""
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities x, its mean, or its sum."""
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
    pos_weight: Any = None,
) -> Tensor:
    """``-(p t log s(x) + (1 - t) log(1 - s(x)))`` with the logistic function s, its ..."""
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
def complete_box_iou_loss(
    boxes1: Any,
    boxes2: Any,
    reduction: str = 'none',
    eps: float = 1e-07,
) -> Tensor:
    """:func:`distance_box_iou_loss` plus ``a v``, which compares the shapes of the ..."""
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
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Pairs of vectors that should be alike (t = 1) or not (t = -1), by the cosine ..."""
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors: ``sum_i a_i b_i / (max(|a|, eps) max(|b|, ..."""
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
def deform_conv2d(
    input: Any,
    offset: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    mask: Any = None,
) -> Tensor:
    """Deformable convolution, v2 with a mask and v1 without one."""
def dice_loss(input: Any, target: Any, smooth: float = 1.0, reduction: str = 'mean') -> Tensor:
    """One minus the overlap of two masks, for each sample n: ``1 - (2 sum_i x[n,i] ..."""
def distance_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-07) -> Tensor:
    """DIoU: the IoU minus the squared distance of the centres, divided by the squared ..."""
def distance_box_iou_loss(
    boxes1: Any,
    boxes2: Any,
    reduction: str = 'none',
    eps: float = 1e-07,
) -> Tensor:
    """``1 - IoU + d^2 / c^2`` of pairs of boxes: d is the distance of their centres, c ..."""
def drop_path(
    input: Any,
    p: float,
    mode: str = 'row',
    training: bool = True,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Set whole samples to zero with probability ``p``, and divide the others by ``1 - p``."""
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
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table: ``y[..., :] = weight[input[...], :]``."""
def feature_alpha_dropout(
    input: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """:func:`alpha_dropout` of whole channels of [N, C, ...]."""
def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns added up to an image (col2im), the adjoint of :func:`unfold`."""
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-06,
    reduction: str = 'mean',
) -> Tensor:
    """Negative log-likelihood of t under normal distributions with mean x and variance ..."""
def gelu(input: Any, approximate: str = 'none') -> Tensor:
    """The Gaussian error linear unit ``x * Phi(x)``, with Phi the normal distribution ..."""
def generalized_box_iou(boxes1: Any, boxes2: Any) -> Tensor:
    """GIoU: the IoU minus the part of the smallest enclosing box that neither box covers."""
def generalized_box_iou_loss(
    boxes1: Any,
    boxes2: Any,
    reduction: str = 'none',
    eps: float = 1e-07,
) -> Tensor:
    """``1 - IoU + (E - U) / E`` of pairs of boxes: U is the area of their union, E that ..."""
def glu(input: Any, dim: int = -1) -> Tensor:
    """The first half of an axis, gated by the second: ``a * sigmoid(b)``."""
def grid_sample(
    input: Any,
    grid: Any,
    mode: str = 'bilinear',
    padding_mode: str = 'zeros',
    align_corners: bool | None = None,
) -> Tensor:
    """The image read at the points of a grid, between its pixels too."""
def group_norm(
    input: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-05,
) -> Tensor:
    """Group normalisation: ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with ..."""
def gumbel_softmax(
    logits: Any,
    tau: Any = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """A draw from a categorical distribution that gradients flow through: ``y = ..."""
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
def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Distances x of pairs that belong together (t = 1) or not (t = -1): ``x`` if t = 1, ..."""
def huber_loss(
    input: Any,
    target: Any,
    reduction: str = 'mean',
    delta: float = 1.0,
    weight: Any = None,
) -> Tensor:
    """A parabola near 0, a straight line beyond: with d = input - target, ``d ** 2 / 2`` ..."""
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Instance normalisation: ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with ..."""
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
def kl_div(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
    log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence, element by element: ``t (log t - x)`` of ..."""
def l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
    weight: Any = None,
) -> Tensor:
    """Absolute difference: ``|input - target|``, its mean, or its sum; otherwise as ..."""
def layer_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-05,
) -> Tensor:
    """Layer normalisation: ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with ..."""
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` if x > 0, else ``negative_slope * x``; its gradient at 0 is the slope."""
def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Fully connected layer: ``y[..., o] = sum_i input[..., i] * weight[o, i] + bias[o]``."""
def local_response_norm(
    input: Any,
    size: int,
    alpha: float = 0.0001,
    beta: float = 0.75,
    k: float = 1.0,
) -> Tensor:
    """Normalisation across neighbouring channels: ``y[c] = x[c] / (k + alpha / size * ..."""
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
def lp_pool1d(
    input: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of every window of [N, C, L] or [C, L]; see :func:`lp_pool2d`."""
def lp_pool2d(
    input: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of every window: ``y[n,c,q] = (sum_k x[n, c, q*stride + k] ** p) ** ..."""
def lp_pool3d(
    input: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of every window of [N, C, D, H, W] or [C, D, H, W]; see :func:`lp_pool2d`."""
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Scores of which the first should be the greater (t = 1) or the lesser (t = -1): ..."""
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
def max_pool1d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """:func:`max_pool1d` with the places of the largest values, whatever ..."""
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
def max_pool2d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """:func:`max_pool2d` with the places of the largest values, whatever ..."""
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
def max_pool3d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """:func:`max_pool3d` with the places of the largest values, whatever ..."""
def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Max unpooling of [N, C, P] or [C, P]; see :func:`max_unpool2d`."""
def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """The values of max pooling at the places that they came from, and 0 elsewhere: ..."""
def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Max unpooling of [N, C, P, Q, R] or [C, P, Q, R]; see :func:`max_unpool2d`."""
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
    weight: Any = None,
) -> Tensor:
    """Squared difference: ``(input - target) ** 2``, its mean, or its sum."""
def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Hinge loss of several classes, for each sample with label y: ``w[y] sum over c ..."""
def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Hinge loss of samples that belong to several classes: for each sample ``sum over ..."""
def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Cross-entropy of each class against all others, the mean over the classes: ..."""
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
def normalize(
    input: Any,
    p: float = 2.0,
    dim: Any = 1,
    eps: float = 1e-12,
    out: None = None,
) -> Tensor:
    """Vectors along one axis, divided by their p-norm: ``x / max(|x|_p, eps)``."""
def one_hot(input: Any, num_classes: int = -1) -> Tensor:
    """``y[..., c] = 1 if input[...] = c else 0``, as int64."""
def pad(input: Any, pad: Any, mode: str = 'constant', value: Any = None) -> Tensor:
    """A border around the last axes; negative widths take positions away."""
def pairwise_distance(
    x1: Any,
    x2: Any,
    p: float = 2.0,
    eps: float = 1e-06,
    keepdim: bool = False,
) -> Tensor:
    """The distance of vectors along the last axis: ``(sum_i |a_i - b_i + eps|^p)^(1/p)``."""
def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Channels become pixels: [*, C*r*r, H, W] to [*, C, H*r, W*r], r = ``upscale_factor``."""
def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """Pixels become channels: [*, C, H*r, W*r] to [*, C*r*r, H, W], r = ..."""
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-08,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Negative log-likelihood of counts t under Poisson distributions: ``e^x - t x``."""
def prelu(input: Any, weight: Any) -> Tensor:
    """``x`` if x > 0, else ``weight * x``, with a learned slope; its gradient at 0 is ..."""
def relu(input: Any, inplace: bool = False) -> Tensor:
    """The rectifier ``max(x, 0)``; its gradient at 0 is 0."""
def relu6(input: Any, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``; its gradient at 0 and 6 is 0."""
def remove_small_boxes(boxes: Any, min_size: float) -> Tensor:
    """The indices of the boxes whose width and height are at least ``min_size``."""
def rms_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    eps: float | None = None,
) -> Tensor:
    """RMS normalisation: ``y = x / sqrt(mean(x^2) + eps) * weight``, the mean over the ..."""
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
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(scale * Q K^T + mask) V``, the softmax over the keys of each query."""
def selu(input: Any, inplace: bool = False) -> Tensor:
    """``scale * (x if x > 0 else alpha * (exp(x) - 1))`` with scale 1.0507 and alpha ..."""
def sigmoid(input: Any) -> Tensor:
    """The logistic function."""
def sigmoid_focal_loss(
    inputs: Any,
    targets: Any,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = 'none',
) -> Tensor:
    """Cross-entropy of two classes in which easy examples count little: ``a (1 - ..."""
def silu(input: Any, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also called swish."""
def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
    beta: float = 1.0,
) -> Tensor:
    """A parabola near 0, a straight line beyond: with d = input - target, ``d ** 2 / (2 ..."""
def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Logistic loss of scores x of two classes t = 1 and t = -1: ``log(1 + exp(-t x))``."""
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
def stochastic_depth(
    input: Any,
    p: float,
    mode: str,
    training: bool = True,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """:func:`drop_path` under torchvision's name, and without a default for the mode."""
def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent."""
def tanhshrink(input: Any) -> Tensor:
    """``x - tanh(x)``; integers become the default float dtype."""
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` if x > threshold, else ``value``; its gradient at the threshold is 0."""
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = 'mean',
) -> Tensor:
    """An anchor should be nearer to its positive than to its negative example, by a ..."""
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = 'mean',
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of your own."""
def unfold(
    input: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """The windows of an image as columns of a matrix (im2col)."""
def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = 'nearest',
    align_corners: bool | None = None,
) -> Tensor:
    """:func:`interpolate` under its old name."""
