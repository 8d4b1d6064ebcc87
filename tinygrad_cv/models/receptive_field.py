"""Which part of the input one position of the output sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._axes import as_ints

__all__ = ["ReceptiveField", "receptive_field"]

_NAMES = ("kernel", "stride", "padding", "dilation")
_DEFAULTS = (1, 1, 0, 1)


class ReceptiveField(NamedTuple):
    """What one position of the output sees along one axis: output p sees the ``size`` positions of
    the input from ``start + p * stride`` on. A negative ``start`` lies in the padding.

    >>> from tinygrad_cv import models
    >>> field = models.receptive_field([(3, 1, 1)])
    >>> field.size, field.start
    (3, -1)
    """

    size: int
    stride: int
    start: int


def receptive_field(layers: Iterable[int | Sequence[int]]) -> ReceptiveField:
    """The receptive field of a chain of convolutions and poolings, along one axis.

    Layer l has kernel k_l, stride s_l, padding p_l and dilation d_l. With the jump
    ``j_l = s_1 * ... * s_(l-1)``, the distance in the input between neighbours of what layer l
    reads::

        size   = 1 + sum_l d_l * (k_l - 1) * j_l
        stride = s_1 * ... * s_L
        start  = -sum_l p_l * j_l

    Args:
        layers: from the input to the output, each (kernel, stride, padding, dilation). What is left
            out at the end of one is 1, 0 and 1, as in a layer; a number alone is a kernel. The
            chain of no layer sees one position.

    Returns:
        A named tuple ``(size, stride, start)`` in pixels of the input. Axes are independent: of a
        kernel that is not square, ask for each axis.

    Raises:
        ArgumentError: more than four numbers, a negative padding, or another number below 1.
        DTypeError: something is no whole number.

    Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks"
    (Distill, 2019).

    >>> from tinygrad_cv import models
    >>> models.receptive_field([(5,), (2, 2), (5,), (2, 2)])  # convolve and pool, twice
    ReceptiveField(size=16, stride=4, start=0)
    >>> models.receptive_field((3, 1, rate, rate) for rate in (1, 2, 5))
    ReceptiveField(size=17, stride=1, start=-8)
    """
    size, jump, start = 1, 1, 0
    for number, layer in enumerate(_as_layers(layers)):
        kernel, stride, padding, dilation = _read(number, layer)
        size += dilation * (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return ReceptiveField(size, jump, start)


def _as_layers(layers: Any) -> list[Any]:
    if isinstance(layers, Iterable) and not isinstance(layers, str):
        return list(layers)
    raise ArgumentError(
        "receptive_field",
        f"layers must be a list of (kernel, stride, padding, dilation), not {layers!r:.60}",
    )


def _read(number: int, layer: Any) -> tuple[int, ...]:
    if hasattr(layer, "kernel_size"):
        raise DTypeError(
            "receptive_field",
            f"layers[{number}] must be numbers, not a {type(layer).__name__}",
            repair="Along each axis, give the layer's (kernel_size, stride, padding, dilation).",
        )
    values = as_ints("receptive_field", f"layers[{number}]", layer)
    if not 1 <= len(values) <= 4:
        raise ArgumentError(
            "receptive_field",
            f"layers[{number}] is (kernel, stride, padding, dilation), got {layer!r:.60}",
        )
    values += _DEFAULTS[len(values) :]
    for name, value, least in zip(_NAMES, values, (1, 1, 0, 1), strict=True):
        if value < least:
            raise ArgumentError(
                "receptive_field",
                f"the {name} of layers[{number}] must be at least {least}, it is {value}",
            )
    return values
