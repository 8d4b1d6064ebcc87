"""What holds while operators run: is the graph recorded, inside which module call, and who watches.

One immutable :class:`State` sits in a context variable, so that every thread and every
``contextvars`` context has its own and an operator reads everything with one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tinygrad_cv.backend.blame import Place

__all__ = [
    "Recorder",
    "Scope",
    "State",
    "grad_mode",
    "is_grad_enabled",
    "recording",
    "scope",
    "set_grad",
    "set_scope",
    "state",
    "watching",
]


class Scope(NamedTuple):
    """One call of a module: its path such as "features.0", its class name, the how-many-eth call,
    who called it."""

    name: str
    kind: str
    call: int = 1
    parent: Scope | None = None

    @property
    def path(self) -> str:
        """The path with the class, as errors print it: ``model.features.0 (Conv2d)``; of the module
        that the user called only the class."""
        return f"model.{self.name} ({self.kind})" if self.name else self.kind


class Recorder:
    """Sees every operator, forward and backward, while it is installed by :func:`watching`; a
    subclass overrides what it wants to see."""

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        """``op`` ran: Tensors (or constants) in, a tuple of Tensors out."""

    def failed(self, op: Any, inputs: Any, attrs: Any, error: Any, frame: Any, scope: Any) -> None:
        """``op`` refused its inputs with ``error``."""

    def wrote(self, target: Any, source: Any, fresh: bool) -> None:
        """The memory of ``target`` has the values of ``source`` now: a Tensor that was added
        (``fresh``: an operator gave it only for that), or (operator, inputs, attributes) of what
        wrote straight into it."""

    def arrived(self, node: Any, gradient: Any) -> None:
        """``gradient`` is complete, and the rules of ``node`` are about to read it."""

    def differentiated(self, node: Any, gradients: Any) -> None:
        """The rules of ``node`` gave these gradients of its inputs."""


class State:
    """``grad``: record the graph; ``scope``: the current module call; ``record``: who
    watches; ``place``: where the user set ``grad``, if it is known.

    Never changed once made; a class with slots because every operator reads it.
    """

    __slots__ = ("grad", "place", "record", "scope")

    def __init__(
        self,
        grad: bool,
        scope: Scope | None,
        record: tuple[Recorder, ...],
        place: Place | None = None,
    ) -> None:
        self.grad, self.place = grad, place
        self.scope, self.record = scope, record


_AT_START = State(grad=True, scope=None, record=())
_STATE: ContextVar[State] = ContextVar("tinygrad_cv_state", default=_AT_START)
state = _STATE.get


def set_grad(grad: bool, place: Place | None = None) -> None:
    """Record from now on, or no longer, because of what stands at ``place``."""
    now = state()
    _STATE.set(State(grad, now.scope, now.record, place))


def is_grad_enabled() -> bool:
    """True if operators record the graph in this thread.

    >>> is_grad_enabled()
    True
    """
    return state().grad


class grad_mode:  # noqa: N801
    """Record, or do not, inside a ``with`` block; the public faces are in ``autograd/modes.py``."""

    def __init__(self, mode: bool, place: Place | None = None) -> None:
        self._mode, self._place = mode, place
        self._states: list[State] = []

    def __enter__(self) -> None:
        self._states.append(state())
        set_grad(self._mode, self._place)

    def __exit__(self, *_: object) -> None:
        before = self._states.pop()
        set_grad(before.grad, before.place)


# Each block puts back what it has changed, and not the rest: blocks of generators may end in any
# order.


def set_scope(scope: Scope | None, record: tuple[Recorder, ...]) -> None:
    """What runs from now on belongs to this module call and is seen by these."""
    now = state()
    _STATE.set(State(now.grad, scope, record, now.place))


@contextmanager
def scope(call: Scope) -> Iterator[None]:
    """Mark everything recorded inside the block as part of this module call."""
    before = state()
    set_scope(call, before.record)
    try:
        yield
    finally:
        set_scope(before.scope, state().record)


@contextmanager
def recording(*recorders: Recorder) -> Iterator[None]:
    """Show every operator that runs inside the block, with or without a gradient, to these in turn,
    and to nobody else."""
    before = state()
    set_scope(before.scope, recorders)
    try:
        yield
    finally:
        set_scope(state().scope, before.record)


@contextmanager
def watching(recorder: Recorder) -> Iterator[None]:
    """Show what runs inside the block to ``recorder``, and then to those who watch already."""
    before = state()
    set_scope(before.scope, (recorder, *before.record))
    try:
        yield
    finally:
        now = state()
        set_scope(now.scope, tuple(r for r in now.record if r is not recorder))
