"""A forward and a backward on the meta device, whose arrays are stand-ins that know their size."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.outside import tensors_behind
from tinygrad_cv.autograd.tree import map_leaves, tensors_of
from tinygrad_cv.backend.array import META, is_array, placing
from tinygrad_cv.backend.replay import running_again
from tinygrad_cv.backend.spec import Spec, form_of, spec_of
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.backend.writes import forget
from tinygrad_cv.core import mode
from tinygrad_cv.core.engine import Key, Run
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import BackendError, GraphError, TinygradError, is_internal, site_of

__all__ = ["MemoryStep", "run_on_meta"]


class MemoryStep(NamedTuple):
    """One operator, or the gradient rules of one: what is alive when it has ended.

    Attributes:
        operator, phase, module: as in a profile.
        output_bytes: new memory of its results.
        saved_bytes: new memory that only its node holds, such as a mask.
        live: bytes of all arrays that are alive, without what was there before.
        flops: operations, as in a profile; 0 where they depend on values.
        saved: of ``live`` what nodes keep for backward.
        gradients: of ``live`` what backward has made.

    >>> MemoryStep("exp", "forward", "", 24, 0, 24, 6).live
    24
    """

    operator: str
    phase: str
    module: str
    output_bytes: int
    saved_bytes: int
    live: int
    flops: int
    saved: int = 0
    gradients: int = 0


class _Memory(Spec):
    """A Spec that is counted while it is alive, or that is a view of one."""

    account: Any = None
    kind: str = ""  # "saved" or "gradients"
    base: Any = None
    view: Any = None  # an array of this form, whose memory nobody touches

    def __del__(self) -> None:
        forget(self)
        if self.account is not None:
            self.account.live -= self.nbytes
            self.account.of[self.kind] -= self.nbytes


class _Account:
    """Bytes that are alive, and ``of`` each kind."""

    def __init__(self) -> None:
        self.live = 0
        self.of = {"": 0, "saved": 0, "gradients": 0}

    def new(self, spec: Spec, kind: str = "") -> _Memory:
        made = _Memory(*spec)
        made.account, made.kind = self, kind
        self.live += made.nbytes
        self.of[kind] += made.nbytes
        return made

    def keep(self, value: Any) -> None:
        """A node keeps this for backward."""
        for item in value if type(value) is tuple else (value,):
            memory = getattr(item, "base", None) or item
            if getattr(memory, "account", None) is self and not memory.kind:
                self.of[""] -= memory.nbytes
                self.of["saved"] += memory.nbytes
                memory.kind = "saved"


def run_on_meta(
    function: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[MemoryStep], int, int]:
    """The steps of a forward and backward, the bytes that were held before, and those of the
    gradients."""
    account = _Account()
    planner = _Planner(account)
    with _on_meta(function, (inputs, kwargs)) as held:
        given = map_leaves(lambda x: _stand_in(x, held), (inputs, kwargs))
        with mode.grad_mode(True), mode.recording(planner), placing(META):
            try:
                result = function(*given[0], **given[1])
            except TinygradError as error:
                raise _explained(error)  # noqa: B904  (the same error)
            roots = _roots(result, account)
            run = _Run(planner)
            del given
            found = run(roots)
        gradients = sum(x.nbytes for x in found.values())
        held_bytes = sum(x.nbytes for x in held.values())
    return planner.steps, held_bytes, gradients


def _explained(error: TinygradError) -> TinygradError:
    """``error`` with the line that it is about, and what plan_memory has to do with it."""
    if isinstance(error, BackendError):
        error.repair = (
            "Give plan_memory the module itself, or a function that refers to it by a variable; a "
            "tensor may be an argument."
        )
        error.notes.append("plan_memory has found no stand-in for the one that has values")
        return error
    if "meta device" in error.problem:
        error.notes.append("plan_memory runs the function without values, on the meta device")
        frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        users = [f for f in frames if not is_internal(f.f_code.co_filename)]
        error.notes += [f"they are asked for at {site_of(f.f_code, f.f_lasti)}" for f in users[-1:]]
    return error


class _Planner(mode.Recorder):
    """Puts stand-ins that are counted where an operator has made Specs."""

    def __init__(self, account: _Account) -> None:
        self.account = account
        self.steps: list[MemoryStep] = []
        self.rules = 0  # how many nodes' rules run
        self.flops = 0  # since the last step

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        found = self._counted_inputs(inputs)
        arrays = [t.array if isinstance(t, Tensor) else t for t in inputs]
        with suppress(TinygradError, AttributeError, TypeError):  # it depends on values
            specs = tuple(Spec(*x) if isinstance(x, Spec) else x for x in arrays)
            self.flops += op.count_flops(specs, attrs)
        node = next((t.node for t in outputs if isinstance(t.node, Node)), None)
        views = _views(op, arrays, attrs)
        made = saved = 0
        for k, out in enumerate(outputs):
            view = views[k] if k < len(views) else None
            if not isinstance(out.array, Spec):
                continue  # of tensors that were put on another device
            if view is None:
                out.array = self.account.new(out.array, "gradients" if self.rules else "")
                made += out.array.nbytes
            else:
                out.array = view
        if node is not None and node.op is op and type(node.saved) is tuple:
            before = self.account.live
            node.saved = self._kept(node, found, arrays, outputs)
            saved = self.account.live - before
        elif node is not None and hasattr(
            node.saved, "inputs"
        ):  # of a checkpoint, which keeps them
            for tensor in tensors_of(node.saved.inputs):
                self.account.keep(tensor.array)
        if not self.rules:
            phase = "recompute" if running_again() else "forward"
            self.step(op.name, phase, scope, made, saved)

    def _counted_inputs(self, inputs: Any) -> dict[int, tuple[Any, Any]]:
        """Counts the inputs that no operator made, but a function such as ``zeros``. Gives what was
        there, and what is there now, by the id of what was."""
        found: dict[int, tuple[Any, Any]] = {}
        for tensor in inputs:
            if isinstance(tensor, Tensor):
                before = tensor.array
                if type(before) is Spec:
                    known = found.get(id(before))
                    tensor.array = self.account.new(before) if known is None else known[1]
                found[id(before)] = before, tensor.array
        return found

    def _kept(
        self, node: Node, found: dict[int, tuple[Any, Any]], arrays: list[Any], outputs: Any
    ) -> tuple[Any, ...]:
        """Stand-ins for what the node saves."""
        op, kept = node.op, []
        plain = [Spec(*x) if isinstance(x, Spec) else x for x in arrays]
        aliases = op.aliases(*plain, *node.attrs)
        owners = dict(zip(op.inputs, arrays, strict=False)) if aliases else {}
        kinds = zip(node.plan.names, node.plan.kinds, node.saved, strict=True)
        for name, (kind, place), value in kinds:
            if kind == "input":
                value = self._input(value, found)
            elif kind == "output":
                value = outputs[place].array
            elif kind == "residual" and isinstance(value, Spec):
                owner = aliases.get(name, name)
                if owner not in owners:
                    owners[owner] = self.account.new(value)
                value = owners[owner] if owner == name else _view(owners[owner], value)
            self.account.keep(value)
            kept.append(value)
        return tuple(kept)

    def _input(self, value: Any, found: dict[int, tuple[Any, Any]]) -> Any:
        """The stand-in for an input; a promoted one has memory of its own."""
        if isinstance(value, tuple) and not isinstance(value, Spec):
            return tuple(self._input(item, found) for item in value)
        if not isinstance(value, Spec):
            return value
        return found[id(value)][1] if id(value) in found else self.account.new(value)

    def step(
        self, operator: str, phase: str, scope: mode.Scope | None, made: int, saved: int
    ) -> None:
        module = "" if scope is None else scope.name or scope.kind
        live, flops, self.flops = self.account.live, self.flops, 0
        of = self.account.of
        step = MemoryStep(operator, phase, module, made, saved, live, flops)
        self.steps.append(step._replace(saved=of["saved"], gradients=of["gradients"]))


class _Run(Run):
    """A backward on the meta device: gradients are stand-ins, rules run on Tensors of them."""

    def __init__(self, planner: _Planner) -> None:
        super().__init__(create_graph=False, retain=False, only=None)
        self.planner = planner

    def _rules(self, node: Node, gradient: Any) -> Sequence[Any]:
        kept = node.saved
        if type(kept) is not tuple:
            kept = kept.unpack()
        several = gradient if type(gradient) is tuple else (gradient,)
        several = tuple(None if g is None else self._counted(g) for g in several)
        saved = [
            value if kind == "shape" else _tensors(value)
            for (kind, _), value in zip(node.plan.kinds, kept, strict=True)
        ]
        given = tuple(map(_tensors, several))
        needs = tuple(edge is not None for edge in node.edges)
        before = self.planner.account.live
        self.planner.rules += 1
        try:
            found = node.plan.each(
                given if type(gradient) is tuple else given[0], needs, saved, node.attrs
            )
        finally:
            self.planner.rules -= 1
        results = [self._counted(x.array) if isinstance(x, Tensor) else x for x in found]
        del found, saved, given
        account = self.planner.account
        self.planner.step(node.op.name, "backward", node.scope, account.live - before, 0)
        return results

    def _send(self, node: Node, results: Sequence[Any]) -> None:
        self.planner.rules += 1  # what fits a gradient to its input is no step
        super()._send(node, [x if x is None else Tensor(x) for x in results])
        self.planner.rules -= 1
        self.planner.flops = 0

    def _add(self, key: Key, gradient: Any) -> None:
        gradient = gradient.array if isinstance(gradient, Tensor) else gradient
        known = self.grads.get(key)
        if known is None:
            self.grads[key] = self._counted(gradient)
        elif key not in self.owned:
            self.grads[key] = self.planner.account.new(known, "gradients")
            self.owned.add(key)

    def _counted(self, spec: Any) -> Any:
        return spec if type(spec) is _Memory else self.planner.account.new(spec, "gradients")


def _views(op: Any, arrays: list[Any], attrs: tuple[Any, ...]) -> list[Any]:
    """For each output of ``op`` a stand-in, if it is a view of the first input; else None. The
    operator tells by running on memory of that form, which it has no reason to touch."""
    first = arrays[0] if arrays else None
    if not op.view or op.variadic or not isinstance(first, Spec):
        return []
    if any(isinstance(x, Spec) for x in arrays[1:]):
        return []
    array = _form(first)
    made = op.forward(np, array, *arrays[1:], *attrs)
    views = []
    for result in made if type(made) is tuple else (made,):
        view = None
        if isinstance(result, np.ndarray) and _root(result) is _root(array):
            view = _Memory(*spec_of(result))
            view.base, view.view = getattr(first, "base", None) or first, result
        views.append(view)
    return views


def _view(memory: Any, spec: Spec) -> _Memory:
    """A stand-in for a view of this memory, which it keeps alive."""
    view = _Memory(*spec)
    view.base = getattr(memory, "base", None) or memory
    return view


def _form(spec: Spec) -> np.ndarray:
    """An array of this form. Its memory is asked for, but never written, so that the system does
    not provide it."""
    known = getattr(spec, "view", None)
    if known is not None:
        return known
    size, _, strides = form_of(spec.shape, spec.dtype.itemsize, spec.layout)
    try:
        memory = np.empty(max(size, 1), np.uint8)
    except MemoryError:
        problem = f"a view of {quantity(size, 'B')} is more than this system has addresses for"
        raise GraphError("plan_memory", problem, values=[("tensor", spec.shape)]) from None
    return np.ndarray(spec.shape, spec.dtype, memory, strides=strides)


def _root(array: Any) -> Any:
    while array.base is not None:
        array = array.base
    return array


def _tensors(value: Any) -> Any:
    if isinstance(value, Spec):
        return Tensor(value)
    return tuple(map(_tensors, value)) if isinstance(value, tuple) else value


def _roots(result: Any, account: _Account) -> list[Any]:
    outputs = [t for t in tensors_of(result) if t.node is not None]
    roots = [(t.node, t.index, account.new(t.array, "gradients")) for t in outputs]
    if not roots:
        raise GraphError(
            "plan_memory",
            "no output requires a gradient, so there is no backward to plan",
            repair="Call requires_grad_() on the inputs or parameters.",
        )
    return roots


def _stand_in(value: Any, held: dict[int, _Memory]) -> Any:
    """One of the arguments, if it is a Tensor or an array one without data."""
    if isinstance(value, Tensor) or is_array(value):
        tensor = as_tensor(value)
        if id(tensor.array) not in held:
            held[id(tensor.array)] = _Memory(*spec_of(tensor.array))
        return Tensor(held[id(tensor.array)], requires_grad=tensor.requires_grad)
    return value


# The stand-ins of one plan must not be taken for the arrays of a model by another thread's plan.
_LOCK = threading.RLock()


@contextmanager
def _on_meta(function: Any, given: Any) -> Iterator[dict[int, _Memory]]:
    """Inside the block parameters, buffers and other tensors that the function refers to have no
    data. Gives the stand-ins of what was there before, which are not counted, by the id of the
    array."""
    with _LOCK:
        yield from _swapped(list(tensors_behind(function, given)))


def _swapped(tensors: list[Tensor]) -> Iterator[dict[int, _Memory]]:
    arrays = [tensor.array for tensor in tensors]
    held = {id(array): _Memory(*spec_of(array)) for array in arrays}
    try:
        for tensor in tensors:
            tensor.array = held[id(tensor.array)]
        yield held
    finally:
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.array = array
