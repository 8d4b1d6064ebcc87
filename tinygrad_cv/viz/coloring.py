"""How a node shows the group that a colour scheme put it into: class, line of text, legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tinygrad_cv.viz.model import GraphModel, GraphNode

__all__ = ["color_legend", "color_line", "common_color", "hue", "ordered", "steps_of"]


def hue(node: GraphNode) -> str:
    """The class of a node's colour: "hue-0" ..., "heat-0" ... or ""."""
    group = node.facts.get("color")
    if not group:
        return ""
    return f"hue-{group['hue']}" if "hue" in group else f"heat-{group.get('level', 0)}"


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
    """Steps and colour of operators that become one: all their steps, and the colour if it is the
    same, or the first step's."""
    nodes = list(nodes)
    facts: dict[str, Any] = {}
    steps = [steps_of(node) for node in nodes]
    if steps and all(steps):
        facts["steps"] = _together(steps)
    groups = [node.facts["color"] for node in nodes if "color" in node.facts]
    if groups and groups[0]["scheme"] == "order":
        first = min(groups, key=lambda group: group["steps"][0])
        count = sum(node.count for node in nodes)
        steps = [group["steps"] for group in groups]
        facts["color"] = {**first, **ordered(_together(steps), count, first["of"])}
    elif groups and all(group == groups[0] for group in groups):
        facts["color"] = groups[0]
    return facts


def steps_of(node: GraphNode) -> list[int]:
    """The first and the last step of the whole graph that an operator stands for; [] if not
    known."""
    step = node.facts.get("step")
    return list(node.facts.get("steps") or ([step, step] if step else []))


def _together(steps: Iterable[list[int]]) -> list[int]:
    firsts, lasts = zip(*steps, strict=True)
    return [min(firsts), max(lasts)]


def ordered(steps: list[int], count: int, total: int) -> dict[str, Any]:
    """The colour of ``count`` operators that run from the first to the last of these steps.

    >>> [ordered(steps, 4, 8)["label"] for steps in ([1, 4], [1, 7])]
    ['steps 1 to 4 of 8', '4 of steps 1 to 7 of 8']
    >>> ordered([3, 3], 1, 1000)["label"]
    'step 3 of 1,000'
    """
    first, last = steps
    label = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    if count < last - first + 1:
        label = f"{count:,} of {label}"
    return {"scheme": "order", "label": f"{label} of {total:,}", "steps": steps, "of": total}
