"""The engine's graph as a GraphModel: from Tensors, by walking the recorded nodes, or from a call,
by watching it.

Everything is iterative, and numbers follow the order of execution, so the same program gives the
same model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError, GraphError, TinygradError
from tinygrad_cv.viz.backward import add_backward
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.overlay import measure
from tinygrad_cv.viz.translate import Translator, topological
from tinygrad_cv.viz.values import add_norms, add_plan, moments

__all__ = ["from_call", "from_tensors", "named_inputs", "named_tensors"]

FREED_NOTE = "backward has freed the saved values: inputs and constants are not all known"


def from_tensors(
    outputs: Sequence[tuple[str, Tensor]],
    names: Mapping[str, Tensor] | None,
    backward: bool,
    title: str,
    marks: Mapping[Node, str] | None = None,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
) -> GraphModel:
    """The graph that made ``outputs``, given as (name, Tensor); ``marks`` says what is wrong with
    nodes, ``profile`` what they took, ``plan`` what memory they need, and ``statistics`` asks for
    norms.

    Raises:
        GraphError: none of them has a graph, or ``backward`` is asked for and its saved values are
            freed.
    """
    if all(tensor.node is None for _, tensor in outputs):
        raise GraphError(
            "graph",
            "this tensor has no graph: no input of it requires a gradient, or it was made under "
            "no_grad or detached",
            values=[(name, tensor.shape) for name, tensor in outputs],
            repair="Call requires_grad_() on an input before computing, or trace the call itself: "
            "viz.trace(function, *inputs).",
        )
    translator = Translator(named_tensors(names))
    for node in topological([t.node for _, t in outputs if t.node is not None]):
        if isinstance(node, Node):  # leaves come with the first operator that uses them
            translator.node(node, (marks or {}).get(node, ""))
    translator.identify()
    model = _finish(translator, outputs, backward, title)
    model = model if profile is None else measure(model, translator.number, profile)
    return _with_values(translator, model, statistics, plan)


def from_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    names: Mapping[str, Tensor] | None,
    backward: bool,
    title: str,
    statistics: bool = False,
    plan: Any = None,
) -> GraphModel:
    """The graph of ``function(*args, **kwargs)``, also without gradients and on the meta device;
    ``names`` are of Tensors that it uses, or other names for its arguments.

    If an operator refuses its input, the model has everything up to it, and the operator with its
    message.
    """
    given = named_tensors(names)
    chosen = {id(tensor): name for name, tensor in given}
    inputs = named_inputs(function, args, kwargs)
    inputs = [(chosen.get(id(tensor), name), tensor) for name, tensor in inputs]
    translator = Translator(given, function, inputs)
    recorder = _Recorder(statistics)
    error = ""
    outputs: list[tuple[str, Tensor]] = []
    with mode.watching(recorder):
        try:
            outputs = list(_named([("output", function(*args, **kwargs))]))
        except TinygradError as problem:
            error = f"{type(problem).__name__}: {problem}"
    for name, tensor in inputs:
        translator.given(name, tensor)
    for run in recorder.runs:
        translator.run(*run)
    model = _finish(translator, outputs, backward and not error, title, error)
    return _with_values(translator, model, statistics, plan)


def _with_values(
    translator: Translator, model: GraphModel, statistics: bool, plan: Any
) -> GraphModel:
    if statistics:
        model = add_norms(model, translator.tensors, translator.number)
    return model if plan is None else add_plan(model, plan)


def named_tensors(names: Any) -> list[tuple[str, Tensor]]:
    """The pairs of ``names``; none for None.

    Raises:
        DTypeError: it is no dict of texts to Tensors.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     named_tensors({"a": 5})
    ... except tg.DTypeError as error:
    ...     print(error)
    trace: names= has Tensors as its values, names['a'] is int
      Give a dict of names to Tensors, such as names={"image": x}.
    """
    repair = 'Give a dict of names to Tensors, such as names={"image": x}.'
    if names is None:
        return []
    if not isinstance(names, Mapping):
        problem = f"names= takes a dict, not {type(names).__name__}"
        raise DTypeError("trace", problem, repair=repair)
    for name, tensor in names.items():
        if not isinstance(name, str):
            problem = f"names= has texts as its keys, one is {type(name).__name__}"
            raise DTypeError("trace", problem, repair=repair)
        if not isinstance(tensor, Tensor):
            problem = f"names= has Tensors as its values, names[{name!r:.40}] is "
            raise DTypeError("trace", problem + type(tensor).__name__, repair=repair)
    return list(names.items())


def named_inputs(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Tensor]]:
    """The Tensors in the arguments of a call, named after the function's parameters.

    >>> import tinygrad_cv as tg
    >>> def loss(image, scale=1): ...
    >>> [name for name, _ in named_inputs(loss, (tg.zeros(2),), {"scale": [tg.ones(1)]})]
    ['image', 'scale[0]']
    """
    return list(_named(_arguments(function, args, kwargs)))


class _Recorder(mode.Recorder):
    """Keeps what ran: all tensors stay alive, so their ids stay theirs until the model is built."""

    def __init__(self, statistics: bool = False) -> None:
        self._statistics = statistics
        self.runs: list[tuple[Any, ...]] = []
        self._failed = False

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        place = (frame.f_code, frame.f_lasti)
        run: tuple[Any, ...] = (op, inputs, _states(inputs), outputs, attrs, place, scope, "")
        if self._statistics:  # now: a later write may change the array
            floating = [t.array for t in outputs if t.dtype.kind == "f"]
            run = (*run, moments(floating or [t.array for t in outputs]))
        self.runs.append(run)

    def failed(
        self, op: Any, inputs: Any, attrs: Any, error: Exception, frame: Any, scope: Any
    ) -> None:
        if self._failed:  # the innermost operator has spoken
            return
        self._failed = True
        place = (frame.f_code, frame.f_lasti)
        message = str(error).splitlines()[0]
        self.runs.append((op, inputs, _states(inputs), (), attrs, place, scope, message))


def _states(inputs: Iterable[Any]) -> tuple[Any, ...]:
    """Where the inputs stand in the graph now: a later in-place write moves a Tensor on."""
    return tuple((t.node, t.index, t.array) if isinstance(t, Tensor) else None for t in inputs)


def _finish(
    translator: Translator,
    outputs: Sequence[tuple[str, Tensor]],
    backward: bool,
    title: str,
    error: str = "",
) -> GraphModel:
    """Outputs, the backward part if wanted, and the totals."""
    ends = []
    for name, tensor in outputs:
        source = translator.lookup(tensor, tensor.node, tensor.index, tensor.array, None)
        ends.append((name, tensor, translator.builder.output(name, source)))
    roots = [end for end in ends if end[1].node is not None]
    if backward and not roots:
        raise GraphError(
            "graph",
            "there is no backward: no output requires a gradient",
            repair="Call requires_grad_() on the inputs or parameters, outside tg.no_grad().",
        )
    if backward:
        add_backward(translator, roots)
    return translator.builder.finish(title, error, (FREED_NOTE,) if translator.freed else ())


def _arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """The arguments of a call with the names of the function's (or the module's forward's)
    parameters.
    """
    target = getattr(function, "forward", function)
    try:
        bound = inspect.signature(target).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return [*((f"input {i}", value) for i, value in enumerate(args)), *kwargs.items()]
    return list(bound.arguments.items())


def _named(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """All Tensors in nested tuples, lists and dicts, named after their place."""
    stack = list(values)[::-1]
    while stack:
        name, value = stack.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (tuple, list)):
            stack += [(f"{name}[{i}]", v) for i, v in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            stack += [(f"{name}[{k!r}]", v) for k, v in reversed(list(value.items()))]
