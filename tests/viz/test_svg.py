from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.viz.handmade import Maker, small_net
from tinygrad_cv.errors import BackendError
from tinygrad_cv.viz import labels, transforms
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.render import draw_dot
from tinygrad_cv.viz.svg import finish

pytest.importorskip("pygraphviz")
SVG = "{http://www.w3.org/2000/svg}"
TAGS = {"svg", "title", "desc", "style", "rect", "g", "text", "path", "polygon", "polyline"}
HOSTILE = [
    'quote " and \\ backslash \\N \\l',
    "<b>bold</b> & &amp; &lt; &#65; ]]> <!-- -->",
    "<TABLE><TR><TD>x</TD></TR></TABLE>",
    "two\nlines\r\n\ttab",
    "emoji 🧠👩‍🔬 and 中文 and עברית",
    "\u202etxet desrever\u202c",
    "null \x00 bell \x07 escape \x1b[31m surrogate \ud800 \ufffe",
    "x" * 10_000,
    "{record|shape}",
    "",
    " ",
]


def drawn(model: GraphModel) -> ET.Element:
    return ET.fromstring(finish(draw_dot(to_dot(model), "svg"), model))


def groups(root: ET.Element, name: str) -> list[ET.Element]:
    return [g for g in root.iter(f"{SVG}g") if name in g.get("class", "").split()]


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    return drawn(small_net())


def test_every_node_edge_and_cluster_is_there_with_title_and_facts(picture):
    model = small_net()
    for name, expected in (
        ("node", model.nodes),
        ("edge", model.edges),
        ("cluster", model.clusters),
    ):
        found = groups(picture, name)
        assert len(found) == len(expected)
        assert all(group.find(f"{SVG}title").text for group in found)
    by_id = {int(g.get("data-id")): g for g in groups(picture, "node")}
    conv = by_id[3]
    assert conv.get("data-kind") == "op"
    assert conv.get("data-name") == "conv"
    assert conv.get("data-shape") == "1×2×4×4 float32"
    assert conv.get("data-flops") == "600"
    ends = {
        (int(g.get("data-source")), int(g.get("data-target")), g.get("data-kind"))
        for g in groups(picture, "edge")
    }
    assert ends == {(e.source, e.target, e.kind) for e in model.edges}


def test_ids_are_prefixed_and_unique(picture):
    ids = [element.get("id") for element in picture.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name.startswith(picture.get("id")) for name in ids)
    other = drawn(replace(small_net(), title="another"))
    assert other.get("id") != picture.get("id")


def test_the_root_has_an_accessible_name(picture):
    title, description = picture[0], picture[1]
    assert (title.tag, description.tag) == (f"{SVG}title", f"{SVG}desc")
    assert picture.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == "a small net, forward and backward"
    assert "3 operators" in description.text
    assert "x at the top" in description.text
    assert picture.get("data-parameters") == "20"


def test_a_reader_of_the_screen_can_go_to_each_part(picture):
    """An image hides its parts; a document of the WAI-ARIA Graphics Module does not. Each part is
    one symbol with its title as its name."""
    assert picture.get("role") == "graphics-document document"
    parts = [g for name in ("node", "edge", "cluster") for g in groups(picture, name)]
    assert parts
    assert {part.get("role") for part in parts} == {"graphics-symbol img"}
    assert {e for e in picture.iter() if e.get("role")} == {picture, *parts}


def test_light_and_dark_without_scripts_or_links(picture):
    (style,) = picture.iter(f"{SVG}style")
    assert "@media (prefers-color-scheme: dark)" in style.text
    assert f"#{picture.get('id')} .node.op" in style.text
    tags = {element.tag.rsplit("}", 1)[-1] for element in picture.iter()}
    assert tags <= TAGS
    for element in picture.iter():
        assert not any(name.startswith("on") or "href" in name for name in element.attrib)


def test_drawn_twice_is_the_same(picture):
    assert ET.tostring(drawn(small_net())) == ET.tostring(picture)


def test_the_frame_holds_everything(picture):
    left, top, width, height = map(float, picture.get("viewBox").split())
    assert left == 0
    assert top <= 0
    assert float(picture.get("width")) == pytest.approx(width * 4 / 3, abs=1)
    assert float(picture.get("height")) == pytest.approx(height * 4 / 3, abs=1)
    for text in picture.iter(f"{SVG}text"):
        whole = labels.text_width(text.text or "", 11)
        before = {"middle": whole / 2, "start": 0.0}[text.get("text-anchor")]
        assert float(text.get("x")) - before >= -10
        assert float(text.get("x")) - before + whole <= width + 10


def test_a_long_legend_is_not_cut_off_where_fonts_are_wide():
    model = replace(small_net(), title="W" * 60)
    root = drawn(model)
    assert float(root.get("viewBox").split()[2]) >= labels.text_width("W" * 60, 11)


@pytest.mark.parametrize("fonts", [True, False], ids=["fonts", "no fonts"])
def test_every_line_has_room_in_its_box(fonts, tmp_path, monkeypatch):
    """On a machine without fonts the engine measures lines that are too low and too wide."""
    if not fonts:
        config = tmp_path / "fonts.conf"
        config.write_text("<fontconfig></fontconfig>")
        monkeypatch.setenv("FONTCONFIG_FILE", str(config))
    root = drawn(transforms.simplify(small_net()))
    for group in groups(root, "node"):
        numbers = [
            float(number)
            for shape in group
            if shape.tag in (f"{SVG}path", f"{SVG}polygon")
            for number in re.findall(r"-?[\d.]+", shape.get("d") or shape.get("points"))
        ]
        width = max(numbers[::2]) - min(numbers[::2])
        top, bottom = min(numbers[1::2]), max(numbers[1::2])
        texts = group.findall(f"{SVG}text")
        lines = [float(text.get("y")) for text in texts]
        assert all(after - before >= 13 for before, after in itertools.pairwise(lines))
        assert top + 9 <= lines[0]
        assert lines[-1] <= bottom - 3
        assert all(labels.text_width(text.text, 11) <= width for text in texts)
    legend = [float(t.get("y")) for t in groups(root, "graph")[0].findall(f"{SVG}text")]
    assert all(after - before >= 13 for before, after in itertools.pairwise(legend))


def hostile_graph(names: list[str]) -> GraphModel:
    """A graph whose every text is one of ``names``."""
    texts = itertools.cycle(names)
    m = Maker()
    call = m.cluster(next(texts), next(texts), call=2, calls=3)
    x = m.node("input", next(texts), (2,), next(texts))
    w = m.node("param", next(texts), (2,), next(texts), cluster=call)
    op = m.op(
        next(texts),
        (2,),
        (next(texts), x),
        (next(texts), w),
        cluster=call,
        attributes=((next(texts), next(texts)),),
        error=next(texts),
        site=next(texts),
        title=next(texts),
        facts={"equation": next(texts), "gradients": next(texts), "other": next(texts)},
    )
    m.edge(op, m.node("output", next(texts), (2,), value=next(texts)))
    parts = {"notes": (next(texts),), "error": next(texts), "totals": {"operators": 1}}
    return m.model(next(texts), **parts)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    for model in (hostile_graph([name]), transforms.simplify(hostile_graph([name]))):
        root = drawn(model)
        assert len(groups(root, "node")) == len(model.nodes)
        assert len(groups(root, "edge")) == len(model.edges)
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= TAGS
    # What is drawn is the text itself: nothing in it was taken as markup.
    lines = {
        (text.text or "").replace("\xa0", " ").strip()
        for group in groups(drawn(hostile_graph([name])), "node")
        for text in group.iter(f"{SVG}text")
    }
    expected = labels.clean(f"input {name}" if name else "input", labels.MAX_LINE).strip()
    assert " ".join(expected.split()) in {" ".join(line.split()) for line in lines}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40) | st.sampled_from(HOSTILE), min_size=1, max_size=24))
@example(names=["", "", "", "\x1f", ""])  # a node whose first line is empty
def test_any_names(names):
    model = transforms.simplify(hostile_graph(names))
    root = drawn(model)
    for kind, parts in (
        ("node", model.nodes),
        ("edge", model.edges),
        ("cluster", model.clusters),
    ):
        found = groups(root, kind)
        assert len(found) == len(parts)
        assert all(group.find(f"{SVG}title") is not None for group in found)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= TAGS
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        assert not any(name.startswith("on") or "href" in name for name in element.attrib)


@pytest.mark.parametrize("content", [b"", b"<svg", b"<html></html>", b"\xff\xfe"])
def test_what_is_not_an_svg_is_refused(content):
    with pytest.raises(BackendError, match=r"did not return an SVG|not <svg>"):
        finish(content, small_net())


def test_lines_are_marked_by_what_they_are():
    root = drawn(transforms.simplify(small_net()))
    conv = next(g for g in groups(root, "node") if g.get("data-name") == "conv")
    classes = [text.get("class") for text in conv.iter(f"{SVG}text")]
    assert classes == ["t-name", "t-fact", "t-param", "t-param", "t-tensor"]
