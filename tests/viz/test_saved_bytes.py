"""Saved bytes: memory that the graph keeps and that belongs to no leaf, each once."""

from __future__ import annotations

import gc

import pytest

import tinygrad_cv as tg
from tests.viz.invariants import sums
from tests.viz.networks import NETWORKS
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import viz
from tinygrad_cv.core.node import Leaf
from tinygrad_cv.viz.labels import node_lines


def overlaid(graph) -> int:
    shown = graph.overlay("saved_bytes").model.nodes
    return sum(n.facts["overlay"]["value"] or 0 for n in shown if n.kind == "op")


def kept_memory(loss) -> int:
    """By an own walk: whole arrays that own what nodes save, without those of leaves."""
    nodes, stack = {}, [loss.node]
    while stack:
        node = stack.pop()
        if hasattr(node, "plan") and id(node) not in nodes:
            nodes[id(node)] = node
            stack += node.edges

    def owner(array):
        while getattr(array.base, "nbytes", None) is not None:
            array = array.base
        return array

    leaves = [e for n in nodes.values() for e in n.edges if isinstance(e, Leaf)]
    free = {id(owner(leaf.tensor().array)) for leaf in leaves}
    found = {}
    for node in nodes.values():
        for value in node.saved:
            for array in value if isinstance(value, tuple) else (value,):
                if hasattr(array, "nbytes"):
                    found[id(owner(array))] = owner(array)
    return sum(array.nbytes for key, array in found.items() if key not in free)


@pytest.mark.parametrize("name", NETWORKS)
def test_legend_boxes_overlay_and_profile_agree(name):
    function, inputs = NETWORKS[name]()
    with tg.profile() as profile:
        loss = function(**inputs)
    wanted = kept_memory(loss)
    traced = viz.trace(loss, backward=True)
    measured = viz.trace(loss, backward=True, profile=profile)
    if name != "double_backward":  # its forward is kept as well, and its gradient's rules ran
        assert sum(event.saved_bytes for event in profile.events) == wanted
    for graph in (traced, measured, traced.simplify(), measured.simplify(), traced.depth(0)):
        assert graph.model.totals["saved_bytes"] == wanted
        assert sums(graph.model)["saved_bytes"] == wanted, "the boxes"
        assert overlaid(graph) == wanted


@pytest.mark.parametrize("kept", [False, True])
def test_it_does_not_depend_on_the_model_being_alive(kept):
    x = randn(2, 1, 12, 12)
    models = []

    def loss():
        net = LeNet()
        models.append(net)
        if not kept:
            models.clear()
        return net(x).square().sum()

    value = loss()
    gc.collect()
    graph = viz.trace(value, backward=True)
    own = LeNet()
    wanted = kept_memory(own(x).square().sum())
    assert graph.model.totals["saved_bytes"] == wanted
    words = {n.value for n in graph.model.nodes if n.kind == "saved" and n.name == "weight"}
    assert words == {"parameter"}


def test_a_leaf_is_alive_anyway():
    x = randn(3).requires_grad_()
    with tg.profile() as profile:
        loss = (x * x).sum()
    graph = viz.draw(loss, backward=True, profile=profile)
    assert graph.model.totals["saved_bytes"] == 0
    assert "12 B saved" not in graph.to_text() + graph.overlay("saved_bytes").to_text()
    (box,) = [n for n in graph.model.nodes if n.kind == "saved"]
    assert box.facts["saved_bytes"] == sum(event.saved_bytes for event in profile.events) == 0
    assert node_lines(box)[0].text == "saved"
    assert all(line.text.endswith(" 3 float32 (input)") for line in node_lines(box)[1:])


def test_views_of_a_leaf_are_the_leafs():
    def loss():
        x = randn(4, 3).requires_grad_()
        return (x[0] * x[1:].sum(0)).sum()

    graph = viz.trace(loss(), backward=True)
    words = {n.name: n.value for n in graph.model.nodes if n.kind == "saved"}
    assert words == {"input": "input", "other": ""}
    assert graph.model.totals["saved_bytes"] == 12, "the sum"


def test_a_view_keeps_the_whole_memory():
    y = randn(2, 6).requires_grad_().exp() + 1.0  # neither keeps its result
    with tg.profile() as profile:
        loss = y[0].sin().sum()
    graph = viz.trace(loss, backward=True)
    (sine,) = [n for n in graph.model.nodes if n.kind == "saved" and n.pair is not None
               and graph.model.nodes[n.pair].name == "sin"]  # fmt: skip
    assert sine.facts["saved_bytes"] == 48
    assert sum(event.saved_bytes for event in profile.events) == 48
    assert graph.model.totals["saved_bytes"] == 96, "exp keeps its result too"


def test_what_is_promoted_is_no_leafs():
    x = randn(3).requires_grad_()
    y = randn(3).to("float64").requires_grad_()
    graph = viz.trace((x * y).sum(), backward=True)
    assert graph.model.totals["saved_bytes"] == 24, "x in float64, which is new memory"


def test_in_a_comparison_a_leaf_has_no_memory_of_its_own():
    x = randn(2, 1, 12, 12)
    first, second = (viz.trace(net, x, backward=True) for net in (LeNet(), LeNet()))
    model = viz.diff(first, second, fold=False).model
    boxes = [n for n in model.nodes if n.kind == "saved"]
    assert {n.facts["storage"] < 0 for n in boxes if n.value} == {True}
    assert {n.facts["storage"] < 0 for n in boxes if not n.value} == {False}
    folded = viz.diff(first, second, fold=False).depth(0).model
    assert sums(folded)["saved_bytes"] == second.model.totals["saved_bytes"]
