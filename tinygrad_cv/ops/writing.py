"""Writing in place: ``x += y``, ``x[index] = value``, ``x.fill_(0)`` and their family.

A Tensor is a value with a history. A write computes the new value as usual (so it is recorded),
puts it into the memory of the old one, and lets the handle stand for the new result from then on.
Three things are refused, with the way to write them instead: writing to a leaf that asks for a
gradient, writing through a view, and (at backward) using a value that was saved and then
overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from tinygrad_cv.backend.array import copy_of, on_device_of, xp_of
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import is_writeable, note_write
from tinygrad_cv.core.mode import state
from tinygrad_cv.core.node import AFTER, Leaf, Node
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import DTypeError, GraphError, ShapeError
from tinygrad_cv.ops import arithmetic, index, layout, power

__all__ = ["METHODS", "check_writable", "inplace", "move_on", "was_written", "write"]

_WRITTEN: WeakSet[Node] = WeakSet()


def was_written(node: Node) -> bool:
    """True if the result of this node was written into the memory of a Tensor that was there
    before.

    >>> import tinygrad_cv as tg
    >>> y = tg.ones(2, requires_grad=True) * 2
    >>> y += 1
    >>> was_written(y.grad_fn), was_written(y.grad_fn.next_functions[0][0])
    (True, False)
    """
    return node in _WRITTEN


def write(target: Tensor, result: Tensor, what: str) -> Tensor:
    """Put ``result``, which an operator just gave, into the memory of ``target``, which takes its
    place in the graph. Returns ``target``.

    Raises:
        GraphError: ``target`` is a view, or a leaf that asks for a gradient while gradients are
            recorded.
        ShapeError: ``result`` does not have the shape of ``target``.
        DTypeError: a float result cannot go into an integer target.
    """
    return _write(target, result, what, True)


def _write(target: Tensor, result: Tensor, what: str, fresh: bool) -> Tensor:
    """The same; of a ``result`` that stays a tensor of its own with ``fresh=False``."""
    check_writable(target, what)
    if result.shape != target.shape:
        raise ShapeError(
            what,
            "an in-place operation cannot change the shape",
            values=[("target", target.shape), ("result", result.shape)],
            repair="Write x = x + y instead of x += y to get a new tensor.",
        )
    if result.dtype != target.dtype:
        if result.dtype.kind == "f" and target.dtype.kind != "f":
            raise DTypeError(
                what,
                f"a {result.dtype.name} result cannot be stored in a {target.dtype.name} tensor",
                repair="Convert the target first, for example with x.float().",
            )
        result = result.to(target.dtype)
    if not isinstance(target.array, Spec):
        with on_device_of(target.array):
            xp_of(target.array).copyto(target.array, result.array)
    note_write(target.array, what, state().scope)
    if state().grad:
        move_on(target, result)
        if fresh and isinstance(result.node, Node):
            _WRITTEN.add(result.node)
    for watcher in state().record:
        watcher.wrote(target, result, fresh)
    return target


def move_on(target: Tensor, result: Tensor) -> None:
    """From now on ``target`` stands where ``result`` does in the graph; what ``retain_grad`` asked
    for follows it."""
    node, index = target.node, target.index
    target.node, target.index = result.node, result.index
    hooks = node.hooks.get(index, {}) if node is not None and node.hooks else {}
    for number, hook in tuple(hooks.items()):
        if hasattr(hook, "follow") and hook.follow(target):
            hooks.pop(number, None)


def check_writable(target: Tensor, what: str) -> None:
    """Refuse a write that could not be done or recorded.

    Raises:
        GraphError: read-only memory; or, while gradients are recorded, a view, or a leaf that
            requires a gradient.
    """
    if not is_writeable(target.array):
        raise GraphError(
            what,
            "the memory of this tensor is read-only, or one element of it stands for many",
            values=[("self", target.shape)],
            repair="Write to a copy: x = x.clone().",
        )
    if not state().grad:
        return  # under no_grad a write is a write to memory
    if target.is_view:
        _check_gate(target, what)
        raise GraphError(
            what,
            "this tensor is a view of another one; a write through it would not be recorded there",
            repair="Write through the owner (x[0] = x[0] + 1), to a copy (v = v.clone()), "
            "or under tg.no_grad().",
        )
    if isinstance(target.node, Leaf):
        raise GraphError(
            what,
            "a leaf that requires a gradient cannot be written while gradients are recorded",
            values=[("leaf", target.node.label or target.shape)],
            repair="Write under tg.no_grad(), or compute a new tensor (y = x + 1).",
        )


def _check_gate(target: Tensor, what: str) -> None:
    """Say of what has passed a backward hook of a module that this is the reason."""
    node = target.node
    if not isinstance(node, Node):
        return
    for hook in (node.hooks or {}).get(AFTER, {}).values():
        passed = getattr(hook, "passed", None)
        if passed is not None:
            raise GraphError(
                what,
                f"{passed} a backward hook, which would not see the gradient of what is written",
                repair="Use inplace=False in the module that writes, or write to a copy: "
                "x = x.clone().",
                notes=[f"it passed at {node.site}"],
            )


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """``self[key] = value``: the value is broadcast to the selected shape and cast to the tensor's
    dtype."""
    with_grad = state().grad and (
        self.requires_grad or (isinstance(value, Tensor) and value.requires_grad)
    )
    if with_grad:
        write(self, index.index_put(self, key, value), "setitem")
        return
    check_writable(self, "setitem")
    run = index.assign(self, key, value)
    note_write(self.array, "setitem", state().scope)
    for watcher in state().record:
        watcher.wrote(self, run, True)


def inplace(function: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """The method ``name`` that writes what ``function`` gives into its tensor."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, name)
        result = function(self, *args, **kwargs)
        node = result.node
        if isinstance(node, Node):  # the write is about to overwrite what it needs: save a copy
            if type(node.saved) is tuple:
                node.saved = tuple(copy_of(v) if v is self.array else v for v in node.saved)
            elif hasattr(node.saved, "before_write"):
                node.saved.before_write(self.array)
        return write(self, result, name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place form of :func:`{function.__name__}`; returns ``self``."
    if name in _EXAMPLES:
        method.__doc__ += _DETAILS.format(name=name, result=_EXAMPLES[name])
    return method


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to ``value``. The result has no history.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(3).fill_(7)
    tensor([7., 7., 7.])
    """
    return copy_(self, as_tensor(value))


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0. The result has no history.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2).zero_()
    tensor([0., 0.])
    """
    return fill_(self, 0)


def copy_(self: Tensor, source: Any) -> Tensor:
    """Take over the values of ``source``, broadcast to this shape and cast to this dtype; gradients
    flow to it.

    Raises:
        GraphError: this tensor is a view, or a leaf that requires a gradient.
        ShapeError: the source does not broadcast to this shape.

    >>> import tinygrad_cv as tg
    >>> row = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> table = tg.zeros(3, 2).copy_(row)
    >>> table.sum().backward()
    >>> row.grad  # each element was copied three times
    tensor([3., 3.])
    """
    source = given = as_tensor(source)
    if source.dtype != self.dtype:
        source = source.to(self.dtype)
    if source.device != self.device:
        source = source.to(self.device)
    if source.shape != self.shape:
        source = source.expand(self.shape)
    if state().grad and source.node is not None and source.node is given.node:
        source = layout.clone(source)  # two tensors must not stand at one place of the graph
    return _write(self, source, "copy_", source is not given)


_DETAILS = """

Gradients flow through it as through the form that makes a new tensor.

Raises:
    GraphError: this tensor is a view, or a leaf that requires a gradient.
    ShapeError: the result has another shape than this tensor.
    DTypeError: a float result cannot go into an integer tensor.

>>> import tinygrad_cv as tg
>>> tg.tensor([4.0]).{name}(2)
tensor([{result}])
"""
_EXAMPLES = {"add_": "6.", "sub_": "2.", "mul_": "8.", "div_": "2.", "pow_": "16."}  # of 4 and 2

_BASES: dict[str, Any] = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "div": arithmetic.div,
    "pow": power.pow,
}

METHODS: dict[str, Any] = {
    name + "_": inplace(function, name + "_") for name, function in _BASES.items()
}
METHODS |= {
    "__iadd__": inplace(arithmetic.add, "+="),
    "__isub__": inplace(arithmetic.sub, "-="),
    "__imul__": inplace(arithmetic.mul, "*="),
    "__itruediv__": inplace(arithmetic.div, "/="),
    "__ipow__": inplace(power.pow, "**="),
    "__setitem__": setitem,
    "fill_": fill_,
    "zero_": zero_,
    "copy_": copy_,
}
