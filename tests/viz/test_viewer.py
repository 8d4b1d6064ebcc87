"""The HTML viewer in a headless Chromium: what it tells of a graph."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace

import pytest

from tests.viz.handmade import Maker, small_net
from tests.viz.test_svg import HOSTILE, hostile_graph
from tests.viz.viewing import choose, chosen, classes, facts, node, text
from tests.viz.zoo import ZOO
from tinygrad_cv import viz
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.stubs import stubs


def closure(model: GraphModel) -> dict[int, set[int]]:
    """What each node reaches, by Warshall's algorithm."""
    ids = [n.id for n in model.nodes]
    reached = {i: {e.target for e in model.edges if e.source == i} for i in ids}
    for middle, start in itertools.product(ids, ids):
        if middle in reached[start]:
            reached[start] |= reached[middle]
    return reached


def test_stubs_belong_to_what_they_are_copies_of(look):
    m = Maker()
    x = m.node("input", "x", (2,))
    last = m.op("exp", (2,), ("input", x))
    used = last
    for _ in range(3):
        last = m.op("add", (2,), ("input", last), ("other", used))
    output = m.node("output", "output", (2,))
    m.edge(last, output)
    model = stubs(m.model("copies"), uses=1)
    assert sum(edge.stub for edge in model.edges) >= 2
    page = look(model)
    page.key("f")
    marked = "[...document.querySelectorAll('.node.stub')].map(e => e.classList.contains('%s'))"
    page.mouse("mouseMoved", *page.middle(node(used)))
    assert classes(page, "down") == {used + 1, used + 2, used + 3, output}
    assert all(page.run(marked % "down"))
    page.mouse("mouseMoved", *page.middle(node(output)))
    assert classes(page, "up") == set(range(output))
    assert all(page.run(marked % "up"))
    page.mouse("mouseMoved", *page.middle(node(x)))
    assert not any(page.run(marked % "up"))
    page.click(*page.middle(".node.stub"))
    assert chosen(page) == [used]


def zoo(name: str, backward: bool = True) -> GraphModel:
    function, inputs = ZOO[name]()
    return viz.draw(function, *inputs.values(), backward=backward).model


@pytest.mark.parametrize("name", ["residual", "two_graded_outputs"])
def test_hover_highlights_exactly_what_is_reachable(name, look):
    model = zoo(name)
    page = look(model)
    page.key("f")
    reached = closure(model)
    for start in model.nodes:
        page.mouse("mouseMoved", *page.middle(node(start.id)))
        down = reached[start.id]
        up = {i for i in reached if start.id in reached[i]}
        assert classes(page, "here") == {start.id}
        assert classes(page, "down") == down, start
        assert classes(page, "up") == up, start
        ends = [(e.source, e.target) for e in model.edges]
        after, before = down | {start.id}, up | {start.id}
        assert classes(page, "down", "edge") == {e for e in ends if e[0] in after}
        assert classes(page, "up", "edge") == {e for e in ends if e[1] in before}
        assert f"{len(up)} upstream, {len(down)} downstream" in text(page, "#reach")
    page.mouse("mouseMoved", 600, 10)  # the toolbar
    assert not classes(page, "here") | classes(page, "up") | classes(page, "down")


def test_a_click_shows_the_facts_of_a_node(look):
    function, inputs = ZOO["lenet"]()
    graph = viz.draw(function, *inputs.values(), backward=True)
    page = look(graph.model)
    page.key("f")
    conv = next(n for n in graph.model.nodes if n.name == "conv" and n.phase == "forward")
    page.click(*page.middle(node(conv.id)))
    assert chosen(page) == [conv.id]
    assert text(page, "#facts h2") == "conv (features.0 : Conv2d)"
    found = facts(page)
    assert found["kind"] == ["operator, forward"]
    assert found["module"] == ["LeNet", "features : Sequential", "features.0 : Conv2d"]
    assert found["made at"] == [conv.site]
    assert conv.site.startswith("zoo.py:")
    assert found["equation"] == [conv.facts["equation"]]
    assert found["from"] == ["input = image 2×1×12×12 float32"]
    assert found["results"] == ["output 2×4×12×12 float32"]
    assert "padding = ((2, 2), (2, 2))" in found["attributes"]
    assert found["parameters"] == ["weight 4×1×5×5 float32", "bias 4 float32", "104 parameters"]
    assert found["FLOPs"][0] == f"{conv.facts['flops']:,}"
    assert found["output bytes"][0].startswith("4.61 kB")  # 2 * 4 * 12 * 12 * 4
    assert any("input 2×1×12×12 float32" in entry for entry in found["saved for backward"])
    assert any(entry.startswith("relu (features.1 : ReLU)") for entry in found["to"])
    page.click(*page.middle("#facts .link"))  # the node it comes from
    assert text(page, "#facts h2") == "image"
    backward = next(n for n in graph.model.nodes if n.pair == conv.id and n.kind == "op")
    page.click(*page.middle(node(backward.id)))
    assert text(page, "#facts h2") == "conv backward"
    assert facts(page)["gradients"] == backward.facts["gradients"].split("\n")
    assert facts(page)["belongs to"] == ["conv (features.0 : Conv2d)"]


def test_every_fact_of_every_node_can_be_read(look):
    model = zoo("lenet")
    page = look(model)
    for one in model.nodes:
        page.run(f"document.querySelector({json.dumps(node(one.id))}).focus()")
        found = json.dumps(facts(page), ensure_ascii=False)
        assert chosen(page) == [one.id]
        for tensor in one.outputs:
            assert "×".join(map(str, tensor.shape)) in found
            assert tensor.dtype in found
        for name, value in one.attributes:
            assert f"{name} = {value}" in found
        for held in one.held:
            assert held.role in found
        assert one.site in found
        assert str(one.facts.get("equation", "")) in found


def net() -> GraphModel:
    return transforms.simplify(small_net())


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("conv", 3),  # forward, backward, and what is saved
        ("RELU back", 1),
        ("body.0", 3),
        ("2x1x3x3", 3),
        ("2×1×3×3", 3),
        ("2, 1, 3, 3", 3),
        ("sum scalar", 2),
        ("no such thing", 0),
    ],
)
def test_search_finds_operators_modules_and_shapes(query, count, look):
    model = net()
    page = look(model)
    page.key("/")
    page.type(query)
    assert page.run("document.activeElement.id") == "search"
    words = "1 match" if count == 1 else f"{count} matches"
    assert text(page, "#matches") == words
    found = sorted(classes(page, "found"))
    assert len(found) == count
    for expected in found:
        page.key("Enter")
        assert chosen(page) == [expected]
    if found:
        page.key("Enter")
        assert chosen(page) == [found[0]]  # round
        page.key("Enter", modifiers=8)
        assert chosen(page) == [found[-1]]
    page.key("Escape")
    assert page.run("document.querySelector('#search').value") == ""
    assert not classes(page, "found")
    assert not page.run("document.querySelector('#stage').classList.contains('searching')")


def test_a_reader_of_the_screen_hears_each_node(look):
    model = net()
    page = look(model)
    rows = page.run(
        "[...document.querySelectorAll('.node')].map(e =>"
        "[+e.dataset.id, e.getAttribute('role'), e.getAttribute('aria-label'), e.tabIndex])"
    )
    assert sorted(row[0] for row in rows) == [n.id for n in model.nodes]
    assert all(role == "button" and label for _, role, label, _ in rows)
    assert sorted(tab for *_, tab in rows) == [-1] * (len(rows) - 1) + [0]
    said = {number: label for number, _, label, _ in rows}
    assert said[3].startswith(
        "conv k3 s2 p1, body.0 : Conv2d, weight 2×1×3×3 = 18, bias 2, → 1×2×4×4"
    )
    for name in ("search", "in", "out", "back", "next"):
        assert page.run(f"document.getElementById('{name}').ariaLabel")
    assert page.run("document.querySelectorAll('[role=status]').length") == 2
    assert page.run("document.querySelector('#picture svg').getAttribute('role')") == "group"


def test_a_reader_of_the_screen_hears_each_part_of_a_plain_svg(browser, tmp_path):
    """What Chromium tells it: the picture by its title, and in it every node, edge and call."""
    model = net()
    page = browser.open(Graph(model).render(tmp_path / "a.svg"))
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    page.close()
    shown = [node for node in tree if not node["ignored"]]
    names = [node.get("name", {}).get("value", "").split("\n")[0] for node in shown]
    roles = Counter(node["role"]["value"] for node in shown)
    assert model.title in "".join(names)
    assert roles["graphics-document"] == 1
    assert roles["graphics-symbol"] == len(model.nodes) + len(model.edges) + len(model.clusters)
    for one in model.nodes:
        assert any(name.startswith(one.name) for name in names), one.name


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_names_are_text(number, look):
    name = HOSTILE[number] + "</script><script>document.title = 'taken'</script>@data@"
    model = hostile_graph([name])
    page = look(model)
    assert page.run("document.title") != "taken"
    assert page.run("document.scripts.length") == 2
    assert page.run("document.querySelectorAll('.node').length") == len(model.nodes)
    for one in model.nodes:
        page.run(f"document.querySelector({json.dumps(node(one.id))}).focus()")
        assert text(page, "#facts h2")
    page.key("/")
    page.type("script")
    assert text(page, "#matches") == f"{len(model.nodes)} matches"


@pytest.mark.parametrize("name", ["", " ", "\n", "plain"])
def test_the_line_of_an_overlay_is_found_whatever_the_other_lines_are(name, look):
    m = Maker()
    m.op(name, (2,), ("input", m.node("input", name, (2,))), title=name)
    page = look(m.model())
    said = f"(document.querySelector('{node(1)}').textContent.match(/100 %/g) ?? []).length"
    assert page.run(said) == 0
    choose(page, "#overlay", "output_bytes")
    assert page.run(said) == 1


def test_a_failed_graph_says_why(look):
    m = Maker()
    x = m.node("input", "x", (3,))
    m.op("conv", None, ("input", x), error="the kernel does not fit\nMake padding 2.")
    whole = "conv: the kernel does not fit\n  H_out = -3"
    page = look(m.model("failed", notes=("one note",), error=whole, totals={"operators": 1234}))
    found = facts(page)  # of the whole graph, while no node is chosen
    assert found == {"failed": [whole], "operators": ["1,234"], "notes": ["one note"]}
    page.click(*page.middle(node(1)))
    assert facts(page)["failed"] == ["the kernel does not fit", "Make padding 2."]


def test_the_page_could_not_load_anything_if_it_wanted(browser, tmp_path):
    page = browser.open(Graph(net()).render(tmp_path / "a.html"))
    answer = page.call(
        "Runtime.evaluate",
        expression="fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')",
        awaitPromise=True,
    )
    assert answer["result"]["value"] == "refused"
    assert any("Content Security Policy" in problem for problem in page.problems())
    page.close()


def test_two_pictures_in_one_page_keep_their_own_colours(browser, tmp_path):
    pictures = []
    for title in ("one", "two"):
        path = Graph(replace(net(), title=title)).render(tmp_path / f"{title}.svg")
        pictures.append(path.read_text(encoding="utf-8").partition("?>")[2])
    path = tmp_path / "both.html"
    path.write_text("<!doctype html><meta charset=utf-8>" + "".join(pictures), encoding="utf-8")
    page = browser.open(path)
    assert page.problems() == []
    doubled = page.run(
        "(ids => ids.length - new Set(ids).size)"
        "([...document.querySelectorAll('[id]')].map(e => e.id))"
    )
    assert doubled == 0
    page.run("document.querySelectorAll('svg')[1].style.setProperty('--tg-op', '#010203')")
    first, second = page.run(
        f"[...document.querySelectorAll('{node(3)} path')].map(e => getComputedStyle(e).fill)"
    )
    assert first != second == "rgb(1, 2, 3)"
    page.close()
