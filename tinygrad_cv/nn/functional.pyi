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
def gelu(input: Any, approximate: str = 'none') -> Tensor:
    """The Gaussian error linear unit ``x * Phi(x)``, with Phi the normal distribution ..."""
def hardtanh(
    input: Any,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> Tensor:
    """``min(max(x, min_val), max_val)``; its gradient at the bounds is 0."""
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
def pad(input: Any, pad: Any, mode: str = 'constant', value: Any = None) -> Tensor:
    """A border around the last axes; negative widths take positions away."""
def relu(input: Any, inplace: bool = False) -> Tensor:
    """The rectifier ``max(x, 0)``; its gradient at 0 is 0."""
def relu6(input: Any, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``; its gradient at 0 and 6 is 0."""
def sigmoid(input: Any) -> Tensor:
    """The logistic function."""
def silu(input: Any, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also called swish."""
def softmax(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """``exp(x_i) / sum_j exp(x_j)`` along one axis: positive numbers that add up to 1."""
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, a smooth rectifier; where ``beta * x > ..."""
def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent."""
