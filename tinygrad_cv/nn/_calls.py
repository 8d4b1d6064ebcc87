"""What surrounds a module's ``forward``: the scope that names the call.

Names come from the module that the user called (the root): a layer is called what
``root.named_modules()`` calls it.
"""

from __future__ import annotations

import os
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cv.core.mode import Scope, state
from tinygrad_cv.errors import NO_VALUE
from tinygrad_cv.ops._refusal import refusal

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["begin", "end", "explain", "structure_changed"]


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
