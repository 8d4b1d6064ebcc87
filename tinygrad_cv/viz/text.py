"""A graph as plain text, for terminals, logs and screen readers: no engine is needed."""

from __future__ import annotations

from collections import defaultdict

from tinygrad_cv.viz.ends import result_name
from tinygrad_cv.viz.labels import cluster_text, legend_lines, node_lines
from tinygrad_cv.viz.model import GraphEdge, GraphModel, GraphNode, cluster_paths

__all__ = ["to_text"]


def to_text(model: GraphModel) -> str:
    """The totals, then one line for each node: ``#3 relu <- #2   → 1×8×4×4 float32``, indented by
    module call.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3), title="one operator").model
    >>> print(to_text(model), end="")
    one operator: 1 operator
    6 FLOPs forward
    #0 input x   2×3 float32
    #1 relu <- input #0   → 2×3 float32
    #2 output <- #1   2×3 float32
    """
    incoming: dict[int, list[GraphEdge]] = defaultdict(list)
    for edge in model.edges:
        incoming[edge.target].append(edge)
    clusters = {cluster.id: cluster for cluster in model.clusters}
    nodes = {node.id: node for node in model.nodes}
    callers = cluster_paths(model.clusters)
    head = [
        line.text for line in legend_lines(model) if "──" not in line.text and "╌╌" not in line.text
    ]
    if model.title:
        head = [": ".join(head[:2]), *head[2:]]
    lines = ["\n".join(head)]
    inside: tuple[int, ...] = ()
    for node in model.nodes:
        left, inside = inside, callers[node.cluster]
        for depth, call in enumerate(inside):
            if call not in left:
                lines.append("  " * depth + cluster_text(clusters[call]))
        name, *rest = (line.text for line in node_lines(node) if line.style != "equation")
        sources = ", ".join(_source(edge, nodes[edge.source]) for edge in incoming[node.id])
        text = f"#{node.id} {name}" + (f" <- {sources}" if sources else "")
        details = "; ".join(rest)
        lines.append("  " * len(inside) + text + (f"   {details}" if details else ""))
        equations = (line.text for line in node_lines(node) if line.style == "equation")
        lines += ["  " * (len(inside) + 3) + text for text in equations]
    return "\n".join(lines) + "\n"


def _source(edge: GraphEdge, source: GraphNode) -> str:
    text = ".".join(filter(None, (f"#{edge.source}", result_name(edge, source))))
    return f"{edge.argument} {text}" if edge.argument and edge.kind == "data" else text
