"""The HTML viewer in a headless Chromium: keys, menus, steps, pan and zoom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.viz.browser import Page
from tests.viz.handmade import Maker, small_net
from tests.viz.viewing import choose, chosen, classes, node, text
from tests.viz.zoo import ZOO
from tinygrad_cv import viz
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.palette import DARK, LIGHT


def test_the_keyboard_alone(look):
    m = Maker()
    a, b = m.node("input", "a", (2,)), m.node("input", "b", (2,))
    total = m.op("add", (2,), ("input", a), ("other", b))
    left, right = m.op("exp", (2,), ("input", total)), m.op("sin", (2,), ("input", total))
    other = m.op("cos", (2,), ("input", b))
    product = m.op("mul", (2,), ("input", left), ("other", other))
    last = m.op("add", (2,), ("input", product), ("other", right))
    output = m.node("output", "output", (2,))
    m.edge(last, output)
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
    assert after("ArrowRight") == other  # the other one that product comes from
    assert after("ArrowDown") == product
    assert after("ArrowDown") == last
    assert after("ArrowDown") == output
    assert after("ArrowDown") == output  # the end
    page.key("Enter")
    assert page.run("document.activeElement.tagName") == "H2"
    page.key("Escape")
    assert page.run("+document.activeElement.dataset.id") == output
    before = page.run("document.querySelector('#picture svg').getAttribute('viewBox')")
    page.key("ArrowDown", modifiers=8)
    assert page.run("document.querySelector('#picture svg').getAttribute('viewBox')") != before
    page.key("Escape")
    assert chosen(page) == []
    page.key("?")
    assert page.run("document.querySelector('#help').open") is True
    page.key("Escape")
    assert page.run("document.querySelector('#help').open") is False


def net() -> GraphModel:
    return transforms.simplify(small_net())


def fill(page: Page, selector: str, what: str = "fill") -> str:
    """A computed colour as #rrggbb."""
    colour = page.run(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    return "#" + "".join(f"{int(part):02x}" for part in colour[4:-1].split(","))


def test_themes(look):
    page = look(net())
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
    assert options == ["", "value", "flops", "output_bytes", "parameters"]
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
    assert "colour: flops, 600 FLOPs in all" in text(page, "#note")
    hatched = page.run(f"getComputedStyle(document.querySelector('{node(4)} path')).fill")
    assert hatched.startswith('url("#hatch")')
    choose(page, "#overlay", "parameters")
    assert lines(page, 3)[-1] == "20 parameters"
    assert 4 in classes(page, "plain")  # a ReLU has none, which is not to be unmeasured
    assert lines(page, 4)[-1] == "→ 1×2×4×4 float32"
    choose(page, "#overlay", "")
    assert not classes(page, "plain")
    assert lines(page, 3)[-1] == "→ 1×2×4×4 float32"
    assert not classes(page, "unmeasured") | classes(page, "heat-4")
    assert text(page, "#note") == ""
    for name in options:  # the lines stay in the box, whichever are shown
        choose(page, "#overlay", name)
        for one in model.nodes:
            box, *texts = boxes(page, one.id)
            assert len(texts) >= 2
            above, below = texts[0]["top"] - box["top"], box["bottom"] - texts[-1]["bottom"]
            assert above == pytest.approx(below, abs=6)
            for text_box in texts:
                assert box["top"] <= text_box["top"]
                assert text_box["bottom"] <= box["bottom"]
                assert box["left"] <= text_box["left"]
                assert text_box["right"] <= box["right"]


def test_a_colour_scheme_comes_back_when_no_overlay_is_chosen(look):
    graph = Graph(net()).color("operator")
    page = look(graph.model)
    hues = {n.id: f"hue-{n.facts['color']['hue']}" for n in graph.model.nodes if "color" in n.facts}

    def colours() -> dict[int, str]:
        names = sorted(set(hues.values()))
        return {number: name for name in names for number in classes(page, name)}

    assert colours() == hues
    choose(page, "#overlay", "flops")
    assert colours() == {}
    choose(page, "#overlay", "")
    assert colours() == hues


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
    function, inputs = ZOO["lenet"]()
    model = viz.draw(function, *inputs.values(), backward=True).model
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


def test_a_graph_with_nothing_in_it(look):
    page = look(GraphModel("nothing"))
    page.key("f")
    page.key("]")
    assert text(page, "#step") == "step 0 of 0"


def test_what_a_key_chooses_is_brought_into_view(look):
    function, inputs = ZOO["lenet"]()
    model = viz.draw(function, *inputs.values(), backward=True).model
    page = look(model, 700, 500)
    for _ in range(4):
        page.key("+")
    frame = page.run("document.querySelector('#picture').getBoundingClientRect().toJSON()")

    def seen(number: int) -> bool:
        x, y = page.middle(node(number))
        return frame["left"] < x < frame["right"] and frame["top"] < y < frame["bottom"]

    hidden = [n for n in model.nodes if not seen(n.id)]
    assert len(hidden) > 10
    page.key("/")
    page.type("output")
    page.key("Enter")
    assert seen(chosen(page)[0])
    page.key("Escape")
    page.run(f"document.querySelector({json.dumps(node(0))}).focus()")
    for _ in range(6):
        page.key("ArrowDown")
        assert seen(chosen(page)[0])
    for _ in range(8):
        page.key("]")
        assert seen(chosen(page)[0])


def test_two_fingers(look):
    page = look(net(), 700, 500)
    before = view(page)
    x, y = page.middle("#picture")

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(places)]
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", (x - 40, y), (x + 40, y))
    for far in (50, 60, 70, 80):
        touch("touchMove", (x - far, y), (x + far, y))
    touch("touchEnd")
    after = view(page)
    assert after[2] == pytest.approx(before[2] / 2, rel=0.05)
    middle = [before[i] + before[i + 2] / 2 for i in (0, 1)]
    assert [after[i] + after[i + 2] / 2 for i in (0, 1)] == pytest.approx(middle, abs=8)
    assert chosen(page) == []
