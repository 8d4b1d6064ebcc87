"""Schedules against PyTorch's, step by step."""

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError

SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 12}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 20}),
    ("OneCycleLR", {"max_lr": 0.3, "epochs": 4, "steps_per_epoch": 5, "pct_start": 0.25}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 20, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 20, "pct_start": 1.0}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 20, "cycle_momentum": False, "div_factor": 5}),
]


def run(library, optimizer_name, options, name, arguments, steps):
    p = library.ones(2, requires_grad=True)
    optimizer = getattr(library.optim, optimizer_name)([p], **options)
    schedule = getattr(library.optim.lr_scheduler, name)(optimizer, **arguments)
    seen = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], *group.get("betas", (group.get("momentum"),))[:1]))
        optimizer.step()
        schedule.step()
    return np.array(seen)


@pytest.mark.parametrize(("name", "arguments"), SCHEDULES)
@pytest.mark.parametrize(
    ("optimizer", "options"), [("SGD", {"lr": 0.2, "momentum": 0.9}), ("AdamW", {"lr": 0.2})]
)
def test_rates_and_momenta_equal_pytorch(name, arguments, optimizer, options):
    mine = run(tg, optimizer, options, name, arguments, 19)
    other = run(torch, optimizer, options, name, arguments, 19)
    np.testing.assert_allclose(mine, other, rtol=1e-12)


def test_a_schedule_goes_on_from_its_state():
    def build():
        optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
        return tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)

    first, second = build(), build()
    for _ in range(4):
        first.step()
    second.load_state_dict(first.state_dict())
    first.step()
    second.step()
    assert first.get_last_lr() == second.get_last_lr()


def test_bad_arguments():
    optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    schedules = tg.optim.lr_scheduler
    with pytest.raises(ArgumentError, match="not an Optimizer"):
        schedules.StepLR(tg.ones(1), 1)
    with pytest.raises(ArgumentError, match="step_size"):
        schedules.StepLR(optimizer, 0)
    with pytest.raises(ArgumentError, match="T_max"):
        schedules.CosineAnnealingLR(optimizer, 0)
    with pytest.raises(ArgumentError, match="Give total_steps, or epochs"):
        schedules.OneCycleLR(optimizer, 1.0)
    with pytest.raises(ArgumentError, match="pct_start"):
        schedules.OneCycleLR(optimizer, 1.0, 10, pct_start=2)
    with pytest.raises(ArgumentError, match="anneal_strategy"):
        schedules.OneCycleLR(optimizer, 1.0, 10, anneal_strategy="exp")
    short = schedules.OneCycleLR(optimizer, 1.0, 2)
    short.step()
    short.step()
    np.testing.assert_allclose(short.get_last_lr(), [1.0 / (25.0 * 1e4)])
    with pytest.raises(ArgumentError, match="step 3 is past the end of a cycle of 2"):
        short.step()
