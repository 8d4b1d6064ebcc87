"""Forward and backward in several threads at once, on shared parameters and shared graphs."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import accumulate, checkpoint, detect_anomaly, retain_all, verify
from tinygrad_cv.autograd.graph import saved_tensors_hooks
from tinygrad_cv.backend import kernels, writes
from tinygrad_cv.nn import functional as F


@pytest.fixture(autouse=True)
def often_switched() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], Any]) -> list[Any]:
    """Runs all at the same time, each in a thread; what they return. Fails if one raises or
    hangs."""
    results: list[Any] = [None] * len(works)
    problems: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def run(k: int) -> None:
        try:
            barrier.wait(20)
            results[k] = works[k]()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if problems:
        raise problems[0]
    return results


class Net(nn.Module):
    """conv - batch norm - pool - dropout - linear, in float64."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.MaxPool2d(2))
        self.fc = nn.Linear(12, 2)
        self.dropout = dropout
        self.double()

    def forward(self, x: Any, generator: Any = None) -> Any:
        x = self.features(x).tanh().flatten(1)
        return self.fc(F.dropout(x, self.dropout, generator=generator))


def network(dropout: float = 0.0) -> Net:
    tg.manual_seed(3)
    return Net(dropout)


def images(k: int) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(k).standard_normal((2, 1, 6, 6)))


def summed(parts: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.sum(column, axis=0) for column in zip(*parts, strict=True)]


def grads_of(net: Net) -> list[np.ndarray]:
    return [p.grad.detach().numpy().copy() for p in net.parameters()]


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


# What a thread does with the network, which may be shared. Its gradients are left in .grad.


def plainly(net: Net, k: int) -> None:
    net(images(k)).square().sum().backward()


def of_second_order(net: Net, k: int) -> None:
    """A gradient penalty."""
    x = images(k).requires_grad_()
    (slope,) = tg.autograd.grad(net(x).square().sum(), x, create_graph=True)
    (slope.square().sum() + net(x).sum()).backward()


def with_a_graph(net: Net, k: int) -> None:
    net(images(k)).square().sum().backward(create_graph=True)


def through_checkpoints(net: Net, k: int) -> None:
    generator = tg.Generator(k)
    y = checkpoint(lambda x: checkpoint(net, x, generator) + net(x, generator), images(k))
    y.square().sum().backward()


def with_hooks(net: Net, k: int) -> None:
    y = net(images(k))
    y.register_hook(lambda g: g * (k + 1))
    y.grad_fn.register_prehook(lambda grads: (grads[0] + k,))
    y.square().sum().backward()


def with_saved_hooks(net: Net, k: int) -> None:
    with saved_tensors_hooks(lambda t: t.numpy().copy(), tg.tensor):
        y = net(images(k)).square().sum()
    y.backward()


def with_profile(net: Net, k: int) -> None:
    with tg.profile():
        plainly(net, k)


def with_anomaly_detection(net: Net, k: int) -> None:
    with detect_anomaly():
        plainly(net, k)


def under_retain_all(net: Net, k: int) -> None:
    with retain_all():
        loss = net(images(k)).square().sum()
    loss.backward()
    assert verify(loss).ok


WAYS = [plainly, of_second_order, through_checkpoints, with_hooks, with_saved_hooks]
WAYS += [with_profile, with_anomaly_detection, under_retain_all]


def expected_of(way: Any, ks: range, repeats: int, dropout: float) -> list[np.ndarray]:
    parts = []
    for k in ks:
        net = network(dropout)
        way(net, k)
        parts += [grads_of(net)] * repeats
    return summed(parts)


@pytest.mark.parametrize("way", WAYS, ids=lambda w: w.__name__)
def test_gradients_of_all_threads_add_up(way: Any) -> None:
    dropout = 0.5 if way is through_checkpoints else 0.0
    repeats, ks = 1 if way is under_retain_all else 4, range(3)
    net = network(dropout)
    hooked = [0]
    for p in net.parameters():
        p.register_post_accumulate_grad_hook(lambda _: hooked.append(1))
    net.features[0].register_full_backward_hook(lambda m, ins, out: None)

    def work(k: int) -> None:
        for _ in range(repeats):
            way(net, k)

    together(*[lambda k=k: work(k) for k in ks])
    close(grads_of(net), expected_of(way, ks, repeats, dropout))
    assert sum(hooked) == len(ks) * repeats * len(list(net.parameters()))


def test_gradients_with_a_graph_add_up() -> None:
    """``.grad`` then has a graph; the one that follows is right too."""
    net = network()
    together(*[lambda k=k: with_a_graph(net, k) for k in range(3)])
    close(grads_of(net), expected_of(with_a_graph, range(3), 1, 0.0))
    found = tg.autograd.grad(sum(p.grad.square().sum() for p in net.parameters()), net.fc.weight)

    alone = network()
    for k in range(3):
        with_a_graph(alone, k)
    loss = sum(p.grad.square().sum() for p in alone.parameters())
    close([found[0].numpy()], [tg.autograd.grad(loss, alone.fc.weight)[0].numpy()])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_one_retained_graph_from_several_threads(create_graph: bool, checkpointed: bool) -> None:
    net, generator = network(0.5), tg.Generator(1)

    def loss_of(net: Net, generator: Any) -> tg.Tensor:
        run = checkpoint if checkpointed else (lambda f, *args: f(*args))
        return run(net, images(0), generator).square().sum()

    loss = loss_of(net, generator)

    def work() -> None:
        for _ in range(3):
            loss.backward(retain_graph=True, create_graph=create_graph)

    together(*[work] * 3)
    alone = network(0.5)
    loss_of(alone, tg.Generator(1)).backward()
    close(grads_of(net), [9 * g for g in grads_of(alone)])


def test_modes_belong_to_their_thread() -> None:
    net, gate = network(), threading.Barrier(2)
    x = tg.zeros(2, 1, 6, 6, dtype="float64")
    packed: list[Any] = []

    @contextlib.contextmanager
    def met(block: Any) -> Iterator[Any]:
        """Both threads are inside their blocks at the same time."""
        with block as value:
            gate.wait(20)
            yield value
            gate.wait(20)

    def with_nothing() -> Any:
        found = []
        for _ in range(5):
            with met(contextlib.nullcontext()):
                y = net(images(1))
                bad = (y * 0).log().sum()  # no anomaly is looked for here
                found.append((tg.is_grad_enabled(), y.requires_grad, bad.item()))
                y.sum().backward()
                with pytest.raises(tg.GraphError, match="retain_all"):
                    verify(y)
        return found

    def with_modes() -> Any:
        with met(tg.no_grad()):
            y = net(x)
            found = [tg.is_grad_enabled(), y.requires_grad]
        with met(tg.profile()) as seen:
            net(x).sum().backward()
        found.append(sum(event.operator == "log" for event in seen.events))
        found.append(sum((e.operator, e.phase) == ("conv", "forward") for e in seen.events))
        with met(saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t)):
            net(x).sum().backward()
        with met(retain_all()):
            y = net(x)
        assert verify(y).ok
        with met(detect_anomaly()), pytest.raises(tg.GraphError, match="not finite"):
            (net(x) * 0).log()
        return found

    plain, modes = together(with_nothing, with_modes)
    assert plain == [(True, True, float("-inf"))] * 5
    assert modes == [False, False, 0, 1]
    once: list[Any] = []
    with saved_tensors_hooks(lambda t: once.append(t) or t, lambda t: t):
        net(x).sum()
    assert len(packed) == len(once)  # none of the other thread's
    assert tg.is_grad_enabled()


# Locks --------------------------------------------------------------------------------------------


def slowly(function: Any) -> Any:
    """``function``, which lets others run before it returns."""

    def run(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        time.sleep(0.05)
        return result

    return run


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("create_graph", [False, True])
def test_no_gradient_is_lost_between_reading_and_writing_grad(
    monkeypatch: Any, first: bool, create_graph: bool
) -> None:
    w = tg.ones(3, dtype="float64", requires_grad=True)
    if not first:
        w.grad = tg.zeros(3, dtype="float64")
    together(*[lambda k=k: (w * k).sum().backward() for k in (1.0, 2.0)])  # compiled by now
    w.grad = None if first else tg.zeros(3, dtype="float64")
    for name in ("owned", "add"):
        monkeypatch.setattr(accumulate, name, slowly(getattr(accumulate, name)))
    plus, clone = tg.Tensor.__add__, tg.Tensor.clone
    monkeypatch.setattr(tg.Tensor, "__add__", slowly(plus))
    monkeypatch.setattr(tg.Tensor, "clone", slowly(clone))
    works = [lambda k=k: (w * k).sum().backward(create_graph=create_graph) for k in (1.0, 2.0, 4.0)]
    together(*works)
    assert w.grad.tolist() == [7.0] * 3


def test_a_checkpoint_runs_again_in_one_thread_at_a_time() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    inside, most, calls = [0], [0], [0]

    def function(x: Any) -> Any:
        inside[0] += 1
        calls[0] += 1
        most[0] = max(most[0], inside[0])
        y = x.exp()
        time.sleep(0.03)
        z = y.sin() * y
        time.sleep(0.03)
        inside[0] -= 1
        return z

    loss = checkpoint(function, x, early_stop=False).sum()
    together(*[lambda: loss.backward(retain_graph=True)] * 3)
    assert most == [1]
    assert calls[0] >= 2
    v = np.exp(x.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), 3 * v * (np.cos(v) * v + np.sin(v)), rtol=1e-12)


def test_a_plan_is_made_once_though_two_threads_need_it_first() -> None:
    """A checkpoint compares plans by identity, so there must not be two of the same."""

    class Scratch(tg.core.op.Op):
        name, shaped = "scratch_of_threads", False

        @staticmethod
        def forward(xp: Any, input: Any) -> Any:
            return input * 2

        @staticmethod
        def vjp_input(g: Any, input: Any) -> Any:
            return g * 2

    try:
        for _ in range(30):
            Scratch._plans.clear()
            plans = together(*[lambda: Scratch.plan(1)] * 4)
            assert len({id(plan) for plan in plans}) == 1
    finally:
        tg.core.op.unregister("scratch_of_threads")


def test_the_clock_of_writes_never_goes_back(monkeypatch: Any) -> None:
    a, b = np.zeros(3), np.zeros(3)
    tick, order = writes.clock.tick, itertools.count()

    def late() -> int:
        now = tick()
        if next(order) == 0:
            time.sleep(0.1)  # the first to be stamped is the last to say so
        return now

    monkeypatch.setattr(writes.clock, "tick", late)
    together(lambda: writes.note_write(a, "a"), lambda: writes.note_write(b, "b"))
    stamps = [writes._writes[id(x)][0] for x in (a, b)]
    assert writes.clock.last_write == max(stamps)


def test_watchers_are_counted_in_all_threads() -> None:
    before = kernels.watchers

    def work() -> int:
        seen = 0
        for _ in range(200):
            with kernels.watching(kernels.Watcher()):
                seen += kernels.watchers > before
        return seen

    assert together(*[work] * 4) == [200] * 4
    assert kernels.watchers == before

    class Slow(int):
        def __radd__(self, other: int) -> int:
            time.sleep(0.02)
            return other + int(self)

    together(*[lambda: kernels._count(Slow(1))] * 3)
    found = kernels.watchers
    kernels._count(-3)
    assert found == before + 3
