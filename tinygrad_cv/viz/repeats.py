"""Equal module calls in a row, drawn once with their number: a network of 24 equal layers is one
layer, "×24".

Calls are equal if their operators, attributes, shapes and inner edges are; names and values may
differ. They stand in a row if each hands exactly one tensor to the next, and nothing else leaves
but the result of the last (and, in backward, the gradient of the first). Then folding keeps what
reaches what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

from tinygrad_cv.viz.checks import whole
from tinygrad_cv.viz.contract import parameter_sizes, saved_bytes, storages
from tinygrad_cv.viz.difference import with_comparison
from tinygrad_cv.viz.equal import Call, calls_of, form, sizes
from tinygrad_cv.viz.marks import reconnected
from tinygrad_cv.viz.model import Cluster, GraphEdge, GraphModel, GraphNode, call_paths
from tinygrad_cv.viz.naming import module_paths
from tinygrad_cv.viz.overlay import refreshed
from tinygrad_cv.viz.table import combined
from tinygrad_cv.viz.work import summed

__all__ = ["repeat"]


def repeat(model: GraphModel, least: int = 2, of_one: int | None = None) -> GraphModel:
    """Draw equal module calls that follow each other as one, with their number.

    The first call of a row stays, and what is known of its operators is added up over the row. A
    call that :func:`tinygrad_cv.viz.transforms.expand` opened is not folded.

    Args:
        least: how many calls make a row.
        of_one: the same for calls of a single operator; as ``least`` if None.

    Raises:
        ArgumentError: one of them is less than 2.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(*(tg.nn.Linear(4, 4) for _ in range(3)), tg.nn.ReLU())
    >>> model = repeat(tg.viz.trace(net, tg.zeros(1, 4)).model)
    >>> [cluster.label for cluster in model.clusters]
    ['Sequential', '0 : Linear ×3', '3 : ReLU']
    """
    least = whole("repeat", "least", least, 2)
    of_one = least if of_one is None else whole("repeat", "of_one", of_one, 2)
    seen: set[int | None] = set()  # callers whose calls were looked at
    while True:
        calls, rows = _rows(model, (of_one, least), seen)
        if not rows:
            return model
        model = _merged(model, rows, calls)


def _rows(
    model: GraphModel, least: Sequence[int], seen: set[int | None]
) -> tuple[dict[int, Call], list[list[int]]]:
    """The rows of equal calls, outermost first; what stands in a row waits for the next time.
    ``least`` of calls of one operator and of others make a row."""
    size = sizes(model)
    held = {c.id for c in model.clusters if c.open}
    moved = reconnected(model)
    held |= {n.cluster for n in model.nodes if n.id in moved and n.cluster is not None}
    siblings: dict[int | None, list[int]] = defaultdict(list)
    for cluster in reversed(model.clusters):
        if cluster.id in held and cluster.parent is not None:
            held.add(cluster.parent)
    for cluster in model.clusters:
        siblings[cluster.parent].append(cluster.id)
    runs: dict[int | None, list[list[int]]] = defaultdict(list)
    for parent, numbers in siblings.items():
        if parent not in seen:
            for _, alike in groupby(numbers, key=lambda n: (n in held and n, size[n])):
                run = list(alike)
                if len(run) >= min(least) and run[0] not in held:
                    runs[parent].append(run)
    calls = calls_of(model, {n for found in runs.values() for run in found for n in run})
    returning = _returning(model) if runs else set()
    by_id = {cluster.id: cluster for cluster in model.clusters}
    rows: list[list[int]] = []
    waiting: set[int | None] = set()  # calls in a row, and what they call
    for parent in siblings:  # a caller stands before what it calls
        if parent in waiting or (parent is not None and by_id[parent].parent in waiting):
            waiting.add(parent)
            continue
        seen.add(parent)
        forms: dict[Any, int] = {}
        for run in runs[parent]:
            for _, equal in groupby(run, key=lambda n: form(by_id, calls[n], forms)):
                row = list(equal)
                phases = Counter(n.phase for n in calls[row[0]].nodes if n.kind == "op")
                needed = least[max(phases.values(), default=0) > 1]
                if len(row) >= needed:
                    rows += _chains(row, calls, needed, returning)
        waiting.update(n for row in rows for n in row)
    return calls, rows


def _returning(model: GraphModel) -> set[int]:
    """Forward nodes that reach their own backward one: by what they save, or by way of an operator
    that takes their result and sends a gradient back."""
    partner = {n.pair: n.id for n in model.nodes if n.kind == "op" and n.phase == "backward"}
    onward: dict[int, list[int]] = defaultdict(list)
    back: set[tuple[int, int]] = set()
    for edge in model.edges:
        if edge.kind == "gradient":
            back.add((edge.source, edge.target))
        else:
            onward[edge.source].append(edge.target)
    kinds = {node.id: node.kind for node in model.nodes}
    found: set[int] = set()
    for node in reversed(model.nodes):
        own = partner.get(node.id)
        if own is None or node.phase != "forward":
            continue
        for target in onward[node.id]:
            if (kinds[target] == "saved" and own in onward[target]) or (
                target in found and (partner[target], own) in back
            ):
                found.add(node.id)
                break
    return found


def _chains(
    row: list[int], calls: Mapping[int, Call], least: int, returning: set[int]
) -> list[list[int]]:
    """The parts of a row of equal calls in which each call feeds the next and nothing else."""
    if not _links(calls[row[0]], calls[row[1]]):
        row = row[::-1]  # a backward graph alone
    parts = [[row[0]]]
    for k in range(1, len(row)):
        if _goes_on([calls[n] for n in row[max(k - 2, 0) : k + 2]], min(k, 2)):
            parts[-1].append(row[k])
        else:
            parts.append([row[k]])
    found = []
    for part in parts:  # the first and the last have other neighbours
        for row in (part, part[:-1], part[1:]):
            if len(row) >= least and _foldable([calls[n] for n in row], returning):
                found.append(row)
                break
    return found


def _goes_on(near: Sequence[Call], k: int) -> bool:
    """True if call ``k`` continues the row of call ``k - 1``: nothing but the next call leaves the
    one, nothing but the one before comes into the other; the other way round for gradients."""
    one, two = near[k - 1], near[k]
    onward, back = _links(one, two), _links(two, one)
    if not onward:
        return False
    kind = next(iter(onward))[2]
    before = near[k - 2].place if k > 1 else {}
    after = near[k + 1].place if k + 1 < len(near) else {}
    known = (before, one.place, two.place, after)
    if k > 1 and (_links(near[k - 2], one) != onward or _links(one, near[k - 2]) != back):
        # Another link than before: a row of its own, unless the one before was no row either.
        return not _links(near[k - 2], one)
    exits = [e for e in one.leaving if e.kind == kind and not _inside(e.target, known)]
    returned = [e for e in one.arriving if e.kind != kind and not _inside(e.source, known)]
    returning = [e for e in two.leaving if e.kind != kind and not _inside(e.target, known)]
    inside = {node for place in known for node in place}
    came, comes = _entries(one, inside, kind), _entries(two, inside, kind)
    return not (exits or returned or returning or comes - came)


def _inside(node: int, places: Iterable[Mapping[int, int]]) -> bool:
    return any(node in place for place in places)


def _foldable(row: Sequence[Call], returning: set[int]) -> bool:
    """True if folding this row keeps what reaches what."""
    onward, back = _links(row[0], row[1]), _links(row[1], row[0])
    for one, two in pairwise(row):
        if _links(one, two) != onward or _links(two, one) != back:
            return False
    kinds = {kind for _, _, kind, _, _ in onward}
    exits = {(source, output) for source, _, _, _, output in onward}
    returns = {(source, output) for source, _, _, _, output in back}
    if len(kinds) != 1:
        return False
    (kind,) = kinds
    inside = {node for call in row for node in call.place}
    if not _all_or_none(row[-1], exits, inside) or not _all_or_none(row[0], returns, inside):
        return False
    for index, call in enumerate(row):
        near = [row[k].place for k in (index - 1, index + 1) if 0 <= k < len(row)]
        allowed = (exits if call is row[-1] else set()) | (returns if call is row[0] else set())
        for edge in call.leaving:
            if edge.target not in inside and (call.place[edge.source], edge.output) not in allowed:
                return False
        if any(e.source in inside and not _inside(e.source, near) for e in call.arriving):
            return False
    main = [_entries(call, inside, kind) for call in row]
    other = [_entries(call, inside, kind, others=True) for call in row]
    shared = main[1]
    if any(entries != shared for entries in main[2:]) or shared - main[0] or any(other[:-1]):
        return False
    if _ways(main[0] - shared) != {link[1:4] for link in onward}:
        return False
    if _ways(other[-1]) != {link[1:4] for link in back}:
        return False
    return _passes(row[-1], exits, onward, returns, back, returning)


def _links(one: Call, two: Call) -> frozenset[tuple[Any, ...]]:
    """The edges from one call into another, by the places of their ends."""
    return frozenset(
        (one.place[e.source], two.place[e.target], e.kind, _slot(e), e.output)
        for e in one.leaving
        if e.target in two.place
    )


def _slot(edge: GraphEdge) -> int:
    """The argument that a tensor is; a gradient's slot is a matter of where it comes from."""
    return edge.slot if edge.kind == "data" else 0


def _entries(
    call: Call, inside: set[int], kind: str, others: bool = False
) -> Counter[tuple[Any, ...]]:
    """What comes into a call from outside the row, of this kind or of the others."""
    return Counter(
        ((e.source, e.output), call.place[e.target], e.kind, _slot(e))
        for e in call.arriving
        if e.source not in inside and (e.kind == kind) != others
    )


def _ways(entries: Iterable[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """The places that entries lead to, wherever they come from."""
    return {key[1:] for key in entries}


def _all_or_none(call: Call, exits: set[tuple[int, int]], inside: set[int]) -> bool:
    """True if whatever outside reads one of the exits reads all of them."""
    readers: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for edge in call.leaving:
        way_out = call.place[edge.source], edge.output
        if edge.target not in inside and way_out in exits:
            readers[edge.target].add(way_out)
    return all(read == exits for read in readers.values())


def _passes(
    call: Call,
    exits: set[tuple[int, int]],
    onward: Iterable[tuple[Any, ...]],
    returns: set[tuple[int, int]],
    back: Iterable[tuple[Any, ...]],
    returning: set[int],
) -> bool:
    """True if what enters a call reaches its exit, and so does everything that is saved; and if
    the exit of the last call reaches where the gradient enters, as it does in the others."""
    before: dict[int, list[int]] = defaultdict(list)
    for edge in call.inner:
        before[call.place[edge.target]].append(call.place[edge.source])
    ends = {place for place, _ in exits}
    reaching = _reached(ends, before)
    if not all(target in reaching for _, target, _, _, _ in onward):
        return False
    if not returns:
        return True
    gradients = {target for _, target, _, _, _ in back}
    saving = {call.place[e.source] for e in call.inner if e.kind == "saved"}
    saving = {place for place in saving if call.nodes[place].kind != "saved"}
    entered = _reached([place for place, _ in returns], before)
    if not saving <= reaching or not gradients <= entered:
        return False
    last = {call.nodes[place].id for place in ends}
    entered_at = {call.nodes[place].pair for place in gradients}
    if len(last) == 1 and last == entered_at:
        return last <= returning
    return all(ends <= _reached([target], before) for target in gradients)


def _reached(starts: Iterable[int], edges: Mapping[int, list[int]]) -> set[int]:
    found, stack = set(starts), list(starts)
    while stack:
        for place in edges.get(stack.pop(), ()):
            if place not in found:
                found.add(place)
                stack.append(place)
    return found


def _merged(
    model: GraphModel, rows: Sequence[Sequence[int]], calls: Mapping[int, Call]
) -> GraphModel:
    """Keep the first call of each row: what leaves the last leaves it, and numbers add up."""
    stands_for: dict[int, int] = {}  # node of a later call -> that of the first
    merged: dict[int, list[GraphNode]] = {}
    times: dict[int, int] = {}
    together: dict[int, Cluster] = {}
    gone: set[int] = set()
    by_id = {cluster.id: cluster for cluster in model.clusters}
    for row in rows:
        first = calls[row[0]]
        times[row[0]] = len(row)
        for k, node in enumerate(first.nodes):
            merged[node.id] = [calls[n].nodes[k] for n in row]
        for n in row[1:]:
            stands_for |= {
                node.id: own.id for own, node in zip(first.nodes, calls[n].nodes, strict=True)
            }
            gone.update(calls[n].clusters)
        for k, number in enumerate(first.clusters):
            equal = [by_id[calls[n].clusters[k]] for n in row]
            together[number] = summed(by_id[number], equal)
    paths = call_paths(model.clusters)
    nodes = tuple(
        _joined(node, merged[node.id], paths) if node.id in merged else _repaired(node, stands_for)
        for node in model.nodes
        if node.id not in stands_for
    )
    edges: list[GraphEdge] = []
    seen: set[tuple[Any, ...]] = set()
    later = {n: row for row in rows for n in row[1:]}
    row_of = {node.id: n for n in later for node in calls[n].nodes}
    start_of = {node.id: row[0] for row in rows for node in calls[row[0]].nodes}
    for edge in model.edges:
        source, target = edge.source, edge.target
        s_row = later[row_of[source]][0] if source in row_of else start_of.get(source)
        t_row = later[row_of[target]][0] if target in row_of else start_of.get(target)
        if s_row is not None and s_row == t_row and (source in row_of or target in row_of):
            continue  # inside a later call, or between two calls of a row
        if source in row_of or target in row_of:
            edge = replace(
                edge,
                source=stands_for.get(source, source),
                target=stands_for.get(target, target),
            )
            key = (edge.source, edge.target, edge.kind, edge.slot, edge.output)
            if t_row is not None and s_row is None and edge.kind == "data":
                continue  # a shared tensor: the first call has it too
            if key in seen:
                continue
            seen.add(key)
        edges.append(edge)
    clusters = tuple(
        replace(
            together.get(cluster.id, cluster),
            repeats=cluster.repeats * times.get(cluster.id, 1),
        )
        for cluster in model.clusters
        if cluster.id not in gone
    )
    return refreshed(replace(model, nodes=nodes, edges=tuple(edges), clusters=clusters))


def _repaired(node: GraphNode, stands_for: Mapping[int, int]) -> GraphNode:
    if node.pair is not None and node.pair in stands_for:
        return replace(node, pair=stands_for[node.pair])
    return node


def _joined(
    node: GraphNode, nodes: Sequence[GraphNode], paths: Mapping[int | None, str]
) -> GraphNode:
    """The node of the first call with the numbers of all."""
    facts: dict[str, Any] = {**node.facts, **combined(nodes), **module_paths(nodes, paths)}
    sizes = parameter_sizes(nodes)
    if sizes:
        facts["parameter_sizes"] = sizes
        if "parameters" in facts:
            facts["parameters"] = sum(size for _, size in sizes)
    for name in ("flops", "saved_tensors", "recomputed"):
        if name in facts:
            facts[name] = sum(int(other.facts.get(name, 0)) for other in nodes)
    if "operators" in facts:
        kinds: Counter[str] = Counter()
        for other in nodes:
            kinds.update(other.facts["operators"])
        facts["operators"] = dict(kinds.most_common())
    if node.kind == "saved":
        facts["saved_bytes"], facts["storages"] = saved_bytes(nodes), storages(nodes)
        facts.pop("storage", None)
        if len({(n.value, tuple(h.value for h in n.held)) for n in nodes}) > 1:
            node = replace(node, value="", held=tuple(replace(h, value="") for h in node.held))
    count = sum(other.count for other in nodes) if node.kind == "op" else node.count
    return with_comparison(replace(node, count=count, facts=facts), nodes)
