"""Rectifying layers: another left half, two bounds, a learned slope, or the best of channels."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init as initial
from tinygrad_cv.nn._arguments import flag, number, positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank

__all__ = ["CELU", "SELU", "Hardtanh", "Maxout", "PReLU", "RReLU", "ReLU6", "Threshold"]


class CELU(Module):
    """``x`` for x > 0, else ``alpha * (exp(x / alpha) - 1)``, whose derivative at 0 is 1 for every
    alpha (Barron, 2017). See :func:`~tinygrad_cv.nn.functional.celu`.

    Args:
        alpha: the depth of the left half, not 0.
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.CELU(alpha=2.0)(tg.tensor([-100.0, 2.0])).tolist()
    [-2.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        number("CELU", "alpha", alpha)
        flag("CELU", "inplace", inplace)
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_written(self.inplace)}"


class SELU(Module):
    """``scale * (x if x > 0 else alpha * (exp(x) - 1))`` with the numbers that keep mean 0 and
    variance 1 from layer to layer (Klambauer et al., NeurIPS 2017). See
    :func:`~tinygrad_cv.nn.functional.selu`.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> round(tg.nn.SELU()(tg.tensor([1.0])).item(), 4)
    1.0507
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        flag("SELU", "inplace", inplace)
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return F.selu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardtanh(Module):
    """``min(max(x, min_val), max_val)``; the derivative at the bounds is 0. See
    :func:`~tinygrad_cv.nn.functional.hardtanh`.

    Args:
        min_val, max_val: the bounds.
        inplace: write the result into the input.
        min_value, max_value: PyTorch's old names of the bounds, which raise.

    Raises:
        ArgumentError: ``min_val`` is not below ``max_val``, or an old name is used.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Hardtanh()(tg.tensor([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: None = None,
        max_value: None = None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        if min_value is not None or max_value is not None:
            raise ArgumentError(
                layer,
                "min_value and max_value are names of old",
                repair="Use min_val and max_val.",
                repairs=[{"min_value": None, "max_value": None}],
            )
        flag(layer, "inplace", inplace)
        number(layer, "min_val", min_val)
        number(layer, "max_val", max_val)
        if not min_val < max_val:
            raise ArgumentError(
                layer,
                f"min_val={min_val} is not below max_val={max_val}",
                repair="Give the smaller number first.",
            )
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Any) -> Any:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{_written(self.inplace)}"


class ReLU6(Hardtanh):
    """``min(max(x, 0), 6)``, which fixed-point numbers of few bits can hold (Howard et al.,
    "MobileNets", 2017); the derivative at 0 and 6 is 0.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReLU6()(tg.tensor([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Threshold(Module):
    """``x`` for x > threshold, else ``value``. See :func:`~tinygrad_cv.nn.functional.threshold`.

    Args:
        threshold, value: numbers.
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Threshold(1.0, -1.0)(tg.tensor([1.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        number("Threshold", "threshold", threshold)
        number("Threshold", "value", value)
        flag("Threshold", "inplace", inplace)
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Any) -> Any:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}{_written(self.inplace)}"


class PReLU(Module):
    """``x`` for x > 0, else ``weight * x`` with a learned weight [num_parameters] (the lecture's
    parametric rectifier; He et al., ICCV 2015). See :func:`~tinygrad_cv.nn.functional.prelu`.

    Args:
        num_parameters: 1 slope for all, or one for each channel of [N, C, ...].
        init: the slope to start with.
        device, dtype: of the weight.

    Weight decay pulls the slope towards a plain ReLU.

    >>> import tinygrad_cv as tg
    >>> tg.nn.PReLU()(tg.tensor([-4.0, 4.0])).tolist()
    [-1.0, 4.0]
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        positive("PReLU", num_parameters=num_parameters)
        number("PReLU", "init", init)
        self.num_parameters, self.init = num_parameters, init
        self.weight = blank((num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all slopes to ``init``.

        >>> from tinygrad_cv import nn
        >>> layer = nn.PReLU(2)
        >>> nn.init.zeros_(layer.weight).tolist()
        [0.0, 0.0]
        >>> layer.reset_parameters()
        >>> layer.weight.tolist()
        [0.25, 0.25]
        """
        initial.constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """``x`` for x > 0, else ``a * x`` with a slope drawn for each element in training, and its mean
    in evaluation (Xu et al., 2015). See :func:`~tinygrad_cv.nn.functional.rrelu`.

    Args:
        lower, upper: the bounds of the slopes.
        inplace: write the result into the input.
        generator: where slopes are drawn from; the default generator if None.

    >>> import tinygrad_cv as tg
    >>> layer, x = tg.nn.RReLU(0.25, 0.75), tg.tensor([-1.0, 1.0])
    >>> layer.eval()(x).tolist(), -0.75 <= layer.train()(x)[0].item() <= -0.25
    ([-0.5, 1.0], True)
    """

    def __init__(
        self,
        lower: float = 1.0 / 8,
        upper: float = 1.0 / 3,
        inplace: bool = False,
        *,
        generator: Any = None,
    ) -> None:
        super().__init__()
        number("RReLU", "lower", lower)
        number("RReLU", "upper", upper)
        flag("RReLU", "inplace", inplace)
        self.lower, self.upper, self.inplace = lower, upper, inplace
        self.generator = generator

    def forward(self, input: Any) -> Any:
        return F.rrelu(
            input, self.lower, self.upper, self.training, self.inplace, generator=self.generator
        )

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}{_written(self.inplace)}"


class Maxout(Module):
    """The largest of each ``pool_size`` consecutive channels (the lecture's maxout; Goodfellow et
    al., ICML 2013): behind a linear layer, a convex function that is learned piece by piece. See
    :func:`~tinygrad_cv.nn.functional.maxout`.

    Args:
        pool_size: how many channels compete for one of the result.
        dim: the axis of the channels.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Maxout(2)(tg.zeros(3, 8, 5, 5)).shape
    (3, 4, 5, 5)
    """

    def __init__(self, pool_size: int, dim: int = 1) -> None:
        super().__init__()
        positive("Maxout", pool_size=pool_size)
        self.pool_size, self.dim = pool_size, dim

    def forward(self, input: Any) -> Any:
        return F.maxout(input, self.pool_size, self.dim)

    def extra_repr(self) -> str:
        return f"pool_size={self.pool_size}, dim={self.dim}"


def _written(inplace: bool) -> str:
    return ", inplace=True" if inplace else ""
