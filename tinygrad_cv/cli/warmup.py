"""``tinygrad-cv warmup``: compile every kernel ahead, so that no program waits for it."""

from __future__ import annotations

import sys
import time

from tinygrad_cv.backend.cpu import cache, compiling
from tinygrad_cv.errors import BackendError

__all__ = ["warmup"]


def warmup(clean: bool = False) -> list[str]:
    """Compile all kernels, with a line for each; returns the names of those that failed. With
    ``clean`` what is kept for other versions is deleted first.

    Raises:
        BackendError: Numba cannot be used.

    >>> warmup()  # doctest: +SKIP
    [ 1/30] convolution.by_taps                      3.98 s  compiled
    ...
    """
    if not compiling.usable():
        raise BackendError(
            "warmup",
            "there is nothing to compile: Numba is not installed, or cannot be used here",
            repair="Install it: pip install 'tinygrad-cv[fast]'; `tinygrad-cv doctor` says more.",
        )
    if clean:
        others = cache.of_other_versions()
        for folder in others:
            cache.clear(folder)
        print(f"{len(others)} folders of other versions deleted")
    # Routines first: the first kernel that calls one would compile it, and count its time.
    kernels = sorted(compiling.kernels(), key=lambda k: not isinstance(k, compiling.Routine))
    failed = []
    width, digits = max(len(kernel.name) for kernel in kernels), len(str(len(kernels)))
    from_cache, start = 0, time.perf_counter()
    for number, kernel in enumerate(kernels, 1):
        before, problem = time.perf_counter(), None
        try:
            found = kernel.compile()
            from_cache += found
            how = "from the cache" if found else "compiled"
        except Exception as error:  # the others may still be compiled
            how = "failed"
            problem = f"{type(error).__name__}: {error}"
            failed.append(kernel.name)
        seconds = time.perf_counter() - before
        counter = f"[{number:{digits}}/{len(kernels)}]"
        print(f"{counter} {kernel.name:<{width}} {seconds:7.2f} s  {how}", flush=True)
        if problem:
            print(f"{kernel.name}: {problem}", file=sys.stderr)
    made = len(kernels) - from_cache - len(failed)
    kept = sum(kernel.is_kept() for kernel in kernels)
    print(
        f"{len(kernels)} kernels in {time.perf_counter() - start:.1f} s: {made} compiled, "
        f"{from_cache} from the cache, {len(failed)} failed"
    )
    if kept < len(kernels) - len(failed):
        print("They could not all be kept: `tinygrad-cv doctor` says why.", file=sys.stderr)
    return failed
