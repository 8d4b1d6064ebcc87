"""Weight gradients of convolution over many outputs: the error in float32 stays small."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend.cpu import convolution, lanes, threads
from tinygrad_cv.backend.cpu import winograd as cpu_winograd
from tinygrad_cv.backend.cpu.case import LONG, SHARE, Case, parts_of
from tinygrad_cv.ops.conv import ConvWeightGrad

ONE = (1, 1)


@pytest.fixture
def exact():
    tg.set_convolution_precision("exact")
    yield
    tg.set_convolution_precision("fast")


def check(algorithm, shape, kernel, outputs, groups=1):
    """Half a million outputs, or so, whose products have mean 1, against the float64 reference."""
    rng = np.random.default_rng(0)
    x = 1 + rng.standard_normal(shape, np.float32)
    g = 1 + rng.standard_normal((shape[0], outputs, *shape[2:]), np.float32)
    weight = (outputs, shape[1] // groups, kernel, kernel)
    options = (ONE, ((kernel // 2, kernel // 2),) * 2, ONE, groups)
    case = convolution._case(shape, weight, *options)
    assert convolution._algorithm(case) == algorithm
    found = convolution.conv_weight_grad(np, x, g, weight, *options)
    again = convolution.conv_weight_grad(np, x, g, weight, *options)
    np.testing.assert_array_equal(found, again)
    wide = x.astype(np.float64), g.astype(np.float64)
    expected = ConvWeightGrad.forward(np, *wide, weight, *options)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize(("kernel", "outputs"), [(1, 16), (3, 5)])
def test_one_product_per_tap(kernel, outputs, exact):
    check("taps", (2, 16, 512, 512), kernel, outputs)


@pytest.mark.parametrize("private", [cpu_winograd.PRIVATE, 0])
def test_winograd(private, monkeypatch):
    monkeypatch.setattr(cpu_winograd, "PRIVATE", private)
    check("winograd", (2, 16, 512, 512), 3, 16)


def test_one_product_per_line():
    check("rows", (2, 3, 512, 512), 3, 8)


def test_images_side_by_side(monkeypatch):
    monkeypatch.setattr(lanes, "FILLED", 0)
    check("images", (16, 1, 181, 181), 3, 3)


def test_depthwise():
    check("groups", (2, 16, 512, 512), 3, 16, 16)


def test_groups(exact):
    check("groups", (2, 16, 512, 512), 3, 8, 8)
    check("taps", (2, 32, 400, 400), 3, 32, 2)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_parts_take_little_memory_and_threads_share_them_evenly(workers):
    def parts(images, channels, size, kernel=3):
        pads, sizes = (kernel // 2,) * 2, (size, size)
        case = Case(
            images, channels, sizes, channels, sizes, (kernel,) * 2, ONE, pads, ONE, 1
        )  # fmt: skip
        floats = kernel**2 * channels**2
        found = parts_of(case, workers, floats)
        assert found % workers == 0
        activations = 2 * images * channels * size**2
        assert found == workers or found * floats <= activations / SHARE
        return found

    assert parts(1, 16, 100) == workers
    assert parts(64, 512, 4) == workers
    assert parts(4, 16, 512) == 4 * 512**2 // LONG // workers * workers
    assert parts(16, 512, 256) < 16 * 256**2 // LONG  # the memory, not the sum, is the limit


def test_any_number_of_threads():
    before = threads.get_num_threads()
    try:
        for workers in (1, 3):
            threads.set_num_threads(workers)
            check("rows", (2, 3, 512, 512), 3, 8)
            check("groups", (1, 16, 512, 512), 3, 16, 16)
    finally:
        threads.set_num_threads(before)
