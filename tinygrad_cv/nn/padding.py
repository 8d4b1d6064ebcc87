"""Layers that put a border around their input: one text over the mode and the spatial rank."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import number
from tinygrad_cv.nn.module import Module
from tinygrad_cv.ops._axes import as_ints
from tinygrad_cv.ops._spatial import letters

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

_SIDES = ("left", "right", "top", "bottom", "front", "back")


class _Pad(Module):
    """A border whose width is kept as ``F.pad`` takes it: two numbers per axis, last axis first."""

    spatial: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        sides = 2 * self.spatial
        widths = as_ints(type(self).__name__, "padding", padding)
        if not isinstance(padding, (tuple, list)):
            widths *= sides
        if len(widths) != sides:
            raise ArgumentError(
                type(self).__name__,
                f"padding needs one int or {sides}: ({', '.join(_SIDES[:sides])}), got {padding!r}",
            )
        self.padding = widths

    def forward(self, input: Any) -> Any:
        n = self.spatial
        if self.mode != "constant" and input.ndim not in (n + 1, n + 2):
            raise ShapeError(
                type(self).__name__,
                f"the input must have {n + 1} or {n + 2} axes, it has {input.ndim}",
                values=[("input", input.shape, f"{letters(n, 'C')} or {letters(n)}")],
            )
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        number(type(self).__name__, "value", value)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of ``value``.

    Around the last axis, as of [N, C, L]; arguments as :class:`ConstantPad2d`, the widths
    (left, right).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ConstantPad1d((1, 2), 7.0)(tg.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[7.0, 1.0, 2.0, 3.0, 7.0, 7.0]]]
    """

    spatial = 1


class ConstantPad2d(_ConstantPad):
    """A border of ``value``.

    Around the last 2 axes, as of [N, C, H, W]; see :func:`~tinygrad_cv.nn.functional.pad`.

    Args:
        padding: widths in positions: an int for all sides, or (left, right, top, bottom).
            Negative widths take positions away.
        value: what stands in the border.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ConstantPad2d((1, 0, 2, 0), 7.0)(tg.zeros(1, 3, 4, 4)).shape
    (1, 3, 6, 5)
    """

    spatial = 2


class ConstantPad3d(_ConstantPad):
    """A border of ``value``.

    Around the last 3 axes, as of [N, C, D, H, W]; arguments as :class:`ConstantPad2d`, the widths
    (left, right, top, bottom, front, back).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ConstantPad3d(1, 7.0)(tg.zeros(1, 2, 2, 3, 4)).shape
    (1, 2, 4, 5, 6)
    """

    spatial = 3


class ZeroPad1d(_Pad):
    """A border of zeros.

    Around the last axis, as of [N, C, L]; arguments as :class:`ZeroPad2d`, the widths
    (left, right).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ZeroPad1d((1, 2))(tg.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[0.0, 1.0, 2.0, 3.0, 0.0, 0.0]]]
    """

    spatial = 1


class ZeroPad2d(_Pad):
    """A border of zeros.

    Around the last 2 axes, as of [N, C, H, W]; see :func:`~tinygrad_cv.nn.functional.pad`.

    Args:
        padding: widths in positions: an int for all sides, or (left, right, top, bottom).
            Negative widths take positions away.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ZeroPad2d((1, 0, 2, 0))(tg.zeros(1, 3, 4, 4)).shape
    (1, 3, 6, 5)
    """

    spatial = 2


class ZeroPad3d(_Pad):
    """A border of zeros.

    Around the last 3 axes, as of [N, C, D, H, W]; arguments as :class:`ZeroPad2d`, the widths
    (left, right, top, bottom, front, back).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ZeroPad3d(1)(tg.zeros(1, 2, 2, 3, 4)).shape
    (1, 2, 4, 5, 6)
    """

    spatial = 3


class ReflectionPad1d(_Pad):
    """A border that mirrors the inside, the outermost positions not repeated.

    For [N, C, L] or [C, L]; arguments as :class:`ReflectionPad2d`, the widths
    (left, right).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReflectionPad1d((1, 2))(tg.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]]
    """

    spatial = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """A border that mirrors the inside, the outermost positions not repeated.

    For [N, C, H, W] or [C, H, W]; see :func:`~tinygrad_cv.nn.functional.pad`.

    Args:
        padding: widths in positions: an int for all sides, or (left, right, top, bottom).
            Negative widths take positions away.

    The widths of an axis of n positions are at most n - 1.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReflectionPad2d((1, 0, 2, 0))(tg.zeros(1, 3, 4, 4)).shape
    (1, 3, 6, 5)
    """

    spatial = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """A border that mirrors the inside, the outermost positions not repeated.

    For [N, C, D, H, W] or [C, D, H, W]; arguments as :class:`ReflectionPad2d`, the widths
    (left, right, top, bottom, front, back).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReflectionPad3d(1)(tg.zeros(1, 2, 2, 3, 4)).shape
    (1, 2, 4, 5, 6)
    """

    spatial = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the outermost positions.

    For [N, C, L] or [C, L]; arguments as :class:`ReplicationPad2d`, the widths
    (left, right).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReplicationPad1d((1, 2))(tg.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 3.0, 3.0, 3.0]]]
    """

    spatial = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the outermost positions.

    For [N, C, H, W] or [C, H, W]; see :func:`~tinygrad_cv.nn.functional.pad`.

    Args:
        padding: widths in positions: an int for all sides, or (left, right, top, bottom).
            Negative widths take positions away.

    An axis must have positions to repeat.

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReplicationPad2d((1, 0, 2, 0))(tg.zeros(1, 3, 4, 4)).shape
    (1, 3, 6, 5)
    """

    spatial = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """A border that repeats the outermost positions.

    For [N, C, D, H, W] or [C, D, H, W]; arguments as :class:`ReplicationPad2d`, the widths
    (left, right, top, bottom, front, back).

    >>> import tinygrad_cv as tg
    >>> tg.nn.ReplicationPad3d(1)(tg.zeros(1, 2, 2, 3, 4)).shape
    (1, 2, 4, 5, 6)
    """

    spatial = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """A border that continues on the opposite side.

    For [N, C, L] or [C, L]; arguments as :class:`CircularPad2d`, the widths
    (left, right).

    >>> import tinygrad_cv as tg
    >>> tg.nn.CircularPad1d((1, 2))(tg.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[3.0, 1.0, 2.0, 3.0, 1.0, 2.0]]]
    """

    spatial = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """A border that continues on the opposite side.

    For [N, C, H, W] or [C, H, W]; see :func:`~tinygrad_cv.nn.functional.pad`.

    Args:
        padding: widths in positions: an int for all sides, or (left, right, top, bottom).
            Negative widths take positions away.

    The widths of an axis of n positions are at most n.

    >>> import tinygrad_cv as tg
    >>> tg.nn.CircularPad2d((1, 0, 2, 0))(tg.zeros(1, 3, 4, 4)).shape
    (1, 3, 6, 5)
    """

    spatial = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """A border that continues on the opposite side.

    For [N, C, D, H, W] or [C, D, H, W]; arguments as :class:`CircularPad2d`, the widths
    (left, right, top, bottom, front, back).

    >>> import tinygrad_cv as tg
    >>> tg.nn.CircularPad3d(1)(tg.zeros(1, 2, 2, 3, 4)).shape
    (1, 2, 4, 5, 6)
    """

    spatial = 3
    mode = "circular"
