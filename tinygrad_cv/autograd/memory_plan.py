"""The memory of a forward and a backward, known before anything is allocated.

The function really runs, forward and backward, on the meta device: handles die when they would die,
saved values when they would be freed. Only the arrays are stand-ins that know their size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tinygrad_cv.autograd.memory_budget import Applied, cheapest
from tinygrad_cv.autograd.memory_picture import timeline
from tinygrad_cv.autograd.meta_run import MemoryStep, run_on_meta
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["MemoryPlan", "MemoryStep", "plan_memory"]


class MemoryPlan:
    """What :func:`plan_memory` found; ``str(plan)`` is a table of the largest steps.

    Attributes:
        steps: a :class:`MemoryStep` for each operator, then for the rules of each node.
        held_bytes: parameters, buffers and inputs, which are there before.
        gradient_bytes: the gradients of the leaves, at the end.
        recompute: what a budget wants under :func:`checkpoint`: paths of modules, and runs of
            layers of a Sequential, such as "features[3:7]".

    >>> import tinygrad_cv as tg
    >>> w = tg.ones(256, requires_grad=True)
    >>> plan = plan_memory(lambda x, w: (x * w).exp(), tg.zeros(256), w)
    >>> [(step.operator, step.phase, step.live) for step in plan.steps]
    [('mul', 'forward', 1024), ('exp', 'forward', 2048),
     ('exp', 'backward', 3072), ('mul', 'backward', 4096)]
    """

    def __init__(
        self,
        steps: list[MemoryStep],
        held: int,
        gradients: int,
        recompute: Sequence[str] = (),
        times: dict[Kind, float] | None = None,
    ) -> None:
        self.steps = steps
        self.recompute = tuple(recompute)
        self._times = times
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

    @property
    def recompute_time(self) -> float | None:
        """Seconds that it takes to compute again: what the profile measured for the same operators,
        each the mean of its runs in a forward, without the little that a checkpoint does around
        them. None without a profile, since a plan runs nothing.

        Raises:
            ArgumentError: the profile saw no run of an operator in this module, of this size.

        >>> import tinygrad_cv as tg
        >>> block = lambda: tg.nn.Sequential(tg.nn.Linear(4, 64), tg.nn.ReLU(), tg.nn.Linear(64, 4))
        >>> net, x = tg.nn.Sequential(block(), block(), block()), tg.zeros(128, 4)
        >>> with tg.profile() as p:
        ...     net(x).sum().backward()
        >>> plan = plan_memory(net, x, budget="120kB", profile=p)
        >>> 0 < plan.recompute_time < p.time
        True
        """
        if self._times is None:
            return None
        total = 0.0
        for step in self.steps:
            if step.phase == "recompute":
                if _kind(step) not in self._times:
                    place = f" in {step.module}" if step.module else ""
                    raise ArgumentError(
                        "plan_memory",
                        f"the profile saw no forward run of {step.operator}{place} that makes "
                        f"{step.output_bytes:,} B",
                        repair="Profile the same model, with inputs of the same shapes.",
                    )
                total += self._times[_kind(step)]
        return total

    @property
    def recompute_price(self) -> float:
        """What a budget keeps small: :attr:`recompute_time`, or without a profile
        :attr:`recompute_flops`.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp(), tg.ones(256, requires_grad=True)).recompute_price
        0
        """
        time = self.recompute_time
        return self.recompute_flops if time is None else time

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
            seconds = self.recompute_time
            time = "" if seconds is None else f", {quantity(seconds, 's')} by the profile"
            lines.append(
                f"computed again: {', '.join(self.recompute)}; {self.recompute_flops:,} FLOPs, "
                f"{share:.1f} % more{time}"
            )
        for k, step in rows:
            place = f" in {step.module}" if step.module else ""
            lines.append(f"step {k}: {step.live:,} B after {step.operator} {step.phase}{place}")
        return "\n".join(lines)

    def to_svg(self, width: int = 800, height: int = 320) -> str:
        """The live bytes after every step as the text of an SVG picture, in light and dark: what is
        saved for backward, gradients, and the rest, forward and backward; the peak is marked and
        named. A pointer over a step shows its name.

        Raises:
            ArgumentError: less than 480 x 200, or no integers.

        >>> import tinygrad_cv as tg
        >>> plan_memory(lambda x: x.exp().sum(), tg.ones(256, requires_grad=True)).to_svg()[:4]
        '<svg'
        """
        return timeline(self, width, height)


Kind = tuple[str, str, int, int]


def _kind(run: Any) -> Kind:
    """By what the runs of a profile and the steps of a plan are the same."""
    return run.operator, run.module, run.flops or 0, run.output_bytes


def _measured(profile: Any) -> dict[Kind, float]:
    """The mean time of each kind of forward run."""
    if not hasattr(profile, "events"):
        kind = type(profile).__name__
        raise DTypeError("plan_memory", f"profile= takes what tg.profile() recorded, not {kind}")
    found: dict[Kind, list[float]] = {}
    for event in profile.events:
        if event.phase == "forward":
            found.setdefault(_kind(event), []).append(event.time)
    return {kind: sum(times) / len(times) for kind, times in found.items()}


def plan_memory(
    function: Any,
    *inputs: Any,
    budget: int | str | None = None,
    profile: Any = None,
    **kwargs: Any,
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
            "1.5GiB". Then modules, and runs of layers of a Sequential, are chosen to be computed
            again, each a call that keeps its inputs only, so that the price is small: first
            greedily, then by exchanges. On small models the price is that of the best choice in
            most cases (it is compared in the tests); it is not proved to be. ``plan.apply(model)``
            does it.
        profile: a :func:`tinygrad_cv.profile` of the model as it is, with inputs of these shapes.
            The price is then the time that the profile measured for the operators that are
            computed again, and ``plan.recompute_time`` says it; without, the price is FLOPs.

    Raises:
        DTypeError: ``function`` cannot be called.
        ArgumentError: the budget is no number of bytes, or cannot be kept (the message says what
            the least is), or the profile is of another model.
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
    times = None if profile is None else _measured(profile)

    def planned(paths: Sequence[str]) -> MemoryPlan:
        with Applied(function, paths):
            return MemoryPlan(*run_on_meta(function, inputs, kwargs), paths, times)

    return planned(()) if budget is None else cheapest(function, _bytes_of(budget), planned)


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
