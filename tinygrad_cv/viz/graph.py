"""Graph: what :func:`tinygrad_cv.viz.trace` and :func:`tinygrad_cv.viz.draw` return."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from pathlib import Path

from tinygrad_cv.errors import DTypeError
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.checks import text
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.equations import with_equations
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.notebook import mimebundle
from tinygrad_cv.viz.overlay import overlay, refreshed
from tinygrad_cv.viz.render import TIME_LIMIT, picture, save
from tinygrad_cv.viz.text import to_text
from tinygrad_cv.viz.views import Views

__all__ = ["Graph"]


class Graph(Views):
    """A computation graph to look at. Transforms return a new Graph and leave this one alone.

    Attributes:
        model: the plain data (:class:`tinygrad_cv.viz.model.GraphModel`).

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> graph = tg.viz.trace((x * x).sum(), names={"x": x})
    >>> print(graph.to_text())  # doctest: +ELLIPSIS
    computation graph: 2 operators...
    """

    def __init__(self, model: GraphModel) -> None:
        if not isinstance(model, GraphModel):
            raise DTypeError(
                "graph",
                f"a GraphModel is needed, not {model!r:.60}",
                repair="viz.trace and viz.draw make a Graph of a Tensor, a module or a function.",
            )
        self.model = model

    # Transforms -----------------------------------------------------------------------------------

    def simplify(self, max_nodes: int = transforms.MAX_NODES) -> Graph:
        """The view that a person wants first: parameters and constants inside their operators,
        saved tensors in one box for each operator, equal module calls in a row as one (two blocks,
        or three layers of a single operator), single-operator modules without a box, and at most
        ``max_nodes`` boxes, copies of far tensors included, which :meth:`render` then draws.

        Raises:
            ArgumentError: ``max_nodes`` is less than 10.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Conv2d(1, 4, 3), tg.nn.ReLU(), tg.nn.Conv2d(4, 4, 3))
        >>> graph = tg.viz.trace(net, tg.zeros(1, 1, 8, 8))
        >>> [node.name for node in graph.model.nodes]
        ['input', '0.weight', '0.bias', 'conv', 'relu', '2.weight', '2.bias', 'conv', 'output']
        >>> [node.name for node in graph.simplify().model.nodes]
        ['input', 'conv', 'relu', 'conv', 'output']
        """
        return self._step(transforms.simplify, max_nodes)

    def fold_parameters(self) -> Graph:
        """Parameters, and their gradients, as lines inside the operators that use them.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(tg.nn.Linear(4, 3), tg.zeros(2, 4))
        >>> [node.kind for node in graph.model.nodes]
        ['input', 'param', 'param', 'op', 'output']
        >>> [node.kind for node in graph.fold_parameters().model.nodes]
        ['input', 'op', 'output']
        """
        return self._step(transforms.fold_parameters)

    def fold_constants(self) -> Graph:
        """Constants as lines inside the operators that use them.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(lambda x: 2 * x + 1, tg.zeros(3)).fold_constants()
        >>> [(node.name, *(held.value for held in node.held)) for node in graph.model.nodes]
        [('x',), ('mul', '2'), ('add', '1'), ('output',)]
        """
        return self._step(transforms.fold_constants)

    def fold_saved(self) -> Graph:
        """All tensors that one operator saves in one box.

        >>> import tinygrad_cv as tg
        >>> a, b = (tg.ones(3, requires_grad=True) for _ in range(2))
        >>> graph = tg.viz.trace((a * b).sum(), backward=True)
        >>> [node.name for node in graph.model.nodes if node.kind == "saved"]
        ['other', 'input']
        >>> [node.name for node in graph.fold_saved().model.nodes if node.kind == "saved"]
        ['saved']
        """
        return self._step(transforms.fold_saved)

    def inline_calls(self) -> Graph:
        """Module calls of a single operator as a line of that operator instead of a box; a call
        with parameters keeps its box until they are folded.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
        >>> graph = tg.viz.trace(net, tg.zeros(2, 4))
        >>> [cluster.label for cluster in graph.model.clusters]
        ['Sequential', '0 : Linear', '1 : ReLU']
        >>> [cluster.label for cluster in graph.inline_calls().model.clusters]
        ['Sequential', '0 : Linear']
        """
        return self._step(transforms.inline_calls)

    def depth(self, k: int) -> Graph:
        """Module calls nested ``k`` deep as one node each; the outermost call has depth 0.

        Raises:
            ArgumentError: ``k`` is no integer, or negative.

        >>> import tinygrad_cv as tg
        >>> block = tg.nn.Sequential(tg.nn.Linear(4, 4), tg.nn.ReLU())
        >>> graph = tg.viz.trace(tg.nn.Sequential(block, tg.nn.Linear(4, 2)), tg.zeros(1, 4))
        >>> [node.title for node in graph.depth(1).model.nodes if node.kind == "op"]
        ['0 : Sequential', '1 : Linear']
        >>> [(node.title, node.count) for node in graph.depth(0).model.nodes if node.kind == "op"]
        [('Sequential', 3)]
        """
        return self._step(transforms.depth, k)

    def only(self, phase: str) -> Graph:
        """The "forward" or the "backward" part alone.

        Raises:
            ArgumentError: another phase, or the graph has no such part.

        >>> import tinygrad_cv as tg
        >>> x = tg.ones(3, requires_grad=True)
        >>> graph = tg.viz.trace(x.exp().sum(), backward=True, names={"x": x})
        >>> [node.name for node in graph.only("backward").model.nodes]
        ['gradient of output', 'sum', 'exp', 'x.grad']
        """
        return self._step(transforms.only, phase)

    def limit(self, max_nodes: int = transforms.MAX_NODES) -> Graph:
        """At most ``max_nodes`` boxes, copies of far tensors included, by collapsing deep module
        calls first, then the middle and what is many of a kind, such as outputs; what was collapsed
        is said in the picture. :meth:`render` draws as many.

        Raises:
            ArgumentError: ``max_nodes`` is less than 10.

        >>> import tinygrad_cv as tg
        >>> def deep(x):
        ...     for _ in range(100):
        ...         x = x.sin()
        ...     return x
        >>> graph = tg.viz.trace(deep, tg.zeros(3)).limit(20)
        >>> len(graph.model.nodes) <= 20, graph.model.notes
        (True, ('102 nodes: 86 operators in the middle are drawn as one node',))
        """
        return self._step(transforms.limit, max_nodes)

    def overlay(self, values: str | Mapping[int, float], unit: str = "") -> Graph:
        """Each operator with a number, as a line of text and as a shade; one that was not measured
        is hatched, and one that it does not apply to has no colour. A module call drawn as one node
        has the sum.

        Args:
            values: what :func:`trace` was asked for, or a dict of numbers by node id:

                - "time", "flops", "output_bytes" or "saved_bytes", as a profile measured it
                  (``profile=``; FLOPs and bytes of outputs are known without, and with
                  ``backward=True`` what is saved), and "parameters";
                - "peak_bytes": alive when the operator has ended, by a memory plan (``plan=``);
                - "grad_norm" and "weight_norm": the Euclidean norms of an operator's parameters
                  (``statistics=True``, drawn after backward), and of the gradient of a result with
                  ``retain_grad()``; a backward operator has that of the gradient which it alone
                  gave. None and exactly zero are marked as a dead gradient;
                - "mean", "std" (both of the finite values, divided by their number), "zeros" and
                  "nonfinite" (shares of all values) of what an operator of a call gives
                  (``statistics=True``). Of calls drawn as one node they are over all its operators.
            unit: of the numbers of a dict.

        An operator to which a name does not apply, such as "weight_norm" to a ReLU, has no colour
        and no line. Of a comparison (:func:`tinygrad_cv.viz.diff`) a name shows the difference of
        both graphs, from less (blue) to more (orange), inside the border that says what changed.

        Raises:
            ArgumentError: another name, no operator has such a value, or the dict names a node that
                is no operator.
            DTypeError: a value is no finite number, or ``unit`` is no text.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(lambda x: x.exp().sum(), tg.zeros(4))
        >>> print(graph.overlay({1: 3.0, 2: 1.0}, unit="V").to_text(), end="")
        <lambda>: 2 operators
        8 FLOPs forward
        colour: value, 4 V in all; stronger is more
        #0 input x   4 float32
        #1 exp <- input #0   → 4 float32; value 3 V (75 %)
        #2 sum dims=(0,) <- input #1   → scalar float32; value 1 V (25 %)
        #3 output <- #2   scalar float32
        """
        return self._step(overlay, values, text("overlay", "unit", unit))

    def explain(self) -> Graph:
        """Each operator with its equation and, beside its backward operator or in it, the equations
        of its gradients, and the shapes that they have here; g is the gradient of the output.

        Raises:
            GraphError: no operator has an equation: all are collapsed.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.draw(lambda a, b: a * b, tg.zeros(2, 3), tg.zeros(3)).explain()
        >>> print(graph.to_text(), end="")
        <lambda>: 1 operator
        6 FLOPs forward
        #0 input a   2×3 float32
        #1 input b   3 float32
        #2 mul <- input #0, other #1   → 2×3 float32
              y = a * b
              da = g * b
              db = g * a
              where a = input 2×3, b = other 3, g is 2×3
        #3 output <- #2   2×3 float32
        """
        return self._step(with_equations)

    # Out ------------------------------------------------------------------------------------------

    def render(
        self,
        path: str | os.PathLike[str],
        time_limit: float = TIME_LIMIT,
        max_nodes: int | None = None,
    ) -> Path:
        """Write the graph to a file: ``.svg``, ``.html``, ``.png``, ``.pdf``, ``.dot``, ``.json``
        or ``.txt`` by its ending. An existing file is replaced only by a complete one.

        Pictures need a Graphviz engine: ``dot`` on the PATH, or the one inside the ``pygraphviz``
        wheel; the second steps in where the first fails. Texts (``.dot``, ``.json``, ``.txt``)
        need none; they are what :meth:`to_dot`, :meth:`to_json` and :meth:`to_text` give.

        Args:
            path: where to.
            time_limit: seconds for one run of the engine; after that the graph is collapsed
                further, and says so.
            max_nodes: the most nodes of a picture. If None, as many as :func:`draw`,
                :meth:`simplify` or :meth:`limit` was asked for; 300 (said in the picture) where
                none was.

        Returns:
            The path.

        Raises:
            ArgumentError: the ending is not supported, ``time_limit`` is no number above 0, or
                ``max_nodes`` no integer from 10 on.
            BackendError: there is no engine or it failed; the ``.dot`` file has been written
                beside ``path``.
            DataError: the file cannot be written.

        >>> import tempfile, tinygrad_cv as tg
        >>> graph = tg.viz.draw(lambda x: x.relu(), tg.zeros(2, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     graph.render(f"{folder}/relu.txt").read_text() == graph.to_text()
        True
        """
        return save(self.model, path, self.to_text, time_limit, max_nodes)

    def to_html(self, time_limit: float = TIME_LIMIT, max_nodes: int | None = None) -> str:
        """The graph as a page to explore: pan, zoom, search, the facts of each node, what leads to
        it and what it leads to, overlays, themes, and the execution order step by step, all by
        mouse or keyboard. One text that loads nothing else; ``render("graph.html")`` writes it.

        Args:
            time_limit, max_nodes: as for :meth:`render`.

        Raises:
            BackendError: there is no Graphviz engine, or it failed.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.draw(lambda x: x.relu(), tg.zeros(2, 3), title="one ReLU")
        >>> text = graph.to_html() if tg.viz.render.engines() else "<title>one ReLU</title>"
        >>> "<title>one ReLU</title>" in text
        True
        """
        return picture(self.model, "html", time_limit, max_nodes).decode()

    def to_dot(self) -> str:
        """The DOT source; the same graph gives the same text, byte for byte.

        >>> import tinygrad_cv as tg
        >>> x = tg.zeros(2, 3)
        >>> texts = {tg.viz.draw(lambda x: x.relu(), x).to_dot() for _ in range(2)}
        >>> len(texts), texts.pop()[:15]
        (1, 'digraph "graph"')
        """
        return to_dot(self.model)

    def to_json(self) -> str:
        """The graph as JSON; :meth:`from_json` reads it. For programs, or to draw it elsewhere or
        later.

        JSON holds this graph as it is drawn. What a view has folded or collapsed is not in it and
        cannot be opened again: to explore a graph later, write the whole,
        ``viz.trace(...).to_json()``, and fold after reading.

        >>> import json, tinygrad_cv as tg
        >>> data = json.loads(tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3)).to_json())
        >>> data["version"], [node["name"] for node in data["nodes"]]
        (2, ['x', 'relu', 'output'])
        """
        return self.model.to_json()

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph that :meth:`to_json` wrote, of differences the graph of both in one: what was
        drawn, and no more. :meth:`expand` and ``repeat(False)`` open what is folded or collapsed
        after reading, and raise where it was before.

        Raises:
            DTypeError: it is no text.
            DataError: the text is not such a graph.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3))
        >>> Graph.from_json(graph.to_json()).model == graph.model
        True
        """
        return Graph(refreshed(GraphModel.from_json(text)))

    def to_text(self) -> str:
        """One line for each node, in the order of execution, indented by module call.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.draw(lambda x: (2 * x).relu(), tg.zeros(1, 3), title="doubled")
        >>> print(graph.to_text(), end="")
        doubled: 2 operators
        6 FLOPs forward
        #0 input x   1×3 float32
        #2 mul <- input #0   other = 2; → 1×3 float32
        #3 relu <- input #2   → 1×3 float32
        #4 output <- #3   1×3 float32
        """
        return to_text(self.model)

    @property
    def error(self) -> str:
        """The whole message of what failed, or an empty text; of an error that is none of the
        library's also its line (file:line).

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(tg.nn.Sequential(tg.nn.Linear(4, 3)), tg.zeros(2, 5))
        >>> print(graph.error)
        ShapeError: linear: the input has 5 in its last axis, the weight takes I = 4
          y[..., o] = sum_i x[..., i] * w[o, i]
          input  (2, 5)  [..., I]
          weight (3, 4)  [O, I]
          bias   (3,)    [O]
          Make the layer with in_features=5.
          in model.0 (Linear)
        """
        return self.model.error

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """What a notebook shows: the picture, and the text."""
        most = self.model.max_nodes or transforms.MAX_NODES
        return mimebundle(self.model, lambda: self.limit(most).to_text(), include, exclude)

    def __repr__(self) -> str:
        model = self.model
        return f"<Graph {model.title!r}: {len(model.nodes)} nodes, {len(model.edges)} edges>"
