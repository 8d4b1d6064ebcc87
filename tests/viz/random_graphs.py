"""Random graphs of every kind: calls that nest, several outputs, parameters, saved tensors and the
backward part."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from tests.viz.handmade import Maker
from tinygrad_cv.viz.model import GraphEdge, GraphModel, TensorInfo

KINDS = ("chain", "wide", "dense", "outputs", "inputs", "any")


@st.composite
def random_graphs(draw, most: int = 25) -> GraphModel:
    """Small graphs of any form."""
    rng = random.Random(draw(st.integers(0, 2**32 - 1)))
    operators = draw(st.integers(0, most))
    backward, saved = draw(st.booleans()), draw(st.integers(0, 2))
    return built("any", operators, rng, backward, saved, calls=draw(st.integers(0, 3)))


def built(
    kind: str, operators: int, rng: random.Random, backward: bool, saved: int, calls: int = 0
) -> GraphModel:
    """A graph of one of ``KINDS``: each operator keeps up to ``saved`` tensors, and module calls
    nest up to ``calls`` deep, each an interval of the order."""
    m = Maker()
    x, w = m.node("input", "x", (1,)), m.node("param", "w", (2,))
    last, made, open_calls = x, [], []
    for number in range(operators):
        if calls and rng.random() < 0.5:
            if rng.random() < 0.5 and len(open_calls) < calls:
                parent = open_calls[-1] if open_calls else None
                open_calls.append(m.cluster(f"m{number}", "M", parent))
            elif open_calls and rng.random() < 0.5:
                open_calls.pop()
        sources = [last, w]
        if kind == "wide":
            sources = [x]
        elif kind == "dense":
            sources = [x, *made]
        elif kind == "outputs":
            sources = [x, w]
        elif kind == "inputs":
            sources = [m.node("input", f"x{number}", (1,)), last]
        elif kind == "any":
            sources = [_any(m, number, rng) for _ in range(rng.randint(1, 3))]
        last = _operator(m, sources, rng, open_calls[-1] if open_calls else None)
        made.append(last)
    if kind == "wide" and made:
        last = _operator(m, made, rng, None)
    _place_parameters(m)
    _outputs(m, len(made) if kind == "outputs" else rng.randint(1, 3))
    forward = [node.id for node in m.nodes if node.kind == "op"]
    totals = {"operators": len(forward)}
    if backward and forward:
        _backward(m, forward, lambda: rng.randint(0, saved))
        totals["backward_operators"] = sum(node.kind == "op" for node in m.nodes) - len(forward)
    return m.model(kind, totals=totals)


def _any(m: Maker, number: int, rng: random.Random) -> int:
    """A node that is there, or a new parameter or constant."""
    if rng.random() < 0.15:
        return m.node(rng.choice(["param", "const"]), f"w{number}", (1,))
    return rng.randrange(len(m.nodes))


def _operator(m: Maker, sources: list[int], rng: random.Random, cluster: int | None) -> int:
    """An operator with one or two outputs that reads any output of its sources."""
    number = m.node("op", rng.choice(["add", "mul", "relu"]), (1,), cluster=cluster)
    if rng.random() < 0.3:
        outputs = TensorInfo("values", (1,), "float32"), TensorInfo("indices", (1,), "int64")
        m.nodes[number] = replace(m.nodes[number], outputs=outputs)
    for slot, source in enumerate(sources):
        index = rng.randrange(len(m.nodes[source].outputs))
        tensor = m.nodes[source].outputs[index]
        m.edges.append(GraphEdge(source, number, "data", slot, f"arg{slot}", index, tensor))
    return number


def _place_parameters(m: Maker) -> None:
    """A parameter stands in the call that uses it, if it is only one."""
    users = defaultdict(set)
    for edge in m.edges:
        users[edge.source].add(m.nodes[edge.target].cluster)
    for node in list(m.nodes):
        if node.kind in ("param", "const") and len(users[node.id]) == 1:
            m.nodes[node.id] = replace(node, cluster=next(iter(users[node.id])))


def _outputs(m: Maker, most: int) -> None:
    """Outputs of the last operators."""
    ends = [node.id for node in m.nodes if node.kind == "op"][-most:] or [0]
    for number, end in enumerate(ends):
        m.edge(end, m.node("output", f"output[{number}]", (1,)))


def _backward(m: Maker, forward: list[int], saved: Callable[[], int]) -> None:
    """The backward operators in the other order, with what they read."""
    arriving: dict[int, list[tuple[int, int]]] = defaultdict(list)
    reads: dict[int, list[GraphEdge]] = defaultdict(list)
    for edge in m.edges:
        reads[edge.target].append(edge)
    kept = {number: [] for number in forward}
    for number in forward:
        for k in range(saved()):
            facts = {"saved_bytes": 4, "storage": len(m.nodes)}
            cluster = m.nodes[number].cluster
            box = m.node("saved", f"kept{k}", (1,), cluster=cluster, pair=number, facts=facts)
            m.edge(number, box, "saved", 0, f"kept{k}")
            kept[number].append(box)
    for node in [node for node in m.nodes if node.kind == "output"]:
        seed = m.node("input", f"gradient of {node.name}", (1,), phase="backward", pair=node.id)
        arriving[reads[node.id][0].source].append((seed, 0))
    for number in reversed(forward):
        if not arriving[number]:
            continue
        node = m.nodes[number]
        back = m.node("op", node.name, (1,), phase="backward", cluster=node.cluster, pair=number)
        for source, slot in arriving[number]:
            m.edge(source, back, "gradient", slot, f"arg{slot}")
        for box in kept[number]:
            m.edge(box, back, "saved", 0, m.nodes[box].name)
        for edge in reads[number]:
            arriving[edge.source].append((back, edge.slot))
    for node in [node for node in m.nodes if node.kind in ("input", "param")]:
        if node.phase == "forward" and arriving[node.id]:
            gradient = m.node(
                "output", f"{node.name}.grad", (1,), phase="backward", pair=node.id,
                cluster=node.cluster, facts={"of": node.kind},
            )  # fmt: skip
            for source, slot in arriving[node.id]:
                m.edge(source, gradient, "gradient", slot, f"arg{slot}")
