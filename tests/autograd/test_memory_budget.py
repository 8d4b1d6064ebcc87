"""plan_memory with a budget: what is computed again, at which price, and that it then holds."""

from __future__ import annotations

import pickle
import threading

import pytest

import tinygrad_cv as tg
from tests.autograd.memory_measure import measured
from tests.autograd.memory_networks import UNet, double_conv, vgg
from tinygrad_cv import nn
from tinygrad_cv.autograd import plan_memory
from tinygrad_cv.autograd.memory_budget import Applied, _candidates
from tinygrad_cv.autograd.memory_plan import MemoryPlan, _bytes_of
from tinygrad_cv.autograd.meta_run import run_on_meta
from tinygrad_cv.backend.units import quantity


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


def all_choices(net, x):
    """(bytes, price) of every set of candidates that do not overlap."""
    candidates, found = list(_candidates(net)), []

    def go(k, chosen, used):
        if k == len(candidates):
            with Applied(net, chosen):
                plan = MemoryPlan(*run_on_meta(net, (x,), {}), chosen)
            found.append((plan.total_bytes, plan.recompute_flops))
            return
        path, inside = candidates[k]
        go(k + 1, chosen, used)
        if not inside & used:
            go(k + 1, [*chosen, path], used | inside)

    go(0, [], frozenset())
    return found


def flat():
    convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in ((2, 8), (8, 8), (8, 4))]
    a, b, c = convolutions
    return nn.Sequential(a, nn.ReLU(), b, nn.Tanh(), c, nn.ReLU()), (4, 2, 8, 8)


def nested():
    def block(width):
        return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 4))

    return nn.Sequential(block(8), block(32), nn.Dropout(0.5)), (64, 4)


@pytest.mark.parametrize("build", [flat, nested])
def test_as_cheap_as_the_best_of_all_choices(build):
    net, shape = build()
    x = tg.rand(*shape)
    choices = all_choices(net, x)
    least, most = min(total for total, _ in choices), plan_memory(net, x).total_bytes
    assert least < most
    assert len(choices) > 200
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
        budget = int(least + share * (most - least))
        best = min(price for total, price in choices if total <= budget)
        assert plan_memory(net, x, budget=budget).recompute_flops == best
    with pytest.raises(tg.ArgumentError, match=f"that was found +{least:,} B\n"):
        plan_memory(net, x, budget=least - 1)


def test_runs_of_a_flat_network(monkeypatch):
    """VGG has no modules around several layers; its ReLUs, which write into their input, cannot be
    the first of a run."""

    def build():
        tg.manual_seed(0)
        return nn.Sequential(*list(vgg(blocks=(2, 2)))[:-1], nn.Linear(8 * 16, 5))

    net, other, x = build(), build(), tg.rand(8, 3, 16, 16)
    plan = plan_memory(net, x, budget=int(0.85 * plan_memory(net, x).total_bytes))
    assert any(path.endswith("]") for path in plan.recompute)
    tg.manual_seed(1)
    with plan.apply(net):
        real = measured(monkeypatch, net, x)
        copy = pickle.loads(pickle.dumps(net))
        copy(x).sum().backward()
    assert [(step.operator, step.live) for step in plan.steps] == real
    tg.manual_seed(1)
    measured(monkeypatch, other, x)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert a.grad.numpy().tobytes() == b.grad.numpy().tobytes()
    assert not any("forward" in vars(module) for module in net.modules())


@pytest.mark.parametrize("build", [lambda: UNet(2, 1), lambda: double_conv(1, 4)])
def test_gradients_and_statistics_stay_the_same(build):
    def trained(budget):
        tg.manual_seed(0)
        net, x = build(), tg.rand(4, 1, 8, 8)
        plan = plan_memory(net, x, budget=budget)
        tg.manual_seed(1)
        with plan.apply(net):
            net(x).square().sum().backward()
        tensors = [p.grad for p in net.parameters()] + list(net.buffers())
        return plan, [t.numpy().tobytes() for t in tensors]

    plain, before = trained("1GB")
    plan, after = trained(int(0.94 * plain.total_bytes))
    assert plan.recompute
    assert before == after


def test_what_writes_into_its_input_is_no_candidate():
    """Of VGG the first ReLU alone would be the cheapest choice."""
    net, x = nn.Sequential(*list(vgg(8))[:-3]), tg.rand(4, 3, 32, 32)
    with (
        pytest.raises(tg.GraphError, match="wrote into a tensor that it reads"),
        Applied(net, ["1"]),
    ):
        plan_memory(net, x)
    plan = plan_memory(net, x, budget=int(0.96 * plan_memory(net, x).total_bytes))
    assert plan.recompute
    with plan.apply(net):
        net(x).sum().backward()


def test_the_price_in_seconds():
    net, x = UNet(2, 1), tg.rand(4, 1, 8, 8)
    with tg.profile() as p:
        for _ in range(2):
            net(x).sum().backward()
    budget = int(0.9 * plan_memory(net, x).total_bytes)
    assert plan_memory(net, x, budget=budget).recompute_time is None
    plan = plan_memory(net, x, budget=budget, profile=p)
    again = [step for step in plan.steps if step.phase == "recompute"]
    assert again
    expected = 0.0
    for step in again:  # each operator has a module of its own
        times = [
            e.time for e in p.events
            if (e.operator, e.module, e.phase) == (step.operator, step.module, "forward")
        ]  # fmt: skip
        expected += sum(times) / len(times)
    assert plan.recompute_time == pytest.approx(expected)
    assert plan.recompute_price == plan.recompute_time
    assert f"{quantity(plan.recompute_time, 's')} by the profile" in str(plan)
    with pytest.raises(tg.ArgumentError, match=r"saw no forward run of .* in .* that makes"):
        plan_memory(net, tg.rand(5, 1, 8, 8), budget=budget, profile=p)
    with pytest.raises(tg.DTypeError, match=r"what tg\.profile\(\) recorded, not str"):
        plan_memory(net, x, profile="fast")


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
    with pytest.raises(tg.ArgumentError, match=r"the model has no module '.*'"):
        plan.apply(nn.Linear(4, 4))


def test_it_comes_off_and_can_be_kept():
    net = network()
    plan = plan_memory(net, tg.rand(64, 4), budget="100kB")
    handle = plan.apply(net)
    assert any("forward" in vars(module) for module in net.modules())
    copy = pickle.loads(pickle.dumps(net))
    copy(tg.rand(8, 4)).sum().backward()
    handle.remove()
    handle.remove()
    assert not any("forward" in vars(module) for module in net.modules())


def test_a_part_that_cannot_be_computed_again_is_left_out():
    class Sized(nn.Module):
        def forward(self, x):
            return {"x": x.relu(), "size": 3}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            parts = [nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 8)) for _ in "ab"]
            self.first = nn.Sequential(*parts)
            self.sized = Sized()

        def forward(self, x):
            return self.sized(self.first(x))["x"]

    net, x = Net(), tg.zeros(512, 8)
    plain = plan_memory(net, x)
    plan = plan_memory(net, x, budget=plain.total_bytes - 1)
    assert plan.total_bytes < plain.total_bytes
    with pytest.raises(tg.ArgumentError, match="Give plan_memory a module, whose forward returns"):
        plan_memory(lambda x: net(x).sum(), x, budget=1000)
    with plan.apply(net), pytest.raises(tg.ArgumentError, match="is computed again already"):
        plan.apply(net)
    assert not any("forward" in vars(module) for module in net.modules())


def test_plans_in_several_threads():
    net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)), tg.zeros(4, 8)
    expected, found = plan_memory(net, x).peak_bytes, []

    def plans():
        found.extend(plan_memory(net, x).peak_bytes for _ in range(20))

    threads = [threading.Thread(target=plans) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80
    assert {parameter.device.type for parameter in net.parameters()} == {"cpu"}
