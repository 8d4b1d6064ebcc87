"""The backward part of a captured graph: for each recorded node the rules that would run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tinygrad_cv.autograd.kept import leaf_memory, memory_of
from tinygrad_cv.backend.blame import Freed
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError
from tinygrad_cv.viz.arguments import named
from tinygrad_cv.viz.build import Source, argument, dtype_name, gradient_lines, info
from tinygrad_cv.viz.model import GraphEdge, TensorInfo
from tinygrad_cv.viz.translate import Translator, topological

__all__ = ["add_backward"]

Arriving = dict[tuple[Any, int], list[tuple[Source, int, str]]]


def add_backward(translator: Translator, roots: list[tuple[str, Tensor, int]]) -> None:
    """For each recorded node the rules that run, in an order in which gradients arrive."""
    order = [
        n
        for n in topological([tensor.node for _, tensor, _ in roots])
        if isinstance(n, Node) and n in translator.number
    ]
    arriving: Arriving = {}
    translator.leaf_memory = leaf_memory(order)
    saved = {node: _saved(translator, node) for node in order}
    for name, tensor, number in roots:
        value = "1" if tensor.numel() == 1 else ""
        seed = translator.builder.add(
            "input",
            f"gradient of {name}",
            phase="backward",
            pair=number,
            outputs=(info(tensor.array),),
            value=value,
        )
        arriving.setdefault((tensor.node, tensor.index), []).append(
            (Source(seed, 0, info(tensor.array)), 0, "")
        )
    for node in reversed(order):
        _rules(translator, node, saved[node], arriving)
    for (leaf, _), gradients in arriving.items():
        if isinstance(leaf, Leaf) and leaf in translator.leaves:
            owner = translator.builder.nodes[translator.leaves[leaf].node]
            number = translator.builder.add(
                "output",
                f"{owner.name or 'input'}.grad",
                phase="backward",
                pair=owner.id,
                outputs=(info(leaf),),
                facts={"of": owner.kind},
            )
            _connect(translator, number, gradients)


def _rules(translator: Translator, node: Node, saved: Sequence[int], arriving: Arriving) -> None:
    """The backward operator of a node, with what it reads and what it sends on."""
    forward = translator.builder.nodes[translator.number[node]]
    op = node.op
    results = []
    for slot in node.plan.needed:
        edge, index = node.inputs[slot]
        assert edge is not None  # a needed input has an edge
        shape, dtype = edge.outputs[index] if isinstance(edge, Node) else (edge.shape, edge.dtype)
        results.append(
            (slot, edge, index, TensorInfo(argument(op, slot), tuple(shape), dtype_name(dtype)))
        )
    rules = [op.inputs[0]] if op.variadic else [op.inputs[slot] for slot, *_ in results]
    facts: dict[str, Any] = {"gradients": gradient_lines(op, tuple(rules))}
    if "letters" in forward.facts:
        facts["letters"] = forward.facts["letters"]
    gradients = [g for index in range(1 + len(node.rest)) for g in arriving.pop((node, index), ())]
    if len(gradients) > 1 and not node.rest:
        facts["summed"] = len(gradients)
    number = translator.builder.add(
        "op",
        forward.name,
        phase="backward",
        outputs=tuple(tensor for *_, tensor in results),
        cluster=forward.cluster,
        pair=forward.id,
        facts=facts,
    )
    _connect(translator, number, gradients)
    for kept in saved:
        tensor = translator.builder.nodes[kept].outputs[0]
        translator.builder.edges.append(GraphEdge(kept, number, "saved", 0, tensor.name, 0, tensor))
    for position, (slot, edge, index, tensor) in enumerate(results):
        source = Source(number, position, tensor)
        arriving.setdefault((edge, index if isinstance(edge, Node) else 0), []).append(
            (source, slot, tensor.name)
        )


def _connect(
    translator: Translator, target: int, gradients: Iterable[tuple[Source, int, str]]
) -> None:
    for source, slot, name in gradients:
        edge = GraphEdge(source.node, target, "gradient", slot, name, source.output, source.tensor)
        translator.builder.edges.append(edge)


def _saved(translator: Translator, node: Node) -> list[int]:
    """A node for each array that the operator keeps."""
    if isinstance(node.saved, Freed):
        raise GraphError(
            "graph",
            "the saved values of this graph are freed, so its backward cannot be shown",
            repair="Draw before backward, or call backward(retain_graph=True).",
            notes=[f"the node is {node.op.name}, which ran at {node.site}"],
        )
    translator.builder.keeps(translator.number[node])
    numbers = []
    for name, array, held, state in (*_values(translator, node), *_arguments(translator, node)):
        if hasattr(array, "dtype"):
            leaves = [translator.leaf_memory.get(id(memory_of(a)), (None, None))[1] for a in held]
            own = [a for a, leaf in zip(held, leaves, strict=True) if leaf is None]
            sources = [translator.leaf(leaf) for leaf in leaves if leaf is not None]
            drawn = [translator.builder.nodes[source.node] for source in sources]
            if drawn and not own:
                state = "parameter" if drawn[0].kind == "param" else "input"
            parameter = next((one.name for one in drawn if one.kind == "param"), "")
            number = translator.number[node]
            numbers.append(translator.builder.saved(number, name, array, own, state, parameter))
    return numbers


def _values(translator: Translator, node: Node) -> Iterator[tuple[str, Any, Sequence[Any], str]]:
    """(name, array or its Spec, arrays that are held for it, state) of what a node saves."""
    plan, saved = node.plan, node.saved
    whole = type(saved) is tuple  # neither packed nor to be computed again
    values, kept = (saved, saved) if whole else (saved.specs, saved.kept)
    for name, (kind, place), value, held in zip(plan.names, plan.kinds, values, kept, strict=True):
        if kind == "shape":
            continue
        state = "" if whole else saved.state
        if state == "recomputed" and kind == "input" and not node.op.variadic:
            leaf = node.inputs[place][0]
            source = translator.leaves.get(leaf) if isinstance(leaf, Leaf) else None
            if source is not None and translator.builder.nodes[source.node].kind == "param":
                state = "parameter"  # which is there anyway
        several = isinstance(value, tuple) and not isinstance(value, Spec)
        for i, part in enumerate(value if several else (value,)):
            here = held[i] if several else held
            yield f"{name}[{i}]" if several else name, part, [here] if whole else here, state


def _arguments(translator: Translator, node: Node) -> Iterator[tuple[str, Any, Sequence[Any], str]]:
    """What a checkpoint keeps for its second run; the first of its operators has it."""
    segment = getattr(node.saved, "segment", None)
    if segment is None or segment in translator.segments:
        return
    translator.segments.add(segment)
    tensors = [tensor for _, tensor in named([("", node.saved.inputs)])]
    for i, tensor in enumerate(tensors):
        number = f" {i}" if len(tensors) > 1 else ""
        yield f"argument{number} of the checkpoint", tensor.array, [tensor.array], ""
