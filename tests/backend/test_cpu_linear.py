"""The compiled fully connected layer: equal to a product in float64, chosen where it is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import linear, threads
from tinygrad_cv.backend.spec import spec_of

F = tg.nn.functional


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(linear, "SMALLEST", 0)


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


def close(found, expected, terms, size):
    """Within the error of a float32 sum of so many products of numbers of about that size."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= 4e-7 * (terms + 4) * size


@given(
    n=st.integers(1, 60), i=st.integers(1, 600), o=st.integers(1, 150),
    lead=st.booleans(), with_bias=st.booleans(), workers=st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_shape(n, i, o, lead, with_bias, workers):
    x, w, b, g = random(n, i), random(o, i, seed=1), random(o, seed=2), random(n, o, seed=3)
    shape = (n, 1) if lead else (n,)
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        y = linear.linear(np, x.reshape(*shape, i), w, b if with_bias else None)
        dx = linear.input_grad(np, g.reshape(*shape, o), w)
        dw = linear.weight_grad(np, g.reshape(*shape, o), x.reshape(*shape, i))
    finally:
        threads.set_num_threads(before)
    wide_x, wide_w, wide_g = (a.astype(np.float64) for a in (x, w, g))
    expected = wide_x @ wide_w.T + (b if with_bias else 0)
    close(y, expected.reshape(*shape, o), i, 8)
    close(dx, (wide_g @ wide_w).reshape(*shape, i), o, 8)
    close(dw, wide_g.T @ wide_x, n, 8)


def test_arrays_with_gaps_and_read_only_ones():
    x, w = random(20, 30)[::2, ::3], random(30, 7, seed=1).T[:, ::3]
    b, g = random(14, seed=2)[::2], random(10, 7, seed=3)
    for array in (x, w, b, g):
        array.flags.writeable = False
    np.testing.assert_allclose(linear.linear(np, x, w, b), x @ w.T + b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(linear.input_grad(np, g, w), g @ w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(linear.weight_grad(np, g, x), g.T @ x, rtol=1e-4, atol=1e-5)


def test_the_error_of_a_long_sum_stays_small():
    x, g = random(40_000, 24) + 1, random(40_000, 8, seed=1) + 1
    expected = g.astype(np.float64).T @ x.astype(np.float64)
    error = np.abs(linear.weight_grad(np, g, x) - expected).max()
    assert error <= 2e-6 * np.abs(expected).max()


def test_what_is_not_finite_reaches_its_row_and_column_only():
    x, w = random(9, 20), random(33, 20, seed=1)
    x[4, 7], w[17, 3] = np.nan, np.inf
    y = linear.linear(np, x, w, None)
    expected = np.ones((9, 33), bool)
    expected[4], expected[:, 17] = False, False
    np.testing.assert_array_equal(np.isfinite(y), expected)
    assert np.isnan(y[4]).all()
    assert np.isinf(np.delete(y[:, 17], 4)).all()


def chosen(op, *arrays):
    specs = tuple(None if a is None else spec_of(a) for a in arrays)
    kernel = kernels.choose(kernels.candidates(op), "cpu", specs, ())
    return kernel is not None and kernel.provider == "numba"


def test_where_it_is_chosen(any_size):
    x, w, b, g = random(8, 5), random(3, 5), random(3), random(8, 3)
    assert chosen("linear", x, w, b)
    assert chosen("linear", x[:, None], w, None)
    assert chosen("linear_input_grad", g, w)
    assert chosen("linear_weight_grad", g, x)
    for wrong in [
        (x.astype(np.float64), w, b), (x, w.astype(np.float64), b), (x, w, b.astype(np.float64)),
        (x[:, :4], w, b), (x, w, b[:2]), (x[0], w, b), (x, w[0], None), (x, w[None], b),
        (x, random(3, 5, 5), b),
    ]:  # fmt: skip
        assert not chosen("linear", *wrong)
    assert not chosen("linear_input_grad", x, w)
    assert not chosen("linear_input_grad", g, random(3, 5, 5))
    assert not chosen("linear_weight_grad", g[:7], x)
    assert not chosen("linear_weight_grad", g[:, None], x)


def test_sizes():
    assert not chosen("linear", random(64, 8), random(10, 8), None)
    assert chosen("linear", random(64, 400), random(120, 400), None)
    assert not chosen("linear", np.empty((0, 400), np.float32), random(120, 400), None)


def test_one_thread_leaves_more_to_the_library(monkeypatch):
    for count, expected in ((1, False), (2, True)):
        monkeypatch.setattr(threads, "_count", count)
        assert chosen("linear", random(64, 100), random(100, 100), None) is expected


def test_the_layer_trains_with_it_as_with_the_reference(any_size):
    x, labels = tg.tensor(random(16, 40)), tg.tensor(np.arange(16) % 5)

    def gradients():
        tg.manual_seed(0)
        net = tg.nn.Sequential(tg.nn.Linear(40, 30), tg.nn.ReLU(), tg.nn.Linear(30, 5))
        F.cross_entropy(net(x), labels).backward()
        return [p.grad.numpy() for p in net.parameters()]

    ours = gradients()
    with tg.use_kernels("reference"):
        reference = gradients()
    for a, b in zip(ours, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
