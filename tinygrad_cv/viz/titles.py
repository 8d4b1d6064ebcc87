"""Where the titles of module calls stand in a drawn SVG: beside the edges that enter the box.

An engine puts them at a corner, and an edge from above runs through them. DOT reserves twice the
width of the text (``dot._cluster_attributes``); here the text goes to the side where it is free.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import NamedTuple

from tinygrad_cv.viz.dot import SMALL_SIZE
from tinygrad_cv.viz.labels import text_width

__all__ = ["place_titles"]

_SVG = "{http://www.w3.org/2000/svg}"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_LINE = 12  # between two lines of a title
_INDENT = 8  # between the border of a box and its title
_GAP = 4  # between a title and an edge
_STEPS = 12  # points looked at on each curve


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def place_titles(root: ET.Element, prefix: str) -> None:
    """Move the titles of module calls to where no edge crosses them, and draw them last: where
    there is no such place, the text covers the edge.
    """
    graph = root.find(f"{_SVG}g")
    if graph is None:
        return
    obstacles = list(_obstacles(graph))
    top = ET.SubElement(graph, f"{_SVG}g", {"id": f"{prefix}-labels", "class": "cluster-labels"})
    for group in graph:
        kinds = group.get("class", "").split()
        if "cluster" not in kinds:
            continue
        box = _bounds(shape.get("d") or shape.get("points") or "" for shape in group)
        texts = group.findall(f"{_SVG}text")
        for text in texts:
            text.text = (text.text or "").rstrip("\N{NO-BREAK SPACE} ")
            text.set("class", f"{kinds[-1]} t-name" if text is texts[0] else kinds[-1])
            text.set("text-anchor", "start")
            group.remove(text)
            top.append(text)
        if box is not None and texts:
            _place(texts, box, obstacles)


def _place(texts: list[ET.Element], box: _Box, obstacles: list[_Box]) -> None:
    """The lines of one title: the first free place from the left, else the widest."""
    width = max(text_width(text.text or "", SMALL_SIZE) for text in texts)
    middle = sum(float(text.get("y", 0)) for text in texts) / len(texts)
    half = _LINE * (len(texts) - 1) / 2
    band = _Box(box.left, middle - half - SMALL_SIZE, box.right, middle + half + SMALL_SIZE / 3)
    start, places = box.left + _INDENT, []
    for other in sorted(o for o in obstacles if _meet(o, band)):
        places.append((start, other.left - _GAP))
        start = max(start, other.right + _GAP)
    places.append((start, box.right - _INDENT))
    free = [place for place in places if place[1] - place[0] >= width]
    left, right = free[0] if free else max(places, key=lambda place: place[1] - place[0])
    x = left if left == box.left + _INDENT else max(left, min(left + _INDENT, right - width))
    for index, text in enumerate(texts):
        text.set("x", f"{x:.2f}")
        text.set("y", f"{middle - half + _LINE * index:.2f}")


def _obstacles(graph: ET.Element) -> Iterable[_Box]:
    """What a title must not meet: pieces of edges, arrowheads, and the labels of edges."""
    for group in graph:
        if "edge" not in group.get("class", "").split():
            continue
        for shape in group:
            if shape.tag == f"{_SVG}path":
                yield from _pieces(_points(shape.get("d", "")))
            elif shape.tag == f"{_SVG}polygon":
                box = _bounds([shape.get("points", "")])
                if box is not None:
                    yield box
            elif shape.tag == f"{_SVG}text":
                x, y = float(shape.get("x", 0)), float(shape.get("y", 0))
                half = text_width((shape.text or "").strip(), SMALL_SIZE) / 2
                yield _Box(x - half, y - SMALL_SIZE, x + half, y + SMALL_SIZE / 3)


def _pieces(points: list[tuple[float, float]]) -> Iterable[_Box]:
    """The boxes around short pieces of a path of cubic curves."""
    last = points[0] if points else (0.0, 0.0)
    for k in range(0, len(points) - 3, 3):
        a, b, c, d = points[k : k + 4]
        for step in range(1, _STEPS + 1):
            t = step / _STEPS
            parts = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
            x = sum(part * point[0] for part, point in zip(parts, (a, b, c, d), strict=True))
            y = sum(part * point[1] for part, point in zip(parts, (a, b, c, d), strict=True))
            yield _Box(min(x, last[0]), min(y, last[1]), max(x, last[0]), max(y, last[1]))
            last = x, y


def _meet(a: _Box, b: _Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _bounds(shapes: Iterable[str]) -> _Box | None:
    points = [point for text in shapes for point in _points(text)]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return _Box(min(xs), min(ys), max(xs), max(ys))


def _points(text: str) -> list[tuple[float, float]]:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return list(zip(numbers[::2], numbers[1::2], strict=False))
