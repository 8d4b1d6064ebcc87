from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

import tinygrad_cv as tg
from tests.viz.handmade import chain, small_net
from tests.viz.test_svg import HOSTILE, hostile_graph
from tinygrad_cv.errors import BackendError
from tinygrad_cv.viz import render
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel

SVG, TEXT = "image/svg+xml", "text/plain"
EMPTY = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><g class="graph"/></svg>'


def display(value: Any, include: Any = None, exclude: Any = None) -> Any:
    """What IPython's display formatter does with a value: it looks whether a class answers to any
    name, takes the method from the object, and calls it with both names."""
    if isinstance(value, type) or hasattr(value, "_ipython_canary_method_should_not_exist_"):
        return None
    method = getattr(value, "_repr_mimebundle_", None)
    if not callable(method):
        return None
    bundle = method(include=include, exclude=exclude)
    json.dumps(bundle)  # it goes through a message to the notebook
    return bundle


def test_a_picture_and_a_text():
    pytest.importorskip("pygraphviz")
    graph = Graph(small_net())
    bundle = display(graph)
    assert set(bundle) == {SVG, TEXT}
    assert ET.fromstring(bundle[SVG]).tag == "{http://www.w3.org/2000/svg}svg"
    name = ET.fromstring(bundle[SVG]).get("id")
    suffix = re.fullmatch(r"tg[0-9a-f]{8}(-[0-9a-f]{8})", name)[1]
    assert bundle[SVG].encode() == render.picture(graph.model, "svg", suffix=suffix)
    assert bundle[TEXT] == graph.to_text()


def test_a_graph_that_is_shown_twice_has_two_sets_of_ids():
    pytest.importorskip("pygraphviz")
    graph = Graph(small_net()).overlay({3: 1.0})  # with the pattern of what is not measured
    ids: list[str] = []
    for _ in range(2):
        root = ET.fromstring(display(graph)[SVG])
        own = [element.get("id") for element in root.iter() if element.get("id")]
        style = root.find("{http://www.w3.org/2000/svg}style").text
        referred = set(re.findall(r"#(tg[\w-]+)", style)) | set(root.get("aria-labelledby").split())
        assert referred <= set(own)
        ids += own
    assert len(ids) == len(set(ids))
    assert render.picture(graph.model, "svg") == render.picture(graph.model, "svg"), "files do not"


@pytest.mark.parametrize(
    ("include", "exclude", "kinds"),
    [
        (None, None, {SVG, TEXT}),
        ({SVG}, None, {SVG}),
        ([TEXT, "text/html"], None, {TEXT}),
        (None, {SVG}, {TEXT}),
        (None, (TEXT,), {SVG}),
        ({SVG, TEXT}, {SVG}, {TEXT}),
        (set(), None, set()),
        ({"text/html"}, None, set()),
    ],
)
def test_only_what_is_asked_for_is_made(include, exclude, kinds, monkeypatch):
    drawn = []

    def draw(*arguments):
        drawn.append(arguments)
        return EMPTY

    monkeypatch.setattr(render, "draw_dot", draw)
    assert set(display(Graph(small_net()), include, exclude)) == kinds
    assert len(drawn) == (SVG in kinds)


def test_without_an_engine_there_is_the_text_and_the_reason(monkeypatch):
    monkeypatch.setattr(render, "engines", list)
    graph = Graph(small_net())
    bundle = display(graph)
    assert set(bundle) == {TEXT}
    assert bundle[TEXT].startswith(graph.to_text())
    assert "no picture: render: no Graphviz engine is installed" in bundle[TEXT]
    assert "pip install 'pygraphviz>=2'" in bundle[TEXT]
    assert display(graph, include={SVG}) == {}


@pytest.mark.parametrize(
    "problem", [BackendError("render", "dot failed"), OSError("no pipe"), RecursionError("deep")]
)
def test_it_never_raises(problem, monkeypatch):
    def fail(*arguments):
        raise problem

    monkeypatch.setattr(render, "draw_dot", fail)
    assert str(problem) in display(Graph(small_net()))[TEXT]
    monkeypatch.setattr(Graph, "to_text", fail)
    assert str(problem) in display(Graph(small_net()))[TEXT]


def test_of_a_comparison_the_text_tells_the_differences():
    diff = tg.viz.diff(lambda x: x.exp(), lambda x: x.exp().sin(), tg.zeros(3))
    assert display(diff, include={TEXT}) == {TEXT: diff.to_text()}
    assert "+ sin" in diff.to_text()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    pytest.importorskip("pygraphviz")
    bundle = display(Graph(hostile_graph([name])))
    assert set(bundle) == {SVG, TEXT}
    ET.fromstring(bundle[SVG])


def test_a_large_graph_is_collapsed(monkeypatch):
    monkeypatch.setattr(render, "engines", list)
    text = display(Graph(chain(2000)))[TEXT]
    assert "1,776 operators in the middle are drawn" in text
    assert len(text.splitlines()) < 400


def test_the_picture_has_its_own_size(monkeypatch):
    """Graphviz's `size` would shrink what it draws, so that a large graph cannot be read."""
    sources = []

    def draw(source, *arguments):
        sources.append(source)
        return EMPTY

    monkeypatch.setattr(render, "draw_dot", draw)
    display(Graph(chain(200)))
    assert len(sources) == 1
    assert "size=" not in sources[0].replace("fontsize=", "").replace("arrowsize=", "")


def test_a_graph_with_nothing_in_it():
    assert "0 operators" in display(Graph(GraphModel()))[TEXT]


def test_tensors_and_modules_are_shown_as_before():
    assert display(tg.ones(2, requires_grad=True).exp()) is None
    assert display(tg.nn.Linear(2, 3)) is None
    assert display(Graph) is None
