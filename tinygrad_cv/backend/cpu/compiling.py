"""Compiling a kernel with Numba when it is first used, and keeping the result on disk."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_cv.backend.cpu import cache, checking, threads

__all__ = ["Compiled", "compiled", "kernels", "usable"]

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(after_in_child=_renew_lock)


@functools.cache
def usable() -> bool:
    """True if Numba can compile: an installed Numba may be too old for this NumPy, or told not
    to."""
    try:
        import numba
    except ImportError:
        return False
    return not numba.config.DISABLE_JIT


class Compiled:
    """A kernel: a function, the one signature that it is compiled for, and what Numba made."""

    def __init__(self, function: Callable[..., None], signature: str, parallel: bool) -> None:
        self.function, self.signature, self.parallel = function, signature, parallel
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.made: Callable[..., None] | None = None

    def compile(self) -> bool:
        """Get ready without running. True if the machine code was there, False if it was made."""
        with _lock:
            if self.made is not None:
                return True
            made, found = _compile(self)
            if checking.ON:
                writes = [getattr(k, "mutable", False) for k in made.nopython_signatures[0].args]
                self.made = checking.checked(self.name, self.function, made, writes)
            else:
                self.made = made
            return found

    def ready(self) -> Callable[..., None]:
        """What to call, compiled if need be."""
        self.compile()
        assert self.made is not None
        return self.made

    def is_kept(self) -> bool:
        """True if the machine code lies in the cache on disk."""
        place = cache.place(self.name)
        return place is not None and cache.is_sealed(place)


_KERNELS: list[Compiled] = []

# Only `prange` runs on several threads. Two loops in a row must stay two: Numba does not see what
# is written at addresses, and would let a thread go on to the second before the others have
# finished the first.
_LOOPS = {
    "prange": True,
    "fusion": False,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
}


def compiled(
    signature: str, parallel: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: compile the function for exactly this signature at its first call.

    It runs without the interpreter lock, on one thread or with ``parallel`` its ``prange`` loops on
    several. Sums may be reordered, but not and infinity are kept. The machine code lies in the
    user's cache directory, under a name that changes with the source of any kernel.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        kernel = Compiled(function, signature, parallel)
        _KERNELS.append(kernel)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            made = kernel.made or kernel.ready()
            if parallel:
                with threads.parallel_region():
                    made(*args)
            else:
                made(*args)

        return call

    return decorate


def kernels() -> list[Compiled]:
    """The compiled kernels of all families of this package, in order of their names."""
    package = importlib.import_module(__package__)
    for module in pkgutil.walk_packages(package.__path__, f"{__package__}."):
        importlib.import_module(module.name)
    ours = (k for k in _KERNELS if k.function.__module__.startswith(f"{__package__}."))
    return sorted(ours, key=lambda kernel: kernel.name)


def _compile(kernel: Compiled) -> tuple[Any, bool]:
    """What Numba made, and whether it came from the disk."""
    from numba.core.errors import NumbaError

    if kernel.parallel:
        threads.layer()
    place = cache.place(kernel.name)
    with _progress(kernel.name):
        if place is not None:
            try:
                return _with_cache(kernel, place)
            except NumbaError:  # a fault of the kernel, not of the disk
                raise
            except Exception:  # what is not a cache can raise anything when it is unpickled
                cache.clear(place)
        return _with_numba(kernel, None)


def _with_cache(kernel: Compiled, place: Path) -> tuple[Any, bool]:
    if cache.is_sealed(place):
        with cache.readable(place) as folder:
            made, found = _with_numba(kernel, folder)
        if found:
            return made, found
    else:
        cache.clear(place)
        if not cache.is_writable(place):
            return _with_numba(kernel, None)
        made, found = _with_numba(kernel, place)
    with contextlib.suppress(OSError):
        cache.seal(place)
    return made, found


def _with_numba(kernel: Compiled, folder: Path | None) -> tuple[Any, bool]:
    import numba

    before = numba.config.CACHE_DIR, numba.config.BOUNDSCHECK
    try:
        if folder is not None:
            numba.config.CACHE_DIR = str(folder)
        if checking.ON:  # in the functions that the kernel calls, too
            numba.config.BOUNDSCHECK = 1
        made = numba.njit(
            kernel.signature,
            nogil=True,
            # An error in a loop that runs on several threads would be lost.
            parallel=dict(_LOOPS) if kernel.parallel and not checking.ON else False,
            cache=folder is not None,
            error_model="numpy",
            fastmath={"contract", "reassoc", "nsz", "arcp"},
        )(kernel.function)
    finally:
        numba.config.CACHE_DIR, numba.config.BOUNDSCHECK = before
    return made, bool(made.stats.cache_hits)


@contextmanager
def _progress(name: str) -> Iterator[None]:
    """One line on a terminal while a kernel is compiled, which takes seconds the first time."""
    shown = sys.stderr.isatty()
    line = f"tinygrad_cv: compiling {name} (the first time only)"
    if shown:
        print(line, end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(" " * len(line), end="\r", file=sys.stderr, flush=True)
