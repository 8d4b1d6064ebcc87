"""Gating and shrinking layers: modules around the functions of the same names."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import flag, number
from tinygrad_cv.nn.module import Module

__all__ = [
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "LogSigmoid",
    "Mish",
    "SiLU",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanhshrink",
]


class _Plain(Module):
    function: ClassVar[str]

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input)


class _InPlace(Module):
    function: ClassVar[str]

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        flag(type(self).__name__, "inplace", inplace)
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input, self.inplace)


class _Shrinking(Module):
    function: ClassVar[str]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        number(type(self).__name__, "lambd", lambd)
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also called swish. See :func:`~tinygrad_cv.nn.functional.silu`.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.SiLU()(tg.tensor([0.0, 50.0])).tolist()
    [0.0, 50.0]
    """

    function = "silu"

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Mish(_InPlace):
    """``x * tanh(softplus(x))`` (Misra, BMVC 2020). See :func:`~tinygrad_cv.nn.functional.mish`.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Mish()(tg.tensor([0.0, 50.0])).tolist()
    [0.0, 50.0]
    """

    function = "mish"

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(_InPlace):
    """``min(max(x + 3, 0), 6) / 6``, a logistic function made of three lines (Howard et al., ICCV
    2019). See :func:`~tinygrad_cv.nn.functional.hardsigmoid`.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Hardsigmoid()(tg.tensor([-5.0, 0.0, 5.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    function = "hardsigmoid"


class Hardswish(_InPlace):
    """``x * hardsigmoid(x)``, the cheap form of SiLU (Howard et al., ICCV 2019). See
    :func:`~tinygrad_cv.nn.functional.hardswish`.

    Args:
        inplace: write the result into the input.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Hardswish()(tg.tensor([0.0, 1.5, 5.0])).tolist()
    [0.0, 1.125, 5.0]
    """

    function = "hardswish"


class LogSigmoid(_Plain):
    """``log(sigmoid(x))``, without underflow. See :func:`~tinygrad_cv.nn.functional.logsigmoid`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.LogSigmoid()(tg.tensor([-1000.0, 1000.0])).tolist()
    [-1000.0, 0.0]
    """

    function = "logsigmoid"


class Softsign(_Plain):
    """``x / (1 + |x|)``, between -1 and 1. See :func:`~tinygrad_cv.nn.functional.softsign`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Softsign()(tg.tensor([-1.0, 0.0, 3.0])).tolist()
    [-0.5, 0.0, 0.75]
    """

    function = "softsign"


class Tanhshrink(_Plain):
    """``x - tanh(x)``. See :func:`~tinygrad_cv.nn.functional.tanhshrink`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Tanhshrink()(tg.tensor([0.0, 1000.0])).tolist()
    [0.0, 999.0]
    """

    function = "tanhshrink"


class Hardshrink(_Shrinking):
    """``x`` outside [-lambd, lambd], 0 inside. See :func:`~tinygrad_cv.nn.functional.hardshrink`.

    Args:
        lambd: half the width of the interval.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Hardshrink()(tg.tensor([-2.0, 0.5, 2.0])).tolist()
    [-2.0, 0.0, 2.0]
    """

    function = "hardshrink"


class Softshrink(_Shrinking):
    """``x`` moved towards 0 by ``lambd``, and 0 where it would pass 0. See
    :func:`~tinygrad_cv.nn.functional.softshrink`.

    Args:
        lambd: how far numbers are moved, not negative.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Softshrink()(tg.tensor([-2.0, 0.5, 2.0])).tolist()
    [-1.5, 0.0, 1.5]
    """

    function = "softshrink"


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, a smooth rectifier; where ``beta * x > threshold``, x
    itself. See :func:`~tinygrad_cv.nn.functional.softplus`.

    Args:
        beta: how sharp the bend is.
        threshold: from which ``beta * x`` on the input is returned.

    >>> import tinygrad_cv as tg
    >>> tg.nn.Softplus()(tg.tensor([-1000.0, 30.0])).tolist()
    [0.0, 30.0]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        number("Softplus", "beta", beta)
        number("Softplus", "threshold", threshold)
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Any) -> Any:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class GLU(Module):
    """The first half of an axis times the sigmoid of the second (Dauphin et al., ICML 2017). See
    :func:`~tinygrad_cv.nn.functional.glu`.

    Args:
        dim: the axis, of even size.

    >>> import tinygrad_cv as tg
    >>> tg.nn.GLU(dim=1)(tg.zeros(2, 8, 5)).shape
    (2, 4, 5)
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
