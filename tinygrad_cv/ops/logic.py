"""Logic, bits, and the two reductions of truth: results carry no gradient."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import bool_, uint8
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops import _dims
from tinygrad_cv.ops._elementwise import Binary, Unary

__all__ = [
    "all",
    "any",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
]

TENSOR_FUNCTIONS = tuple(__all__)


class LogicalAnd(Binary):
    """True where both are nonzero; NaN counts as nonzero.

    >>> import tinygrad_cv as tg
    >>> tg.logical_and(tg.tensor([0.0, 2.0]), tg.tensor([1.0, 1.0])).tolist()
    [False, True]
    """

    name = "logical_and"
    equation = "y = (a != 0) and (b != 0)"
    edges = "NaN is not 0"
    dtypes = "bool"
    ufunc = "logical_and"
    result = "bool"


class LogicalOr(Binary):
    """True where at least one is nonzero.

    >>> import tinygrad_cv as tg
    >>> tg.logical_or(tg.tensor([0.0, 2.0]), tg.tensor([0.0, 0.0])).tolist()
    [False, True]
    """

    name = "logical_or"
    equation = "y = (a != 0) or (b != 0)"
    edges = "NaN is not 0"
    dtypes = "bool"
    ufunc = "logical_or"
    result = "bool"


class LogicalXor(Binary):
    """True where exactly one is nonzero.

    >>> import tinygrad_cv as tg
    >>> tg.logical_xor(tg.tensor([0.0, 2.0]), tg.tensor([1.0, 1.0])).tolist()
    [True, False]
    """

    name = "logical_xor"
    equation = "y = (a != 0) xor (b != 0)"
    edges = "NaN is not 0"
    dtypes = "bool"
    ufunc = "logical_xor"
    result = "bool"


class LogicalNot(Unary):
    """True where the input is zero.

    >>> import tinygrad_cv as tg
    >>> tg.logical_not(tg.tensor([0.0, 2.0])).tolist()
    [True, False]
    """

    name = "logical_not"
    equation = "y = (x = 0)"
    edges = "NaN is not 0"
    dtypes = "bool"
    ufunc = "logical_not"
    result = "bool"


class BitwiseAnd(Binary):
    """Bit by bit and, of integers; of bool it is the logical and.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([6, 5]) & 4).tolist()
    [4, 4]
    """

    name = "bitwise_and"
    equation = "y = a & b"
    edges = "none"
    dtypes = "bool"
    ufunc = "bitwise_and"

    @classmethod
    def infer(cls, input: Any, other: Any) -> Any:
        _refuse_floats(cls.name, input, other)
        return super().infer(input, other)


class BitwiseOr(Binary):
    """Bit by bit or, of integers; of bool it is the logical or.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([True, False]) | tg.tensor([False, False])).tolist()
    [True, False]
    """

    name = "bitwise_or"
    equation = "y = a | b"
    edges = "none"
    dtypes = "bool, integer"
    ufunc = "bitwise_or"

    @classmethod
    def infer(cls, input: Any, other: Any) -> Any:
        _refuse_floats(cls.name, input, other)
        return super().infer(input, other)


class BitwiseXor(Binary):
    """Bit by bit exclusive or, of integers; of bool it is the logical one.

    >>> import tinygrad_cv as tg
    >>> (tg.tensor([6, 5]) ^ 4).tolist()
    [2, 1]
    """

    name = "bitwise_xor"
    equation = "y = a xor b"
    edges = "none"
    dtypes = "bool, integer"
    ufunc = "bitwise_xor"

    @classmethod
    def infer(cls, input: Any, other: Any) -> Any:
        _refuse_floats(cls.name, input, other)
        return super().infer(input, other)


class BitwiseNot(Unary):
    """Bit by bit not, of integers (``-x - 1`` when signed); of bool it is the logical not.

    >>> import tinygrad_cv as tg
    >>> (~tg.tensor([True, False])).tolist()
    [False, True]
    """

    name = "bitwise_not"
    equation = "y = not x"
    edges = "none"
    dtypes = "bool, integer"

    @classmethod
    def infer(cls, input: Any) -> Any:
        _refuse_floats(cls.name, input)
        return super().infer(input)

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return xp.invert(input)


def _refuse_floats(name: str, *inputs: Any) -> None:
    for value in inputs:
        found = value.dtype.name if hasattr(value, "dtype") else type(value).__name__
        if found.startswith("float"):
            raise DTypeError(
                name,
                f"works on integers and bool, not on {found}",
                values=[("input", getattr(x, "shape", ())) for x in inputs],
                repair="Compare first, for example (x > 0) & (y > 0), or convert with .long().",
            )


class AllTrue(Op):
    """True where every element along the axes is nonzero; of no elements it is True."""

    name = "all"
    equation = "y = and_i (x_i != 0)"
    edges = "True of nothing; NaN is not 0"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: tuple[int, ...], keepdim: bool) -> Spec:
        return Spec(_dims.reduced_shape(input.shape, dims, keepdim), _truth_dtype(input.dtype))

    @staticmethod
    def forward(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        return xp.all(input, axis=dims, keepdims=keepdim).astype(
            _truth_dtype(input.dtype), order="C"
        )

    @staticmethod
    def flops(input: Spec, dims: tuple[int, ...], keepdim: bool) -> int:
        return input.size


class AnyTrue(Op):
    """True where some element along the axes is nonzero; of no elements it is False."""

    name = "any"
    equation = "y = or_i (x_i != 0)"
    edges = "False of nothing; NaN is not 0"
    cost = "1 per element"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec, dims: tuple[int, ...], keepdim: bool) -> Spec:
        return Spec(_dims.reduced_shape(input.shape, dims, keepdim), _truth_dtype(input.dtype))

    @staticmethod
    def forward(xp: Any, input: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        return xp.any(input, axis=dims, keepdims=keepdim).astype(
            _truth_dtype(input.dtype), order="C"
        )

    @staticmethod
    def flops(input: Spec, dims: tuple[int, ...], keepdim: bool) -> int:
        return input.size


def _truth_dtype(dtype: Any) -> Any:
    """bool; of uint8, which PyTorch used for masks before it had bool, uint8."""
    return uint8 if dtype == uint8 else bool_


logical_and, logical_or, logical_xor = LogicalAnd.call, LogicalOr.call, LogicalXor.call
logical_not = LogicalNot.call
bitwise_and, bitwise_or, bitwise_xor = BitwiseAnd.call, BitwiseOr.call, BitwiseXor.call
bitwise_not = BitwiseNot.call


def all(
    input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: Any = None
) -> Any:
    """True where every element along ``dim`` (default: all axes) is nonzero; of no elements True.

    Args:
        input: any shape and dtype; NaN counts as nonzero.
        dim: an axis, several, or None. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.

    >>> import tinygrad_cv as tg
    >>> tg.all(tg.tensor([[1, 0], [1, 1]]), dim=1).tolist()
    [False, True]
    """
    dims = _dims.every_dim("all", input.shape, _dims.named("all", dim, axis))
    return AllTrue.call(input, dims, _dims.kept(keepdim, keepdims))


def any(
    input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: Any = None
) -> Any:
    """True where some element along ``dim`` (default: all axes) is nonzero; of no elements False.

    Args:
        input: any shape and dtype; NaN counts as nonzero.
        dim: an axis, several, or None. NumPy's ``axis`` and ``keepdims`` are accepted too.
        keepdim: keep the reduced axes with size 1.

    >>> import tinygrad_cv as tg
    >>> tg.any(tg.tensor([[1, 0], [0, 0]]), dim=1).tolist()
    [True, False]
    """
    dims = _dims.every_dim("any", input.shape, _dims.named("any", dim, axis))
    return AnyTrue.call(input, dims, _dims.kept(keepdim, keepdims))


METHODS = {
    "__and__": bitwise_and,
    "__rand__": bitwise_and,
    "__or__": bitwise_or,
    "__ror__": bitwise_or,
    "__xor__": bitwise_xor,
    "__rxor__": bitwise_xor,
    "__invert__": bitwise_not,
}
