"""Compiled resizing, sampling and deformable convolution: equal to the references at any size."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tests.ops import test_deform_conv, test_grid_sample, test_interpolate
from tinygrad_cv.backend import kernels, memory
from tinygrad_cv.backend.cpu import resizing, sampling, threads
from tinygrad_cv.backend.resizing import Axis
from tinygrad_cv.backend.spec import CHANNELS_LAST, spec_of
from tinygrad_cv.testing import CHECKS, parametrize_cases

F = tg.nn.functional
CASES = [
    case
    for module in (test_interpolate, test_grid_sample, test_deform_conv)
    for case in module.CASES
]
rng = np.random.default_rng(59)


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    for module in (resizing, sampling):
        monkeypatch.setattr(module, "SMALLEST", 0)


@pytest.fixture
def three_threads():
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    yield
    threads.set_num_threads(before)


def single(*shape):
    return rng.normal(size=shape).astype(np.float32)


@parametrize_cases(CASES)
def test_kernels_of_a_case(case, three_threads):
    CHECKS["kernels"](case, "cpu")


def gradients(provider, call, *arrays):
    """Output and gradients of a sum of squares."""
    with kernels.use(provider):
        tensors = [tg.tensor(a, requires_grad=True) for a in arrays]
        y = call(*tensors)
        (y * y).sum().backward()
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def compare(call, *arrays):
    real, expected = (gradients(name, call, *arrays) for name in ("numba", "reference"))
    for a, b in zip(real, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(abs(b).max(initial=0), 1))


@pytest.mark.parametrize("channels", [1, 3, 17, 70])
@pytest.mark.parametrize("lies", ["contiguous", "channels_last"])
def test_resizing(channels, lies, three_threads):
    for options in (
        {"size": (7, 13)},
        {"size": (3, 4), "mode": "bilinear", "antialias": True},
        {"size": (12, 5), "mode": "bicubic"},
    ):
        compare(
            lambda x, o=options: F.interpolate(x.contiguous(lies), **o), single(2, channels, 6, 9)
        )


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("images", [1, 3])
def test_sampling_with_any_number_of_threads(images, workers):
    """More threads than images: the channels are shared."""
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        for channels in (1, 6, 35, 70):
            points = rng.uniform(-1.2, 1.2, (images, 5, 7, 2)).astype(np.float32)
            for mode in ("bilinear", "bicubic", "nearest"):
                compare(
                    lambda x, p, m=mode: F.grid_sample(x, p, m),
                    single(images, channels, 6, 5),
                    points,
                )
    finally:
        threads.set_num_threads(before)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_deformable_convolution(groups, each, block, monkeypatch, three_threads):
    """Blocks of a few positions, of one image, and of all."""
    monkeypatch.setattr(sampling, "BLOCK", block)
    monkeypatch.setattr(sampling, "FEWEST_ROWS", 7 if block == 1 else 256)
    x, w, b = single(3, 12, 6, 5), single(8, 12 // groups, 3, 2), single(8)
    offset, mask = single(3, 12 * each, 6, 6), single(3, 6 * each, 6, 6)

    def call(x, o, m, w, b):
        return F.deform_conv2d(x, o, w, b, padding=(1, 1), mask=m)

    compare(call, x, offset, mask, w, b)
    compare(lambda x, o, w: F.deform_conv2d(x, o, w, padding=1), x, offset, w)


def test_only_the_gradients_asked_for():
    x, offset, w = single(1, 4, 5, 5), single(1, 18, 5, 5), single(4, 4, 3, 3)
    for wanted in range(3):
        found = []
        for provider in ("numba", "reference"):
            with kernels.use(provider):
                tensors = [tg.tensor(a) for a in (x, offset, w)]
                tensors[wanted].requires_grad_()
                F.deform_conv2d(*tensors, padding=1).sum().backward()
                found.append(tensors[wanted].grad.numpy())
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)


def test_what_is_declined():
    x = spec_of(np.zeros((1, 2, 8, 8), np.float32))
    axes = (Axis(8, 4, "linear"),) * 2
    points = spec_of(np.zeros((1, 3, 3, 2), np.float32))
    double = np.dtype("float64")
    assert resizing._takes((x,), (axes,))
    assert not resizing._takes((x._replace(dtype=double),), (axes,))
    assert sampling._takes_sample((x, points), ())
    assert not sampling._takes_sample((x, points._replace(dtype=double)), ())
    assert not sampling._takes_sample((x, None), ())


@pytest.mark.parametrize(
    "call",
    [
        lambda x, p, o, w: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
        lambda x, p, o, w: F.grid_sample(x, p),
        lambda x, p, o, w: F.deform_conv2d(x, o, w, padding=1),
    ],
)
@pytest.mark.parametrize("lies", ["contiguous", CHANNELS_LAST])
def test_memory_of_the_first_order(call, lies):
    """Inputs and outputs once more, and 32 MB."""
    x = tg.tensor(single(16, 64, 32, 32)).contiguous(lies).requires_grad_()
    points = tg.tensor(single(16, 32, 32, 2), requires_grad=True)
    offset = tg.tensor(single(16, 18, 32, 32), requires_grad=True)
    w = tg.tensor(single(64, 64, 3, 3), requires_grad=True)
    inputs = sum(t.array.nbytes for t in (x, points, offset, w))
    memory.reset_peak()
    before = memory.stats().in_use
    y = call(x, points, offset, w)
    y.backward(tg.ones(*y.shape))
    used = memory.stats().peak - before
    assert used <= inputs + 2 * y.array.nbytes + (32 << 20)  # the output, and its gradient
