"""The labels of edges: each stands beside its own edge, and on nothing else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

import tinygrad_cv as tg
from tests.viz.test_titles import SVG, drawn, edge_points, numbers
from tests.viz.zoo import ZOO
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import labels
from tinygrad_cv.viz.edge_labels import place_edge_labels

pytest.importorskip("pygraphviz")


class Across(nn.Module):
    """Two paths across, whose labels Graphviz puts on the side of the box and on a path."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()) for _ in range(3))
        self.up = nn.ModuleList(nn.ConvTranspose2d(k, 1, 3) for k in (1, 2))

    def forward(self, image):
        fine = self.down[0](image)
        coarse = self.down[1](fine)
        x = tg.cat([self.up[0](self.down[2](coarse)), coarse], dim=1)
        return tg.cat([self.up[1](x), fine], dim=1)


def across():
    graph = viz.trace(Across().to("meta"), tg.zeros(1, 1, 16, 16, device="meta"))
    return graph.depth(1).simplify().model


def model_of(name):
    if name == "across":
        return across()
    function, inputs = ZOO[name]()
    return viz.draw(function, *inputs.values(), backward=name != "shared").model


def boxes_of_labels(root: ET.Element) -> list[tuple[str, str, float, float, float, float]]:
    found = []
    for group in root.iter(f"{SVG}g"):
        if "edge" not in group.get("class", "").split():
            continue
        for text in group.iter(f"{SVG}text"):
            x, y, words = float(text.get("x")), float(text.get("y")), text.text
            assert words == words.strip(" \N{NO-BREAK SPACE}")
            width = 0.8 * labels.text_width(words, 10)
            start = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor")]
            found.append((words, group.get("id"), start, y - 8, start + width, y + 1))
    return found


def met(root: ET.Element) -> set[tuple[str, str]]:
    """(label, what it meets): edges, nodes, sides of boxes, other labels."""
    found = set()
    texts, curves = boxes_of_labels(root), edge_points(root)
    shapes = []
    for group in root.iter(f"{SVG}g"):
        kinds = group.get("class", "").split()
        for shape in group:
            outline = numbers(shape.get("d") or shape.get("points") or "")
            if outline and ("node" in kinds or "cluster" in kinds):
                xs, ys = zip(*outline, strict=True)
                shapes.append((kinds[0], min(xs), min(ys), max(xs), max(ys)))
    for words, own, left, top, right, bottom in texts:
        for edge, x, y in curves:
            if left < x < right and top < y < bottom:
                found.add((words, edge))
        for kind, a, b, c, d in shapes:
            apart = right < a or c < left or bottom < b or d < top
            inside = kind == "cluster" and a < left and right < c and b < top and bottom < d
            if not apart and not inside:
                found.add((words, kind))
        for other, owner, a, b, c, d in texts:
            if owner != own and left < c and a < right and top < d and b < bottom:
                found.add((words, other))
    return found


@pytest.mark.parametrize("name", ["across", "residual", "shared", "lenet", "double_backward"])
def test_a_label_stands_on_nothing(name):
    root = drawn(model_of(name))
    assert boxes_of_labels(root)
    assert met(root) == set()


def test_the_engine_alone_puts_a_label_on_a_side(monkeypatch):
    """Otherwise the test above would say nothing."""
    monkeypatch.setattr("tinygrad_cv.viz.svg.place_edge_labels", strip_only)
    assert met(drawn(across()))


def strip_only(root: ET.Element) -> None:
    for text in root.iter(f"{SVG}text"):
        text.text = re.sub(r"^\s+|\s+$", "", text.text or "")


@pytest.mark.parametrize("name", ["across", "residual", "double_backward"])
def test_a_label_stands_beside_its_own_edge(name):
    root = drawn(model_of(name))
    curves = edge_points(root)
    for words, own, left, top, right, bottom in boxes_of_labels(root):
        away = min(
            max(left - x, x - right, 0) + max(top - y, y - bottom, 0)
            for edge, x, y in curves
            if edge == own
        )
        assert away < 24, words


def svg(content: str) -> ET.Element:
    frame = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 90"><g>'
    return ET.fromstring(f"{frame}{content}</g></svg>")


def test_a_label_without_a_free_place_stays():
    node = '<g class="node"><polygon points="0,0 0,90 90,90 90,0"/></g>'
    edge = '<g class="edge"><path d="M45,10C45,30 45,50 45,80"/>'
    edge += '<text text-anchor="middle" x="50" y="40">  other  </text></g>'
    root = svg(node + edge)
    place_edge_labels(root)
    (text,) = root.iter(f"{SVG}text")
    assert (text.get("x"), text.get("y"), text.text) == ("50.00", "40", "other")
    assert root.get("viewBox") == "0 0 90 90"


def test_the_page_grows_with_a_label_at_its_right():
    box = '<g class="cluster"><path d="M9,0C9,0 80,0 80,0 80,0 80,90 80,90 80,90 9,90 9,90"/></g>'
    edge = '<g class="edge"><path d="M77,10C77,30 77,50 77,80"/>'
    edge += '<text text-anchor="middle" x="80" y="40">other</text></g>'
    busy = '<g class="node"><polygon points="12,2 12,88 70,88 70,2"/></g>'
    root = svg(box + busy + edge)
    place_edge_labels(root)
    (text,) = root.iter(f"{SVG}text")
    assert (text.get("text-anchor"), text.get("x")) == ("start", "81.00")
    width = labels.text_width("other", 10)
    assert float(root.get("viewBox").split()[2]) == pytest.approx(81 + width + 24, abs=0.01)
