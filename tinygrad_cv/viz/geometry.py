"""Where things are in a drawn SVG: the boxes around nodes, around the titles of module calls and
around short pieces of edges.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import NamedTuple

from tinygrad_cv.viz.dot import SMALL_SIZE
from tinygrad_cv.viz.labels import text_width

__all__ = ["GAP", "SVG", "Box", "around", "meet", "of_class", "outline", "pieces", "text_box"]

SVG = "{http://www.w3.org/2000/svg}"
GAP = 4  # between a text and an edge
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_STEPS = 12  # points looked at on each curve


class Box(NamedTuple):
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float


def of_class(graph: ET.Element, kind: str) -> list[ET.Element]:
    """The groups of the drawing that are a "node", an "edge" or a "cluster"."""
    return [group for group in graph if kind in group.get("class", "").split()]


def outline(group: ET.Element) -> Box | None:
    """The box around the shapes of a node or a cluster."""
    return _bounds(shape.get("d") or shape.get("points") or "" for shape in group)


def around(label: ET.Element) -> Box:
    """The box of an edge's label."""
    x, y = float(label.get("x", 0)), float(label.get("y", 0))
    return text_box(label.text or "", x, y, label.get("text-anchor", "middle"))


def text_box(text: str, x: float, y: float, anchor: str) -> Box:
    """The box of a small text that starts at x, ends there or has its middle there."""
    width = text_width(text, SMALL_SIZE)
    left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return Box(left, y - SMALL_SIZE, left + width, y + SMALL_SIZE / 3)


def pieces(edge: ET.Element) -> Iterable[Box]:
    """The boxes around short pieces of an edge, and around its arrowhead."""
    for path in edge.iterfind(f"{SVG}path"):
        yield from _curve(_points(path.get("d", "")))
    for head in edge.iterfind(f"{SVG}polygon"):
        box = _bounds([head.get("points", "")])
        if box is not None:
            yield box


def meet(a: Box, b: Box) -> bool:
    """True if both cover a common place."""
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _curve(points: list[tuple[float, float]]) -> Iterable[Box]:
    """The boxes around short pieces of a path of cubic curves."""
    last = points[0] if points else (0.0, 0.0)
    for k in range(0, len(points) - 3, 3):
        a, b, c, d = points[k : k + 4]
        for step in range(1, _STEPS + 1):
            t = step / _STEPS
            parts = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
            x = sum(part * point[0] for part, point in zip(parts, (a, b, c, d), strict=True))
            y = sum(part * point[1] for part, point in zip(parts, (a, b, c, d), strict=True))
            yield Box(min(x, last[0]), min(y, last[1]), max(x, last[0]), max(y, last[1]))
            last = x, y


def _bounds(shapes: Iterable[str]) -> Box | None:
    points = [point for text in shapes for point in _points(text)]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def _points(text: str) -> list[tuple[float, float]]:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return list(zip(numbers[::2], numbers[1::2], strict=False))
