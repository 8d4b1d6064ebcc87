"""The HTML viewer, used in a headless Chromium by mouse and keyboard.

A failing test leaves a screenshot beside its other files; with ``VIEWER_SCREENSHOTS=folder`` every
test writes one there.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.viz.browser import Browser, Page, chromium
from tests.viz.handmade import Maker, small_net
from tests.viz.test_svg import HOSTILE, hostile_graph
from tests.viz.zoo import ZOO
from tinygrad_cv import viz
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.palette import DARK, LIGHT

pytest.importorskip("pygraphviz")
pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on the PATH, where the viewer could be used"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture
def look(browser, tmp_path, request):
    """A function that shows a graph. In the end nothing was said on the console and nothing but
    the file was asked for."""
    pages: list[tuple[Page, Path]] = []
    failed = request.session.testsfailed

    def show(model: GraphModel, width: int = 1200, height: int = 900) -> Page:
        path = Graph(model).render(tmp_path / f"graph{len(pages)}.html")
        pages.append((browser.open(path, width, height), path))
        return pages[-1][0]

    yield show
    wanted = os.environ.get("VIEWER_SCREENSHOTS")
    for page, path in pages:
        if wanted or request.session.testsfailed > failed:
            folder = Path(wanted) if wanted else tmp_path
            page.screenshot(folder / f"{request.node.name}-{path.stem}.png")
        problems, requests = page.problems(), page.requests()
        page.close()
        assert problems == []
        assert requests == [path.as_uri()]


def net() -> GraphModel:
    return transforms.simplify(small_net())


def classes(page: Page, name: str, kind: str = "node") -> set[Any]:
    """The nodes (by id), or edges (by both ends), that have a class."""
    found = page.run(
        f"[...document.querySelectorAll('.{kind}.{name}')].map(e => ({{...e.dataset}}))"
    )
    if kind == "node":
        return {int(one["id"]) for one in found}
    return {(int(one["source"]), int(one["target"])) for one in found}


def text(page: Page, selector: str) -> str:
    return page.run(f"document.querySelector({json.dumps(selector)}).innerText")


def facts(page: Page) -> dict[str, list[str]]:
    """What is said of the chosen node: for each heading its entries."""
    found: dict[str, list[str]] = {}
    rows = page.run(
        "[...document.querySelectorAll('#facts dl > *')].map(e => [e.tagName, e.innerText])"
    )
    for tag, words in rows:
        if tag == "DT":
            last = found.setdefault(words, [])
        else:
            last.append(words)
    return found


def chosen(page: Page) -> list[int]:
    return sorted(page.run(
        "[...document.querySelectorAll('.node[aria-pressed=true]')].map(e => +e.dataset.id)"
    ))  # fmt: skip


def node(number: int) -> str:
    return f'.node[data-id="{number}"]'


def choose(page: Page, selector: str, value: str) -> None:
    """As a user of a menu does."""
    page.run(
        f"(menu => {{menu.value = {json.dumps(value)};"
        "menu.dispatchEvent(new Event('change', {bubbles: true}))})"
        f"(document.querySelector({json.dumps(selector)}))"
    )


def closure(model: GraphModel) -> dict[int, set[int]]:
    """What each node reaches, by Warshall's algorithm."""
    ids = [n.id for n in model.nodes]
    reached = {i: {e.target for e in model.edges if e.source == i} for i in ids}
    for middle, start in itertools.product(ids, ids):
        if middle in reached[start]:
            reached[start] |= reached[middle]
    return reached


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
    assert found["parameters"] == ["weight 4×1×5×5 float32", "bias 4 float32"]
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


def test_the_keyboard_alone(look):
    m = Maker()
    a, b = m.node("input", "a", (2,)), m.node("input", "b", (2,))
    total = m.op("add", (2,), ("input", a), ("other", b))
    left, right = m.op("exp", (2,), ("input", total)), m.op("sin", (2,), ("input", total))
    product = m.op("mul", (2,), ("input", left), ("other", right))
    m.edge(product, m.node("output", "output", (2,)))
    page = look(m.model("two ways"))
    seen = []
    for _ in range(20):
        page.key("Tab")
        where = page.run("document.activeElement.dataset.id ?? document.activeElement.id")
        if where in seen:
            break
        seen.append(where)
    for wanted in ("search", "fit", "in", "out", "next", "overlay", "theme", str(a)):
        assert wanted in seen
    page.run(f"document.querySelector({json.dumps(node(a))}).focus()")

    def after(key: str, **parts: Any) -> int:
        page.key(key, **parts)
        assert page.run("+document.activeElement.dataset.id") == chosen(page)[0]
        return chosen(page)[0]

    assert after("ArrowRight") == b  # a and b come from nowhere
    assert after("ArrowRight") == a
    assert after("ArrowDown") == total
    assert after("ArrowDown") == left
    assert after("ArrowRight") == right
    assert after("ArrowLeft") == left
    assert after("ArrowDown") == product
    assert after("ArrowUp") == left
    assert after("ArrowRight") == right  # the other one that product comes from
    assert after("ArrowDown") == product
    assert after("ArrowDown") == product + 1
    assert after("ArrowDown") == product + 1  # the end
    page.key("Enter")
    assert page.run("document.activeElement.tagName") == "H2"
    page.key("Escape")
    assert page.run("+document.activeElement.dataset.id") == product + 1
    before = page.run("document.querySelector('#picture svg').getAttribute('viewBox')")
    page.key("ArrowDown", modifiers=8)
    assert page.run("document.querySelector('#picture svg').getAttribute('viewBox')") != before
    page.key("Escape")
    assert chosen(page) == []
    page.key("?")
    assert page.run("document.querySelector('#help').open") is True
    page.key("Escape")
    assert page.run("document.querySelector('#help').open") is False


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


def fill(page: Page, selector: str, what: str = "fill") -> str:
    """A computed colour as #rrggbb."""
    colour = page.run(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    return "#" + "".join(f"{int(part):02x}" for part in colour[4:-1].split(","))


def test_themes(look):
    page = look(net())
    page.run("document.body.append(Object.assign(document.createElement('style'),"
             "{textContent: '* {transition: none !important}'}))")  # fmt: skip
    choose(page, "#overlay", "")

    def colours() -> tuple[str, str, str]:
        return (
            fill(page, f"{node(3)} path"),
            fill(page, ".page"),
            fill(page, "body", "backgroundColor"),
        )

    light = LIGHT["op"], LIGHT["page"], LIGHT["page"]
    dark = DARK["op"], DARK["page"], DARK["page"]
    for system, expected in (("light", light), ("dark", dark)):
        features = [{"name": "prefers-color-scheme", "value": system}]
        page.call("Emulation.setEmulatedMedia", features=features)
        assert colours() == expected
        choose(page, "#theme", "light")
        assert colours() == light
        choose(page, "#theme", "dark")
        assert colours() == dark
        choose(page, "#theme", "system")
        assert colours() == expected


def lines(page: Page, number: int) -> list[str]:
    """What is written in a node now."""
    found = page.run(
        f"[...document.querySelectorAll({json.dumps(node(number) + ' text')})]"
        ".map(e => e.textContent.trim()).filter(Boolean)"
    )
    return list(found)


def test_overlays(look):
    graph = Graph(net()).overlay({3: 2.0, 4: 8.0})
    model = graph.model
    page = look(model)
    options = page.run("[...document.querySelector('#overlay').options].map(o => o.value)")
    assert options == ["", "value", "flops", "output_bytes"]
    assert page.run("document.querySelector('#overlay').value") == "value"
    assert lines(page, 3)[-1] == "value 2 (20 %)"
    assert classes(page, "heat-1") == {3}
    assert classes(page, "heat-4") == {4}
    others = {n.id for n in model.nodes if n.kind == "op"} - {3, 4}
    assert classes(page, "unmeasured") == others
    choose(page, "#overlay", "flops")
    assert lines(page, 3)[-1] == "600 FLOPs (100 %)"
    assert "FLOPs" not in lines(page, 4)[-1]
    assert classes(page, "heat-4") == {3}
    assert "coloured by flops: 600 FLOPs in all" in text(page, "#note")
    hatched = page.run(f"getComputedStyle(document.querySelector('{node(4)} path')).fill")
    assert hatched.startswith('url("#hatch")')
    choose(page, "#overlay", "")
    assert lines(page, 3)[-1] == "→ 1×2×4×4 float32"
    assert not classes(page, "unmeasured") | classes(page, "heat-4")
    assert text(page, "#note") == ""
    for name in options:  # the lines stay in the box, whichever are shown
        choose(page, "#overlay", name)
        for one in model.nodes:
            box, *texts = boxes(page, one.id)
            assert len(texts) >= 2
            for text_box in texts:
                assert box["top"] <= text_box["top"]
                assert text_box["bottom"] <= box["bottom"]
                assert box["left"] <= text_box["left"]
                assert text_box["right"] <= box["right"]


def boxes(page: Page, number: int) -> list[dict[str, float]]:
    """Where the shape of a node and its lines are."""
    parts = ", ".join(
        f"{node(number)} > {tag}" for tag in ("path", "polygon:first-of-type", "text")
    )
    found = page.run(
        f"[...document.querySelectorAll({json.dumps(parts)})]"
        ".filter(e => e.tagName !== 'text' || e.textContent)"
        ".map(e => e.getBoundingClientRect().toJSON())"
    )
    return list(found)


def test_stepping_follows_the_execution_order(look):
    model = net()
    page = look(model)
    order = [n for n in model.nodes if n.kind == "op"]
    assert [n.phase for n in order] == ["forward"] * 3 + ["backward"] * 3
    assert text(page, "#step") == "step 0 of 6"
    ran: set[int] = set()
    for index, one in enumerate(order, start=1):
        if index % 2:
            page.click(*page.middle("#next"))
        else:
            page.key("]")
        ran.add(one.id)
        assert text(page, "#step").startswith(f"step {index} of 6: {one.name}")
        assert chosen(page) == [one.id]
        assert classes(page, "step") == {one.id}
        later = classes(page, "later")
        assert {n.id for n in order} - later == ran
        for edge in model.edges:  # a node of another kind is there as soon as its operator ran
            if edge.source not in later and model.nodes[0].id == edge.source:
                assert edge.target in ran | later
    assert page.run("document.querySelector('#next').disabled") is True
    page.key("]")
    assert text(page, "#step").startswith("step 6 of 6")
    page.key("[")
    assert text(page, "#step").startswith("step 5 of 6")
    page.key("Escape")
    assert text(page, "#step") == "step 0 of 6"
    assert not classes(page, "later")


def view(page: Page) -> list[float]:
    box = page.run("document.querySelector('#picture svg').getAttribute('viewBox')")
    return [float(number) for number in box.split()]


def test_pan_zoom_and_fit(look):
    model = zoo("lenet")
    page = look(model)
    page.key("f")
    frame = page.run("document.querySelector('#stage').getBoundingClientRect().toJSON()")
    for one in model.nodes:
        x, y = page.middle(node(one.id))
        assert frame["left"] < x < frame["right"]
        assert frame["top"] < y < frame["bottom"]
    whole = view(page)
    here = page.middle(node(model.nodes[5].id))
    page.mouse("mouseWheel", *here, deltaX=0, deltaY=-200)
    assert view(page)[2] < 0.7 * whole[2]
    assert page.middle(node(model.nodes[5].id)) == pytest.approx(here, abs=1)  # it stays in place
    page.click(*page.middle("#out"))
    page.click(*page.middle("#in"))
    before, start = view(page), page.middle(node(model.nodes[5].id))
    page.mouse("mouseMoved", *start)
    page.mouse("mousePressed", *start, button="left", clickCount=1)
    page.mouse("mouseMoved", start[0] + 50, start[1] - 30, button="left", buttons=1)
    page.mouse("mouseReleased", start[0] + 50, start[1] - 30, button="left", clickCount=1)
    moved = page.middle(node(model.nodes[5].id))
    assert moved == pytest.approx((start[0] + 50, start[1] - 30), abs=1)
    assert view(page)[2:] == before[2:]
    assert chosen(page) == []  # to drag is not to choose
    page.click(*page.middle("#fit"))
    assert view(page) == whole


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


def test_a_failed_graph_says_why(look):
    m = Maker()
    x = m.node("input", "x", (3,))
    m.op("conv", None, ("input", x), error="the kernel does not fit\nMake padding 2.")
    page = look(m.model("failed", error="conv: the kernel does not fit"))
    page.click(*page.middle(node(1)))
    assert facts(page)["failed"] == ["the kernel does not fit", "Make padding 2."]


def test_a_graph_with_nothing_in_it(look):
    page = look(GraphModel("nothing"))
    page.key("f")
    page.key("]")
    assert text(page, "#step") == "step 0 of 0"


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
