"""Views of a graph that can be taken back: each step is kept, so what was collapsed can be opened
again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.viz import checks, colors, opening, selection, transforms
from tinygrad_cv.viz.model import Cluster, GraphModel, GraphNode
from tinygrad_cv.viz.overlay import refreshed

if TYPE_CHECKING:
    Step = Callable[[GraphModel], GraphModel]

__all__ = ["Views"]


class Views:
    """A model with the whole graph and the steps that led from there to here."""

    model: GraphModel
    _whole: GraphModel | None = None
    _steps: tuple[Step, ...] = ()

    def _step(self, transform: Callable[..., GraphModel], *args: Any, **kwargs: Any) -> Self:
        """A new graph, one step further."""
        step = partial(_applied, transform, args, kwargs)
        return self._at(step(self.model), self._before, (*self._steps, step))

    @property
    def _before(self) -> GraphModel:
        return self.model if self._whole is None else self._whole

    def _at(self, model: GraphModel, whole: GraphModel, steps: tuple[Step, ...]) -> Self:
        graph = copy.copy(self)
        graph.model = model
        graph._whole, graph._steps = whole, steps
        return graph

    def _again(self, whole: GraphModel, steps: tuple[Step, ...]) -> Self:
        """The same steps from the whole graph on."""
        model = whole
        for step in steps:
            model = step(model)
        return self._at(model, whole, steps)

    def collapse(self, which: str | Callable[[Cluster], bool]) -> Self:
        """Module calls whose path matches a glob, or for which a function is true, as one node
        each; :meth:`expand` opens them again.

        Raises:
            ArgumentError: nothing matches; the message names paths that are near.
            DTypeError: ``which`` is neither a glob nor a function.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(4, 4), tg.nn.ReLU(), tg.nn.Linear(4, 2))
        >>> graph = tg.viz.trace(net, tg.zeros(1, 4)).collapse(lambda call: call.kind == "Linear")
        >>> [node.title or node.name for node in graph.model.nodes]
        ['input', '0 : Linear', 'relu', '2 : Linear', 'output']
        """
        calls = selection.chosen_calls(self.model, which, "collapse")
        here = selection.set_open(self.model, calls, False)
        whole = selection.set_open(self._before, calls, False)
        step = partial(_applied, transforms.collapse, (which,), {})
        return self._at(step(here), whole, (*self._steps, step))

    def expand(self, which: str | Callable[[Cluster], bool]) -> Self:
        """Module calls, and what they stand in, in full, though :meth:`depth`, :meth:`collapse`,
        :meth:`repeat`, :meth:`simplify` or :meth:`limit` drew them as one node or as part of a
        row; they stay open.

        Raises:
            ArgumentError: nothing matches (the message names paths that are near); or the graph
                does not hold what is in them, such as one that was read from the JSON of a view.
            DTypeError: ``which`` is neither a glob nor a function.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(4, 4), tg.nn.ReLU(), tg.nn.Linear(4, 2))
        >>> graph = tg.viz.trace(net, tg.zeros(1, 4)).fold_parameters().depth(0)
        >>> [node.name for node in graph.model.nodes]
        ['input', 'Sequential', 'output']
        >>> [node.name for node in graph.expand("").model.nodes]
        ['input', 'linear', 'relu', 'linear', 'output']
        """
        opening.check_expand(self._before, which)
        return self._again(selection.expand(self._before, which), self._steps)

    def repeat(self, fold: bool = True, least: int = 2) -> Self:
        """Equal module calls that follow each other as one, with their number, such as "×3".

        Calls are equal if operators, attributes, shapes and the edges inside are; each must hand
        its one result to the next. The numbers of the operators are those of the whole row.

        Args:
            fold: False takes the folding back, also that of :meth:`simplify`.
            least: how many calls make a row.

        Raises:
            ArgumentError: ``least`` is less than 2; or the rows cannot be unfolded, since the graph
                does not hold what they stand for, as one read from the JSON of a view.
            DTypeError: ``fold`` is neither True nor False.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(*(tg.nn.Linear(4, 4) for _ in range(3)))
        >>> graph = tg.viz.trace(net, tg.zeros(1, 4)).repeat()
        >>> [cluster.label for cluster in graph.model.clusters]
        ['Sequential', '0 : Linear ×3']
        >>> [cluster.label for cluster in graph.repeat(False).model.clusters]
        ['Sequential', '0 : Linear', '1 : Linear', '2 : Linear']
        """
        if checks.flag("repeat", "fold", fold):
            return self._step(transforms.repeat, least)
        checks.whole("repeat", "least", least, 2)
        opening.check_unfold(self._before)
        steps = tuple(kept for step in self._steps if (kept := _unfolded(step)) is not None)
        return self._again(self._before, steps)

    def focus(self, which: int | str | Callable[[GraphNode], bool], radius: int = 2) -> Self:
        """The nodes that are at most ``radius`` edges away from some; where a path leads through
        others, an edge says "hidden".

        Args:
            which: a node's id; a glob of the name of an operator or tensor, of a module path (all
                that is in it) or of ``path.name``; or a function of a node.
            radius: how many edges, in any direction.

        Raises:
            ArgumentError: nothing is found (the message has names that are near, or says what to
                open), or ``radius`` is negative.
            DTypeError: ``which`` is none of these.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(lambda x: x.sin().cos().exp().tanh(), tg.zeros(3))
        >>> [node.name for node in graph.focus("c*", 1).model.nodes]
        ['sin', 'cos', 'exp']
        """
        self._must_show(which, "focus")
        return self._step(transforms.focus, which, radius)

    def path(
        self,
        start: int | str | Callable[[GraphNode], bool],
        end: int | str | Callable[[GraphNode], bool],
    ) -> Self:
        """The nodes on all paths from one node to another, named as in :meth:`focus`.

        Raises:
            ArgumentError: nothing is found, or no path leads there; the message says whether one
                leads the other way.
            DTypeError: ``start`` or ``end`` names no node.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(lambda x: x.sin().cos() + x.exp(), tg.zeros(3))
        >>> [node.name for node in graph.path("sin", "output").model.nodes]
        ['sin', 'cos', 'add', 'output']
        """
        self._must_show(start, "path")
        self._must_show(end, "path")
        return self._step(transforms.path, start, end)

    def _must_show(self, which: int | str | Callable[[GraphNode], bool], owner: str) -> None:
        """Raise unless a node is found; if one is collapsed or folded, say how to open it."""
        try:
            selection.find(self.model, which, owner)
            return
        except ArgumentError:
            call = opening.inside_what(self.model, self._before, which, owner)
        said = selection.said(which)
        try:
            path = "" if call is None else call.path
            view = self._again(selection.expand(self._before, path), self._steps)
            selection.find(view.model, which, owner)
        except ArgumentError:
            raise opening.left_out(owner, said) from None
        assert call is not None  # a call that is opened
        raise opening.open_first(owner, said, call)

    def stubs(self, uses: int = transforms.USES, far: int = transforms.FAR) -> Self:
        """A tensor that is used many times, or far from where it is made, as a small copy beside
        each such use, so that no line crosses the picture.

        Args:
            uses: a tensor that goes to more nodes than this has a copy at each use but the first.
            far: an edge over more ranks than this has a copy.

        Raises:
            ArgumentError: one of them is less than 1.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.trace(lambda x: x * x + x.sin() * x.cos(), tg.zeros(3)).stubs(uses=2)
        >>> sum(edge.stub for edge in graph.model.edges)
        2
        """
        return self._step(transforms.stubs, uses, far)

    def color(self, scheme: str) -> Self:
        """Nodes coloured by "role" (the default), "operator", "dtype", "order" of execution, or
        "structure" (equal module calls alike). Each says the same in a line of text, and the
        legend has the colours. An overlay takes the colours away, and the other way round.

        Raises:
            ArgumentError: another scheme.

        >>> import tinygrad_cv as tg
        >>> graph = tg.viz.draw(lambda x: x.exp().argmax(), tg.zeros(3)).color("dtype")
        >>> print(graph.to_text(), end="")
        <lambda>: 2 operators
        6 FLOPs forward
        colour: dtype
        ■ float32 (2)
        ■ int64 (2)
        #0 input x   3 float32
        #1 exp <- input #0   → 3 float32
        #2 argmax <- input #1   → scalar int64
        #3 output <- #2   scalar int64
        """
        return self._step(colors.color, scheme)


def _applied(
    transform: Callable[..., GraphModel], args: tuple[Any, ...], kwargs: Any, model: GraphModel
) -> GraphModel:
    return refreshed(transform(model, *args, **kwargs))


def _unfolded(step: Any) -> Any:
    """A step without the folding of repeats; None if that was all it did."""
    transform, args, kwargs = step.args
    if transform is transforms.repeat:
        return None
    if transform is transforms.simplify:
        return partial(_applied, transform, args, {**kwargs, "repeats": False})
    return step
