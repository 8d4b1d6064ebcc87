from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.viz.handmade import Maker, chain, small_net, subtraction
from tests.viz.random_graphs import random_graphs
from tinygrad_cv.errors import ArgumentError, DataError
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.model import GraphModel, GraphNode, check


def kinds(model, phase="forward"):
    return sorted(node.kind for node in model.nodes if node.phase == phase)


def named(model, name, phase="forward"):
    (node,) = [n for n in model.nodes if n.name == name and n.phase == phase and n.kind != "saved"]
    return node


@pytest.mark.parametrize("model", [subtraction(), small_net(), chain(5), GraphModel()])
def test_json_gives_the_same_graph_back(model):
    assert GraphModel.from_json(model.to_json()) == model
    assert model.to_json() == GraphModel.from_json(model.to_json()).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "'format'"),
        ('{"format": "tinygrad_cv graph", "version": 99}', "version"),
        ('{"format": "tinygrad_cv graph", "version": 1, "title": ""}', "missing"),
    ],
)
def test_json_of_something_else_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        GraphModel.from_json(text)


def test_json_with_a_dangling_edge_is_refused():
    text = subtraction().to_json().replace('"source": 0', '"source": 77', 1)
    with pytest.raises(DataError, match="one end does not exist"):
        GraphModel.from_json(text)


def test_parameters_fold_into_their_operator_with_their_gradients():
    model = transforms.fold_parameters(small_net())
    conv = named(model, "conv")
    assert [(h.kind, h.role, h.tensor.shape) for h in conv.held] == [
        ("param", "weight", (2, 1, 3, 3)),
        ("param", "bias", (2,)),
    ]
    back = named(model, "conv", "backward")
    assert [(h.kind, h.role) for h in back.held] == [("gradient", "weight"), ("gradient", "bias")]
    assert kinds(model) == ["input", "op", "op", "op", "output", "saved", "saved", "saved"]
    assert not [n for n in model.nodes if n.name.endswith(".grad")]


def test_a_parameter_that_is_an_output_itself_stays():
    m = Maker()
    w = m.node("param", "w", (2,))
    m.edge(w, m.node("output", "output", (2,)))
    assert transforms.fold_parameters(m.model()) == m.model()


def test_a_shared_parameter_is_written_in_every_operator_that_uses_it():
    m = Maker()
    x, w = m.node("input", "x", (2, 2)), m.node("param", "w", (2, 2))
    first = m.op("matmul", (2, 2), x, w)
    m.op("matmul", (2, 2), first, w)
    model = transforms.fold_parameters(m.model())
    assert [[h.key for h in n.held] for n in model.nodes if n.kind == "op"] == [[w], [w]]


def test_constants_fold_with_their_values():
    m = Maker()
    x = m.node("input", "x", (2,))
    two = m.node("const", "", (), value="2")
    m.op("mul", (2,), ("input", x), ("other", two))
    (held,) = named(transforms.fold_constants(m.model()), "mul").held
    assert (held.kind, held.role, held.value) == ("const", "other", "2")


def test_saved_tensors_of_one_operator_become_one_box_with_true_bytes():
    model = transforms.fold_saved(small_net())
    boxes = [n for n in model.nodes if n.kind == "saved"]
    assert [[h.role for h in box.held] for box in boxes] == [["input", "weight"], ["output"]]
    assert [box.facts["saved_bytes"] for box in boxes] == [256, 128]
    saved = [(e.source, e.target) for e in model.edges if e.kind == "saved"]
    assert len(saved) == len(set(saved)) == 4


def test_one_tensor_that_is_saved_twice_counts_once():
    m = Maker()
    x = m.node("input", "x", (4,))
    square = m.op("mul", (4,), ("input", x), ("other", x))
    for name in ("other", "input"):
        facts = {"saved_bytes": 16, "storage": 0}
        m.edge(square, m.node("saved", name, (4,), pair=square, facts=facts), "saved")
    (box,) = [n for n in transforms.fold_saved(m.model()).nodes if n.kind == "saved"]
    assert box.facts["saved_bytes"] == 16


def test_depth_collapses_both_directions_and_keeps_what_is_around():
    model = transforms.depth(small_net(), 1)
    block, back = named(model, "Sequential"), named(model, "Sequential", "backward")
    assert (block.count, block.title) == (2, "body : Sequential")
    assert block.facts["parameters"] == 20
    assert block.facts["operators"] == {"conv": 1, "relu": 1}
    assert back.pair == block.id
    assert [c.path for c in model.clusters] == [""]
    (saved,) = [n for n in model.nodes if n.kind == "saved"]
    assert saved.facts["saved_bytes"] == 384
    check(model)


def test_depth_zero_is_one_node_per_outermost_call():
    model = transforms.depth(small_net(backward=False), 0)
    assert [n.name for n in model.nodes] == ["x", "Net", "sum", "output"]
    assert model.clusters == ()


def test_a_call_of_one_operator_stays_that_operator():
    model = transforms.depth(small_net(), 2)
    conv = named(model, "conv")
    assert conv.title == "body.0 : Conv2d"
    assert [h.role for h in conv.held] == ["weight", "bias"]
    assert conv.attributes[0] == ("stride", "(2, 2)")


def test_collapse_by_glob_and_by_function():
    model = small_net()
    assert transforms.collapse(model, "body") == transforms.depth(model, 1)
    assert transforms.collapse(model, lambda c: c.kind == "Sequential") == transforms.depth(
        model, 1
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: transforms.collapse(m, "layer*"), "no module call matches 'layer\\*'"),
        (lambda m: transforms.depth(m, -1), "0 or more, not -1"),
        (lambda m: transforms.only(m, "sideways"), "not 'sideways'"),
        (lambda m: transforms.limit(m, 3), "max_nodes must be an integer, 10 or more, not 3"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(small_net())


def test_collapse_of_nothing_lists_the_paths_there_are():
    with pytest.raises(ArgumentError, match=r"body, body\.0, body\.1"):
        transforms.collapse(small_net(), "layer*")


def test_only_one_phase():
    model = small_net()
    forward, backward = transforms.only(model, "forward"), transforms.only(model, "backward")
    assert {n.phase for n in forward.nodes} == {"forward"}
    assert {n.phase for n in backward.nodes} == {"backward"}
    assert not [n for n in forward.nodes if n.kind == "saved"]
    check(forward)
    check(backward)
    with pytest.raises(ArgumentError, match="no backward part"):
        transforms.only(small_net(backward=False), "backward")


def test_inline_calls_leaves_no_box_around_a_single_operator():
    model = transforms.inline_calls(small_net())
    assert [c.path for c in model.clusters] == ["", "body", "body.0"]  # it holds parameters
    assert named(model, "relu").title == "body.1 : ReLU"


def test_simplify_of_the_small_net():
    model = transforms.simplify(small_net())
    assert named(model, "conv").title == "body.0 : Conv2d"
    assert named(model, "relu").title == "body.1 : ReLU"
    assert [c.path for c in model.clusters] == ["", "body"]


def test_limit_prefers_module_calls_and_says_so():
    model = transforms.limit(small_net(), 14)
    assert len(model.nodes) <= 14
    assert "module calls at depth" in model.notes[0]
    assert transforms.limit(small_net(), 300) == small_net()


@pytest.mark.parametrize("most", [10, 50, 300])
def test_limit_of_a_chain_keeps_both_ends(most):
    model = transforms.limit(chain(2000), most)
    assert len(model.nodes) <= most
    assert model.nodes[0].name == "x"
    assert model.nodes[-1].name == "output"
    assert f"{max(n.count for n in model.nodes):,} operators in the middle" in model.notes[0]
    assert sum(n.count for n in model.nodes if n.kind == "op") == 2000
    assert model.totals == {"operators": 2000}


def test_transforms_do_not_change_their_argument():
    model = small_net()
    before = model.to_json()
    transforms.simplify(transforms.depth(model, 1), 10)
    assert model.to_json() == before


# ---- what reaches what


def reaches(model: GraphModel) -> dict[int, set[int]]:
    """For each node the nodes below it."""
    below: dict[int, set[int]] = defaultdict(set)
    targets = defaultdict(list)
    for edge in model.edges:
        targets[edge.source].append(edge.target)
    for start in [node.id for node in model.nodes]:
        stack = [start]
        while stack:
            for target in targets[stack.pop()]:
                if target not in below[start]:
                    below[start].add(target)
                    stack.append(target)
    return below


@settings(max_examples=150, deadline=None)
@given(random_graphs(), st.integers(0, 2), st.integers(10, 20))
def test_what_reaches_what_is_kept(model, k, most):
    before = reaches(model)
    for smaller in (
        transforms.depth(model, k),
        transforms.limit(model, most),
        transforms.simplify(model, most, repeats=False),
        transforms.fold_parameters(model),
    ):
        check(smaller)
        after = reaches(smaller)
        kept: dict[int, GraphNode] = {node.id: node for node in smaller.nodes}
        blocks = {n.id for n in smaller.nodes if n.count > 1}
        for node in model.nodes:
            for target in before[node.id]:
                plain = node.id in kept and target in kept and not {node.id, target} & blocks
                if plain:
                    assert target in after[node.id]
        for source, targets in after.items():
            assert source not in targets, "a collapsed graph has no cycle"
            for target in targets:
                # Only a path through a block may be new: two parts of a block are one node.
                if not blocks and replace(kept[source], held=()).kind != "param":
                    assert target in before[source]
        order = {node.id: place for place, node in enumerate(smaller.nodes)}
        assert all(order[e.source] < order[e.target] for e in smaller.edges)


def test_arguments_keep_their_order():
    m = Maker()
    x = m.node("input", "x", (1,))
    call = m.cluster("block", "Block")
    first = m.op("relu", (1,), x, cluster=call)
    second = m.op("exp", (1,), first, cluster=call)
    m.op("sub", (1,), ("input", second), ("other", first))
    model = transforms.depth(m.model(), 0)
    edges = [(e.slot, e.argument) for e in model.edges if e.target == named(model, "sub").id]
    assert edges == [(0, "input"), (1, "other")]
