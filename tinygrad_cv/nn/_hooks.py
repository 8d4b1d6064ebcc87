"""The hooks of a module: functions of the user's that see a call, forward and backward."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tinygrad_cv.autograd.hooks import call_hook, check_callable, described
from tinygrad_cv.backend.replay import at_end
from tinygrad_cv.errors import DTypeError
from tinygrad_cv.nn._backward_hooks import BackwardHooks
from tinygrad_cv.nn._tree import Tree

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["Hooked", "RemovableHandle"]


class RemovableHandle:
    """Takes a hook off its module: ``handle.remove()``, or leave the ``with`` block."""

    _numbers = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self._hooks = hooks
        self.id = next(self._numbers)
        if prepend:
            later = dict(hooks)
            hooks.clear()
            hooks[self.id] = hook
            hooks.update(later)
        else:
            hooks[self.id] = hook
        at_end(self.remove)  # the first run has left it there already

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class _Forward(NamedTuple):
    hook: Callable[..., Any]
    with_kwargs: bool
    always_call: bool = False


class _Call:
    """One call, as far as it has come."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs
        self.result: Any = None
        self.called: set[int] = set()  # numbers of the forward hooks that have begun


class Hooked(Tree):
    """The part of Module that has hooks."""

    _forward_pre_hooks: dict[int, _Forward]
    _forward_hooks: dict[int, _Forward]
    _backward_pre_hooks: dict[int, Callable[..., Any]]
    _backward_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        super().__init__()
        state = self.__dict__
        for hooks in ("_forward_pre_hooks", "_forward_hooks"):
            state[hooks] = {}
        for hooks in ("_backward_pre_hooks", "_backward_hooks"):
            state[hooks] = {}

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward.

        What it returns, if not None, replaces the arguments. With ``with_kwargs`` it is called as
        ``hook(module, args, kwargs)`` and returns None or ``(args, kwargs)``. ``prepend`` puts it
        before the hooks that are there. The handle that is returned takes it off again.

        Raises:
            DTypeError: ``hook`` cannot be called; or, at a call, one with ``with_kwargs`` returned
                something else.

        >>> import tinygrad_cv as tg
        >>> layer = tg.nn.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: -args[0])
        >>> layer(tg.tensor([-1.0, 2.0]))
        tensor([1., 0.])
        >>> handle.remove()
        >>> layer(tg.tensor([-1.0, 2.0]))
        tensor([0., 2.])
        """
        check_callable(hook, "register_forward_pre_hook")
        return RemovableHandle(self._forward_pre_hooks, _Forward(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward.

        What it returns, if not None, replaces the output. ``with_kwargs`` gives the hook the
        keyword arguments before the output; ``prepend`` puts it before the hooks that are there.
        With ``always_call`` it is called too when the forward or another hook raises, with the
        output so far (None if there is none yet); if it raises then itself, that is only a warning.

        Raises:
            DTypeError: ``hook`` cannot be called.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Conv2d(1, 4, 3), tg.nn.ReLU())
        >>> shapes = []
        >>> def note(module, args, output):
        ...     shapes.append(output.shape)
        >>> with net[0].register_forward_hook(note):  # taken off at the end of the block
        ...     _ = net(tg.zeros(1, 1, 8, 8))
        >>> shapes
        [(1, 4, 6, 6)]
        """
        check_callable(hook, "register_forward_hook")
        entry = _Forward(hook, with_kwargs, always_call)
        return RemovableHandle(self._forward_hooks, entry, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of a call's outputs are known,
        before the module's own backward.

        ``grad_output`` is a tuple with an entry for each output, None where no gradient arrives.
        What it returns, if not None, replaces the gradients: a tuple of the same length.
        ``prepend`` puts it before the hooks that are there.

        Raises:
            DTypeError: ``hook`` cannot be called; or, at backward, it returned something that is no
                tuple of gradients of these dtypes.
            ShapeError: it returned a gradient of another shape.
            ArgumentError: it returned another number of gradients, or one where none was.

        >>> import tinygrad_cv as tg
        >>> layer = tg.nn.Linear(2, 1)
        >>> handle = layer.register_full_backward_pre_hook(lambda module, grads: (10 * grads[0],))
        >>> layer(tg.ones(1, 2)).sum().backward()
        >>> layer.bias.grad
        tensor([10.])
        """
        check_callable(hook, "register_full_backward_pre_hook")
        return RemovableHandle(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when a call's input gradients are known.

        Both are tuples with an entry for each positional argument and each output: None for what
        is no tensor or needs no gradient, zeros for an input that the call did not use. What the
        hook returns, if not None, replaces the gradients of the inputs: a tuple of the same length.
        If no input asks for a gradient, it is called when the gradients of the outputs are known.
        ``prepend`` puts it before the hooks that are there.

        Raises:
            DTypeError: ``hook`` cannot be called; or, at backward, it returned something that is no
                tuple of gradients of these dtypes.
            ShapeError: it returned a gradient of another shape.
            ArgumentError: it returned another number of gradients, or one where none is needed.

        >>> import tinygrad_cv as tg
        >>> layer = tg.nn.ReLU()
        >>> def show(module, grad_input, grad_output):
        ...     print(grad_output[0].tolist(), "->", grad_input[0].tolist())
        >>> handle = layer.register_full_backward_hook(show)
        >>> layer(tg.tensor([-1.0, 2.0], requires_grad=True)).sum().backward()
        [1.0, 1.0] -> [0.0, 1.0]
        """
        check_callable(hook, "register_full_backward_hook")
        return RemovableHandle(self._backward_hooks, hook, prepend)

    # A call with hooks ---------------------------------------------------------------------------

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _Call(args, kwargs)
        try:
            return self._all_hooks(call)
        except Exception:
            for number, entry in tuple(self._forward_hooks.items()):
                if entry.always_call and number not in call.called:
                    self._after_failure(entry, call)
            raise

    def _all_hooks(self, call: _Call) -> Any:
        for entry in tuple(self._forward_pre_hooks.values()):
            self._before(entry, call)
        watch = None
        if self._backward_hooks or self._backward_pre_hooks:
            pre, post = (
                tuple(self._backward_pre_hooks.values()),
                tuple(self._backward_hooks.values()),
            )
            watch = BackwardHooks(cast("Module", self), pre, post)
            call.args = watch.watch_inputs(call.args)
        call.result = cast("Module", self).forward(*call.args, **call.kwargs)
        for number, entry in tuple(self._forward_hooks.items()):
            call.called.add(number)
            self._after(entry, call)
        return call.result if watch is None else watch.watch_outputs(call.result)

    def _before(self, entry: _Forward, call: _Call) -> None:
        hook = entry.hook
        if not entry.with_kwargs:
            changed = call_hook(hook, None, self, call.args, form="hook(module, args)")
            if changed is not None:
                call.args = changed if isinstance(changed, tuple) else (changed,)
            return
        form = "hook(module, args, kwargs)"
        changed = call_hook(hook, None, self, call.args, call.kwargs, form=form)
        if changed is None:
            return
        if not (isinstance(changed, tuple) and [type(part) for part in changed] == [tuple, dict]):
            raise DTypeError(
                "forward_pre_hook",
                "a hook with with_kwargs=True must return None or (args, kwargs), a tuple and a "
                f"dict, not {changed!r:.60}",
                notes=[f"the hook is {described(hook)}"],
            )
        call.args, call.kwargs = changed

    def _after(self, entry: _Forward, call: _Call) -> None:
        given = (call.args, call.kwargs) if entry.with_kwargs else (call.args,)
        form = f"hook(module, args, {'kwargs, ' if entry.with_kwargs else ''}output)"
        changed = call_hook(entry.hook, None, self, *given, call.result, form=form)
        if changed is not None:
            call.result = changed

    def _after_failure(self, entry: _Forward, call: _Call) -> None:
        try:
            self._after(entry, call)
        except Exception as error:
            warnings.warn(
                "register_forward_hook: a hook with always_call=True raised after another error, "
                f"and its own is not shown: {error}\n  the hook is {described(entry.hook)}",
                stacklevel=2,
            )
