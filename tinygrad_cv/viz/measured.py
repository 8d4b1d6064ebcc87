"""What a profile measured, put into the facts of the operators: of a recorded graph by its nodes,
of a watched call by the order in which its operators ran.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz.model import GraphModel, GraphNode, call_names
from tinygrad_cv.viz.table import MEASURES

__all__ = ["check_profile", "measure", "measure_call"]

Found = dict[int, dict[str, dict[str, float]]]  # id -> name -> phase -> number


def check_profile(profile: Any) -> None:
    """Raise DTypeError unless it is what ``tg.profile`` recorded."""
    if not callable(getattr(profile, "values", None)) or isinstance(profile, Mapping):
        kind = type(profile).__name__
        raise DTypeError(
            "trace",
            f"profile= takes what tg.profile() recorded, not {kind}",
            repair="Compute the Tensor inside `with tg.profile() as p:`, and write profile=p.",
        )


def measure(
    model: GraphModel, numbers: Mapping[Any, int], profile: Any, computed: bool = True
) -> GraphModel:
    """The model with ``facts["measured"]``: for each of ``MEASURES`` a number by phase.

    Args:
        numbers: the recorded node of each forward operator -> its id in the model.
        profile: what ``tg.profile`` recorded. Where backward is drawn, its operators have their
            numbers themselves, else the forward ones have both.
        computed: False for a run on the meta device, whose times are those of the inference of
            shapes, not of the operators: they are left out.

    Raises:
        DTypeError: no profile.
        ArgumentError: it saw none of these operators.
    """
    check_profile(profile)
    found: Found = {}
    for name in _names(computed):
        for phase in ("forward", "backward"):
            for node, value in profile.values(name, phase).items():
                if node in numbers:
                    parts = found.setdefault(numbers[node], {})
                    parts.setdefault(name, {})[phase] = value
    if not found:
        raise _nothing(
            "Compute the Tensor, and call backward, inside `with tg.profile() as p:`, and draw it "
            "while it is alive."
        )
    return _with(model, found)


def _names(computed: bool) -> list[str]:
    return [name for name in MEASURES if computed or name != "time"]


def measure_call(
    model: GraphModel, profile: Any, silent: Collection[int] = frozenset(), computed: bool = True
) -> GraphModel:
    """The same of a call that was watched: the profile saw the same operators run in the same
    modules, in this order; the last such run counts, with the backward that followed it.

    Args:
        silent: ids of operators that no profile sees: writes that are not recorded.
        computed: as for :func:`measure`.

    Raises:
        ArgumentError: it saw nothing, or another call.
    """
    names = call_names(model.clusters)
    ran = [n for n in model.nodes if n.kind == "op" and n.phase == "forward" and not n.error]
    forward = [node for node in ran if node.id not in silent]
    events, forwards = profile.events, profile.forwards
    runs = [k for k, event in enumerate(events) if _is_run(event)]
    if not runs:
        raise _nothing("Run the call inside `with tg.profile() as p:`, and draw it then.")
    wanted = [(n.name, names[n.cluster]) for n in forward]
    start = _last(wanted, [_place(events[k]) for k in runs])
    if start is None:
        pairs = zip(wanted, (_place(events[k]) for k in runs), strict=False)
        odd = next(((k, a, b) for k, (a, b) in enumerate(pairs) if not _same(a, b)), None)
        where = ""
        if odd is not None:
            where = f"; operator {odd[0]} is {_words(odd[1])} here and {_words(odd[2])} there"
        raise ArgumentError(
            "trace",
            f"the profile is of another call: it saw {len(runs)} operators run, the call has "
            f"{len(wanted)}{where}",
            repair="Run the call itself inside `with tg.profile() as p:`.",
        )
    of = {k: node.id for k, node in zip(runs[start:], forward, strict=False)}
    found: Found = {}
    for k, event in enumerate(events):
        phase = "forward" if k in of else "backward"
        known = of.get(k if k in of else forwards[k])
        if known is not None:
            for name in _names(computed):
                parts = found.setdefault(known, {}).setdefault(name, {})
                parts[phase] = parts.get(phase, 0) + (getattr(event, name) or 0)
    return _with(model, found)


def _is_run(event: Any) -> bool:
    """True for an operator that ran, in a gradient rule too; what is computed again is not seen
    by who watches the call."""
    return event.phase == "forward" or (event.phase == "backward" and event.depth > 0)


def _place(event: Any) -> tuple[str, str | None]:
    """Operator and module; that of what a rule ran is the rule's."""
    return event.operator, None if event.depth else event.module


def _same(wanted: tuple[str, str], seen: tuple[str, str | None]) -> bool:
    return wanted[0] == seen[0] and seen[1] in (None, wanted[1])


def _last(wanted: Sequence[tuple[str, str]], seen: Sequence[tuple[str, str | None]]) -> int | None:
    """Where the last run of all that is wanted begins."""
    for start in range(len(seen) - len(wanted), -1, -1):
        if all(_same(place, seen[start + k]) for k, place in enumerate(wanted)):
            return start
    return None


def _words(place: tuple[str, str | None]) -> str:
    return f"{place[0]} in {place[1]}" if place[1] else place[0]


def _nothing(repair: str) -> ArgumentError:
    return ArgumentError("trace", "the profile saw no operator of this graph", repair=repair)


def _with(model: GraphModel, found: Found) -> GraphModel:
    """Each operator with its numbers: of its own phase if backward is drawn too, else of both."""
    both = any(node.kind == "op" and node.phase == "backward" for node in model.nodes)
    nodes: list[GraphNode] = []
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
