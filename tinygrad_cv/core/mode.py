"""What holds while operators run: is the graph recorded, inside which module call, and who watches.

One immutable :class:`State` sits in a context variable, so that every thread and every
``contextvars`` context has its own and an operator reads everything with one look-up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, TypeVar

__all__ = [
    "Recorder",
    "Scope",
    "State",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "recording",
    "scope",
    "set_grad_enabled",
    "state",
]

F = TypeVar("F", bound=Callable[..., Any])


class Scope(NamedTuple):
    """One call of a module: its path such as "features.0", its class name, the how-many-eth call,
    who called it."""

    name: str
    kind: str
    call: int = 1
    parent: Scope | None = None

    @property
    def path(self) -> str:
        """The path with the class, as errors print it: ``model.features.0 (Conv2d)``."""
        return f"model.{self.name} ({self.kind})" if self.name else f"model ({self.kind})"


class Recorder:
    """Sees every operator, forward and backward, while it is installed by :func:`recording`; a
    subclass overrides what it wants to see."""

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        """``op`` ran: Tensors (or constants) in, a tuple of Tensors out."""

    def failed(self, op: Any, inputs: Any, attrs: Any, error: Any, frame: Any, scope: Any) -> None:
        """``op`` refused its inputs with ``error``."""

    def arrived(self, node: Any, gradient: Any) -> None:
        """``gradient`` is complete, and the rules of ``node`` are about to read it."""

    def differentiated(self, node: Any, gradients: Any) -> None:
        """The rules of ``node`` gave these gradients of its inputs."""


class State:
    """``grad``: record the graph; ``scope``: the current module call; ``record``: a watcher or
    None.

    Never changed once made; a class with slots because every operator reads it.
    """

    __slots__ = ("grad", "record", "scope")

    def __init__(self, grad: bool, scope: Scope | None, record: Recorder | None) -> None:
        self.grad = grad
        self.scope = scope
        self.record = record


_AT_START = State(grad=True, scope=None, record=None)
_STATE: ContextVar[State] = ContextVar("tinygrad_cv_state", default=_AT_START)
state = _STATE.get


def _with_grad(grad: bool) -> Token[State]:
    now = state()
    return _STATE.set(State(grad, now.scope, now.record))


def is_grad_enabled() -> bool:
    """True if operators record the graph in this thread.

    >>> is_grad_enabled()
    True
    """
    return state().grad


class _Grad:
    """The re-entrant context manager and decorator behind no_grad and enable_grad."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._tokens: list[Token[State]] = []

    def __enter__(self) -> None:
        self._tokens.append(_with_grad(self._mode))

    def __exit__(self, *_: object) -> None:
        _STATE.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _Grad(self._mode):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]  # functools.wraps keeps the signature


class no_grad(_Grad):  # noqa: N801
    """Record nothing inside the block (or the decorated function): results do not require a
    gradient.

    >>> with no_grad():
    ...     is_grad_enabled()
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Grad):  # noqa: N801
    """Record again inside a :class:`no_grad` block.

    >>> with no_grad(), enable_grad():
    ...     is_grad_enabled()
    True
    """

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Grad):  # noqa: N801
    """Switch recording on or off, at once; as a context manager or decorator, until the end of the
    block.

    >>> with set_grad_enabled(False):
    ...     is_grad_enabled()
    False
    >>> is_grad_enabled()
    True
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before = state().grad
        _with_grad(self._mode)

    def __enter__(self) -> None:
        _with_grad(self._mode)

    def __exit__(self, *_: object) -> None:
        _with_grad(self._before)

    def __call__(self, function: F) -> F:
        _with_grad(self._before)
        return super().__call__(function)


@contextmanager
def scope(call: Scope) -> Iterator[None]:
    """Mark everything recorded inside the block as part of this module call."""
    now = state()
    token = _STATE.set(State(now.grad, call, now.record))
    try:
        yield
    finally:
        _STATE.reset(token)


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Show every operator that runs inside the block to ``recorder``, with or without a
    gradient."""
    now = state()
    token = _STATE.set(State(now.grad, now.scope, recorder))
    try:
        yield
    finally:
        _STATE.reset(token)
