"""How many threads compiled kernels use, and which library runs them.

Numba's TBB layer is safe under threads of the user and after a fork, and does not spin beside the
threads of NumPy's BLAS. Where the wheel ``tbb`` is missing, Numba's own work queue serves under a
lock of ours: it must not be entered by two threads at once.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tinygrad_cv.errors import ArgumentError

__all__ = ["get_num_threads", "layer", "parallel_region", "set_num_threads"]

_NAMES = {"win32": "tbb12.dll", "darwin": "libtbb.12.dylib"}


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _at_start() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(int(wanted), 1) if wanted.isdigit() else _processors()


_count = _at_start()
_layer: str | None = None
_lock: Any = None  # a lock where the layer needs one


def get_num_threads() -> int:
    """The number of threads that compiled kernels use: ``OMP_NUM_THREADS`` if it was set when the
    package was imported, else the number of processors.

    >>> import tinygrad_cv as tg
    >>> tg.get_num_threads() >= 1
    True
    """
    return _count


def set_num_threads(count: int) -> None:
    """Let compiled kernels use ``count`` threads from now on.

    The same count gives the same bits, run after run; another count may round sums otherwise.

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


def layer() -> str:
    """The library that runs parallel regions, "tbb" or "workqueue"; chosen at the first call."""
    global _layer, _lock
    if _layer is None:
        import numba

        _layer = "tbb" if _load_tbb() else "workqueue"
        numba.config.THREADING_LAYER = _layer
        if _layer == "workqueue":
            _lock = threading.Lock()
    return _layer


def _load_tbb() -> bool:
    """Make the library of the wheel ``tbb`` known to the process, which Numba does not do."""
    if importlib.util.find_spec("numba.np.ufunc.tbbpool") is None:
        return False  # this build of Numba cannot use it
    name = _NAMES.get(sys.platform, "libtbb.so.12")
    folder = Path(sys.prefix) / ("Library/bin" if sys.platform == "win32" else "lib")
    for path in (str(folder / name), name):
        try:
            ctypes.CDLL(path, mode=getattr(ctypes, "RTLD_GLOBAL", 0))
        except OSError:
            continue
        return True
    return False


def parallel_region() -> AbstractContextManager[Any]:
    """Around every call of a parallel kernel."""
    return nullcontext() if layer() == "tbb" else _lock


def _renew_lock() -> None:
    global _lock
    if _lock is not None:
        _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(after_in_child=_renew_lock)
