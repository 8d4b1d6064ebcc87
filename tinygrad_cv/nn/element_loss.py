"""Layers of losses that compare two tensors element by element: regression, probabilities,
likelihoods.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.loss import _Loss, _WeightedLoss
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._pair_loss import check_number
from tinygrad_cv.ops._reduction import check_reduction

__all__ = ["BCELoss", "BCEWithLogitsLoss", "GaussianNLLLoss", "HuberLoss", "KLDivLoss"]
__all__ += ["PoissonNLLLoss", "SmoothL1Loss"]


class SmoothL1Loss(_Loss):
    """A parabola near 0, the absolute difference beyond ``beta``; see
    :func:`~tinygrad_cv.nn.functional.smooth_l1_loss`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.SmoothL1Loss()(tg.tensor([0.5, 3.0]), tg.zeros(2)).item()  # (0.125 + 2.5) / 2
    1.3125
    """

    def __init__(
        self,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = check_number("SmoothL1Loss", "beta", beta)
        if beta < 0:
            raise ArgumentError("SmoothL1Loss", f"beta must not be negative, it is {beta}")

    def forward(self, input: Any, target: Any) -> Any:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """A parabola up to ``delta``, a straight line beyond; see
    :func:`~tinygrad_cv.nn.functional.huber_loss`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.HuberLoss("sum", delta=2.0)(tg.tensor([1.0, 5.0]), tg.zeros(2)).item()  # 0.5 + 8
    8.5
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = check_number("HuberLoss", "delta", delta, above=0)

    def forward(self, input: Any, target: Any) -> Any:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_WeightedLoss):
    """Cross-entropy of two classes, of probabilities; see
    :func:`~tinygrad_cv.nn.functional.binary_cross_entropy`.

    Args:
        weight: a factor per element, which broadcasts to the input; part of the state dict.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    >>> import tinygrad_cv as tg
    >>> loss = tg.nn.BCELoss()(tg.tensor([0.5, 0.5]), tg.tensor([1.0, 0.0]))
    >>> round(loss.item(), 4)  # log 2
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Cross-entropy of two classes, of scores, without overflow; see
    :func:`~tinygrad_cv.nn.functional.binary_cross_entropy_with_logits`.

    Args:
        weight: a factor per element, which broadcasts to the input; part of the state dict.
        pos_weight: a factor of the positive class, likewise.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    >>> import tinygrad_cv as tg
    >>> tg.nn.BCEWithLogitsLoss()(tg.tensor([1000.0]), tg.tensor([1.0])).item()
    0.0
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", None if pos_weight is None else as_tensor(pos_weight))

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(Module):
    """Kullback-Leibler divergence of log-probabilities; see
    :func:`~tinygrad_cv.nn.functional.kl_div`.

    Args:
        reduction: "batchmean" for the divergence itself, "sum", "none", or "mean", which divides
            by the number of elements and warns.
        log_target: the targets are logarithms too.
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    >>> import tinygrad_cv as tg
    >>> p = tg.tensor([[0.25, 0.75]])
    >>> tg.nn.KLDivLoss(reduction="batchmean")(p.log(), p).item()
    0.0
    """

    def __init__(
        self,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__()
        known = ("none", "batchmean", "mean", "sum")
        check_reduction("KLDivLoss", reduction, size_average, reduce, known)
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: Any, target: Any) -> Any:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts under Poisson distributions; see
    :func:`~tinygrad_cv.nn.functional.poisson_nll_loss`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.PoissonNLLLoss()(tg.tensor([0.0]), tg.tensor([2.0])).item()  # e^0 - 2 * 0
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: Any = None,
        eps: float = 1e-8,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full = log_input, full
        self.eps = check_number("PoissonNLLLoss", "eps", eps)

    def forward(self, log_input: Any, target: Any) -> Any:
        return F.poisson_nll_loss(
            log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood under normal distributions; see
    :func:`~tinygrad_cv.nn.functional.gaussian_nll_loss`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.GaussianNLLLoss()(tg.tensor([1.0]), tg.tensor([3.0]), tg.tensor([1.0])).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, check_number("GaussianNLLLoss", "eps", eps, above=0)

    def forward(self, input: Any, target: Any, var: Any) -> Any:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
