"""Two graphs laid over each other: one graph in which each node and edge says whether the other
graph has it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.viz.align import CHANCE, places, signature
from tinygrad_cv.viz.contract import parameter_sizes
from tinygrad_cv.viz.difference import side
from tinygrad_cv.viz.labels import shape_text
from tinygrad_cv.viz.marks import SIGNS, counts_text, mark_of
from tinygrad_cv.viz.model import (
    Cluster,
    GraphEdge,
    GraphModel,
    GraphNode,
    TensorInfo,
    cluster_paths,
)
from tinygrad_cv.viz.naming import held_names
from tinygrad_cv.viz.overlay import without

__all__ = ["Change", "Union", "differences", "same_clusters"]

_NUMBERED = ("parameter_sizes", "storages")  # facts that are pairs of a number and a size


class Change(NamedTuple):
    """One difference: ``mark`` is "added", "removed", "changed" or "moved" (to another module
    path); ``before`` and ``after`` are the nodes, None where there is none; ``what`` says what
    changed.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(2, 3)
    >>> diff = tg.viz.diff(lambda x: x.sum(0), lambda x: x.sum(1), x)
    >>> for change in diff.changes:
    ...     print(change.mark, change.after.name, change.what)
    changed sum ('dims (0,) → (1,)', 'output 3 → 2')
    changed output ('tensor 3 → 2',)
    """

    mark: str
    before: GraphNode | None
    after: GraphNode | None
    what: tuple[str, ...] = ()


class Union:
    """Both graphs laid over each other: numbers in an order that is topological for both."""

    def __init__(self, a: GraphModel, b: GraphModel, pairs: Sequence[tuple[int, int]]) -> None:
        self.a, self.b = a, b
        self.changes: tuple[Change, ...] = ()
        self.nodes: list[GraphNode] = []
        self.ends: list[tuple[GraphNode | None, GraphNode | None]] = []  # of each, in a and in b
        self.edges: list[GraphEdge] = []
        self.clusters: list[Cluster] = []
        self._base_b = len(a.nodes) + len(b.nodes)
        self._base_a = self._base_b + 2 + max(_numbers(b), default=0)
        self._number_a: dict[int, int] = {}
        self._number_b: dict[int, int] = {}
        self._cluster_a, self._cluster_b = self._clusters(same_clusters(a, b, pairs))
        self._nodes(pairs)
        self._pair_up()
        self._add_edges()

    def model(self, counts: dict[str, int], edges: int) -> GraphModel:
        notes = list(self.b.notes)
        notes.append(counts_text(counts) if counts.keys() - {"same"} or edges else "no difference")
        present = [mark for mark in SIGNS if counts.get(mark)]
        if present:
            words = {"moved": "moved to another path"}
            notes.append("   ".join(f"{SIGNS[m]} {words.get(m, m)}" for m in present))
        if edges:
            added = sum(edge.mark == "added" for edge in self.edges)
            notes.append(f"connections: {added:,} added, {edges - added:,} removed")
        before, after = _totals(self.a), _totals(self.b)
        if before != after:
            notes.append(f"before: {before}")
        return replace(
            self.b,
            nodes=tuple(self.nodes),
            edges=tuple(self.edges),
            clusters=tuple(self.clusters),
            notes=tuple(notes),
            overlay="",
        )

    def _clusters(
        self, same: dict[int | None, int | None]
    ) -> tuple[dict[int | None, int | None], dict[int | None, int | None]]:
        """The numbers of the module calls of a and of b in the union."""
        in_a: dict[int | None, int | None] = {None: None}
        in_b: dict[int | None, int | None] = {None: None}
        for cluster in self.b.clusters:
            in_b[cluster.id] = len(self.clusters)
            parent = in_b[cluster.parent]
            self.clusters.append(replace(cluster, id=len(self.clusters), parent=parent))
        for cluster in self.a.clusters:
            if cluster.id in same:
                number = in_b[same[cluster.id]]
                assert number is not None
                known = self.clusters[number]
                if known.kind != cluster.kind:
                    kind = f"{cluster.kind} → {known.kind}"
                    self.clusters[number] = replace(known, kind=kind)
                in_a[cluster.id] = number
            else:
                in_a[cluster.id] = len(self.clusters)
                parent = in_a[cluster.parent]
                self.clusters.append(replace(cluster, id=len(self.clusters), parent=parent))
        return in_a, in_b

    def _nodes(self, pairs: Sequence[tuple[int, int]]) -> None:
        a, b = self.a.nodes, self.b.nodes
        place_a, place_b = places(self.a), places(self.b)
        changes: list[Change] = []
        i = j = 0
        for end_a, end_b in [*pairs, (len(a), len(b))]:
            for node in a[i:end_a]:
                self._add(node, None, Change("removed", node, None), changes)
            for node in b[j:end_b]:
                self._add(None, node, Change("added", None, node), changes)
            if end_a < len(a):
                old, new = a[end_a], b[end_b]
                what = differences(old, new)
                mark = "changed" if what else "same"
                if place_a[end_a][0] != place_b[end_b][0]:
                    mark = "changed" if what else "moved"
                    what = (*what, f"moved from {_label(place_a[end_a])}")
                self._add(old, new, Change(mark, old, new, what), changes)
            i, j = end_a + 1, end_b + 1
        self.changes = tuple(changes)

    def _add(
        self, old: GraphNode | None, new: GraphNode | None, change: Change, found: list[Change]
    ) -> None:
        number = len(self.nodes)
        self.ends.append((old, new))
        node = new if new is not None else old
        assert node is not None  # one of them is there
        if old is not None:
            self._number_a[old.id] = number
        if new is not None:
            self._number_b[new.id] = number
        clusters = self._cluster_a if new is None else self._cluster_b
        diff: dict[str, Any] = {"mark": change.mark, "lines": list(change.what)}
        if old is not None:
            node = old = _apart(old, self._base_a)
            diff["before"] = side(old, parameter_sizes([old]))
        if new is not None:
            node = new = _apart(new, self._base_b)
            diff["after"] = side(new, parameter_sizes([new]))
        facts = {**without(node.facts), "diff": diff}
        self.nodes.append(
            replace(node, id=number, cluster=clusters[node.cluster], facts=facts, pair=node.pair)
        )
        if change.mark != "same":
            found.append(change)

    def _pair_up(self) -> None:
        """Backward and saved nodes beside their forward ones, in the new numbers."""
        for number, node in enumerate(self.nodes):
            if node.pair is not None:
                numbers = self._number_a if mark_of(node) == "removed" else self._number_b
                self.nodes[number] = replace(node, pair=numbers[node.pair])

    def _add_edges(self) -> None:
        before, after = set(map(self._of_a, self.a.edges)), set(map(self._of_b, self.b.edges))
        for edge in self.b.edges:
            mark = "" if self._of_b(edge) in before else "added"
            self.edges.append(_moved(edge, self._number_b, mark, self._cluster_b))
        for edge in self.a.edges:
            if self._of_a(edge) not in after:
                self.edges.append(_moved(edge, self._number_a, "removed", self._cluster_a))

    def _of_a(self, edge: GraphEdge) -> tuple[Any, ...]:
        return _key(edge, self._number_a)

    def _of_b(self, edge: GraphEdge) -> tuple[Any, ...]:
        return _key(edge, self._number_b)


def _key(edge: GraphEdge, numbers: dict[int, int]) -> tuple[Any, ...]:
    ends = numbers[edge.source], numbers[edge.target]
    return (*ends, edge.kind, edge.slot, edge.argument, edge.output)


def _moved(
    edge: GraphEdge, numbers: dict[int, int], mark: str, clusters: Mapping[int | None, int | None]
) -> GraphEdge:
    calls = [(clusters[call], name) for call, name in edge.entering]
    return replace(
        edge,
        source=numbers[edge.source],
        target=numbers[edge.target],
        mark=mark,
        entering=tuple((call, name) for call, name in calls if call is not None),
    )


def _numbers(model: GraphModel) -> Iterable[int]:
    """The numbers of tensors and of memory that nodes hold or keep."""
    for node in model.nodes:
        yield node.id
        yield from (held.key for held in node.held)
        yield node.facts.get("storage", 0)
        for name in _NUMBERED:
            yield from (number for number, _ in node.facts.get(name, ()))


def _apart(node: GraphNode, base: int) -> GraphNode:
    """A node whose tensors and memory have numbers that no other graph's have: one parameter of
    each graph may have been node 3 before both were folded."""
    held = tuple(replace(item, key=base + item.key) for item in node.held)
    facts = dict(node.facts)
    for name in _NUMBERED:
        if name in facts:
            facts[name] = [[base + number, size] for number, size in facts[name]]
    if facts.get("storage", -1) >= 0:  # a leaf's memory has none
        facts["storage"] += base
    if "norms" in facts:
        parts = ((key.partition("."), entry) for key, entry in facts["norms"].items())
        facts["norms"] = {f"{base + int(n)}{dot}{index}": e for (n, dot, index), e in parts}
    return replace(node, held=held, facts=facts)


def same_clusters(
    a: GraphModel, b: GraphModel, pairs: Sequence[tuple[int, int]]
) -> dict[int | None, int | None]:
    """Module call of a -> the same one of b: with the same path and number, in the same caller, and
    with the same class or with a node in common.
    """
    known = {(c.path, c.call): c for c in b.clusters}
    same: dict[int | None, int | None] = {None: None}
    renamed: dict[int, int] = {}  # calls of another class, to be checked
    for cluster in a.clusters:
        other = known.get((cluster.path, cluster.call))
        if other is None or same.get(cluster.parent, -1) != other.parent:
            continue
        same[cluster.id] = other.id
        if cluster.kind != other.kind:
            renamed[cluster.id] = other.id
    shared = _sharing(a, b, pairs, renamed)
    for cluster in a.clusters:
        if cluster.parent not in same or (cluster.id in renamed and cluster.id not in shared):
            same.pop(cluster.id, None)
    return same


def _sharing(
    a: GraphModel, b: GraphModel, pairs: Sequence[tuple[int, int]], renamed: dict[int, int]
) -> set[int]:
    """Those calls of a that have a node in common with the one of b that they would be."""
    above_a = {cluster.id: cluster.parent for cluster in a.clusters}
    paths_b = cluster_paths(b.clusters)
    depth_b = {number: len(path) for number, path in paths_b.items() if number is not None}
    shared: set[int] = set()
    if not renamed:
        return shared
    for number_a, number_b in {(a.nodes[i].cluster, b.nodes[j].cluster) for i, j in pairs}:
        path = paths_b[number_b]
        number = number_a
        while number is not None and number not in shared:
            other = renamed.get(number)
            if other is not None and path[depth_b[other] - 1 : depth_b[other]] == (other,):
                shared.add(number)
            number = above_a[number]
    return shared


def differences(old: GraphNode, new: GraphNode) -> tuple[str, ...]:
    """What changed from one node to the other: attributes, parameters, shapes, dtypes, values.

    >>> one = GraphNode(0, "op", "sum", attributes=(("dims", "(0,)"),))
    >>> differences(one, GraphNode(4, "op", "sum", attributes=(("dims", "(1,)"),)))
    ('dims (0,) → (1,)',)
    """
    if signature(old) == signature(new):
        return ()
    lines = []
    if old.kind != "op" and old.name != new.name:
        lines.append(f"name {old.name} → {new.name}")
    lines += _changed(_attributes(old), _attributes(new))
    lines += _changed(_held(old), _held(new))
    lines += _changed(_outputs(old), _outputs(new))
    lines += _changed({"value": old.value}, {"value": new.value})
    lines += _changed({"error": old.error}, {"error": new.error})
    lines += _changed({"operators": str(old.count)}, {"operators": str(new.count)})
    return tuple(lines)


def _changed(old: dict[str, str], new: dict[str, str]) -> list[str]:
    lines = []
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if not before:
            lines.append(f"+ {name} {after}")
        elif not after:
            lines.append(f"− {name} {before}")
        else:
            lines.append(f"{name} {before} → {after}")
    return lines


def _attributes(node: GraphNode) -> dict[str, str]:
    return {name: text for name, text in node.attributes if name not in CHANCE}


def _held(node: GraphNode) -> dict[str, str]:
    held = [h for h in node.held if h.kind not in ("gradient", "saved")]
    names = zip(held_names(node.name, held), held, strict=True)
    saved = ((f"saved {h.role or h.kind}", h) for h in node.held if h.kind == "saved")
    rows = ((name or h.kind, h.value or _tensor(h.tensor)) for name, h in (*names, *saved))
    return _unique(rows)


def _outputs(node: GraphNode) -> dict[str, str]:
    backward = node.kind == "op" and node.phase == "backward"
    default = "output" if node.kind == "op" else "tensor"
    return _unique(
        (("d " if backward else "") + (t.name if node.kind == "op" else "") or default, _tensor(t))
        for t in node.outputs
    )


def _unique(rows: Any) -> dict[str, str]:
    """A dict of rows; a name that comes again gets a number."""
    found: dict[str, str] = {}
    for name, text in rows:
        number = 2
        key = name
        while key in found:
            key, number = f"{name} {number}", number + 1
        found[key] = text
    return found


def _tensor(tensor: TensorInfo) -> str:
    shape = shape_text(tensor.shape)
    return f"{shape} {tensor.dtype}" if tensor.dtype not in (None, "float32") else shape


def _label(where: tuple[str, int]) -> str:
    path, call = where
    return (path or "outside of the modules") + (f", call {call}" if call > 1 else "")


def _totals(model: GraphModel) -> str:
    """``12 operators, 61,706 parameters, 84.6 MFLOPs``."""
    parts = [f"{model.totals.get('operators', 0):,} operators"]
    if model.totals.get("parameters"):
        parts.append(f"{model.totals['parameters']:,} parameters")
    if model.totals.get("flops"):
        parts.append(quantity(model.totals["flops"], "FLOPs"))
    return ", ".join(parts)
