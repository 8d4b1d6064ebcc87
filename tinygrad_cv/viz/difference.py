"""Overlays of a comparison: the difference of a number between two graphs, by colour and in words.

:func:`tinygrad_cv.viz.diff` puts what is known of a node in both graphs into ``facts["diff"]``, as
"before" and "after"; nodes that become one put theirs together, each side for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz.marks import combined_marks, mark_lines
from tinygrad_cv.viz.model import GraphNode
from tinygrad_cv.viz.table import KNOWN_BY, MEASURES, TABLE, amount, combined, output_bytes

__all__ = ["check", "combined_comparison", "side", "tell", "with_comparison"]

MOST_LINES = 4  # of differences in one node
Facts = dict[str, Any]


def side(node: GraphNode, parameter_sizes: Sequence[Sequence[int]]) -> Facts:
    """What overlays have to know of a node in one of the two graphs."""
    facts = {name: node.facts[name] for name in KNOWN_BY if name in node.facts}
    if parameter_sizes:
        facts["parameter_sizes"] = [list(pair) for pair in parameter_sizes]
    if node.kind == "op":
        facts["count"], facts["phase"] = node.count, node.phase
        size = output_bytes(node)
        facts |= {} if size is None else {"output_bytes": size}
    return facts


def combined_comparison(nodes: Sequence[GraphNode]) -> Facts:
    """The fact "diff" of nodes of a comparison that become one."""
    facts = combined_marks(nodes)
    for name in ("before", "after") if facts else ():
        found = [n.facts["diff"][name] for n in nodes if name in n.facts.get("diff", {})]
        if found:
            facts["diff"][name] = _together(found)
    return facts


def with_comparison(node: GraphNode, nodes: Sequence[GraphNode]) -> GraphNode:
    """``node`` when it stands for all of ``nodes``; what they say of their differences stays, if
    it is not much."""
    facts = combined_comparison(nodes)
    if not facts:
        return node
    lines = list(dict.fromkeys(line for other in nodes for line in mark_lines(other)))
    if 0 < len(lines) <= MOST_LINES:
        facts["diff"]["lines"] = lines
    return replace(node, facts={**node.facts, **facts})


def _together(sides: Sequence[Facts]) -> Facts:
    operators = [_node(facts) for facts in sides if "count" in facts]
    found = combined(operators)
    flops = [facts["flops"] for facts in sides if "flops" in facts]
    if flops:
        found["flops"] = sum(flops)
    pairs = (tuple(pair) for facts in sides for pair in facts.get("parameter_sizes", ()))
    sizes = [list(pair) for pair in dict.fromkeys(pairs)]
    if sizes:
        found["parameter_sizes"] = sizes
    if operators:
        found["count"] = sum(node.count for node in operators)
        found["phase"] = operators[0].phase
    return found


def _node(facts: Mapping[str, Any]) -> GraphNode:
    kind, phase = "op" if "count" in facts else "input", facts.get("phase", "forward")
    return GraphNode(0, kind, "", phase, facts=facts, count=int(facts.get("count", 1)))


def check(name: str, nodes: Iterable[GraphNode]) -> None:
    """Raise unless both graphs know something of an overlay: one without parameters has none."""
    there, empty = set[str](), ["before", "after"]
    for node in nodes:
        for place in {"before", "after"} & node.facts.get("diff", {}).keys():
            there.add(place)
            if place in empty and node.facts.get("overlay", {}).get(place) is not None:
                empty.remove(place)
    free = name in ("parameters", "flops", "output_bytes")
    if empty and (len(empty) == 2 or (there.issuperset(empty) and not free)):
        which = {"before": "the first graph", "after": "the second graph"}[empty[0]]
        which = "neither graph" if len(empty) == 2 else which
        raise ArgumentError(
            "overlay",
            f"{which} of this comparison has {'a' if len(empty) == 2 else 'no'} value of {name}",
            repair=f"{TABLE[name].source} Compare two graphs that have it: viz.diff(graph, graph).",
        )


class _Value(NamedTuple):
    """A number of one graph; None if it is not known, with ``said`` if it is known to be none."""

    number: float | None = None
    unmeasured: int = 0
    said: str = ""


def _value(name: str, facts: Facts) -> _Value:
    node = _node(facts)
    told = TABLE[name].tell(node)
    if told is None:
        return _Value(None, node.count if name in MEASURES and node.kind == "op" else 0)
    said = "" if told["value"] is not None else "none"
    return _Value(told["value"], told.get("unmeasured", 0), said)


def tell(name: str, node: GraphNode) -> Facts | None:
    """What a node of a comparison says: its value is after minus before."""
    sides = [node.facts.get("diff", {}).get(place) for place in ("before", "after")]
    found = [None if facts is None else _value(name, facts) for facts in sides]
    there = [value for value in found if value is not None]
    if not any(value.number is not None or value.said for value in there):
        return None
    fact: Facts = {"difference": True, "value": None}
    before, after = (_number(name, value) for value in found)
    both = before is not None and after is not None
    if name in MEASURES and not both:  # it was measured in one graph
        return {**fact, "unmeasured": node.count}
    if before is not None and after is not None:
        fact["value"] = after - before
    fact |= {"before": before, "after": after, "texts": [_text(name, found, before, after)]}
    return {**fact, "unmeasured": max(value.unmeasured for value in there)}


def _number(name: str, value: _Value | None) -> float | None:
    """The number of one side; of what adds up zero for what is not there."""
    if value is None:
        return 0 if TABLE[name].adds else None
    return 0 if name == "parameters" and value.number is None else value.number


def _text(
    name: str, found: Sequence[_Value | None], before: float | None, after: float | None
) -> str:
    """``time 1.2 ms → 0.9 ms (−25 %)``."""
    said = [
        value.said or "none" if number is None else amount(number, TABLE[name].unit)
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
