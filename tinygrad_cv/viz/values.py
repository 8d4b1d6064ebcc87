"""Numbers of the values in a graph: norms of weights and gradients, statistics of activations,
bytes alive by a memory plan.

They are taken when the graph is captured and put into the facts of the nodes as plain numbers.
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
from tinygrad_cv.viz.model import GraphEdge, GraphModel, GraphNode, call_names
from tinygrad_cv.viz.naming import own_names

__all__ = ["add_norms", "add_plan", "moments", "pooled"]

Facts = dict[str, Any]


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
                own.setdefault(str(edge.source), dict(entry))
    _add_gradients(model, norms)
    for number, entries in norms.items():
        if number not in tensors:
            short = own_names(entry["name"] for entry in entries.values())
            for entry in entries.values():
                entry["name"] = short[entry["name"]]
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
                name = known["name"] if forward.kind == "param" else first.argument
                entry = {"name": name, "grad": known["grad"]}
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
        raise DTypeError(
            "trace",
            f"plan= takes what plan_memory(...) returned, not {kind}",
            repair="Write plan=tg.autograd.plan_memory(function, *inputs).",
        )
    names = call_names(model.clusters)
    operators = [node for node in model.nodes if node.kind == "op"]
    forward = [node for node in operators if node.phase == "forward"]
    planned = [step for step in steps if step.phase == "forward"]
    wanted = [(node.name, names[node.cluster]) for node in forward]
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
        ran = next((n for n, name in _named(later, names) if name == _key(step)), None)
        if ran is None:
            break
        live[ran.id]["backward"] = step.live
    both = any(node.phase == "backward" for node in operators)
    facts = {}
    for node in operators:
        own = node.pair if node.phase == "backward" else node.id
        parts = {} if own is None else live.get(own, {})
        parts = {p: v for p, v in parts.items() if not both or p == node.phase}
        if parts:
            facts[node.id] = {"live": parts}
    return _with_facts(model, facts)


def _named(
    nodes: Iterable[GraphNode], names: Mapping[int | None, str]
) -> Iterable[tuple[GraphNode, Any]]:
    return ((n, (n.name, names[n.cluster])) for n in nodes)


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
