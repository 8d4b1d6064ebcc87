"""Following memory order through views without data, so that specs know the layout of a view."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_cv.backend.dtypes import bool_
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec

__all__ = ["dense_strides", "layout_from_strides", "reshaped_strides", "settled_layout"]

Shape = tuple[int, ...]


def dense_strides(spec: Spec) -> Shape:
    """Strides, in elements, of an array that fills its memory in the order the layout names."""
    order: Sequence[int] = range(spec.ndim)
    if spec.layout == CHANNELS_LAST:
        order = (0, *range(2, spec.ndim), 1)
    strides, step = [0] * spec.ndim, 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(spec.shape[axis], 1)
    return tuple(strides)


def layout_from_strides(shape: Shape, strides: Sequence[int]) -> str:
    """What `layout_of` would say of an array with these strides (in elements)."""
    ndim = len(shape)
    if ndim < 3 or 0 in shape or _runs(shape, strides, range(ndim)):
        return CONTIGUOUS
    return CHANNELS_LAST if _runs(shape, strides, (0, *range(2, ndim), 1)) else CONTIGUOUS


def _runs(shape: Shape, strides: Sequence[int], order: Sequence[int]) -> bool:
    step = 1
    for axis in reversed(order):
        if shape[axis] != 1:
            if strides[axis] != step:
                return False
            step *= shape[axis]
    return True


def reshaped_strides(old: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides of the view with shape `new`, or None if such a view does not exist.

    Walks both shapes at once in groups of axes that hold equally many elements; inside a group
    the old axes must follow each other in memory.
    """
    if 0 in old:
        return None
    pairs = [(n, s) for n, s in zip(old, strides, strict=True) if n != 1]
    result, i, j = [0] * len(new), 0, 0
    while i < len(pairs) and j < len(new):
        first, start, a, b = i, j, pairs[i][0], new[j]
        while a != b:
            if a < b:
                i += 1
                a *= pairs[i][0]
            else:
                j += 1
                b *= new[j]
        if any(pairs[k][1] != pairs[k + 1][0] * pairs[k + 1][1] for k in range(first, i)):
            return None
        step = pairs[i][1]
        for k in range(j, start - 1, -1):
            result[k] = step
            step *= new[k]
        i, j = i + 1, j + 1
    return tuple(result)


def settled_layout(shape: Shape, layout: str) -> str:
    """The layout of a dense array; one channel or one pixel makes channels-last row-major."""
    if layout == CONTIGUOUS:
        return CONTIGUOUS
    return layout_from_strides(shape, dense_strides(Spec(shape, bool_, layout)))
