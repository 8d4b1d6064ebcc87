"""Steps of optimisers on float32 parameters, all in one call: which of them lie as the loops want.

A kernel takes the arrays of many parameters, the numbers of their steps, and the hyper-parameters
of the group. It returns for each parameter whether it took the step; the rule of the optimiser does
the others.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_cv.backend.cpu import checking, threads
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register

__all__ = ["adam", "adamw", "register_kernels", "sgd"]

SMALLEST = 1 << 15  # numbers in all parameters; for less, NumPy is done before all are looked at

Arrays = list[list[Any]]  # for every parameter: itself, its gradient, its states
KINDS = {"parameter": True, "gradient": False, "first state": True, "second state": True}  # written


def register_kernels() -> None:
    """Enter the kernels of this file into the table."""
    for name, function, supports in (
        ("sgd", sgd, _takes_sgd),
        ("adam", adam, _takes_adam),
        ("adamw", adamw, _takes_adam),
    ):
        register(f"optim.{name}", provider="numba", priority=10, supports=supports)(function)


def _takes_sgd(params: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (options,) = attributes
    passes = 4 if options.get("momentum") else 16  # NumPy passes over memory less often
    return repays(_count(params), passes * SMALLEST)


def _takes_adam(params: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    (options,) = attributes
    return not options["amsgrad"] and repays(_count(params), SMALLEST)


def _count(params: tuple[Any, ...]) -> int:
    return sum(param.size for param in params if param.dtype == np.float32)


def sgd(xp: Any, arrays: Arrays, steps: list[int], options: Any) -> list[bool]:
    """A step of ``SGD``, the velocities being there."""
    from tinygrad_cv.backend.cpu.compiled import optim

    taken, chosen, addresses, starts = _lying(arrays)
    if any(taken):
        numbers = (
            options["lr"], options["momentum"], 1 - options["dampening"], options["weight_decay"],
            -1 if options["maximize"] else 1,
        )  # fmt: skip
        workers, nesterov = threads.get_num_threads(), int(options["nesterov"])
        with checking.behind_guards("optim.sgd", KINDS, chosen, addresses) as places:
            optim.sgd(places, starts, np.array(numbers, np.float32), nesterov, workers)
    return taken


def adam(xp: Any, arrays: Arrays, steps: list[int], options: Any) -> list[bool]:
    """A step of ``Adam`` without ``amsgrad``, the moments being there."""
    return _adam(arrays, steps, options, decoupled=False)


def adamw(xp: Any, arrays: Arrays, steps: list[int], options: Any) -> list[bool]:
    """A step of ``AdamW`` without ``amsgrad``, the moments being there."""
    return _adam(arrays, steps, options, decoupled=True)


def _adam(arrays: Arrays, steps: list[int], options: Any, decoupled: bool) -> list[bool]:
    from tinygrad_cv.backend.cpu.compiled import optim

    taken, chosen, addresses, starts = _lying(arrays)
    if any(taken):
        lr, decay, (beta1, beta2) = options["lr"], options["weight_decay"], options["betas"]
        numbers = (
            1 - beta1, beta2, 1 - beta2, options["eps"], decay, 1 - lr * decay,
            -1 if options["maximize"] else 1,
        )  # fmt: skip
        corrections = [
            (lr / (1 - beta1**step), sqrt(1 - beta2**step))
            for step, took in zip(steps, taken, strict=True)
            if took
        ]
        with checking.behind_guards("optim.adam", KINDS, chosen, addresses) as places:
            optim.adam(
                places, starts, np.array(numbers, np.float32), np.array(corrections, np.float32),
                int(decoupled), threads.get_num_threads(),
            )  # fmt: skip
    return taken


def _lying(arrays: Arrays) -> tuple[list[bool], Arrays, Any, Any]:
    """Which parameters have all their arrays dense and in one order; those, their addresses
    [kind, i], and where each begins when they are put in a row. None, if arrays share memory: one
    after the other, as the rule does it, is the only right order then."""
    taken = [_alike(kinds) for kinds in arrays]
    chosen = [kinds for kinds, took in zip(arrays, taken, strict=True) if took]
    places = [[array.__array_interface__["data"][0] for array in kinds] for kinds in chosen]
    addresses = np.array(places, np.int64).T.copy()
    sizes = np.array([kinds[0].size for kinds in chosen], np.int64)
    begin, end = addresses.reshape(-1), (addresses + 4 * sizes).reshape(-1)
    order = begin.argsort()
    if (end[order[:-1]] > begin[order[1:]]).any():
        taken = [False] * len(taken)
    return taken, chosen, addresses, np.concatenate([[0], sizes.cumsum()])


def _alike(arrays: list[Any]) -> bool:
    first = arrays[0]
    shape, strides = first.shape, first.strides
    order = _order(shape, strides)
    return order is not None and all(
        array.dtype == np.float32
        and array.shape == shape
        and (array.strides == strides or _order(shape, array.strides) == order)
        for array in arrays
    )


@lru_cache(maxsize=1024)
def _order(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """In which order an array of float32 is dense; None if it has gaps."""
    if 0 in shape:
        return ()
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    expected = 4
    for axis in sorted(axes, key=lambda axis: strides[axis]):
        if strides[axis] != expected:
            return None
        expected *= shape[axis]
    return tuple(strides[axis] for axis in axes)
