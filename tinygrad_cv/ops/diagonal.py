"""Diagonals and triangles of matrices.

``Diagonal`` and ``DiagonalGrad`` are adjoint to each other; ``Triangle`` is its own adjoint.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int
from tinygrad_cv.ops.reduce import sum as sum_over

__all__ = [
    "Diagonal",
    "DiagonalGrad",
    "Triangle",
    "diag",
    "diag_embed",
    "diagonal",
    "plane",
    "trace",
    "tril",
    "triu",
]

TENSOR_FUNCTIONS = ("diag", "diag_embed", "diagonal", "trace", "tril", "triu")

Shape = tuple[int, ...]


def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle: ``y[..., i, j] = x[..., i, j] if j - i <= diagonal else 0``.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> import tinygrad_cv as tg
    >>> tg.tril(tg.ones(2, 3)).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    return _triangle(input, True, as_int("tril", "diagonal", diagonal))


def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle: ``y[..., i, j] = x[..., i, j] if j - i >= diagonal else 0``.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> import tinygrad_cv as tg
    >>> tg.triu(tg.ones(2, 3), 1).tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    """
    return _triangle(input, False, as_int("triu", "diagonal", diagonal))


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of the planes spanned by two axes: ``y[..., i] = x[.. i .. i + offset ..]``.

    The two axes go, the diagonal becomes the last axis. Shares memory.

    Raises:
        RangeError: a dim is out of range.
        ArgumentError: the two dims are the same axis.

    >>> import tinygrad_cv as tg
    >>> tg.diagonal(tg.tensor([[1, 2, 3], [4, 5, 6]]), 1).tolist()
    [2, 6]
    """
    first, second = plane("diagonal", dim1, dim2, input.shape)
    return _diagonal(input, as_int("diagonal", "offset", offset), first, second)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The last axis laid on the diagonal of new planes ``dim1``, ``dim2``, zeros elsewhere.

    >>> import tinygrad_cv as tg
    >>> tg.diag_embed(tg.tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    shape = input.shape
    if not shape:
        raise ShapeError(
            "diag_embed",
            "needs at least 1 axis",
            law=["y[..., i, i + offset] = x[..., i]"],
            values=[("input", shape)],
            repair="Use input.reshape(1).",
            repairs=[{"input": (1,)}],
        )
    offset = as_int("diag_embed", "offset", offset)
    ndim = len(shape) + 1
    first, second = (as_axis("diag_embed", dim, len(shape) + 1, shape) for dim in (dim1, dim2))
    if first == second:
        raise ArgumentError("diag_embed", f"dim1 and dim2 are both axis {first}")
    rest = list(shape[:-1])
    side = shape[-1] + abs(offset)
    full = tuple(side if i in (first, second) else rest.pop(0) for i in range(ndim))
    return _diagonal_grad(input, full, offset, first, second)


def diag(input: Any, diagonal: int = 0) -> Any:
    """A matrix with the vector on its diagonal, or the diagonal of a matrix.

    >>> import tinygrad_cv as tg
    >>> tg.diag(tg.tensor([1, 2])).tolist(), tg.diag(tg.tensor([[1, 2], [3, 4]])).tolist()
    ([[1, 0], [0, 2]], [1, 4])
    """
    ndim = len(input.shape)
    if ndim not in (1, 2):
        raise ShapeError(
            "diag", f"takes a vector or a matrix, not {ndim} axes", values=[("input", input.shape)]
        )
    return (
        diag_embed(input, diagonal)
        if ndim == 1
        else _diagonal(input, as_int("diag", "diagonal", diagonal), 0, 1)
    )


def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix.

    >>> import tinygrad_cv as tg
    >>> tg.trace(tg.tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    5.0
    """
    if len(input.shape) != 2:
        raise ShapeError("trace", "takes a matrix", values=[("input", input.shape)])
    return sum_over(_diagonal(input, 0, 0, 1))


class Triangle(Op):
    """The lower or upper triangle of each matrix, zeros elsewhere."""

    name = "triangle"
    equation = "y[i,j] = x[i,j] if j - i <= k (lower) or j - i >= k (upper), else 0"
    gradients = {"input": "dx = the same triangle of g"}
    edges = "exactly 0 outside, even for NaN"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, lower: bool, diagonal: int) -> Spec:
        if input.ndim < 2:
            raise ShapeError(
                "tril" if lower else "triu",
                f"needs at least 2 axes [..., rows, columns], the input has {input.ndim}",
                values=[("input", input.shape)],
            )
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, lower: bool, diagonal: int) -> Any:
        return xp.ascontiguousarray((xp.tril if lower else xp.triu)(input, diagonal))

    @staticmethod
    def vjp_input(g: Any, lower: bool, diagonal: int) -> Any:
        return _triangle(g, lower, diagonal)


class Diagonal(Op):
    """The diagonal of the planes of two axes, as the last axis."""

    name = "diagonal"
    equation = "y[..., i] = x[..., i, i + offset]"
    gradients = {"input": "dx[..., i, i + offset] = g[..., i], else 0"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    view = True

    @staticmethod
    def infer(input: Spec, offset: int, dim1: int, dim2: int) -> Spec:
        rest = tuple(n for i, n in enumerate(input.shape) if i not in (dim1, dim2))
        rows, columns = input.shape[dim1], input.shape[dim2]
        length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
        return Spec((*rest, max(length, 0)), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, offset: int, dim1: int, dim2: int) -> Any:
        return input.diagonal(offset, dim1, dim2)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, offset: int, dim1: int, dim2: int) -> Any:
        return _diagonal_grad(g, input_shape, offset, dim1, dim2)


class DiagonalGrad(Op):
    """Adjoint of ``Diagonal``: the last axis laid on the diagonal of planes of zeros."""

    name = "diagonal_grad"
    equation = "y[..., i, i + offset] = g[..., i], else 0"
    gradients = {"grad": "dg[..., i] = G[..., i, i + offset]"}
    edges = "0 beside the diagonal"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, shape: Shape, offset: int, dim1: int, dim2: int) -> Spec:
        return Spec(shape, grad.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, shape: Shape, offset: int, dim1: int, dim2: int) -> Any:
        out = xp.zeros(shape, grad.dtype)
        planes = out.transpose(*(i for i in range(len(shape)) if i not in (dim1, dim2)), dim1, dim2)
        i = xp.arange(grad.shape[-1])
        planes[..., i + max(-offset, 0), i + max(offset, 0)] = grad
        return out

    @staticmethod
    def vjp_grad(g: Any, offset: int, dim1: int, dim2: int) -> Any:
        return _diagonal(g, offset, dim1, dim2)


_triangle = Triangle.call
_diagonal = Diagonal.call
_diagonal_grad = DiagonalGrad.call


def plane(op: str, dim1: Any, dim2: Any, shape: Shape) -> tuple[int, int]:
    """The axes of a plane, counted from the front."""
    if len(shape) < 2:
        raise ShapeError(
            op, f"needs at least 2 axes, the input has {len(shape)}", values=[("input", shape)]
        )
    first, second = (as_axis(op, dim, len(shape), shape) for dim in (dim1, dim2))
    if first == second:
        raise ArgumentError(op, f"dim1 and dim2 are both axis {first}", values=[("input", shape)])
    return first, second
