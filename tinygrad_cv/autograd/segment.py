"""One call of a function under a checkpoint: how to run it again, and what its nodes were."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from tinygrad_cv.backend import replay
from tinygrad_cv.backend.array import is_array, owner_of
from tinygrad_cv.backend.blame import check_saved
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.backend.writes import clock, written_after
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError, TinygradError

__all__ = ["Contexts", "Segment"]

# How many second runs are around: a run is only interested in what happens at its own depth, not in
# the second runs that a gradient inside the function starts.
_DEPTH: contextvars.ContextVar[int] = contextvars.ContextVar("tinygrad_cv_second_runs", default=0)

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


class Segment:
    """One call of a function under :func:`checkpoint`: how to run it again, and what its nodes
    were."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        compare: bool,
        early_stop: bool,
    ) -> None:
        self.function = function
        self.inputs = _held((args, kwargs))
        self.compare = compare
        self.early_stop = early_stop
        self.context = contextvars.copy_context()
        self.around: AbstractContextManager[Any] = nullcontext()
        self.keys: list[tuple[int, int]] | None = None
        self.nodes: list[weakref.ref[Node]] = []
        self.specs: list[tuple[Any, ...]] = []  # of what each node saved
        self.read: list[Callable[[], Any]] = []  # memory from outside that its operators read
        self.stamp = clock.tick()  # of the begin of the first run
        self.running = True
        self.found: dict[int, Any] = {}  # what has been computed again, by number of the node
        self.lock = threading.RLock()
        _ALIVE.add(self)

    def run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], contexts: Contexts, preserve: bool
    ) -> Any:
        """The first run."""
        around, self.around = contexts()
        tape = replay.Recording(replay.tape())
        self.keys = tape.keys if preserve else None
        first = _First(self)
        watched = mode.recording(first, *mode.state().record, _Results(first))
        with around, replay.taping(tape), watched:
            result = self.function(*args, **kwargs)
        self._check_read("the function wrote into a tensor that it reads from outside", True)
        self.running = False
        return result

    def pack(self, node: Node) -> None:
        """Put a promise where ``node`` has its saved values, unless they are shapes only."""
        number = len(self.nodes)
        self.nodes.append(weakref.ref(node))
        self.specs.append(tuple(map(_spec, node.saved)))
        if type(node.saved) is not tuple or any(map(_has_array, node.saved)):
            node.saved = _Later(self, number)

    def unpack(self, number: int) -> Any:
        """The saved values of node ``number``, which are computed with those of all others."""
        with self.lock:
            if number not in self.found:
                self.found.clear()
                self._check_read(
                    "an input of the checkpoint was overwritten before backward", False
                )
                again = _Second(self)
                self.context.copy().run(self._again, again, mode.state().record)
                if number not in again.nodes:
                    raise _differs(self.nodes[number](), "it did not run in the second run")
                for node in again.nodes.values():
                    check_saved(node)
                self.found = {k: node.saved for k, node in again.nodes.items()}
            return self.found.pop(number)

    def _again(self, watcher: _Second, others: tuple[mode.Recorder, ...]) -> None:
        _DEPTH.set(watcher.depth)
        args, kwargs = _restored(self.inputs)
        tape = replay.Replay(self.keys)
        # The watcher comes last: it may end the run.
        watched = mode.recording(*others, watcher)
        with self.around, replay.taping(tape), mode.grad_mode(True), watched:
            try:
                if watcher.wanted:
                    self.function(*args, **kwargs)
            except _Enough as signal:
                if signal.watcher is not watcher:
                    raise

    def _check_read(self, problem: str, first: bool) -> None:
        """Raise if memory that the second run reads is no longer what it was."""
        for reference in self.read:
            owner = reference()
            write = None if owner is None else written_after(owner, self.stamp)
            if write is not None:
                raise GraphError(
                    "checkpoint",
                    problem + ", so that it cannot run again",
                    repair="Write out of place (x = x + y) or into a .clone()."
                    if first
                    else "Call backward before, or write to a .clone().",
                    notes=[f"it was overwritten at {write}"],
                )


_ALIVE: weakref.WeakSet[Segment] = weakref.WeakSet()


def _fresh_locks() -> None:
    for segment in _ALIVE:
        segment.lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)


class _Later:
    """Stands where a node has its saved values; what walks over them sees None for each."""

    __slots__ = ("number", "segment")

    def __init__(self, segment: Segment, number: int) -> None:
        self.segment = segment
        self.number = number

    @property
    def specs(self) -> tuple[Any, ...]:
        """Specs of the saved values."""
        return self.segment.specs[self.number]

    def unpack(self) -> tuple[Any, ...]:
        """The saved values, computed again."""
        saved = self.segment.unpack(self.number)
        while type(saved) is not tuple:  # of a checkpoint inside
            saved = saved.unpack()
        return saved

    def __iter__(self) -> Iterator[None]:
        return iter((None,) * len(self.specs))

    def __repr__(self) -> str:
        return f"<computed again: {len(self.specs)} saved values>"


class _Watcher(mode.Recorder, ABC):
    """Watches one run at one depth."""

    def __init__(self, segment: Segment, depth: int) -> None:
        self.segment = segment
        self.depth = depth

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        if _DEPTH.get() == self.depth:
            self.ran(op, inputs, outputs)

    @abstractmethod
    def ran(self, op: Any, inputs: Any, outputs: Any) -> None:
        """``op`` ran at this depth."""


_MADE = object()  # stands for memory that was made here


class _First(_Watcher):
    """Throws away what the nodes of the first run save, and notes what memory it reads."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, _DEPTH.get())
        self.known: dict[int, Callable[[], Any]] = {}  # memory from outside, or made here

    def ran(self, op: Any, inputs: Any, outputs: Any) -> None:
        for owner in map(_owner, inputs):
            if owner is not None and not self._knows(owner):
                self.known[id(owner)] = reference = _reference(owner, owner)
                self.segment.read.append(reference)
        node = _recorded(op, outputs)
        if node is not None:
            self.segment.pack(node)

    def _knows(self, owner: Any) -> bool:
        reference = self.known.get(id(owner))
        known = None if reference is None else reference()
        return known is owner or known is _MADE


class _Results(_Watcher):
    """Notes for a :class:`_First` what memory is made, when all others have seen the results and
    may have put their own arrays into them."""

    def __init__(self, first: _First) -> None:
        super().__init__(first.segment, first.depth)
        self.known = first.known

    def ran(self, op: Any, inputs: Any, outputs: Any) -> None:
        for owner in map(_owner, outputs):
            if owner is not None:
                self.known[id(owner)] = _reference(owner, _MADE)


class _Second(_Watcher):
    """Collects the nodes of the second run that stand for nodes that are still alive."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, _DEPTH.get() + 1)
        alive = [(k, reference()) for k, reference in enumerate(segment.nodes)]
        self.wanted = {k for k, n in alive if n is not None and type(n.saved) is _Later}
        self.stop = segment.running or segment.early_stop
        self.nodes: dict[int, Node] = {}
        self.count = 0

    def ran(self, op: Any, inputs: Any, outputs: Any) -> None:
        node = _recorded(op, outputs)
        if node is not None:
            if self.count in self.wanted:
                number = self.count
                self._compare(node, self.segment.nodes[number](), self.segment.specs[number])
                self.nodes[number] = node
            self.count += 1
        if self.stop and len(self.nodes) == len(self.wanted):
            raise _Enough(self)

    def _compare(self, now: Node, before: Node | None, specs: tuple[Any, ...]) -> None:
        if before is None:
            return
        if now.op is not before.op or now.plan is not before.plan:
            raise _differs(before, f"in its place {now.op.name} ran at {now.site}")
        if not self.segment.compare:
            return
        if now.outputs != before.outputs:
            raise _differs(before, f"its outputs are {_shapes(now)}, they were {_shapes(before)}")
        for name, a, b in zip(now.op.attributes, now.attrs, before.attrs, strict=False):
            if not _same(a, b):
                raise _differs(before, f"{name} is {a!r:.60}, it was {b!r:.60}")
        saved = specs if type(now.saved) is not tuple else tuple(map(_spec, now.saved))
        if saved != specs:
            raise _differs(before, "what it saves has another shape or dtype")


class _Enough(BaseException):
    """Ends the second run; no Exception, so that the function does not catch it."""

    def __init__(self, watcher: _Second) -> None:
        self.watcher = watcher


def _recorded(op: Any, outputs: Any) -> Node | None:
    """The node of a run that was recorded."""
    node = next((t.node for t in outputs if t.node is not None), None)
    return node if isinstance(node, Node) and node.op is op else None


def _owner(tensor: Any) -> Any:
    """What owns the memory of a Tensor; None for a number."""
    return owner_of(tensor.array) if isinstance(tensor, Tensor) else None


def _reference(owner: Any, else_: Any) -> Callable[[], Any]:
    """A weak reference; of what takes none, such as the bytes that an unpickled array stands in and
    the stand-ins of the meta device, to ``else_``."""
    try:
        return weakref.ref(owner)
    except TypeError:
        return lambda: else_


def _spec(value: Any) -> Any:
    if isinstance(value, tuple) and not isinstance(value, Spec):
        return tuple(map(_spec, value))
    return Spec(*spec_of(value)) if is_array(value) else value


def _has_array(value: Any) -> bool:
    return any(map(_has_array, value)) if type(value) is tuple else is_array(value)


def _same(a: Any, b: Any) -> bool:
    if is_array(a) and is_array(b):
        return a is b or bool(a.shape == b.shape and (a == b).all())
    if isinstance(a, (tuple, list)) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or bool(type(a) is type(b) and (a == b or (a != a and b != b)))


def _shapes(node: Node) -> str:
    return ", ".join(f"{shape} {np.dtype(dtype).name}" for shape, dtype in node.outputs)


def _differs(node: Node | None, how: str) -> TinygradError:
    notes = [how] if node is None else [f"{node.op.name} ran at {node.site}", how]
    error = GraphError(
        "checkpoint",
        "the function did not do the same when it ran again for backward",
        repair="It may depend on its inputs, its random draws and on nothing that changes.",
        notes=notes,
    )
    return error if node is None else node.blame(error)


def _held(value: Any) -> Any:
    """Arguments with each Tensor as it stands now: its handle may move on, by ``x += 1``."""
    return _mapped(value, Tensor, lambda t: _Held(t.array, t.node, t.index))


def _restored(value: Any) -> Any:
    return _mapped(value, _Held, _Held.tensor)


class _Held:
    def __init__(self, array: Any, node: Any, index: int) -> None:
        self.array, self.node, self.index = array, node, index

    def tensor(self) -> Tensor:
        tensor = Tensor(self.array)
        tensor.node, tensor.index = self.node, self.index
        return tensor


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Nested tuples, lists and dicts with each ``kind`` in them changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [_mapped(item, kind, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if type(value) is dict:
        return {key: _mapped(item, kind, change) for key, item in value.items()}
    return value
