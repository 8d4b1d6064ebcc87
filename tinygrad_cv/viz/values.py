"""Numbers of the values in a graph: norms of weights and gradients, statistics of activations,
bytes alive by a memory plan.

They are taken when the graph is captured and put into the facts of the nodes as plain numbers.
Nodes that become one put theirs together: norms by the root of the sum of squares, statistics over
all values, bytes by the largest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_cv.autograd.hooks import retained
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.node import Node
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz.model import GraphEdge, GraphModel, GraphNode

__all__ = ["NAMES", "add_norms", "add_plan", "combined_values", "expected", "fact", "moments"]
__all__ += ["pooled", "quantity", "show"]

# name -> (unit, where it comes from)
NAMES = {
    "grad_norm": ("", "Draw with statistics=True, after backward."),
    "weight_norm": ("", "Draw with statistics=True."),
    "parameters": ("", "No operator of this graph uses a parameter."),
    "peak_bytes": ("B", "Draw with plan=tg.autograd.plan_memory(function, *inputs)."),
    "mean": ("", "Trace the call itself with statistics=True."),
    "std": ("", "Trace the call itself with statistics=True."),
    "zeros": ("", "Trace the call itself with statistics=True."),
    "nonfinite": ("", "Trace the call itself with statistics=True."),
}
_STATISTICS = ("mean", "std", "zeros", "nonfinite")
Facts = dict[str, Any]

# Taking numbers -----------------------------------------------------------------------------------


def moments(arrays: Iterable[Any]) -> Facts | None:
    """What the statistics of some arrays are made of; None without data. Mean and standard
    deviation are of the finite values.

    >>> import numpy as np
    >>> moments([np.array([0.0, 2.0, np.inf])])
    {'count': 3, 'finite': 2, 'nan': 0, 'zeros': 1, 'mean': 1.0, 'std': 1.0}
    """
    found = []
    for array in arrays:
        if not hasattr(array, "__array__") and not hasattr(array, "__cuda_array_interface__"):
            return None  # a stand-in of the meta device
        flat = array.reshape(-1).astype("float64")
        finite = flat[abs(flat) < math.inf]  # false for NaN too
        entry: Facts = {"count": int(flat.size), "finite": int(finite.size)}
        entry |= {"nan": int((flat != flat).sum()), "zeros": int((flat == 0).sum())}
        entry |= {"mean": 0.0, "std": 0.0}
        if finite.size:
            finite, scale = _scaled(finite)
            mean = float(finite.mean())
            entry["mean"] = scale * mean
            entry["std"] = scale * math.sqrt(float(((finite - mean) ** 2).mean()))
        found.append(entry)
    return pooled(found) if found else None


def _scaled(flat: Any) -> tuple[Any, float]:
    """Values whose squares neither overflow nor vanish, and the factor that is taken out of
    them."""
    most = float(abs(flat).max())
    if 1e-100 < most < 1e100 or not 0 < most < math.inf:
        return flat, 1.0
    return flat / most, most


def pooled(parts: Sequence[Facts]) -> Facts:
    """The statistics of all values together (Chan, Golub and LeVeque, 1979)."""
    total = dict(parts[0])
    for part in parts[1:]:
        size = total["finite"] + part["finite"]
        if size:
            share = part["finite"] / size
            between = math.sqrt(share * (1 - share))
            total["std"] = math.hypot(
                math.sqrt(1 - share) * total["std"],
                math.sqrt(share) * part["std"],
                between * part["mean"] - between * total["mean"],
            )
            total["mean"] = (1 - share) * total["mean"] + share * part["mean"]
        for name in ("count", "finite", "nan", "zeros"):
            total[name] += part[name]
    return total


def _norm(tensor: Any) -> float | str | None:
    """The Euclidean norm, in float64; "nan" or "inf" in words, since JSON has no number for it."""
    array: Any = getattr(tensor, "array", None)
    if isinstance(array, Spec):
        return None
    flat = array.reshape(-1).astype("float64")
    if not flat.size:
        return 0.0
    if not bool((abs(flat) < math.inf).all()):
        return "nan" if bool((flat != flat).any()) else "inf"
    flat, scale = _scaled(flat)
    norm = scale * math.sqrt(float((flat * flat).sum()))
    return norm if math.isfinite(norm) else "inf"


def add_norms(
    model: GraphModel, tensors: Mapping[int, Any], nodes: Mapping[Node, int]
) -> GraphModel:
    """The model with ``facts["norms"]``: of parameters (of the operator that uses them as well), of
    inputs with a gradient, and of results whose gradient was retained.

    Args:
        tensors: node id of each parameter or input -> its Tensor.
        nodes: recorded node -> id of the operator.
    """
    norms: dict[int, dict[str, Facts]] = {}
    params = {node.id for node in model.nodes if node.kind == "param"}
    for number, tensor in tensors.items():
        entry: Facts = {"name": model.nodes[number].name or "input"}
        if number in params:
            entry["weight"] = _norm(tensor)
        if tensor.requires_grad:
            entry["grad"] = None if tensor._grad is None else _norm(tensor._grad)
        if len(entry) > 1:
            norms.setdefault(number, {})[str(number)] = entry
    for node, number in nodes.items():
        for index, tensor in retained(node).items():
            name = node.op.outputs[index] if len(node.op.outputs) > 1 else "output"
            grad = None if tensor._grad is None else _norm(tensor._grad)
            norms.setdefault(number, {})[f"{number}.{index}"] = {"name": name, "grad": grad}
    for edge in model.edges:
        if edge.source in params and edge.source in norms and edge.kind == "data":
            entry = norms[edge.source][str(edge.source)]
            if model.nodes[edge.target].kind == "op":
                own = norms.setdefault(edge.target, {})
                own.setdefault(str(edge.source), {**entry, "name": edge.argument})
    _add_gradients(model, norms)
    return _with_facts(model, {key: {"norms": entries} for key, entries in norms.items()})


def _add_gradients(model: GraphModel, norms: dict[int, dict[str, Facts]]) -> None:
    """Of the gradients themselves, in the backward part: the norm of what arrived at a leaf, or at
    a result that retained it, is also that of the operator that sent it, if only one did."""
    arriving: dict[int, list[GraphEdge]] = {}
    for edge in model.edges:
        if edge.kind == "gradient":
            arriving.setdefault(edge.target, []).append(edge)
    nodes = {node.id: node for node in model.nodes}
    for target, edges in arriving.items():
        node, (first, *others) = nodes[target], edges
        if node.pair is None:
            continue
        forward = nodes[node.pair]
        single = len(forward.outputs) == 1  # else it is not said which of them a gradient is of
        key = f"{node.pair}.0" if forward.kind == "op" and single else str(node.pair)
        known = norms.get(node.pair, {}).get(key, {})
        if "grad" in known:
            if node.kind == "output":
                norms.setdefault(target, {})[key] = {k: known[k] for k in ("name", "grad")}
            if not others and nodes[first.source].kind == "op":
                entry = {"name": first.argument, "grad": known["grad"]}
                norms.setdefault(first.source, {})[key] = entry


def add_plan(model: GraphModel, plan: Any) -> GraphModel:
    """The model with ``facts["live"]``: the bytes that are alive when an operator, or its backward,
    has ended, by a plan of the same call.

    Raises:
        DTypeError: no plan.
        ArgumentError: a plan of something else.
    """
    steps = getattr(plan, "steps", None)
    if not isinstance(steps, list) or not hasattr(plan, "peak_bytes"):
        kind = type(plan).__name__
        raise DTypeError("trace", f"plan= takes what plan_memory(...) returned, not {kind}")
    paths = {cluster.id: cluster.path or cluster.kind for cluster in model.clusters}
    operators = [node for node in model.nodes if node.kind == "op"]
    forward = [node for node in operators if node.phase == "forward"]
    planned = [step for step in steps if step.phase == "forward"]
    wanted = [(node.name, paths.get(node.cluster, "")) for node in forward]  # type: ignore[arg-type]
    given = [(step.operator, step.module) for step in planned]
    if wanted != given:
        at = next((k for k, (a, b) in enumerate(zip(wanted, given, strict=False)) if a != b), None)
        words = [_operator(wanted, at), _operator(given, at)]
        where = "" if at is None else f"; operator {at} is {words[0]} here and {words[1]} there"
        raise ArgumentError(
            "trace",
            f"the plan is of another graph: it has {len(given)} operators, the graph "
            f"{len(wanted)}{where}",
            repair="Trace the call that was planned, viz.trace(function, *inputs, plan=plan).",
        )
    live: dict[int, dict[str, int]] = {}
    for node, step in zip(forward, planned, strict=True):
        live[node.id] = {"forward": step.live}
    # The engine goes back in the order in which the operators ran.
    back = [step for step in steps if step.phase == "backward"]
    later = iter(reversed(forward))
    for step in back:
        ran = next((n for n, name in _named(later, paths) if name == _key(step)), None)
        if ran is None:
            break
        live[ran.id]["backward"] = step.live
    both = any(node.phase == "backward" for node in operators)
    facts = {}
    for node in operators:
        parts = live.get(node.pair if node.phase == "backward" else node.id, {})  # type: ignore[arg-type]
        parts = {p: v for p, v in parts.items() if not both or p == node.phase}
        if parts:
            facts[node.id] = {"live": parts}
    return _with_facts(model, facts)


def _named(nodes: Iterable[GraphNode], paths: Mapping[int, str]) -> Iterable[tuple[GraphNode, Any]]:
    return ((n, (n.name, paths.get(n.cluster, ""))) for n in nodes)  # type: ignore[arg-type]


def _key(step: Any) -> tuple[str, str]:
    return step.operator, step.module


def _operator(rows: Sequence[tuple[str, str]], at: int | None) -> str:
    name, module = rows[at or 0] if rows else ("", "")
    return f"{name} in {module}" if module else name


def _with_facts(model: GraphModel, facts: Mapping[int, Facts]) -> GraphModel:
    nodes = tuple(
        replace(node, facts={**node.facts, **facts[node.id]}) if node.id in facts else node
        for node in model.nodes
    )
    return replace(model, nodes=nodes)


# Showing numbers ----------------------------------------------------------------------------------


def show(model: GraphModel, name: str) -> GraphModel:
    """The model with ``facts["overlay"]`` of one of :data:`NAMES`, and a note.

    Raises:
        ArgumentError: nothing is known of it; the message says where it comes from.
    """
    unit, source = NAMES[name]
    sizes = {node.id: node.outputs[0].size for node in model.nodes if node.kind == "param"}
    used: dict[int, list[list[int]]] = {}
    for edge in model.edges:
        if edge.source in sizes and edge.kind == "data":
            used.setdefault(edge.target, []).append([edge.source, sizes[edge.source]])
    nodes, facts = [], []
    for node in model.nodes:
        known = dict(node.facts)
        if node.kind == "param":
            known["parameter_sizes"] = [[node.id, sizes[node.id]]]
        elif node.kind == "op" and node.phase == "forward":
            held = [[h.key, h.tensor.size] for h in node.held if h.kind == "param"]
            own = [*node.facts.get("parameter_sizes", held), *used.get(node.id, ())]
            known["parameter_sizes"] = [list(pair) for pair in dict.fromkeys(map(tuple, own))]
        shown = fact(name, known)
        if shown is not None or node.kind == "op":
            shown = shown or {"name": name, "value": None, "applies": expected(name, node)}
            facts.append(shown)
            node = replace(node, facts={**node.facts, "overlay": {"unit": unit, **shown}})
        nodes.append(node)
    values = [f["value"] for f in facts if f["value"] is not None]
    entries = {k: e for node in model.nodes for k, e in node.facts.get("norms", {}).items()}
    dead = [e for e in entries.values() if not e.get("grad", 1)] if name == "grad_norm" else []
    if not any("text" in f or "texts" in f for f in facts):
        raise ArgumentError(
            "overlay", f"no operator of this graph has a value of {name}", repair=source
        )
    if name == "grad_norm" and not any(f.get("known") for f in facts):
        raise ArgumentError(
            "overlay",
            "no parameter of this graph has a gradient",
            repair="Call backward first, then draw with statistics=True.",
        )
    note = f"coloured by {name}"
    if values:
        low, high = (quantity(v, unit) for v in (min(values), max(values)))
        note += f": {low} to {high}; the stronger, the more"
    if name == "parameters":
        total = model.totals.get("parameters", sum(sizes.values()))
        note = f"coloured by {name}: {total:,} in all; the stronger, the more"
    if dead:
        note += f"; red border: dead gradient, None or exactly zero ({len(dead):,})"
    lines = [line for line in model.notes if not line.startswith("coloured by ")]
    return replace(model, nodes=tuple(nodes), notes=(*lines, note))


def expected(name: str, node: GraphNode) -> bool:
    """True for an operator that would have a value, had it been measured."""
    if node.error:
        return False
    if name in _STATISTICS:  # of what a call gives
        return node.phase == "forward"
    # A gradient rule gives gradients, whether they were kept or not.
    return name == "peak_bytes" or (name == "grad_norm" and node.phase == "backward")


def fact(name: str, facts: Mapping[str, Any]) -> Facts | None:
    """What an overlay says of a node with these facts; None if they have nothing of it."""
    if name in ("grad_norm", "weight_norm"):
        return _norms(name, facts.get("norms", {}))
    if name == "parameters":
        sizes = facts.get("parameter_sizes") or ()
        value = sum(size for _, size in sizes)
        shown = {"name": name, "value": value, "text": f"{value:,} parameters"}
        return {**shown, "sizes": [list(pair) for pair in sizes]} if sizes else None
    if name == "peak_bytes":
        live = facts.get("live")
        if not live:
            return None
        text = ", ".join(f"{quantity(size, 'B')} alive after {p}" for p, size in live.items())
        return {"name": name, "value": max(live.values()), "parts": dict(live), "text": text}
    found = facts.get("statistics")
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
        text = f"mean {found['mean']:.4g}, std {spread:.4g}, {100 * found['zeros'] / count:.3g} % 0"
    else:
        text = "no finite value" if count else "no value"
    if count > finite:
        text += f", {count - finite:,} of {count:,} not finite"
    odd = value is None and count > 0
    return {"name": name, "value": value, "text": text, "odd": odd}


def _norms(name: str, norms: Mapping[str, Facts]) -> Facts | None:
    kind = "grad" if name == "grad_norm" else "weight"
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
    shown = {"name": name, "value": value, "parts": parts, "texts": texts, "dead": dead}
    shown["odd"] = any(isinstance(entry[kind], str) for entry in entries)
    return {**shown, "known": any(entry[kind] is not None for entry in entries)}


def combined_values(operators: Sequence[GraphNode]) -> Facts:
    """These facts of operators that become one."""
    facts: Facts = {}
    norms: dict[str, Facts] = {}
    live: dict[str, int] = {}
    for node in operators:
        norms |= node.facts.get("norms", {})
        for phase, size in node.facts.get("live", {}).items():
            live[phase] = max(size, live.get(phase, 0))
    if norms:
        facts["norms"] = norms
    if live:
        facts["live"] = live
    parts = [node.facts["statistics"] for node in operators if "statistics" in node.facts]
    if parts:
        facts["statistics"] = pooled(parts)
    return facts


def quantity(value: float, unit: str) -> str:
    """A number with its unit, in the prefix that fits: 1.24 ms, 3.2 MFLOPs, 12 kB.

    >>> quantity(0.00124, "s"), quantity(3_200_000, "FLOPs"), quantity(12_000, "B")
    ('1.24 ms', '3.2 MFLOPs', '12 kB')
    >>> quantity(0.25, ""), quantity(0, "s"), quantity(math.nan, "s"), quantity(-math.inf, "B")
    ('0.25', '0 s', 'NaN s', '-inf B')
    """
    if isinstance(value, int):
        value = float(value) if abs(value) < 10**308 else math.copysign(math.inf, value)
    if not math.isfinite(value):
        return f"{'NaN' if math.isnan(value) else value} {unit}".rstrip()
    if not value or unit not in ("s", "FLOPs", "B"):
        return f"{value:.4g} {unit}".rstrip()
    prefixes = ("n", "u", "m", "") if unit == "s" else ("", "k", "M", "G", "T")
    least = -3 if unit == "s" else 0
    exponent = int(f"{value:.2e}".partition("e")[2])  # of the three digits: 999,999 is 1 M
    power = min(max(exponent // 3, least), least + len(prefixes) - 1)
    digits = float(f"{value / 1000.0**power:.3g}")
    return f"{digits:g} {prefixes[power - least]}{unit}"
