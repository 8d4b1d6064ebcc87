"""The block pool: large arrays are carved from recycled memory.

A fresh large array costs more in page faults than in arithmetic: six additions of 4 MB arrays take
6.3 ms into fresh memory and 0.93 ms into memory that was used before. So every array of
`POOLED_BYTES` or more that a kernel asks for stands on a `Block`, which lends a piece of memory to
the array through `__array_interface__` and gives it back to the pool when it dies. What is recycled
is the memory, never the array: each view keeps the block alive, so no reader can see it reused.
The memory of a large array is cut up for smaller ones and joined again, so that the pool holds
little more than the program uses at once.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_cv.backend.spec import dense_strides, form_of
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import ArgumentError

__all__ = ["Block", "MemoryStats", "empty", "empty_cache", "empty_like", "reset_peak", "scratch"]
__all__ += ["set_limit", "stats"]

POOLED_BYTES = 256 * 1024
KEPT_BYTES = 1 << 20  # of scratch memory that a thread keeps for each name
SEGMENT_BYTES = 64 << 20
NOTED = 4  # pieces that may wait to be taken back: one is often asked for again at once
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register

Shape = tuple[int, ...]


def empty(
    shape: Shape, dtype: DTypeLike, layout: str = "contiguous", xp: ModuleType | Any = np
) -> Any:
    """An array of the given shape whose values are undefined, from the pool if it is large.

    `layout="channels_last"` gives the public shape (N, C, spatial...) over memory in the order
    (N, spatial..., C), and `layout="taps_first"` the public shape (O, C, taps...) of weights over
    memory in the order (taps..., C, O). With another array module as `xp` (CuPy, which has a pool
    of its own) the array is that module's.

    >>> empty((2, 3, 4, 5), "float32", layout="channels_last").strides
    (240, 4, 60, 12)
    >>> empty((2, 3, 4, 5), "float32", layout="taps_first").strides
    (4, 8, 120, 24)
    """
    dtype = np.dtype(dtype)
    size, order, strides = form_of(shape, dtype.itemsize, layout)
    if size >= POOLED_BYTES and xp is np and dtype.kind in "biufc":
        return _POOL.array(size, shape, dtype, strides)
    if order is None:
        return xp.empty(shape, dtype)
    array = xp.empty(tuple(shape[axis] for axis in order), dtype)
    return array.transpose(sorted(range(len(shape)), key=order.__getitem__))


def empty_like(array: Any) -> Any:
    """An array with the shape, dtype and memory order of `array`; its values are undefined.

    >>> nhwc = np.zeros((1, 4, 5, 3)).transpose(0, 3, 1, 2)
    >>> empty_like(nhwc).strides == nhwc.strides
    True
    """
    if not isinstance(array, np.ndarray):
        from tinygrad_cv.backend.array import xp_of

        return xp_of(array).empty_like(array)
    shape, dtype, size = array.shape, array.dtype, array.nbytes
    if size < POOLED_BYTES or dtype.kind not in "biufc":
        return np.empty_like(array, subok=False)
    if array.flags.c_contiguous or 0 in array.strides:
        return _POOL.array(size, shape, dtype, None)
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return _POOL.array(size, shape, dtype, dense_strides(shape, dtype.itemsize, order))


def scratch(shape: Shape, dtype: DTypeLike, name: str, xp: ModuleType | Any = np) -> Any:
    """Working memory of this thread: undefined values, valid until the name is asked for again.

    A name is "<family>.<purpose>", such as "pooling.mask", so that kernels of different families
    never take the same. Up to `KEPT_BYTES` a thread keeps the buffer of a name, as large as the
    largest request, until it ends or calls `empty_cache`; `stats().scratch` counts them. What is
    larger comes from the pool, and goes back when the array dies. With CuPy as `xp` all memory
    comes from CuPy's own pool.

    >>> small, large = scratch((8,), "float32", "doc.x"), scratch((8, 8), "float32", "doc.x")
    >>> again = scratch((8,), "float32", "doc.x")
    >>> np.may_share_memory(large, again), np.may_share_memory(small, again)
    (True, False)
    """
    if xp is not np:
        return xp.empty(shape, dtype)
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size > KEPT_BYTES:
        return _POOL.array(size, shape, dtype, None)
    buffers = _LOCAL.buffers.known
    memory = buffers.get(name)
    if memory is None or memory.nbytes < size:
        memory = buffers[name] = _aligned(_rounded(size))
    return np.ndarray(shape, dtype, memory)


class MemoryStats(NamedTuple):
    """The pool's account in bytes, and how often it could serve a request.

    >>> before = stats()
    >>> array = empty((1024, 1024), "float32")
    >>> stats().in_use - before.in_use == array.nbytes
    True
    """

    in_use: int  # lent to arrays that are alive
    cached: int  # kept for the next request
    peak: int  # largest `in_use` so far, or since `reset_peak`
    hits: int  # requests served from the cache
    misses: int  # requests that took fresh memory
    limit: int  # largest `cached`
    scratch: int  # working memory that all threads keep, beside the pool


def stats() -> MemoryStats:
    """The pool's account at this moment.

    >>> array = empty((1024, 1024), "float32")
    >>> stats().in_use >= array.nbytes
    True
    """
    with _POOL.lock:
        _POOL.settle()
        kept = sum(memory.nbytes for owner in _SCRATCH for memory in [*owner.known.values()])
        account = [getattr(_POOL, field) for field in MemoryStats._fields[:-1]]
        return MemoryStats(*[*account, kept])


def set_limit(nbytes: int) -> None:
    """Keep at most `nbytes` of free memory in the pool; 0 switches recycling off.

    Free memory that was cut from the same allocation as memory still in use stays until that dies.

    Raises:
        ArgumentError: the limit is negative.

    >>> before = stats().limit
    >>> set_limit(64 << 20)
    >>> stats().limit
    67108864
    >>> set_limit(before)
    """
    if nbytes < 0:
        raise ArgumentError("set_limit", f"a limit of {nbytes} bytes is negative")
    _POOL.limit = int(nbytes)
    _POOL.trim(_POOL.limit)


def empty_cache() -> None:
    """Give all cached memory, and this thread's scratch buffers, back to the system.

    Free memory that was cut from the same allocation as memory still in use stays until that dies,
    and what other threads keep for their kernels stays theirs.

    >>> empty_cache()
    >>> stats().cached
    0
    """
    _POOL.trim(0)
    _LOCAL.buffers.known.clear()


def reset_peak() -> None:
    """Start `stats().peak` anew from what is in use now.

    >>> reset_peak()
    >>> stats().peak == stats().in_use
    True
    """
    with _POOL.lock:
        _POOL.settle()
        _POOL.peak = _POOL.in_use


class _Buffers:
    """The scratch buffers of one thread by name; they go when it ends."""

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}


class _Local(threading.local):
    def __init__(self) -> None:
        self.buffers = _Buffers()
        with _POOL.lock:
            _SCRATCH.add(self.buffers)


class Block:
    """Memory on loan to one array and its views; the array's `base` is the block.

    >>> isinstance(empty((1024, 1024), "float32").base, Block)
    True
    """

    __slots__ = ("__array_interface__", "__weakref__", "_piece", "_pool")

    def __init__(self, pool: _Pool, piece: _Piece, interface: dict[str, Any]) -> None:
        self._pool = pool
        self._piece = piece
        self.__array_interface__ = interface

    def __del__(self) -> None:
        pool = self._pool
        pool.returned.append(self._piece)
        if len(pool.returned) >= NOTED or pool.cached + pool.in_use > pool.limit:
            pool.settle()


class _Segment:
    """Memory taken from the system at once: `used` bytes that were lent, free pieces among them,
    and behind them bytes that nobody has touched yet, which the system has not provided yet."""

    __slots__ = ("address", "begins", "ends", "memory", "size", "used")

    def __init__(self, size: int) -> None:
        self.memory = _aligned(size)
        self.address: int = self.memory.__array_interface__["data"][0]
        self.size = size
        self.used = 0
        self.begins: dict[int, _Piece] = {}  # free pieces by the byte that they begin at
        self.ends: dict[int, _Piece] = {}  # and by the byte behind them


class _Piece(NamedTuple):
    """A run of bytes of a segment. Pieces are sorted by size, then the last one freed first."""

    size: int
    stamp: int  # falls with every piece that is made, so that no two are equal
    start: int
    segment: _Segment


class _Pool:
    """Free memory, sorted by size: best fit, cut to size, and joined with its free neighbours.

    So the memory of one 16 MB array serves two of 8 MB afterwards, and the other way round, and a
    network holds little more than it uses at its peak. What does not fit is taken from the end of
    the last segment, or from a new one, as large as all before it together up to `SEGMENT_BYTES`.
    Only a segment that is free as a whole can go back to the system; those that have been so for
    longest are released first.

    The garbage collector may run at any allocation, inside the methods of this class too. What it
    finds there gives memory back, or asks for some, while the lists are half changed and this very
    thread holds the lock. So what dies is only noted, in `returned`, and taken back by whoever
    leaves the lists whole again, or asks for memory next; the last one noted is handed out as it is
    if its size is asked for. Who asks for memory while the lists are changed gets NumPy's own.
    """

    def __init__(self, limit: int) -> None:
        self.lock = threading.RLock()
        self.inside = False  # the thread that holds the lock is changing the lists
        self.returned: deque[_Piece] = deque()  # noted, but not yet in the lists
        self.free: list[_Piece] = []
        self.whole: OrderedDict[_Segment, None] = OrderedDict()
        self.last = _Segment(0)
        self.limit = limit
        self.stamp = 0
        self.in_use = self.cached = self.peak = self.hits = self.misses = 0

    def array(
        self, size: int, shape: Shape, dtype: np.dtype[Any], strides: Shape | None
    ) -> np.ndarray:
        piece = self.take(_rounded(size))
        if piece is None:
            return np.ndarray(shape, dtype, _aligned(size), strides=strides)
        address = (piece.segment.address + piece.start, False)
        interface = {"version": 3, "shape": shape, "typestr": dtype.str, "data": address}
        if strides is not None:
            interface["strides"] = strides
        return np.asarray(Block(self, piece, interface))

    def take(self, size: int) -> _Piece | None:
        """A piece of that size; None if this thread is changing the lists already."""
        with self.lock:
            if self.inside:
                return None
            self.inside = True
            try:
                if self.returned:
                    last = self.returned.pop()
                    if last.size == size:
                        self.hits += 1
                        return last
                    self.returned.append(last)
                while self.returned:
                    self._join(self.returned.popleft())
                place = bisect_left(self.free, (size,))
                if place < len(self.free):
                    found = self.free[place]
                    self._remove(found)
                    piece = self._piece(size, found.start, found.segment)
                    if found.size > size:
                        self._add(found.size - size, found.start + size, found.segment)
                    self.hits += 1
                else:
                    piece = self._fresh(size)
                    self.misses += 1
                self.in_use += size
                if self.in_use > self.peak:
                    self.peak = self.in_use
            finally:
                self.inside = False
        if self.returned:
            self.settle()
        return piece

    def settle(self) -> None:
        """Take back what was noted; at once, unless a thread is changing the lists, which does it
        before it goes on."""
        returned = self.returned
        while returned and not self.inside and self.lock.acquire(False):
            try:
                self.inside = True
                while returned:
                    self._join(returned.popleft())
            finally:
                self.inside = False
                self.lock.release()

    def trim(self, target: int) -> None:
        """Release whole segments until at most `target` bytes are cached, or none is left."""
        with self.lock:
            self.settle()
            if not self.inside:
                self.inside = True
                try:
                    self._shrink(target)
                finally:
                    self.inside = False
        self.settle()

    def _join(self, piece: _Piece) -> None:
        """Put a piece among the free ones, as one with its free neighbours."""
        size, _, start, segment = piece
        self.in_use -= size
        before, behind = segment.ends.get(start), segment.begins.get(start + size)
        if before is not None:
            self._remove(before)
            start, size = before.start, before.size + size
        if behind is not None:
            self._remove(behind)
            size += behind.size
        self._add(size, start, segment)
        if self.cached > self.limit:
            if size == segment.used > self.limit:
                self._release(segment)
            self._shrink(self.limit)

    def _shrink(self, target: int) -> None:
        while self.cached > target and self.whole:
            self._release(next(iter(self.whole)))

    def _fresh(self, size: int) -> _Piece:
        segment = self.last
        rest = segment.ends.get(segment.used)  # free, and just before the untouched end
        start = segment.used if rest is None else rest.start
        if start + size > segment.size:
            held = self.in_use + self.cached
            self.last = segment = _Segment(max(size, min(held, SEGMENT_BYTES)))
            start = 0
        elif rest is not None:
            self._remove(rest)
        segment.used = start + size
        return self._piece(size, start, segment)

    def _release(self, segment: _Segment) -> None:
        self._remove(segment.begins[0])
        if segment is self.last:
            self.last = _Segment(0)

    def _piece(self, size: int, start: int, segment: _Segment) -> _Piece:
        self.stamp -= 1
        return _Piece(size, self.stamp, start, segment)

    def _add(self, size: int, start: int, segment: _Segment) -> None:
        piece = self._piece(size, start, segment)
        insort(self.free, piece)
        segment.begins[start] = segment.ends[start + size] = piece
        if size == segment.used:
            self.whole[segment] = None
        self.cached += size

    def _remove(self, piece: _Piece) -> None:
        size, _, start, segment = piece
        del self.free[bisect_left(self.free, piece)]
        del segment.begins[start], segment.ends[start + size]
        self.whole.pop(segment, None)
        self.cached -= size


def _rounded(nbytes: int) -> int:
    """The size class: sixteen between two powers of two, so that at most 1/16 is wasted."""
    step = max(ALIGNMENT, 1 << max(nbytes.bit_length() - 5, 0))
    return -(-nbytes // step) * step


def _aligned(size: int) -> np.ndarray:
    if size >= 1 << 48:  # NumPy speaks of dimensions here
        raise MemoryError(f"an array of {quantity(size, 'B')} is beyond any memory")
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[start : start + size]


def _default_limit() -> int:
    """A quarter of the machine's memory, or 2 GB where that cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, OSError, ValueError):
        return 2 << 30


_POOL = _Pool(_default_limit())
_SCRATCH: weakref.WeakSet[_Buffers] = weakref.WeakSet()
_LOCAL = _Local()

if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(
        before=_POOL.lock.acquire,
        after_in_parent=_POOL.lock.release,
        after_in_child=_POOL.lock.release,
    )
