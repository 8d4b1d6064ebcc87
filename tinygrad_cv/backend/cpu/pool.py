"""Max and average pooling of float32 in channels-last memory: cases, memory, and lists of pixels.

The compiled loops do not know about kernels and strides. They follow lists of which pixels belong
to which windows along each axis, made here from the geometry that the reference uses too, and kept.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import sums, threads
from tinygrad_cv.backend.cpu.layout import NARROW, contiguous_pixels, reordered
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous, pixels
from tinygrad_cv.backend.pooling import Counts, divide, window_counts, winner_positions
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, layout_of
from tinygrad_cv.backend.windows import Geometry, first_pixels, output_size, windows

__all__ = [
    "adaptive_avg_pool",
    "adaptive_avg_pool_input_grad",
    "adaptive_max_pool",
    "avg_pool",
    "avg_pool_input_grad",
    "max_pool",
    "max_pool_scatter",
    "register_kernels",
]

SMALLEST = 1 << 16  # elements of input; for less, loading the compiler would never pay
FEW = 4  # channels from which on average pooling is quicker than NumPy's
OVERLAP = 16  # windows that a pixel may be in: with more, one axis after the other is less work

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for op, function, supports in (
        ("max_pool", max_pool, _takes_pool),
        ("max_pool_scatter", max_pool_scatter, _takes_scatter),
        ("avg_pool", avg_pool, _takes_means),
        ("avg_pool_input_grad", avg_pool_input_grad, _takes_means_grad),
        ("adaptive_max_pool", adaptive_max_pool, _takes_adaptive_max),
        ("adaptive_avg_pool", adaptive_avg_pool, _takes_adaptive),
        ("adaptive_avg_pool_input_grad", adaptive_avg_pool_input_grad, _takes_adaptive_grad),
    ):
        register(op, provider="numba", priority=10, supports=supports)(function)


# What is served -----------------------------------------------------------------------------------


def _takes_pool(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (kernel, *_) = specs, attributes
    return math.prod(kernel) <= 256 and _takes(input, input.shape)  # taps are numbered in a byte


def _takes_scatter(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (grad, argmax), (shape, *_) = specs, attributes
    alike = argmax.dtype == np.uint8 and argmax.shape == grad.shape and argmax.ndim == len(shape)
    if alike and argmax.layout == CONTIGUOUS and math.prod(argmax.shape[2:]) > 1:
        return grad.dtype == np.float32 and repays(math.prod(shape), SMALLEST)
    return alike and _takes(argmax._replace(dtype=grad.dtype), shape)


def _takes_means(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (kernel, stride, *_) = specs, attributes
    return _is_quick(kernel, stride, input.shape) and _takes(input, input.shape)


def _takes_means_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (grad,), (shape, kernel, stride, *_) = specs, attributes
    return _is_quick(kernel, stride, shape) and _takes(grad, shape)


def _is_quick(kernel: Sizes, stride: Sizes, shape: Sizes) -> bool:
    """NumPy adds along one axis after the other, which pays for few channels and wide windows."""
    return shape[1] >= FEW and math.prod(kernel) <= OVERLAP * math.prod(stride)


def _takes_adaptive_max(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (input,), (positions,) = specs, attributes
    widest = (size // count + 2 for size, count in zip(input.shape[2:], positions, strict=True))
    return math.prod(widest) <= 256 and _takes(input, input.shape)


def _takes_adaptive(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _takes(specs[0], specs[0].shape)


def _takes_adaptive_grad(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    return _takes(specs[0], attributes[0])


def _takes(array: Any, shape: Sizes) -> bool:
    """``shape`` is that of the pixels. One channel, or one position, lies in both orders; other
    row-major images are copied into channels-last memory, and the result back, if their channels
    fill a vector."""
    trivial = array.shape[1] == 1 or (array.shape != shape and math.prod(array.shape[2:]) == 1)
    return (
        array.dtype == np.float32
        and (array.layout == CHANNELS_LAST or trivial or array.shape[1] >= NARROW)
        and array.shape[:2] == shape[:2]
        and array.ndim == len(shape) <= 5
        and repays(math.prod(shape), SMALLEST)
    )


# The operators ------------------------------------------------------------------------------------


def max_pool(
    xp: Any,
    input: Any,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    ceil_mode: bool,
) -> tuple[Any, Any]:
    """``MaxPool.forward``: the values, and the number of the tap that each of them came from."""
    positions = _positions(input, kernel_size, stride, padding, dilation, ceil_mode)
    geometry = Geometry(input.shape[2:], positions, kernel_size, stride, padding, dilation)
    return _maxima(input, geometry)


def adaptive_max_pool(xp: Any, input: Any, output_size: Sizes) -> tuple[Any, Any, Any]:
    """``AdaptiveMaxPool.forward``: the values, where they are in the plane, and their taps."""
    geometry = Geometry(input.shape[2:], tuple(output_size))
    output, argmax = _maxima(input, geometry)
    return output, winner_positions(np, argmax, geometry), argmax


def _maxima(input: Any, geometry: Geometry) -> tuple[Any, Any]:
    from tinygrad_cv.backend.cpu.compiled import pool

    shape = input.shape[:2] + geometry.positions
    output = memory.empty(shape, np.float32, CHANNELS_LAST)
    argmax = memory.empty(shape, np.uint8, CHANNELS_LAST)
    lists = _lists(geometry, input.shape[1], back=False)
    pool.maxima(_five(input), _five(output), _five(argmax), *lists)
    return _in_order_of(input, output), _in_order_of(input, argmax)


def max_pool_scatter(
    xp: Any,
    grad: Any,
    argmax: Any,
    input_shape: Sizes,
    kernel_size: Sizes | None,
    stride: Sizes | None,
    padding: Pairs | None,
    dilation: Sizes | None,
) -> Any:
    """``MaxPoolScatter.forward``."""
    from tinygrad_cv.backend.cpu.compiled import pool

    geometry = Geometry(input_shape[2:], grad.shape[2:], kernel_size, stride, padding, dilation)
    if argmax.flags.c_contiguous and math.prod(argmax.shape[2:]) > 1 and _all_see(geometry):
        return _scattered(contiguous(grad), argmax, input_shape, geometry)
    spread = memory.empty(input_shape, np.float32, CHANNELS_LAST)
    arrays = _five(grad), _five(argmax), _five(spread)
    apart = kernel_size is not None and _are_apart(geometry)
    lists = _lists(geometry, input_shape[1], back=not apart)
    if apart:
        pool.placed(*arrays, *lists, int(_cover(geometry)))
    else:
        pool.winners(*arrays, *lists)
    return _in_order_of(argmax, spread)


def _scattered(grad: Any, argmax: Any, shape: Sizes, geometry: Geometry) -> Any:
    """The same in memory that runs row by row."""
    from tinygrad_cv.backend.cpu.compiled import pool_planes

    spread, workers = memory.empty(shape, np.float32), threads.get_num_threads()
    if grad.size:
        planes = [array.reshape(math.prod(shape[:2]), -1) for array in (grad, argmax, spread)]
        pool_planes.scatter(*planes, *_winners(geometry), workers)
    return spread


def avg_pool(
    xp: Any,
    input: Any,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    """``AvgPool.forward``."""
    near = (1,) * len(kernel_size)
    positions = _positions(input, kernel_size, stride, padding, near, ceil_mode)
    geometry = Geometry(input.shape[2:], positions, kernel_size, stride, padding, near)
    return _means(input, geometry, window_counts(geometry, count_include_pad, divisor))


def avg_pool_input_grad(
    xp: Any,
    grad: Any,
    input_shape: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    """``AvgPoolInputGrad.forward``."""
    near = (1,) * len(kernel_size)
    geometry = Geometry(input_shape[2:], grad.shape[2:], kernel_size, stride, padding, near)
    return _spread(grad, geometry, window_counts(geometry, count_include_pad, divisor))


def adaptive_avg_pool(xp: Any, input: Any, output_size: Sizes) -> Any:
    """``AdaptiveAvgPool.forward``. Where the pixels of a channel lie side by side, their mean is
    that of a row."""
    if set(output_size) == {1} and input.size and input.flags.c_contiguous:
        return sums.mean(np, input, tuple(range(2, input.ndim)), True)
    geometry = Geometry(input.shape[2:], tuple(output_size))
    return _means(input, geometry, window_counts(geometry))


def adaptive_avg_pool_input_grad(xp: Any, grad: Any, input_shape: Sizes) -> Any:
    """``AdaptiveAvgPoolInputGrad.forward``."""
    geometry = Geometry(input_shape[2:], grad.shape[2:])
    return _spread(grad, geometry, window_counts(geometry))


def _means(input: Any, geometry: Geometry, counts: Counts) -> Any:
    """The sum of every window, divided by its count."""
    from tinygrad_cv.backend.cpu.compiled import pool

    output = memory.empty((*input.shape[:2], *geometry.positions), np.float32, CHANNELS_LAST)
    divisors = _per_axis(counts, geometry.positions)
    lists = _lists(geometry, input.shape[1], back=False)
    pool.sums(_five(input), _five(output), divisors, *lists)
    return _in_order_of(input, output)


def _spread(grad: Any, geometry: Geometry, counts: Counts) -> Any:
    """For every pixel, the sum over its windows of the value divided by the count. The values are
    divided first: there are fewer of them than pixels, mostly."""
    from tinygrad_cv.backend.cpu.compiled import pool

    g = contiguous_pixels(grad)
    divided = memory.empty(g.shape, np.float32)
    divide(np, g, divided, counts, 1)
    spread = memory.empty(grad.shape[:2] + geometry.sizes, np.float32, CHANNELS_LAST)
    lists = _lists(geometry, grad.shape[1], back=True)
    pool.sums(_spaced(divided), _five(spread), _per_axis([1], geometry.sizes), *lists)
    return _in_order_of(grad, spread)


# Arrays and lists as the loops want them ----------------------------------------------------------


def _lists(geometry: Geometry, channels: int, back: bool) -> tuple[Any, Any, Any]:
    """What the loops follow, and room for each thread to join the lists of two axes."""
    starts, links, most = _linked(geometry, channels, back)
    return starts, links, memory.scratch((threads.get_num_threads(), most, 2), np.int64, "pool.row")


def _are_apart(geometry: Any) -> bool:
    """True if no pixel is in two windows of this kernel."""
    axes = zip(geometry.kernel, geometry.stride, geometry.dilation, strict=True)
    return all(stride > (size - 1) * dilation for size, stride, dilation in axes)


def _cover(geometry: Any) -> bool:
    """True if windows that are apart contain every pixel."""
    axes = zip(geometry.sizes, geometry.positions, geometry.kernel, geometry.padding, strict=True)
    return (
        all(size == count * width and before == 0 for size, count, width, (before, _) in axes)
        and geometry.stride == geometry.kernel
    )


@lru_cache(maxsize=256)
def _all_see(geometry: Geometry) -> bool:
    """True if every window has a pixel."""
    return all(
        len({p for pieces in taps for _, at in pieces for p in range(at.start, at.stop)}) == count
        for taps, count in zip(windows(geometry), geometry.positions, strict=True)
    )


@lru_cache(maxsize=256)
def _winners(geometry: Geometry) -> tuple[Any, Any]:
    """Where every window starts in a plane, in the padding too, and where its taps are from there;
    not to be written."""
    starts, offsets = np.zeros(1, np.int32), np.zeros(1, np.int32)
    dilation = geometry.dilation or (1,) * len(geometry.sizes)
    axes = zip(geometry.sizes, first_pixels(geometry), windows(geometry), dilation, strict=True)
    for size, firsts, taps, step in axes:
        lines = starts[:, None] * size, offsets[:, None] * size
        starts = (lines[0] + np.array(firsts, np.int32)).reshape(-1)
        offsets = (lines[1] + np.arange(len(taps), dtype=np.int32) * step).reshape(-1)
    found = starts, np.resize(offsets, 256)  # whatever byte a tap is
    for array in found:
        array.flags.writeable = False
    return found


@lru_cache(maxsize=256)
def _linked(geometry: Geometry, channels: int, back: bool) -> tuple[Any, Any, int]:
    """The pixels of every window, or ``back`` the windows of every pixel, along three axes; and how
    many a target has at most on the first two together."""
    missing = 3 - len(geometry.sizes)
    sizes = (1,) * missing + geometry.sizes
    positions = (1,) * missing + geometry.positions
    taps: list[Any] = [[[(slice(0, 1), slice(0, 1))]]] * missing + windows(geometry)
    targets, sources = (sizes, positions) if back else (positions, sizes)
    starts, links, longest = [0], [], []
    for axis in range(3):
        found: list[list[tuple[int, int]]] = [[] for _ in range(targets[axis])]
        step = math.prod(sources[axis + 1 :]) * channels
        number = math.prod(len(other) for other in taps[axis + 1 :])
        for tap, pieces in enumerate(taps[axis]):
            for into, at in pieces:
                for pixel, window in zip(
                    range(*into.indices(sizes[axis])), range(at.start, at.stop), strict=True
                ):
                    target, source = (pixel, window) if back else (window, pixel)
                    found[target].append((source * step, tap * number))
        longest.append(max(map(len, found)))
        for items in found:
            links += items
            starts.append(len(links))
    links.append((0, 0))  # so that the first link of a window without any can be read
    arrays = np.array(starts, np.int64), np.array(links, np.int64)
    for array in arrays:
        array.flags.writeable = False  # they are shared
    return *arrays, max(longest[0] * longest[1], 1)


def _per_axis(counts: Counts, targets: Sizes) -> Any:
    """One factor of the count for every target of three axes."""
    numbers = [np.ones(1, np.float32)] * (3 - len(targets))
    numbers += [np.ones(size, np.float32) for size in targets]
    if len(counts) == len(targets):
        for axis, count in zip(numbers[-len(targets) :], counts, strict=True):
            axis[:] = count
    else:
        numbers[-1][:] = math.prod(counts)
    return np.concatenate(numbers)


def _five(array: Any) -> Any:
    """[N, C, spatial...] as [N, D, H, W, C] without gaps, copied if it does not lie so."""
    view = pixels(array)
    return _spaced(view if view.flags.c_contiguous else contiguous_pixels(array))


def _in_order_of(source: Any, array: Any) -> Any:
    """The array, made in channels-last memory, in the order of ``source``. One pixel per channel
    is in both; then the array stays."""
    if layout_of(source) == CHANNELS_LAST or math.prod(source.shape[2:]) == 1:
        return array
    return reordered(array, CONTIGUOUS)


def _spaced(array: Any) -> Any:
    """[N, spatial..., C] with the missing spatial axes in front."""
    n, *sizes, c = array.shape
    return array.reshape(n, *(1,) * (3 - len(sizes)), *sizes, c)


def _positions(
    input: Any, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    axes = zip(input.shape[2:], kernel, stride, padding, dilation, strict=True)
    return tuple(output_size(*axis, ceil_mode) for axis in axes)
