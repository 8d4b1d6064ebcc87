"""What is captured is the engine's own graph, node by node and edge by edge: of the loss, and of a
loss that is made of its gradients."""

from __future__ import annotations

import functools
from collections import Counter

import pytest

import tinygrad_cv as tg

pytest.importorskip("pygraphviz")

from tests.viz.isomorphism import Walk, check_backward, check_picture
from tests.viz.networks import NETWORKS
from tinygrad_cv.autograd import HookHandle, grad
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz import trace
from tinygrad_cv.viz.model import check

LINEAR = ("several_outputs", "list_of_tensors", "writing")  # no second derivative


def made(name, order):
    """A loss of this model, or, at order 2, the squares of all its gradients; the inputs; and
    what keeps the parameters alive."""
    function, inputs = NETWORKS[name]()
    loss = function(**inputs)
    if order == 1:
        return loss, inputs, function
    leaves = [
        node.edges[k].tensor()
        for node in engine_nodes(loss)
        for k in slots(node)
        if isinstance(node.edges[k], Leaf)
    ]
    leaves = list({id(leaf): leaf for leaf in leaves}.values())
    gradients = grad(loss, leaves, create_graph=True)
    return (
        sum(g.square().sum() for g in gradients if g.node is not None),
        inputs,
        (function, leaves),
    )


TWICE = [name for name in NETWORKS if name not in LINEAR]
GRAPHS = [*((name, 1) for name in NETWORKS), *((name, 2) for name in TWICE)]


def test_there_are_enough_models():
    assert len(NETWORKS) >= 30
    assert len(TWICE) >= 30


@pytest.mark.parametrize("name", LINEAR)
def test_constant_gradients_have_no_graph(name):
    penalty, *_ = made(name, 2)
    assert not isinstance(penalty, Tensor)


def engine_nodes(loss) -> list[Node]:
    """The recorded nodes, found by an independent walk."""
    found, stack = {}, [loss.node]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and id(node) not in found:
            found[id(node)] = node
            stack += [edge for edge in node.edges if edge is not None]
    return list(found.values())


def slots(node: Node) -> list[int]:
    return [k for k, edge in enumerate(node.edges) if edge is not None]


def walked(model, loss, inputs) -> Walk:
    """The engine's graph of ``loss`` beside the picture."""
    walk = Walk(model, inputs)
    (output,) = [n for n in model.nodes if n.kind == "output" and n.phase == "forward"]
    assert output.name == "output"
    walk.from_output(output.id, loss.node, loss.index)
    assert sum(isinstance(one, Node) for one in walk.drawn) == len(engine_nodes(loss))
    return walk


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize(("name", "order"), GRAPHS)
def test_the_picture_is_the_engines_graph(name, order, backward):
    loss, inputs, _alive = made(name, order)
    graph = trace(loss, backward=backward, names=inputs)
    check(graph.model)
    walk = walked(graph.model, loss, inputs)
    # Nothing else is drawn but tensors that need no gradient.
    left = {n.id: n for n in graph.model.nodes if n.phase == "forward" and n.kind != "saved"}
    left = {key: node for key, node in left.items() if key not in walk.drawn.values()}
    assert {node.kind for key, node in left.items() if key not in walk.others} == {"output"}
    assert {left[key].kind for key in walk.others if key in left} <= {"input", "const"}
    assert sum(edge.kind == "data" for edge in graph.model.edges) == sum(walk.data.values()) + sum(
        edge.source in walk.others for edge in graph.model.edges
    )
    if backward:
        output = next(n.id for n in graph.model.nodes if n.kind == "output")
        check_backward(walk, [("output", output, loss.node, loss.index)])
    check_picture(walk, graph.to_dot())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_call_that_is_watched_shows_the_engines_graph(name):
    function, inputs = NETWORKS[name]()
    made: list[Tensor] = []

    @functools.wraps(function)
    def kept(**given):
        made.append(function(**given))
        return made[-1]

    model = trace(kept, backward=True, **inputs).model
    check(model)
    walk = walked(model, made[0], inputs)
    output = next(n.id for n in model.nodes if n.kind == "output")
    check_backward(walk, [("output", output, made[0].node, made[0].index)])


def test_each_output_is_where_it_comes_from():
    x, y = (tg.ones(3, requires_grad=True) for _ in range(2))
    values, _ = (x * y).max(dim=0, keepdim=True)
    ends = [y.exp(), values, x * y]
    graph = trace(ends, backward=True, names={"x": x, "y": y})
    outputs = [n for n in graph.model.nodes if n.kind == "output" and n.phase == "forward"]
    assert [n.name for n in outputs] == ["output[0]", "output[1]", "output[2]"]
    walk = Walk(graph.model, {"x": x, "y": y})
    for output, end in zip(outputs, ends, strict=True):
        walk.from_output(output.id, end.node, end.index)
    check_backward(
        walk, [(o.name, o.id, e.node, e.index) for o, e in zip(outputs, ends, strict=True)]
    )
    check_picture(walk, graph.to_dot())


@pytest.mark.parametrize("name", NETWORKS)
def test_watching_the_call_gives_the_same_graph(name):
    function, inputs = NETWORKS[name]()
    recorded = trace(function(**inputs), names=inputs).model
    watched = trace(function, **inputs).model
    check(watched)

    def facts(model):
        # A call sees more: what needs no gradient is recorded nowhere else.
        below = _reaching_gradients(model, {k for k, t in inputs.items() if t.requires_grad})
        return Counter(
            (n.name, n.outputs[0].shape, n.cluster is None) for n in model.nodes if n.id in below
        )

    assert facts(recorded) == facts(watched)
    assert recorded.totals["parameters"] == watched.totals["parameters"]


def _reaching_gradients(model, inputs) -> set[int]:
    """Operators between a tensor with a gradient and the output."""
    graded = {
        n.id for n in model.nodes if n.kind == "param" or (n.kind == "input" and n.name in inputs)
    }
    ends = {n.id for n in model.nodes if n.kind == "output"}
    by_id = {n.id: n for n in model.nodes}
    for edge in model.edges:
        result = by_id[edge.target].outputs[0].dtype
        if edge.source in graded and edge.tensor.dtype.startswith("float") and result[0] == "f":
            graded.add(edge.target)
    useful = set(ends)
    for edge in reversed(model.edges):
        if edge.target in useful:
            useful.add(edge.source)
    return {n.id for n in model.nodes if n.kind == "op" and n.id in graded & useful}


@pytest.mark.parametrize(("name", "order"), GRAPHS)
def test_the_backward_graph_is_what_the_engine_runs(name, order):
    loss, inputs, _alive = made(name, order)
    model = trace(loss, backward=True, names=inputs).model
    check(model)
    by_id = {n.id: n for n in model.nodes}
    nodes = engine_nodes(loss)
    backward = [n for n in model.nodes if n.kind == "op" and n.phase == "backward"]
    assert len(backward) == len(nodes)
    assert sorted(n.pair for n in backward) == sorted(
        n.id for n in model.nodes if n.kind == "op" and n.phase == "forward"
    )
    # One gradient edge for each edge of the engine, in the other direction, of the same shape.
    flowing = [e for e in model.edges if e.kind == "gradient" and by_id[e.source].kind == "op"]
    assert Counter((by_id[e.source].name, e.slot, e.tensor.shape) for e in flowing) == Counter(
        (n.op.name, k, _shape(n, k)) for n in nodes for k in slots(n)
    )
    forward = Counter(
        (e.source, e.target, e.slot) for e in model.edges if e.kind == "data" and e.target in by_id
    )
    for edge in flowing:
        source, target = by_id[edge.source], by_id[edge.target]
        assert forward[target.pair, source.pair, edge.slot] == 1
    # Saved tensors: what the node keeps, for each of them one box between forward and backward.
    kept = Counter(
        (by_id[n.pair].name, n.outputs[0].shape) for n in model.nodes if n.kind == "saved"
    )
    assert kept == Counter((n.op.name, array.shape) for n in nodes for array in _saved_arrays(n))
    # Each goes from its operator to the rules of the same operator, and nowhere else.
    rules = {n.pair: n.id for n in backward}
    boxes = [n for n in model.nodes if n.kind == "saved"]
    assert Counter((e.source, e.target) for e in model.edges if e.kind == "saved") == Counter(
        way for n in boxes for way in ((n.pair, n.id), (n.id, rules[n.pair]))
    )
    # The engine really runs these nodes, and in an order that the drawn edges allow.
    ran: list[int] = []
    handles = [HookHandle(n, 0, lambda g, n=n: ran.append(id(n))) for n in nodes]
    loss.backward()
    assert sorted(ran) == sorted(id(n) for n in nodes)
    assert len(handles) == len(ran)
    place = {node: k for k, node in enumerate(ran)}
    for node in nodes:
        assert all(place[id(node)] < place[id(e)] for e in node.edges if isinstance(e, Node))


def _shape(node: Node, k: int):
    edge, index = node.inputs[k]
    return edge.outputs[index][0] if isinstance(edge, Node) else edge.shape


def _saved_arrays(node: Node):
    for (kind, _), value in zip(node.plan.kinds, node.saved, strict=True):
        if kind != "shape":
            values = value if isinstance(value, tuple) else (value,)
            yield from (v for v in values if hasattr(v, "dtype"))
