"""Layers of losses with a margin, of scores and of embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.distance import PairwiseDistance
from tinygrad_cv.nn.loss import _Loss, _WeightedLoss
from tinygrad_cv.ops._pair_loss import check_number

__all__ = ["CosineEmbeddingLoss", "HingeEmbeddingLoss", "MarginRankingLoss", "MultiLabelMarginLoss"]
__all__ += ["MultiLabelSoftMarginLoss", "MultiMarginLoss", "SoftMarginLoss", "TripletMarginLoss"]
__all__ += ["TripletMarginWithDistanceLoss"]


class _MarginLoss(_Loss):
    """A loss with a margin of 0 by default."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = check_number(type(self).__name__, "margin", margin)


class HingeEmbeddingLoss(_Loss):
    """Distances of pairs that belong together (1) or should be apart by a margin (-1); see
    :func:`~tinygrad_cv.nn.functional.hinge_embedding_loss`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.HingeEmbeddingLoss()(tg.tensor([0.5, 0.5]), tg.tensor([1, -1])).item()
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = check_number("HingeEmbeddingLoss", "margin", margin)

    def forward(self, input: Any, target: Any) -> Any:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """Scores of which the first should be greater (1) or less (-1) by a margin; see
    :func:`~tinygrad_cv.nn.functional.margin_ranking_loss`.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([2.0]), tg.tensor([1.0])
    >>> tg.nn.MarginRankingLoss(margin=1.5)(a, b, tg.tensor([1])).item()
    0.5
    """

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class CosineEmbeddingLoss(_MarginLoss):
    """Pairs of vectors that should be alike (1) or not (-1), by their cosine; see
    :func:`~tinygrad_cv.nn.functional.cosine_embedding_loss`.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[1.0, 0.0]]), tg.tensor([[0.0, 1.0]])
    >>> tg.nn.CosineEmbeddingLoss()(a, b, tg.tensor([1])).item()
    1.0
    """

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class SoftMarginLoss(_Loss):
    """Logistic loss of scores of two classes 1 and -1; see
    :func:`~tinygrad_cv.nn.functional.soft_margin_loss`.

    >>> import tinygrad_cv as tg
    >>> round(tg.nn.SoftMarginLoss()(tg.tensor([0.0]), tg.tensor([-1])).item(), 4)  # log 2
    0.6931
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """Hinge loss of several classes; see :func:`~tinygrad_cv.nn.functional.multi_margin_loss`.

    Args:
        p: 1 or 2.
        margin: by how much the right score should be greater.
        weight: [C], a factor per class, or None; part of the state dict.
        reduction: "mean", "sum" or "none".
        size_average, reduce: PyTorch's old arguments; anything but None raises.

    >>> import tinygrad_cv as tg
    >>> round(tg.nn.MultiMarginLoss()(tg.tensor([[2.0, 1.25]]), tg.tensor([0])).item(), 4)
    0.125
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if check_number("MultiMarginLoss", "p", p) not in (1, 2):
            raise ArgumentError("MultiMarginLoss", f"p must be 1 or 2, it is {p}")
        self.p, self.margin = p, check_number("MultiMarginLoss", "margin", margin)

    def forward(self, input: Any, target: Any) -> Any:
        return F.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )


class MultiLabelMarginLoss(_Loss):
    """Hinge loss of samples that belong to several classes; see
    :func:`~tinygrad_cv.nn.functional.multilabel_margin_loss`.

    >>> import tinygrad_cv as tg
    >>> x, labels = tg.tensor([[0.0, 1.0]]), tg.tensor([[1, -1]])
    >>> tg.nn.MultiLabelMarginLoss()(x, labels).item()
    0.0
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Cross-entropy of each class against all others; see
    :func:`~tinygrad_cv.nn.functional.multilabel_soft_margin_loss`.

    >>> import tinygrad_cv as tg
    >>> loss = tg.nn.MultiLabelSoftMarginLoss()(tg.zeros(1, 3), tg.tensor([[1, 0, 1]]))
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
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """An anchor should be nearer to its positive than to its negative example; see
    :func:`~tinygrad_cv.nn.functional.triplet_margin_loss`.

    >>> import tinygrad_cv as tg
    >>> a, b, c = tg.tensor([[0.0]]), tg.tensor([[1.0]]), tg.tensor([[1.5]])
    >>> round(tg.nn.TripletMarginLoss()(a, b, c).item(), 4)
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = check_number("TripletMarginLoss", "margin", margin, above=0)
        self.p = check_number("TripletMarginLoss", "p", p)
        self.eps, self.swap = check_number("TripletMarginLoss", "eps", eps), swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """:class:`TripletMarginLoss` with a distance of your own, a function or a layer; see
    :func:`~tinygrad_cv.nn.functional.triplet_margin_with_distance_loss`.

    >>> import tinygrad_cv as tg
    >>> loss = tg.nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: abs(x - y))
    >>> loss(tg.tensor([[0.0]]), tg.tensor([[1.0]]), tg.tensor([[1.5]])).item()
    0.5
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function: Callable[[Any, Any], Any] = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        name = "TripletMarginWithDistanceLoss"
        self.margin, self.swap = check_number(name, "margin", margin, above=0), swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
