"""Backward: walk the graph from the results, run each node's rules once, add up what meets.

Without all that a user may want beside it, it is this::

    grads = {output: 1}
    for node in everything below the output, the last made first:
        g = grads.pop(node)
        for source, rule in the inputs of the node that need a gradient:
            grads[source] = grads.get(source, 0) + rule(g, what the node saved)

What is left in ``grads`` are the gradients of the leaves: :meth:`Run._walk` is the loop,
:meth:`Run._rules` the call of the rules, :meth:`Run._add` the sum, :func:`reachable` the order.

The walk is iterative and everything it needs belongs to the run, so a hook may start another
backward and two threads may use one retained graph. With ``create_graph`` the same rules are fed
Tensors instead of arrays, and record themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import on_device_of, zeros
from tinygrad_cv.backend.blame import Freed, check_constant, check_saved, tell, wrong_shape
from tinygrad_cv.backend.dispatch import run_rules, sum_of
from tinygrad_cv.backend.writes import clock
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import AFTER, BEFORE, Leaf, Node, Source
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.core.plan import Plan
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import user_frame

__all__ = ["Key", "Run", "as_seen", "fitted", "key_of", "reachable"]

Key = Source | tuple[Source, int]  # output 0 of a node is keyed by the node alone


def key_of(node: Source, index: int) -> Key:
    """The place of one output of a node, or of a leaf, among the gradients of a run."""
    return (node, index) if index else node


class Run:
    """One backward: ``run(roots)`` gives the gradient at each place of ``only`` that it reached, or
    at every leaf if that is None. With ``create_graph`` gradients are Tensors, else arrays."""

    def __init__(self, create_graph: bool, retain: bool, only: Iterable[Key] | None) -> None:
        self.create_graph = create_graph
        self.retain = retain
        self.only = None if only is None else set(only)
        self.found: dict[Key, Any] = {}
        self.grads: dict[Key, Any] = {}  # what has arrived so far
        self.owned: set[Key] = set()  # gradients that this run allocated, and may add to in place
        self.useful: set[Any] | None = None  # what a wanted place can be reached from
        self.running: set[Node] = set()  # nodes whose rules run, if not all do
        self.watchers = mode.state().record
        self.freed = Freed(user_frame(2))  # what takes the place of saved values

    def __call__(self, roots: list[tuple[Source, int, Any]]) -> dict[Key, Any]:
        nodes, leaves = reachable([node for node, _, _ in roots])
        if self.only is not None:
            nodes = self._prune(nodes, self.only)
        quiet: AbstractContextManager[Any] = (
            nullcontext() if self.create_graph else np.errstate(all="ignore")
        )
        with mode.grad_mode(self.create_graph), quiet:
            gradient = None
            for node, index, gradient in roots:
                self._add(key_of(node, index), gradient)
            del roots, gradient
            self._walk(nodes)
            for leaf in leaves:
                if leaf in self.grads:
                    self._keep(leaf, leaf, self._hooked(leaf, 0, self.grads.pop(leaf)))
        return self.found

    def _prune(self, nodes: list[Node], only: set[Key]) -> list[Node]:
        """Only the nodes from which a wanted place can be reached, and the wanted ones."""
        self.useful = useful = {key[0] if isinstance(key, tuple) else key for key in only}
        for node in reversed(nodes):
            if not useful.isdisjoint(node.edges):
                self.running.add(node)
                useful.add(node)
        return [node for node in nodes if node in useful]

    def _walk(self, nodes: list[Any]) -> None:
        """Run the rules of every node, from the results to the leaves. The first-order case of an
        elementwise operator on equal shapes stands in this loop without calls of its own, since
        for a small array a call costs as much as the arithmetic."""
        grads, owned = self.grads, self.owned
        keep, plain = self.retain, self.only is None and not self.watchers
        plain = plain and not self.create_graph
        ndarray, add_into = np.ndarray, np.add
        for node in nodes:
            gradient = grads.pop(node, None)
            simple = plain and node.fits and type(gradient) is ndarray and node.hooks is None
            try:
                if not simple:
                    gradient = self._arrived(node, gradient)
                    if self.useful is not None and node not in self.running:
                        continue
                if gradient is None:  # no rule sent anything here
                    continue
                saved = node.saved
                if type(saved) is not tuple or clock.last_write > node.stamp:
                    check_saved(node)
                if simple:
                    results = node.plan.run(gradient, saved, node.attrs)
                else:
                    results = self._rules(node, gradient)
            except Exception as error:
                tell(error, node)
                raise
            if not keep:
                node.saved = self.freed
            saved = gradient = None
            if simple:
                for source, result in zip(node.edges, results):  # noqa: B905  (equal lengths)
                    known = grads.get(source)
                    if known is not None and result is not None:
                        if source in owned:
                            add_into(known, result, known)
                        else:
                            self._add(source, result)
                    elif result is not None:
                        grads[source] = result
            else:
                self._send(node, results)
            results = result = known = None

    def _send(self, node: Node, results: Sequence[Any]) -> None:
        """Add the gradient of every input to what has arrived there, in the input's shape and
        dtype."""
        for k, ((source, index), result) in enumerate(zip(node.inputs, results, strict=True)):
            if result is not None and source is not None:
                self._add(key_of(source, index), fitted(node, k, result))

    def _add(self, key: Key, gradient: Any) -> None:
        """Add to what has arrived at ``key``, in place only into memory that this run allocated."""
        known = self.grads.get(key)
        if known is None:
            self.grads[key] = gradient
        elif self.create_graph:
            self.grads[key] = known + gradient
        else:
            self.grads[key] = sum_of(known, gradient, out=known if key in self.owned else None)
            self.owned.add(key)

    def _arrived(self, node: Node, first: Any) -> Any:
        """What the rules of ``node`` call ``g``, after hooks, and after keeping what the caller
        asked for: the gradient, for several float outputs the tuple with zeros filled in, or None
        if nothing arrived."""
        count = 1 + len(node.rest)
        arrived = [first, *(self.grads.pop((node, index), None) for index in range(1, count))]
        for index, gradient in enumerate(arrived):
            if gradient is not None:
                arrived[index] = gradient = self._hooked(node, index, gradient)
                self._keep(key_of(node, index), node, gradient)
        like = next((g for g in arrived if g is not None), None)
        if like is None or not node.rest:
            return like
        outputs = node.outputs
        floats = [i for i, (_, dtype) in enumerate(outputs) if dtype.kind == "f"]
        for i in floats:
            if arrived[i] is not None or not node.op.fills_zeros:
                continue
            if self.create_graph:
                arrived[i] = Tensor(zeros(*outputs[i], like.array))
            else:
                arrived[i] = zeros(*outputs[i], like)
        return tuple([arrived[i] for i in floats]) if len(floats) > 1 else arrived[floats[0]]

    def _hooked(self, place: Source, index: int, gradient: Any) -> Any:
        """``gradient`` after the hooks at one output of ``place``."""
        hooks = place.hooks.get(index) if place.hooks else None
        if not hooks:
            return gradient
        given = seen = as_seen(gradient)
        for hook in tuple(hooks.values()):
            seen = hook(seen)
        return gradient if seen is given else seen if self.create_graph else seen.array

    def _keep(self, key: Key, place: Source, gradient: Any) -> None:
        if key in self.only if self.only is not None else isinstance(place, Leaf):
            self.found[key] = gradient

    def _rules(self, node: Node, gradient: Any) -> Sequence[Any]:
        """The gradients of the inputs of ``node``: recorded, or by the best first-order kernel."""
        plan, useful, kept = node.plan, self.useful, node.saved
        hooks = node.hooks or {}
        for hook in tuple(hooks.get(BEFORE, {}).values()):
            gradient = hook(node, gradient, self.create_graph)
        if type(kept) is not tuple:
            kept = kept.unpack()
        for watcher in self.watchers:
            watcher.arrived(node, gradient)
        needs = tuple([e is not None and (useful is None or e in useful) for e in node.edges])
        if self.create_graph:
            values = zip(plan.kinds, kept, strict=True)
            saved = [self._restored(node, *kind, value) for kind, value in values]
            results: Sequence[Any] = plan.each(gradient, needs, saved, node.attrs)
        else:
            found = run_rules(plan, gradient, needs, kept, node.attrs, _each_on_tensors)
            results = [x.array if isinstance(x, Tensor) else x for x in found]  # from tg functions
        for watcher in self.watchers:
            watcher.differentiated(node, results)
        for hook in tuple(hooks.get(AFTER, {}).values()):
            results = hook(node, results, gradient, self.create_graph)
        return results

    def _restored(self, node: Node, kind: str, position: int, value: Any) -> Any:
        """A saved value as a Tensor, an input or output put back where it stood in the graph."""
        if kind == "shape" or value is None or isinstance(value, (bool, int, float)):
            return value
        if kind == "input" and node.op.variadic and isinstance(value, tuple):
            return tuple(_restore(x, *edge) for x, edge in zip(value, node.inputs, strict=True))
        if kind == "input":
            return _restore(value, *node.inputs[position])
        if kind == "residual":
            check_constant(node, position, value)
        recorded = kind == "output" and value.dtype.kind == "f"
        return _restore(value, node if recorded else None, position if recorded else 0)


def reachable(sources: Iterable[Any]) -> tuple[list[Node], list[Leaf]]:
    """Every node below ``sources``, the latest made first, and every leaf.

    A node is made after everything that it was computed from, so this order hands each node its
    complete gradient before its rules run.
    """
    stack: list[Any] = [*{*sources} - {None}]
    seen: set[Any] = {None, *stack}
    nodes: list[Node] = []
    leaves: list[Leaf] = []
    while stack:
        node = stack.pop()
        if type(node) is Leaf:
            leaves.append(node)
            continue
        nodes.append(node)
        for source in node.edges:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    nodes.sort(key=attrgetter("stamp"), reverse=True)
    return nodes, leaves


def as_seen(gradient: Any) -> Tensor:
    """A gradient as hooks see it, not to be written: it may be that of another tensor as well."""
    array = gradient.array if isinstance(gradient, Tensor) else gradient
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    tensor = Tensor(array)
    if isinstance(gradient, Tensor):
        tensor.node, tensor.index = gradient.node, gradient.index
    return tensor


def _each_on_tensors(
    plan: Plan, gradient: Any, needs: Sequence[bool], saved: Sequence[Any], attrs: tuple[Any, ...]
) -> list[Any]:
    """As ``Plan.each``, of arrays, but the rules see Tensors without a graph: so their arithmetic
    is that of the operators, with kernels and recycled memory, and not NumPy's."""
    values = zip(plan.kinds, saved, strict=True)
    constants = [value if kind == "shape" else _constant(value) for (kind, _), value in values]
    with mode.recording() if mode.state().record else nullcontext():
        results = plan.each(_constant(gradient), needs, constants, attrs)
    return [x.array if isinstance(x, Tensor) else x for x in results]


def _constant(value: Any) -> Any:
    """An array as a Tensor without a graph, also inside a tuple; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    return Tensor(value) if isinstance(value, np.ndarray) else value


def _restore(array: Any, node: Source | None, index: int) -> Tensor:
    tensor = Tensor(array)
    tensor.node, tensor.index = node, index
    return tensor


def fitted(node: Node, k: int, gradient: Any) -> Any:
    """The gradient of input ``k`` in that input's shape and dtype: of an elementwise operator
    un-broadcast; any other rule must give the shape itself."""
    source, index = node.edges[k], node.indices[k] if node.indices else 0
    shape, dtype = source.outputs[index] if source is not None else (gradient.shape, gradient.dtype)
    if gradient.shape != shape:
        if not node.op.elementwise:
            raise wrong_shape(node, k, gradient.shape, shape)
        gradient = REGISTRY["sum_to"].call(gradient, shape)
    return gradient if gradient.dtype == dtype else _cast(gradient, dtype)


def _cast(gradient: Any, dtype: Any) -> Any:
    if isinstance(gradient, Tensor):
        return REGISTRY["cast"].call(gradient, dtype)
    with on_device_of(gradient):
        return gradient.astype(dtype, copy=False)
