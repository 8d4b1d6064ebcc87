"""The layer of products of two inputs."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank

__all__ = ["Bilinear"]


class Bilinear(Module):
    """``y[o] = x1^T W[o] x2 + b[o]``; see :func:`~tinygrad_cv.nn.functional.bilinear`.

    The weight is [out_features, in1_features, in2_features], the bias [out_features]; both start
    uniform on [-k, k] with k = 1 / sqrt(in1_features), as in PyTorch.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Bilinear(4, 3, 2)(tg.zeros(5, 4), tg.zeros(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {"in1_features": in1_features, "in2_features": in2_features}
        positive("Bilinear", **sizes, out_features=out_features)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = blank((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter("bias", blank((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias, as PyTorch.

        >>> from tinygrad_cv import nn
        >>> layer = nn.Bilinear(100, 3, 2)
        >>> layer.reset_parameters()
        >>> layer.weight.abs().max().item() <= 0.1
        True
        """
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
