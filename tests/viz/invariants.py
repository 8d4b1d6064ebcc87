"""What every transform keeps: what reaches what, the nesting of calls, and the numbers."""

from __future__ import annotations

from tests.viz.test_transforms import reaches
from tinygrad_cv.viz.model import GraphModel, check


def sums(model: GraphModel) -> dict[str, int]:
    """What the drawn nodes say, added up."""
    operators = [node for node in model.nodes if node.kind == "op"]
    held = {h.key: h.tensor.size for n in model.nodes for h in n.held if h.kind == "param"}
    held |= {n.id: n.outputs[0].size for n in model.nodes if n.kind == "param"}
    for node in model.nodes:
        held |= dict(map(tuple, node.facts.get("parameter_sizes", ())))
    stored: dict[int, int] = {}
    for node in model.nodes:
        if "storages" in node.facts:
            stored |= dict(map(tuple, node.facts["storages"]))
        elif node.kind == "saved" and not node.value:
            stored[node.facts["storage"]] = node.facts["saved_bytes"]
    return {
        "operators": sum(n.count for n in operators if n.phase == "forward"),
        "backward_operators": sum(n.count for n in operators if n.phase == "backward"),
        "parameters": sum(held.values()),
        "flops": sum(int(n.facts.get("flops", 0)) for n in operators),
        "saved_bytes": sum(stored.values()),
    }


def check_reach(before: GraphModel, after: GraphModel) -> None:
    """Nodes that both have reach each other in both or in none. A call that is drawn as one node is
    one: what enters it reaches what leaves it."""
    check(after)
    below, now = reaches(before), reaches(after)
    kept = {n.id for n in after.nodes}
    titles = {n.id: n.title for n in before.nodes}
    own = {n.id for n in after.nodes if "operators" not in n.facts and titles[n.id] == n.title}
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
