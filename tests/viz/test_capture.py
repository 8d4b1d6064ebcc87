"""What a capture knows: names, module calls, values, failures, bad input, long chains."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_cv as tg
import tinygrad_cv.nn.functional as F
from tests.viz.zoo import LeNet, Shared, randn
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from tinygrad_cv.viz import draw, trace


def test_parameters_and_inputs_have_their_names():
    net = LeNet()
    model = trace(net, randn(2, 1, 12, 12)).model
    names = {n.name for n in model.nodes if n.kind == "param"}
    assert names == {name for name, _ in net.named_parameters()}
    assert [n.name for n in model.nodes if n.kind == "input"] == ["image"]
    assert model.totals["parameters"] == sum(p.numel() for p in net.parameters())
    # From the loss alone the engine's own names and the module calls give the same.
    loss = net(randn(2, 1, 12, 12)).sum()
    assert {n.name for n in trace(loss).model.nodes if n.kind == "param"} == names


def test_what_a_call_uses_besides_its_arguments_can_be_named():
    weight, shift = randn(3).requires_grad_(), randn(3)
    names = {"weight": weight, "shift": shift, "wrong": randn(2)}
    model = trace(lambda x: (x * weight + shift).sum(), randn(3), names=names).model
    assert [n.name for n in model.nodes if n.kind == "input"] == ["x", "weight", "shift"]
    # The name that was asked for comes before that of the argument.
    for given in (weight, shift):
        model = trace(lambda x: x.sin(), given, names={"mine": given}).model
        assert [n.name for n in model.nodes if n.kind == "input"] == ["mine"]


def test_clusters_are_module_calls():
    model = trace(Shared(), randn(2, 4)).model
    calls = [(c.path, c.kind, c.call, c.calls) for c in model.clusters]
    assert calls == [("", "Shared", 1, 1)] + [("step", "Linear", k, 3) for k in (1, 2, 3)]
    assert model.clusters[1].label == "step : Linear, call 1 of 3"
    # The shared weight belongs to all three calls, so it stands in the caller.
    weights = [n for n in model.nodes if n.kind == "param"]
    assert [w.cluster for w in weights] == [0, 0]
    assert [c.parameters for c in model.clusters] == [20, 20, 20, 20]
    assert model.totals["parameters"] == 20


def test_what_a_backward_records_stands_in_the_backward_of_its_module():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def penalty(x):
        (slope,) = tg.autograd.grad(net(x).sum(), x, create_graph=True)
        return (slope * slope).sum()

    x = randn(2, 3).requires_grad_()
    for model in (trace(penalty, x).model, trace(penalty(x)).model):
        labels = {c.id: c.label for c in model.clusters}
        where = {}
        for node in model.nodes:
            if node.kind == "op":
                where.setdefault(node.name, []).append(labels.get(node.cluster, ""))
        assert where["linear_input_grad"] == ["2 : Linear backward", "0 : Linear backward"]
        assert where["tanh"] == ["1 : Tanh"]
        assert where["mul"][:-1] == ["1 : Tanh backward"] * (len(where["mul"]) - 1)
        assert where["mul"][-1] == where["sum"][-1] == ""  # of the penalty, after the backward
        parents = {c.label: labels.get(c.parent) for c in model.clusters}
        assert parents["1 : Tanh backward"] == "Sequential backward"
        assert parents["Sequential backward"] == "backward"
        assert parents["backward"] is None
    folded = trace(penalty, x).depth(0).model
    assert [n.title for n in folded.nodes if "operators" in n.facts] == ["Sequential", "backward"]


def test_a_backward_of_a_backward_has_its_own_box():
    def third(x):
        y = x.sin().sum()
        for _ in range(2):
            (y,) = tg.autograd.grad(y.sum(), x, create_graph=True)
        return y.sum()

    model = trace(third, randn(3).requires_grad_()).model
    assert [(c.label, c.parent) for c in model.clusters] == [
        ("backward, call 1 of 2", None),
        ("backward, call 2 of 2", None),
    ]
    net = nn.Sequential(nn.Tanh())
    twice = trace(lambda x: third_of(net, x), randn(3).requires_grad_()).model
    assert "0 : Tanh backward backward" in [c.label for c in twice.clusters]
    assert "backward backward" not in [c.label for c in twice.clusters]


def third_of(net, x):
    (slope,) = tg.autograd.grad(net(x).sum(), x, create_graph=True)
    (bend,) = tg.autograd.grad(slope.sum(), x, create_graph=True)
    return bend.sum()


def test_a_backward_inside_a_module_stands_inside_its_box():
    class Score(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.energy = nn.Linear(3, 1)

        def forward(self, x):
            x = x.detach().requires_grad_()
            (slope,) = tg.autograd.grad(self.energy(x).square().sum(), x, create_graph=True)
            return slope * 2.0

    model = trace(Score(), randn(2, 3)).model
    parent = {c.label: c.parent for c in model.clusters}
    assert parent["backward"] == 0
    assert model.clusters[0].label == "Score"
    # What comes after it is the module's own again.
    assert next(n for n in reversed(model.nodes) if n.kind == "op").cluster == 0


def test_a_backward_that_fails_leaves_no_box_behind():
    def refuse(_):
        raise ValueError("no")

    x = randn(3).requires_grad_()
    y = x.sin()
    y.register_hook(refuse)
    with pytest.raises(ValueError, match="no"):
        tg.autograd.grad(y.sum(), x, create_graph=True)
    assert trace((x * 2.0).sum()).model.clusters == ()


def test_argument_order_is_kept():
    a, b = randn(3).requires_grad_(), (randn(3) + 1.0).requires_grad_()
    for function, expected in ((lambda a, b: a - b, "ab"), (lambda a, b: b - a, "ba")):
        model = trace(function, a, b).model
        names = {n.id: n.name for n in model.nodes}
        data = [e for e in model.edges if names[e.target] == "sub"]
        assert "".join(names[e.source] for e in sorted(data, key=lambda e: e.slot)) == expected
        assert [e.argument for e in data] == ["input", "other"]


def test_a_call_is_seen_without_gradients_and_without_data():
    net = LeNet().eval()
    with tg.no_grad():
        plain = trace(net, randn(2, 1, 12, 12)).model
    recorded = trace(net, randn(2, 1, 12, 12)).model
    assert plain == recorded
    meta = trace(net.to("meta"), tg.zeros(2, 1, 12, 12, device="meta")).model
    assert [(n.kind, n.name, n.outputs) for n in meta.nodes] == [
        (n.kind, n.name, n.outputs) for n in recorded.nodes
    ]
    assert meta.edges == recorded.edges


def test_meta_with_its_backward():
    net = LeNet().to("meta")
    image = tg.zeros(2, 1, 12, 12, device="meta")
    model = trace(net, image, backward=True).model
    real = trace(LeNet(), randn(2, 1, 12, 12), backward=True).model
    assert [n.outputs for n in model.nodes] == [n.outputs for n in real.nodes]


def test_flops_are_those_of_the_operators():
    net = nn.Linear(5, 3)
    model = trace(net, randn(4, 5)).model
    (linear,) = [n for n in model.nodes if n.kind == "op"]
    from tinygrad_cv.backend.spec import Spec
    from tinygrad_cv.core.op import REGISTRY

    f32 = np.dtype("float32")
    specs = Spec((4, 5), f32), Spec((3, 5), f32), Spec((3,), f32)
    expected = REGISTRY["linear"].flops(*specs)
    assert linear.facts["flops"] == model.totals["flops"] == expected


def test_saved_bytes_count_each_memory_once_and_no_parameters():
    x = randn(100).requires_grad_()
    assert trace((x * x).sum(), backward=True).model.totals["saved_bytes"] == 0  # x is a leaf
    y = x.exp()
    totals = trace((y * y).sum(), backward=True).model.totals
    assert totals["saved_bytes"] == 400  # exp keeps its output, mul keeps the same array twice
    net = nn.Linear(10, 10, bias=False)
    model = trace(net, randn(5, 10).requires_grad_() * 1.0, backward=True).model
    assert model.totals["saved_bytes"] == 200
    (weight,) = [n for n in model.nodes if n.kind == "saved" and n.name == "weight"]
    assert weight.value == "parameter"
    assert weight.facts["saved_bytes"] == 0


def test_a_gradient_that_is_a_sum_says_so():
    x = randn(3).requires_grad_()
    y = x.exp()
    model = trace((y.sin() + y.cos()).sum(), backward=True).model
    (back,) = [n for n in model.nodes if n.name == "exp" and n.phase == "backward"]
    assert back.facts["summed"] == 2


def test_several_results_in_one_graph():
    x = randn(3).requires_grad_()
    model = trace([x.exp(), x.sum()], names={"x": x}, backward=True).model
    assert [n.name for n in model.nodes if n.kind == "output" and n.phase == "forward"] == [
        "output[0]",
        "output[1]",
    ]
    assert len([n for n in model.nodes if n.name.startswith("gradient of")]) == 2
    assert len([n for n in model.nodes if n.kind == "input" and n.phase == "forward"]) == 1
    nested = trace(lambda x: {"a": x.exp(), "b": [x.sum(), None]}, x).model
    names = [n.name for n in nested.nodes if n.kind == "output"]
    assert names == ["output['a']", "output['b'][0]"]


def test_a_leaf_and_an_input_that_comes_straight_out():
    x = randn(3).requires_grad_()
    assert [n.kind for n in trace(x, names={"x": x}).model.nodes] == ["input", "output"]
    model = trace(lambda x: x, randn(3)).model
    assert [(n.kind, n.name) for n in model.nodes] == [("input", "x"), ("output", "output")]


def test_an_input_with_a_history_ends_the_graph():
    x = randn(3).requires_grad_()
    y = x.exp()
    model = trace(lambda y: (y * 2.0).sum(), y, backward=True).model
    assert [n.name for n in model.nodes if n.kind == "op" and n.phase == "forward"] == [
        "mul",
        "sum",
    ]


def test_a_failing_forward_gives_the_part_that_ran():
    net = LeNet()
    graph = trace(net, randn(2, 1, 20, 20), backward=True)
    assert re.match(r"ShapeError: linear", graph.error)
    (failed,) = [n for n in graph.model.nodes if n.error]
    assert failed.name == "linear"
    assert failed.outputs == ()
    assert "failed" in graph.to_text()
    assert "class=error" in draw(net, randn(2, 1, 20, 20)).to_dot()
    ran = [n.name for n in graph.model.nodes if n.kind == "op"]
    assert ran == ["conv", "relu", "max_pool", "conv", "relu", "reshape", "linear"]
    source = next(e.source for e in graph.model.edges if e.target == failed.id and e.slot == 0)
    assert next(n for n in graph.model.nodes if n.id == source).name == "reshape"
    with pytest.raises(ShapeError):
        net(randn(2, 1, 20, 20))


def test_an_error_that_is_no_operators_ends_the_graph_if_one_has_run():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        trace(broken, randn(3))
    graph = trace(lambda x: broken(x.exp()), randn(3))
    assert graph.error.startswith("ZeroDivisionError: mine\n  at ")
    failed = [(n.name, bool(n.error)) for n in graph.model.nodes if n.kind == "op"]
    assert failed == [("exp", False), ("ZeroDivisionError", True)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: trace(randn(3)), GraphError, "has no graph"),
        (lambda: trace(3), DTypeError, "not 3"),
        (lambda: trace([]), DTypeError, "a Tensor, a list of Tensors"),
        (lambda: trace(lambda x: x.exp(), randn(3), backward=True), GraphError, "no backward"),
        (lambda: trace(randn(3).requires_grad_(), randn(3)), ArgumentError, "is there already"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_freed_graph_still_has_its_forward():
    x = randn(3).requires_grad_()
    loss = (x * x).sum()
    before = trace(loss).model
    loss.backward()
    assert trace(loss).model == before
    with pytest.raises(GraphError, match="saved values of this graph are freed") as caught:
        trace(loss, backward=True)
    assert "retain_graph=True" in str(caught.value)


def test_the_same_program_gives_the_same_model_and_text():
    def one():
        tg.manual_seed(0)
        net = LeNet()
        return draw(F.cross_entropy(net(randn(2, 1, 12, 12)), tg.tensor([3, 7])), backward=True)

    first, second = one(), one()
    assert first.to_json() == second.to_json()
    assert first.to_dot() == second.to_dot()


def test_tensor_graph_is_a_method():
    x = randn(3).requires_grad_()
    graph = (x - 2.0).sum().graph(backward=True, names={"x": x}, title="mine")
    assert graph.model.title == "mine"
    assert "sub backward" in graph.to_text()


def test_module_graph_is_a_method():
    net = nn.Linear(4, 2)
    graph = net.graph(randn(3, 4), backward=True)
    assert graph.model.title == "Linear, forward and backward"
    assert graph.to_dot() == draw(net, randn(3, 4), backward=True).to_dot()


def test_an_operator_of_the_user_is_drawn_like_any_other(cube):
    model = trace(cube.call(randn(3).requires_grad_()).sum(), backward=True).model
    node, back = [n for n in model.nodes if n.name == "users_cube"]
    assert node.facts["equation"] == "y = x^3"
    assert back.facts["gradients"] == "d input: 3 * g * x^2"


def test_facts_of_a_node():
    x = randn(3).requires_grad_()
    model = trace(x.exp().sum()).model
    node = next(n for n in model.nodes if n.name == "exp")
    assert re.fullmatch(r"test_capture\.py:\d+", node.site)
    assert node.facts["equation"]


@pytest.mark.slow
def test_a_chain_of_100_000_nodes_is_captured_and_written():
    y = x = randn(2).requires_grad_()
    for _ in range(100_000):
        y = y.relu()
    graph = trace(y.sum(), names={"x": x})
    assert sum(node.kind == "op" for node in graph.model.nodes) == 100_001
    assert graph.to_dot().count(" -> ") == 100_002
    small = graph.simplify()
    assert len(small.model.nodes) <= 300
    assert "operators in the middle" in small.to_text()


def test_a_long_chain_with_its_backward_does_not_recurse():
    y = x = randn(2).requires_grad_()
    for _ in range(3000):
        y = y + 1.0
    graph = trace(y.sum(), names={"x": x}, backward=True)
    assert sum(node.name == "add" for node in graph.model.nodes) == 6000
    assert len(graph.simplify().model.nodes) <= 300


def labelled_loss():
    net, label = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten()), tg.tensor([0, 1])
    return F.cross_entropy(net(randn(2, 1, 4, 4)), label)


def arguments(model, name):
    """{argument: (kind, shape)} of what goes into the operator of this name."""
    (operator,) = [n for n in model.nodes if n.kind == "op" and n.name == name]
    kinds = {n.id: n.kind for n in model.nodes}
    return {
        e.argument: (kinds[e.source], e.tensor.shape)
        for e in model.edges
        if e.target == operator.id and e.kind == "data"
    }


def test_labels_are_drawn_although_no_rule_keeps_them():
    loss = labelled_loss()
    assert arguments(trace(loss).model, "cross_entropy")["target"] == ("input", None)
    assert "input target   not kept in the graph" in loss.graph().to_text()
    # What may be None and is not kept is not drawn: there is no bias here.
    assert set(arguments(trace(loss).model, "conv")) == {"input", "weight"}


def test_what_is_not_kept_is_not_called_a_constant():
    net, y = nn.Linear(3, 3), randn(2, 3)
    graph = (net(y) + y).sum().graph()
    assert "add <- input #3   other: not kept in the graph; → 2×3 float32" in graph.to_text()
    assert "constant" not in graph.to_text()
    whole = trace((net(y) + y).sum())
    assert "tensor   not kept in the graph" in whole.to_text()
    assert "constant" not in whole.to_text()
    # A call that is watched knows it.
    watched = trace(lambda y: net(y) + y, y).model
    names = {n.id: n.name for n in watched.nodes}
    add = next(n.id for n in watched.nodes if n.name == "add")
    sources = [names[e.source] for e in watched.edges if e.target == add]
    assert sources == ["linear", "y"]
    # What a rule keeps is known: a number, and the array that went in before.
    text = (net(y) * 2.0 * y).sum().graph().to_text()
    assert "other = 2" in text
    assert "other #0" in text


def test_a_graph_without_its_saved_values_has_the_same_nodes_and_says_why():
    loss = labelled_loss()
    before = loss.graph()
    assert before.model.notes == ()
    loss.backward()
    after = loss.graph()
    kinds = [[(n.kind, n.name) for n in g.model.nodes if n.kind == "op"] for g in (before, after)]
    assert kinds[0] == kinds[1]
    assert arguments(after.model, "conv") == {"input": ("input", None)}
    assert len(after.model.nodes) == len(before.model.nodes)
    (note,) = after.model.notes
    assert "backward has freed the saved values" in note
    assert "backward has freed the saved values" in after.to_text()
    assert "backward has freed the saved values" in after.to_dot()


def test_an_index_that_backward_freed_is_still_a_constant():
    x = randn(3, 2).requires_grad_()
    loss = x.gather(0, tg.tensor([[0, 1]])).sum()
    before = arguments(trace(loss).model, "gather")
    assert before["index"] == ("const", (1, 2))
    loss.backward()
    assert arguments(trace(loss).model, "gather")["index"] == ("const", None)


def test_what_joins_without_a_gradient_has_its_shape():
    joined = tg.cat([randn(2, 3).requires_grad_(), randn(4, 3)])
    names = {n.name: n.outputs[0].shape for n in trace(joined).model.nodes if n.kind == "input"}
    assert (4, 3) in names.values()
