"""Counting into bins, and finding the bin of a value: bincount, histc, searchsorted, bucketize.

Counts and positions change in steps, so they have no gradient; the weights of ``bincount`` do.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.dtypes import float64, int32, int64, promote
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.gather import GatherGrad, gather

__all__ = ["BinCount", "Histc", "SearchSorted", "bincount", "bucketize", "histc", "searchsorted"]

TENSOR_FUNCTIONS = ("bincount", "histc")
TG_FUNCTIONS = ("bucketize", "searchsorted")
TENSOR_ARGUMENTS = ("boundaries", "sorted_sequence", "sorter", "weights")

Shape = tuple[int, ...]


class BinCount(Op):
    """How often each number stands in a vector."""

    name = "bincount"
    equation = "y[n] = #{i: x[i] = n}"
    edges = "negative values are refused"
    dtypes = "integer"
    shaped = False

    @staticmethod
    def infer(input: Spec, minlength: int) -> Spec:
        raise GraphError(
            "bincount",
            "the largest element, and so the length, is not known on the meta device",
            values=[("input", input.shape)],
            repair="Use zeros(length).scatter_add(0, input, weights).",
        )

    @staticmethod
    def forward(xp: Any, input: Any, minlength: int) -> Any:
        if not input.size:
            return xp.zeros(minlength, int64)
        if (input < 0).any():
            raise RangeError(
                "bincount",
                f"the elements must not be negative, one is {int(input.min())}",
                values=[("input", input.shape)],
            )
        return xp.bincount(input.astype(int64), minlength=minlength).astype(int64)


class Histc(Op):
    """How many elements lie in each of some bins of equal width; the last one holds its end."""

    name = "histc"
    equation = "y[b] = #{i: lo + b w <= x[i] < lo + (b + 1) w}, w = (hi - lo)/bins"
    edges = "values outside the range, and NaN, are not counted; the last bin contains its end"

    @staticmethod
    def infer(input: Spec, bins: int, min: float, max: float) -> Spec:
        return Spec((bins,), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, bins: int, min: float, max: float) -> Any:
        low, high, dtype = min, max, input.dtype.type
        if low == high and input.size:
            low, high = float(input.min()), float(input.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RangeError(
                "histc",
                f"the range [{low}, {high}] of the bins is not finite",
                values=[("input", input.shape)],
                repair="Give a finite min and max.",
            )
        if low == high:
            low, high = low - 1, high + 1
        x = input.reshape(-1)
        x = x[(x >= low) & (x <= high)]
        places = ((x - dtype(low)) * dtype(bins) / dtype(dtype(high) - dtype(low))).astype(int64)
        places[places == bins] = bins - 1
        return xp.bincount(places, minlength=bins).astype(input.dtype)


class SearchSorted(Op):
    """The place of each value in sorted numbers: the first that is not less, or with ``right`` the
    first that is greater.
    """

    name = "searchsorted"
    equation = "y[i] = #{k: s[k] < v[i]}, right: #{k: s[k] <= v[i]}"
    edges = (
        "of equal values: before the first, or with right=True behind the last; NaN counts as the"
        " largest"
    )
    cost = "log2 M + 1 per value, M values being sorted"
    dtypes = "bool, integer, floating"
    inputs = ("sorted_sequence", "input")

    @staticmethod
    def infer(sorted_sequence: Spec, input: Spec, right: bool, dtype: Any) -> Spec:
        if sorted_sequence.ndim != 1 and sorted_sequence.shape[:-1] != input.shape[:-1]:
            raise ShapeError(
                "searchsorted",
                "the numbers must be a vector, or agree with the input in all axes but the last",
                values=[("sorted_sequence", sorted_sequence.shape), ("input", input.shape)],
            )
        return Spec(input.shape, dtype)

    @staticmethod
    def forward(xp: Any, sorted_sequence: Any, input: Any, right: bool, dtype: Any) -> Any:
        if sorted_sequence.ndim == 1:
            side = "right" if right else "left"
            found = xp.searchsorted(xp.ascontiguousarray(sorted_sequence), input, side=side)
            return xp.ascontiguousarray(xp.asarray(found).astype(dtype)).reshape(input.shape)
        size = sorted_sequence.shape[-1]
        first = xp.zeros(input.shape, int64)
        last = xp.full(input.shape, size, int64)
        for _ in range(size.bit_length()):  # halves the distance between the two
            middle = (first + last) // 2
            known = xp.take_along_axis(sorted_sequence, xp.minimum(middle, size - 1), axis=-1)
            stays = known > input if right else known >= input
            open_ = first < last
            last = xp.where(open_ & stays, middle, last)
            first = xp.where(open_ & ~stays, middle + 1, first)
        return first.astype(dtype)

    @staticmethod
    def flops(sorted_sequence: Spec, input: Spec, right: bool, dtype: Any) -> int:
        return input.size * max(sorted_sequence.shape[-1], 1).bit_length()


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number from 0 on stands in a vector, or the sums of the weights that stand
    there.

    Args:
        input: [N], integers, none negative.
        weights: [N]; then ``y[n] = sum of weights[i] over all i with input[i] = n``. They get
            their gradient.
        minlength: the least length of the result.

    Returns:
        [max(input) + 1] or longer; int64, or the float dtype of the weights (float64 of integers).

    Raises:
        ShapeError: the input is no vector, or the weights have another shape.
        DTypeError: the input is not integer.
        RangeError: an element or ``minlength`` is negative.
        GraphError: on the meta device, where the length is unknown.

    >>> import tinygrad_cv as tg
    >>> tg.bincount(tg.tensor([2, 0, 2])).tolist()
    [1, 0, 2]
    """
    if len(input.shape) != 1:
        raise ShapeError("bincount", "the input must be a vector", values=[("input", input.shape)])
    if input.dtype.kind not in "iu":
        raise DTypeError(
            "bincount",
            f"the input must be integer, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .long().",
        )
    minlength = as_int("bincount", "minlength", minlength)
    if minlength < 0:
        raise RangeError(
            "bincount",
            f"minlength = {minlength} is negative",
            values=[("input", input.shape)],
            repairs=[{"minlength": 0}],
        )
    if weights is not None and weights.shape != input.shape:
        raise ShapeError(
            "bincount",
            "each element needs one weight",
            values=[("input", input.shape), ("weights", weights.shape)],
        )
    counts = BinCount.call(input, minlength)
    if weights is None:
        return counts
    wide = weights if weights.dtype.kind == "f" else cast(weights, float64)
    return GatherGrad.call(wide, cast(input, int64), counts.shape, 0, False)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements lie in each of ``bins`` parts of [min, max] of equal width.

    Args:
        input: any shape, floating. Elements outside [min, max] and NaN are not counted; an element
            at ``max`` is, in the last bin.
        bins: how many parts.
        min, max: the range; if they are equal, that of the input's elements.

    Returns:
        [bins], of the input's dtype. Counts change in steps: there is no gradient.

    Raises:
        ArgumentError: ``bins`` is not positive, or ``max`` is less than ``min``.
        RangeError: the range is not finite.
        DTypeError: the input is not floating.

    >>> import tinygrad_cv as tg
    >>> tg.histc(tg.tensor([0.0, 0.5, 1.5, 4.0]), bins=4, min=0, max=4).tolist()
    [2.0, 1.0, 0.0, 1.0]
    """
    if input.dtype.kind != "f":
        raise DTypeError(
            "histc",
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )
    count, low, high = as_int("histc", "bins", bins), _number("min", min), _number("max", max)
    if count < 1:
        raise ArgumentError(
            "histc",
            f"bins = {count} is not positive",
            values=[("input", input.shape)],
            repairs=[{"bins": 1}],
        )
    if high < low:
        raise ArgumentError(
            "histc",
            f"max = {high} is less than min = {low}",
            values=[("input", input.shape)],
            repair="Exchange the two.",
            repairs=[{"min": high, "max": low}],
        )
    return Histc.call(input, count, low, high)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise DTypeError("histc", f"{name} must be a number, not {kind} {value!r}") from None


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each value stands in sorted numbers: at the first that is not less than it.

    ``s[y - 1] < v <= s[y]``, and with ``right`` ``s[y - 1] <= v < s[y]``; 0 before the first, N
    behind the last.

    Args:
        sorted_sequence: [N], or [..., N] with a row for each row of the input; ascending.
        input: values of any shape, or [..., V]; or one number, if the sequence is a vector.
        out_int32: int32 instead of int64.
        right, side: at the first that is greater; "left" or "right" say the same.
        sorter: int64 of the shape of ``sorted_sequence``: the positions that sort it.

    Raises:
        ShapeError: the leading axes differ, or the sequence has no axis.
        ArgumentError: ``side`` is another word, or contradicts ``right``.
        DTypeError: the sequence and the input are of different dtypes; ``sorter`` is not int64.
        RangeError: a position of ``sorter`` is out of range.

    >>> import tinygrad_cv as tg
    >>> edges = tg.tensor([1.0, 3.0, 5.0])
    >>> tg.searchsorted(edges, tg.tensor([0.0, 3.0, 6.0])).tolist()
    [0, 1, 3]
    >>> tg.searchsorted(edges, 3.0, right=True).item()
    2
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(
            "searchsorted",
            f"side={side!r} and right={right} do not go together"
            if side == "left"
            else f"there is no side {side!r}",
            repair='Use "left" or "right", or leave side out.',
            repairs=[{"side": "right", "right": True}],
        )
    if not sorted_sequence.shape:
        raise ShapeError(
            "searchsorted", "the sequence needs an axis", values=[("sorted_sequence", ())]
        )
    if sorter is not None:
        sorted_sequence = _sorted(sorted_sequence, sorter)
    return _searched("searchsorted", sorted_sequence, input, right or side == "right", out_int32)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The number of the bin between ascending boundaries in which each value lies.

    ``boundaries[y - 1] < v <= boundaries[y]``, and with ``right`` ``boundaries[y - 1] <= v <
    boundaries[y]``.

    Args:
        input: values of any shape, or one number.
        boundaries: [B], ascending.
        out_int32: int32 instead of int64.
        right: close the bins at their left end.

    Raises:
        ShapeError: the boundaries are no vector.
        DTypeError: the input is neither a tensor nor a number.

    >>> import tinygrad_cv as tg
    >>> tg.bucketize(tg.tensor([0.0, 3.0, 6.0]), tg.tensor([1.0, 3.0, 5.0])).tolist()
    [0, 1, 3]
    """
    if len(boundaries.shape) != 1:
        raise ShapeError(
            "bucketize",
            "the boundaries must be a vector",
            values=[("boundaries", boundaries.shape), ("input", getattr(input, "shape", ()))],
        )
    if hasattr(input, "dtype"):
        common = promote(input, boundaries)
        input, boundaries = cast(input, common), cast(boundaries, common)
    return _searched("bucketize", boundaries, input, right, out_int32)


def _searched(op: str, numbers: Any, input: Any, right: bool, out_int32: bool) -> Any:
    if not hasattr(input, "dtype"):
        if not isinstance(input, (bool, int, float)):
            kind = type(input).__name__
            raise DTypeError(op, f"input must be a tensor or a number, not {kind} {input!r:.60}")
        input = as_tensor(input, dtype=promote(numbers, input), device=numbers.device)
        numbers = cast(numbers, input.dtype)
    if input.dtype != numbers.dtype:
        raise DTypeError(
            op,
            f"the values are {input.dtype.name}, the numbers that they stand in "
            f"{numbers.dtype.name}",
            values=[("input", input.shape), ("numbers", numbers.shape)],
            repair="Convert one of them.",
        )
    return SearchSorted.call(numbers, input, bool(right), int32 if out_int32 else int64)


def _sorted(sequence: Any, sorter: Any) -> Any:
    if sorter.shape != sequence.shape:
        raise ShapeError(
            "searchsorted",
            "sorter must have the shape of the sequence",
            values=[("sorted_sequence", sequence.shape), ("sorter", sorter.shape)],
        )
    if sorter.dtype != int64:
        raise DTypeError(
            "searchsorted",
            f"sorter must be int64, it is {sorter.dtype.name}",
            values=[("sorter", sorter.shape)],
        )
    return gather(sequence, -1, sorter)
