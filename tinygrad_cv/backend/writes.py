"""In-place writes: who wrote what, when and where, so that backward never uses an overwritten
value.

One clock stamps every recorded node and every write; a write also remembers the memory that it hit
and the line that did it. If nothing was written after a node was made, which is the usual case,
backward has nothing to check; otherwise it asks whether the memory of a saved array was written
later. Views, ``detach()`` and handles of one array share memory, so they share its history without
any bookkeeping of their own.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Iterable
from types import CodeType
from typing import Any, NamedTuple

from tinygrad_cv.backend.array import owner_of
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.errors import site_of, user_frame

__all__ = [
    "clock",
    "forget",
    "is_writeable",
    "note_write",
    "note_writes",
    "written_after",
]


class _Clock:
    """Counts what happens: every recorded node takes a tick, and so does every write."""

    __slots__ = ("last_write", "tick")

    def __init__(self) -> None:
        self.tick = itertools.count(1).__next__
        self.last_write = 0


clock = _Clock()
_lock = threading.Lock()


def _fresh_lock() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it at the fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


class _Write(NamedTuple):
    """The last write into some memory."""

    time: int
    code: CodeType  # the user's instruction
    lasti: int
    what: str  # did it, in the module call ``scope``
    scope: Any
    drop: Any  # a reference that forgets the write when the memory's owner dies

    def __str__(self) -> str:
        inside = "" if self.scope is None else f", in {self.scope.path}"
        return f"{site_of(self.code, self.lasti)} by {self.what}{inside}"


# By the id of the object that owns the memory. An id can only be met again while a saved array
# keeps its owner alive, so a stale entry is never mistaken.
_writes: dict[int, _Write] = {}


def is_writeable(array: Any) -> bool:
    """False where a write would fail, or would change several elements at once: read-only memory,
    and an axis along which one element stands for many."""
    if not getattr(getattr(array, "flags", None), "writeable", True):
        return False
    strides = getattr(array, "strides", ())  # CuPy's arrays are never marked as read-only
    repeated = any(n > 1 and not step for n, step in zip(array.shape, strides, strict=False))
    return not repeated or 0 in array.shape


def note_write(array: Any, what: str, scope: Any = None) -> None:
    """Remember that the memory of ``array`` was written by ``what`` in the user's current line, in
    a module call if that is known."""
    note_writes((array,), what, scope)


def note_writes(arrays: Iterable[Any], what: str, scope: Any = None) -> None:
    """The same for several arrays, as one moment (an optimiser step)."""
    frame = user_frame(2)
    with _lock:
        clock.last_write = now = clock.tick()
    for array in arrays:
        owner = owner_of(array)
        if type(owner) is Spec:  # no memory, and nothing says when it dies
            continue
        key = id(owner)
        known = _writes.get(key)
        drop = known.drop if known is not None else _dropper(owner, key)
        _writes[key] = _Write(now, frame.f_code, frame.f_lasti, what, scope, drop)


def forget(owner: Any) -> None:
    """Drop the entry of what is about to die, and no weak reference can tell."""
    _writes.pop(id(owner), None)


def _dropper(owner: Any, key: int) -> Any:
    """A weak reference that forgets the entry when the memory's owner dies."""

    def drop(_: Any) -> None:
        _writes.pop(key, None)

    try:
        return weakref.ref(owner, drop)
    except TypeError:  # an object of another library without weak references
        return None


def written_after(array: Any, stamp: int) -> _Write | None:
    """What wrote to the memory of ``array`` later than ``stamp``, if something did; as text its
    line, its name and the module path."""
    known = _writes.get(id(owner_of(array)))
    return known if known is not None and known.time > stamp else None
