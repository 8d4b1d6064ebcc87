"""plan_memory with a budget: what is computed again, at which price, and that it then holds."""

from __future__ import annotations

import pickle

import pytest

import tinygrad_cv as tg
from tests.autograd.memory_measure import measured
from tinygrad_cv import nn
from tinygrad_cv.autograd import plan_memory
from tinygrad_cv.autograd.memory_plan import _bytes_of, _planned


def network(blocks=4):
    tg.manual_seed(0)

    def block(width):
        return nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Dropout(0.5),
            nn.Linear(width, 4),
        )  # fmt: skip

    return nn.Sequential(*(block(32 + 8 * k) for k in range(blocks)))


def test_a_budget_is_kept_by_real_arrays(monkeypatch):
    x = tg.rand(64, 4)
    plain = plan_memory(network(), x)
    assert plain.recompute == ()
    plan = plan_memory(network(), x, budget=int(0.75 * plain.total_bytes))
    assert plan.recompute
    assert plan.total_bytes <= 0.75 * plain.total_bytes
    assert plan.gradient_bytes == plain.gradient_bytes
    assert plan.flops == plain.flops
    net, other = network(), network()
    tg.manual_seed(1)
    with plan.apply(net):
        real = measured(monkeypatch, net, x)
    assert [(step.operator, step.live) for step in plan.steps] == real
    tg.manual_seed(1)
    measured(monkeypatch, other, x)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert a.grad.numpy().tobytes() == b.grad.numpy().tobytes()
    assert not any("forward" in vars(module) for module in net.modules())


def test_the_price():
    net, x = network(), tg.rand(64, 4)
    plan = plan_memory(net, x, budget=int(0.8 * plan_memory(net, x).total_bytes))
    with plan.apply(net), tg.profile() as p:
        net(x).sum().backward()
    again = sum(e.flops for e in p.events if e.phase == "recompute")
    assert plan.recompute_flops == again > 0
    share = f"{100 * plan.recompute_flops / plan.flops:.1f} % more"
    assert f"computed again: {', '.join(plan.recompute)}; {again:,} FLOPs, {share}" in str(plan)
    ample = plan_memory(net, x, budget="1GB")
    assert (ample.recompute, ample.recompute_flops) == ((), 0)


def test_the_cheapest_that_suffices():
    """Only one block is wide enough to matter, and one alone is enough."""
    net, x = network(3), tg.rand(64, 4)
    plain = plan_memory(net, x).total_bytes
    plan = plan_memory(net, x, budget=plain - 1)
    assert len(plan.recompute) == 1
    prices = {}
    for path, _ in net.named_modules():
        if path:
            one = _planned(net, (x,), {}, [path])
            if one.total_bytes < plain:
                prices[path] = one.recompute_flops
    assert plan.recompute_flops == min(prices.values())


@pytest.mark.parametrize(
    ("text", "size"),
    [(7, 7), ("200MB", 200 * 10**6), ("1.5 GiB", 3 << 29), ("12kB", 12000), ("5", 5), ("2B", 2)],
)
def test_sizes(text, size):
    assert _bytes_of(text) == size


@pytest.mark.parametrize("wrong", [0, -5, 2.5, True, "much", "-3MB", "200 MX", ""])
def test_sizes_that_are_none(wrong):
    with pytest.raises(tg.ArgumentError, match="a budget is a positive number of bytes, or a text"):
        plan_memory(network(), tg.rand(8, 4), budget=wrong)


def test_a_budget_that_cannot_be_kept():
    net = network()
    with pytest.raises(tg.ArgumentError) as caught:
        plan_memory(net, tg.rand(64, 4), budget="1kB")
    assert "a budget of 1,000 B cannot be kept" in str(caught.value)
    assert "the least that was found" in str(caught.value)
    assert not any("forward" in vars(module) for module in net.modules())
    with pytest.raises(tg.ArgumentError, match="cannot be kept"):
        plan_memory(tg.exp, tg.ones(300, requires_grad=True), budget="1kB")


def test_another_model():
    plan = plan_memory(network(), tg.rand(64, 4), budget="100kB")
    with pytest.raises(tg.ArgumentError, match=f"the model has no module '{plan.recompute[0]}'"):
        plan.apply(nn.Linear(4, 4))


def test_it_comes_off_and_can_be_kept():
    net = network()
    plan = plan_memory(net, tg.rand(64, 4), budget="100kB")
    handle = plan.apply(net)
    copy = pickle.loads(pickle.dumps(net))
    copy(tg.rand(8, 4)).sum().backward()
    handle.remove()
    handle.remove()
    assert "forward" not in vars(net[int(plan.recompute[0][0])])
