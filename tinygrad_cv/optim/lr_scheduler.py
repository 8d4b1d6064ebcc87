"""Learning-rate schedules: call ``step()`` after each epoch or batch, after the optimiser's own.

A schedule sets the rates from the number of steps alone, so two of them on one optimiser do not
combine: the last one wins.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import cos, pi
from numbers import Real
from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.optim.optimizer import Group, Optimizer

__all__ = ["CosineAnnealingLR", "LRScheduler", "OneCycleLR", "StepLR"]


class LRScheduler:
    """Base of all schedules; a subclass gives the rate after ``last_epoch`` steps.

    ``base_lrs`` are the rates of the groups at the start, kept in each group as ``"initial_lr"``.
    Making a schedule sets the first rate.

    Args:
        optimizer: its groups' ``"lr"`` are written.
        last_epoch: number of the last step that was done, -1 for none.

    A group that joins the optimiser later starts from the rate it has then and follows the schedule
    from there on.

    Raises:
        ArgumentError: ``optimizer`` is no Optimizer, or ``last_epoch`` is not -1 and a group does
            not say from which rate the schedule began.

    A subclass writes ``_rate(base)``; here a linear warm-up over four steps:

    >>> import tinygrad_cv as tg
    >>> class WarmUp(LRScheduler):
    ...     def _rate(self, base):
    ...         return base * min(1.0, (self.last_epoch + 1) / 4)
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=0.8)
    >>> schedule = WarmUp(optimizer)
    >>> for _ in range(5):
    ...     print(round(optimizer.param_groups[0]["lr"], 2), end=" ")
    ...     optimizer.step(); schedule.step()
    0.2 0.4 0.6 0.8 0.8
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                self._name, f"the optimizer is of type {type(optimizer).__name__}, not an Optimizer"
            )
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:  # its "lr" has been through the schedule already
                raise ArgumentError(
                    self._name,
                    f"last_epoch is {last_epoch}, but param_groups[{number}] has no 'initial_lr', "
                    "the rate from which the schedule began",
                    repair="Load the optimizer's state_dict() first, or leave last_epoch at -1.",
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def step(self) -> None:
        """One epoch (or batch) is done: set the rates of the next one.

        Warns, as PyTorch does, if the optimiser has not made its first step: the first rate is then
        skipped.

        >>> import tinygrad_cv as tg
        >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
        >>> schedule = StepLR(optimizer, step_size=1, gamma=0.1)
        >>> optimizer.step(); schedule.step()  # first the optimiser, which uses the old rate
        >>> schedule.last_epoch, optimizer.param_groups[0]["lr"]
        (1, 0.1)
        """
        if self.last_epoch == 0 and _is_unused(self.optimizer):
            warnings.warn(
                f"{self._name}: step() before the optimizer's first step() skips the first rate\n"
                "  Call optimizer.step() first, then the schedule's step().",
                stacklevel=2,
            )
        groups = self.optimizer.param_groups
        for group in groups[len(self.base_lrs) :]:
            self._join(group)
        self.last_epoch += 1
        for number, group in enumerate(groups):
            self._set(group, number)

    def _join(self, group: Group) -> None:
        """Take in a group that is new since the last step: the base whose rate now is its own."""
        if "initial_lr" not in group:
            # A rate is low + factor * base. Where the factor is 0 no base gives the group's own.
            low = self._rate(0.0)
            factor = self._rate(1.0) - low
            group["initial_lr"] = (group["lr"] - low) / factor if factor else group["lr"]
        self.base_lrs = [*self.base_lrs, group["initial_lr"]]  # a saved state keeps the old list

    def _set(self, group: Group, number: int) -> None:
        group["lr"] = self._rate(self.base_lrs[number])

    def _rate(self, base: float) -> float:
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates in force, one per parameter group.

        >>> import tinygrad_cv as tg
        >>> a, b = tg.ones(1, requires_grad=True), tg.ones(1, requires_grad=True)
        >>> optimizer = tg.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.01}], lr=1.0)
        >>> StepLR(optimizer, step_size=10).get_last_lr()
        [1.0, 0.01]
        """
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, which has a state of its own.

        >>> import tinygrad_cv as tg
        >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
        >>> StepLR(optimizer, step_size=10).state_dict()
        {'step_size': 10, 'gamma': 0.1, 'last_epoch': 0, 'base_lrs': [1.0]}
        """
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. The rates in force come with the optimiser's own
        state.

        >>> import tinygrad_cv as tg
        >>> def fresh():
        ...     optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
        ...     return optimizer, StepLR(optimizer, step_size=2, gamma=0.5)
        >>> optimizer, schedule = fresh()
        >>> optimizer.step(); schedule.step()
        >>> resumed_optimizer, resumed = fresh()
        >>> resumed_optimizer.load_state_dict(optimizer.state_dict())
        >>> resumed.load_state_dict(schedule.state_dict())
        >>> resumed.step()  # the second step, which halves the rate
        >>> resumed.get_last_lr()
        [0.5]
        """
        if not isinstance(state_dict, Mapping):
            raise DTypeError(
                f"{self._name}.load_state_dict",
                f"a mapping is expected, not {type(state_dict).__name__}",
                repair="Give what the state_dict() of a schedule returned.",
            )
        self.__dict__.update(state_dict)

    @property
    def _name(self) -> str:
        return type(self).__name__


class StepLR(LRScheduler):
    """lr = base * gamma^floor(epoch / step_size): a staircase.

    Args:
        optimizer: its groups' ``"lr"`` are written.
        step_size: epochs on one stair.
        gamma: the factor from one stair to the next.
        last_epoch: number of the last step that was done, -1 for none.

    Raises:
        ArgumentError: ``step_size`` is below 1.

    >>> import tinygrad_cv as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(5):
    ...     print(*schedule.get_last_lr(), end=" ")
    ...     optimizer.step(); schedule.step()
    1.0 1.0 0.5 0.5 0.25
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ArgumentError("StepLR", f"step_size must be at least 1; it is {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float) -> float:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate to ``eta_min`` (Loshchilov and Hutter, "SGDR", ICLR 2017,
    without its restarts)::

        lr = eta_min + (base - eta_min) * (1 + cos(pi * epoch / T_max)) / 2

    After ``T_max`` epochs the rate goes up again the way it came.

    Args:
        optimizer: its groups' ``"lr"`` are written.
        T_max: epochs from the base rate to ``eta_min``.
        eta_min: the lowest rate.
        last_epoch: number of the last step that was done, -1 for none.

    Raises:
        ArgumentError: ``T_max`` is below 1.

    >>> import tinygrad_cv as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=4)
    >>> for epoch in range(5):
    ...     print(f"{schedule.get_last_lr()[0]:.3f}", end=" ")
    ...     optimizer.step(); schedule.step()
    1.000 0.854 0.500 0.146 0.000
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max < 1:
            raise ArgumentError("CosineAnnealingLR", f"T_max must be at least 1; it is {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float) -> float:
        wave = (1 + cos(pi * self.last_epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class OneCycleLR(LRScheduler):
    """Warm up to ``max_lr``, then anneal to almost nothing (Smith and Topin, 2018); step per batch.

    The rate runs from max_lr / div_factor up to max_lr during the first ``pct_start`` of the steps
    and then down to max_lr / (div_factor * final_div_factor). Momentum (beta1 of Adam) runs the
    other way, between ``max_momentum`` and ``base_momentum``.

    Args:
        optimizer: its rates and momenta are replaced.
        max_lr: the peak; a list gives one for each parameter group.
        total_steps: length of the cycle; or give ``epochs`` and ``steps_per_epoch``.
        pct_start: fraction of the cycle that is warm-up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum is moved at all.
        base_momentum, max_momentum: at the peak of the rate, and at both ends; or lists.
        div_factor, final_div_factor: max_lr over the first rate, and the first over the last.
        three_phase: not supported; True raises.
        last_epoch: number of the last step that was done, -1 for none.

    Raises:
        ArgumentError: no length, a value out of range, a list that does not have one entry for each
            group, a step past the end of the cycle, or one after a group has joined while the
            groups have different cycles.

    >>> import tinygrad_cv as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10, anneal_strategy="linear")
    >>> rates, momenta = [], []
    >>> for batch in range(10):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 2))
    ...     momenta.append(round(optimizer.param_groups[0]["momentum"], 2))
    ...     optimizer.step(); schedule.step()
    >>> rates
    [0.04, 0.52, 1.0, 0.86, 0.71, 0.57, 0.43, 0.29, 0.14, 0.0]
    >>> momenta
    [0.95, 0.9, 0.85, 0.86, 0.88, 0.89, 0.91, 0.92, 0.94, 0.95]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if three_phase:
            raise ArgumentError("OneCycleLR", "three_phase=True is not supported")
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if total_steps is None or total_steps < 1:
            raise ArgumentError(
                "OneCycleLR",
                f"the length of the cycle is not known: total_steps is {total_steps}",
                repair="Give total_steps, or epochs and steps_per_epoch, each at least 1.",
            )
        if not 0 <= pct_start <= 1:
            raise ArgumentError("OneCycleLR", f"pct_start must be in [0, 1]; it is {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                "OneCycleLR", f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}"
            )
        self.total_steps = total_steps
        self.peak = pct_start * total_steps - 1
        self.anneal_strategy = anneal_strategy
        peaks = _per_group(optimizer, "max_lr", max_lr)
        ends = _per_group(optimizer, "max_momentum", max_momentum)
        middles = _per_group(optimizer, "base_momentum", base_momentum)
        self.rates = [(p / div_factor, p, p / (div_factor * final_div_factor)) for p in peaks]
        self.momenta = (
            [(end, middle, end) for end, middle in zip(ends, middles, strict=True)]
            if cycle_momentum
            else None
        )
        super().__init__(optimizer, last_epoch)

    def _join(self, group: Group) -> None:
        for cycles in filter(None, (self.rates, self.momenta)):
            if any(cycle != cycles[0] for cycle in cycles):
                raise ArgumentError(
                    "OneCycleLR",
                    f"a group has joined the {len(cycles)} groups of the optimizer, which have "
                    "different cycles; the cycle of the new one is not known",
                    repair="Add all groups before the schedule is made.",
                )
        self.rates = [*self.rates, self.rates[0]]
        if self.momenta is not None:
            self.momenta = [*self.momenta, self.momenta[0]]
        self.base_lrs = [*self.base_lrs, group.setdefault("initial_lr", self.rates[0][0])]

    def _set(self, group: Group, number: int) -> None:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                "OneCycleLR",
                f"step {self.last_epoch} is past the end of a cycle of {self.total_steps}",
                repair="Step once per batch, with total_steps = epochs * len(loader).",
            )
        group["lr"] = self._at(*self.rates[number])
        if self.momenta is not None:
            if "betas" in group:
                group["betas"] = (self._at(*self.momenta[number]), *group["betas"][1:])
            elif "momentum" in group:
                group["momentum"] = self._at(*self.momenta[number])

    def _at(self, start: float, peak: float, end: float) -> float:
        """The value now, on the way from start over peak to end."""
        if self.last_epoch <= self.peak:
            return self._between(start, peak, self.last_epoch / self.peak if self.peak else 1.0)
        past, length = self.last_epoch - self.peak, self.total_steps - 1 - self.peak
        return self._between(peak, end, min(past / length, 1.0) if length > 0 else 1.0)

    def _between(self, start: float, end: float, fraction: float) -> float:
        if self.anneal_strategy == "cos":
            fraction = (1 - cos(pi * fraction)) / 2
        return start + (end - start) * fraction


def _is_unused(optimizer: Optimizer) -> bool:
    """True before the first step; not known of an optimiser with a ``step`` of its own."""
    return type(optimizer).step is Optimizer.step and not optimizer._has_stepped


def _per_group(optimizer: Optimizer, name: str, value: Any) -> list[float]:
    """One number for each group of the optimizer, from a number or a list."""
    groups = getattr(optimizer, "param_groups", [])  # none: the base class refuses it
    values = list(value) if isinstance(value, list | tuple) else [value] * len(groups)
    if len(values) != len(groups):
        raise ArgumentError(
            "OneCycleLR",
            f"{name} has {len(values)} entries, the optimizer has {len(groups)} groups",
            repair="Give one number, or one for each group.",
        )
    for entry in values:
        if not isinstance(entry, Real):
            raise ArgumentError("OneCycleLR", f"{name} must be a number; it is {entry!r}")
    return [float(entry) for entry in values]
