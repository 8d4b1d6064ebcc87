"""Overlays of a comparison: the difference of a number between two graphs, by colour and in words.

:func:`tinygrad_cv.viz.diff` puts what is known of a node in both graphs into ``facts["diff"]``, as
"before" and "after"; nodes that become one put theirs together, each side for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz import overlay as overlays
from tinygrad_cv.viz import values as numbers
from tinygrad_cv.viz.marks import combined_marks, mark_lines
from tinygrad_cv.viz.model import GraphModel, GraphNode
from tinygrad_cv.viz.overlay import MEASURES, quantity

__all__ = ["combined_comparison", "overlay", "side", "with_comparison"]

MOST_LINES = 4  # of differences in one node
UNITS = {**MEASURES, **{name: unit for name, (unit, _) in numbers.NAMES.items()}}
ADDED_UP = (*MEASURES, "parameters")  # what is not there counts as zero
_CARRIED = ("measured", "unmeasured", "flops", "saved_bytes", "norms", "live", "statistics")
Facts = dict[str, Any]


def side(node: GraphNode, parameter_sizes: Sequence[Sequence[int]]) -> Facts:
    """What overlays have to know of a node in one of the two graphs."""
    facts = {name: node.facts[name] for name in _CARRIED if name in node.facts}
    if parameter_sizes:
        facts["parameter_sizes"] = [list(pair) for pair in parameter_sizes]
    if node.kind == "op":
        facts["count"] = node.count
        size = overlays.output_bytes(node)
        facts |= {} if size is None else {"output_bytes": size}
    return facts


def combined_comparison(nodes: Sequence[GraphNode], phase: str) -> Facts:
    """The facts "diff" and "overlay" of nodes of a comparison that become one."""
    facts = combined_marks(nodes)
    if not facts:
        return {}
    for name in ("before", "after"):
        found = [n.facts["diff"][name] for n in nodes if name in n.facts.get("diff", {})]
        if found:
            facts["diff"][name] = _together(found)
    shown = [n.facts["overlay"] for n in nodes if n.facts.get("overlay", {}).get("difference")]
    if shown:
        count = sum(node.count for node in nodes if node.kind == "op")
        block = GraphNode(0, "op", "", phase, facts=facts, count=count)
        facts["overlay"] = _fact(block, shown[0]["name"])
    return facts


def with_comparison(node: GraphNode, nodes: Sequence[GraphNode]) -> GraphNode:
    """``node`` when it stands for all of ``nodes``; what they say of their differences stays, if
    it is not much."""
    facts = combined_comparison(nodes, node.phase)
    if not facts:
        return node
    lines = list(dict.fromkeys(line for other in nodes for line in mark_lines(other)))
    if 0 < len(lines) <= MOST_LINES:
        facts["diff"]["lines"] = lines
    return replace(node, facts={**node.facts, **facts})


def _together(sides: Sequence[Facts]) -> Facts:
    operators = [_node(facts) for facts in sides if "count" in facts]
    found = overlays.combined(operators)
    flops = [facts["flops"] for facts in sides if "flops" in facts]
    if flops:
        found["flops"] = sum(flops)
    pairs = (tuple(pair) for facts in sides for pair in facts.get("parameter_sizes", ()))
    sizes = [list(pair) for pair in dict.fromkeys(pairs)]
    if sizes:
        found["parameter_sizes"] = sizes
    if operators:
        found["count"] = sum(node.count for node in operators)
    return found


def _node(facts: Mapping[str, Any]) -> GraphNode:
    return GraphNode(0, "op", "", facts=facts, count=int(facts.get("count", 1)))


def overlay(model: GraphModel, values: str | Mapping[int, float], unit: str = "") -> GraphModel:
    """:func:`tinygrad_cv.viz.overlay.overlay`, and of a comparison the difference of what both
    graphs know: after minus before.

    Raises:
        ArgumentError: also if one of the two graphs knows nothing of it.

    >>> import tinygrad_cv as tg
    >>> diff = tg.viz.diff(tg.nn.Linear(4, 2), tg.nn.Linear(4, 3), tg.zeros(1, 4))
    >>> model = overlay(diff.model, "parameters")
    >>> [n.facts["overlay"]["text"] for n in model.nodes if n.kind == "op"]
    ['parameters 10 → 15 (+50 %)']
    """
    compared = any("diff" in node.facts for node in model.nodes)
    if not (compared and isinstance(values, str) and values in UNITS):
        return overlays.overlay(model, values, unit)
    name, unit = values, UNITS[values]
    nodes = []
    totals: dict[str, list[float]] = {"before": [], "after": []}
    for node in model.nodes:
        node = replace(node, facts=overlays.without(node.facts))
        shown: Facts = {"name": name, "unit": unit, "value": None, "applies": False}
        if "diff" in node.facts:
            shown = _fact(node, name)
        if shown.get("applies") or node.kind == "op":
            node = replace(node, facts={**node.facts, "overlay": shown})
        for place, found in totals.items():
            if place in node.facts.get("diff", ()) and shown.get(place) is not None:
                found.append(shown[place])
        nodes.append(node)
    _check(name, nodes, totals)
    note = f"coloured by the difference in {name.replace('_', ' ')}"
    if name in ADDED_UP:
        ends = (quantity(sum(found), unit) for found in totals.values())
        note += f": {' → '.join(ends)} in all"
    note += "; orange: more, blue: less"
    if any(n.facts["overlay"]["value"] == 0 for n in nodes if "overlay" in n.facts):
        note += "; no colour: the same"
    lines = [line for line in model.notes if not line.startswith("coloured by ")]
    return overlays.with_states(replace(model, nodes=tuple(nodes), notes=(*lines, note)))


def _check(name: str, nodes: Iterable[GraphNode], totals: Mapping[str, list[float]]) -> None:
    """Raise unless both graphs know something of it: one without parameters has none."""
    empty = [place for place, found in totals.items() if not found]
    there = {place for node in nodes for place in node.facts.get("diff", ()) if place in totals}
    free = name in ("parameters", "flops", "output_bytes")
    if empty and (len(empty) == 2 or (there.issuperset(empty) and not free)):
        which = {"before": "the first graph", "after": "the second graph"}[empty[0]]
        which = "neither graph" if len(empty) == 2 else which
        source = numbers.NAMES[name][1] if name in numbers.NAMES else overlays.source(name)
        raise ArgumentError(
            "overlay",
            f"{which} of this comparison has {'a' if len(empty) == 2 else 'no'} value of {name}",
            repair=f"{source} Compare two graphs that have it: viz.diff(graph, graph).",
        )


class _Value(NamedTuple):
    """A number of one graph; None if it is not known, with ``said`` if it is known to be none."""

    number: float | None = None
    unmeasured: int = 0
    said: str = ""


def _value(name: str, facts: Facts) -> _Value:
    if name in MEASURES:
        node = _node(facts)
        parts = overlays.known(node, name) if "count" in facts else None
        number = None if parts is None else sum(parts.values())
        return _Value(number, overlays.unmeasured(node, name) if "count" in facts else 0)
    shown = numbers.fact(name, facts)
    if shown is None:
        return _Value()
    return _Value(shown["value"], 0, "" if shown["value"] is not None else "none")


def _fact(node: GraphNode, name: str) -> Facts:
    """What is told of a node: its value is after minus before."""
    sides = [node.facts["diff"].get(place) for place in ("before", "after")]
    found = [None if facts is None else _value(name, facts) for facts in sides]
    there = [value for value in found if value is not None]
    known = any(value.number is not None or value.said for value in there)
    expected = node.kind == "op" and not node.error and overlays.expected(name, node)
    fact: Facts = {"name": name, "unit": UNITS[name], "difference": True, "value": None}
    fact |= {"applies": known or expected, "unmeasured": 0}
    if not known:
        return {**fact, "unmeasured": node.count if expected else 0}
    before, after = (_number(name, value) for value in found)
    both = before is not None and after is not None
    if name in MEASURES and not both:  # it was measured in one graph
        return {**fact, "unmeasured": node.count}
    if before is not None and after is not None:
        fact["value"] = after - before
    fact |= {"before": before, "after": after, "text": _text(name, found, before, after)}
    return {**fact, "unmeasured": max(value.unmeasured for value in there)}


def _number(name: str, value: _Value | None) -> float | None:
    """The number of one side; of what adds up zero for what is not there."""
    if value is None:
        return 0 if name in ADDED_UP else None
    return 0 if name == "parameters" and value.number is None else value.number


def _text(
    name: str, found: Sequence[_Value | None], before: float | None, after: float | None
) -> str:
    """``time 1.2 ms → 0.9 ms (−25 %)``."""
    said = [
        value.said or "none" if number is None else quantity(number, UNITS[name])
        for value, number in zip(found, (before, after), strict=True)
        if value is not None
    ]
    label = name.replace("_", " ")
    if len(said) == 1:
        return f"{label} {'+' if found[0] is None else '−'} {said[0]}"
    if before == after:
        return f"{label} {said[0]}, the same"
    text = f"{label} {' → '.join(said)}"
    if before and after is not None:
        text += f" ({100 * (after - before) / abs(before):+.3g} %)".replace("-", "−")
    return text
