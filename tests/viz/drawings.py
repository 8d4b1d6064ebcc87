"""Graphs by hand, or by a few lines, in which everything occurs that a picture can show."""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ET

import tinygrad_cv as tg
from tests.viz.handmade import Maker, small_net
from tinygrad_cv import viz
from tinygrad_cv.autograd import checkpoint
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.render import draw_dot
from tinygrad_cv.viz.svg import finish

SVG = "{http://www.w3.org/2000/svg}"


def drawn(model: GraphModel) -> ET.Element:
    return ET.fromstring(finish(draw_dot(to_dot(model), "svg"), model))


def groups(root: ET.Element, name: str) -> list[ET.Element]:
    return [g for g in root.iter(f"{SVG}g") if name in g.get("class", "").split()]


def called() -> GraphModel:
    """A layer that is called twice, several outputs, constants, a stub and an error."""
    m = Maker()
    net = m.cluster("", "Net", parameters=12)
    calls = [m.cluster("step", "Step", net, call=k, calls=2, parameters=12) for k in (1, 2)]
    inner = m.cluster("", "sum backward", calls[1])
    x, two = m.node("input", "x", (3,)), m.node("const", "two", (), value="2")
    first = m.op(
        "exp", (3,), ("input", x), cluster=calls[0], site="a.py:7", facts={"equation": "y = exp(x)"}
    )
    last = first
    for _ in range(3):
        last = m.op("mul", (3,), ("input", last), ("other", first), cluster=calls[1])
    m.op("add", (3,), ("input", last), ("other", two), cluster=inner)
    m.op("conv", None, ("input", last), error="it does not fit")
    return transforms.stubs(m.model("two calls", totals={"operators": 6, "flops": 12}), uses=2)


def shaded() -> GraphModel:
    """All five shades, and an operator that was not measured."""
    m = Maker()
    last = m.node("input", "x", (3,))
    for name in ("exp", "sin", "cos", "tanh", "relu", "sum"):
        last = m.op(name, (3,), ("input", last))
    return Graph(m.model("shades")).overlay({k: float(k) for k in range(1, 6)}, "V").model


def dead() -> GraphModel:
    """A dead gradient, and operators to which the overlay does not apply."""
    net = tg.nn.Sequential(tg.nn.Linear(3, 3), tg.nn.ReLU(), tg.nn.Linear(3, 2))
    loss = (net(tg.ones(2, 3)) * 0.0).sum()
    loss.backward(retain_graph=True)
    graph = viz.draw(loss, statistics=True, names=dict(net.named_parameters()))
    return graph.overlay("grad_norm").model


def coloured() -> GraphModel:
    """Nine kinds of operators for eight colours."""
    m = Maker()
    last = m.node("input", "x", (3,))
    for name in ("exp", "sin", "cos", "tanh", "relu", "sum", "mul", "add", "sub"):
        last = m.op(name, (3,), ("input", last))
    return Graph(m.model("kinds")).color("operator").model


def compared() -> GraphModel:
    nn = tg.nn
    a = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Tanh(), nn.Linear(3, 3), nn.Sigmoid())
    b = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 5), nn.Dropout(0.5))
    return viz.diff(a, b, tg.zeros(2, 4), fold=False).model


def moved() -> GraphModel:
    nn = tg.nn
    a = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    b = nn.Sequential(nn.Sequential(nn.Linear(4, 3)), nn.Tanh())
    return viz.diff(a, b, tg.zeros(2, 4), fold=False).model


def cooled() -> GraphModel:
    """A comparison by cost, in which operators cost less by all five shades, and one more."""

    def call(*inputs):
        return [x.exp() for x in inputs]

    a = viz.trace(call, *(tg.ones(20) for _ in range(6)))
    b = viz.trace(call, *(tg.ones(20 - less) for less in (1, 3, 5, 7, 9, -2)))
    return viz.diff(a, b, fold=False).overlay("flops").model


def measured() -> GraphModel:
    """A profile, and what is saved, of a network that runs forward and backward."""
    net = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3), tg.nn.ReLU())
    with tg.profile() as profile:
        loss = net(tg.ones(1, 1, 5, 5)).sum()
        loss.backward(retain_graph=True)
    return viz.draw(loss, profile=profile, backward=True).model


def badged() -> GraphModel:
    """Badges of each kind, results that are not finite, both results of one operator, and a layer
    that is called twice."""
    layer = tg.nn.Sequential(tg.nn.Linear(3, 3), tg.nn.Tanh())

    def call(x):
        y = layer(layer(x)) * 0.0
        y += 1.0
        values, indices = Same.apply(y).max(0)
        return checkpoint(layer, y).sum(0) + values + indices, (values - 1.0).log()

    graph = viz.draw(call, tg.ones(2, 3).requires_grad_(), statistics=True)
    return graph.overlay("mean").model


class Same(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g


DRAWINGS = {
    "net": small_net,
    "simple": lambda: transforms.simplify(small_net()),
    "block": lambda: transforms.depth(small_net(), 1),
    "part": lambda: Graph(small_net(backward=False)).focus(lambda n: n.kind != "op", 0).model,
    "called": called,
    "shaded": shaded,
    "dead": dead,
    "coloured": coloured,
    "compared": compared,
    "moved": moved,
    "cooled": cooled,
    "measured": measured,
    "badged": badged,
    "many": lambda: viz.draw(lambda x: [x * i for i in range(30)], tg.ones(3), max_nodes=12).model,
}


@functools.cache
def drawing(name: str) -> tuple[GraphModel, ET.Element]:
    model = DRAWINGS[name]()
    return model, drawn(model)
