"""Overlays: a number for each operator, told by a line of text and by colour.

A profile puts what it measured into the facts of the nodes; :func:`overlay` turns one of these
numbers, or any numbers of the user's, into what is drawn. Nodes that become one add up. A node has
a value, or was not measured (it is hatched and says so, and is never zero), or an overlay does not
apply to it, and it has no colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz import values as numbers
from tinygrad_cv.viz.coloring import color_line, common_color, hue
from tinygrad_cv.viz.model import GraphModel, GraphNode, TensorInfo
from tinygrad_cv.viz.values import quantity

__all__ = ["LEVELS", "MEASURES", "applies", "combined", "expected", "known", "output_bytes"]
__all__ += ["overlay", "overlay_lines", "quantity", "shades", "source", "state", "unmeasured"]
__all__ += ["with_states", "without"]

MEASURES = {"time": "s", "flops": "FLOPs", "output_bytes": "B", "saved_bytes": "B"}
LEVELS = 5  # shades; the lowest is up to a fifth of the largest value


def overlay(model: GraphModel, values: str | Mapping[int, float], unit: str = "") -> GraphModel:
    """Each operator with a number: ``facts["overlay"]``, and a note of what the colours mean.

    Raises:
        ArgumentError: an unknown name, a name of which nothing is known, or a node that is not
            there or is no operator.
        DTypeError: a value is no number.

    >>> import tinygrad_cv as tg
    >>> model = overlay(tg.viz.trace(lambda x: x.exp().sum(), tg.zeros(4)).model, "flops")
    >>> [(n.name, n.facts["overlay"]["value"]) for n in model.nodes if n.kind == "op"]
    [('exp', 4), ('sum', 4)]
    >>> model.notes
    ('coloured by flops: 8 FLOPs in all; the stronger, the more',)
    """
    plain = (replace(node, facts=without(node.facts)) for node in model.nodes)
    model = replace(model, nodes=tuple(plain))
    if isinstance(values, str) and values in numbers.NAMES:
        return with_states(numbers.show(model, values))
    name = values if isinstance(values, str) else "value"
    operators = {node.id: node for node in model.nodes if node.kind == "op"}
    if isinstance(values, str):
        if name not in MEASURES:
            raise ArgumentError(
                "overlay",
                f"there is no overlay {name!r}",
                repair=f"There are {', '.join(map(repr, (*MEASURES, *numbers.NAMES)))}, and "
                "any dict of numbers by node id.",
            )
        unit = MEASURES[name]
        parts = {key: known(node, name) for key, node in operators.items()}
    else:
        parts = _checked(values, operators)
    sums = {key: sum(part.values()) for key, part in parts.items() if part}
    if not sums:
        raise ArgumentError(
            "overlay",
            f"no operator of this graph has a value of {name}",
            repair=source(name)
            if isinstance(values, str)
            else "Give a number for the id of at least one operator.",
        )
    total = sum(sums.values())
    profiled = any("measured" in node.facts for node in operators.values())
    nodes = []
    for node in model.nodes:
        if node.id in operators:
            has = node.id in sums
            fact: dict[str, Any] = {"name": name, "unit": unit, "value": sums.get(node.id)}
            # What is saved for backward is known of all that have one, unless it was measured.
            fact["applies"] = has or not (node.error or (name == "saved_bytes" and not profiled))
            fact["unmeasured"] = 0
            if fact["applies"] and isinstance(values, str):
                fact["unmeasured"] = unmeasured(node, name)
            elif fact["applies"] and not has:
                fact["unmeasured"] = node.count
            fact["parts"] = dict(parts.get(node.id) or {})
            fact["share"] = sums[node.id] / total if has and total > 0 else None
            node = replace(node, facts={**node.facts, "overlay": fact})
        nodes.append(node)
    note = f"coloured by {name}: {quantity(total, unit)} in all; the stronger, the more"
    lines = [n for n in model.notes if not n.startswith("coloured by ")]
    return with_states(replace(model, nodes=tuple(nodes), notes=(*lines, note)))


def source(name: str) -> str:
    """Where a measure comes from."""
    if name == "saved_bytes":
        return "Draw with backward=True, or with profile=."
    return "Draw with profile=, which brings what was measured."


def expected(name: str, node: GraphNode) -> bool:
    """True for an operator that would have a value, had it been measured."""
    return numbers.expected(name, node) if name in numbers.NAMES else name != "saved_bytes"


def with_states(model: GraphModel) -> GraphModel:
    """The model with what the note of the overlay says of nodes that have no value."""
    *lines, note = model.notes
    operators = [node for node in model.nodes if node.kind == "op" and not node.error]
    states = [state(node) for node in operators]
    odd = sum("odd" in found for found in states)
    if odd:
        note += f"; red border: not finite ({odd:,})"
    count = sum(_unmeasured_count(node) for node in operators)
    hatched = ["None"] if "unmeasured dead" in states else []
    hatched += [f"not measured ({count:,})"] if count else []
    if hatched:
        note += f"; hatched: {' or '.join(hatched)}"
    if not all(applies(node) for node in operators):
        note += "; no colour: does not apply"
    return replace(model, notes=(*lines, note))


def _unmeasured_count(node: GraphNode) -> int:
    shown = node.facts["overlay"]
    return int(shown.get("unmeasured", node.count if state(node) == "unmeasured" else 0))


def applies(node: GraphNode) -> bool:
    """True if the overlay of the graph has something to say of a node, be it that nothing was
    measured: weight_norm of a ReLU does not, nor does any of an operator that failed."""
    shown = node.facts.get("overlay", {"applies": False})
    return bool(shown.get("applies", True))


def without(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts without what an overlay or a colour scheme says."""
    if "overlay" not in facts and "color" not in facts:
        return facts
    return {k: v for k, v in facts.items() if k not in ("overlay", "color")}


def combined(nodes: Iterable[GraphNode]) -> dict[str, Any]:
    """The facts "measured" and "overlay" of operators that become one node, and their bytes:
    sums."""
    operators = [node for node in nodes if node.kind == "op"]
    facts: dict[str, Any] = {**numbers.combined_values(operators), **common_color(operators)}
    sizes = [output_bytes(node) for node in operators]
    if sizes and None not in sizes:
        facts["output_bytes"] = sum(size for size in sizes if size is not None)
    saved = [node.facts["saved_bytes"] for node in operators if "saved_bytes" in node.facts]
    if saved:
        facts["saved_bytes"] = sum(saved)
    measured: dict[str, dict[str, float]] = {}
    for node in operators:
        for name, parts in node.facts.get("measured", {}).items():
            _add(measured.setdefault(name, {}), parts)
    if measured:
        facts["measured"] = measured
        facts["unmeasured"] = sum(unmeasured(n, "time") for n in operators)
    overlays = [node.facts["overlay"] for node in operators if "overlay" in node.facts]
    if overlays and overlays[0].get("difference"):
        return facts  # viz/difference.py puts these together
    if overlays and overlays[0]["name"] in numbers.NAMES:
        name = overlays[0]["name"]
        pairs = [tuple(pair) for o in overlays for pair in o.get("sizes", ())]
        told = {**facts, "parameter_sizes": [list(pair) for pair in dict.fromkeys(pairs)]}
        shown = numbers.fact(name, told) or {"name": name, "value": None}
        shown["applies"] = any(o.get("applies", True) for o in overlays)
        facts["overlay"] = {"unit": overlays[0]["unit"], **shown}
    elif overlays:
        values = [o["value"] for o in overlays if o["value"] is not None]
        shares = [o["share"] for o in overlays if o["share"] is not None]
        together: dict[str, float] = {}
        for o in overlays:
            _add(together, o["parts"])
        facts["overlay"] = {
            **overlays[0],
            "value": sum(values) if values else None,
            "parts": together,
            "applies": any(o.get("applies", True) for o in overlays),
            "share": sum(shares) if shares else None,
            "unmeasured": sum(o["unmeasured"] for o in overlays),
        }
    return facts


def shades(model: GraphModel) -> dict[int, str]:
    """The classes that the overlay, or a colour scheme, gives to each node.

    With an overlay: "heat-0" to "heat-4" by the node's part of the largest value ("cool-0" to
    "cool-4" for a difference below zero), "unmeasured", or "plain" where it does not apply, or has
    no number; with "dead" for a dead gradient, "odd" for what is not finite. Operators that failed
    keep their own colour.
    """
    if not any("overlay" in node.facts for node in model.nodes):
        return {node.id: hue(node) for node in model.nodes}
    values = {
        node.id: node.facts["overlay"]["value"]
        for node in model.nodes
        if node.facts.get("overlay", {}).get("value") is not None
    }
    signed = any(node.facts.get("overlay", {}).get("difference") for node in model.nodes)
    low = 0 if signed else min(0, min(values.values(), default=0))
    width = max((abs(value) if signed else value for value in values.values()), default=0) - low
    found = {}
    for node in model.nodes:
        shade = state(node)
        if node.id in values:
            value = values[node.id]
            part = ((abs(value) if signed else value) - low) / width if width > 0 else 0
            scale = "cool" if signed and value < 0 else "heat"
            shade = shade.replace("heat", f"{scale}-{min(int(LEVELS * part), LEVELS - 1)}")
        found[node.id] = "" if node.error else shade
    return found


def state(node: GraphNode) -> str:
    """How an overlay shows a node: "heat" for any value, else as :func:`shades` has it."""
    if not applies(node):
        return "plain"
    shown = node.facts["overlay"]
    told = "text" in shown or "texts" in shown
    level = "heat" if shown["value"] is not None else "plain" if told else "unmeasured"
    if shown.get("difference") and shown["value"] == 0:
        level = "plain"
    if shown.get("dead"):
        return ("unmeasured" if level == "plain" else level) + " dead"
    return f"{level} odd" if shown.get("odd") else level


def overlay_lines(node: GraphNode) -> list[str]:
    """What a node says of its overlay, and of what a profile measured besides."""
    lines, shown = [], node.facts.get("overlay")
    measured = node.facts.get("measured", {})
    if color_line(node):
        lines.append(color_line(node))
    if shown and applies(node):
        label = "" if shown["name"] in MEASURES else f"{shown['name']} "
        if "texts" in shown or "text" in shown:
            lines += shown.get("texts") or [shown["text"]]
        elif shown["value"] is None:
            lines.append(f"{shown['name']}: not measured")
        else:
            share = "" if shown["share"] is None else f" ({100 * shown['share']:.3g} %)"
            lines.append(f"{label}{_parts(shown['parts'], shown['unit'])}{share}")
            if shown["unmeasured"]:
                lines.append(f"{shown['unmeasured']:,} of {node.count:,} not measured")
    if "diff" in node.facts:  # of two graphs: only the difference is told
        return lines
    rest = {name: parts for name, parts in measured.items() if name != (shown or {}).get("name")}
    lines += [_parts(rest[name], MEASURES[name]) for name in ("time", "flops") if name in rest]
    sizes = []
    for name, word in (("output_bytes", "output"), ("saved_bytes", "saved")):
        size = rest.get(name, {}).get(node.phase)
        if name in rest and name == "saved_bytes":
            size = sum((known(node, name) or {}).values())
        sizes += [f"{quantity(size, 'B')} {word}"] if size else []
    return lines + ([", ".join(sizes)] if sizes else [])


def _parts(parts: Mapping[str, float], unit: str) -> str:
    """ "1.2 ms forward, 2.2 ms backward", or a single number."""
    if set(parts) <= {"forward", "backward"}:
        return ", ".join(f"{quantity(value, unit)} {phase}" for phase, value in parts.items())
    return quantity(sum(parts.values()), unit)


def _add(total: dict[str, float], parts: Mapping[str, float]) -> None:
    for phase, value in parts.items():
        total[phase] = total.get(phase, 0) + value


def unmeasured(node: GraphNode, name: str) -> int:
    """How many of the operators that a node stands for have no value."""
    if name in node.facts.get("measured", {}):
        return int(node.facts.get("unmeasured", 0))
    return node.count if known(node, name) is None else 0


def known(node: GraphNode, name: str) -> Mapping[str, float] | None:
    """What is known of an operator: as measured, else by its formula, its shapes, its graph. What
    is saved is the graph's to say, where it is drawn with its backward, which saves nothing."""
    if name == "saved_bytes" and (name in node.facts or node.phase == "backward"):
        return {"": node.facts[name]} if name in node.facts else None
    measured: Mapping[str, float] | None = node.facts.get("measured", {}).get(name)
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


def _checked(
    values: Mapping[int, float], operators: Mapping[int, GraphNode]
) -> dict[int, Mapping[str, float] | None]:
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise DTypeError(
            "overlay", f"a name, or a dict of numbers by node id is needed, not {kind}"
        )
    for key, value in values.items():
        if key not in operators:
            raise ArgumentError(
                "overlay",
                f"the graph has no operator {key!r}",
                repair=f"Its operators have the ids {', '.join(map(str, list(operators)[:8]))}"
                f"{' ...' if len(operators) > 8 else ''}.",
            )
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise DTypeError("overlay", f"the value of node {key} is no finite number: {value!r}")
    return {key: {"": value} for key, value in values.items()}
