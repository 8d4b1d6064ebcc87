"""Changes to a graph before it is drawn: pure functions from GraphModel to GraphModel.

Each keeps the totals of the whole graph, the order of arguments and what reaches what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.contract import contract, holding, saved_bytes, storages
from tinygrad_cv.viz.model import (
    Cluster,
    FoldedTensor,
    GraphEdge,
    GraphModel,
    GraphNode,
    cluster_paths,
    common_cluster,
)
from tinygrad_cv.viz.repeats import repeat
from tinygrad_cv.viz.selection import chosen_calls, expand, focus, path, reached
from tinygrad_cv.viz.stubs import FAR, USES, stubs

__all__ = [
    "FAR",
    "MAX_NODES",
    "USES",
    "collapse",
    "depth",
    "expand",
    "focus",
    "fold_constants",
    "fold_parameters",
    "fold_saved",
    "inline_calls",
    "limit",
    "only",
    "path",
    "repeat",
    "simplify",
    "stubs",
]

MAX_NODES = 300


def simplify(model: GraphModel, max_nodes: int = MAX_NODES, repeats: bool = True) -> GraphModel:
    """The view that a person wants first: parameters and constants inside their operators, three
    or more equal calls in a row once, at most ``max_nodes``.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: 2 * x, tg.zeros(3)).model
    >>> [node.name for node in simplify(model).nodes]
    ['x', 'mul', 'output']
    """
    model = fold_saved(fold_constants(fold_parameters(model)))
    if repeats:
        model = repeat(model, least=3)
    return stubs(inline_calls(limit(model, max_nodes)))


def fold_parameters(model: GraphModel) -> GraphModel:
    """Draw parameters as lines inside the operators that use them, their gradients inside the
    backward operators.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(tg.nn.Linear(4, 3), tg.zeros(2, 4)).model
    >>> len(model.nodes), len(fold_parameters(model).nodes)  # without weight and bias
    (5, 3)
    """
    return _fold(model, "param")


def fold_constants(model: GraphModel) -> GraphModel:
    """Draw constants as lines inside the operators that use them.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: 2 * x, tg.zeros(3)).model
    >>> [held.value for node in fold_constants(model).nodes for held in node.held]
    ['2']
    """
    return _fold(model, "const")


def _fold(model: GraphModel, kind: str) -> GraphModel:
    candidates = {
        node.id: node for node in model.nodes if node.kind == kind and node.phase == "forward"
    }
    operators = {node.id for node in model.nodes if node.kind == "op"}
    unused = set(candidates)
    for edge in model.edges:
        if edge.source in candidates:
            if edge.target in operators:
                unused.discard(edge.source)
            else:
                del candidates[edge.source]
    for node_id in unused:
        candidates.pop(node_id, None)
    # The gradient of a folded tensor goes inside as well.
    ids = {node.id for node in model.nodes}
    gradients = {
        node.id: node
        for node in model.nodes
        if node.facts.get("of") == kind and (node.pair in candidates or node.pair not in ids)
    }
    held: dict[int, list[FoldedTensor]] = defaultdict(list)
    taken: dict[int, list[GraphNode]] = defaultdict(list)
    edges = []
    for edge in model.edges:
        if edge.source in candidates:
            node = candidates[edge.source]
            taken[edge.target].append(node)
            held[edge.target].append(
                FoldedTensor(kind, node.outputs[0], edge.argument, node.id, node.value)
            )
        elif edge.target in gradients:
            node = gradients[edge.target]
            held[edge.source].append(
                FoldedTensor("gradient", node.outputs[0], edge.argument, node.id)
            )
        else:
            edges.append(edge)
    nodes = tuple(
        holding(replace(node, held=node.held + tuple(held[node.id])), taken[node.id], candidates)
        if node.id in held
        else node
        for node in model.nodes
        if node.id not in candidates and node.id not in gradients
    )
    return _without_empty_clusters(replace(model, nodes=nodes, edges=tuple(edges)))


def fold_saved(model: GraphModel) -> GraphModel:
    """Draw all tensors that one operator keeps for its backward as one box.

    >>> import tinygrad_cv as tg
    >>> a, b = (tg.ones(3, requires_grad=True) for _ in range(2))
    >>> folded = fold_saved(tg.viz.trace((a * b).sum(), backward=True).model)
    >>> [[held.role for held in node.held] for node in folded.nodes if node.kind == "saved"]
    [['other', 'input']]
    """
    of: dict[int, list[GraphNode]] = defaultdict(list)
    for node in model.nodes:
        if node.kind == "saved" and node.pair is not None and node.outputs:
            of[node.pair].append(node)
    first = {nodes[0].id: nodes for nodes in of.values()}
    merged = {node.id: nodes[0].id for nodes in of.values() for node in nodes}
    nodes = []
    for node in model.nodes:
        if node.id in first:
            parts = first[node.id]
            held = tuple(
                FoldedTensor("saved", p.outputs[0], p.name, p.facts.get("storage", p.id), p.value)
                for p in parts
            )
            facts = {"saved_bytes": saved_bytes(parts), "storages": storages(parts)}
            nodes.append(replace(node, name="saved", outputs=(), held=held, facts=facts))
        elif node.id not in merged:
            nodes.append(node)
    edges: dict[tuple[object, ...], GraphEdge] = {}
    for index, edge in enumerate(model.edges):
        if edge.source in merged or edge.target in merged:
            source, target = (
                merged.get(edge.source, edge.source),
                merged.get(edge.target, edge.target),
            )
            joined = replace(edge, source=source, target=target, argument="")
            edges.setdefault((source, target, edge.kind), joined)
        else:
            edges[(index,)] = edge
    return replace(model, nodes=tuple(nodes), edges=tuple(edges.values()))


def only(model: GraphModel, phase: str) -> GraphModel:
    """Keep the forward or the backward part.

    Raises:
        ArgumentError: ``phase`` is neither, or the graph has no such part.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(3, requires_grad=True)
    >>> model = tg.viz.trace(x.exp().sum(), backward=True).model
    >>> {node.phase for node in only(model, "forward").nodes}
    {'forward'}
    """
    if phase not in ("forward", "backward"):
        raise ArgumentError("only", f"phase must be 'forward' or 'backward', not {phase!r}")
    kept = {
        node.id: node
        for node in model.nodes
        if node.phase == phase and (phase == "forward") <= (node.kind != "saved")
    }
    if not kept:
        raise ArgumentError(
            "only", f"the graph has no {phase} part", repair="Trace it with backward=True."
        )
    nodes = tuple(node if node.pair in kept else replace(node, pair=None) for node in kept.values())
    edges = tuple(edge for edge in model.edges if edge.source in kept and edge.target in kept)
    return _without_empty_clusters(replace(model, nodes=nodes, edges=edges))


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
    levels = _levels(model.clusters)
    return _collapse_clusters(
        model, {cluster.id for cluster in model.clusters if levels[cluster.id] == k}
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


def limit(model: GraphModel, max_nodes: int = MAX_NODES) -> GraphModel:
    """At most ``max_nodes`` drawn nodes, by collapsing deep module calls first and then the
    middle; says so in a note.

    Raises:
        ArgumentError: ``max_nodes`` is less than 10.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.sin().cos(), tg.zeros(3)).model
    >>> limit(model, 10) is model  # four nodes: nothing to do
    True
    """
    if max_nodes < 10:
        raise ArgumentError(
            "limit", f"a graph cannot be collapsed to {max_nodes} nodes; 10 is the least"
        )
    full = len(model.nodes)
    if full <= max_nodes:
        return model
    calls = Counter(_levels(model.clusters).values())
    best = model
    for k in range(max(calls, default=-1), 0, -1):
        if k > 1 and calls[k] > max_nodes:  # each would be a node
            continue
        smaller = depth(model, k)
        if len(smaller.nodes) < len(best.nodes):
            best = smaller
        if len(best.nodes) <= max_nodes:
            note = f"{full:,} nodes: module calls at depth {k} are drawn as one node each"
            return replace(best, notes=(*model.notes, note))
    smaller = _without_middle(best, max_nodes)
    hidden = max(node.count for node in smaller.nodes)
    note = f"{full:,} nodes: {hidden:,} operators in the middle are drawn as one node"
    return replace(smaller, notes=(*model.notes, note))


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


def _levels(clusters: Iterable[Cluster]) -> dict[int, int]:
    """Nesting depth of every cluster; parents stand before children."""
    levels: dict[int, int] = {}
    for cluster in clusters:
        levels[cluster.id] = 0 if cluster.parent is None else levels[cluster.parent] + 1
    return levels


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

    return _without_empty_clusters(replace(contract(model, groups, titles), clusters=clusters))


def _part(node: GraphNode) -> str:
    return "saved" if node.kind == "saved" else node.phase


def _without_middle(model: GraphModel, max_nodes: int) -> GraphModel:
    """Keep the first and the last operators; what lies between becomes one node (and one backward
    node).
    """
    operators = [n.id for n in model.nodes if n.kind == "op" and n.phase == "forward"]
    operators = operators or [n.id for n in model.nodes if n.kind == "op"]
    targets: dict[int, set[int]] = defaultdict(set)
    for edge in model.edges:
        targets[edge.source].add(edge.target)
    paths = cluster_paths(model.clusters)
    keep = max_nodes
    while True:
        keep = keep * 3 // 4
        hidden = set(operators[keep // 2 : max(len(operators) - keep // 2, keep // 2)])
        if not hidden and keep > 0:
            continue
        groups: dict[int, tuple[int, str]] = {}
        for node in model.nodes:
            if node.id in hidden or (node.pair in hidden and node.kind != "param"):
                groups[node.id] = (0, _part(node))
            elif (
                node.kind in ("param", "const", "input")
                and targets[node.id]
                and targets[node.id] <= hidden
            ):
                groups[node.id] = (0, "forward")
        # Gradients of tensors that went into the middle go with them.
        for node in model.nodes:
            if node.phase == "backward" and node.pair in groups and node.id not in groups:
                groups[node.id] = (0, "backward")
        if any(n.kind == "op" and n.phase == "backward" and n.pair is None for n in model.nodes):
            for part in ("forward", "backward"):  # what lies between goes along
                inside = [key for key, group in groups.items() if group == (0, part)]
                between = reached(inside, model.edges) & reached(inside, model.edges, against=True)
                groups |= dict.fromkeys(between.difference(groups), (0, part))
        # Inside the call that holds all of it: from outside, the layout would see a circle.
        place = common_cluster(paths, {n.cluster for n in model.nodes if n.id in hidden})
        title = ("...", "", place)
        smaller = contract(model, groups, dict.fromkeys(groups.values(), title).__getitem__)
        if len(smaller.nodes) <= max_nodes or keep < 2:
            return _without_empty_clusters(smaller)


def _without_empty_clusters(model: GraphModel) -> GraphModel:
    used: set[int] = {node.cluster for node in model.nodes if node.cluster is not None}
    for cluster in reversed(model.clusters):
        if cluster.id in used and cluster.parent is not None:
            used.add(cluster.parent)
    if len(used) == len(model.clusters):
        return model
    return replace(model, clusters=tuple(c for c in model.clusters if c.id in used))
