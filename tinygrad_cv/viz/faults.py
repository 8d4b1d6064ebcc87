"""What ``verify`` found in a graph, at the nodes that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tinygrad_cv.autograd.verification import Report
from tinygrad_cv.core.node import Node
from tinygrad_cv.viz.model import GraphModel, GraphNode

__all__ = ["block_error", "combined_faults", "with_faults"]


def with_faults(model: GraphModel, numbers: Mapping[Node, int], report: Report) -> GraphModel:
    """The model with the faults of a report in ``error``, their number in ``facts["faults"]``: what
    is wrong with a gradient at the backward operator, where that is drawn, and the rest at the
    forward one; and a note of how many there are.

    Args:
        numbers: the recorded node of each forward operator -> its id in the model.
    """
    backward = {n.pair: n.id for n in model.nodes if n.kind == "op" and n.phase == "backward"}
    found: dict[int, list[str]] = {}
    for fault in report.faults:
        number = numbers.get(fault.node)
        if number is not None:
            at = backward.get(number, number) if fault.of_gradient else number
            found.setdefault(at, []).append(fault.told)
    nodes = tuple(
        replace(
            node,
            error="; ".join(found[node.id]),
            facts={**node.facts, "faults": len(found[node.id])},
        )
        if node.id in found
        else node
        for node in model.nodes
    )
    drawn = sum(map(len, found.values()))
    return replace(model, nodes=nodes, notes=(*model.notes, _note(report, drawn)))


def _note(report: Report, drawn: int) -> str:
    rules = sum(fault.of_gradient for fault in report.faults)
    counts = [(rules, "faulty rule"), (len(report.faults) - rules, "wrong result")]
    parts = [f"{n:,} {word}{'s' * (n > 1)}" for n, word in counts if n]
    if drawn < len(report.faults):
        parts.append(f"{len(report.faults) - drawn:,} of them not in this picture")
    return "verify: " + (", ".join(parts) or "no fault")


def block_error(nodes: Iterable[GraphNode]) -> str:
    """The error of a block: the first one inside, and of a fault which operator has it."""
    for node in nodes:
        if node.error:
            inner = "operators" not in node.facts and "faults" in node.facts
            return f"{node.name}: {node.error}" if inner else node.error
    return ""


def combined_faults(nodes: Iterable[GraphNode]) -> dict[str, int]:
    """The fact "faults" of nodes that become one."""
    count = sum(int(node.facts.get("faults", 0)) for node in nodes)
    return {"faults": count} if count else {}
