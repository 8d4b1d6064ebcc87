"""How near two vectors are: the cosine between them, their distance; and vectors of length 1."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import sums
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.ops._axes import as_axis
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._dims import reduced_shape
from tinygrad_cv.ops._pair_loss import as_floats, check_floats, check_number, in_common
from tinygrad_cv.ops._refusal import no_out
from tinygrad_cv.ops.expand import expand, spread
from tinygrad_cv.ops.reduce import Sum
from tinygrad_cv.ops.select import clamp
from tinygrad_cv.ops.vector_norm import norm

__all__ = ["SquareSum", "VecDot", "cosine_similarity", "dot", "normalize", "pairwise_distance"]

TG_FUNCTIONS = ("cosine_similarity", "pairwise_distance")
NN_FUNCTIONS = ("cosine_similarity", "normalize", "pairwise_distance")
TENSOR_ARGUMENTS = ("x1", "x2")

Shape = tuple[int, ...]


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors: ``sum_i a_i b_i / (max(|a|, eps) max(|b|, eps))``
    along one axis.

    Args:
        x1, x2: float; their shapes broadcast.
        dim: the axis of the vectors, of the common shape.
        eps: the least length.

    Returns:
        The common shape without that axis.

    Raises:
        ShapeError: the shapes do not broadcast.
        RangeError: there is no such axis.
        DTypeError: an argument is not float.

    Edge rules: it is 0 where a vector is 0.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[3.0, 4.0], [1.0, 0.0]]), tg.tensor([[3.0, 4.0], [0.0, 2.0]])
    >>> tg.nn.functional.cosine_similarity(a, b).tolist()
    [1.0, 0.0]
    """
    op = "cosine_similarity"
    eps = check_number(op, "eps", eps)
    x1, x2 = as_floats(op, x1=x1, x2=x2)
    shape = common_shape(op, x1=x1, x2=x2) or (1,)
    axis = as_axis(op, dim, len(shape), shape)
    behind = axis - len(shape)  # the same axis of either, which may have fewer in front
    x1, x2 = (
        x if len(x.shape) >= -behind and x.shape[behind] == shape[axis] else expand(x, shape)
        for x in (x1, x2)
    )
    lengths = [clamp(norm(x, 2, behind), eps, None) for x in (x1, x2)]
    return dot(x1, x2, (axis,)) / lengths[0] / lengths[1]


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The distance of vectors along the last axis: ``(sum_i |a_i - b_i + eps|^p)^(1/p)``.

    Args:
        x1, x2: their shapes broadcast, [N, D] and [D] for example; integers become floats.
        p: the norm; inf is the largest difference.
        eps: added to each difference, so that the gradient of equal vectors is finite.
        keepdim: keep the last axis with size 1.

    Returns:
        The common shape without its last axis.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> a, b = tg.tensor([[3.0, 4.0]]), tg.tensor([[0.0, 0.0]])
    >>> round(tg.nn.functional.pairwise_distance(a, b).item(), 4)
    5.0
    """
    op = "pairwise_distance"
    p, eps = check_number(op, "p", p), check_number(op, "eps", eps)
    x1, x2 = in_common(x1, x2)
    common_shape(op, x1=x1, x2=x2)
    return norm(x1 - x2 + eps, p, -1, bool(keepdim))


def normalize(
    input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: None = None
) -> Any:
    """Vectors along one axis, divided by their p-norm: ``x / max(|x|_p, eps)``.

    Args:
        input: float, any shape with such an axis.
        p: the norm.
        dim: the axis of the vectors, or several.
        eps: the least length, which keeps a vector of zeros 0.
        out: not supported; anything but None raises.

    Raises:
        RangeError: there is no such axis.
        DTypeError: the input is not float.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.normalize(tg.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    if out is not None:
        raise no_out("normalize")
    p, eps = check_number("normalize", "p", p), check_number("normalize", "eps", eps)
    check_floats("normalize", input=input)
    dims = tuple(dim) if isinstance(dim, (list, tuple)) else (dim,)
    axes = tuple(as_axis("normalize", d, len(input.shape), input.shape) for d in dims)
    return input / clamp(norm(input, p, axes if input.shape else None, True), eps, None)


class VecDot(Op):
    """Products of two tensors of one shape, summed over the axes ``dims`` (sorted, from the
    front)."""

    name = "vecdot"
    equation = "y[j] = sum_i a[i,j] b[i,j]"
    gradients = {"input": "da[i,j] = g[j] b[i,j]", "other": "db[i,j] = g[j] a[i,j]"}
    edges = "NaN and infinity as in the sum of products"
    cost = "2 per element"
    inputs = ("input", "other")
    shaped = False

    @staticmethod
    def infer(input: Spec, other: Spec, dims: Shape, keepdim: bool) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, other: Any, dims: Shape, keepdim: bool) -> Any:
        return sums.products(xp, input, other, dims, keepdim)

    @staticmethod
    def vjp_input(g: Any, other: Any, dims: Shape, keepdim: bool) -> Any:
        return spread(g, other.shape, dims, keepdim) * other

    @staticmethod
    def vjp_other(g: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return spread(g, input.shape, dims, keepdim) * input

    @staticmethod
    def flops(input: Spec, other: Spec, dims: Shape, keepdim: bool) -> int:
        return 2 * input.size


class SquareSum(Op):
    """Squares, summed over the axes ``dims`` (sorted, from the front)."""

    name = "square_sum"
    equation = "y[j] = sum_i x[i,j]^2"
    gradients = {"input": "dx[i,j] = 2 g[j] x[i,j]"}
    edges = "NaN and infinity as in the sum of squares"
    cost = "2 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: Shape, keepdim: bool) -> Spec:
        return Spec(reduced_shape(input.shape, dims, keepdim), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return sums.products(xp, input, input, dims, keepdim)

    @staticmethod
    def vjp_input(g: Any, input: Any, dims: Shape, keepdim: bool) -> Any:
        return spread(g * 2, input.shape, dims, keepdim) * input

    @staticmethod
    def flops(input: Spec, dims: Shape, keepdim: bool) -> int:
        return 2 * input.size


def dot(x1: Any, x2: Any, dims: Shape) -> Any:
    """The sum of ``x1 * x2`` over the axes ``dims``; the shapes broadcast."""
    if x1 is x2:
        return SquareSum.call(x1, dims, False)
    if x1.shape == x2.shape:
        return VecDot.call(x1, x2, dims, False)
    return Sum.call(x1 * x2, dims, False)
