"""Convolution and its gradients in float32: which compiled loop serves a case, and its memory.

Five algorithms share the work: vectors of whole groups where these have few channels, depthwise
above all; Winograd for 3x3 kernels at stride 1 or 2 with enough channels (file ``winograd``);
images side by side where there are enough of them and few channels (file ``lanes``); one product
per tap where the channels make it long enough; one per line of outputs for the rest. All read and
write channels-last memory. Weights are fastest if their own memory runs (taps, C, O), as that of
the layers does; others are copied.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import borders, compiled, lanes, threads, winograd
from tinygrad_cv.backend.cpu.case import (
    Case,
    Sizes,
    lines_that_fit,
    partial_sums,
    parts_of,
    thread_rows,
    three,
)
from tinygrad_cv.backend.cpu.compiling import usable
from tinygrad_cv.backend.cpu.layout import contiguous_pixels, transposed
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous, pixels
from tinygrad_cv.backend.precision import get_convolution_precision
from tinygrad_cv.backend.spec import CHANNELS_LAST
from tinygrad_cv.backend.windows import output_size

__all__ = ["conv", "conv_input_grad", "conv_weight_grad", "register_kernels"]

SMALLEST = 1 << 20  # multiplications; below, loading the compiler would never pay
DEEP = 16  # channels from which on one product per tap, or a tile of Winograd's, is worth while
WIDEST = 4096  # floats of a window that is read as a whole
RUN = 96  # outputs that are worked on together
SMALL_GROUP = 8192  # weights of a group that stay in the level-1 cache
WIDE = 256  # channels of a piece of the weight gradient whose pixels need no copy
LINES = 16  # lines of outputs for which the input is padded together
PADDED = 4 << 20  # bytes of it for a thread; where one line takes more, that much
PARTS = 64 << 20  # bytes of partial sums of a weight gradient, or one part if that is larger

Pairs = tuple[tuple[int, int], ...]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for op, function, supports in (
        ("conv", conv, _takes_conv),
        ("conv_input_grad", conv_input_grad, _takes_input_grad),
        ("conv_weight_grad", conv_weight_grad, _takes_weight_grad),
    ):
        register(op, provider="numba", priority=10, supports=supports)(function)


def _takes_conv(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, weight, _ = specs
    return _takes(_case(input.shape, weight.shape, *attributes), *specs)


def _takes_input_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    grad, weight = specs
    shape, *options = attributes
    return _takes(_case(shape, weight.shape, *options), grad, weight)


def _takes_weight_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, grad = specs
    shape, *options = attributes
    return _takes(_case(input.shape, shape, *options), input, grad)


def _takes(case: Case, *specs: Any) -> bool:
    return (
        all(spec is None or spec.dtype == np.float32 for spec in specs)
        and len(case.sizes) <= 3
        and case.multiplications >= max(SMALLEST, 1)
        and usable()
        and _algorithm(case) is not None
    )


def _algorithm(case: Case) -> str | None:
    deep, wide = case.channels // case.groups, case.outputs // case.groups
    if case.groups > 1 and 2 * max(deep, wide) <= compiled.vector.WIDTH:
        return "groups"
    near = case.kernel[-2:] == (3, 3) and {1, *case.stride[:-2], *case.dilation} == {1}
    if near and min(deep, wide) >= DEEP and winograd.fits(case):
        coarse = get_convolution_precision() == "fast" and max(case.before[-2:]) <= 2
        return "winograd" if coarse else "taps"
    if lanes.fills(case):
        return "images"
    if deep >= DEEP or case.groups > 1:
        return "taps"
    return "rows" if math.prod(case.kernel) * deep <= WIDEST else None


# The operators ------------------------------------------------------------------------------------


def conv(
    xp: Any,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> Any:
    """``Conv.forward``; None where zeros of the padding would meet weights that are not finite."""
    case = _case(input.shape, weight.shape, stride, padding, dilation, groups)
    output = _output(case, input, weight, bias)
    return output if borders.weights_are_finite(case, weight, output) else None


def _output(case: Case, input: Any, weight: Any, bias: Any) -> Any:
    x, w = _pixels(input), _taps(weight)
    b = np.zeros(0, np.float32) if bias is None else np.ascontiguousarray(bias)
    output = memory.empty((case.images, case.outputs, *case.positions), np.float32, CHANNELS_LAST)
    y, algorithm = _five(pixels(output)), _algorithm(case)
    if algorithm == "winograd":
        if winograd.convolve(case, x, w, b, y, backward=False):
            return output
        algorithm = "taps"
    if algorithm == "groups":
        b = np.zeros(case.outputs, np.float32) if bias is None else b
        compiled.groups.convolve(x, w, b, y, case.geometry, 0, _workers())
    elif algorithm == "taps":
        if case.is_pointwise:
            x, y = _as_rows(x), _as_rows(y)
        length, together = _runs(y.shape[3])
        compiled.convolution.by_taps(x, w, b, y, case.geometry, length, together, _workers())
    elif algorithm == "images":
        lanes.convolve(case, x, w, b, y)
    else:
        scratch, *lines = _lines(case)
        compiled.convolution.by_rows(x, w, b, y, scratch, case.geometry, *lines)
    return output


def conv_input_grad(
    xp: Any,
    grad: Any,
    weight: Any,
    input_shape: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> Any:
    """``ConvInputGrad.forward``, or None as ``conv``: here the zeros are around the gradient."""
    case = _case(input_shape, weight.shape, stride, padding, dilation, groups)
    output = _input_grad(case, grad, weight)
    return output if borders.weights_are_finite(case, weight, output, of_input=True) else None


def _input_grad(case: Case, grad: Any, weight: Any) -> Any:
    dy, w = _pixels(grad), _taps(weight)
    spread = memory.empty((case.images, case.channels, *case.sizes), np.float32, CHANNELS_LAST)
    dx, algorithm = _five(pixels(spread)), _algorithm(case)
    if algorithm == "groups":
        zeros = np.zeros(case.channels, np.float32)
        w = _exchanged(w, case.groups)
        compiled.groups.convolve(dy, w, zeros, dx, case.geometry, 1, _workers())
        return spread
    empty = np.zeros(0, np.float32)
    if algorithm == "winograd" and winograd.convolve(case, dy, w, empty, dx, backward=True):
        return spread
    swapped = _swapped(w, case.kernel)
    rotated = _rotated(case)
    side_by_side = rotated is not None and algorithm != "winograd" and lanes.fills(rotated)
    if rotated is not None and (side_by_side or (case.groups == 1 and case.channels < DEEP)):
        w = contiguous(swapped[::-1])
        if side_by_side:
            lanes.convolve(rotated, dy, w, empty, dx)
        else:
            scratch, *lines = _lines(rotated)
            compiled.convolution.by_rows(dy, w, empty, dx, scratch, rotated.geometry, *lines)
        return spread
    if case.is_pointwise:
        dy, dx = _as_rows(dy), _as_rows(dx)
    length, together = _runs(dx.shape[3])
    compiled.convolution.input_gradient(
        dy, swapped, dx, case.geometry, length, together, _workers()
    )
    return spread


def conv_weight_grad(
    xp: Any,
    input: Any,
    grad: Any,
    weight_shape: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> Any:
    """``ConvWeightGrad.forward``; the memory of the result runs (taps, C, O). None where zeros of
    the padding would meet a gradient that is not finite."""
    case = _case(input.shape, weight_shape, stride, padding, dilation, groups)
    output = _weight_grad(case, input, grad)
    return output if borders.gradient_is_finite(case, grad, output) else None


def _weight_grad(case: Case, input: Any, grad: Any) -> Any:
    x, dy, workers = _pixels(input), _pixels(grad), _workers()
    groups, outputs = case.groups, case.outputs
    deep = case.channels // groups
    result = memory.empty((outputs, deep, *case.kernel), np.float32, "taps_first")
    order = (*range(2, result.ndim), 1, 0)
    dw, geometry = result.transpose(order).reshape(-1, deep, outputs), case.geometry
    taps, algorithm = dw.shape[0], _algorithm(case)
    if algorithm == "winograd":
        if winograd.weight_gradient(case, x, dy, dw):
            return result
        algorithm = "taps"
    if algorithm == "groups":
        parts = partial_sums(parts_of(case, workers, dw.size), *dw.shape)
        compiled.groups.weight_gradient(x, dy, dw, parts, geometry, workers)
    elif algorithm == "images":
        lanes.weight_gradient(case, x, dy, dw)
    elif algorithm == "rows":
        scratch, *lines = _lines(case)
        parts = partial_sums(parts_of(case, workers, dw.size), *dw.shape)
        compiled.convolution.weight_gradient_by_rows(x, dy, dw, parts, scratch, geometry, *lines)
    elif groups > 1 and taps * deep * outputs // groups <= SMALL_GROUP:
        parts = partial_sums(parts_of(case, workers, dw.size), *dw.shape)
        compiled.convolution.weight_gradient_of_groups(x, dy, dw, parts, geometry, workers)
    else:
        chunk = WIDE if case.is_pointwise else compiled.convolution.CHUNK
        pieces = taps * groups * -(-deep // chunk) * -(-outputs // groups // chunk)
        splits = 1 if pieces >= 4 * workers else min(workers, dy.size // outputs)
        splits = min(splits, max(1, PARTS // dw.nbytes))
        parts = dw[None] if splits == 1 else partial_sums(splits, *dw.shape)
        tile = min(chunk, deep) * min(chunk, outputs // groups)
        scratch = thread_rows("windows", workers, 2 * RUN * compiled.convolution.CHUNK + tile)
        compiled.convolution.weight_gradient(
            x, dy, dw, parts, scratch, geometry, 2 * RUN, chunk, workers
        )
    return result


# Arrays as the loops want them --------------------------------------------------------------------


def _pixels(array: Any) -> Any:
    """[N, C, spatial...] as [N, D, H, W, C] without gaps, copied if it does not lie so."""
    return _five(contiguous_pixels(array))


def _five(array: Any) -> Any:
    """[N, spatial..., C] with the missing spatial axes in front."""
    n, *sizes, c = array.shape
    return array.reshape(n, *(1,) * (3 - len(sizes)), *sizes, c)


def _as_rows(array: Any) -> Any:
    """All pixels in one row, since no window reaches from one to another."""
    return array.reshape(1, 1, 1, -1, array.shape[4])


def _taps(weight: Any) -> Any:
    """[O, C/groups, k...] as [taps, C/groups, O]."""
    moved = weight.transpose(*range(2, weight.ndim), 1, 0)
    return contiguous(moved).reshape(-1, weight.shape[1], weight.shape[0])


def _exchanged(w: Any, groups: int) -> Any:
    """[taps, C/groups, O] as [taps, O/groups, C]."""
    taps, deep, outputs = w.shape
    if deep == 1 and outputs == groups:
        return w
    apart = w.reshape(taps, deep, groups, outputs // groups)
    return np.ascontiguousarray(apart.transpose(0, 3, 2, 1)).reshape(taps, -1, groups * deep)


def _swapped(w: Any, kernel: Sizes) -> Any:
    """[taps, C, O] as [taps, O, C]."""
    taps, c, o = w.shape
    out = memory.scratch((taps, o, c), np.float32, "convolution.swapped")
    transposed(w, out)
    return out


def _runs(across: int) -> tuple[int, int]:
    """The length of a run of outputs in a row, and how many runs are worked on together."""
    length = min(RUN, across)
    return length, max(1, RUN // length)


@lru_cache(maxsize=512)
def _rotated(case: Case) -> Case | None:
    """The convolution of the output gradient with the rotated kernel that gives the input gradient;
    None if there is none: with a stride, or with more padding than the kernel reaches."""
    reach = zip(case.kernel, case.dilation, case.before, strict=True)
    before = tuple((k - 1) * d - p for k, d, p in reach)
    taps = math.prod(case.kernel)
    if max(case.stride) > 1 or min(before) < 0 or taps * case.outputs > WIDEST:
        return None
    return replace(
        case,
        channels=case.outputs,
        sizes=case.positions,
        outputs=case.channels,
        positions=case.sizes,
        before=before,
    )


def _lines(case: Case) -> tuple[Any, int, int]:
    """For ``by_rows``: working memory, lines of outputs in a unit of work, pixels in a line of the
    padded input."""
    most = min(LINES, three(case.positions, 1)[1])
    pixels = PADDED // (case.channels * 4)
    together, rows, width = lines_that_fit(
        case, most, lambda _, rows, width: rows * width <= pixels
    )
    return thread_rows("lines", _workers(), rows * width * case.channels), together, width


def _workers() -> int:
    return threads.get_num_threads()


@lru_cache(maxsize=512)
def _case(
    input: Sizes,
    weight: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> Case:
    positions = tuple(map(output_size, input[2:], weight[2:], stride, padding, dilation))
    before = tuple(front for front, _ in padding)
    return Case(
        input[0], input[1], input[2:], weight[0], positions, weight[2:], stride, before, dilation,
        groups,
    )  # fmt: skip
