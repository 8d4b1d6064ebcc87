"""Module calls as wholes: what belongs to each, what crosses its border, which are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinygrad_cv.viz.align import CHANCE
from tinygrad_cv.viz.marks import mark_of
from tinygrad_cv.viz.model import GraphEdge, GraphModel, GraphNode
from tinygrad_cv.viz.naming import held_form, value_form

__all__ = ["Call", "calls_of", "form", "sizes", "structures"]


@dataclass(slots=True)
class Call:
    """What belongs to a module call and what crosses its border."""

    nodes: list[GraphNode] = field(default_factory=list)
    inner: list[GraphEdge] = field(default_factory=list)
    arriving: list[GraphEdge] = field(default_factory=list)
    leaving: list[GraphEdge] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)  # node id -> its place among the nodes


def structures(model: GraphModel) -> dict[int | None, int]:
    """For each module call a number that it shares with those of the same structure."""
    by_id = {cluster.id: cluster for cluster in model.clusters}
    size = sizes(model)
    common = Counter(size.values())
    calls = calls_of(model, {number for number in by_id if common[size[number]] > 1})
    level: dict[int | None, int] = {None: -1}
    for cluster in model.clusters:
        level[cluster.id] = level[cluster.parent] + 1
    forms: dict[Any, int] = {}
    found: dict[int | None, int] = {}
    for number in sorted(by_id, key=level.__getitem__):
        if number in calls:
            found[number] = form(by_id, calls[number], forms)
        else:  # no other has its size
            found[number] = forms.setdefault(("alone", number), len(forms))
    return found


def sizes(model: GraphModel) -> dict[int, tuple[int, int]]:
    """For each call how many nodes and calls are inside. Those of equal calls are equal."""
    nodes = Counter(node.cluster for node in model.nodes)
    inside = Counter[int | None]()
    for cluster in reversed(model.clusters):
        inside[cluster.id] += 1
        inside[cluster.parent] += inside[cluster.id]
        nodes[cluster.parent] += nodes[cluster.id]
    return {cluster.id: (nodes[cluster.id], inside[cluster.id]) for cluster in model.clusters}


def calls_of(model: GraphModel, chosen: Collection[int]) -> dict[int, Call]:
    """These calls, each with what is inside and what crosses its border."""
    calls = {cluster.id: Call() for cluster in model.clusters if cluster.id in chosen}
    around: dict[int | None, tuple[int, ...]] = {None: ()}  # chosen calls, outermost first
    for cluster in model.clusters:
        own = around[cluster.parent]
        around[cluster.id] = own = (*own, cluster.id) if cluster.id in calls else own
        for number in own:
            calls[number].clusters.append(cluster.id)
    at: dict[int, tuple[int, ...]] = {}
    for node in model.nodes:
        at[node.id] = around[node.cluster]
        for number in at[node.id]:
            call = calls[number]
            call.place[node.id] = len(call.nodes)
            call.nodes.append(node)
    for edge in model.edges:
        sources, targets = at[edge.source], at[edge.target]
        for number in sources:
            call = calls[number]
            (call.inner if number in targets else call.leaving).append(edge)
        for number in targets:
            if number not in sources:
                calls[number].arriving.append(edge)
    return calls


def form(by_id: Mapping[int, Any], call: Call, forms: dict[Any, int]) -> int:
    """A number that equal calls share."""
    local: dict[int | None, int] = {number: k for k, number in enumerate(call.clusters)}
    place = call.place
    clusters = tuple(
        (by_id[c].kind, local.get(by_id[c].parent), by_id[c].repeats) for c in call.clusters
    )
    nodes = tuple(
        (
            node.kind,
            node.name if node.kind == "op" else node.name.rpartition(".")[2],
            node.phase,
            local[node.cluster],
            None if node.pair is None else place.get(node.pair, -1),
            tuple((t.shape, t.dtype) for t in node.outputs),
            tuple(a for a in node.attributes if a[0] not in CHANCE),
            tuple(map(held_form, node.held)),
            value_form(node),
            node.count,
            node.error,
            mark_of(node),
        )
        for node in call.nodes
    )
    inner = frozenset(
        (place[e.source], place[e.target], e.kind, e.slot, e.output, e.count, e.mark)
        for e in call.inner
    )
    return forms.setdefault((clusters, nodes, inner), len(forms))
