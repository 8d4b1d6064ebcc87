"""What surrounds a module's ``forward``: the scope that names the call, and the hooks.

Names come from the module that the user called (the root): a layer is called what
``root.named_modules()`` calls it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cv.core.mode import Scope, is_grad_enabled, state
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import NO_VALUE, GraphError
from tinygrad_cv.ops._refusal import refusal
from tinygrad_cv.ops.shape import reshape

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["BackwardHooks", "RemovableHandle", "begin", "end", "explain", "structure_changed"]


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

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


# ---- names of calls


class _Root:
    """One call by the user: the names of all modules, and how often each was called so far."""

    __slots__ = ("counts", "names")

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.counts: dict[int, int] = {}


_ROOT: ContextVar[_Root | None] = ContextVar("tinygrad_cv_root_call", default=None)
# Grows whenever any module gets or loses a child, which makes every cached name table stale.
_structure = 0


def structure_changed() -> None:
    """Called by Module when a child is set or removed anywhere."""
    global _structure
    _structure += 1


def _names(module: Module) -> dict[int, str]:
    """id -> path for the module and all below it. The tree keeps them alive, so ids are safe."""
    known = module.__dict__.get("_names_cache")
    if known is not None and known[0] == _structure:
        return known[1]
    names = {id(child): path for path, child in module.named_modules()}
    module.__dict__["_names_cache"] = (_structure, names)
    return names


def begin(module: Module) -> tuple[Scope, Token[_Root | None] | None]:
    """The scope of a new call of ``module``, and what ``end`` needs if the user made it."""
    root, token = _ROOT.get(), None
    if root is None:
        root = _Root(_names(module))
        token = _ROOT.set(root)
    key = id(module)
    count = root.counts[key] = root.counts.get(key, 0) + 1
    parent = state().scope
    kind = type(module).__name__
    name = root.names.get(key)
    if name is None:  # a module that is no attribute of the root, such as one in a plain list
        name = f"{parent.name}.{kind}".lstrip(".") if parent is not None else kind
    return Scope(name, kind, count, parent), token


def end(token: Token[_Root | None]) -> None:
    """The user's call is over."""
    _ROOT.reset(token)


def explain(
    module: Module, error: Exception, call: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise our error in place of ``error`` if a layer of the library failed by itself, and not in
    code of the user that it calls. Say at an attribute that None lacks that None is what a module
    was called with."""
    if type(module).__module__.startswith("tinygrad_cv.nn.") and not _from_outside(error):
        ours = refusal(module.forward, args, kwargs, error, type(module).__name__)
        if ours is not None:
            ours.module_path = call.path
            raise ours from error
    if isinstance(error, AttributeError) and error.obj is None and any(a is None for a in args):
        error.add_note(f"the input of {call.path} is None. {NO_VALUE}")


def _from_outside(error: Exception) -> bool:
    """True if the failure went through code that is neither ours nor NumPy's."""
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_KNOWN):
            return True
        trace = trace.tb_next
    return False


_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_KNOWN = tuple(folder + os.sep for folder in (_OURS, os.path.dirname(np.__file__)))


# ---- backward hooks


class BackwardHooks:
    """Watches the gradients that enter and leave one call of a module.

    Inputs and outputs pass through an identity, so that only the gradient through *this* call is
    seen, even if the same tensor is used elsewhere.
    """

    def __init__(self, module: Module, hooks: list[Callable[..., Any]]) -> None:
        self.module = module
        self.hooks = hooks
        self.grad_inputs: list[Tensor | None] = []
        self.grad_outputs: list[Tensor | None] = []
        self.watched = 0
        self.seen = 0

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The positional arguments, those with a gradient behind an identity."""
        if not is_grad_enabled():
            return args
        tensors = [a for a in args if isinstance(a, Tensor)]
        self.grad_inputs = [None] * len(tensors)
        self.watched = sum(t.requires_grad for t in tensors)
        place = itertools.count()
        return tuple(self._input(a, next(place)) if isinstance(a, Tensor) else a for a in args)

    def _input(self, tensor: Tensor, place: int) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        passed: Tensor = reshape(tensor, tensor.shape)

        def arrived(gradient: Tensor) -> Tensor | None:
            self.grad_inputs[place] = gradient
            self.seen += 1
            return self._run(place) if self.seen == self.watched else None

        passed.register_hook(arrived)
        return passed

    def watch_outputs(self, result: Any) -> Any:
        """The result, a Tensor or a tuple or list of them, behind an identity."""
        if not is_grad_enabled():
            return result
        several = isinstance(result, (tuple, list))
        tensors = list(result) if several else [result]
        self.grad_outputs = [None] * len(tensors)
        passed = [self._output(t, k) if isinstance(t, Tensor) else t for k, t in enumerate(tensors)]
        if not several:
            return passed[0]
        named = hasattr(result, "_fields")
        return type(result)(*passed) if named else type(result)(passed)

    def _output(self, tensor: Tensor, place: int) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        passed: Tensor = reshape(tensor, tensor.shape)

        def arrived(gradient: Tensor) -> None:
            self.grad_outputs[place] = gradient
            if not self.watched:  # no input has a gradient that could arrive later
                self._run(None)

        passed.register_hook(arrived)
        return passed

    def _run(self, place: int | None) -> Tensor | None:
        gradients: tuple[Tensor | None, ...] = tuple(self.grad_inputs)
        replaced = False
        for hook in self.hooks:
            result = hook(self.module, gradients, tuple(self.grad_outputs))
            if result is not None:
                gradients = result if isinstance(result, tuple) else (result,)
                replaced = True
        self.seen = 0
        if replaced and self.watched > 1:
            raise GraphError(
                "full_backward_hook",
                "only for a module with one input that has a gradient can a new one be returned",
                repair="Use tensor.register_hook on the inputs.",
            )
        return gradients[place] if replaced and place is not None else None
