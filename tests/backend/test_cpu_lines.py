"""Compiled work along one axis: equal to loops, on any threads, and only where it fits."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import lines, threads
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.ops.places import along
from tinygrad_cv.ops.scatter_reduce import ScatterMax, ScatterMin

SHAPES = [
    ((3, 7), 1),
    ((9, 5), 1),
    ((5, 4, 6), 1),
    ((4, 3, 2, 5), 0),
    ((2, 3, 700), 1),
    ((1, 1), 0),
]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(lines, "SMALLEST", 0)
    monkeypatch.setattr(lines, "WIDTH", 16)
    monkeypatch.setattr(lines, "HELD", 64)


@pytest.fixture(params=[1, 3])
def workers(request):
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)


def image(shape, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positions(shape, size, seed=6):
    return np.random.default_rng(seed).integers(0, size, shape)


def compare_scans(shape, dim):
    """All scans against NumPy's in float64."""
    x, a = image(shape), image(shape, 1)
    wide, flip = x.astype(np.float64), lambda y: np.flip(y, dim)
    for kernel, scan in ((lines.cumsum, np.cumsum), (lines.cumprod, np.cumprod)):
        for reverse in (False, True):
            expected = flip(scan(flip(wide), dim)) if reverse else scan(wide, dim)
            np.testing.assert_allclose(kernel(np, x, dim, reverse), expected, 1e-5, 1e-6)
    for reverse in (False, True):
        y = np.moveaxis(wide.copy(), dim, 0)
        b = np.moveaxis(a, dim, 0)
        for k in range(len(y) - 1):
            if reverse:
                y[-k - 2] += b[-k - 1] * y[-k - 1]
            else:
                y[k + 1] += b[k + 1] * y[k]
        found = lines.recurrence(np, x, a, dim, reverse)
        np.testing.assert_allclose(np.moveaxis(found, dim, 0), y, 1e-4, 1e-5)
    for kernel, extreme in ((lines.cummax, np.maximum), (lines.cummin, np.minimum)):
        values, places = kernel(np, x, dim)
        np.testing.assert_array_equal(values, extreme.accumulate(x, dim))
        np.testing.assert_array_equal(np.take_along_axis(x, places, dim), values)


def compare_gather(shape, dim, count=4):
    """gather and its adjoints against loops."""
    index = positions((*shape[:dim], count, *shape[dim + 1 :]), shape[dim])
    x, g = image(shape), image(index.shape, 2)
    found = lines.gather(np, x, index - shape[dim], dim, False)  # from the end
    np.testing.assert_array_equal(found, np.take_along_axis(x, index, dim))
    expected, rows = np.zeros(shape), np.zeros(shape)
    places = along("index_select", x, dim, index.reshape(-1)[: index.shape[dim]])
    for at in np.ndindex(index.shape):
        expected[*at[:dim], index[at], *at[dim + 1 :]] += g[at]
        rows[*at[:dim], places.flat[at[dim]], *at[dim + 1 :]] += g[at]
    near = 1e-6 * max(count / 5, 1)  # of numbers up to count
    found = lines.gather_grad(np, g, index, shape, dim, False)
    np.testing.assert_allclose(found, expected, 1e-6, near)
    np.testing.assert_allclose(lines.index_grad(np, g, shape, places, False), rows, 1e-6, near)


def compare_extrema(shape, dim, count=4):
    """scatter_max and scatter_min, with many ties, and their gradients against the reference."""
    index = positions((*shape[:dim], count, *shape[dim + 1 :]), shape[dim])
    x, s = image(shape).round(0), image(index.shape, 2).round(0)
    s.reshape(-1)[-1] = math.nan
    for op, kernel in ((ScatterMax, lines.scatter_max), (ScatterMin, lines.scatter_min)):
        for own in (True, False):
            with np.errstate(invalid="ignore"):
                y = op.forward(np, x, index, s, dim, own)
            found = kernel(np, x, index - shape[dim], s, dim, own)
            np.testing.assert_array_equal(found, y)
            g, needs = image(shape, 3), (True, False, True)
            dx, _, ds = lines.scatter_extremum_vjp(np, g, needs, x, index, s, y, dim, own)
            rules = (op.vjp_input, op.vjp_src)
            wide = [a.astype(np.float64) for a in (x, s, y)]
            expected = [rule(g, wide[0], index, *wide[1:], dim, own) for rule in rules]
            np.testing.assert_allclose(dx, expected[0], 1e-6)
            np.testing.assert_allclose(ds, expected[1], 1e-6)


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("count", [1, 5])
def test_extrema_at_positions(shape, dim, count, workers):
    compare_extrema(shape, dim, count)


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_scans(shape, dim, workers):
    compare_scans(shape, dim)


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("count", [1, 5, 70])
def test_gather(shape, dim, count, workers):
    compare_gather(shape, dim, count)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4)])
def test_extrema_of_ties_and_nan(shape):
    x = image(shape).round(0)
    x[1, 2], x[2, 0] = math.nan, math.nan
    for name in ("cummax", "cummin"):
        values, places = getattr(lines, name)(np, x, 1)
        with kernels.use("reference"):
            expected = getattr(tg, name)(tg.tensor(x), 1)
        np.testing.assert_array_equal(values, expected.values.numpy())
        np.testing.assert_array_equal(places, expected.indices.numpy())


def test_a_recurrence_begins_without_a_factor():
    x, a = image((6, 3)), image((6, 3), 1)
    a[:, 0], a[:, -1] = math.inf, 1.0
    assert np.isfinite(lines.recurrence(np, x, a, 1, False)).all()
    assert np.isfinite(lines.recurrence(np, x, a[:, ::-1].copy(), 1, True)[:, 2]).all()


def test_the_error_does_not_grow_with_the_length():
    x = np.full((4, 100_000), 0.1, np.float32)
    found = lines.cumsum(np, x, 1, False)
    np.testing.assert_allclose(found[:, -1], x[0].sum(dtype=np.float64), rtol=1e-7)
    found = lines.gather_grad(np, x, np.zeros(x.shape, int), (4, 1), 1, False)
    np.testing.assert_allclose(found, x[:1].sum(dtype=np.float64), rtol=1e-7)


def test_memory_orders():
    x = np.moveaxis(image((2, 4, 5, 3)), -1, 1)  # channels-last
    for dim in range(4):
        found = lines.cumsum(np, x, dim, False)
        assert found.strides == x.strides
        np.testing.assert_allclose(found, np.cumsum(x, dim), 1e-5, 1e-6)
    found = lines.recurrence(np, x, image(x.shape), 1, False)
    assert found.flags.c_contiguous


def test_where_they_are_chosen():
    def chosen(op, arrays, *attributes):
        found = kernels.choose(
            kernels.candidates(op), "cpu", tuple(map(spec_of, arrays)), attributes
        )
        return found is not None

    x, index = image((3, 4)), positions((3, 2), 4)
    assert chosen("cumsum", [x], 1, False)
    assert not chosen("cumsum", [x.astype(np.float64)], 1, False)
    assert not chosen("cumsum", [x[0, 0]], 0, False)
    assert not chosen("cumsum", [x[:0]], 1, False)
    assert chosen("gather", [x, index], 1, False)
    assert not chosen("gather", [x, index], 1, True)
    assert not chosen("gather", [x, index[:2]], 1, False)
    assert not chosen("gather", [x, index.astype(np.int32)], 1, False)
    assert chosen("gather_grad", [x[:, :2], index], (3, 4), 1, False)
    assert not chosen("gather_grad", [x[:, :2], index], (5, 4), 1, False)
    assert not chosen("index_grad", [x], (3, 9), along("x", np.zeros((3, 9)), 1, index), False)
    assert chosen("scatter_max", [x, index, x[:, :2]], 1, True)
    assert not chosen("scatter_max", [x, index, x], 1, True)
    assert not chosen("scatter_min", [x, index[:2], x[:2, :2]], 1, False)
    assert chosen("recurrence", [x, x], 1, False)
    assert chosen("cummax", [x], 1)
    assert not chosen("cummax", [np.moveaxis(image((2, 4, 5, 3)), -1, 1)], 1)
