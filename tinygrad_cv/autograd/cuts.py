"""Where a gradient was lost: why a tensor has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinygrad_cv.backend.blame import Detached, Passed, Place
from tinygrad_cv.core.mode import Scope
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError

__all__ = ["Made", "Marked", "needs_none", "why_no_grad"]

SEARCH = (
    'Run the forward inside "with tg.autograd.retain_all():", and why_no_grad names the operators '
    "on the way."
)


class Made(Place):
    """An operator that ran without being recorded, as :func:`retain_all` keeps it."""

    __slots__ = ("inputs", "op", "reason")

    def __init__(self, frame: Any, op: Any, inputs: Any, scope: Scope | None, reason: Any) -> None:
        super().__init__(frame, scope)
        self.op, self.reason = op, reason
        self.inputs = tuple(t for t in inputs if isinstance(t, Tensor))


class Marked(Place):
    """An output that a Function said has no gradient."""

    __slots__ = ("op",)

    def __init__(self, frame: Any, scope: Scope | None, op: Any) -> None:
        super().__init__(frame, scope)
        self.op = op


def why_no_grad(tensor: Any) -> str:
    """Says why a tensor has no gradient, with the line where it was lost.

    * It is no float tensor, or was made by an operator that has no gradient (``argmax``, ``==``).
    * It came out of ``detach()``: at which line.
    * It was made under ``no_grad``: at which line that begins.
    * It is a leaf that does not ask for one.
    * It was computed from a tensor that had lost its gradient: where it lost it, and at which line
      it was used first. Inside ``with autograd.retain_all():`` every operator is kept in mind, and
      the answer goes through all that lies between.
    * It asks for one, but no backward has brought it yet.

    Args:
        tensor: a Tensor, or what was mistaken for one.

    Returns:
        The reason, in one or several lines.

    >>> import tinygrad_cv as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> print(tg.autograd.why_no_grad((w * 2).detach()))  # doctest: +ELLIPSIS
    it was cut from the graph by detach() at <doctest ...>:1 in <module>
    >>> print(tg.autograd.why_no_grad(w.argmax()))
    it is int64, and only float tensors have gradients: it was made by argmax, which has none
    """
    if not isinstance(tensor, Tensor):
        return (
            f"it is no tensor, but {type(tensor).__name__}: what comes out of .numpy(), .item() or "
            ".tolist() has left the graph"
        )
    if tensor.node is not None:
        return _recorded(tensor)
    cut = tensor.cut
    if tensor.dtype.kind != "f":
        found = f"it is {tensor.dtype.name}, and only float tensors have gradients"
        op: Any = cut.op if isinstance(cut, Made) else cut
        made = isinstance(op, type) and issubclass(op, Op)
        return f"{found}: it was made by {op.name}, which has none" if made else found
    if isinstance(cut, Made):
        return "\n".join(_chain(tensor))
    return _reason(cut) or (
        "it is a leaf that does not ask for a gradient, or was computed from such leaves only; "
        "what was built from .numpy(), .item() or .tolist() is such a leaf\n" + SEARCH
    )


def needs_none(what: str, tensor: Tensor) -> GraphError:
    """The error of ``what`` about a tensor that has no gradient, with the reason if it is known."""
    problem = "this tensor does not require a gradient: "
    rows = [("tensor", tensor.shape)]
    found = list(_chain(tensor)) if isinstance(tensor.cut, Made) else [_reason(tensor.cut)]
    if found[0]:
        repair = "Leave that out where the gradient has to go through."
        return GraphError(what, problem + found[0], values=rows, repair=repair, notes=found[1:])
    return GraphError(
        what,
        problem + "nothing that asks for one went into it",
        values=rows,
        repair="Call requires_grad_() on the inputs or parameters before the forward pass. "
        "If it is itself a gradient, compute that with create_graph=True.",
        notes=[SEARCH],
    )


def _reason(cut: Any) -> str:
    if isinstance(cut, Detached):
        return f"it was cut from the graph by {cut.by} at {cut.where}"
    if isinstance(cut, Passed):
        before = _reason(cut.cut).removeprefix("it ")
        return f"it was computed, first at {cut.where}, from what {before}"
    if isinstance(cut, Made):
        return f"it was made by {cut.op.name} at {cut.where}"
    if isinstance(cut, Marked):
        return f"it was marked as non-differentiable by {cut.op.name} at {cut.where}"
    if isinstance(cut, Place):
        return f"it was made under no_grad, which begins at {cut.site}"
    if isinstance(cut, type) and issubclass(cut, Op):
        return f"it was made by {cut.name}, which has no gradient"
    return ""


def _recorded(tensor: Tensor) -> str:
    node = tensor.node
    if tensor._grad is not None:
        return "it has a gradient"
    if isinstance(node, Leaf):
        return (
            "it asks for a gradient and has none yet: no backward has reached it, or zero_grad() "
            "has taken it away. If one ran, what was computed from it was cut on the way: ask "
            "about that, from the result of the backward on"
        )
    assert isinstance(node, Node)
    place = "" if node.scope is None else f", in {node.scope.path}"
    return (
        f"it is in the graph (made by {node.op.name} at {node.site}{place}), but only leaves keep "
        "their gradient: call t.retain_grad() before backward"
    )


def _chain(tensor: Tensor) -> Iterator[str]:
    """From the tensor back to where its gradients were lost, an operator on each line."""
    stack, seen = [tensor], set()
    while stack:
        t = stack.pop()
        cut = t.cut
        if id(t) in seen or t.node is not None:
            continue
        seen.add(id(t))
        if isinstance(cut, Made):
            line = _reason(cut)
            reason = "" if isinstance(cut.reason, Passed) else _reason(cut.reason)
            if reason:
                yield f"{line}: {reason.removeprefix('it was ')}"
                continue
            losing = [i for i in cut.inputs if i.cut is not None]
            end = ", from" if losing else ", from leaves that do not ask for a gradient"
            yield line + end
            stack += reversed(losing)
        else:
            yield "  a tensor that " + (_reason(cut).removeprefix("it ") or "is a leaf")
