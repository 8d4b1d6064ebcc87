"""Puts a GraphModel together, one operator at a time: numbers, module calls, saved tensors,
totals.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.autograd.kept import memory_of
from tinygrad_cv.core.mode import Scope
from tinygrad_cv.core.op import Op
from tinygrad_cv.viz.letters import letters
from tinygrad_cv.viz.model import (
    Cluster,
    GraphEdge,
    GraphModel,
    GraphNode,
    TensorInfo,
    cluster_paths,
    common_cluster,
)
from tinygrad_cv.viz.values_text import value_text

__all__ = ["Builder", "Source", "argument", "dtype_name", "gradient_lines", "info"]


class Source(NamedTuple):
    """Where a tensor comes from: the node's number, which of its outputs, and what it is."""

    node: int
    output: int
    tensor: TensorInfo


def info(array: Any, name: str = "") -> TensorInfo:
    """Name, shape and dtype of an array, a Spec, a Leaf or a Tensor."""
    return TensorInfo(name, tuple(array.shape), dtype_name(array.dtype))


@functools.cache
def dtype_name(dtype: Any) -> str:
    """``float32``; NumPy computes the name anew each time."""
    return str(dtype.name)


class Builder:
    """Collects nodes and edges; numbers are given in the order of the calls, which must be
    topological.
    """

    def __init__(self) -> None:
        self.nodes: list[GraphNode] = []
        self.edges: list[GraphEdge] = []
        self.flops = 0
        self.unknown_flops = 0
        self.saved_arrays = 0
        self._steps = 0
        self.clusters: list[Cluster] = []
        self._cluster_of: dict[int, int] = {}
        self._scopes: list[Scope] = []  # alive, so that their ids stay theirs
        self._users: dict[int, set[int | None]] = defaultdict(
            set
        )  # tensor node -> clusters of its users
        self._kept: dict[int, int] = {}  # operator -> bytes that it is the first to keep
        self._memory: dict[int, tuple[Any, int]] = {}  # what is kept, and its storage number

    # Nodes ----------------------------------------------------------------------------------------

    def add(self, kind: str, name: str, **parts: Any) -> int:
        """A node; returns its number."""
        number = len(self.nodes)
        if kind == "op":
            self._steps += 1
            parts.setdefault("facts", {})["step"] = self._steps
        self.nodes.append(GraphNode(number, kind, name, **parts))
        return number

    def tensor(
        self, kind: str, name: str, tensor: TensorInfo, value: str = "", **facts: Any
    ) -> Source:
        """An input, parameter or constant."""
        number = self.add(kind, name, outputs=(tensor,), value=value, facts=facts)
        return Source(number, 0, tensor)

    def operator(
        self,
        op: type[Op],
        sources: Iterable[tuple[int, Source]],
        outputs: tuple[TensorInfo, ...],
        attrs: tuple[Any, ...],
        scope: Scope | None,
        site: str,
        specs: tuple[Any, ...],
        error: str = "",
        badges: tuple[str, ...] = (),
    ) -> int:
        """An operator with its data edges. ``sources``: (argument position, source); ``specs``: of
        all inputs, for the number of floating-point operations."""
        facts: dict[str, Any] = {"badges": badges} if badges else {}
        if op.equation:
            facts["equation"] = op.equation
        if op.gradients:
            facts["gradients"] = gradient_lines(op)
        if letters(op):
            facts["letters"] = letters(op)
        self._count_flops(op, specs, attrs, facts, failed=bool(error))
        cluster = self.cluster(scope)
        number = self.add(
            "op",
            op.name,
            outputs=outputs,
            attributes=tuple(
                (n, _brackets(v) if n == "key" and _is_index(v) else value_text(v))
                for n, v in zip(op.attributes, attrs, strict=False)
            ),
            cluster=cluster,
            site=site,
            error=error,
            facts=facts,
        )
        given = [(slot, argument(op, slot), source) for slot, source in sources]
        self._join(number, cluster, given)
        for _, name, source in given:
            shape = source.tensor.shape
            if name == "weight" and op.name.startswith("conv") and shape is not None:
                facts["kernel"] = str(shape[2:])
        return number

    def failed(
        self,
        name: str,
        error: str,
        sources: Iterable[tuple[int, str, Source]],
        attributes: Iterable[tuple[str, Any]],
        scope: Scope | None,
        site: str,
        count: int,
    ) -> int:
        """A function (``count`` 1) or a line (0) that failed and was no operator. ``sources``:
        (argument position, name, source)."""
        cluster = self.cluster(scope)
        texts = tuple((n, value_text(v)) for n, v in attributes)
        parts = {"cluster": cluster, "site": site, "error": error, "count": count}
        number = self.add("op", name, attributes=texts, **parts)
        self._join(number, cluster, sources)
        return number

    def _join(
        self, number: int, cluster: int | None, sources: Iterable[tuple[int, str, Source]]
    ) -> None:
        """Edges into an operator."""
        for slot, name, source in sources:
            self.edges.append(
                GraphEdge(source.node, number, "data", slot, name, source.output, source.tensor)
            )
            if self.nodes[source.node].kind in ("param", "const"):
                self._users[source.node].add(cluster)

    def _count_flops(
        self,
        op: type[Op],
        specs: tuple[Any, ...],
        attrs: tuple[Any, ...],
        facts: dict[str, Any],
        failed: bool,
    ) -> None:
        if failed:
            return
        try:
            facts["flops"] = int(op.count_flops(specs, attrs))
        except Exception:  # a Spec that the graph does not keep, or a faulty formula of the user's
            self.unknown_flops += 1
        else:
            self.flops += facts["flops"]

    def output(self, name: str, source: Source) -> int:
        """A result of the graph."""
        number = self.add("output", name, outputs=(replace(source.tensor, name=""),))
        self.edges.append(
            GraphEdge(source.node, number, "data", 0, "", source.output, source.tensor)
        )
        return number

    def keeps(self, number: int) -> None:
        """Operator ``number`` has gradient rules; what they keep is told by :meth:`saved`."""
        self._kept.setdefault(number, 0)

    def saved(
        self,
        number: int,
        name: str,
        array: Any,
        kept: Iterable[Any],
        state: str,
        parameter: str = "",
    ) -> int:
        """A tensor that operator ``number`` keeps for its backward, in the arrays ``kept``, those
        of leaves apart. Memory that several keep counts once in all, for the first of them.
        ``state``: of what is a leaf's "parameter" or "input"; "packed" or "recomputed"; or nothing
        where ``kept`` is the array itself.
        """
        storages = dict(self._store(number, part) for part in kept)
        of_leaf = state in ("parameter", "input")
        if not of_leaf and state != "recomputed":
            self.saved_arrays += 1
        facts: dict[str, Any] = {"saved_bytes": sum(storages.values())}
        if len(storages) == 1:
            (facts["storage"],) = storages
        elif of_leaf:
            facts["storage"] = -1
        else:
            facts["storages"] = [list(pair) for pair in storages.items()]
        if parameter:  # its name
            facts["parameter"] = parameter
        operator = self.nodes[number]
        tensor = info(array, name)
        saved = self.add(
            "saved",
            name,
            outputs=(tensor,),
            cluster=operator.cluster,
            pair=number,
            value=state,
            facts=facts,
        )
        self.edges.append(GraphEdge(number, saved, "saved", 0, name, 0, tensor))
        return saved

    def _store(self, operator: int, array: Any) -> tuple[int, int]:
        """The number of the memory of an array that an operator keeps, and its bytes, those of the
        whole: a view keeps all of it."""
        memory = memory_of(array)
        size = int(memory.nbytes)
        if id(memory) not in self._memory:
            self._memory[id(memory)] = memory, len(self._memory)
            self._kept[operator] = self._kept.get(operator, 0) + size
        return self._memory[id(memory)][1], size

    @property
    def saved_bytes(self) -> int:
        """All kept memory, that of leaves apart."""
        return sum(int(memory.nbytes) for memory, _ in self._memory.values())

    # Module calls ---------------------------------------------------------------------------------

    def cluster(self, scope: Scope | None) -> int | None:
        """The number of a module call; its callers get theirs first."""
        chain = []
        while scope is not None and id(scope) not in self._cluster_of:
            chain.append(scope)
            scope = scope.parent
        parent = None if scope is None else self._cluster_of[id(scope)]
        for call in reversed(chain):
            number = len(self.clusters)
            self.clusters.append(Cluster(number, call.name, call.kind, parent))
            self._cluster_of[id(call)] = number
            self._scopes.append(call)
            parent = number
        return parent

    def known_cluster(self, scope: Scope) -> int | None:
        """The number of a module call; None if no operator ran in it."""
        return self._cluster_of.get(id(scope))

    # The result -----------------------------------------------------------------------------------

    def finish(self, title: str, error: str = "", notes: tuple[str, ...] = ()) -> GraphModel:
        """The model of everything collected."""
        ancestors = cluster_paths(self.clusters)
        parameters: dict[int, int] = defaultdict(int)
        sizes = []
        for number, node in enumerate(self.nodes):
            if number not in self._users:
                continue
            users = self._users[number]
            self.nodes[number] = replace(node, cluster=common_cluster(ancestors, users))
            if node.kind == "param":
                sizes.append(node.outputs[0].size)
                for cluster in {c for user in users for c in ancestors[user]}:
                    parameters[cluster] += sizes[-1]
        for number, node in enumerate(self.nodes):
            if node.phase == "backward" and node.kind == "output" and node.pair is not None:
                self.nodes[number] = replace(node, cluster=self.nodes[node.pair].cluster)
        for number, size in self._kept.items():
            node = self.nodes[number]
            self.nodes[number] = replace(node, facts={**node.facts, "saved_bytes": size})
        operators = [node for node in self.nodes if node.kind == "op"]
        forward = sum(node.count for node in operators if node.phase == "forward")
        totals = {
            "operators": forward,
            "backward_operators": sum(node.phase == "backward" for node in operators),
            "parameters": sum(sizes),
            "parameter_tensors": len(sizes),
            "flops": self.flops,
            "flops_unknown": self.unknown_flops,
            "saved_tensors": self.saved_arrays,
            "saved_bytes": self.saved_bytes,
        }
        return GraphModel(
            title=title,
            nodes=tuple(self.nodes),
            edges=tuple(self.edges),
            clusters=self._finished_clusters(parameters),
            totals=totals,
            notes=notes,
            error=error,
        )

    def _finished_clusters(self, parameters: dict[int, int]) -> tuple[Cluster, ...]:
        calls: dict[tuple[str, str], int] = defaultdict(int)
        numbered = []
        for cluster in self.clusters:
            key = (cluster.path, cluster.kind)
            calls[key] += 1
            numbered.append(replace(cluster, call=calls[key], parameters=parameters[cluster.id]))
        return tuple(replace(c, calls=calls[c.path, c.kind]) for c in numbered)


def gradient_lines(op: type[Op], of: tuple[str, ...] | None = None) -> str:
    """``d input: g * y``, a line for each rule (or for the rules of the arguments ``of``)."""
    return _lines(tuple(op.gradients.items()), of)


@functools.cache
def _lines(rules: tuple[tuple[str, str], ...], of: tuple[str, ...] | None) -> str:
    return "\n".join(f"d {name}: {text}" for name, text in rules if of is None or name in of)


def argument(op: type[Op], slot: int) -> str:
    """The name of an operator's argument."""
    if op.variadic:
        return f"{op.inputs[0]}[{slot}]"
    return op.inputs[slot] if slot < len(op.inputs) else f"input {slot}"


def _is_index(key: Any) -> bool:
    """Whether this is what :mod:`tinygrad_cv.ops.slicing` calls a key."""
    return type(key) is tuple and all(
        entry is None or isinstance(entry, int) or (type(entry) is tuple and len(entry) == 3)
        for entry in key
    )


def _brackets(key: tuple[Any, ...]) -> str:
    """What stands between the brackets of ``x[1, :, 2:5]``."""
    parts = []
    for entry in key:
        if isinstance(entry, tuple):
            start, stop, step = ("" if part is None else str(part) for part in entry)
            parts.append(f"{start}:{stop}" + (f":{step}" if step != "1" else ""))
        else:
            parts.append(str(entry))
    return f"[{', '.join(parts)}]"
