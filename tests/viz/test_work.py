"""What a module call costs stands in its title: FLOPs, and time where it was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict

import pytest

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.labels import cluster_lines, cluster_text
from tinygrad_cv.viz.model import Cluster


class Used(nn.Module):
    """A module that is called twice, once with an operator that needs no gradient inside."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU())

    def forward(self, x):
        scale = x.detach().abs().mean()
        return self.norm(self.conv(self.norm(self.conv(x)))) * scale


def by_module(graph):
    """(path, class) -> FLOPs, forward and backward time of all its calls."""
    found = defaultdict(lambda: [0, 0.0, 0.0])
    for c in graph.model.clusters:
        row = found[c.path or c.kind, c.kind]
        row[0] += c.flops
        row[1] += c.time.get("forward", 0)
        row[2] += c.time.get("backward", 0)
    return found


@pytest.fixture(scope="module")
def profiled():
    net = nn.Sequential(Used(), nn.Flatten(), nn.Linear(72, 3))
    with tg.profile() as profile:
        net(randn(1, 2, 6, 6)).sum().backward()  # another call, which is not drawn
    rows = {(r.module, r.kind): r for r in profile.by_module()}
    with tg.profile() as profile:
        loss = net(randn(1, 2, 6, 6)).sum()
        loss.backward(retain_graph=True)
    assert {(r.module, r.kind) for r in profile.by_module()} == set(rows)
    return net, loss, profile


def test_the_numbers_are_those_of_the_profiler(profiled):
    _, loss, profile = profiled
    rows = {(r.module, r.kind): r for r in profile.by_module()}
    found = by_module(viz.trace(loss, profile=profile, backward=True))
    assert set(found) == set(rows)
    for key, (_, forward, backward) in found.items():
        assert forward == pytest.approx(rows[key].forward, rel=1e-12)
        assert backward == pytest.approx(rows[key].backward, rel=1e-12)
        assert forward > 0


def test_flops_are_those_of_the_profiler(profiled):
    net, _, _ = profiled
    x = randn(1, 2, 6, 6)
    with tg.profile() as profile:
        net(x)
    rows = {(r.module, r.kind): r.forward_flops for r in profile.by_module()}
    graph = viz.trace(net, x)
    assert {key: row[0] for key, row in by_module(graph).items()} == rows
    (whole,) = (c for c in graph.model.clusters if c.parent is None)
    assert whole.flops == graph.model.totals["flops"] == rows["Sequential", "Sequential"] > 0


def test_the_numbers_of_a_call_are_those_of_the_profiler(profiled):
    net, _, _ = profiled
    x = randn(1, 2, 6, 6)
    with tg.profile() as profile:
        net(x).sum().backward()
    rows = {(r.module, r.kind): r for r in profile.by_module()}
    for key, (_, *seconds) in by_module(viz.trace(net, x, profile=profile)).items():
        assert seconds == pytest.approx([rows[key].forward, rows[key].backward], rel=1e-12)


def test_a_run_that_is_not_in_the_graph_is_not_counted(profiled):
    net, _, _ = profiled
    with tg.profile() as profile:
        net(randn(1, 2, 6, 6)).sum().backward()
        loss = net(randn(1, 2, 6, 6)).sum()
    graph = viz.trace(loss, profile=profile)
    (whole,) = (c for c in graph.model.clusters if c.parent is None)
    (row,) = (r for r in profile.by_module() if r.kind == "Sequential" and r.module == "Sequential")
    assert row.calls == 2
    assert 0 < whole.time["forward"] < row.forward
    assert "backward" not in whole.time


def test_rows_of_equal_calls_add_up():
    net = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)))
    with tg.profile() as profile:
        loss = net(randn(2, 4)).sum()
        loss.backward(retain_graph=True)
    whole = viz.trace(loss, profile=profile)
    folded = whole.repeat()
    (row,) = (c for c in folded.model.clusters if c.repeats == 5)
    calls = [
        c for c in whole.model.clusters if c.path in "01234" and c.kind == "Sequential" and c.path
    ]
    assert row.flops == sum(c.flops for c in calls)
    for phase in ("forward", "backward"):
        assert row.time[phase] == pytest.approx(sum(c.time[phase] for c in calls))


def test_titles_are_short():
    call = Cluster(0, "features", "Sequential", parameters=2604, flops=1_900_000)
    assert cluster_text(call) == "features : Sequential  (2,604 parameters, 1.9 MFLOPs)"
    lines = [line.text for line in cluster_lines(call)]
    assert lines == ["features", "Sequential", "2,604 parameters", "1.9 MFLOPs"]
    small = Cluster(0, "fc", "Linear", parameters=15, flops=48)
    assert [line.text for line in cluster_lines(small)] == [
        "fc : Linear",
        "15 parameters, 48 FLOPs",
    ]
    timed = Cluster(0, "fc", "Linear", flops=48, time={"forward": 0.00124, "backward": 0.0031})
    assert [line.text for line in cluster_lines(timed)][1:] == [
        "48 FLOPs",
        "1.24 ms, backward 3.1 ms",
    ]
    assert cluster_text(timed) == "fc : Linear  (48 FLOPs, 1.24 ms, backward 3.1 ms)"
    forward = Cluster(0, "fc", "Linear", time={"forward": 0.00124})
    assert [line.text for line in cluster_lines(forward)] == ["fc : Linear", "1.24 ms"]
    unknown = Cluster(0, "fc", "Linear", flops=48, flops_unknown=1)
    assert cluster_text(unknown) == "fc : Linear  (at least 48 FLOPs)"
    assert [line.text for line in cluster_lines(Cluster(0, "fc", "Linear"))] == ["fc : Linear"]


def test_text_json_and_svg_have_them(profiled, tmp_path):
    pytest.importorskip("pygraphviz")
    _, loss, profile = profiled
    graph = viz.draw(loss, profile=profile)
    assert viz.GraphModel.from_json(graph.to_json()) == graph.model
    (used,) = (c for c in graph.model.clusters if c.path == "0")
    assert f"({used.parameters} parameters, " in graph.to_text()
    root = ET.parse(graph.render(tmp_path / "a.svg")).getroot()
    (group,) = (g for g in root.iter() if g.get("data-module") == "0")
    assert group.get("data-flops") == str(used.flops)
    assert float(group.get("data-time-forward")) == used.time["forward"]
    assert float(group.get("data-time-backward")) == used.time["backward"]
    title = group.find("{http://www.w3.org/2000/svg}title").text
    assert title == cluster_text(used)
