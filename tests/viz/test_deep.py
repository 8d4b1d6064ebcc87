"""Calls nested hundreds deep: each transform looks at a node a few times, not once for each call
around it. Counted, not timed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.handmade import Maker
from tests.viz.test_diff import graphs
from tests.viz.test_transforms import random_graphs
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import calls as collapsed
from tinygrad_cv.viz import equal as calls
from tinygrad_cv.viz import limits, repeats, selection, transforms
from tinygrad_cv.viz.align import align
from tinygrad_cv.viz.model import cluster_paths
from tinygrad_cv.viz.union import same_clusters


def nested(deep: int, equal: int = 1, kind: str = "M"):
    """Calls in calls: each has ``equal`` calls of one operator, then the next one."""
    m = Maker()
    last, parent = m.node("input", "x", (4,)), None
    for number in range(deep):
        parent = m.cluster(f"m{number}", kind, parent)
        for k in range(equal):
            inside = m.cluster(f"m{number}.{k}", "Act", parent)
            last = m.op("relu", (4,), ("input", last), cluster=inside)
    m.edge(last, m.node("output", "output", (4,)))
    return m.model("nested", totals={"operators": deep * equal})


@pytest.mark.parametrize("equal", [1, 3])
def test_limit_draws_calls_as_one_only_at_the_depth_it_takes(monkeypatch, equal):
    model, depths = nested(200, equal), []
    whole = transforms.depth
    monkeypatch.setattr(limits, "depth", lambda m, k: depths.append(k) or whole(m, k))
    small = transforms.limit(model, 50)
    assert len(small.nodes) <= 50
    assert len(depths) == 1
    assert whole(model, depths[0]).nodes == small.nodes
    assert len(whole(model, depths[0] + 1).nodes) > 50


@pytest.mark.parametrize("equal", [1, 2, 3])
def test_rows_are_looked_for_in_calls_that_have_an_equal_beside_them(monkeypatch, equal):
    model, seen = nested(200, equal), []
    whole = calls.calls_of

    def counted(model, chosen):
        found = whole(model, chosen)
        seen.append(sum(len(call.nodes) for call in found.values()))
        return found

    monkeypatch.setattr(repeats, "calls_of", counted)
    monkeypatch.setattr(calls, "calls_of", counted)
    folded = repeats.repeat(model)
    assert sum(c.repeats for c in folded.clusters if c.kind == "Act") == 200 * equal
    assert sum(c.kind == "Act" for c in folded.clusters) == 200
    assert len(calls.structures(model)) == len(model.clusters)
    assert sum(seen) <= 3 * len(model.nodes) * math.log2(len(model.nodes))
    assert len(seen) <= 4


@settings(max_examples=60, deadline=None)
@given(random_graphs(), st.integers(2, 4))
def test_the_number_of_nodes_at_each_depth_is_known_beforehand(model, opened):
    for drawn in (
        model,
        selection.set_open(model, {c.id for c in model.clusters if c.id % opened == 0}, True),
    ):
        counts = collapsed.counts_at(drawn)
        assert counts == {k: len(transforms.depth(drawn, k).nodes) for k in counts}


@settings(max_examples=60, deadline=None)
@given(graphs(), graphs())
def test_the_same_calls_of_two_graphs(a, b):
    a, b = a.model, b.model
    pairs = align(a, b)
    paths_a, paths_b = cluster_paths(a.clusters), cluster_paths(b.clusters)
    shared = {
        (x, y)
        for i, j in pairs
        for x in paths_a[a.nodes[i].cluster]
        for y in paths_b[b.nodes[j].cluster]
    }
    known = {(c.path, c.call): c for c in b.clusters}
    expected = {None: None}
    for cluster in a.clusters:
        other = known.get((cluster.path, cluster.call))
        if other is None or expected.get(cluster.parent, -1) != other.parent:
            continue
        if cluster.kind == other.kind or (cluster.id, other.id) in shared:
            expected[cluster.id] = other.id
    assert same_clusters(a, b, pairs) == expected


def test_calls_of_another_class_are_the_same_if_they_have_a_node_in_common():
    before, after = nested(30), nested(30, kind="N")
    pairs = align(before, after)
    assert same_clusters(before, after, pairs) == {None: None} | {k: k for k in range(60)}
    assert same_clusters(before, after, []) == {None: None}
    union = viz.diff(viz.Graph(before), viz.Graph(after), fold=False)
    assert {c.kind for c in union.model.clusters} == {"M → N"}


def test_a_row_of_rows_of_two_depths_at_once():
    pair = lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh())  # noqa: E731
    net = nn.Sequential(
        nn.Sequential(pair(), pair(), nn.ReLU()),
        nn.Sequential(pair(), pair(), nn.ReLU()),
        nn.Sequential(nn.Sequential(pair(), pair(), pair())),
    )
    graph = viz.trace(net, tg.zeros(1, 4)).repeat()
    rows = [c.label for c in graph.model.clusters if c.repeats > 1]
    assert rows == ["0 : Sequential ×2", "0.0 : Sequential ×2", "2.0.0 : Sequential ×3"]
