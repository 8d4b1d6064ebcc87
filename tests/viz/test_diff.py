from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.handmade import chain, small_net
from tests.viz.zoo import ZOO
from tinygrad_cv import nn, viz
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz import Graph, align
from tinygrad_cv.viz.labels import legend_lines, node_lines
from tinygrad_cv.viz.marks import mark_of
from tinygrad_cv.viz.model import GraphModel


def lenet(kernel=5, norm=False, act=nn.ReLU):
    layers = [nn.Conv2d(1, 6, kernel, padding=kernel // 2), act(), nn.MaxPool2d(2), nn.Flatten()]
    if norm:
        layers.insert(1, nn.BatchNorm2d(6))
    return nn.Sequential(*layers, nn.Linear(6 * 14 * 14, 10))


IMAGE = tg.zeros(2, 1, 28, 28)


def marks(diff):
    return {n.name: mark_of(n) for n in diff.model.nodes if n.kind == "op"}


def test_a_changed_parameter_is_the_only_difference():
    diff = viz.diff(lenet(5), lenet(3), IMAGE)
    assert diff.counts == {"changed": 1, "same": 6}
    (change,) = diff.changes
    assert (change.mark, change.before.name, change.after.name) == ("changed", "conv", "conv")
    assert change.what == ("padding ((2, 2), (2, 2)) → ((1, 1), (1, 1))",
                           "weight 6×1×5×5 → 6×1×3×3")  # fmt: skip
    assert diff.edges == ()


def test_an_inserted_layer_is_added_although_all_paths_move():
    diff = viz.diff(lenet(), lenet(norm=True), IMAGE)
    assert diff.counts == {"added": 1, "moved": 4, "same": 3}
    assert marks(diff)["batch_norm"] == "added"
    assert marks(diff)["linear"] == "moved"
    moved = {c.after.name: c.what for c in diff.changes if c.mark == "moved"}
    assert moved["linear"] == ("moved from 4",)
    names = {n.id: n.name for n in diff.model.nodes}
    ends = {(mark, names[e.source], names[e.target]) for mark, e in diff.edges}
    assert ends == {
        ("removed", "conv", "relu"),
        ("added", "conv", "batch_norm"),
        ("added", "batch_norm", "relu"),
    }


def test_a_replaced_operator_is_one_removed_and_one_added():
    diff = viz.diff(lenet(), lenet(act=nn.Tanh), IMAGE)
    assert diff.counts == {"added": 1, "removed": 1, "same": 6}
    assert marks(diff) == {"conv": "same", "relu": "removed", "tanh": "added"} | dict.fromkeys(
        ("max_pool", "reshape", "linear"), "same"
    )


def test_of_equal_blocks_the_removed_one_is_found_by_its_path():
    def net(skipped=None):
        net = nn.Sequential()
        for i in range(5):
            if i != skipped:
                net.add_module(f"block{i}", nn.Linear(3, 3))
        return net

    diff = viz.diff(net(), net(2), tg.zeros(1, 3))
    assert diff.counts == {"removed": 1, "same": 6}
    assert "− block2 : linear" in diff.to_text()


def test_swapped_arguments_are_two_connections():
    a, b = tg.zeros(3), tg.zeros(3)
    diff = viz.diff(lambda a, b: a - b, lambda a, b: b - a, a, b)
    assert not diff.changes
    assert Counter(mark for mark, _ in diff.edges) == {"added": 2, "removed": 2}
    assert diff
    text = diff.to_text()
    assert "+ connection: b to sub as input" in text
    assert "− connection: a to sub as input" in text


def test_the_backward_follows_its_forward():
    diff = viz.diff(lenet(), lenet(norm=True), IMAGE, backward=True)
    kinds = {(n.name, n.phase, n.kind): mark_of(n) for n in diff.model.nodes}
    assert kinds["batch_norm", "backward", "op"] == "added"
    assert kinds["conv", "backward", "op"] == "same"
    by_id = {n.id: n for n in diff.model.nodes}
    for node in diff.model.nodes:
        if node.kind == "saved":
            assert (mark_of(node) == "added") == (mark_of(by_id[node.pair]) == "added")


def test_equal_graphs_have_an_empty_diff():
    diff = viz.diff(lenet(), lenet(), IMAGE)
    assert not diff
    assert (diff.changes, diff.edges, diff.counts) == ((), (), {"same": 7})
    assert diff.to_text() == "Sequential: no difference, 7 nodes\n"
    assert any(line.text == "no difference" for line in legend_lines(diff.model))


def test_the_picture_says_it_in_signs_borders_and_counts(tmp_path):
    diff = viz.diff(lenet(), lenet(3, norm=True, act=nn.Tanh), IMAGE, title="two")
    lines = [line.text for line in legend_lines(diff.model)]
    assert "2 added, 1 removed, 1 changed, 3 moved, 2 the same" in lines
    assert "+ added − removed ~ changed » moved to another path" in lines
    assert any(line.startswith("before: 5 operators, 11,926 parameters, ") for line in lines)
    first = {n.name: node_lines(n)[0].text for n in diff.model.nodes}
    assert first["batch_norm"] == "+ batch_norm"
    assert first["relu"] == "− relu"
    assert first["conv"].startswith("~ conv k3")
    text = diff.to_dot()
    assert 'class="op removed"' in text
    removed = next(line for line in text.splitlines() if 'class="op removed"' in line)
    assert "dashed" in removed
    added = next(line for line in text.splitlines() if 'class="op added"' in line)
    assert "penwidth=2" in added
    pytest.importorskip("pygraphviz")
    svg = diff.render(tmp_path / "a.svg").read_text(encoding="utf-8")
    marked = re.findall(r'<g id="[^"]*" class="(node|edge)[^"]*"[^>]* data-mark="(\w+)"', svg)
    assert Counter(marked)["edge", "removed"] == sum(m == "removed" for m, _ in diff.edges) > 0
    assert Counter(marked)["node", "removed"] == 1
    assert ".node.added" in svg
    assert ".edge.removed" in svg


def test_equal_module_calls_are_one_node_each_unless_wanted():
    def net(last):
        body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
        return nn.Sequential(body, nn.Linear(4, last))

    folded = viz.diff(net(2), net(3), tg.zeros(1, 4))
    assert [n.count for n in folded.model.nodes if n.title == "0 : Sequential"] == [4]
    whole = viz.diff(net(2), net(3), tg.zeros(1, 4), fold=False)
    assert sum(n.kind == "op" for n in whole.model.nodes) == 5
    assert [c.what for c in whole.changes] == [c.what for c in folded.changes] != []
    assert whole.counts == folded.counts


def test_a_block_of_several_says_how_many_differ():
    def net(kernel):
        return nn.Sequential(*[nn.Conv2d(1, 1, kernel, padding="same") for _ in range(3)])

    diff = viz.diff(net(3), net(5), tg.zeros(1, 1, 8, 8)).depth(0)
    (block,) = [n for n in diff.model.nodes if n.kind == "op"]
    assert mark_of(block) == "changed"
    assert "0 added, 0 removed, 3 changed" in [line.text for line in node_lines(block)]


def test_a_block_in_which_some_differ_is_changed():
    def net(*kernels):
        return nn.Sequential(*[nn.Conv2d(1, 1, k, padding="same") for k in kernels])

    diff = viz.diff(net(3, 3, 3), net(3, 3, 5), tg.zeros(1, 1, 8, 8)).depth(0)
    (block,) = [n for n in diff.model.nodes if n.kind == "op"]
    assert mark_of(block) == "changed"
    assert "0 added, 0 removed, 1 changed, 2 the same" in [line.text for line in node_lines(block)]
    outer = diff.model.nodes[0]
    assert mark_of(outer) == "same"


def test_a_large_diff_keeps_to_its_budget():
    diff = viz.diff(Graph(chain(3000)), Graph(chain(3500)), max_nodes=40)
    assert len(diff.model.nodes) <= 40
    assert diff.counts == {"added": 500, "same": 3002}


def test_the_way_without_a_table_gives_the_same_for_numbered_places(monkeypatch):
    a, b = viz.trace(lenet(), IMAGE).model, viz.trace(lenet(act=nn.Tanh), IMAGE).model
    wanted = align.align(a, b)
    monkeypatch.setattr(align, "MOST_CELLS", 0)
    assert align.align(a, b) == wanted


def test_another_random_draw_is_no_difference():
    net = nn.Dropout(0.5)
    assert not viz.diff(viz.draw(net, IMAGE), viz.draw(net, IMAGE))
    diff = viz.diff(net, nn.Dropout(0.25), IMAGE)
    assert diff.changes[0].what == ("p 0.5 → 0.25",)


def test_tensors_and_graphs():
    x = tg.ones(3, requires_grad=True)
    assert viz.diff(x.exp(), x.exp().sum()).counts == {"added": 1, "changed": 1, "same": 2}
    a, b = viz.draw(x.exp()), viz.draw(x.sin())
    assert viz.diff(a, b).counts == {"added": 1, "removed": 1, "same": 2}
    assert viz.diff(a, x.exp()).counts == {"same": 3}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, 4), DTypeError, "a module or a function is needed, not 3"),
        ((viz.trace(lambda x: x.exp(), IMAGE),) * 2 + (IMAGE,), ArgumentError, "neither is one"),
    ],
)
def test_what_cannot_be_compared(arguments, kind, message):
    with pytest.raises(kind, match=message):
        viz.diff(*arguments)


def test_apply_refuses_another_graph():
    a, b = viz.trace(lambda x: x.exp(), IMAGE), viz.trace(lambda x: x.sin(), IMAGE)
    diff = viz.diff(a, b)
    with pytest.raises(ArgumentError, match="not the graph that these differences start from"):
        diff.apply(b)
    with pytest.raises(DTypeError, match="a Graph is needed, not int"):
        diff.apply(3)


# Properties ---------------------------------------------------------------------------------------

LAYERS = {
    "linear": lambda: nn.Linear(4, 4),
    "no bias": lambda: nn.Linear(4, 4, bias=False),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "leaky 1": lambda: nn.LeakyReLU(0.1),
    "leaky 2": lambda: nn.LeakyReLU(0.2),
    "block": lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()),
    "other block": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh()),
}


@st.composite
def graphs(draw):
    names = draw(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=7))
    net = nn.Sequential(*(LAYERS[name]() for name in names))
    x, around = tg.zeros(2, 4), draw(st.booleans())
    has_parameters = any("linear" in n or "block" in n or "bias" in n for n in names)
    backward = draw(st.booleans()) and has_parameters
    return viz.trace(lambda x: net(x) + x if around else net(x), x, backward=backward)


def structure(model: GraphModel, without: str) -> tuple[Counter, Counter]:
    """Nodes and edges without numbers, but not those with the mark ``without``."""
    name = {n.id: (n.kind, n.phase, n.name.rpartition(".")[2]) for n in model.nodes}
    nodes = Counter(name[n.id] for n in model.nodes if mark_of(n) != without)
    edges = Counter(
        (name[e.source], name[e.target], e.kind, e.slot, e.argument)
        for e in model.edges
        if e.mark != without
    )
    return nodes, edges


@settings(max_examples=40, deadline=None)
@given(graphs(), graphs())
def test_of_any_two_graphs(a, b):
    diff = viz.diff(a, b, fold=False, max_nodes=10_000)
    back = viz.diff(b, a, fold=False, max_nodes=10_000)
    assert diff.apply(a).model == b.model
    assert back.apply(b).model == a.model
    # The other way round all is the same, with added and removed exchanged.
    mirror = diff.mirrored()
    assert sorted(map(repr, mirror.changes)) == sorted(map(repr, back.changes))
    assert Counter(mirror.counts) == Counter(back.counts)
    swapped = {"added": "removed", "removed": "added"}
    assert {swapped.get(k, k): v for k, v in diff.counts.items()} == back.counts
    # Without what was added it is the first graph, without what was removed the second.
    union = viz.comparison.Diff(a, b).model
    assert structure(union, "added") == structure(a.model, "added")
    assert structure(union, "removed") == structure(b.model, "removed")
    order = {n.id: i for i, n in enumerate(union.nodes)}
    assert all(order[e.source] < order[e.target] for e in union.edges)


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_of_a_graph_with_itself(a):
    diff = viz.diff(a, Graph.from_json(a.to_json()))
    assert not diff
    assert {mark_of(n) for n in diff.model.nodes} == {"same"}
    assert diff.apply(a).model == a.model


@pytest.mark.parametrize("name", ZOO)
def test_real_graphs_against_each_other(name):
    function, inputs = ZOO[name]()
    a = viz.trace(function, **inputs, backward=True)
    assert not viz.diff(a, a)
    other, more = ZOO["residual"]()
    b = viz.trace(other, **more, backward=True)
    assert viz.diff(a, b).apply(a).model == b.model
    assert bool(viz.diff(a, b)) == (name != "residual")


def test_apply_takes_what_is_equal_from_the_graph_it_is_given():
    a, b = Graph(small_net()), Graph(small_net(backward=False))
    diff = viz.diff(a, b)
    titled = Graph(replace(a.model, title="another title"))
    assert diff.apply(titled).model == b.model


@pytest.mark.parametrize("text", ["\x1b[31mred", "\ud800", "x" * 100_000, "two\nlines", "\u202ex"])
def test_hostile_names_in_the_text(text, tmp_path):
    def net(*layers):
        model = nn.Sequential()
        for number, layer in enumerate(layers):
            model.add_module(f"{text}{number}", layer)
        return model

    a, b = net(nn.ReLU(), nn.Tanh()), net(nn.ReLU(), nn.Sigmoid(), nn.Tanh())
    diff = viz.diff(a, b, tg.zeros(2, 3), title=text)
    written = diff.render(tmp_path / "a.txt").read_text(encoding="utf-8")
    assert written == diff.to_text()
    assert set(written) - set("\n") <= {c for c in written if c.isprintable()}
    assert max(map(len, written.splitlines())) < 500
    assert len(written.splitlines()) == 4  # counts, two nodes, one connection
