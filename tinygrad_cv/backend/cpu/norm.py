"""Batch normalisation of float32, one kernel forward and one backward for each memory order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of

__all__ = ["batch_norm", "batch_norm_eval", "batch_norm_vjp", "register_kernels"]

SMALLEST = 1 << 16  # elements; below, NumPy is as fast
SHORT = 8  # pixels of a channel; runs of fewer leave the vector instructions idle

_NONE = np.zeros(0, np.float32)


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    register("batch_norm", provider="numba", priority=10, supports=_takes)(batch_norm)
    register("batch_norm_eval", provider="numba", priority=10, supports=_takes)(batch_norm_eval)
    register("batch_norm.vjp", provider="numba", priority=10, supports=_takes)(batch_norm_vjp)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input = specs[0]
    return input is not None and input.dtype == np.float32 and repays(input.size, SMALLEST)


def batch_norm(xp: Any, input: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    """``BatchNorm.forward``: output, mean and biased variance."""
    from tinygrad_cv.backend.cpu.compiled import norm, planes

    output, c = memory.empty(input.shape, np.float32, layout_of(input)), input.shape[1]
    mean, var = np.empty(c, np.float32), np.empty(c, np.float32)
    if _in_planes(input):
        numbers = _filled(weight, c, 1), _filled(bias, c, 0)
        workers = threads.get_num_threads()
        planes.batch_norm(_planes(input), *numbers, eps, workers, mean, var, _planes(output))
    else:
        norm.batch_norm(
            _rows(input), _channels(weight), _channels(bias), eps, *_room(c), mean, var,
            _rows(output),
        )  # fmt: skip
    return output, mean, var


def batch_norm_eval(
    xp: Any, input: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float
) -> Any:
    """``BatchNormEval.forward``."""
    from tinygrad_cv.backend.cpu.compiled import norm, planes

    scale = 1 / np.sqrt(var.astype(np.float64) + eps)
    if weight is not None:
        scale = scale * weight
    offset = np.zeros(mean.shape) if bias is None else bias
    output = memory.empty(input.shape, np.float32, layout_of(input))
    single = [np.ascontiguousarray(v, np.float32) for v in (mean, scale, offset)]
    workers = threads.get_num_threads()
    if _in_planes(input):
        planes.affine(_planes(input), *single, _planes(output), workers)
    else:
        norm.affine(_rows(input), *single, _rows(output), workers)
    return output


def batch_norm_vjp(
    xp: Any, g: Any, needs: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float
) -> tuple[Any, ...]:
    """``BatchNorm.fused_vjp``."""
    from tinygrad_cv.backend.cpu.compiled import norm, planes

    gy, g_mean, g_var = g
    see = _planes if _in_planes(input) else _rows
    x, gradient, c = see(input), see(gy), input.shape[1]
    dx = memory.empty(input.shape, np.float32, layout_of(input)) if needs[0] else None
    dw, db = np.empty(c, np.float32), np.empty(c, np.float32)
    room = x[:0].copy() if dx is None else see(dx)
    statistics = mean, var, _channels(g_mean), _channels(g_var)
    if see is _planes:
        planes.batch_norm_gradient(
            gradient, x, _filled(weight, c, 1), *statistics, eps, threads.get_num_threads(), room,
            dw, db,
        )  # fmt: skip
    else:
        norm.batch_norm_gradient(
            gradient, x, _channels(weight), *statistics, eps, *_room(c), room, dw, db
        )
    return dx, dw if needs[1] else None, db if needs[2] else None


def _channels(values: Any) -> Any:
    """Numbers of the channels without gaps; none, where there are none."""
    return _NONE if values is None else np.ascontiguousarray(values)


def _filled(values: Any, count: int, fill: float) -> Any:
    """Numbers of the channels without gaps, or ``fill``."""
    return np.full(count, fill, np.float32) if values is None else np.ascontiguousarray(values)


def _in_planes(input: Any) -> bool:
    """True if the pixels of a channel lie next to each other."""
    return layout_of(input) != CHANNELS_LAST and math.prod(input.shape[2:]) != 1


def _planes(array: Any) -> Any:
    """[N, C, L] without gaps: a view, if memory runs row by row."""
    return contiguous(array).reshape(*array.shape[:2], math.prod(array.shape[2:]))


def _rows(array: Any) -> Any:
    """[N, C, spatial...] as [rows, C] without gaps: a view, if its memory is channels-last."""
    moved = array.transpose(0, *range(2, array.ndim), 1)
    return contiguous(moved).reshape(-1, array.shape[1])


def _room(channels: int) -> tuple[Any, Any]:
    """For the sums of each thread, and for the numbers of the channels that follow from them."""
    parts = (threads.get_num_threads(), 2, channels)
    return memory.scratch(parts, np.float64, "norm.parts"), np.empty((3, channels), np.float32)
