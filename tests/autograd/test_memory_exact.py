"""What plan_memory foresees is what real arrays take, to the byte: of whole networks, and of every
operator."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tests.autograd.memory_measure import measured
from tests.autograd.memory_networks import NETWORKS, Residual
from tinygrad_cv import nn
from tinygrad_cv.autograd import plan_memory
from tinygrad_cv.nn import functional as F
from tinygrad_cv.testing import Case
from tinygrad_cv.testing.case import to_tensors
from tinygrad_cv.testing.runs import cast
from tools.gpu_check import collect

PROVIDERS = ["reference", "numba"]


def steps(plan):
    return [(step.operator, step.live) for step in plan.steps]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(monkeypatch, name, train, provider):
    build, shapes = NETWORKS[name]
    tg.manual_seed(0)
    net = build().train(train)
    inputs = [tg.rand(*shape) for shape in shapes]
    before = [p.array for p in net.parameters()]
    state = tg.default_generator.get_state().tolist()
    with tg.use_kernels(provider):
        plan = plan_memory(net, *inputs)
        assert tg.default_generator.get_state().tolist() == state
        assert all(p.array is a for p, a in zip(net.parameters(), before, strict=True))
        real = measured(monkeypatch, net, *inputs)
    assert steps(plan) == real
    assert plan.peak_bytes == max(live for _, live in real)
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert plan.gradient_bytes == sum(g.nbytes for g in grads) > 0
    tensors = [*net.parameters(), *net.buffers(), *inputs]
    assert plan.held_bytes == sum(t.nbytes for t in tensors)


LOSSES = {
    "cross_entropy": (F.cross_entropy, lambda: tg.tensor([1, 2, 0])),
    "int32 labels": (F.cross_entropy, lambda: tg.tensor([1, 2, 0], dtype="int32")),
    "smooth": (
        lambda x, t: F.cross_entropy(x, t, weight=x.detach()[0].abs(), label_smoothing=0.1),
        lambda: tg.tensor([1, 2, 0]),
    ),
    "nll_loss": (lambda x, t: F.nll_loss(x.log_softmax(1), t), lambda: tg.tensor([1, 2, 0])),
    "mse_loss": (F.mse_loss, lambda: tg.rand(3, 3)),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", LOSSES)
def test_with_a_loss(monkeypatch, name, provider):
    loss, target = LOSSES[name]
    net, x, t = Residual(), tg.rand(3, 2, 8, 8), target()

    class Training(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, target):
            return loss(self.net(x), target)

    model = Training()
    with tg.use_kernels(provider):
        assert steps(plan_memory(model, x, target=t)) == measured(monkeypatch, model, x, target=t)


def noisy(x):
    """Makes tensors of its own."""
    noise, scale = tg.randn(*x.shape), tg.arange(4).reshape(4, 1)
    return (x + noise * 0.1) * scale, (x + noise).exp()


def mixed(x):
    """Gradients of two dtypes, and of a broadcast input."""
    return x[:1].double() * tg.ones(4, 3, dtype="float64") + x.double().mean()


@pytest.mark.parametrize("function", [noisy, mixed])
def test_what_no_operator_made(monkeypatch, function):
    x = tg.rand(4, 3, requires_grad=True)
    assert steps(plan_memory(function, x)) == measured(monkeypatch, function, x)


CASES = [case for case in collect("CASES") if isinstance(case, Case) and case.differentiable()]
# What no run without values can know.
VALUES = {
    "cross_entropy-default ignore_index-5x4,5,4": "an ignored label costs a copy of the labels",
    "roi_align-boxes of each image-2x3x5x6,3x4,3x4": "the regions keep the boxes",
    "roi_pool-boxes of each image-2x3x5x6,3x4,3x4": "the regions keep the boxes",
    "maxout-6x6": "memory in an order that no Spec tells",
    "maxout-2x6x3x2": "memory in an order that no Spec tells",
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_operator(monkeypatch, provider):
    wrong, planned = [], 0
    for case in CASES:

        def function(*tensors, case=case):
            return case.call(list(tensors))

        leaves = cast(case.leaves(), "float32")
        inputs = to_tensors(leaves, "cpu", case.differentiable())
        with tg.use_kernels(provider):
            try:
                plan = plan_memory(function, *inputs)
            except tg.GraphError as problem:
                text = str(problem)
                assert "on the meta device" in text or "no output requires a gradient" in text
                continue
            planned += 1
            if steps(plan) != measured(monkeypatch, function, *inputs):
                wrong.append(case.id)
    assert planned > 2000
    assert set(wrong) - VALUES.keys() == set()
