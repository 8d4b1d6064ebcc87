"""Products of vectors and matrices beside ``matmul``, powers, inverses, and distances of rows."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int
from tinygrad_cv.ops._weighted import refuse_fractions, weighted
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.diagonal import diag_embed
from tinygrad_cv.ops.layout import contiguous
from tinygrad_cv.ops.linalg import bmm, check_ranks, dot, matmul, mv, outer, promoted
from tinygrad_cv.ops.rearrange import Roll
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.shape import reshape, transpose, unsqueeze
from tinygrad_cv.ops.vector_norm import norm

__all__ = [
    "Inverse",
    "addbmm",
    "addmv",
    "addr",
    "cdist",
    "cross",
    "ger",
    "inverse",
    "matrix_power",
    "vdot",
]

TENSOR_FUNCTIONS = ("addbmm", "addmv", "addr", "cross", "ger", "inverse", "matrix_power", "vdot")
TG_FUNCTIONS = ("cdist",)
TENSOR_ARGUMENTS = ("batch1", "batch2", "mat", "other", "vec", "vec1", "vec2", "x1", "x2")


def ger(input: Any, vec2: Any) -> Any:
    """Another name of ``outer``.

    >>> import tinygrad_cv as tg
    >>> tg.ger(tg.tensor([1, 2]), tg.tensor([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    return outer(input, vec2)


def vdot(input: Any, other: Any) -> Any:
    """The inner product of two vectors [K]: that of ``dot``, for real numbers.

    Raises:
        ShapeError: other ranks, or the lengths differ.

    >>> import tinygrad_cv as tg
    >>> tg.vdot(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])).item()
    11.0
    """
    check_ranks("vdot", (input, other), (1, 1))
    return dot(input, other)


def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * (mat @ vec)`` of a matrix [I, K] and a vector [K]; the input
    broadcasts.

    >>> import tinygrad_cv as tg
    >>> tg.addmv(tg.ones(1), tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0])).tolist()
    [12.0]
    """
    check_ranks("addmv", (mat, vec), (2, 1))
    return weighted("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * outer(vec1, vec2)``; the input broadcasts.

    >>> import tinygrad_cv as tg
    >>> tg.addr(tg.ones(1), tg.tensor([1.0, 2.0]), tg.tensor([3.0])).tolist()
    [[4.0], [7.0]]
    """
    check_ranks("addr", (vec1, vec2), (1, 1))
    refuse_fractions("addr", (input, vec1, vec2), beta=beta, alpha=alpha)
    return weighted("addr", input, outer(vec1, vec2), beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * sum_n batch1[n] @ batch2[n]``; the input broadcasts.

    >>> import tinygrad_cv as tg
    >>> tg.addbmm(tg.ones(1), tg.ones(2, 1, 3), tg.ones(2, 3, 1)).tolist()
    [[7.0]]
    """
    check_ranks("addbmm", (batch1, batch2), (3, 3))
    return weighted("addbmm", input, sum_over(bmm(batch1, batch2), 0), beta, alpha)


def cross(input: Any, other: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """The cross product of vectors of 3 along ``dim``; the other axes broadcast.

    Args:
        dim: the axis; by default the first one of size 3. NumPy's ``axis`` is accepted too.

    Raises:
        ShapeError: the numbers of axes differ, or the axis does not have size 3.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.cross(tg.tensor([1.0, 0.0, 0.0]), tg.tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    shapes = [("input", input.shape), ("other", other.shape)]
    ndim, dim = len(input.shape), axis if dim is None else dim
    if ndim != len(other.shape) or not ndim:
        raise ShapeError("cross", "both need equally many axes, at least one", values=shapes)
    if dim is None:
        dim = next((d for d in range(ndim) if input.shape[d] == other.shape[d] == 3), ndim - 1)
    along = as_axis("cross", dim, ndim, input.shape)
    if not input.shape[along] == other.shape[along] == 3:
        raise ShapeError(
            "cross",
            f"both need size 3 along axis {along}",
            law=[f"{input.shape[along]} = {other.shape[along]} = 3 is false"],
            values=shapes,
        )
    a1, a2 = (Roll.call(input, (-k,), (along,)) for k in (1, 2))
    b1, b2 = (Roll.call(other, (-k,), (along,)) for k in (1, 2))
    return a1 * b2 - a2 * b1


class Inverse(Op):
    """The inverse of each matrix."""

    name = "inverse"
    equation = "y x = 1"
    gradients = {"input": "dx = -y^T g y^T"}
    edges = "a singular matrix is refused"
    cost = "2 M^3 for each matrix"

    @staticmethod
    def infer(input: Spec) -> Spec:
        check_square("inverse", input.shape)
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        try:
            return xp.ascontiguousarray(xp.linalg.inv(input))
        except np.linalg.LinAlgError:
            raise ArgumentError(
                "inverse", "a matrix is singular", values=[("input", input.shape)]
            ) from None

    @staticmethod
    def vjp_input(g: Any, output: Any) -> Any:
        turned = transpose(output, -2, -1)
        return -(turned @ g @ turned)

    @staticmethod
    def flops(input: Spec) -> int:
        return 2 * input.size * input.shape[-1]


def check_square(op: str, shape: tuple[int, ...]) -> None:
    """Raise ShapeError unless the last two axes are those of square matrices."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(
            op,
            "takes square matrices",
            values=[("input", shape, "[..., N, N]")],
        )


def inverse(input: Any) -> Any:
    """The inverse of each matrix of [..., N, N].

    Raises:
        ShapeError: the matrices are not square.
        DTypeError: the input is not floating.
        ArgumentError: a matrix is singular.

    >>> import tinygrad_cv as tg
    >>> tg.inverse(tg.tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    _check_floating("inverse", input)
    return Inverse.call(input)


def matrix_power(input: Any, n: int) -> Any:
    """The n-th power of each matrix of [..., N, N], by repeated squaring.

    Args:
        n: 0 gives the identity, a negative number the power of the inverse.

    Raises:
        ShapeError: the matrices are not square.
        ArgumentError: ``n`` is negative and a matrix is singular.

    >>> import tinygrad_cv as tg
    >>> tg.matrix_power(tg.tensor([[1.0, 1.0], [0.0, 1.0]]), 5).tolist()
    [[1.0, 5.0], [0.0, 1.0]]
    """
    check_square("matrix_power", input.shape)
    n = as_int("matrix_power", "n", n)
    if n < 0:
        _check_floating("matrix_power", input)
        input, n = Inverse.call(input), -n
    if n == 0:
        zeros = zero_map(input)
        return zeros + diag_embed(cast(sum_over(zeros, -1) + 1, input.dtype))
    result: Any = None
    square = input
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return reshape(input, input.shape) if result is input else result


_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = _MODES[0]) -> Any:
    """The p-norm distances of all pairs of rows: ``y[..., i, j] = |x1[..., i, :] - x2[..., j,
    :]|``.

    Args:
        x1, x2: [..., P, M] and [..., R, M]; the leading axes broadcast.
        p: 0 or more: 0 counts the different elements, ``math.inf`` is the largest difference.
        compute_mode: PyTorch's choice to compute by a matrix product, which loses digits. The
            words are accepted; the distances are always those of the differences.

    Returns:
        [..., P, R]. The gradient is 0 where a distance is 0.

    Raises:
        ShapeError: fewer than 2 axes, M differs, or the leading axes do not broadcast.
        DTypeError: an input is not floating.
        ArgumentError: ``p`` is negative, or another ``compute_mode``.

    >>> import tinygrad_cv as tg
    >>> tg.cdist(tg.tensor([[0.0, 0.0]]), tg.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[5.0, 1.0]]
    """
    shapes = [("x1", x1.shape, "[..., P, M]"), ("x2", x2.shape, "[..., R, M]")]
    if min(len(x1.shape), len(x2.shape)) < 2:
        raise ShapeError("cdist", "both need at least 2 axes", values=shapes)
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            "cdist",
            f"the rows are {x1.shape[-1]} and {x2.shape[-1]} long",
            values=shapes,
        )
    for x in (x1, x2):
        _check_floating("cdist", x)
    if not isinstance(p, Real) or not p >= 0:
        raise ArgumentError("cdist", f"p must be 0 or more, it is {p!r}", repairs=[{"p": 2.0}])
    if compute_mode not in _MODES:
        raise ArgumentError(
            "cdist",
            f"there is no compute_mode {compute_mode!r}",
            repairs=[{"compute_mode": mode} for mode in _MODES],
        )
    try:
        np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    except ValueError:
        raise ShapeError("cdist", "the leading axes do not broadcast", values=shapes) from None
    x1, x2 = (contiguous(x) for x in promoted(x1, x2))
    differences = unsqueeze(x1, -2) - unsqueeze(x2, -3)
    if not differences.shape[-1] or math.prod(differences.shape) == 0:
        return sum_over(differences, -1)
    return norm(differences, float(p), -1)


def _check_floating(op: str, input: Any) -> None:
    if input.dtype.kind != "f":
        raise DTypeError(
            op,
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
