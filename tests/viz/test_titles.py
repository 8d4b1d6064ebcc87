"""The titles of module calls: no edge runs through one, and each stands inside its box."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from tests.viz.handmade import Maker, small_net
from tests.viz.zoo import ZOO
from tinygrad_cv import viz
from tinygrad_cv.viz import labels, transforms
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.model import Cluster, GraphModel
from tinygrad_cv.viz.render import draw_dot
from tinygrad_cv.viz.svg import finish

pytest.importorskip("pygraphviz")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(model: GraphModel) -> ET.Element:
    return ET.fromstring(finish(draw_dot(to_dot(model), "svg"), model))


def numbers(text: str) -> list[tuple[float, float]]:
    found = [float(number) for number in re.findall(r"-?[\d.]+", text)]
    return list(zip(found[::2], found[1::2], strict=True))


def edge_points(root: ET.Element) -> list[tuple[str, float, float]]:
    """Two hundred points of each curve of each edge, by repeated interpolation (de Casteljau)."""
    found = []
    for group in root.iter(f"{SVG}g"):
        if "edge" in group.get("class", "").split():
            for path in group.iter(f"{SVG}path"):
                points = numbers(path.get("d"))
                for k in range(0, len(points) - 3, 3):
                    for step in range(200):
                        level, t = points[k : k + 4], step / 199
                        while len(level) > 1:
                            level = [
                                (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))
                                for a, b in itertools.pairwise(level)
                            ]
                        found.append((group.get("id"), *level[0]))
    return found


def title_boxes(root: ET.Element) -> list[tuple[str, float, float, float, float]]:
    """Text, left, top, right and bottom of each line of a title, in a wide face."""
    (group,) = (g for g in root.iter(f"{SVG}g") if g.get("class") == "cluster-labels")
    boxes = []
    for text in group:
        x, y = float(text.get("x")), float(text.get("y"))
        assert text.get("text-anchor") == "start"
        boxes.append((text.text, x, y - 9, x + 0.9 * labels.text_width(text.text, 10), y + 2))
    return boxes


def crossings(root: ET.Element) -> list[tuple[str, str]]:
    return sorted(
        {
            (text, edge)
            for text, left, top, right, bottom in title_boxes(root)
            for edge, x, y in edge_points(root)
            if left - 1 < x < right + 1 and top < y < bottom
        }
    )


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("name", ["mlp", "lenet", "residual", "shared", "double_backward"])
def test_no_edge_runs_through_a_title(name, backward):
    function, inputs = ZOO[name]()
    root = drawn(viz.draw(function, *inputs.values(), backward=backward).model)
    assert title_boxes(root)
    assert crossings(root) == []


def test_deep_long_names():
    m = Maker()
    x = m.node("input", "x", (2,))
    call = None
    for depth in range(4):
        path = ".".join(["encoder", "layers", "attention", "projection"][: depth + 1])
        call = m.cluster(path, "TransformerBlock", call, call=2, calls=12, parameters=1_234_567)
    last = m.op("relu", (2,), ("input", x), cluster=call)
    m.edge(last, m.node("output", "output", (2,)))
    root = drawn(m.model("deep"))
    assert len(title_boxes(root)) == 12  # path, class and parameters of each
    assert crossings(root) == []


def test_titles_stand_inside_their_boxes():
    model = transforms.fold_parameters(small_net())
    root = drawn(model)
    boxes = []
    for group in root.iter(f"{SVG}g"):
        if "cluster" in group.get("class", "").split():
            points = numbers(group.find(f"{SVG}path").get("d"))
            xs, ys = zip(*points, strict=True)
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
    titles = title_boxes(root)
    assert sorted(text for text, *_ in titles) == sorted(
        line.text for cluster in model.clusters for line in labels.cluster_lines(cluster)
    )
    for _, left, top, right, bottom in titles:
        assert any(
            box[0] <= left and box[1] <= top + 3 and right <= box[2] and bottom <= box[3]
            for box in boxes
        )


@pytest.mark.parametrize(
    ("cluster", "lines"),
    [
        (Cluster(0, "", "Net"), ["Net"]),
        (Cluster(0, "body", "Net", parameters=20), ["body : Net", "20 parameters"]),
        (Cluster(0, "a.long.path.of.names", "Net"), ["a.long.path.of.names", "Net"]),
        (Cluster(0, "layers.0", "Linear", call=2, calls=3), ["layers.0", "Linear, call 2 of 3"]),
    ],
)
def test_the_lines_of_a_title(cluster, lines):
    assert [line.text for line in labels.cluster_lines(cluster)] == lines
