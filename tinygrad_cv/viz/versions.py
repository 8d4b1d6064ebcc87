"""JSON of graphs as an earlier version of the format has it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from tinygrad_cv.viz.reading import read

__all__ = ["second"]


class _Shown(TypedDict):
    name: str
    unit: NotRequired[str]
    value: NotRequired[float | None]
    unmeasured: NotRequired[int]


class _Facts(TypedDict):
    overlay: NotRequired[_Shown]


class _Node(TypedDict):
    count: NotRequired[int]
    facts: NotRequired[_Facts]


class _Graph(TypedDict):
    nodes: NotRequired[list[_Node]]
    notes: NotRequired[list[str]]


def second(data: Any) -> dict[str, Any]:
    """Version 2 of data of version 1, where a note said what the colours mean, and each node which
    overlay it has."""
    graph: dict[str, Any] = read(_Graph, data)
    if "notes" in graph:
        graph["notes"] = [note for note in graph["notes"] if not note.startswith("coloured by ")]
    for node in graph.get("nodes", ()):
        facts = node.get("facts", {})
        shown = facts.pop("overlay", None)
        if shown is None:
            continue
        graph["overlay"] = shown["name"]
        if shown["name"] == "value" and shown.get("value") is not None:
            count = node.get("count", 1) - shown.get("unmeasured", 0)
            given = {"value": shown["value"], "unit": shown.get("unit", ""), "count": count}
            facts["given"] = given
    return graph
