"""plan_memory: steps by hand, the text, and what is refused."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import tinygrad_cv as tg
from tests.autograd.memory_networks import Residual
from tinygrad_cv import nn
from tinygrad_cv.autograd import plan_memory


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
