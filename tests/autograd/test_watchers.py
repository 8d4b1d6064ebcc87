"""Whoever watches operators does so whatever else watches, around it or inside it."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.autograd import checkpoint, detect_anomaly, retain_all, verify
from tinygrad_cv.autograd.graph import saved_tensors_hooks
from tinygrad_cv.core import mode


@contextmanager
def profiled():
    with tg.profile() as profile:
        yield
    runs = [(event.operator, event.phase) for event in profile.events]
    for run in itertools.product(("exp", "square", "sum"), ("forward", "backward")):
        assert runs.count(run) == 1, runs


@contextmanager
def anomalies():
    with detect_anomaly():
        yield
        with pytest.raises(tg.GraphError, match="the first value that is not finite"):
            tg.tensor([0.0]).log()


kept = []


@contextmanager
def retained():
    kept.clear()
    with retain_all():
        yield
    assert verify(kept.pop()).ok


@contextmanager
def packed():
    packs, unpacks = [], []

    def pack(tensor):
        packs.append(tensor)
        return tensor.numpy().copy()

    def unpack(values):
        unpacks.append(values)
        return tg.tensor(values)

    with saved_tensors_hooks(pack, unpack):
        yield
    assert len(packs) == len(unpacks) >= 2


@contextmanager
def nothing_more():
    yield


WATCHERS = {"profile": profiled, "anomaly": anomalies, "retain_all": retained, "packed": packed}
INPUT = [0.5, -1.0, 2.0]


PAIRS = list(itertools.product(WATCHERS, [*WATCHERS, "nobody"]))
PAIRS.remove(("packed", "packed"))  # of two such blocks the inner one counts: tested with the hooks


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_each_sees_all(outer, inner):
    x = tg.tensor(INPUT, dtype="float64", requires_grad=True)
    with WATCHERS[outer](), WATCHERS.get(inner, nothing_more)():
        y = x.exp().square().sum()
        kept.extend([y, y])
        y.backward()
    assert mode.state().record == ()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2 * np.array(INPUT)))


@pytest.mark.parametrize("outer", ["profile", "anomaly"])
def test_a_checkpoint_inside(outer):
    x = tg.tensor(INPUT, dtype="float64", requires_grad=True)
    with WATCHERS[outer]():
        y = checkpoint(lambda x: x.exp().square(), x).sum()
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2 * np.array(INPUT)))


def test_the_last_operator_of_a_second_run_is_seen():
    x = tg.tensor(INPUT, requires_grad=True)
    with tg.profile() as profile:
        checkpoint(lambda x: x.exp().square(), x).sum().backward()
    again = [event.operator for event in profile.events if event.phase == "recompute"]
    assert again == ["exp", "square"]


@pytest.mark.parametrize("name", WATCHERS)
def test_a_picture_of_a_call(name):
    x = tg.tensor(INPUT, dtype="float64", requires_grad=True)

    def function(x):
        y = x.exp().square().sum()
        kept.extend([y, y])
        return y

    with WATCHERS[name]():
        graph = tg.viz.trace(function, x)
        kept[-1].backward()
    assert {"exp", "square", "sum"} <= {node.name for node in graph.model.nodes}


def test_blocks_in_generators_end_in_any_order():
    def block():
        with retain_all():
            yield

    first, second = block(), block()
    next(first), next(second)
    first.close(), second.close()
    assert mode.state().record == ()


@pytest.mark.parametrize("outer", ["profile", "anomaly"])
def test_a_generator_under_no_grad_neither_ends_nor_revives_a_watcher(outer):
    def numbers():
        with tg.no_grad():
            yield 1
            yield 2

    x = tg.tensor(INPUT, dtype="float64", requires_grad=True)
    before = numbers()
    next(before)
    with tg.enable_grad(), WATCHERS[outer]():
        before.close()
        y = x.exp().square().sum()
        y.backward()
        inside = numbers()
        next(inside)
    inside.close()
    assert mode.state().record == ()
    assert mode.is_grad_enabled()
