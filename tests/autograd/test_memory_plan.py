"""plan_memory: steps by hand, the text, and what is refused."""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.autograd.memory_networks import Residual
from tinygrad_cv import nn
from tinygrad_cv.autograd import checkpoint, plan_memory


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


SPACE = "{http://www.w3.org/2000/svg}"


def area(path):
    """What the outline of a band encloses."""
    points = [tuple(map(float, p.split(","))) for p in path.get("d")[1:-1].split()]
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


@pytest.mark.parametrize("recompute", [False, True])
def test_the_picture(recompute):
    plan = plan_memory(Residual(recompute), tg.zeros(1, 2, 8, 8))
    root = ElementTree.fromstring(plan.to_svg(640, 300))
    boxes = [box for box in root.findall(f"{SPACE}rect") if box.get("class") == "step"]
    for k, (box, step) in enumerate(zip(boxes, plan.steps, strict=True)):
        title = box.find(f"{SPACE}title").text
        assert title.startswith(f"{k}: {step.operator} {step.phase}")
        assert f"{step.live:,} B ({step.saved:,} B saved, {step.gradients:,} B" in title
    (circle,) = root.findall(f"{SPACE}circle")
    left, right = float(boxes[plan.peak].get("x")), float(boxes[plan.peak].get("width"))
    assert left <= float(circle.get("cx")) <= left + right
    texts = [text.text for text in root.findall(f"{SPACE}text")]
    assert {"forward", "backward", "saved for backward", "gradients", "other results"} <= {*texts}
    assert ("computed again" in texts) == recompute
    step = plan.steps[plan.peak]
    (peak,) = [text for text in texts if text.startswith("peak")]
    assert f"kB: step {plan.peak}, {step.operator} {step.phase}" in peak
    assert "0" in texts
    assert any(text.endswith(" kB") for text in texts)
    # one byte at one step has the same area in each band
    bands = {p.get("class"): area(p) for p in root.findall(f"{SPACE}path") if "Z" in p.get("d")}
    sums = {
        "saved": sum(s.saved for s in plan.steps),
        "gradients": sum(s.gradients for s in plan.steps),
        "other": sum(s.live - s.saved - s.gradients for s in plan.steps),
    }
    for name, size in sums.items():
        assert bands[name] / bands["saved"] == pytest.approx(size / sums["saved"], rel=1e-3)


def test_the_text():
    plan = plan_memory(Residual(), tg.zeros(1, 2, 8, 8))
    step = plan.steps[plan.peak]
    assert f"step {plan.peak}: {plan.peak_bytes:,} B after {step.operator}" in str(plan)


def test_what_a_checkpoint_keeps_is_saved():
    """Of 256 float64 numbers each, only the input of the checkpoint."""
    x, size = tg.zeros(256, dtype="float64", requires_grad=True), 256 * 8
    plan = plan_memory(lambda x: checkpoint(lambda y: y.sin().cos(), x * 2.0), x)
    assert [(s.live, s.saved) for s in plan.steps[:3]] == [
        (size, 0),  # the input will be kept, which nobody knows yet
        (2 * size, size),
        (3 * size, size),  # what sin gave is there until cos has ended
    ]


def test_what_is_saved_and_what_are_gradients():
    """x -> exp -> times a constant, 256 float64 numbers each: exp saves its result."""
    size = 256 * 8
    plan = plan_memory(lambda x: x.exp() * 2.0, tg.zeros(256, dtype="float64", requires_grad=True))
    assert [(s.live, s.saved, s.gradients) for s in plan.steps] == [
        (size, size, 0),
        (2 * size, size, 0),
        (4 * size, size, 2 * size),
        (5 * size, size, 3 * size),
    ]


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
    with pytest.raises(tg.BackendError, match="has found no stand-in for the one that has values"):
        plan_memory(lambda x: x * tg.ones(2, device="cpu"), tg.ones(2))
    for wrong in ({"width": 479}, {"height": 200.0}, {"height": 0}):
        with pytest.raises(tg.ArgumentError, match=r"is an integer of at least (480|200), not"):
            plan_memory(tg.exp, tg.ones(2, requires_grad=True)).to_svg(**wrong)


SCALE = tg.rand(4)


class Scaled(nn.Module):
    """A tensor that is no buffer, a global one, and a loss that is a method."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.place = tg.rand(4)

    def forward(self, x: Any) -> Any:
        return self.net((x + (self.place * 0.1).sin()) * SCALE)

    def loss(self, x: Any, labels: Any) -> Any:
        return nn.functional.cross_entropy(self(x), labels)


def test_what_a_function_refers_to_has_no_values_either() -> None:
    model, x, labels = Scaled(), tg.rand(2, 4), tg.tensor([0, 2])
    before = [t.array for t in (*model.parameters(), model.place, SCALE)]
    net = model.net
    held = 4 * (12 + 3 + 4 + 4) + 32 + 16
    loss = functools.partial(lambda model, x, labels: model.loss(x, labels), model)
    plans = [
        plan_memory(model.loss, x, labels),
        plan_memory(lambda x, labels: model.loss(x, labels), x, labels),
        plan_memory(lambda model, x, labels: model.loss(x, labels), model, x, labels),
        plan_memory(loss, x, labels),
    ]
    assert {plan.held_bytes for plan in plans} == {held}
    assert len({plan.peak_bytes for plan in plans}) == 1
    assert plan_memory(lambda x: net(x), x).held_bytes == 4 * 15 + 32
    given = OrderedDict(x=x.detach().requires_grad_())
    assert plan_memory(lambda given: given["x"].exp(), given).held_bytes == 32
    after = [t.array for t in (*model.parameters(), model.place, SCALE)]
    assert all(a is b for a, b in zip(after, before, strict=True))


def test_a_function_that_asks_for_values_is_named_with_its_line() -> None:
    net, x = nn.Linear(4, 3), tg.rand(2, 4)

    def branch(x: Any) -> Any:
        h = net(x)
        return h * 2 if h.max() > 1 else h

    with pytest.raises(tg.GraphError, match="bool: a tensor on the meta device") as caught:
        plan_memory(branch, x)
    text = str(caught.value)
    assert "plan_memory runs the function without values, on the meta device" in text
    assert (
        f"they are asked for at {__file__}:{branch.__code__.co_firstlineno + 2} in branch" in text
    )
    with pytest.raises(tg.BackendError) as refused:
        plan_memory(lambda x: net(x) + np.ones(3, np.float32), x)
    assert "Give plan_memory the module itself, or a function that refers to it" in str(
        refused.value
    )
