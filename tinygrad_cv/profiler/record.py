"""Watching what runs: one :class:`Event` for each operator and for the gradient rules of each
node."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.kept import leaf_memory, memory_of
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import is_array, on_device_of, owner_of, xp_of
from tinygrad_cv.backend.replay import running_again
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import site_of

__all__ = ["Event", "Recording"]


class Event(NamedTuple):
    """One run of an operator, or of the gradient rules of one.

    Attributes:
        operator: its name.
        phase: "forward", "backward" for its gradient rules, or "recompute" for what a checkpoint
            computes again.
        module: path of the module call that it belongs to, as ``named_modules`` has it; of the
            module that the user called its class name; "" outside modules.
        start, time: seconds, from the begin of the profile and of the run.
        depth: 0; 1 for an operator that a gradient rule ran (with ``create_graph``), whose time,
            FLOPs and bytes are in those of the rule too.
        shapes: of the inputs; for rules of the gradient that they got.
        flops: by the operator's own formula; of rules the sum over the operators that they are
            made of, whatever kernel served; None where it depends on values, and for the
            backward of an ``autograd.Function``.
        output_bytes: new memory of the results: outputs, or gradients of the inputs.
        saved_bytes: memory that the graph keeps for the gradient rules because of this run: what
            belongs to a leaf, or is kept by an earlier operator, is not counted again.
        kernel: who served: a provider of :func:`tinygrad_cv.kernels`, or "reference"; of rules a
            provider, "fused_vjp" or "rules".
        site: the user's line that ran the operator.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(2, 3)
    >>> with tg.profile() as p, tg.use_kernels("reference"):
    ...     y = x.exp()
    >>> p.events[0].shapes, p.events[0].output_bytes, p.events[0].kernel
    (((2, 3),), 24, 'reference')
    """

    operator: str
    phase: str
    module: str
    start: float
    time: float
    depth: int
    shapes: tuple[tuple[int, ...], ...]
    flops: int | None
    output_bytes: int
    saved_bytes: int
    kernel: str
    site: str


class Recording(mode.Recorder, kernels.Watcher):
    """Takes the time first, when it is told something, and does all else off the clock."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.scopes: list[mode.Scope | None] = []  # of each event
        self.nodes: list[Callable[[], Node | None]] = []
        self.forwards: list[int | None] = []  # of a gradient rule, the event of its operator
        self.preparing = 0.0  # seconds that the clock stood still
        self.zero = self._now()
        self.thread = threading.get_ident()
        self._begun: dict[str, float] = {}  # operator -> when its last run began
        self._served = ("", "")  # (operator, provider) of the last kernel that served
        self._open: list[tuple[Node, Any, float]] = []  # nodes whose rules run
        self._kept: dict[
            int, weakref.ref[Any]
        ] = {}  # memory that the graph keeps, or that is of leaves
        self._flops: dict[Any, int | None] = {}
        self._ran: weakref.WeakKeyDictionary[Node, int] = weakref.WeakKeyDictionary()

    def stop(self) -> None:
        """The block is over."""
        self._open.clear()
        self._begun.clear()

    def _now(self) -> float:
        """Seconds on a clock that stands still while kernels are compiled or loaded."""
        return perf_counter() - self.preparing

    def prepared(self, seconds: float) -> None:
        self.preparing += seconds

    def begins(self, op: str) -> None:
        self._begun[op] = self._now()

    def served(self, op: str, provider: str) -> None:
        self._served = (op, provider)

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        _wait_for(outputs)
        now = self._now()
        arrays = [_raw(x) for x in inputs]
        specs = tuple(map(_as_spec, arrays))
        site = site_of(frame.f_code, frame.f_lasti)
        if self._open:  # a rule runs it: it belongs to the rule's node
            scope, site = self._open[-1][0].scope, self._open[-1][0].site
        node = next((t.node for t in outputs if isinstance(t.node, Node)), None)
        own = node is not None and node.op is op
        if own and node is not None and not running_again():
            self._ran[node] = len(self.events)
        self._note(
            op.name,
            "backward" if self._open else "recompute" if running_again() else "forward",
            scope,
            (self._begun.pop(op.name, now), now),
            arrays,
            outputs,
            _known(lambda: int(op.count_flops(specs, attrs))),
            self._keep(node) if own and node is not None else 0,
            self._served[1] if self._served[0] == op.name else "reference",
            str(site),
            node,
            None,
        )
        self._served = ("", "")

    def arrived(self, node: Any, gradient: Any) -> None:
        given = gradient if isinstance(gradient, tuple) else (gradient,)
        self._served = ("", "")
        _wait_for(given)
        self._open.append((node, given, self._now()))

    def differentiated(self, node: Any, gradients: Any) -> None:
        _wait_for(gradients)
        now = self._now()
        given: Any = ()
        begun = now
        while self._open:  # several if a rule above has failed
            last, given, begun = self._open.pop()
            if last is node:
                break
        operator, provider = self._served
        self._note(
            node.op.name,
            "backward",
            node.scope,
            (begun, now),
            [_raw(g) for g in given],
            gradients,
            self._rule_flops(node, tuple(_as_spec(_raw(g)) for g in given), gradients),
            0,
            provider if operator == f"{node.op.name}.vjp" else "rules",
            str(node.site),
            node,
            self._ran.get(node),
        )
        self._served = ("", "")

    def _note(
        self,
        operator: str,
        phase: str,
        scope: mode.Scope | None,
        times: tuple[float, float],
        given: list[Any],
        results: Iterable[Any],
        flops: int | None,
        saved: int,
        kernel: str,
        site: str,
        node: Node | None,
        forward: int | None,
    ) -> None:
        owners = {id(owner_of(x)) for x in given if is_array(x)}
        begun, now = times
        event = Event(
            operator,
            phase,
            path_of(scope),
            begun - self.zero,
            now - begun,
            len(self._open),
            tuple(x.shape for x in given if is_array(x)),
            flops,
            _new_bytes(results, owners),
            saved,
            kernel,
            site,
        )
        self.events.append(event)
        self.scopes.append(scope)
        self.forwards.append(forward)
        self.nodes.append(weakref.ref(node) if node is not None else lambda: None)

    def _keep(self, node: Node) -> int:
        """Bytes of memory that ``node`` is the first to save, and that belongs to no leaf."""
        for memory, _ in leaf_memory([node]).values():
            self._counted(memory)
        kept = {id(memory): memory for memory in map(memory_of, _saved_arrays(node))}
        return sum(int(memory.nbytes) for memory in kept.values() if not self._counted(memory))

    def _counted(self, memory: Any) -> bool:
        """True if it has counted already, or belongs to a leaf; it does from now on."""
        if isinstance(memory, Spec):  # takes no weak reference
            return True
        known = self._kept.get(id(memory))
        self._kept[id(memory)] = weakref.ref(memory)
        return known is not None and known() is memory

    def _rule_flops(self, node: Node, given: tuple[Any, ...], results: Any) -> int | None:
        if not node.op.rules:  # a Function, whose backward is not run a second time
            return None
        kept = node.saved if isinstance(node.saved, tuple) else node.saved.specs
        needs = tuple(result is not None for result in results)
        saved = tuple(map(_as_spec, kept))
        key = (node.op, node.plan.needs, needs, given, saved, node.attrs)
        try:
            known = key in self._flops
        except TypeError:  # an attribute that has no hash, such as an index array
            return rule_flops(node, given, needs, saved)
        if not known:
            self._flops[key] = rule_flops(node, given, needs, saved)
        return self._flops[key]


class _Counter(mode.Recorder):
    """Adds up the FLOPs of what runs."""

    def __init__(self) -> None:
        self.total = 0

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        self.total += op.count_flops(tuple(_as_spec(_raw(x)) for x in inputs), attrs)


def rule_flops(
    node: Node, given: tuple[Any, ...], needs: tuple[bool, ...], saved: tuple[Any, ...]
) -> int | None:
    """FLOPs of the operators that the rules of ``node`` are made of, for Specs of the gradient and
    of what is saved; None if that depends on values. The rules run on the meta device."""
    counter = _Counter()
    tensors = [_on_meta(x) if kind[0] != "shape" else x for kind, x in _kinds(node, saved)]
    g = tuple(map(_on_meta, given))

    def count() -> int:
        with mode.grad_mode(False), mode.recording(counter):
            node.plan.each(g if len(g) > 1 else g[0], needs, tensors, node.attrs)
        return counter.total

    return _known(count)


def _kinds(node: Node, saved: tuple[Any, ...]) -> Iterator[tuple[tuple[str, int], Any]]:
    return zip(node.plan.kinds, saved, strict=True)


def path_of(scope: mode.Scope | None) -> str:
    """The path of a module call; of the module that the user called its class name."""
    return "" if scope is None else scope.name or scope.kind


def _known(count: Callable[[], int]) -> int | None:
    """A number of FLOPs, or None if it depends on values that a Spec has not, or the formula of a
    user's operator fails."""
    try:
        return count()
    except Exception:
        return None


def _raw(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value


def _as_spec(value: Any) -> Any:
    if isinstance(value, Spec):
        return value
    if isinstance(value, tuple):
        return tuple(map(_as_spec, value))
    return spec_of(value) if is_array(value) else value


def _on_meta(value: Any) -> Any:
    """A Spec as a Tensor, also in a tuple."""
    if isinstance(value, Spec):
        return Tensor(value)
    return tuple(map(_on_meta, value)) if isinstance(value, tuple) else value


def _saved_arrays(node: Node) -> Iterator[Any]:
    if isinstance(node.saved, tuple):
        for (kind, _), value in _kinds(node, node.saved):
            for item in value if type(value) is tuple else (value,):
                if kind != "shape" and is_array(item) and not isinstance(item, Spec):
                    yield item


def _new_bytes(results: Iterable[Any], owners: set[int]) -> int:
    """Bytes of the results that are no views of what was given, nor of each other."""
    total = 0
    seen = set(owners)
    for array in map(_raw, results):
        if is_array(array) and id(owner_of(array)) not in seen:
            seen.add(id(owner_of(array)))
            total += array.nbytes
    return total


def _wait_for(results: Iterable[Any]) -> None:
    """Until the device has computed them."""
    for array in map(_raw, results):
        if is_array(array) and not isinstance(array, (np.ndarray, Spec)):
            with on_device_of(array):
                xp_of(array).cuda.get_current_stream().synchronize()
            return
