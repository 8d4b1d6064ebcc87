"""Changes to a graph before it is drawn: pure functions from GraphModel to GraphModel.

Each keeps the totals of the whole graph, and of the nodes that stay single the order of arguments
and what reaches what. A block is one node: what enters it reaches what leaves it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.calls import collapse, depth, inline_calls, without_empty_clusters
from tinygrad_cv.viz.contract import holding, named, saved_bytes, storages
from tinygrad_cv.viz.difference import with_comparison
from tinygrad_cv.viz.limits import MAX_NODES, limit, limited
from tinygrad_cv.viz.marks import reconnected
from tinygrad_cv.viz.model import FoldedTensor, GraphEdge, GraphModel, GraphNode
from tinygrad_cv.viz.repeats import repeat
from tinygrad_cv.viz.selection import expand, focus, path
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


def simplify(model: GraphModel, max_nodes: int = MAX_NODES, repeats: bool = True) -> GraphModel:
    """The view that a person wants first: parameters and constants inside their operators, equal
    calls in a row once (two, or three of a single operator), at most ``max_nodes`` boxes, with the
    copies of tensors that are used often or far away.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: 2 * x, tg.zeros(3)).model
    >>> [node.name for node in simplify(model).nodes]
    ['x', 'mul', 'output']
    """
    model = fold_saved(fold_constants(fold_parameters(model)))
    if repeats:
        model = repeat(model, least=2, of_one=3)
    return limited(model, max_nodes, lambda smaller: stubs(inline_calls(smaller)))


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
        node.id: node
        for node in model.nodes
        if node.kind == kind and node.phase == "forward" and node.count == 1
    }
    for node_id in reconnected(model).intersection(candidates):
        del candidates[node_id]  # what differs is where it goes
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
    marked: dict[int, list[GraphNode]] = defaultdict(list)
    edges = []
    for edge in model.edges:
        if edge.source in candidates:
            node = candidates[edge.source]
            taken[edge.target].append(node)
            held[edge.target].append(
                FoldedTensor(kind, named(node), edge.argument, node.id, node.value)
            )
        elif edge.target in gradients:
            node = gradients[edge.target]
            marked[edge.source].append(node)
            held[edge.source].append(FoldedTensor("gradient", named(node), edge.argument, node.id))
        else:
            edges.append(edge)

    def full(node: GraphNode) -> GraphNode:
        own = replace(node, held=node.held + tuple(held[node.id]))
        inside = [node, *taken[node.id], *marked[node.id]]
        return with_comparison(holding(own, taken[node.id], candidates), inside)

    nodes = tuple(
        full(node) if node.id in held else node
        for node in model.nodes
        if node.id not in candidates and node.id not in gradients
    )
    return without_empty_clusters(replace(model, nodes=nodes, edges=tuple(edges)))


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
                FoldedTensor("saved", named(p), p.name, p.facts.get("storage", p.id), p.value)
                for p in parts
            )
            facts = {"saved_bytes": saved_bytes(parts), "storages": storages(parts)}
            box = replace(node, name="saved", outputs=(), held=held, facts=facts)
            nodes.append(with_comparison(box, parts))
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
            known = edges.setdefault((source, target, edge.kind), joined)
            if known.mark != joined.mark:
                edges[source, target, edge.kind] = replace(known, mark="")
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
        raise ArgumentError(
            "only",
            f"phase must be 'forward' or 'backward', not {phase!r:.60}",
            repair="Write .only('forward') or .only('backward').",
        )
    kept = {
        node.id: node
        for node in model.nodes
        if node.phase == phase and (phase == "forward") <= (node.kind != "saved")
    }
    if not kept:
        raise ArgumentError(
            "only", f"the graph has no {phase} part", repair="Trace it with backward=True."
        )
    titles = {node.id: node.title for node in model.nodes if node.kind == "op"}
    nodes = tuple(
        node
        if node.pair is None or node.pair in kept
        else replace(node, pair=None, title=node.title or titles.get(node.pair, ""))
        for node in kept.values()
    )
    edges = tuple(edge for edge in model.edges if edge.source in kept and edge.target in kept)
    return without_empty_clusters(replace(model, nodes=nodes, edges=edges))
