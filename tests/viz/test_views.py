"""Rows of equal calls, parts of a graph, stubs, and opening again what was collapsed."""

from __future__ import annotations

import pickle
import re

import pytest

import tinygrad_cv as tg
from tests.viz.handmade import Maker, chain, small_net
from tests.viz.invariants import check_reach, sums
from tests.viz.test_transforms import reaches
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import selection, transforms
from tinygrad_cv.viz.model import check


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


class Pair(nn.Module):
    """Two results from two tensors, perhaps crossed."""

    def __init__(self, crossed: bool) -> None:
        super().__init__()
        self.crossed = crossed

    def forward(self, a, b):
        return (b.tanh(), a.exp()) if self.crossed else (a.exp(), b.tanh())


class Recent(nn.Module):
    """What comes from the two calls before."""

    def forward(self, one, before):
        return one.tanh() * before


class Fork(nn.Module):
    """Two results, of which the next call takes both at once."""

    def forward(self, x):
        if isinstance(x, tuple):
            x = tg.stack(x).sum(0)
        return x.exp(), x.tanh()


def twin(crossed):
    def call(a, b):
        for layer in [Pair(crossed) for _ in range(3)]:
            a, b = layer(a, b)
        return a.sin(), b.cos()

    return call


def over_two(x):
    calls = [Recent() for _ in range(4)]
    before, x = x, x.exp()
    for call in calls:
        before, x = x, call(x, before)
    return x


def forked(x):
    layers = [Fork() for _ in range(4)]
    x = layers[0](x)
    for layer in layers[1:]:
        x = layer(x)
    return x[0].sin(), x[1].cos()


def peeked(x):
    """Something inside the last call is used outside."""
    layers = [Layer("relu", True) for _ in range(3)]
    found: list[tg.Tensor] = []
    with layers[-1].linear.register_forward_hook(lambda m, i, out: found.append(out)):
        for layer in layers:
            x = layer(x)
    return x * found[0]


@pytest.mark.parametrize("call", [twin(False), twin(True), over_two, forked, peeked])
def test_another_way_in_or_out_ends_a_row(call):
    inputs = [randn(4), randn(4)][: 2 if call.__name__ == "call" else 1]
    graph = viz.trace(call, *inputs)
    check_reach(graph.model, graph.repeat().model)
    rows = {
        "peeked": ["Layer ×2, calls 1 to 2 of 3"],
        "forked": ["Fork ×2, calls 2 to 3 of 4"],
    }.get(call.__name__, [])
    assert [label for label in labels(graph.repeat()) if "×" in label] == rows


def test_two_tensors_that_end_together_are_a_row():
    for crossed in (False, True):

        def ends(a, b, crossed=crossed):
            for layer in [Pair(crossed) for _ in range(3)]:
                a, b = layer(a, b)
            return a + b

        graph = viz.trace(ends, randn(3), randn(3))
        folded = graph.repeat()
        check_reach(graph.model, folded.model)
        assert [c.repeats for c in folded.model.clusters] == [3]


def test_a_gradient_that_only_later_calls_bring_keeps_the_row_open():
    """A sum saves nothing: only the values that the later layers keep lead into the backward of
    the first."""
    net = nn.Sequential(*(Layer("relu", True) for _ in range(3)))
    for loss, count in ((lambda x: net(x).sum(), 2), (lambda x: net(x).exp().sum(), 3)):
        graph = viz.trace(loss, randn(2, 4).requires_grad_(), backward=True)
        folded = graph.repeat()
        check_reach(graph.model, folded.model)
        assert [c.repeats for c in folded.model.clusters if c.repeats > 1] == [count]


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
        (
            lambda g: g.repeat(least=1),
            tg.ArgumentError,
            "least must be an integer, 2 or more, not 1",
        ),
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
