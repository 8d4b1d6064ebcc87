"""Fully connected layers, and layers that change nothing but the shape."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank

__all__ = ["Flatten", "Identity", "Linear", "Unflatten"]


class Linear(Module):
    """Fully connected layer ``y = x W^T + b``; see :func:`~tinygrad_cv.nn.functional.linear`.

    The weight is [out_features, in_features], the bias [out_features]; both start uniform on
    [-k, k] with k = 1 / sqrt(in_features), as in PyTorch.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Linear(4, 2)(tg.zeros(3, 4)).shape
    (3, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = blank((out_features, in_features), device, dtype)
        self.register_parameter("bias", blank((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias: uniform on [-k, k] with k = 1 / sqrt(in_features),
        as PyTorch.

        >>> from tinygrad_cv import nn
        >>> layer = nn.Linear(100, 50)
        >>> nn.init.zeros_(layer.weight)[0, :2].tolist()
        [0.0, 0.0]
        >>> layer.reset_parameters()
        >>> 0.09 < layer.weight.abs().max().item() <= 0.1
        True
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Identity(Module):
    """Returns its input; takes and forgets any arguments, so that it can stand where a layer was.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Identity(54, unused=True)(tg.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` (included) become one; by default all but the batch.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Flatten()(tg.zeros(2, 3, 4, 4)).shape
    (2, 48)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis ``dim`` becomes several, of the sizes ``unflattened_size``.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Unflatten(1, (3, 4, 4))(tg.zeros(2, 48)).shape
    (2, 3, 4, 4)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
