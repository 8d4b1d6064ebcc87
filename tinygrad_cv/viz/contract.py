"""Contraction: several nodes of a graph become one, and the rest keeps its order and its
arguments.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_cv.viz.difference import combined_comparison
from tinygrad_cv.viz.model import FoldedTensor, GraphEdge, GraphModel, GraphNode, TensorInfo
from tinygrad_cv.viz.overlay import refreshed
from tinygrad_cv.viz.table import combined

__all__ = ["contract", "holding", "module_paths", "parameter_sizes", "saved_bytes", "storages"]

Key = tuple[int, str]  # which block, and "forward", "backward" or "saved"


def contract(
    model: GraphModel,
    groups: Mapping[int, Key],
    titles: Callable[[Key], tuple[str, str, int | None]],
) -> GraphModel:
    """Make one node of all nodes that ``groups`` gives the same key.

    Args:
        groups: node id -> (block, part). A block's backward part is drawn beside its forward part.
        titles: key -> (name, title, cluster) of the new node.

    The new node has the smallest id of its members; a group with one operator keeps that operator,
    which gets the title; a group without operators keeps its nodes.
    """
    members: dict[Key, list[GraphNode]] = defaultdict(list)
    for node in model.nodes:
        if node.id in groups:
            members[groups[node.id]].append(node)
    alone: dict[int, tuple[str, str, int | None]] = {}
    for key, nodes in list(members.items()):
        if len(nodes) == 1 or not (key[1] == "saved" or any(node.kind == "op" for node in nodes)):
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
    edges = _edges(model.edges, new_id, blocks)

    arriving: dict[int, list[GraphEdge]] = defaultdict(list)
    for edge in model.edges:
        if edge.target in new_id:
            arriving[edge.target].append(edge)
    leaving: dict[int, list[TensorInfo]] = defaultdict(list)
    seen: set[tuple[int, int]] = set()
    for edge in model.edges:
        source = new_id.get(edge.source)
        if source is None or source == new_id.get(edge.target, edge.target) or edge.kind == "saved":
            continue
        if (edge.source, edge.output) not in seen:
            seen.add((edge.source, edge.output))
            leaving[source].append(edge.tensor)

    kept = []
    for node in model.nodes:
        if node.id in key_of:
            key = key_of[node.id]
            pair = head.get((key[0], "forward"), node.pair) if key[1] != "forward" else None
            block = _block(members[key], key, titles(key), tuple(leaving[node.id]), pair)
            facts = {**block.facts, **module_paths(members[key], model)}
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
    return refreshed(replace(model, nodes=_topological(kept, edges), edges=edges))


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
        facts["saved_tensors"] = sum(
            int(n.facts.get("saved_tensors", 0)) or len(n.held) or 1 for n in nodes
        )
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
        error=next((node.error for node in nodes if node.error), ""),
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
            edge.tensor if not edge.hidden else inside[edge.source].outputs[0],
            edge.argument,
            edge.source,
            inside[edge.source].value,
        )
        for edge in arriving.get(operator.id, ())
        if edge.source in inside
    )
    parameters = [node for node in nodes if node.kind == "param"]
    operator = holding(operator, parameters, {h.key for h in held})
    paths = {name: block.facts[name] for name in ("paths",) if name in block.facts}
    return replace(
        operator,
        facts={**operator.facts, **paths},
        id=block.id,
        cluster=block.cluster,
        pair=block.pair,
        held=operator.held + held,
        title=operator.title or (block.title if operator.phase == "forward" else ""),
    )


def module_paths(nodes: Iterable[GraphNode], model: GraphModel) -> dict[str, list[str]]:
    """The fact "paths": where the forward operators are that nodes stand for, as paths of the
    innermost modules."""
    paths = {cluster.id: cluster.path for cluster in model.clusters}
    found: dict[str, None] = {}
    for node in nodes:
        if node.kind != "op" or node.phase != "forward":
            continue
        own, inlined, _ = node.title.partition(" : ")
        own = own if inlined else paths.get(node.cluster, "")  # type: ignore[arg-type]
        found |= dict.fromkeys(node.facts.get("paths") or filter(None, [own]))
    return {"paths": list(found)} if found else {}


def parameter_sizes(nodes: Iterable[GraphNode]) -> list[list[int]]:
    """[number, elements] of the distinct parameters that nodes are, hold or stand for."""
    sizes: dict[int, int] = {}
    for node in nodes:
        if node.kind == "param":
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
        elif node.kind == "saved" and not node.value:
            number = int(node.facts.get("storage", node.id))
            found[number] = int(node.facts.get("saved_bytes", 0))
    return [[number, size] for number, size in found.items()]


def saved_bytes(nodes: Iterable[GraphNode]) -> int:
    """The bytes that saved nodes keep; what several of them keep counts once."""
    return sum(size for _, size in storages(nodes))


def _edges(
    edges: tuple[GraphEdge, ...], new_id: Mapping[int, int], blocks: set[int]
) -> tuple[GraphEdge, ...]:
    """Edges inside a group vanish; those into a block from one tensor, or between two blocks,
    become one.
    """
    merged: dict[tuple[Any, ...], GraphEdge] = {}
    tensors: dict[tuple[Any, ...], dict[tuple[int, int], int]] = defaultdict(dict)
    for index, edge in enumerate(edges):
        source = new_id.get(edge.source, edge.source)
        target = new_id.get(edge.target, edge.target)
        if source == target and edge.source in new_id:
            continue
        from_block, to_block = source in blocks, target in blocks
        key: tuple[Any, ...] = (source, target, edge.kind)
        if not from_block and not to_block:
            key = (index,)
        elif not from_block:
            key += ("tensor", edge.output)
        elif not to_block:
            key += ("slot", edge.slot)
        known = tensors[key].get((edge.source, edge.output), 0)
        tensors[key][edge.source, edge.output] = max(known, edge.count)
        argument = "" if to_block else edge.argument
        edge = replace(edge, source=source, target=target, argument=argument)
        if merged.setdefault(key, edge).mark != edge.mark:
            merged[key] = replace(merged[key], mark="")
    return tuple(replace(edge, count=sum(tensors[key].values())) for key, edge in merged.items())


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
