"""Overlays: a number for each operator, told by a line of text and by colour.

The model has the name of its overlay, and each node what it says of it, ``facts["overlay"]``, by
the one table of overlays (:mod:`tinygrad_cv.viz.table`). A node has a value, or was not measured
(it is hatched and says so, and is never zero), or an overlay does not apply to it, and it has no
colour. The legend tells of the nodes that are drawn.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz import difference
from tinygrad_cv.viz.coloring import color_line, hue
from tinygrad_cv.viz.model import GraphModel, GraphNode
from tinygrad_cv.viz.table import GIVEN, MEASURES, TABLE, Overlay, amount, known, parts_text
from tinygrad_cv.viz.values_text import value_text

__all__ = ["LEVELS", "applies", "legend", "overlay", "overlay_lines", "refreshed", "shades"]
__all__ += ["state", "without"]

LEVELS = 5  # shades; the lowest is up to a fifth of the largest value
_OWN = ("overlay", "color", "given")  # facts that an overlay or a colour scheme has put there


def overlay(model: GraphModel, values: str | Mapping[int, float], unit: str = "") -> GraphModel:
    """Each operator with a number: ``facts["overlay"]``. Of a comparison a name shows the
    difference of what both graphs know: after minus before.

    Raises:
        ArgumentError: an unknown name, a name of which nothing is known (in one of the graphs that
            are compared), or a node that is not there or is no operator.
        DTypeError: a value is no finite real number of float64, or the unit no text.

    >>> import tinygrad_cv as tg
    >>> model = overlay(tg.viz.trace(lambda x: x.exp().sum(), tg.zeros(4)).model, "flops")
    >>> [(n.name, n.facts["overlay"]["value"]) for n in model.nodes if n.kind == "op"]
    [('exp', 4), ('sum', 4)]
    >>> legend(model)
    ['colour: flops, 8 FLOPs in all', 'stronger is more']
    """
    if not isinstance(unit, str):
        raise DTypeError("overlay", f"the unit must be a text, not {type(unit).__name__}")
    nodes = [replace(node, facts=without(node.facts)) for node in model.nodes]
    if isinstance(values, str):
        name, row = values, TABLE.get(values)
        if row is None:
            raise ArgumentError(
                "overlay",
                f"there is no overlay {name!r}",
                repair=f"There are {', '.join(map(repr, TABLE))}, and any dict of numbers by node "
                "id.",
            )
    else:
        name, row = "value", GIVEN
        checked = _checked(values, {node.id: node for node in nodes if node.kind == "op"})
        for place, node in enumerate(nodes):
            if node.id in checked:
                given = {"value": checked[node.id], "unit": unit, "count": node.count}
                nodes[place] = replace(node, facts={**node.facts, "given": given})
    model = refreshed(replace(model, nodes=tuple(nodes), overlay=name))
    if _compared(model):
        difference.check(name, model.nodes)
        return model
    told = [node.facts["overlay"] for node in model.nodes if _tells(node)]
    problem = f"no operator of this graph has a value of {name}", row.source
    if told and row.silent and all(one["value"] is None and not one["odd"] for one in told):
        told, problem = [], row.silent
    if not told:
        raise ArgumentError("overlay", problem[0], repair=problem[1])
    return model


def refreshed(model: GraphModel) -> GraphModel:
    """The model with what its nodes say of its overlay, by what they know now."""
    if not model.overlay:
        return model
    name, row, compared = model.overlay, _row(model), _compared(model)
    used = _used_parameters(model) if name == "parameters" and not compared else {}
    profiled = any("measured" in node.facts for node in model.nodes)
    phases = row.phases if profiled or not row.profiled else ()
    nodes = []
    for node in model.nodes:
        facts = {k: v for k, v in node.facts.items() if k != "overlay"}
        if compared:
            told = difference.tell(name, node)
        else:
            asked = facts if node.id not in used else {**facts, "parameter_sizes": used[node.id]}
            told = row.tell(replace(node, facts=asked))
        if told is not None or node.kind == "op":
            expects = node.kind == "op" and not node.error and node.phase in phases
            facts["overlay"] = {
                "name": name,
                "unit": row.unit,
                "value": None,
                "texts": [],
                "odd": False,
                "share": None,
                "applies": told is not None or expects,
                "unmeasured": node.count if told is None and expects else 0,
                **(told or {}),
            }
        nodes.append(replace(node, facts=facts))
    if row.adds and name != "parameters" and not compared:
        shown = [node.facts["overlay"] for node in nodes if "overlay" in node.facts]
        _share([one for one in shown if one["value"] is not None])
    return replace(model, nodes=tuple(nodes))


def _share(shown: list[dict[str, Any]]) -> None:
    """Tell each its part of all, if the sum is above 0."""
    most = max((abs(one["value"]) for one in shown), default=0)
    if not 0 < most < math.inf:
        return
    parts = [one["value"] / most for one in shown]  # their sum is a number
    total = sum(parts)
    for one, part in zip(shown, parts, strict=True) if total > 0 else ():
        one["share"] = part / total


def _row(model: GraphModel) -> Overlay:
    return TABLE.get(model.overlay, GIVEN)


def _compared(model: GraphModel) -> bool:
    """True if the overlay shows differences; numbers of the user's are shown as they are."""
    return model.overlay in TABLE and any("diff" in node.facts for node in model.nodes)


def _tells(node: GraphNode) -> bool:
    return bool(node.facts.get("overlay", {}).get("texts"))


def _used_parameters(model: GraphModel) -> dict[int, list[list[int]]]:
    """[number, elements] of the distinct parameters that each node is, holds or reads."""
    sizes = {node.id: node.outputs[0].size for node in model.nodes if node.kind == "param"}
    found = {key: {key: size} for key, size in sizes.items()}
    for node in model.nodes:
        if node.kind == "op" and node.phase == "forward":
            held = {h.key: h.tensor.size for h in node.held if h.kind == "param"}
            found[node.id] = dict(node.facts.get("parameter_sizes", held.items()))
    for edge in model.edges:
        if edge.source in sizes and edge.kind == "data" and edge.target in found:
            found[edge.target][edge.source] = sizes[edge.source]
    return {key: [list(pair) for pair in pairs.items()] for key, pairs in found.items()}


def legend(model: GraphModel) -> list[str]:
    """What the colours mean, of the nodes that are drawn: short clauses."""
    told = [node.facts["overlay"] for node in model.nodes if "overlay" in node.facts]
    if not model.overlay or not told:
        return []
    row, unit = _row(model), next((one["unit"] for one in told if one["unit"]), "")
    name = model.overlay.replace("_", " ")
    values = [one["value"] for one in told if one["value"] is not None]
    if _compared(model):
        lines = [f"colour: difference in {name}"]
        if row.adds:
            sums = [sum(one.get(place) or 0 for one in told) for place in ("before", "after")]
            lines[0] += f", {' → '.join(amount(number, unit) for number in sums)}"
        lines.append("orange is more, blue less")
        lines += ["no colour: the same"] if 0 in values else []
    else:
        lines, alike = [f"colour: {name}"], False
        if row.adds:
            distinct = {key: size for one in told for key, size in one.get("sizes", ())}
            total = sum(distinct.values() if distinct else values)
            lines[0] += f", {f'{total:,}' if distinct else amount(total, unit)} in all"
        elif values:
            low, high = (amount(value, unit) for value in (min(values), max(values)))
            alike = low == high
            lines[0] += f", {low} everywhere" if alike else f", {low} to {high}"
        lines += ["stronger is more"] if values and not alike else []
    return [*lines, *_states(model)]


def _states(model: GraphModel) -> list[str]:
    """What the legend says of nodes that have no value, or an alarming one."""
    operators = [node for node in model.nodes if node.kind == "op" and not node.error]
    states = [state(node) for node in operators]
    lines = []
    if model.overlay == "grad_norm" and not _compared(model):
        entries = {k: e for n in model.nodes for k, e in n.facts.get("norms", {}).items()}
        dead = sum(not entry.get("grad", 1) for entry in entries.values())
        lines += [f"red border: dead gradient, None or exactly zero ({dead:,})"] if dead else []
    odd = sum("odd" in found for found in states)
    lines += [f"red border: not finite ({odd:,})"] if odd else []
    count = sum(node.facts["overlay"]["unmeasured"] for node in operators)
    hatched = ["None"] if "unmeasured dead" in states else []
    hatched += [f"not measured ({count:,})"] if count else []
    lines += [f"hatched: {' or '.join(hatched)}"] if hatched else []
    if not all(applies(node) for node in operators):
        lines.append("no colour: does not apply")
    return lines


def applies(node: GraphNode) -> bool:
    """True if the overlay of the graph has something to say of a node, be it that nothing was
    measured: weight_norm of a ReLU does not, nor does any of an operator that failed."""
    return bool(node.facts.get("overlay", {}).get("applies"))


def without(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts without what an overlay or a colour scheme says."""
    if not any(name in facts for name in _OWN):
        return facts
    return {k: v for k, v in facts.items() if k not in _OWN}


def shades(model: GraphModel) -> dict[int, str]:
    """The classes that the overlay, or a colour scheme, gives to each node.

    With an overlay: "heat-0" to "heat-4" by the node's part of the largest value ("cool-0" to
    "cool-4" for a difference below zero), "unmeasured", or "plain" where it does not apply, or has
    no number; with "dead" for a dead gradient, "odd" for what is not finite. Operators that failed
    keep their own colour.
    """
    if not model.overlay:
        return {node.id: hue(node) for node in model.nodes}
    signed = _compared(model)
    values = {
        node.id: node.facts["overlay"]["value"]
        for node in model.nodes
        if node.facts.get("overlay", {}).get("value") is not None
    }
    sizes = {key: abs(value) if signed else value for key, value in values.items()}
    low, high = min(0, *sizes.values(), 0), max(*sizes.values(), 0, 0)
    width = high / 2 - low / 2  # of half the values: the difference of two may be beyond float64
    found = {}
    for node in model.nodes:
        shade = state(node)
        if node.id in values:
            level = _level(sizes[node.id], low, width)
            scale = "cool" if signed and values[node.id] < 0 else "heat"
            shade = shade.replace("heat", f"{scale}-{level}")
        found[node.id] = "" if node.error else shade
    return found


def _level(value: float, low: float, width: float) -> int:
    if width == 0:
        return 0
    if width == math.inf:
        return LEVELS - 1 if value == math.inf else 0
    return min(int(LEVELS * ((value / 2 - low / 2) / width)), LEVELS - 1)


def state(node: GraphNode) -> str:
    """How an overlay shows a node: "heat" for any value, else as :func:`shades` has it."""
    if not applies(node):
        return "plain"
    shown = node.facts["overlay"]
    level = "plain" if shown["texts"] else "unmeasured"
    if shown["value"] is not None and not (shown.get("difference") and shown["value"] == 0):
        level = "heat"
    if shown.get("dead"):
        return ("unmeasured" if level == "plain" else level) + " dead"
    return f"{level} odd" if shown["odd"] else level


def overlay_lines(node: GraphNode) -> list[str]:
    """What a node says of its overlay, and of what a profile measured besides."""
    lines, shown = [color_line(node)] if color_line(node) else [], node.facts.get("overlay", {})
    measured = node.facts.get("measured", {})
    if applies(node):
        share = "" if shown["share"] is None else f" ({100 * shown['share']:.3g} %)"
        first, *more = shown["texts"] or [f"{shown['name']}: not measured"]
        lines += [first + share, *more]
        if shown["texts"] and shown["unmeasured"] and not shown.get("difference"):
            lines.append(f"{shown['unmeasured']:,} of {node.count:,} not measured")
    if "diff" in node.facts:  # of two graphs: only the difference is told
        return lines
    rest = [name for name in MEASURES if name in measured and name != shown.get("name")]
    times = [name for name in rest if name in ("time", "flops")]
    lines += [parts_text(measured[name], TABLE[name].unit) for name in times]
    sizes = []
    if "output_bytes" in rest:
        sizes.append((measured["output_bytes"].get(node.phase), "output"))
    if "saved_bytes" in rest:
        sizes.append((sum((known(node, "saved_bytes") or {}).values()), "saved"))
    told = ", ".join(f"{quantity(size, 'B')} {word}" for size, word in sizes if size)
    return lines + ([told] if told else [])


def _checked(values: Mapping[int, float], operators: Mapping[int, GraphNode]) -> dict[int, float]:
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise DTypeError(
            "overlay",
            f"a name, or a dict of numbers by node id is needed, not {kind}",
            repair="Write .overlay('flops'), or .overlay({3: 0.5}), where 3 is a node's id.",
        )
    for key in values:
        if key not in operators:
            raise ArgumentError(
                "overlay",
                f"the graph has no operator {key!r}",
                repair=f"Its operators have the ids {', '.join(map(str, list(operators)[:8]))}"
                f"{' ...' if len(operators) > 8 else ''}.",
            )
    return {key: _number(key, value) for key, value in values.items()}


def _number(key: int, value: Any) -> float:
    """A finite number of the user's, of any real type, as Python's."""
    real = isinstance(value, (Real, Decimal)) and not isinstance(value, bool)
    if real:
        with contextlib.suppress(OverflowError):  # an int that no float64 holds
            if math.isfinite(value):
                exact = isinstance(value, Integral) and abs(int(value)) < 2**63
                return int(value) if exact else float(value)
    raise DTypeError(
        "overlay",
        f"the value of node {key} is no finite number of float64: {value_text(value, quoted=True)}",
        repair="Leave out the nodes that have none: they are hatched.",
    )
