"""Losses of embeddings: what belongs together should lie together, what does not, apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._pair_loss import (
    apply_reduction,
    check_number,
    in_common,
)
from tinygrad_cv.ops._reduction import check_reduction
from tinygrad_cv.ops.math import sqrt
from tinygrad_cv.ops.select import clamp, masked, minimum
from tinygrad_cv.ops.similarity import dot, pairwise_distance

__all__ = ["cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"]

NN_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("input1", "input2", "target", "anchor", "positive", "negative")

_LEAST_SQUARE = 1e-12  # added to squared lengths, as in PyTorch


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Pairs of vectors that should be alike (t = 1) or not (t = -1), by the cosine between them:
    ``1 - cos`` if t = 1, ``max(0, cos - margin)`` if t = -1.

    Args:
        input1, input2: [N, D], or [D] for one pair; integers become floats.
        target: [N] or a scalar, 1 or -1, float or integer.
        margin: the cosine that is allowed between vectors that should not be alike.
        reduction: "mean", "sum", or "none" for [N].
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Raises:
        ShapeError: the inputs have other axes, or the shapes do not fit.
        ArgumentError: an unknown reduction.

    Edge rules: the derivative where the cosine is just the margin is that of the cosine; a target
    that is neither 1 nor -1 has loss 0. As in PyTorch.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[1.0, 0.0], [1.0, 0.0]]), tg.tensor([[0.0, 2.0], [2.0, 0.0]])
    >>> t = tg.tensor([1, -1])
    >>> tg.nn.functional.cosine_embedding_loss(a, b, t, reduction="none").tolist()
    [1.0, 1.0]
    """
    op = "cosine_embedding_loss"
    check_reduction(op, reduction, size_average, reduce)
    margin = check_number(op, "margin", margin)
    values = [("input1", input1.shape), ("input2", input2.shape), ("target", target.shape)]
    rank = len(target.shape) + 1
    if rank > 2 or len(input1.shape) != rank or len(input2.shape) != rank:
        raise ShapeError(
            op,
            "the inputs must be [N, D] with a target [N], or [D] with a scalar target",
            values=values,
        )
    shape = common_shape(op, input1=input1, input2=input2)
    if rank == 2 and target.shape != shape[:1] and 1 not in (target.shape[0], shape[0]):
        raise ShapeError(op, f"the target needs shape {shape[:-1]}", values=values)
    x, y = in_common(input1, input2)
    dims = (rank - 1,)
    square, other = dot(x, x, dims) + _LEAST_SQUARE, dot(y, y, dims) + _LEAST_SQUARE
    cosine = dot(x, y, dims) / sqrt(square * other)
    apart = masked(clamp(cosine - margin, 0, None), target == -1)
    return apply_reduction(masked(1 - cosine, target == 1) + apart, reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """An anchor should be nearer to its positive than to its negative example, by a margin:
    ``max(0, d(a, p) - d(a, n) + margin)`` with :func:`pairwise_distance` d.

    Args:
        anchor, positive, negative: [..., D], as many axes each; their shapes broadcast, integers
            become floats.
        margin: above 0.
        p, eps: of the distance.
        swap: take the distance of the positive from the negative example instead of the anchor's,
            where that is less.
        reduction: "mean", "sum", or "none" for the shape without D.
        size_average, reduce: PyTorch's arguments of old; anything but None raises.

    Raises:
        ArgumentError: the margin is not above 0, or an unknown reduction.
        ShapeError: the numbers of axes differ, or the shapes do not broadcast.

    Edge rules: the derivative where the difference is just the margin is that beyond it.

    Source: Balntas et al., "Learning local feature descriptors with triplets" (2016).

    >>> import tinygrad_cv as tg
    >>> a, b, c = tg.tensor([[0.0, 0.0]]), tg.tensor([[0.0, 1.0]]), tg.tensor([[0.0, 1.5]])
    >>> round(tg.nn.functional.triplet_margin_loss(a, b, c).item(), 4)
    0.5
    """
    op = "triplet_margin_loss"
    check_reduction(op, reduction, size_average, reduce)
    margin = check_number(op, "margin", margin, above=0)
    p, eps = check_number(op, "p", p), check_number(op, "eps", eps)
    three = _triplet(op, anchor, positive, negative)
    return _triplet_loss(
        lambda x, y: pairwise_distance(x, y, p, eps), *three, margin, bool(swap), reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """:func:`triplet_margin_loss` with a distance of your own.

    Args:
        anchor, positive, negative: what the distance takes; as many axes each.
        distance_function: a differentiable function of two tensors; :func:`pairwise_distance` if
            None.
        margin: above 0.
        swap: take the distance of the positive from the negative example instead of the anchor's,
            where that is less.
        reduction: "mean", "sum" or "none".

    Raises:
        ArgumentError: the margin is not above 0, or an unknown reduction.
        ShapeError: the numbers of axes differ.
        DTypeError: the distance is no function.

    >>> import tinygrad_cv as tg
    >>> F = tg.nn.functional
    >>> a, b, c = tg.tensor([[1.0, 0.0]]), tg.tensor([[2.0, 0.0]]), tg.tensor([[0.0, 1.0]])
    >>> F.triplet_margin_with_distance_loss(
    ...     a, b, c, distance_function=lambda x, y: 1 - F.cosine_similarity(x, y), margin=1.5
    ... ).item()
    0.5
    """
    op = "triplet_margin_with_distance_loss"
    check_reduction(op, reduction)
    margin = check_number(op, "margin", margin, above=0)
    if distance_function is not None and not callable(distance_function):
        raise DTypeError(
            op,
            "distance_function must be a function of two tensors, not "
            f"{type(distance_function).__name__} {distance_function!r:.40}",
        )
    three = _triplet(op, anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet_loss(distance, *three, margin, bool(swap), reduction)


def _triplet(op: str, anchor: Any, positive: Any, negative: Any) -> tuple[Any, Any, Any]:
    """The three in their common dtype."""
    tensors = {"anchor": anchor, "positive": positive, "negative": negative}
    if len({len(x.shape) for x in tensors.values()}) > 1:
        raise ShapeError(
            op,
            "anchor, positive and negative must have the same number of axes",
            values=[(name, x.shape) for name, x in tensors.items()],
        )
    common_shape(op, **tensors)
    anchor, positive, negative = in_common(anchor, positive, negative)
    return anchor, positive, negative


def _triplet_loss(
    distance: Callable[[Any, Any], Any],
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return apply_reduction(clamp(near - far + margin, 0, None), reduction)
