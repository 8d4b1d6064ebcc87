"""Compiling a kernel with Numba when it is first used, and keeping the result on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["cache_directory", "lazily_compiled", "usable"]

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


def lazily_compiled(signature: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: compile the function for exactly this signature at its first call.

    It runs without the interpreter lock and on one thread. The machine code is kept in the user's
    cache directory, under a name that changes with the source.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        compiled: list[Callable[..., None]] = []

        @functools.wraps(function)
        def call(*args: Any) -> None:
            if not compiled:
                with _lock:
                    if not compiled:
                        compiled.append(_compile(function, signature))
            compiled[0](*args)

        return call

    return decorate


def _compile(function: Callable[..., None], signature: str) -> Callable[..., None]:
    import numba

    directory = cache_directory(Path(function.__code__.co_filename))
    before = numba.config.CACHE_DIR
    try:
        if directory is not None:
            numba.config.CACHE_DIR = str(directory)
        decorator = numba.njit(signature, nogil=True, cache=directory is not None)
        compiled: Callable[..., None] = decorator(function)
        return compiled
    finally:
        numba.config.CACHE_DIR = before


def cache_directory(source: Path) -> Path | None:
    """Where the kernels of this source file are kept, made if need be; None if nothing can be
    written there.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    directory = Path(base) / "tinygrad_cv" / f"numba-{digest}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None
