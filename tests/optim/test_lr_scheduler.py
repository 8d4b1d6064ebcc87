"""Schedules against PyTorch's, step by step."""

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError

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
    first.optimizer.step()
    for _ in range(4):
        first.step()
    second.load_state_dict(first.state_dict())
    first.step()
    second.step()
    assert first.get_last_lr() == second.get_last_lr()


def join(library, name, arguments, before):
    """Rates of two groups, of which the second joins after some steps with a rate of its own."""
    first, second = (library.ones(1, requires_grad=True) for _ in range(2))
    optimizer = library.optim.SGD([first], lr=1.0)
    schedule = getattr(library.optim.lr_scheduler, name)(optimizer, **arguments)
    seen = []
    for step in range(before + 3):
        if step == before:
            optimizer.add_param_group({"params": [second], "lr": 0.5})
        optimizer.step()
        schedule.step()
        seen.append(schedule.get_last_lr())
    return np.array(seen[before:])


@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize(("name", "arguments"), SCHEDULES[:3])
def test_a_group_that_joins_starts_from_its_own_rate(name, arguments, before):
    mine = join(tg, name, arguments, before)
    np.testing.assert_allclose(mine, join(torch, name, arguments, before), rtol=1e-12)


def test_a_group_may_join_where_every_rate_is_the_lowest():
    """PyTorch's own schedule fails there; no first rate gives the group's own one at that step."""
    rates = join(tg, "CosineAnnealingLR", {"T_max": 4, "eta_min": 0.1}, 4)
    np.testing.assert_allclose(rates[:, 1] - 0.1, (rates[:, 0] - 0.1) * 0.4 / 0.9, rtol=1e-12)


def test_a_group_that_joins_leaves_saved_states_alone():
    optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    schedule = tg.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, 10)
    saved = schedule.state_dict()
    lengths = {key: len(value) for key, value in saved.items() if isinstance(value, list)}
    optimizer.add_param_group({"params": tg.ones(1, requires_grad=True)})
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr()[0] == schedule.get_last_lr()[1]
    assert {key: len(saved[key]) for key in lengths} == lengths


def two_groups(library):
    params = [library.ones(1, requires_grad=True) for _ in range(2)]
    return library.optim.SGD([{"params": [p]} for p in params], lr=1.0, momentum=0.9)


def test_one_cycle_takes_a_list_with_an_entry_for_each_group():
    arguments = ([0.1, 0.2], 10)
    options = {"base_momentum": [0.8, 0.7], "max_momentum": [0.9, 0.95]}
    seen = []
    for library in (tg, torch):
        optimizer = two_groups(library)
        schedule = library.optim.lr_scheduler.OneCycleLR(optimizer, *arguments, **options)
        for _ in range(9):
            seen.append([(g["lr"], g["momentum"]) for g in optimizer.param_groups])
            optimizer.step()
            schedule.step()
    np.testing.assert_allclose(seen[:9], seen[9:], rtol=1e-12)


def test_one_cycle_does_not_guess():
    make, optimizer = tg.optim.lr_scheduler.OneCycleLR, two_groups(tg)
    with pytest.raises(ArgumentError, match="max_lr has 1 entries, the optimizer has 2 groups"):
        make(optimizer, [0.1], 10)
    with pytest.raises(ArgumentError, match="max_lr must be a number; it is 'high'"):
        make(optimizer, "high", 10)
    schedule = make(optimizer, [0.1, 0.2], 10)
    optimizer.add_param_group({"params": tg.ones(1, requires_grad=True)})
    rates = schedule.get_last_lr()
    optimizer.step()
    with pytest.raises(ArgumentError, match="joined the 2 groups"):
        schedule.step()
    assert schedule.get_last_lr() == rates
    assert schedule.last_epoch == 0


@pytest.mark.parametrize(("name", "arguments"), SCHEDULES[:4])
def test_going_on_from_last_epoch_needs_the_first_rate(name, arguments):
    make = getattr(tg.optim.lr_scheduler, name)
    trained, fresh = two_groups(tg), two_groups(tg)
    schedule = make(trained, **arguments)
    trained.step()
    for _ in range(4):
        schedule.step()
    with pytest.raises(ArgumentError, match=r"last_epoch is 4, but param_groups\[0\] has no"):
        make(fresh, **arguments, last_epoch=4)
    fresh.load_state_dict(trained.state_dict())  # the repair
    schedule.step()
    assert make(fresh, **arguments, last_epoch=4).get_last_lr() == schedule.get_last_lr()


def test_bad_arguments():
    optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    schedules = tg.optim.lr_scheduler
    with pytest.raises(ArgumentError, match="not an Optimizer"):
        schedules.StepLR(tg.ones(1), 1)
    with pytest.raises(DTypeError, match="a mapping is expected, not list"):
        schedules.StepLR(optimizer, 1).load_state_dict([1])
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
    optimizer.step()
    short.step()
    short.step()
    np.testing.assert_allclose(short.get_last_lr(), [1.0 / (25.0 * 1e4)])
    with pytest.raises(ArgumentError, match="step 3 is past the end of a cycle of 2") as caught:
        short.step()
    assert "total_steps = epochs * len(loader)" in caught.value.repair


def test_a_schedule_before_its_optimizer_warns_once():
    optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    schedule = tg.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"(?s)skips the first rate.*optimizer\.step\(\) first"):
        schedule.step()
    schedule.step()


def test_what_has_stepped_elsewhere_does_not_warn():
    trained, fresh = two_groups(tg), two_groups(tg)
    trained.step()
    fresh.load_state_dict(trained.state_dict())
    tg.optim.lr_scheduler.StepLR(fresh, 1).step()

    class Mine(tg.optim.SGD):
        def step(self):
            return None

    mine = Mine([tg.ones(1, requires_grad=True)], lr=1.0)
    tg.optim.lr_scheduler.StepLR(mine, 1).step()
