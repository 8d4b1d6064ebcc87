"""The legend of an overlay tells of what is drawn, whatever was done after the overlay."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import tinygrad_cv as tg
from tests.viz.viewing import told
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.autograd import plan_memory
from tinygrad_cv.viz import html
from tinygrad_cv.viz.table import TABLE, amount


@pytest.fixture(scope="module")
def known():
    """A graph that knows something of every overlay."""
    net, x = LeNet(), randn(2, 1, 12, 12)
    with tg.profile() as profile:
        net(x).square().sum().backward()
    plan = plan_memory(lambda x: net(x).square().sum(), x)
    call = lambda x: net(x).square().sum()  # noqa: E731
    return viz.trace(call, x, profile=profile, statistics=True, plan=plan)


def values(graph) -> list[float]:
    found = [n.facts.get("overlay", {}).get("value") for n in graph.model.nodes]
    return [value for value in found if value is not None]


VIEWS = {
    "depth": lambda graph: graph.depth(1),
    "whole": lambda graph: graph.depth(0),
    "simplify": lambda graph: graph.simplify(),
    "limit": lambda graph: graph.limit(10),
    "focus": lambda graph: graph.focus("linear"),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", TABLE)
def test_it_does_not_matter_what_comes_first(name, view, known):
    change = VIEWS[view]
    first, last = change(known.overlay(name)), change(known).overlay(name)
    assert told(first) == told(last)
    assert first.to_text() == last.to_text()
    for one, other in zip(first.model.nodes, last.model.nodes, strict=True):
        assert one.facts.get("overlay") == other.facts.get("overlay")
    assert change(known.overlay(name)).to_dot() == last.to_dot()


@pytest.mark.parametrize("name", TABLE)
def test_the_numbers_are_those_of_the_drawn_nodes(name, known):
    graph = known.simplify().overlay(name).depth(1)
    drawn, unit = values(graph), TABLE[name].unit
    (words,) = re.findall(f"^colour: {name.replace('_', ' ')}, (.*?);", told(graph) + ";")
    if name == "parameters":
        assert words == f"{sum(drawn):,} in all"
    elif TABLE[name].adds:
        assert words == f"{amount(sum(drawn), unit)} in all"
    else:
        ends = amount(min(drawn), unit), amount(max(drawn), unit)
        assert words == (f"{ends[0]} everywhere" if ends[0] == ends[1] else " to ".join(ends))


def test_numbers_of_the_users_too():
    net = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Tanh())
    graph = viz.trace(net, randn(1, 3)).fold_parameters()
    ids = [n.id for n in graph.model.nodes if n.kind == "op"]
    shown = graph.overlay({ids[0]: 1.0, ids[2]: 3.0}, "V")
    assert told(shown).startswith("colour: value, 4 V in all; stronger is more; hatched: not meas")
    block, tanh = [n for n in shown.depth(1).model.nodes if n.kind == "op"]
    assert (block.facts["overlay"]["value"], block.facts["overlay"]["unmeasured"]) == (1.0, 1)
    assert "1 of 2 not measured" in shown.depth(1).to_text()
    assert tanh.facts["overlay"]["share"] == 0.75
    assert told(shown.depth(1)) == told(shown)
    alone = shown.focus(ids[2], 0)
    assert told(alone).startswith("colour: value, 3 V in all")
    again = viz.Graph.from_json(shown.depth(1).to_json())
    assert again.model == shown.depth(1).model


def test_in_every_format(known, tmp_path):
    graph = known.overlay("mean").depth(1)
    first = told(graph).split(";")[0]
    assert first in graph.to_text()
    assert first in graph.to_dot()
    for end in ("svg", "html"):
        assert first in graph.render(tmp_path / f"a.{end}").read_text(encoding="utf-8")
    assert viz.Graph.from_json(graph.to_json()).to_text() == graph.to_text()
    (choice,) = [c for c in html.choices(graph.model) if c["name"] == "mean"]
    assert choice["note"] == told(graph)


def test_zeros_have_one_form(known):
    graph = known.overlay("zeros")
    (words,) = re.findall(r"^colour: zeros, ([\d.]+) % to ([\d.]+) %;", told(graph))
    shares = re.findall(r"([\d.]+) % zeros", graph.to_text())
    assert [min(shares, key=float), max(shares, key=float)] == list(words)


@pytest.mark.parametrize("name", TABLE)
def test_its_lines_are_short(name, known):
    lines = known.simplify().overlay(name).to_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("colour: "))
    end = next(k for k, line in enumerate(lines) if line.startswith("#"))
    assert all(12 <= len(line) <= 52 for line in lines[start:end]), lines[start:end]


def test_files_of_the_first_version_are_read(known):
    """There a note said what the colours mean; the overlay stood in the nodes alone."""
    net = viz.trace(nn.Sequential(nn.Tanh(), nn.Tanh()), randn(3))
    ids = [n.id for n in net.model.nodes if n.kind == "op"]
    for graph in (known.overlay("time").depth(1), net.overlay({ids[0]: 2.0}, "V")):
        data = json.loads(graph.to_json())
        data["version"] = 1
        del data["overlay"]
        data["notes"].append("coloured by something: 3 to 4; the stronger, the more")
        for node in data["nodes"]:
            node["facts"].pop("given", None)
            shown = node["facts"].get("overlay")
            if shown:
                node["facts"]["overlay"] = {k: shown[k] for k in ("name", "unit", "value")}
                node["facts"]["overlay"]["unmeasured"] = shown["unmeasured"]
        again = viz.Graph.from_json(json.dumps(data))
        assert again.to_text() == graph.to_text()
        assert again.model.nodes == graph.model.nodes
        plain = viz.Graph.from_json(json.dumps(data | {"nodes": [], "edges": []}))
        assert plain.model == replace(graph.model, nodes=(), edges=(), overlay="")


@pytest.mark.parametrize(
    ("version", "gone", "place"),
    [
        (1, "name", r"overlay\.name"),
        (2, "texts", r"overlay\.texts"),
        (2, "share", r"overlay\.share"),
    ],
)
def test_both_versions_are_read_strictly(version, gone, place, known):
    data = json.loads(known.overlay("time").to_json())
    data["version"] = version
    (first, *_) = (k for k, n in enumerate(data["nodes"]) if "overlay" in n["facts"])
    del data["nodes"][first]["facts"]["overlay"][gone]
    with pytest.raises(tg.DataError, match=rf"nodes\[{first}\]\.facts\.overlay\.{gone} is missing"):
        viz.Graph.from_json(json.dumps(data))
    with pytest.raises(tg.DataError, match=r"notes must be a list, not 3"):
        viz.Graph.from_json(json.dumps(data | {"nodes": [], "edges": [], "notes": 3}))
