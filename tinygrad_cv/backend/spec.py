"""What is known of an array without its data: shape, dtype and memory layout.

A ``Spec`` describes the inputs and outputs of an operator to its ``infer`` and to the ``supports``
test of a kernel, and it *is* the array of a tensor on the ``meta`` device.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CHANNELS_LAST", "CONTIGUOUS", "Spec", "broadcast_layout", "layout_of", "spec_of"]

CONTIGUOUS = "contiguous"
CHANNELS_LAST = "channels_last"


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
    expected = array.itemsize
    shape, strides = array.shape, array.strides
    for axis in (1, *range(ndim - 1, 1, -1), 0):
        if shape[axis] != 1 and strides[axis] != expected:
            return CONTIGUOUS
        expected *= shape[axis]
    return CHANNELS_LAST


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
