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
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.align import CHANCE
from tinygrad_cv.viz.contract import module_paths, parameter_sizes, saved_bytes, storages
from tinygrad_cv.viz.difference import combined_comparison
from tinygrad_cv.viz.model import FoldedTensor, GraphEdge, GraphModel, GraphNode, cluster_paths
from tinygrad_cv.viz.overlay import refreshed
from tinygrad_cv.viz.table import combined

__all__ = ["repeat", "structures"]


@dataclass(slots=True)
class _Call:
    """What belongs to a module call and what crosses its border."""

    nodes: list[GraphNode] = field(default_factory=list)
    inner: list[GraphEdge] = field(default_factory=list)
    arriving: list[GraphEdge] = field(default_factory=list)
    leaving: list[GraphEdge] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)  # node id -> its place among the nodes


def repeat(model: GraphModel, least: int = 2) -> GraphModel:
    """Draw equal module calls that follow each other as one, with their number.

    The first call of a row stays, and what is known of its operators is added up over the row. A
    call that :func:`tinygrad_cv.viz.transforms.expand` opened is not folded.

    Args:
        least: how many calls make a row.

    Raises:
        ArgumentError: ``least`` is less than 2.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(*(tg.nn.Linear(4, 4) for _ in range(3)), tg.nn.ReLU())
    >>> model = repeat(tg.viz.trace(net, tg.zeros(1, 4)).model)
    >>> [cluster.label for cluster in model.clusters]
    ['Sequential', '0 : Linear ×3', '3 : ReLU']
    """
    if isinstance(least, bool) or not isinstance(least, int) or least < 2:
        raise ArgumentError("repeat", f"a row has at least 2 calls, not {least!r}")
    level, deepest = 0, 0
    while level <= deepest:
        paths = cluster_paths(model.clusters)
        deepest = max((len(path) for path in paths.values()), default=0) - 1
        model = _fold_level(model, paths, level, least)
        level += 1
    return model


def structures(model: GraphModel) -> dict[int | None, int]:
    """For each module call a number that it shares with those of the same structure."""
    paths = cluster_paths(model.clusters)
    by_id = {cluster.id: cluster for cluster in model.clusters}
    forms: dict[Any, int] = {}
    found: dict[int | None, int] = {}
    for level in range(max((len(path) for path in paths.values()), default=0)):
        for number, call in _calls(model, paths, level).items():
            found[number] = _form(by_id, call, forms)
    return found


def _calls(
    model: GraphModel, paths: Mapping[int | None, tuple[int, ...]], level: int
) -> dict[int, _Call]:
    """The calls that are nested ``level`` deep."""
    calls: dict[int, _Call] = {}
    at: dict[int, int] = {}  # node -> its call on this level
    for cluster in model.clusters:
        path = paths[cluster.id]
        if len(path) > level:
            calls.setdefault(path[level], _Call()).clusters.append(cluster.id)
    for node in model.nodes:
        path = paths[node.cluster]
        if len(path) > level:
            call = calls[path[level]]
            at[node.id] = path[level]
            call.place[node.id] = len(call.nodes)
            call.nodes.append(node)
    for edge in model.edges:
        source, target = at.get(edge.source), at.get(edge.target)
        if source == target is not None:
            calls[source].inner.append(edge)  # type: ignore[index]
            continue
        if source is not None:
            calls[source].leaving.append(edge)
        if target is not None:
            calls[target].arriving.append(edge)
    return calls


def _fold_level(
    model: GraphModel, paths: Mapping[int | None, tuple[int, ...]], level: int, least: int
) -> GraphModel:
    """Fold the rows of the calls that are nested ``level`` deep."""
    calls = _calls(model, paths, level)
    opened = {cluster.id for cluster in model.clusters if cluster.open}
    by_id = {cluster.id: cluster for cluster in model.clusters}
    siblings: dict[int | None, list[int]] = defaultdict(list)
    for number in calls:
        siblings[by_id[number].parent].append(number)
    returning = _returning(model)
    rows: list[list[int]] = []
    for numbers in siblings.values():
        forms: dict[Any, int] = {}
        form = {n: _form(by_id, calls[n], forms) for n in numbers}
        form |= {n: -n - 1 for n in numbers if opened.intersection(calls[n].clusters)}
        for _, equal in groupby(numbers, key=form.__getitem__):
            row = list(equal)
            if len(row) >= least:
                rows += _chains(row, calls, least, returning)
    return _merged(model, rows, calls) if rows else model


def _form(by_id: Mapping[int, Any], call: _Call, forms: dict[Any, int]) -> int:
    """A number that equal calls share."""
    local = {number: k for k, number in enumerate(call.clusters)}
    place = call.place
    clusters = tuple(
        (by_id[c].kind, local.get(by_id[c].parent), by_id[c].repeats) for c in call.clusters
    )
    nodes = tuple(
        (
            node.kind,
            node.name if node.kind == "op" else node.name.rpartition(".")[2],
            node.phase,
            local[node.cluster],  # type: ignore[index]
            None if node.pair is None else place.get(node.pair, -1),
            tuple((t.shape, t.dtype) for t in node.outputs),
            tuple(a for a in node.attributes if a[0] not in CHANCE),
            tuple((h.kind, h.role, h.tensor.shape, h.tensor.dtype, _value(h)) for h in node.held),
            _value(node),
            node.count,
            node.error,
        )
        for node in call.nodes
    )
    inner = frozenset(
        (place[e.source], place[e.target], e.kind, e.slot, e.output, e.count) for e in call.inner
    )
    return forms.setdefault((clusters, nodes, inner), len(forms))


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
    row: list[int], calls: Mapping[int, _Call], least: int, returning: set[int]
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


def _goes_on(near: Sequence[_Call], k: int) -> bool:
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


def _foldable(row: Sequence[_Call], returning: set[int]) -> bool:
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


def _links(one: _Call, two: _Call) -> frozenset[tuple[Any, ...]]:
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
    call: _Call, inside: set[int], kind: str, others: bool = False
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


def _all_or_none(call: _Call, exits: set[tuple[int, int]], inside: set[int]) -> bool:
    """True if whatever outside reads one of the exits reads all of them."""
    readers: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for edge in call.leaving:
        way_out = call.place[edge.source], edge.output
        if edge.target not in inside and way_out in exits:
            readers[edge.target].add(way_out)
    return all(read == exits for read in readers.values())


def _passes(
    call: _Call,
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
    model: GraphModel, rows: Sequence[Sequence[int]], calls: Mapping[int, _Call]
) -> GraphModel:
    """Keep the first call of each row: what leaves the last leaves it, and numbers add up."""
    stands_for: dict[int, int] = {}  # node of a later call -> that of the first
    merged: dict[int, list[GraphNode]] = {}
    times: dict[int, int] = {}
    parameters: dict[int, int] = defaultdict(int)
    gone: set[int] = set()
    size = {cluster.id: cluster.parameters for cluster in model.clusters}
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
            parameters[number] = sum(size[calls[n].clusters[k]] for n in row)
    nodes = tuple(
        _joined(node, merged[node.id], model) if node.id in merged else _repaired(node, stands_for)
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
            cluster,
            repeats=cluster.repeats * times.get(cluster.id, 1),
            parameters=parameters.get(cluster.id, cluster.parameters),
        )
        for cluster in model.clusters
        if cluster.id not in gone
    )
    return refreshed(replace(model, nodes=nodes, edges=tuple(edges), clusters=clusters))


def _value(part: GraphNode | FoldedTensor) -> str:
    """What is saved may be an input in the first call, and in others the result of one."""
    return "" if part.kind == "saved" else part.value


def _repaired(node: GraphNode, stands_for: Mapping[int, int]) -> GraphNode:
    if node.pair is not None and node.pair in stands_for:
        return replace(node, pair=stands_for[node.pair])
    return node


def _joined(node: GraphNode, nodes: Sequence[GraphNode], model: GraphModel) -> GraphNode:
    """The node of the first call with the numbers of all."""
    facts: dict[str, Any] = {**node.facts, **combined(nodes), **combined_comparison(nodes)}
    facts |= module_paths(nodes, model)
    sizes = parameter_sizes(nodes)
    if sizes:
        facts["parameter_sizes"] = sizes
        if "parameters" in facts:
            facts["parameters"] = sum(size for _, size in sizes)
    for name in ("flops", "saved_tensors"):
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
    return replace(node, count=count, facts=facts)
