"""A table of every public argument of the tool with values that it does not take: each gets an
error of ours, with what was wrong and a repair."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest

from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.errors import TinygradError
from tinygrad_cv.viz import Graph

NET = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
OTHER = nn.Sequential(nn.Linear(4, 3))
X = randn(2, 4)
LOSS = NET(X).sum()
GRAPH = viz.trace(NET, X)
DIFF = viz.diff(NET, OTHER, X)


class Net(nn.Module):
    """Not made yet."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes


def two(a, b):
    return a is b


VALUES = {
    "None": None, "0": 0, "3": 3, "-1": -1, "1.5": 1.5, "nan": math.nan, "inf": math.inf,
    "True": True, "''": "", "'a'": "a", "bytes": b"x", "[]": [], "[1]": [1], "(1, 2)": (1, 2),
    "{}": {}, "{1: 2.0}": {1: 2.0}, "{3: 'a'}": {3: "a"}, "object": object(), "Tensor": X,
    "class": Net, "type": int, "two arguments": two, "huge": 10**30, "complex": 1j,
    "module": NET, "graph": GRAPH,
}  # fmt: skip

NUMBERS = ("3", "0", "huge")
FUNCTIONS = ("module",)  # called with a node, it refuses by itself
FLAG = ("True",)
TEXT = ("''", "'a'")
# What is called, with a wrong value -> the values that it takes.
TABLE = {
    "trace target": (lambda v: viz.trace(v), ()),
    "trace target, called": (lambda v: viz.trace(v, X), ("module",)),
    "draw target, called": (lambda v: viz.draw(v, X), ("module",)),
    "trace names": (lambda v: viz.trace(NET, X, names=v), ("None", "{}")),
    "draw names": (lambda v: viz.draw(LOSS, names=v), ("None", "{}")),
    "trace title": (lambda v: viz.trace(NET, X, title=v), ("None", *TEXT)),
    "draw title": (lambda v: viz.draw(LOSS, title=v), ("None", *TEXT)),
    "trace backward": (lambda v: viz.trace(NET, X, backward=v), FLAG),
    "draw backward": (lambda v: viz.draw(LOSS, backward=v), FLAG),
    "trace statistics": (lambda v: viz.trace(NET, X, statistics=v), FLAG),
    "trace verify": (lambda v: viz.trace(LOSS, verify=v), ("None",)),
    "trace profile": (lambda v: viz.trace(LOSS, profile=v), ("None",)),
    "trace plan": (lambda v: viz.trace(NET, X, plan=v), ("None",)),
    "draw max_nodes": (lambda v: viz.draw(NET, X, max_nodes=v), ("huge",)),
    "draw explain": (lambda v: viz.draw(NET, X, explain=v), FLAG),
    "Tensor.graph max_nodes": (lambda v: LOSS.graph(max_nodes=v), ("huge",)),
    "Module.graph title": (lambda v: NET.graph(X, title=v), ("None", *TEXT)),
    "explain": (lambda v: viz.explain(v), ()),
    "diff a": (lambda v: viz.diff(v, NET, X), ("module", "graph", "Tensor")),
    "diff b": (lambda v: viz.diff(NET, v, X), ("module", "graph", "Tensor")),
    "diff backward": (lambda v: viz.diff(NET, OTHER, X, backward=v), FLAG),
    "diff names": (lambda v: viz.diff(NET, OTHER, X, names=v), ("None", "{}")),
    "diff title": (lambda v: viz.diff(NET, OTHER, X, title=v), ("None", *TEXT)),
    "diff max_nodes": (lambda v: viz.diff(NET, OTHER, X, max_nodes=v), ("huge",)),
    "diff fold": (lambda v: viz.diff(NET, OTHER, X, fold=v), FLAG),
    "Diff.apply": (lambda v: DIFF.apply(v), ()),
    "Graph": (lambda v: Graph(v), ()),
    "simplify": (lambda v: GRAPH.simplify(v), ("huge",)),
    "limit": (lambda v: GRAPH.limit(v), ("huge",)),
    "depth": (lambda v: GRAPH.depth(v), NUMBERS),
    "only": (lambda v: GRAPH.only(v), ()),
    "collapse": (lambda v: GRAPH.collapse(v), ("''", *FUNCTIONS)),
    "expand": (lambda v: GRAPH.expand(v), ("''", *FUNCTIONS)),
    "repeat fold": (lambda v: GRAPH.repeat(v), FLAG),
    "repeat least": (lambda v: GRAPH.repeat(least=v), ("3", "huge")),
    "repeat(False) least": (lambda v: GRAPH.repeat(False, v), ("3", "huge")),
    "focus": (lambda v: GRAPH.focus(v), ("0", "3", *FUNCTIONS)),
    "focus radius": (lambda v: GRAPH.focus("relu", v), NUMBERS),
    "path start": (lambda v: GRAPH.path(v, "output"), ("0", "3", *FUNCTIONS)),
    "path end": (lambda v: GRAPH.path("input", v), ("0", "3", *FUNCTIONS)),
    "stubs uses": (lambda v: GRAPH.stubs(v), ("3", "huge")),
    "stubs far": (lambda v: GRAPH.stubs(far=v), ("3", "huge")),
    "color": (lambda v: GRAPH.color(v), ()),
    "overlay": (lambda v: GRAPH.overlay(v), ()),
    "overlay unit": (lambda v: GRAPH.overlay({3: 1.0}, unit=v), TEXT),
    "render": (lambda v: GRAPH.render(v), ()),
    "render time_limit": (lambda v: GRAPH.render("a.svg", v), ("3", "1.5", "inf", "huge")),
    "render max_nodes": (lambda v: GRAPH.render("a.svg", max_nodes=v), ("None", "huge")),
    "to_html time_limit": (lambda v: GRAPH.to_html(v), ("3", "1.5", "inf", "huge")),
    "to_html max_nodes": (lambda v: GRAPH.to_html(max_nodes=v), ("None", "huge")),
    "from_json": (lambda v: Graph.from_json(v), ()),
}  # fmt: skip
CASES = [
    (name, value) for name, (_, good) in TABLE.items() for value in VALUES if value not in good
]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_wrong_argument_gets_our_error_with_a_repair(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TinygradError) as caught:
        TABLE[name][0](VALUES[value])
    assert caught.value.problem
    assert caught.value.repair, str(caught.value)
    assert list(Path.cwd().iterdir()) == []


def test_the_table_has_every_argument():
    told = {name.split(",")[0] for name in TABLE} | {"trace inputs", "draw inputs", "diff inputs"}
    shared = ("target", "names", "title", "backward", "statistics", "verify", "profile", "plan")
    told |= {f"draw {name}" for name in shared}  # draw hands them to trace
    for function in (viz.trace, viz.draw, viz.diff):
        names = set(inspect.signature(function).parameters) - {"kwargs"}
        assert {f"{function.__name__} {name}" for name in names} <= told
    methods = {
        name: [p for p in inspect.signature(method).parameters if p != "self"]
        for name, method in inspect.getmembers(Graph, inspect.isroutine)
        if not name.startswith("_")
    }
    words = {name: [t for t in TABLE if t.split(" ")[0].split("(")[0] == name] for name in methods}
    assert {name: len(p) for name, p in methods.items() if len(words[name]) < len(p)} == {}


@pytest.mark.parametrize(
    ("call", "problem", "repair"),
    [
        (
            lambda: viz.draw(Net, X),
            "trace: Net is a class; a module or a function is needed",
            "Make one first: viz.draw(Net(...), *inputs).",
        ),
        (
            lambda: viz.draw(nn.Linear(4, 3)),
            (
                "trace: the inputs do not fit Linear.forward(input): missing a required argument: "
                "'input'"
            ),
            "Give them behind it, as in viz.draw(model, input).",
        ),
        (
            lambda: viz.trace(two, X),
            "trace: the inputs do not fit two(a, b): missing a required argument: 'b'",
            "Give them behind it, as in viz.draw(model, a, b).",
        ),
        (
            lambda: GRAPH.depth(1.5),
            "depth: k must be an integer, 0 or more, not 1.5",
            "Write .depth(k=0), or a larger integer.",
        ),
        (
            lambda: viz.draw(LOSS, max_nodes=3),
            "draw: max_nodes must be an integer, 10 or more, not 3",
            "Write viz.draw(max_nodes=10), or a larger integer.",
        ),
        (
            lambda: viz.draw(LOSS, title=3),
            "trace: title must be a text, not 3",
            'Write title="3".',
        ),
        (
            lambda: Graph.from_json(None),
            "from_json: the text of a graph is needed, not NoneType",
            "Give the text that Graph.to_json() or .render('graph.json') wrote.",
        ),
        (
            lambda: GRAPH.collapse(two),
            (
                "collapse: the function must take one argument, a call: missing a required "
                "argument: 'b'"
            ),
            'Write .collapse("layer1*"), or .collapse(lambda call: call.kind == "Linear").',
        ),
        (
            lambda: viz.diff(GRAPH, GRAPH, backward=True),
            "diff: backward= is for what is traced here, and both are graphs",
            "Trace them with it: viz.trace(..., backward=True).",
        ),
    ],
)  # fmt: skip
def test_what_the_errors_say(call, problem, repair):
    with pytest.raises(TinygradError) as caught:
        call()
    assert str(caught.value) == f"{problem}\n  {repair}"


def test_what_is_like_an_integer_is_one():
    import numpy as np

    assert GRAPH.depth(np.int64(1)).model == GRAPH.depth(1).model
    assert GRAPH.focus(np.int32(3)).model == GRAPH.focus(3).model
