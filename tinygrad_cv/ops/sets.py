"""Tensors as sets: their different elements, and which elements stand in another tensor."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import bool_, int64, promote
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import DTypeError, GraphError, ShapeError
from tinygrad_cv.ops._dims import named, one_dim
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.masking import index_select
from tinygrad_cv.ops.shape import reshape

__all__ = ["IsIn", "Unique", "isin", "unique", "unique_consecutive"]

TENSOR_FUNCTIONS = ("unique", "unique_consecutive")
TG_FUNCTIONS = ("isin",)

Shape = tuple[int, ...]


class Unique(Op):
    """Groups of equal slices along an axis: the place of the first of each, the group of each, and
    how many each holds. With ``consecutive`` only neighbours make a group.
    """

    name = "unique"
    equation = "y[k] = the least i with x[i] = u[k], where u[0] < u[1] < ... are all of x"
    edges = "each NaN stays"
    dtypes = "bool, integer, floating"
    outputs = ("first", "inverse", "counts")
    shaped = False

    @staticmethod
    def infer(input: Spec, dim: int, consecutive: bool) -> Spec:
        raise GraphError(
            "unique_consecutive" if consecutive else "unique",
            "the number of different elements is not known on the meta device",
            values=[("input", input.shape)],
            repair="Use a tensor with values.",
        )

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, consecutive: bool) -> tuple[Any, Any, Any]:
        shape = input.shape
        others = math.prod(shape[:dim] + shape[dim + 1 :])
        rows = xp.moveaxis(input, dim, 0).reshape(shape[dim], others)
        order = xp.arange(shape[dim])
        if not consecutive and others == 1:
            order = xp.argsort(rows[:, 0], kind="stable")
        elif not consecutive and others:
            order = xp.lexsort(xp.ascontiguousarray(rows.T[::-1]))
        rows = rows[order]
        starts = xp.ones(shape[dim], bool)
        starts[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        places = xp.nonzero(starts)[0]
        inverse = xp.empty(shape[dim], int64)
        inverse[order] = xp.cumsum(starts) - 1
        counts = xp.diff(xp.concatenate([places, xp.asarray([shape[dim]])]))
        return order[places].astype(int64), inverse, counts.astype(int64)


def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
    *,
    axis: Any = None,
) -> Any:
    """The different elements, in order; or with ``dim`` the different slices of that axis, in
    lexical order.

    Args:
        input: any shape and dtype. No NaN is equal to another.
        sorted: in order. They always are here.
        return_inverse: give for each element of the input its place among the results too.
        return_counts: give for each result how often it stands in the input too.
        dim: the axis, or None to read the input flat. NumPy's ``axis`` is accepted too.

    Returns:
        The elements, or a tuple ``(elements, inverse, counts)`` of what was asked for. The first
        of equal elements gets the gradient.

    Raises:
        GraphError: on the meta device, where the number of elements is unknown.
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.unique(tg.tensor([3, 1, 3])).tolist()
    [1, 3]
    >>> [t.tolist() for t in tg.unique(tg.tensor([3, 1, 3]), return_counts=True)]
    [[1, 3], [1, 2]]
    """
    dim = named("unique", dim, axis)
    return _grouped("unique", input, dim, False, return_inverse, return_counts)


def unique_consecutive(
    input: Any,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
    *,
    axis: Any = None,
) -> Any:
    """The elements without those that are equal to the one before; arguments as ``unique``.

    >>> import tinygrad_cv as tg
    >>> tg.unique_consecutive(tg.tensor([3, 3, 1, 3])).tolist()
    [3, 1, 3]
    """
    dim = named("unique_consecutive", dim, axis)
    return _grouped("unique_consecutive", input, dim, True, return_inverse, return_counts)


def _grouped(
    op: str, input: Any, dim: Any, consecutive: bool, return_inverse: bool, return_counts: bool
) -> Any:
    shape = input.shape
    if dim is None or not shape:
        if dim is not None:
            one_dim(op, shape, dim)
        lines, along = reshape(input, (math.prod(shape),)), 0
    else:
        lines, along = input, one_dim(op, shape, dim)
        if not math.prod(shape[:along] + shape[along + 1 :]):
            raise ShapeError(
                op, f"the slices of axis {along} hold no elements", values=[("input", shape)]
            )
    first, inverse, counts = Unique.call(lines, along, consecutive)
    found = [index_select(lines, along, first)]
    if return_inverse:
        found.append(reshape(inverse, shape) if dim is None else inverse)
    if return_counts:
        found.append(counts)
    return found[0] if len(found) == 1 else tuple(found)


class IsIn(Op):
    """True for elements that stand in another tensor."""

    name = "isin"
    equation = "y[i] = [x[i] = t[k] for some k]"
    edges = "NaN is in nothing"
    dtypes = "integer"
    inputs = ("elements", "test_elements")
    shaped = False

    @staticmethod
    def infer(elements: Spec, test_elements: Spec) -> Spec:
        return Spec(elements.shape, bool_)

    @staticmethod
    def forward(xp: Any, elements: Any, test_elements: Any) -> Any:
        found = xp.isin(elements.reshape(-1), test_elements.reshape(-1))
        return found.reshape(elements.shape)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    """True for each of ``elements`` that stands in ``test_elements``, False for the others.

    Args:
        elements, test_elements: tensors of any shape, or one of them a number.
        assume_unique: a promise that no element stands twice, which is not needed here.
        invert: True for those that do not.

    Returns:
        bool, of the shape of ``elements``. NaN stands in nothing.

    Raises:
        DTypeError: an argument is neither a tensor nor a number.

    >>> import tinygrad_cv as tg
    >>> tg.isin(tg.tensor([1, 2, 3]), tg.tensor([3, 1])).tolist()
    [True, False, True]
    """
    for name, value in (("elements", elements), ("test_elements", test_elements)):
        if not hasattr(value, "dtype") and not isinstance(value, (bool, int, float)):
            kind = type(value).__name__
            raise DTypeError(
                "isin", f"{name} must be a tensor or a number, not {kind} {value!r:.60}"
            )
    common = promote(elements, test_elements)
    known = elements if hasattr(elements, "dtype") else test_elements
    device = getattr(known, "device", None)
    pair = [
        cast(x, common) if hasattr(x, "dtype") else as_tensor(x, common, device)
        for x in (elements, test_elements)
    ]
    found = IsIn.call(*pair)
    return logical_not(found) if invert else found
