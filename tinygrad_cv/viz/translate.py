"""From the engine's objects to numbered nodes: Leafs, Nodes and runs of operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import CodeType
from typing import Any

from tinygrad_cv.autograd.segment import is_recomputed
from tinygrad_cv.backend.blame import Freed
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.ops.writing import was_written
from tinygrad_cv.viz.badges import operator_badges
from tinygrad_cv.viz.build import (
    Builder,
    Source,
    argument,
    dtype_name,
    info,
)
from tinygrad_cv.viz.failure import Failure, Run
from tinygrad_cv.viz.identify import Unknown, identify
from tinygrad_cv.viz.model import TensorInfo
from tinygrad_cv.viz.values_text import number_text

__all__ = ["Translator", "topological"]


class Translator:
    """Translates nodes and runs of operators; knows which number each tensor has."""

    def __init__(
        self,
        names: Sequence[tuple[str, Tensor]],
        function: Any = None,
        inputs: Sequence[tuple[str, Tensor]] = (),
    ) -> None:
        self.builder = Builder()
        self.number: dict[Node, int] = {}
        self.leaves: dict[Leaf, Source] = {}
        self._tensors: dict[
            int, tuple[Any, Any, Source]
        ] = {}  # id -> (node, array, source) of a recorded tensor
        self._arrays: dict[int, Source] = {}
        self._ends: dict[tuple[Node, int], Source] = {}  # arguments that have a history
        self._written: dict[int, Source] = {}  # of arrays: what wrote them last
        self._constants: dict[int, Source] = {}
        self._sites: dict[tuple[CodeType, int], str] = {}
        self._leaf_names: dict[int, tuple[str, str]] = {}
        self._buffers: dict[int, str] = {}
        self._names = names
        chosen = {id(tensor): name for name, tensor in names}
        self._array_names = {id(tensor.array): name for name, tensor in (*inputs, *names)}
        for name, tensor in (*inputs, *names):
            if isinstance(tensor.node, Leaf):
                self._leaf_names[id(tensor.node)] = (name, _leaf_kind(tensor.node, tensor))
        for path, parameter in _members(function, "named_parameters"):
            name = chosen.get(id(parameter), path)
            self._buffers[id(parameter)] = name
            if isinstance(parameter.node, Leaf):
                self._leaf_names[id(parameter.node)] = (name, "param")
        for path, buffer in _members(function, "named_buffers"):
            self._buffers[id(buffer)] = chosen.get(id(buffer), path)
        self._parameters = {id(p) for _, p in _members(function, "named_parameters")}
        self.leaf_memory: dict[int, tuple[Any, Leaf]] = {}  # of what has a backward
        self.tensors: dict[int, Tensor] = {}  # number -> the parameter or input itself
        self._missing: list[Unknown] = []  # inputs that the graph does not keep
        self.silent: set[int] = set()  # writes that no watcher saw as an operator
        self.segments: set[Any] = set()  # checkpoints whose arguments are drawn
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

    def node(self, node: Node) -> None:
        """An operator from its recorded node; what made its inputs has been seen."""
        plan = node.plan
        freed = isinstance(node.saved, Freed)
        whole = freed or type(node.saved) is tuple  # of what is packed the specs are known
        saved = node.saved if whole else node.saved.specs
        kept = {} if freed else dict(zip(plan.kinds, saved, strict=True))
        sources, specs = [], []
        for slot, (edge, index) in enumerate(node.inputs):
            source, spec = self._input(node, slot, edge, index, kept)
            if source is not None:
                sources.append((slot, source))
            specs.append(spec)
        unknown = [(slot, source) for slot, source in sources if specs[slot] is None]
        self._missing += [Unknown(s.node, node, slot, tuple(specs)) for slot, s in unknown]
        outputs = _outputs(node.op, node.outputs)
        number = self.builder.operator(
            node.op,
            sources,
            outputs,
            node.attrs,
            node.scope,
            self._site(node.code, node.lasti),
            tuple(specs),
            "",
            operator_badges(node.op, was_written(node), is_recomputed(node)),
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
            known = self._ends.get((edge, index))
            return known or self._output(self.number[edge], index), Spec(shape, dtype)
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
            return self.builder.tensor("const", "", TensorInfo("", ()), number_text(value))
        known = self._constants.get(id(value))
        if known is None:
            name = self._array_names.get(id(value), "")
            kind = "input" if name else kind
            known = self.builder.tensor(kind, name, info(value), _single(value))
            self._constants[id(value)] = known
        return known

    def identify(self) -> None:
        """Give inputs that are not kept the names of Tensors that have no place in the graph."""
        free = [
            (name, tensor)
            for name, tensor in self._names
            if tensor.node is None and id(tensor.array) not in self._constants
        ]
        if free and self._missing:
            identify(self.builder, self._missing, free)

    # From a watched call --------------------------------------------------------------------------

    def given(self, name: str, tensor: Tensor) -> None:
        """An argument of the call."""
        node = tensor.node
        if isinstance(node, Leaf):
            source = self.leaf(node)
        else:
            source = self.builder.tensor("input", name, info(tensor.array))
        if isinstance(node, Node):
            self._ends[node, tensor.index] = source
        self._tensors[id(tensor)] = (node, tensor.array, source)
        self._arrays.setdefault(id(tensor.array), source)

    def run(self, run: Run, in_place: bool = False) -> None:
        """An operator that was seen running."""
        sources: list[tuple[int, Source]] = []
        specs: list[Any] = []
        for slot, (value, state) in enumerate(zip(run.inputs, run.states, strict=True)):
            if value is None:
                specs.append(None)
            elif state is None:
                sources.append((slot, self._constant(value)))
                specs.append(value)
            else:
                node, index, array = state
                sources.append((slot, self.lookup(value, node, index, array, run.scope)))
                specs.append(spec_of(array))
        op, site = run.op, self._site(*run.place)
        produced = _outputs(op, [(array.shape, array.dtype) for _, _, array in run.made])
        again = any(isinstance(node, Node) and is_recomputed(node) for node, _, _ in run.made)
        badges = operator_badges(op, in_place, again)
        number = self.builder.operator(
            op, sources, produced, run.attrs, run.scope, site, tuple(specs), run.error, badges
        )
        if run.silent:
            self.silent.add(number)
        if run.statistics is not None:
            node = self.builder.nodes[number]
            facts = {**node.facts, "statistics": run.statistics}
            self.builder.nodes[number] = replace(node, facts=facts)
        for index, (out, (node, _, array), tensor) in enumerate(
            zip(run.outputs, run.made, produced, strict=True)
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

    def failed(self, failure: Failure) -> None:
        """What ended the call."""
        if failure.run is not None:
            self.run(failure.run)
            return
        scope = failure.scope
        sources = [
            (slot, name, self.lookup(t, t.node, t.index, t.array, scope))
            for slot, (name, t) in enumerate(failure.given)
        ]
        site = "" if failure.place is None else self._site(*failure.place)
        self.builder.failed(
            failure.name,
            failure.message,
            sources,
            failure.attributes,
            scope,
            site,
            failure.operators,
        )

    def lookup(
        self, tensor: Tensor, node: Any, index: int, array: Any, scope: mode.Scope | None
    ) -> Source:
        """Who made a tensor; if nobody is known, it is a new input, parameter or constant."""
        known = self.find(tensor, node, index, array)
        if known is not None:
            return known
        if isinstance(node, Leaf):
            return self.leaf(node, scope.name if scope is not None else "")
        if id(tensor) in self._buffers:
            kind = "param" if id(tensor) in self._parameters else "const"
            text = _single(array) if kind == "const" else ""
            source = self.builder.tensor(kind, self._buffers[id(tensor)], info(array), text)
            self._tensors[id(tensor)] = (node, array, source)
            if kind == "param":
                self.tensors[source.node] = tensor
            return source
        if isinstance(node, Node):  # recorded before the call, or in another thread
            self._recorded(node)
            return self._ends.get((node, index)) or self._output(self.number[node], index)
        return self._constant(array)

    def _recorded(self, node: Node) -> None:
        """What made a tensor that nobody saw being made, down to what is known."""
        for made in topological([node], self._is_known):
            if isinstance(made, Node) and made not in self.number:
                self.node(made)

    def _is_known(self, node: Node | Leaf) -> bool:
        given = isinstance(node, Node) and all(
            (node, index) in self._ends for index in range(1 + len(node.rest))
        )
        return given or node in self.number

    def find(self, tensor: Tensor, node: Any, index: int, array: Any) -> Source | None:
        """Who made a tensor, if that is known. Memory that was written stands for what was written
        last; of other tensors the node knows best.
        """
        if id(array) in self._written:
            return self._written[id(array)]
        if isinstance(node, Node) and node in self.number:
            return self._output(self.number[node], index)
        known = self._tensors.get(id(tensor))
        if known is not None and known[0] is node and known[1] is array:
            return known[2]
        if isinstance(node, Leaf):
            return self.leaves.get(node)
        return None if id(tensor) in self._buffers else self._arrays.get(id(array))

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


def topological(
    roots: Iterable[Node | Leaf | None], known: Callable[[Any], bool] = lambda _: False
) -> list[Node | Leaf]:
    """Everything below ``roots``, inputs before what uses them, arguments in their order; what is
    ``known``, and what is only below it, is left out."""
    order: list[Node | Leaf] = []
    done: set[Node | Leaf] = set()
    stack: list[tuple[Node | Leaf, bool]] = [
        (root, False) for root in reversed(list(roots)) if root is not None
    ]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in done and not known(node):
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


def _single(array: Any) -> str:
    """The value of an array of one number."""
    return number_text(array.item()) if array.size == 1 and not isinstance(array, Spec) else ""


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
