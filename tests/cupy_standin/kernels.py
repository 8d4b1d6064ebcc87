"""Kernels written in CUDA C: their parameters are checked here, their work is done by NumPy.

For each kernel of the package, by name, `REFERENCES` says in Python what its C text does. That the
C text does the same is shown by the test that compiles it for the CPU.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cupy as real
import numpy as np

from tests.cupy_standin import state
from tests.cupy_standin.arrays import StandInError, ndarray, unwrap, wrap

__all__ = ["REFERENCES", "ElementwiseKernel", "Parameter", "parameters"]


class Parameter(NamedTuple):
    """One parameter of a kernel, such as `raw T rows`."""

    name: str
    kind: str  # a dtype name, or one letter that stands for any
    raw: bool


def parameters(text: str) -> list[Parameter]:
    """The parameters of a list such as "T x, raw int64 order"."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        *words, kind, name = part.split()
        if words not in ([], ["raw"]) or name in ("i", "n") or name.startswith("_"):
            raise ValueError(f"Syntax error: {part}")  # or a name that CuPy keeps for itself
        if len(kind) > 1:
            np.dtype(kind)
        found.append(Parameter(name, kind, bool(words)))
    return found


class ElementwiseKernel:
    """`cupy.ElementwiseKernel`: types, shapes and the size of the loop as CuPy decides them."""

    def __init__(
        self,
        in_params: str,
        out_params: str,
        operation: str,
        name: str = "kernel",
        **options: Any,
    ) -> None:
        text = inspect.cleandoc(real.ElementwiseKernel.__doc__).split("\n")[0]
        unknown = [o for o in options if not re.search(rf"\b{o}=", text)]
        if unknown:
            raise TypeError(f"cupy.ElementwiseKernel takes no argument {unknown}")
        self.inputs, self.outputs = parameters(in_params), parameters(out_params)
        self.operation, self.name = operation, name
        if name not in REFERENCES:
            raise StandInError(f"REFERENCES has no kernel {name}")

    def __call__(self, *args: Any, size: int | None = None, block_size: int = 128) -> Any:
        declared = self.inputs + self.outputs
        if len(args) not in (len(self.inputs), len(declared)):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        letters: dict[str, np.dtype[Any]] = {}
        for parameter, value in zip(declared, args, strict=False):
            if isinstance(value, ndarray):
                wanted = (
                    np.dtype(parameter.kind)
                    if len(parameter.kind) > 1
                    else letters.setdefault(parameter.kind, value.dtype)
                )
                if value.dtype != wanted:
                    raise TypeError(f"Type is mismatched. {parameter.name} {value.dtype} {wanted}")
            elif parameter.raw or not isinstance(value, (bool, int, float, np.generic)):
                raise TypeError(f"Unsupported type {type(value)} for {parameter.name}")
        loop = [
            value.shape
            for parameter, value in zip(declared, args, strict=False)
            if isinstance(value, ndarray) and not parameter.raw
        ]
        if bool(loop) == (size is not None):
            raise ValueError("Loop size is undecided, or given twice")
        shape = np.broadcast_shapes(*loop) if loop else (size,)
        outs = list(args[len(self.inputs) :])
        if not outs:
            if any(p.raw for p in self.outputs):
                raise ValueError("Output array size is Undecided")
            fresh = [
                np.empty(shape, p.kind if len(p.kind) > 1 else letters[p.kind])
                for p in self.outputs
            ]
            outs = [wrap(array) for array in fresh]
        elif any(o.shape != shape for o, p in zip(outs, self.outputs, strict=True) if not p.raw):
            raise ValueError("Out shape is mismatched")
        state.counts.launches += 1
        REFERENCES[self.name](*unwrap(args[: len(self.inputs)]), *unwrap(outs))
        return outs[0] if len(outs) == 1 else tuple(outs)


def _sum_rows(
    rows: np.ndarray, order: np.ndarray, bounds: np.ndarray, width: int, total: np.ndarray
) -> None:
    for place in range(len(total)):
        total[place] = rows[order[bounds[place] : bounds[place + 1]]].sum(0, initial=0)


def _windows(
    channels: int, sizes: Any, counts: Any, geometry: Any
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, tuple[int, ...]]]]]:
    """Every window with its taps: (position, [(tap, pixel), ...])."""
    kernel, stride, before, dilation = geometry
    for position in np.ndindex(*counts):
        taps = []
        for tap, offset in enumerate(np.ndindex(*kernel)):
            pixel = tuple(
                p * s + o * d - b
                for p, s, o, d, b in zip(position, stride, offset, dilation, before, strict=True)
            )
            if all(0 <= i < size for i, size in zip(pixel, sizes, strict=True)):
                taps.append((tap, pixel))
        yield position, taps


def _geometry(numbers: Sequence[int]) -> tuple[Any, Any, Any]:
    sizes, counts, *geometry = (tuple(numbers[k : k + 3]) for k in range(0, 18, 3))
    return sizes, counts, geometry


def _spatial(array: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The array with three spatial axes: a view."""
    missing = 5 - array.ndim
    return array[(slice(None), slice(None), *(None,) * missing)]


def _max_pool(x: np.ndarray, *numbers: Any) -> None:
    *numbers, y, winners = numbers
    channels, last = numbers[5], numbers[-1]
    sizes, counts, geometry = _geometry(numbers[6:-1])
    x, y, winners = (_spatial(array, sizes) for array in (x, y, winners))
    assert x.shape[1:] == (channels, *sizes)
    assert y.shape[1:] == (channels, *counts)
    assert last == (not y.flags.c_contiguous)
    for position, taps in _windows(channels, sizes, counts, geometry):
        best, winner = None, np.zeros(x.shape[:2], np.uint8)
        for tap, pixel in taps:
            value = x[(slice(None), slice(None), *pixel)]
            if best is None:
                best, winner[:] = value.copy(), tap
                continue
            better = (value > best) | np.isnan(value)
            best[better], winner[better] = value[better], tap
        y[(slice(None), slice(None), *position)] = best
        winners[(slice(None), slice(None), *position)] = winner


def _max_pool_scatter(g: np.ndarray, *numbers: Any) -> None:
    *numbers, last, y = numbers
    winners, channels = numbers[5], numbers[11]
    sizes, counts, geometry = _geometry(numbers[12:])
    g, winners, y = (_spatial(array, sizes) for array in (g, winners, y))
    assert y.shape[1:] == (channels, *sizes)
    assert g.shape[1:] == winners.shape[1:] == (channels, *counts)
    assert last == (not y.flags.c_contiguous)
    y[...] = 0
    for position, taps in _windows(channels, sizes, counts, geometry):
        here = (slice(None), slice(None), *position)
        for tap, pixel in taps:
            y[(slice(None), slice(None), *pixel)] += np.where(winners[here] == tap, g[here], 0)


REFERENCES: dict[str, Callable[..., None]] = {
    "tinygrad_cv_sum_rows": _sum_rows,
    "tinygrad_cv_max_pool": _max_pool,
    "tinygrad_cv_max_pool_scatter": _max_pool_scatter,
}
