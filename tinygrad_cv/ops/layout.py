"""Memory order: the same values, row-major or channels-last, behind the same public shape."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.layout import copied, reordered
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._strides import settled_layout

__all__ = ["Clone", "Layout", "clone", "contiguous"]


def contiguous(input: Any, memory_format: Any = CONTIGUOUS) -> Any:
    """The same values in memory of the given order; the input itself if it is so already.

    Args:
        memory_format: "contiguous" (row-major) or "channels_last" (memory runs N, spatial..., C
            behind the public shape [N, C, spatial...], which needs 3 axes or more). PyTorch's
            names "contiguous_format" and "channels_last_3d" are understood.

    Raises:
        ArgumentError: an unknown memory format.
        ShapeError: channels_last with fewer than 3 axes.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(2, 3, 4, 5).contiguous("channels_last")
    >>> x.shape, x.array.transpose(0, 2, 3, 1).flags.c_contiguous
    ((2, 3, 4, 5), True)
    """
    name = str(memory_format).removeprefix("torch.")
    layout = {"channels_last_3d": CHANNELS_LAST}.get(name, name.removesuffix("_format"))
    if layout not in (CONTIGUOUS, CHANNELS_LAST):
        raise ArgumentError(
            "contiguous",
            f"unknown memory format {memory_format!r}",
            repair='Use "contiguous" or "channels_last".',
            repairs=[{"memory_format": CONTIGUOUS}],
        )
    array = input.array if isinstance(input, Tensor) else input
    if layout == CHANNELS_LAST and array.ndim < 3:
        raise ShapeError(
            "contiguous",
            f"channels_last needs axes N, C and at least one more, the input has {array.ndim}",
            values=[("input", array.shape)],
            repair='Use "contiguous".',
            repairs=[{"memory_format": CONTIGUOUS}],
        )
    return input if _has_layout(array, layout) else _layout(input, layout)


class Layout(Op):
    """A copy in memory of the given order; the values and the public shape stay."""

    name = "layout"
    equation = "y = x, in memory ordered as `layout` says"
    gradients = {"input": "dx = g"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, layout: str) -> Spec:
        return Spec(input.shape, input.dtype, settled_layout(input.shape, layout))

    @staticmethod
    def forward(xp: Any, input: Any, layout: str) -> Any:
        return reordered(xp, input, layout)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g


_layout = Layout.call


class Clone(Op):
    """A copy in memory of its own, in the same order; the gradient passes through.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(2)
    >>> y = x.clone()
    >>> y += 1
    >>> x.tolist(), y.tolist()
    ([0.0, 0.0], [1.0, 1.0])
    """

    name = "clone"
    equation = "y = x"
    gradients = {"input": "dx = g"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec) -> Spec:
        return input

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return copied(xp, input)

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g


clone = Clone.call


def _has_layout(array: Any, layout: str) -> bool:
    if isinstance(array, Spec):
        return array.layout == settled_layout(array.shape, layout)
    if layout == CHANNELS_LAST:  # an array with one channel or one pixel is in both orders
        return layout_of(array) == CHANNELS_LAST or bool(
            array.transpose(0, *range(2, array.ndim), 1).flags.c_contiguous
        )
    return bool(array.flags.c_contiguous)


TENSOR_FUNCTIONS = ("clone",)
METHODS = {"contiguous": contiguous}
