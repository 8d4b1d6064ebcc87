"""Hooks of a node: what all gradients pass before and after its rules run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_cv.autograd.hooks import HookHandle, call_hook, check_callable, described
from tinygrad_cv.core.engine import as_seen, fitted
from tinygrad_cv.core.node import AFTER, BEFORE, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["checked_gradients", "register_hook", "register_prehook"]

Gradients = tuple[Tensor | None, ...]


def register_prehook(self: Node, hook: Callable[[Gradients], Any]) -> HookHandle:
    """Call ``hook(grad_outputs)`` in each backward before the rules of this node run; the tuple
    that it returns, if any, is what they get. None stands where nothing arrived.

    It runs after the hooks of the output tensors, and only where the rules run: not if nothing
    below the node is asked for. Returns a handle with ``remove()``.

    Raises:
        DTypeError: ``hook`` cannot be called; or, at backward, it returned something that is no
            tuple of gradients of these dtypes.
        ShapeError: it returned a gradient of another shape.
        ArgumentError: it returned another number of gradients.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(3, requires_grad=True)
    >>> y = x.exp()
    >>> handle = y.grad_fn.register_prehook(lambda grad_outputs: (0 * grad_outputs[0],))
    >>> y.sum().backward()
    >>> x.grad
    tensor([0., 0., 0.])
    """
    check_callable(hook, "register_prehook")

    def run(node: Node, given: Any, create_graph: bool) -> Any:
        floats = [i for i, (_, dtype) in enumerate(node.outputs) if dtype.kind == "f"]
        parts = given if len(floats) > 1 else (given,)
        known = dict(zip(floats, parts, strict=True))
        grads = [known.get(i) for i in range(len(node.outputs))]
        changed = _changed(node, hook, "grad_outputs", grads, create_graph)
        if changed is None:
            return given
        kept = tuple(changed[i] for i in floats)
        return kept if len(floats) > 1 else kept[0]

    return HookHandle(self, BEFORE, run, checked=False)


def register_hook(self: Node, hook: Callable[[Gradients, Gradients], Any]) -> HookHandle:
    """Call ``hook(grad_inputs, grad_outputs)`` in each backward after the rules of this node ran;
    the tuple that it returns, if any, replaces ``grad_inputs``. There is one gradient for each
    input of the operator, None where none is needed.

    Returns a handle with ``remove()``. ``create_graph`` differentiates through what it returns.

    Raises:
        DTypeError: ``hook`` cannot be called; or, at backward, it returned something that is no
            tuple of gradients of these dtypes.
        ShapeError: it returned a gradient of another shape.
        ArgumentError: it returned another number of gradients.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(3, requires_grad=True)
    >>> y = x * 2
    >>> with y.grad_fn.register_hook(lambda grad_inputs, grad_outputs: (-grad_outputs[0], None)):
    ...     y.sum().backward()
    >>> x.grad
    tensor([-1., -1., -1.])
    """
    check_callable(hook, "register_hook")

    def run(node: Node, results: Sequence[Any], given: Any, create_graph: bool) -> Any:
        grads = [None if g is None else fitted(node, k, g) for k, g in enumerate(results)]
        outputs = given if isinstance(given, tuple) else (given,)
        seen = tuple(None if g is None else as_seen(g) for g in outputs)
        changed = _changed(node, hook, "grad_inputs", grads, create_graph, seen)
        return grads if changed is None else changed

    return HookHandle(self, AFTER, run, checked=False)


def _changed(
    node: Node, hook: Any, what: str, grads: Sequence[Any], create_graph: bool, *more: Any
) -> list[Any] | None:
    """What the hook makes of ``grads``, checked; None if it leaves them alone."""
    given = tuple(None if g is None else as_seen(g) for g in grads)
    returned = call_hook(hook, None, given, *more)
    if returned is None:
        return None
    where = [f"the hook is {described(hook)}"]
    where.append(f"the node is {node.op.name}, which ran at {node.site}")
    found = checked_gradients(hook, what, returned, given, where)
    if what == "grad_outputs":  # the rules need one where one was
        found = [old if new is None else new for new, old in zip(found, given, strict=True)]
    rows = zip(found, given, grads, strict=True)
    return [g if new is old else _raw(new, create_graph) for new, old, g in rows]


def _raw(gradient: Tensor | None, create_graph: bool) -> Any:
    return gradient if gradient is None or create_graph else gradient.array


def checked_gradients(
    hook: Any, what: str, returned: Any, given: Gradients, where: list[str]
) -> list[Tensor | None]:
    """What a hook returned in place of the gradients ``given``, which ``what`` names.

    Raises:
        DTypeError: it is no tuple of Tensors and None, or one has another dtype.
        ShapeError: one has another shape.
        ArgumentError: another number of gradients, or one where none was.
    """
    name = getattr(hook, "__name__", type(hook).__name__)
    if isinstance(returned, Tensor) and len(given) == 1:
        returned = (returned,)
    if not isinstance(returned, (tuple, list)):
        kind = type(returned).__name__
        problem = f"{name} must return a tuple of gradients or None, not {kind}"
        raise DTypeError("hook", problem, notes=where)
    if len(returned) != len(given):
        problem = f"{name} returned {len(returned)} gradients, {what} has {len(given)}"
        raise ArgumentError("hook", problem, notes=where)
    for k, (new, old) in enumerate(zip(returned, given, strict=True)):
        if new is None or new is old:
            continue
        place = f"{what}[{k}]"
        if old is None:
            problem = f"{name} returned a gradient at {place}, where none is needed"
            raise ArgumentError("hook", problem, repair="Return None there.", notes=where)
        if not isinstance(new, Tensor):
            problem = f"{place} must be a tensor or None, not {type(new).__name__}"
            raise DTypeError("hook", problem, notes=where)
        if new.shape != old.shape:
            rows = [("given", old.shape), ("returned", new.shape)]
            raise ShapeError("hook", f"{place} has another shape", values=rows, notes=where)
        if new.dtype != old.dtype:
            problem = f"{place} must be {old.dtype.name}, not {new.dtype.name}"
            repair = f'Convert it with .to("{old.dtype.name}").'
            raise DTypeError("hook", problem, repair=repair, notes=where)
    return list(returned)


setattr(Node, "register_hook", register_hook)  # noqa: B010  (a method that mypy knows as a ClassVar)
setattr(Node, "register_prehook", register_prehook)  # noqa: B010
