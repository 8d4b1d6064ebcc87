"""Hybrid dilated convolution, and the gridding that it avoids.

A dilated kernel leaves out pixels between its taps. Several of one rate on top of each other leave
out the same pixels again: what the output sees has holes, like a grid. Rates without a common
factor, beginning with 1, fill them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.models._arguments import check_axes, positives
from tinygrad_cv.models.receptive_field import ReceptiveField, receptive_field
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.ops._spatial import per_axis

__all__ = ["HybridDilatedConv", "gridding", "has_gridding"]


class HybridDilatedConv(nn.Module):
    """A block of dilated convolutions of growing rates, each with batch normalisation and ReLU:
    [N, C, H, W] to [N, O, H, W].

    With the rates 1, 2, 5 an output sees every pixel of a square of 17x17; with 2, 2, 2 only 49 of
    the 169 pixels of 13x13 (:func:`gridding`).

    Args:
        in_channels, out_channels: C and O; the first convolution changes the one into the other.
        rates: the dilation of each convolution; there are as many as rates.
        kernel_size: the side K of the kernels, odd, so that the size of the image stays: the
            padding is rate * (K - 1) / 2.
        device, dtype: of the parameters.

    State: ``stages.i.conv.weight`` [O, C, K, K] without a bias, which the normalisation would take
    away, and ``stages.i.norm`` with weight, bias and recorded statistics, for i = 0, 1, ...

    Raises:
        ArgumentError: no rates, a number below 1, or an even kernel size.
        ShapeError: an input without 4 axes.

    Source: Wang et al., "Understanding convolution for semantic segmentation" (WACV 2018), and the
    lecture's hybrid dilated convolution.

    >>> import tinygrad_cv as tg
    >>> block = tg.models.HybridDilatedConv(3, 8)
    >>> block(tg.zeros(2, 3, 20, 24)).shape, block.receptive_field().size
    ((2, 8, 20, 24), 17)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rates: Any = (1, 2, 5),
        kernel_size: int = 3,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        positive(name, kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ArgumentError(
                name,
                f"kernel_size must be odd for the image to keep its size, it is {kernel_size}",
                repair=f"Use kernel_size={kernel_size + 1}.",
                repairs=[{"kernel_size": kernel_size + 1}],
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.rates, self.kernel_size = positives(name, "rates", rates), kernel_size
        factory = {"device": device, "dtype": dtype}
        stages = []
        for rate in self.rates:
            width = rate * (kernel_size - 1) // 2
            conv = nn.Conv2d(
                in_channels, out_channels, kernel_size, 1, width, rate, bias=False, **factory
            )
            norm = nn.BatchNorm2d(out_channels, **factory)
            stages.append(nn.Sequential({"conv": conv, "norm": norm, "relu": nn.ReLU()}))
            in_channels = out_channels
        self.stages = nn.Sequential(*stages)

    def forward(self, input: Any) -> Any:
        check_axes(type(self).__name__, input, "N, C, H, W")
        return self.stages(input)

    def receptive_field(self) -> ReceptiveField:
        """What one output sees along each axis.

        >>> from tinygrad_cv import models
        >>> models.HybridDilatedConv(3, 8, rates=(2, 2, 2)).receptive_field()
        ReceptiveField(size=13, stride=1, start=-6)
        """
        k = self.kernel_size
        return receptive_field((k, 1, rate * (k - 1) // 2, rate) for rate in self.rates)


def gridding(rates: Any, kernel_size: Any = 3) -> Tensor:
    """How often each pixel of the receptive field is used by one output of convolutions of these
    rates, on top of each other with stride 1: the number of ways that lead through their taps to
    the pixel. A pixel with 0 is a hole.

    ``count = comb_1 * ... * comb_L``, a convolution of combs; that of rate r is 1 at the taps
    0, r, 2r, ... of the kernel and 0 between them.

    Args:
        rates: the dilation of each convolution.
        kernel_size: K or (KH, KW), of all of them.

    Returns:
        int64 [RH, RW], with ``R = 1 + (K - 1) * sum(rates)`` per axis.

    Raises:
        ArgumentError: no rates, a number below 1, or counts beyond int64.

    Source: Wang et al., "Understanding convolution for semantic segmentation" (WACV 2018).

    >>> from tinygrad_cv import models
    >>> models.gridding([2, 2], 2).tolist()
    [[1, 0, 2, 0, 1], [0, 0, 0, 0, 0], [2, 0, 4, 0, 2], [0, 0, 0, 0, 0], [1, 0, 2, 0, 1]]
    >>> [(models.gridding(rates) == 0).sum().item() for rates in ([2, 2, 2], [1, 2, 5])]
    [120, 0]
    """
    steps = positives("gridding", "rates", rates)
    rows, columns = (_counts(steps, k) for k in per_axis("gridding", "kernel_size", kernel_size, 2))
    most = max(rows) * max(columns)
    if most >= 2**63:
        raise ArgumentError(
            "gridding", f"{most:.1e} ways lead to one pixel, int64 counts to {2**63 - 1:.1e}"
        )
    return Tensor(np.outer(np.array(rows, np.int64), np.array(columns, np.int64)))


def _counts(rates: tuple[int, ...], kernel: int) -> list[int]:
    """The ways to each position along one axis, as Python's ints, which do not overflow."""
    counts = np.ones(1, object)
    for rate in rates:
        comb = np.zeros(rate * (kernel - 1) + 1, object)
        comb[::rate] = 1
        counts = np.convolve(counts, comb)
    return list(counts)


def has_gridding(rates: Any, kernel_size: int = 3) -> bool:
    """Whether convolutions of these rates, on top of each other, leave holes: the rule of Wang et
    al. With the rates in ascending order r_1, ..., r_n and ``M_n = r_n``::

        M_i = max(M_(i+1) - 2 r_i, M_(i+1) - 2 (M_(i+1) - r_i), r_i)

    is the largest distance between taps that the layers from i on leave. There are no holes if
    ``M_2 <= kernel_size``, which the first layer then fills, whose rate must be 1: what lies beside
    the corner of the receptive field is reached by no other.

    The order of the rates does not change which pixels are seen, so any order may be given. For
    kernels of 3 the rule agrees with what :func:`gridding` counts; for larger ones it may tell of
    holes where there are none, never the reverse.

    Raises:
        ArgumentError: no rates, a rate below 1, or a kernel below 3, which the rule is not for.

    >>> from tinygrad_cv import models
    >>> [models.has_gridding(rates) for rates in ([1, 2, 5], [1, 2, 9], [2, 2, 2], [1, 2, 3])]
    [False, True, True, False]
    """
    steps = sorted(positives("has_gridding", "rates", rates))
    positive("has_gridding", kernel_size=kernel_size)
    if kernel_size < 3:
        raise ArgumentError(
            "has_gridding",
            f"the rule is for kernels of 3 and more, kernel_size is {kernel_size}",
            repair="Look for zeros: (gridding(rates, kernel_size) == 0).any().",
            repairs=[{"kernel_size": 3}],
        )
    if steps[0] > 1:
        return True
    distance = steps[-1] if len(steps) > 1 else 1
    for rate in steps[-2:0:-1]:
        distance = max(distance - 2 * rate, distance - 2 * (distance - rate), rate)
    return distance > kernel_size
