"""Functions of the user's that see, and may replace, a gradient on its way."""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from tinygrad_cv.autograd.cuts import needs_none
from tinygrad_cv.backend.array import copy_of
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor, extend
from tinygrad_cv.errors import DTypeError, ShapeError

__all__ = ["HookHandle", "source_of"]

Hook = Callable[[Tensor], Tensor | None]

_numbers = itertools.count()


class HookHandle:
    """A hook that stands in the graph, at one output of a Node or at a Leaf. Takes it off again:
    ``handle.remove()``, or leave the ``with`` block.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with x.register_hook(lambda gradient: 10 * gradient):
    ...     x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """

    def __init__(
        self, place: Node | Leaf, index: int, hook: Callable[..., Any], checked: bool = True
    ) -> None:
        if place.hooks is None:
            place.hooks = {}
        self._hooks = place.hooks.setdefault(index, {})
        self._number = next(_numbers)
        self._hooks[self._number] = _checked(hook) if checked else hook

    def remove(self) -> None:
        """Take the hook off; a second time does nothing.

        >>> import tinygrad_cv as tg
        >>> x = tg.ones(1, requires_grad=True)
        >>> x.register_hook(print).remove()
        >>> x.sum().backward()  # prints nothing
        """
        self._hooks.pop(self._number, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _checked(hook: Hook) -> Callable[[Tensor], Tensor]:
    """``hook`` as the engine wants it: it gives the gradient to go on with."""

    def run(given: Tensor) -> Tensor:
        returned = hook(given)
        if returned is None:
            return given
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
                f"a hook must return a gradient of the dtype that it was given, {given.dtype.name},"
                f" not {returned.dtype.name}",
                repair=f'Convert it with .to("{given.dtype.name}").',
            )
        return returned

    return run


def source_of(tensor: Tensor, what: str) -> Node | Leaf:
    """What made ``tensor``. For ``what``, the name of the caller, to refuse one without a
    gradient."""
    if tensor.node is None:
        raise needs_none(what, tensor)
    return tensor.node


def register_hook(self: Tensor, hook: Hook) -> HookHandle:
    """Call ``hook(gradient)`` in each backward when this tensor's gradient is complete; what it
    returns, if not None, replaces the gradient. Returns a handle with ``remove()``.

    Raises:
        GraphError: the tensor does not require a gradient.
        DTypeError: ``hook`` cannot be called; or, at backward, it returned something that is no
            gradient of this shape and dtype.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> handle = x.register_hook(lambda gradient: gradient / (gradient**2).sum() ** 0.5)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([0.6, 0.8])
    """
    if not callable(hook):
        kind = type(hook).__name__
        raise DTypeError("register_hook", f"a hook must be callable, not {kind}")
    return HookHandle(source_of(self, "register_hook"), self.index, hook)


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is not a leaf in ``.grad`` after backward.

    >>> import tinygrad_cv as tg
    >>> y = tg.ones(2, requires_grad=True) * 3
    >>> y.retain_grad()
    >>> (y * y).sum().backward()
    >>> y.grad
    tensor([6., 6.])
    """
    node = source_of(self, "retain_grad")
    if isinstance(node, Leaf):
        return  # a leaf keeps its gradient anyway
    me = weakref.ref(self)

    def keep(gradient: Tensor) -> None:
        tensor = me()
        if tensor is not None:
            free = gradient.node is None
            tensor._grad = Tensor(copy_of(gradient.array)) if free else gradient

    HookHandle(node, self.index, keep)


def grad(self: Tensor) -> Tensor | None:
    """The gradient that backward has added up, of a leaf or where ``retain_grad`` asked for it;
    None before. It may be set, to None or to a tensor of this shape and dtype.

    Warns, as PyTorch does, where it is read of a result for which nobody will have kept it.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> (3 * x).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """
    found, node = self._grad, self.node
    if found is None and isinstance(node, Node) and not (node.hooks or {}).get(self.index):
        warnings.warn(
            f"grad: only leaves keep their gradient, and this tensor was made by {node.op.name}\n"
            "  Call t.retain_grad() before backward, or use tg.autograd.grad(loss, t).",
            stacklevel=2,
        )
    return found


def _set_grad(self: Tensor, gradient: Tensor | None) -> None:
    self._grad = gradient


extend("grad", property(grad, _set_grad))
extend("register_hook", register_hook)
extend("retain_grad", retain_grad)
