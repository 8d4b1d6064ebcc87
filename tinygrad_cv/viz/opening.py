"""What is drawn as one node or as a part of a row: whether it can be opened, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.model import Cluster, GraphModel, cluster_paths
from tinygrad_cv.viz.selection import chosen_calls, find

__all__ = ["check_expand", "check_unfold", "inside_what", "left_out", "open_first"]

KEPT = (
    "JSON, and a comparison of drawn graphs, keep what was drawn and no more: start from the whole,"
    " viz.trace(...), for JSON from viz.trace(...).to_json()."
)


def closed(model: GraphModel, calls: Collection[int] | None = None) -> list[str]:
    """Labels of what a graph holds as one node or one row; inside of some calls if given."""
    rows = [c.label for c in model.clusters if c.repeats > 1 and (calls is None or c.id in calls)]
    blocks = [
        node.title or "the operators in the middle"
        for node in model.nodes
        if node.kind == "op"
        and (node.count > 1 or "operators" in node.facts)
        and (calls is None or node.cluster in calls)
    ]
    return list(dict.fromkeys([*rows, *blocks]))


def check_unfold(model: GraphModel) -> None:
    """Raise if the graph that a view starts from has rows: they cannot be unfolded.

    Raises:
        ArgumentError: it has.
    """
    rows = [label for label in closed(model) if re.search(r" ×\d+(,|$)", label)]
    if rows:
        raise ArgumentError(
            "repeat",
            f"what the row {rows[0]!r:.60} stands for is not in this graph",
            repair=KEPT,
        )


def check_expand(model: GraphModel, which: str | Callable[[Cluster], bool]) -> None:
    """Raise if the graph that a view starts from does not hold what is in the calls to open.

    Raises:
        ArgumentError: it does not, or there is no such call.
        DTypeError: ``which`` is neither a glob nor a function.
    """
    try:
        calls = chosen_calls(model, which, "expand")
    except ArgumentError as error:
        if closed(model):
            raise _gone(error.problem, closed(model)) from None
        raise
    paths = cluster_paths(model.clusters)
    inside = {number for number, path in paths.items() if calls.intersection(path)}
    found = closed(model, {number for number in inside if number is not None})
    if found:
        raise _gone("what is in these calls is not in this graph", found)


def _gone(problem: str, labels: list[str]) -> ArgumentError:
    some = ", ".join(f"{label!r:.60}" for label in labels[:3]) + (" ..." if len(labels) > 3 else "")
    notes = [f"It has as one: {some}."]
    return ArgumentError("expand", problem, repair=KEPT, notes=notes)


def inside_what(view: GraphModel, whole: GraphModel, which: Any, owner: str) -> Cluster | None:
    """The innermost call of what the whole graph has and a view does not show; None if that stands
    outside of all calls.

    Raises:
        ArgumentError: the whole graph does not have it either.
    """
    try:
        numbers = find(whole, which, owner)
    except ArgumentError as error:
        if view is whole and closed(whole):
            error.notes.append(f"{closed(whole)[0]!r:.60} is one here, and cannot be opened.")
            error.notes.append(KEPT)
        raise
    calls = {node.id: node.cluster for node in whole.nodes}
    by_id: dict[int | None, Cluster] = {cluster.id: cluster for cluster in whole.clusters}
    return by_id.get(calls[numbers[0]])


def open_first(owner: str, said: str, call: Cluster) -> ArgumentError:
    """The error of what is found when a call is opened."""
    name = f"{call.path!r}" if call.path else "the outermost call"
    return ArgumentError(
        owner,
        f"no node matches {said} in this view: {name} is drawn as one node, as a part of one, or "
        "of a row",
        repair=f'Open it first: .expand("{call.path}").',
    )


def left_out(owner: str, said: str) -> ArgumentError:
    """The error of what a view does not keep."""
    return ArgumentError(
        owner,
        f"no node matches {said} in this view; the whole graph has one",
        repair="Ask the graph that this is a part of, before focus, path, only or limit.",
    )
