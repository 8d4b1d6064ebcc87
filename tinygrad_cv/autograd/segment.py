"""One call of a function under a checkpoint: how to run it again, and what its nodes were."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import numpy as np

from tinygrad_cv.autograd.flow import Flow, difference
from tinygrad_cv.autograd.held import Held, held, mapped, restored
from tinygrad_cv.backend import replay
from tinygrad_cv.backend.array import is_array, owner_of
from tinygrad_cv.backend.blame import check_saved
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.backend.writes import clock, written_after
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.plan import Plan
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError, TinygradError

__all__ = ["Contexts", "Segment", "is_recomputed"]

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
        self.inputs = held((args, kwargs))
        self.compare = compare
        self.early_stop = early_stop
        self.context = contextvars.copy_context()
        self.around: AbstractContextManager[Any] = nullcontext()
        self.keys: list[tuple[int, int]] | None = None
        self.unset: replay.Unset = {}
        self.nodes: list[weakref.ref[Node]] = []
        self.plans: list[Plan] = []  # of the nodes
        self.promises: dict[int, weakref.ref[_Later]] = {}  # by number of the node
        self.numbers: list[int] = []  # of the computation behind each node
        self.specs: list[tuple[Any, ...]] = []  # of what each node saved
        # Memory from outside that its operators read, and when they did so first.
        self.read: list[tuple[Callable[[], Any], int]] = []
        arrays: list[Any] = []
        mapped(self.inputs, Held, lambda value: arrays.append(value.array))
        self.flow = Flow(arrays)
        self.surroundings = replay.surroundings()
        self.running = True
        # What has been computed again, by number of the node, and when it was saved.
        self.found: dict[int, tuple[Any, int]] = {}
        self.lock = threading.RLock()
        _ALIVE.add(self)

    def run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], contexts: Contexts, preserve: bool
    ) -> Any:
        """The first run."""
        around, self.around = contexts()
        tape = replay.Recording(replay.tape())
        self.keys, self.unset = tape.keys if preserve else None, tape.unset
        first = _First(self)
        watched = mode.recording(first, *mode.state().record, _Results(first))
        with around, replay.taping(tape), watched:
            result = self.function(*args, **kwargs)
        self._check_read(WROTE, OUT_OF_PLACE)
        self.running = False
        self.flow.forget()
        return result

    def number(self, *ran: Any) -> int:
        """The number of what just ran, if runs are compared."""
        return self.flow.number(*ran) if self.compare else 0

    def pack(self, node: Node, computation: int) -> None:
        """Put a promise where ``node`` has its saved values, unless they are shapes only."""
        number = len(self.nodes)
        _RECOMPUTED.add(node)
        self.nodes.append(weakref.ref(node))
        self.plans.append(node.plan)
        self.numbers.append(computation)
        saved = node.saved if type(node.saved) is tuple else node.saved.specs
        self.specs.append(tuple(map(_spec, saved)))
        if type(node.saved) is not tuple or any(map(_has_array, node.saved)):
            node.saved = promise = _Later(self, number)
            self.promises[number] = weakref.ref(promise)

    def unpack(self, number: int) -> Any:
        """The saved values of node ``number``, which are computed with those of all others."""
        with self.lock:
            saved, stamp = self.found.pop(number, (None, 0))
            if saved is not None and not _overwritten(saved, stamp):
                return saved
            self.found.clear()
            self._check_read(
                "an input of the checkpoint was overwritten before backward",
                "Call backward before, or write to a .clone().",
            )
            begin = clock.tick()
            again = _Second(self)
            self.context.copy().run(self._again, again, mode.state().record)
            missing = again.wanted - again.nodes.keys()
            if missing:
                raise _differs(self.nodes[min(missing)](), "it did not run in the second run")
            self._check_read(WROTE, OUT_OF_PLACE, begin)
            for node in again.nodes.values():
                check_saved(node)
            self.found = {k: (node.saved, node.stamp) for k, node in again.nodes.items()}
            again.nodes.clear()  # checkpoints inside know `again` by their contexts: no cycle
            return self.found.pop(number)[0]

    def _again(self, watcher: _Second, others: tuple[mode.Recorder, ...]) -> None:
        _DEPTH.set(watcher.depth)
        args, kwargs = restored(self.inputs)
        tape = replay.Replay(self.keys, self.unset)
        # The watcher comes last: it may end the run.
        watched = mode.recording(*others, watcher)
        with ExitStack() as stack:
            stack.callback(self.flow.forget)
            for around in (*self.surroundings, tape.without_traces):
                stack.enter_context(around())
            for block in (self.around, replay.taping(tape), mode.grad_mode(True), watched):
                stack.enter_context(block)
            try:
                if watcher.wanted:
                    self.function(*args, **kwargs)
            except _Enough as signal:
                if signal.watcher is not watcher:
                    raise
            except Exception as error:
                _told(error)
                raise

    def _check_read(self, problem: str, repair: str, begin: int = 0) -> None:
        """Raise if memory was written after the first run read it, and after ``begin``."""
        for reference, time in self.read:
            owner = reference()
            write = None if owner is None else written_after(owner, max(time, begin))
            if write is not None:
                raise GraphError(
                    "checkpoint",
                    problem + ", so that it cannot run again",
                    repair=repair,
                    notes=[f"it was overwritten at {write}"],
                )


WROTE = "the function wrote into a tensor that it reads from outside"
OUT_OF_PLACE = "Write out of place (x = x + y) or into a .clone()."

_ALIVE: weakref.WeakSet[Segment] = weakref.WeakSet()
_RECOMPUTED: weakref.WeakSet[Node] = weakref.WeakSet()


def is_recomputed(node: Node) -> bool:
    """True if this node was recorded under :func:`checkpoint`, also after its backward.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> y = tg.autograd.checkpoint(lambda x: x.exp(), x)
    >>> is_recomputed(y.grad_fn), is_recomputed(y.sum().grad_fn)
    (True, False)
    """
    return node in _RECOMPUTED


def _fresh_locks() -> None:
    for segment in _ALIVE:
        segment.lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)


class _Later:
    """Stands where a node has its saved values; what walks over them sees None for each."""

    __slots__ = ("__weakref__", "number", "segment")
    state = "recomputed"

    def __init__(self, segment: Segment, number: int) -> None:
        self.segment = segment
        self.number = number

    @property
    def specs(self) -> tuple[Any, ...]:
        """Specs of the saved values."""
        return self.segment.specs[self.number]

    @property
    def kept(self) -> tuple[Any, ...]:
        """A list of the arrays that are held in the place of each array: those of a second run that
        wait for a backward."""
        saved, _ = self.segment.found.get(self.number, ((), 0))
        return tuple(map(_kept, saved if type(saved) is tuple and saved else self.specs))

    @property
    def inputs(self) -> Any:
        """What the second run is called with, nested as the arguments are."""
        return restored(self.segment.inputs)

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
            self.ran(op, inputs, outputs, attrs)

    @abstractmethod
    def ran(self, op: Any, inputs: Any, outputs: Any, attrs: Any) -> None:
        """``op`` ran at this depth."""


_MADE = object()  # stands for memory that was made here


class _First(_Watcher):
    """Throws away what the nodes of the first run save, and notes what memory it reads."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, _DEPTH.get())
        self.known: dict[int, Callable[[], Any]] = {}  # memory from outside, or made here
        self.number = 0  # of the last computation

    def ran(self, op: Any, inputs: Any, outputs: Any, attrs: Any) -> None:
        segment = self.segment
        for owner in map(_owner, inputs):
            if owner is not None and not self._knows(owner):
                self.known[id(owner)] = reference = _reference(owner, owner)
                segment.read.append((reference, clock.tick()))
        node = _recorded(op, outputs)
        self.number = segment.number(op, inputs, outputs, attrs, node)
        if node is not None:
            segment.pack(node, self.number)

    def _knows(self, owner: Any) -> bool:
        reference = self.known.get(id(owner))
        known = None if reference is None else reference()
        return known is owner or known is _MADE


class _Results(_Watcher):
    """Notes for a :class:`_First` what memory is made, when all others have seen the results and
    may have put their own arrays into them."""

    def __init__(self, first: _First) -> None:
        super().__init__(first.segment, first.depth)
        self.first = first

    def ran(self, op: Any, inputs: Any, outputs: Any, attrs: Any) -> None:
        for owner in map(_owner, outputs):
            if owner is not None:
                self.first.known[id(owner)] = _reference(owner, _MADE)
        self.segment.flow.made(outputs, self.first.number)


class _Second(_Watcher):
    """Collects the nodes of the second run for which promises are still to be kept."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, _DEPTH.get() + 1)
        self.wanted = {k for k, promise in segment.promises.items() if promise() is not None}
        self.stop = segment.running or segment.early_stop
        self.nodes: dict[int, Node] = {}
        self.count = 0

    def ran(self, op: Any, inputs: Any, outputs: Any, attrs: Any) -> None:
        segment = self.segment
        node = _recorded(op, outputs)
        number = segment.number(op, inputs, outputs, attrs, node)
        segment.flow.made(outputs, number)
        if node is not None:
            if self.count < len(segment.nodes):
                self._compare(node, segment.nodes[self.count](), number)
            if self.count in self.wanted:
                self.nodes[self.count] = node
            self.count += 1
        if self.stop and len(self.nodes) == len(self.wanted):
            raise _Enough(self)

    def _compare(self, now: Node, before: Node | None, number: int) -> None:
        segment = self.segment
        plan = segment.plans[self.count]
        if now.plan is not plan:
            if before is None:
                raise _differs(now, f"in its place {plan.op.name} ran before")
            raise _differs(before, f"in its place {now.op.name} ran at {now.site}")
        if not segment.compare:
            return
        known = segment.numbers[self.count]
        if number != known:
            one, other = segment.flow.computations[number], segment.flow.computations[known]
            raise _differs(before or now, difference(now.op, one, other))
        if before is not None and now.outputs != before.outputs:
            raise _differs(before, f"its outputs are {_shapes(now)}, they were {_shapes(before)}")
        specs = segment.specs[self.count]
        saved = specs if type(now.saved) is not tuple else tuple(map(_spec, now.saved))
        if saved != specs:
            raise _differs(before or now, "what it saves has another shape or dtype")


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


def _kept(value: Any) -> Any:
    if isinstance(value, tuple) and not isinstance(value, Spec):
        return tuple(map(_kept, value))
    return [value] if is_array(value) and not isinstance(value, Spec) else []


def _has_array(value: Any) -> bool:
    return any(map(_has_array, value)) if type(value) is tuple else is_array(value)


def _overwritten(saved: Any, stamp: int) -> bool:
    """Something was written after ``stamp`` into memory of saved values."""
    if type(saved) is tuple:
        return clock.last_write > stamp and any(_overwritten(value, stamp) for value in saved)
    return is_array(saved) and written_after(saved, stamp) is not None


def _told(error: Exception) -> None:
    """Note in an error of the second run that the first had none; ours say so themselves."""
    text = (
        "it did not fail when checkpoint ran the function first: something has changed since then"
    )
    if not isinstance(error, TinygradError):
        error.add_note(text)
    elif error.op != "checkpoint" and text not in error.notes:
        error.notes.append(text)


def _shapes(node: Node) -> str:
    return ", ".join(f"{shape} {np.dtype(dtype).name}" for shape, dtype in node.outputs)


def _differs(node: Node | None, how: str) -> TinygradError:
    notes = [how] if node is None else [f"{node.op.name} ran at {node.site}", how]
    error = GraphError(
        "checkpoint",
        "the function did not do the same when it ran again for backward",
        repair="It may depend on its inputs, its random draws and on nothing that changes before "
        "backward: pass as arguments what does.",
        notes=notes,
    )
    return error if node is None else node.blame(error)
