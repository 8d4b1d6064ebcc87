"""Normalisation layers with recorded statistics: batch and instance normalisation."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv.backend.array import on_device_of
from tinygrad_cv.backend.replay import running_again
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import note_write
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import number, positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank, blank_array

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]
__all__ += ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


class _NormBase(Module):
    """Weight and bias, the recorded statistics, and the count of batches seen: what batch and
    instance normalisation have in common."""

    ranks: ClassVar[tuple[int, ...]]  # how many axes the input may have
    letters: ClassVar[str]
    family: ClassVar[str]  # the name of the layer without "1d", "2d", "3d"
    takes_one: ClassVar[bool] = False  # a sample without the batch axis, which has the fewest axes
    _optional_state = ("num_batches_tracked",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        positive(layer, num_features=num_features)
        number(layer, "eps", eps)
        if momentum is not None:
            number(layer, "momentum", momentum)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ArgumentError(layer, f"momentum must be None or in [0, 1], it is {momentum}")
        if not eps >= 0:
            raise ArgumentError(layer, f"eps must be at least 0, it is {eps}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (num_features,)
        self.register_parameter("weight", blank(shape, device, dtype) if affine else None)
        self.register_parameter("bias", blank(shape, device, dtype) if affine and bias else None)
        keep = track_running_stats
        mean, var = (Tensor(blank_array(shape, device, dtype)) if keep else None for _ in range(2))
        count = Tensor(blank_array((), device, np.int64)) if keep else None
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was recorded: mean 0, variance 1, no batch seen.

        >>> import tinygrad_cv as tg
        >>> norm = tg.nn.BatchNorm1d(1)
        >>> _ = norm(tg.tensor([[0.0], [10.0]]))
        >>> norm.running_mean.tolist(), norm.num_batches_tracked.item()  # 0.9*0 + 0.1*5
        ([0.5], 1)
        >>> norm.reset_running_stats()
        >>> norm.running_mean.tolist(), norm.num_batches_tracked.item()
        ([0.0], 0)
        """
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and nothing recorded.

        >>> from tinygrad_cv import nn
        >>> norm = nn.BatchNorm2d(2)
        >>> _ = nn.init.zeros_(norm.weight)
        >>> norm.reset_parameters()
        >>> norm.weight.tolist(), norm.bias.tolist()
        ([1.0, 1.0], [0.0, 0.0])
        """
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_rank(self, input: Any) -> None:
        if input.ndim in self.ranks:
            return
        repair = None
        single = input.ndim + 1 in self.ranks and input.shape[:1] == (self.num_features,)
        if single and not self.takes_one:
            repair = "x.unsqueeze(0) adds the batch axis."
        elif 2 <= input.ndim <= 5 and self.num_features in input.shape[not self.takes_one : 2]:
            repair = f"This is an input for nn.{self.family}{max(input.ndim - 2, 1)}d."
        raise ShapeError(
            type(self).__name__,
            f"the input must have {' or '.join(map(str, self.ranks))} axes, it has {input.ndim}",
            values=[("input", input.shape, self.letters)],
            repair=repair,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.affine if self.bias is not None else False}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """Statistics of the batch in training, recorded ones in evaluation."""

    family = "BatchNorm"

    def forward(self, input: Any) -> Any:
        self._check_rank(input)
        if not self.training:
            by_batch = self.running_mean is None
            return F.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                by_batch,
                0.0,
                self.eps,
            )
        record = self.track_running_stats and self.running_mean is not None
        momentum = self.momentum
        seen = self.num_batches_tracked if record else None
        if momentum is None:  # cumulative: the mean of all batches so far, this one included
            momentum = 1 / (_value(seen) + 1)
        output = F.batch_norm(
            input,
            self.running_mean if record else None,
            self.running_var if record else None,
            self.weight,
            self.bias,
            True,
            momentum,
            self.eps,
        )
        if seen is not None and not running_again():
            _advance(seen)
        return output


def _value(count: Any) -> int:
    """How many batches were seen; none can have been on the meta device."""
    return 0 if count is None or isinstance(count.array, Spec) else int(count.array)


def _advance(count: Any) -> None:
    if not isinstance(count.array, Spec):
        with on_device_of(count.array):
            count.array[...] += 1
        note_write(count.array, "batch_norm")


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of [N, C] or [N, C, L]; see
    :func:`~tinygrad_cv.nn.functional.batch_norm`.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the share of the new batch in the recorded statistics, so 1.0 keeps those of the
            last batch only (the lecture's way); None records the plain mean over all batches.
        affine: learn a weight and a bias per channel.
        track_running_stats: record statistics in training, and normalise by them in evaluation.

    The plain mean keeps the batches from the beginning of training, when the layers in front had
    other weights. Before you evaluate, call ``reset_running_stats()`` and pass over the data once
    more, in training mode under ``no_grad``:

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.BatchNorm1d(3, momentum=None)
    >>> for mean in (0.0, 4.0):  # the layer in front has learned
    ...     _ = layer(tg.full((4, 3), mean))
    >>> layer.running_mean.tolist(), layer.num_batches_tracked.item()
    ([2.0, 2.0, 2.0], 2)
    >>> layer.reset_running_stats()
    >>> with tg.no_grad():
    ...     _ = layer(tg.full((4, 3), 4.0))
    >>> layer.running_mean.tolist()
    [4.0, 4.0, 4.0]
    """

    ranks = (2, 3)
    letters = "[N, C] or [N, C, L]"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of [N, C, H, W]; otherwise as :class:`BatchNorm1d`.

    >>> import tinygrad_cv as tg
    >>> sorted(tg.nn.BatchNorm2d(3).state_dict())
    ['bias', 'num_batches_tracked', 'running_mean', 'running_var', 'weight']
    """

    ranks = (4,)
    letters = "[N, C, H, W]"


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of [N, C, D, H, W]; otherwise as :class:`BatchNorm1d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.BatchNorm3d(2)(tg.zeros(2, 2, 2, 2, 2)).shape
    (2, 2, 2, 2, 2)
    """

    ranks = (5,)
    letters = "[N, C, D, H, W]"


class _InstanceNorm(_NormBase):
    """Statistics of each sample; recorded ones only if asked for."""

    family = "InstanceNorm"
    takes_one = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Any) -> Any:
        self._check_rank(input)
        single = input.ndim == min(self.ranks)
        axis = 0 if single else 1
        if input.shape[axis] != self.num_features:
            self._wrong_channels(input, axis)
        output = F.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return output.squeeze(0) if single else output

    def _wrong_channels(self, input: Any, axis: int) -> None:
        """Refuse another number of channels where numbers per channel depend on it."""
        c = input.shape[axis]
        layer = type(self).__name__
        if self.affine or self.track_running_stats:
            raise ShapeError(
                layer,
                f"the input has {c} channels in axis {axis}, the layer {self.num_features}",
                values=[("input", input.shape, self.letters)],
                repair=f"Make the layer with num_features={c}.",
            )
        warnings.warn(
            f"{layer}: the input has {c} channels in axis {axis}, the layer {self.num_features}; "
            "without affine the number does not matter",
            stacklevel=4,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of [N, C, L] or [C, L]; see
    :func:`~tinygrad_cv.nn.functional.instance_norm`.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the share of new statistics in the recorded ones.
        affine: learn a weight and a bias per channel.
        track_running_stats: record statistics in training, and normalise by them in evaluation.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.InstanceNorm1d(3)
    >>> layer(tg.rand(4, 3, 10)).shape, list(layer.state_dict())
    ((4, 3, 10), [])
    """

    ranks = (2, 3)
    letters = "[N, C, L] or [C, L]"


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of [N, C, H, W] or [C, H, W]; otherwise as :class:`InstanceNorm1d`.

    >>> import tinygrad_cv as tg
    >>> sorted(tg.nn.InstanceNorm2d(3, affine=True).state_dict())
    ['bias', 'weight']
    """

    ranks = (3, 4)
    letters = "[N, C, H, W] or [C, H, W]"


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of [N, C, D, H, W] or [C, D, H, W]; otherwise as
    :class:`InstanceNorm1d`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.InstanceNorm3d(2)(tg.rand(2, 2, 2, 2, 2)).shape
    (2, 2, 2, 2, 2)
    """

    ranks = (4, 5)
    letters = "[N, C, D, H, W] or [C, D, H, W]"
