"""How near two vectors are, as layers."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._pair_loss import check_number

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along axis ``dim``; see
    :func:`~tinygrad_cv.nn.functional.cosine_similarity`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.CosineSimilarity()(tg.tensor([[3.0, 4.0]]), tg.tensor([[-3.0, -4.0]])).item()
    -1.0
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, check_number("CosineSimilarity", "eps", eps)

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The distance of vectors along the last axis; see
    :func:`~tinygrad_cv.nn.functional.pairwise_distance`.

    >>> import tinygrad_cv as tg
    >>> round(tg.nn.PairwiseDistance()(tg.tensor([[3.0, 4.0]]), tg.zeros(1, 2)).item(), 4)
    5.0
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.keepdim = check_number("PairwiseDistance", "p", p), keepdim
        self.eps = check_number("PairwiseDistance", "eps", eps)

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
