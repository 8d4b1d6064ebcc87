"""A parameter and a buffer keep their own names where they are drawn inside an operator: in the
picture, the text, the JSON, the overlays, a comparison."""

from __future__ import annotations

import json

import pytest

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.labels import node_lines
from tinygrad_cv.viz.naming import own_names


class Scaled(nn.Module):
    """Arguments whose names say nothing of the parameters that they take."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(tg.ones(size, 1, 1))
        self.scale = nn.Parameter(2 * tg.ones(size, 1, 1))
        self.shift = nn.Parameter(3 * tg.ones(size, 1, 1))
        self.register_buffer("pos", tg.arange(4.0))
        self.register_buffer("rate", tg.tensor(0.5))

    def forward(self, x):
        return self.rate * (self.gamma * (x * self.scale + self.shift) - self.pos)


NET = nn.Sequential(Scaled())
X = randn(2, 3, 4, 4)
HELD = ["scale 3×1×1 = 3", "shift 3×1×1 = 3", "gamma 3×1×1 = 3"]
HELD += ["other: pos 4 float32 constant", "rate = 0.5"]


def texts(graph, phase: str = "forward") -> list[str]:
    return [
        line.text
        for node in graph.model.nodes
        if node.kind == "op" and node.phase == phase
        for line in node_lines(node)
    ]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: viz.draw(NET, X),
        lambda: viz.trace(NET, X).fold_parameters().fold_constants(),
        lambda: viz.Graph.from_json(viz.draw(NET, X).to_json()),
        lambda: viz.trace(NET, X).simplify().collapse("0").expand("0"),
    ],
)
def test_parameters_and_buffers_have_their_names(draw):
    graph = draw()
    assert [text for text in texts(graph) if text in HELD] == HELD
    held = [item for node in graph.model.nodes for item in node.held]
    assert [item.tensor.name for item in held] == [
        "0.scale", "0.shift", "0.gamma", "0.pos", "0.rate"
    ]  # fmt: skip
    for text in HELD:
        assert text in graph.to_text()
        assert text in graph.to_dot()


def test_a_recorded_graph_has_them_too():
    graph = viz.draw(NET(X).sum())
    assert [text for text in texts(graph) if text in HELD[:3]] == HELD[:3]


def test_json_has_the_whole_names():
    data = json.loads(viz.draw(NET, X).to_json())
    names = {item["tensor"]["name"] for node in data["nodes"] for item in node["held"]}
    assert names == {"0.gamma", "0.scale", "0.shift", "0.pos", "0.rate"}


def test_the_svg_says_them():
    pytest.importorskip("pygraphviz")
    svg = viz.draw(NET, X).to_html()
    for text in HELD:
        assert f">{text}</text>" in svg


def test_gradients_and_saved_tensors_are_of_the_parameter():
    graph = viz.draw(NET, X, backward=True)
    lines = texts(graph, "backward")
    for name in ("gamma", "scale", "shift"):
        assert f"d {name} 3×1×1 float32" in lines
    saved = [line.text for n in graph.model.nodes if n.kind == "saved" for line in node_lines(n)]
    assert "input 3×1×1 float32 (parameter gamma)" in saved
    plain = viz.draw(nn.Sequential(nn.Linear(3, 2)), randn(1, 3).requires_grad_(), backward=True)
    saved = [line.text for n in plain.model.nodes if n.kind == "saved" for line in node_lines(n)]
    assert "weight 2×3 float32 (parameter)" in saved


def test_layers_whose_operators_call_them_otherwise():
    net = nn.Sequential(nn.ConvTranspose2d(1, 3, 3), nn.PReLU())
    lines = texts(viz.draw(net, randn(2, 1, 4, 4)))
    assert "bias 3" in lines
    assert "weight 1" in lines
    net(randn(2, 1, 4, 4)).square().sum().backward()
    graph = viz.draw(net, randn(2, 1, 4, 4), statistics=True)
    norm = float((net[0].bias * net[0].bias).sum().sqrt())
    grad = float((net[0].bias.grad * net[0].bias.grad).sum().sqrt())
    assert f"norm of bias {norm:.4g}" in texts(graph.overlay("weight_norm"))
    shown = texts(graph.overlay("grad_norm"))
    assert f"gradient of bias {grad:.4g}" in shown
    assert not any("of input" in text for text in shown)


def test_the_argument_is_said_where_the_order_matters():
    w = nn.Parameter(tg.ones(3, 3))
    model = nn.Sequential(nn.Linear(3, 3))
    model.register_parameter("w", w)

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = w

        def forward(self, x):
            return (x @ self.w) + (self.w @ x) - self.w + (self.w - x)

    lines = texts(viz.draw(Around(), randn(3, 3)))
    assert [text for text in lines if "w 3×3" in text] == [
        "other: w 3×3 = 9", "input: w 3×3 = 9", "other: w 3×3 = 9", "input: w 3×3 = 9"
    ]  # fmt: skip


def test_an_explained_operator_has_the_name_that_its_equation_uses():
    lines = texts(viz.draw(NET, X, explain=True))
    assert "other: scale 3×1×1 = 3" in lines
    assert "input: gamma 3×1×1 = 3" in lines


def test_two_that_are_called_the_same_have_their_whole_names():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.scales = nn.ParameterList([nn.Parameter(tg.ones(2)) for _ in range(2)])

        def forward(self, x):
            return x * (self.a.weight * self.b.weight).sum() * self.scales[1]

    lines = texts(viz.draw(Two(), randn(2, 2)))
    assert "a.weight 2×2 = 4" in lines
    assert "b.weight 2×2 = 4" in lines
    assert "scales.1 2" in lines
    graph = viz.draw(Two(), randn(2, 2), statistics=True).overlay("weight_norm")
    assert "norm of a.weight" in graph.to_text()
    assert own_names(["x", "x"]) == {"x": "x"}


def test_a_comparison_names_them():
    text = viz.diff(nn.Sequential(Scaled(1)), NET, X).to_text()
    assert "~ 0 : mul: scale 1×1×1 → 3×1×1" in text


def test_rows_are_of_calls_whose_parameters_are_called_the_same():
    class Times(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name
            self.register_parameter(name, nn.Parameter(tg.ones(3)))

        def forward(self, x):
            return x * getattr(self, self.name)

    net = nn.Sequential(*(Times(name) for name in "aaabbb"))
    graph = viz.trace(net, randn(2, 3))
    for folded in (graph.repeat(), graph.fold_parameters().repeat()):
        assert [c.label for c in folded.model.clusters][1:] == ["0 : Times ×3", "3 : Times ×3"]
