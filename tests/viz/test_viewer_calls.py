"""The HTML viewer in a headless Chromium: the boxes of module calls, and what no overlay says."""

from __future__ import annotations

import json

import pytest

import tinygrad_cv as tg
from tests.viz.browser import Page
from tests.viz.handmade import small_net
from tests.viz.viewing import choose, chosen, classes, facts, node, text
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.backend.units import quantity

HERE = "document.querySelector('#picture .cluster[aria-pressed=true]')?.id.match(/c\\d+$/)[0]"


def box(page: Page, path: str) -> str:
    """The selector of the box of a module call."""
    name = page.run(f"document.querySelector('.cluster[data-module=\"{path}\"]').id")
    return f"#{name}"


def click_box(page: Page, path: str) -> None:
    """In the upper left corner of the box, where no node is."""
    x, y = page.run(
        f"(r => [r.x + 5, r.y + 5])(document.querySelector({json.dumps(box(page, path))})"
        ".getBoundingClientRect())"
    )
    page.click(x, y)


@pytest.fixture
def trained():
    """A graph of LeNet, forward and backward, and its profile."""
    x = randn(2, 1, 12, 12)
    net = LeNet()
    with tg.profile() as profile:
        loss = net(x).square().sum()
        loss.backward(retain_graph=True)
    names = {"image": x}
    return viz.draw(loss, backward=True, profile=profile, statistics=True, names=names), profile


def test_a_click_on_the_box_of_a_call_shows_its_facts(trained, look):
    graph, profile = trained
    page = look(graph.model)
    page.key("f")
    click_box(page, "features")
    assert chosen(page) == []
    assert text(page, "#facts h2") == "features : Sequential"
    found = facts(page)
    rows = {row.module: row for row in profile.by_module()}
    row = rows["features"]
    assert found["kind"] == ["module call"]
    assert found["module"] == ["features"]
    assert found["class"] == ["Sequential"]
    assert found["call"] == ["1 of 1"]
    assert found["parameters"] == ["326"]  # 4*25+4 and 6*4*9+6
    assert found["operators"] == ["5, 5 backward"]
    assert found["FLOPs"] == [f"{row.forward_flops:,}"]
    times = [f"{quantity(row.forward, 's')} forward", f"{quantity(row.backward, 's')} backward"]
    assert found["time"] == [", ".join(times)]
    assert found["inputs"] == ["image 2×1×12×12 float32"]
    assert found["outputs"] == ["2×6×4×4 float32 to reshape"]
    assert found["called by"] == ["LeNet"]
    page.click(*page.middle("#facts .call"))
    assert text(page, "#facts h2") == "LeNet"
    assert facts(page)["calls"] == ["features : Sequential", "classifier : Sequential"]
    assert "called by" not in facts(page)


def test_the_up_and_downstream_of_a_whole_call(trained, look):
    graph, _ = trained
    page = look(graph.model)
    page.key("f")
    click_box(page, "features")
    (call,) = [c.id for c in graph.model.clusters if c.path == "features"]
    inside = {n.id for n in graph.model.nodes if n.cluster == call}
    down, up = set(inside), set(inside)
    for _ in graph.model.nodes:
        down |= {e.target for e in graph.model.edges if e.source in down}
        up |= {e.source for e in graph.model.edges if e.target in up}
    assert len(inside) > 10
    assert classes(page, "here") == inside
    assert classes(page, "down") == down - inside
    assert classes(page, "up") == up - inside
    both = {(e.source, e.target) for e in graph.model.edges if {e.source, e.target} <= inside}
    assert classes(page, "here", "edge") == both
    assert text(page, "#reach").startswith("features : Sequential: ")
    assert f"{len(down - inside)} downstream" in text(page, "#reach")
    page.key("Escape")
    assert not classes(page, "here")


def test_calls_by_the_keyboard(look):
    inner = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    net = nn.Sequential(inner, nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Tanh())
    graph = viz.draw(net, randn(1, 3))
    paths = {f"c{c.id}": c.path for c in graph.model.clusters}
    page = look(graph.model)

    def after(key: str) -> str:
        page.key(key)
        assert chosen(page) == []
        assert page.run("document.activeElement.id").endswith(page.run(HERE))
        return paths[page.run(HERE)]

    (first, *_) = [n for n in graph.model.nodes if n.name == "linear"]
    page.run(f"document.querySelector({json.dumps(node(first.id))}).focus()")
    assert after("m") == "0"
    assert after("ArrowRight") == "1"
    assert after("ArrowRight") == "0"
    assert after("ArrowLeft") == "1"
    assert after("m") == ""
    assert after("m") == ""  # the outermost
    assert after("ArrowDown") == "0"
    assert after("ArrowUp") == ""
    assert after("ArrowDown") == "0"
    assert text(page, "#facts h2") == "0 : Sequential"
    page.key("Enter")
    assert page.run("document.activeElement.tagName") == "H2"
    page.key("Escape")
    assert page.run("document.activeElement.id").endswith(page.run(HERE))
    page.key("ArrowDown")  # into it
    assert chosen(page) == [first.id]
    rows = page.run(
        "[...document.querySelectorAll('.cluster')].map(e =>"
        "[e.getAttribute('role'), e.getAttribute('aria-label'), e.tabIndex])"
    )
    assert {(role, tab) for role, _, tab in rows} == {("button", -1)}
    assert "module call 0 : Sequential" in [label for _, label, _ in rows]
    page.key("Escape")
    page.key("Escape")
    assert after("m") == "", "from nowhere to the outermost"


def test_calls_of_one_module_say_which_they_are(look):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 3), nn.Tanh())

        def forward(self, x):
            return self.body(self.body(x)) + x

    graph = viz.draw(Twice(), randn(2, 3)).repeat(False)
    page = look(graph.model)
    page.key("f")
    (second,) = [c for c in graph.model.clusters if c.path == "body" and c.call == 2]
    page.run(f"document.querySelector('.cluster[id$=\"c{second.id}\"]').focus()")
    assert text(page, "#facts h2") == "body : Sequential, call 2 of 2"
    assert facts(page)["call"] == ["2 of 2"]
    assert facts(page)["parameters"] == ["12"]
    assert facts(page)["inputs"] == ["tanh (body.1 : Tanh, call 1 of 2) 2×3 float32"]
    assert facts(page)["outputs"] == ["2×3 float32 to add"]


def test_a_result_that_several_read_is_one_output(look):
    body = nn.Sequential(nn.Linear(3, 3), nn.Tanh())

    def call(x):
        y = body(x)
        return y.exp() + y.sin() * y

    page = look(viz.draw(call, randn(2, 3)).model)
    click_box(page, "")
    assert text(page, "#facts h2") == "Sequential"
    assert facts(page)["module"] == ["the one that was called"]
    assert facts(page)["outputs"] == ["2×3 float32 to exp, sin, mul"]


def test_a_row_of_equal_calls_says_how_many_it_stands_for(look):
    net = nn.Sequential(*(nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(4)))
    graph = viz.draw(net, randn(2, 3))
    page = look(graph.model)
    click_box(page, "0")
    assert text(page, "#facts h2") == "0 : Sequential ×4"
    assert facts(page)["kind"] == ["module call, stands for 4 equal ones"]
    assert facts(page)["operators"] == ["8"]
    assert facts(page)["parameters"] == ["48"]


def test_no_module_call_at_all(look):
    page = look(viz.draw(lambda x: x.exp(), randn(3)).model)
    page.key("m")
    assert chosen(page) == []


# Overlays -----------------------------------------------------------------------------------------


def test_every_overlay_of_what_the_graph_knows_can_be_chosen(trained, look):
    graph, _ = trained
    page = look(graph.model)
    options = page.run("[...document.querySelector('#overlay').options].map(o => o.value)")
    assert options == ["", "time", "flops", "output_bytes", "saved_bytes",
                       "grad_norm", "weight_norm", "parameters"]  # fmt: skip
    assert page.run("document.querySelector('#overlay').value") == "time"
    ids = {n.id for n in graph.model.nodes}
    for name in options[1:]:
        choose(page, "#overlay", name)
        heat = set().union(*(classes(page, f"heat-{k}") for k in range(5)))
        hatched, none = classes(page, "unmeasured"), classes(page, "plain")
        assert heat
        assert (heat | hatched | none, len(heat) + len(hatched) + len(none)) == (ids, len(ids))
        for key, there in (("unmeasured", hatched), ("inapplicable", none)):
            assert page.run(f"document.getElementById('{key}').hidden") is not bool(there)
        assert ("hatched" in text(page, "#note")) == bool(hatched)


def test_without_a_profile_what_is_saved_can_be_chosen(look):
    x = randn(2, 1, 12, 12)
    page = look(viz.draw(LeNet()(x).sum(), backward=True).model)
    options = page.run("[...document.querySelector('#overlay').options].map(o => o.value)")
    assert options == ["", "flops", "output_bytes", "saved_bytes", "parameters"]


def test_what_does_not_apply_is_said_of_the_chosen_overlay(look):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    graph = viz.draw(net, randn(1, 2), statistics=True).overlay("weight_norm")
    (relu,) = [n for n in graph.model.nodes if n.name == "relu"]
    page = look(graph.model)
    page.key("f")
    page.click(*page.middle(node(relu.id)))
    assert facts(page)["weight norm"] == ["does not apply"]
    assert "parameters" not in facts(page)
    assert "not measured" not in text(page, "#under")
    assert "does not apply" in text(page, "#scale")
    choose(page, "#overlay", "parameters")
    assert facts(page)["parameters"] == ["does not apply"]
    assert "weight norm" not in facts(page)


def test_a_page_of_a_graph_of_ten_thousand_operators_is_small():
    net = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(2500)))
    x = randn(1, 2)
    with tg.profile() as profile:
        loss = net(x).sum()
        loss.backward(retain_graph=True)
    graph = viz.draw(loss, backward=True, profile=profile, statistics=True)
    assert graph.model.totals["operators"] + graph.model.totals["backward_operators"] > 10_000
    assert len(graph.to_html()) < 150_000


def test_the_facts_of_a_node_that_the_picture_does_not_tell_are_left_out(look):
    page = look(small_net())
    for number in range(len(small_net().nodes)):
        page.run(f"document.querySelector({json.dumps(node(number))}).focus()")
        assert not {"storage", "storages", "parameter sizes", "norms"} & set(facts(page))
