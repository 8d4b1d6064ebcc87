"""Matrix products: one operator for every rank, and the functions made of it.

``MatMul`` multiplies matrices, vectors and batches of matrices; its gradients are matrix products
again. Products over other axes are brought to this form by ``permute`` and ``reshape``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import promote
from tinygrad_cv.backend.spec import CONTIGUOUS, Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import NO_VALUE, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axes, as_int
from tinygrad_cv.ops._weighted import weighted
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.expand import sum_to
from tinygrad_cv.ops.shape import permute, reshape, transpose

__all__ = [
    "MatMul",
    "addmm",
    "baddbmm",
    "bmm",
    "check_ranks",
    "dot",
    "inner",
    "matmul",
    "mm",
    "mv",
    "outer",
    "promoted",
    "tensordot",
]

TENSOR_FUNCTIONS = ("addmm", "baddbmm", "bmm", "dot", "inner", "matmul", "mm", "mv", "outer")
TG_FUNCTIONS = ("tensordot",)
TENSOR_ARGUMENTS = ("a", "b", "batch1", "batch2", "mat1", "mat2", "tensor", "vec", "vec2")

Shape = tuple[int, ...]


def matmul(input: Any, other: Any) -> Any:
    """Matrix product ``y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]``, also written ``a @ b``.

    Args:
        input: [..., I, K] or [K].
        other: [..., K, J] or [K]. A vector counts as a row on the left, as a column on the right,
            and its axis is missing in the result. Leading axes are a batch and broadcast.

    Raises:
        ShapeError: the two K differ, the batches do not broadcast, or an operand has no axis.

    >>> import tinygrad_cv as tg
    >>> a = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> (a @ tg.tensor([1.0, 1.0])).tolist()
    [3.0, 7.0]
    """
    input, other = promoted(input, other)
    return _matmul(input, other)


def mm(input: Any, mat2: Any) -> Any:
    """Product of two matrices [I, K] and [K, J].

    Raises:
        ShapeError: other ranks, or the two K differ.

    >>> import tinygrad_cv as tg
    >>> tg.mm(tg.tensor([[1.0, 2.0]]), tg.tensor([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    check_ranks("mm", (input, mat2), (2, 2))
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """Products of two batches of matrices [N, I, K] and [N, K, J]; nothing is broadcast.

    Raises:
        ShapeError: other ranks, or N or K differ.

    >>> import tinygrad_cv as tg
    >>> tg.bmm(tg.ones(2, 1, 3), tg.ones(2, 3, 1)).tolist()
    [[[3.0]], [[3.0]]]
    """
    check_ranks("bmm", (input, mat2), (3, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            "bmm",
            "the batch sizes differ",
            values=[("input", input.shape, "[N, I, K]"), ("mat2", mat2.shape, "[N, K, J]")],
            repair="Use matmul, which broadcasts a batch of 1.",
        )
    return matmul(input, mat2)


def dot(input: Any, tensor: Any) -> Any:
    """Inner product of two vectors [K]: ``sum_k a[k] * b[k]``.

    Raises:
        ShapeError: other ranks, or the lengths differ.

    >>> import tinygrad_cv as tg
    >>> tg.dot(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])).item()
    11.0
    """
    check_ranks("dot", (input, tensor), (1, 1))
    return matmul(input, tensor)


def mv(input: Any, vec: Any) -> Any:
    """Matrix [I, K] times vector [K].

    Raises:
        ShapeError: other ranks, or the two K differ.

    >>> import tinygrad_cv as tg
    >>> tg.mv(tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0])).tolist()
    [11.0]
    """
    check_ranks("mv", (input, vec), (2, 1))
    return matmul(input, vec)


def outer(input: Any, vec2: Any) -> Any:
    """Outer product of two vectors: ``y[i, j] = a[i] * b[j]``.

    Raises:
        ShapeError: an operand is not a vector.

    >>> import tinygrad_cv as tg
    >>> tg.outer(tg.tensor([1, 2]), tg.tensor([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    check_ranks("outer", (input, vec2), (1, 1))
    return reshape(input, (*input.shape, 1)) * vec2


def inner(input: Any, other: Any) -> Any:
    """Sum of products over the last axis of both: ``y[i.., j..] = sum_k a[i.., k] * b[j.., k]``.

    Raises:
        ShapeError: the last sizes differ.

    >>> import tinygrad_cv as tg
    >>> tg.inner(tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0])).tolist()
    [11.0]
    """
    if not input.shape or not other.shape:
        return input * other
    return tensordot(input, other, ((-1,), (-1,)))


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * (mat1 @ mat2)``; the input broadcasts.

    >>> import tinygrad_cv as tg
    >>> tg.addmm(tg.ones(1), tg.tensor([[1.0, 2.0]]), tg.tensor([[3.0], [4.0]])).tolist()
    [[12.0]]
    """
    return weighted("addmm", input, mm(mat1, mat2), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * bmm(batch1, batch2)``; the input broadcasts.

    >>> import tinygrad_cv as tg
    >>> tg.baddbmm(tg.ones(1), tg.ones(2, 1, 3), tg.ones(2, 3, 1)).tolist()
    [[[4.0]], [[4.0]]]
    """
    return weighted("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sum of products over chosen axes of both; the other axes of a, then of b, remain.

    Args:
        dims: a number n: the last n axes of a with the first n of b; or two lists of axes.

    Raises:
        ShapeError: the chosen sizes differ.
        RangeError: a dim is out of range.

    >>> import tinygrad_cv as tg
    >>> tg.tensordot(tg.ones(2, 3, 4), tg.ones(4, 3, 5), ((1, 2), (1, 0))).shape
    (2, 5)
    """
    if isinstance(dims, (tuple, list)):
        first, second = dims
    else:
        count = as_int("tensordot", "dims", dims)
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise ShapeError(
                "tensordot",
                f"dims = {count} axes are not there in both",
                values=[("a", a.shape), ("b", b.shape)],
                repair=f"Use at most {min(a.ndim, b.ndim)}.",
                repairs=[{"dims": 0}],
            )
        first, second = tuple(range(a.ndim - count, a.ndim)), tuple(range(count))
    of_a = as_axes("tensordot", first, a.ndim, a.shape)
    of_b = as_axes("tensordot", second, b.ndim, b.shape)
    if len(of_a) == len(of_b):  # an axis of size 1 broadcasts
        ones = [k for k, (i, j) in enumerate(zip(of_a, of_b, strict=True)) if a.shape[i] == 1]
        b = _summed_over(b, [of_b[k] for k in ones])
        ones = [k for k, (i, j) in enumerate(zip(of_a, of_b, strict=True)) if b.shape[j] == 1]
        a = _summed_over(a, [of_a[k] for k in ones])
    sizes_a, sizes_b = tuple(a.shape[i] for i in of_a), tuple(b.shape[i] for i in of_b)
    if sizes_a != sizes_b:
        raise ShapeError(
            "tensordot",
            "the axes that are summed over have different sizes",
            law=[f"a: {sizes_a}", f"b: {sizes_b}"],
            values=[("a", a.shape), ("b", b.shape), ("dims", (of_a, of_b))],
        )
    left = tuple(i for i in range(a.ndim) if i not in of_a)
    right = tuple(i for i in range(b.ndim) if i not in of_b)
    shape = (*(a.shape[i] for i in left), *(b.shape[i] for i in right))
    summed = math.prod(sizes_a)
    rows = reshape(permute(a, left + of_a), (math.prod(a.shape[i] for i in left), summed))
    columns = reshape(permute(b, of_b + right), (summed, math.prod(b.shape[i] for i in right)))
    return reshape(matmul(rows, columns), shape)


def _summed_over(x: Any, axes: list[int]) -> Any:
    """The sums over these axes, which keep the size 1."""
    target = tuple(1 if i in axes else size for i, size in enumerate(x.shape))
    return x if target == x.shape else sum_to(x, target)


class MatMul(Op):
    """Product of matrices, vectors and batches of matrices."""

    name = "matmul"
    equation = "y[...,i,j] = sum_k a[...,i,k] * b[...,k,j]"
    gradients = {
        "input": "da[...,i,k] = sum_j g[...,i,j] * b[...,k,j]",
        "other": "db[...,k,j] = sum_i a[...,i,k] * g[...,i,j]",
    }
    edges = "NaN and infinity as in the sums of products"
    cost = "2 M N K for each matrix"
    dtypes = "bool, integer, floating"
    inputs = ("input", "other")

    @staticmethod
    def infer(input: Spec, other: Spec) -> Spec:
        return Spec(_product_shape(input.shape, other.shape), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, other: Any) -> Any:
        shape = _product_shape(input.shape, other.shape)
        if input.ndim == 1 or other.ndim == 1:
            return xp.matmul(input, other)
        out = memory.empty(shape, input.dtype, CONTIGUOUS, xp)
        if other.ndim == 2 and input.ndim > 2 and input.flags.c_contiguous:
            # One large product instead of a small one for each matrix of the batch.
            rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
            xp.matmul(rows, other, out=out.reshape(rows.shape[0], shape[-1]))
            return out
        return xp.matmul(input, other, out=out)

    @staticmethod
    def vjp_input(g: Any, other: Any, input_shape: Shape) -> Any:
        if len(input_shape) == 1 and other.ndim == 1:
            return g * other
        columns = other if other.ndim > 1 else reshape(other, (*other.shape, 1))
        product = _matmul(_as_matrix(g, len(input_shape), other.ndim), transpose(columns, -2, -1))
        return _to_shape(_without_row(product, input_shape), input_shape)

    @staticmethod
    def vjp_other(g: Any, input: Any, other_shape: Shape) -> Any:
        if len(other_shape) == 1 and input.ndim == 1:
            return g * input
        rows = input if input.ndim > 1 else reshape(input, (1, *input.shape))
        matrix = _as_matrix(g, input.ndim, len(other_shape))
        if len(other_shape) <= 2 and rows.ndim > 2:
            rows, matrix = _folded(rows), _folded(matrix)
        product = _matmul(transpose(rows, -2, -1), matrix)
        if len(other_shape) == 1:
            return reshape(product, other_shape)
        return _to_shape(product, other_shape)

    @staticmethod
    def flops(input: Spec, other: Spec) -> int:
        return 2 * math.prod(_product_shape(input.shape, other.shape)) * input.shape[-1]


_matmul = MatMul.call


def promoted(*operands: Any) -> tuple[Any, ...]:
    """The operands in their common dtype."""
    for operand in operands:
        if not hasattr(operand, "dtype"):
            kind = type(operand).__name__
            raise DTypeError(
                "matmul",
                f"a product needs two tensors, not {kind} {operand!r}",
                repair=NO_VALUE if operand is None else None,
            )
    first = operands[0].dtype
    if all(x.dtype == first for x in operands):
        return operands
    common = promote(*operands)
    return tuple(x if x.dtype == common else cast(x, common) for x in operands)


def _as_matrix(g: Any, left: int, right: int) -> Any:
    """The gradient with the axes that vectors among the operands took out of the result."""
    if left == 1:
        return reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
    if right == 1:
        return reshape(g, (*g.shape, 1))
    return g


def _without_row(product: Any, shape: Shape) -> Any:
    """For a vector on the left: the product without the axis of size 1 that made it a row."""
    if len(shape) > 1:
        return product
    return reshape(product, (*product.shape[:-2], product.shape[-1]))


def _to_shape(product: Any, shape: Shape) -> Any:
    """The sum over the batch axes along which an operand was repeated."""
    return product if product.shape == shape else sum_to(product, shape)


def _folded(matrices: Any) -> Any:
    """A batch of matrices [..., I, K] as one matrix of all rows."""
    shape = matrices.shape
    return reshape(matrices, (_size(shape[:-1]), shape[-1]))


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size = size * n
    return size


def _product_shape(a: Shape, b: Shape) -> Shape:
    if not a or not b:
        raise ShapeError(
            "matmul",
            "a 0-d tensor has no axis to sum over",
            values=[("input", a), ("other", b)],
            repair="Use * to multiply by a number.",
        )
    rows, columns = a[-1], b[-2] if len(b) > 1 else b[0]
    if rows != columns:
        repair, fitting = _matmul_repair(a, b)
        raise ShapeError(
            "matmul",
            f"the sizes that are summed over differ: {rows} and {columns}",
            law=[
                "y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]",
                f"K = {rows} in the input, {columns} in the other",
            ],
            values=[("input", a, _letters(a, "IK")), ("other", b, _letters(b, "KJ"))],
            repair=repair,
            repairs=[fitting],
        )
    try:
        batch = np.broadcast_shapes(a[:-2], b[:-2]) if len(a) > 2 or len(b) > 2 else ()
    except ValueError:
        raise ShapeError(
            "matmul",
            f"the batch axes {a[:-2]} and {b[:-2]} do not broadcast",
            law=["sizes, aligned at the right, must be equal or 1"],
            values=[("input", a, _letters(a, "IK")), ("other", b, _letters(b, "KJ"))],
        ) from None
    return (*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def _letters(shape: Shape, last: str) -> str:
    if len(shape) == 1:
        return "[K]"
    return f"[..., {last[0]}, {last[1]}]" if len(shape) > 2 else f"[{last[0]}, {last[1]}]"


def _matmul_repair(a: Shape, b: Shape) -> tuple[str, dict[str, Shape]]:
    """What to do where the two sizes of K differ: in words, and the shape of the operand then."""
    if len(b) > 1 and a[-1] == b[-1]:
        return "Transpose the second operand: a @ b.mT.", {"other": (*b[:-2], b[-1], b[-2])}
    if len(a) > 1 and a[-2] == (b[-2] if len(b) > 1 else b[0]):
        return "Transpose the first operand: a.mT @ b.", {"input": (*a[:-2], a[-1], a[-2])}
    fitting = (*b[:-2], a[-1], b[-1]) if len(b) > 1 else a[-1:]
    return f"Give the other the shape {fitting}.", {"other": fitting}


def check_ranks(op: str, operands: tuple[Any, Any], ranks: tuple[int, int]) -> None:
    """Raise ShapeError unless the two operands have so many axes."""
    if (len(operands[0].shape), len(operands[1].shape)) != ranks:
        raise ShapeError(
            op,
            f"takes operands with {ranks[0]} and {ranks[1]} axes",
            values=[("first", operands[0].shape), ("second", operands[1].shape)],
            repair="Use matmul for other ranks.",
        )


def _rmatmul(self: Any, other: Any) -> Any:
    return matmul(other, self)


METHODS = {"__matmul__": matmul, "__rmatmul__": _rmatmul}
