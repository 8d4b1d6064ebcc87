"""Learning-rate schedules: call `step()` after each epoch or batch, after the optimiser's own.

A schedule sets the rates from the number of steps alone, so two of them on one optimiser do not
combine: the last one wins.
"""

from __future__ import annotations

from math import cos, pi
from typing import Any

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.optim.optimizer import Group, Optimizer

__all__ = ["CosineAnnealingLR", "LRScheduler", "OneCycleLR", "StepLR"]


class LRScheduler:
    """Base of all schedules; a subclass gives the rate after `last_epoch` steps."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                self._name, f"the optimizer is of type {type(optimizer).__name__}, not an Optimizer"
            )
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def step(self) -> None:
        """One epoch (or batch) is done: set the rates of the next one."""
        self.last_epoch += 1
        for number, group in enumerate(self.optimizer.param_groups):
            self._set(group, number)

    def _set(self, group: Group, number: int) -> None:
        group["lr"] = self._rate(self.base_lrs[number])

    def _rate(self, base: float) -> float:
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates in force, one per parameter group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.__dict__.update(state_dict)

    @property
    def _name(self) -> str:
        return type(self).__name__


class StepLR(LRScheduler):
    """lr = base * gamma^(epoch // step_size).

    >>> import tinygrad_cv as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(4):
    ...     optimizer.step(); schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
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
    """Half a cosine from the base rate to `eta_min` (Loshchilov and Hutter, ICLR 2017).

    lr = eta_min + (base - eta_min) * (1 + cos(pi * epoch / T_max)) / 2
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
    """Warm up to `max_lr`, then anneal to almost nothing (Smith and Topin, 2018); step per batch.

    The rate runs from max_lr / div_factor up to max_lr during the first `pct_start` of the steps
    and then down to max_lr / (div_factor * final_div_factor). Momentum (beta1 of Adam) runs the
    other way, between `max_momentum` and `base_momentum`.

    Args:
        optimizer: its rates and momenta are replaced.
        max_lr: the peak.
        total_steps: length of the cycle; or give `epochs` and `steps_per_epoch`.
        pct_start: fraction of the cycle that is warm-up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum is moved at all.
        three_phase: not supported; True raises.

    Raises:
        ArgumentError: no length, a value out of range, or a step past the end of the cycle.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
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
        self.rates = (max_lr / div_factor, max_lr, max_lr / (div_factor * final_div_factor))
        self.momenta = (max_momentum, base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(optimizer, last_epoch)

    def _set(self, group: Group, number: int) -> None:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                "OneCycleLR",
                f"step {self.last_epoch} is past the end of a cycle of {self.total_steps}",
            )
        group["lr"] = self._at(*self.rates)
        if self.momenta is not None:
            if "betas" in group:
                group["betas"] = (self._at(*self.momenta), *group["betas"][1:])
            elif "momentum" in group:
                group["momentum"] = self._at(*self.momenta)

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
