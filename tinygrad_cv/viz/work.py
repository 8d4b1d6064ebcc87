"""What module calls cost: floating-point operations, and time where it was measured."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_cv.core.mode import Scope
from tinygrad_cv.viz.model import Cluster, GraphModel, cluster_paths

__all__ = ["summed", "with_flops", "with_measured_time", "with_time"]


def with_flops(model: GraphModel) -> GraphModel:
    """The model with the FLOPs of the forward operators in each module call, and how many of them
    have no known number.

    >>> import tinygrad_cv as tg
    >>> graph = tg.viz.trace(tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU()), tg.zeros(2, 4))
    >>> [(call.kind, call.flops) for call in with_flops(graph.model).clusters]
    [('Sequential', 60), ('Linear', 54), ('ReLU', 6)]
    """
    above = cluster_paths(model.clusters)
    known, unknown = Counter[int](), Counter[int]()
    for node in model.nodes:
        if node.kind == "op" and node.phase == "forward" and not node.error:
            for call in above[node.cluster]:
                known[call] += int(node.facts.get("flops", 0))
                unknown[call] += "flops" not in node.facts
    clusters = (replace(c, flops=known[c.id], flops_unknown=unknown[c.id]) for c in model.clusters)
    return replace(model, clusters=tuple(clusters))


def with_time(model: GraphModel, number: Callable[[Scope], int | None], profile: Any) -> GraphModel:
    """The model with the seconds that each module call took in ``profile``, forward and backward,
    operators included that the graph does not record. What a checkpoint computes again is not in
    it.

    Args:
        number: the id of a module call; None for one that is not in the graph.
    """
    above = cluster_paths(model.clusters)
    time: dict[int, dict[str, float]] = defaultdict(dict)
    for phase in ("forward", "backward"):
        for scope, seconds in profile.call_values("time", phase):
            inner: Scope | None = scope
            while inner is not None and number(inner) is None:
                inner = inner.parent  # a call of which the graph records nothing
            for call in above[None if inner is None else number(inner)]:
                time[call][phase] = time[call].get(phase, 0.0) + seconds
    return _timed(model, time)


def with_measured_time(model: GraphModel) -> GraphModel:
    """The same from what the operators in each call took, of which every one is in the graph."""
    above = cluster_paths(model.clusters)
    time: dict[int, dict[str, float]] = defaultdict(dict)
    for node in model.nodes:
        for phase, seconds in node.facts.get("measured", {}).get("time", {}).items():
            for call in above[node.cluster]:
                time[call][phase] = time[call].get(phase, 0.0) + seconds
    return _timed(model, time)


def _timed(model: GraphModel, time: Mapping[int, Mapping[str, float]]) -> GraphModel:
    clusters = (replace(c, time=time[c.id]) if c.id in time else c for c in model.clusters)
    return replace(model, clusters=tuple(clusters))


def summed(cluster: Cluster, others: Sequence[Cluster]) -> Cluster:
    """A module call with the parameters, FLOPs and times of several."""
    time: dict[str, float] = {}
    for other in others:
        for phase, seconds in other.time.items():
            time[phase] = time.get(phase, 0.0) + seconds
    return replace(
        cluster,
        parameters=sum(other.parameters for other in others),
        flops=sum(other.flops for other in others),
        flops_unknown=sum(other.flops_unknown for other in others),
        time=time,
    )
