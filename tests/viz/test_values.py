"""Overlays of values: norms, statistics, parameters, planned bytes, against the tensors' own."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.test_views import Layer, equal_layers
from tests.viz.viewing import told
from tests.viz.zoo import LeNet, Shared, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.autograd import plan_memory
from tinygrad_cv.viz.values import moments, pooled

SPACE = "{http://www.w3.org/2000/svg}"


def operators(graph, phase="forward"):
    return [n for n in graph.model.nodes if n.kind == "op" and n.phase == phase]


def norm(*tensors) -> float:
    return float(np.sqrt(sum((t.numpy().astype("float64") ** 2).sum() for t in tensors)))


@pytest.fixture
def net():
    return LeNet()


def trained(net, x):
    loss = net(x).square().sum()
    loss.backward()
    return loss


# Norms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("folded", [False, True])
def test_norms_are_those_of_the_parameters_and_of_their_gradients(net, called, folded):
    x = randn(2, 1, 12, 12)
    loss = trained(net, x)
    target = (net, x) if called else (loss,)
    graph = viz.trace(*target, statistics=True)
    graph = graph.fold_parameters() if folded else graph
    layers = [m for _, m in net.named_modules() if hasattr(m, "weight")]
    for name, of in (
        ("weight_norm", lambda p: p.detach()),
        ("grad_norm", lambda p: p.grad),
    ):
        shown = graph.overlay(name)
        own = [n for n in operators(shown) if n.name in ("conv", "linear")]
        for layer, node in zip(layers, own, strict=True):
            fact = node.facts["overlay"]
            parts = {k: norm(of(p)) for k, p in (("weight", layer.weight), ("bias", layer.bias))}
            assert fact["parts"] == pytest.approx(parts, rel=1e-12)
            both = norm(of(layer.weight), of(layer.bias))
            assert fact["value"] == pytest.approx(both, rel=1e-12)
        others = [n for n in operators(shown) if n not in own]
        assert all(n.facts["overlay"]["applies"] is False for n in others)
        drawn = [n for n in shown.model.nodes if n.kind == "param"]
        assert len(drawn) == (0 if folded else 8)
        for node, parameter in zip(drawn, net.parameters(), strict=not folded):
            value = node.facts["overlay"]["value"]
            assert value == pytest.approx(norm(of(parameter)), rel=1e-12)


def test_the_gradient_of_a_result_that_was_retained():
    x = randn(3, 4).requires_grad_()
    hidden = x.exp()
    hidden.retain_grad()
    loss = (hidden * hidden).sum()
    loss.backward()
    graph = viz.trace(loss, statistics=True, names={"x": x}).overlay("grad_norm")
    nodes = {n.name: n for n in graph.model.nodes}
    assert nodes["exp"].facts["overlay"]["value"] == pytest.approx(norm(hidden.grad), rel=1e-12)
    assert "gradient of output" in graph.to_text()
    assert nodes["x"].facts["overlay"]["value"] == pytest.approx(norm(x.grad), rel=1e-12)


def test_a_dead_gradient_is_marked(tmp_path):
    one, two, three = (nn.Linear(3, 3) for _ in range(3))
    x = randn(2, 3)
    loss = (one(x) * 0.0).sum() + two(x).sum()
    loss.backward()
    frozen = nn.Linear(3, 3).requires_grad_(False)

    def call(x):
        return one(x) + two(x) + three(x) + frozen(x)

    graph = viz.draw(call, x, statistics=True).overlay("grad_norm")
    linear = [n for n in operators(graph) if n.name == "linear"]
    facts = [n.facts["overlay"] for n in linear]
    assert [f["value"] for f in facts[:3]] == [0.0, pytest.approx(norm_of(two), rel=1e-12), None]
    assert [f.get("dead") for f in facts] == [2, 0, 2, None]
    assert facts[3]["applies"] is False, "frozen: it has no gradient to be dead"
    assert facts[0]["texts"][0] == "gradient of weight: exactly 0, dead"
    assert facts[2]["texts"][0] == "gradient of weight: None, dead"
    assert "dead gradient, None or exactly zero (4)" in told(graph)
    root = ElementTree.parse(graph.render(tmp_path / "a.svg")).getroot()
    kinds = {g.get("data-id"): g.get("class").split() for g in root.iter(f"{SPACE}g")}
    classes = [kinds[str(node.id)] for node in linear]
    assert [("dead" in c, "unmeasured" in c, "plain" in c) for c in classes] == [
        (True, False, False),
        (False, False, False),
        (True, True, False),
        (False, False, True),
    ]
    assert classes[0][-2:] == ["heat-0", "dead"]


def norm_of(layer):
    return norm(layer.weight.grad, layer.bias.grad)


def test_a_gradient_that_is_not_finite_is_said():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    v = tg.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * v).sum()
    loss.backward()
    w.grad = tg.tensor([float("nan"), 1.0])
    graph = viz.trace(loss, statistics=True, names={"w": w, "v": v})
    (node,) = [n for n in graph.overlay("grad_norm").model.nodes if n.name == "w"]
    assert node.facts["overlay"]["texts"] == ["gradient of w: NaN"]
    assert viz.Graph.from_json(graph.to_json()).model == graph.model


def test_before_backward_there_is_no_gradient(net):
    graph = viz.trace(net, randn(1, 1, 12, 12), statistics=True)
    with pytest.raises(tg.ArgumentError, match=r"no parameter .* has a gradient\n.*backward first"):
        graph.overlay("grad_norm")
    with pytest.raises(tg.ArgumentError, match=r"value of weight_norm\n.*statistics=True"):
        viz.trace(net, randn(1, 1, 12, 12)).overlay("weight_norm")


def test_calls_drawn_as_one_have_the_norm_of_all():
    net, x = equal_layers(3), randn(2, 3)
    trained(net, x)
    graph = viz.trace(net, x, statistics=True).fold_parameters()
    weights = [layer.linear.weight for layer in list(net)[1:4]]
    biases = [layer.linear.bias for layer in list(net)[1:4]]
    grads = [p.grad for p in weights + biases]
    for steps in (("repeat", "overlay"), ("overlay", "repeat")):
        shown = graph
        for step in steps:
            shown = shown.repeat() if step == "repeat" else shown.overlay("grad_norm")
        (row,) = [n for n in operators(shown) if n.name == "linear" and n.count == 3]
        fact = row.facts["overlay"]
        assert fact["value"] == pytest.approx(norm(*grads), rel=1e-12)
        assert fact["parts"]["weight"] == pytest.approx(norm(*(w.grad for w in weights)), rel=1e-12)
    for first in ("depth", "overlay"):
        shown = graph.depth(0) if first == "depth" else graph.overlay("grad_norm")
        shown = shown.overlay("grad_norm") if first == "depth" else shown.depth(0)
        (block,) = operators(shown)
        every = norm(*(p.grad for p in net.parameters()))
        assert block.facts["overlay"]["value"] == pytest.approx(every, rel=1e-12)


def test_a_parameter_that_is_used_again_counts_once():
    net, x = Shared(), randn(2, 4)
    trained(net, x)
    graph = viz.trace(net, x, statistics=True).fold_parameters().depth(0)
    (block,) = operators(graph.overlay("grad_norm"))
    every = norm(*(p.grad for p in net.parameters()))
    assert block.facts["overlay"]["value"] == pytest.approx(every, rel=1e-12)
    (block,) = operators(graph.overlay("parameters"))
    assert block.facts["overlay"]["value"] == 20


# Parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [False, True])
def test_parameters_are_counted(net, folded):
    graph = viz.trace(net, randn(1, 1, 12, 12))
    graph = graph.fold_parameters() if folded else graph
    shown = graph.overlay("parameters")
    counts = [
        n.facts["overlay"]["value"] for n in operators(shown) if "sizes" in n.facts["overlay"]
    ]
    assert counts == [4 * 25 + 4, 6 * 4 * 9 + 6, 96 * 12 + 12, 12 * 10 + 10]
    assert sum(counts) == sum(p.numel() for p in net.parameters())
    assert f"colour: parameters, {sum(counts):,} in all" in told(shown)
    blocks = graph.depth(1).overlay("parameters")
    found = [n.facts["overlay"]["value"] for n in operators(blocks) if n.count > 1]
    assert found == [counts[0] + counts[1], counts[2] + counts[3]]
    (whole,) = operators(graph.depth(1).depth(0))
    assert whole.facts["parameters"] == sum(counts), "a block in a block keeps its parameters"


# Activations --------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_activations(net):
    x = randn(2, 1, 12, 12)
    seen = []
    for layer in [*net.features, *net.classifier]:
        layer.register_forward_hook(
            lambda m, i, out: seen.append(out.detach().numpy().astype("float64"))
        )
    graph = viz.trace(net, x, statistics=True)
    own = [n for n in operators(graph) if n.name != "reshape"]
    for array, node in zip(seen, own, strict=True):
        wanted = {
            "mean": array.mean(),
            "std": array.std(),
            "zeros": (array == 0).mean(),
            "nonfinite": 0.0,
        }
        for name, value in wanted.items():
            (shown,) = [n for n in operators(graph.overlay(name)) if n.id == node.id]
            assert shown.facts["overlay"]["value"] == pytest.approx(value, rel=1e-9, abs=1e-15)
    block = operators(graph.depth(1).overlay("std"))[0]
    features = np.concatenate([a.ravel() for a in seen[:5]])
    assert block.count == 5
    assert block.facts["overlay"]["value"] == pytest.approx(features.std(), rel=1e-9)


def test_what_is_not_finite_and_what_is_zero():
    x = tg.tensor([-1.0, 0.0, 4.0, 9.0])
    graph = viz.trace(lambda x: (x.sqrt().relu(), x.relu()), x, statistics=True)
    values = {}
    for name in ("mean", "std", "zeros", "nonfinite"):
        values[name] = [n.facts["overlay"]["value"] for n in operators(graph.overlay(name))]
    assert values["nonfinite"][0] == 1 / 4  # sqrt(-1)
    assert values["mean"][0] == pytest.approx(5 / 3)
    assert values["std"][0] == pytest.approx(np.std([0.0, 2.0, 3.0]))
    assert values["zeros"] == [1 / 4, 1 / 4, 2 / 4]
    assert "1 of 4 not finite" in graph.overlay("mean").to_text()
    assert viz.Graph.from_json(graph.to_json()).model == graph.model


def test_statistics_are_taken_before_a_later_write():
    def call(x):
        y = x * 2.0
        y += 100.0
        return y

    graph = viz.trace(call, tg.tensor([1.0, 3.0]), statistics=True).overlay("mean")
    assert [n.facts["overlay"]["value"] for n in operators(graph)] == [4.0, 104.0]


def test_nothing_is_measured_without_data_or_of_a_recorded_graph(net):
    with tg.no_grad():
        meta = viz.trace(net, tg.zeros(1, 1, 12, 12, device="meta"), statistics=True)
    recorded = viz.trace(net(randn(1, 1, 12, 12)).sum(), statistics=True)
    for graph in (meta, recorded):
        with pytest.raises(tg.ArgumentError, match=r"a value of mean\n  Trace the call itself"):
            graph.overlay("mean")


def test_pooled_statistics():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=n) + n for n in (1, 5, 40)] + [np.array([np.nan])]
    whole = np.concatenate(parts)
    together = pooled([moments([p]) for p in parts])
    assert together["mean"] == pytest.approx(whole[:-1].mean(), rel=1e-12)
    assert together["std"] == pytest.approx(whole[:-1].std(), rel=1e-12)
    assert (together["count"], together["finite"], together["zeros"]) == (47, 46, 0)
    empty = pooled([moments([np.zeros(0)]), moments([np.array([2.0, 4.0])])])
    assert (empty["mean"], empty["std"]) == (3.0, 1.0)


# Bytes of a plan ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
def test_bytes_are_those_of_the_plan(net, backward):
    x = randn(2, 1, 12, 12)
    plan = plan_memory(net, x)
    graph = viz.trace(net, x, plan=plan, backward=backward).overlay("peak_bytes")
    forward = [s.live for s in plan.steps if s.phase == "forward"]
    back = [s.live for s in plan.steps if s.phase == "backward"]
    parts = [n.facts["overlay"]["parts"] for n in operators(graph)]
    assert [p["forward"] for p in parts] == forward
    pairs = {n.pair: n.facts["overlay"]["parts"] for n in operators(graph, "backward")}
    ran = [n.id for n in reversed(operators(graph))]
    alone = {n.id: n.facts["overlay"]["parts"] for n in operators(graph)}
    assert [(pairs if backward else alone)[key]["backward"] for key in ran] == back
    values = [n.facts["overlay"]["value"] for n in graph.model.nodes if n.kind == "op"]
    assert max(values) == plan.peak_bytes
    blocks = graph.depth(0)
    assert max(n.facts["overlay"]["value"] for n in operators(blocks)) == (
        max(forward) if backward else plan.peak_bytes
    )


def test_a_plan_of_something_else_is_refused(net):
    x = randn(2, 1, 12, 12)
    plan = plan_memory(nn.Sequential(nn.Flatten(), nn.Tanh()), randn(2, 6).requires_grad_())
    with pytest.raises(
        tg.ArgumentError,
        match=r"another graph: it has 2 operators, the graph 9; operator 0 is conv in features.0 "
        r"here and reshape in 0 there\n  Trace the call",
    ):
        viz.trace(net, x, plan=plan)
    with pytest.raises(tg.DTypeError, match=r"what plan_memory\(...\) returned, not dict"):
        viz.trace(net, x, plan={})
    with pytest.raises(tg.ArgumentError, match=r"value of peak_bytes\n.*plan_memory"):
        viz.trace(net, x).overlay("peak_bytes")


# Colours ------------------------------------------------------------------------------------------


def legend(graph) -> dict[str, int]:
    rows = [line for line in graph.to_text().splitlines() if line.startswith("■ ")]
    return {row[2:].rpartition(" (")[0]: int(row.rpartition("(")[2][:-1]) for row in rows}


def test_colours_by_operator(net, tmp_path):
    graph = viz.draw(net, randn(1, 1, 12, 12)).color("operator")
    counted = {"relu": 3, "conv": 2, "linear": 2, "max_pool": 1, "reshape": 1}
    assert legend(graph) == counted
    hues = {n.name: n.facts["color"]["hue"] for n in operators(graph)}
    assert sorted(hues.values()) == [0, 1, 2, 3, 4]
    root = ElementTree.parse(graph.render(tmp_path / "a.svg")).getroot()
    for group in root.iter(f"{SPACE}g"):
        if group.get("data-kind") == "op":
            assert f"hue-{hues[group.get('data-name')]}" in group.get("class").split()
    swatches = {t.get("class"): t.text for t in root.iter(f"{SPACE}text")}
    for name, hue in hues.items():
        assert swatches[f"t-hue-{hue}"] == f"■ {name} ({counted[name]})"
    assert "color" not in operators(graph.color("role"))[0].facts
    assert graph.color("role").to_dot() == viz.draw(net, randn(1, 1, 12, 12)).to_dot()


def test_colours_by_dtype():
    def call(x):
        return x.argmax(), (x > 0), x.exp()

    graph = viz.trace(call, randn(3)).color("dtype")
    assert legend(graph) == {"float32": 3, "int64": 2, "bool": 2}
    assert {n.name: n.facts["color"]["label"] for n in operators(graph)} == {
        "argmax": "int64",
        "gt": "bool",
        "exp": "float32",
    }


def test_colours_by_order():
    graph = viz.trace(lambda x: x.exp().sin().cos().tanh().relu().sum(), randn(3)).color("order")
    colors = [n.facts["color"] for n in operators(graph)]
    assert [c["label"] for c in colors] == [f"step {k} of 6" for k in range(1, 7)]
    assert [c["level"] for c in colors] == [0, 1, 2, 3, 4, 4]
    assert "step 6 of 6" in graph.to_text()
    assert 'class="op heat-0"' in graph.to_dot()


def test_colours_by_structure():
    net = nn.Sequential(Layer("relu", True), Layer("tanh", True), Layer("relu", True))
    graph = viz.trace(net, randn(2, 4)).color("structure")
    groups = {}
    for node in operators(graph):
        groups.setdefault(node.facts["color"]["label"], []).append(node.name)
    assert groups == {
        "Linear": ["linear"] * 3,
        "Layer 1": ["relu", "add", "relu", "add"],
        "Layer 2": ["tanh", "add"],
    }
    assert legend(graph) == {"Layer 1": 4, "Linear": 3, "Layer 2": 2}
    assert "structure Layer 2" in graph.to_text()


def test_more_groups_than_colours_share_the_last():
    def call(x):
        for name in ("exp", "sin", "cos", "tanh", "relu", "abs", "square", "sigmoid", "floor"):
            x = getattr(x, name)()
        return x.exp()

    graph = viz.trace(call, randn(3)).color("operator")
    hues = [n.facts["color"]["hue"] for n in operators(graph)]
    assert (max(hues), hues.count(7), hues[0], hues[-1]) == (7, 2, 0, 0)
    (shared,) = [line for line in graph.to_text().splitlines() if "floor" in line and "■" in line]
    assert shared == "■ sigmoid (1), floor (1)"


def test_a_colour_and_an_overlay_take_each_others_place():
    graph = viz.trace(lambda x: x.exp().sum(), randn(4))
    both = graph.color("dtype").overlay("flops")
    assert not any("color" in n.facts for n in both.model.nodes)
    both = graph.overlay("flops").color("dtype")
    assert not any("overlay" in n.facts for n in both.model.nodes)
    assert both.to_text().count("colour: ") == both.to_text().count("colour: dtype\n") == 1


def test_a_block_has_the_colour_that_its_operators_share():
    net = nn.Sequential(nn.Sequential(nn.Tanh(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU()))
    graph = viz.trace(net, randn(3)).color("operator").depth(1)
    assert ["color" in n.facts for n in operators(graph)] == [True, False]


def test_the_spread_of_a_constant_is_zero():
    assert moments([np.full(5, 3.0)])["std"] == 0.0
