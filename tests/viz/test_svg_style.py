"""Each class that occurs in a drawing has the colours of the palette, in light and dark."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("pygraphviz")

from tests.viz.drawings import DRAWINGS, SVG, drawing, groups
from tests.viz.style import Sheet, rules
from tinygrad_cv.viz.palette import DARK, HUES, LIGHT

ROLES = ("op", "backward", "block", "input", "param", "const", "output", "saved", "error")
MARKS = ("added", "removed", "changed", "moved", "same")
SHAPES = {f"{SVG}path", f"{SVG}polygon", f"{SVG}polyline"}
THEMES = [("light", LIGHT), ("dark", DARK)]
each_theme = pytest.mark.parametrize(("theme", "palette"), THEMES, ids=["light", "dark"])
each_drawing = pytest.mark.parametrize("name", DRAWINGS)


def shapes(group):
    return [child for child in group if child.tag in SHAPES]


def expected_node(classes, palette):
    """Fill and line of a node, by its classes: its role, and what lies over it."""
    (role,) = [name for name in ROLES if name in classes]
    fill, line = palette[role], palette[f"{role}-line"]
    for name in classes:
        if re.fullmatch(r"hue-\d", name) or name in MARKS:
            fill, line = palette[name], palette[f"{name}-line"]
        elif re.fullmatch(r"(heat|cool)-\d", name) or name == "plain":
            fill = palette[name]
        elif name == "unmeasured":
            fill = None
    if {"dead", "odd"} & set(classes):
        line = palette["error-line"]
    return fill, line


@each_theme
@each_drawing
def test_nodes(name, theme, palette):
    _, root = drawing(name)
    sheet, dark = Sheet(root), theme == "dark"
    for group in groups(root, "node"):
        fill, line = expected_node(group.get("class").split(), palette)
        for shape in shapes(group):
            found = sheet.computed(shape, "fill", dark)
            if fill is None:
                assert found == f"url(#{root.get('id')}-hatch)"
            else:
                assert found == fill
            assert sheet.computed(shape, "stroke", dark) == line
        assert shapes(group)


@each_theme
def test_the_hatch(theme, palette):
    _, root = drawing("shaded")
    sheet, dark = Sheet(root), theme == "dark"
    (pattern,) = root.iter(f"{SVG}pattern")
    assert pattern.get("id") == f"{root.get('id')}-hatch"
    below, stripe = pattern
    assert sheet.computed(below, "fill", dark) == palette["unmeasured"]
    assert sheet.computed(stripe, "stroke", dark) == palette["hatch"]


@each_theme
@each_drawing
def test_edges(name, theme, palette):
    _, root = drawing(name)
    sheet, dark = Sheet(root), theme == "dark"
    lines = {"data": "data", "gradient": "gradient", "saved": "saved-edge"}
    for group in groups(root, "edge"):
        classes = group.get("class").split()
        (kind,) = [kind for kind in lines if kind in classes]
        marks = [mark for mark in ("added", "removed") if mark in classes]
        colour = palette[f"{marks[0]}-line" if marks else lines[kind]]
        parts = shapes(group)
        assert {part.tag for part in parts} == {f"{SVG}path", f"{SVG}polygon"}
        for part in parts:
            assert sheet.computed(part, "stroke", dark) == colour
            if part.tag == f"{SVG}polygon":
                assert sheet.computed(part, "fill", dark) == colour
            else:
                assert sheet.computed(part, "fill", dark) == "none"


@each_theme
@each_drawing
def test_module_calls_and_the_page(name, theme, palette):
    _, root = drawing(name)
    sheet, dark = Sheet(root), theme == "dark"
    for group in groups(root, "cluster"):
        classes = group.get("class").split()
        (parity,) = [parity for parity in ("even", "odd") if f"level-{parity}" in classes]
        line = "gradient" if "derivative" in classes else "cluster-line"
        for shape in shapes(group):
            assert sheet.computed(shape, "fill", dark) == palette[f"cluster-{parity}"]
            assert sheet.computed(shape, "stroke", dark) == palette[line]
    for text in (t for g in groups(root, "cluster-labels") for t in g):
        (parity,) = re.findall(r"level-(\w+)", text.get("class"))
        assert sheet.computed(text, "stroke", dark) == palette[f"cluster-{parity}"]
        assert sheet.computed(text, "paint-order", dark) == "stroke"
    (page,) = (e for e in root.iter(f"{SVG}rect") if e.get("class") == "page")
    assert sheet.computed(page, "fill", dark) == palette["page"]
    assert [child for child in groups(root, "graph")[0] if child.tag == f"{SVG}polygon"] == []


@each_theme
@each_drawing
def test_texts(name, theme, palette):
    _, root = drawing(name)
    sheet, dark = Sheet(root), theme == "dark"
    of_edges = {t for g in groups(root, "edge") for t in g.iter(f"{SVG}text")}
    of_calls = {t for g in groups(root, "cluster-labels") for t in g}
    for text in root.iter(f"{SVG}text"):
        classes = (text.get("class") or "").split()
        hues = [c.removeprefix("t-") for c in classes if c.startswith("t-hue-")]
        if text in of_edges:
            colour = "muted"
            assert sheet.computed(text, "paint-order", dark) == "stroke"
            assert sheet.computed(text, "stroke", dark) == palette["page"]
        elif text in of_calls or {"t-fact", "t-tensor"} & set(classes):
            colour = "muted"
        elif "t-error" in classes:
            colour = "error-ink"
        else:
            colour = f"{hues[0]}-line" if hues else "ink"
        assert sheet.inherited(text, "fill", dark) == palette[colour], (text.text, classes)
        weight = sheet.computed(text, "font-weight", dark)
        assert weight == ("600" if "t-name" in classes else None)
        slant = sheet.computed(text, "font-style", dark)
        assert slant == ("italic" if "t-badge" in classes else None)
        assert "Helvetica" in sheet.inherited(text, "font-family", dark)


def test_everything_that_has_a_rule_occurs():
    """So each rule is seen by the tests above."""
    nodes, edges, texts = set(), set(), set()
    for name in DRAWINGS:
        _, root = drawing(name)
        nodes |= {c for g in groups(root, "node") for c in g.get("class").split()}
        edges |= {c for g in groups(root, "edge") for c in g.get("class").split()}
        texts |= {c for t in root.iter(f"{SVG}text") for c in (t.get("class") or "").split()}
    heats = {f"{scale}-{k}" for scale in ("heat", "cool") for k in range(5)}
    hues = {f"hue-{k}" for k in range(HUES)}
    assert nodes >= {*ROLES, *MARKS, *heats, *hues, "plain", "dead", "odd", "unmeasured", "stub"}
    assert edges >= {"data", "gradient", "saved", "added", "removed"}
    assert texts >= {
        "t-name",
        "t-badge",
        "t-fact",
        "t-tensor",
        "t-param",
        "t-error",
        *(f"t-{h}" for h in hues),
    }
    known = nodes | edges | texts | {"page", "cluster", "cluster-labels", "derivative", "graph"}
    known |= {"level-even", "level-odd", "tinygrad-cv"}
    for name in DRAWINGS:
        _, root = drawing(name)
        (style,) = root.iter(f"{SVG}style")
        for rule in rules(style.text):
            assert {c for _, (*_, classes) in rule.steps for c in classes} <= known


@each_drawing
def test_without_a_style_sheet_the_picture_is_the_light_one(name):
    """Viewers that know no CSS variables show the attributes that the engine wrote."""
    _, root = drawing(name)
    for group in groups(root, "node"):
        fill, line = expected_node(group.get("class").split(), LIGHT)
        for shape in shapes(group):
            corner = shape.tag == f"{SVG}polyline"  # of a note
            assert shape.get("fill") == ("none" if corner else fill or LIGHT["unmeasured"])
            assert shape.get("stroke") == line
    for group in groups(root, "edge"):
        kind = next(k for k in ("data", "gradient", "saved") if k in group.get("class").split())
        marks = [m for m in ("added", "removed") if m in group.get("class").split()]
        colour = LIGHT[f"{marks[0]}-line" if marks else kind.replace("saved", "saved-edge")]
        assert {part.get("stroke") for part in shapes(group)} == {colour}
