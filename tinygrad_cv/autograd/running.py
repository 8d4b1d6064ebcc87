"""The backward that is going on, for hooks that need to know more of it than one gradient."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

from tinygrad_cv.core import mode
from tinygrad_cv.core.engine import Run, as_seen
from tinygrad_cv.core.mode import Scope
from tinygrad_cv.core.node import Node, Source
from tinygrad_cv.core.tensor import Tensor

__all__ = ["BackwardRun", "this_run"]

_BACKWARD = "backward"  # the kind of the call that holds what one backward records


class BackwardRun(Run):
    """A run that hooks find with :func:`this_run` while it goes on.

    Attributes:
        scratch: what a hook keeps for this run only, under a key of its own.
        at_end: called when the last gradient has passed its hooks.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.scratch: dict[Any, Any] = {}
        self.at_end: list[Callable[[], None]] = []
        self._sources: list[Source] = []
        self._nodes: list[Node] = []
        self._reached: set[Any] | None = None
        self._calls: dict[int, tuple[Scope | None, Scope]] = {}  # of modules, as backward sees them

    def __call__(self, roots: list[tuple[Source, int, Any]]) -> dict[Any, Any]:
        self._sources = [source for source, _, _ in roots]
        token = _NOW.set(self)
        here: AbstractContextManager[Any] = nullcontext()
        if self.create_graph:  # what the rules record belongs to this backward, as to a module call
            whole = Scope("", _BACKWARD, parent=mode.state().scope)
            self._calls[id(None)] = None, whole
            here = mode.scope(whole)
        try:
            with here:
                found = super().__call__(roots)
            for finish in self.at_end:
                finish()
            return found
        finally:
            _NOW.reset(token)
            self._sources, self._nodes, self._reached = [], [], None
            self._calls.clear()
            self.scratch.clear()
            self.at_end.clear()

    def _walk(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        super()._walk(nodes)

    def _arrived(self, node: Node, first: Any) -> Any:
        if self.create_graph:
            mode.set_scope(self._call(node.scope), mode.state().record)
        return super()._arrived(node, first)

    def _call(self, call: Scope | None) -> Scope:
        """The backward of a module call, inside the backward of its caller."""
        chain = []
        while id(call) not in self._calls:
            assert call is not None  # which is known from the beginning
            chain.append(call)
            call = call.parent
        found = self._calls[id(call)][1]
        for inner in reversed(chain):
            if inner.kind != _BACKWARD:  # an earlier backward has no box inside this one
                found = Scope(inner.name, f"{inner.kind} {_BACKWARD}", inner.call, found)
            self._calls[id(inner)] = inner, found  # kept, so that the id stays its
        return found

    def reaches(self, place: Source | None) -> bool:
        """True if this run brings a gradient to ``place``, a node or a leaf."""
        if self._reached is None:
            below = {edge for node in self._nodes for edge in node.edges}.union(self._sources)
            if self.useful is not None:
                below &= self.useful
            self._reached = below.union(self._nodes)
        return place is not None and place in self._reached

    def arrived_at(self, node: Node | None) -> Tensor | None:
        """What has arrived so far at output 0 of ``node``, whose rules have not run yet."""
        gradient = None if node is None else self.grads.get(node)
        return None if gradient is None else as_seen(gradient)


_NOW: ContextVar[BackwardRun | None] = ContextVar("tinygrad_cv_backward_run", default=None)


def this_run() -> BackwardRun:
    """The innermost backward of this thread; to be asked inside a hook."""
    run = _NOW.get()
    assert run is not None, "only a backward calls hooks"
    return run
