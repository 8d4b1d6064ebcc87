"""Colours by order of execution: the steps are those of the whole graph, whatever is folded."""

from __future__ import annotations

import itertools

import pytest

from tests.viz.handmade import chain
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.graph import Graph


def net():
    return nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(4)))


def labels(graph) -> list[str]:
    return [n.facts["color"]["label"] for n in graph.model.nodes if n.kind == "op"]


VIEWS = {
    "all": (lambda g: g, [f"step {k} of 8" for k in range(1, 9)]),
    "row": (lambda g: g.simplify(), ["4 of steps 1 to 7 of 8", "4 of steps 2 to 8 of 8"]),
    "depth 1": (lambda g: g.depth(1), [f"steps {k} to {k + 1} of 8" for k in (1, 3, 5, 7)]),
    "depth 0": (lambda g: g.depth(0), ["steps 1 to 8 of 8"]),
    "one": (
        lambda g: g.collapse("1").fold_parameters(),
        ["step 1 of 8", "step 2 of 8", "steps 3 to 4 of 8"]
        + [f"step {k} of 8" for k in (5, 6, 7, 8)],
    ),
    "part": (lambda g: g.focus("3.*", 0), ["step 7 of 8", "step 8 of 8"]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_steps_are_of_the_whole_graph(name):
    view, said = VIEWS[name]
    graph = viz.trace(net(), randn(1, 4))
    assert labels(view(graph).color("order")) == said
    assert labels(view(graph.color("order"))) == said
    again = Graph.from_json(view(graph).to_json()).color("order")
    assert labels(again) == said
    text = again.to_text()
    assert all(label in text for label in said)
    assert "8 operators" in text


def test_backward_comes_after_forward():
    layers = net()
    graph = viz.trace(lambda x: layers(x).sum(), randn(1, 4), backward=True).depth(1).color("order")
    assert labels(graph)[:5] == [
        *(f"steps {k} to {k + 1} of 18" for k in (1, 3, 5, 7)),
        "step 9 of 18",
    ]
    assert labels(graph)[5:] == [
        "step 10 of 18",
        *(f"steps {k} to {k + 1} of 18" for k in (11, 13, 15, 17)),
    ]


def test_a_graph_by_hand_is_numbered_as_it_stands():
    model = transforms.limit(chain(100), 10)
    said = labels(Graph(model).color("order"))
    assert said[0] == "step 1 of 100"
    assert said[-1] == "step 100 of 100"
    (middle,) = [label for label in said if " to " in label]
    block = next(n for n in model.nodes if n.name == "...")
    assert middle == f"steps 4 to {3 + block.count} of 100"


def test_the_later_the_stronger():
    graph = viz.draw(net(), randn(1, 4)).repeat(False).color("order")
    levels = [n.facts["color"]["level"] for n in graph.model.nodes if n.kind == "op"]
    assert (levels[0], levels[-1]) == (0, 4)
    assert all(a <= b for a, b in itertools.pairwise(levels))
