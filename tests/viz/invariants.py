"""What every transform keeps: what reaches what, the nesting of calls, and the numbers."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from unittest import mock

from tests.viz.test_transforms import reaches
from tinygrad_cv.viz import contract as contraction
from tinygrad_cv.viz.model import GraphModel, check


def sums(model: GraphModel) -> dict[str, int]:
    """What the drawn nodes say, added up."""
    operators = [node for node in model.nodes if node.kind == "op"]
    held = {h.key: h.tensor.size for n in model.nodes for h in n.held if h.kind == "param"}
    plain = [n for n in model.nodes if n.kind == "param" and "parameter_sizes" not in n.facts]
    held |= {n.id: n.outputs[0].size for n in plain}
    for node in model.nodes:
        held |= dict(map(tuple, node.facts.get("parameter_sizes", ())))
    stored: dict[int, int] = {}
    for node in model.nodes:
        if "storages" in node.facts:
            stored |= dict(map(tuple, node.facts["storages"]))
        elif node.kind == "saved" and node.value not in ("parameter", "input"):
            stored[node.facts["storage"]] = node.facts["saved_bytes"]
    return {
        "operators": sum(n.count for n in operators if n.phase == "forward"),
        "backward_operators": sum(n.count for n in operators if n.phase == "backward"),
        "parameters": sum(held.values()),
        "flops": sum(int(n.facts.get("flops", 0)) for n in operators),
        "saved_bytes": sum(stored.values()),
    }


def check_reach(before: GraphModel, after: GraphModel, contracted: bool = True) -> None:
    """Nodes that both have reach each other in both or in none. A call that is drawn as one node is
    one: what enters it reaches what leaves it. Where nothing was ``contracted``, that holds for
    the calls of before as well."""
    check(after)
    below, now = reaches(before), reaches(after)
    kept = {n.id for n in after.nodes}
    titles = {n.id: n.title for n in before.nodes}
    if contracted:
        plain = [n for n in after.nodes if "operators" not in n.facts and n.name[:1] != "…"]
        own = {n.id for n in plain if titles[n.id] == n.title}
    else:
        own = kept
    blocks = len(own) < len(after.nodes)
    for node in own:
        was, is_ = below[node] & kept & own, now[node] & own
        if blocks:
            assert was <= is_
        else:
            assert was == is_
    assert all(node not in now[node] for node in kept)
    place = {n.id: k for k, n in enumerate(after.nodes)}
    assert all(place[e.source] < place[e.target] for e in after.edges)


def check_clusters(model: GraphModel, before: GraphModel) -> None:
    seen: set[int] = set()
    for cluster in model.clusters:
        assert cluster.parent is None or cluster.parent in seen
        seen.add(cluster.id)
    assert _empty(model) <= _empty(before)


def _empty(model: GraphModel) -> set[int]:
    """Calls with nothing in them."""
    used = {n.cluster for n in model.nodes} | {c.parent for c in model.clusters}
    return {c.id for c in model.clusters} - used


# Edges --------------------------------------------------------------------------------------------


def _whole(edge) -> tuple:
    return edge.source, edge.target, edge.kind, edge.slot, edge.argument, edge.output, edge.tensor


def check_edges(before: GraphModel, after: GraphModel) -> None:
    """Of the nodes that a part of a graph has, each edge is there, and no other; a hidden one
    leads through nodes that are not there."""
    kept = {n.id for n in after.nodes}
    whole = Counter(_whole(e) for e in before.edges if {e.source, e.target} <= kept)
    hidden = {(e.source, e.target, e.kind) for e in before.edges if e.hidden}
    plain = [e for e in after.edges if not e.hidden or (e.source, e.target, e.kind) in hidden]
    assert Counter(map(_whole, plain)) == whole
    onward = defaultdict(set)
    for edge in before.edges:
        onward[edge.source].add(edge.target)
    for edge in after.edges:
        if edge not in plain:
            found, waiting = set(), [edge.source]
            while waiting:
                for target in onward[waiting.pop()] - found:
                    found.add(target)
                    if target not in kept:
                        waiting.append(target)
            assert edge.target in found


def check_contraction(
    model: GraphModel, groups: Mapping[int, tuple[int, str]], after: GraphModel
) -> None:
    """An edge leads from one node to another exactly where one led from a member of the one to a
    member of the other; between single operators it is the same edge."""
    members = defaultdict(list)
    for node in model.nodes:
        if node.id in groups:
            members[groups[node.id]].append(node)
    stands: dict[int, int] = {node.id: node.id for node in model.nodes}
    blocks = set()
    for (_, part), nodes in members.items():
        operators = [node.id for node in nodes if node.kind == "op"]
        if len(nodes) > 1 and (operators or part not in ("forward", "backward")):
            head = operators[0] if len(operators) == 1 else nodes[0].id
            stands |= {node.id: head for node in nodes}
            blocks |= {head} if len(operators) != 1 else set()
    assert {node.id for node in after.nodes} == set(stands.values())
    real = defaultdict(list)
    for edge in model.edges:
        ends = stands[edge.source], stands[edge.target]
        if ends[0] != ends[1]:
            real[(*ends, edge.kind)].append(edge)
    drawn = defaultdict(list)
    for edge in after.edges:
        drawn[edge.source, edge.target, edge.kind].append(edge)
    assert drawn.keys() == real.keys()
    for way, edges in drawn.items():
        source, target, _ = way
        if not {source, target} & blocks:
            assert Counter(e[3:] for e in map(_whole, edges)) == Counter(
                e[3:] for e in map(_whole, real[way])
            )
            continue
        tensors = {(e.source, e.output) for e in real[way]}
        assert len(tensors) <= sum(e.count for e in edges) <= sum(e.count for e in real[way])
        flowing = {(e.tensor.shape, e.tensor.dtype) for e in real[way]}
        assert {(e.tensor.shape, e.tensor.dtype) for e in edges} <= flowing
        if target not in blocks:  # a block counts what enters it by itself
            slots, known = {e.slot for e in edges}, {e.slot for e in real[way]}
            assert slots == known if len(known) <= 8 else slots <= known
        assert any(not e.stub for e in edges) or all(e.stub for e in real[way])
    count = Counter()
    for node in model.nodes:
        count[stands[node.id]] += node.count if node.kind == "op" else 0
    assert all(node.count == count[node.id] for node in after.nodes if node.kind == "op")


@contextlib.contextmanager
def contractions_checked() -> Iterator[list[GraphModel]]:
    """Whatever is contracted in the block is checked; gives the results."""
    results = []

    def checked(model, groups, titles, *attempt):
        after = contraction.contract(model, groups, titles, *attempt)
        check_contraction(model, groups, after)
        results.append(after)
        return after

    with (
        mock.patch("tinygrad_cv.viz.calls.contract", checked),
        mock.patch("tinygrad_cv.viz.limits.contract", checked),
    ):
        yield results
