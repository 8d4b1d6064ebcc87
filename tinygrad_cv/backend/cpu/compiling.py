"""Compiling with Numba when a kernel is first used, and keeping the result on disk.

What several kernels have in common, such as the matrix product inside them, is a *routine*: it is
compiled once and called by its symbol, where an ordinary function of Numba would be compiled into
each kernel anew.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_cv.backend.cpu import cache, checking, threads
from tinygrad_cv.backend.kernels import preparing

__all__ = ["Compiled", "compiled", "kernels", "routine", "usable"]

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
        with preparing():
            import numba
    except ImportError:
        return False
    return not numba.config.DISABLE_JIT


class Compiled:
    """A kernel: a function, the one signature that it is compiled for, and what Numba made."""

    def __init__(self, function: Callable[..., None], signature: str, parallel: bool) -> None:
        self.function, self.signature, self.parallel = function, signature, parallel
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.made: Any = None

    def compile(self) -> bool:
        """Get ready without running. True if the machine code was there, False if it was made."""
        with _lock:
            if self.made is not None:
                return True
            for needed in _routines(self.function):
                needed.compile()
            made, found = _compile(self)
            self.made = self.finish(made)
            return found

    def build(self, keep: bool) -> tuple[Any, bool]:
        """What Numba makes now, and whether it came from the disk, where it looks with ``keep``."""
        import numba

        made = numba.njit(
            self.signature,
            nogil=True,
            cache=keep,
            **_ARITHMETIC,
        )(self.function)
        return made, bool(made.stats.cache_hits)

    def finish(self, made: Any) -> Callable[..., None]:
        """What is called, of what Numba made."""
        if not checking.ON:
            return made  # type: ignore[no-any-return]
        writes = [getattr(k, "mutable", False) for k in made.nopython_signatures[0].args]
        return checking.checked(self.name, self.function, made, writes)

    def ready(self) -> Callable[..., None]:
        """What to call, compiled if need be."""
        with preparing():
            self.compile()
        return self.made  # type: ignore[no-any-return]

    def is_kept(self) -> bool:
        """True if the machine code lies in the cache on disk."""
        place = cache.place(self.name)
        return place is not None and cache.is_sealed(place)


class Routine(Compiled):
    """Machine code that kernels call by its symbol."""

    def __init__(self, function: Callable[..., None], parallel: bool) -> None:
        from numba import types

        arguments = [types.int64] * function.__code__.co_argcount
        super().__init__(function, f"void({', '.join(map(str, arguments))})", parallel)
        self.symbol = f"tinygrad_cv.{self.name}"
        self.external = types.ExternalFunction(self.symbol, types.void(*arguments))

    def build(self, keep: bool) -> tuple[Any, bool]:
        import numba

        made = numba.cfunc(
            self.signature,
            parallel=dict(_LOOPS) if self.parallel and not checking.ON else False,
            cache=keep,
            **_ARITHMETIC,
        )(self.function)
        return made, bool(made.cache_hits)

    def finish(self, made: Any) -> Any:
        import llvmlite.binding as llvm

        llvm.add_symbol(self.symbol, made.address)
        return made  # the address is valid as long as this is


_KERNELS: list[Compiled] = []
_made = 0  # how many were not found on disk
_spent = 0.0  # the seconds that they took
_told = False  # that it takes long
_LONG = 3.0
_ARITHMETIC: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}

# Only `prange` runs on several threads.
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

    It runs without the interpreter lock, on one thread or with ``parallel`` its ``shared`` loops on
    several; its last argument is then the task, which the caller leaves out (see ``tasks``). Sums
    may be reordered, but not and infinity are kept. The machine code lies in the user's cache
    directory, under a name that changes with the source of any kernel.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        whole = signature.removesuffix(")") + ", int64)" if parallel else signature
        kernel = Compiled(function, whole, parallel)
        _KERNELS.append(kernel)

        @functools.wraps(function)
        def call(*args: Any) -> None:
            made = kernel.made or kernel.ready()
            if parallel:
                with threads.parallel_region():
                    made(*args, -1)
            else:
                made(*args)

        return call

    return decorate


def routine(function: Callable[..., None], parallel: bool = False) -> Any:
    """Decorator: a function of integers and addresses for compiled kernels to call.

    It is compiled before the first kernel that calls it, with ``parallel`` its ``prange`` loops for
    several threads. In Python it cannot be called.
    """
    made = Routine(function, parallel)
    _KERNELS.append(made)
    return made.external


def _routines(function: Callable[..., None]) -> list[Routine]:
    """What the function calls by symbol, itself or through other functions for Numba."""
    found: list[Routine] = []
    values: list[Any] = [function.__globals__.get(name) for name in function.__code__.co_names]
    values += (cell.cell_contents for cell in function.__closure__ or ())
    for value in values:
        if hasattr(value, "py_func"):
            found += _routines(value.py_func)
        else:
            found += (k for k in _KERNELS if isinstance(k, Routine) and k.external is value)
    return found


def kernels() -> list[Compiled]:
    """The kernels and routines of all families of this package, in order of their names."""
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
    if place is not None:
        try:
            return _with_cache(kernel, place)
        except NumbaError:  # a fault of the kernel, not of the disk
            raise
        except Exception:  # what is not a cache can raise anything when it is unpickled
            cache.clear(place)
    return _anew(kernel, None)


def _with_cache(kernel: Compiled, place: Path) -> tuple[Any, bool]:
    if cache.is_sealed(place):
        with cache.readable(place) as folder:
            made, found = _with_numba(kernel, folder)
        if found:
            return made, found
    else:
        cache.clear(place)
        if not cache.is_writable(place):
            return _anew(kernel, None)
        made, found = _anew(kernel, place)
    with contextlib.suppress(OSError):
        cache.seal(place)
    return made, found


def _anew(kernel: Compiled, folder: Path | None) -> tuple[Any, bool]:
    """Compile, which takes a second or so."""
    global _made, _spent
    start = time.perf_counter()
    with _progress(f"{kernel.name} (the first time only; kernels done: {_made})"):
        _log(kernel.name, folder)
        made = _with_numba(kernel, folder)
    _made += 1
    _spent += time.perf_counter() - start
    return made


def _with_numba(kernel: Compiled, folder: Path | None) -> tuple[Any, bool]:
    import numba

    before = numba.config.CACHE_DIR, numba.config.BOUNDSCHECK
    try:
        if folder is not None:
            numba.config.CACHE_DIR = str(folder)
        if checking.ON:  # in the functions that the kernel calls, too
            numba.config.BOUNDSCHECK = 1
        return kernel.build(keep=folder is not None)
    finally:
        numba.config.CACHE_DIR, numba.config.BOUNDSCHECK = before


def _log(name: str, folder: Path | None) -> None:
    """Every kernel is logged as information. Where no terminal shows them, a pause that goes on is
    told of once, as a warning: a program that has not set logging up prints no less."""
    global _told
    import logging

    log = logging.getLogger("tinygrad_cv")
    log.info("compiling %s", name)
    if _told or _spent < _LONG or _on_terminal():
        return
    _told = True
    log.warning(
        "tinygrad_cv: compiling kernels for the CPU, for %.0f s so far; %s",
        _spent,
        "they cannot be kept, `tinygrad-cv doctor` says why"
        if folder is None
        else f"later runs find them in {folder.parent}",
    )


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """What is compiled, as the line of a terminal, which is blank afterwards. A progress bar that
    was on this line comes back when it moves."""
    shown = _on_terminal()
    width = shutil.get_terminal_size().columns - 1  # a full line would begin another one
    if shown:
        line = f"tinygrad_cv: compiling {what}"[:width].ljust(width)
        print(f"\r{line}", end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(f"\r{' ' * width}", end="\r", file=sys.stderr, flush=True)
