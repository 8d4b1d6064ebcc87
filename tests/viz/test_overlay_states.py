"""An overlay has a value for a node, or it was not measured, or the overlay does not apply."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.test_overlay import recorded
from tests.viz.viewing import told
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import html
from tinygrad_cv.viz.overlay import shades

SPACE = "{http://www.w3.org/2000/svg}"


def norm(tensor) -> float:
    return float(np.linalg.norm(tensor.numpy().astype("float64").ravel()))


def classes(graph, tmp_path) -> dict[int, set[str]]:
    """Of each node in the picture."""
    root = ElementTree.parse(graph.render(tmp_path / "states.svg")).getroot()
    return {
        int(g.get("data-id")): set(g.get("class").split())
        for g in root.iter(f"{SPACE}g")
        if g.get("data-id") is not None
    }


def node(graph, name, phase="forward", kind="op"):
    found = [n for n in graph.model.nodes if (n.name, n.phase, n.kind) == (name, phase, kind)]
    assert len(found) == 1, (name, found)
    return found[0]


def test_weight_norm_of_an_operator_without_weights(tmp_path):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    graph = viz.draw(net, randn(1, 2), statistics=True).overlay("weight_norm")
    linear, relu = node(graph, "linear"), node(graph, "relu")
    text = graph.to_text()
    assert "not measured" not in text
    assert told(graph).endswith("; no colour: does not apply")
    found = classes(graph, tmp_path)
    assert "heat-4" in found[linear.id]
    assert found[relu.id] >= {"op", "plain"}
    assert not any("unmeasured" in names for names in found.values())
    svg = (tmp_path / "states.svg").read_text(encoding="utf-8")
    assert "<pattern" not in svg, "nothing is hatched"
    assert svg.count("weight_norm does not apply") == 1, "the title of the ReLU"
    (mine,) = [c for c in html.choices(graph.model) if c["name"] == "weight_norm"]
    assert set(mine["lines"]) == set(mine["classes"]) == {linear.id}


def test_the_gradient_of_whole_numbers_and_the_time_of_an_input(tmp_path):
    weight = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    index = tg.tensor([0, 2], dtype="int64")

    def loss(weight, index):
        return weight.index_select(0, index + 0).square().sum()

    with tg.profile() as profile:
        value = loss(weight, index)
        value.backward()
    shown = viz.trace(loss, weight, index, statistics=True).overlay("grad_norm")
    found = classes(shown, tmp_path)
    whole = [n.id for n in shown.model.nodes if n.outputs and n.outputs[0].dtype == "int64"]
    assert len(whole) >= 2
    assert all("plain" in found[number] for number in whole)
    assert "not measured" not in shown.to_text()
    leaf = node(shown, "weight", kind="input")
    assert leaf.facts["overlay"]["value"] == pytest.approx(norm(weight.grad), rel=1e-12)
    graph = viz.trace(value, profile=profile)
    found = classes(graph.overlay("time"), tmp_path)
    for other in graph.model.nodes:
        state = "plain" if other.kind != "op" else "heat"
        assert any(name.startswith(state) for name in found[other.id]), other
    assert "not measured" not in graph.overlay("time").to_text()


def test_all_three_in_one_picture(tmp_path):
    """One operator has a plan's bytes; of backward nothing was planned."""
    net, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), randn(2, 3)
    loss = net(x).sum()
    loss.backward(retain_graph=True)
    graph = viz.draw(loss, backward=True, statistics=True).overlay("grad_norm")
    found = shades(graph.model)
    assert found[node(graph, "linear").id].startswith("heat")
    assert found[node(graph, "linear", "backward").id].startswith("heat")
    assert found[node(graph, "tanh").id] == "plain", "it has no parameter"
    assert found[node(graph, "tanh", "backward").id] == "unmeasured", "its gradient was not kept"
    note = told(graph)
    assert "hatched: not measured (2); no colour: does not apply" in note
    assert "grad_norm: not measured" in graph.to_text()
    drawn = classes(graph, tmp_path)
    assert all(shade.split()[0] in drawn[key] for key, shade in found.items())


def test_an_operator_that_failed_is_not_unmeasured():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))
    graph = viz.trace(net, randn(1, 3)).overlay("flops")
    failed = graph.model.nodes[-1]
    assert failed.error
    assert shades(graph.model)[failed.id] == ""
    assert "not measured" not in graph.to_text()


def test_what_is_not_finite_is_neither_unmeasured_nor_a_dead_gradient(tmp_path):
    w, v = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    (w * v).sum().backward()
    w.grad = tg.tensor([float("nan"), 1.0])
    graph = viz.trace((w * v).sum(), statistics=True, names={"w": w, "v": v}).overlay("grad_norm")
    assert classes(graph, tmp_path)[node(graph, "w", kind="input").id] >= {"plain", "odd"}
    graph = viz.trace(lambda x: (x / 0.0, x.exp()), tg.zeros(2), statistics=True).overlay("mean")
    found = shades(graph.model)
    assert found[node(graph, "div").id] == "plain odd"
    assert "red border: not finite (1)" in told(graph)
    assert "hatched" not in told(graph)


def test_without_data_there_is_no_norm():
    net = nn.Linear(2, 2).to("meta")
    graph = viz.trace(net, tg.zeros(1, 2, device="meta"), statistics=True)
    with pytest.raises(tg.ArgumentError, match="no operator of this graph has a value of weight_n"):
        graph.overlay("weight_norm")


@pytest.mark.parametrize("fold", [False, True])
def test_the_gradient_that_a_backward_operator_gives(fold):
    first, second, x = nn.Linear(3, 4), nn.Linear(4, 2, bias=False), randn(5, 3).requires_grad_()
    hidden = first(x)
    hidden.retain_grad()
    loss = second(hidden.tanh()).square().sum()
    loss.backward(retain_graph=True)
    graph = viz.trace(loss, backward=True, statistics=True, names={"x": x})
    graph = graph.fold_parameters() if fold else graph
    shown = graph.overlay("grad_norm")
    one, two = [n for n in shown.model.nodes if (n.name, n.phase) == ("linear", "backward")]
    parts = {"weight": norm(second.weight.grad)}
    assert one.facts["overlay"]["parts"] == pytest.approx(parts, rel=1e-12)
    parts = {
        "input": norm(x.grad),
        "weight": norm(first.weight.grad),
        "bias": norm(first.bias.grad),
    }
    assert two.facts["overlay"]["parts"] == pytest.approx(parts, rel=1e-12)
    tanh = node(shown, "tanh", "backward").facts["overlay"]
    assert tanh["parts"] == pytest.approx({"input": norm(hidden.grad)}, rel=1e-12)
    sink = node(shown, "x.grad", "backward", "output").facts["overlay"]
    assert sink["value"] == pytest.approx(norm(x.grad), rel=1e-12)
    square = node(shown, "square", "backward").facts["overlay"]
    assert (square["value"], square["applies"]) == (None, True), "it was not kept"


def test_a_gradient_that_is_a_sum_is_of_none_of_its_parts():
    w = tg.tensor([2.0], requires_grad=True)
    loss = (w.exp() + w.sin()).sum()
    loss.backward(retain_graph=True)
    graph = viz.trace(loss, backward=True, statistics=True, names={"w": w}).overlay("grad_norm")
    for name in ("exp", "sin"):
        assert node(graph, name, "backward").facts["overlay"]["value"] is None
    sink = node(graph, "w.grad", "backward", "output")
    assert sink.facts["overlay"]["value"] == pytest.approx(abs(np.exp(2) + np.cos(2)), rel=1e-6)


# What is known without a profile ------------------------------------------------------------------


def test_saved_bytes_are_those_of_the_profile():
    net, x = LeNet(), randn(2, 1, 12, 12)
    with tg.profile() as profile:
        loss = net(x).square().sum()
    own = profile.values("saved_bytes", "forward")
    graph = viz.draw(loss, backward=True)
    shown = graph.overlay("saved_bytes")
    forward = [n for n in shown.model.nodes if n.kind == "op" and n.phase == "forward"]
    assert [n.facts["overlay"]["value"] for n in forward] == [own[k] for k in recorded(loss)]
    assert sum(own.values()) == graph.model.totals["saved_bytes"] > 0
    backward = [n for n in shown.model.nodes if n.kind == "op" and n.phase == "backward"]
    assert {n.facts["overlay"]["applies"] for n in backward} == {False}
    blocks = graph.depth(0).overlay("saved_bytes")
    values = [n.facts["overlay"]["value"] for n in blocks.model.nodes if n.kind == "op"]
    assert sum(v for v in values if v is not None) == graph.model.totals["saved_bytes"]
    with pytest.raises(tg.ArgumentError, match=r"value of saved_bytes\n  Draw with backward=True"):
        viz.draw(loss).overlay("saved_bytes")


def test_memory_that_two_operators_save_is_of_the_first():
    x = randn(10).requires_grad_()
    y = x.exp()  # keeps its result, and so do both operators that read it
    graph = viz.trace((y * y).sum() + y.sin().sum(), backward=True).overlay("saved_bytes")
    forward = [n for n in graph.model.nodes if n.kind == "op" and n.phase == "forward"]
    values = {n.name: n.facts["overlay"]["value"] for n in forward}
    assert (values["exp"], values["mul"], values["sin"]) == (40, 0, 0)


def test_a_block_has_the_bytes_of_its_operators():
    graph = viz.trace(LeNet(), randn(2, 1, 12, 12))
    sizes = [n.facts["overlay"]["value"] for n in graph.overlay("output_bytes").model.nodes
             if n.kind == "op"]  # fmt: skip
    for folded in (graph.depth(0), graph.depth(1), graph.depth(1).depth(0)):
        found = [n for n in folded.overlay("output_bytes").model.nodes if n.kind == "op"]
        assert any(n.count > 1 for n in found)
        assert sum(n.facts["overlay"]["value"] for n in found) == sum(sizes)


def test_as_one_node_they_have_each_gradient_once():
    net, x = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh())), randn(2, 3)
    loss = net(x).sum()
    loss.backward(retain_graph=True)
    graph = viz.draw(loss, backward=True, statistics=True)
    whole = float(np.sqrt(sum(norm(p.grad) ** 2 for p in net.parameters())))
    for shown in (graph.depth(0).overlay("grad_norm"), graph.overlay("grad_norm").depth(0)):
        blocks = [n for n in shown.model.nodes if n.kind == "op" and n.count > 1]
        assert [n.phase for n in blocks] == ["forward", "backward"]
        for block in blocks:
            assert block.facts["overlay"]["value"] == pytest.approx(whole, rel=1e-12)


def test_statistics_are_of_what_a_call_gives_and_not_of_its_gradients():
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), randn(2, 3)
    graph = viz.trace(net, x, backward=True, statistics=True).overlay("std")
    for phase, start in (("forward", "heat"), ("backward", "plain")):
        found = [shades(graph.model)[node(graph, name, phase).id] for name in ("linear", "tanh")]
        assert all(shade.startswith(start) for shade in found)
    assert "not measured" not in graph.to_text()


def test_views_of_kept_memory_are_no_more_than_the_memory():
    y = randn(10).requires_grad_().exp()  # keeps its ten values
    graph = viz.trace((y[:8] * y[2:]).sum(), backward=True).overlay("saved_bytes")
    values = {n.name: n.facts["overlay"]["value"] for n in graph.model.nodes
              if n.kind == "op" and n.phase == "forward"}  # fmt: skip
    assert (values["exp"], values["mul"]) == (40, 0)
    assert graph.model.totals["saved_bytes"] == 40


def test_an_older_file_can_be_collapsed():
    """Its overlay has no word of what it applies to: to every operator then."""
    graph = viz.trace(LeNet(), randn(2, 1, 12, 12)).overlay("output_bytes")
    text = graph.to_json().replace('"applies": true,', "").replace('"version": 2', '"version": 1')
    assert '"applies"' not in text
    (block,) = [n for n in viz.Graph.from_json(text).depth(0).model.nodes if n.kind == "op"]
    assert block.facts["overlay"]["value"] == sum(
        n.facts["overlay"]["value"] for n in graph.model.nodes if n.kind == "op"
    )
