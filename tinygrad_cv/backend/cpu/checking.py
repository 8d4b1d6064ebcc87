"""Compiled kernels under suspicion: with ``TINYGRAD_CV_CHECK_BOUNDS=1`` in the environment every
write beyond an array is an error that names the kernel.

Kernels work at addresses, where nobody checks an index. In this mode each array that is given to a
kernel is replaced by a copy between two guards. After the call the guards must be as they were, and
so must the arrays that the signature calls read-only; then results are copied back. Guards read as
NaN, so a read beyond an array spoils the result. Arrays that are indexed are checked by Numba. A
kernel that takes addresses is given those of such copies by its caller (``behind_guards``).
Kernels run on one thread, and slowly: this mode is for tests. Working memory has a row for each
worker; with ``set_num_threads(1)`` there is one, and behind it is the guard.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_cv.errors import BackendError

__all__ = ["ON", "behind_guards", "checked"]

ON = os.environ.get("TINYGRAD_CV_CHECK_BOUNDS", "") not in ("", "0")
GUARD = 1 << 14  # bytes on each side
ALIGNMENT = 64
PATTERN = 0xFF  # in all bytes of a float: NaN


class _Guarded:
    """A copy of an array between guards."""

    def __init__(self, array: np.ndarray) -> None:
        self.original = array
        self._memory = np.full(2 * GUARD + ALIGNMENT + array.nbytes, PATTERN, np.uint8)
        self._start = GUARD + -(self._memory.ctypes.data + GUARD) % ALIGNMENT
        self.copy = np.ndarray(array.shape, array.dtype, self._memory, self._start)
        self.copy[...] = array

    def fault(self) -> str | None:
        """What happened around the copy."""
        end = self._start + self.original.nbytes
        (before,) = np.nonzero(self._memory[: self._start] != PATTERN)
        (after,) = np.nonzero(self._memory[end:] != PATTERN)
        if after.size:
            return f"wrote up to {after[-1] + 1} bytes past the end of"
        return f"wrote up to {self._start - before[0]} bytes before" if before.size else None

    def was_written(self) -> bool:
        """True if the copy is no longer equal to the original, bit for bit."""
        return self.copy.tobytes() != self.original.tobytes()

    def verify(self, kernel: str, name: str, may_change: bool) -> None:
        """Raise what the kernel did wrong with the copy, which is its argument ``name``."""
        fault = self.fault()
        if fault is None and not may_change and self.was_written():
            fault = "wrote into the read-only"
        if fault is not None:
            shape, dtype = self.original.shape, self.original.dtype
            raise BackendError(kernel, f"the kernel {fault} {name}, {shape} {dtype}")


def checked(
    name: str, function: Callable[..., None], compiled: Callable[..., None], writes: list[bool]
) -> Callable[..., None]:
    """``compiled`` with checks.

    Args:
        name: of the kernel, for messages.
        function: what was compiled; has the names of the arguments.
        compiled: takes the arguments.
        writes: for each argument, whether it may be written.
    """
    names = list(inspect.signature(function).parameters)

    def call(*args: Any) -> None:
        guarded: dict[tuple[Any, ...], _Guarded] = {}
        places: dict[int, _Guarded] = {}
        given = list(args)
        for k, array in enumerate(args):
            if isinstance(array, np.ndarray) and array.flags.c_contiguous:
                # An array given twice is one array, also behind the guards.
                key = (array.ctypes.data, array.shape, array.dtype)
                places[k] = guarded.setdefault(key, _Guarded(array))
                given[k] = places[k].copy
        try:
            compiled(*given)
        except IndexError as error:
            raise BackendError(name, f"an index is out of bounds: {error}") from error
        may_change = {id(places[k]) for k in places if writes[k]}
        for k, one in places.items():
            one.verify(name, names[k], id(one) in may_change)
        for k, one in places.items():
            if writes[k]:
                args[k][...] = one.copy

    return call


@contextmanager
def behind_guards(
    kernel: str, names: dict[str, bool], lists: list[list[Any]], addresses: Any
) -> Iterator[Any]:
    """The addresses that a kernel works at, while it does: in the mode, those of copies.

    Args:
        kernel: its name, for messages.
        names: of the arrays of every list, in their order, and whether they may be written.
        lists: arrays without gaps, in any order of their axes.
        addresses: of array ``k`` of list ``i`` at ``[k, i]``.
    """
    if not ON:
        yield addresses
        return
    # Rows that are views of the arrays.
    guarded = [[_Guarded(array.ravel(order="K")) for array in arrays] for arrays in lists]
    places = [[one.copy.ctypes.data for one in row] for row in guarded]
    yield np.array(places, np.int64).T.copy()
    for row in guarded:
        for one, (name, may_change) in zip(row, names.items(), strict=False):
            one.verify(kernel, name, may_change)
    for row in guarded:
        for one, may_change in zip(row, names.values(), strict=False):
            if may_change:
                one.original[...] = one.copy
