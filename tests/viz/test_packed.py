"""Saved tensors that are not there as they were saved: packed by hooks, recomputed, on the host."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.invariants import sums
from tinygrad_cv import nn
from tinygrad_cv.autograd import checkpoint
from tinygrad_cv.autograd.graph import save_on_cpu, saved_tensors_hooks
from tinygrad_cv.viz import draw, trace


def unasked(_):
    raise AssertionError("a picture unpacks nothing")


def product(pack, unpack=unasked):
    a, b = (tg.ones(*shape, requires_grad=True) + 1.0 for shape in ((3,), (2, 3)))  # no leaves
    with saved_tensors_hooks(pack, unpack):
        y = a * b
    return y.sum()


def saved(graph):
    return [
        (n.name, n.outputs[0].shape, n.outputs[0].dtype, n.value, n.facts["saved_bytes"])
        for n in graph.model.nodes
        if n.kind == "saved"
    ]


def test_what_a_hook_packed_is_drawn_as_packed():
    graph = trace(product(lambda _: 7), backward=True)
    assert saved(graph) == [
        ("other", (2, 3), "float32", "packed", 0),
        ("input", (3,), "float32", "packed", 0),
    ]
    totals = graph.model.totals
    assert (totals["saved_tensors"], totals["saved_bytes"]) == (2, 0)
    assert sums(graph.model)["saved_bytes"] == 0
    edges = {(e.kind, e.argument) for e in graph.model.edges if e.kind == "saved"}
    assert edges == {("saved", "other"), ("saved", "input")}
    text = draw(product(lambda _: 7), backward=True).to_text()
    assert "other 2×3 float32 (packed)" in text
    assert "input 3 float32 (packed)" in text
    plain = trace(product(lambda t: t, lambda t: t), backward=True)
    assert len(plain.model.nodes) == len(graph.model.nodes)


@pytest.mark.parametrize(
    ("pack", "size"),
    [
        (lambda t: t.numpy().astype("int8"), 3 + 6),
        (lambda t: (t.shape, [t.to("int64")]), 8 * (3 + 6)),
        (lambda t: {"half": t.numpy().astype("float16")}, 2 * (3 + 6)),
        (lambda t: t, 4 * (3 + 6)),
        (lambda t: t.tolist(), 0),
    ],
)
def test_bytes_are_those_of_the_arrays_that_are_kept(pack, size):
    model = trace(product(pack), backward=True).model
    assert model.totals["saved_bytes"] == sums(model)["saved_bytes"] == size
    folded = draw(product(pack), backward=True).model
    assert sums(folded)["saved_bytes"] == size


def test_a_packed_leaf_counts_as_a_leaf():
    with saved_tensors_hooks(lambda t: t, unasked):
        y = tg.ones(3, requires_grad=True) * tg.ones(2, 3, requires_grad=True)
    graph = trace(y.sum(), backward=True)  # the leaves themselves are gone
    assert [box[3:] for box in saved(graph)] == [("input", 0), ("input", 0)]
    assert graph.model.totals["saved_bytes"] == sums(graph.model)["saved_bytes"] == 0


def test_what_two_packs_share_counts_once():
    one = np.zeros(10, "float64")
    model = trace(product(lambda _: one[:5]), backward=True).model
    assert model.totals["saved_bytes"] == sums(model)["saved_bytes"] == 80
    x = tg.ones(100, requires_grad=True) + 1.0
    with save_on_cpu():
        y = x * x
    model = trace(y.sum(), backward=True).model
    assert model.totals["saved_bytes"] == 400  # the same memory as without
    assert trace((x * x).sum(), backward=True).model.totals["saved_bytes"] == 400


def test_a_packed_parameter_that_is_kept_as_it_is_costs_nothing():
    net = nn.Linear(10, 10, bias=False)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = net(tg.ones(5, 10, requires_grad=True) + 1.0)
    model = trace(y.sum(), backward=True).model
    assert model.totals["saved_bytes"] == 200
    (weight,) = [n for n in model.nodes if n.kind == "saved" and n.name == "weight"]
    assert (weight.value, weight.facts["saved_bytes"]) == ("parameter", 0)


def test_what_a_checkpoint_computes_again_is_drawn_as_recomputed():
    calls = []

    def segment(x):
        calls.append(x)
        return (x.sin() * x).exp()

    x = tg.ones(5, requires_grad=True)
    graph = trace(checkpoint(segment, x).sum(), backward=True, names={"x": x})
    assert len(calls) == 1
    *boxes, kept = sorted(saved(graph), key=lambda box: box[3] == "input")
    assert boxes == [
        ("input", (5,), "float32", "recomputed", 0),
        ("other", (5,), "float32", "recomputed", 0),
        ("input", (5,), "float32", "recomputed", 0),
        ("output", (5,), "float32", "recomputed", 0),
    ]
    # What the second run is called with is kept meanwhile; a leaf is there anyway.
    assert kept == ("argument of the checkpoint", (5,), "float32", "input", 0)
    totals = graph.model.totals
    assert totals["saved_bytes"] == sums(graph.model)["saved_bytes"] == 0
    within = trace(checkpoint(segment, x + 1.0).sum(), backward=True)
    assert ("argument of the checkpoint", (5,), "float32", "", 20) in saved(within)
    assert within.model.totals["saved_bytes"] == sums(within.model)["saved_bytes"] == 20
    text = draw(checkpoint(segment, x).sum(), backward=True).to_text()
    assert "output 5 float32 (recomputed)" in text
    tg.autograd.backward(checkpoint(segment, x).sum())


def test_checkpoints_keep_each_input_once():
    net = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3)))

    def run(x):
        for block in net:
            x = checkpoint(block, x)
        return x.sum()

    x = tg.ones(2, 4, requires_grad=True)
    model = trace(run, x, backward=True).model
    assert model.totals["saved_bytes"] == sums(model)["saved_bytes"] == 2 * 32, "x is a leaf"
    weights = [n for n in model.nodes if n.kind == "saved" and n.name == "weight"]
    assert [n.value for n in weights] == ["parameter"] * 3
    inner = checkpoint(lambda x: checkpoint(lambda x: x.sin().cos(), x).exp(), x)
    graph = trace(inner.sum(), backward=True)
    assert sorted(box[3] for box in saved(graph)) == ["input", *["recomputed"] * 3]
    assert all(box[1:3] == ((2, 4), "float32") for box in saved(graph))
    assert graph.model.totals["saved_bytes"] == 0


def test_what_a_part_of_a_backward_left_is_held():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    x = tg.ones(2, 4, requires_grad=True)
    y = checkpoint(lambda x: second(first(x).tanh()), x)
    # Only the last operator's rules run; what the others need has been computed too.
    tg.autograd.grad(y.sum(), second.weight, retain_graph=True)
    graph = trace(y.sum(), backward=True)
    names = {n.id: n.name for n in graph.model.nodes}
    held = {(names[n.pair], n.name): n.facts["saved_bytes"]
            for n in graph.model.nodes if n.kind == "saved"}  # fmt: skip
    assert held == {
        ("linear", "weight"): 0,
        ("linear", "input"): 0,
        ("linear", "argument of the checkpoint"): 0,
        ("tanh", "output"): 32,
    }
    assert graph.model.totals["saved_bytes"] == 32


def test_a_block_says_how_much_of_it_is_computed_again():
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    whole = nn.Sequential(nn.Tanh())
    whole.forward = lambda x: checkpoint(net, x.sin())
    x = tg.ones(2, 4, requires_grad=True)
    graph = trace(whole, x, backward=True).depth(0)
    (block,) = [n for n in graph.model.nodes if n.kind == "saved"]
    # Two weights, the argument and what sin keeps, a leaf, are there.
    assert (block.facts["saved_tensors"], block.facts["recomputed"]) == (4, 3)
    assert block.facts["saved_bytes"] == graph.model.totals["saved_bytes"] == 32
    assert "   4 tensors; 3 recomputed\n" in graph.to_text()


def test_inputs_of_packed_operators_keep_their_shapes():
    x = tg.ones(2, 4)
    net = nn.Linear(4, 3)
    with saved_tensors_hooks(lambda t: t.tolist(), unasked):
        y = net(x)
    model = trace(y.sum()).model
    (data,) = [n for n in model.nodes if n.kind == "input"]
    assert data.outputs[0].shape == (2, 4)
    (again,) = [n for n in trace(checkpoint(net, x).sum()).model.nodes if n.kind == "input"]
    assert again.outputs[0].shape == (2, 4)
