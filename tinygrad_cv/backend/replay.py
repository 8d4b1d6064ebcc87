"""Running a piece of a program once more, as it ran before: with the same random draws, and without
leaving traces twice.

While a tape is on, it hears of every key that a generator gives. A tape that records notes them;
one that replays gives them again, and no generator moves. What else a run leaves behind, such as
running statistics, asks :func:`running_again` whether it has been done already; a hook that it
registers is taken off at its end, and the gradients that it adds to ``.grad`` only it can see.

What held around the first run for the time of a call, such as other parameters in a module, says
with :func:`surrounded` how it can hold once more.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tinygrad_cv.errors import GraphError

__all__ = [
    "OwnGrad",
    "Recording",
    "Replay",
    "Tape",
    "at_end",
    "running_again",
]
__all__ += ["surrounded", "surroundings", "tape", "taping"]

Key = tuple[int, int]
Unset = dict[int, tuple[weakref.ref[Any], bool]]


class OwnGrad(NamedTuple):
    """What a run has in place of ``tensor.grad``; it is ``mine`` if this run has made it."""

    tensor: Any
    grad: Any
    mine: bool


class Tape:
    """What stands between a generator and who asks it for a key.

    Attributes:
        again: what runs has run before.
        grads: in a run that has run before, what ``.grad`` of a tensor is for it, by the id of the
            tensor. The tensors themselves are left alone.
        undo: called when such a run ends.
    """

    again = False
    grads: dict[int, OwnGrad]
    undo: list[Callable[[], None]]

    def take(self, draw: Callable[[], Key]) -> Key:
        """The next key; ``draw`` takes it from the generator."""
        raise NotImplementedError

    def note_grad(self, tensor: Any, known: Any) -> None:
        """``.grad`` of this tensor, which is ``known``, is about to be set."""


class Recording(Tape):
    """Notes the keys in ``keys``; they come from the tape around it, if there is one. In ``unset``
    it notes which tensors had no ``.grad`` when the run first gave them one: id -> (a weak
    reference, True if there was none)."""

    def __init__(self, outer: Tape | None) -> None:
        self.outer = outer
        self.again = outer is not None and outer.again
        if outer is not None and outer.again:
            self.grads, self.undo = outer.grads, outer.undo
        self.keys: list[Key] = []
        self.unset: Unset = {}

    def note_grad(self, tensor: Any, known: Any) -> None:
        self.unset.setdefault(id(tensor), (weakref.ref(tensor), known is None))
        if self.outer is not None:
            self.outer.note_grad(tensor, known)

    def take(self, draw: Callable[[], Key]) -> Key:
        key = draw() if self.outer is None else self.outer.take(draw)
        self.keys.append(key)
        return key


class Replay(Tape):
    """Gives ``keys`` again, in their order; without any it draws anew. What is ``unset`` has no
    ``.grad`` for it at first, as in the first run."""

    again = True

    def __init__(self, keys: list[Key] | None, unset: Unset | None = None) -> None:
        self.keys = None if keys is None else iter(list(keys))
        outer = _TAPE.get()
        known = outer.grads if outer is not None and outer.again else {}
        self.grads = {key: own._replace(mine=False) for key, own in known.items()}
        for key, (reference, was_none) in (unset or {}).items():
            tensor = reference()
            if tensor is not None and was_none:
                self.grads[key] = OwnGrad(tensor, None, False)
        self.undo = []

    @contextmanager
    def without_traces(self) -> Iterator[None]:
        """A block around the run."""
        try:
            yield
        finally:
            for undo in reversed(self.undo):
                undo()

    def take(self, draw: Callable[[], Key]) -> Key:
        if self.keys is None:
            return draw()
        key = next(self.keys, None)
        if key is None:
            raise GraphError(
                "checkpoint",
                "the function drew more random numbers than in its first run",
                repair="It must do the same in both runs.",
            )
        return key


_TAPE: ContextVar[Tape | None] = ContextVar("tinygrad_cv_tape", default=None)
tape = _TAPE.get


@contextmanager
def taping(new: Tape) -> Iterator[None]:
    """Let ``new`` hear of every key inside the block."""
    token = _TAPE.set(new)
    try:
        yield
    finally:
        _TAPE.reset(token)


def running_again() -> bool:
    """True while something runs that has run before.

    >>> with taping(Replay([])):
    ...     running_again()
    True
    """
    now = tape()
    return now is not None and now.again


def at_end(undo: Callable[[], None]) -> None:
    """In a run that has run before: call ``undo`` when it ends."""
    now = tape()
    if now is not None and now.again:
        now.undo.append(undo)


Again = Callable[[], AbstractContextManager[Any]]
_AROUND: ContextVar[tuple[Callable[[], Again], ...]] = ContextVar("tinygrad_cv_around", default=())


@contextmanager
def surrounded(take: Callable[[], Again]) -> Iterator[None]:
    """Inside the block something holds that will no longer do so when a piece of it runs again:
    ``take()`` notes it as it is then, and returns what makes a block in which it holds again."""
    token = _AROUND.set((*_AROUND.get(), take))
    try:
        yield
    finally:
        _AROUND.reset(token)


def surroundings() -> tuple[Again, ...]:
    """What makes the blocks in which a piece that runs now can run again, the outer first."""
    return tuple([take() for take in _AROUND.get()])
