"""Cross-entropy of large float32 scores with integer labels, one kernel in each direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.labels import counted_only, reduced, shares
from tinygrad_cv.backend.select import keep
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["cross_entropy", "cross_entropy_vjp", "register_kernels"]

SMALLEST = 1 << 15  # scores; below, NumPy is as fast
FEWEST = 16  # pixels of a row-major image; fewer do not fill vectors


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("cross_entropy", provider="numba", priority=10, supports=_takes)(cross_entropy)
    register("cross_entropy.vjp", provider="numba", priority=10, supports=_takes)(cross_entropy_vjp)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input, smoothing = specs[0], attributes[-1]
    return (
        input.dtype == np.float32
        and (_has_rows(input) or math.prod(input.shape[2:]) >= FEWEST)
        and not smoothing
        and repays(input.size, SMALLEST)
    )


def cross_entropy(
    xp: Any,
    input: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Any, ...]:
    """``CrossEntropy.forward`` without smoothing."""
    from tinygrad_cv.backend.cpu.compiled import loss as kernels
    from tinygrad_cv.backend.cpu.compiled.softmax import PLACES

    label, share, even = shares(np, "cross_entropy", input, target, weight, ignore_index, reduction)
    lse, loss = np.empty((2, *label.shape), np.float32)
    workers = threads.get_num_threads()
    if _has_rows(input):
        labels = np.ascontiguousarray(label).reshape(-1)
        kernels.cross_entropy(_rows(input), labels, lse.reshape(-1), loss.reshape(-1), workers)
    else:
        near = memory.scratch((workers, 2, PLACES), np.float32, "loss.near")
        labels = _flat(label, 1)
        kernels.cross_entropy_planes(
            _flat(input, 2), labels, _flat(lse, 1), _flat(loss, 1), near, workers
        )
    loss = counted_only(np, share * loss, even)
    return reduced(np, loss, share, target, reduction), label, share, even, lse


def cross_entropy_vjp(
    xp: Any, g: Any, needs: Any, input: Any, label: Any, share: Any, even: Any, lse: Any
) -> tuple[Any, ...]:
    """``CrossEntropy.fused_vjp`` without smoothing."""
    from tinygrad_cv.backend.cpu.compiled import loss as kernels

    slopes = np.broadcast_to(g.reshape(label.shape) if g.ndim else g, label.shape)
    mass = keep(np, slopes, even != 0) * share
    dx = memory.empty(input.shape, np.float32, layout_of(input))
    workers = threads.get_num_threads()
    if _has_rows(input):
        flat = [np.ascontiguousarray(a).reshape(-1) for a in (label, lse, mass)]
        kernels.cross_entropy_gradient(_rows(input), *flat, _rows(dx), workers)
    else:
        maps = [_flat(a, 1) for a in (label, lse, mass)]
        kernels.cross_entropy_planes_gradient(_flat(input, 2), *maps, _flat(dx, 2), workers)
    return dx, None, None


def _has_rows(input: Any) -> bool:
    """True if the scores of a position lie side by side."""
    return layout_of(input) == CHANNELS_LAST or math.prod(input.shape[2:]) == 1


def _flat(array: Any, axes: int) -> Any:
    """[N, C, d...] as [N, C, P], or [N, 1, d...] as [N, P]: a view, if its memory is row-major."""
    return np.ascontiguousarray(array).reshape(*array.shape[:axes], -1)


def _rows(array: Any) -> Any:
    """[N, C, d...] as rows [N d..., C]: a view, if its memory is channels-last."""
    moved = array.transpose(0, *range(2, array.ndim), 1)
    return np.ascontiguousarray(moved.reshape(-1, array.shape[1]))
