"""Colours by what a node is: operator, dtype, order of execution, structure.

Each node keeps the name of its group, and the legend counts the groups as they are drawn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.coloring import ordered, steps_of
from tinygrad_cv.viz.equal import structures
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.overlay import without
from tinygrad_cv.viz.palette import HUES

__all__ = ["SCHEMES", "color"]

SCHEMES = ("role", "operator", "dtype", "order", "structure")
LEVELS = 5


def color(model: GraphModel, scheme: str) -> GraphModel:
    """The model with ``facts["color"]``: the group of each node. An overlay goes.

    The most frequent groups have a colour of their own; the rest share the last, "other".

    Raises:
        ArgumentError: an unknown scheme.

    >>> import tinygrad_cv as tg
    >>> model = color(tg.viz.trace(lambda x: x.exp().exp().sum(), tg.zeros(4)).model, "operator")
    >>> [(n.name, n.facts["color"]["hue"]) for n in model.nodes if n.kind == "op"]
    [('exp', 0), ('exp', 0), ('sum', 1)]
    """
    if scheme not in SCHEMES:
        raise ArgumentError(
            "color",
            f"there is no colour scheme {scheme!r}",
            repair=f"There are {', '.join(map(repr, SCHEMES))}.",
        )
    plain = [replace(node, facts=without(node.facts)) for node in model.nodes]
    if scheme == "role":
        return replace(model, nodes=tuple(plain), overlay="")
    if scheme == "order":
        groups = _order(model)
    else:
        labels = {"operator": _operators, "dtype": _dtypes, "structure": _structures}[scheme](model)
        hues: dict[str, int] = {}
        for label, _ in Counter(labels.values()).most_common():
            hues[label] = min(len(hues), HUES - 1)
        groups = {
            key: {"scheme": scheme, "label": label, "hue": hues[label]}
            for key, label in labels.items()
        }
    nodes = tuple(
        replace(node, facts={**node.facts, "color": groups[node.id]}) if node.id in groups else node
        for node in plain
    )
    return replace(model, nodes=nodes, overlay="")


def _operators(model: GraphModel) -> dict[int, str]:
    return {node.id: node.name for node in model.nodes if node.kind == "op"}


def _dtypes(model: GraphModel) -> dict[int, str]:
    found = {}
    for node in model.nodes:
        tensors = node.outputs or tuple(held.tensor for held in node.held)
        kinds = list(dict.fromkeys(t.dtype for t in tensors if t.dtype))
        if kinds:
            found[node.id] = kinds[0] if len(kinds) == 1 else " and ".join(kinds)
    return found


def _order(model: GraphModel) -> dict[int, dict[str, Any]]:
    """Operators by their step in the whole graph; without such numbers, by their order here."""
    operators = [node for node in model.nodes if node.kind == "op"]
    steps = {node.id: steps_of(node) for node in operators}
    total = sum(model.totals.get(name, 0) for name in ("operators", "backward_operators"))
    if not all(step and step[1] <= total for step in steps.values()):
        total = 0
        for node in operators:
            steps[node.id] = [total + 1, total + node.count]
            total += node.count
    return {
        node.id: {
            **ordered(steps[node.id], node.count, total),
            "level": min(LEVELS * (steps[node.id][0] - 1) // max(total - 1, 1), LEVELS - 1),
        }
        for node in operators
    }


def _structures(model: GraphModel) -> dict[int, str]:
    """Operators by their module call, those of equal calls alike; by themselves where they are
    the whole call, or outside of one."""
    form = structures(model)
    keys: dict[int, Any] = {}
    for node in model.nodes:
        if node.kind != "op":
            continue
        if node.pair is not None and node.pair in keys:
            keys[node.id] = keys[node.pair]  # a backward is as its forward
        elif node.cluster in form and not node.title and "operators" not in node.facts:
            keys[node.id] = form[node.cluster]
        else:
            inside = tuple(sorted(node.facts.get("operators", {}).items()))
            shapes = tuple(t.shape for t in node.outputs)
            keys[node.id] = (node.name, inside, node.attributes, shapes)
    kinds: dict[int | None, str] = {cluster.id: cluster.kind for cluster in model.clusters}
    names: dict[Any, str] = {}
    taken: Counter[str] = Counter()
    for node in model.nodes:
        if node.id in keys and keys[node.id] not in names:
            inside_call = isinstance(keys[node.id], int)
            kind = kinds[node.cluster] if inside_call else node.name
            taken[kind] += 1
            names[keys[node.id]] = f"{kind} {taken[kind]}"
    alone = {kind for kind, count in taken.items() if count == 1}
    return {
        key: name.rpartition(" ")[0] if name.rpartition(" ")[0] in alone else name
        for key, form_of in keys.items()
        for name in [names[form_of]]
    }
