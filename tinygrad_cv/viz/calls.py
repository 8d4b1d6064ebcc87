"""Module calls drawn as one node, or as a line of the operator that they run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.contract import contract
from tinygrad_cv.viz.model import Cluster, GraphModel, GraphNode
from tinygrad_cv.viz.selection import chosen_calls

__all__ = ["collapse", "counts_at", "depth", "inline_calls", "levels", "without_empty_clusters"]


def depth(model: GraphModel, k: int) -> GraphModel:
    """Draw every module call that is nested ``k`` deep as one node; the outermost call has depth 0.

    Raises:
        ArgumentError: ``k`` is negative.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
    >>> [node.name for node in depth(tg.viz.trace(net, tg.zeros(2, 4)).model, 0).nodes]
    ['input', 'Sequential', 'output']
    """
    if k < 0:
        raise ArgumentError("depth", f"the depth must be 0 or more, not {k}")
    level = levels(model.clusters)
    return _collapse_clusters(
        model, {cluster.id for cluster in model.clusters if level[cluster.id] == k}
    )


def collapse(model: GraphModel, which: str | Callable[[Cluster], bool]) -> GraphModel:
    """Draw the module calls whose path matches a glob (or for which a function is true) as one
    node each, except what :func:`expand` opened.

    Raises:
        ArgumentError: nothing matches; the message names paths that are near.

    >>> import tinygrad_cv as tg
    >>> block = tg.nn.Sequential(tg.nn.Tanh(), tg.nn.ReLU())
    >>> model = tg.viz.trace(tg.nn.Sequential(block, tg.nn.Tanh()), tg.zeros(3)).model
    >>> [node.name for node in collapse(model, "0").nodes]
    ['input', 'Sequential', 'tanh', 'output']
    """
    return _collapse_clusters(model, chosen_calls(model, which, "collapse"))


def inline_calls(model: GraphModel) -> GraphModel:
    """A module call with a single operator and no calls of its own becomes a line of that
    operator, not a box.

    >>> import tinygrad_cv as tg
    >>> model = inline_calls(tg.viz.trace(tg.nn.ReLU(), tg.zeros(3)).model)
    >>> model.clusters, [node.title for node in model.nodes if node.kind == "op"]
    ((), ['ReLU'])
    """
    parents = {cluster.parent for cluster in model.clusters}
    members: dict[int, list[GraphNode]] = defaultdict(list)
    for node in model.nodes:
        if node.cluster is not None:
            members[node.cluster].append(node)
    inlined: dict[int, Cluster] = {}
    titled: set[int] = set()
    for cluster in model.clusters:
        if cluster.id in parents:
            continue
        inside = [node for node in members[cluster.id] if node.kind != "saved"]
        forward = [node.kind for node in inside if node.phase == "forward"]
        if (forward or [node.kind for node in inside]) == ["op"]:
            inlined[cluster.id] = cluster
            titled.update(n.id for n in inside if not forward or n.phase == "forward")
    if not inlined:
        return model
    nodes = []
    for node in model.nodes:
        if node.cluster in inlined:
            call = inlined[node.cluster]
            title = node.title or (call.label if node.id in titled else "")
            node = replace(node, cluster=call.parent, title=title)
        nodes.append(node)
    clusters = tuple(c for c in model.clusters if c.id not in inlined)
    return replace(model, nodes=tuple(nodes), clusters=clusters)


def levels(clusters: Iterable[Cluster]) -> dict[int, int]:
    """Nesting depth of every cluster; parents stand before children."""
    found: dict[int, int] = {}
    for cluster in clusters:
        found[cluster.id] = 0 if cluster.parent is None else found[cluster.parent] + 1
    return found


def counts_at(model: GraphModel) -> dict[int, int]:
    """How many nodes are drawn with the calls at each depth as one, the outermost calls apart."""
    sizes: Counter[tuple[int, str]] = Counter()
    one: set[tuple[int, str]] = set()  # what would be one node
    for node in model.nodes:
        if node.cluster is not None:
            sizes[node.cluster, _part(node)] += 1
            if node.kind in ("op", "saved"):
                one.add((node.cluster, _part(node)))
    level = levels(model.clusters)
    counts = {k: len(model.nodes) for k in range(1, max(level.values(), default=0) + 1)}
    for cluster in reversed(model.clusters):
        for part in ("forward", "backward", "saved"):
            key = cluster.id, part
            if key in one and not cluster.open and level[cluster.id]:
                counts[level[cluster.id]] -= sizes[key] - 1
            if cluster.parent is not None:
                sizes[cluster.parent, part] += sizes[key]
                if key in one:
                    one.add((cluster.parent, part))
    return counts


def _collapse_clusters(model: GraphModel, chosen: set[int]) -> GraphModel:
    inside: dict[int, int] = {}
    by_id = {cluster.id: cluster for cluster in model.clusters}
    for cluster in model.clusters:
        parent = cluster.parent
        if parent in inside:
            inside[cluster.id] = inside[parent]
        elif cluster.id in chosen and not cluster.open:
            inside[cluster.id] = cluster.id
    groups = {
        node.id: (inside[node.cluster], _part(node))
        for node in model.nodes
        if node.cluster is not None and node.cluster in inside
    }
    clusters = tuple(c for c in model.clusters if c.id not in inside)

    def titles(key: tuple[int, str]) -> tuple[str, str, int | None]:
        cluster = by_id[key[0]]
        return cluster.kind, cluster.label, cluster.parent

    smaller = replace(contract(model, groups, titles), clusters=clusters)
    return without_empty_clusters(smaller)


def _part(node: GraphNode) -> str:
    """Which nodes of a call become one: "forward", "backward" or "saved"."""
    return "saved" if node.kind == "saved" else node.phase


def without_empty_clusters(model: GraphModel) -> GraphModel:
    """The model without the module calls that have no node left."""
    used: set[int] = {node.cluster for node in model.nodes if node.cluster is not None}
    for cluster in reversed(model.clusters):
        if cluster.id in used and cluster.parent is not None:
            used.add(cluster.parent)
    if len(used) == len(model.clusters):
        return model
    return replace(model, clusters=tuple(c for c in model.clusters if c.id in used))
