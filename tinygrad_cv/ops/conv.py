"""Convolution in one, two and three dimensions, its two gradients, and transposed convolution.

Three operators say it all, for every spatial rank at once: ``Conv``, ``ConvInputGrad`` (which is
transposed convolution) and ``ConvWeightGrad``. Each is bilinear, and the gradient of each is one of
the other two, so the family is closed: a derivative of any order is again a convolution.

Letters: N images, C input channels, O output channels, i an input position, p an output position
and k a kernel tap, all with one coordinate per spatial axis (H W and KH KW in two dimensions). x
and w are input and weight, g the gradient of y; G is the gradient of an output that is a gradient
itself. With groups, c runs over the channels of the group of o, and o over those of the group of c;
w has these only, so that the c of w counts inside the group.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.convolution import Window, correlate, spread, weight_gradient
from tinygrad_cv.backend.spec import CHANNELS_LAST, Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._conv_args import check_conv, check_grads, conv_args
from tinygrad_cv.ops._spatial import Pairs, Sizes, batched, channels_last, output_size
from tinygrad_cv.ops.reduce import sum as sum_over

__all__ = [
    "Conv",
    "ConvInputGrad",
    "ConvWeightGrad",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_input_grad",
]

NN_FUNCTIONS = ("conv1d", "conv2d", "conv3d")


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Convolution of [N, C, L] or [C, L] with a weight [O, C/groups, K]; see :func:`conv2d`.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    >>> tg.nn.functional.conv1d(x, tg.tensor([[[1.0, -1.0]]])).tolist()
    [[[-1.0, -1.0, -1.0]]]
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Convolution of images with kernels (which are not flipped).

    ``y[n,o,p] = b[o] + sum_{c,k} x[n, c, p*stride + k*dilation - padding] * w[o,c,k]``, where p and
    k stand for one coordinate per axis.

    Args:
        input: [N, C, H, W], or [C, H, W] for one image.
        weight: [O, C/groups, KH, KW].
        bias: [O] or None.
        stride, dilation: an int, or one int per axis.
        padding: zeros around the input: an int, one int per axis, or one pair (before, after) per
            axis. "valid" is none. "same" gives ceil(H / stride) rows at any stride: half of
            ``max((ceil(H / stride) - 1)*stride + dilation*(KH - 1) + 1 - H, 0)`` rows go before,
            the other half, and the odd one, behind. These zeros are multiplied like other pixels:
            a weight that is not finite makes NaN of them (0 * inf).
        groups: input and output channels are split into groups that do not see each other.

    Returns:
        [N, O, H_out, W_out], of the input's dtype, channels-last in memory, with
        ``H_out = floor((H + 2*padding - dilation*(KH - 1) - 1) / stride) + 1``.

    Raises:
        ShapeError: the kernel does not fit the padded input, channels, groups or bias disagree.
        ArgumentError: stride, dilation or groups below 1, negative padding.
        DTypeError: input, weight and bias have different dtypes.

    Source: the lecture's general convolution; names and defaults as ``torch.nn.functional.conv2d``.

    >>> import tinygrad_cv as tg
    >>> image = tg.arange(9.0).reshape(1, 1, 3, 3)
    >>> tg.nn.functional.conv2d(image, tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[27.0, 37.0], [57.0, 67.0]]]]
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Convolution of clips or volumes [N, C, D, H, W] or [C, D, H, W]; see :func:`conv2d`.

    The weight is [O, C/groups, KD, KH, KW].

    >>> import tinygrad_cv as tg
    >>> clip, weight = tg.ones(1, 3, 16, 56, 56), tg.ones(8, 3, 3, 3, 3)
    >>> tg.nn.functional.conv3d(clip, weight, padding="same", stride=(1, 2, 2)).shape
    (1, 8, 16, 28, 28)
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


class Conv(Op):
    """Convolution over any number of spatial axes.

    Shapes: input [N, C, H, W], weight [O, C/groups, KH, KW], bias [O], output [N, O, H_out, W_out]
    with ``H_out = floor((H_in + before + after - dilation*(KH - 1) - 1) / stride) + 1``, where
    (before, after) is the padding of that axis.
    """

    name = "conv"
    equation = "y[n,o,p] = b[o] + sum_{c,k} x[n, c, p*stride + k*dilation - padding] * w[o,c,k]"
    gradients = {
        "input": "dx[n,c,i] = sum_{o,k,p: p*stride + k*dilation - padding = i} g[n,o,p] * w[o,c,k]",
        "weight": "dw[o,c,k] = sum_{n,p} g[n,o,p] * x[n, c, p*stride + k*dilation - padding]",
        "bias": "db[o] = sum_{n,p} g[n,o,p]",
    }
    edges = "zeros of the padding times an infinite or NaN weight are NaN"
    cost = "2 N O P Q C/groups KH KW, and N O P Q for the bias"
    dtypes = "integer, floating"
    inputs = ("input", "weight", "bias")
    may_warn = True  # products may overflow

    @staticmethod
    def public_name(stride: Sizes, *attributes: Any) -> str:
        return f"conv{len(stride)}d"

    @staticmethod
    def infer(
        input: Spec,
        weight: Spec,
        bias: Spec | None,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> Spec:
        out = _positions(input.shape, weight.shape, stride, padding, dilation)
        check_conv(input, weight, bias, out, stride, padding, dilation, groups)
        shape = (input.shape[0], weight.shape[0], *out)
        return Spec(shape, input.dtype, channels_last(shape))

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        weight: Any,
        bias: Any,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> Any:
        # The windows become the rows of a matrix [(n, p), (c, k)], the kernels the columns of
        # another, [(c, k), o]: the sum is their product (im2col), made block by block.
        positions = _positions(input.shape, weight.shape, stride, padding, dilation)
        shape = (input.shape[0], weight.shape[0], *positions)
        output = memory.empty(shape, input.dtype, CHANNELS_LAST, xp)
        window = _window(weight.shape, stride, padding, dilation)
        correlate(xp, input, _by_group(weight, groups), bias, window, output)
        return output

    @staticmethod
    def vjp_input(
        g: Any, weight: Any, input_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        return conv_input_grad(g, weight, input_shape, stride, padding, dilation, groups)

    @staticmethod
    def vjp_weight(
        g: Any, input: Any, weight_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        return conv_weight_grad(input, g, weight_shape, stride, padding, dilation, groups)

    @staticmethod
    def vjp_bias(g: Any) -> Any:
        return sum_over(g, dim=(0, *range(2, g.ndim)))

    @staticmethod
    def flops(
        input: Spec,
        weight: Spec,
        bias: Spec | None,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> int:
        out = _positions(input.shape, weight.shape, stride, padding, dilation)
        positions = input.shape[0] * math.prod(out)
        return positions * (2 * weight.size + (weight.shape[0] if bias is not None else 0))


class ConvInputGrad(Op):
    """Input gradient of ``Conv``: every output value is spread back over the window it came from.

    As a layer of its own it is transposed convolution, which enlarges an image where convolution
    shrinks it (a 2x2 gradient becomes a 3x3 one).

    Shapes: grad [N, O, H_out, W_out], weight [O, C/groups, KH, KW], output [N, C, H, W], which is
    ``input_shape``: the stride leaves open how large the input was.
    """

    name = "conv_input_grad"
    equation = "dx[n,c,i] = sum_{o,k,p: p*stride + k*dilation - padding = i} g[n,o,p] * w[o,c,k]"
    gradients = {
        "grad": "dg[n,o,p] = sum_{c,k} G[n, c, p*stride + k*dilation - padding] * w[o,c,k]",
        "weight": "dw[o,c,k] = sum_{n,p} g[n,o,p] * G[n, c, p*stride + k*dilation - padding]",
    }
    edges = "linear; outputs that no pixel reaches are 0"
    cost = "2 N O P Q C/groups KH KW"
    inputs = ("grad", "weight")
    may_warn = True

    @staticmethod
    def public_name(input_shape: Sizes, *attributes: Any) -> str:
        return f"conv_transpose{len(input_shape) - 2}d"

    @staticmethod
    def infer(
        grad: Spec,
        weight: Spec,
        input_shape: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> Spec:
        out = _positions(input_shape, weight.shape, stride, padding, dilation)
        check_grads("conv_input_grad", grad, weight, input_shape, weight.shape, out, groups)
        return Spec(input_shape, grad.dtype, channels_last(input_shape))

    @staticmethod
    def forward(
        xp: Any,
        grad: Any,
        weight: Any,
        input_shape: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> Any:
        # Seen from a pixel, its gradient is a convolution of g: with the kernel flipped (the window
        # that starts at the pixel meets it with its first tap, the one that ends there with its
        # last) and input and output channels swapped. With stride s, a tap reads every s-th pixel
        # only: the pixels split into s independent phases per axis, each with stride 1.
        swapped = _by_group(weight, groups).swapaxes(1, 2)
        output = memory.empty(input_shape, grad.dtype, CHANNELS_LAST, xp)
        window = _window(weight.shape, stride, padding, dilation)
        spread(xp, grad, swapped, window, output)
        return output

    @staticmethod
    def vjp_grad(g: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
        return conv(g, weight, None, stride, padding, dilation, groups)

    @staticmethod
    def vjp_weight(
        g: Any, grad: Any, weight_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        return conv_weight_grad(g, grad, weight_shape, stride, padding, dilation, groups)

    @staticmethod
    def flops(grad: Spec, weight: Spec, *attributes: Any) -> int:
        return 2 * grad.shape[0] * math.prod(grad.shape[2:]) * weight.size


class ConvWeightGrad(Op):
    """Weight gradient of ``Conv``: the input correlated with the output gradient.

    Shapes: input [N, C, H, W], grad [N, O, H_out, W_out], output [O, C/groups, KH, KW].
    """

    name = "conv_weight_grad"
    equation = "dw[o,c,k] = sum_{n,p} g[n,o,p] * x[n, c, p*stride + k*dilation - padding]"
    gradients = {
        "input": "dx[n,c,i] = sum_{o,k,p: p*stride + k*dilation - padding = i} g[n,o,p] * G[o,c,k]",
        "grad": "dg[n,o,p] = sum_{c,k} x[n, c, p*stride + k*dilation - padding] * G[o,c,k]",
    }
    edges = "linear; zeros of the padding times an infinite or NaN gradient are NaN"
    cost = "2 N O P Q C/groups KH KW"
    inputs = ("input", "grad")
    may_warn = True

    @staticmethod
    def infer(
        input: Spec,
        grad: Spec,
        weight_shape: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> Spec:
        out = _positions(input.shape, weight_shape, stride, padding, dilation)
        check_grads("conv_weight_grad", grad, input, input.shape, weight_shape, out, groups)
        return Spec(weight_shape, grad.dtype)

    @staticmethod
    def forward(
        xp: Any,
        input: Any,
        grad: Any,
        weight_shape: Sizes,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
        groups: int,
    ) -> Any:
        # The matrix of windows [(n, p), (c, k)] once more, transposed, times g as [(n, p), o].
        window = _window(weight_shape, stride, padding, dilation)
        return weight_gradient(xp, input, grad, weight_shape, window, groups)

    @staticmethod
    def vjp_input(
        g: Any, grad: Any, input_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        return conv_input_grad(grad, g, input_shape, stride, padding, dilation, groups)

    @staticmethod
    def vjp_grad(g: Any, input: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
        return conv(input, g, None, stride, padding, dilation, groups)

    @staticmethod
    def flops(input: Spec, grad: Spec, weight_shape: Sizes, *attributes: Any) -> int:
        return 2 * grad.shape[0] * math.prod(grad.shape[2:]) * math.prod(weight_shape)


conv = Conv.call
conv_input_grad = ConvInputGrad.call
conv_weight_grad = ConvWeightGrad.call


def _conv(n: int, input: Any, weight: Any, bias: Any, *options: Any) -> Any:
    """An n-dimensional convolution from arguments as the user gives them."""
    attributes = conv_args(n, input, weight, *options)
    return batched(n, conv, input, weight, bias, *attributes)


def _positions(
    input: Sizes, weight: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> Sizes:
    """Along every axis: floor((H + before + after - dilation*(KH - 1) - 1) / stride) + 1."""
    return tuple(map(output_size, input[2:], weight[2:], stride, padding, dilation))


def _window(weight: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> Window:
    """At position p, tap k meets the pixel at p*stride - padding + k*dilation."""
    return Window(weight[2:], stride, tuple(-before for before, _ in padding), dilation)


def _by_group(weight: Any, groups: int) -> Any:
    """[O, C/groups, k...] as [groups, O/groups, C/groups, k...]."""
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
