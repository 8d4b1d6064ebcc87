"""Any transforms, one after another, on random graphs and on graphs of real networks: what reaches
what is kept, calls nest, and the numbers add up to the totals."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.invariants import (
    check_clusters,
    check_edges,
    check_reach,
    contractions_checked,
    sums,
)
from tests.viz.random_graphs import random_graphs
from tests.viz.test_transforms import reaches
from tests.viz.test_views import Layer
from tests.viz.zoo import Residual, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.colors import SCHEMES
from tinygrad_cv.viz.model import check
from tinygrad_cv.viz.stubs import stubs


def _overlaid(g, k):
    operators = [n.id for n in g.model.nodes if n.kind == "op"]
    return g.overlay(dict.fromkeys(operators[: 1 + k], 1.0 + k)) if operators else None


def _path(g, k):
    """From a node to one that it leads to."""
    below = {start: sorted(ends) for start, ends in reaches(g.model).items() if ends}
    if not below:
        return None
    start = sorted(below)[k % len(below)]
    return g.path(start, below[start][k % len(below[start])])


def _only(g, k):
    phase = ("forward", "backward")[k % 2]
    parts = {n.phase for n in g.model.nodes if n.kind != "saved"}
    return g.only(phase) if phase in parts else None


def _call(g, k, what):
    model = g._before if what == "expand" else g.model
    paths = sorted({c.path for c in model.clusters})
    return getattr(g, what)(paths[k % len(paths)]) if paths else None


def _thin(g, k):
    some = any(n.id % (2 + k % 3) == 0 for n in g.model.nodes)
    return g.focus(lambda n: n.id % (2 + k % 3) == 0, 0) if some else None


CONTRACTING = {  # a call or the middle becomes one node
    "depth": lambda g, k: g.depth(k % 3),
    "collapse": lambda g, k: _call(g, k, "collapse"),
    "limit": lambda g, k: g.limit(10 + k),
    "simplify": lambda g, k: g.simplify(10 + k),
}
PARTS = {  # some nodes are left out
    "focus": lambda g, k: g.focus(g.model.nodes[k % len(g.model.nodes)].id, k % 4),
    "thin": _thin,
    "path": _path,
    "only": _only,
}
LOOKS = {  # all nodes and edges stay
    "inline": lambda g, k: g.inline_calls(),
    "stubs": lambda g, k: g.stubs(1 + k % 3, 2 + k % 7),
    "overlay": _overlaid,
    "color": lambda g, k: g.color(SCHEMES[k % len(SCHEMES)]),
}
FOLDS = {  # parameters, constants and saved tensors, and rows of calls
    "repeat": lambda g, k: g.repeat(),
    "fold": lambda g, k: g.fold_parameters().fold_constants().fold_saved(),
}
STEPS = CONTRACTING | PARTS | LOOKS | FOLDS | {"expand": lambda g, k: _call(g, k, "expand")}


def check_step(name, before, after) -> None:
    """What this step must keep."""
    check_reach(before, after, contracted=name in CONTRACTING)
    check_clusters(after, before)
    if name in PARTS or name in LOOKS:
        check_edges(before, after)
    if name in LOOKS:
        assert [n.id for n in after.nodes] == [n.id for n in before.nodes]


@settings(max_examples=200, deadline=None)
@given(random_graphs(), st.sampled_from(sorted(STEPS)), st.integers(0, 20))
def test_one_step_keeps_what_reaches_what(model, name, k):
    model = stubs(model, 1 + k % 2)  # some lines start at copies
    with contractions_checked():
        after = STEPS[name](viz.Graph(model), k)
    if after is not None:
        check_step(name, model, after.model)
        if name not in PARTS:
            assert sums(after.model) == sums(model)


@settings(max_examples=100, deadline=None)
@given(random_graphs(), st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 20))))
def test_steps_of_any_graph_keep_what_reaches_what(model, steps):
    check_steps(viz.Graph(model), steps[:4])


def check_steps(graph, steps) -> None:
    """Each of these steps after the other."""
    totals, whole = graph.model.totals, graph.model
    part, done = False, set()
    for name, k in steps:
        with contractions_checked():
            try:
                after = STEPS[name](graph, k)
            except tg.ArgumentError:
                assert name == "expand"  # the steps before may ask for what is not there then
                assert part or "overlay" in done  # which names nodes of the view
                return
        if after is None:
            continue
        if name == "expand":  # the other steps again, from the whole graph on
            check_clusters(after.model, whole)
            check(after.model)
        else:
            check_step(name, graph.model, after.model)
        part = part or name in PARTS
        done.add(name)
        if not part:
            assert sums(after.model) == sums(graph.model)
        assert after.model.totals == totals
        graph = after


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
    assert {name: graph.model.totals.get(name, 0) for name in whole} == whole
    check_steps(graph, [("repeat", 0), *steps[:4]])


def test_a_double_backward_graph_takes_them_too():
    net, x = Residual(), randn(2, 3, 6, 6).requires_grad_()
    (slope,) = tg.autograd.grad(net(x).square().sum(), x, create_graph=True)
    graph = viz.trace(slope.square().sum(), backward=True, names={"x": x})
    for name, step in STEPS.items():
        with contractions_checked():
            after = step(graph, 12)
        check_clusters(after.model, graph.model)
        check(after.model)
        if name in FOLDS or name in LOOKS:
            check_step(name, graph.model, after.model)
            assert sums(after.model) == sums(graph.model)
    assert graph.path("x", "output").model.nodes[0].name == "x"
