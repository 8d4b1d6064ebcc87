"""What is known of an array without its data: shape, dtype and memory layout.

A ``Spec`` describes the inputs and outputs of an operator to its ``infer`` and to the ``supports``
test of a kernel, and it *is* the array of a tensor on the ``meta`` device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CHANNELS_LAST", "CONTIGUOUS", "Spec", "broadcast_layout", "dense_strides", "form_of"]
__all__ += ["layout_of", "spec_of"]

CONTIGUOUS = "contiguous"
CHANNELS_LAST = "channels_last"
_PIXELS = [(0, *range(2, ndim), 1) for ndim in range(65)]  # [N, ..., C] of [N, C, ...]


class Spec(NamedTuple):
    """Shape, dtype and memory layout of an array.

    ``layout`` is ``"channels_last"`` when memory runs N, spatial..., C behind the public shape N C
    spatial, and ``"contiguous"`` for every other order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    layout: str = CONTIGUOUS

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


def layout_of(array: Any) -> str:
    """``"channels_last"`` if memory runs N, spatial..., C (and not as the shape reads), else
    ``"contiguous"``."""
    if isinstance(array, Spec):
        return array.layout
    ndim = array.ndim
    if ndim < 3 or array.flags.c_contiguous:
        return CONTIGUOUS
    return CHANNELS_LAST if array.transpose(_PIXELS[ndim]).flags.c_contiguous else CONTIGUOUS


def spec_of(array: Any) -> Spec:
    """The Spec of an array of any backend; a Spec is returned as it is."""
    if isinstance(array, Spec):
        return array
    return Spec(array.shape, array.dtype, layout_of(array))


def broadcast_layout(shape: tuple[int, ...], specs: tuple[Spec, ...]) -> str:
    """Layout of an elementwise result: channels-last wins where an operand of the full shape has
    it."""
    for spec in specs:
        if spec.layout == CHANNELS_LAST and spec.shape == shape:
            return CHANNELS_LAST
    return CONTIGUOUS


@lru_cache(maxsize=1024)
def form_of(
    shape: tuple[int, ...], itemsize: int, layout: str
) -> tuple[int, tuple[int, ...] | None, tuple[int, ...] | None]:
    """The memory of a dense array: (bytes, axes in their order there, strides). Without the last
    two if that is the order of the shape.

    >>> form_of((2, 3, 4, 5), 4, CHANNELS_LAST)
    (480, (0, 2, 3, 1), (240, 4, 60, 12))
    """
    size = math.prod(shape) * itemsize
    if layout == CONTIGUOUS or len(shape) < 3:
        return size, None, None
    taps = range(2, len(shape))
    order = (*taps, 1, 0) if layout == "taps_first" else (0, *taps, 1)
    return size, order, dense_strides(shape, itemsize, order)


def dense_strides(shape: tuple[int, ...], itemsize: int, order: Sequence[int]) -> tuple[int, ...]:
    """Strides of a dense array whose axes follow each other in memory as `order` says."""
    strides, step = [0] * len(shape), itemsize
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)
