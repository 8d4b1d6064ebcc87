"""Borders around large float32 arrays, what is left of them without their border, and the gradient
of a slice, which is zeros around it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous, pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["pad", "pad_border", "register_kernels", "slice_grad"]

SMALLEST = 1 << 16  # elements of the input; below, NumPy is done before others are awake
SLOW = 16  # times as many, where threads start slowly

Shape = tuple[int, ...]
Widths = tuple[tuple[int, int], ...]  # (before, after) for each axis

_MODES = {"replicate": "edge", "circular": "wrap"}  # as NumPy calls them, where it differs


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("pad", provider="numba", priority=10, supports=_takes)(pad)
    register("pad_border", provider="numba", priority=10, supports=_takes)(pad_border)
    register("slice_grad", provider="numba", priority=10, supports=_takes_slice)(slice_grad)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,) = specs
    return input.dtype == np.float32 and repays(input.size, max(SMALLEST, 1), SLOW)


def _takes_slice(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (grad,), (shape, _) = specs, attributes
    large = grad.size > 0 and repays(math.prod(shape), SMALLEST, SLOW)
    return large and grad.dtype == np.float32


def pad(xp: Any, input: Any, widths: Widths, value: float) -> Any:
    """``Pad.forward``; None where the axes with a border are too far apart."""
    return _padded(input, widths, "constant", value)


def pad_border(xp: Any, input: Any, widths: Widths, mode: str) -> Any:
    """``PadBorder.forward``."""
    return _padded(input, widths, _MODES.get(mode, mode), 0.0)


def slice_grad(xp: Any, grad: Any, shape: Shape, key: tuple[Any, ...]) -> Any:
    """``SliceGrad.forward``; None if positions are passed over."""
    sizes, widths = iter(shape), []
    for entry in key:
        if entry is None:
            continue
        size = next(sizes)
        cut = slice(*entry) if type(entry) is tuple else slice(entry % size, entry % size + 1)
        start, stop, step = cut.indices(size)
        if step != 1:
            return None
        widths.append((start, size - stop))
    if any(type(entry) is not tuple for entry in key):
        if layout_of(grad) == CHANNELS_LAST:
            return None
        inside = zip(shape, widths, strict=True)
        grad = contiguous(grad).reshape([n - before - after for n, (before, after) in inside])
    return _padded(grad, tuple(widths), "constant", 0.0)


def _padded(input: Any, widths: Widths, mode: str, value: float) -> Any:
    from tinygrad_cv.backend.cpu.compiled import padding

    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, widths, strict=True))
    layout = layout_of(input)
    if layout == CHANNELS_LAST:
        x, widths = pixels(input), (widths[0], *widths[2:], widths[1])
    else:
        x = contiguous(input)
    lines = _lines(x.shape, widths, mode)
    if lines is None or 0 in shape:
        return None
    y = memory.empty(shape, np.float32, layout)
    target = pixels(y) if layout == CHANNELS_LAST else y
    padding.pad(
        x.reshape(-1, lines.width), target.reshape(-1, lines.places), *lines.lists, lines.sizes,
        value, threads.get_num_threads(),
    )  # fmt: skip
    return y


class _Lines(NamedTuple):
    """What the kernel is told of a case: floats in a line of the input and of the result, where
    each place along three axes comes from, and the sizes."""

    width: int
    places: int
    lists: tuple[Any, Any, Any]
    sizes: Any


@lru_cache(maxsize=256)
def _lines(shape: Shape, widths: Widths, mode: str) -> _Lines | None:
    """For axes in the order of memory; not to be written."""
    bordered = [axis for axis, pair in enumerate(widths) if pair != (0, 0)]
    if not bordered or bordered[-1] - bordered[0] > 2:
        return None
    axes = range(bordered[0], bordered[-1] + 1)
    block, missing = math.prod(shape[bordered[-1] + 1 :]), 3 - len(axes)
    sizes = [1] * missing + [shape[axis] for axis in axes]
    pairs = [(0, 0)] * missing + [widths[axis] for axis in axes]
    lists = [_places(*axis, mode) for axis in zip(sizes, pairs, strict=True)]
    before, after = pairs[-1]
    inside = max(before, 0), max(sizes[-1] + min(before, 0) + min(after, 0), 0)
    numbers = np.array([*sizes[:2], block, *inside], np.int64)
    for array in (*lists, numbers):
        array.flags.writeable = False
    return _Lines(
        sizes[-1] * block, len(lists[-1]) * block, (lists[0], lists[1], lists[2]), numbers
    )


def _places(size: int, pair: tuple[int, int], mode: str) -> Any:
    """Where each place of a padded axis comes from; -1 where it gets the value."""
    if mode != "constant":
        return np.pad(np.arange(size), pair, mode)  # type: ignore[call-overload]
    places = np.arange(-pair[0], size + pair[1])
    places[places >= size] = -1
    return np.maximum(places, -1)
