"""Contraction: several nodes of a graph become one, and the rest keeps its order and its
arguments.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_cv.viz.difference import combined_comparison, with_comparison
from tinygrad_cv.viz.ends import Ends
from tinygrad_cv.viz.faults import block_error
from tinygrad_cv.viz.marks import mark_of
from tinygrad_cv.viz.model import (
    FoldedTensor,
    GraphEdge,
    GraphModel,
    GraphNode,
    TensorInfo,
    call_paths,
)
from tinygrad_cv.viz.naming import module_paths
from tinygrad_cv.viz.overlay import refreshed
from tinygrad_cv.viz.table import combined

__all__ = ["BUNDLES", "LOOSENED", "Key", "contract", "holding", "named", "parameter_sizes"]
__all__ += ["saved_bytes", "storages"]

Key = tuple[int, str]  # which block, and "forward", "backward", "saved" or one of BUNDLES
BUNDLES = {  # parts of a graph without operators, and what several of them are
    "input": "inputs",
    "param": "parameter tensors",
    "const": "constants",
    "output": "outputs",
    "seed": "gradients of outputs",
    "gradient": "gradients",
}
_LINES = 8  # between two nodes; where there would be more, one stands for all


def contract(
    model: GraphModel,
    groups: Mapping[int, Key],
    titles: Callable[[Key], tuple[str, str, int | None]],
    attempt: int = 0,
) -> GraphModel:
    """Make one node of all nodes that ``groups`` gives the same key.

    Args:
        groups: node id -> (block, part). A block's backward part is drawn beside its forward part;
            a bundle of inputs, outputs and the like is a box of its own.
        titles: key -> (name, title, cluster) of the new node. A block with a title is the module
            call whose number is in its key, and what enters it has a name.

    The new node has the smallest id of its members; a group with one operator keeps that operator,
    which gets the title; a group without operators keeps its nodes. In a comparison, groups that
    make a circle are loosened, at each ``attempt`` more than at the one before.
    """
    members: dict[Key, list[GraphNode]] = defaultdict(list)
    for node in model.nodes:
        if node.id in groups:
            members[groups[node.id]].append(node)
    alone: dict[int, tuple[str, str, int | None]] = {}
    for key, nodes in list(members.items()):
        whole = key[1] == "saved" or key[1] in BUNDLES or any(node.kind == "op" for node in nodes)
        if len(nodes) == 1 or not whole:
            alone |= {node.id: titles(key) for node in nodes}
            del members[key]
    head, blocks = {}, set()
    for key, nodes in members.items():
        operators = [node.id for node in nodes if node.kind == "op"]
        head[key] = operators[0] if len(operators) == 1 else nodes[0].id
        if len(operators) != 1:
            blocks.add(head[key])
    new_id = {node.id: head[key] for key, nodes in members.items() for node in nodes}
    key_of = {number: key for key, number in head.items()}
    arriving: dict[int, list[GraphEdge]] = defaultdict(list)
    leaving: dict[int, list[TensorInfo]] = defaultdict(list)
    for edge in model.edges:
        if edge.target in new_id:
            arriving[edge.target].append(edge)

    def call_of(block: int) -> int | None:
        return key_of[block][0] if titles(key_of[block])[1] else None

    ends = Ends(model, new_id, set(key_of), call_of)
    edges = _edges(model.edges, new_id, blocks, ends)
    for number, results in ends.results.items():
        leaving[number] = [tensor for _, tensor in results.values()]

    paths = call_paths(model.clusters)
    kept = []
    for node in model.nodes:
        if node.id in key_of:
            key = key_of[node.id]
            if key[1] in BUNDLES:
                kept.append(_bundle(members[key], key[1], titles(key)[2], new_id))
                continue
            pair = head.get((key[0], "forward"), node.pair) if key[1] != "forward" else None
            block = _block(members[key], key, titles(key), tuple(leaving[node.id]), pair)
            facts = {**block.facts, **module_paths(members[key], paths)}
            block = replace(block, id=node.id, facts=facts)
            kept.append(_with_operator(block, members[key], arriving))
        elif node.id not in new_id:
            if node.pair in new_id:
                node = replace(node, pair=new_id[node.pair])
            if node.id in alone:
                _, text, cluster = alone[node.id]
                titled = node.kind == "op" and node.phase == "forward" and not node.title
                node = replace(node, cluster=cluster, title=text if titled else node.title)
            kept.append(node)
    if attempt < len(LOOSENED) and any(mark_of(node) == "removed" for node in model.nodes):
        tangled = _tangled(edges)
        if tangled:
            looser = LOOSENED[attempt](model, groups, new_id, tangled)
            return contract(model, looser, lambda key: titles(_whole(key)), attempt + 1)
    return refreshed(replace(model, nodes=_topological(kept, edges), edges=edges))


def _alone(key: Key, node_id: int) -> Key:
    """The key of a node that leaves its group; :func:`_whole` gives that of the group."""
    return key[0], f"{_whole(key)[1]} without {node_id}"


def _whole(key: Key) -> Key:
    return key[0], key[1].partition(" ")[0]


def _untangled(
    model: GraphModel, groups: Mapping[int, Key], new_id: Mapping[int, int], tangled: set[int]
) -> dict[int, Key]:
    """Groups without a circle. In a comparison a call has nodes of both graphs, and those that were
    removed may stand between or behind the nodes of another call: of those on a circle, one that
    stands between the other nodes of a group joins it, and any other one stands alone.
    """
    spans: dict[Key, list[int]] = {}
    for place, node in enumerate(model.nodes):
        if new_id.get(node.id) in tangled and mark_of(node) != "removed":
            spans.setdefault(groups[node.id], [place, place])[1] = place
    found = dict(groups)
    for place, node in enumerate(model.nodes):
        if mark_of(node) == "removed" and new_id.get(node.id, node.id) in tangled:
            around = (k for k, (start, end) in spans.items() if start < place < end)
            key = next((k for k in around if k[1] == node.phase), None)
            if key is not None:
                found[node.id] = key
            elif node.id in groups:
                found[node.id] = _alone(groups[node.id], node.id)
    return found


def _dissolved(
    model: GraphModel, groups: Mapping[int, Key], new_id: Mapping[int, int], tangled: set[int]
) -> dict[int, Key]:
    """Groups of which those on a circle are taken apart."""
    return {
        number: _alone(key, number) if new_id.get(number) in tangled else key
        for number, key in groups.items()
    }


LOOSENED = (_untangled, _dissolved)


def _tangled(edges: Iterable[GraphEdge]) -> set[int]:
    """The nodes on circles, and on paths from one circle to another."""
    left: set[int] = set()
    for against in (False, True):
        ends = [(e.target, e.source) if against else (e.source, e.target) for e in edges]
        waiting = Counter(target for _, target in ends)
        targets: dict[int, list[int]] = defaultdict(list)
        for source, target in ends:
            targets[source].append(target)
        ready = [source for source in targets if not waiting[source]]
        while ready:
            for target in targets[ready.pop()]:
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        remaining = {node for node, count in waiting.items() if count}
        left = left & remaining if against else remaining
        if not left:
            break
    return left


def _bundle(
    nodes: list[GraphNode], part: str, cluster: int | None, new_id: Mapping[int, int]
) -> GraphNode:
    """Several inputs, outputs or the like as one node."""
    count = sum(node.count for node in nodes)
    kinds = {(t.shape, t.dtype) for node in nodes for t in node.outputs or (TensorInfo(""),)}
    shape, dtype = next(iter(kinds))
    sizes = parameter_sizes(nodes)
    first = nodes[0]
    compared = combined_comparison(nodes)
    return GraphNode(
        id=first.id,
        kind=first.kind,
        name=f"… {count:,} {BUNDLES[part]}",
        phase=first.phase,
        outputs=(TensorInfo("", shape, dtype),) if len(kinds) == 1 else (),
        cluster=cluster,
        pair=None if first.pair is None else new_id.get(first.pair, first.pair),
        count=count,
        facts={"parameter_sizes": sizes} | compared if sizes else compared,
    )


def _block(
    nodes: list[GraphNode],
    key: Key,
    title: tuple[str, str, int | None],
    outputs: tuple[TensorInfo, ...],
    pair: int | None,
) -> GraphNode:
    name, text, cluster = title
    facts: dict[str, Any] = {}
    if any("flops" in node.facts for node in nodes):
        facts["flops"] = sum(int(node.facts.get("flops", 0)) for node in nodes)
    sizes = parameter_sizes(nodes)
    if sizes:
        facts["parameter_sizes"] = sizes
        facts["parameters"] = sum(size for _, size in sizes)
    operators = [node for node in nodes if node.kind == "op"]
    kinds: Counter[str] = Counter()
    for node in operators:
        kinds.update(node.facts.get("operators") or {node.name: node.count})
    facts["operators"] = dict(kinds.most_common())
    phase = "backward" if key[1] == "backward" else "forward"
    facts |= combined(operators) | combined_comparison(nodes)
    held: tuple[FoldedTensor, ...] = ()
    if key[1] == "saved":
        name, text = "saved", ""
        facts["saved_bytes"], facts["storages"] = saved_bytes(nodes), storages(nodes)
        facts |= saved_counts(nodes)
    return GraphNode(
        id=nodes[0].id,
        kind="saved" if key[1] == "saved" else "op",
        name=name,
        phase=phase,
        outputs=outputs,
        cluster=cluster,
        held=held,
        pair=pair,
        count=sum(node.count for node in operators),
        title=text,
        error=block_error(nodes),
        facts=facts,
    )


def _with_operator(
    block: GraphNode, nodes: list[GraphNode], arriving: Mapping[int, list[GraphEdge]]
) -> GraphNode:
    """A block of a single operator shows that operator, with what was around it inside."""
    operators = [node for node in nodes if node.kind == "op"]
    if len(operators) != 1 or not block.title:
        return block
    operator = operators[0]
    inside = {node.id: node for node in nodes if node.kind in ("param", "const")}
    held = tuple(
        FoldedTensor(
            inside[edge.source].kind,
            named(inside[edge.source]),
            edge.argument,
            edge.source,
            inside[edge.source].value,
        )
        for edge in arriving.get(operator.id, ())
        if edge.source in inside
    )
    parameters = [node for node in nodes if node.kind == "param"]
    paths = {name: block.facts[name] for name in ("paths",) if name in block.facts}
    operator = holding(operator, parameters, {h.key for h in held})
    operator = replace(operator, facts={**operator.facts, **paths})
    return replace(
        with_comparison(operator, nodes),
        id=block.id,
        cluster=block.cluster,
        pair=block.pair,
        held=operator.held + held,
        title=operator.title or (block.title if operator.phase == "forward" else ""),
    )


def named(node: GraphNode) -> TensorInfo:
    """The tensor that a node is, with its name: that of the parameter whose gradient it is, or that
    is saved."""
    if node.kind == "saved":
        name = str(node.facts.get("parameter", ""))
    else:
        name = node.name.removesuffix(".grad") if node.phase == "backward" else node.name
    return replace(node.outputs[0], name=name)


def parameter_sizes(nodes: Iterable[GraphNode]) -> list[list[int]]:
    """[number, elements] of the distinct parameters that nodes are, hold or stand for."""
    sizes: dict[int, int] = {}
    for node in nodes:
        if node.kind == "param" and "parameter_sizes" not in node.facts:
            sizes[node.id] = node.outputs[0].size
        sizes |= {held.key: held.tensor.size for held in node.held if held.kind == "param"}
        sizes |= dict(node.facts.get("parameter_sizes", ()))
    return [[number, size] for number, size in sizes.items()]


def holding(
    operator: GraphNode, parameters: Sequence[GraphNode], shown: Collection[int]
) -> GraphNode:
    """An operator that takes parameters in. Its facts count them where its lines do not: one may
    stand for those of several calls, or be used only by way of what is not drawn."""
    nodes = [operator, *parameters]
    listed = all(node.id in shown for node in parameters)
    if listed and not any("parameter_sizes" in node.facts for node in nodes):
        return operator
    return replace(operator, facts={**operator.facts, "parameter_sizes": parameter_sizes(nodes)})


def storages(nodes: Iterable[GraphNode]) -> list[list[int]]:
    """[storage number, bytes] of the distinct memory that saved nodes keep, leaves apart."""
    found: dict[int, int] = {}
    for node in nodes:
        if "storages" in node.facts:
            found.update((number, size) for number, size in node.facts["storages"])
        elif node.kind == "saved" and node.facts.get("storage", 0) >= 0:
            number = int(node.facts.get("storage", node.id))
            found[number] = int(node.facts.get("saved_bytes", 0))
    return [[number, size] for number, size in found.items()]


def saved_counts(nodes: Iterable[GraphNode]) -> dict[str, int]:
    """How many tensors saved nodes keep, and how many are computed again instead."""
    counts = Counter[str]()
    for node in nodes:
        if "saved_tensors" in node.facts:
            counts.update({k: node.facts.get(k, 0) for k in ("saved_tensors", "recomputed")})
        else:
            values = [held.value for held in node.held] or [node.value]
            counts.update("recomputed" if v == "recomputed" else "saved_tensors" for v in values)
    return {"saved_tensors": 0} | {name: count for name, count in counts.items() if count}


def saved_bytes(nodes: Iterable[GraphNode]) -> int:
    """The bytes that saved nodes keep; what several of them keep counts once."""
    return sum(size for _, size in storages(nodes))


def _edges(
    edges: tuple[GraphEdge, ...], new_id: Mapping[int, int], blocks: set[int], ends: Ends
) -> tuple[GraphEdge, ...]:
    """Edges inside a group vanish; those into a block from one tensor, or between two blocks,
    become one; so do those between a block and a node where they are many.
    """
    merged: dict[tuple[Any, ...], list[tuple[tuple[int, int], GraphEdge]]] = defaultdict(list)
    lines: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for index, edge in enumerate(edges):
        source = new_id.get(edge.source, edge.source)
        target = new_id.get(edge.target, edge.target)
        if source == target and edge.source in new_id:
            continue
        from_block, to_block = source in blocks, target in blocks
        key: tuple[Any, ...] = (source, target, edge.kind)
        if not from_block and not to_block:
            key = (index,)
        elif from_block != to_block:
            key += ("slot", edge.slot) if from_block else ("tensor", edge.output)
            if key not in merged:
                lines[key[:3]].append(key)
        tensor = edge.source, edge.output
        moved = replace(edge, source=source, target=target)
        if to_block:
            slot, argument = ends.inputs.get(target, {}).get(tensor, (edge.slot, ""))
            moved = replace(moved, slot=slot, argument=argument)
        if from_block and edge.kind != "saved" and tensor in ends.results.get(source, {}):
            output, what = ends.results[source][tensor]
            moved = replace(moved, output=output, tensor=what)
        merged[key].append((tensor, moved))
    for keys in lines.values():
        if len(keys) > _LINES:
            merged[keys[0]] = [part for key in keys for part in merged.pop(key)]
    return tuple(_joined(parts, blocks) for parts in merged.values())


def _joined(parts: Sequence[tuple[tuple[int, int], GraphEdge]], blocks: set[int]) -> GraphEdge:
    """One edge of several; each with the (source, output) that it had."""
    first = parts[0][1]
    tensors: dict[tuple[int, int], int] = {}
    for tensor, edge in parts:
        tensors[tensor] = max(tensors.get(tensor, 0), edge.count)
    same = len({edge.argument for _, edge in parts}) == 1
    if len(tensors) > 1 and first.target in blocks:
        same = False
    return replace(
        first,
        argument=first.argument if same else "",
        count=sum(tensors.values()),
        stub=all(edge.stub for _, edge in parts),  # a line to one of them is a line to all
        mark=first.mark if len({edge.mark for _, edge in parts}) == 1 else "",
    )


def _topological(nodes: list[GraphNode], edges: tuple[GraphEdge, ...]) -> tuple[GraphNode, ...]:
    """The nodes in a topological order, smallest id first; nodes on a cycle keep their place at
    the end.
    """
    waiting = dict.fromkeys((node.id for node in nodes), 0)
    targets: dict[int, list[int]] = defaultdict(list)
    for edge in edges:
        waiting[edge.target] += 1
        targets[edge.source].append(edge.target)
    by_id = {node.id: node for node in nodes}
    ready = [node_id for node_id, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: dict[int, GraphNode] = {}
    while ready:
        node_id = heapq.heappop(ready)
        order[node_id] = by_id[node_id]
        for target in targets[node_id]:
            waiting[target] -= 1
            if waiting[target] == 0:
                heapq.heappush(ready, target)
    for node in nodes:
        order.setdefault(node.id, node)
    return tuple(order.values())
