"""The graph as plain data: what a capture produces, what transforms change and what the drawing
stages read.

Nothing in here refers to a Tensor, a Node or an array, so a model can be kept as JSON, compared,
and changed freely. Nodes stand in a topological order and are numbered in it; no number depends on
a memory address.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any

from tinygrad_cv.errors import DataError
from tinygrad_cv.viz.facts import Facts
from tinygrad_cv.viz.reading import REPAIR, json_text, loaded, misfit, read
from tinygrad_cv.viz.versions import second

__all__ = [
    "KINDS",
    "PHASES",
    "Cluster",
    "FoldedTensor",
    "GraphEdge",
    "GraphModel",
    "GraphNode",
    "TensorInfo",
]

FORMAT = "tinygrad_cv graph"
VERSION = 2

KINDS = ("op", "input", "param", "const", "output", "saved")
PHASES = ("forward", "backward")
EDGE_KINDS = ("data", "gradient", "saved")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor without its data. ``shape`` and ``dtype`` are None where the engine does not keep
    them.

    >>> TensorInfo("weight", (16, 3, 3, 3), "float32").size
    432
    """

    name: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None

    @property
    def size(self) -> int:
        """Number of elements, the product of the shape; 0 if the shape is not known.

        >>> TensorInfo("scalar", ()).size, TensorInfo("unknown").size
        (1, 0)
        """
        return 0 if self.shape is None else math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class FoldedTensor:
    """A tensor that is drawn as a line inside an operator instead of as a node of its own.

    Attributes:
        kind: "param", "const", "saved" or "gradient".
        tensor: what it is; its name is the whole one, "layer1.0.conv1.weight".
        role: the operator's argument that it is, such as "weight".
        key: number of the folded node: the same tensor, used twice, has the same key.
        value: a short text of the value, for scalars.

    >>> import tinygrad_cv as tg
    >>> graph = tg.viz.trace(tg.nn.Linear(4, 3), tg.zeros(2, 4)).fold_parameters()
    >>> (linear,) = [node for node in graph.model.nodes if node.kind == "op"]
    >>> [(held.kind, held.role, held.tensor.shape) for held in linear.held]
    [('param', 'weight', (3, 4)), ('param', 'bias', (3,))]
    """

    kind: str
    tensor: TensorInfo
    role: str = ""
    key: int = -1
    value: str = ""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One operator, input, parameter, constant, output or saved tensor.

    Attributes:
        id: its number; tuples of nodes are in topological order.
        kind: one of :data:`KINDS`.
        name: the operator's name, or the tensor's.
        phase: "forward" or "backward".
        outputs: the tensors that it produces (for other kinds than "op": the tensor that it is).
        attributes: (name, text) of every attribute of the operator.
        cluster: id of the module call that it belongs to, or None.
        held: parameters, constants and gradients folded into it.
        pair: for a backward or saved node, the forward node that it belongs to.
        count: the number of operators (or of inputs, outputs ...) that it stands for; 0 for a line
            that raised an error.
        title: a text to show instead of ``name``, such as the module call of a collapsed block.
        site: the user's line, "file.py:12".
        error: the message, if this operator failed, or what is wrong with it.
        value: a short text of the value, for scalars.
        facts: numbers and texts for titles, overlays and JSON: flops, parameters, saved_bytes,
            equation ...; "badges" is a tuple of words (:mod:`tinygrad_cv.viz.badges`).

    >>> import tinygrad_cv as tg
    >>> graph = tg.viz.trace(lambda x: x.relu().sum(1), tg.zeros(2, 3))
    >>> for node in graph.model.nodes:
    ...     print(node.id, node.kind, node.name, node.outputs[0].shape, *node.attributes)
    0 input x (2, 3)
    1 op relu (2, 3)
    2 op sum (2,) ('dims', '(1,)') ('keepdim', 'False')
    3 output output (2,)
    """

    id: int
    kind: str
    name: str
    phase: str = "forward"
    outputs: tuple[TensorInfo, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    cluster: int | None = None
    held: tuple[FoldedTensor, ...] = ()
    pair: int | None = None
    count: int = 1
    title: str = ""
    site: str = ""
    error: str = ""
    value: str = ""
    facts: Annotated[Mapping[str, Any], Facts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """A tensor that goes from one node to another.

    Attributes:
        source, target: node ids.
        kind: "data" (forward), "gradient" (backward) or "saved" (kept from forward to backward).
        slot: for data, which argument of the target it is; for gradients, which argument of the
            operator the gradient is of. Arguments keep their order, so ``a - b`` and ``b - a``
            differ.
        argument: that argument's name.
        output: which output of the source it is.
        tensor: what flows.
        count: the number of tensors that it stands for.
        hidden: what flows goes through operators that are not drawn.
        stub: it is drawn from a small copy of its source, beside its target.
        mark: in a comparison, "added" or "removed".
        entering: (id, name) of the module calls that it leads into and that call the tensor so, as
            far as that is known: of a module whose call is watched.

    >>> import tinygrad_cv as tg
    >>> graph = tg.viz.trace(lambda a, b: b - a, tg.zeros(2), tg.zeros(2))
    >>> names = {node.id: node.name for node in graph.model.nodes}
    >>> [(names[e.source], names[e.target], e.slot, e.argument) for e in graph.model.edges]
    [('b', 'sub', 0, 'input'), ('a', 'sub', 1, 'other'), ('sub', 'output', 0, '')]
    """

    source: int
    target: int
    kind: str = "data"
    slot: int = 0
    argument: str = ""
    output: int = 0
    tensor: TensorInfo = field(default_factory=lambda: TensorInfo(""))
    count: int = 1
    hidden: bool = False
    stub: bool = False
    mark: str = ""
    entering: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """One call of a module.

    Attributes:
        id: its number, in the order of the first operator.
        path: "layer1.0.conv1", empty for the outermost module.
        kind: the class name.
        parent: id of the calling module's cluster, or None.
        call, calls: this is call ``call`` of ``calls`` in the graph.
        parameters: number of parameter elements used inside.
        flops: floating-point operations of the forward operators inside, without ``flops_unknown``
            operators that do not say theirs.
        time: seconds by phase, "forward" and "backward", where a profile measured them.
        repeats: how many equal calls in a row it stands for.
        open: it stays open when calls are drawn as one node.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
    >>> for cluster in tg.viz.trace(net, tg.zeros(2, 4)).model.clusters:
    ...     print(cluster.id, cluster.parent, repr(cluster.path), cluster.kind, cluster.parameters)
    0 None '' Sequential 15
    1 0 '0' Linear 15
    2 0 '1' ReLU 0
    """

    id: int
    path: str
    kind: str
    parent: int | None = None
    call: int = 1
    calls: int = 1
    parameters: int = 0
    repeats: int = 1
    open: bool = False
    flops: int = 0
    flops_unknown: int = 0
    time: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """``layer1.0 : BasicBlock, call 2 of 3``: path, class, which call it is if there are
        several, and how many it stands for.

        >>> Cluster(0, "head", "Linear", call=2, calls=3).label
        'head : Linear, call 2 of 3'
        """
        text = f"{self.path} : {self.kind}" if self.path else self.kind
        text += f" ×{self.repeats}" if self.repeats > 1 else ""
        if self.calls == 1:
            return text
        last = self.call + self.repeats - 1
        which = f"call {self.call}" if self.repeats == 1 else f"calls {self.call} to {last}"
        return f"{text}, {which} of {self.calls}"


@dataclass(frozen=True, slots=True)
class GraphModel:
    """A whole graph.

    Attributes:
        title: what the picture is of.
        nodes: in topological order.
        edges: ordered by target and argument.
        clusters: a parent stands before its children.
        totals: true numbers of the whole graph, whatever is folded: "operators",
            "backward_operators", "parameters", "parameter_tensors", "flops" (of the operators of
            which it is known), "flops_unknown" (how many others there are), "saved_bytes",
            "saved_tensors"; how many operators have a badge, under its words ("in place").
        notes: lines that the picture must show, such as "collapsed to 300 nodes".
        error: the whole message of a forward that failed, else empty; pictures show its first line.
        max_nodes: the most nodes of a picture, if more were asked for than the usual 300.
        overlay: the name of the overlay that colours the nodes, "value" for numbers of the user's,
            or "".

    It is plain data, so a graph can be written by hand as well:

    >>> from tinygrad_cv.viz import Graph
    >>> x, y = TensorInfo("x", (2, 3)), TensorInfo("output", (2, 3))
    >>> nodes = GraphNode(0, "input", "x", outputs=(x,)), GraphNode(1, "op", "relu", outputs=(y,))
    >>> edge = GraphEdge(0, 1, argument="input", tensor=x)
    >>> model = GraphModel("by hand", nodes, (edge,), totals={"operators": 1})
    >>> print(Graph(model).to_text(), end="")
    by hand: 1 operator
    #0 input x   2×3
    #1 relu <- input #0   → 2×3
    """

    title: str = ""
    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""
    max_nodes: int | None = None
    overlay: str = ""

    def to_json(self) -> str:
        """This graph as JSON text, the same bytes for the same graph. Numbers that are not finite
        are the texts "inf", "-inf" and "nan".

        >>> model = GraphModel("one", nodes=(GraphNode(0, "input", "x"),))
        >>> GraphModel.from_json(model.to_json()) == model
        True
        """
        data = {"format": FORMAT, "version": VERSION, **asdict(self)}
        if self.max_nodes is None:
            del data["max_nodes"]
        return json_text(data)

    @classmethod
    def from_json(cls, text: str) -> GraphModel:
        """The graph that :meth:`to_json` wrote.

        Raises:
            DataError: the text is not JSON, not of this format or of a newer version, or an entry
                is missing, not known, or not what it must be; the message names the place.
            DTypeError: no text.

        >>> import tinygrad_cv as tg
        >>> try:
        ...     GraphModel.from_json('{"nodes": []}')
        ... except tg.errors.DataError as error:
        ...     print(error)
        graph: the JSON has no 'tinygrad_cv graph' in its 'format' entry
          Give the text that Graph.to_json() or .render('graph.json') wrote.
        """
        data = loaded(text)
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            problem = f"the JSON has no {FORMAT!r} in its 'format' entry"
            raise DataError("graph", problem, repair=REPAIR)
        version = data.pop("version", None)
        if type(version) is not int or version not in (1, VERSION):
            problem = f"this version of the format is not known; known is {VERSION}"
            repair = "Use the version of the package that wrote it."
            raise DataError("graph", problem, repair=repair)
        if version == 1:
            data = second(data)
        for part in fields(cls):
            if part.name not in data and part.name not in ("max_nodes", "overlay"):
                raise misfit(part.name, " is missing")
        model: GraphModel = read(cls, data)
        check(model)
        return model


def check(model: GraphModel) -> None:
    """Raise DataError unless kinds are known, numbers unique, every reference meets its target, and
    nodes stand in a topological order.
    """
    if model.max_nodes is not None and model.max_nodes < 10:
        raise misfit("max_nodes", f" must be 10 or more, not {model.max_nodes}")
    clusters: set[int] = set()
    for number, cluster in enumerate(model.clusters):
        here = f"clusters[{number}]"
        if cluster.id in clusters:
            raise misfit(here, f": the id {cluster.id} is that of another cluster")
        if cluster.parent is not None and cluster.parent not in clusters:
            raise misfit(here, f": its parent {cluster.parent} must stand before it")
        clusters.add(cluster.id)
    order: dict[int, int] = {}
    for number, node in enumerate(model.nodes):
        here = f"nodes[{number}]"
        if node.id in order:
            raise misfit(here, f": two nodes have the same id {node.id}")
        order[node.id] = number
        if node.kind not in KINDS or node.phase not in PHASES:
            raise misfit(here, f": unknown kind {node.kind!r:.60} or phase {node.phase!r:.60}")
        if node.cluster is not None and node.cluster not in clusters:
            raise misfit(here, f": there is no cluster {node.cluster}")
        if not node.outputs and (node.kind in ("param", "const") or "of" in node.facts):
            raise misfit(here, ".outputs must have the tensor that it is")
        for k, tensor in enumerate(node.outputs):
            _check_tensor(f"{here}.outputs[{k}]", tensor)
        for k, held in enumerate(node.held):
            _check_tensor(f"{here}.held[{k}].tensor", held.tensor)
    for number, node in enumerate(model.nodes):
        if node.pair is not None and node.pair not in order:
            raise misfit(f"nodes[{number}]", f": there is no node {node.pair}")
    for number, edge in enumerate(model.edges):
        here, ends = f"edges[{number}]", f"{edge.source} -> {edge.target}"
        if edge.kind not in EDGE_KINDS:
            raise misfit(here, f": {ends}: unknown kind {edge.kind!r:.60}")
        if edge.mark not in ("", "added", "removed"):
            raise misfit(here, f": {ends}: unknown mark {edge.mark!r:.60}")
        if edge.source not in order or edge.target not in order:
            raise misfit(here, f": {ends}: one end does not exist")
        if order[edge.source] >= order[edge.target]:
            raise misfit(here, f": {ends}: the source must stand before the target")
        _check_tensor(f"{here}.tensor", edge.tensor)


def _check_tensor(place: str, tensor: TensorInfo) -> None:
    """Axes as any array has them."""
    shape = tensor.shape or ()
    if len(shape) > 64 or any(not 0 <= size < 2**63 for size in shape):
        raise misfit(place, ".shape must have at most 64 sizes, each 0 or more and of 64 bits")


def cluster_paths(clusters: Iterable[Cluster]) -> dict[int | None, tuple[int, ...]]:
    """For each module call its callers and itself, outermost first."""
    paths: dict[int | None, tuple[int, ...]] = {None: ()}
    for cluster in clusters:
        paths[cluster.id] = (*paths[cluster.parent], cluster.id)
    return paths


def call_paths(clusters: Iterable[Cluster]) -> dict[int | None, str]:
    """The module path of each call; "" for the outermost, and outside of calls.

    >>> call_paths([Cluster(0, "", "Net"), Cluster(1, "head", "Linear", parent=0)])
    {None: '', 0: '', 1: 'head'}
    """
    return {None: "", **{cluster.id: cluster.path for cluster in clusters}}


def call_names(clusters: Iterable[Cluster]) -> dict[int | None, str]:
    """What a profile and a memory plan call the place of an operator: the path of the call, of the
    outermost its class, "" outside of calls.

    >>> call_names([Cluster(0, "", "Net"), Cluster(1, "head", "Linear", parent=0)])
    {None: '', 0: 'Net', 1: 'head'}
    """
    return {None: "", **{cluster.id: cluster.path or cluster.kind for cluster in clusters}}


def common_cluster(
    paths: Mapping[int | None, tuple[int, ...]], clusters: Iterable[int | None]
) -> int | None:
    """The innermost module call that holds all of ``clusters``."""
    last = None
    for level in zip(*(paths[cluster] for cluster in clusters), strict=False):
        if len(set(level)) > 1:
            break
        last = level[0]
    return last
