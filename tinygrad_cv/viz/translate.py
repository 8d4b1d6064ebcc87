"""From the engine's objects to numbered nodes: Leafs, Nodes and runs of operators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import CodeType
from typing import Any

from tinygrad_cv.backend.blame import Freed
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz.build import (
    Builder,
    Source,
    argument,
    dtype_name,
    info,
    value_text,
)
from tinygrad_cv.viz.model import TensorInfo

__all__ = ["Translator", "topological"]


class Translator:
    """Translates nodes and runs of operators; knows which number each tensor has."""

    def __init__(self, names: Mapping[str, Tensor], function: Any = None) -> None:
        self.builder = Builder()
        self.number: dict[Node, int] = {}
        self.leaves: dict[Leaf, Source] = {}
        self._tensors: dict[
            int, tuple[Any, Any, Source]
        ] = {}  # id -> (node, array, source) of a recorded tensor
        self._arrays: dict[int, Source] = {}
        self._written: dict[int, Source] = {}  # of arrays: what wrote them last
        self._constants: dict[int, Source] = {}
        self._sites: dict[tuple[CodeType, int], str] = {}
        self._leaf_names: dict[int, tuple[str, str]] = {}
        self._buffers: dict[int, str] = {}
        self._array_names = {id(tensor.array): name for name, tensor in names.items()}
        for name, tensor in names.items():
            if isinstance(tensor.node, Leaf):
                self._leaf_names[id(tensor.node)] = (name, _leaf_kind(tensor.node, tensor))
        for name, parameter in _members(function, "named_parameters"):
            self._buffers[id(parameter)] = name
            if isinstance(parameter.node, Leaf):
                self._leaf_names[id(parameter.node)] = (name, "param")
        for name, buffer in _members(function, "named_buffers"):
            self._buffers[id(buffer)] = name
        self._parameters = {id(p) for _, p in _members(function, "named_parameters")}
        self.leaf_memory: dict[int, tuple[Any, Leaf]] = {}  # of what has a backward
        self.tensors: dict[int, Tensor] = {}  # number -> the parameter or input itself
        self.silent: set[int] = set()  # writes that no watcher saw as an operator
        self.freed = False  # whether a backward took what would tell more about an input

    # From recorded nodes --------------------------------------------------------------------------

    def leaf(self, leaf: Leaf, path: str = "") -> Source:
        """The input or parameter of a leaf; the first operator that uses a parameter gives it its
        path.
        """
        known = self.leaves.get(leaf)
        if known is not None:
            return known
        tensor = leaf.tensor()
        name, kind = self._leaf_names.get(id(leaf), (leaf.label or "", _leaf_kind(leaf, tensor)))
        if path and kind == "param" and id(leaf) not in self._leaf_names:
            name = f"{path}.{name}"
        self.leaves[leaf] = source = self.builder.tensor(kind, name, info(leaf))
        if tensor is not None:
            self.tensors[source.node] = tensor
        return source

    def node(self, node: Node, error: str = "") -> None:
        """An operator from its recorded node; what made its inputs has been seen."""
        plan = node.plan
        known = type(node.saved) is tuple  # neither freed nor packed
        kept = dict(zip(plan.kinds, node.saved, strict=True)) if known else {}
        sources, specs = [], []
        for slot, (edge, index) in enumerate(node.inputs):
            source, spec = self._input(node, slot, edge, index, kept)
            if source is not None:
                sources.append((slot, source))
            specs.append(spec)
        outputs = _outputs(node.op, node.outputs)
        number = self.builder.operator(
            node.op,
            sources,
            outputs,
            node.attrs,
            node.scope,
            self._site(node.code, node.lasti),
            tuple(specs),
            error,
        )
        self.number[node] = number

    def _input(
        self,
        node: Node,
        slot: int,
        edge: Node | Leaf | None,
        index: int,
        kept: Mapping[tuple[str, int], Any],
    ) -> tuple[Source | None, Any]:
        """Source and Spec of an input. Of an input without gradient the graph knows only what a
        rule saved.
        """
        if isinstance(edge, Leaf):
            source = self.leaf(edge, node.scope.name if node.scope is not None else "")
            return source, Spec(edge.shape, edge.dtype)
        if edge is not None:
            shape, dtype = edge.outputs[index]
            return self._output(self.number[edge], index), Spec(shape, dtype)
        place = 0 if node.op.variadic else slot
        value = kept.get(("input", place))
        if node.op.variadic and value is not None:
            value = value[slot]
        if value is None:
            return self._unknown(node, slot, place, kept), None
        if not hasattr(value, "dtype"):
            return self._constant(value), value
        # What goes into a network has no gradient either: it is an input, and not a constant.
        data = slot == 0 and value.size > 1 and not node.op.elementwise
        return self._constant(value, "input" if data else "const"), spec_of(value)

    def _unknown(
        self, node: Node, slot: int, place: int, kept: Mapping[tuple[str, int], Any]
    ) -> Source | None:
        """A stub for an input that the graph does not keep; None if it may not have been given.

        Only inputs with a gradient are recorded, so a bias that is frozen cannot be told from one
        that is not there.
        """
        op, read = node.op, ("input", place) in node.plan.kinds
        self.freed = self.freed or (read and isinstance(node.saved, Freed))
        if op.elementwise:  # all operands are always there
            return self.builder.tensor("const", "", TensorInfo(""))
        if ("input", place) in kept or _is_optional(op, op.inputs[place]):
            return None
        shape = kept.get(("shape", place))
        if op.variadic and shape is not None:
            shape = shape[slot]
        # What a rule reads is drawn as it was before backward freed it.
        kind = "const" if read and slot > 0 else "input"
        return self.builder.tensor(kind, argument(op, slot), TensorInfo("", shape))

    def _constant(self, value: Any, kind: str = "const") -> Source:
        """A tensor without a gradient; the same array is the same constant."""
        if not hasattr(value, "dtype"):
            return self.builder.tensor("const", "", TensorInfo("", ()), value_text(value))
        known = self._constants.get(id(value))
        if known is None:
            name = self._array_names.get(id(value), "")
            kind = "input" if name else kind
            single = value.size == 1 and not isinstance(value, Spec)
            text = value_text(value.item()) if single else ""
            known = self.builder.tensor(kind, name, info(value), text)
            self._constants[id(value)] = known
        return known

    # From a watched call --------------------------------------------------------------------------

    def given(self, name: str, tensor: Tensor) -> None:
        """An argument of the call."""
        node = tensor.node
        if isinstance(node, Leaf):
            source = self.leaf(node)
        else:
            source = self.builder.tensor("input", name, info(tensor.array))
        self._tensors[id(tensor)] = (node, tensor.array, source)
        self._arrays.setdefault(id(tensor.array), source)

    def run(
        self,
        op: type[Op],
        inputs: tuple[Any, ...],
        states: tuple[Any, ...],
        outputs: tuple[Tensor, ...],
        made: tuple[Any, ...],
        attrs: tuple[Any, ...],
        place: tuple[CodeType, int],
        scope: mode.Scope | None,
        error: str,
        statistics: Any = None,
        silent: bool = False,
    ) -> None:
        """An operator that was seen running. ``states`` and ``made``: (node, index, array) of its
        inputs and outputs then; ``silent`` if it is a write that only its result tells of.
        """
        sources: list[tuple[int, Source]] = []
        specs: list[Any] = []
        for slot, (value, state) in enumerate(zip(inputs, states, strict=True)):
            if value is None:
                specs.append(None)
            elif state is None:
                sources.append((slot, self._constant(value)))
                specs.append(value)
            else:
                node, index, array = state
                sources.append((slot, self.lookup(value, node, index, array, scope)))
                specs.append(spec_of(array))
        produced = _outputs(op, [(array.shape, array.dtype) for _, _, array in made])
        number = self.builder.operator(
            op, sources, produced, attrs, scope, self._site(*place), tuple(specs), error
        )
        if silent:
            self.silent.add(number)
        if statistics is not None:
            node = self.builder.nodes[number]
            facts = {**node.facts, "statistics": statistics}
            self.builder.nodes[number] = replace(node, facts=facts)
        for index, (out, (node, _, array), tensor) in enumerate(
            zip(outputs, made, produced, strict=True)
        ):
            source = Source(number, index, tensor)
            self._tensors[id(out)] = (node, array, source)
            self._arrays[id(array)] = source
            self._written.pop(id(array), None)
            if isinstance(node, Node):
                self.number[node] = number

    def wrote(self, target: Tensor, result: Tensor, state: tuple[Any, int, Any]) -> None:
        """The memory of ``target`` has the values of ``result`` from now on."""
        self._written[id(target.array)] = self.lookup(result, *state, None)

    def lookup(
        self, tensor: Tensor, node: Any, index: int, array: Any, scope: mode.Scope | None
    ) -> Source:
        """Who made a tensor. Its node knows best, since a tensor that was written stands for the
        result.
        """
        if id(array) in self._written:
            return self._written[id(array)]
        if isinstance(node, Node) and node in self.number:
            return self._output(self.number[node], index)
        known = self._tensors.get(id(tensor))
        if known is not None and known[0] is node and known[1] is array:
            return known[2]
        if isinstance(node, Leaf):
            return self.leaf(node, scope.name if scope is not None else "")
        if id(tensor) in self._buffers:
            kind = "param" if id(tensor) in self._parameters else "const"
            source = self.builder.tensor(kind, self._buffers[id(tensor)], info(array))
            self._tensors[id(tensor)] = (node, array, source)
            if kind == "param":
                self.tensors[source.node] = tensor
            return source
        if id(array) in self._arrays:
            return self._arrays[id(array)]
        return self._constant(array)

    def _output(self, number: int, index: int) -> Source:
        return Source(number, index, self.builder.nodes[number].outputs[index])

    def _site(self, code: CodeType, lasti: int) -> str:
        text = self._sites.get((code, lasti))
        if text is None:
            line = next(
                (row for start, end, row in code.co_lines() if start <= lasti < end and row), None
            )
            file = code.co_filename.replace("\\", "/").rsplit("/", 1)[-1]
            text = self._sites[code, lasti] = f"{file}:{line or code.co_firstlineno}"
        return text


def topological(roots: Iterable[Node | Leaf | None]) -> list[Node | Leaf]:
    """Everything below ``roots``, inputs before what uses them, arguments in their order."""
    order: list[Node | Leaf] = []
    done: set[Node | Leaf] = set()
    stack: list[tuple[Node | Leaf, bool]] = [
        (root, False) for root in reversed(list(roots)) if root is not None
    ]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            if isinstance(node, Node):
                stack += [
                    (edge, False)
                    for edge in reversed(node.edges)
                    if edge is not None and edge not in done
                ]
    return order


def _outputs(op: type[Op], specs: Iterable[tuple[Any, Any]]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(name, tuple(shape), dtype_name(dtype))
        for name, (shape, dtype) in zip(op.outputs, specs, strict=False)
    )


def _is_optional(op: type[Op], name: str) -> bool:
    """True for an input that may be None: its annotation says so."""
    part = getattr(op, "infer", op.forward)
    return "None" in str(getattr(part, "__annotations__", {}).get(name, ""))


def _leaf_kind(leaf: Leaf, tensor: Tensor | None) -> str:
    named = leaf.label is not None or (tensor is not None and type(tensor) is not Tensor)
    return "param" if named else "input"


def _members(function: Any, method: str) -> Iterator[tuple[str, Tensor]]:
    """Named parameters or buffers of a module; nothing for a plain function."""
    walk = getattr(function, method, None)
    return iter(walk()) if callable(walk) else iter(())
