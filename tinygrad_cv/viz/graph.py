"""Graph: what :func:`tinygrad_cv.viz.trace` and :func:`tinygrad_cv.viz.draw` return."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.model import Cluster, GraphModel
from tinygrad_cv.viz.render import TIME_LIMIT, save
from tinygrad_cv.viz.text import to_text

__all__ = ["Graph"]


class Graph:
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
        self.model = model

    # Transforms -----------------------------------------------------------------------------------

    def simplify(self, max_nodes: int = transforms.MAX_NODES) -> Graph:
        """Parameters and constants inside their operators, at most ``max_nodes`` nodes."""
        return Graph(transforms.simplify(self.model, max_nodes))

    def fold_parameters(self) -> Graph:
        """Parameters, and their gradients, as lines inside the operators that use them."""
        return Graph(transforms.fold_parameters(self.model))

    def fold_constants(self) -> Graph:
        """Constants as lines inside the operators that use them."""
        return Graph(transforms.fold_constants(self.model))

    def fold_saved(self) -> Graph:
        """All tensors that one operator saves in one box."""
        return Graph(transforms.fold_saved(self.model))

    def inline_calls(self) -> Graph:
        """Module calls of a single operator as a line of that operator instead of a box."""
        return Graph(transforms.inline_calls(self.model))

    def depth(self, k: int) -> Graph:
        """Module calls nested ``k`` deep as one node each; the outermost call has depth 0."""
        return Graph(transforms.depth(self.model, k))

    def collapse(self, which: str | Callable[[Cluster], bool]) -> Graph:
        """Module calls whose path matches a glob, or for which a function is true, as one node
        each.
        """
        return Graph(transforms.collapse(self.model, which))

    def only(self, phase: str) -> Graph:
        """The "forward" or the "backward" part alone."""
        return Graph(transforms.only(self.model, phase))

    def limit(self, max_nodes: int = transforms.MAX_NODES) -> Graph:
        """At most ``max_nodes`` nodes; what was collapsed is said in the picture."""
        return Graph(transforms.limit(self.model, max_nodes))

    # Out ------------------------------------------------------------------------------------------

    def render(self, path: str | os.PathLike[str], time_limit: float = TIME_LIMIT) -> Path:
        """Write the graph to a file: ``.svg``, ``.png``, ``.pdf``, ``.dot``, ``.json`` or ``.txt``
        by its ending.

        Pictures need a Graphviz engine: ``dot`` on the PATH, or the one inside the ``pygraphviz``
            wheel. An existing
        file is replaced only by a complete one.

        Args:
            path: where to.
            time_limit: seconds for one run of the engine; after that the graph is collapsed
                further, and says so.

        Returns:
            The path.

        Raises:
            ArgumentError: the ending is not supported.
            BackendError: there is no engine or it failed; the ``.dot`` file has been written
                beside ``path``.
            DataError: the file cannot be written.
        """
        return save(self.model, path, self.to_text(), time_limit)

    def to_dot(self) -> str:
        """The DOT source; the same graph gives the same text."""
        return to_dot(self.model)

    def to_json(self) -> str:
        """The graph as JSON; :meth:`from_json` reads it."""
        return self.model.to_json()

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that :meth:`to_json` wrote.

        Raises:
            DataError: the text is not such a graph.
        """
        return cls(GraphModel.from_json(text))

    def to_text(self) -> str:
        """One line for each node, in the order of execution, indented by module call."""
        return to_text(self.model)

    @property
    def error(self) -> str:
        """The whole message of the operator that refused its input, or an empty text."""
        return self.model.error

    def __repr__(self) -> str:
        model = self.model
        return f"<Graph {model.title!r}: {len(model.nodes)} nodes, {len(model.edges)} edges>"
