"""A graph as plain text, for terminals, logs and screen readers: no engine is needed."""

from __future__ import annotations

from collections import defaultdict

from tinygrad_cv.viz.labels import cluster_text, legend_lines, node_lines
from tinygrad_cv.viz.model import GraphEdge, GraphModel

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
    depth: dict[int | None, int] = {None: 0}
    for cluster in model.clusters:
        depth[cluster.id] = depth[cluster.parent] + 1
    head = [
        line.text for line in legend_lines(model) if "──" not in line.text and "╌╌" not in line.text
    ]
    if model.title:
        head = [": ".join(head[:2]), *head[2:]]
    lines = ["\n".join(head)]
    current: int | None = None
    for node in model.nodes:
        if node.cluster != current:
            current = node.cluster
            if current is not None:
                lines.append("  " * (depth[current] - 1) + cluster_text(clusters[current]))
        name, *rest = (line.text for line in node_lines(node) if line.style != "equation")
        sources = ", ".join(_source(edge) for edge in incoming[node.id])
        text = f"#{node.id} {name}" + (f" <- {sources}" if sources else "")
        details = "; ".join(rest)
        lines.append("  " * depth[current] + text + (f"   {details}" if details else ""))
        equations = (line.text for line in node_lines(node) if line.style == "equation")
        lines += ["  " * (depth[current] + 3) + text for text in equations]
    return "\n".join(lines) + "\n"


def _source(edge: GraphEdge) -> str:
    text = f"#{edge.source}"
    return f"{edge.argument} {text}" if edge.argument and edge.kind == "data" else text
