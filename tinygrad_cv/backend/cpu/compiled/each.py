"""Kernels that do the same with every number: from a formula of scalars, the loop over arrays.

The loop is made as text, once for each number of arguments. Its text is that of a function without
a closure: Numba hashes what a closure holds, and a compiled formula in it would be another one in
every process, so that the machine code would never be found on disk again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_cv.backend.cpu.compiled.functions import exact
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["FLOATS", "TRUTHS", "each"]

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


def each(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Decorator: ``out[k] = formula(a[k], b[k], ..., numbers...)`` for all k, on several threads.

    The formula takes a number of each array, then float32 numbers; it becomes the kernel
    ``formula(a, b, ..., out, numbers..., workers)``. The arrays are of the ``kinds``.
    """

    def decorate(formula: Callable[..., Any]) -> Callable[..., None]:
        names = list(inspect.signature(formula).parameters)
        arrays, numbers = names[: len(kinds)], names[len(kinds) :]
        text = _LOOP.format(
            name=formula.__name__,
            arrays=", ".join(arrays),
            numbers="".join(f"{n}, " for n in numbers),
            parts=", ".join(f"{n}_part" for n in arrays) + ",",
            slices=", ".join(f"{n}[first:last]" for n in arrays) + ",",
            values="".join(f"{n}_part[k], " for n in arrays),
        )
        scope = {"__name__": formula.__module__, "shared": shared, "formula": exact(formula)}
        exec(compile(text, __file__, "exec"), scope)  # our own text only
        loop = scope[formula.__name__]
        loop.__doc__ = formula.__doc__
        signature = [*kinds, "float32[::1]", *["float32"] * len(numbers), "int64"]
        return compiled(f"void({', '.join(signature)})", parallel=True)(loop)

    return decorate
