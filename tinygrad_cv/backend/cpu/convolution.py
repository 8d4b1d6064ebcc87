"""Convolution and its gradients in float32: which compiled loop serves a case, and its memory.

Four algorithms share the work: depthwise for one channel per group; Winograd for 3x3 kernels at
stride 1 or 2 with enough channels; one product per tap where the channels make it long enough; one
per line of outputs for the rest. All read and write channels-last memory. Weights are fastest if
their own memory runs (taps, C, O), as that of the layers does; others are copied.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.compiling import usable
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous_pixels
from tinygrad_cv.backend.precision import get_convolution_precision
from tinygrad_cv.backend.windows import output_size

__all__ = ["conv", "conv_input_grad", "conv_weight_grad", "register_kernels"]

SMALLEST = 1 << 20  # multiplications; below, loading the compiler would never pay
DEEP = 16  # channels from which on one product per tap, or a tile of Winograd's, is worth while
FEWEST = 16  # tiles at stride 2; for fewer, making the weights costs more than the products save
WIDEST = 4096  # floats of a window that is read as a whole
CACHE = 700 << 10  # bytes of the level-2 cache that the tiles of a thread may fill
SHARED = 10 << 20  # bytes of the level-3 cache that the tiles of all threads may fill
WEIGHTS = 8 << 20  # bytes of transformed weights that are kept whole
PRIVATE = 5 << 18  # bytes of their gradient that each thread may have alone
WHOLE = 3 << 20  # bytes of their gradient that are kept whole
RUN = 96  # outputs that are worked on together
LINES = 16  # lines of outputs for which the input is padded together

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class Case(NamedTuple):
    """A convolution of ``images`` x ``sizes`` x ``channels`` to ``outputs``, gradients included."""

    images: int
    channels: int
    sizes: Sizes
    outputs: int
    positions: Sizes
    kernel: Sizes
    stride: Sizes
    before: Sizes
    dilation: Sizes
    groups: int

    @property
    def multiplications(self) -> int:
        taps, places = math.prod(self.kernel), self.images * math.prod(self.positions)
        return places * self.outputs * self.channels // self.groups * taps


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
    positions = _positions(input.shape, weight.shape, *attributes[:3])
    return _takes(_case(input.shape, weight.shape, positions, *attributes), *specs)


def _takes_input_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    grad, weight = specs
    shape, *options = attributes
    return _takes(_case(shape, weight.shape, grad.shape[2:], *options), grad, weight)


def _takes_weight_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, grad = specs
    shape, *options = attributes
    return _takes(_case(input.shape, shape, grad.shape[2:], *options), input, grad)


def _takes(case: Case, *specs: Any) -> bool:
    return (
        all(spec is None or spec.dtype == np.float32 for spec in specs)
        and len(case.sizes) <= 3
        and case.multiplications >= max(SMALLEST, 1)
        and _algorithm(case) is not None
        and usable()
    )


def _algorithm(case: Case) -> str | None:
    deep, wide = case.channels // case.groups, case.outputs // case.groups
    if case.groups == case.channels == case.outputs > 1:
        return "depthwise"
    if case.groups > 1:
        return "taps" if min(deep, wide) >= DEEP // 2 else None
    near = case.kernel[-2:] == (3, 3) and {1, *case.stride[:-2], *case.dilation} == {1}
    if near and min(deep, wide) >= DEEP and _few_products(case):
        coarse = get_convolution_precision() == "fast" and max(case.before[-2:]) <= 2
        return "winograd" if coarse else "taps"
    if deep >= DEEP:
        return "taps"
    return "rows" if math.prod(case.kernel) * deep <= WIDEST else None


def _few_products(case: Case) -> bool:
    """True if the tiles of Winograd's algorithm fit the outputs well enough to save products."""
    rows, across = case.positions[-2:]
    if case.stride[-2:] == (1, 1):
        return min(rows, across) >= 2
    if case.stride[-2:] != (2, 2) or min(case.channels, case.outputs) < 2 * DEEP:
        return False
    return -(-rows // 4) * -(-across // 4) * 81 <= rows * across * 7


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
    """``Conv.forward``."""
    positions = _positions(input.shape, weight.shape, stride, padding, dilation)
    case = _case(input.shape, weight.shape, positions, stride, padding, dilation, groups)
    x, w = _pixels(input), _taps(weight)
    b = np.zeros(0, np.float32) if bias is None else np.ascontiguousarray(bias)
    output = memory.empty((case.images, *positions, case.outputs), np.float32)
    y, algorithm = _five(output), _algorithm(case)
    if algorithm == "winograd":
        if _winograd(case, x, w, b, y, turn=False):
            return _channels_second(output)
        algorithm = "taps"
    if algorithm == "depthwise":
        from tinygrad_cv.backend.cpu.compiled import depthwise

        depthwise.depthwise(x, w[:, 0], b, y, _geometry(case), _workers())
    elif algorithm == "taps":
        from tinygrad_cv.backend.cpu.compiled import convolution

        if _is_pointwise(case):
            x, y = _as_rows(x), _as_rows(y)
        length, together = _runs(y.shape[3])
        convolution.by_taps(x, w, b, y, _geometry(case), length, together, _workers())
    else:
        from tinygrad_cv.backend.cpu.compiled import convolution

        scratch, *lines = _lines(case)
        convolution.by_rows(x, w, b, y, scratch, _geometry(case), *lines)
    return _channels_second(output)


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
    """``ConvInputGrad.forward``."""
    case = _case(input_shape, weight.shape, grad.shape[2:], stride, padding, dilation, groups)
    dy, w = _pixels(grad), _taps(weight)
    spread = memory.empty((case.images, *case.sizes, case.channels), np.float32)
    dx, algorithm = _five(spread), _algorithm(case)
    if algorithm == "depthwise":
        from tinygrad_cv.backend.cpu.compiled import depthwise

        depthwise.input_gradient(dy, w[:, 0], dx, _geometry(case), _workers())
        return _channels_second(spread)
    if algorithm == "winograd" and _winograd(case, dy, w, np.zeros(0, np.float32), dx, turn=True):
        return _channels_second(spread)
    swapped = _swapped(w, case.kernel)
    from tinygrad_cv.backend.cpu.compiled import convolution

    turned = _turned(case)
    if algorithm == "rows" and turned is not None:
        (scratch, *lines), empty = _lines(turned), np.zeros(0, np.float32)
        w = np.ascontiguousarray(swapped[::-1])
        convolution.by_rows(dy, w, empty, dx, scratch, _geometry(turned), *lines)
        return _channels_second(spread)
    if _is_pointwise(case):
        dy, dx = _as_rows(dy), _as_rows(dx)
    length, together = _runs(dx.shape[3])
    convolution.input_gradient(dy, swapped, dx, _geometry(case), length, together, _workers())
    return _channels_second(spread)


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
    """``ConvWeightGrad.forward``; the memory of the result runs (taps, C, O)."""
    case = _case(input.shape, weight_shape, grad.shape[2:], stride, padding, dilation, groups)
    x, dy, workers = _pixels(input), _pixels(grad), _workers()
    deep, outputs = case.channels // groups, case.outputs
    result = memory.empty((*case.kernel, deep, outputs), np.float32)
    dw, geometry = result.reshape(-1, deep, outputs), _geometry(case)
    taps, algorithm = dw.shape[0], _algorithm(case)
    if algorithm == "winograd":
        if _winograd_weight_gradient(case, x, dy, dw):
            return result.transpose(-1, -2, *range(len(case.kernel)))
        algorithm = "taps"
    if algorithm == "depthwise":
        from tinygrad_cv.backend.cpu.compiled import depthwise

        parts = _parts(workers, taps, outputs)
        depthwise.weight_gradient(x, dy, dw[:, 0], parts, geometry)
    elif algorithm == "rows":
        from tinygrad_cv.backend.cpu.compiled import convolution

        (scratch, *lines), parts = _lines(case), _parts(workers, *dw.shape)
        convolution.weight_gradient_by_rows(x, dy, dw, parts, scratch, geometry, *lines)
    else:
        from tinygrad_cv.backend.cpu.compiled import convolution

        chunk = convolution.CHUNK
        pieces = taps * groups * -(-deep // chunk) * -(-outputs // groups // chunk)
        splits = 1 if pieces >= 4 * workers else min(workers, dy.size // outputs)
        parts = _parts(splits, *dw.shape)
        scratch = _scratch("windows", workers, 2 * RUN * chunk)
        convolution.weight_gradient(x, dy, dw, parts, scratch, geometry, 2 * RUN, workers)
    return result.transpose(-1, -2, *range(len(case.kernel)))


# Winograd -----------------------------------------------------------------------------------------


def _winograd(case: Case, x: Any, w: Any, bias: Any, y: Any, turn: bool) -> bool:
    """y [N, D, P, Q, O] of x [N, D, H, W, C] and w [taps, C, O]; with ``turn`` the input gradient y
    of x and w [taps, O, C]. Returns False if y is to be computed directly: not all of it is finite,
    or the tiles are few."""
    from tinygrad_cv.backend.cpu.compiled import forms, winograd

    form, before, skipped, tiles = _tiling(case, turn)
    if form == forms.APART and tiles < FEWEST:
        return False
    products = forms.FORMS[form].by_target(2)
    c, o, taps, workers = x.shape[4], y.shape[4], w.shape[0], _workers()
    w, depth = w.reshape(taps // 9, 3, 3, *w.shape[1:]), taps // 9
    points_v, points, points_m = _points(form)
    per_tile = 4 * (points_v * c + points_m * o)
    tile = max(forms.IN[form] ** 2 * c, forms.OUT[form] ** 2 * o)
    spoilt = np.zeros(workers, np.float32)
    if depth * points * c * o * 4 <= WEIGHTS:
        block = max(6, min(96, CACHE // per_tile // 6 * 6, -(-tiles // workers)))
        u = memory.scratch((depth, points, c, o), np.float32, "winograd.weights")
        winograd.weights(form, w, u, _scratch("turned", workers, winograd.TURNED), int(turn))
        room = _room(points_v, block, c) + _room(points_m, block, o) + tile
        scratch = _scratch("winograd", workers, room)
        winograd.blocks(
            form, products, x, u, bias, y, scratch, spoilt, *before, *skipped, block
        )  # fmt: skip
        return not spoilt.any()
    block = min(tiles, max(32, SHARED // per_tile))
    vs, ms = _tiles("v", points_v, block, c), _tiles("m", points_m, block, o)
    piece = points * (winograd.CHUNK**2 + 16) + winograd.TURNED
    scratch = _scratch("winograd", workers, max(piece, tile))
    across = max(1, min(workers, -(-o // winograd.CHUNK)))
    winograd.stationary(
        form, products, x, w, bias, y, vs, ms, scratch, spoilt, int(turn), *before, *skipped, block,
        across,
    )  # fmt: skip
    return not spoilt.any()


def _winograd_weight_gradient(case: Case, x: Any, dy: Any, dw: Any) -> bool:
    """dw [taps, C, O] of x [N, D, H, W, C] and dy [N, D, P, Q, O]. Returns as ``_winograd``."""
    from tinygrad_cv.backend.cpu.compiled import forms, winograd, winograd_weights

    form, before, _, tiles = _tiling(case, turn=False)
    products = forms.FORMS[form].by_target(1)
    (taps, c, o), workers, chunk = dw.shape, _workers(), winograd.CHUNK
    dw, depth = dw.reshape(taps // 9, 3, 3, c, o), taps // 9
    points_v, points, points_m = _points(form)
    per_tile = 4 * (points_v * c + points_m * o)
    tile = max(forms.IN[form] ** 2 * c, forms.OUT[form] ** 2 * o)
    size, spoilt = depth * points * c * o * 4, np.zeros(workers, np.float32)
    if size <= PRIVATE:
        block = max(6, min(96, CACHE // per_tile // 6 * 6, -(-tiles // workers)))
        du = memory.scratch((workers, depth, points, c, o), np.float32, "winograd.weights")
        room = _room(points_v, block, c) + _room(points_m, block, o) + tile
        scratch = _scratch("winograd", workers, room)
        winograd_weights.private(form, products, x, dy, dw, du, scratch, spoilt, *before, block)
        return not spoilt.any()
    block = min(tiles, max(32, (4 * CACHE if size <= WHOLE else SHARED) // per_tile))
    vs, ms = _tiles("v", points_v, block, c), _tiles("m", points_m, block, o)
    if size <= WHOLE:
        du = memory.scratch((depth, points, c, o), np.float32, "winograd.weights")
        scratch = _scratch("winograd", workers, tile)
        winograd_weights.shared(
            form, products, x, dy, dw, du, vs, ms, scratch, spoilt, *before, block
        )  # fmt: skip
        return not spoilt.any()
    scratch = _scratch("winograd", workers, max(points * (chunk * chunk + 16) + 9 * chunk, tile))
    winograd_weights.stationary(form, products, x, dy, dw, vs, ms, scratch, spoilt, *before, block)
    return not spoilt.any()


def _tiling(case: Case, turn: bool) -> tuple[int, Sizes, Sizes, int]:
    """The form; how far the first tile begins before the first pixel, in depth, height and width,
    and before the first output, in height and width; the number of tiles. With ``turn`` those of
    the input gradient."""
    from tinygrad_cv.backend.cpu.compiled import forms

    sizes = case.sizes if turn else case.positions
    planes, *lines = _three(sizes, 1)
    kernel, (front, *before) = _three(case.kernel, 1), _three(case.before)
    front = kernel[0] - 1 - front if turn else front
    skipped, choice = (0, 0), (forms.NEAR4, forms.NEAR2)
    if case.stride[-1] == 1:
        before = [2 - p for p in before] if turn else before
    else:
        choice = (forms.SPREAD if turn else forms.APART,) * 2
        if turn:  # a tile begins with a pixel that the middle tap meets
            skipped = ((before[0] + 1) % 2, (before[1] + 1) % 2)
            before = [(1 - p + s) // 2 for p, s in zip(before, skipped, strict=True)]
    counts = {
        form: case.images * planes * math.prod(
            -(-(size + s) // forms.OUT[form]) for size, s in zip(lines, skipped, strict=True)
        )
        for form in choice
    }  # fmt: skip
    form = min(choice, key=lambda form: len(forms.FORMS[form].products) * counts[form])
    return form, (front, *before), skipped, counts[form]


def _points(form: int) -> tuple[int, int, int]:
    """Of V, U and M."""
    from tinygrad_cv.backend.cpu.compiled import forms

    return forms.V_SIDE[form] ** 2, forms.U_SIDE[form] ** 2, forms.M_SIDE[form] ** 2


def _room(points: int, block: int, channels: int) -> int:
    """Floats of ``block`` transformed tiles, with a gap after each point."""
    return points * (block * (channels + 16) + 16)


def _tiles(name: str, points: int, block: int, channels: int) -> Any:
    """Room for ``block`` transformed tiles."""
    return memory.scratch((_room(points, block, channels),), np.float32, f"winograd.{name}")


# Arrays as the loops want them --------------------------------------------------------------------


def _pixels(array: Any) -> Any:
    """[N, C, spatial...] as [N, D, H, W, C] without gaps, copied if it does not lie so."""
    return _five(contiguous_pixels(np, array))


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
    return np.ascontiguousarray(moved).reshape(-1, weight.shape[1], weight.shape[0])


def _swapped(w: Any, kernel: Sizes) -> Any:
    """[taps, C, O] as [taps, O, C]."""
    from tinygrad_cv.backend.cpu.compiled import winograd

    taps, c, o = w.shape
    out = memory.scratch((taps, o, c), np.float32, "convolution.swapped")
    winograd.turned(w.reshape(taps, 1, c, o), out.reshape(taps, 1, o, c), _workers())
    return out


def _channels_second(array: Any) -> Any:
    return array.transpose(0, array.ndim - 1, *range(1, array.ndim - 1))


def _geometry(case: Case) -> Any:
    """Kernel, stride, padding before and dilation for three axes, then the groups."""
    lists = (case.kernel, 1), (case.stride, 1), (case.before, 0), (case.dilation, 1)
    numbers = [number for values, fill in lists for number in _three(values, fill)]
    return np.array([*numbers, case.groups], np.int64)


def _three(values: Sizes, fill: int = 0) -> Sizes:
    """Numbers of the last axes, with those of the missing axes in front."""
    return (fill,) * (3 - len(values)) + values


def _is_pointwise(case: Case) -> bool:
    """True if every output is made of the pixel in its place."""
    return math.prod(case.kernel) == max(case.stride) == 1 and case.sizes == case.positions


def _runs(across: int) -> tuple[int, int]:
    """The length of a run of outputs in a row, and how many runs are worked on together."""
    length = min(RUN, across)
    return length, max(1, RUN // length)


def _turned(case: Case) -> Case | None:
    """The convolution of the output gradient with the turned kernel that gives the input gradient;
    None if there is none: with a stride, or with more padding than the kernel reaches."""
    reach = zip(case.kernel, case.dilation, case.before, strict=True)
    before = tuple((k - 1) * d - p for k, d, p in reach)
    taps = math.prod(case.kernel)
    if max(case.stride) > 1 or min(before) < 0 or taps * case.outputs > WIDEST:
        return None
    return case._replace(
        channels=case.outputs, sizes=case.positions, outputs=case.channels, positions=case.sizes,
        before=before,
    )  # fmt: skip


def _lines(case: Case) -> tuple[Any, int, int]:
    """For ``by_rows``: working memory, lines of outputs in a unit of work, pixels in a line of the
    padded input."""
    kernel, stride = _three(case.kernel, 1), _three(case.stride, 1)
    dilation, positions = _three(case.dilation, 1), _three(case.positions, 1)
    rows, width = (
        (count - 1) * s + (k - 1) * d + 1
        for count, s, k, d in zip(
            (min(LINES, positions[1]), positions[2]), stride[1:], kernel[1:], dilation[1:],
            strict=True,
        )
    )  # fmt: skip
    width = max(width, case.before[-1] + 1)
    scratch = _scratch("lines", _workers(), rows * width * case.channels)
    return scratch, min(LINES, positions[1]), width


def _scratch(name: str, workers: int, floats: int) -> Any:
    """A row of working memory for each thread."""
    return memory.scratch((workers, -(-floats // 16) * 16), np.float32, f"convolution.{name}")


def _parts(*shape: int) -> Any:
    """Room for sums of each thread, which are added up at the end."""
    return memory.scratch(shape, np.float32, "convolution.parts")


def _workers() -> int:
    return threads.get_num_threads()


def _positions(
    input: Sizes, weight: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> Sizes:
    return tuple(map(output_size, input[2:], weight[2:], stride, padding, dilation))


def _case(
    input: Sizes,
    weight: Sizes,
    positions: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> Case:
    before = tuple(front for front, _ in padding)
    return Case(
        input[0], input[1], input[2:], weight[0], positions, weight[2:], stride, before, dilation,
        groups,
    )  # fmt: skip
