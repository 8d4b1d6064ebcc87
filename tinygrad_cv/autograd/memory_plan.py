"""The memory of a forward and a backward, known before anything is allocated.

The function really runs, forward and backward, on the meta device: handles die when they would die,
saved values when they would be freed. Only the arrays are stand-ins that know their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.backend.replay import running_again
from tinygrad_cv.backend.spec import Spec, form_of, spec_of
from tinygrad_cv.core import mode
from tinygrad_cv.core.engine import Key, Run
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, GraphError

__all__ = ["MemoryPlan", "MemoryStep", "plan_memory"]


class _Memory(Spec):
    """A Spec that is counted while it is alive, or that is a view of one."""

    account: Any = None
    base: Any = None
    view: Any = None  # an array of this form, whose memory nobody touches

    def __del__(self) -> None:
        if self.account is not None:
            self.account.live -= self.nbytes


class _Account:
    def __init__(self) -> None:
        self.live = 0

    def new(self, spec: Spec) -> _Memory:
        made = _Memory(*spec)
        made.account = self
        self.live += made.nbytes
        return made


class MemoryStep(NamedTuple):
    """One operator, or the gradient rules of one: what is alive when it has ended.

    Attributes:
        operator, phase, module: as in a profile.
        output_bytes: new memory of its results.
        saved_bytes: new memory that only its node holds, such as a mask.
        live: bytes of all arrays that are alive, without what was there before.

    >>> MemoryStep("exp", "forward", "", 24, 0, 24).live
    24
    """

    operator: str
    phase: str
    module: str
    output_bytes: int
    saved_bytes: int
    live: int


class MemoryPlan:
    """What :func:`plan_memory` found; ``str(plan)`` is a table of the largest steps.

    Attributes:
        steps: a :class:`MemoryStep` for each operator, then for the rules of each node.
        held_bytes: parameters, buffers and inputs, which are there before.
        gradient_bytes: the gradients of the leaves, at the end.

    >>> import tinygrad_cv as tg
    >>> w = tg.ones(256, requires_grad=True)
    >>> plan = plan_memory(lambda x, w: (x * w).exp(), tg.zeros(256), w)
    >>> [(step.operator, step.phase, step.live) for step in plan.steps]
    [('mul', 'forward', 1024), ('exp', 'forward', 2048),
     ('exp', 'backward', 3072), ('mul', 'backward', 4096)]
    """

    def __init__(self, steps: list[MemoryStep], held: int, gradients: int) -> None:
        self.steps = steps
        self.held_bytes = held
        self.gradient_bytes = gradients

    @property
    def peak_bytes(self) -> int:
        """The largest ``live`` of all steps; :attr:`held_bytes` come on top.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp().sum(), tg.ones(256, requires_grad=True)).peak_bytes
        2056
        """
        return max((step.live for step in self.steps), default=0)

    @property
    def peak(self) -> int:
        """The number of the step where it is reached first.

        >>> import tinygrad_cv as tg
        >>> plan = plan_memory(lambda x: x.exp().sum(), tg.ones(256, requires_grad=True))
        >>> plan.steps[plan.peak].operator, plan.steps[plan.peak].phase
        ('exp', 'backward')
        """
        return max(range(len(self.steps)), key=lambda k: self.steps[k].live, default=0)

    def __str__(self) -> str:
        rows = sorted(enumerate(self.steps), key=lambda pair: -pair[1].live)[:10]
        head = (
            f"peak {self.peak_bytes:,} B, with {self.held_bytes:,} B of parameters, buffers and "
            f"inputs beside it; {self.gradient_bytes:,} B of gradients at the end"
        )
        lines = [head]
        for k, step in rows:
            place = f" in {step.module}" if step.module else ""
            lines.append(f"step {k}: {step.live:,} B after {step.operator} {step.phase}{place}")
        return "\n".join(lines)

    def to_svg(self, width: int = 800, height: int = 240) -> str:
        """The live bytes of every step as the text of an SVG picture; the peak is marked. A pointer
        over a step shows its name.

        Raises:
            ArgumentError: no positive width and height.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp().sum(), tg.ones(256, requires_grad=True)).to_svg()[:4]
        '<svg'
        """
        for name, size in (("width", width), ("height", height)):
            if type(size) is not int or size < 1:
                raise ArgumentError("to_svg", f"{name} is a positive integer, not {size!r}")
        top, step_width = 24, width / max(len(self.steps), 1)
        bars = []
        for k, step in enumerate(self.steps):
            tall = (height - top) * step.live / max(self.peak_bytes, 1)
            place = f" in {step.module}" if step.module else ""
            text = escape(f"{k}: {step.operator} {step.phase}{place}, {step.live:,} B")
            colour = "#c0392b" if k == self.peak else COLOURS[step.phase]
            bars.append(
                f'<rect x="{k * step_width:.2f}" y="{height - tall:.2f}" width="{step_width:.2f}" '
                f'height="{tall:.2f}" fill="{colour}"><title>{text}</title></rect>'
            )
        title = escape(f"live bytes, {len(self.steps)} steps; peak {self.peak_bytes:,} B")
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img"><title>{title}</title>'
            f'<text x="4" y="16" font-family="sans-serif" font-size="13">{title}</text>'
            + "".join(bars)
            + "</svg>"
        )


COLOURS = {"forward": "#4c78a8", "backward": "#f2a154", "recompute": "#72b07e"}


def plan_memory(function: Any, *inputs: Any, **kwargs: Any) -> MemoryPlan:
    """The bytes that ``function(*inputs, **kwargs)`` and its backward need, without computing it.

    It is run on the meta device, as it is (a module in training mode is planned in training), and
    so is its backward, from all of its floating outputs. Counted are the arrays that are alive when
    an operator, or the gradient rules of a node, has ended: results that are still referred to,
    what nodes save, and gradients on their way. A view counts as the memory that it is a view of,
    once. Not counted is what is gone by then: working memory inside operators and rules, and of the
    pool (:mod:`tinygrad_cv.memory`) what it keeps, and what it rounds up.

    Args:
        function: a module or a function; parameters and buffers of a module are replaced by
            stand-ins for the time of the call.
        inputs, kwargs: its arguments; a Tensor may lie on the meta device, and stays as it is.

    Raises:
        DTypeError: ``function`` cannot be called.
        GraphError: the function needs values, or nothing in it requires a gradient.
        BackendError: a function uses a tensor with values that is no input.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(100, 50), tg.nn.ReLU())
    >>> plan = plan_memory(net, tg.zeros(8, 100, device="meta"))
    >>> plan.held_bytes == 4 * (8 * 100 + 50 * 100 + 50), plan.gradient_bytes == 4 * 5050
    (True, True)
    >>> [step.live for step in plan.steps]  # 8 x 50 numbers are 1600 bytes
    [1600, 3200, 4800, 25000]
    """
    if not callable(function):
        kind = type(function).__name__
        raise DTypeError("plan_memory", f"a module or a function is needed, not {kind}")
    account = _Account()
    planner = _Planner(account)
    with _on_meta(function) as held:
        given = _mapped((inputs, kwargs), held)
        with mode.grad_mode(True), mode.recording(planner):
            try:
                result = function(*given[0], **given[1])
            except BackendError as error:
                error.notes.append(
                    "plan_memory runs it on the meta device: give it the tensors that it finds "
                    "outside as inputs"
                )
                raise
            roots = _roots(result, account)
            run = _Run(planner)
            del given
            found = run(roots)
        gradients = sum(x.nbytes for x in found.values())
        held_bytes = sum(x.nbytes for x in held.values())
    return MemoryPlan(planner.steps, held_bytes, gradients)


class _Planner(mode.Recorder):
    """Puts stand-ins that are counted where an operator has made Specs."""

    def __init__(self, account: _Account) -> None:
        self.account = account
        self.steps: list[MemoryStep] = []
        self.rules = 0  # how many nodes' rules run

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        arrays = [t.array if isinstance(t, Tensor) else t for t in inputs]
        node = next((t.node for t in outputs if isinstance(t.node, Node)), None)
        views = _views(op, arrays, attrs)
        made = saved = 0
        for k, out in enumerate(outputs):
            view = views[k] if k < len(views) else None
            if view is None:
                out.array = self.account.new(out.array)
                made += out.array.nbytes
            else:
                out.array = view
        if node is not None and node.op is op and type(node.saved) is tuple:
            before = self.account.live
            node.saved = tuple(
                self._kept(kind, place, value, arrays, outputs)
                for (kind, place), value in zip(node.plan.kinds, node.saved, strict=True)
            )
            saved = self.account.live - before
        if not self.rules:
            phase = "recompute" if running_again() else "forward"
            self.step(op.name, phase, scope, made, saved)

    def _kept(self, kind: str, place: int, value: Any, arrays: list[Any], outputs: Any) -> Any:
        if kind == "output":
            return outputs[place].array
        if kind == "shape":
            return value
        if isinstance(value, tuple) and not isinstance(value, Spec):
            return tuple(self._kept(kind, place, item, arrays, outputs) for item in value)
        if not isinstance(value, Spec) or any(value is x for x in arrays):
            return value
        return self.account.new(value)

    def step(
        self, operator: str, phase: str, scope: mode.Scope | None, made: int, saved: int
    ) -> None:
        module = "" if scope is None else scope.name or scope.kind
        self.steps.append(MemoryStep(operator, phase, module, made, saved, self.account.live))


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
        several = tuple(map(self._counted, several))
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

    def _add(self, key: Key, gradient: Any) -> None:
        known = self.grads.get(key)
        if known is None:
            self.grads[key] = self._counted(gradient)
        elif key not in self.owned:
            self.grads[key] = self.planner.account.new(known)
            self.owned.add(key)

    def _counted(self, spec: Any) -> Any:
        return spec if type(spec) is _Memory else self.planner.account.new(spec)


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


def _form(spec: Spec) -> np.ndarray:
    """An array of this form. Its memory is asked for, but never written, so that the system does
    not provide it."""
    known = getattr(spec, "view", None)
    if known is not None:
        return known
    size, _, strides = form_of(spec.shape, spec.dtype.itemsize, spec.layout)
    return np.ndarray(spec.shape, spec.dtype, np.empty(max(size, 1), np.uint8), strides=strides)


def _root(array: Any) -> Any:
    while array.base is not None:
        array = array.base
    return array


def _tensors(value: Any) -> Any:
    if isinstance(value, Spec):
        return Tensor(value)
    return tuple(map(_tensors, value)) if isinstance(value, tuple) else value


def _floats(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        if result.node is not None:
            yield result
    elif isinstance(result, dict):
        yield from _floats(list(result.values()))
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from _floats(item)


def _roots(result: Any, account: _Account) -> list[Any]:
    roots = [(t.node, t.index, account.new(t.array)) for t in _floats(result)]
    if not roots:
        raise GraphError(
            "plan_memory",
            "no output requires a gradient, so there is no backward to plan",
            repair="Call requires_grad_() on the inputs or parameters.",
        )
    return roots


def _mapped(value: Any, held: dict[int, _Memory]) -> Any:
    """The arguments, with stand-ins for Tensors and arrays."""
    if isinstance(value, Tensor) or is_array(value):
        tensor = as_tensor(value)
        if id(tensor.array) not in held:
            held[id(tensor.array)] = _Memory(*spec_of(tensor.array))
        return Tensor(held[id(tensor.array)], requires_grad=tensor.requires_grad)
    if isinstance(value, (tuple, list)):
        items = [_mapped(item, held) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if type(value) is dict:
        return {key: _mapped(item, held) for key, item in value.items()}
    return value


@contextmanager
def _on_meta(function: Any) -> Iterator[dict[int, _Memory]]:
    """Inside the block parameters and buffers have no data. Gives the stand-ins of what was there
    before, which are not counted, by the id of the array."""
    tensors: dict[int, Tensor] = {}
    for name in ("parameters", "buffers"):
        walk = getattr(function, name, None)
        for tensor in walk() if callable(walk) else ():
            tensors[id(tensor)] = tensor
    arrays = [tensor.array for tensor in tensors.values()]
    held = {id(array): _Memory(*spec_of(array)) for array in arrays}
    try:
        for tensor in tensors.values():
            tensor.array = held[id(tensor.array)]
        yield held
    finally:
        for tensor, array in zip(tensors.values(), arrays, strict=True):
            tensor.array = array
