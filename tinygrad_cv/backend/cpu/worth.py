"""From which size on a compiled kernel repays the start of its threads."""

from __future__ import annotations

from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.compiling import usable

__all__ = ["repays"]


def repays(size: int, smallest: int, slow: int = 8) -> bool:
    """True if a kernel can be compiled here, and is faster than NumPy at ``size``.

    Args:
        size: of the case, in the unit of the family.
        smallest: the size from which on it is faster with TBB, which starts threads in about 2 us.
            For less, Numba is not loaded.
        slow: how many times larger it must be for Numba's work queue, which takes 60 to 80 us,
            with one thread too.
    """
    if size < smallest or not usable():
        return False
    return size >= slow * smallest or threads.layer() != "workqueue"
