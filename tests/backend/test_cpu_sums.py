"""The compiled sum per channel: equal to a sum in float64, and chosen only where it is right."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import sums, threads
from tinygrad_cv.backend.spec import spec_of


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(sums, "SMALLEST", 0)


def image(shape):
    rows = np.random.default_rng(3).standard_normal((shape[0], *shape[2:], shape[1]))
    return np.moveaxis(rows.astype(np.float32), -1, 1)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    "shape",
    [(64, 6, 28, 28), (2, 3, 5), (3, 7, 11, 13), (1, 700, 2, 3), (2, 2, 3, 40, 50), (1, 5, 1, 1)],
)
def test_it_equals_a_sum_in_float64(shape, workers):
    x, axes = image(shape), (0, *range(2, len(shape)))
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        found = sums.channel_sum(np, x, axes, False)
        again = sums.channel_sum(np, x, axes, True)
    finally:
        threads.set_num_threads(before)
    wide = x.astype(np.float64)
    bound = 2e-6 * np.sqrt((wide**2).sum(axes)) + 1e-7 * np.abs(wide.sum(axes))
    assert found.dtype == np.float32
    assert (np.abs(found - wide.sum(axes)) <= bound).all()
    np.testing.assert_array_equal(again, found.reshape(1, -1, *(1,) * (len(shape) - 2)))


def test_the_error_does_not_grow_with_the_number_of_pixels(monkeypatch):
    monkeypatch.setattr(sums, "RUN", 1)
    x = np.abs(image((16, 2, 300, 300)))
    expected = x.sum((0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(sums.channel_sum(np, x, (0, 2, 3), False), expected, rtol=1e-6)


def test_what_is_not_finite_stays_in_its_channel():
    x = image((4, 5, 20, 20))
    x[1, 1, 3, 4], x[2, 3, 5, 6] = np.nan, np.inf
    found = sums.channel_sum(np, x, (0, 2, 3), False)
    np.testing.assert_array_equal(np.isfinite(found), [True, False, True, False, True])
    assert np.isnan(found[1])
    assert found[3] == np.inf


ROWS = [((3, 7, 64), 1), ((5, 1030), 1), ((2, 3, 40, 50), 2), ((4, 5), 1), ((70, 1), 1)]


def compare_rows(shape, kept):
    """Sums and moments over the last axes, and their gradients, against NumPy's in float64."""
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32) + 3
    g = np.random.default_rng(4).standard_normal(shape[:kept]).astype(np.float32)
    dims, wide = tuple(range(kept, len(shape))), x.astype(np.float64)
    close = np.testing.assert_allclose
    spread = g.reshape(g.shape + (1,) * len(dims))
    for keep in (False, True):
        close(sums.total(np, x, dims, keep), wide.sum(dims, keepdims=keep), 1e-6)
        close(sums.mean(np, x, dims, keep), wide.mean(dims, keepdims=keep), 1e-6)
        for ddof in (0, 1):
            if math.prod(shape[kept:]) == ddof:
                continue  # 0/0: the table asks for none of these
            found = sums.var(np, x, dims, keep, ddof)
            close(found, wide.var(dims, keepdims=keep, ddof=ddof), 1e-5)
            deviation = wide.std(dims, keepdims=True, ddof=ddof)
            close(sums.std(np, x, dims, keep, ddof), deviation.reshape(found.shape), 1e-5)
            given = spread if keep else g
            freedom = math.prod(shape[kept:]) - ddof
            centred = wide - wide.mean(dims, keepdims=True)
            (found,) = sums.var_vjp(np, given, (True,), x, dims, ddof)
            close(found, spread * 2 * centred / freedom, 1e-4, 1e-7)
            y = sums.std(np, x, dims, keep, ddof)
            (found,) = sums.std_vjp(np, given, (True,), x, y, dims, ddof)
            with np.errstate(invalid="ignore", divide="ignore"):
                expected = np.where(deviation, spread * centred / freedom / deviation, 0)
            close(found, expected, 1e-4, 1e-6)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("shape", "kept"), ROWS)
def test_rows(shape, kept, workers, monkeypatch):
    monkeypatch.setattr(sums, "SHORTEST", 0)
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        compare_rows(shape, kept)
    finally:
        threads.set_num_threads(before)


def test_equal_numbers_do_not_vary():
    x = np.full((4, 100_000), 0.1, np.float32)
    assert (sums.var(np, x, (1,), False, 1) == 0).all()
    assert (sums.mean(np, x, (1,), False) == np.float32(0.1)).all()
    g, y = np.ones(4, np.float32), sums.std(np, x, (1,), False, 1)
    assert (sums.std_vjp(np, g, (True,), x, y, (1,), 1)[0] == 0).all()


def test_memory_that_is_not_row_major():
    x = image((2, 5, 8, 8))[:, :, ::2]
    np.testing.assert_allclose(sums.total(np, x, (2, 3), False), x.sum((2, 3)), 1e-5, 1e-6)
    np.testing.assert_allclose(
        sums.mean(np, x[0, 0, :, 0], (0,), False), x[0, 0, :, 0].mean(), 1e-5
    )
    (found,) = sums.var_vjp(np, np.ones((2, 5), "float32"), (True,), x, (2, 3), 1)
    assert found.flags.c_contiguous


def test_where_it_is_chosen(monkeypatch):
    def chosen(x, dims):
        return kernels.choose(kernels.candidates("sum"), "cpu", (spec_of(x),), (dims, False))

    x = image((2, 3, 8, 8))
    assert chosen(x, (0, 2, 3)).provider == "numba"
    assert chosen(x, (0, 2)) is None
    assert chosen(x[:0], (0, 2, 3)) is None
    assert chosen(np.ascontiguousarray(x), (0, 2, 3)) is None
    monkeypatch.setattr(sums, "SHORTEST", 64)
    assert chosen(np.ascontiguousarray(x), (2, 3)).provider == "numba"
    assert chosen(np.ascontiguousarray(x), (3,)) is None  # rows of 8
    assert chosen(x, (2, 3)) is None
    rows = (spec_of(image((40, 70))),)
    for correction, wanted in ((1, True), (70, False), (70.5, False)):
        found = kernels.choose(kernels.candidates("var"), "cpu", rows, ((1,), False, correction))
        assert (found is not None) == wanted
    assert chosen(x.astype(np.float64), (0, 2, 3)) is None
    found = tg.tensor(x).sum((0, 2, 3))
    np.testing.assert_allclose(found.numpy(), x.sum((0, 2, 3)), rtol=1e-5)
