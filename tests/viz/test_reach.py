"""Any transforms, one after another, on random graphs and on graphs of real networks: what reaches
what is kept, calls nest, and the numbers add up to the totals."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.invariants import check_clusters, check_reach, sums
from tests.viz.test_transforms import random_graphs
from tests.viz.test_views import Layer
from tests.viz.zoo import Residual, randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.model import check

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
