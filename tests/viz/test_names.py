"""names=: the user's names come first, and find what a recorded graph does not keep."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.nn import functional as F

LAYER = nn.Linear(4, 3)


def inputs(graph) -> dict[str, tuple[int, ...] | None]:
    nodes = [n for n in graph.model.nodes if n.kind in ("input", "const") and n.phase == "forward"]
    return {node.name: node.outputs[0].shape for node in nodes}


def test_a_name_comes_before_that_of_an_argument_a_parameter_or_a_buffer():
    x = randn(2, 4)
    graph = viz.draw(LAYER, x, names={"image": x, "w": LAYER.weight})
    assert list(inputs(graph)) == ["image"]
    held = [item.tensor.name for node in graph.model.nodes for item in node.held]
    assert held == ["w", "bias"]
    norm = nn.BatchNorm1d(4).eval()
    graph = viz.draw(norm, x, names={"mu": norm.running_mean})
    assert "mean: mu 4 float32 constant" in graph.to_text()


def test_a_name_may_be_the_argument_of_another():
    x, y = randn(3), randn(3)
    graph = viz.trace(lambda x, z: x - z, x, y, names={"x": y, "z": x})
    assert [(n.name, n.outputs[0].shape) for n in graph.model.nodes[:2]] == [
        ("z", (3,)), ("x", (3,))
    ]  # fmt: skip
    ends = {n.id: n.name for n in graph.model.nodes}
    (first,) = [e for e in graph.model.edges if e.argument == "input"]
    assert ends[first.source] == "z"


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("after", [False, True])
def test_the_labels_of_a_recorded_loss(dtype, after):
    """int64: their memory is kept as a residual; int32, and after backward: they alone fit."""
    x, y = randn(2, 4), tg.tensor([1, 2], dtype=dtype)
    loss = F.cross_entropy(LAYER(x), y)
    if after:
        loss.backward()
    graph = viz.draw(loss, names={"label": y, "image": x})
    assert inputs(graph) == {"image": (2, 4), "label": (2,)}
    (label,) = [n for n in graph.model.nodes if n.name == "label"]
    assert (label.kind, label.outputs[0].dtype) == ("input", dtype)
    (edge,) = [e for e in graph.model.edges if e.source == label.id]
    assert (edge.argument, edge.tensor.shape) == ("target", (2,))
    assert "not kept" not in graph.to_text()


def test_what_is_not_certain_stays_unknown():
    x, y, z = randn(2, 4), tg.tensor([1, 2]), tg.tensor([0, 2])
    loss = F.nll_loss(F.log_softmax(LAYER(x), 1), tg.tensor([1, 2], dtype="int32"))
    loss.backward()
    for names in ({"a": y, "b": z}, {"wrong": tg.tensor([1, 2, 0])}, {"float": randn(2)}):
        graph = viz.draw(loss, names=names)
        assert "input target   not kept in the graph" in graph.to_text()
    both = F.cross_entropy(LAYER(x), y) + F.cross_entropy(LAYER(x), z)
    text = viz.draw(both, names={"a": y, "b": z}).to_text()
    assert "input a   2 int64" in text  # both by their memory
    assert "input b   2 int64" in text
    both.backward()
    text = viz.draw(both, names={"a": y}).to_text()
    assert text.count("input target   not kept in the graph") == 2
    # An operand that broadcasts could be a number too.
    shift = tg.ones(2, 3)
    graph = viz.draw((LAYER(x) + shift).sum(), names={"y": shift})
    assert "other: not kept in the graph" in graph.to_text()


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"a": 5}, r"names= has Tensors as its values, names\['a'\] is int"),
        ({"a": None}, r"names\['a'\] is NoneType"),
        (["a"], "names= takes a dict, not list"),
        ("a", "names= takes a dict, not str"),
        (7, "names= takes a dict, not int"),
        ([], "names= takes a dict, not list"),
        (False, "names= takes a dict, not bool"),
        ({3: tg.ones(2)}, "names= has texts as its keys, one is int"),
        ({LAYER.weight: "a"}, "names= has texts as its keys, one is Parameter"),
    ],
)
def test_names_that_are_none(names, problem):
    loss = LAYER(randn(2, 4)).sum()
    calls = [
        lambda: viz.trace(loss, names=names),
        lambda: viz.draw(loss, names=names),
        lambda: viz.draw(LAYER, randn(2, 4), names=names),
        lambda: viz.diff(loss, loss, names=names),
        lambda: loss.graph(names=names),
        lambda: LAYER.graph(randn(2, 4), names=names),
    ]
    for call in calls:
        with pytest.raises(tg.DTypeError, match=problem) as caught:
            call()
        assert 'such as names={"image": x}' in str(caught.value)
