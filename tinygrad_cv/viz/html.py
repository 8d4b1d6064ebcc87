"""The viewer: one HTML file with the SVG of a graph, its JSON, and the style and script of the
folder ``viewer``. It loads nothing else, and its content security policy forbids it to.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from html import escape
from importlib.resources import files
from typing import Any

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import TinygradError
from tinygrad_cv.viz import overlay as overlays
from tinygrad_cv.viz.labels import clean, text_width
from tinygrad_cv.viz.model import Cluster, GraphModel, GraphNode, cluster_paths
from tinygrad_cv.viz.palette import DARK, LIGHT
from tinygrad_cv.viz.svg import finish, variables
from tinygrad_cv.viz.table import TABLE

__all__ = ["page", "plain", "with_room"]


def page(drawn: bytes, model: GraphModel) -> bytes:
    """The viewer of ``model``.

    Args:
        drawn: Graphviz's SVG of :func:`with_room` of the model.
        model: what was drawn, with what is measured.

    Raises:
        BackendError: ``drawn`` is not an SVG.
    """
    picture = finish(drawn, plain(model)).decode().partition("?>")[2].strip()
    found = re.search(r'<svg [^>]*?\bid="(\w+)"', picture)
    root = "#" + (found[1] if found else "picture")
    data = {"model": _told(model), "overlays": choices(model), "calls": _calls(model)}
    data["overlay"] = model.overlay
    parts = {
        "title": escape(clean(model.title or "computation graph", 200)),
        "style": _colours(root) + _file("viewer.css"),
        "picture": picture,
        # In a script element only "<" could end or change anything.
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "script": _file("viewer.js"),
    }
    return re.sub(r"@(\w+)@", lambda match: parts[match[1]], _file("viewer.html")).encode()


# What the overlays have told, entry by entry: long lists where a node stands for thousands.
_UNTOLD = ("overlay", "given", "norms", "live", "statistics", "parameter_sizes", "storages")


def _told(model: GraphModel) -> Any:
    """The model as data, without the facts that nobody reads on the page."""
    nodes = []
    for node in model.nodes:
        facts = {k: v for k, v in node.facts.items() if k not in _UNTOLD}
        if "paths" in facts:
            facts["paths"] = " ".join(facts["paths"])
        if "diff" in facts:
            sides = ("before", "after")
            facts["diff"] = {k: v for k, v in facts["diff"].items() if k not in sides}
        nodes.append(replace(node, facts=facts))
    return json.loads(replace(model, nodes=tuple(nodes)).to_json())


def _calls(model: GraphModel) -> dict[int, dict[str, str]]:
    """What a module call holds and costs, in words: by its number."""
    counts: dict[int, Counter[str]] = {cluster.id: Counter() for cluster in model.clusters}
    paths = cluster_paths(model.clusters)
    for node in model.nodes:
        for number in paths[node.cluster] if node.kind == "op" else ():
            counts[number][node.phase] += node.count
    return {cluster.id: _in_words(cluster, counts[cluster.id]) for cluster in model.clusters}


def _in_words(cluster: Cluster, operators: Counter[str]) -> dict[str, str]:
    words = f"{operators['forward']:,}"
    if operators["backward"]:
        words += f", {operators['backward']:,} backward"
    found = {"operators": words}
    if cluster.flops:
        found["flops"] = ("at least " if cluster.flops_unknown else "") + f"{cluster.flops:,}"
    if cluster.time:
        parts = cluster.time.items()
        found["time"] = ", ".join(f"{quantity(v, 's')} {phase}" for phase, v in parts)
    return found


def plain(model: GraphModel) -> GraphModel:
    """The model without what an overlay says of it."""
    hidden = ("overlay", "measured")
    nodes = tuple(
        replace(node, facts={k: v for k, v in node.facts.items() if k not in hidden})
        if any(name in node.facts for name in hidden)
        else node
        for node in model.nodes
    )
    return replace(model, nodes=nodes, overlay="")


def with_room(model: GraphModel) -> GraphModel:
    """The plain model with as many empty lines in each operator as the longest overlay needs."""
    lines: dict[int, list[list[str]]] = {}
    for choice in choices(model):
        for key, texts in choice["lines"].items():
            lines.setdefault(key, []).append(texts)
    nodes = []
    for node in plain(model).nodes:
        if node.id in lines:
            count = max(len(texts) for texts in lines[node.id])
            texts = [text for texts in lines[node.id] for text in texts]
            longest = max(texts, key=lambda text: text_width(text, 1.0))
            node = replace(node, facts={**node.facts, "room": [longest] * count})
        nodes.append(node)
    return replace(plain(model), nodes=tuple(nodes))


def choices(model: GraphModel) -> list[dict[str, Any]]:
    """The overlays that the graph carries: for each its name, its note, and by node id the lines of
    text and the classes of the shade.
    """
    shown = {} if model.overlay in ("", *TABLE) else {model.overlay: model}
    for name in TABLE:
        try:
            shown[name] = overlays.overlay(model, name)
        except TinygradError:
            continue  # the graph has no such numbers
    return [_choice(name, other) for name, other in shown.items()]


def _choice(name: str, model: GraphModel) -> dict[str, Any]:
    lines = {node.id: _lines(node) for node in model.nodes if overlays.applies(node)}
    shades = overlays.shades(model).items()
    return {
        "name": name,
        "note": "; ".join(overlays.legend(model)),
        "lines": lines,
        "classes": {key: shade for key, shade in shades if shade != "plain"},
        "difference": any(n.facts.get("overlay", {}).get("difference") for n in model.nodes),
    }


def _lines(node: GraphNode) -> list[str]:
    """What the overlay says, without what the node says of other measures."""
    alone = replace(node, facts={"overlay": node.facts["overlay"]})
    return [clean(text, 64) for text in overlays.overlay_lines(alone)]


def _colours(root: str) -> str:
    """The palette for the page, and for the picture over what it says itself: the theme that was
    chosen, else the system's.
    """
    light, dark = (f':root[data-theme="{theme}"]' for theme in ("light", "dark"))
    return "\n".join(
        (
            variables(":root", LIGHT),
            "@media (prefers-color-scheme: dark){" + variables(":root", DARK) + "}",
            variables(f"{light},{light} {root}", LIGHT),
            variables(f"{dark},{dark} {root}", DARK),
            "",
        )
    )


def _file(name: str) -> str:
    return (files("tinygrad_cv.viz") / "viewer" / name).read_text(encoding="utf-8")
