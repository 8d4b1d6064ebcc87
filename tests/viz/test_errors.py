"""What goes wrong with pictures, and the words in which it is said. Engines: test_render.py."""

from __future__ import annotations

import os
import re

import pytest

import tinygrad_cv as tg
from tests.viz.handmade import small_net
from tinygrad_cv import nn, viz
from tinygrad_cv.errors import ArgumentError, DataError, DTypeError, GraphError
from tinygrad_cv.viz import Graph


def lines(error):
    return str(error.value).splitlines()


@pytest.mark.parametrize("thing", [3, None, "model", [1, 2], [], {}])
def test_not_a_graph(thing):
    for take in (viz.trace, viz.draw):
        with pytest.raises(DTypeError, match="a module or a function is needed, not"):
            take(thing)
    with pytest.raises(DTypeError, match="a GraphModel is needed, not") as caught:
        Graph(thing)
    assert "viz.trace and viz.draw make a Graph" in lines(caught)[1]


def test_a_tensor_without_a_graph():
    with pytest.raises(GraphError, match="this tensor has no graph") as caught:
        viz.draw(tg.ones(3))
    assert "requires_grad_()" in str(caught.value)
    with tg.no_grad():
        y = tg.ones(3, requires_grad=True).exp()
    with pytest.raises(GraphError, match="made under no_grad"):
        y.graph()


def test_a_freed_graph():
    x = tg.ones(3, requires_grad=True)
    loss = x.exp().sum()
    loss.backward()
    with pytest.raises(GraphError, match="the saved values of this graph are freed") as caught:
        viz.draw(loss, backward=True)
    text = str(caught.value)
    assert "Draw before backward, or call backward(retain_graph=True)." in text
    assert re.search(r"the node is (exp|sum), which ran at .*test_errors\.py:\d+", text)
    # The forward part is there all the same.
    assert [n.name for n in viz.draw(loss).model.nodes if n.kind == "op"] == ["exp", "sum"]


def test_an_unknown_overlay():
    graph = viz.draw(lambda x: x.exp(), tg.zeros(3))
    with pytest.raises(ArgumentError, match="there is no overlay 'tmie'") as caught:
        graph.overlay("tmie")
    for name in ("'time'", "'flops'", "'saved_bytes'"):
        assert name in lines(caught)[1]


def test_a_glob_that_matches_nothing():
    graph = viz.trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), tg.zeros(1, 2))
    with pytest.raises(ArgumentError, match=r"no module call matches 'layer\*'") as caught:
        graph.collapse("layer*")
    assert lines(caught)[1].strip() == "Paths in this graph: 0, 1."
    with pytest.raises(ArgumentError, match="This graph has no module calls"):
        viz.trace(lambda x: x.exp(), tg.zeros(1)).collapse("layer*")


@pytest.mark.parametrize("path", [3, None, b"a.svg", ["a.svg"]])
def test_a_path_that_is_none(path):
    with pytest.raises(DTypeError, match="the path must be a text or a Path, not"):
        Graph(small_net()).render(path)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), "5", None, True])
def test_a_time_limit_that_is_none(limit, tmp_path):
    with pytest.raises(ArgumentError, match="a number of seconds above 0, not"):
        Graph(small_net()).render(tmp_path / "a.svg", time_limit=limit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="a superuser may write anywhere"
)
def test_a_folder_that_must_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match=r"cannot write .*a\.dot: Permission denied"):
        Graph(small_net()).render(tmp_path / "a.dot")


def test_a_folder_that_cannot_be_written_for_anybody():
    with pytest.raises(DataError, match=r"cannot write /dev/null/a\.json: "):
        Graph(small_net()).render("/dev/null/a.json")


# A forward that fails -----------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.head = nn.Linear(10, 2)

    def forward(self, image):
        return self.head(self.body(image).flatten(1))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_failing_forward_gives_what_ran_and_the_operator_in_red(device, tmp_path):
    graph = viz.draw(Net().to(device), tg.zeros(2, 1, 8, 8, device=device))
    operators = [node for node in graph.model.nodes if node.kind == "op"]
    assert [node.name for node in operators] == ["conv", "relu", "reshape", "linear"]
    assert [bool(node.error) for node in operators] == [False, False, False, True]
    assert operators[-1].error.startswith("linear: the input has 144 in its last axis")
    assert graph.error.startswith("ShapeError: linear: the input has 144")
    assert "in model.head (Linear)" in graph.error
    dot = graph.to_dot()
    (red,) = [line for line in dot.splitlines() if 'class="error"' in line or "class=error" in line]
    assert "failed: linear: the input has 144" in red.replace("\\n", " ")
    assert "#ffe3e0" in red
    assert "failed: ShapeError: linear" in graph.to_text()
    pytest.importorskip("pygraphviz")
    svg = graph.render(tmp_path / "a.svg").read_text(encoding="utf-8")
    assert 'class="node error"' in svg
    assert 'data-error="linear: the input has 144' in svg


def test_a_data_free_run_has_all_shapes_and_no_data():
    net = Net().to("meta")
    net.head = nn.Linear(4 * 998 * 998, 2, device="meta")
    graph = viz.draw(net, tg.zeros(64, 1, 1000, 1000, device="meta"), backward=True)
    shapes = {n.name: n.outputs[0].shape for n in graph.model.nodes if n.phase == "forward"
              and n.kind == "op"}  # fmt: skip
    assert shapes["conv"] == (64, 4, 998, 998)
    assert shapes["linear"] == (64, 2)
    assert {n.name for n in graph.model.nodes if n.phase == "backward" and n.kind == "op"} == {
        "conv", "relu", "reshape", "linear"
    }  # fmt: skip
    assert graph.model.totals["saved_bytes"] >= 64 * 4 * 998 * 998 * 4


def test_a_data_free_call_that_needs_data_says_where_it_ends():
    graph = viz.trace(lambda x: x.exp().nonzero(), tg.zeros(3, device="meta"))
    assert graph.error.startswith("GraphError: nonzero: ")
    assert [n.name for n in graph.model.nodes if n.kind == "op"] == ["exp", "nonzero"]


def test_a_run_without_data_says_so():
    note = "meta run: shapes only, no data"
    net = nn.Linear(3, 2)
    y = tg.zeros(2, 3, device="meta")
    assert viz.trace(net, tg.ones(2, 3)).model.notes == ()
    assert viz.trace(lambda: tg.ones(3).sin()).model.notes == ()
    assert note in viz.draw(net.to("meta"), y).to_text().splitlines()
    assert note in net(y).sum().graph(backward=True).model.notes
    assert viz.trace(lambda: tg.zeros(2, device="meta").sin()).model.notes == (note,)
    assert viz.trace(lambda x: x[9], y).model.notes == (note,)  # no operator has run
    assert viz.trace(lambda y: y.exp().item(), y).model.notes == (note,)
    assert viz.trace(lambda: tg.zeros(2, device="meta")).model.notes == (note,)
