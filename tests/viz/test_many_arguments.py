"""Operators with many arguments or outputs beside a block that is drawn as one node."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tinygrad_cv as tg
from tests.viz.handmade import Maker
from tests.viz.invariants import check_reach, sums
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.listed import joined


def unrolled(steps: int):
    cell = nn.Linear(8, 8)

    def rnn(x):
        out = []
        for _ in range(steps):
            x = cell(x).tanh()
            out.append(x)
        return tg.stack(out).sum()

    return rnn


def test_a_block_hands_many_tensors_to_one_operator_by_one_edge():
    graph = viz.trace(unrolled(300), tg.zeros(1, 8)).fold_parameters()
    small = graph.limit(40)
    (stack,) = [n for n in small.model.nodes if n.name == "stack"]
    (block,) = [n for n in small.model.nodes if n.name == "..."]
    (edge,) = [e for e in small.model.edges if (e.source, e.target) == (block.id, stack.id)]
    arguments = [e for e in small.model.edges if e.target == stack.id]
    first = edge.slot
    assert edge.argument == f"tensors[{first}] to [{first + edge.count - 1}]"
    assert sum(e.count for e in arguments) == 300
    assert [e.slot for e in arguments] == sorted(e.slot for e in arguments)
    assert f"tensors[{first}] to [{first + edge.count - 1}] #{block.id}" in small.to_text()
    check_reach(graph.model, small.model)
    assert sums(small.model) == sums(graph.model)


def test_a_few_arguments_keep_their_edges():
    for count in (3, 4):
        m = Maker()
        call = m.cluster("block", "Block")
        parts = [m.op("exp", (1,), m.node("input", f"x{k}", (1,)), cluster=call) for k in range(4)]
        m.op("cat", (4,), *((f"tensors[{k}]", part) for k, part in enumerate(parts[:count])))
        model = viz.Graph(m.model()).depth(0).model
        (cat,) = [n for n in model.nodes if n.name == "cat"]
        arguments = [e.argument for e in model.edges if e.target == cat.id]
        assert (
            arguments
            == [["tensors[0]", "tensors[1]", "tensors[2]"], ["tensors[0] to [3]"]][count - 3]
        )


def test_arguments_with_names_of_their_own_are_never_one():
    m = Maker()
    call = m.cluster("block", "Block")
    parts = [m.op("exp", (1,), m.node("input", f"x{k}", (1,)), cluster=call) for k in range(6)]
    m.op("fused", (1,), *((f"part{k}", part) for k, part in enumerate(parts)))
    model = viz.Graph(m.model()).depth(0).model
    (fused,) = [n for n in model.nodes if n.name == "fused"]
    arguments = [(e.slot, e.argument) for e in model.edges if e.target == fused.id]
    assert arguments == [(k, f"part{k}") for k in range(6)]


def test_many_outputs_go_into_a_block_by_one_edge():
    for count, expected in ((3, 3), (40, 1)):
        m = Maker()
        parts = m.op("unbind", (1,), ("input", m.node("input", "x", (count,))))
        call = m.cluster("ends", "Ends")
        for _ in range(count):
            m.op("sin", (1,), ("input", parts), cluster=call)
        for k, edge in enumerate(m.edges[1:], 1):
            m.edges[k] = replace(edge, output=k - 1)
        edges = viz.Graph(m.model()).depth(0).model.edges[1:]
        assert (len(edges), sum(e.count for e in edges)) == (expected, count)


def test_a_gap_is_not_said_to_be_whole():
    graph = viz.trace(lambda x: tg.stack([x if k % 2 else x * k for k in range(60)]), tg.zeros(3))
    small = graph.limit(12)
    (block,) = [n for n in small.model.nodes if n.name == "..."]
    (edge,) = [e for e in small.model.edges if e.source == block.id]
    assert edge.argument.count("…") == 1
    check_reach(graph.model, small.model)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["t[0] to [4]", "t[5] to [9]"], "t[0] to [9]"),
        (["t[5]", "t[0] to [4]"], "t[0] to [5]"),
        (["t[0] … [4]", "t[5]"], "t[0] … [5]"),
        (["t[0]", "t[0]"], "t[0]"),
        (["t[0]", "u[1]"], "t[0]"),
        (["a", "b"], "a"),
        ([""], ""),
    ],
)
def test_names_of_several_arguments(arguments, expected):
    assert joined(arguments) == expected
