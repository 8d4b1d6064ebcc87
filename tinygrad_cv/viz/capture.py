"""The engine's graph as a GraphModel: from Tensors, by walking the recorded nodes, or from a call,
by watching it.

Everything is iterative, and numbers follow the order of execution, so the same program gives the
same model.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_cv.autograd.verification import Report
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError, TinygradError, user_frame
from tinygrad_cv.viz.arguments import named, named_inputs, named_tensors
from tinygrad_cv.viz.backward import add_backward
from tinygrad_cv.viz.badges import with_values
from tinygrad_cv.viz.failure import Failure, Refused, Run, failure_of, states
from tinygrad_cv.viz.faults import with_faults
from tinygrad_cv.viz.listening import Given, listening, name_inputs
from tinygrad_cv.viz.measured import check_profile, measure, measure_call
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.translate import Translator, topological
from tinygrad_cv.viz.values import add_norms, add_plan, moments
from tinygrad_cv.viz.work import with_flops, with_measured_time, with_time

__all__ = ["from_call", "from_tensors"]

META_NOTE = "meta run: shapes only, no data"
FREED_NOTE = "backward has freed the saved values: inputs and constants are not all known"


def from_tensors(
    outputs: Sequence[tuple[str, Tensor]],
    names: Mapping[str, Tensor] | None,
    backward: bool,
    title: str,
    verify: Report | None = None,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
) -> GraphModel:
    """The graph that made ``outputs``, given as (name, Tensor); ``verify`` says what is wrong with
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
            translator.node(node)
    translator.identify()
    model = _finish(translator, outputs, backward, title)
    if verify is not None:
        model = with_faults(model, translator.number, verify)
    if profile is not None:
        computed = META_NOTE not in model.notes
        model = measure(model, translator.number, profile, computed)
        if computed:
            model = with_time(model, translator.builder.known_cluster, profile)
    return _with_values(translator, model, statistics, plan)


def from_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    names: Mapping[str, Tensor] | None,
    backward: bool,
    title: str,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
) -> GraphModel:
    """The graph of ``function(*args, **kwargs)``, also without gradients and on the meta device;
    ``names`` are of Tensors that it uses, or other names for its arguments, and ``profile`` saw the
    same call.

    If the call fails, the model has everything up to there, and what failed with its message. An
    error that is none of ours comes through if no operator has run.
    """
    given = named_tensors(names)
    chosen = {id(tensor): name for name, tensor in given}
    if profile is not None:
        check_profile(profile)
    inputs = named_inputs(function, args, kwargs)
    inputs = [(chosen.get(id(tensor), name), tensor) for name, tensor in inputs]
    translator = Translator(given, function, inputs)
    recorder = _Recorder(statistics)
    failure: Failure | None = None
    outputs: list[tuple[str, Tensor]] = []
    with mode.watching(recorder), listening(function, recorder.entered):
        try:
            outputs = list(named([("output", function(*args, **kwargs))]))
        except Exception as problem:
            if not (recorder.runs or isinstance(problem, TinygradError)):
                raise
            failure = failure_of(problem, recorder.runs, recorder.refused, user_frame())
    for name, tensor in inputs:
        translator.given(name, tensor)
    recorder.tell(translator)
    name_inputs(translator, recorder.given)
    if failure is not None:
        translator.failed(failure)
    seen = [tensor for _, tensor in inputs]
    seen += (tensor for run in recorder.runs for tensor in run.outputs)
    text = "" if failure is None else failure.text
    model = _finish(translator, outputs, backward and not text, title, text, seen)
    if profile is not None and not text:
        computed = META_NOTE not in model.notes
        model = measure_call(model, profile, translator.silent, computed)
        model = with_measured_time(model)
    return _with_values(translator, model, statistics, plan)


def _with_values(
    translator: Translator, model: GraphModel, statistics: bool, plan: Any
) -> GraphModel:
    if statistics:
        model = add_norms(model, translator.tensors, translator.number)
    model = with_values(model)
    return model if plan is None else add_plan(model, plan)


class _Write(NamedTuple):
    """``target`` took over the values of ``result``, which stood at ``state`` then."""

    target: Tensor
    result: Tensor
    state: tuple[Any, int, Any]


class _Recorder(mode.Recorder):
    """Keeps what ran, for a translator: all tensors stay alive, so their ids stay theirs until the
    model is built."""

    def __init__(self, statistics: bool = False) -> None:
        self._statistics = statistics
        self.runs: list[Run] = []
        self.refused: Refused | None = None
        self.given: list[Given] = []
        self._seen: list[Run | _Write | Given] = []
        self._in_place: set[int] = set()  # ids of results

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        self._add(op, inputs, outputs, attrs, frame, scope)

    def _add(
        self,
        op: Any,
        inputs: Any,
        outputs: Any,
        attrs: Any,
        frame: Any,
        scope: Any,
        silent: bool = False,
    ) -> None:
        place = (frame.f_code, frame.f_lasti)
        made = states(outputs)
        run = Run(op, inputs, states(inputs), outputs, made, attrs, place, scope, silent=silent)
        if self._statistics:  # now: a later write may change the array
            floating = [t.array for t in outputs if t.dtype.kind == "f"]
            run = run._replace(statistics=moments(floating or [t.array for t in outputs]))
        self.runs.append(run)
        self._seen.append(run)

    def failed(
        self, op: Any, inputs: Any, attrs: Any, error: Exception, frame: Any, scope: Any
    ) -> None:
        place = (frame.f_code, frame.f_lasti)
        run = Run(op, inputs, states(inputs), (), (), attrs, place, scope)
        self.refused = Refused(weakref.ref(error), run)  # of nested ones the outermost is known

    def wrote(self, target: Any, source: Any, fresh: bool) -> None:
        if not isinstance(source, Tensor):
            op, inputs, attrs = source
            source = Tensor(target.array)
            scope = mode.state().scope
            self._add(op, inputs, (source,), attrs, user_frame(2), scope, silent=True)
        self._seen.append(_Write(target, source, *states((source,))))
        if fresh:
            self._in_place.add(id(source))

    def entered(self, given: Given) -> None:
        """A module is about to run with ``given``."""
        self._seen.append(given)

    def tell(self, translator: Translator) -> None:
        """Translate everything that was seen."""
        for step in self._seen:
            if isinstance(step, Run):
                in_place = any(id(out) in self._in_place for out in step.outputs)
                translator.run(step, in_place)
            elif isinstance(step, Given):
                source = translator.find(step.tensor, *step.state)
                self.given.append(step._replace(source=source))
            else:
                translator.wrote(*step)


def _finish(
    translator: Translator,
    outputs: Sequence[tuple[str, Tensor]],
    backward: bool,
    title: str,
    error: str = "",
    seen: Sequence[Tensor] = (),
) -> GraphModel:
    """Outputs, the backward part if wanted, and the totals. ``seen``: what was computed on the
    way."""
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
    notes = [FREED_NOTE] if translator.freed else []
    if any(isinstance(t.array, Spec) for t in (*(end[1] for end in ends), *seen)):
        notes.append(META_NOTE)
    return with_flops(translator.builder.finish(title, error, tuple(notes)))
