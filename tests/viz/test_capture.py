"""What is captured is the engine's own graph, node by node and edge by edge."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

import tinygrad_cv as tg
import tinygrad_cv.nn.functional as F
from tests.viz.zoo import ZOO, LeNet, Shared, randn
from tinygrad_cv import nn
from tinygrad_cv.core.node import HookHandle, Leaf, Node
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from tinygrad_cv.viz import draw, trace
from tinygrad_cv.viz.model import GraphModel, check

pytestmark = pytest.mark.filterwarnings("error")


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


@pytest.mark.parametrize("name", ZOO)
def test_the_forward_graph_is_the_engines(name):
    function, inputs = ZOO[name]()
    loss = function(**inputs)
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


@pytest.mark.parametrize("name", ZOO)
def test_watching_the_call_gives_the_same_graph(name):
    function, inputs = ZOO[name]()
    recorded = trace(function(**inputs), names=inputs).model
    watched = trace(function, **inputs).model
    check(watched)

    def facts(model):
        # A call sees more: what needs no gradient is recorded nowhere else.
        below = _reaching_gradients(model)
        return Counter(
            (n.name, n.outputs[0].shape, n.cluster is None) for n in model.nodes if n.id in below
        )

    assert facts(recorded) == facts(watched)
    assert recorded.totals["parameters"] == watched.totals["parameters"]


def _reaching_gradients(model) -> set[int]:
    """Operators between a tensor with a gradient and the output."""
    graded = {
        n.id for n in model.nodes if n.kind == "param" or (n.kind == "input" and n.name == "x")
    }
    graded |= {n.id for n in model.nodes if n.kind == "input" and n.name in ("a", "c")}
    ends = {n.id for n in model.nodes if n.kind == "output"}
    for edge in model.edges:
        if edge.source in graded and edge.tensor.dtype.startswith("float"):
            graded.add(edge.target)
    useful = set(ends)
    for edge in reversed(model.edges):
        if edge.target in useful:
            useful.add(edge.source)
    return {n.id for n in model.nodes if n.kind == "op" and n.id in graded & useful}


@pytest.mark.parametrize("name", ZOO)
def test_the_backward_graph_is_what_the_engine_runs(name):
    function, inputs = ZOO[name]()
    loss = function(**inputs)
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
    assert trace((x * x).sum(), backward=True).model.totals["saved_bytes"] == 400
    y = x.exp()
    totals = trace((y * y).sum(), backward=True).model.totals
    assert totals["saved_bytes"] == 400  # exp keeps its output, mul keeps the same array twice
    net = nn.Linear(10, 10, bias=False)
    model = trace(net, randn(5, 10).requires_grad_(), backward=True).model
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


def test_an_error_that_is_no_operators_comes_through():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        trace(broken, randn(3))


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


def test_an_operator_of_the_user_is_drawn_like_any_other():
    from tinygrad_cv.core.op import Op, unregister

    class Cube(Op):
        name, equation = "users_cube", "y = x^3"
        gradients = {"input": "3 * g * x^2"}

        @staticmethod
        def infer(input):
            return input

        @staticmethod
        def forward(xp, input):
            return input**3

        @staticmethod
        def vjp_input(g, input):
            return g * 3.0 * input * input

    try:
        model = trace(Cube.call(randn(3).requires_grad_()).sum(), backward=True).model
    finally:
        unregister("users_cube")
    cube, back = [n for n in model.nodes if n.name == "users_cube"]
    assert cube.facts["equation"] == "y = x^3"
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
