"""Marks of a comparison: a sign, a border and a colour for what was added, removed or changed.

:func:`tinygrad_cv.viz.diff` puts ``facts["diff"]`` on every node and ``mark`` on every edge; this
file says how that is told. Nodes that become one add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tinygrad_cv.viz.model import GraphModel, GraphNode

__all__ = [
    "MARKS",
    "SIGNS",
    "combined_marks",
    "counts_text",
    "mark_lines",
    "mark_of",
    "reconnected",
    "sign",
]

MARKS = ("added", "removed", "changed", "moved", "same")
SIGNS = {"added": "+", "removed": "−", "changed": "~", "moved": "»"}


def mark_of(node: GraphNode) -> str:
    """One of :data:`MARKS`, or "" outside of a comparison."""
    return str(node.facts.get("diff", {}).get("mark", ""))


def sign(mark: str) -> str:
    """``+ `` before the name of what was added, and so on; "" before what is the same."""
    return f"{SIGNS[mark]} " if mark in SIGNS else ""


def mark_lines(node: GraphNode) -> list[str]:
    """What a node says of its differences."""
    return list(node.facts.get("diff", {}).get("lines", ()))


def counts_text(counts: dict[str, int]) -> str:
    """``1 added, 2 removed, 0 changed``; how many were moved or are the same, if there are any."""
    shown = [m for m in MARKS if counts.get(m) or m in ("added", "removed", "changed")]
    words = {"same": "the same"}
    return ", ".join(f"{counts.get(mark, 0):,} {words.get(mark, mark)}" for mark in shown)


def combined_marks(nodes: Iterable[GraphNode]) -> dict[str, Any]:
    """The fact "diff" of nodes that become one: the mark that all of them have, else "changed"."""
    counts: Counter[str] = Counter()
    for node in nodes:
        if "diff" in node.facts:
            counts.update(node.facts["diff"].get("counts") or {mark_of(node): 1})
    if not counts:
        return {}
    mark = next(iter(counts)) if len(counts) == 1 else "changed"
    lines = [] if mark == "same" else [counts_text(counts)]
    return {"diff": {"mark": mark, "lines": lines, "counts": dict(counts)}}


def reconnected(model: GraphModel) -> set[int]:
    """The ends of the edges that only one of two graphs has, though both have their ends."""
    marks = {node.id: mark_of(node) for node in model.nodes}
    return {
        end
        for edge in model.edges
        if edge.mark and edge.mark not in (marks[edge.source], marks[edge.target])
        for end in (edge.source, edge.target)
    }
