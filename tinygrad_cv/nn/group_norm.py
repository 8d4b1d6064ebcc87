"""Normalisation layers whose result does not depend on the batch, so that they keep no state."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import flag, number, positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank
from tinygrad_cv.ops._axes import as_ints

__all__ = ["GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


class _Affine(Module):
    """Weight 1 and bias 0, where there are such."""

    def _make(
        self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any
    ) -> None:
        self.register_parameter("weight", blank(shape, device, dtype) if weight else None)
        self.register_parameter("bias", blank(shape, device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0.

        >>> from tinygrad_cv import nn
        >>> norm = nn.GroupNorm(1, 2)
        >>> _ = nn.init.zeros_(norm.weight)
        >>> norm.reset_parameters()
        >>> norm.weight.tolist(), norm.bias.tolist()
        ([1.0, 1.0], [0.0, 0.0])
        """
        if self.weight is not None:
            init.ones_(self.weight)
        if getattr(self, "bias", None) is not None:
            init.zeros_(self.bias)


class GroupNorm(_Affine):
    """Group normalisation of [N, C, ...]; see :func:`~tinygrad_cv.nn.functional.group_norm`.

    Args:
        num_groups: a divisor of ``num_channels``.
        num_channels: C.
        eps: added to the variance.
        affine: learn a weight and a bias per channel.
        bias: with ``affine``, whether there is a bias.

    Raises:
        ArgumentError: the channels do not divide into the groups.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.GroupNorm(2, 6)
    >>> layer(tg.rand(1, 6, 4, 4)).shape, layer.weight.shape
    ((1, 6, 4, 4), (6,))
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        number("GroupNorm", "eps", eps)
        flag("GroupNorm", "affine", affine)
        if num_channels % num_groups:
            fits = [k for k in range(1, num_channels + 1) if num_channels % k == 0]
            raise ArgumentError(
                "GroupNorm",
                f"num_channels = {num_channels} do not divide into num_groups = {num_groups}",
                repair=f"num_groups may be any of {', '.join(map(str, fits))}.",
                repairs=[{"num_groups": k} for k in fits],
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._make((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LayerNorm(_Affine):
    """Layer normalisation over the last axes; see :func:`~tinygrad_cv.nn.functional.layer_norm`.

    Args:
        normalized_shape: an int, or the sizes of the last axes.
        eps: added to the variance.
        elementwise_affine: learn a weight and a bias of that shape.
        bias: with ``elementwise_affine``, whether there is a bias.

    Raises:
        ArgumentError: ``normalized_shape`` is empty.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.LayerNorm((6, 4, 4))  # whole images
    >>> y = layer(tg.rand(2, 6, 4, 4))
    >>> y.shape, y.mean((1, 2, 3)).abs().max().item() < 1e-6
    ((2, 6, 4, 4), True)
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        number("LayerNorm", "eps", eps)
        self.normalized_shape = _last_sizes("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        has_bias = elementwise_affine and bias
        self._make(self.normalized_shape, elementwise_affine, has_bias, device, dtype)

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """RMS normalisation over the last axes; see :func:`~tinygrad_cv.nn.functional.rms_norm`.

    Args:
        normalized_shape: an int, or the sizes of the last axes.
        eps: added to the mean square; None is the smallest number that makes a difference to 1.
        elementwise_affine: learn a weight of that shape.

    Raises:
        ArgumentError: ``normalized_shape`` is empty.

    >>> import tinygrad_cv as tg
    >>> tg.nn.RMSNorm(4)(tg.tensor([3.0, 4.0, 0.0, 0.0])).detach().numpy().round(3)
    array([1.2, 1.6, 0. , 0. ], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if eps is not None:
            number("RMSNorm", "eps", eps)
        self.normalized_shape = _last_sizes("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape = self.normalized_shape
        weight = blank(shape, device, dtype) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def forward(self, input: Any) -> Any:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """Normalisation across neighbouring channels of [N, C, spatial...]; see
    :func:`~tinygrad_cv.nn.functional.local_response_norm`.

    Args:
        size: the number of channels of a window.
        alpha, beta, k: of ``y = x / (k + alpha * mean of squares) ** beta``.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LocalResponseNorm(2)
    LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        positive("LocalResponseNorm", size=size)
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
            number("LocalResponseNorm", name, value)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _last_sizes(layer: str, normalized_shape: Any) -> tuple[int, ...]:
    shape = as_ints(layer, "normalized_shape", normalized_shape)
    if not shape or min(shape) < 1:
        raise ArgumentError(
            layer,
            "normalized_shape must name the sizes of one axis or more, each at least 1, "
            f"it is {normalized_shape!r}",
        )
    return shape
