"""Overlays: numbers of a profile, or of anybody, as text and shade of the operators."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import tinygrad_cv as tg
from tests.viz.handmade import small_net
from tests.viz.viewing import told
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import viz
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.overlay import legend, overlay
from tinygrad_cv.viz.table import MEASURES

SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run():
    """A loss, and what its forward and two backwards took."""
    net, x = LeNet(), randn(2, 1, 12, 12)
    with tg.profile() as profile:
        loss = net(x).square().sum()
        loss.backward(retain_graph=True)
        loss.backward(retain_graph=True)
    return loss, profile


def operators(graph, phase="forward"):
    return [n for n in graph.model.nodes if n.kind == "op" and n.phase == phase]


def recorded(loss):
    """The engine's nodes in the order in which they ran."""
    found, stack = set(), [loss.node]
    while stack:
        node = stack.pop()
        if node is not None and hasattr(node, "plan") and node not in found:
            found.add(node)
            stack += node.edges
    return sorted(found, key=lambda node: node.stamp)


@pytest.mark.parametrize("name", MEASURES)
def test_the_numbers_are_those_of_the_profile(run, name):
    loss, profile = run
    graph = viz.draw(loss, profile=profile)
    drawn = operators(graph)
    assert len(drawn) == len(recorded(loss))
    forward, backward = (profile.values(name, phase) for phase in ("forward", "backward"))
    for node, box in zip(recorded(loss), drawn, strict=True):
        assert node.op.name == box.name
        parts = {"forward": forward[node], "backward": backward[node]}
        assert box.facts["measured"][name] == parts
    shown = operators(graph.overlay(name))
    total = sum(profile.values(name).values())
    for node, box in zip(recorded(loss), shown, strict=True):
        fact = box.facts["overlay"]
        assert fact["value"] == pytest.approx(profile.values(name)[node], rel=1e-12)
        assert fact["share"] == pytest.approx(fact["value"] / total)


def test_each_phase_where_both_are_drawn(run):
    loss, profile = run
    graph = viz.draw(loss, profile=profile, backward=True)
    times = profile.values("time", "forward"), profile.values("time", "backward")
    ids = {}
    for node, box in zip(recorded(loss), operators(graph), strict=True):
        ids[box.id] = node
        assert box.facts["overlay"]["value"] == times[0][node]
    for box in operators(graph, "backward"):
        assert box.facts["overlay"]["value"] == times[1][ids[box.pair]]


def test_in_the_picture(run, tmp_path):
    loss, profile = run
    graph = viz.draw(loss, profile=profile)
    root = ElementTree.parse(graph.render(tmp_path / "graph.svg")).getroot()
    times = profile.values("time")
    largest = max(times.values())
    groups = {g.get("data-id"): g for g in root.iter(f"{SPACE}g") if g.get("data-kind") == "op"}
    for node, box in zip(recorded(loss), operators(graph), strict=True):
        group = groups[str(box.id)]
        assert float(group.get("data-value")) == pytest.approx(times[node], rel=1e-12)
        assert float(group.get("data-time-forward")) == profile.values("time", "forward")[node]
        level = min(int(5 * times[node] / largest), 4)
        assert f"heat-{level}" in group.get("class").split()
        text = " ".join(t.text for t in group.findall(f"{SPACE}text"))
        assert re.search(r"\d (ns|µs|ms|s) forward, [\d.]+ (ns|µs|ms|s) backward \(", text)
    assert told(graph).startswith("colour: time, ")


def test_what_was_not_measured_is_no_zero(tmp_path):
    net, x = LeNet(), randn(2, 1, 12, 12)
    with tg.profile() as profile:
        y = net(x)
    graph = viz.draw(y.square().sum(), profile=profile)
    last = operators(graph)[-1]
    assert (last.name, last.facts["overlay"]["value"]) == ("sum", None)
    assert "time: not measured" in graph.to_text()
    assert "hatched: not measured (2)" in told(graph)
    root = ElementTree.parse(graph.render(tmp_path / "graph.svg")).getroot()
    (group,) = [g for g in root.iter(f"{SPACE}g") if g.get("data-id") == str(last.id)]
    assert "unmeasured" in group.get("class").split()
    assert group.get("data-value") == "unmeasured"
    assert len(root.findall(f"{SPACE}defs/{SPACE}pattern")) == 1


@pytest.mark.parametrize("first", ["overlay", "depth"])
def test_calls_drawn_as_one_node_have_the_sum(run, first):
    loss, profile = run
    graph = viz.trace(loss, profile=profile)
    for step in ("overlay", "depth") if first == "overlay" else ("depth", "overlay"):
        graph = graph.overlay("time") if step == "overlay" else graph.depth(1)
    rows = {row.module: row.time for row in profile.by_module()}
    found = {n.title: n.facts["overlay"] for n in operators(graph) if n.count > 1}
    assert {"features : Sequential", "classifier : Sequential"} == set(found)
    for title, fact in found.items():
        assert fact["value"] == pytest.approx(rows[title.split()[0]])
        assert fact["unmeasured"] == 0


def test_any_numbers():
    graph = viz.Graph(small_net())
    ids = [node.id for node in operators(graph)]
    shown = graph.overlay({ids[0]: -1.0, ids[1]: 3.0}, unit="V")
    first, second, *others = operators(shown)
    assert (first.facts["overlay"]["value"], second.facts["overlay"]["value"]) == (-1.0, 3.0)
    assert {node.facts["overlay"]["value"] for node in others} <= {None}
    dot = shown.to_dot()
    assert 'class="op heat-0"' in dot
    assert 'class="op heat-4"' in dot
    assert shown.to_dot() == dot
    assert viz.Graph.from_json(shown.to_json()).to_dot() == dot
    assert graph.model == small_net(), "a transform leaves its graph alone"


def test_without_a_profile():
    graph = viz.trace(lambda x: x.exp().sum(), tg.zeros(4, 5))
    assert [n.facts["overlay"]["value"] for n in operators(graph.overlay("flops"))] == [20, 20]
    sizes = [n.facts["overlay"]["value"] for n in operators(graph.overlay("output_bytes"))]
    assert sizes == [80, 4]
    with pytest.raises(tg.ArgumentError, match="no operator of this graph has a value of time"):
        graph.overlay("time")


def test_what_is_refused(run):
    loss, profile = run
    graph = viz.trace(loss)
    operator = operators(graph)[0].id
    with pytest.raises(tg.ArgumentError, match=r"no overlay 'heat'.*\n.*'time', 'flops'"):
        graph.overlay("heat")
    with pytest.raises(tg.ArgumentError, match=r"the graph has no operator 0\n.*ids 3, 4"):
        graph.overlay({0: 1.0})
    for value in (float("nan"), "3", None, True):
        with pytest.raises(tg.DTypeError, match="is no finite number"):
            graph.overlay({operator: value})
    with pytest.raises(tg.DTypeError, match="a dict of numbers by node id is needed, not list"):
        graph.overlay([1.0])
    with pytest.raises(tg.ArgumentError, match="no operator of this graph has a value"):
        graph.overlay({})
    with pytest.raises(tg.ArgumentError, match="the profile saw no operator of this graph"):
        viz.draw(tg.ones(2, requires_grad=True).exp(), profile=profile)
    with pytest.raises(tg.ArgumentError, match="the profile is of another call"):
        viz.draw(lambda x: x.exp(), randn(2), profile=profile)
    with pytest.raises(tg.DTypeError, match=r"what tg\.profile\(\) recorded, not dict"):
        viz.draw(loss, profile={})


def test_a_second_overlay_takes_the_place_of_the_first():
    model = overlay(overlay(small_net(), "flops"), "output_bytes")
    assert "; ".join(legend(model)).count("colour: ") == 1
    model = replace(model, notes=())
    assert isinstance(overlay(model, "flops"), GraphModel)
