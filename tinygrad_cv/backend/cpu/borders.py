"""The zeros around the input of a convolution, where they meet what is not finite.

0 * inf is NaN, and a convolution multiplies the zeros of its padding. The compiled loops pass most
of them over, which is right as long as the other factor is finite. So what a loop has made is
looked at, in the few places that would show it: a tap of the weights that is not finite spoils
every output for which it meets a pixel. Where the weights, or the gradient, turn out not to be
finite, the NumPy functions of ``backend.convolution`` compute the result again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend.convolution import Window, correlate, spread, weight_gradient
from tinygrad_cv.backend.cpu.case import Case

__all__ = ["check_input_grad", "check_output", "check_weight_grad"]

Box = tuple[slice, ...]


def check_output(case: Case, output: Any, input: Any, weight: Any, bias: Any) -> Any:
    """``output``, computed again if need be."""
    outputs, _ = _telling(case)
    if not _are_finite(output, outputs, weight):
        with np.errstate(all="ignore"):
            correlate(np, input, _by_group(case, weight), bias, _window(case), output)
    return output


def check_input_grad(case: Case, output: Any, grad: Any, weight: Any) -> Any:
    """The same for the gradient of the input: seen from it, the zeros are around the gradient."""
    _, pixels = _telling(case)
    if not _are_finite(output, pixels, weight):
        with np.errstate(all="ignore"):
            swapped = _by_group(case, weight).swapaxes(1, 2)
            spread(np, grad, swapped, _window(case), output)
    return output


def check_weight_grad(case: Case, output: Any, input: Any, grad: Any) -> Any:
    """The same for that of the weights: a gradient that is not finite spoils every tap that meets a
    pixel there, in the first channel as in all."""
    finite = np.isfinite(output[:, 0]).all() and (_all_see(case) or np.isfinite(grad).all())
    if not finite:
        with np.errstate(all="ignore"):
            output[...] = weight_gradient(
                np, input, grad, output.shape, _window(case), case.groups
            )  # fmt: skip
    return output


def _are_finite(output: Any, box: Box | None, weight: Any) -> bool:
    """Are the weights finite? ``box`` is where the first image tells."""
    if box is not None and np.isfinite(output[0][box]).all():
        return True
    return bool(np.isfinite(weight).all())


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


def _window(case: Case) -> Window:
    return Window(case.kernel, case.stride, tuple(-front for front in case.before), case.dilation)


def _by_group(case: Case, weight: Any) -> Any:
    """[O, C/groups, k...] as [groups, O/groups, C/groups, k...]."""
    return weight.reshape(case.groups, -1, *weight.shape[1:])
