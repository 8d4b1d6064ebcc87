"""What Graphviz drew, made into an SVG that stands alone: themes, titles, facts, and ids of its
own.

The light colours stay as presentation attributes, so a viewer without CSS variables shows the
light picture.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import BackendError
from tinygrad_cv.viz.complete import SVG, check_drawn, parsed
from tinygrad_cv.viz.dot import LINE_HEIGHT, NODE_SIZE, ROLES, role
from tinygrad_cv.viz.edge_labels import place_edge_labels
from tinygrad_cv.viz.ends import result_name
from tinygrad_cv.viz.labels import (
    Line,
    clean,
    cluster_text,
    legend_lines,
    node_lines,
    tensor_text,
    text_width,
)
from tinygrad_cv.viz.marks import MARKS, mark_of
from tinygrad_cv.viz.model import Cluster, GraphEdge, GraphModel, GraphNode
from tinygrad_cv.viz.overlay import LEVELS, applies, shades, state
from tinygrad_cv.viz.palette import DARK, HUES, LIGHT
from tinygrad_cv.viz.titles import place_titles

__all__ = ["finish", "variables"]

_PX_PER_PT = 4 / 3
_PAD = 0.15 * 72  # around the graph, in points
_LONGEST_TITLE = 2000

# Roles of the WAI-ARIA Graphics Module: a document has parts that a screen reader goes to one by
# one (those of an "img" are hidden from it), and a symbol is one thing, with its title as name.
DOCUMENT, SYMBOL = "graphics-document document", "graphics-symbol img"


def finish(drawn: bytes, model: GraphModel, suffix: str = "") -> bytes:
    """Graphviz's SVG of ``model`` as the SVG that is handed out.

    Its ids begin with a digest of the graph and with ``suffix``, which tells apart two drawings of
    one graph in one page.

    Raises:
        BackendError: ``drawn`` is not an SVG, or not a whole one of this model.
    """
    root = parsed(drawn)
    check_drawn(root, model)
    try:
        return _finished(root, model, suffix)
    except ValueError as error:  # a place or a size in it
        raise BackendError(
            "render", f"the Graphviz engine returned an SVG with a wrong number: {error}"
        ) from None


def _finished(root: ET.Element, model: GraphModel, suffix: str) -> bytes:
    prefix = "tg" + hashlib.sha256(model.to_json().encode()).hexdigest()[:8] + suffix
    _set_frame(root, model, prefix)
    nodes = {f"n{node.id}": node for node in model.nodes}
    clusters = {f"c{cluster.id}": cluster for cluster in model.clusters}
    edges = {f"e{index}": edge for index, edge in enumerate(model.edges)}
    names = {node.id: _name(node) for node in model.nodes}
    for group in root.iter(f"{{{SVG}}}g"):
        key = group.get("id", "")
        if key in nodes:
            _set_node(group, nodes[key])
        elif key in clusters:
            _set_cluster(group, clusters[key])
        elif key in edges:
            _set_edge(group, edges[key], nodes[f"n{edges[key].source}"], names)
        elif key[:1] == "s" and f"e{key[1:]}" in edges:
            _set_stub(group, edges[f"e{key[1:]}"], names)
        elif "graph" in group.get("class", "").split():
            _set_graph(group, model)
        group.set("id", f"{prefix}-{key}")
    place_edge_labels(root)
    place_titles(root, prefix)
    _add_page(root, model)
    ET.register_namespace("", SVG)
    ET.indent(root, space="")
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _set_frame(root: ET.Element, model: GraphModel, prefix: str) -> None:
    """Size, accessible name and style sheet of the whole picture."""
    root.set("id", prefix)
    root.set("class", "tinygrad-cv")
    root.set("role", DOCUMENT)
    root.set("aria-roledescription", "graph")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    for name in ("operators", "backward_operators", "parameters", "flops", "saved_bytes"):
        if name in model.totals:
            root.set("data-" + name.replace("_", "-"), str(model.totals[name]))
    title = ET.Element(f"{{{SVG}}}title", {"id": f"{prefix}-title"})
    title.text = clean(model.title or "computation graph")
    description = ET.Element(f"{{{SVG}}}desc", {"id": f"{prefix}-desc"})
    description.text = _description(model)
    style = ET.Element(f"{{{SVG}}}style")
    style.text = _style(f"#{prefix}")
    root[:0] = [title, description, style]
    if any(shade.startswith("unmeasured") for shade in shades(model).values()):
        root.insert(3, _hatch(f"{prefix}-hatch"))


def _hatch(name: str) -> ET.Element:
    """Stripes for what was not measured."""
    size = {"width": "8", "height": "8"}
    units = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    definitions = ET.Element(f"{{{SVG}}}defs")
    pattern = ET.SubElement(definitions, f"{{{SVG}}}pattern", {"id": name, **size, **units})
    ET.SubElement(pattern, f"{{{SVG}}}rect", {**size, "fill": LIGHT["unmeasured"]})
    stripe = {"d": "M0,0V8", "stroke": LIGHT["hatch"], "stroke-width": "2"}
    ET.SubElement(pattern, f"{{{SVG}}}path", stripe)
    return definitions


def _add_page(root: ET.Element, model: GraphModel) -> None:
    """Size and background. The legend may need more room than the engine gave it: its machine may
    have measured narrower letters than the viewer has, or lower lines.
    """
    left, top, width, height = map(float, root.get("viewBox", "0 0 0 0").split())
    lines = legend_lines(model)
    width = max(width, *(text_width(line.text, NODE_SIZE) + 2 * _PAD for line in lines))
    graph = root.find(f"{{{SVG}}}g")
    texts = [] if graph is None else graph.findall(f"{{{SVG}}}text")
    if texts:
        last = float(texts[-1].get("y", 0))
        first = last - LINE_HEIGHT * (len(texts) - 1)
        more = float(texts[0].get("y", 0)) - first
        for index, text in enumerate(texts):
            text.set("y", f"{first + LINE_HEIGHT * index:.2f}")
        top, height = top - max(more, 0), height + max(more, 0)
    box = {"x": f"{left:g}", "y": f"{top:g}", "width": f"{width:g}", "height": f"{height:g}"}
    root.set("viewBox", " ".join(box.values()))
    root.set("width", f"{width * _PX_PER_PT:.0f}")
    root.set("height", f"{height * _PX_PER_PT:.0f}")
    page = ET.Element(f"{{{SVG}}}rect", {"class": "page", **box, "fill": LIGHT["page"]})
    root.insert(3, page)


def _description(model: GraphModel) -> str:
    lines = [
        line.text for line in legend_lines(model) if line.style != "name" and "──" not in line.text
    ]
    inputs = [_name(n) for n in model.nodes if n.kind == "input" and n.phase == "forward"]
    outputs = [_name(n) for n in model.nodes if n.kind == "output" and n.phase == "forward"]
    if inputs and outputs:
        lines.append(
            f"data flows from {', '.join(inputs[:4])} at the top to {', '.join(outputs[:4])}"
        )
    return "Computation graph: " + "; ".join(lines) + "."


def _style(root: str) -> str:
    rules = [
        variables(root, LIGHT),
        "@media (prefers-color-scheme: dark){" + variables(root, DARK) + "}",
        f"{root}{{max-width:100%;height:auto;font-family:Helvetica,Arial,sans-serif}}",
        f"{root} .page{{fill:var(--tg-page)}}",
        f"{root} text{{fill:var(--tg-ink)}}",
        f"{root} .t-name{{font-weight:600}}",
        f"{root} .t-badge{{font-style:italic}}",
        f"{root} .t-fact,{root} .t-tensor{{fill:var(--tg-muted)}}",
        f"{root} .edge text,{root} .cluster-labels text{{fill:var(--tg-muted)}}",
        f"{root} .edge text{{paint-order:stroke;stroke:var(--tg-page);stroke-width:3}}",
        f"{root} .t-error{{fill:var(--tg-error-ink)}}",
    ]
    for name in ROLES:
        colours = f"fill:var(--tg-{name});stroke:var(--tg-{name}-line)"
        rules.append(_shapes(f"{root} .node.{name}", colours))
    for mark in MARKS:
        colours = f"fill:var(--tg-{mark});stroke:var(--tg-{mark}-line)"
        rules.append(_shapes(f"{root} .node.{mark}", colours))
    for name in (f"{scale}-{level}" for scale in ("heat", "cool") for level in range(LEVELS)):
        rules.append(_shapes(f"{root} .node.{name}", f"fill:var(--tg-{name})"))
    for number in range(HUES):
        colours = f"fill:var(--tg-hue-{number});stroke:var(--tg-hue-{number}-line)"
        rules.append(_shapes(f"{root} .node.hue-{number}", colours))
        rules.append(f"{root} .t-hue-{number}{{fill:var(--tg-hue-{number}-line)}}")
    rules.append(_shapes(f"{root} .node.plain", "fill:var(--tg-plain)"))
    for alarm in ("dead", "odd"):
        rules.append(_shapes(f"{root} .node.{alarm}", "stroke:var(--tg-error-line)"))
    for mark in MARKS:  # over the colour of a group, and inside of the border an overlay
        rules.append(_shapes(f"{root} .node.{mark}", f"stroke:var(--tg-{mark}-line)"))
    rules.append(_shapes(f"{root} .node.unmeasured", f"fill:url({root}-hatch)"))
    rules.append(f"{root}-hatch rect{{fill:var(--tg-unmeasured)}}")
    rules.append(f"{root}-hatch path{{stroke:var(--tg-hatch)}}")
    for name in ("cluster-even", "cluster-odd"):
        level = name.replace("cluster", "level")
        colours = f"fill:var(--tg-{name});stroke:var(--tg-cluster-line)"
        rules.append(_shapes(f"{root} .cluster.{level}", colours))
        halo = f"paint-order:stroke;stroke:var(--tg-{name});stroke-width:4"
        rules.append(f"{root} .cluster-labels .{level}{{{halo}}}")
    rules.append(_shapes(f"{root} .cluster.derivative", "stroke:var(--tg-gradient)"))
    for kind in ("data", "gradient", "saved-edge"):
        edge = f"{root} .edge.{kind.removesuffix('-edge')}"
        rules.append(f"{edge}>path{{stroke:var(--tg-{kind})}}")
        rules.append(f"{edge}>polygon{{fill:var(--tg-{kind});stroke:var(--tg-{kind})}}")
    for mark in ("added", "removed"):
        edge, line = f"{root} .edge.{mark}", f"var(--tg-{mark}-line)"
        rules += [f"{edge}>path{{stroke:{line}}}", f"{edge}>polygon{{fill:{line};stroke:{line}}}"]
    return "\n" + "\n".join(rules) + "\n"


def _shapes(group: str, colours: str) -> str:
    shapes = ",".join(f"{group}>{shape}" for shape in ("path", "polygon", "polyline"))
    return f"{shapes}{{{colours}}}"


def variables(root: str, colours: dict[str, str]) -> str:
    """The CSS rule that gives ``root`` a palette."""
    return root + "{" + ";".join(f"--tg-{name}:{value}" for name, value in colours.items()) + "}"


def _set_graph(group: ET.Element, model: GraphModel) -> None:
    """The legend; the background is the frame's."""
    _set_title(group, "")
    background = group.find(f"{{{SVG}}}polygon")
    if background is not None:
        group.remove(background)
    _set_lines(group, legend_lines(model))


def _set_node(group: ET.Element, node: GraphNode) -> None:
    _drop_links(group)
    _set_lines(group, node_lines(node))
    texts = group.findall(f"{{{SVG}}}text")
    middle = sum(float(text.get("y", 0)) for text in texts) / max(len(texts), 1)
    for index, text in enumerate(texts):
        text.set("y", f"{middle + LINE_HEIGHT * (index - (len(texts) - 1) / 2):.2f}")
    _set_title(group, "\n".join(_facts(node)))
    facts: dict[str, Any] = {
        "id": node.id,
        "kind": node.kind,
        "phase": node.phase,
        "name": node.name,
        "role": role(node),
        "shape": "; ".join(tensor_text(t) for t in node.outputs),
        "count": node.count if node.count > 1 else "",
        "pair": "" if node.pair is None else node.pair,
        "flops": node.facts.get("flops", ""),
        "saved-bytes": node.facts.get("saved_bytes", ""),
        "error": node.error,
        "mark": mark_of(node),
        "badges": ", ".join(node.facts.get("badges", ())),
    }
    shown = node.facts.get("overlay")
    if shown:
        facts["overlay"] = shown["name"]
        unknown = "unmeasured" if state(node).startswith("unmeasured") else ""
        facts["value"] = unknown if shown["value"] is None else shown["value"]
    for name, parts in node.facts.get("measured", {}).items():
        for phase, value in parts.items():
            facts[f"{name.replace('_', '-')}-{phase}"] = value
    for name, value in facts.items():
        if value != "":
            group.set(f"data-{name}", clean(str(value), _LONGEST_TITLE))


def _facts(node: GraphNode) -> Iterable[str]:
    """The lines of a node's title: everything that is known of it."""
    yield clean(_name(node), _LONGEST_TITLE)
    for line in node_lines(node)[1:]:
        yield line.text
    if "overlay" in node.facts and not applies(node):
        yield clean(f"{node.facts['overlay']['name']} does not apply", _LONGEST_TITLE)
    for name, text in node.attributes:
        yield clean(f"{name} = {text}", _LONGEST_TITLE)
    for fact in ("equation", "gradients"):
        if node.facts.get(fact):
            yield from (clean(text, _LONGEST_TITLE) for text in str(node.facts[fact]).splitlines())
    if node.facts.get("flops"):
        yield f"{int(node.facts['flops']):,} FLOPs"
    if node.kind == "op" and node.facts.get("saved_bytes"):
        yield f"{quantity(int(node.facts['saved_bytes']), 'B')} saved for backward"
    if node.site:
        yield clean(f"made at {node.site}", _LONGEST_TITLE)


def _name(node: GraphNode) -> str:
    text = f"{node.name} backward" if node.phase == "backward" and node.kind == "op" else node.name
    return clean(f"{text} ({node.title})" if node.title else text or node.kind, 200)


def _set_cluster(group: ET.Element, cluster: Cluster) -> None:
    _drop_links(group)
    _set_title(group, cluster_text(cluster))
    group.set("data-module", clean(cluster.path, _LONGEST_TITLE))
    group.set("data-class", clean(cluster.kind, _LONGEST_TITLE))
    group.set("data-parameters", str(cluster.parameters))
    group.set("data-flops", str(cluster.flops))
    for phase, seconds in cluster.time.items():
        group.set(f"data-time-{phase}", str(seconds))
    if cluster.calls > 1:
        group.set("data-call", f"{cluster.call}/{cluster.calls}")


def _set_edge(group: ET.Element, edge: GraphEdge, source: GraphNode, names: dict[int, str]) -> None:
    _drop_links(group)
    words = {"data": "to", "gradient": "sends its gradient to", "saved": "keeps for"}
    argument = f" as {edge.argument}" if edge.argument and edge.kind == "data" else ""
    shape = (
        f": {tensor_text(edge.tensor)}" if edge.tensor.shape is not None and edge.count == 1 else ""
    )
    verb = "leads through hidden operators to" if edge.hidden else words[edge.kind]
    result = result_name(edge, source)
    start = f"{names[edge.source]} ({result})" if result else names[edge.source]
    _set_title(group, clean(f"{start} {verb} {names[edge.target]}{argument}{shape}", 600))
    facts = {
        "source": edge.source,
        "target": edge.target,
        "kind": edge.kind,
        "slot": edge.slot,
        "output": edge.output,
        "count": edge.count,
    }
    texts = {"argument": edge.argument, "result": result, "mark": edge.mark}
    facts |= {name: text for name, text in texts.items() if text}
    for name, value in facts.items():
        group.set(f"data-{name}", clean(str(value), _LONGEST_TITLE))


def _set_stub(group: ET.Element, edge: GraphEdge, names: dict[int, str]) -> None:
    _drop_links(group)
    _set_title(group, f"{names[edge.source]}, which stands elsewhere in this picture")
    group.set("data-source", str(edge.source))


def _set_title(group: ET.Element, text: str) -> None:
    title = group.find(f"{{{SVG}}}title")
    if not text:
        if title is not None:
            group.remove(title)
        return
    if title is None:
        title = ET.Element(f"{{{SVG}}}title")
        group.insert(0, title)
    title.text = text
    group.set("role", SYMBOL)


def _set_lines(group: ET.Element, lines: list[Line]) -> None:
    """Mark each drawn line with its style; Graphviz draws them in order, one <text> each."""
    texts = [child for child in group if child.tag == f"{{{SVG}}}text"]
    for element, line in zip(texts, lines, strict=False):
        element.set("class", f"t-{line.style}")


def _drop_links(group: ET.Element) -> None:
    """No anchors: an engine may wrap shapes in <a> elements."""
    for anchor in list(group.iter(f"{{{SVG}}}a")):
        anchor.tag = f"{{{SVG}}}g"
        anchor.attrib.clear()
