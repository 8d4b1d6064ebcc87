"""Hooks of a leaf when ``.grad`` is up to date, and of several tensors together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_cv.autograd.hooks import HookHandle, call_hook, check_callable, described, source_of
from tinygrad_cv.autograd.running import this_run
from tinygrad_cv.core.mode import grad_mode
from tinygrad_cv.core.node import AFTER, Leaf
from tinygrad_cv.core.tensor import Tensor, extend
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError

__all__ = ["MultiHookHandle", "accumulated", "register_multi_grad_hook"]


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Call ``hook(tensor)`` in each backward when the gradient of this leaf has been added to its
    ``.grad``: for example to step an optimiser for it and let the gradient go at once.

    It runs after the hooks of ``register_hook``, which see the gradient before it is added, and not
    in ``autograd.grad``, which adds none. Returns a handle with ``remove()``.

    Raises:
        GraphError: the tensor is no leaf, or does not require a gradient.
        DTypeError: ``hook`` cannot be called; or, at backward, it returned something.

    >>> import tinygrad_cv as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> def step(w):
    ...     w.data -= 0.5 * w.grad
    ...     w.grad = None
    >>> handle = w.register_post_accumulate_grad_hook(step)
    >>> (w * w).sum().backward()
    >>> w, w.grad
    (tensor([0., 0.], requires_grad=True), None)
    """
    what = "register_post_accumulate_grad_hook"
    check_callable(hook, what)
    source = source_of(self, what)
    if not isinstance(source, Leaf):
        raise GraphError(
            what,
            "only a leaf has a gradient that is accumulated, and this tensor is the result of "
            f"{source.op.name}",
            repair="Use register_hook, or call t.retain_grad() and read t.grad after backward.",
            notes=[f"it was made by {source.op.name} at {source.site}"],
        )
    return HookHandle(source, AFTER, hook, checked=False)


def accumulated(leaf: Leaf, tensor: Tensor, create_graph: bool) -> None:
    """The gradient of ``tensor`` has been added to its ``.grad``: tell the hooks."""
    for hook in tuple((leaf.hooks or {}).get(AFTER, {}).values()):
        with grad_mode(create_graph):
            returned = call_hook(hook, leaf, tensor)
        if returned is not None:
            raise DTypeError(
                "hook",
                "a hook that runs after the gradient was accumulated must return None, not "
                f"{type(returned).__name__}",
                repair="Change tensor.grad itself, or use register_hook.",
                notes=[f"the hook is {described(hook)}"],
            )


class MultiHookHandle:
    """Takes a hook of several tensors off them: ``handle.remove()``, or leave the ``with`` block.

    >>> import tinygrad_cv as tg
    >>> from tinygrad_cv.autograd.graph import register_multi_grad_hook
    >>> x = tg.ones(1, requires_grad=True)
    >>> with register_multi_grad_hook([x], lambda gradients: print(gradients)):
    ...     x.sum().backward()
    [tensor([1.])]
    >>> x.sum().backward()  # prints nothing
    """

    def __init__(self, handles: Sequence[HookHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take the hook off; a second time does nothing.

        >>> import tinygrad_cv as tg
        >>> x = tg.ones(1, requires_grad=True)
        >>> tg.autograd.graph.register_multi_grad_hook([x], print).remove()
        >>> x.sum().backward()  # prints nothing
        """
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> MultiHookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all"
) -> MultiHookHandle:
    """Call ``fn`` once in each backward that brings gradients to ``tensors``.

    * mode "all": ``fn(gradients)`` when the last one has arrived: a list with a gradient for each
      tensor, and None for one that this backward does not reach.
    * mode "any": ``fn(gradient)`` at the first one that arrives. Tensors that do not require a
      gradient are passed over.

    What ``fn`` returns is ignored. A tensor that is reached but gets no gradient (one output of an
    operator of which only another is used) gives None too, and ``fn`` is called at the end of the
    backward then. Each backward counts for itself, also beside others in other threads.

    Args:
        tensors: leaves or results.
        fn: the hook.
        mode: "all" or "any".

    Returns:
        A handle whose ``remove()`` takes the hook off all of them.

    Raises:
        GraphError: mode is "all" and a tensor does not require a gradient.
        DTypeError: ``fn`` cannot be called, or something is no Tensor.
        ArgumentError: another mode.

    >>> import tinygrad_cv as tg
    >>> from tinygrad_cv.autograd.graph import register_multi_grad_hook
    >>> a, b = (tg.tensor(value, requires_grad=True) for value in (2.0, 3.0))
    >>> c, d = a * b, a + b
    >>> def show(gradients):
    ...     print([None if g is None else g.item() for g in gradients])
    >>> handle = register_multi_grad_hook([a, b, c, d], show)
    >>> c.backward()
    [3.0, 2.0, 1.0, None]
    """
    what = "register_multi_grad_hook"
    check_callable(fn, what)
    if mode not in ("all", "any"):
        raise ArgumentError(what, f'mode is "all" or "any", not {mode!r}')
    several = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    for tensor in several:
        if not isinstance(tensor, Tensor):
            raise DTypeError(what, f"Tensors are needed, not {type(tensor).__name__} {tensor!r}")
    if mode == "any":
        several = tuple(t for t in several if t.requires_grad)
    places = [(source_of(t, what), t.index) for t in several]
    # Weak, because these nodes have the hook and it must not be a cycle.
    shared = (_All if mode == "all" else _Any)(fn, [weakref.ref(place) for place, _ in places])
    hooks = [shared.hook(k) for k in range(len(places))]
    rows = zip(places, hooks, strict=True)
    return MultiHookHandle([HookHandle(*place, hook, checked=False) for place, hook in rows])


class _Any:
    """What the hooks of the tensors share; what belongs to one backward lies in its scratch."""

    def __init__(self, fn: Callable[..., Any], places: list[weakref.ref[Any]]) -> None:
        self.fn, self.places = fn, places

    def hook(self, k: int) -> Callable[[Tensor], Tensor]:
        """The hook of tensor ``k``."""

        def run(gradient: Tensor) -> Tensor:
            self.arrived(k, gradient)
            return gradient

        return run

    def arrived(self, k: int, gradient: Tensor) -> None:
        scratch = this_run().scratch
        if self not in scratch:
            scratch[self] = True
            call_hook(self.fn, self.places[k](), gradient)


class _All(_Any):
    def arrived(self, k: int, gradient: Tensor) -> None:
        run = this_run()
        waiting = run.scratch.get(self)
        if waiting is None:
            count = sum(run.reaches(place()) for place in self.places)
            waiting = run.scratch[self] = _Waiting(self.fn, len(self.places), count)
            run.at_end.append(waiting.finish)
        waiting.gradients[k] = gradient
        waiting.missing -= 1
        if not waiting.missing:
            waiting.finish()


class _Waiting:
    """The gradients of one backward, until they are complete."""

    def __init__(self, fn: Callable[..., Any], size: int, missing: int) -> None:
        self.fn, self.missing, self.done = fn, missing, False
        self.gradients: list[Tensor | None] = [None] * size

    def finish(self) -> None:
        """Call the hook, unless that has been done."""
        if not self.done:
            self.done = True
            gradients, self.gradients = self.gradients, []
            call_hook(self.fn, None, gradients)


extend("register_post_accumulate_grad_hook", register_post_accumulate_grad_hook)
