"""Convolution written as a matrix: h = C I."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._spatial import per_axis
from tinygrad_cv.ops.conv import conv2d
from tinygrad_cv.ops.creation import eye
from tinygrad_cv.ops.shape import reshape, transpose

__all__ = ["conv_matrix"]

NN_FUNCTIONS = ("conv_matrix",)
TENSOR_ARGUMENTS = ("weight",)


def conv_matrix(
    weight: Any, input_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> Any:
    """The matrix C of a convolution: ``h = C @ I`` for the flat image I and the flat result h.

    Column i of C is the convolution of the image that is 1 at pixel i and 0 elsewhere. The gradient
    of the input is ``C.T @ dh``: the same matrix, transposed, enlarges what C shrinks.

    Args:
        weight: [O, C, KH, KW].
        input_size: (H, W) of the image.
        stride, padding, dilation: as :func:`conv2d`.

    Returns:
        [O*P*Q, C*H*W], where [O, P, Q] is the shape of the result. It is differentiable in
        ``weight``, and large: (C*H*W)*(O*P*Q) numbers, nearly all of them 0.

    Raises:
        ShapeError: the weight has not 4 axes, or the kernel does not fit.

    Source: the lecture's convolution as a matrix product, forward and backward.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.conv_matrix(tg.tensor([[[[1.0, 2.0]]]]), (1, 3)).tolist()
    [[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]]
    """
    if weight.ndim != 4:
        raise ShapeError(
            "conv_matrix",
            f"the weight needs 4 axes [O, C, KH, KW], it has {weight.ndim}",
            values=[("weight", weight.shape)],
        )
    shape = (weight.shape[1], *per_axis("conv_matrix", "input_size", input_size, 2))
    pixels = shape[0] * shape[1] * shape[2]
    every_pixel = reshape(eye(pixels, dtype=weight.dtype, device=weight.device), (pixels, *shape))
    results = conv2d(every_pixel, weight, None, stride, padding, dilation)
    return transpose(reshape(results, (pixels, -1)), 0, 1)
