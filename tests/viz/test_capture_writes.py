"""In-place writes and slices: a write stands where it was written, a slice says what it takes."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn
from tinygrad_cv.viz import diff, trace


def written_element(x):
    y = x * 2
    y[0] = 5.0
    return y.sum()


def normalised(x):
    y = x / 255
    y -= 0.5
    y /= 0.25
    return y


def zeroed(x):
    y = x * 2
    y.zero_()
    return y + 1


def unrecorded(x):
    y = x.relu()
    with tg.no_grad():
        y += x
    return y.exp()


def column(x):
    y = x * 2
    y[:, 0] = x[:, 1]
    return y


def twice(x):
    y = x.sin()
    before = y.exp()
    y *= 2
    return before + y


@pytest.mark.parametrize("asks", [False, True], ids=["plain", "requires_grad"])
@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (written_element, (3,), "sum(setitem_fill(mul(x, 2)))"),
        (normalised, (3,), "div(sub(div(x, 255), 0.5), 0.25)"),
        (zeroed, (3,), "add(expand(cast(0)), 1)"),
        (unrecorded, (3,), "exp(add(relu(x), x))"),
        (column, (2, 2), "setitem(mul(x, 2), slice(x))"),
        (twice, (3,), "add(exp(sin(x)), mul(sin(x), 2))"),
    ],
)
def test_what_is_written_in_place_is_where_it_was_written(function, shape, expected, asks):
    x = randn(*shape)
    model = trace(function, x.requires_grad_() if asks else x).model
    sources = {n.id: [] for n in model.nodes}
    for edge in sorted(model.edges, key=lambda e: e.slot):
        sources[edge.target].append(edge.source)
    text = {}
    for node in model.nodes:
        inside = ", ".join(text[s] for s in sources[node.id])
        text[node.id] = f"{node.name}({inside})" if inside else node.value or node.name
    (output,) = (n for n in model.nodes if n.kind == "output")
    assert text[sources[output.id][0]] == expected
    with tg.no_grad():  # the watched call did what it does alone
        assert np.array_equal(function(x).array, function(x).array)


def test_a_write_of_data_outside_the_graph():
    weight, image = randn(3).requires_grad_(), randn(3)

    def step(image):
        with tg.no_grad():
            weight.copy_(weight * 0.5)
        return (weight * image).sum()

    model = trace(step, image, names={"weight": weight}).model
    names = {n.id: n.name for n in model.nodes}
    product = [n.id for n in model.nodes if n.name == "mul"][1]
    assert [names[e.source] for e in model.edges if e.target == product] == ["mul", "image"]


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (np.s_[0:2], "[0:2, :]"),
        (np.s_[:, 1], "[:, 1]"),
        (np.s_[None, ..., ::2], "[None, :, ::2]"),
        (np.s_[-1], "[2, :]"),
    ],
)
def test_a_slice_says_what_it_takes(index, text):
    graph = trace(lambda x: x[index], randn(3, 4))
    assert f"slice {text} <-" in graph.to_text()
    same = diff(graph, trace(lambda x: x[index], randn(3, 4)))
    other = diff(graph, trace(lambda x: x[2:3], randn(3, 4)))
    assert (len(same.changes), len(other.changes) > 0) == (0, True)


def test_slices_of_other_places_are_no_repeat():
    class Take(nn.Module):
        def __init__(self, k: int) -> None:
            super().__init__()
            self.k = k

        def forward(self, x):
            return tg.cat([x[:, self.k : self.k + 2], x[:, :2]], 1).exp()

    same = trace(nn.Sequential(Take(1), Take(1)), randn(1, 4)).repeat()
    other = trace(nn.Sequential(Take(0), Take(1)), randn(1, 4)).repeat()
    assert [c.label for c in same.model.clusters] == ["Sequential", "0 : Take ×2"]
    assert [c.label for c in other.model.clusters] == ["Sequential", "0 : Take", "1 : Take"]


def test_an_index_array_says_how_many_of_which_axis():
    assert "index places=2×1 of axis 0 <-" in trace(lambda x: x[[[0], [1]]], randn(3, 4)).to_text()
