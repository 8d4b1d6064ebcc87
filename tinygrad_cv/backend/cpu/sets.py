"""Group, instance, layer and RMS normalisation of float32, and batch normalisation of memory that
runs row by row: one kernel forward and one backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.layout import contiguous_pixels
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register
from tinygrad_cv.backend.layout import contiguous
from tinygrad_cv.backend.standardise import Sets, channel_sets, trailing_sets

__all__ = ["register_kernels"]

SMALLEST = 1 << 14  # elements; below, NumPy is as fast

_NOTHING = np.zeros((0, 0), np.float32)


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for op, function in (
        ("group_norm", _group_norm),
        ("group_norm.vjp", _channels_vjp),
        ("instance_norm", _instance_norm),
        ("instance_norm.vjp", _channels_vjp),
        ("layer_norm", _layer_norm),
        ("layer_norm.vjp", _layer_norm_vjp),
        ("rms_norm", _rms_norm),
        ("rms_norm.vjp", _rms_norm_vjp),
    ):
        register(op, provider="numba", priority=10, supports=_takes)(function)


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    input = specs[0]
    return input is not None and input.dtype == np.float32 and repays(input.size, SMALLEST)


def _group_norm(xp: Any, input: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    return _forward(input, weight, bias, eps, channel_sets(input, groups))


def _instance_norm(xp: Any, input: Any, weight: Any, bias: Any, eps: float) -> Any:
    return _forward(input, weight, bias, eps, channel_sets(input, input.shape[1]))


def _layer_norm(xp: Any, input: Any, weight: Any, bias: Any, dims: int, eps: float) -> Any:
    return _forward(input, weight, bias, eps, trailing_sets(input.shape, dims))


def _rms_norm(xp: Any, input: Any, weight: Any, dims: int, eps: float) -> Any:
    sets = trailing_sets(input.shape, dims)
    output, _, square = _forward(input, weight, None, eps, sets, centred=False)
    return output, square


def _channels_vjp(
    xp: Any, g: Any, needs: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float
) -> Any:
    sets = channel_sets(input, mean.shape[1])
    return _backward(g, needs, input, weight, mean, var, eps, sets)


def _layer_norm_vjp(
    xp: Any, g: Any, needs: Any, input: Any, weight: Any, mean: Any, var: Any, dims: int, eps: float
) -> Any:
    sets = trailing_sets(input.shape, dims)
    dx, *others = _backward(g, needs, input, weight, mean, var, eps, sets)
    shape = input.shape[input.ndim - dims :]
    return dx, *(None if d is None else d.reshape(shape) for d in others)


def _rms_norm_vjp(
    xp: Any, g: Any, needs: Any, input: Any, weight: Any, square: Any, dims: int, eps: float
) -> Any:
    nothing = np.zeros_like(square)
    gradients, sets = (g[0], nothing, g[1]), trailing_sets(input.shape, dims)
    needs = (*needs, False)
    dx, dw, _ = _backward(gradients, needs, input, weight, nothing, square, eps, sets, False)
    return dx, None if dw is None else dw.reshape(input.shape[input.ndim - dims :])


def _forward(
    input: Any, weight: Any, bias: Any, eps: float, sets: Sets, centred: bool = True
) -> tuple[Any, Any, Any]:
    """Output, mean and variance."""
    from tinygrad_cv.backend.cpu.compiled import groups_last, planes

    output = memory.empty(input.shape, np.float32, sets.layout)
    mean = np.empty((sets.samples, sets.groups), np.float32)
    var, c = np.empty_like(mean), sets.groups * sets.inner
    weights, biases = _numbers(weight, c, 1), _numbers(bias, c, 0)
    workers = threads.get_num_threads()
    if sets.last:
        groups_last.standardise(
            _images(input, sets), weights, biases, eps, _parts(c, "sums"), _lines(c, 4), mean, var,
            _images(output, sets),
        )  # fmt: skip
    else:
        planes.standardise(
            _rows(input, sets), weights, biases, eps, sets.groups, centred, workers,
            mean.reshape(-1), var.reshape(-1), _rows(output, sets),
        )  # fmt: skip
    return output, mean, var


def _backward(
    g: Any, needs: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float, sets: Sets,
    centred: bool = True,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The gradients of input, weight and bias, the last two flat."""
    from tinygrad_cv.backend.cpu.compiled import groups_last, planes

    statistics = [np.ascontiguousarray(v, np.float32) for v in (mean, var, *g[1:])]
    dx = memory.empty(input.shape, np.float32, sets.layout) if needs[0] else None
    c = sets.groups * sets.inner
    dw, db = np.empty(c, np.float32), np.empty(c, np.float32)
    weights = _numbers(weight, c, 1)
    see: Callable[[Any, Sets], Any] = _images if sets.last else _rows
    x, slopes = see(input, sets), see(g[0], sets)
    room = x[:0].copy() if dx is None else see(dx, sets)
    if sets.last:
        groups_last.standardise_gradient(
            slopes, x, weights, *statistics, eps, _parts(c, "sums"), _parts(c, "parts"),
            _lines(c, 4), room, dw, db,
        )  # fmt: skip
    else:
        flat = [v.reshape(-1) for v in statistics]
        planes.standardise_gradient(
            slopes, x, weights, *flat, eps, sets.groups, centred, _lines(c, 2), _parts(c, "parts"),
            room, dw, db,
        )  # fmt: skip
    return dx, dw if needs[1] else None, db if needs[2] else None


def _rows(array: Any, sets: Sets) -> Any:
    """A set in each row, without gaps."""
    shape = (sets.samples * sets.groups, sets.inner * sets.length)
    return contiguous(array).reshape(shape)


def _images(array: Any, sets: Sets) -> Any:
    """[N, L, C] without gaps."""
    shape = (sets.samples, sets.length, sets.groups * sets.inner)
    return contiguous_pixels(array).reshape(shape)


def _numbers(values: Any, count: int, fill: float) -> Any:
    """Numbers of the channels without gaps, or ``fill`` where there are none."""
    if values is None:
        return np.full(count, fill, np.float32)
    return np.ascontiguousarray(values).reshape(-1)


def _lines(channels: int, count: int) -> Any:
    """``count`` lines of numbers of the channels for each thread."""
    shape = (threads.get_num_threads(), count, channels)
    return memory.scratch(shape, np.float32, "sets.lines")


def _parts(channels: int, name: str) -> Any:
    """Two sums per channel for each thread."""
    shape = (threads.get_num_threads(), 2, channels)
    return memory.scratch(shape, np.float64, f"sets.{name}")
