"""How a node shows the group that a colour scheme put it into: class, line of text, legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tinygrad_cv.viz.model import GraphModel, GraphNode

__all__ = ["color_legend", "color_line", "common_color", "hue"]


def hue(node: GraphNode) -> str:
    """The class of a node's colour: "hue-0" ..., "heat-0" ... or ""."""
    group = node.facts.get("color")
    if not group:
        return ""
    return f"hue-{group['hue']}" if "hue" in group else f"heat-{group['level']}"


def color_line(node: GraphNode) -> str:
    """What a node says of its colour, where its other lines do not."""
    group = node.facts.get("color", {})
    if group.get("scheme") == "order":
        return str(group["label"])
    if group.get("scheme") == "structure":
        return f"structure {group['label']}"
    return ""


def color_legend(model: GraphModel) -> list[tuple[str, str]]:
    """(class, text): the scheme, and each group of nodes that is drawn."""
    schemes = {node.facts["color"]["scheme"] for node in model.nodes if "color" in node.facts}
    words = {"order": "order of execution; stronger is later"}
    lines = [("fact", f"colour: {words.get(scheme, scheme)}") for scheme in sorted(schemes)]
    groups: dict[int, Counter[str]] = {}
    for node in model.nodes:
        group = node.facts.get("color", {})
        if "hue" in group:
            groups.setdefault(group["hue"], Counter())[group["label"]] += 1
    for number in sorted(groups):
        labels = groups[number].most_common()
        text = ", ".join(f"{label} ({count:,})" for label, count in labels[:3])
        if len(labels) > 3:
            rest = sum(count for _, count in labels[3:])
            text += f", {len(labels) - 3} others ({rest:,})"
        lines.append((f"hue-{number}", f"■ {text}"))
    return lines


def common_color(nodes: Iterable[GraphNode]) -> dict[str, Any]:
    """The colour of nodes that become one: theirs if it is the same, or the first step's."""
    groups = [node.facts["color"] for node in nodes if "color" in node.facts]
    if groups and (groups[0]["scheme"] == "order" or all(g == groups[0] for g in groups)):
        return {"color": groups[0]}
    return {}
