"""Stubs: an edge that would cross the picture is drawn from a small copy of its source instead."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tinygrad_cv.viz.checks import whole
from tinygrad_cv.viz.model import GraphModel

__all__ = ["FAR", "USES", "stubs"]

USES = 6
FAR = 60


def stubs(model: GraphModel, uses: int = USES, far: int = FAR) -> GraphModel:
    """Draw a tensor that is used many times, or far from where it is made, as a small copy beside
    each such use. The edges stay in the graph, marked ``stub``; the first use keeps its line.

    Args:
        uses: a tensor that goes to more nodes than this has a copy at each use but the first.
        far: an edge over more ranks than this has a copy. The rank of a node is the length of the
            longest path to it.

    Raises:
        ArgumentError: one of them is less than 1.

    >>> import tinygrad_cv as tg
    >>> def powers(x):
    ...     return x * x + x.sin() * x.cos()
    >>> model = stubs(tg.viz.trace(powers, tg.zeros(3)).model, uses=2)
    >>> [edge.stub for edge in model.edges if edge.source == 0]
    [False, False, True, True]
    """
    for name, value in (("uses", uses), ("far", far)):
        whole("stubs", name, value, 1)
    readers: dict[tuple[int, int], set[int]] = defaultdict(set)
    first: dict[tuple[int, int], int] = {}
    arriving: dict[int, list[int]] = defaultdict(list)
    onward: dict[int, list[int]] = defaultdict(list)
    place = {node.id: k for k, node in enumerate(model.nodes)}
    for edge in model.edges:
        arriving[edge.target].append(edge.source)
        onward[edge.source].append(edge.target)
        if edge.kind == "data":
            tensor = edge.source, edge.output
            readers[tensor].add(edge.target)
            known = first.setdefault(tensor, edge.target)
            if place[edge.target] < place[known]:
                first[tensor] = edge.target
    rank: dict[int, int] = {}
    for node in model.nodes:  # topological
        rank[node.id] = 1 + max((rank.get(s, 0) for s in arriving[node.id]), default=0)
    # An input stands where it is used first, not at the top.
    for node in model.nodes:
        if not arriving[node.id]:
            rank[node.id] = min((rank[t] for t in onward[node.id]), default=1) - 1
    edges = []
    for edge in model.edges:
        tensor = edge.source, edge.output
        many = len(readers[tensor]) > uses and first.get(tensor) != edge.target
        distant = rank[edge.target] - rank[edge.source] > far
        edges.append(
            replace(edge, stub=True) if edge.kind == "data" and (many or distant) else edge
        )
    return replace(model, edges=tuple(edges))
