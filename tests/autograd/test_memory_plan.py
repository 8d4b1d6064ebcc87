"""plan_memory: what it foresees on the meta device is what real arrays take, to the byte."""

from __future__ import annotations

import weakref
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import models, nn
from tinygrad_cv.autograd import checkpoint, plan_memory
from tinygrad_cv.core import engine, mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.nn import functional as F


class Measure(mode.Recorder):
    """Adds up the memory of real arrays from when they are first seen until they die."""

    def __init__(self, held):
        self.live = 0
        self.sizes = {}
        self.held = {id(self.owner(array)) for array in held}
        self.steps = []

    @staticmethod
    def owner(array):
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array

    def see(self, value):
        value = value.array if isinstance(value, Tensor) else value
        for array in value if isinstance(value, tuple) else (value,):
            if isinstance(array, np.ndarray):
                owner = self.owner(array)
                if id(owner) not in self.held and id(owner) not in self.sizes:
                    self.sizes[id(owner)] = owner.nbytes
                    self.live += owner.nbytes
                    weakref.finalize(owner, self.died, id(owner))

    def died(self, key):
        self.live -= self.sizes.pop(key)

    def add(self, op, inputs, outputs, attrs, frame, scope):
        for tensor in outputs:
            self.see(tensor)
        node = next((t.node for t in outputs if isinstance(t.node, Node)), None)
        if node is not None and node.op is op and type(node.saved) is tuple:
            for (kind, _), value in zip(node.plan.kinds, node.saved, strict=True):
                if kind != "shape":
                    self.see(value)
        self.steps.append((op.name, self.live))

    def arrived(self, node, gradient):
        self.see(gradient)

    def differentiated(self, node, gradients):
        for gradient in gradients:
            self.see(gradient)
        self.steps.append((node.op.name, self.live))


def measured(monkeypatch, function, *inputs):
    walks = (getattr(function, name, tuple) for name in ("parameters", "buffers"))
    held = [t.array for walk in walks for t in walk()] + [x.array for x in inputs]
    measure, add = Measure(held), engine.sum_of

    def sum_of(a, b, out=None):
        total = add(a, b, out=out)
        measure.see(total)
        return total

    monkeypatch.setattr(engine, "sum_of", sum_of)
    with mode.recording(measure):
        result = function(*inputs)
        result.backward(tg.ones(*result.shape))
    return measure.steps


class Residual(nn.Module):
    """Branches that meet, forward and backward, and a chain of elementwise operators."""

    def __init__(self, recompute=False):
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.body = nn.Sequential(
            nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.2)
        )
        self.head = nn.Linear(8, 3)
        self.recompute = recompute

    def forward(self, x):
        x = self.first(x)
        y = checkpoint(self.body, x) if self.recompute else self.body(x)
        y = (x + y).sigmoid() * x
        a, b = y.transpose(0, 1).chunk(2)
        y = tg.cat([a * 2, b], 0).transpose(0, 1)
        return F.log_softmax(self.head(F.avg_pool2d(y, 2).mean(dim=(2, 3))), dim=1)


class Shared(nn.Module):
    """One gradient that goes to two places, and is added to another at one of them."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(tg.ones(64))

    def forward(self, x):
        a = x * self.w
        return (a.exp() + a.sin()) + a


def digits():
    layers = []
    for channels_in, channels_out in ((1, 8), (8, 8), (8, 16)):
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(channels_out), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(256, 10)]
    return nn.Sequential(*layers)


NETWORKS = {
    "digits": (digits, (4, 1, 8, 8)),
    "lenet": (models.LeNet, (2, 1, 32, 32)),
    "shared": (Shared, (64,)),
    "residual": (Residual, (3, 2, 8, 8)),
    "recomputed": (lambda: Residual(True), (3, 2, 8, 8)),
}


@pytest.mark.parametrize("provider", ["reference", "numba"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_to_what_arrays_take(monkeypatch, name, provider):
    build, shape = NETWORKS[name]
    net, x = build(), tg.rand(*shape)
    before = [p.array for p in net.parameters()]
    state = tg.default_generator.get_state().tolist()
    with tg.use_kernels(provider):
        plan = plan_memory(net, x)
        assert tg.default_generator.get_state().tolist() == state
        assert all(p.array is a for p, a in zip(net.parameters(), before, strict=True))
        real = measured(monkeypatch, net, x)
    assert [(step.operator, step.live) for step in plan.steps] == real
    assert plan.peak_bytes == max(live for _, live in real)
    assert plan.gradient_bytes == sum(p.grad.nbytes for p in net.parameters())
    tensors = [*net.parameters(), *net.buffers(), x]
    assert plan.held_bytes == sum(t.nbytes for t in tensors)


def test_by_hand():
    """x -> exp -> (view) -> times a constant, 256 float64 numbers each."""
    size = 256 * 8
    x = tg.zeros(256, dtype="float64", requires_grad=True)

    def function(x):
        y = x.exp()
        return y.reshape(16, 16) * 2.0

    plan = plan_memory(function, x)
    assert [(s.operator, s.phase, s.output_bytes, s.live) for s in plan.steps] == [
        ("exp", "forward", size, size),
        ("reshape", "forward", 0, size),
        ("mul", "forward", size, 2 * size),
        # the result, what exp saved, the gradient that was given (it stays) and the new one
        ("mul", "backward", size, 4 * size),
        ("reshape", "backward", 0, 4 * size),
        ("exp", "backward", size, 5 * size),
    ]
    assert (plan.peak, plan.peak_bytes, plan.held_bytes) == (5, 5 * size, size)
    assert plan.gradient_bytes == size


def test_masks_and_modules():
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))
    plan = plan_memory(net, tg.zeros(3, 4, requires_grad=True))
    dropout = plan.steps[0]
    assert dropout.saved_bytes == 12, "a mask of bool"
    assert (dropout.module, dropout.live) == ("0", 3 * 4 * 4 + 12)
    assert {s.phase for s in plan_memory(Residual(True), tg.zeros(1, 2, 8, 8)).steps} == {
        "forward",
        "recompute",
        "backward",
    }


def test_nothing_is_computed():
    """A petabyte."""
    x = tg.empty(1 << 25, 1 << 23, device="meta").requires_grad_()
    plan = plan_memory(lambda x: (x * x).sum(), x)
    assert plan.peak_bytes == 2 * (4 << 48) + 8
    assert x.grad is None


def test_the_picture_and_the_text():
    plan = plan_memory(Residual(), tg.zeros(1, 2, 8, 8))
    root = ElementTree.fromstring(plan.to_svg(400, 100))
    space = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{space}rect")
    assert len(bars) == len(plan.steps)
    tall = [float(bar.get("height")) for bar in bars]
    assert tall.index(max(tall)) == plan.peak
    assert max(tall) == pytest.approx(76)
    for bar, step, height in zip(bars, plan.steps, tall, strict=True):
        assert height == pytest.approx(76 * step.live / plan.peak_bytes, abs=0.01)
        assert f"{step.live:,} B" in bar.find(f"{space}title").text
    step = plan.steps[plan.peak]
    assert f"step {plan.peak}: {plan.peak_bytes:,} B after {step.operator}" in str(plan)


def test_what_is_refused():
    with pytest.raises(tg.DTypeError, match="a module or a function is needed, not int"):
        plan_memory(3)
    with pytest.raises(tg.GraphError, match="no output requires a gradient"):
        plan_memory(lambda x: x.exp(), tg.ones(2))
    net = nn.Linear(2, 2)
    array = net.weight.array
    with pytest.raises(tg.ShapeError, match="linear"):
        plan_memory(net, tg.ones(2, 3))
    assert net.weight.array is array
    with pytest.raises(tg.GraphError, match="item"):
        plan_memory(lambda x: x * x.sum().item(), tg.ones(2, requires_grad=True))
    outside = tg.ones(2, requires_grad=True)
    with pytest.raises(tg.BackendError, match="give it the tensors that it finds outside"):
        plan_memory(lambda x: x * outside, tg.ones(2))
    for wrong in ({"width": 0}, {"height": 2.5}):
        with pytest.raises(tg.ArgumentError, match="is a positive integer"):
            plan_memory(tg.exp, tg.ones(2, requires_grad=True)).to_svg(**wrong)
