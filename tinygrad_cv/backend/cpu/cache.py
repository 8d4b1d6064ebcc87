"""Where the machine code of the kernels is kept from run to run: a folder of the user's cache.

Its name changes with whatever the code depends on: the sources of all kernels (Numba sees a change
of a kernel's own file, not one of a file that it takes functions from), Numba, Python and the CPU.

Each kernel has a folder of its own in it, with the files of Numba and a seal, written last, that
holds their checksum. Code whose seal does not fit is half written or broken, and is compiled again:
Numba would run whatever it can read.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinygrad_cv.backend.cpu import checking

__all__ = [
    "clear",
    "could_be_written",
    "is_sealed",
    "is_writable",
    "of_other_versions",
    "path",
    "place",
    "readable",
    "seal",
]

SOURCES = Path(__file__).parent
SEAL = "seal"


def _digest(folder: Path) -> str:
    """Changes with any source in ``folder``."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()


_AT_START = _digest(SOURCES)  # of what this process runs


@functools.cache
def _machine() -> str:
    """What machine code depends on beside the sources."""
    import llvmlite
    import llvmlite.binding as llvm
    import numba

    cpu = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    chosen = [getattr(numba.config, name) for name in ("CPU_NAME", "CPU_FEATURES", "OPT")]
    versions = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
    return repr((platform.machine(), cpu, chosen, versions, checking.ON))


def path(folder: Path = SOURCES) -> Path | None:
    """The name of the cache of the kernels whose sources are in ``folder``; None if this user has
    no place for a cache."""
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home
        return None
    name = hashlib.sha256((_digest(folder) + _machine()).encode()).hexdigest()[:16]
    return Path(base) / "tinygrad_cv" / f"numba-{name}"


def of_other_versions() -> list[Path]:
    """The caches of other sources, and of other versions of Numba and Python, for this user."""
    ours = path()
    if ours is None or not ours.parent.is_dir():
        return []
    return sorted(p for p in ours.parent.glob("numba-*") if p != ours)


def is_writable(folder: Path) -> bool:
    """True if a file could be made in ``folder``, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def could_be_written(folder: Path) -> bool:
    """As ``is_writable``, but a folder that is missing stays so: the folder above it is tried."""
    try:
        there = next(f for f in (folder, *folder.parents) if f.exists())
        return there.is_dir() and is_writable(there)
    except OSError:
        return False


def place(kernel: str) -> Path | None:
    """The folder of a kernel, which need not exist. None if there can be none, and also if sources
    were edited since this process started: what it compiles would be kept as code of the edit."""
    found = path()
    return found / kernel if found is not None and _digest(SOURCES) == _AT_START else None


def _checksum(folder: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL):
        total.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return total.hexdigest()


def seal(folder: Path) -> None:
    """Say that the files of a kernel's folder are whole, if Numba could keep any."""
    if not any(p.is_file() for p in folder.rglob("*")):
        return
    new = folder / f"{SEAL}.{os.getpid()}"
    text = _checksum(folder)
    new.write_text(text)
    os.replace(new, folder / SEAL)


def is_sealed(folder: Path) -> bool:
    """True if the files of a kernel's folder are those that were sealed."""
    try:
        return (folder / SEAL).read_text() == _checksum(folder)
    except (OSError, ValueError):
        return False


def clear(folder: Path) -> None:
    """Drop the code of a kernel."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """The folder of a kernel, or a copy if it cannot be written: Numba writes where it reads."""
    if is_writable(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for file in (p for p in folder.rglob("*") if p.is_file()):
            copy = Path(name) / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        yield Path(name)
