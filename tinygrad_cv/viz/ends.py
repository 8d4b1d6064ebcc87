"""What enters and leaves a block, by names that tell the tensors apart: ``exp`` and ``sin``, or
``exp 1`` and ``exp 2``. A single input or result needs no name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from tinygrad_cv.viz.model import GraphEdge, GraphModel, GraphNode, TensorInfo, call_paths

__all__ = ["Ends", "result_name", "told_apart"]

Tensor = tuple[int, int]  # a node, and which of its outputs


class Ends:
    """The tensors that cross the borders of blocks.

    Args:
        new_id: node -> the block that it becomes part of.
        blocks: those whose ends are looked at.
        call_of: of a block the module call that it stands for, None where it stands for none; then
            what enters it has no name.

    Attributes:
        inputs: block -> tensor that enters it -> (its place, its name).
        results: block -> tensor that leaves it -> (its place, what it is).
    """

    def __init__(
        self,
        model: GraphModel,
        new_id: Mapping[int, int],
        blocks: Collection[int],
        call_of: Callable[[int], int | None],
    ) -> None:
        nodes = {node.id: node for node in model.nodes}
        place = {node.id: k for k, node in enumerate(model.nodes)}
        paths = call_paths(model.clusters)
        entering: dict[int, dict[Tensor, GraphEdge]] = defaultdict(dict)
        leaving: dict[int, dict[Tensor, GraphEdge]] = defaultdict(dict)
        crossing = [
            edge
            for edge in model.edges
            if edge.kind != "saved" and new_id.get(edge.source) != new_id.get(edge.target)
        ]
        for edge in sorted(crossing, key=lambda e: (place[e.target], e.slot)):
            source, target = new_id.get(edge.source), new_id.get(edge.target)
            tensor = edge.source, edge.output
            if source is not None and source in blocks:
                leaving[source].setdefault(tensor, edge)
            if target is None or target not in blocks:
                continue
            if edge.kind == "data" and nodes[edge.source].kind != "param":
                entering[target].setdefault(tensor, edge)

        def module(node: GraphNode) -> str:
            path = node.title.partition(" : ")[0] or paths[node.cluster]
            return path.rpartition(".")[2]

        self.inputs: dict[int, dict[Tensor, tuple[int, str]]] = {}
        for block, found in entering.items():
            call = call_of(block)
            readers = [nodes[edge.target] for edge in found.values()]
            names = [""] * len(found)
            if call is not None:
                choices: list[Sequence[str]] = [
                    (dict(edge.entering).get(call, ""), edge.argument, node.name, module(node))
                    for edge, node in zip(found.values(), readers, strict=True)
                ]
                names = told_apart(choices, 1)
            self.inputs[block] = {t: (k, names[k]) for k, t in enumerate(found)}
        self.results: dict[int, dict[Tensor, tuple[int, TensorInfo]]] = {}
        for block, found in leaving.items():
            order = sorted(found, key=lambda tensor: (place[tensor[0]], tensor[1]))
            tensors = [found[tensor].tensor for tensor in order]
            # Gradients are named by what they are of.
            if nodes[block].phase == "forward" and len(order) > 1:
                makers = [nodes[source] for source, _ in order]
                choices = [
                    (tensor.name, node.name, module(node))
                    for tensor, node in zip(tensors, makers, strict=True)
                ]
                names = told_apart(choices, 1)
                tensors = [replace(t, name=name) for t, name in zip(tensors, names, strict=True)]
            self.results[block] = {t: (k, tensors[k]) for k, t in enumerate(order)}


def told_apart(choices: Sequence[Sequence[str]], numbered: int = 0) -> list[str]:
    """A name for each thing, of which there are several possible ones: the first kind of name that
    all have and no two share, else the kind ``numbered`` with numbers.

    >>> told_apart([("output", "exp"), ("output", "sin")])
    ['exp', 'sin']
    >>> told_apart([("exp", ""), ("exp", "head"), ("sin", "head")])
    ['exp 1', 'exp 2', 'sin']
    >>> told_apart([("exp",)])
    ['']
    """
    if len(choices) < 2:
        return [""] * len(choices)
    for names in zip(*choices, strict=True):
        if all(names) and len(set(names)) == len(names):
            return list(names)
    return _numbered([choice[numbered] or next(filter(None, choice), "") for choice in choices])


def _numbered(names: Iterable[str]) -> list[str]:
    names = list(names)
    times, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} {seen[name]}".lstrip() if times[name] > 1 else name)
    return found


def result_name(edge: GraphEdge, source: GraphNode) -> str:
    """Which result of an operator with several an edge carries; "" where it can be only one, or
    the edge stands for several.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.max(0)[1], tg.zeros(3)).model
    >>> result_name(model.edges[-1], model.nodes[1])
    'indices'
    """
    one = edge.count == 1 and source.kind == "op" and len(source.outputs) > 1
    return source.outputs[edge.output].name if one and edge.output < len(source.outputs) else ""
