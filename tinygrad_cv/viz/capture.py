"""The engine's graph as a GraphModel: from Tensors, by walking the recorded nodes, or from a call,
by watching it.

Everything is iterative, and numbers follow the order of execution, so the same program gives the
same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tinygrad_cv.autograd.verification import Report
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError, TinygradError, user_frame
from tinygrad_cv.viz.backward import add_backward
from tinygrad_cv.viz.badges import with_values
from tinygrad_cv.viz.calls import Given, listening, name_inputs, named, named_inputs, state_of
from tinygrad_cv.viz.faults import with_faults
from tinygrad_cv.viz.measured import check_profile, measure, measure_call
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.translate import Translator, topological
from tinygrad_cv.viz.values import add_norms, add_plan, moments
from tinygrad_cv.viz.work import with_flops, with_measured_time, with_time

__all__ = ["from_call", "from_tensors"]

FREED_NOTE = "backward has freed the saved values: inputs and constants are not all known"


def from_tensors(
    outputs: Sequence[tuple[str, Tensor]],
    names: Mapping[str, Tensor],
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
    translator = Translator(names)
    for node in topological([t.node for _, t in outputs if t.node is not None]):
        if isinstance(node, Node):  # leaves come with the first operator that uses them
            translator.node(node)
    model = _finish(translator, outputs, backward, title)
    if verify is not None:
        model = with_faults(model, translator.number, verify)
    if profile is not None:
        model = measure(model, translator.number, profile)
        model = with_time(model, translator.builder.known_cluster, profile)
    return _with_values(translator, model, statistics, plan)


def from_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    names: Mapping[str, Tensor],
    backward: bool,
    title: str,
    profile: Any = None,
    statistics: bool = False,
    plan: Any = None,
) -> GraphModel:
    """The graph of ``function(*args, **kwargs)``, also without gradients and on the meta device;
    ``names`` are of Tensors that it uses besides, and ``profile`` saw the same call.

    If an operator refuses its input, the model has everything up to it, and the operator with its
    message.
    """
    if profile is not None:
        check_profile(profile)
    inputs = named_inputs(function, args, kwargs)
    translator = Translator({**names, **dict(inputs)}, function)
    recorder = _Recorder(statistics)
    error = ""
    outputs: list[tuple[str, Tensor]] = []
    with mode.watching(recorder), listening(function, recorder.entered):
        try:
            outputs = list(named([("output", function(*args, **kwargs))]))
        except TinygradError as problem:
            error = f"{type(problem).__name__}: {problem}"
    for name, tensor in inputs:
        translator.given(name, tensor)
    for replay in recorder.seen:
        replay(translator)
    name_inputs(translator, recorder.given)
    model = _finish(translator, outputs, backward and not error, title, error)
    if profile is not None and not error:
        model = with_measured_time(measure_call(model, profile, translator.silent))
    return _with_values(translator, model, statistics, plan)


def _with_values(
    translator: Translator, model: GraphModel, statistics: bool, plan: Any
) -> GraphModel:
    if statistics:
        model = add_norms(model, translator.tensors, translator.number)
    model = with_values(model)
    return model if plan is None else add_plan(model, plan)


class _Recorder(mode.Recorder):
    """Keeps what ran, for a translator: all tensors stay alive, so their ids stay theirs until the
    model is built."""

    def __init__(self, statistics: bool = False) -> None:
        self._statistics = statistics
        self.seen: list[Callable[[Translator], None]] = []
        self.given: list[Given] = []
        self._failed = False

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
        found = None
        if self._statistics:  # now: a later write may change the array
            floating = [t.array for t in outputs if t.dtype.kind == "f"]
            found = moments(floating or [t.array for t in outputs])
        run = (op, inputs, _states(inputs), outputs, _states(outputs), attrs, place, scope, "")
        self.seen.append(lambda translator: translator.run(*run, statistics=found, silent=silent))

    def failed(
        self, op: Any, inputs: Any, attrs: Any, error: Exception, frame: Any, scope: Any
    ) -> None:
        if self._failed:  # the innermost operator has spoken
            return
        self._failed = True
        place = (frame.f_code, frame.f_lasti)
        message = str(error).splitlines()[0]
        run = (op, inputs, _states(inputs), (), (), attrs, place, scope, message)
        self.seen.append(lambda translator: translator.run(*run))

    def wrote(self, target: Any, source: Any, fresh: bool = True) -> None:
        if isinstance(source, Tensor):
            states = _states((source,))
            self.seen.append(lambda translator: translator.wrote(target, source, states[0], fresh))
            return
        op, inputs, attrs = source
        frame = user_frame(2)
        result = Tensor(target.array)
        self._add(op, inputs, (result,), attrs, frame, mode.state().scope, silent=True)
        self.wrote(target, result)

    def entered(self, call: mode.Scope, name: str, tensor: Tensor) -> None:
        """A module was called with a tensor, under this name."""
        state = state_of(tensor)
        self.seen.append(
            lambda translator: self.given.append(
                Given(call, name, tensor, state, translator.find(tensor, *state))
            )
        )


def _states(inputs: Iterable[Any]) -> tuple[Any, ...]:
    """Where the inputs stand in the graph now."""
    return tuple(state_of(t) if isinstance(t, Tensor) else None for t in inputs)


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
    notes = (FREED_NOTE,) if translator.freed else ()
    return with_flops(translator.builder.finish(title, error, notes))
