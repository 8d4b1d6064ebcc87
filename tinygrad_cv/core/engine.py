"""Backward: walk the graph from the results, run each node's rules once, add up what meets.

The walk is iterative and everything it needs belongs to the run, so a hook may start another
backward and two threads may use one retained graph. With ``create_graph`` the same rules are fed
Tensors instead of arrays, and record themselves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import copy_of, on_device_of, xp_of
from tinygrad_cv.backend.dispatch import run_fused
from tinygrad_cv.backend.memory import Block
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core import mode, write
from tinygrad_cv.core.node import FREED, Leaf, Node
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError, GraphError, ShapeError, TinygradError

__all__ = ["Run", "Source", "add_to_grad", "key_of", "zeros"]

Source = Node | Leaf
Key = Source | tuple[Source, int]  # output 0 of a node is keyed by the node alone

_accumulation = threading.Lock()


def _fresh_lock() -> None:
    global _accumulation
    _accumulation = threading.Lock()  # another thread of the parent may have held it at the fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def key_of(node: Source, index: int) -> Key:
    """The place of one output of a node, or of a leaf, among the gradients of a run."""
    return (node, index) if index else node


class Run:
    """One backward. ``only`` holds the places whose gradients are wanted; None means all leaves,
    into ``.grad``."""

    def __init__(self, create_graph: bool, retain: bool, only: Iterable[Key] | None) -> None:
        self.create_graph = create_graph
        self.retain = retain
        self.only = None if only is None else set(only)
        self.found: dict[Key, Any] = {}
        self.grads: dict[Key, Any] = {}
        self.owned: set[Key] = set()  # gradients that this run allocated, and may add to in place
        self.useful: set[Any] | None = None
        self.home: Any = None  # the CUDA device that was current before the run, if it left it

    def __call__(self, roots: list[tuple[Source, int, Any]]) -> None:
        nodes, leaves = _reachable([node for node, _, _ in roots])
        if self.only is not None:
            nodes = self._prune(nodes)
        quiet: AbstractContextManager[Any] = (
            nullcontext() if self.create_graph else np.errstate(all="ignore")
        )
        try:
            with mode.set_grad_enabled(self.create_graph), quiet:
                gradient = None
                for node, index, gradient in roots:
                    self._add(key_of(node, index), gradient)
                del roots, gradient
                self._walk(nodes)
                for leaf in leaves:
                    self._finish_leaf(leaf)
        finally:
            if self.home is not None:
                self.home.use()

    def _prune(self, nodes: list[Node]) -> list[Node]:
        """Only the nodes from which a wanted place can be reached, and the wanted ones."""
        self.useful = useful = {
            key[0] if isinstance(key, tuple) else key for key in self.only or ()
        }
        self.above: set[Node] = set()  # these have a wanted place below them: their rules run
        for node in reversed(nodes):
            if not useful.isdisjoint(node.edges):
                self.above.add(node)
                useful.add(node)
        return [node for node in nodes if node in useful]

    def _walk(self, nodes: list[Any]) -> None:
        """Run the rules of every node, from the results to the leaves. The plain first-order case
        stands in this loop without a call of its own, since for a small array a call costs as much
        as the arithmetic."""
        grads, owned = self.grads, self.owned
        plain, keep = not self.create_graph and self.only is None, self.retain
        ndarray, add, clock = np.ndarray, np.add, write.clock
        source: Any
        key: Any
        results: Any
        for node in nodes:
            gradient = grads.pop(node, None)
            plan = node.plan
            simple = plain and plan.plain and node.hooks is None and type(gradient) is ndarray
            if not simple:
                gradient = self._arrived(node, gradient)
                if self.only is not None and node not in self.above:
                    continue
            if gradient is None:  # no rule sent anything here
                continue
            saved, edges, indices = node.saved, node.edges, node.indices
            if saved is FREED:
                raise _freed(node)
            if clock.last_write > node.stamp:
                write.check_saved(node)
            try:
                if simple:
                    results = plan.run(gradient, saved, node.attrs)
                else:
                    results = self._rules(node, gradient)
            except TinygradError as error:
                error.notes.append(_where(node))
                raise
            except Exception as error:
                error.add_note(_where(node))
                raise
            if not keep:
                node.saved = FREED
            saved = gradient = None
            for k, result in zip(plan.needed, results):  # noqa: B905  (equal by construction)
                if result is None:
                    continue
                key = source = edges[k]
                if not node.fits:
                    shape, dtype = source.shape, source.dtype
                    if indices is not None and indices[k]:
                        key = (source, indices[k])
                        shape, dtype = source.outputs[indices[k]]
                    if result.shape != shape:
                        result = _fit(node, k, result, shape)
                    if result.dtype is not dtype:
                        result = _cast(result, dtype)
                known = grads.get(key)
                if known is None:
                    grads[key] = result
                elif key in owned and type(known) is ndarray:
                    add(known, result, known)
                else:
                    self._add(key, result)
            results = result = known = None

    def _arrived(self, node: Node, first: Any) -> Any:
        """What the rules of ``node`` call ``g``, after hooks, and after keeping what the caller
        asked for."""
        self._go_to(first)
        outputs = self._outputs(node, first)
        if self.only is not None:
            for index, gradient in enumerate(outputs):
                key = key_of(node, index)
                if gradient is not None and key in self.only:
                    self.found[key] = gradient
        return self._cotangent(node, outputs)

    def _add(self, key: Key, gradient: Any) -> None:
        """Add to what has arrived at ``key``, in place only into memory that this run allocated."""
        known = self.grads.get(key)
        if known is None:
            self.grads[key] = gradient
        elif self.create_graph:
            self.grads[key] = known + gradient
        elif key in self.owned:
            self._go_to(known)
            xp_of(known).add(known, gradient, out=known)
        else:
            self._go_to(known)
            self.grads[key] = xp_of(known).asarray(known + gradient)
            self.owned.add(key)

    def _go_to(self, array: Any) -> None:
        """CuPy computes, and leaves its results, on the current device: make it the array's."""
        if array is None or isinstance(array, (np.ndarray, np.generic, Tensor)):
            return  # operators on Tensors see to it themselves
        if self.home is None:
            self.home = xp_of(array).cuda.Device()
        array.device.use()

    def _rules(self, node: Node, gradient: Any) -> Sequence[Any]:
        """The gradients of the inputs of ``node``: recorded, fused, or only those that are
        wanted."""
        plan, edges, useful = node.plan, node.edges, self.useful
        saved: Sequence[Any]
        if self.create_graph:
            saved = self._restored(node)
        else:
            saved = node.saved
            needs = tuple(e is not None and (useful is None or e in useful) for e in edges)
            fused = run_fused(plan, gradient, needs, saved, node.attrs)
            if fused is not None:
                return [fused[k] if needs[k] else None for k in plan.needed]
        if useful is None:
            gradients: Sequence[Any] = plan.run(gradient, saved, node.attrs)
            return gradients
        results = []
        for k in plan.needed:
            wanted = edges[k] in useful
            results.append(plan.rules[k](gradient, saved, node.attrs, k) if wanted else None)
        return results

    def _restored(self, node: Node) -> list[Any]:
        """Saved values as Tensors, inputs and outputs put back into the graph that they came
        from."""
        saved: list[Any] = []
        for (kind, k), value in zip(node.plan.kinds, node.saved, strict=True):
            if kind == "shape" or value is None or isinstance(value, (bool, int, float)):
                saved.append(value)
            elif kind == "input" and isinstance(value, tuple) and node.op.variadic:
                saved.append(
                    tuple(_restore(x, *edge) for x, edge in zip(value, node.inputs, strict=True))
                )
            elif kind == "input":
                saved.append(_restore(value, *node.inputs[k]))
            elif kind == "output" and value.dtype.kind == "f":
                saved.append(_restore(value, node, k))
            else:
                saved.append(Tensor(value))
        return saved

    def _outputs(self, node: Node, first: Any) -> list[Any]:
        """The gradient of each output of ``node``, after its hooks; None where none arrived."""
        gradients = [
            first,
            *(self.grads.pop((node, i), None) for i in range(1, 1 + len(node.rest))),
        ]
        for index, hooks in (node.hooks or {}).items():
            if gradients[index] is not None:
                gradients[index] = self._hooked(gradients[index], hooks)
        return gradients

    def _cotangent(self, node: Node, gradients: list[Any]) -> Any:
        """What the rules call ``g``: the gradient, or for several float outputs the tuple, with
        zeros filled in."""
        like = next((g for g in gradients if g is not None), None)
        if like is None:
            return None
        floats = [i for i, (_, dtype) in enumerate(node.outputs) if dtype.kind == "f"]
        if len(floats) == 1:
            return gradients[floats[0]]
        filled = []
        for i in floats:
            if gradients[i] is None:
                missing = zeros(*node.outputs[i], like.array if self.create_graph else like)
                filled.append(Tensor(missing) if self.create_graph else missing)
            else:
                filled.append(gradients[i])
        return tuple(filled)

    def _hooked(self, gradient: Any, hooks: dict[int, Callable[[Tensor], Any]]) -> Any:
        tensor = gradient if self.create_graph else Tensor(gradient)
        for hook in tuple(hooks.values()):
            changed = hook(tensor)
            if changed is not None:
                _check_hooked(tensor, changed)
                tensor = changed
        return tensor if self.create_graph else tensor.array

    def _finish_leaf(self, leaf: Leaf) -> None:
        gradient = self.grads.pop(leaf, None)
        if gradient is None:
            return
        self._go_to(gradient)
        if leaf.hooks:
            gradient = self._hooked(gradient, leaf.hooks.get(0, {}))
        if self.only is not None:
            if leaf in self.only:
                self.found[leaf] = gradient
            return
        tensor = leaf.tensor()
        if tensor is not None:
            add_to_grad(tensor, gradient, self.create_graph)


def _check_hooked(given: Tensor, returned: Any) -> None:
    if not isinstance(returned, Tensor):
        kind = type(returned).__name__
        raise DTypeError("hook", f"a hook must return a tensor or None, not {kind}")
    if returned.shape != given.shape:
        raise ShapeError(
            "hook",
            "a hook must return a gradient of the shape that it was given",
            values=[("given", given.shape), ("returned", returned.shape)],
        )
    if returned.dtype != given.dtype:
        raise DTypeError(
            "hook",
            f"a hook must return a gradient of the dtype that it was given, {given.dtype.name}, "
            f"not {returned.dtype.name}",
            repair=f'Convert it with .to("{given.dtype.name}").',
        )


def _reachable(sources: list[Any]) -> tuple[list[Node], list[Leaf]]:
    """Every node below ``sources``, the latest made first, and every leaf.

    A node is made after everything that it was computed from, so this order hands each node its
    complete gradient before its rules run.
    """
    seen: set[Any] = set(sources)
    nodes: list[Node] = []
    leaves: list[Leaf] = []
    stack = list(seen)
    while stack:
        node = stack.pop()
        if type(node) is Leaf:
            leaves.append(node)
            continue
        nodes.append(node)
        for source in node.edges:
            if source is not None and source not in seen:
                seen.add(source)
                stack.append(source)
    nodes.sort(key=attrgetter("stamp"), reverse=True)
    return nodes, leaves


def add_to_grad(tensor: Any, gradient: Any, create_graph: bool) -> None:
    """``tensor.grad += gradient``; ``.grad`` never shares memory with anything else."""
    with _accumulation:
        known = tensor.grad
        if known is not None:
            _check_grad(known, gradient)
        if create_graph:
            tensor.grad = gradient.clone() if known is None else known + gradient
        elif known is None:
            alone = _references(gradient) <= _ALONE and _owns_memory(gradient)
            tensor.grad = Tensor(gradient if alone else copy_of(gradient))
        elif known.node is not None or not getattr(known.array.flags, "writeable", True):
            tensor.grad = known + Tensor(gradient)
        else:
            xp_of(known.array).add(known.array, gradient, out=known.array)
            write.note_write(known.array)


def _check_grad(known: Any, gradient: Any) -> None:
    """What the user put into ``.grad`` must be able to take a gradient."""
    if not isinstance(known, Tensor):
        kind = type(known).__name__
        raise DTypeError("backward", f".grad must be a tensor or None, not {kind}")
    if known.shape != gradient.shape or known.dtype != gradient.dtype:
        raise ShapeError(
            "backward",
            "the .grad of a leaf does not fit the gradient that is to be added to it",
            values=[
                (".grad", known.shape, known.dtype.name),
                ("gradient", gradient.shape, gradient.dtype.name),
            ],
            repair="Set .grad to None, or to a tensor of the leaf's shape and dtype.",
        )


def _owns_memory(array: Any) -> bool:
    return type(array) is np.ndarray and (array.base is None or isinstance(array.base, Block))


# A gradient that nobody else refers to need not be copied. How many references the way down to
# `_references` holds itself depends on the Python version, so it is counted once, on an array that
# is certainly alone.
def _references(gradient: Any) -> int:
    return getrefcount(gradient)


def _count_alone() -> int:
    def finish(gradients: list[Any]) -> int:
        gradient = gradients.pop()
        return add_to(gradient)

    def add_to(gradient: Any) -> int:
        return _references(gradient)

    return finish([np.empty(1)])


_ALONE = _count_alone()


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Zeros on the device of ``like``."""
    if isinstance(like, Spec):
        return Spec(shape, dtype)
    with on_device_of(like):
        return xp_of(like).zeros(shape, dtype)


def _restore(array: Any, node: Source | None, index: int) -> Tensor:
    tensor = Tensor(array)
    tensor.node, tensor.index = node, index
    return tensor


def _fit(node: Node, k: int, gradient: Any, shape: tuple[int, ...]) -> Any:
    """Un-broadcast the gradient of an elementwise operator; any other rule must give the shape
    itself."""
    if not node.op.elementwise:
        name = node.op.inputs[0 if node.op.variadic else k]
        raise ShapeError(
            node.op.name,
            f"the rule vjp_{name} returned a gradient of the wrong shape",
            values=[("returned", gradient.shape), (name, shape)],
            notes=[f"the operator ran at {node.site}"],
        )
    return REGISTRY["sum_to"].call(gradient, shape)


def _cast(gradient: Any, dtype: Any) -> Any:
    if isinstance(gradient, Tensor):
        return gradient if gradient.dtype == dtype else REGISTRY["cast"].call(gradient, dtype)
    return gradient.astype(dtype, copy=False)


def _where(node: Node) -> str:
    return f"in the gradient of {node.op.name}, which ran at {node.site}"


def _freed(node: Node) -> GraphError:
    error = GraphError(
        "backward",
        "the graph was used by an earlier backward, which freed its saved values",
        repair="Pass retain_graph=True to the first backward, or run the forward pass again.",
        notes=[f"the node is {node.op.name}, which ran at {node.site}"],
    )
    if node.scope is not None:
        error.module_path = node.scope.path
    return error
