"""What stands behind :class:`tinygrad_cv.autograd.Function`: its run and its operator.

Every way in which a Function is called (which arguments are tensors, how many outputs, what it
saves) gives an operator by the usual contract, made once and kept by the class. So pictures,
profiles, checkpoints, hooks and ``verify`` see an ordinary node. What it saves are arrays, as of
any node: arguments and outputs by their places, the rest as residuals; and one :class:`State` for
what is no array.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_cv.autograd.cuts import Marked
from tinygrad_cv.autograd.function_plan import FunctionPlan
from tinygrad_cv.autograd.function_run import Kind, Run
from tinygrad_cv.backend import kernels, replay
from tinygrad_cv.backend.blame import Place, passed_on
from tinygrad_cv.backend.writes import clock
from tinygrad_cv.core import mode
from tinygrad_cv.core.op import Op, record
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, GraphError, TinygradError, user_frame
from tinygrad_cv.ops.writing import move_on

__all__ = ["run_and_record"]


class Drawn(NamedTuple):
    """What is kept of a call beside its arguments, to run it again and to describe it: the keys of
    its random draws, and the operations that it took, None if nobody counted."""

    keys: tuple[Any, ...]
    flops: int | None

    def __repr__(self) -> str:
        return repr(self.keys)


class FunctionOp(Op, abstract=True):
    """An operator whose forward and backward are those of a Function; one for each :class:`Kind`,
    and not in the registry."""

    shaped = False
    function: Any  # the class
    context: Any  # the class of ctx
    separate: bool  # it has a setup_context
    backward: Any
    kind: Kind
    names: tuple[str, ...]  # of all arguments
    positions: tuple[int | None, ...]
    floats: tuple[int, ...]
    saved_kinds: tuple[tuple[str, int], ...]
    saved_names: tuple[str, ...]

    @classmethod
    def plan(cls, needs: int) -> FunctionPlan:
        found: Any = cls._plans.get(needs)
        if found is None:
            found = cls._plans[needs] = FunctionPlan(cls, needs)
        return found

    @classmethod
    def spread(cls, values: Sequence[Any], other: Any) -> list[Any]:
        """One entry for each argument: of tensors from ``values``, else ``other``, or the next of
        it if it is an iterator."""
        rest = other if hasattr(other, "__next__") else None
        return [
            (other if rest is None else next(rest)) if k is None else values[k]
            for k in cls.positions
        ]

    @classmethod
    def count_flops(cls, specs: tuple[Any, ...], attrs: tuple[Any, ...]) -> int:
        """By the Function's own ``flops``, or as they were counted while it ran.

        Raises:
            TypeError: neither is there; callers take them as unknown.
        """
        if cls.function.flops is not None:
            return int(cls.function.flops(*cls.spread(specs, iter(attrs))))
        return int(attrs[-1].flops)

    @classmethod
    def rerun(cls, xp: Any, *given: Any) -> tuple[Any, ...]:
        """``forward`` on raw arrays once more, with the same random draws."""
        count = len(cls.inputs)
        arrays, others, drawn = given[:count], given[count:-1], given[-1]
        if cls.kind.writes:
            raise GraphError(cls.name, "it writes into its arguments, and so cannot run again")
        args = cls.spread([Tensor(x) for x in arrays], iter(others))
        with replay.taping(replay.Replay(list(drawn.keys))):
            run = Run(cls.function, cls.context, cls.separate, args, cls.kind.needs, False)
        if run.kind(cls.positions) != cls.kind:
            raise GraphError(cls.name, "forward does not do the same when it runs again")
        return run.results


def run_and_record(
    function: Any, context: Any, separate: bool, backward: Any, args: tuple[Any, ...]
) -> Any:
    """``function.apply(*args)``."""
    names = _names(function, separate, len(args))
    tensors: list[Tensor] = []
    others: list[Any] = []
    numbers: list[int | None] = []
    for a in args:
        numbers.append(len(tensors) if isinstance(a, Tensor) else None)
        (tensors if isinstance(a, Tensor) else others).append(a)
    positions = tuple(numbers)
    needs = tuple([isinstance(a, Tensor) and a.node is not None for a in args])
    now, frame, begun = mode.state(), user_frame(3), clock.tick()

    def operator(kind: Kind) -> Any:
        known = function._known.get(kind)
        if known is None:
            known = _operator(function, context, separate, backward, names, kind)
            known = function._known.setdefault(kind, known)  # another thread may have been first
        return known

    if kernels.watchers:
        kernels.begins(function.__name__)
    tape = replay.Recording(replay.tape())
    try:
        with replay.taping(tape):
            run = Run(function, context, separate, args, needs, bool(now.record))
        if now.grad:
            run.check_writes(begun)
    except Exception as error:
        note = f"in the forward of {function.__name__}, which was called at {Place(frame).site}"
        if not isinstance(error, TinygradError):
            error.add_note(note)
            raise
        error.notes.append(note)
        if error.module_path is None and now.scope is not None:
            error.module_path = now.scope.path
        for watcher in now.record:
            op, attrs = operator(Kind(positions, needs)), (*others, Drawn((), None))
            watcher.failed(op, tuple(tensors), attrs, error, frame, now.scope)
        raise
    op = operator(run.kind(positions))
    run.state.place = Place(frame)
    attrs = (*others, Drawn(tuple(tape.keys), run.flops))
    outputs = run.wrapped()
    wanted = any(needs) and bool(run.open)
    if wanted and now.grad:
        bits = sum(1 << k for k, t in enumerate(tensors) if t.node is not None)
        arrays = tuple([t.array for t in tensors])
        record(op, bits, tensors, arrays, run.results, tuple(outputs), attrs, now)
    cut = next((t.cut for t in tensors if t.node is None and t.cut is not None), None)
    for k, out in enumerate(outputs):
        if not any(needs):
            out.cut = None if cut is None else passed_on(cut, now.scope)
        elif k not in run.open and out.dtype.kind == "f":
            out.node, out.index, out.cut = None, 0, Marked(frame, now.scope, op)
        elif wanted and not now.grad:
            out.cut = now.place
    for k, argument in run.written.items():
        if now.grad:
            move_on(argument, outputs[k])
        outputs[k] = argument
    for watcher in now.record:
        watcher.add(op, tuple(tensors), tuple(outputs), attrs, frame, now.scope)
    return run.returned_with(outputs)


def _operator(
    function: Any, context: Any, separate: bool, backward: Any, names: tuple[str, ...], kind: Kind
) -> type[FunctionOp]:
    """The operator behind all calls of this kind."""
    tensors = tuple([n for n, k in zip(names, kind.positions, strict=True) if k is not None])
    others = tuple([n for n, k in zip(names, kind.positions, strict=True) if k is None])
    single = len(kind.outputs) == 1
    results = ("output",) if single else tuple([f"output[{k}]" for k in kind.outputs])
    saved = [
        tensors[k] if which == "input" else results[k] if k < len(results) else label
        for (which, k), label in zip(kind.saved, kind.labels, strict=True)
    ]
    body = {
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "name": function.__name__,
        "equation": function.equation,
        "gradients": function.gradients,
        "inputs": tensors,
        "attributes": (*others, "draw"),
        "defaults": (),
        "outputs": results,
        "rules": {},
        "differentiable": -1,
        "_plans": {},
        "function": function,
        "context": context,
        "separate": separate,
        "backward": None if backward is None else staticmethod(backward),
        "kind": kind,
        "names": names,
        "positions": kind.positions,
        "floats": kind.floats,
        "saved_kinds": kind.saved,
        "saved_names": tuple(saved),
        "fills_zeros": kind.fills,
    }
    made: Any = types.new_class(
        function.__name__, (FunctionOp,), {"abstract": True}, lambda space: space.update(body)
    )
    made.forward = made.rerun
    return made


def _names(function: Any, separate: bool, count: int) -> tuple[str, ...]:
    """What forward calls its arguments."""
    known: tuple[str, ...] | None = function._known.get(count)
    if known is not None:
        return known
    signature = inspect.signature(function.forward)
    own = () if separate else (None,)
    try:
        bound = signature.bind(*own, *range(count))
    except TypeError as misfit:
        ctx = "" if separate else "ctx and "
        raise ArgumentError(
            function.__name__,
            f"forward takes other arguments than {ctx}these {count}: {misfit}",
            law=[f"forward{signature}"],
        ) from None
    found: list[str] = []
    for name, value in bound.arguments.items():
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        found += [f"{name}[{k}]" for k in range(len(value))] if several else [name]
    function._known[count] = names = tuple(found[len(own) :])
    return names
