"""The overlays: of each its unit, what a node says of it, and which operators it applies to.

What an overlay has to know of a node stands in the node's facts ("measured", "norms", ...). Nodes
that become one put these facts together, and so a block tells its number as an operator does:
times, FLOPs and bytes are sums, norms the root of the sum of squares, statistics are over all
values, and of the bytes that are alive it is the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.viz.badges import combined_badges
from tinygrad_cv.viz.coloring import common_color
from tinygrad_cv.viz.faults import combined_faults
from tinygrad_cv.viz.model import PHASES, GraphNode, TensorInfo
from tinygrad_cv.viz.values import pooled

__all__ = ["GIVEN", "KNOWN_BY", "MEASURES", "TABLE", "Overlay", "amount", "combined", "known"]
__all__ += ["output_bytes", "parts_text", "unmeasured"]

Facts = dict[str, Any]
# The facts that overlays know of a node by.
KNOWN_BY = ("measured", "unmeasured", "flops", "saved_bytes", "norms", "live", "statistics")


class Overlay(NamedTuple):
    """How an overlay works.

    Attributes:
        unit: of its numbers; "%" for shares of 1.
        source: how a graph comes by such numbers.
        tell: what a node says, None if it knows nothing: its "value" and its "texts"; "parts" of
            the value; how many of its operators are "unmeasured"; if it is "odd", not finite; how
            many of its gradients are "dead".
        phases: an operator of one of these would have a value, had it been measured; if
            ``profiled``, only where a profile measured others.
        adds: the numbers of nodes add up to that of the graph.
        silent: what to say, and to do, if nodes tell something and none of them a number.
    """

    unit: str
    source: str
    tell: Callable[[GraphNode], Facts | None]
    phases: tuple[str, ...] = ()
    adds: bool = False
    profiled: bool = False
    silent: tuple[str, str] | None = None


def amount(value: float, unit: str) -> str:
    """A number of an overlay with its unit.

    >>> amount(0.4961, "%"), amount(1500, "B")
    ('49.6 %', '1.5 kB')
    """
    return f"{100 * value:.3g} %" if unit == "%" else quantity(value, unit)


def parts_text(parts: Mapping[str, float], unit: str) -> str:
    """ "1.2 ms forward, 2.2 ms backward", or a single number."""
    if set(parts) <= {"forward", "backward"}:
        return ", ".join(f"{quantity(value, unit)} {phase}" for phase, value in parts.items())
    return quantity(sum(parts.values()), unit)


# What nodes tell ----------------------------------------------------------------------------------


def _measure(name: str, unit: str, node: GraphNode) -> Facts | None:
    parts = known(node, name) if node.kind == "op" else None
    if parts is None:
        return None
    told = {"value": sum(parts.values()), "parts": dict(parts), "texts": [parts_text(parts, unit)]}
    return {**told, "unmeasured": unmeasured(node, name)}


def _given(node: GraphNode) -> Facts | None:
    """A number of the user's."""
    given = node.facts.get("given")
    if not given:
        return None
    value, unit = given["value"], given["unit"]
    told = {"value": value, "unit": unit, "texts": [f"value {quantity(value, unit)}"]}
    return {**told, "unmeasured": node.count - given["count"]}


def _parameters(node: GraphNode) -> Facts | None:
    sizes = node.facts.get("parameter_sizes")
    if not sizes:
        return None
    value = sum(size for _, size in sizes)
    told = {"value": value, "texts": [f"{value:,} parameters"]}
    return {**told, "sizes": [list(pair) for pair in sizes]}


def _live(node: GraphNode) -> Facts | None:
    live = node.facts.get("live")
    if not live:
        return None
    text = ", ".join(f"{quantity(size, 'B')} alive after {phase}" for phase, size in live.items())
    return {"value": max(live.values()), "parts": dict(live), "texts": [text]}


def _statistics(name: str, node: GraphNode) -> Facts | None:
    found = node.facts.get("statistics")
    if not found:
        return None
    count, finite = found["count"], found["finite"]
    spread = found["std"] if finite else None
    value = {
        "mean": found["mean"] if finite else None,
        "std": spread,
        "zeros": found["zeros"] / count if count else None,
        "nonfinite": (count - finite) / count if count else None,
    }[name]
    if finite and count:
        zeros = amount(found["zeros"] / count, "%")
        text = f"mean {found['mean']:.4g}, std {spread:.4g}, {zeros} zeros"
    else:
        text = "no finite value" if count else "no value"
    if count > finite:
        text += f", {count - finite:,} of {count:,} not finite"
    return {"value": value, "texts": [text], "odd": value is None and count > 0}


def _norms(kind: str, node: GraphNode) -> Facts | None:
    norms = node.facts.get("norms", {})
    entries = [entry for entry in norms.values() if kind in entry]
    if not entries or (kind == "weight" and all(entry[kind] is None for entry in entries)):
        return None  # or without data, on the meta device
    named: dict[str, list[float | str | None]] = {}
    for entry in entries:  # several if calls became one
        named.setdefault(entry["name"], []).append(entry[kind])
    if len(named) > 4:
        named = {"all its parameters": [entry[kind] for entry in entries]}
    parts: dict[str, float] = {}
    dead, texts = 0, []
    word = "gradient of" if kind == "grad" else "norm of"
    for label, norms_of in named.items():
        found = [norm for norm in norms_of if isinstance(norm, float)]
        if found:
            parts[label] = math.hypot(*found)
            texts.append(f"{word} {label} {parts[label]:.4g}")
        odd: list[float | str | None] = [norm for norm in norms_of if not isinstance(norm, float)]
        odd += [0.0 for norm in found if norm == 0 and kind == "grad"]
        if found and not parts[label] and kind == "grad":
            texts.pop()
        for norm in dict.fromkeys(odd):
            many = f" ({odd.count(norm)} of {len(norms_of)})" if len(norms_of) > 1 else ""
            said = "exactly 0" if norm == 0 else "NaN" if norm == "nan" else str(norm)
            gone = kind == "grad" and not norm
            dead += odd.count(norm) if gone else 0
            texts.append(f"{word} {label}: {said}{', dead' if gone else ''}{many}")
    value = math.hypot(*parts.values()) if parts else None
    odd_one = any(isinstance(entry[kind], str) for entry in entries)
    return {"value": value, "parts": parts, "texts": texts, "dead": dead, "odd": odd_one}


# The table ----------------------------------------------------------------------------------------

_PROFILE = "Draw with profile=, which brings what was measured."
_CALL = "Trace the call itself with statistics=True."
_NO_GRADIENT = (
    "no parameter of this graph has a gradient",
    "Call backward first, then draw with statistics=True.",
)
MEASURES = {"time": "s", "flops": "FLOPs", "output_bytes": "B", "saved_bytes": "B"}  # of a profile
TABLE = {
    name: Overlay(unit, _PROFILE, partial(_measure, name, unit), PHASES, adds=True)
    for name, unit in MEASURES.items()
}
TABLE |= {
    "time": TABLE["time"]._replace(
        source=f"{_PROFILE[:-1]}; on the meta device no time, as nothing is computed."
    ),
    "saved_bytes": TABLE["saved_bytes"]._replace(
        source="Draw with backward=True, or with profile=.", phases=("forward",), profiled=True
    ),
    "grad_norm": Overlay(
        "",
        "Draw with statistics=True, after backward.",
        partial(_norms, "grad"),
        ("backward",),
        silent=_NO_GRADIENT,
    ),
    "weight_norm": Overlay("", "Draw with statistics=True.", partial(_norms, "weight")),
    "parameters": Overlay(
        "", "No operator of this graph uses a parameter.", _parameters, adds=True
    ),
    "peak_bytes": Overlay(
        "B", "Draw with plan=tg.autograd.plan_memory(function, *inputs).", _live, PHASES
    ),
}
TABLE |= {
    name: Overlay(unit, _CALL, partial(_statistics, name), ("forward",))
    for name, unit in (("mean", ""), ("std", ""), ("zeros", "%"), ("nonfinite", "%"))
}
GIVEN = Overlay("", "Give a number for the id of at least one operator.", _given, PHASES, adds=True)


# Nodes that become one ----------------------------------------------------------------------------


def combined(nodes: Iterable[GraphNode]) -> Facts:
    """What overlays and colours know of operators that become one node, and their marks."""
    operators = [node for node in nodes if node.kind == "op"]
    facts: Facts = {**common_color(operators), **combined_badges(operators)}
    facts |= combined_faults(operators)
    sizes = [output_bytes(node) for node in operators]
    if sizes and None not in sizes:
        facts["output_bytes"] = sum(size for size in sizes if size is not None)

    def found(name: str) -> list[Any]:
        return [node.facts[name] for node in operators if name in node.facts]

    if found("saved_bytes"):
        facts["saved_bytes"] = sum(found("saved_bytes"))
    if found("measured"):
        measured: dict[str, dict[str, float]] = {}
        for one in found("measured"):
            for name, parts in one.items():
                measured[name] = _joined(sum, measured.get(name, {}), parts)
        facts["measured"] = measured
        facts["unmeasured"] = sum(unmeasured(node, "time") for node in operators)
    if found("given"):
        facts["given"] = {**found("given")[0]}
        for name in ("value", "count"):
            facts["given"][name] = sum(given[name] for given in found("given"))
    for norms in found("norms"):
        facts["norms"] = {**facts.get("norms", {}), **norms}
    for live in found("live"):
        facts["live"] = _joined(max, facts.get("live", {}), live)
    if found("statistics"):
        facts["statistics"] = pooled(found("statistics"))
    return facts


def _joined(
    how: Callable[[list[Any]], Any], one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, Any]:
    names = {**one, **other}
    return {name: how([d[name] for d in (one, other) if name in d]) for name in names}


def unmeasured(node: GraphNode, name: str) -> int:
    """How many of the operators that a node stands for have no value."""
    if name in node.facts.get("measured", {}):
        return int(node.facts.get("unmeasured", 0))
    return node.count if known(node, name) is None else 0


def known(node: GraphNode, name: str) -> Mapping[str, float] | None:
    """What is known of an operator: as measured, else by its formula, its shapes, its graph. What
    is saved is the graph's to say, where it is drawn with its backward, which saves nothing."""
    if name == "saved_bytes" and name in node.facts:
        return {"": node.facts[name]}
    measured: Mapping[str, float] | None = node.facts.get("measured", {}).get(name)
    if measured is not None and name == "saved_bytes" and node.phase == "backward":
        return {"backward": 0}
    if measured is not None:
        return measured
    value = output_bytes(node) if name == "output_bytes" else None
    if name in ("flops", "saved_bytes"):
        value = node.facts.get(name)
    return None if value is None else {"": value}


def output_bytes(node: GraphNode) -> int | None:
    """The bytes of an operator's results by their shapes, or of those of a block."""
    if "output_bytes" in node.facts:
        return int(node.facts["output_bytes"])
    sizes = [_bytes(tensor) for tensor in node.outputs]
    if node.count > 1 or "operators" in node.facts or not sizes or None in sizes:
        return None
    return sum(size for size in sizes if size is not None)


def _bytes(tensor: TensorInfo) -> int | None:
    if tensor.shape is None or tensor.dtype is None:
        return None
    digits = "".join(c for c in tensor.dtype if c.isdigit())
    return tensor.size * (int(digits) // 8 if digits else 1)
