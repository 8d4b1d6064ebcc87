"""JSON of a graph that is none: refused with the place of what is wrong, or a graph that can be
drawn."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.handmade import small_net
from tests.viz.test_views import equal_layers
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.errors import DataError, DTypeError, TinygradError
from tinygrad_cv.viz import Graph, GraphModel
from tinygrad_cv.viz.model import FORMAT, check


def graphs():
    net, x = equal_layers(4), randn(2, 3)
    net(x).square().sum().backward()
    whole = viz.trace(net, x, backward=True, statistics=True, plan=tg.autograd.plan_memory(net, x))
    with tg.profile() as profile:
        loss = net(x).square().sum()
        loss.backward(retain_graph=True)
    wide = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    return [
        whole,
        whole.overlay("grad_norm"),
        whole.simplify().overlay("flops").explain(),
        whole.fold_parameters().repeat().overlay("std").depth(1),
        whole.simplify().color("order").repeat(least=2),
        whole.color("structure").depth(1),
        viz.draw(loss, profile=profile, backward=True),
        viz.diff(nn.Linear(3, 2), wide, x),
        viz.diff(equal_layers(2), equal_layers(3), x, fold=True),
        whole.focus(2, 1).stubs(1, 1),
    ]


GRAPHS = [graph.to_json() for graph in graphs()]
ODD = [None, -1, 0, 3, 2.5, True, "x", "", "inf", "op", "forward", [], {}, [1], ["a", "b"]]
ODD += [{"a": 1}, {"a": None}, 10**30, 10**120, "\ud800", [[]], [[1, 2]], [[1, 2, 3]], [-1]]


def places(data, place=()):
    if place:
        yield place
    if isinstance(data, dict):
        for key, part in data.items():
            yield from places(part, (*place, key))
    elif isinstance(data, list):
        for number, part in enumerate(data):
            yield from places(part, (*place, number))


PLACES = [list(places(json.loads(text))) for text in GRAPHS]


def test_what_was_written_is_read():
    for text in GRAPHS:
        model = GraphModel.from_json(text)
        assert model.to_json() == text
        check(model)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_json_with_a_fault_is_refused_or_a_graph(data):
    number = data.draw(st.integers(0, len(GRAPHS) - 1))
    changed = json.loads(GRAPHS[number])
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(PLACES[number]))
        part = changed
        try:
            for key in way:
                part = part[key]
            part[last]
        except (KeyError, IndexError, TypeError):
            continue  # the first fault has taken it away
        how = data.draw(st.sampled_from(["put", "put", "put", "take", "add", "swap"]))
        if how == "take":
            del part[last]
        elif how == "add" and isinstance(part, dict):
            part["added"] = 1
        elif how == "swap" and isinstance(part, list):
            part.reverse()
        else:
            part[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    try:
        graph = Graph.from_json(json.dumps(changed))
    except DataError:
        return
    graph.to_text().encode()
    dot = graph.to_dot()
    dot.encode()
    assert Graph.from_json(graph.to_json()).to_dot() == dot
    steps = [Graph.simplify, Graph.repeat, Graph.stubs, Graph.explain, Graph.fold_parameters]
    steps += [lambda g: g.overlay("flops"), lambda g: g.overlay("std"), lambda g: g.depth(1)]
    steps += [lambda g: g.color("structure"), lambda g: g.limit(10), lambda g: viz.diff(g, g)]
    steps += [lambda g: g.overlay("grad_norm"), lambda g: g.focus(g.model.nodes[0].id, 2)]
    step = data.draw(st.sampled_from(steps))
    try:
        shown = step(graph) if graph.model.nodes else graph
        shown.to_dot().encode()
        shown.to_text().encode()
    except TinygradError:
        pass


def changed(way, value):
    data = json.loads(small_net().to_json())
    part = data
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (("title",), 3, "title must be a text, not 3"),
        (("nodes", 2, "name"), 2.5, r"nodes\[2\].name must be a text, not 2.5"),
        (("nodes", 3, "id"), {}, r"nodes\[3\].id must be a whole number, not an object"),
        (("nodes", 3, "facts"), 3, r"nodes\[3\].facts must be an object, not 3"),
        (("nodes", 3, "count"), "x", r"nodes\[3\].count must be a whole number, not 'x'"),
        (("nodes", 3, "outputs", 0, "shape"), [1, [2]], r"nodes\[3\].outputs\[0\].shape\[1\] must"),
        (("nodes", 3, "outputs", 0, "shape"), [-1], r"nodes\[3\].outputs\[0\].shape must have"),
        (("nodes", 3, "outputs", 0, "shape"), 3, r"\[0\].shape must be a list or null, not 3"),
        (("nodes", 3, "attributes", 0), ["a"], r"nodes\[3\].attributes\[0\] must be a list of 2"),
        (("nodes", 3, "facts", "flops"), "9", r"nodes\[3\].facts.flops must be a whole number"),
        (("nodes", 3, "facts", "diff"), {"mark": "x", "lines": []}, r"facts.diff.mark must be one"),
        (("nodes", 3, "facts", "color"), {"scheme": "dtype"}, r"facts.color.label is missing"),
        (("nodes", 3, "more"), 1, r"nodes\[3\].more is not known"),
        (("nodes", 1, "outputs"), [], r"nodes\[1\].outputs must have the tensor that it is"),
        (("edges", 0, "mark"), "x", r"edges\[0\]: 0 -> 3: unknown mark 'x'"),
        (("edges", 0, "source"), 7, r"edges\[0\]: 7 -> 3: the source must stand before the target"),
        (("edges", 0, "source"), 3, r"edges\[0\]: 3 -> 3: the source must stand before the target"),
        (("clusters", 1, "parent"), [], r"clusters\[1\].parent must be a whole number or null"),
        (("totals", "flops"), [], "totals.flops must be a whole number, not a list"),
        (("notes",), "abc", "notes must be a list, not 'abc'"),
        (("version",), True, "version of the format is not known"),
        (("version",), 1.0, "version of the format is not known"),
        (("nodes", 0, "facts", "mine"), json.loads("[" * 90 + "]" * 90), "mine is nested too"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(way, value, message):
    with pytest.raises(DataError, match=message):
        Graph.from_json(changed(way, value))


def test_an_older_graph_lacks_what_is_newer():
    data = json.loads(small_net().to_json())
    for edge in data["edges"]:
        del edge["hidden"], edge["entering"]
    for cluster in data["clusters"]:
        del cluster["time"]
    assert GraphModel.from_json(json.dumps(data)) == small_net()
    del data["nodes"][2]["kind"]
    with pytest.raises(DataError, match=r"nodes\[2\].kind is missing"):
        Graph.from_json(json.dumps(data))


def test_totals_must_not_be_missing():
    data = json.loads(small_net().to_json())
    del data["totals"]
    with pytest.raises(DataError, match="totals is missing"):
        Graph.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_is_nested_too_deeply(text):
    with pytest.raises(DataError, match="nested too deeply"):
        Graph.from_json(text)


@pytest.mark.parametrize("text", ["", "x", "\ufeff{}", "1" * 5000, b"\xff", '{"a": NaN}'])
def test_what_is_no_json(text):
    with pytest.raises(DataError, match="the text is not JSON"):
        Graph.from_json(text)


@pytest.mark.parametrize("thing", [None, 3, {"format": FORMAT}])
def test_what_is_no_text(thing):
    with pytest.raises(DTypeError, match="the text of a graph is needed, not"):
        Graph.from_json(thing)


def test_facts_of_anybody_are_kept():
    text = changed(("nodes", 0, "facts", "mine"), {"deep": [1.5, None, {"a": "b"}]})
    assert Graph.from_json(text).model.nodes[0].facts["mine"] == {"deep": [1.5, None, {"a": "b"}]}
