"""Where the labels of edges stand in a drawn SVG: beside their edge, where nothing else is."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from tinygrad_cv.viz.dot import SMALL_SIZE, SPACE
from tinygrad_cv.viz.geometry import GAP, SVG, Box, around, of_class, outline, pieces, text_box

__all__ = ["place_edge_labels"]

_FAR = 12  # from its edge
_MARGIN = 24  # right of a label that stands at the right end of the picture


def place_edge_labels(root: ET.Element) -> None:
    """Move each label that an engine put across something (a node, the side of a box, an edge,
    another label), or far from its edge, to the nearest place beside its edge that is free, if
    there is one.
    """
    graph = root.find(f"{SVG}g")
    if graph is None:
        return
    *corner, width, height = map(float, root.get("viewBox", "0 0 0 0").split())
    edges = of_class(graph, "edge")
    lines = [list(pieces(edge)) for edge in edges]
    labels = [(k, text) for k, edge in enumerate(edges) for text in edge.iterfind(f"{SVG}text")]
    for _, label in labels:
        _strip(label)
    things = [(-1, box) for box in _fixed(graph)]
    things += [(k, box) for k, line in enumerate(lines) for box in line]
    owner = np.array([k for k, _ in things])
    boxes = np.array([box for _, box in things]).reshape(-1, 4)
    texts = np.array([around(label) for _, label in labels]).reshape(-1, 4)
    for place, (own, label) in enumerate(labels):
        box, others = Box(*texts[place]), np.delete(texts, place, axis=0)
        near = Box(box[0] - _FAR, box[1] - _FAR, box[2] + _FAR, box[3] + _FAR)
        if not _free(near, boxes[owner == own]) and _free(box, boxes) and _free(box, others):
            continue
        for _, moved, attributes in _beside(label, box, lines[own]):
            if moved.left > 0 and _free(moved, boxes) and _free(moved, others):
                label.attrib.update(attributes)
                texts[place] = moved
                width = max(width, moved.right + _MARGIN)
                break
    root.set("viewBox", " ".join(f"{number:g}" for number in (*corner, width, height)))


def _beside(
    label: ET.Element, box: Box, line: list[Box]
) -> list[tuple[float, Box, dict[str, str]]]:
    """(distance, box, attributes) of the label at the right and the left of each piece of its
    edge, the nearest first."""
    spots = []
    for piece in line:
        y = (piece.top + piece.bottom) / 2 + SMALL_SIZE / 3
        for anchor, x in (("start", piece.right + GAP), ("end", piece.left - GAP)):
            spot = text_box(label.text or "", x, y, anchor)
            distance = abs(spot.left - box.left) + abs(spot.top - box.top)
            spots.append(
                (distance, spot, {"x": f"{x:.2f}", "y": f"{y:.2f}", "text-anchor": anchor})
            )
    return sorted(spots, key=lambda spot: spot[0])


def _fixed(graph: ET.Element) -> list[Box]:
    """Nodes, and the four sides of the boxes of module calls."""
    found = [box for group in of_class(graph, "node") if (box := outline(group)) is not None]
    for group in of_class(graph, "cluster"):
        box = outline(group)
        if box is not None:
            found += [box._replace(right=box.left), box._replace(left=box.right)]
            found += [box._replace(bottom=box.top), box._replace(top=box.bottom)]
    return found


def _free(box: Box, others: np.ndarray) -> bool:
    left, top, right, bottom = others.T
    across = (left < box.right) & (box.left < right)
    return not bool((across & (top < box.bottom) & (box.top < bottom)).any())


def _strip(label: ET.Element) -> None:
    """The text without the spaces that keep it off its edge, where it stands with them."""
    text = label.text or ""
    bare = text.strip()
    before = len(text) - len(text.lstrip())
    more = before - (len(text) - len(bare) - before)
    label.set("x", f"{float(label.get('x', 0)) + more / 2 * SPACE * SMALL_SIZE:.2f}")
    label.text = bare
