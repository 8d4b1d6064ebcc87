"""Who is to blame: both lines of the user's that an error of the graph is about.

Nodes and tensors are known here by their attributes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any

from tinygrad_cv.backend.writes import written_after
from tinygrad_cv.errors import GraphError, Site, TinygradError, site_of

__all__ = ["Freed", "check_saved", "overwritten", "with_origins"]


class Freed:
    """Stands where saved values were, after the backward of one line has consumed them."""

    __slots__ = ("code", "lasti")

    def __init__(self, frame: FrameType) -> None:
        self.code, self.lasti = frame.f_code, frame.f_lasti

    @property
    def site(self) -> Site:
        """The user's line that ran that backward."""
        return site_of(self.code, self.lasti)

    def __repr__(self) -> str:
        return "FREED"


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
            for array in value if isinstance(value, tuple) else (value,):
                overwritten(node, name, array)


def overwritten(node: Any, name: str, array: Any) -> None:
    """Raise GraphError if ``array``, which ``node`` saved, was written after that."""
    site = written_after(array, node.stamp)
    if site is not None:
        op = node.op.name
        raise node.blame(
            GraphError(
                "backward",
                f"{name!r}, which {op} saved for its gradient, was overwritten before backward",
                repair="Write out of place (x = x + y), write to a .clone(), or call backward "
                "before.",
                notes=[f"{op} ran at {node.site}", f"it was overwritten at {site}"],
            )
        )


def with_origins(
    error: TinygradError, names: Iterable[str], tensors: Iterable[Any], at: Site
) -> None:
    """Tell ``error`` where the operator ran, and which operators made its inputs, and where."""
    error.notes.append(f"it ran at {at}")
    for name, tensor in zip(names, tensors, strict=False):
        node: Any = getattr(tensor, "node", None)
        if hasattr(node, "site"):
            error.notes.append(f"{name} was made by {node.op.name} at {node.site}")
