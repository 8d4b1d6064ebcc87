"""Loss layers: modules around the functions of the same names."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._reduction import check_reduction

__all__ = ["CrossEntropyLoss", "L1Loss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    """A loss with a reduction: "mean", "sum" or "none"."""

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        check_reduction(type(self).__name__, reduction, size_average, reduce)
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss with a weight per class, which is part of the state but not trained."""

    weight: Tensor | None

    def __init__(self, weight: Any, size_average: Any, reduce: Any, reduction: str) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", None if weight is None else as_tensor(weight))


class CrossEntropyLoss(_WeightedLoss):
    """Softmax and negative log-likelihood of class labels:
    ``loss = -weight[t] * log(exp(x[t]) / sum_c exp(x[c]))``; see
    :func:`~tinygrad_cv.nn.functional.cross_entropy` for edge rules and errors.

    Args:
        weight: [C], a factor per class, or None; part of the state dict.
        ignore_index: positions with this label do not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: how much of the target is spread evenly over all classes, 0 to 1.
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    Shapes: input [N, C], [N, C, d...] or [C]; target labels [N], [N, d...] or a scalar, or
    probabilities in the shape of the input.

    >>> import tinygrad_cv as tg
    >>> loss = tg.nn.CrossEntropyLoss()(tg.zeros(2, 4), tg.tensor([0, 3]))
    >>> round(loss.item(), 4)  # nothing is known yet: log 4
    1.3863
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Any, target: Any) -> Any:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """Negative log-likelihood of class labels: ``loss = -weight[t] * x[t]`` of log-probabilities x;
    see :func:`~tinygrad_cv.nn.functional.nll_loss`. Arguments and shapes as for
    :class:`CrossEntropyLoss` with labels.

    >>> import tinygrad_cv as tg
    >>> scores, labels = tg.tensor([[1.0, 2.0, 0.5]]), tg.tensor([1])
    >>> after = tg.nn.NLLLoss()(tg.nn.LogSoftmax(dim=1)(scores), labels)
    >>> abs(after.item() - tg.nn.CrossEntropyLoss()(scores, labels).item()) < 1e-6
    True
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class MSELoss(_Loss):
    """Squared difference ``(input - target)^2``, its mean or its sum; see
    :func:`~tinygrad_cv.nn.functional.mse_loss`.

    Args:
        reduction: "mean" over all elements, "sum", or "none".
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    >>> import tinygrad_cv as tg
    >>> tg.nn.MSELoss()(tg.tensor([1.0, 4.0]), tg.tensor([1.0, 2.0])).item()  # (0 + 4) / 2
    2.0
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute difference ``|input - target|``, its mean or its sum, whose derivative at equality
    is 0; see :func:`~tinygrad_cv.nn.functional.l1_loss`. Arguments as for :class:`MSELoss`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.L1Loss(reduction="none")(tg.tensor([1.0, 4.0]), tg.tensor([1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.l1_loss(input, target, reduction=self.reduction)
