"""Pictures of computation graphs: :func:`trace` takes a graph, :func:`draw` the view a person
wants first.

>>> import tinygrad_cv as tg
>>> x = tg.tensor([[1.0, -2.0]], requires_grad=True)
>>> graph = tg.viz.draw((x.relu() - 1.0).sum(), backward=True, names={"x": x})
>>> graph.render("graph.svg")  # doctest: +SKIP
PosixPath('graph.svg')

The stages are capture -> GraphModel -> transforms -> DOT -> picture; each can be used alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinygrad_cv.autograd.verification import Report
from tinygrad_cv.core.tensor import Tensor, extend
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.viz import capture, checks
from tinygrad_cv.viz.comparison import Diff, prepared, shown
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.labels import clean
from tinygrad_cv.viz.limits import LEAST, MAX_NODES
from tinygrad_cv.viz.model import (
    Cluster,
    FoldedTensor,
    GraphEdge,
    GraphModel,
    GraphNode,
    TensorInfo,
)
from tinygrad_cv.viz.operators import explain
from tinygrad_cv.viz.union import Change

__all__ = [
    "Change",
    "Cluster",
    "Diff",
    "FoldedTensor",
    "Graph",
    "GraphEdge",
    "GraphModel",
    "GraphNode",
    "TensorInfo",
    "diff",
    "draw",
    "explain",
    "trace",
]


def trace(
    target: Tensor | Sequence[Tensor] | Callable[..., Any],
    *inputs: Any,
    backward: bool = False,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    verify: Report | None = None,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
    **kwargs: Any,
) -> Graph:
    """The whole graph, every node and edge of it.

    Args:
        target: a Tensor (or several), whose recorded graph is taken; or a module or function,
            which is called with ``inputs`` and ``kwargs`` and watched. The call may run under
            ``no_grad`` and on the meta device. It is a real call: in training mode, running
            statistics and random draws advance.
        backward: add the backward part: for each operator the rules that would run, and what is
            saved for them.
        names: names for Tensors in the picture, {"image": x}. Arguments of a call and parameters
            of a module have theirs already; these come before them.
        title: first line of the picture.
        verify: what :func:`tinygrad_cv.autograd.verify` found in the graph of the Tensor: faulty
            nodes are red and say what is wrong, where a gradient is wrong the backward ones.
        profile: the :func:`tinygrad_cv.profile` under which the Tensor was computed, and perhaps
            its backward: operators say their time, FLOPs and bytes, and :func:`draw` colours them
            by time; :meth:`Graph.overlay` has the other colours. For a call, one under which the
            same call ran before, with or without gradients: of its runs the last. A run on the meta
            device computes nothing, so it has no times.
        statistics: look at the values: norms of parameters and of the gradients that a backward
            left, of a call also mean, standard deviation, zeros and non-finite values of what each
            operator gives. For the overlays "grad_norm", "weight_norm", "mean", "std", "zeros" and
            "nonfinite", and for the badges "NaN" and "Inf".
        plan: what :func:`tinygrad_cv.autograd.plan_memory` found of the same call, for the overlay
            "peak_bytes".

    A recorded graph knows inputs without a gradient only as far as a gradient rule keeps them:
    others, such as labels, are drawn as "not kept in the graph", and after ``backward``, which
    frees what was kept, so are all of them; one of ``names`` is recognised where no other Tensor or
    place fits. A frozen bias is not drawn. A call that is watched shows all that it runs; of what
    ran before it or in another thread, what was recorded of the Tensors that it uses.

    Badges say what is out of the ordinary about an operator: "in place", "custom", "recomputed"
    (under ``autograd.checkpoint``), "NaN", "Inf". A recorded graph knows the writes of which it has
    the node.

    Saved bytes are memory that the graph keeps, each once and whole, as a view keeps all of it.
    That of a parameter, or of an input that asks for a gradient, does not count: it is there
    anyway. Saved tensors that :class:`saved_tensors_hooks` packed, or that a checkpoint computes
    again, are drawn as "packed" and "recomputed", with their shapes; nothing is unpacked for it,
    and the bytes are those of the arrays that are held in their place.

    If the call fails, the graph ends there, in a red node with the message: the operator or
    function that refused its input, joined to the Tensors that it was given; or, for an error that
    is none of the library's, the line that raised it. ``graph.error`` has the whole text, for such
    an error with the line (file:line) and what caused it. If no operator has run, such an error
    comes through.

    Raises:
        GraphError: the Tensor has no graph, or ``backward`` is asked for and nothing requires a
            gradient, or its saved values were freed by an earlier backward.
        DTypeError: ``target`` is neither Tensors nor callable, or a class; ``names`` is no dict of
            texts to Tensors; another argument is of the wrong type.
        ArgumentError: the inputs do not fit the call; ``profile`` or ``plan`` is of something else;
            ``verify`` of a call.
        Exception: what the call itself raised before any operator ran, unless it is an error of the
            library's. KeyboardInterrupt and SystemExit always come through.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> [node.name for node in trace((x * x).sum(), names={"x": x}).model.nodes]
    ['x', 'mul', 'sum', 'output']
    """
    backward = checks.flag("trace", "backward", backward)
    statistics = checks.flag("trace", "statistics", statistics)
    if title is not None:
        title = checks.text("trace", "title", title)
    if verify is not None:
        verify = checks.report(verify)
    if isinstance(target, Tensor):
        target = (target,)
    if isinstance(target, (tuple, list)) and target and all(isinstance(t, Tensor) for t in target):
        if inputs or kwargs:
            raise ArgumentError(
                "trace",
                "a Tensor's graph is there already; inputs are for modules and functions",
                repair="Write viz.trace(loss), or viz.trace(model, x).",
            )
        single = len(target) == 1
        outputs = [
            ("output" if single else f"output[{i}]", tensor) for i, tensor in enumerate(target)
        ]
        return Graph(
            capture.from_tensors(
                outputs,
                names,
                backward,
                _title(title, "computation graph", backward),
                verify,
                profile,
                statistics,
                plan,
            )
        )
    if verify is not None:
        raise ArgumentError(
            "trace",
            "verify= marks the recorded graph of a Tensor, not a call that makes a new one",
            repair="Pass the Tensor that was verified.",
        )
    if not callable(target):
        raise DTypeError(
            "trace",
            f"a Tensor, a list of Tensors, a module or a function is needed, not {target!r:.60}",
            repair="Write viz.draw(loss), or viz.draw(model, x).",
        )
    checks.module_call(target, inputs, kwargs)
    default = getattr(target, "__name__", type(target).__name__)
    title = _title(title, default, backward)
    return Graph(
        capture.from_call(target, inputs, kwargs, names, backward, title, profile, statistics, plan)
    )


def _title(given: str | None, default: str, backward: bool) -> str:
    if given is not None:
        return given
    return clean(default, 60) + (", forward and backward" if backward else "")


def draw(
    target: Tensor | Sequence[Tensor] | Callable[..., Any],
    *inputs: Any,
    backward: bool = False,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    max_nodes: int = MAX_NODES,
    verify: Report | None = None,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
    explain: bool = False,
    **kwargs: Any,
) -> Graph:
    """Like :func:`trace`, in the view that a person wants first (:meth:`Graph.simplify`):
    parameters and constants inside their operators, what an operator saves in one box, equal
    blocks in a row as one ("×2"; ``repeat(False)`` unfolds them), layers of one operator without a
    box, and at most ``max_nodes`` boxes, copies of far tensors included.

    Args and errors are those of :func:`trace`; ``max_nodes`` is at least 10, and the picture has as
    many, also more than the usual 300, unless the engine needs longer than the time limit of
    :meth:`Graph.render`. With ``profile`` the operators are coloured by time; with ``explain`` they
    have their equations (:meth:`Graph.explain`).

    >>> import tinygrad_cv as tg
    >>> w = tg.tensor([[2.0]], requires_grad=True)
    >>> graph = draw(lambda x: x @ w, tg.tensor([[1.0]]), title="product")
    >>> graph
    <Graph 'product': 4 nodes, 3 edges>
    >>> graph.render("product.svg")  # doctest: +SKIP
    PosixPath('product.svg')
    """
    checks.whole("draw", "max_nodes", max_nodes, LEAST)
    checks.flag("draw", "explain", explain)
    options: dict[str, Any] = {"backward": backward, "names": names, "title": title}
    options |= {"verify": verify, "profile": profile, "statistics": statistics, "plan": plan}
    graph = trace(target, *inputs, **options, **kwargs)
    graph = graph.simplify(max_nodes)
    if profile is not None and not graph.error:
        graph = graph.overlay("time")
    return graph.explain() if explain else graph


def diff(
    a: Any,
    b: Any,
    *inputs: Any,
    backward: bool = False,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    max_nodes: int = MAX_NODES,
    fold: bool = True,
    **kwargs: Any,
) -> Diff:
    """What differs from graph ``a`` to graph ``b``, in one picture: ``+`` what was added, ``−``
    what was removed, ``~`` what changed (attributes, shapes, parameters), ``»`` what has moved to
    another module path.

    Nodes are the same if they do the same in the same order; of all ways to match them the one
    with the most equal module paths, attributes and shapes is taken.

    :meth:`Graph.overlay` colours the differences in a number, inside the borders that these marks
    are: in parameters or FLOPs, and of graphs that were drawn with ``profile=`` or
    ``statistics=True``, as in ``diff(before, after).overlay("time")``, in all that they know.

    Args:
        a, b: each a :class:`Graph`, a Tensor (or several), or a module or function, which is called
            with ``inputs`` and ``kwargs``. A Graph is compared as it is, with the transforms that
            it has; of the others parameters, constants and saved tensors are inside their
            operators.
        backward, names: as in :func:`trace`.
        title: first line of the picture.
        max_nodes: the most nodes of the picture; ``changes`` has all differences anyway.
        fold: module calls in which nothing differs become one node each.

    Raises:
        DTypeError: ``a`` or ``b`` is none of these.
        ArgumentError: inputs are given, but neither is called; ``max_nodes`` is less than 10.

    >>> import tinygrad_cv as tg
    >>> nn = tg.nn
    >>> a = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> b = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5))
    >>> print(diff(a, b, tg.zeros(2, 4), title="wider").to_text(), end="")
    wider: 1 added, 0 removed, 3 changed, 1 the same
    ~ 0 : linear: weight 3×4 → 5×4; bias 3 → 5; output 2×3 → 2×5
    ~ 1 : relu: output 2×3 → 2×5
    + 2 : dropout p=0.5   → 2×5 float32
    ~ output: tensor 2×3 → 2×5
    − connection: 1 : relu to output
    """
    max_nodes = checks.whole("diff", "max_nodes", max_nodes, LEAST)
    fold = checks.flag("diff", "fold", fold)
    if title is not None:
        title = checks.text("diff", "title", title)
    if checks.flag("diff", "backward", backward) and isinstance(a, Graph) and isinstance(b, Graph):
        raise ArgumentError(
            "diff",
            "backward= is for what is traced here, and both are graphs",
            repair="Trace them with it: viz.trace(..., backward=True).",
        )
    graphs = []
    called = [not isinstance(x, (Graph, Tensor, tuple, list)) for x in (a, b)]
    if (inputs or kwargs) and not any(called):
        raise ArgumentError(
            "diff",
            "inputs are for modules and functions, and neither is one",
            repair="Write viz.diff(a, b) for graphs and Tensors, viz.diff(a, b, x) for models.",
        )
    for target, call in zip((a, b), called, strict=True):
        if isinstance(target, Graph):
            graphs.append(target)
        else:
            given: Any = (inputs, kwargs) if call else ((), {})
            graph = trace(target, *given[0], backward=backward, names=names, **given[1])
            graphs.append(prepared(graph))
    return shown(Diff(graphs[0], graphs[1], title=title), max_nodes, fold)


def _graph(
    self: Any,
    *inputs: Any,
    backward: bool = False,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    max_nodes: int = MAX_NODES,
    verify: Report | None = None,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
    explain: bool = False,
    **kwargs: Any,
) -> Graph:
    """The graph that made this tensor (or, of a module, the graph of its call with ``inputs``),
    ready to ``.render("graph.svg")``; see :func:`tinygrad_cv.viz.draw`.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(3, requires_grad=True)
    >>> [node.name for node in x.exp().sum().graph(names={"x": x}).model.nodes]
    ['x', 'exp', 'sum', 'output']
    """
    options: dict[str, Any] = {"backward": backward, "names": names, "title": title}
    options |= {"verify": verify, "profile": profile, "statistics": statistics, "plan": plan}
    options["explain"] = explain
    return draw(self, *inputs, max_nodes=max_nodes, **options, **kwargs)


_graph.__name__ = _graph.__qualname__ = "graph"
extend("graph", _graph)  # nn.Module.graph calls it too
