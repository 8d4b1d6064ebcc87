"""What is drawn as one node or as a part of a row: whether it can be opened, and how."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.model import Cluster, GraphModel, cluster_paths
from tinygrad_cv.viz.selection import chosen_calls, find, said

__all__ = ["check_expand", "check_unfold", "inside_what", "left_out", "open_first"]

_ROW = re.compile(r" ×\d+(,|$)")  # in the label of a call
KEPT = (
    "JSON, and a comparison of drawn graphs, keep what was drawn and no more: start from the whole,"
    " viz.trace(...), for JSON from viz.trace(...).to_json()."
)


def closed(model: GraphModel) -> list[str]:
    """Labels of what a graph holds as one node or one row."""
    rows = [cluster.label for cluster in model.clusters if cluster.repeats > 1]
    blocks = [
        node.title or "the operators in the middle"
        for node in model.nodes
        if "operators" in node.facts or _ROW.search(node.title)
    ]
    return list(dict.fromkeys([*rows, *blocks]))


def check_unfold(model: GraphModel) -> None:
    """Raise if the graph that a view starts from has rows: they cannot be unfolded.

    Raises:
        ArgumentError: it has.
    """
    rows = [label for label in closed(model) if _ROW.search(label)]
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
    if any(node.count > 1 and node.cluster in inside for node in model.nodes):
        raise _gone(f"what is in {said(which)} is not in this graph", closed(model))


def _gone(problem: str, labels: list[str]) -> ArgumentError:
    some = ", ".join(f"{label!r:.60}" for label in labels[:3]) + (" ..." if len(labels) > 3 else "")
    notes = [f"It has as one: {some}."]
    return ArgumentError("expand", problem, repair=KEPT, notes=notes)


def inside_what(view: GraphModel, whole: GraphModel, which: Any, owner: str) -> Cluster | None:
    """The call to open for what the whole graph has and a view does not show: the one that was
    asked for, or the innermost; None if it stands outside of all calls.

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
    place = next(node.cluster for node in whole.nodes if node.id == numbers[0])
    by_id = {cluster.id: cluster for cluster in whole.clusters}
    calls = [by_id[number] for number in cluster_paths(whole.clusters)[place]]
    for call in calls:
        if isinstance(which, str) and fnmatch.fnmatchcase(call.path, which):
            return call
    return calls[-1] if calls else None


def open_first(owner: str, what: str, call: Cluster) -> ArgumentError:
    """The error of what is found when a call is opened."""
    name = f"{call.path!r}" if call.path else "the outermost call"
    return ArgumentError(
        owner,
        f"no node matches {what} in this view: {name} is drawn as one node, as a part of one, or "
        "of a row",
        repair=f'Open it first: .expand("{call.path}").',
    )


def left_out(owner: str, what: str) -> ArgumentError:
    """The error of what a view does not keep."""
    return ArgumentError(
        owner,
        f"no node matches {what} in this view; the whole graph has one",
        repair="Ask the graph that this is a view of, as viz.trace gives it.",
    )
