"""The recorded graph: a Node for each operator that ran, a Leaf for each tensor that asks for a
gradient.

References only point backwards (from a node to what made its inputs) and a Leaf knows its tensor
weakly, so a graph contains no reference cycle and dies as soon as its last result does.
"""

from __future__ import annotations

import itertools
import os
import sys
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tinygrad_cv.core.mode import Scope
    from tinygrad_cv.core.op import Op
    from tinygrad_cv.core.plan import Plan
    from tinygrad_cv.core.tensor import Tensor

__all__ = ["FREED", "Leaf", "Node", "Site", "site_of", "user_frame"]


class Site(NamedTuple):
    """A place in the user's code."""

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"


class _Freed:
    """Stands where saved values were, after backward has consumed them."""

    def __repr__(self) -> str:
        return "FREED"


FREED = _Freed()


class Node:
    """One run of an operator.

    Attributes:
        plan: which inputs need a gradient and what was saved for it; ``plan.op`` is the operator.
        attrs: the operator's attributes, in the order of its ``forward``.
        edges: for each input the Node or Leaf that made it, or None where no gradient is needed.
        indices: which output of that node each input is; None when all are 0.
        saved: raw arrays and shapes for the rules, or FREED.
        shape, dtype: of output 0; ``rest`` has (shape, dtype) of further outputs.
        scope: the module call that it belongs to.
        stamp: when it was made, on the clock that also counts in-place writes.
        fits: True where the gradients of the inputs have their shapes and dtype by construction: an
            elementwise operator on equal shapes.
        hooks: functions that see the gradient of an output, by output index.
    """

    __slots__ = (
        "__weakref__",
        "attrs",
        "code",
        "dtype",
        "edges",
        "fits",
        "hooks",
        "indices",
        "lasti",
        "plan",
        "rest",
        "saved",
        "scope",
        "shape",
        "stamp",
    )

    plan: Plan
    attrs: tuple[Any, ...]
    edges: tuple[Node | Leaf | None, ...]
    fits: bool
    indices: tuple[int, ...] | None
    saved: Any
    shape: tuple[int, ...]
    dtype: Any
    rest: tuple[tuple[tuple[int, ...], Any], ...]
    scope: Scope | None
    stamp: int
    code: CodeType
    lasti: int
    hooks: dict[int, dict[int, Callable[[Tensor], Any]]] | None

    @property
    def op(self) -> type[Op]:
        """The operator that ran."""
        return self.plan.op

    @property
    def outputs(self) -> tuple[tuple[tuple[int, ...], Any], ...]:
        """(shape, dtype) of every output."""
        return ((self.shape, self.dtype), *self.rest)

    @property
    def inputs(self) -> tuple[tuple[Node | Leaf | None, int], ...]:
        """For each input (node, output index); (None, 0) where no gradient is needed."""
        indices = self.indices or (0,) * len(self.edges)
        return tuple(zip(self.edges, indices, strict=True))

    @property
    def site(self) -> Site:
        """The user's line that ran the operator."""
        return site_of(self.code, self.lasti)

    def __repr__(self) -> str:
        shapes = ", ".join(str(shape) for shape, _ in self.outputs)
        return f"<Node {self.op.name} -> {shapes} at {self.site}>"


class Leaf:
    """The end of the graph at a tensor that asks for a gradient.

    Attributes:
        tensor: weak reference to that tensor; a gradient for a dead one is dropped.
        name: what pictures and messages call it, such as "weight".
        shape, dtype: of the tensor.
        hooks: functions that see its gradient, by hook number.
    """

    __slots__ = ("__weakref__", "dtype", "hooks", "name", "shape", "tensor")

    def __init__(self, tensor: Tensor, name: str | None = None) -> None:
        self.tensor = weakref.ref(tensor)
        self.name = name
        self.shape: tuple[int, ...] = tensor.array.shape
        self.dtype: Any = tensor.array.dtype
        self.hooks: dict[int, dict[int, Callable[[Tensor], Any]]] | None = None

    def __repr__(self) -> str:
        return f"<Leaf {self.name or ''}{self.shape}>"


_hook_numbers = itertools.count()


class HookHandle:
    """Takes a hook off again: ``handle.remove()``, or leave the ``with`` block."""

    def __init__(self, place: Node | Leaf, index: int, hook: Callable[[Tensor], Any]) -> None:
        if place.hooks is None:
            place.hooks = {}
        self._hooks = place.hooks.setdefault(index, {})
        self._number = next(_hook_numbers)
        self._hooks[self._number] = hook

    def remove(self) -> None:
        self._hooks.pop(self._number, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


# The line that an error shows is the user's, not ours: frames inside the package are stepped over.
# A set of file names, filled as files are met, because comparing path prefixes for every operator
# would be slow.
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_SHOWN = (_HERE + "testing",)
INTERNAL_FILES: set[str] = {__file__}
_USER_FILES: set[str] = set()


def user_frame(depth: int = 1) -> FrameType:
    """The nearest frame above ``depth`` that is not inside the package."""
    frame: FrameType = sys._getframe(depth)
    outermost = frame
    while True:
        name = frame.f_code.co_filename
        if name not in INTERNAL_FILES:
            if name in _USER_FILES:
                return frame
            inside = name.startswith(_HERE) and not name.startswith(_SHOWN)
            (INTERNAL_FILES if inside else _USER_FILES).add(name)
            if not inside:
                return frame
        if frame.f_back is None:
            return outermost
        frame = frame.f_back


def site_of(code: CodeType, lasti: int) -> Site:
    """The line of an instruction."""
    line = next(itertools.islice(code.co_positions(), lasti // 2, None), (None,))[0]
    return Site(code.co_filename, line or code.co_firstlineno, code.co_name)
