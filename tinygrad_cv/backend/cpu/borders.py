"""The zeros around the input of a convolution, where they meet what is not finite.

0 * inf is NaN, and a convolution multiplies the zeros of its padding. The compiled loops pass most
of them over, which is right as long as the other factor is finite. So what a loop has made is
looked at, in the few places that would show it: a tap of the weights that is not finite spoils
every output for which it meets a pixel. What is not right so is left to the reference.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend.cpu.case import Case

__all__ = ["gradient_is_finite", "weights_are_finite"]

Box = tuple[slice, ...]


def weights_are_finite(case: Case, weight: Any, made: Any, of_input: bool = False) -> bool:
    """Are the weights finite? Seen from what was made of them: the output, or ``of_input`` the
    gradient of the input. Only if that tells nothing, they are looked at."""
    if case.is_pointwise:
        return True  # no zeros are met
    box = _telling(case)[of_input]
    if box is not None and _finite(made[0][box]):
        return True
    return _finite(weight)


def gradient_is_finite(case: Case, grad: Any, made: Any) -> bool:
    """Is the output gradient finite? Seen from the gradient of the weights: of all taps that meet a
    pixel, the first channel would be spoilt as all are. Only if that tells nothing, it is looked
    at."""
    if case.is_pointwise:
        return True
    if _all_see(case) and _finite(made[:, 0]):
        return True
    return _finite(grad)


def _finite(array: Any) -> bool:
    return bool(np.logical_and.reduce(np.isfinite(array), None))


@lru_cache(maxsize=256)
def _telling(case: Case) -> tuple[Box | None, Box | None]:
    """Small boxes, of outputs and of pixels, in which every tap brings a pixel to an output; None
    if there is none."""
    outputs, pixels = [slice(None)], [slice(None)]
    for size, count, kernel, stride, before, dilation in _axes(case):
        first = [max(0, -((k * dilation - before) // stride)) for k in range(kernel)]
        met = [p * stride - before + k * dilation for k, p in enumerate(first)]
        if max(first) >= count or max(met) >= size:
            return None, None
        outputs.append(slice(min(first), max(first) + 1))
        pixels.append(slice(min(met), max(met) + 1))
    return tuple(outputs), tuple(pixels)


@lru_cache(maxsize=256)
def _all_see(case: Case) -> bool:
    """Does every output see a pixel?"""
    return all(
        any(0 <= p * stride - before + k * dilation < size for k in range(kernel))
        for size, count, kernel, stride, before, dilation in _axes(case)
        for p in range(count)
    )


def _axes(case: Case) -> Any:
    return zip(
        case.sizes, case.positions, case.kernel, case.stride, case.before, case.dilation,
        strict=True,
    )  # fmt: skip
