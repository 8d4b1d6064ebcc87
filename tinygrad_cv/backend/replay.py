"""Running a piece of a program once more, as it ran before: with the same random draws, and without
leaving traces twice.

While a tape is on, it hears of every key that a generator gives. A tape that records notes them;
one that replays gives them again, and no generator moves. What else a run leaves behind, such as
running statistics, asks :func:`running_again` whether it has been done already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tinygrad_cv.errors import GraphError

__all__ = ["Recording", "Replay", "Tape", "running_again", "tape", "taping"]

Key = tuple[int, int]


class Tape:
    """What stands between a generator and who asks it for a key.

    Attributes:
        again: what runs has run before.
    """

    again = False

    def take(self, draw: Callable[[], Key]) -> Key:
        """The next key; ``draw`` takes it from the generator."""
        raise NotImplementedError


class Recording(Tape):
    """Notes the keys in ``keys``; they come from the tape around it, if there is one."""

    def __init__(self, outer: Tape | None) -> None:
        self.outer = outer
        self.again = outer is not None and outer.again
        self.keys: list[Key] = []

    def take(self, draw: Callable[[], Key]) -> Key:
        key = draw() if self.outer is None else self.outer.take(draw)
        self.keys.append(key)
        return key


class Replay(Tape):
    """Gives ``keys`` again, in their order; without any it draws anew."""

    again = True

    def __init__(self, keys: list[Key] | None) -> None:
        self.keys = None if keys is None else iter(list(keys))

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
