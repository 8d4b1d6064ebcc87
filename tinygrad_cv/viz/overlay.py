"""Overlays: a number for each operator, told by a line of text and by colour.

A profile puts what it measured into the facts of the nodes (:func:`measure`); :func:`overlay` turns
one of these numbers, or any numbers of the user's, into what is drawn. Nodes that become one add
up. What was not measured is hatched and says so; it is never zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz import values as numbers
from tinygrad_cv.viz.coloring import color_line, common_color, hue
from tinygrad_cv.viz.model import GraphModel, GraphNode, TensorInfo

__all__ = ["LEVELS", "MEASURES", "combined", "levels", "measure", "overlay", "overlay_lines"]
__all__ += ["shade"]

MEASURES = {"time": "s", "flops": "FLOPs", "output_bytes": "B", "saved_bytes": "B"}
LEVELS = 5  # shades; the lowest is up to a fifth of the largest value


def measure(model: GraphModel, numbers: Mapping[Any, int], profile: Any) -> GraphModel:
    """The model with ``facts["measured"]``: for each of :data:`MEASURES` a number by phase.

    Args:
        numbers: the recorded node of each forward operator -> its id in the model.
        profile: what ``tg.profile`` recorded. Where backward is drawn, its operators have their
            numbers themselves, else the forward ones have both.

    Raises:
        DTypeError: no profile.
        ArgumentError: it saw none of these operators.
    """
    if not callable(getattr(profile, "values", None)) or isinstance(profile, Mapping):
        kind = type(profile).__name__
        raise DTypeError(
            "trace",
            f"profile= takes what tg.profile() recorded, not {kind}",
            repair="Compute the Tensor inside `with tg.profile() as p:`, and write profile=p.",
        )
    found: dict[int, dict[str, dict[str, float]]] = {}
    for name in MEASURES:
        for phase in ("forward", "backward"):
            for node, value in profile.values(name, phase).items():
                if node in numbers:
                    parts = found.setdefault(numbers[node], {})
                    parts.setdefault(name, {})[phase] = value
    if not found:
        raise ArgumentError(
            "trace",
            "the profile saw no operator of this graph",
            repair="Compute the Tensor, and call backward, inside `with tg.profile() as p:`, and "
            "draw it while it is alive.",
        )
    both = any(node.kind == "op" and node.phase == "backward" for node in model.nodes)
    nodes = []
    for node in model.nodes:
        key = node.pair if node.phase == "backward" else node.id
        if node.kind == "op" and key in found:
            phases = (node.phase,) if both else ("forward", "backward")
            measured = {
                name: {phase: parts[phase] for phase in phases if phase in parts}
                for name, parts in found[key].items()
            }
            measured = {name: parts for name, parts in measured.items() if parts}
            if measured:
                node = replace(node, facts={**node.facts, "measured": measured})
        nodes.append(node)
    return replace(model, nodes=tuple(nodes))


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
    ('coloured by flops: 8 FLOPs in all; stronger is more',)
    """
    if any("color" in node.facts for node in model.nodes):
        model = replace(model, nodes=tuple(_uncoloured(node) for node in model.nodes))
    if isinstance(values, str) and values in numbers.NAMES:
        return numbers.show(_without_overlay(model), values)
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
        parts = {key: _known(node, name) for key, node in operators.items()}
    else:
        parts = _checked(values, operators)
    known = {key: sum(part.values()) for key, part in parts.items() if part}
    if not known:
        raise ArgumentError(
            "overlay",
            f"no operator of this graph has a value of {name}",
            repair="Draw with profile=, which brings what was measured."
            if isinstance(values, str)
            else "Give a number for the id of at least one operator.",
        )
    total = sum(known.values())
    nodes = []
    for node in model.nodes:
        if node.id in operators:
            count = node.count if node.id not in known else _unmeasured(node, values)
            fact: dict[str, Any] = {
                "name": name,
                "unit": unit,
                "value": known.get(node.id),
                "unmeasured": count,
            }
            fact["parts"] = dict(parts.get(node.id) or {})
            fact["share"] = known[node.id] / total if node.id in known and total > 0 else None
            node = replace(node, facts={**node.facts, "overlay": fact})
        nodes.append(node)
    missing = sum(node.facts["overlay"]["unmeasured"] for node in nodes if node.kind == "op")
    note = f"coloured by {name}: {quantity(total, unit)} in all; stronger is more"
    lines = [n for n in model.notes if not n.startswith("coloured by ")]
    if missing:
        note += f"; hatched: not measured ({missing:,})"
    return replace(model, nodes=tuple(nodes), notes=(*lines, note))


def _uncoloured(node: GraphNode) -> GraphNode:
    return replace(node, facts={k: v for k, v in node.facts.items() if k != "color"})


def _without_overlay(model: GraphModel) -> GraphModel:
    nodes = tuple(
        replace(node, facts={k: v for k, v in node.facts.items() if k != "overlay"})
        if "overlay" in node.facts
        else node
        for node in model.nodes
    )
    return replace(model, nodes=nodes)


def combined(nodes: Iterable[GraphNode]) -> dict[str, Any]:
    """The facts "measured" and "overlay" of operators that become one node: sums."""
    operators = [node for node in nodes if node.kind == "op"]
    facts: dict[str, Any] = {**numbers.combined_values(operators), **common_color(operators)}
    measured: dict[str, dict[str, float]] = {}
    for node in operators:
        for name, parts in node.facts.get("measured", {}).items():
            _add(measured.setdefault(name, {}), parts)
    if measured:
        facts["measured"] = measured
        facts["unmeasured"] = sum(_unmeasured(n, "") for n in operators)
    overlays = [node.facts["overlay"] for node in operators if "overlay" in node.facts]
    if overlays and overlays[0]["name"] in numbers.NAMES:
        name = overlays[0]["name"]
        sizes = [tuple(pair) for o in overlays for pair in o.get("sizes", ())]
        known = {**facts, "parameter_sizes": [list(pair) for pair in dict.fromkeys(sizes)]}
        shown = numbers.fact(name, known) or {"name": name, "value": None, "applies": False}
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
            "share": sum(shares) if shares else None,
            "unmeasured": sum(o["unmeasured"] for o in overlays),
        }
    return facts


def levels(model: GraphModel) -> dict[int, int]:
    """The shade of each node with a value: 0 to LEVELS - 1, by its part of the largest."""
    values = {
        node.id: node.facts["overlay"]["value"]
        for node in model.nodes
        if node.facts.get("overlay", {}).get("value") is not None
    }
    low = min(0, min(values.values(), default=0))
    width = max(values.values(), default=0) - low
    return {
        key: min(int(LEVELS * (value - low) / width), LEVELS - 1) if width > 0 else 0
        for key, value in values.items()
    }


def shade(node: GraphNode, shades: Mapping[int, int]) -> str:
    """The classes that an overlay gives to a node: "heat-0" to "heat-4", "unmeasured", or "plain"
    where it does not apply, with "dead" for a dead gradient; or those of its colour."""
    shown = node.facts.get("overlay")
    if not shown:
        return hue(node)
    if not shown.get("applies", True):
        return "plain"
    level = f"heat-{shades[node.id]}" if node.id in shades else "unmeasured"
    return f"{level} dead" if shown.get("dead") else level


def overlay_lines(node: GraphNode) -> list[str]:
    """What a node says of its overlay, and of what a profile measured besides."""
    lines, shown = [], node.facts.get("overlay")
    measured = node.facts.get("measured", {})
    if color_line(node):
        lines.append(color_line(node))
    if shown and shown["name"] in numbers.NAMES:
        lines += shown.get("texts") or [shown["text"]] if shown.get("applies", True) else []
    elif shown:
        label = "" if shown["name"] in MEASURES else f"{shown['name']} "
        if shown["value"] is None:
            lines.append(f"{shown['name']}: not measured")
        else:
            share = "" if shown["share"] is None else f" ({100 * shown['share']:.3g} %)"
            lines.append(f"{label}{_parts(shown['parts'], shown['unit'])}{share}")
            if shown["unmeasured"]:
                lines.append(f"{shown['unmeasured']:,} of {node.count:,} not measured")
    rest = {name: parts for name, parts in measured.items() if name != (shown or {}).get("name")}
    lines += [_parts(rest[name], MEASURES[name]) for name in ("time", "flops") if name in rest]
    sizes = []
    for name, word in (("output_bytes", "output"), ("saved_bytes", "saved")):
        size = rest.get(name, {}).get(node.phase)
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


def _unmeasured(node: GraphNode, values: Any) -> int:
    """How many of the operators that a node stands for have no measured value."""
    if not isinstance(values, str):
        return 0
    if "unmeasured" in node.facts:
        return int(node.facts["unmeasured"])
    return 0 if "measured" in node.facts or values in ("flops", "output_bytes") else node.count


def _known(node: GraphNode, name: str) -> Mapping[str, float] | None:
    """What is known of an operator: as measured, else by its formula or its shapes."""
    measured: Mapping[str, float] | None = node.facts.get("measured", {}).get(name)
    if measured is not None:
        return measured
    if name == "flops" and "flops" in node.facts:
        return {"": node.facts["flops"]}
    if name == "output_bytes" and node.count == 1 and "operators" not in node.facts:
        sizes = [_bytes(tensor) for tensor in node.outputs]
        if sizes and None not in sizes:
            return {"": sum(size for size in sizes if size is not None)}
    return None


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
            "overlay",
            f"a name, or a dict of numbers by node id is needed, not {kind}",
            repair="Write .overlay('flops'), or .overlay({3: 0.5}), where 3 is a node's id.",
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
            raise DTypeError(
                "overlay",
                f"the value of node {key} is no finite number: {value!r:.60}",
                repair="Leave out the nodes that have none: they are hatched.",
            )
    return {key: {"": value} for key, value in values.items()}
