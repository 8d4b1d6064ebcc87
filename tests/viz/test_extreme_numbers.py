"""Numbers at the ends of float64, and of any real type, in statistics, overlays and JSON."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.handmade import small_net
from tests.viz.viewing import told
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.overlay import shades
from tinygrad_cv.viz.values import moments, pooled

LARGEST = float(np.finfo("float64").max)


def operators(graph):
    return [n for n in graph.model.nodes if n.kind == "op"]


@pytest.mark.parametrize("scale", [1e200, 1e300, LARGEST / 8, 1e-200, 5e-320])
def test_statistics_scale_with_their_values(scale):
    values = np.array([1.0, -2.0, 7.0, 0.0])
    found = moments([scale * values])
    assert found["mean"] == pytest.approx(1.5 * scale, rel=1e-3 if scale < 1e-300 else 1e-14)
    assert found["std"] == pytest.approx(
        np.std(values) * scale, rel=1e-3 if scale < 1e-300 else 1e-14
    )
    apart = pooled([moments([scale * values[:1]]), moments([scale * values[1:]])])
    assert apart == pytest.approx(found, rel=1e-3 if scale < 1e-300 else 1e-14)
    assert moments([np.full(3, LARGEST), np.full(3, -LARGEST)])["std"] == pytest.approx(LARGEST)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_norms_of_large_and_small_weights(scale, tmp_path):
    layer = nn.Linear(2, 1, bias=False).double()
    with tg.no_grad():
        layer.weight.copy_(tg.tensor([[3.0 * scale, 4.0 * scale]], dtype="float64"))
    graph = viz.draw(layer, tg.ones(1, 2, dtype="float64"), statistics=True)
    (fact,) = [n.facts["overlay"] for n in operators(graph.overlay("weight_norm"))]
    assert fact["value"] == pytest.approx(5.0 * scale, rel=1e-14)


def test_large_values_are_drawn(tmp_path):
    pytest.importorskip("pygraphviz")
    x = tg.tensor([1e200, 2.0], dtype="float64")
    graph = viz.trace(lambda x: x * 2, x, statistics=True)
    for shown in (graph, graph.overlay("std")):
        assert viz.Graph.from_json(shown.to_json()).model == shown.model
        for ending in ("svg", "html", "json"):
            shown.render(tmp_path / f"a.{ending}")
    assert "mean 1e+200, std 1e+200" in graph.overlay("std").to_text()


def test_a_norm_beyond_float64_is_inf_everywhere():
    layer = nn.Linear(2, 2, bias=True).double()
    with tg.no_grad():
        layer.weight.copy_(tg.full((2, 2), LARGEST, dtype="float64"))
        layer.bias.copy_(tg.tensor([float("nan"), 1.0], dtype="float64"))
    graph = viz.draw(layer, tg.zeros(1, 2, dtype="float64"), statistics=True).overlay("weight_norm")
    assert "norm of weight: inf; norm of bias: NaN" in graph.to_text()
    assert viz.Graph.from_json(graph.to_json()).model == graph.model
    several = nn.Sequential(*(nn.Linear(2, 2, bias=False).double() for _ in range(2)))
    with tg.no_grad():
        for part in several:
            part.weight.copy_(tg.full((2, 2), LARGEST / 2, dtype="float64"))
    x = tg.zeros(1, 2, dtype="float64")
    graph = viz.draw(several, x, statistics=True).overlay("weight_norm").depth(0)
    (fact,) = [n.facts["overlay"] for n in operators(graph)]
    assert fact["value"] == math.inf
    again = viz.Graph.from_json(graph.to_json())
    assert again.model == graph.model
    assert again.to_dot() == graph.to_dot()
    assert '"value": "inf"' in graph.to_json()
    assert "norm of weight inf" in graph.to_text()
    assert "inf everywhere" in told(graph.overlay("weight_norm"))


def test_numbers_whose_sum_or_difference_is_beyond_float64():
    graph = viz.Graph(small_net(backward=False))
    first, second, third = (n.id for n in operators(graph))
    shown = graph.overlay({first: 1e308, second: 1e308, third: 0})
    assert [n.facts["overlay"]["share"] for n in operators(shown)] == [0.5, 0.5, 0.0]
    assert "colour: value, inf in all" in told(shown)
    assert "value 1e+308 (50 %)" in shown.to_text()
    found = shades(graph.overlay({first: -1e308, second: 1e308, third: 0}).model)
    assert [found[key] for key in (first, second, third)] == ["heat-0", "heat-4", "heat-2"]
    together = shown.depth(0)
    assert viz.Graph.from_json(together.to_json()).model == together.model


@pytest.mark.parametrize(
    "value",
    [
        np.float32(3),
        np.float16(3),
        np.float64(3),
        np.int64(3),
        np.uint8(3),
        Fraction(3),
        Decimal(3),
    ],
)
def test_any_real_number(value):
    graph = viz.Graph(small_net(backward=False))
    first = operators(graph)[0].id
    shown = graph.overlay({np.int64(first): value})
    assert "value 3 (100 %)" in shown.to_text()
    assert viz.Graph.from_json(shown.to_json()).model == shown.model


def test_a_long_integer_and_a_unit():
    graph = viz.Graph(small_net(backward=False))
    first = operators(graph)[0].id
    for unit in ("B", "FLOPs", "s", ""):
        shown = graph.overlay({first: 10**300}, unit)
        assert viz.Graph.from_json(shown.to_json()).model == shown.model
        assert "1e+" in shown.to_text()
    for unit in (None, 3, b"s"):
        with pytest.raises(tg.DTypeError, match="unit must be a text, not"):
            graph.overlay({first: 1.0}, unit)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (10**400, "1000"),
        pytest.param(10**5000, "<int object>", id="5000"),
        (Fraction(10**400), "Fraction"),
        (Decimal("1e400"), "Decimal"),
        (1j, "1j"),
        (np.True_, "True"),
        ("x", "'x'"),
        (np.float64("inf"), "inf"),
        (tg.ones(1), "array 1 float32"),
    ],
)
def test_what_no_finite_number_of_float64_is(value, said):
    graph = viz.Graph(small_net(backward=False))
    with pytest.raises(tg.DTypeError, match="is no finite number of float64: ") as caught:
        graph.overlay({operators(graph)[0].id: value})
    assert said in str(caught.value)
