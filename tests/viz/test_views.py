"""Rows of equal calls, parts of a graph, stubs, and opening again what was collapsed."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.handmade import Maker, chain, small_net
from tests.viz.test_transforms import random_graphs, reaches
from tests.viz.zoo import Residual, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import selection, transforms
from tinygrad_cv.viz.model import GraphModel, check


class Layer(nn.Module):
    """Linear, then an activation, perhaps around."""

    def __init__(self, kind: str, around: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.kind, self.around = kind, around

    def forward(self, x):
        y = getattr(self.linear(x), self.kind)()
        return y + x if self.around else y


def equal_layers(count: int = 4, **parts) -> nn.Module:
    layers = [Layer(parts.get("kind", "relu"), parts.get("around", True)) for _ in range(count)]
    return nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2))


def labels(graph) -> list[str]:
    return [cluster.label for cluster in graph.model.clusters]


def names(graph) -> list[str]:
    return [node.name for node in graph.model.nodes]


def sums(model: GraphModel) -> dict[str, int]:
    """What the drawn nodes say, added up."""
    operators = [node for node in model.nodes if node.kind == "op"]
    held = {h.key: h.tensor.size for n in model.nodes for h in n.held if h.kind == "param"}
    held |= {n.id: n.outputs[0].size for n in model.nodes if n.kind == "param"}
    for node in model.nodes:
        held |= dict(map(tuple, node.facts.get("parameter_sizes", ())))
    stored: dict[int, int] = {}
    for node in model.nodes:
        if "storages" in node.facts:
            stored |= dict(map(tuple, node.facts["storages"]))
        elif node.kind == "saved" and node.value != "parameter":
            stored[node.facts["storage"]] = node.facts["saved_bytes"]
    return {
        "operators": sum(n.count for n in operators if n.phase == "forward"),
        "backward_operators": sum(n.count for n in operators if n.phase == "backward"),
        "parameters": sum(held.values()),
        "flops": sum(int(n.facts.get("flops", 0)) for n in operators),
        "saved_bytes": sum(stored.values()),
    }


# Rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("around", [False, True])
def test_equal_calls_in_a_row_are_one_with_their_number(backward, around):
    net = equal_layers(4, around=around)
    graph = viz.trace(lambda x: net(x).square().sum(), randn(2, 3), backward=backward)
    folded = graph.repeat()
    check(folded.model)
    rows = [c for c in folded.model.clusters if c.repeats > 1]
    assert [(c.label, c.parameters) for c in rows] == [("1 : Layer ×4", 4 * 20)]
    one = [n for n in graph.model.nodes if _inside(graph.model, n, "1")]
    assert len(folded.model.nodes) == len(graph.model.nodes) - 3 * len(one)
    kept = {n.id: n for n in folded.model.nodes}
    for node in one:
        assert kept[node.id].count == (4 if node.kind == "op" else 1)
    (linear,) = [n for n in kept.values() if n.name == "linear" and n.count == 4 and not n.pair]
    assert linear.facts["flops"] == 4 * graph.model.nodes[linear.id].facts["flops"]
    check_reach(graph.model, folded.model)
    assert labels(folded.repeat(False)) == labels(graph)


def _inside(model, node, path):
    calls = {c.id: c for c in model.clusters}
    number = node.cluster
    while number is not None:
        if calls[number].path == path:
            return True
        number = calls[number].parent
    return False


def test_a_backward_alone_folds_too():
    net = equal_layers(3)
    graph = viz.trace(lambda x: net(x).square().sum(), randn(2, 3), backward=True)
    folded = graph.only("backward").repeat()
    check(folded.model)
    assert [c.repeats for c in folded.model.clusters if c.repeats > 1] == [3]


def test_rows_inside_rows():
    block = lambda: nn.Sequential(*(Layer("tanh", False) for _ in range(3)))  # noqa: E731
    graph = viz.trace(nn.Sequential(block(), block()), randn(1, 4)).repeat()
    assert labels(graph) == [
        "Sequential",
        "0 : Sequential ×2",
        "0.0 : Layer ×3",
        "0.0.linear : Linear",
    ]
    assert sums(graph.model)["operators"] == graph.model.totals["operators"] == 12
    assert graph.model.clusters[2].parameters == 6 * 20


def test_calls_that_differ_stay():
    layers = Layer("relu", True), Layer("tanh", True), Layer("relu", False), nn.Linear(4, 4)
    graph = viz.trace(nn.Sequential(*layers), randn(1, 4))
    assert graph.repeat().model == graph.model


def test_a_call_whose_result_is_used_elsewhere_ends_the_row():
    layers = [Layer("relu", True) for _ in range(5)]

    def skip(x):
        one = layers[1](layers[0](x))
        two = layers[4](layers[3](layers[2](one)))
        return one + two

    net = nn.Sequential(*layers)
    net.forward = skip
    graph = viz.trace(net, randn(1, 4))
    folded = graph.repeat()
    assert [c.label for c in folded.model.clusters if c.repeats > 1] == [
        "0 : Layer ×2",
        "2 : Layer ×3",
    ]
    check_reach(graph.model, folded.model)


def test_the_number_in_a_drawing():
    graph = viz.draw(equal_layers(6), randn(1, 3))
    assert "1 : Layer ×6" in labels(graph)
    title = "1 : Layer ×6", "120 parameters"  # and the room beside them
    assert re.search(r"\s*\\l".join(title), graph.to_dot())
    assert sums(graph.model) == sums(graph.repeat(False).model)
    assert len(graph.repeat(False).model.nodes) > len(graph.model.nodes)


# Opening ------------------------------------------------------------------------------------------


def test_what_is_collapsed_opens_again():
    graph = viz.trace(equal_layers(4), randn(1, 3)).fold_parameters()
    for closed in (graph.collapse("2"), graph.collapse("?"), graph.depth(1)):
        opened = closed.expand("2")
        inside = [n.name for n in opened.model.nodes if _inside(opened.model, n, "2")]
        assert inside == ["linear", "relu", "add"]
    assert names(graph.collapse("2").expand("2")) == names(graph)
    row = graph.repeat()
    assert [label for label in labels(row.expand("3")) if "×" in label] == ["1 : Layer ×2"]
    assert [label for label in labels(row.expand("4")) if "×" in label] == ["1 : Layer ×3"]
    again = graph.depth(1).expand("2").collapse("2")
    assert names(again) == names(graph.depth(1))
    assert names(again.expand("2")) == names(graph.depth(1).expand("2"))
    small = viz.draw(equal_layers(30), randn(1, 3), max_nodes=10)
    assert len(small.expand("").model.nodes) >= len(small.model.nodes)


def test_transforms_pickle_and_leave_their_graph_alone():
    graph = viz.trace(equal_layers(3), randn(1, 3))
    before = graph.to_json()
    for other in (graph.repeat(), graph.depth(1), graph.focus("relu"), graph.expand("1")):
        assert pickle.loads(pickle.dumps(other)).model == other.model
        assert viz.Graph.from_json(other.to_json()).model == other.model
    assert graph.to_json() == before


# Parts --------------------------------------------------------------------------------------------


def test_what_is_around_a_node():
    graph = viz.Graph(chain(20))
    assert [n.id for n in graph.focus(7, 2).model.nodes] == [5, 6, 7, 8, 9]
    assert graph.focus(7, 2).model.notes == ("5 of 22 nodes: around #7",)
    assert [n.id for n in graph.focus(7, 0).model.nodes] == [7]
    assert len(graph.focus(7, 100).model.nodes) == 22
    ends = graph.focus(lambda node: node.kind != "op", 1)
    assert [n.id for n in ends.model.nodes] == [0, 1, 20, 21]
    assert [(e.source, e.target, e.hidden) for e in ends.model.edges] == [
        (0, 1, False),
        (20, 21, False),
        (1, 20, True),
    ]
    assert 'label="  … hidden  "' in ends.to_dot()


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("relu", ["relu"]),
        ("body.*", ["body.0.weight", "body.0.bias", "conv", "relu"]),
        ("body.0.conv", ["conv"]),
        ("body.1", ["relu"]),
        ("*.bias", ["body.0.bias"]),
    ],
)
def test_nodes_by_glob(glob, found):
    model = small_net(backward=False)
    by_id = {n.id: n.name for n in model.nodes}
    assert [by_id[k] for k in selection.find(model, glob, "focus")] == found


def test_all_that_lies_between():
    m = Maker()
    x = m.node("input", "x", (1,))
    a = m.op("exp", (1,), x)
    b, c = m.op("sin", (1,), a), m.op("cos", (1,), a)
    aside = m.op("tanh", (1,), x)
    d = m.op("add", (1,), b, c, aside)
    m.edge(d, m.node("output", "output", (1,)))
    model = transforms.path(m.model(), "exp", "add")
    assert [n.id for n in model.nodes] == [a, b, c, d]
    assert len(model.edges) == 4
    with pytest.raises(tg.ArgumentError, match=r"from 'add' to 'exp'\n.*exchange them"):
        transforms.path(m.model(), "add", "exp")
    with pytest.raises(tg.ArgumentError, match=r"nothing leads from 'tanh' to 'sin'\n.*do not dep"):
        transforms.path(m.model(), "tanh", "sin")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: g.focus("rleu"), tg.ArgumentError, r"no node matches 'rleu'\n.*graph: relu, "),
        (lambda g: g.focus(99), tg.ArgumentError, r"no node 99\n.* ids 0, 1, 2"),
        (lambda g: g.focus(2.5), tg.DTypeError, "id, a glob or a function of a node is needed"),
        (lambda g: g.focus(True), tg.DTypeError, "not True"),
        (lambda g: g.focus(lambda n: False), tg.ArgumentError, "no node matches the function"),
        (lambda g: g.focus("relu", -1), tg.ArgumentError, "0 or more, not -1"),
        (lambda g: g.path("relu", "sun"), tg.ArgumentError, r"matches 'sun'\n.*graph: sum"),
        (lambda g: g.collapse("bod"), tg.ArgumentError, r"matches 'bod'\n  Paths in .*: body, bo"),
        (lambda g: g.expand("bdoy"), tg.ArgumentError, r"expand: no .*'bdoy'\n.*: body, "),
        (lambda g: g.collapse(3), tg.DTypeError, "a glob or a function of a call is needed, not 3"),
        (lambda g: g.repeat(least=1), tg.ArgumentError, "at least 2 calls, not 1"),
        (lambda g: g.stubs(uses=0), tg.ArgumentError, "uses must be an integer, 1 or more, not 0"),
        (lambda g: g.stubs(far=1.5), tg.ArgumentError, "far must be an integer"),
        (lambda g: g.color("rainbow"), tg.ArgumentError, r"'rainbow'\n.*'role', 'operator'"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(viz.Graph(small_net(backward=False)))


# Stubs --------------------------------------------------------------------------------------------


def test_a_tensor_that_is_used_often_has_a_copy_at_each_use_but_the_first():
    m = Maker()
    x, w = m.node("input", "x", (2, 2)), m.node("input", "w", (2, 2))
    last = x
    for _ in range(8):
        last = m.op("matmul", (2, 2), last, w)
    model = transforms.stubs(m.model(), uses=7)
    assert [(e.source, e.stub) for e in model.edges] == [
        (k, s) for n, k in enumerate((x, 2, 3, 4, 5, 6, 7, 8)) for k, s in ((k, False), (w, n > 0))
    ]
    assert not any(e.stub for e in transforms.stubs(m.model(), uses=8).edges)
    assert reaches(model) == reaches(m.model()), "a stub is a matter of drawing"
    dot = viz.Graph(model).to_dot()
    assert dot.count('label="↪ w"') == 7
    assert "n1 ->" in dot  # the first use


def test_a_far_use_has_a_copy():
    m = Maker()
    x = m.node("input", "x", (4,))
    first = last = m.op("exp", (4,), x)
    for _ in range(10):
        last = m.op("sin", (4,), last)
    m.op("add", (4,), last, first)
    near, far = (transforms.stubs(m.model(), far=n) for n in (11, 10))
    assert [e.stub for e in near.edges].count(True) == 0
    assert [(e.source, e.stub) for e in far.edges][-1] == (first, True)


def test_a_stub_in_the_picture(tmp_path):
    graph = viz.trace(lambda x: x * x + x.sin() * x.cos(), randn(3)).stubs(uses=2)
    svg = graph.render(tmp_path / "a.svg").read_text()
    assert svg.count("which stands elsewhere in this picture") == 2
    assert svg.count(">↪ x</text>") == 2


# What reaches what --------------------------------------------------------------------------------


def check_reach(before: GraphModel, after: GraphModel) -> None:
    """Nodes that both have reach each other in both or in none. A call that is drawn as one node is
    one: what enters it reaches what leaves it."""
    check(after)
    below, now = reaches(before), reaches(after)
    kept = {n.id for n in after.nodes}
    titles = {n.id: n.title for n in before.nodes}
    own = {n.id for n in after.nodes if "operators" not in n.facts and titles[n.id] == n.title}
    blocks = len(own) < len(after.nodes)
    for node in own:
        was, is_ = below[node] & kept & own, now[node] & own
        if blocks:
            assert was <= is_
        else:
            assert was == is_
    assert all(node not in now[node] for node in kept)
    place = {n.id: k for k, n in enumerate(after.nodes)}
    assert all(place[e.source] < place[e.target] for e in after.edges)


def check_clusters(model: GraphModel, before: GraphModel) -> None:
    seen: set[int] = set()
    for cluster in model.clusters:
        assert cluster.parent is None or cluster.parent in seen
        seen.add(cluster.id)
    assert _empty(model) <= _empty(before)


def _empty(model: GraphModel) -> set[int]:
    """Calls with nothing in them."""
    used = {n.cluster for n in model.nodes} | {c.parent for c in model.clusters}
    return {c.id for c in model.clusters} - used


STEPS = {
    "repeat": lambda g, k: g.repeat(),
    "depth": lambda g, k: g.depth(k % 3),
    "fold": lambda g, k: g.fold_parameters().fold_constants().fold_saved(),
    "inline": lambda g, k: g.inline_calls(),
    "stubs": lambda g, k: g.stubs(1 + k % 3, 2 + k % 7),
    "limit": lambda g, k: g.limit(10 + k),
    "simplify": lambda g, k: g.simplify(10 + k),
    "focus": lambda g, k: g.focus(g.model.nodes[k % len(g.model.nodes)].id, k % 4),
    "thin": lambda g, k: g.focus(lambda n: n.id % (2 + k % 3) == 0, 0),
}


@settings(max_examples=150, deadline=None)
@given(random_graphs(), st.sampled_from(sorted(STEPS)), st.integers(0, 20))
def test_one_step_keeps_what_reaches_what(model, name, k):
    if name == "thin" and not any(n.id % (2 + k % 3) == 0 for n in model.nodes):
        return
    after = STEPS[name](viz.Graph(model), k).model
    check_reach(model, after)
    check_clusters(after, model)


@st.composite
def networks(draw):
    """A network of layers, many of them equal, that are used in a row, around, or again."""
    kinds = st.sampled_from(["relu", "tanh", "exp", "square"])
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        kind, around = draw(kinds), draw(st.booleans())
        layers += [Layer(kind, around) for _ in range(draw(st.integers(1, 4)))]
    used = draw(st.integers(0, len(layers)))
    again = draw(st.booleans())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, x):
            kept = x
            for number, layer in enumerate(self.layers):
                x = layer(x)
                if number == used:
                    kept = x
            x = self.layers[0](x) if again else x
            return x + kept if used % 2 else x

    ending = draw(st.sampled_from(["sum", "square", "none"]))
    net, x = Net(), randn(2, 4).requires_grad_(draw(st.booleans()))

    def loss(x):
        y = net(x)
        return y.sum() if ending == "sum" else y.square().sum() if ending == "square" else y

    return viz.trace(loss, x, backward=draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(networks(), st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 20))))
def test_steps_of_a_real_network_keep_what_reaches_what(graph, steps):
    whole = sums(graph.model)
    totals = graph.model.totals
    assert {name: totals.get(name, 0) for name in whole} == whole
    for name, k in [("repeat", 0), *steps[:3]]:
        if name == "thin" and not any(n.id % (2 + k % 3) == 0 for n in graph.model.nodes):
            continue
        before, graph = graph, STEPS[name](graph, k)
        check_reach(before.model, graph.model)
        check_clusters(graph.model, before.model)
        assert graph.model.totals == totals
        if name not in ("focus", "thin"):
            assert sums(graph.model) == sums(before.model)


def test_a_double_backward_graph_takes_them_too():
    net, x = Residual(), randn(2, 3, 6, 6).requires_grad_()
    (slope,) = tg.autograd.grad(net(x).square().sum(), x, create_graph=True)
    graph = viz.trace(slope.square().sum(), backward=True, names={"x": x})
    for name, step in STEPS.items():
        after = step(graph, 12)
        check_clusters(after.model, graph.model)
        check(after.model)
        if name in ("repeat", "stubs", "inline", "fold"):
            check_reach(graph.model, after.model)
            assert sums(after.model) == sums(graph.model)
    assert graph.path("x", "output").model.nodes[0].name == "x"
