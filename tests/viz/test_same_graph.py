"""What is captured is the engine's own graph, node by node and edge by edge: of the loss, and of a
loss that is made of its gradients."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.viz.networks import NETWORKS
from tinygrad_cv.autograd import HookHandle, grad
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz import trace
from tinygrad_cv.viz.model import GraphModel, check

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


def signatures(nodes: list[Node]) -> dict[int, int]:
    """For each node a number that says how it was computed, all the way up to the leaves."""
    table: dict[tuple, int] = {}
    numbers: dict[int, int] = {}
    left = list(nodes)
    while left:
        later = []
        for node in left:
            if any(isinstance(e, Node) and id(e) not in numbers for e in node.edges):
                later.append(node)
                continue
            key = (
                node.op.name,
                node.shape,
                tuple(_source_key(node, k, numbers) for k in slots(node)),
            )
            numbers[id(node)] = table.setdefault(key, len(table))
        left = later
    return numbers


def slots(node: Node) -> list[int]:
    return [k for k, edge in enumerate(node.edges) if edge is not None]


def _source_key(node: Node, k: int, numbers: dict[int, int]):
    edge, index = node.inputs[k]
    return (k, "leaf", edge.shape) if isinstance(edge, Leaf) else (k, numbers[id(edge)], index)


def model_signatures(model: GraphModel) -> dict[int, tuple]:
    """The same for a captured graph, from its nodes and edges alone."""
    table: dict[tuple, int] = {}
    numbers: dict[int, int] = {}
    incoming: dict[int, list] = {node.id: [] for node in model.nodes}
    by_id = {node.id: node for node in model.nodes}
    for edge in model.edges:
        if edge.kind == "data":
            incoming[edge.target].append(edge)
    for node in model.nodes:  # topological
        if node.kind != "op" or node.phase != "forward":
            continue
        sources = []
        for edge in sorted(incoming[node.id], key=lambda e: e.slot):
            source = by_id[edge.source]
            if source.kind == "op":
                sources.append((edge.slot, numbers[source.id], edge.output))
            elif source.facts.get("graded"):
                sources.append((edge.slot, "leaf", source.outputs[0].shape))
        key = (node.name, node.outputs[0].shape, tuple(sources))
        numbers[node.id] = table.setdefault(key, len(table))
    return numbers


@pytest.mark.parametrize(("name", "order"), GRAPHS)
def test_the_forward_graph_is_the_engines(name, order):
    loss, inputs, _alive = made(name, order)
    model = trace(loss, names=inputs).model
    check(model)
    nodes = engine_nodes(loss)
    operators = [n for n in model.nodes if n.kind == "op"]
    assert Counter(n.name for n in operators) == Counter(n.op.name for n in nodes)
    assert Counter(n.outputs[0].shape for n in operators) == Counter(n.shape for n in nodes)
    # Edge by edge: (operator, argument, from which operator or leaf, which output).
    tensors = {n.id: n for n in model.nodes}
    drawn = Counter(
        (tensors[e.target].name, e.slot, tensors[e.source].name, e.output)
        for e in model.edges
        if tensors[e.source].kind == tensors[e.target].kind == "op"
    )
    real = Counter(
        (n.op.name, k, n.edges[k].op.name, n.inputs[k][1])
        for n in nodes
        for k in slots(n)
        if isinstance(n.edges[k], Node)
    )
    assert drawn == real
    leaves = {id(n.edges[k]) for n in nodes for k in slots(n) if isinstance(n.edges[k], Leaf)}
    graded = [n for n in model.nodes if n.kind in ("param", "input") and _is_leaf(n, nodes, model)]
    assert len(graded) == len(leaves)
    # And how each is computed, down to the leaves.
    for node in graded:
        node.facts["graded"] = True
    mine, theirs = model_signatures(model), signatures(nodes)
    assert Counter(Counter(mine.values()).values()) == Counter(Counter(theirs.values()).values())


def _is_leaf(node, nodes, model) -> bool:
    """True if the engine has a leaf where this tensor goes in."""
    by_id = {n.id: n for n in model.nodes}
    uses = {(by_id[e.target].name, e.slot) for e in model.edges if e.source == node.id}
    return any(
        (n.op.name, k) in uses
        and isinstance(n.edges[k], Leaf)
        and n.edges[k].shape == node.outputs[0].shape
        for n in nodes
        for k in slots(n)
    )


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
