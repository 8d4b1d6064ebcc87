"""The viewer's file, without a browser: what is in it, and that the texts of a graph stay texts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.handmade import small_net, unplaced_svg
from tests.viz.test_svg import HOSTILE, hostile_graph
from tinygrad_cv.errors import BackendError
from tinygrad_cv.viz import html, render, transforms
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel


class Reader(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.title = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.lasttag == "script":
            self.scripts[-1] += data
        if self.lasttag == "title" and not self.title:
            self.title = data


def read(model: GraphModel) -> tuple[Reader, dict]:
    reader = Reader(html.page(unplaced_svg(model), model).decode())
    return reader, json.loads(reader.scripts[0])


def test_the_page_carries_the_graph_as_it_is():
    model = small_net()
    reader, data = read(model)
    assert GraphModel.from_json(json.dumps(data["model"])) == model
    assert reader.title == "a small net, forward and backward"
    assert data["overlay"] == ""


def test_nothing_is_loaded():
    reader, _ = read(small_net())
    addresses = [v for k, v in reader.attributes if k in ("src", "href", "action", "xlink:href")]
    assert addresses == ["data:,"]
    assert not {"iframe", "img", "object", "embed", "audio", "video"} & set(reader.tags)
    policy = next(v for k, v in reader.attributes if k == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    style_and_script = html._file("viewer.css") + html._file("viewer.js")
    assert not re.search(
        r"https?:|@import|fetch\(|XMLHttp|import\(|eval\(|innerHTML", style_and_script
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_end_no_element(name):
    usual = read(hostile_graph(["x"]))[0].tags
    model = hostile_graph([name + "</script><script>alert(1)</script><!-- </title>@script@"])
    reader, data = read(model)
    assert reader.tags == usual
    assert data["model"]["nodes"][2]["name"] == model.nodes[2].name


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from(HOSTILE), min_size=1, max_size=4))
def test_any_names(names):
    reader, data = read(hostile_graph(names))
    assert len(reader.scripts) == 2
    again = GraphModel.from_json(json.dumps(data["model"]))
    assert again == hostile_graph(names)


def test_overlays_say_what_the_overlay_itself_says():
    graph = Graph(transforms.simplify(small_net()))
    found = {choice["name"]: choice for choice in html.choices(graph.model)}
    assert list(found) == ["flops", "output_bytes", "parameters"]
    assert found["flops"]["lines"][3] == ["600 FLOPs (100 %)"]
    assert found["flops"]["classes"][3] == "heat-4"
    assert found["flops"]["classes"][4] == "unmeasured"
    assert "colour: flops, 600 FLOPs in all" in found["flops"]["note"]
    assert found["output_bytes"]["lines"][4] == ["128 B (24.6 %)"]  # 1*2*4*4 float32, of 520
    values = {3: -1.0, 4: 2.5}
    mine, *others = html.choices(graph.overlay(values, "K").model)
    assert mine["lines"][4] == ["value 2.5 K (167 %)"]
    assert mine["lines"][5] == ["value: not measured"]
    assert {k: v for k, v in mine["classes"].items() if v != "unmeasured"} == {
        3: "heat-0",
        4: "heat-4",
    }
    assert [choice["name"] for choice in others] == ["flops", "output_bytes", "parameters"]


def test_what_a_profile_measured_can_be_chosen():
    x = tg.ones(4, 4, requires_grad=True)
    with tg.profile() as profile:
        loss = (x @ x).relu().sum()
        loss.backward(retain_graph=True)
    graph = tg.viz.draw(loss, backward=True, profile=profile)
    _, data = read(graph.model)
    assert data["overlay"] == "time"
    names = [choice["name"] for choice in data["overlays"]]
    assert names == ["time", "flops", "output_bytes", "saved_bytes"]
    operators = {str(n.id) for n in graph.model.nodes if n.kind == "op"}
    for choice in data["overlays"]:
        assert set(choice["lines"]) == operators
    classes = data["overlays"][0]["classes"]
    assert all(classes[key].startswith("heat-") for key in operators)


def test_the_layout_has_room_for_the_longest_line_of_any_overlay():
    model = Graph(transforms.simplify(small_net())).overlay({3: 1 / 3}, "of a long unit").model
    roomy = html.with_room(model)
    for plain, wide in zip(html.plain(model).nodes, roomy.nodes, strict=True):
        texts = [c["lines"][plain.id] for c in html.choices(model) if plain.id in c["lines"]]
        assert bool(texts) == ("room" in wide.facts) == (plain.kind == "op")
        if texts:
            longest = max((line for lines in texts for line in lines), key=len)
            assert wide.facts["room"] == [longest] * max(map(len, texts))
    assert "of a long unit" in to_dot(roomy)
    assert "of a long unit" not in to_dot(html.plain(model))


def test_to_html_is_what_render_writes(tmp_path):
    pytest.importorskip("pygraphviz")
    graph = Graph(small_net())
    assert graph.render(tmp_path / "a.html").read_text(encoding="utf-8") == graph.to_html()


def test_no_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "engines", list)
    with pytest.raises(BackendError, match="no Graphviz engine"):
        Graph(small_net()).to_html()
    with pytest.raises(BackendError, match="no Graphviz engine"):
        Graph(small_net()).render(tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dot"]
