"""Large graphs: nothing recurses, and time and memory grow with the number of nodes, not faster."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import autograd
from tinygrad_cv.autograd import graph

MILLION = 1_000_000


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Its passes over all these objects would take most of the time."""
    gc.disable()
    yield
    gc.enable()


def resident() -> int:
    """Bytes of memory that the process holds."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def scalar(value: float) -> tg.Tensor:
    return tg.tensor(value, dtype="float64", requires_grad=True)


def test_one_tensor_used_a_million_times() -> None:
    """Also a chain of a million nodes: walked, asked, differentiated by one input, let go."""
    assert sys.getrecursionlimit() < 20_000
    x = scalar(2.0)
    before = resident()
    total = x * 3.0
    for _ in range(MILLION - 1):
        total = total + x
    assert resident() - before < 600 * MILLION
    assert total.item() == 2 * (MILLION + 2)
    assert "made by add" in autograd.why_no_grad(total)
    nodes = graph.nodes(total)
    assert [len(nodes), nodes[0].name(), nodes[-1].name()] == [MILLION, "mul", "add"]
    node: Any = total.grad_fn
    steps = 0
    while isinstance(node, graph.Node):
        (node, _), steps = node.next_functions[0], steps + 1
    assert (steps, node.tensor()) == (MILLION, x)
    del nodes, node
    total.backward()
    assert x.grad.item() == MILLION + 2
    del total
    assert resident() - before < 200 * MILLION  # the allocator keeps some


def test_a_chain_under_no_grad_says_where_it_lost_its_gradient() -> None:
    x = scalar(1.0)
    with autograd.retain_all(), tg.no_grad():
        y = x
        for _ in range(20_000):
            y = y + 1.0
    assert autograd.why_no_grad(y).count("made under no_grad") == 1
    del y  # a chain of what was kept in mind


def test_second_gradient_of_a_long_chain() -> None:
    """y = x^n: 20,000 nodes forward, three times as many for the first gradient."""
    n, x = 20_000, scalar(1.0)
    y = x
    for _ in range(n - 1):
        y = y * x
    (first,) = autograd.grad(y, x, create_graph=True)
    assert len(graph.nodes(first)) > 3 * n - 10
    (second,) = autograd.grad(first, x)
    assert [first.item(), second.item()] == [n, n * (n - 1)]
    del y, first


def test_backward_with_create_graph_through_a_long_chain() -> None:
    n, x = 80_000, scalar(2.0)
    y = x * x
    for _ in range(n):
        y = y * 1.0
    given = scalar(3.0)  # which all gradients depend on
    y.backward(given, create_graph=True)
    assert x.grad.item() == 12.0
    assert len(graph.nodes(x.grad)) > n
    second = autograd.grad(x.grad, (x, given))
    assert [g.item() for g in second] == [6.0, 4.0]
    x.grad = None  # or it would hold its own graph


@pytest.mark.parametrize("join", [tg.cat, tg.stack])
def test_many_tensors_joined(join: Any) -> None:
    """Seconds; in quadratic time it would be half an hour."""
    n = 60_000
    leaves = [tg.Tensor(np.array([float(k)]), requires_grad=True) for k in range(n)]
    joined = join(leaves)
    (joined * joined).sum().backward()
    assert [leaves[k].grad.item() for k in (0, n // 2, n - 1)] == [0.0, n, 2.0 * (n - 1)]


@pytest.mark.parametrize("join", [tg.cat, tg.stack])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_join_of_tensors_of_which_some_ask(join: Any, create_graph: bool) -> None:
    values = [np.array([float(k), 1.0]) for k in range(70)]
    parts = [tg.Tensor(v, requires_grad=k % 3 == 0) for k, v in enumerate(values)]
    parts[3] = parts[3] * 2.0
    joined = join(parts)
    asked = [p for p in parts if p.requires_grad]
    found = autograd.grad((joined**3).sum(), asked, create_graph=create_graph)
    for part, gradient in zip(asked, found, strict=True):
        np.testing.assert_allclose(gradient.detach().numpy(), 3 * part.detach().numpy() ** 2)
    if create_graph:
        (second,) = autograd.grad(sum(g.sum() for g in found), parts[69])
        np.testing.assert_allclose(second.numpy(), 6 * values[69])


def test_a_cat_of_pieces_of_different_length() -> None:
    pieces = [tg.Tensor(np.full((2, k % 4), 1.0), requires_grad=True) for k in range(40)]
    weights = np.arange(2.0 * sum(p.shape[1] for p in pieces)).reshape(2, -1)
    (tg.cat(pieces, 1) * tg.Tensor(weights)).sum().backward()
    gradients = [p.grad.numpy() for p in pieces if p.shape[1]]
    np.testing.assert_array_equal(np.concatenate(gradients, 1), weights)
