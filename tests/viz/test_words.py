"""Words of a picture: one unit system, legends that say what their numbers are, names that a
reader knows."""

from __future__ import annotations

import re

import pytest

import tinygrad_cv as tg
from tests.viz.viewing import told
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.labels import legend_lines
from tinygrad_cv.viz.model import GraphModel, GraphNode

NAMES = ("time", "flops", "output_bytes", "saved_bytes", "parameters", "grad_norm", "weight_norm")


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


def noted(graph) -> list[str]:
    """The lines of the legend that tell of the colours."""
    lines = [line.text for line in legend_lines(graph.model)]
    (first,) = (k for k, text in enumerate(lines) if text.startswith("colour"))
    last = next(k for k, text in enumerate([*lines, "──"]) if k > first and "──" in text)
    return lines[first:last]


@pytest.mark.parametrize("name", NAMES)
def test_no_word_is_alone_on_a_line_of_a_legend(name):
    model = net()
    with tg.profile() as profile:
        loss = model(randn(3, 4)).square().sum()
        loss.backward(retain_graph=True)
    graph = viz.draw(loss, backward=True, profile=profile, statistics=True).overlay(name)
    lines = noted(graph)
    assert all(len(line) <= 52 for line in lines)
    assert all(len(line.split()) >= 3 for line in lines)
    assert "; ".join(lines).replace(";;", ";") == told(graph)
    assert "stronger is more" in told(graph)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("mean", "3 to 4.625; stronger is more"),  # of the two rectified
        ("zeros", "12.5 % to 25 %; stronger is more"),
        ("nonfinite", "0 % everywhere"),
    ],
)
def test_a_share_is_a_share_in_legend_and_node(name, note):
    x = tg.tensor([-3.0, -1.0, 1.0, 3.0, 4.0, 5.0, 5.0, 6.0])

    def both(x):
        return x.relu(), (x + 2).relu()

    graph = viz.trace(both, x, statistics=True)
    steps = [node.id for node in graph.model.nodes if node.name != "add"]
    graph = graph.focus(lambda node: node.id in steps, 0).overlay(name)
    assert told(graph).startswith(f"colour: {name}, {note}")
    assert ("stronger" in told(graph)) == ("stronger" in note)
    if name == "zeros":
        texts = graph.to_text()
        assert "25 % zeros" in texts
        assert "12.5 % zeros" in texts


def test_long_notes_are_broken_behind_a_clause_and_cut_at_the_end():
    short = "coloured by peak bytes: 1 kB to 2 kB and nothing more"
    model = GraphModel("", (GraphNode(0, "input", "x"),), notes=(f"{short}; stronger is more",))
    assert noted(viz.Graph(model)) == [
        "coloured by peak bytes: 1 kB to 2 kB and nothing",
        "more; stronger is more",
    ]
    model = GraphModel("", (GraphNode(0, "input", "x"),), notes=("coloured by " + "a b; " * 90,))
    assert len(noted(viz.Graph(model))) <= 4
    assert noted(viz.Graph(model))[-1].endswith("…")


def test_one_unit_system_in_a_picture():
    with tg.profile() as profile:
        loss = net()(randn(3, 4)).square().sum()
    for graph in (viz.draw(loss, backward=True), viz.draw(loss, profile=profile)):
        text = graph.to_text()
        assert not re.search(r"\d (bytes?|us|KiB|MiB)\b", text)
        assert re.search(r"\d k?B saved", text)


@pytest.mark.parametrize("view", ["trace", "draw", "depth"])
def test_structure_colours_a_backward_as_its_forward(view):
    graph = viz.draw(net(), randn(3, 4).requires_grad_(), backward=True)
    if view == "trace":
        graph = viz.trace(net(), randn(3, 4).requires_grad_(), backward=True)
    graph = graph.depth(0) if view == "depth" else graph
    nodes = {n.id: n for n in graph.color("structure").model.nodes if n.kind == "op"}
    pairs = [(nodes[n.pair], n) for n in nodes.values() if n.phase == "backward"]
    assert len(pairs) == (1 if view == "depth" else 3)
    for forward, backward in pairs:
        assert forward.facts["color"] == backward.facts["color"]
    labels = {n.facts["color"]["label"].lower() for n, _ in pairs}
    assert labels == ({"sequential"} if view == "depth" else {"linear 1", "relu", "linear 2"})


def test_structure_of_what_stands_outside_of_calls():
    loss = net()(randn(3, 4)).square().sum()
    for graph in (viz.trace(loss, backward=True), viz.draw(loss, backward=True)):
        nodes = [n for n in graph.color("structure").model.nodes if n.name in ("square", "sum")]
        labels = [node.facts["color"]["label"] for node in nodes]
        assert labels == ["square", "sum", "sum", "square"]


def test_a_backward_alone_still_says_whose_it_is():
    graph = viz.draw(net(), randn(3, 4).requires_grad_(), backward=True).only("backward")
    titles = [node.title for node in graph.model.nodes if node.kind == "op"]
    assert titles == ["2 : Linear", "1 : ReLU", "0 : Linear"]
    assert "colour: structure" in graph.color("structure").to_text()
    labels = [n.facts["color"]["label"] for n in graph.color("structure").model.nodes
              if n.kind == "op"]  # fmt: skip
    assert labels == ["linear 1", "relu", "linear 2"]


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU())


@pytest.mark.parametrize(
    ("layers", "rows"),
    [
        ([block(), block()], ["0 : Sequential ×2"]),
        ([block(), block(), block()], ["0 : Sequential ×3"]),
        ([nn.Linear(4, 4), nn.Linear(4, 4)], []),
        ([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)], ["0 : Linear ×3"]),
        ([nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU()], []),  # nothing follows its like
    ],
)
@pytest.mark.parametrize("view", ["forward", "both", "backward"])
def test_two_equal_blocks_are_one_and_three_equal_layers(layers, rows, view):
    model = nn.Sequential(*layers, nn.Linear(4, 2))
    graph = viz.trace(model, randn(1, 4).requires_grad_(), backward=view != "forward")
    graph = (graph.only("backward") if view == "backward" else graph).simplify()
    shown = [c.label for c in graph.model.clusters] + [n.title for n in graph.model.nodes]
    found = list(dict.fromkeys(label for label in shown if "×" in label))
    if view == "backward":  # its first call is the last of the forward
        rows = [label.replace("0 :", f"{len(layers) - 1} :") for label in rows]
    assert found == rows


def test_results_in_a_row_keep_their_names():
    model = nn.Sequential(*(nn.BatchNorm1d(3) for _ in range(3)))
    assert "→ mean 3 float32" in viz.draw(model, randn(4, 3)).to_text()
