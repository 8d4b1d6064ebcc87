"""The library of NumPy's matrix products, if it is OpenBLAS: found in this process, and asked."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["function", "library", "set_num_threads"]


def library() -> tuple[str, Any] | None:
    """The path and the handle of NumPy's OpenBLAS; None if NumPy has another BLAS."""
    for path in _paths():
        try:
            found = ctypes.CDLL(path)
        except OSError:
            continue
        if function(found, "get_corename") is not None:
            return path, found
    return None


def function(found: Any, name: str) -> Any:
    """A function of the library, whose name differs from build to build; None if there is none."""
    for prefix in ("scipy_openblas_", "openblas_"):
        for suffix in ("64_", "", "_64"):
            with contextlib.suppress(AttributeError):
                return getattr(found, prefix + name + suffix)
    return None


def set_num_threads(count: int) -> None:
    """Let NumPy's products use ``count`` threads from now on, in this process and its forks; does
    nothing where NumPy has another BLAS."""
    setter = _setter()
    if setter is not None:
        setter(count)


@functools.cache
def _setter() -> Any:
    found = library()
    setter = function(found[1], "set_num_threads") if found else None
    if setter is not None:
        setter.argtypes, setter.restype = [ctypes.c_int], None
    return setter


def _paths() -> Iterator[str]:
    """Where NumPy's OpenBLAS may lie: what is loaded first, then the folders of the wheel."""
    import numpy as np

    loaded: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line.partition("/")[2]
            if "blas" in path.rpartition("/")[2].lower() and f"/{path}" not in loaded:
                loaded.append(f"/{path}")
    yield from sorted(loaded, key=lambda path: "numpy" not in path)  # SciPy has another
    root = Path(np.__file__).parent
    for folder in (root.parent / "numpy.libs", root / ".dylibs"):
        with contextlib.suppress(OSError):
            yield from (str(path) for path in sorted(folder.glob("*openblas*")))
