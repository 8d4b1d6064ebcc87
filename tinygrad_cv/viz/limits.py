"""The budget of a picture: at most so many boxes, the copies of far tensors among them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.calls import counts_at, depth, without_empty_clusters
from tinygrad_cv.viz.contract import BUNDLES, LOOSENED, Key, contract
from tinygrad_cv.viz.model import GraphModel, GraphNode, cluster_paths, common_cluster
from tinygrad_cv.viz.selection import reached

__all__ = ["MAX_NODES", "boxes", "limit", "limited"]

MAX_NODES = 300
LEAST = 10  # one box for each part of a graph, and one to spare

_OLD = re.compile(r"([\d,]+ nodes[^:]*): (module calls at depth \d+)?.* drawn as one node( each)?")


def limit(model: GraphModel, max_nodes: int = MAX_NODES) -> GraphModel:
    """At most ``max_nodes`` boxes, copies of far tensors (``stubs``) included: by collapsing deep
    module calls first, then the middle and what is many of a kind; says so in a note. More than
    the usual 300 are kept in mind for the picture.

    Raises:
        ArgumentError: ``max_nodes`` is no integer, or less than 10.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.sin().cos(), tg.zeros(3)).model
    >>> limit(model, 10) is model  # four nodes: nothing to do
    True
    >>> many = tg.viz.trace(lambda x: [x.exp() for _ in range(20)], tg.zeros(3)).model
    >>> limit(many, 10).notes
    ('41 nodes: 18 operators in the middle, 18 outputs are drawn as one node each',)
    """
    return limited(model, max_nodes, lambda smaller: smaller)


def check_budget(max_nodes: Any) -> None:
    """Raise ArgumentError unless a graph can be collapsed to so many boxes."""
    if isinstance(max_nodes, bool) or not isinstance(max_nodes, Integral) or max_nodes < LEAST:
        raise ArgumentError(
            "limit",
            f"a graph cannot be collapsed to {max_nodes!r:.60} nodes; {LEAST} is the least",
        )


def boxes(model: GraphModel) -> int:
    """How many boxes are drawn: one for each node, and a copy for each stub."""
    return len(model.nodes) + sum(edge.stub for edge in model.edges)


def limited(
    model: GraphModel, max_nodes: int, finish: Callable[[GraphModel], GraphModel]
) -> GraphModel:
    """``finish`` of the model, or of a smaller one, so that it has at most ``max_nodes`` boxes.
    ``finish`` may add copies, but takes no node away.
    """
    check_budget(max_nodes)
    asked = int(max_nodes) if max_nodes > MAX_NODES else None
    if model.max_nodes != asked:
        model = replace(model, max_nodes=asked)

    def fitting(smaller: GraphModel) -> GraphModel | None:
        if len(smaller.nodes) > max_nodes:
            return None
        finished = finish(smaller)
        return finished if boxes(finished) <= max_nodes else None

    drawn = fitting(model)
    if drawn is not None:
        return drawn
    size = f"{len(model.nodes):,} nodes"
    if len(model.nodes) <= max_nodes:  # it is the copies that are too many
        size += f" and {boxes(finish(model)) - len(model.nodes):,} copies"
    counts, fewest, deepest = counts_at(model), len(model.nodes), 0
    for k in sorted(counts, reverse=True):
        if counts[k] < fewest:
            fewest, deepest = counts[k], k
            drawn = fitting(depth(model, k)) if fewest <= max_nodes else None
            if drawn is not None:
                return _noted(drawn, size, f"module calls at depth {k}")
    best = depth(model, deepest) if deepest else model
    deep = f"module calls at depth {deepest}" if deepest else ""
    keep = min(max_nodes, max(map(len, _parts(best).values())))
    while True:
        keep = keep * 3 // 4
        groups = _groups(best, keep)
        smaller = _contracted(best, groups)
        drawn = fitting(smaller)
        if drawn is None and keep == 0:  # a line instead of each copy
            edges = tuple(replace(edge, stub=False) for edge in smaller.edges)
            drawn = replace(smaller, edges=edges)
        if drawn is not None:
            return _noted(drawn, size, deep)


def _noted(model: GraphModel, size: str, deep: str) -> GraphModel:
    """The model with a note of what is folded. It takes the place of an earlier one, whose folds
    are in these."""
    words = {"forward": "operators in the middle", "backward": "backward operators"}
    words |= {"saved": "saved tensors", **BUNDLES}
    notes = []
    for note in model.notes:
        old = _OLD.fullmatch(note)
        if old is None:
            notes.append(note)
        else:
            size, deep = old[1], deep or old[2] or ""
    parts, counts = [deep] if deep else [], _counts(model)
    if deep:
        counts.pop("saved", None)  # they go with their calls
    parts += [f"{counts[part]:,} {words[part]}" for part in words if part in counts]
    each = " each" if deep or len(parts) > 1 else ""
    notes.append(f"{size}: {', '.join(parts)} are drawn as one node{each}")
    return replace(model, notes=tuple(notes))


def _part(node: GraphNode) -> str:
    """Which nodes may become one with this: "forward" or "backward" operators, "saved" ones, or one
    of ``BUNDLES``."""
    if node.kind == "op":
        return node.phase
    if node.phase == "backward" and node.kind in ("input", "output"):
        return "seed" if node.kind == "input" else "gradient"
    return node.kind


def _parts(model: GraphModel) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = defaultdict(list)
    for node in model.nodes:
        parts[_part(node)].append(node.id)
    return parts


def _middle(nodes: Sequence[int], keep: int) -> Sequence[int]:
    """All but the first and the last, at most ``keep`` in all."""
    return nodes[keep // 2 : len(nodes) - keep // 2] if len(nodes) > keep else ()


def _groups(model: GraphModel, keep: int) -> dict[int, Key]:
    """The nodes to fold so that of each part at most about ``keep`` stay: the operators in the
    middle with their backward, what they save, what only they read, and the outputs that only they
    give; then the middle of each other part that is still too long."""
    parts = _parts(model)
    hidden = set(_middle(parts["forward"] or parts["backward"], keep))
    groups: dict[int, Key] = {}
    for node in model.nodes:
        if node.id in hidden or (node.pair in hidden and node.kind in ("op", "saved")):
            groups[node.id] = (0, _part(node))
    if parts["forward"]:
        _add_middle(groups, parts["backward"], keep, "backward")
    beside: dict[int, set[int]] = defaultdict(set)
    for edge in model.edges:
        beside[edge.source].add(edge.target)
        beside[edge.target].add(edge.source)
    middle = (0, "forward")
    for node in model.nodes:
        inside = node.kind not in ("op", "saved") and beside[node.id]
        if inside and beside[node.id] <= groups.keys():
            groups[node.id] = middle if node.kind in ("param", "const") else (0, _part(node))
    for node in model.nodes:  # gradients of tensors that went into the middle go with them
        if (
            _part(node) == "gradient"
            and groups.get(-1 if node.pair is None else node.pair) == middle
        ):
            groups[node.id] = (0, "backward")
    for part in ("saved", *BUNDLES):
        _add_middle(groups, parts[part], keep, part)
    folded = set(groups.values())
    for node in model.nodes:  # what was folded before is in the middle again
        key = (0, _part(node))
        if key in folded and _folded(node):
            groups[node.id] = key
    return groups


def _folded(node: GraphNode) -> bool:
    """True for the middle of a graph, and for a bundle of inputs, outputs or the like."""
    return node.name == "..." if node.kind == "op" else node.kind in BUNDLES and node.count > 1


def _add_middle(groups: dict[int, Key], nodes: Iterable[int], keep: int, part: str) -> None:
    rest = [node for node in nodes if node not in groups]
    groups |= dict.fromkeys(_middle(rest, keep), (0, part))


def _contracted(model: GraphModel, groups: dict[int, Key]) -> GraphModel:
    """One node for each part; ``groups`` gets what lies between, which goes along."""
    smaller = _once(model, groups)
    place = {node.id: k for k, node in enumerate(smaller.nodes)}
    if all(place[edge.source] < place[edge.target] for edge in smaller.edges):
        return smaller
    for part in ("forward", "backward"):
        inside = [key for key, group in groups.items() if group == (0, part)]
        between = reached(inside, model.edges) & reached(inside, model.edges, against=True)
        groups |= dict.fromkeys(between.difference(groups), (0, part))
    return _once(model, groups, 0)


def _once(model: GraphModel, groups: Mapping[int, Key], attempt: int = len(LOOSENED)) -> GraphModel:
    # Inside the call that holds all of it: from outside, the layout would see a circle.
    paths = cluster_paths(model.clusters)
    clusters: dict[str, set[int | None]] = defaultdict(set)
    for node in model.nodes:
        if node.id in groups:
            part = groups[node.id][1]
            own = part in BUNDLES
            if own or node.kind == "op":
                clusters[part if own else "op"].add(node.cluster)
    places = {part: common_cluster(paths, found) for part, found in clusters.items()}

    def titles(key: Key) -> tuple[str, str, int | None]:
        return "...", "", places.get(key[1] if key[1] in BUNDLES else "op")

    return without_empty_clusters(contract(model, groups, titles, attempt))


def _counts(model: GraphModel) -> dict[str, int]:
    """How many operators, outputs ... the folds of a drawn graph stand for."""
    counts: Counter[str] = Counter()
    for node in model.nodes:
        if _folded(node):
            counts[_part(node)] += node.count
        elif node.kind == "saved":
            counts["saved"] += int(node.facts.get("saved_tensors", 0))
    return {part: count for part, count in counts.items() if count}
