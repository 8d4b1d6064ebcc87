"""Functions of the user's that see, and may replace, a gradient on its way."""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from tinygrad_cv.autograd.accumulate import add_to_grad, grad_of, put_grad
from tinygrad_cv.autograd.cuts import needs_none
from tinygrad_cv.backend.replay import at_end
from tinygrad_cv.core.mode import is_grad_enabled
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor, extend
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, ShapeError, TinygradError

__all__ = ["HookHandle", "call_hook", "check_callable", "described", "source_of"]

Hook = Callable[[Tensor], Tensor | None]

_numbers = itertools.count(1)


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
        self,
        place: Node | Leaf,
        index: int,
        hook: Callable[..., Any],
        checked: bool = True,
        last: bool = False,
    ) -> None:
        if place.hooks is None:
            place.hooks = {}
        self._hooks = place.hooks.setdefault(index, {})
        self._number = -next(_numbers) if last else next(_numbers)
        self._hooks[self._number] = _checked(hook, place) if checked else hook
        for number in [n for n in self._hooks if n < 0]:  # these stay behind all others
            self._hooks[number] = self._hooks.pop(number)
        at_end(self.remove)  # the first run has left it there already

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


def _checked(hook: Hook, place: Node | Leaf) -> Callable[[Tensor], Tensor]:
    """``hook`` as the engine wants it: it gives the gradient to go on with."""
    where = weakref.ref(place)  # which has the hook, and must not be a cycle

    def run(given: Tensor) -> Tensor:
        returned = call_hook(hook, where(), given, form="hook(gradient)")
        if returned is None or returned is given:
            return given
        problem: TinygradError | None = None
        if not isinstance(returned, Tensor):
            kind = type(returned).__name__
            problem = DTypeError("hook", f"a hook must return a tensor or None, not {kind}")
        elif returned.shape != given.shape:
            problem = ShapeError(
                "hook",
                "a hook must return a gradient of the shape that it was given",
                values=[("given", given.shape), ("returned", returned.shape)],
            )
        elif returned.dtype != given.dtype:
            problem = DTypeError(
                "hook",
                f"a hook must return a gradient of the dtype that it was given, {given.dtype.name},"
                f" not {returned.dtype.name}",
                repair=f'Convert it with .to("{given.dtype.name}").',
            )
        if problem is not None:
            raise _blamed(problem, hook, where())
        return returned

    return run


def call_hook(hook: Callable[..., Any], place: Any, *args: Any, form: str = "") -> Any:
    """``hook(*args)``; what it raises says which hook that was, and where in the graph it stands:
    at ``place``, a node, a leaf or None.

    Raises:
        ArgumentError: the hook has other parameters; ``form`` is how it is to be written.
    """
    try:
        return hook(*args)
    except Exception as error:
        misfit = _misfit(hook, args, form) if isinstance(error, TypeError) else None
        if misfit is not None:
            raise _blamed(misfit, hook, place) from error
        raise _blamed(error, hook, place)  # noqa: B904  (the same error)


def _misfit(hook: Any, args: tuple[Any, ...], form: str) -> ArgumentError | None:
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):  # of a builtin
        return None
    try:
        signature.bind(*args)
    except TypeError as misfit:
        count = "1 argument" if len(args) == 1 else f"{len(args)} arguments"
        return ArgumentError(
            "hook",
            f"a hook is called with {count} here, and this one does not take them: {misfit}",
            repair=f"Write it as {form}." if form else f"Give it {count}.",
        )
    return None


def _blamed(error: Any, hook: Any, place: Any) -> Any:
    """``error`` with lines about the hook and about the tensor whose gradient it saw."""
    notes = [f"the hook is {described(hook)}"]
    if isinstance(place, Node):
        notes.append(f"it saw the gradient of what {place.op.name} made at {place.site}")
    elif place is not None:
        name = f"{place.label!r} of" if place.label else "of"
        notes.append(f"it saw the gradient of the leaf {name} shape {place.shape}")
    if isinstance(error, TinygradError):
        error.notes += notes
        if isinstance(place, Node) and error.module_path is None:
            place.blame(error)
    else:
        for note in notes:
            error.add_note(note)
    return error


def described(hook: Any) -> str:
    """The name of a hook, and where it is defined if that is known.

    >>> described(print)
    'print'
    >>> described(described)  # doctest: +ELLIPSIS
    'described, defined at ...hooks.py:...'
    """
    while isinstance(hook, functools.partial):
        hook = hook.func
    named = hook if hasattr(hook, "__qualname__") else type(hook)
    name = named.__qualname__.rpartition("<locals>.")[2]
    code = getattr(hook, "__code__", None) or getattr(type(hook).__call__, "__code__", None)
    return f"{name}, defined at {code.co_filename}:{code.co_firstlineno}" if code else name


def check_callable(hook: Any, what: str) -> None:
    """Refuse, in the name of ``what``, a hook that cannot be called."""
    if not callable(hook):
        raise DTypeError(what, f"a hook must be callable, not {type(hook).__name__}")


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
    check_callable(hook, "register_hook")
    return HookHandle(source_of(self, "register_hook"), self.index, hook)


def retain_grad(self: Tensor) -> None:
    """Let backward add the gradient of this tensor to its ``.grad``, though it is no leaf: what is
    left of it after all hooks of the tensor. A second call does nothing. After an in-place write it
    is the gradient of what the tensor is then.

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
    kept = (node.hooks or {}).get(self.index, {}).values()
    if any(isinstance(hook, _Keep) and hook.tensor() is self for hook in kept):
        return
    HookHandle(node, self.index, _Keep(self), checked=False, last=True)


def retained(node: Node) -> dict[int, Tensor]:
    """The results of a node, by output, whose gradient :func:`retain_grad` asked for, as far as
    they are alive."""
    found: dict[int, Tensor] = {}
    for index, hooks in (node.hooks or {}).items():
        for hook in hooks.values():
            tensor = hook.tensor() if isinstance(hook, _Keep) else None
            if tensor is not None:
                found[index] = tensor
    return found


class _Keep:
    """The hook behind ``retain_grad``."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)

    def follow(self, tensor: Tensor) -> bool:
        """If ``tensor`` is the one, keep the gradient of what it stands for now."""
        if tensor is not self.tensor():
            return False
        if isinstance(tensor.node, Node):
            HookHandle(tensor.node, tensor.index, self, checked=False, last=True)
        return True

    def __call__(self, gradient: Tensor) -> Tensor:
        tensor = self.tensor()
        if tensor is not None:
            create_graph = is_grad_enabled()
            box = [gradient if create_graph else gradient.array]
            add_to_grad(tensor, box, create_graph)
        return gradient


def grad(self: Tensor) -> Tensor | None:
    """The gradient that backward has added up, of a leaf or where ``retain_grad`` asked for it;
    None before. It may be set, to None or to a tensor of this shape, dtype and device.

    Raises:
        DTypeError: it is set to something else, or to a tensor of another dtype.
        ShapeError: to one of another shape.
        BackendError: to one on another device.

    Warns, as PyTorch does, where it is read of a result for which nobody will have kept it.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> (3 * x).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """
    found, node = grad_of(self), self.node
    if found is None and isinstance(node, Node) and not (node.hooks or {}).get(self.index):
        warnings.warn(
            f"grad: only leaves keep their gradient, and this tensor was made by {node.op.name}\n"
            "  Call t.retain_grad() before backward, or use tg.autograd.grad(loss, t).",
            stacklevel=2,
        )
    return found


def _set_grad(self: Tensor, gradient: Tensor | None) -> None:
    if gradient is not None:
        _check_grad(self, gradient)
    put_grad(self, gradient)


def _check_grad(tensor: Tensor, gradient: Any) -> None:
    if not isinstance(gradient, Tensor):
        kind = type(gradient).__name__
        raise DTypeError(
            "grad",
            f".grad must be a tensor or None, not {kind}",
            repair="Wrap it: t.grad = tg.tensor(value).",
        )
    if gradient.shape != tensor.shape:
        raise ShapeError(
            "grad",
            ".grad must have the shape of its tensor",
            values=[("tensor", tensor.shape), (".grad", gradient.shape)],
            repair=f"Reshape or expand the gradient to {tensor.shape}.",
        )
    if gradient.dtype != tensor.dtype:
        raise DTypeError(
            "grad",
            f".grad must have the dtype of its tensor, {tensor.dtype.name}, "
            f"not {gradient.dtype.name}",
            repair=f'Convert it with .to("{tensor.dtype.name}").',
        )
    if gradient.device != tensor.device:
        raise BackendError(
            "grad",
            f".grad must be on the device of its tensor, {tensor.device}, not {gradient.device}",
            repair=f'Move it with .to("{tensor.device}").',
        )


extend("grad", property(grad, _set_grad))
extend("register_hook", register_hook)
extend("retain_grad", retain_grad)
