"""The HTML viewer: how a node is found and reached, and what is said of it in a comparison."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tests.viz.test_views import equal_layers
from tests.viz.viewing import chosen, classes, facts, text
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import nn, viz


def found(page, query: str) -> set[int]:
    page.key("/")
    page.run("document.querySelector('#search').value = ''")
    page.type(query)
    return classes(page, "found")


def test_one_tab_leads_to_the_picture(look):
    model = viz.draw(LeNet(), randn(2, 1, 12, 12)).model
    page = look(model)
    page.run("document.querySelector('#help summary').focus()")  # the last of the toolbar
    page.key("Tab")
    assert page.run("document.activeElement.dataset.id") == "0"
    page.key("ArrowDown")
    assert chosen(page) == [next(n.id for n in model.nodes if n.name == "conv")]


@pytest.mark.parametrize("start", ["f", "-"])
def test_what_a_search_finds_can_be_read(start, look):
    net = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(40)))
    model = viz.trace(net, randn(1, 4)).model
    page = look(model, 900, 600)
    page.key(start)
    for _ in range(8 if start == "-" else 0):
        page.key("-")
    wanted = next(n.id for n in model.nodes if n.name == "tanh")
    high = f"document.querySelector('.node[data-id=\"{wanted}\"] text').getBoundingClientRect()"
    assert page.run(f"{high}.height") < 6
    page.key("/")
    page.type("tanh")
    page.key("Enter")
    assert chosen(page) == [wanted]
    assert page.run(f"{high}.height") > 11
    inside = page.run(
        f"(r => r.left > 0 && r.top > 0 && r.right < innerWidth && r.bottom < innerHeight)({high})"
    )
    assert inside
    scale = page.run("document.querySelector('#picture svg').getAttribute('viewBox')").split()[2:]
    page.key("Enter")  # the next one, as large
    after = page.run("document.querySelector('#picture svg').getAttribute('viewBox')").split()[2:]
    assert after == scale


def test_search_finds_what_boxes_print(look):
    graph = viz.draw(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3, 2)),
                     randn(1, 1, 9, 9))  # fmt: skip
    first, second = [n.id for n in graph.model.nodes if n.name == "conv"]
    page = look(graph.model)
    assert found(page, "k3 s1") == {first}
    assert found(page, "k3 s2") == {second}
    assert found(page, "2×1×3×3 = 18") == {first}
    assert found(page, "FLOPs") == set(), "the lines of an overlay come and go"


@pytest.mark.parametrize("view", ["repeat", "depth"])
def test_search_finds_the_box_that_stands_for_a_module(view, look):
    graph = viz.trace(equal_layers(5), randn(2, 3)).fold_parameters()
    paths = {c.path for c in graph.model.clusters if c.path}
    shown = graph.repeat() if view == "repeat" else graph.depth(1)
    drawn = {c.path for c in shown.model.clusters}
    assert paths - drawn, "some modules have no box of their own"
    page = look(shown.model)
    for path in paths:
        assert found(page, path), path
    (inner,) = [p for p in paths if p.endswith("4.linear")]
    assert len(found(page, inner)) == 1
    page.key("Enter")
    (box,) = [n for n in shown.model.nodes if [n.id] == chosen(page)]
    assert inner in box.facts["paths"]
    assert "paths" not in facts(page), "they are for the search alone"


def test_a_module_box_highlights_what_its_operators_reach(look):
    net = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Sigmoid())
    graph = viz.draw(net, randn(2, 3))
    (call,) = [c for c in graph.model.clusters if c.path == "1"]
    own = {n.id for n in graph.model.nodes if n.cluster == call.id}
    page = look(graph.model)
    page.key("f")
    box = page.run(
        "(r => [r.left + 3, r.top + r.height / 2])(document.querySelector("
        "'.cluster[data-module=\"1\"]').getBoundingClientRect())"
    )
    page.mouse("mouseMoved", *box)
    assert classes(page, "here") == own
    names = {n.id: n.name for n in graph.model.nodes}
    assert {names[i] for i in classes(page, "up")} == {"input", "tanh"}
    assert {names[i] for i in classes(page, "down")} == {"sigmoid", "output"}
    assert "1 : Sequential: 2 upstream, 2 downstream" in text(page, "#reach")
    assert page.run("document.querySelectorAll('.cluster.here').length") == 1
    page.mouse("mouseMoved", 600, 10)
    assert not classes(page, "here")
    assert page.run("document.querySelectorAll('.cluster.here').length") == 0


def test_a_comparison_is_told_in_words(look):
    first = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sigmoid())
    second = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Tanh())
    diff = viz.diff(first, second, tg.zeros(2, 4))
    page = look(diff.model)
    said = {}
    for node in diff.model.nodes:
        page.run(f"document.querySelector('.node[data-id=\"{node.id}\"]').focus()")
        assert "diff" not in facts(page)
        said[node.name] = facts(page)["comparison"]
    assert said["sigmoid"] == ["removed: only in the first graph"]
    assert said["tanh"] == ["added: only in the second graph"]
    assert said["input"] == ["the same in both graphs"]
    assert said["linear"] == ["changed", "weight 3×4 → 5×4", "bias 3 → 5", "output 2×3 → 2×5"]
