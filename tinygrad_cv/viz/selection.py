"""Parts of a graph: what stands around a node, what lies between two, which calls stay open.

Nodes that are left out leave no hole: where a path led through them, an edge marked ``hidden`` says
so, so what reaches what is the same as before.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from numbers import Integral

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz.checks import function_of, whole
from tinygrad_cv.viz.model import (
    Cluster,
    GraphEdge,
    GraphModel,
    GraphNode,
    TensorInfo,
    cluster_paths,
)

__all__ = ["chosen_calls", "expand", "find", "focus", "keep", "path", "reached", "said", "set_open"]

_FEW = 2000  # nodes that paths through hidden ones lead to: beyond, all are drawn

Which = int | str | Callable[[GraphNode], bool]


def focus(model: GraphModel, which: Which, radius: int = 2) -> GraphModel:
    """Keep the nodes that are at most ``radius`` edges away, in any direction, from the nodes that
    ``which`` finds (:func:`find`).

    Raises:
        ArgumentError: nothing is found, or ``radius`` is negative.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.sin().cos().exp().tanh(), tg.zeros(3)).model
    >>> [node.name for node in focus(model, "cos", 1).nodes]
    ['sin', 'cos', 'exp']
    """
    radius = whole("focus", "radius", radius, 0)
    beside: dict[int, list[int]] = defaultdict(list)
    for edge in model.edges:
        beside[edge.source].append(edge.target)
        beside[edge.target].append(edge.source)
    kept = ring = set(find(model, which, "focus"))
    for _ in range(radius):
        ring = {other for node in ring for other in beside[node]} - kept
        if not ring:
            break
        kept = kept | ring
    return _noted(keep(model, kept), model, f"around {said(which)}")


def path(model: GraphModel, start: Which, end: Which) -> GraphModel:
    """Keep the nodes on all paths from what ``start`` finds to what ``end`` finds (:func:`find`).

    Raises:
        ArgumentError: nothing is found, or no path leads there; the message says whether one leads
            the other way.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.sin().cos() + x.exp(), tg.zeros(3)).model
    >>> [node.name for node in path(model, "sin", "output").nodes]
    ['sin', 'cos', 'add', 'output']
    """
    starts, ends = find(model, start, "path"), find(model, end, "path")
    below = reached(starts, model.edges)
    kept = below & reached(ends, model.edges, against=True)
    if not kept:
        back = reached(ends, model.edges) & set(starts)
        raise ArgumentError(
            "path",
            f"nothing leads from {said(start)} to {said(end)}",
            repair=f"A path leads from {said(end)} to {said(start)}: exchange them."
            if back
            else "They do not depend on each other; focus(...) shows what is around a node.",
        )
    return _noted(keep(model, kept), model, f"from {said(start)} to {said(end)}")


def expand(model: GraphModel, which: str | Callable[[Cluster], bool]) -> GraphModel:
    """Mark module calls, and what they stand in, to stay open: no later transform draws them as
    one node.

    Raises:
        ArgumentError: nothing matches; the message names calls that are near.

    >>> import tinygrad_cv as tg
    >>> block = tg.nn.Sequential(tg.nn.Tanh(), tg.nn.ReLU())
    >>> model = tg.viz.trace(tg.nn.Sequential(block, tg.nn.Tanh()), tg.zeros(3)).model
    >>> [node.name for node in tg.viz.transforms.depth(expand(model, "0"), 0).nodes]
    ['input', 'tanh', 'relu', 'tanh', 'output']
    """
    paths = cluster_paths(model.clusters)
    chosen = chosen_calls(model, which, "expand")
    return set_open(model, {c for number in chosen for c in paths[number]}, True)


def set_open(model: GraphModel, calls: Collection[int], value: bool) -> GraphModel:
    """The model with these calls open, or not."""
    clusters = tuple(replace(c, open=value) if c.id in calls else c for c in model.clusters)
    return replace(model, clusters=clusters)


def chosen_calls(model: GraphModel, which: str | Callable[[Cluster], bool], owner: str) -> set[int]:
    """The module calls whose path matches a glob, or for which a function is true.

    Raises:
        ArgumentError: there are none.
        DTypeError: ``which`` is neither.
    """
    if isinstance(which, str):
        chosen = {c.id for c in model.clusters if fnmatch.fnmatchcase(c.path, which)}
    else:
        example = f'Write .{owner}("layer1*"), or .{owner}(lambda call: call.kind == "Linear").'
        function = function_of(owner, which, "a call", example)
        chosen = {c.id for c in model.clusters if function(c)}
    if not chosen:
        paths = sorted({c.path for c in model.clusters if c.path})
        raise ArgumentError(
            owner,
            f"no module call matches {said(which)}",
            repair=f"Paths in this graph: {_near(which, paths)}."
            if paths
            else "This graph has no module calls.",
        )
    return chosen


def find(model: GraphModel, which: Which, owner: str) -> list[int]:
    """The nodes that ``which`` means: an id; a glob of the operator's or tensor's name, of the
    module path of a call (then all that is in it), or of ``path.name``; or a function.

    Raises:
        ArgumentError: there are none.
        DTypeError: ``which`` is none of these.
    """
    if isinstance(which, Integral) and not isinstance(which, bool):
        if any(node.id == which for node in model.nodes):
            return [int(which)]
        ids = [node.id for node in model.nodes]
        some = f"{', '.join(map(str, ids[:8]))}{' ...' if len(ids) > 8 else ''}"
        raise ArgumentError(
            owner, f"the graph has no node {which}", repair=f"Its nodes have the ids {some}."
        )
    if isinstance(which, str):
        return _by_glob(model, which, owner)
    example = f'Write .{owner}(3), .{owner}("conv*") or .{owner}(lambda node: node.kind == "op")'
    example = example.replace("path(", "path(..., ") + ", each of which says one node or more."
    if not callable(which):
        problem = f"a node's id, a glob or a function of a node is needed, not {which!r:.60}"
        raise DTypeError(owner, problem, repair=example)
    function = function_of(owner, which, "a node", example)
    found = [node.id for node in model.nodes if function(node)]
    if not found:
        names = sorted({node.name for node in model.nodes} - {""})
        near = f"Names in this graph: {_near('', names)}."
        raise ArgumentError(owner, f"no node matches {said(which)}", repair=near)
    return found


def _by_glob(model: GraphModel, which: str, owner: str) -> list[int]:
    above = cluster_paths(model.clusters)
    called = {c.id: c.path for c in model.clusters if c.path}
    known: set[str] = set()
    matching: dict[str, bool] = {}
    found = []
    for node in model.nodes:
        calls = [called[c] for c in above[node.cluster] if c in called]
        if node.title:  # a call that is drawn as one node
            calls.append(node.title.partition(" : ")[0])
        names = [*calls, node.name]
        if calls:
            names.append(f"{calls[-1]}.{node.name}")
        known.update(names)
        for name in names:
            if name not in matching:
                matching[name] = fnmatch.fnmatchcase(name, which)
        if any(matching[name] for name in names):
            found.append(node.id)
    if not found:
        near = _near(which, sorted(known - {""}))
        raise ArgumentError(
            owner, f"no node matches {which!r}", repair=f"Names in this graph: {near}."
        )
    return found


def _near(which: object, names: list[str]) -> str:
    """Names, those that are most like ``which`` first."""
    wanted = which if isinstance(which, str) else ""
    near = difflib.get_close_matches(wanted, names, 8, 0.5)
    names = near + [name for name in names if name not in near]
    return f"{', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"


def said(which: object) -> str:
    """What was asked for, as a message says it."""
    if isinstance(which, Integral):
        return f"#{which}"
    return repr(which) if isinstance(which, str) else f"the function {_name(which)}"


def _name(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _noted(smaller: GraphModel, model: GraphModel, what: str) -> GraphModel:
    note = f"{len(smaller.nodes):,} of {len(model.nodes):,} nodes: {what}"
    return replace(smaller, notes=(*model.notes, note))


def reached(starts: Iterable[int], edges: Iterable[GraphEdge], against: bool = False) -> set[int]:
    """What is reached from ``starts``, themselves included."""
    onward: dict[int, list[int]] = defaultdict(list)
    for edge in edges:
        ends = (edge.target, edge.source) if against else (edge.source, edge.target)
        onward[ends[0]].append(ends[1])
    found = set(starts)
    stack = list(found)
    while stack:
        for node in onward[stack.pop()]:
            if node not in found:
                found.add(node)
                stack.append(node)
    return found


def keep(model: GraphModel, kept: Collection[int]) -> GraphModel:
    """The model with these nodes only. What reaches what among them stays: a path through nodes
    that are left out becomes an edge, where no other path says the same; one for each argument that
    it ends in. An operator has the fact "arguments_not_drawn", their number, if there are any: then
    an edge says which argument it is even if it is the only one.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.sin().cos() + x, tg.zeros(3)).model
    >>> [(e.source, e.target, e.argument, e.hidden) for e in keep(model, {0, 3}).edges]
    [(0, 3, 'other', False)]
    >>> [(e.source, e.target, e.argument, e.hidden) for e in keep(model, {1, 3}).edges]
    [(1, 3, 'input', True)]
    """
    edges = [e for e in model.edges if e.source in kept and e.target in kept]
    edges += _through(model, kept)
    undrawn = _undrawn(model, kept, edges)
    nodes = []
    for node in model.nodes:
        if node.id in kept:
            if node.pair is not None and node.pair not in kept:
                node = replace(node, pair=None)
            if node.id in undrawn:
                node = replace(node, facts={**node.facts, "arguments_not_drawn": undrawn[node.id]})
            nodes.append(node)
    paths = cluster_paths(model.clusters)
    used = {c for number in {node.cluster for node in nodes} for c in paths[number]}
    clusters = tuple(c for c in model.clusters if c.id in used)
    return replace(model, nodes=tuple(nodes), edges=tuple(edges), clusters=clusters)


def _undrawn(
    model: GraphModel, kept: Collection[int], edges: Iterable[GraphEdge]
) -> dict[int, int]:
    """For each kept operator the number of its arguments that no edge leads to any more."""
    drawn = {(e.target, e.slot) for e in edges if e.kind == "data"}
    gone = {(e.target, e.slot) for e in model.edges if e.kind == "data" and e.target in kept}
    before = {
        n.id: int(n.facts["arguments_not_drawn"])
        for n in model.nodes
        if "arguments_not_drawn" in n.facts
    }
    found = Counter(target for target, _ in gone - drawn)
    return {target: before.get(target, 0) + count for target, count in found.items()}


def _through(model: GraphModel, kept: Collection[int]) -> list[GraphEdge]:
    """Edges for the paths that lead from kept nodes through others back to kept ones."""
    arriving: dict[int, list[GraphEdge]] = defaultdict(list)
    for edge in model.edges:
        arriving[edge.target].append(edge)
    useful = reached(kept, model.edges, against=True)  # nothing comes back from the others
    nothing: frozenset[tuple[int, int]] = frozenset()
    # Of a hidden node: the kept ones that paths come from, and which output they start with.
    behind: dict[int, frozenset[tuple[int, int]]] = {}
    above: dict[int, frozenset[int]] = {}  # of a kept node: those one step before it
    wanted: dict[int, set[int]] = {}
    for node in model.nodes:  # topological
        if node.id not in useful:
            continue
        edges = arriving[node.id]
        direct = {(e.source, e.output) for e in edges if e.source in kept}
        doors = nothing.union(*{behind[e.source] for e in edges if e.source not in kept})
        if len(doors) > 1 or (doors and direct):  # one may lead to another: that says it all
            implied = {before for door, _ in (*doors, *direct) for before in above[door]}
            doors = frozenset(door for door in doors if door[0] not in implied)
        if node.id in kept:
            near = {door for door, _ in direct}
            wanted[node.id] = {door for door, _ in doors} - near
            above[node.id] = frozenset(wanted[node.id] | near)
        else:
            behind[node.id] = doors | direct if direct else doors
    if sum(map(bool, wanted.values())) <= _FEW:
        ends = {key: [edge.source for edge in edges] for key, edges in arriving.items()}
        _without_implied(model, ends, wanted)
    return list(_hidden(model, arriving, behind, wanted))


def _hidden(
    model: GraphModel,
    arriving: Mapping[int, list[GraphEdge]],
    behind: Mapping[int, frozenset[tuple[int, int]]],
    wanted: Mapping[int, set[int]],
) -> Iterator[GraphEdge]:
    """An edge from each door that is wanted to each argument that a path from there ends in; for a
    gradient only one, since several are a sum."""
    nodes = {node.id: node for node in model.nodes}
    for target, doors in wanted.items():
        data = nodes[target].phase == "forward"
        found: dict[tuple[int, int, int], GraphEdge] = {}
        for edge in arriving[target] if doors else ():
            slot, argument = (edge.slot, edge.argument) if edge.kind == "data" else (0, "")
            for door, output in behind.get(edge.source, ()):
                if door in doors:
                    output = output if data else 0
                    found[door, slot, output] = GraphEdge(
                        door,
                        target,
                        "data" if data else "gradient",
                        slot,
                        argument,
                        output,
                        TensorInfo(""),
                        hidden=True,
                    )
        yield from (found[key] for key in sorted(found))


def _without_implied(
    model: GraphModel, arriving: dict[int, list[int]], wanted: dict[int, set[int]]
) -> None:
    """Drop an edge where a path over kept nodes says the same."""
    bit = {door: 1 << k for k, door in enumerate({d for doors in wanted.values() for d in doors})}
    above: dict[int, int] = {}  # of a kept node: the doors that reach it
    for node in model.nodes:  # topological
        if node.id not in wanted:
            continue
        direct = [s for s in arriving[node.id] if s in wanted]
        doors = wanted[node.id]
        implied = 0
        for source in (*direct, *doors):
            implied |= above[source]
        wanted[node.id] = {door for door in doors if not bit[door] & implied}
        for source in (*direct, *doors):
            implied |= bit.get(source, 0)
        above[node.id] = implied
