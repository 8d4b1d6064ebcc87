"""Compiling a kernel with Numba when it is first used, and keeping the result on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_cv.backend.cpu import threads

__all__ = ["cache_directory", "compiled", "usable"]

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(after_in_child=_renew_lock)


@functools.cache
def usable() -> bool:
    """True if Numba can be imported: an installed Numba may be too old for this NumPy."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def compiled(
    signature: str, parallel: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: compile the function for exactly this signature at its first call.

    It runs without the interpreter lock, on one thread or with ``parallel`` its ``prange`` loops on
    several. Sums may be reordered, but not and infinity are kept. The machine code lies in the
    user's cache directory, under a name that changes with the source of any kernel.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        made: list[Callable[..., None]] = []

        @functools.wraps(function)
        def call(*args: Any) -> None:
            if not made:
                with _lock:
                    if not made:
                        made.append(_compile(function, signature, parallel))
            if parallel:
                with threads.parallel_region():
                    made[0](*args)
            else:
                made[0](*args)

        return call

    return decorate


def _compile(function: Callable[..., None], signature: str, parallel: bool) -> Callable[..., None]:
    if parallel:
        threads.layer()
    directory = cache_directory()
    with _progress(function.__name__):
        try:
            return _with_numba(function, signature, parallel, directory)
        except (EOFError, ImportError, OSError, ValueError, pickle.PickleError):
            if directory is None:
                raise
            # What another process left half written, or what cannot be locked, is done without.
            shutil.rmtree(directory, ignore_errors=True)
            return _with_numba(function, signature, parallel, None)


def _with_numba(
    function: Callable[..., None], signature: str, parallel: bool, directory: Path | None
) -> Callable[..., None]:
    import numba

    before = numba.config.CACHE_DIR
    try:
        if directory is not None:
            numba.config.CACHE_DIR = str(directory)
        decorator = numba.njit(
            signature,
            nogil=True,
            parallel=parallel,
            cache=directory is not None,
            error_model="numpy",
            fastmath={"contract", "reassoc", "nsz", "arcp"},
        )
        result: Callable[..., None] = decorator(function)
        return result
    finally:
        numba.config.CACHE_DIR = before


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


def _digest(folder: Path) -> str:
    """Changes with any source of the folder: Numba itself notices a change of a kernel's own file,
    not one of a file that the kernel takes functions from."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def cache_directory(folder: Path = Path(__file__).parent) -> Path | None:
    """Where the machine code of the kernels in ``folder`` is kept, made if need be; None if nothing
    can be written there."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "tinygrad_cv" / f"numba-{_digest(folder)}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None
