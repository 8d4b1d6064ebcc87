"""Winograd's convolution in float32: which form and which order of work serves a case, and the
memory of its kernels.

The form is the one that multiplies least for the size of the image. What decides on the order is
whether the transformed weights, or their gradient, fit a cache beside the tiles.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.case import Case, Sizes, parts_of, thread_rows, three

__all__ = ["convolve", "fits", "weight_gradient"]

LINE = 16  # floats of a cache line: rows of two threads do not share one
DEEP = 32  # channels from which on the products at stride 2 are worth their transforms
FEWEST = 16  # tiles at stride 2; for fewer, making the weights costs more than the products save
CACHE = 700 << 10  # bytes of the level-2 cache that the tiles of a thread may fill
SHARED = 10 << 20  # bytes of the level-3 cache that the tiles of all threads may fill
WEIGHTS = 8 << 20  # bytes of transformed weights that are kept whole
MOST = 36  # points of U, in the largest form
PRIVATE = 5 << 19  # bytes of their gradient that each thread may have alone


def fits(case: Case) -> bool:
    """True if the tiles of Winograd's algorithm fit the outputs well enough to save products."""
    (rows, across), deep = case.positions[-2:], case.channels // case.groups
    u = three(case.kernel, 1)[0] * MOST * deep * case.outputs * 4
    if case.groups > 1 and u > WEIGHTS:
        return False  # groups need U whole
    if case.stride[-2:] == (1, 1):
        return min(rows, across) >= 2
    if case.stride[-2:] != (2, 2) or min(deep, case.outputs) < DEEP or case.groups > 1:
        return False
    return -(-rows // 4) * -(-across // 4) * 81 <= rows * across * 7


def convolve(case: Case, x: Any, w: Any, bias: Any, y: Any, backward: bool) -> bool:
    """y [N, D, P, Q, O] of x [N, D, H, W, C] and w [taps, C, O]; with ``backward`` the input
    gradient y of x and w [taps, O, C]. Returns False if y is to be computed directly: not all of it
    is finite, or the tiles are few."""
    from tinygrad_cv.backend.cpu.compiled import forms, winograd

    form, before, skipped, tiles = _tiling(case, backward)
    if form == forms.APART and tiles < FEWEST:
        return False
    products = forms.FORMS[form].by_m
    c, o, taps, workers = x.shape[4], y.shape[4], w.shape[0], threads.get_num_threads()
    w, depth = w.reshape(taps // 9, 3, 3, *w.shape[1:]), taps // 9
    points_v, points, points_m = _points(form)
    per_tile = 4 * (points_v * c + points_m * o)
    tile = max(forms.IN[form] ** 2 * c, forms.OUT[form] ** 2 * o)
    spoilt = np.zeros((workers, LINE), np.float32)
    deep = c // case.groups
    if depth * points * deep * o * 4 <= WEIGHTS:
        block = max(6, min(96, CACHE // per_tile // 6 * 6, -(-tiles // workers)))
        u = memory.scratch((depth, points, deep, o), np.float32, "winograd.weights")
        winograd.weights(
            form, w, u, thread_rows("transposed", workers, winograd.TRANSPOSED), int(backward)
        )
        room = _room(points_v, block, c) + _room(points_m, block, o) + tile
        scratch = thread_rows("winograd", workers, room)
        winograd.blocks(
            form, products, x, u, bias, y, scratch, spoilt, *before, *skipped, block
        )  # fmt: skip
        return not spoilt.any()
    block = min(tiles, max(32, SHARED // per_tile))
    vs, ms = _tiles("v", points_v, block, c), _tiles("m", points_m, block, o)
    piece = points * (winograd.CHUNK**2 + 16) + winograd.TRANSPOSED
    scratch = thread_rows("winograd", workers, max(piece, tile))
    across = max(1, min(workers, -(-o // winograd.CHUNK)))
    winograd.stationary(
        form, products, x, w, bias, y, vs, ms, scratch, spoilt, int(backward), *before, *skipped,
        block, across,
    )  # fmt: skip
    return not spoilt.any()


def weight_gradient(case: Case, x: Any, dy: Any, dw: Any) -> bool:
    """dw [taps, C, O] of x [N, D, H, W, C] and dy [N, D, P, Q, O]. Returns as ``convolve``."""
    from tinygrad_cv.backend.cpu.compiled import forms, winograd, winograd_weights

    form, before, _, tiles = _tiling(case, backward=False)
    products = forms.FORMS[form].by_u
    (taps, deep, o), workers, chunk = dw.shape, threads.get_num_threads(), winograd.CHUNK
    dw, depth, c = dw.reshape(taps // 9, 3, 3, deep, o), taps // 9, x.shape[4]
    points_v, points, points_m = _points(form)
    per_tile = 4 * (points_v * c + points_m * o)
    tile = max(forms.IN[form] ** 2 * c, forms.OUT[form] ** 2 * o)
    size, spoilt = depth * points * deep * o * 4, np.zeros((workers, LINE), np.float32)
    if size <= PRIVATE or case.groups > 1:
        block = max(6, min(96, CACHE // per_tile // 6 * 6, -(-tiles // workers)))
        parts = parts_of(case, workers, size // 4)
        du = memory.scratch((parts, depth, points, deep, o), np.float32, "winograd.weights")
        room = _room(points_v, block, c) + _room(points_m, block, o) + tile
        scratch = thread_rows("winograd", workers, room)
        winograd_weights.private(form, products, x, dy, dw, du, scratch, spoilt, *before, block)
        return not spoilt.any()
    block = min(tiles, max(32, SHARED // per_tile))
    vs, ms = _tiles("v", points_v, block, c), _tiles("m", points_m, block, o)
    scratch = thread_rows("winograd", workers, max(points * (chunk * chunk + 16) + 9 * chunk, tile))
    winograd_weights.stationary(form, products, x, dy, dw, vs, ms, scratch, spoilt, *before, block)
    return not spoilt.any()


def _tiling(case: Case, backward: bool) -> tuple[int, Sizes, Sizes, int]:
    """The form; how far the first tile begins before the first pixel, in depth, height and width,
    and before the first output, in height and width; the number of tiles. With ``backward`` those
    of the input gradient."""
    from tinygrad_cv.backend.cpu.compiled import forms

    sizes = case.sizes if backward else case.positions
    planes, *lines = three(sizes, 1)
    kernel, (front, *before) = three(case.kernel, 1), three(case.before)
    front = kernel[0] - 1 - front if backward else front
    skipped, choice = (0, 0), (forms.NEAR4, forms.NEAR2)
    if case.stride[-1] == 1:
        before = [2 - p for p in before] if backward else before
    else:
        choice = (forms.SPREAD if backward else forms.APART,) * 2
        if backward:  # a tile begins with a pixel that the middle tap meets
            skipped = ((before[0] + 1) % 2, (before[1] + 1) % 2)
            before = [(1 - p + s) // 2 for p, s in zip(before, skipped, strict=True)]
    counts = {
        form: case.images * planes * math.prod(
            -(-(size + s) // forms.OUT[form]) for size, s in zip(lines, skipped, strict=True)
        )
        for form in choice
    }  # fmt: skip
    form = min(choice, key=lambda form: len(forms.FORMS[form].by_m) * counts[form])
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
