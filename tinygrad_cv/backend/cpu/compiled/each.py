"""Kernels that do the same with every number, or add up the results: from a formula of scalars, the
loop over arrays.

The loop is made as text, once for each number of arguments. Its text is that of a function without
a closure: Numba hashes what a closure holds, and a compiled formula in it would be another one in
every process, so that the machine code would never be found on disk again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend.cpu.compiled.functions import exact
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["FLOATS", "TRUTHS", "each", "summed"]

FLOATS, TRUTHS = (f"Array({dtype}, 1, 'C', readonly=True)" for dtype in ("float32", "uint8"))

# Each worker has a part of its own, whose length the loop can see.
_LOOP = """
def {name}({arrays}, out, {numbers}workers, task):
    for worker in shared(0, workers, task):
        first, last = out.size * worker // workers, out.size * (worker + 1) // workers
        {parts} = {slices}
        result = out[first:last]
        for k in range(result.size):
            result[k] = formula({values}{numbers})
"""


# Floats are added BLOCK at a time and the blocks in float64, so that the error does not grow with
# their number.
_BLOCK = 1024
_SUM = """
def {name}({arrays}, totals, {numbers}task):
    for worker in shared(0, totals.size, task):
        count, total = {first}.size, 0.0
        last = count * (worker + 1) // totals.size
        for place in range(count * worker // totals.size, last, BLOCK):
            end = min(place + BLOCK, last)
            {parts} = {slices}
            near = ZERO
            for k in range({first}_part.size):
                near += formula({values}{numbers})
            total += near
        totals[worker] = total
"""


def each(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Decorator: ``out[k] = formula(a[k], b[k], ..., numbers...)`` for all k, on several threads.

    The formula takes a number of each array, then float32 numbers; it becomes the kernel
    ``formula(a, b, ..., out, numbers..., workers)``. The arrays are of the ``kinds``.
    """
    return _made(_LOOP, kinds, ("first", "last"), "float32[::1]", ["int64"], "")


def summed(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Decorator: the sum of ``formula(a[k], b[k], ..., numbers...)`` over all k, as one number for
    each thread that is left to be added.

    It becomes the kernel ``formula_sum(a, b, ..., totals, numbers...)`` with a float64 in
    ``totals`` for each thread.
    """
    return _made(_SUM, kinds, ("place", "end"), "float64[::1]", [], "_sum")


def _made(
    text: str, kinds: Any, bounds: tuple[str, str], result: str, last: list[str], ending: str
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    def decorate(formula: Callable[..., Any]) -> Callable[..., None]:
        names = list(inspect.signature(formula).parameters)
        arrays, numbers = names[: len(kinds)], names[len(kinds) :]
        name, (start, stop) = formula.__name__ + ending, bounds
        whole = text.format(
            name=name,
            first=arrays[0],
            arrays=", ".join(arrays),
            numbers="".join(f"{n}, " for n in numbers),
            parts=", ".join(f"{n}_part" for n in arrays) + ",",
            slices=", ".join(f"{n}[{start}:{stop}]" for n in arrays) + ",",
            values="".join(f"{n}_part[k], " for n in arrays),
        )
        scope = {"__name__": formula.__module__, "shared": shared, "formula": exact(formula)}
        scope |= {"BLOCK": _BLOCK, "ZERO": np.float32(0)}
        exec(compile(whole, __file__, "exec"), scope)  # our own text only
        loop = scope[name]
        loop.__doc__ = formula.__doc__
        signature = [*kinds, result, *["float32"] * len(numbers), *last]
        return compiled(f"void({', '.join(signature)})", parallel=True)(loop)

    return decorate
