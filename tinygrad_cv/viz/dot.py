"""GraphModel -> DOT text, through the ``graphviz`` package. The same graph gives the same bytes.

Labels are plain text, since record and HTML labels differ between engines. Each node, edge and
cluster carries an ``id`` (n12, e5, c3), by which the SVG stage finds it again, and the light
colours of the palette.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tinygrad_cv.viz import overlay as overlays
from tinygrad_cv.viz.ends import result_name
from tinygrad_cv.viz.labels import (
    Line,
    clean,
    cluster_lines,
    legend_lines,
    node_lines,
    shape_text,
    text_width,
)
from tinygrad_cv.viz.marks import mark_of, sign
from tinygrad_cv.viz.model import Cluster, GraphEdge, GraphModel, GraphNode
from tinygrad_cv.viz.palette import LIGHT

__all__ = [
    "LINE_HEIGHT",
    "NODE_SIZE",
    "ROLES",
    "edge_label",
    "escape",
    "role",
    "stub_text",
    "to_dot",
]

FONT = "Helvetica,Arial,sans-serif"
NODE_SIZE = 11
LINE_HEIGHT = 13.2
SMALL_SIZE = 10
SPACE = 0.278  # width of a space in a letter size of 1
FAR = 4  # nodes between both ends of a long edge

ROLES = ("op", "backward", "block", "input", "param", "const", "output", "saved", "error")
_SHAPES = {
    "param": "note",
    "saved": "note",
    "const": "box",
    "input": "box",
    "output": "box",
    "op": "box",
}


def to_dot(model: GraphModel) -> str:
    """The DOT source of a graph, drawn from top to bottom; the same graph gives the same text.

    Forward goes down; a backward operator stands at the right of its forward one, so gradients go
    up.

    >>> import tinygrad_cv as tg
    >>> lines = to_dot(tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3)).model).splitlines()
    >>> [line.split(" [")[0].strip() for line in lines if " -> " in line]
    ['n0 -> n1', 'n1 -> n2']
    """
    import graphviz

    graph = graphviz.Digraph(
        "graph",
        graph_attr={
            "rankdir": "TB",
            "fontname": FONT,
            "fontsize": str(NODE_SIZE),
            "fontcolor": LIGHT["ink"],
            "bgcolor": LIGHT["page"],
            "label": _label(legend_lines(model), "l"),
            "labelloc": "t",
            "labeljust": "l",
            "nodesep": "0.22",
            "ranksep": "0.32",
            "pad": "0.15",
            "margin": "0",
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "fontname": FONT,
            "fontsize": str(NODE_SIZE),
            "fontcolor": LIGHT["ink"],
            "margin": "0.12,0.06",
            "penwidth": "1.1",
            **_role_attributes("op"),
        },
        edge_attr={
            "fontname": FONT,
            "fontsize": str(SMALL_SIZE),
            "fontcolor": LIGHT["muted"],
            "color": LIGHT["data"],
            "arrowsize": "0.7",
            "class": "data",
        },
    )
    _add_nodes(graph, model)
    _add_edges(graph, model)
    return str(graph.source)


def escape(text: str) -> str:
    """One line of a label for DOT: no backslash sequence and no character reference may start in
    it.
    """
    return text.replace("\\", "\\\\").replace("&", "&amp;")


def _label(lines: Iterable[Line], end: str = "n", apart: bool = True) -> str:
    """Lines joined as DOT wants them; ``end`` sets them centred (n) or from the left (l), as
    equations always are.
    """
    import graphviz

    # Graphviz (14) crashes on a node whose first line is empty.
    texts = [escape(line.text) or "\N{NO-BREAK SPACE}" for line in lines]
    ends = [
        (text, "l" if line.style == "equation" else end)
        for text, line in zip(texts, lines, strict=True)
    ]
    if end == "l" and ends and apart:
        ends.append(("", "l"))  # an empty line keeps the legend off the graph
    joined = "".join(f"{text}\\{how}" for text, how in ends).removesuffix("\\n")
    return str.__new__(graphviz.quoting.NoHtml, joined) if joined else ""


def role(node: GraphNode) -> str:
    """Which of :data:`ROLES` of the palette a node has."""
    if node.error:
        return "error"
    if node.kind == "op":
        if node.phase == "backward":
            return "backward"
        return "block" if "operators" in node.facts else "op"
    if node.phase == "backward":
        return "backward"
    return node.kind


def _add_nodes(graph: Any, model: GraphModel) -> None:
    import graphviz

    inside: dict[int | None, list[GraphNode]] = defaultdict(list)
    for node in model.nodes:
        inside[node.cluster].append(node)
    nodes = {node.id: node for node in model.nodes}
    copies: dict[int, list[tuple[int, GraphNode]]] = defaultdict(list)
    for index, edge in enumerate(model.edges):
        if edge.stub:
            copies[edge.target].append((index, nodes[edge.source]))
    boxes: dict[int | None, Any] = {None: graph}
    shades = overlays.shades(model)
    levels: dict[int | None, int] = {None: -1}
    for cluster in model.clusters:
        levels[cluster.id] = level = levels[cluster.parent] + 1
        boxes[cluster.id] = graphviz.Digraph(
            f"cluster_{cluster.id}", graph_attr=_cluster_attributes(cluster, level)
        )
    for key, box in boxes.items():
        for node in inside[key]:
            box.node(f"n{node.id}", **_node_attributes(node, shades[node.id]))
            for index, source in copies.get(node.id, ()):
                box.node(f"s{index}", **_stub_attributes(index, source))
        for row in _rows(inside[key]):
            box.body.append("\t{ rank=same; " + "; ".join(f"n{i}" for i in row) + " }\n")
    for cluster in reversed(
        model.clusters
    ):  # children before parents: the text of a box is copied into its parent
        boxes[cluster.parent].subgraph(boxes[cluster.id])


def _rows(nodes: list[GraphNode]) -> list[list[int]]:
    """Nodes that stand side by side: a forward node, what it saves, its backward node."""
    rows: dict[int, list[int]] = {}
    here = {node.id for node in nodes}
    for node in nodes:
        if node.pair in here and node.pair is not None:
            rows.setdefault(node.pair, [node.pair]).append(node.id)
    return list(rows.values())


def _cluster_attributes(cluster: Cluster, level: int) -> dict[str, str]:
    """Half of the label's width stays empty, so that an edge that enters the box can pass beside
    its text, wherever it enters (the SVG stage moves the text there).
    """
    parity = "even" if level % 2 == 0 else "odd"
    derivative = cluster.kind.endswith("backward")  # what a backward recorded
    lines = cluster_lines(cluster)
    width = max((text_width(line.text, SMALL_SIZE) for line in lines), default=0)
    empty = "\N{NO-BREAK SPACE}" * round((width + 12) / (SPACE * SMALL_SIZE))
    return {
        "id": f"c{cluster.id}",
        "class": f"derivative level-{parity}" if derivative else f"level-{parity}",
        "label": _label([Line(line.text + empty) for line in lines], "l", apart=False),
        "labeljust": "l",
        "fontsize": str(SMALL_SIZE),
        "style": "rounded,filled",
        "fillcolor": LIGHT[f"cluster-{parity}"],
        "color": LIGHT["gradient" if derivative else "cluster-line"],
        "fontcolor": LIGHT["muted"],
        "margin": "10",
    }


def _node_attributes(node: GraphNode, shade: str) -> dict[str, str]:
    name = role(node)
    lines = node_lines(node)
    width = max((text_width(line.text, NODE_SIZE) for line in lines), default=0.0)
    attributes = {
        "id": f"n{node.id}",
        "label": _label(lines),
        "width": f"{(width + 17) / 72:.2f}",
        "height": f"{(len(lines) * LINE_HEIGHT + 9) / 72:.2f}",
    }
    if name != "op":  # which is the default
        attributes |= _role_attributes(name)
    if node.kind != "op":
        attributes["shape"] = _SHAPES[node.kind]
        attributes["style"] = "filled,dashed" if node.kind in ("saved", "const") else "filled"
    mark = mark_of(node)
    if mark and not node.error:  # it keeps its border under an overlay
        attributes |= {"class": f"{name} {mark}", "fillcolor": LIGHT[mark]}
        attributes["color"] = LIGHT[f"{mark}-line"]
        if mark in ("added", "changed"):
            attributes["penwidth"] = "2"
        elif mark == "removed":
            attributes["style"] = "filled,dashed"
    if shade and not node.error:
        level, _, alarm = shade.partition(" ")
        attributes["class"] = f"{attributes.get('class', name)} {shade}"
        attributes["fillcolor"] = LIGHT[level]
        if alarm or (level.startswith("hue-") and not mark):
            attributes["color"] = LIGHT["error-line" if alarm else f"{level}-line"]
        if alarm:
            attributes["penwidth"] = "2"
    if shade.startswith("unmeasured"):
        attributes["style"] = "rounded,filled,dashed"
    if node.kind in ("input", "output") or node.error:
        attributes["penwidth"] = "2"
    if node.error:
        attributes["fontcolor"] = LIGHT["error-ink"]
    return attributes


def _stub_attributes(index: int, source: GraphNode) -> dict[str, str]:
    """A small copy of the source of an edge, beside its target."""
    text = stub_text(source)
    return {
        **_role_attributes("const"),
        "id": f"s{index}",
        "class": "const stub",
        "label": _label([Line(text)]),
        "style": "filled,dashed",
        "fontsize": str(SMALL_SIZE),
        "width": f"{(text_width(text, SMALL_SIZE) + 13) / 72:.2f}",
        "height": f"{(LINE_HEIGHT + 5) / 72:.2f}",
    }


def stub_text(source: GraphNode) -> str:
    """What a stub says: ``↪ relu #12``, or the name of an input or parameter.

    >>> stub_text(GraphNode(12, "op", "relu")), stub_text(GraphNode(0, "input", "x"))
    ('↪ relu #12', '↪ x')
    """
    name = source.title or source.name or source.kind
    return clean(f"↪ {name} #{source.id}" if source.kind == "op" else f"↪ {name}", 40)


def _role_attributes(name: str) -> dict[str, str]:
    return {"class": name, "fillcolor": LIGHT[name], "color": LIGHT[f"{name}-line"]}


def _add_edges(graph: Any, model: GraphModel) -> None:
    nodes = {node.id: node for node in model.nodes}
    order = {node.id: place for place, node in enumerate(model.nodes)}
    both = {node.phase for node in model.nodes if node.kind == "op"} == {"forward", "backward"}
    arguments: dict[int, set[int]] = defaultdict(set)
    results: dict[int, set[int]] = defaultdict(set)
    first_shape: dict[int, Any] = {}
    for edge in model.edges:
        results[edge.source].add(edge.output)
        if edge.kind == "data":
            arguments[edge.target].add(edge.slot)
            first_shape.setdefault(edge.target, edge.tensor.shape)
        elif edge.kind == "gradient" and not both:
            first_shape.setdefault(edge.target, edge.tensor.shape)
    for index, edge in enumerate(model.edges):
        source, target = nodes[edge.source], nodes[edge.target]
        attributes = {"id": f"e{index}"}
        changed = source.kind == "op" and first_shape.get(edge.source, ()) != edge.tensor.shape
        far = edge.slot > 0 and order[edge.target] - order[edge.source] > FAR
        changed = changed and not far  # its source says the shape
        several = len(arguments[edge.target]) > 1 or "arguments_not_drawn" in target.facts
        result = result_name(edge, source)
        if results[edge.source] == {0}:
            result = ""  # the first result, and no other is used
        text = edge_label(edge, result, several=several, changed=changed, both=both)
        if edge.mark and mark_of(source) != edge.mark != mark_of(target):
            text = sign(edge.mark) + (edge.argument if edge.kind == "data" else "")
        elif edge.mark == "removed":
            text = ""  # the mark of its node says it
        if text:
            space = " " * (7 if far else 2)  # keeps it off the line, which bends if it is long
            attributes["label"] = _label([Line(f"{space}{clean(text, 48)}  ")])
        if source.cluster != target.cluster and not edge.stub:  # keeps the picture narrow
            attributes["minlen"] = "2"
        tail, head = f"s{index}" if edge.stub else f"n{edge.source}", f"n{edge.target}"
        if edge.kind == "saved":
            attributes |= {
                "style": "dotted",
                "color": LIGHT["saved-edge"],
                "class": "saved",
                "penwidth": "1.6",
            }
        elif edge.kind == "gradient":
            attributes |= {"style": "dashed", "color": LIGHT["gradient"], "class": "gradient"}
            if both:
                attributes["weight"] = "4"
            if both:
                attributes["dir"] = "back"
                tail, head = head, tail
        elif edge.slot == 0 and not edge.stub and edge.mark != "removed":
            attributes["weight"] = "12"  # a straight path of the first arguments
        if edge.mark:
            kind = attributes.get("class", "data")
            attributes |= {"class": f"{kind} {edge.mark}", "color": LIGHT[f"{edge.mark}-line"]}
            attributes |= {"penwidth": "2"}
        graph.edge(tail, head, **attributes)


def edge_label(edge: GraphEdge, result: str, *, several: bool, changed: bool, both: bool) -> str:
    """The text beside an edge: which ``result`` of its source it is and which argument of its
    target, where there are ``several``, the shape where it changes, a count.
    """
    parts = ["… hidden"] if edge.hidden else []
    argument = edge.argument if several else ""
    if edge.kind == "data":
        parts.append(f"{result} → {argument}" if result and argument else result or argument)
    shown = edge.kind == "data" or (edge.kind == "gradient" and not both)
    if edge.kind == "gradient" and shown and result:
        parts.append(f"d {result}")
    if shown and changed and edge.tensor.shape is not None and edge.count == 1:
        parts.append(shape_text(edge.tensor.shape))
    if edge.count > 1 and edge.kind != "saved":
        parts.append(f"{edge.count} {'gradients' if edge.kind == 'gradient' else 'tensors'}")
    return ": ".join(filter(None, parts))
