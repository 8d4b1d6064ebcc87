"""The engine's graph and a picture of it, walked side by side from the outputs.

Everything is compared at each step, so the two are the same graph, and not only graphs with the
same counts: operators, attributes, arguments, tensors, names, what is saved and how gradients flow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pygraphviz

from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.ops.places import Places
from tinygrad_cv.viz.model import GraphModel, GraphNode, cluster_paths


class Walk:
    """Matches each recorded Node and Leaf with the node that is drawn for it."""

    def __init__(self, model: GraphModel, names: dict[str, Any]) -> None:
        self.model = model
        self.drawn: dict[Any, int] = {}  # Node or Leaf -> id
        self._nodes = {node.id: node for node in model.nodes}
        self._given = {id(tensor.node): name for name, tensor in names.items()}
        self._arriving: dict[int, list[Any]] = defaultdict(list)
        for edge in model.edges:
            if edge.kind == "data":
                self._arriving[edge.target].append(edge)
        self._calls = {cluster.id: cluster for cluster in model.clusters}
        self._inside = cluster_paths(model.clusters)
        self._users: dict[Leaf, list[Node]] = defaultdict(list)
        self.data: Counter[tuple[Any, ...]] = Counter()  # the engine's edges, in drawn numbers
        self.others: set[int] = set()  # what stands where the engine keeps no edge

    def from_output(self, number: int, source: Any, index: int) -> None:
        """Everything that made an output."""
        (edge,) = self._arriving[number]
        assert self._nodes[number].outputs[0].shape == edge.tensor.shape
        self._edge(edge, (source, index), number, 0, "")
        waiting = [source]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Leaf):
                continue
            for slot, (edge, index) in enumerate(one.inputs):
                new = edge is not None and edge not in self.drawn
                self._input(one, slot, edge, index)
                if new:
                    waiting.append(edge)
        self._names_of_leaves()
        numbers = list(self.drawn.values())
        assert len(set(numbers)) == len(numbers), "two nodes of the engine are one in the picture"

    def _input(self, node: Node, slot: int, source: Any, index: int) -> None:
        number = self.drawn[node]
        name = node.op.inputs[0] + f"[{slot}]" if node.op.variadic else node.op.inputs[slot]
        found = [edge for edge in self._arriving[number] if edge.slot == slot]
        if source is None:
            assert all(edge.argument == name for edge in found)
            self.others |= {edge.source for edge in found}
            return
        (edge,) = found
        self._edge(edge, (source, index), number, slot, name)
        if isinstance(source, Leaf):
            self._users[source].append(node)

    def _edge(self, edge: Any, source: tuple[Any, int], target: int, slot: int, name: str) -> None:
        made, index = source
        shape, dtype = made.outputs[index] if isinstance(made, Node) else (made.shape, made.dtype)
        index = index if isinstance(made, Node) else 0
        assert (edge.target, edge.slot, edge.argument, edge.output) == (target, slot, name, index)
        assert (edge.tensor.shape, edge.tensor.dtype) == (shape, np.dtype(dtype).name)
        assert (edge.count, edge.hidden, edge.stub) == (1, False, False)
        if made in self.drawn:
            assert self.drawn[made] == edge.source
        else:
            self.drawn[made] = edge.source
            drawn = self._nodes[edge.source]
            self._operator(made, drawn) if isinstance(made, Node) else self._leaf(made, drawn)
        self.data[edge.source, target, slot, index] += 1

    def _operator(self, node: Node, drawn: GraphNode) -> None:
        assert (drawn.kind, drawn.phase, drawn.name) == ("op", "forward", node.op.name)
        attributes = dict(zip(node.op.attributes, node.attrs, strict=False))
        assert [name for name, _ in drawn.attributes] == list(attributes)
        for name, text in drawn.attributes:
            if name == "key":
                assert index_of(text) == attributes[name]
            else:
                assert text == said(attributes[name])
        assert [tensor.name for tensor in drawn.outputs] == list(node.op.outputs)[
            : len(node.outputs)
        ]
        assert [(t.shape, t.dtype) for t in drawn.outputs] == [
            (shape, np.dtype(dtype).name) for shape, dtype in node.outputs
        ]
        calls, scope = [], node.scope
        while scope is not None:
            calls.append((scope.name, scope.kind))
            scope = scope.parent
        inside = [self._calls[c] for c in self._inside[drawn.cluster]]
        assert [(c.path, c.kind) for c in inside] == calls[::-1]
        file = node.site.filename.replace("\\", "/").rsplit("/", 1)[-1]
        assert drawn.site == f"{file}:{node.site.line}"

    def _leaf(self, leaf: Leaf, drawn: GraphNode) -> None:
        assert drawn.kind in ("input", "param")
        assert not self._arriving[drawn.id]
        (tensor,) = drawn.outputs
        assert (tensor.shape, tensor.dtype) == (leaf.shape, np.dtype(leaf.dtype).name)

    def _names_of_leaves(self) -> None:
        """An input has the name that was given, a parameter the path of a module that uses it."""
        for leaf, number in self.drawn.items():
            if isinstance(leaf, Leaf):
                name = self._nodes[number].name
                if id(leaf) in self._given:
                    assert name == self._given[id(leaf)]
                elif leaf.label:
                    scopes = [node.scope.name if node.scope else "" for node in self._users[leaf]]
                    assert name in {".".join(filter(None, (s, leaf.label))) for s in scopes}
                else:
                    assert name == ""


def index_of(text: str) -> tuple[Any, ...]:
    """What an operator keeps of ``x[...]``, from the brackets that are drawn: Python reads them."""
    if text == "[]":
        return ()
    key = eval("np.s_" + text)
    return tuple(
        (part.start, part.stop, 1 if part.step is None else part.step)
        if isinstance(part, slice)
        else part
        for part in (key if isinstance(key, tuple) else (key,))
    )


def said(value: Any) -> str:
    """An attribute as it is drawn."""
    if isinstance(value, Places):
        size, axes = "×".join(map(str, value.flat.shape)), ", ".join(map(str, value.dims))
        return f"{size} of {'axis' if len(value.dims) == 1 else 'axes'} {axes}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"array {'×'.join(str(n) for n in value.shape)} {value.dtype}"
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, slice):
        ends = (value.start, value.stop, value.step)
        return ":".join("" if end is None else str(end) for end in ends)
    if type(value) is tuple:
        return "(" + ", ".join(map(said, value)) + (",)" if len(value) == 1 else ")")
    if isinstance(value, float):
        return format(value, ".6g")
    return value if isinstance(value, str) else repr(value)


def memory_of(array: Any) -> Any:
    """The array whose memory this one is a view of."""
    while getattr(getattr(array, "base", None), "nbytes", None) is not None:
        array = array.base
    return array


def saved_of(node: Node) -> list[tuple[str, Any]]:
    """(name, array) of what a node keeps for its rules, shapes apart."""
    found = []
    for name, (kind, _), value in zip(node.plan.names, node.plan.kinds, node.saved, strict=True):
        if kind == "shape":
            continue
        parts = value if isinstance(value, tuple) else (value,)
        for k, part in enumerate(parts):
            if hasattr(part, "dtype"):
                found.append((f"{name}[{k}]" if isinstance(value, tuple) else name, part))
    return found


def check_backward(walk: Walk, ends: list[tuple[str, int, Any, int]]) -> None:
    """The backward part: ``ends`` are (name, drawn number, node, output) of the outputs."""
    model = walk.model
    nodes = {node.id: node for node in model.nodes}
    operators = {node: number for node, number in walk.drawn.items() if isinstance(node, Node)}
    rules = {n.pair: n for n in model.nodes if n.kind == "op" and n.phase == "backward"}
    assert sorted(rules) == sorted(operators.values())
    seeds = {n.pair: n for n in model.nodes if n.kind == "input" and n.phase == "backward"}
    ways: Counter[tuple[Any, ...]] = Counter()
    for name, number, node, _ in ends:
        seed = seeds.pop(number)
        (tensor,) = nodes[number].outputs
        assert seed.name == f"gradient of {name}"
        assert (seed.outputs[0].shape, seed.outputs[0].dtype) == (tensor.shape, tensor.dtype)
        ways[seed.id, rules[walk.drawn[node]].id, 0, "", 0, tensor.shape, tensor.dtype] += 1
    assert not seeds
    gradients = {n.pair: n for n in model.nodes if n.kind == "output" and n.phase == "backward"}
    wanted: set[int] = set()
    for node, number in operators.items():
        rule = rules[number]
        assert rule.name == node.op.name
        assert rule.cluster == nodes[number].cluster
        sent = []
        for place, slot in enumerate(node.plan.needed):
            source, index = node.inputs[slot]
            name = node.op.inputs[0] + f"[{slot}]" if node.op.variadic else node.op.inputs[slot]
            shape, dtype = (
                source.outputs[index] if isinstance(source, Node) else (source.shape, source.dtype)
            )
            dtype = np.dtype(dtype).name
            sent.append((name, shape, dtype))
            if isinstance(source, Node):
                target = rules[walk.drawn[source]].id
            else:
                leaf = nodes[walk.drawn[source]]
                wanted.add(leaf.id)
                grad = gradients[leaf.id]
                assert grad.name == f"{leaf.name or 'input'}.grad"
                assert (grad.outputs[0].shape, grad.outputs[0].dtype) == (shape, dtype)
                target = grad.id
            ways[rule.id, target, slot, name, place, shape, dtype] += 1
        assert [(t.name, t.shape, t.dtype) for t in rule.outputs] == sent
    assert wanted == set(gradients)
    assert ways == Counter(
        (e.source, e.target, e.slot, e.argument, e.output, e.tensor.shape, e.tensor.dtype)
        for e in model.edges
        if e.kind == "gradient"
    )
    # Each array that is kept: one box, from its operator to the rules of the same operator.
    kept: Counter[tuple[Any, ...]] = Counter()
    boxes = defaultdict(list)
    for box in model.nodes:
        if box.kind == "saved":
            boxes[box.pair].append(box)
    assert set(boxes) <= set(operators.values())
    leaves = {}  # memory -> what the box of it says
    for leaf, number in walk.drawn.items():
        tensor = leaf.tensor() if isinstance(leaf, Leaf) else None
        if tensor is not None:
            word = {"param": "parameter"}.get(nodes[number].kind, "input")
            leaves[id(memory_of(tensor.array))] = word
    for node, number in operators.items():
        arrays = saved_of(node)
        assert [(b.name, b.outputs[0].shape, b.outputs[0].dtype) for b in boxes[number]] == [
            (name, array.shape, np.dtype(array.dtype).name) for name, array in arrays
        ]
        for box, (name, array) in zip(boxes[number], arrays, strict=True):
            memory = memory_of(array)
            if id(memory) in leaves:
                assert box.value == leaves[id(memory)]
            else:  # the Tensor of a leaf may be gone
                assert box.value in ("", "parameter", "input")
            assert box.facts["saved_bytes"] == (0 if box.value else memory.nbytes)
            kept[number, box.id, name] += 1
            kept[box.id, rules[number].id, name] += 1
    assert kept == Counter(
        (e.source, e.target, e.argument) for e in model.edges if e.kind == "saved"
    )


def check_picture(walk: Walk, text: str) -> None:
    """The same of the DOT text of the whole graph, read back by Graphviz: the boxes, and each edge
    with its ends, its kind and its direction."""
    model = walk.model
    picture = pygraphviz.AGraph(string=text)
    nodes = {node.id: node for node in model.nodes}
    boxes = {int(str(box)[1:]): box for box in picture.nodes()}
    assert boxes.keys() == nodes.keys()
    drawn = {number: node for node, number in walk.drawn.items()}
    for number, box in boxes.items():
        lines = box.attr["label"].replace("\\\\", "\\").split("\\n")
        lines = [line.strip() for line in lines]
        assert box.attr["id"] == f"n{number}"
        made = drawn.get(number)
        if isinstance(made, Node):
            assert lines[0].split(" ")[0] == made.op.name
            shapes = ["×".join(map(str, shape)) or "scalar" for shape, _ in made.outputs]
            shown = [line.split()[-2] for line in lines if line.startswith("→")]
            assert shown == shapes[:4]
        elif made is not None:
            size = "×".join(map(str, made.shape)) or "scalar"
            assert nodes[number].name in lines[0]
            assert size in lines[1]
        elif nodes[number].phase == "backward" and nodes[number].kind == "op":
            assert lines[0] == f"{nodes[nodes[number].pair].name} backward"
    found: Counter[tuple[Any, ...]] = Counter()
    data: Counter[tuple[Any, ...]] = Counter()
    both = {n.phase for n in model.nodes if n.kind == "op"} == {"forward", "backward"}
    ids = set()
    for edge in picture.edges():
        ids.add(edge.attr["id"])
        (kind,) = {"data", "gradient", "saved"} & set((edge.attr["class"] or "data").split())
        tail, head = (int(str(end)[1:]) for end in edge)
        assert (edge.attr["dir"] == "back") == (kind == "gradient" and both)
        if edge.attr["dir"] == "back":
            tail, head = head, tail
        found[tail, head, kind] += 1
        if kind == "data":
            data[tail, head] += 1
    assert ids == {f"e{k}" for k in range(len(model.edges))}
    assert found == Counter((e.source, e.target, e.kind) for e in model.edges)
    engine: Counter[tuple[int, int]] = Counter()
    for (source, target, _, _), count in walk.data.items():
        engine[source, target] += count
    rest = data - engine
    assert engine <= data
    assert all(source in walk.others for source, _ in rest)
