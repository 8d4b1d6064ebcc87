"""How many threads compiled kernels use, and which library runs them.

Numba has one set of threads in a process. Its TBB layer is safe under threads of the user and after
a fork, and does not spin beside the threads of NumPy's BLAS. Where the wheel ``tbb`` is missing,
Numba's own work queue serves under a lock of ours: it must not be entered by two threads at once.
The program may have chosen a layer before us, or started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tinygrad_cv.backend import openblas
from tinygrad_cv.errors import ArgumentError

__all__ = ["get_num_threads", "layer", "parallel_region", "processors", "set_num_threads"]

_NAMES = {"win32": "tbb12.dll", "darwin": "libtbb.12.dylib"}


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _at_start() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(int(wanted), 1) if wanted.isdigit() else processors()


_count = _at_start()
_layer: str | None = None
_lock = threading.Lock()


def get_num_threads() -> int:
    """The number of threads that compiled kernels use: ``OMP_NUM_THREADS`` if it was set when the
    package was imported, else the number of processors.

    >>> import tinygrad_cv as tg
    >>> tg.get_num_threads() >= 1
    True
    """
    return _count


def set_num_threads(count: int) -> None:
    """Let compiled kernels and NumPy's matrix products use ``count`` threads from now on.

    The products follow where NumPy's BLAS is OpenBLAS, as in its wheels for Linux and Windows, on
    no more threads than there are processors; another BLAS keeps its own number. The same count
    gives the same bits, run after run; another count may round sums otherwise.

    Raises:
        ArgumentError: ``count`` is not a whole number of at least 1.

    >>> import tinygrad_cv as tg
    >>> before = tg.get_num_threads()
    >>> tg.set_num_threads(1)
    >>> tg.get_num_threads()
    1
    >>> tg.set_num_threads(before)
    """
    global _count
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ArgumentError(
            "set_num_threads", f"the number of threads must be at least 1, it is {count!r}"
        )
    _count = count
    openblas.set_num_threads(min(count, processors()))


def layer() -> str:
    """The library that runs parallel regions: "tbb", "workqueue", or if the user wants it "omp".

    The first call starts Numba's threads, unless they already run.
    """
    global _layer
    if _layer is None:
        with _lock:
            _layer = _running() or _started()
    return _layer


def _running() -> str | None:
    """The layer whose threads run."""
    import numba

    try:
        found: str = numba.threading_layer()
    except ValueError:  # none
        return None
    return found


def _started() -> str:
    """Start the layer that the user asked Numba for, else TBB if it is there."""
    import numba

    asked, found = numba.config.THREADING_LAYER, _load_tbb()
    if asked == "default":
        numba.config.THREADING_LAYER = "tbb" if found else "workqueue"
    try:
        numba.get_num_threads()  # starts them
    finally:
        numba.config.THREADING_LAYER = asked
    started: str = numba.threading_layer()
    return started


def _load_tbb() -> bool:
    """Make the library of the wheel ``tbb`` known to the process, which Numba does not do."""
    if importlib.util.find_spec("numba.np.ufunc.tbbpool") is None:
        return False  # this build of Numba cannot use it
    for path in _tbb_paths():
        try:
            ctypes.CDLL(path, mode=getattr(ctypes, "RTLD_GLOBAL", 0))
        except OSError:
            continue
        return True
    return False


def _tbb_paths() -> Iterator[str]:
    """Where the wheel put its library, in the environment or the user's own packages; then where
    other installers put it."""
    import importlib.metadata  # not before it is needed: it loads the library for mails

    name = _NAMES.get(sys.platform, "libtbb.so.12")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name == name:
                yield str(file.locate())
    folder = Path(sys.prefix) / ("Library/bin" if sys.platform == "win32" else "lib")
    yield from (str(folder / name), name)


def parallel_region() -> AbstractContextManager[Any]:
    """Around every call of a parallel kernel."""
    return _lock if layer() == "workqueue" else nullcontext()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(after_in_child=_renew_lock)
