"""Who is to blame: both lines of the user's that an error of the graph is about.

Nodes and tensors are known here by their attributes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import Any

from tinygrad_cv.backend.contract import names_of
from tinygrad_cv.backend.writes import written_after
from tinygrad_cv.errors import (
    NO_VALUE,
    DTypeError,
    GraphError,
    ShapeError,
    Site,
    TinygradError,
    site_of,
    user_frame,
)

__all__ = [
    "Detached",
    "Freed",
    "Passed",
    "Place",
    "check_constant",
    "check_saved",
    "no_value",
    "overwritten",
]
__all__ += ["passed_on", "tell", "with_origins", "wrong_shape"]


class Place:
    """An instruction of the user's; only when its ``site`` is asked for is the line looked up."""

    __slots__ = ("code", "lasti", "scope")

    def __init__(self, frame: FrameType, scope: Any = None) -> None:
        self.code, self.lasti = frame.f_code, frame.f_lasti
        self.scope = scope  # the module call, where it is known

    @property
    def site(self) -> Site:
        """Its line."""
        return site_of(self.code, self.lasti)

    @property
    def where(self) -> str:
        """Its line, with the module path if that is known."""
        return str(self.site) if self.scope is None else f"{self.site}, in {self.scope.path}"


class Freed(Place):
    """Stands where saved values were, after the backward of one line has consumed them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "FREED"


class Detached(Place):
    """Where a tensor was cut from the graph, and by what."""

    __slots__ = ("by",)

    def __init__(self, frame: FrameType, scope: Any, by: str = "detach()") -> None:
        super().__init__(frame, scope)
        self.by = by


class Passed(Place):
    """Where an operator first computed with what had lost its gradient at ``cut``."""

    __slots__ = ("cut",)

    def __init__(self, frame: FrameType, scope: Any, cut: Any) -> None:
        super().__init__(frame, scope)
        self.cut = cut


def passed_on(cut: Any, scope: Any) -> Passed:
    """What the results of an operator have as their ``cut``, if an input had this one."""
    return cut if type(cut) is Passed else Passed(user_frame(), scope, cut)


def check_saved(node: Any) -> None:
    """Raise GraphError if what ``node`` saved is gone, or was overwritten afterwards."""
    plan = node.plan
    if isinstance(node.saved, Freed):
        raise node.blame(
            GraphError(
                "backward",
                "the graph was used by an earlier backward, which freed its saved values",
                repair="Pass retain_graph=True to the first backward, or run the forward again.",
                notes=[
                    f"the node is {node.op.name}, which ran at {node.site}",
                    f"the earlier backward ran at {node.saved.site}",
                ],
            )
        )
    for name, (kind, _), value in zip(plan.names, plan.kinds, node.saved, strict=True):
        if kind != "shape":
            for array in value if type(value) is tuple else (value,):  # a Spec is one
                overwritten(node, name, array)


def check_constant(node: Any, position: int, value: Any) -> None:
    """Raise GraphError if a gradient that is to be differentiated again reads a residual that may
    depend on the inputs: its own derivative is not known."""
    op = node.op
    named = op.residuals[position - len(op.outputs) :]  # those of a Function have no names
    name = named[0] if named else ""
    floating = getattr(getattr(value, "dtype", None), "kind", "") == "f"
    read = any(name in names_of(rule) for rule in op.rules.values())  # not by a fused rule only
    if read and floating and name not in op.constants:
        raise node.blame(
            GraphError(
                op.name,
                "its gradient cannot be differentiated again: the rule reads the residual "
                f"{name!r}, whose derivative is not known",
                repair=f"Let the rule compute it from the inputs, make it an output, or say "
                f"constants = ({name!r},) if it does not depend on them.",
            )
        )


def overwritten(node: Any, name: str, array: Any) -> None:
    """Raise GraphError if ``array``, which ``node`` saved, was written after that."""
    write = written_after(array, node.stamp)
    if write is not None:
        op = node.op.name
        raise node.blame(
            GraphError(
                "backward",
                f"{name!r}, which {op} saved for its gradient, was overwritten before backward",
                repair="Write out of place (x = x + y), write to a .clone(), or call backward "
                "before.",
                notes=[f"{op} ran at {node.site}", f"it was overwritten at {write}"],
            )
        )


def with_origins(error: TinygradError, op: Any, tensors: Sequence[Any], frame: FrameType) -> None:
    """Tell ``error`` where the operator ran, and which operators made its inputs, and where."""
    error.notes.append(f"it ran at {site_of(frame.f_code, frame.f_lasti)}")
    for k, tensor in enumerate(tensors):
        node: Any = getattr(tensor, "node", None)
        name = f"{op.inputs[0]}[{k}]" if op.variadic else op.inputs[k]
        if hasattr(node, "site"):
            error.notes.append(f"{name} was made by {node.op.name} at {node.site}")
        elif getattr(node, "label", None):
            error.notes.append(f"{name} is the parameter {node.label!r}")


def tell(error: Exception, node: Any) -> None:
    """Note in ``error`` that it arose in the gradient of ``node``, unless it says so already."""
    text = f"in the gradient of {node.op.name}, which ran at {node.site}"
    known = error.notes if isinstance(error, TinygradError) else getattr(error, "__notes__", [])
    if any(node.op.name in note and str(node.site) in note for note in known):
        return
    if isinstance(error, TinygradError):
        error.notes.append(text)
    else:
        error.add_note(text)


def wrong_shape(node: Any, k: int, returned: Any, shape: Any) -> ShapeError:
    """The rule of input ``k`` gave a gradient that is not of this shape."""
    name = node.op.inputs[0 if node.op.variadic else k]
    return ShapeError(
        node.op.name,
        f"the rule vjp_{name} returned a gradient of the wrong shape",
        values=[("returned", returned), (name, shape)],
        repair=f"Reduce it to that shape: sum_to(g, {name}_shape) sums what was broadcast.",
        notes=[f"the operator ran at {node.site}"],
    )


def no_value(op: Any, value: Any) -> DTypeError:
    """What was given for a Tensor is neither an array nor a number."""
    return DTypeError(
        op.name,
        f"cannot compute with {value!r:.60}, a {type(value).__name__}",
        repair=NO_VALUE if value is None else "Give a Tensor, an array or a number.",
    )
