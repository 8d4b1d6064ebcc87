"""Working memory: what a thread keeps, and how much a kernel may ask for."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import compiling, convolution, threads
from tinygrad_cv.backend.memory import Block, scratch, stats

pytestmark = pytest.mark.usefixtures("in_use")

needs_kernels = pytest.mark.skipif(not compiling.usable(), reason="needs Numba")


def test_what_is_kept_is_counted_until_the_cache_is_emptied():
    start = stats().scratch
    scratch((1000,), np.float32, "test.counted")
    first = stats().scratch - start
    assert 4000 <= first <= 4096
    scratch((500,), np.float32, "test.counted")
    assert stats().scratch - start == first
    scratch((100_000,), np.float32, "test.counted")
    assert 400_000 <= stats().scratch - start <= 430_000
    memory.empty_cache()
    assert stats().scratch <= start


def test_large_working_memory_goes_back_to_the_pool(in_use):
    kept = stats().scratch
    large = scratch((memory.KEPT_BYTES + 1,), np.uint8, "test.large")
    assert type(large.base) is Block
    assert (in_use() > memory.KEPT_BYTES, stats().scratch) == (True, kept)
    del large
    assert in_use() == 0
    assert scratch((memory.KEPT_BYTES,), np.uint8, "test.large").base is not None
    assert in_use() == 0


def test_a_thread_that_ends_leaves_nothing():
    start, during = stats().scratch, []

    def work():
        scratch((1000,), np.float32, "test.counted")
        during.append(stats().scratch)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during[0] >= start + 4000
    assert stats().scratch == start


@needs_kernels
def test_the_gradient_of_average_pooling_keeps_nothing_of_its_size(in_use):
    from tinygrad_cv.backend.cpu import pool

    grad = np.ones((8, 64, 32, 32), np.float32)
    memory.empty_cache()
    result = pool.avg_pool_input_grad(
        np, grad, (8, 64, 64, 64), (2, 2), (2, 2), ((0, 0), (0, 0)), False, True, None
    )
    assert in_use() == result.nbytes
    assert stats().scratch < grad.nbytes / 8


@needs_kernels
def test_lines_of_a_wide_image_with_many_channels_are_few():
    """The input gradient of 3 -> 256 channels at a width of 1024."""
    size = (1, 64, 1024)
    case = convolution._case(
        (1, 256, *size[1:]), (3, 256, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    )
    room, together, width = convolution._lines(case)
    assert room.nbytes // threads.get_num_threads() <= convolution.PADDED
    assert 1 <= together < convolution.LINES
    assert width == 1026
    narrow = replace(case, channels=16, sizes=(64, 64), positions=(64, 64))
    assert convolution._lines(narrow)[1] == convolution.LINES


@needs_kernels
def test_parts_of_a_weight_gradient_are_bounded_in_bytes(monkeypatch):
    rng, seen = np.random.default_rng(0), []
    x = rng.standard_normal((2, 64, 16, 16), np.float32)
    g = rng.standard_normal((2, 32, 16, 16), np.float32)

    def sums(*shape):
        seen.append(shape)
        return np.empty(shape, np.float32)

    monkeypatch.setattr(convolution, "partial_sums", sums)
    monkeypatch.setattr(convolution, "_workers", lambda: 4)
    arguments = (np, x, g, (32, 64, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    expected = np.einsum("nihw,nohw->oi", x, g)[:, :, None, None]
    weight = 32 * 64 * 4
    for bound in (convolution.PARTS, 2 * weight, weight // 2):
        monkeypatch.setattr(convolution, "PARTS", bound)
        result = convolution.conv_weight_grad(*arguments)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)
    assert [shape[0] for shape in seen] == [4, 2]  # one part is the result itself
    assert math.prod(seen[1]) * 4 <= 2 * weight
