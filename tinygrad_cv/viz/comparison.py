"""Two graphs in one picture: what was added, removed, changed, and what is the same.

Nodes are matched by what they do, where they stand, and with which attributes and shapes
(:mod:`tinygrad_cv.viz.align`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.align import align, places
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.labels import MAX_LINE, clean, node_lines
from tinygrad_cv.viz.marks import SIGNS, counts_text, mark_of
from tinygrad_cv.viz.model import GraphModel, GraphNode
from tinygrad_cv.viz.overlay import applies, legend, overlay_lines, without
from tinygrad_cv.viz.union import Union, same_clusters

__all__ = ["Diff", "prepared", "shown"]

_LONGEST = 200  # characters of what one difference, or the title, says


class Diff(Graph):
    """The differences from one graph to another: what :func:`tinygrad_cv.viz.diff` returns, a
    :class:`Graph` of both in one.

    Attributes:
        model: both graphs laid over each other, each node with its mark in ``facts["diff"]``; the
            numbers of nodes are its own.
        before, after: the two graphs.
        changes: a :class:`Change` for each node that differs.
        edges: (mark, edge) for each connection that was added or removed; its ends are numbers of
            ``model`` before any transform.

    A transform changes what is drawn, ``model``, not the differences: the rest, :meth:`to_text`
    and the truth of a Diff stay the same.

    A Diff is true if there is a difference:

    >>> import tinygrad_cv as tg
    >>> a = tg.viz.trace(lambda x: x.exp(), tg.zeros(3))
    >>> b = tg.viz.trace(lambda x: x.exp().relu(), tg.zeros(3))
    >>> bool(tg.viz.diff(a, a)), bool(tg.viz.diff(a, b)), tg.viz.diff(a, b).counts
    (False, True, {'added': 1, 'same': 3})
    """

    def __init__(
        self,
        before: Graph,
        after: Graph,
        pairs: Sequence[tuple[int, int]] | None = None,
        title: str | None = None,
    ) -> None:
        self.before, self.after = before, after
        self._title = title
        self._pairs = list(align(before.model, after.model) if pairs is None else pairs)
        union = Union(before.model, after.model, self._pairs)
        self.changes = union.changes
        self._ends = union.ends
        self.edges = tuple((edge.mark, edge) for edge in union.edges if edge.mark)
        if title is None:
            names = list(dict.fromkeys([before.model.title, after.model.title]))
            title = " → ".join(filter(None, names))
        super().__init__(replace(union.model(self.counts, len(self.edges)), title=title))

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes were added, removed, changed, moved, and are the same.

        >>> import tinygrad_cv as tg
        >>> tg.viz.diff(lambda x: x.exp(), lambda x: x.sin(), tg.zeros(3)).counts
        {'added': 1, 'removed': 1, 'same': 2}
        """
        found = Counter(change.mark for change in self.changes)
        moved = sum(c.mark in ("changed", "moved") for c in self.changes)
        found["same"] = len(self._pairs) - moved
        order = ("added", "removed", "changed", "moved", "same")
        return {mark: found[mark] for mark in order if found[mark]}

    def __bool__(self) -> bool:
        return bool(self.changes or self.edges)

    def mirrored(self) -> Diff:
        """The differences the other way: what was added is removed.

        >>> import tinygrad_cv as tg
        >>> diff = tg.viz.diff(lambda x: x.exp(), lambda x: x.exp().sin(), tg.zeros(3))
        >>> diff.counts, diff.mirrored().counts
        ({'added': 1, 'same': 3}, {'removed': 1, 'same': 3})
        """
        return Diff(self.after, self.before, [(j, i) for i, j in self._pairs])

    def apply(self, graph: Graph) -> Graph:
        """The second graph, made of the first one and the differences: nodes that are equal are
        taken from ``graph``.

        Raises:
            ArgumentError: it is not the graph that the differences start from.

        >>> import tinygrad_cv as tg
        >>> a = tg.viz.trace(lambda x: x.exp(), tg.zeros(3))
        >>> b = tg.viz.trace(lambda x: x.exp().sin(), tg.zeros(3))
        >>> tg.viz.diff(a, b).apply(a).model == b.model
        True
        """
        if not isinstance(graph, Graph):
            problem = f"a Graph is needed, not {type(graph).__name__}"
            repair = "Apply them to the first graph of viz.diff, which .before has."
            raise DTypeError("apply", problem, repair=repair)
        if len(graph.model.nodes) != len(self.before.model.nodes) or Diff(graph, self.before):
            raise ArgumentError(
                "apply",
                f"{graph!r} is not the graph that these differences start from, {self.before!r}",
                repair="Apply them to the first graph of viz.diff, or compare this one.",
            )
        new, old = self.after.model, graph.model
        kept: dict[int, GraphNode] = {}
        numbers: dict[int, int] = {}
        for i, j in self._pairs:
            numbers[old.nodes[i].id] = new.nodes[j].id
        clusters = {j: i for i, j in same_clusters(old, new, self._pairs).items()}
        for i, j in self._pairs:
            node, wanted = old.nodes[i], new.nodes[j]
            pair = node.pair if node.pair is None else numbers.get(node.pair, -1)
            cluster = wanted.cluster if clusters.get(wanted.cluster) == node.cluster else -1
            kept[j] = replace(node, id=wanted.id, pair=pair, cluster=cluster)
        nodes = [kept[j] if kept.get(j) == wanted else wanted for j, wanted in enumerate(new.nodes)]
        return Graph(replace(new, nodes=tuple(nodes)))

    def to_text(self) -> str:
        """The counts, then one line for each difference, and with an overlay what it says of each
        node.

        >>> import tinygrad_cv as tg
        >>> before = lambda x: (x.exp() * 2).sum()
        >>> after = lambda x: (x.exp() * 3).relu().sum()
        >>> diff = tg.viz.diff(before, after, tg.zeros(3), title="two functions")
        >>> print(diff.to_text(), end="")
        two functions: 1 added, 0 removed, 1 changed, 4 the same
        ~ mul: other 2 → 3
        + relu   → 3 float32
        − connection: mul to sum as input
        """
        head = counts_text(self.counts) if self else f"no difference, {len(self._pairs)} nodes"
        title = clean(self.model.title, _LONGEST)
        lines = [f"{title}: {head}" if title else head]
        path: dict[int, str] = {}  # of each node of one of the graphs, by where it is in memory
        for model in (self.before.model, self.after.model):
            for own, (where, _) in zip(model.nodes, places(model), strict=True):
                path[id(own)] = f"{clean(where, MAX_LINE)} : " if where else ""
        for change in self.changes:
            node = change.after or change.before
            assert node is not None  # one of them is there
            bare = {k: v for k, v in without(node.facts).items() if k != "measured"}
            name, *rest = (line.text for line in node_lines(replace(node, title="", facts=bare)))
            text = f"{SIGNS[change.mark]} {path[id(node)]}{name}"
            if change.what:
                text += ": " + "; ".join(clean(what, _LONGEST) for what in change.what)
            elif rest:
                text += "   " + "; ".join(rest)
            lines.append(text)
        for mark, edge in self.edges:
            graph = 1 if mark == "added" else 0  # the one that has it
            source, target = self._ends[edge.source][graph], self._ends[edge.target][graph]
            assert source is not None
            assert target is not None
            if None not in (*self._ends[edge.source], *self._ends[edge.target]):
                argument = clean(f" as {edge.argument}", MAX_LINE) if edge.argument else ""
                names = (path[id(n)] + clean(n.name or n.kind, MAX_LINE) for n in (source, target))
                lines.append(f"{SIGNS[mark]} connection: {' to '.join(names)}{argument}")
        lines += ["; ".join(legend(self.model))] if self.model.overlay else []
        for node in self.model.nodes:
            if applies(node):
                name = clean(node.title or node.name or node.kind, MAX_LINE)
                lines.append(f"{name}: " + "; ".join(overlay_lines(node)))
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        return f"<Diff {self.model.title!r}: {counts_text(self.counts)}>"


def prepared(graph: Graph) -> Graph:
    """A traced graph as it is compared: parameters, constants and saved tensors inside their
    operators, so that these are what changes.
    """
    return graph.fold_parameters().fold_constants().fold_saved()


def shown(diff: Diff, max_nodes: int, fold: bool) -> Diff:
    """The same differences in the view that a person wants first."""
    return diff._step(_first_view, max_nodes, fold)


def _first_view(model: GraphModel, max_nodes: int, fold: bool) -> GraphModel:
    if fold:
        model = _without_equal_calls(model)
    return transforms.inline_calls(transforms.limit(model, max_nodes))


def _without_equal_calls(model: GraphModel) -> GraphModel:
    """Module calls in which nothing differs as one node each, the outermost call apart."""
    differs: set[int | None] = {n.cluster for n in model.nodes if mark_of(n) != "same"}
    ids = {node.id: node.cluster for node in model.nodes}
    for edge in model.edges:
        if edge.mark:
            differs |= {ids[edge.source], ids[edge.target]}
    parents = {cluster.id: cluster.parent for cluster in model.clusters}
    for cluster in reversed(model.clusters):
        if cluster.id in differs:
            differs.add(cluster.parent)
    equal = {c.id for c in model.clusters if c.id not in differs and parents[c.id] is not None}
    return transforms.collapse(model, lambda cluster: cluster.id in equal) if equal else model
