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


MIXED = [((2, 3, 5, 70), (0, 2, 3)), ((3, 700), (0, 1)), ((2, 3, 40), (0, 2)), ((5, 4), (1,))]
MIXED += [((2, 3, 5, 70), (1, 3)), ((2, 3, 5, 70), (3,)), ((2100,), (0,)), ((1, 1, 65), (0, 2))]


def compare_sums(shape, dims):
    """Sums over the last axes and others, of everything and of what is not NaN."""
    x = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    holes = np.where(x > 1, np.float32(np.nan), x)
    wide, close = x.astype(np.float64), np.testing.assert_allclose
    for keep in (False, True):
        expected = wide.sum(dims, keepdims=keep)
        near = {"rtol": 1e-6, "atol": 1e-6}
        close(sums.total(np, x, dims, keep), expected, **near)
        close(sums.mean(np, x, dims, keep), wide.mean(dims, keepdims=keep), **near)
        found = sums.row_sum(x, dims, keep, squares=True)
        close(found, (wide**2).sum(dims, keepdims=keep), 1e-6)
        close(sums.norm(np, x, 2.0, dims, keep), np.sqrt((wide**2).sum(dims, keepdims=keep)), 1e-6)
        found, count = sums.nansum(np, holes, dims, keep)
        close(found, np.nansum(holes.astype(np.float64), dims, keepdims=keep), **near)
        np.testing.assert_array_equal(count, (~np.isnan(holes)).sum(dims, keepdims=keep))
        assert (found.dtype, count.dtype) == (np.float32, np.int64)
        g = np.random.default_rng(6).standard_normal(found.shape).astype(np.float32)
        (dx,) = sums.nansum_vjp(np, g, (True,), holes, dims)
        spread = g.reshape([1 if k in dims else n for k, n in enumerate(shape)])
        np.testing.assert_array_equal(dx, np.where(np.isnan(holes), 0, spread))
    smaller = tuple(1 if axis in dims else size for axis, size in enumerate(shape))
    for wanted in (smaller, smaller[1:] if 0 in dims else smaller):
        found = sums.sum_to(np, x, wanted, None)
        close(found, wide.sum(dims).reshape(wanted), **near)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("shape", "dims"), MIXED)
def test_the_last_axes_and_others(shape, dims, workers):
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        compare_sums(shape, dims)
    finally:
        threads.set_num_threads(before)


def test_squares_that_are_too_large_or_too_small():
    x = np.full((2, 80), 1e-30, np.float32)
    x[1, 3] = 1e25
    with np.errstate(over="ignore"):
        assert sums.norm(np, x, 2.0, (1,), False).tolist() == [0, np.inf]


def test_nothing_is_known():
    x = np.full((3, 80), np.nan, np.float32)
    found, count = sums.nansum(np, x, (1,), False)
    assert found.tolist() == [0, 0, 0] == count.tolist()
    x[0, 3], x[1, 4], x[1, 5] = np.inf, np.inf, -np.inf
    found, count = sums.nansum(np, x, (1,), False)
    np.testing.assert_array_equal(found, [np.inf, np.nan, 0])
    assert tg.nanmean(tg.tensor(x), 1).tolist()[0] == np.inf


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
    assert chosen(np.ascontiguousarray(x), (0, 2, 3)).provider == "numba"
    monkeypatch.setattr(sums, "SHORTEST", 64)
    assert chosen(np.ascontiguousarray(x), (2, 3)).provider == "numba"
    assert chosen(np.ascontiguousarray(x), (3,)) is None  # rows of 8
    assert chosen(x, (2, 3)) is None
    rows = (spec_of(image((40, 70))),)
    for p, wanted in ((2.0, True), (1.0, False)):
        found = kernels.choose(kernels.candidates("norm"), "cpu", rows, (p, (1,), False))
        assert (found is not None) == wanted
    for correction, wanted in ((1, True), (70, False), (70.5, False)):
        found = kernels.choose(kernels.candidates("var"), "cpu", rows, ((1,), False, correction))
        assert (found is not None) == wanted
    assert chosen(x.astype(np.float64), (0, 2, 3)) is None
    found = tg.tensor(x).sum((0, 2, 3))
    np.testing.assert_allclose(found.numpy(), x.sum((0, 2, 3)), rtol=1e-5)
