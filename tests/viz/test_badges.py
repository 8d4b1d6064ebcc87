"""Badges: in place, custom, recomputed, NaN, Inf, on operators of real programs."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.autograd import checkpoint


def badges(graph: viz.Graph) -> dict[str, tuple[str, ...]]:
    return {n.name: n.facts["badges"] for n in graph.model.nodes if n.facts.get("badges")}


class Double(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return 2 * g


class Fill(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def added(x):
    y = x.exp()
    y += 1
    return y.sin()


def put(x):
    y = x.exp()
    y[0] = x[1] * 3
    return y.sin()


WRITES = {
    "+=": (added, "add"),
    "[0] =": (put, "setitem"),
    "mul_": (lambda x: x.exp().mul_(3), "mul"),
    "copy_": (lambda x: tg.zeros_like(x).copy_(x), "clone"),
    "relu": (lambda x: nn.functional.relu(x.exp(), inplace=True), "relu"),
    "hardswish": (lambda x: nn.functional.hardswish(x.exp(), inplace=True), "hardswish"),
    "dropout": (lambda x: nn.functional.dropout(x.exp(), 0.5, True, inplace=True), "dropout"),
    "mark_dirty": (lambda x: Fill.apply(x.exp()), "Fill"),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_recorded_graph_knows_what_was_written_in_place(how):
    function, name = WRITES[how]
    found = badges(viz.trace(function(randn(3).requires_grad_()).sum()))
    assert "in place" in found.pop(name)
    assert found == {}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_watched_call_knows_it_too(how, device):
    function, name = WRITES[how]
    x = randn(3).to(device)
    with_gradient = badges(viz.trace(function, x.clone().requires_grad_()))
    assert "in place" in with_gradient.pop(name)
    assert with_gradient == {}
    if how == "copy_":
        return  # without a gradient no operator does it
    without = badges(viz.trace(function, x))
    with tg.no_grad():
        assert badges(viz.trace(function, x)) == without
    assert "in place" in without.pop(name)
    assert without == {}


def test_what_is_copied_elsewhere_is_not_in_place_itself():
    def copied(x):
        y = x.exp()
        tg.zeros(3).copy_(y)
        return y + 1

    assert badges(viz.trace(copied, randn(3))) == {}
    assert badges(viz.trace(lambda x: x + 1 - x.exp(), randn(3))) == {}


def kept(x):
    y = x.exp()
    with tg.no_grad():
        y *= 2
    return y.sin()


def copied(x):
    y = tg.zeros_like(x)
    y.copy_(x.exp())
    return y.detach().sin()


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
    ("function", "path"),
    [
        (added, ["x", "exp", "add", "sin", "output"]),
        (WRITES["relu"][0], ["x", "exp", "relu", "output"]),
        (WRITES["mark_dirty"][0], ["x", "exp", "Fill", "output"]),
        (kept, ["x", "exp", "mul", "sin", "output"]),
    ],
)
def test_data_flows_through_what_was_written(function, path, gradient):
    graph = viz.trace(function, randn(3).requires_grad_(gradient))
    names = {n.id: n.name for n in graph.model.nodes if n.kind != "const"}
    edges = [(names[e.source], names[e.target]) for e in graph.model.edges if e.source in names]
    assert edges == list(itertools.pairwise(path))


def test_data_flows_through_a_copy():
    graph = viz.trace(copied, randn(3))
    names = {n.id: n.name for n in graph.model.nodes}
    assert ("exp", "sin") in [(names[e.source], names[e.target]) for e in graph.model.edges]


def test_operators_of_the_user_are_told_from_ours(cube):
    graph = viz.trace(lambda x: Double.apply(cube.call(x)).exp(), randn(3))
    assert badges(graph) == {"users_cube": ("custom",), "Double": ("custom",)}
    recorded = viz.trace(Double.apply(cube.call(randn(3).requires_grad_())).exp().sum())
    assert badges(recorded) == badges(graph)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), nn.Tanh())

    def forward(self, x):
        return checkpoint(self.inner, x).exp()


def test_what_a_checkpoint_computes_again_is_marked():
    wanted = {"linear": ("recomputed",), "tanh": ("recomputed",)}
    net = Checkpointed()
    assert badges(viz.trace(net, randn(2, 3))) == wanted
    loss = net(randn(2, 3)).sum()
    assert badges(viz.trace(loss)) == wanted
    loss.backward()
    assert badges(viz.trace(loss)) == wanted  # also when it has been computed again
    with tg.no_grad():
        assert badges(viz.trace(net, randn(2, 3))) == {}


def test_values_that_are_not_finite_are_said_without_an_overlay():
    def bad(x):
        y = x.log()
        return y.exp(), (x * 0).log(), x.sum()

    x = tg.tensor([-1.0, 1.0, 2.0])
    graph = viz.draw(bad, x, statistics=True)
    found = [(n.name, n.facts.get("badges")) for n in graph.model.nodes if n.kind == "op"]
    assert found == [
        ("log", ("NaN",)),
        ("exp", ("NaN",)),
        ("mul", None),
        ("log", ("Inf",)),
        ("sum", None),
    ]
    assert badges(viz.draw(bad, x)) == {}  # nobody looked
    assert badges(viz.draw(bad, x.to("meta"), statistics=True)) == {}
    both = viz.draw(lambda x: x.log(), tg.tensor([-1.0, 0.0]), statistics=True)
    assert badges(both) == {"log": ("NaN", "Inf")}
    assert "1 NaN, 1 Inf" in both.to_text()


def test_weights_and_gradients_that_are_not_finite_are_said():
    net = nn.Linear(2, 1, bias=False)
    loss = net(tg.tensor([[np.inf, 1.0]])).sum()
    loss.backward(retain_graph=True)
    graph = viz.draw(loss, statistics=True)
    assert badges(graph) == {"linear": ("Inf gradient",)}
    assert "1 Inf gradient" in graph.to_text()
    nn.init.constant_(net.weight, float("nan"))
    assert badges(viz.draw(loss, statistics=True)) == {"linear": ("NaN weight", "Inf gradient")}
    whole = viz.trace(loss, statistics=True)
    assert "1 NaN weight, 1 Inf gradient" in whole.to_text()


class Block(nn.Module):
    def forward(self, x):
        y = Double.apply(x)
        y *= 2
        return y


def test_blocks_and_repeats_have_the_badges_of_what_is_inside():
    net = nn.Sequential(Block(), nn.Sequential(Block(), nn.Tanh()))
    graph = viz.draw(net, randn(3))
    (block,) = (n for n in graph.depth(0).model.nodes if n.kind == "op")
    assert block.facts["badges"] == ("in place", "custom")
    assert "2 in place, 2 custom" in graph.depth(0).to_text()
    rows = viz.draw(nn.Sequential(*(Block() for _ in range(4))), randn(3))
    assert badges(rows) == {"Double": ("custom",), "mul": ("in place",)}
    assert "4 in place, 4 custom" in rows.to_text()


def test_badges_are_in_every_output(tmp_path):
    pytest.importorskip("pygraphviz")
    graph = viz.draw(lambda x: added(Double.apply(x)), randn(3))
    assert "#4 add <- input #2   ⟳ in place; other = 1; → 3 float32" in graph.to_text()
    assert "1 in place, 1 custom" in graph.to_text().splitlines()
    assert viz.GraphModel.from_json(graph.to_json()) == graph.model
    assert json.loads(graph.to_json())["nodes"][3]["facts"]["badges"] == ["in place"]
    assert 'label="add\n' in graph.to_dot().replace("\\n", "\n")
    assert "add\\n⟳ in place\\n" in graph.to_dot()
    root = ET.parse(graph.render(tmp_path / "a.svg")).getroot()
    (add,) = (g for g in root.iter() if g.get("data-name") == "add")
    assert add.get("data-badges") == "in place"
    texts = [t.text for t in add.iter() if t.get("class") == "t-badge"]
    assert texts == ["⟳ in place"]
    html = graph.render(tmp_path / "a.html").read_text()
    assert "data-badges" in html
    plain = viz.draw(lambda x: x.exp(), randn(3))
    assert "in place" not in plain.to_text()
