"""Transposed convolution: the input gradient of a convolution, as a layer of its own.

Where a convolution shrinks an image (3x3 to 2x2), its gradient enlarges one (2x2 to 3x3); with
stride s it is also called a convolution with stride 1/s. The operator is ``ConvInputGrad`` in
``conv.py``.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.ops._conv_args import transpose_args
from tinygrad_cv.ops._spatial import batched
from tinygrad_cv.ops.conv import conv_input_grad
from tinygrad_cv.ops.shape import reshape

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

NN_FUNCTIONS = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
TENSOR_ARGUMENTS = ("bias",)


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
) -> Any:
    """Transposed convolution of [N, C, L] or [C, L]; see :func:`conv_transpose2d`.

    The weight is [C, O/groups, K].

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0, 2.0]]])
    >>> tg.nn.functional.conv_transpose1d(x, tg.tensor([[[1.0, 1.0, 1.0]]]), stride=2).tolist()
    [[[1.0, 1.0, 3.0, 2.0, 2.0]]]
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size
    )


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
) -> Any:
    """Transposed convolution: the input gradient of the convolution with this weight, as a layer.

    ``y[n,o,i] = b[o] + sum_{c,k,p: p*stride + k*dilation - padding = i} x[n,c,p] * w[c,o,k]``. It
    equals a convolution with stride 1 and the flipped kernel over the input with stride - 1 zeros
    between its pixels.

    Args:
        input: [N, C, H, W] or [C, H, W].
        weight: [C, O/groups, KH, KW].
        bias: [O] or None.
        output_padding: rows added at the end, less than stride or dilation: where a convolution
            with stride maps several input sizes to one output size, it says which of them is meant.
        output_size: (H_out, W_out) wanted, or the whole shape, instead of ``output_padding``.

    Returns:
        [N, O, H_out, W_out] with
        ``H_out = (H - 1)*stride - 2*padding + dilation*(KH - 1) + output_padding + 1``.

    Raises:
        ShapeError, ArgumentError, DTypeError: as :func:`conv2d`; ShapeError also where the input
            has no pixels.

    Source: the lecture's transposed convolution; V. Dumoulin, F. Visin, A guide to convolution
    arithmetic for deep learning, 2016. Names and defaults as
    ``torch.nn.functional.conv_transpose2d``.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> tg.nn.functional.conv_transpose2d(x, tg.ones(1, 1, 2, 2)).tolist()
    [[[[1.0, 3.0, 2.0], [4.0, 10.0, 6.0], [3.0, 7.0, 4.0]]]]
    """
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size
    )


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
) -> Any:
    """Transposed convolution of clips or volumes [N, C, D, H, W]; see :func:`conv_transpose2d`.

    The weight is [C, O/groups, KD, KH, KW].

    >>> import tinygrad_cv as tg
    >>> clip, weight = tg.ones(1, 4, 2, 7, 7), tg.ones(4, 2, 2, 2, 2)
    >>> tg.nn.functional.conv_transpose3d(clip, weight, stride=2).shape
    (1, 2, 4, 14, 14)
    """
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size
    )


def _conv_transpose(n: int, input: Any, weight: Any, bias: Any, *options: Any) -> Any:
    """An n-dimensional transposed convolution from arguments as the user gives them."""
    shape, *attributes = transpose_args(n, input, weight, bias, *options)

    def transposed(batch: Any) -> Any:
        output = conv_input_grad(batch, weight, (batch.shape[0], *shape), *attributes)
        return output if bias is None else output + reshape(bias, (1, shape[0], *(1,) * n))

    return batched(n, transposed, input)
