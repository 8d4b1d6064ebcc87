"""Compiled order statistics of windows: the values and taps of the reference, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import median, threads
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.ops.median_filter import RankFilter, RankPairFilter

F = tg.nn.functional


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(median, "SMALLEST", 0)


def image(shape, values="many", memory="contiguous", seed=5):
    rng = np.random.default_rng(seed)
    if values == "many":
        found = rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape)
    elif values == "few":  # many ties, two zeros among them
        found = rng.choice([-1.0, -0.0, 0.0, 1.0], shape)
    else:
        found = rng.choice(
            [np.nan, np.inf, -np.inf, 1.0, 2.0], shape, p=[0.05, 0.2, 0.2, 0.3, 0.25]
        )
    found = found.astype(np.float32)
    if memory == "channels_last":
        found = np.moveaxis(np.ascontiguousarray(np.moveaxis(found, 1, -1)), -1, 1)
    elif memory == "strided":
        found = found.repeat(2, axis=3)[..., ::2]
    found.flags.writeable = False
    return found


def compare(x, kernel, stride):
    """All ranks that have a kernel of their own, and those at the ends."""
    taps = math.prod(kernel)
    calls = [
        (RankFilter, median.rank_filter, rank)
        for rank in sorted({0, taps // 3, taps // 2, taps - 1})
    ]
    if taps > 1:
        ranks = sorted({0, taps // 2 - 1, taps - 2})
        calls += [(RankPairFilter, median.rank_pair_filter, rank) for rank in ranks]
    for op, function, rank in calls:
        assert median._takes((spec_of(x),), (kernel, stride, rank))
        expected = op.forward(np, x, kernel, stride, rank)
        for a, b in zip(function(np, x, kernel, stride, rank), expected, strict=True):
            assert (a.dtype, layout_of(a)) == (b.dtype, layout_of(b))
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("values", ["many", "few", "not finite"])
@pytest.mark.parametrize("memory", ["contiguous", "channels_last", "strided"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_it_is_the_reference(memory, values, data):
    square = st.sampled_from([(3, 3), (5, 5)])
    kernel = data.draw(st.one_of(square, st.tuples(st.integers(1, 5), st.integers(1, 7))))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    channels = data.draw(st.sampled_from([1, 2, 17]))
    size = (data.draw(st.integers(k, limit)) for k, limit in zip(kernel, (9, 80), strict=True))
    compare(image((data.draw(st.integers(0, 2)), channels, *size), values, memory), kernel, stride)


def test_windows_of_many_taps():
    compare(image((1, 1, 18, 40), "few"), (17, 16), (1, 1))
    x = image((1, 1, 184, 200))
    assert not median._takes((spec_of(x),), ((182, 181), (1, 1), 5))
    compare(x, (180, 182), (1, 3))


@pytest.mark.parametrize("kernel", [3, 5, (4, 5)])
def test_the_filter_runs_on_it(kernel, monkeypatch):
    seen = []
    for name in ("median", "rank_pair"):
        from tinygrad_cv.backend.cpu.compiled import median as compiled

        original = getattr(compiled, name)
        monkeypatch.setattr(
            compiled, name, lambda *args, f=original, name=name: (seen.append(name), f(*args))
        )
    x = image((2, 3, 20, 30))
    found = F.median_filter(x, kernel, padding="same", padding_mode="reflect").numpy()
    assert seen == ["rank_pair" if isinstance(kernel, tuple) else "median"]
    with kernels.use("reference"):
        expected = F.median_filter(x, kernel, padding="same", padding_mode="reflect").numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_any_number_of_threads(workers):
    before = threads.get_num_threads()
    threads.set_num_threads(workers)
    try:
        for kernel in ((3, 3), (2, 4)):
            compare(image((2, 3, 8, 40), "not finite"), kernel, (2, 1))
    finally:
        threads.set_num_threads(before)


def test_small_images_are_left_to_the_reference(monkeypatch):
    monkeypatch.setattr(median, "SMALLEST", 1 << 13)
    assert not median._takes((spec_of(image((1, 1, 60, 60))),), ((3, 3), (1, 1), 4))
    assert not median._takes((spec_of(np.zeros((1, 1, 600, 600))),), ((3, 3), (1, 1), 4))
