"""Differences seen in another view: a transform changes what is drawn, not what differs."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.invariants import check_clusters, sums
from tests.viz.test_diff import LAYERS, lenet
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.align import places
from tinygrad_cv.viz.marks import mark_of
from tinygrad_cv.viz.model import check


def long(other: int, length: int = 400):
    return lambda x: reduce(lambda x, i: x.cos() if i == other else x.sin(), range(length), x)


CHAIN_TEXT = """\
<lambda>: 1 added, 1 removed, 0 changed, {} the same
− sin   → 3 float32
+ cos   → 3 float32
"""


@pytest.mark.parametrize("length", [299, 400])
def test_a_diff_of_more_nodes_than_are_drawn(tmp_path, length):
    diff = viz.diff(long(-1, length), long(200, length), tg.zeros(3))
    assert len(diff.model.nodes) <= 300
    assert diff.to_text() == CHAIN_TEXT.format(length + 1)
    for ending in ("txt", "json", "dot"):
        assert diff.render(tmp_path / f"a.{ending}").stat().st_size > 0
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == diff.to_text()
    pytest.importorskip("pygraphviz")
    assert "<svg" in diff.render(tmp_path / "a.svg").read_text(encoding="utf-8")


def test_the_text_is_that_of_the_whole_in_any_view():
    one = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    two = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.ReLU())
    diff = viz.diff(one, two, tg.zeros(1, 3))
    text = diff.to_text()
    assert text.splitlines()[1:] == [
        "+ 1 : tanh   → 1×3 float32",
        "» 2 : relu: moved from 1",
        "− connection: 0 : linear to 1 : relu as input",  # the names of where it was
    ]
    for view in (diff.depth(0), diff.collapse(""), diff.focus(0, 1), diff.only("forward")):
        assert type(view) is viz.Diff
        assert view.to_text() == text
        assert (view.changes, view.counts, view.edges) == (diff.changes, diff.counts, diff.edges)
        assert bool(view)
        assert pickle.loads(pickle.dumps(view)).to_text() == text


def test_only_a_text_file_needs_the_text(tmp_path, monkeypatch):
    graph = viz.trace(lambda x: x.exp(), tg.zeros(3))
    calls = []
    monkeypatch.setattr(viz.Graph, "to_text", lambda self: calls.append(1) or "text")
    graph.render(tmp_path / "a.json")
    graph.render(tmp_path / "a.dot")
    assert not calls
    assert graph.render(tmp_path / "a.txt").read_text() == "text"


def test_json_of_a_diff_is_read_as_the_graph_that_is_drawn():
    diff = viz.diff(lenet(), lenet(norm=True), tg.zeros(2, 1, 28, 28))
    for read in (viz.Diff.from_json(diff.to_json()), viz.Graph.from_json(diff.to_json())):
        assert type(read) is viz.Graph
        assert read.model == diff.model


def test_what_the_diff_folded_opens_again():
    def net(last):
        body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
        return nn.Sequential(body, nn.Linear(4, last))

    diff = viz.diff(net(2), net(3), tg.zeros(1, 4))
    assert "0 : Sequential" in [n.title for n in diff.model.nodes]
    opened = diff.expand("0")
    assert [n.name for n in opened.model.nodes].count("relu") == 2
    assert opened.to_text() == diff.to_text()


def test_a_row_has_one_mark():
    def net(count):
        return nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(count)))

    diff = viz.diff(net(3), net(5), tg.zeros(1, 4), fold=False).repeat()
    rows = {c.id: (c.path, c.repeats) for c in diff.model.clusters if c.repeats > 1}
    assert sorted(rows.values()) == [("0", 2), ("3", 2)]  # the third had another reader
    folded = (n for n in diff.model.nodes if n.name == "tanh" and n.cluster in rows)
    marked = {rows[n.cluster]: n.facts["diff"] for n in folded}
    assert (marked["0", 2]["mark"], marked["0", 2]["counts"]) == ("same", {"same": 2})
    assert marked["0", 2]["lines"] == []
    assert marked["3", 2]["counts"] == {"added": 2}


def test_two_parameters_of_both_graphs_are_two():
    """Each may have had the number of the other."""
    x = tg.zeros(1, 4)
    diff = viz.diff(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2, bias=False)), x)
    keys = [h.key for n in diff.model.nodes for h in n.held]
    assert len(set(keys)) == len(keys)
    assert sums(diff.model)["parameters"] == sums(diff.depth(0).model)["parameters"]


def test_a_parameter_that_differs_is_said_by_the_operator_that_holds_it():
    x = tg.zeros(1, 4)
    graphs = [viz.trace(nn.Linear(4, 3, bias=bias), x) for bias in (True, False)]
    diff = viz.diff(*graphs, fold=False).fold_parameters()
    (linear,) = [n for n in diff.model.nodes if n.kind == "op"]
    assert linear.facts["diff"]["counts"] == {"same": 2, "removed": 1}
    assert mark_of(linear) == "changed"


def test_a_parameter_that_goes_elsewhere_stays_drawn():
    v, w = nn.Parameter(tg.ones(3)), nn.Parameter(tg.ones(3))
    functions = (lambda x: x * v * w * v), (lambda x: x * v * w * w)
    names = {"v": v, "w": w}
    graphs = [viz.trace(f, tg.zeros(3), names=names) for f in functions]
    diff = viz.diff(*graphs, fold=False).fold_parameters()
    assert [n.name for n in diff.model.nodes if n.kind == "param"] == ["v", "w"]
    lines = diff.to_text().splitlines()[1:]
    assert sorted(lines) == ["+ connection: w to mul as other", "− connection: v to mul as other"]


def test_calls_of_both_graphs_make_no_circle():
    """The removed tanh of call 0 stands between the nodes of call 1, or behind them."""
    S = nn.Sequential
    after = S(S(nn.Sigmoid()), S(nn.ReLU(), nn.Sigmoid()))
    for before, expected in (
        (S(S(nn.ReLU(), nn.Tanh()), S(nn.Sigmoid())), ["0.0 : Sigmoid", "1 : Sequential"]),
        (S(S(nn.ReLU(), nn.Sigmoid(), nn.Tanh()), S()), [1, "1 : Sequential", "0.2 : Tanh"]),
    ):
        diff = viz.diff(before, after, tg.zeros(1, 4), fold=False).depth(1)
        place = {n.id: i for i, n in enumerate(diff.model.nodes)}
        assert all(place[e.source] < place[e.target] for e in diff.model.edges)
        expected = ["0.0 : Sigmoid", *expected[1:]]
        assert [n.title for n in diff.model.nodes if n.kind == "op"] == expected
        assert drawn_marks(diff.model)["removed"] == 1


# Explain ------------------------------------------------------------------------------------------


def explained(graph) -> list[str]:
    return [n.name for n in graph.model.nodes if "explain" in n.facts]


def test_a_view_that_was_explained_opens_again():
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2))
    graph = viz.trace(net, tg.zeros(1, 4)).fold_parameters()
    closed = graph.depth(1).explain()
    assert explained(closed) == ["linear"]
    assert explained(closed.expand("0")) == ["linear", "relu", "linear"]


def test_differences_with_equations_are_still_differences():
    diff = viz.diff(lambda x: x.exp(), lambda x: x.sin(), tg.zeros(3))
    view = diff.explain()
    assert type(view) is viz.Diff
    assert view.to_text() == diff.to_text()
    assert sorted(explained(view)) == ["exp", "sin"]


# Properties ---------------------------------------------------------------------------------------

STEPS = {
    "repeat": lambda g, k: g.repeat(),
    "depth": lambda g, k: g.depth(k % 3),
    "collapse": lambda g, k: g.collapse(lambda c: c.id % 3 == k % 3),
    "expand": lambda g, k: g.expand(lambda c: c.id % 3 == k % 3),
    "fold": lambda g, k: g.fold_parameters().fold_constants().fold_saved(),
    "inline": lambda g, k: g.inline_calls(),
    "stubs": lambda g, k: g.stubs(1 + k % 3, 2 + k % 7),
    "limit": lambda g, k: g.limit(10 + k),
    "simplify": lambda g, k: g.simplify(10 + k),
    "color": lambda g, k: g.color("structure"),
    "overlay": lambda g, k: g.overlay("parameters"),
    "explain": lambda g, k: g.explain(),
    "only": lambda g, k: g.only("forward"),
    "focus": lambda g, k: g.focus(g.model.nodes[k % len(g.model.nodes)].id, k % 4),
    "thin": lambda g, k: g.focus(lambda n: n.id % (2 + k % 3) == 0, 0),
}
PARTS = ("only", "focus", "thin")  # of these not everything is drawn


@st.composite
def programs(draw):
    names = draw(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=7))
    net = nn.Sequential(*(LAYERS[name]() for name in names))
    around = draw(st.booleans())
    return lambda x: net(x) + x if around else net(x)


def drawn_marks(model) -> Counter:
    """How many nodes of each mark the drawn ones stand for."""
    total: Counter[str] = Counter()
    for node in model.nodes:
        fact = node.facts["diff"]
        total.update(fact.get("counts") or {fact["mark"]: 1})
    return total


def spoken(model, node) -> str:
    """``path : name`` of a node of one of the two graphs."""
    where = dict(zip((n.id for n in model.nodes), places(model), strict=True))
    path, _ = where[node.id]
    return f"{path} : {node.name}" if path else node.name


def check_text(diff) -> None:
    """What the text says is true of the two graphs."""
    head, *lines = diff.to_text().splitlines()
    marks = Counter(line[0] for line in lines if " connection: " not in line)
    numbers = {m: int(n) for n, m in re.findall(r"(\d+) (added|removed|changed|moved)", head)}
    signs = {"+": "added", "−": "removed", "~": "changed", "»": "moved"}
    assert {signs[s]: n for s, n in marks.items()} == {m: n for m, n in numbers.items() if n}
    assert bool(diff) == ("no difference" not in head)
    both = {"+": diff.after.model, "−": diff.before.model}
    for line in lines:
        sign, text = line[0], line[2:]
        if sign not in both:
            continue
        model = both[sign]
        nodes = {n.id: n for n in model.nodes}
        if text.startswith("connection: "):
            ends = {
                f"{spoken(model, nodes[e.source])} to {spoken(model, nodes[e.target])}"
                + (f" as {e.argument}" if e.argument else "")
                for e in model.edges
            }
            assert text.removeprefix("connection: ") in ends
        else:
            assert any(
                text.startswith(spoken(model, n)) if n.kind == "op" else n.name in text
                for n in model.nodes
            )


@settings(max_examples=80, deadline=None)
@given(
    programs(),
    programs(),
    st.sampled_from(["diff", "traced"]),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 20)), max_size=4),
)
def test_any_view_of_any_differences(a, b, how, backward, steps):
    x = tg.zeros(2, 4).requires_grad_(backward)
    if how == "traced":  # parameters and saved tensors as nodes
        graphs = (viz.trace(f, x, backward=backward) for f in (a, b))
        diff = viz.diff(*graphs, fold=False)
    else:
        diff = viz.diff(a, b, x, backward=backward)
    text, whole = diff.to_text(), diff.model
    check_text(diff)
    for name, k in steps:
        before = diff
        try:
            diff = STEPS[name](diff, k)
        except tg.errors.TinygradError:
            continue
        check(diff.model)
        place = {n.id: i for i, n in enumerate(diff.model.nodes)}
        assert all(place[e.source] < place[e.target] for e in diff.model.edges)
        assert diff.to_text().startswith(text)  # an overlay has lines of its own
        assert diff.to_dot().startswith("digraph")
        assert viz.Diff.from_json(diff.to_json()).model == diff.model
        # The legend is that of the whole graph.
        assert diff.model.totals == whole.totals
        assert [n for n in diff.model.notes if n in whole.notes] == list(whole.notes)
        if name in ("expand", *PARTS) or any(n in PARTS for n, _ in steps):
            continue
        check_clusters(diff.model, before.model)
        assert sums(diff.model) == sums(whole)
        if how == "diff":
            assert drawn_marks(diff.model) == drawn_marks(whole)
        differs = {mark_of(n) for n in whole.nodes} != {"same"}
        assert differs == ({mark_of(n) for n in diff.model.nodes} != {"same"})
