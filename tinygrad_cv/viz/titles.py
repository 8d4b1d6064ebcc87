"""Where the titles of module calls stand in a drawn SVG: beside the edges that enter the box.

An engine puts them at a corner, and an edge from above runs through them. DOT reserves twice the
width of the text (``dot._cluster_attributes``); here the text goes to the side where it is free.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tinygrad_cv.viz.dot import SMALL_SIZE
from tinygrad_cv.viz.geometry import GAP, SVG, Box, around, meet, of_class, outline, pieces
from tinygrad_cv.viz.labels import text_width

__all__ = ["place_titles"]

_LINE = 12  # between two lines of a title
_INDENT = 8  # between the border of a box and its title


def place_titles(root: ET.Element, prefix: str) -> None:
    """Move the titles of module calls to where no edge crosses them, and draw them last: where
    there is no such place, the text covers the edge.
    """
    graph = root.find(f"{SVG}g")
    if graph is None:
        return
    edges = of_class(graph, "edge")
    obstacles = [box for edge in edges for box in pieces(edge)]
    obstacles += [around(text) for edge in edges for text in edge.iterfind(f"{SVG}text")]
    top = ET.SubElement(graph, f"{SVG}g", {"id": f"{prefix}-labels", "class": "cluster-labels"})
    for group in of_class(graph, "cluster"):
        kinds = group.get("class", "").split()
        box = outline(group)
        texts = group.findall(f"{SVG}text")
        for text in texts:
            text.text = (text.text or "").rstrip("\N{NO-BREAK SPACE} ")
            text.set("class", f"{kinds[-1]} t-name" if text is texts[0] else kinds[-1])
            text.set("text-anchor", "start")
            group.remove(text)
            top.append(text)
        if box is not None and texts:
            _place(texts, box, obstacles)


def _place(texts: list[ET.Element], box: Box, obstacles: list[Box]) -> None:
    """The lines of one title: the first free place from the left, else the widest."""
    width = max(text_width(text.text or "", SMALL_SIZE) for text in texts)
    middle = sum(float(text.get("y", 0)) for text in texts) / len(texts)
    half = _LINE * (len(texts) - 1) / 2
    band = Box(box.left, middle - half - SMALL_SIZE, box.right, middle + half + SMALL_SIZE / 3)
    start, places = box.left + _INDENT, []
    for other in sorted(o for o in obstacles if meet(o, band)):
        places.append((start, other.left - GAP))
        start = max(start, other.right + GAP)
    places.append((start, box.right - _INDENT))
    free = [place for place in places if place[1] - place[0] >= width]
    left, right = free[0] if free else max(places, key=lambda place: place[1] - place[0])
    x = left if left == box.left + _INDENT else max(left, min(left + _INDENT, right - width))
    for index, text in enumerate(texts):
        text.set("x", f"{x:.2f}")
        text.set("y", f"{middle - half + _LINE * index:.2f}")
