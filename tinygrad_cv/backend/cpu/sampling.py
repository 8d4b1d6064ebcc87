"""Sampling of float32 images at points, and deformable convolution, whose columns are sampled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cells import TAPS, base_places, frame
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.layout import contiguous_pixels
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous, pixels
from tinygrad_cv.backend.spec import CHANNELS_LAST

__all__ = ["deform_conv2d", "deform_conv2d_vjp", "register_kernels", "sample", "sample_vjp"]

SMALLEST = 1 << 14  # elements that are read
BLOCK = 4 << 20  # bytes of columns, or of images in the other memory order, at a time
FEWEST_ROWS = 256  # with fewer rows a matrix product is slow

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

_NONE = np.zeros((0, 0, 0), np.float32)


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for op, function, supports in (
        ("sample", sample, _takes_sample),
        ("sample.vjp", sample_vjp, _takes_sample),
        ("deform_conv2d", deform_conv2d, _takes_deform),
        ("deform_conv2d.vjp", deform_conv2d_vjp, _takes_deform),
    ):
        register(op, provider="numba", priority=10, supports=supports)(function)


def _takes_sample(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, points = specs
    if input is None or points is None:
        return False
    size = points.size // max(points.shape[-1], 1) * input.shape[1]
    return _fits(input, points) and input.ndim <= 5 and repays(size, SMALLEST)


def _takes_deform(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, offset, _, weight, *_ = specs
    if input is None or offset is None or weight is None:
        return False
    size = offset.size // 2 * input.shape[1]
    return _fits(*specs) and repays(size, SMALLEST)


def _fits(*specs: Any) -> bool:
    return all(spec is None or spec.dtype == np.float32 for spec in specs)


# Points of any image ------------------------------------------------------------------------------


def sample(
    xp: Any,
    input: Any,
    points: Any,
    mode: str,
    padding_mode: str,
    align_corners: bool,
    normalized: bool,
) -> Any:
    """``Sample.forward``."""
    from tinygrad_cv.backend.cpu.compiled import sampling

    n, c, *sizes = input.shape
    shape = (n, c, *points.shape[1:-1])
    output = memory.empty(shape, np.float32, CHANNELS_LAST)
    if not output.size:
        return output
    listed, rows = _listed(points), pixels(output).reshape(n, -1, c)
    how = _how(tuple(sizes), mode, padding_mode, align_corners, normalized)
    for block in _blocks(input):
        x = _rows(input[block])
        y = rows[block].reshape(1, -1, c)
        sampling.read(x, listed[block], _NONE, y, *how, c, *_room())
    return output


def sample_vjp(
    xp: Any,
    g: Any,
    needs: Any,
    input: Any,
    points: Any,
    mode: str,
    padding_mode: str,
    align_corners: bool,
    normalized: bool,
) -> tuple[Any, Any]:
    """``Sample.fused_vjp``."""
    from tinygrad_cv.backend.cpu.compiled import sampling

    n, c, *sizes = input.shape
    listed = _listed(points)
    how = _how(tuple(sizes), mode, padding_mode, align_corners, normalized)
    d_input = d_points = None
    if needs[0]:
        d_input = memory.empty(input.shape, np.float32, CHANNELS_LAST)
        pixels(d_input)[...] = 0
    if needs[1]:
        d_points = memory.empty(points.shape, np.float32)
        d_points[...] = 0
    if not g.size:
        return d_input, d_points
    for block in _blocks(g, input):
        gradient = _rows(g[block]).reshape(1, -1, c)
        at = listed[block]
        if d_points is not None and mode != "nearest":
            x, moved = _rows(input[block]), d_points.reshape(listed.shape)[block]
            sampling.read_points(x, at, _NONE, gradient, moved, _NONE.copy(), *how, c, *_room())
        if d_input is not None:
            step, parts = _parts(len(at), c, c)
            dx = pixels(d_input).reshape(n, -1, c)[block]
            sampling.write_back(at, _NONE, gradient, dx, parts, *how, step, *_room())
    return d_input, d_points


def _listed(points: Any) -> Any:
    """[N, ..., n] as [N, M, 1, n]."""
    n, *inner, count = points.shape
    return contiguous(points).reshape(n, math.prod(inner), 1, count)


def _rows(array: Any) -> Any:
    """[N, C, ...] as [N, positions, C] without gaps, copied if it does not lie so."""
    return contiguous_pixels(array).reshape(len(array), -1, array.shape[1])


def _blocks(*arrays: Any) -> Iterator[slice]:
    """All images at once if they lie as the loops want them, else blocks of whole images, which
    are copied."""
    count = len(arrays[0])
    step = count
    if not all(pixels(array).flags.c_contiguous for array in arrays):
        step = max(BLOCK // max(max(a.nbytes for a in arrays) // count, 1), 1)
    for low in range(0, count, step):
        yield slice(low, min(low + step, count))


@lru_cache(maxsize=256)
def _how(
    sizes: Sizes, mode: str, padding_mode: str, align_corners: bool, normalized: bool
) -> tuple[Any, Any, Any]:
    """Numbers for the loops; not to be written."""
    frames = [frame(size, align_corners, normalized) for size in sizes]
    padding = ("zeros", "border", "reflection").index(padding_mode)
    found = (
        np.array(sizes, np.int64),
        np.array(frames, np.float32),
        np.array([TAPS[mode], padding, align_corners], np.int64),
    )
    for array in found:
        array.flags.writeable = False
    return found


def _room() -> tuple[Any, Any]:
    """For each thread the pixels around a point, and their weights."""
    from tinygrad_cv.backend.cpu.compiled.sampling import MOST

    workers = threads.get_num_threads()
    return (
        memory.scratch((workers, 2 * MOST), np.int64, "sampling.places"),
        memory.scratch((workers, 7, MOST), np.float32, "sampling.weights"),
    )


def _parts(images: int, channels: int, step: int) -> tuple[int, int]:
    """(step, parts): how many channels are done together, and in how many parts those of an image
    are shared between threads."""
    parts = min(-(-threads.get_num_threads() // max(images, 1)), channels)
    fitting = [s for s in range(step, 0, -1) if step % s == 0 and channels // s >= parts]
    return fitting[0], parts


# Deformable convolution ---------------------------------------------------------------------------


def deform_conv2d(
    xp: Any,
    input: Any,
    offset: Any,
    mask: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> Any:
    """``DeformConv2d.forward``: the columns of a few thousand positions at a time, and products."""
    case = _Deform(input, offset, mask, weight, stride, padding, dilation)
    output = memory.empty((case.n, case.o, *case.positions), np.float32, CHANNELS_LAST)
    rows = pixels(output).reshape(case.n, case.length, case.o)
    matrix = case.matrix(weight)
    for images, places in case.blocks():
        columns = case.columns(images, places)
        target = _by_group(rows[images, places], case.groups)
        np.matmul(columns, matrix, out=target)
    if bias is not None:
        rows += bias
    return output


def deform_conv2d_vjp(
    xp: Any,
    g: Any,
    needs: Any,
    input: Any,
    offset: Any,
    mask: Any,
    weight: Any,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> tuple[Any, ...]:
    """``DeformConv2d.fused_vjp``."""
    from tinygrad_cv.backend.cpu.compiled import sampling

    case = _Deform(input, offset, mask, weight, stride, padding, dilation)
    rows = contiguous_pixels(g).reshape(case.n, case.length, case.o)
    turned = case.matrix(weight).swapaxes(1, 2)  # [groups, o, (k, c)]
    d_input = d_offset = d_mask = d_weight = d_bias = None
    if needs[0]:
        d_input = memory.empty(input.shape, np.float32, CHANNELS_LAST)
        pixels(d_input)[...] = 0
    if needs[1]:
        d_offset = memory.empty(offset.shape, np.float32)
    if needs[2]:
        d_mask = memory.empty(mask.shape, np.float32)
    total = np.zeros(turned.shape, np.float32)
    for images, places in case.blocks():
        gradient = _by_group(rows[images, places], case.groups)
        if needs[3]:
            total += np.matmul(gradient.swapaxes(1, 2), case.columns(images, places))
        if not (needs[0] or needs[1] or needs[2]):
            continue
        spread = case.room("gradient", gradient.shape[1])
        np.matmul(gradient, turned, out=spread)
        spread = spread.reshape(case.groups, -1, case.inner)
        points, scales = case.points(images, places), case.scales(images, places)
        if needs[1] or needs[2]:
            moved, scaled = np.empty_like(points), np.empty_like(scales)
            sampling.read_points(
                case.x[images], points, scales, spread, moved, scaled,
                *case.how, case.step, *_room(),
            )  # fmt: skip
            case.keep(d_offset, d_mask, moved, scaled, images, places)
        if d_input is not None:
            step, parts = _parts(len(points), case.c, case.step)
            dx = pixels(d_input).reshape(case.n, -1, case.c)[images]
            sampling.write_back(points, scales, spread, dx, parts, *case.how, step, *_room())
    if needs[3]:
        split = total.reshape(case.o, *weight.shape[2:], case.inner)
        d_weight = memory.empty(weight.shape, np.float32)
        d_weight[...] = split.transpose(0, 3, 1, 2)
    if needs[4]:
        d_bias = rows.sum((0, 1))
    return d_input, d_offset, d_mask, d_weight, d_bias


def _by_group(rows: Any, groups: int) -> Any:
    """[images, positions, O] as [groups, rows, O/groups]."""
    o = rows.shape[-1]
    return rows.reshape(-1, groups, o // groups).swapaxes(0, 1)


class _Deform:
    """A case: its numbers, and the columns of blocks of its positions."""

    def __init__(
        self,
        input: Any,
        offset: Any,
        mask: Any,
        weight: Any,
        stride: Sizes,
        padding: Pairs,
        dilation: Sizes,
    ) -> None:
        self.n, self.c = input.shape[:2]
        self.o, self.inner, *kernel = weight.shape
        self.taps = math.prod(kernel)
        self.positions = offset.shape[2:]
        self.length = math.prod(self.positions)
        self.groups = self.c // self.inner
        self.each = offset.shape[1] // (2 * self.taps)
        self.step = math.gcd(self.inner, self.c // self.each)
        self.how = _how(input.shape[2:], "bilinear", "zeros", False, False)
        self.x = _rows(input)
        self.moves = offset.reshape(self.n, self.each, self.taps, 2, self.length)
        self.mask = mask
        geometry = (self.positions, tuple(kernel), stride, padding, dilation)
        down, across = base_places(np, *geometry, np.float32)
        shape = (self.taps, *self.positions)
        self.base = tuple(
            np.broadcast_to(axis, shape).reshape(self.taps, self.length).T
            for axis in (across, down)
        )

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """(images, positions): whole images together, or parts of one."""
        most = max(BLOCK // (4 * self.taps * self.c), FEWEST_ROWS)
        together = max(most // max(self.length, 1), 1)
        for low in range(0, self.n, together):
            images = slice(low, min(low + together, self.n))
            for first in range(0, self.length, most if together == 1 else self.length):
                last = min(first + most, self.length) if together == 1 else self.length
                yield images, slice(first, last)

    def room(self, name: str, rows: int) -> Any:
        """Working memory for columns [groups, rows, taps * C/groups]."""
        shape = (self.groups, rows, self.taps * self.inner)
        return memory.scratch(shape, np.float32, f"sampling.{name}")

    def matrix(self, weight: Any) -> Any:
        """The weights as [groups, (tap, c), o]."""
        split = weight.reshape(self.groups, -1, self.inner, self.taps)
        lines = np.ascontiguousarray(split.transpose(0, 3, 2, 1))
        return lines.reshape(self.groups, self.taps * self.inner, -1)

    def points(self, images: slice, places: slice) -> Any:
        """[images, positions * taps, D, 2] in (x, y)."""
        moves = self.moves[images, ..., places]  # [images, D, taps, 2, positions]
        shape = (len(moves), moves.shape[-1], self.taps, self.each, 2)
        points = np.empty(shape, np.float32)
        for axis, base in enumerate(self.base):
            np.add(
                moves[:, :, :, 1 - axis].transpose(0, 3, 2, 1),
                base[places, :, None],
                out=points[..., axis],
            )
        return points.reshape(len(moves), -1, self.each, 2)

    def scales(self, images: slice, places: slice) -> Any:
        """[images, positions * taps, D] of the mask; nothing without one."""
        if self.mask is None:
            return _NONE.copy()
        split = self.mask.reshape(self.n, self.each, self.taps, self.length)[images, ..., places]
        lines = np.ascontiguousarray(split.transpose(0, 3, 2, 1))
        return lines.reshape(len(split), -1, self.each)

    def columns(self, images: slice, places: slice) -> Any:
        """What the taps read, [groups, rows, taps * C/groups]."""
        from tinygrad_cv.backend.cpu.compiled import sampling

        points = self.points(images, places)
        found = self.room("columns", len(points) * (points.shape[1] // self.taps))
        flat = found.reshape(self.groups, -1, self.inner)
        sampling.read(
            self.x[images], points, self.scales(images, places), flat,
            *self.how, self.step, *_room(),
        )  # fmt: skip
        return found

    def keep(
        self, offset: Any, mask: Any, moved: Any, scaled: Any, images: slice, places: slice
    ) -> None:
        """Write the gradients of a block of points and masks to where their inputs lie."""
        shape = (len(moved), -1, self.taps, self.each)
        if offset is not None:
            split = offset.reshape(self.moves.shape)[images, ..., places]
            split[...] = moved.reshape(*shape, 2)[..., ::-1].transpose(0, 3, 2, 4, 1)
        if mask is not None:
            split = mask.reshape(self.n, self.each, self.taps, self.length)[images, ..., places]
            split[...] = scaled.reshape(shape).transpose(0, 3, 2, 1)
