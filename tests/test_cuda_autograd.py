"""What explains and proves gradients, on the strict stand-in for CuPy: see test_cuda_path.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.autograd.planting import planted
from tinygrad_cv import nn
from tinygrad_cv.autograd import (
    GradcheckError,
    detect_anomaly,
    gradcheck,
    gradgradcheck,
    retain_all,
    verify,
)
from tinygrad_cv.autograd.graph import save_on_cpu, saved_tensors_hooks
from tinygrad_cv.core.op import REGISTRY

pytest.importorskip("cupy")

from tests.cupy_standin import installed

DEVICE = "cuda:1"  # not the current one: whatever forgets to change it fails


@pytest.fixture(autouse=True)
def cupy() -> Iterator[Any]:
    with installed(devices=2) as module:
        yield module


def network() -> nn.Module:
    tg.manual_seed(1)
    layers = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Flatten(), nn.Linear(36, 3))


def loss_of(net: nn.Module, image: tg.Tensor) -> tg.Tensor:
    labels = tg.tensor([0, 2], device=image.device)
    return nn.functional.cross_entropy(net(image), labels)


def image(device: str = DEVICE) -> tg.Tensor:
    values = np.random.default_rng(0).standard_normal((2, 2, 6, 6)).astype(np.float32)
    return tg.tensor(values, device=device)


def gradients(device: str, around: Any = None) -> list[np.ndarray]:
    net = network().to(device)
    if around is None:
        loss = loss_of(net, image(device))
    else:
        with around:
            loss = loss_of(net, image(device))
    loss.backward()
    assert {str(p.grad.device) for p in net.parameters()} == {device}
    return [p.grad.cpu().numpy() for p in net.parameters()]


def test_verify_and_retain_all() -> None:
    net = network().to(DEVICE)
    report = verify(net, image())
    assert report.ok, str(report)
    assert not report.open, str(report)
    with retain_all():
        loss = loss_of(net, image())
    loss.backward()
    report = verify(loss)
    assert report.ok, str(report)
    assert not report.open, str(report)
    assert report.checks > 2 * report.nodes
    with planted(REGISTRY["conv"], "weight", lambda g: g * 1.01):
        (fault,) = verify(net, image()).faults
    assert (fault.node.op.name, fault.part) == ("conv", "vjp_weight")


def test_a_rule_that_writes_is_found() -> None:
    def wrong(g: Any) -> Any:
        g *= 2
        return g

    with planted(REGISTRY["exp"], "input", wrong):
        report = verify(tg.exp, tg.ones(3, device=DEVICE))
    assert [f.part for f in report.faults] == ["vjp_input"]


def test_gradcheck() -> None:
    x = tg.tensor([0.5, 2.0], dtype="float64", device=DEVICE, requires_grad=True)
    for fast in (False, True):
        assert gradcheck(lambda x: x.log() * x.sum(), x, fast_mode=fast, check_forward_ad=True)
        assert gradgradcheck(lambda x: x.log() * x.sum(), x, fast_mode=fast)
        with pytest.raises(GradcheckError, match="the gradient is wrong"):
            gradcheck(lambda x: x.detach() * x, x, fast_mode=fast)
        with pytest.raises(GradcheckError, match="the function has a kink"):
            gradcheck(lambda x: (x - 0.5).relu(), x, fast_mode=fast)


def test_detect_anomaly() -> None:
    x = tg.tensor([1.0, -1.0], device=DEVICE, requires_grad=True)
    with detect_anomaly(), pytest.raises(tg.GraphError, match="sqrt"):
        x.sqrt().sum().backward()
    with detect_anomaly():
        (x * x).sqrt().sum().backward()
    assert x.grad.tolist() == [1.0, -1.0]
    assert gradients(DEVICE, detect_anomaly())


def test_checkpoint() -> None:
    def step(device: str, again: bool) -> list[np.ndarray]:
        net = network().to(device)
        x = image(device).requires_grad_()
        y = tg.autograd.checkpoint(net, x) if again else net(x)
        nn.functional.cross_entropy(y, tg.tensor([0, 2], device=device)).backward()
        assert str(x.grad.device) == device
        return [t.grad.cpu().numpy() for t in (x, *net.parameters())]

    plain, again, host = step(DEVICE, False), step(DEVICE, True), step("cpu", True)
    for a, b, c in zip(plain, again, host, strict=True):
        assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(b, c, rtol=1e-4, atol=1e-6)


def test_saved_tensors_hooks() -> None:
    expected = gradients(DEVICE)
    places = []

    def pack(t: tg.Tensor) -> tg.Tensor:
        places.append(str(t.device))
        return t

    for a, b in zip(
        gradients(DEVICE, saved_tensors_hooks(pack, lambda t: t)), expected, strict=True
    ):
        assert a.tobytes() == b.tobytes()
    for a, b in zip(gradients(DEVICE, save_on_cpu()), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # sums in the order of other memory
    assert len(places) > 5
    assert set(places) == {DEVICE}


def test_profile() -> None:
    def events(device: str) -> list[tuple[Any, ...]]:
        net, x = network().to(device), image(device)
        with tg.profile() as p:
            loss_of(net, x).backward()
        assert all(e.time >= 0 for e in p.events)
        return [(e.operator, e.phase, e.module, e.flops) for e in p.events if e.depth == 0]

    assert events(DEVICE) == events("cpu")
