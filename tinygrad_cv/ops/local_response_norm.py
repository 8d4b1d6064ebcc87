"""Local response normalisation: each value divided by the energy of the channels around it."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._pair_loss import check_number
from tinygrad_cv.ops._spatial import per_axis
from tinygrad_cv.ops.avg_pool import avg_pool1d, check_float
from tinygrad_cv.ops.shape import reshape, transpose

__all__ = ["local_response_norm"]

NN_FUNCTIONS = ("local_response_norm",)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Normalisation across neighbouring channels:
    ``y[c] = x[c] / (k + alpha / size * sum_j x[j]^2) ** beta`` over the ``size`` channels j from
    c - size // 2 to c + (size - 1) // 2; channels outside the input count as 0.

    Args:
        input: [N, C, spatial...] with at least one spatial axis, float.
        size: the number of channels of a window.

    Returns:
        The shape of ``input``.

    Raises:
        ShapeError: fewer than 3 axes.
        ArgumentError: ``size`` is below 1.

    Edge rules: an empty input is returned as it is. In the paper alpha stands before the sum; here,
    as in PyTorch, before the mean.

    Source: Krizhevsky et al., "ImageNet classification with deep convolutional neural networks"
    (2012), section 3.3.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0], [2.0], [3.0]]])  # three channels of one pixel
    >>> tg.nn.functional.local_response_norm(x, 3, alpha=3.0, beta=1.0).flatten().numpy().round(3)
    array([0.167, 0.133, 0.214], dtype=float32)
    """
    (size,) = per_axis("local_response_norm", "size", size, 1)
    if input.ndim < 3:
        raise ShapeError(
            "local_response_norm",
            f"the input needs 3 axes or more, it has {input.ndim}",
            values=[("input", input.shape, "[N, C, spatial...]")],
        )
    check_float("local_response_norm", input)
    alpha, beta, k = (
        check_number("local_response_norm", name, value)
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    if 0 in input.shape:
        return input
    n, c = input.shape[:2]
    # Seen as [N, pixels, C], the windows run along the last axis, and memory is channels-last.
    lines = transpose(reshape(input * input, (n, c, -1)), 1, 2)
    means = avg_pool1d(lines, size, 1, ((size // 2, (size - 1) // 2),))
    return input / (reshape(transpose(means, 1, 2), input.shape) * alpha + k) ** beta
