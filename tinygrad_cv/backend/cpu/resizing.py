"""Resizing of float32 images, and its adjoint, in either memory order."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous, pixels
from tinygrad_cv.backend.resizing import Axis, table_of
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["register_kernels", "resize", "resize_grad"]

SMALLEST = 1 << 15  # elements of input and output together


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("resize", provider="numba", priority=10, supports=_takes)(resize)
    register("resize_grad", provider="numba", priority=10, supports=_takes)(resize_grad)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (array,), (axes,) = specs, attributes
    images = math.prod(array.shape[:2])
    size = images * (math.prod(a.size for a in axes) + math.prod(a.out for a in axes))
    return array.dtype == np.float32 and 1 <= len(axes) <= 3 and repays(size, SMALLEST)


def resize(xp: Any, input: Any, axes: tuple[Axis, ...]) -> Any:
    """``Resize.forward``."""
    return _resized(input, axes, False)


def resize_grad(xp: Any, grad: Any, axes: tuple[Axis, ...]) -> Any:
    """``ResizeGrad.forward``."""
    return _resized(grad, axes, True)


def _resized(array: Any, axes: tuple[Axis, ...], back: bool) -> Any:
    from tinygrad_cv.backend.cpu.compiled import resizing

    n, c = array.shape[:2]
    old = tuple(a.out if back else a.size for a in axes)
    new = tuple(a.size if back else a.out for a in axes)
    lies = layout_of(array)
    output = memory.empty((n, c, *new), np.float32, lies)
    if not output.size:
        return output
    if lies == CHANNELS_LAST:
        x, y, inner = pixels(array), pixels(output), c
    else:
        x, y, inner = contiguous(array), output, 1
    sizes, starts, places, weights, most = _links(axes, back)
    rows, workers = x.reshape(-1, old[-1] * inner), threads.get_num_threads()
    resizing.resize(
        rows,
        y.reshape(-1, new[-1] * inner),
        starts,
        places,
        weights,
        sizes,
        memory.scratch((workers, rows.shape[1]), np.float32, "resizing.line"),
        memory.scratch((workers, most), np.int64, "resizing.rows"),
        memory.scratch((workers, most), np.float32, "resizing.weights"),
    )
    return output


@lru_cache(maxsize=256)
def _links(axes: tuple[Axis, ...], back: bool) -> tuple[Any, ...]:
    """The sizes that the loop wants to know, and the links of three axes in one list; not to be
    written."""
    three = (Axis(1, 1, "nearest"),) * (3 - len(axes)) + axes
    tables = [table_of(axis, "float32", back) for axis in three]
    ends, starts = 0, [np.zeros(1, np.int64)]
    for table in tables:
        starts.append(table.starts[1:] + ends)
        ends += len(table.index)
    old = [a.out if back else a.size for a in three]
    new = [a.size if back else a.out for a in three]
    counts = set(np.diff(tables[-1].starts).tolist())
    alike = counts.pop() if len(counts) == 1 else 0
    found = (
        np.array([*old[:2], *new, alike], np.int64),
        np.concatenate(starts),
        np.concatenate([table.index for table in tables]),
        np.concatenate([table.weights for table in tables]),
    )
    for array in found:
        array.flags.writeable = False
    longest = [int(np.diff(table.starts).max(initial=1)) for table in tables[:2]]
    return *found, math.prod(longest)
