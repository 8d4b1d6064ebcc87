"""Activation layers: modules around the functions of the same names."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import flag, number
from tinygrad_cv.nn.module import Module

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Tanh",
]


class ReLU(Module):
    """``max(0, x)`` of any shape; the derivative at 0 is 0. See
    :func:`~tinygrad_cv.nn.functional.relu`.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReLU()(tg.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        flag(type(self).__name__, "inplace", inplace)
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """``x`` for x > 0, else ``negative_slope * x``, so that no unit stays without a gradient (Maas
    et al., ICML 2013); the derivative at 0 is the slope.

    Args:
        negative_slope: of the left half.
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LeakyReLU(0.5)(tg.tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        number(type(self).__name__, "negative_slope", negative_slope)
        self.negative_slope = negative_slope
        flag(type(self).__name__, "inplace", inplace)
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(Module):
    """``x`` for x > 0, else ``alpha * (exp(x) - 1)``, which levels off at -alpha (Clevert et al.,
    ICLR 2016); the derivative at 0 is alpha.

    Args:
        alpha: the depth of the left half.
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ELU(alpha=2.0)(tg.tensor([-100.0, 0.0, 2.0])).tolist()
    [-2.0, 0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        number(type(self).__name__, "alpha", alpha)
        self.alpha = alpha
        flag(type(self).__name__, "inplace", inplace)
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Sigmoid(Module):
    """The logistic function ``1 / (1 + exp(-x))``, between 0 and 1, of any shape.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Sigmoid()(tg.tensor([-1000.0, 0.0, 1000.0])).tolist()  # nothing overflows
    [0.0, 0.5, 1.0]
    """

    def forward(self, input: Any) -> Any:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``, between -1 and 1, of any
    shape.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Tanh()(tg.tensor([-1000.0, 0.0, 1000.0])).tolist()
    [-1.0, 0.0, 1.0]
    """

    def forward(self, input: Any) -> Any:
        return F.tanh(input)


class GELU(Module):
    """``x * Phi(x)``, with Phi the distribution function of the normal distribution (Hendrycks and
    Gimpel, 2016).

    Args:
        approximate: "none", or "tanh" for ``x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))``.

    Raises:
        ArgumentError: another approximation.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0])
    >>> round(tg.nn.GELU()(x).item(), 4), round(tg.nn.GELU("tanh")(x).item(), 4)
    (0.8413, 0.8412)
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ArgumentError(
                "GELU", f'approximate must be "none" or "tanh", not {approximate!r}'
            )
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``: not negative, with the sum 1. See
    :func:`~tinygrad_cv.nn.functional.softmax`.

    Raises:
        ArgumentError: no ``dim`` is given.

    >>> import tinygrad_cv as tg
    >>> scores = tg.tensor([[1000.0, 1000.0, 0.0]])  # [N, C]; large scores do not overflow
    >>> tg.nn.Softmax(dim=1)(scores).tolist()
    [[0.5, 0.5, 0.0]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _checked_dim("Softmax", dim)

    def forward(self, input: Any) -> Any:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of [N, C, H, W] or [C, H, W], at each pixel.

    Raises:
        ShapeError: the input has neither 3 nor 4 axes.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Softmax2d()(tg.zeros(1, 4, 1, 2)).flatten().tolist()
    [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]
    """

    def forward(self, input: Any) -> Any:
        if input.ndim not in (3, 4):
            raise ShapeError(
                "Softmax2d",
                f"the input must have 3 or 4 axes, it has {input.ndim}",
                values=[("input", input.shape, "[N, C, H, W] or [C, H, W]")],
                repair="Use nn.Softmax(dim=1) for [N, C].",
            )
        return F.softmax(input, -3)


class Softmin(Module):
    """``exp(-x_i) / sum_j exp(-x_j)`` along ``dim``, the softmax of ``-x``. See
    :func:`~tinygrad_cv.nn.functional.softmin`.

    Raises:
        ArgumentError: no ``dim`` is given.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Softmin(dim=1)(tg.tensor([[0.0, 0.0, 1000.0]])).tolist()
    [[0.5, 0.5, 0.0]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _checked_dim("Softmin", dim)

    def forward(self, input: Any) -> Any:
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """``x_i - log(sum_j exp(x_j))`` along ``dim``: finite where the logarithm of a softmax would be
    -inf. See :func:`~tinygrad_cv.nn.functional.log_softmax`.

    Raises:
        ArgumentError: no ``dim`` is given.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LogSoftmax(dim=1)(tg.tensor([[1000.0, 0.0]])).tolist()
    [[0.0, -1000.0]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _checked_dim("LogSoftmax", dim)

    def forward(self, input: Any) -> Any:
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def _checked_dim(layer: str, dim: int | None) -> int:
    """PyTorch guesses a missing dim from the rank and warns; here it must be named."""
    if dim is None:
        raise ArgumentError(
            layer,
            "dim must be given",
            repair="Use dim=1 for the classes of [N, C, ...].",
            repairs=[{"dim": 1}],
        )
    return dim
