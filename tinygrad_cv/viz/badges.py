"""Badges: what is out of the ordinary about an operator, in a word or two.

``facts["badges"]`` is a tuple of them. "in place": its result was written into the memory of a
Tensor that was there before, as of ``x += y``; a recorded graph knows it of the nodes that it has,
a watched call of every operator. "custom": an operator or ``autograd.Function`` that is not of this
package. "recomputed": it was recorded under ``autograd.checkpoint``, which runs it again for
backward. With ``statistics=True`` also "NaN" and "Inf" in its results, and, as in "NaN gradient",
in its parameters and their gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tinygrad_cv.autograd.function_node import FunctionOp
from tinygrad_cv.core.op import Op
from tinygrad_cv.viz.model import GraphModel, GraphNode

__all__ = ["BADGES", "badge_line", "badge_totals", "combined_badges", "operator_badges"]
__all__ += ["with_badge", "with_values"]

BADGES = {"in place": "⟳", "custom": "◆", "recomputed": "↺"}  # each with its sign
_PARTS = ("", " weight", " gradient")
BADGES |= {f"{value}{part}": "⚠" for part in _PARTS for value in ("NaN", "Inf")}


def operator_badges(op: type[Op], in_place: bool, recomputed: bool) -> tuple[str, ...]:
    """The badges of an operator, but for those of its values.

    >>> from tinygrad_cv.core.op import REGISTRY
    >>> operator_badges(REGISTRY["exp"], in_place=True, recomputed=False)
    ('in place',)
    """
    function = op if issubclass(op, FunctionOp) else None
    ours = op.__module__.partition(".")[0] == __name__.partition(".")[0]
    found = {
        "in place": in_place or (function is not None and bool(function.kind.writes)),
        "custom": function is not None or not ours,
        "recomputed": recomputed,
    }
    return tuple(word for word, holds in found.items() if holds)


def with_badge(node: GraphNode, word: str) -> GraphNode:
    """The node with one badge more."""
    badges = _sorted({*node.facts.get("badges", ()), word})
    return replace(node, facts={**node.facts, "badges": badges})


def badge_line(node: GraphNode) -> str:
    """``⟳ in place   ◆ custom``."""
    return "   ".join(f"{BADGES.get(word, '')} {word}" for word in node.facts.get("badges", ()))


def badge_totals(totals: Mapping[str, int]) -> str:
    """``2 in place, 1 custom``: what the legend says.

    >>> badge_totals({"operators": 12, "custom": 1, "in place": 2})
    '2 in place, 1 custom'
    """
    return ", ".join(f"{totals[word]:,} {word}" for word in BADGES if totals.get(word))


def combined_badges(nodes: Iterable[GraphNode]) -> dict[str, tuple[str, ...]]:
    """The fact "badges" of nodes that become one: what any of them has."""
    found = {word for node in nodes for word in node.facts.get("badges", ())}
    return {"badges": _sorted(found)} if found else {}


def with_values(model: GraphModel) -> GraphModel:
    """The model with the badges of the values that were looked at, and with its totals."""
    totals = dict.fromkeys(BADGES, 0)
    counted: set[tuple[str, str]] = set()  # a parameter, and what is wrong: several may use it
    nodes = []
    for node in model.nodes:
        found = set(node.facts.get("badges", ())) | set(_of_results(node.facts))
        for word in found:
            totals[word] += 1
        for key, word in _of_norms(node.facts):
            found.add(word)
            totals[word] += (key, word) not in counted
            counted.add((key, word))
        if found:
            node = replace(node, facts={**node.facts, "badges": _sorted(found)})
        nodes.append(node)
    shown = {word: count for word, count in totals.items() if count}
    return replace(model, nodes=tuple(nodes), totals={**model.totals, **shown})


def _of_results(facts: Mapping[str, Any]) -> Iterator[str]:
    statistics = facts.get("statistics") or {"nan": 0, "count": 0, "finite": 0}
    if statistics["nan"]:
        yield "NaN"
    if statistics["count"] - statistics["finite"] > statistics["nan"]:
        yield "Inf"


def _of_norms(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, badge) of the parameters, and what has a gradient, whose norm is not finite."""
    for key, entry in facts.get("norms", {}).items():
        for kind, part in (("weight", "weight"), ("grad", "gradient")):
            value = {"nan": "NaN", "inf": "Inf"}.get(entry.get(kind))
            if value:
                yield key, f"{value} {part}"


def _sorted(words: Iterable[str]) -> tuple[str, ...]:
    order = list(BADGES)
    return tuple(sorted(words, key=order.index))
