"""The memory of a forward and a backward, known before anything is allocated.

The function really runs, forward and backward, on the meta device: handles die when they would die,
saved values when they would be freed. Only the arrays are stand-ins that know their size.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from tinygrad_cv.autograd.meta_run import MemoryStep, run_on_meta
from tinygrad_cv.autograd.recompute import checkpoint
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["Applied", "MemoryPlan", "MemoryStep", "plan_memory"]


class MemoryPlan:
    """What :func:`plan_memory` found; ``str(plan)`` is a table of the largest steps.

    Attributes:
        steps: a :class:`MemoryStep` for each operator, then for the rules of each node.
        held_bytes: parameters, buffers and inputs, which are there before.
        gradient_bytes: the gradients of the leaves, at the end.
        recompute: paths of the modules that a budget wants under :func:`checkpoint`.

    >>> import tinygrad_cv as tg
    >>> w = tg.ones(256, requires_grad=True)
    >>> plan = plan_memory(lambda x, w: (x * w).exp(), tg.zeros(256), w)
    >>> [(step.operator, step.phase, step.live) for step in plan.steps]
    [('mul', 'forward', 1024), ('exp', 'forward', 2048),
     ('exp', 'backward', 3072), ('mul', 'backward', 4096)]
    """

    def __init__(
        self, steps: list[MemoryStep], held: int, gradients: int, recompute: Sequence[str] = ()
    ) -> None:
        self.steps = steps
        self.recompute = tuple(recompute)
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
    def total_bytes(self) -> int:
        """What is held, and the peak on top of it: what a budget limits.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp().sum(), tg.ones(256, requires_grad=True)).total_bytes
        3080
        """
        return self.held_bytes + self.peak_bytes

    @property
    def flops(self) -> int:
        """Operations of forward and backward, without what is computed again.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp().sum(), tg.ones(256, requires_grad=True)).flops
        768
        """
        return sum(step.flops for step in self.steps if step.phase != "recompute")

    @property
    def recompute_flops(self) -> int:
        """Operations that are computed again: the price of :attr:`recompute`.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp(), tg.ones(256, requires_grad=True)).recompute_flops
        0
        """
        return sum(step.flops for step in self.steps if step.phase == "recompute")

    def apply(self, model: Any) -> Applied:
        """Put the modules of :attr:`recompute` under :func:`checkpoint`, until the handle that is
        returned is removed, or its ``with`` block ends.

        Raises:
            ArgumentError: the model has no such module.

        >>> import tinygrad_cv as tg
        >>> block = lambda: tg.nn.Sequential(tg.nn.Linear(4, 64), tg.nn.ReLU(), tg.nn.Linear(64, 4))
        >>> net, x = tg.nn.Sequential(block(), block(), block()), tg.zeros(128, 4)
        >>> plan_memory(net, x).total_bytes
        182080
        >>> plan = plan_memory(net, x, budget="120kB")
        >>> plan.recompute, plan.total_bytes <= 120_000
        (('0', '1'), True)
        >>> with plan.apply(net):
        ...     net(x).sum().backward()
        """
        return Applied(model, self.recompute)

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
        if self.recompute:
            share = 100 * self.recompute_flops / max(self.flops, 1)
            lines.append(
                f"computed again: {', '.join(self.recompute)}; {self.recompute_flops:,} FLOPs, "
                f"{share:.1f} % more"
            )
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


def plan_memory(
    function: Any, *inputs: Any, budget: int | str | None = None, **kwargs: Any
) -> MemoryPlan:
    """The bytes that ``function(*inputs, **kwargs)`` and its backward need, without computing it.

    It is run on the meta device, as it is (a module in training mode is planned in training), and
    so is its backward, from all of its floating outputs. Counted are the arrays that are alive when
    an operator, or the gradient rules of a node, has ended: results that are still referred to,
    what nodes save, tensors that the function makes itself (``zeros``, ``randn``), from when they
    are first read, and gradients on their way. A view counts as the memory that it is a view of,
    once. Not counted is what is gone by then: working memory inside operators and rules, and of the
    pool (:mod:`tinygrad_cv.memory`) what it keeps, and what it rounds up. Real arrays differ only
    where memory depends on values: labels with ignored ones among them are copied.

    Args:
        function: a module or a function; parameters and buffers of a module are replaced by
            stand-ins for the time of the call.
        inputs, kwargs: its arguments; a Tensor may lie on the meta device, and stays as it is.
        budget: the most bytes that may be taken in all, a number or a text such as "200MB" or
            "1.5GiB". Then modules are chosen to be computed again, each a call that keeps its
            inputs only: first the one that suffices at the least price, or else saves most, and so
            on. ``plan.apply(model)`` does it.

    Raises:
        DTypeError: ``function`` cannot be called.
        ArgumentError: the budget is no number of bytes, or cannot be kept.
        GraphError: the function needs values, or nothing in it requires a gradient.
        BackendError: a function uses a tensor with values that is no input. What it makes itself,
            it makes on the meta device.

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
    if budget is None:
        return _planned(function, inputs, kwargs, ())
    return _within(_bytes_of(budget), function, inputs, kwargs)


class Applied:
    """Modules under :func:`checkpoint`; ``remove()`` or the end of a ``with`` block takes it off.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 2))
    >>> with Applied(net, ["0"]):
    ...     y = net(tg.ones(1, 2))
    >>> list(y.grad_fn.saved)[0] is None  # the input will be computed again
    True
    """

    def __init__(self, model: Any, paths: Sequence[str]) -> None:
        known = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
        missing = [path for path in paths if path not in known]
        if missing:
            raise ArgumentError(
                "plan_memory",
                f"the model has no module {missing[0]!r}",
                repair="Apply a plan to a model built as the one that was planned.",
            )
        self._before: list[tuple[dict[str, Any], Any]] = []
        for path in paths:
            module = known[path]
            self._before.append((module.__dict__, module.__dict__.get("forward")))
            module.__dict__["forward"] = functools.partial(checkpoint, module.forward)

    def remove(self) -> None:
        """Take it off; a second time does nothing.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(2, 2))
        >>> Applied(net, ["0"]).remove()
        >>> "forward" in vars(net[0])
        False
        """
        while self._before:
            place, forward = self._before.pop()
            place.pop("forward")
            if forward is not None:
                place["forward"] = forward

    def __enter__(self) -> Applied:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _planned(function: Any, inputs: Any, kwargs: Any, paths: Sequence[str]) -> MemoryPlan:
    with Applied(function, paths):
        return MemoryPlan(*run_on_meta(function, inputs, kwargs), paths)


def _within(budget: int, function: Any, inputs: Any, kwargs: Any) -> MemoryPlan:
    """Modules are added to the plan one by one, and those left out again that it can do without."""
    walk = getattr(function, "named_modules", None)
    paths = [path for path, _ in walk() if path] if callable(walk) else []
    best = _planned(function, inputs, kwargs, ())
    while best.total_bytes > budget:
        free = [p for p in paths if not any(_related(p, chosen) for chosen in best.recompute)]
        plans = [_planned(function, inputs, kwargs, (*best.recompute, p)) for p in free]
        found = min(plans, key=lambda p: _price(p, budget), default=best)
        if found.total_bytes >= best.total_bytes:
            raise ArgumentError(
                "plan_memory",
                f"a budget of {budget:,} B cannot be kept",
                values=[("the least that was found", f"{best.total_bytes:,} B")],
                repair="Use a smaller batch, or give the network modules around several layers: "
                "each can be computed again from its inputs.",
            )
        best = found
    for path in best.recompute[:-1]:
        fewer = _planned(function, inputs, kwargs, [p for p in best.recompute if p != path])
        best = fewer if fewer.total_bytes <= budget else best
    return best


def _price(plan: MemoryPlan, budget: int) -> tuple[int, int]:
    """What to choose by: the price among those that suffice, else the bytes."""
    return max(plan.total_bytes, budget), plan.recompute_flops


def _related(path: str, other: str) -> bool:
    """One module lies in the other, or is it."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
UNITS |= {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}


def _bytes_of(budget: int | str) -> int:
    if type(budget) is int and budget > 0:
        return budget
    found = re.fullmatch(r"(\d+\.?\d*)\s*([kmgt]i?|)b?", str(budget).strip().lower())
    if type(budget) is not str or found is None:
        raise ArgumentError(
            "plan_memory",
            f"a budget is a positive number of bytes, or a text such as '200MB', not {budget!r}",
        )
    return int(float(found[1]) * UNITS[found[2]])
