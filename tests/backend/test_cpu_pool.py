"""Compiled pooling: equal to the reference over any geometry, in one to three dimensions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import pool, threads
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.backend.windows import output_size
from tinygrad_cv.ops.adaptive_pool import (
    AdaptiveAvgPool,
    AdaptiveAvgPoolInputGrad,
    AdaptiveMaxPool,
)
from tinygrad_cv.ops.avg_pool import AvgPool, AvgPoolInputGrad
from tinygrad_cv.ops.pool import MaxPool, MaxPoolScatter

F = tg.nn.functional
CHANNELS = [1, 2, 6, 16, 17, 35]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(pool, "SMALLEST", 0)


def channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def image(shape, values="many", seed=5):
    rng = np.random.default_rng(seed)
    if values == "many":
        found = rng.standard_normal(shape)
    elif values == "few":  # many ties
        found = rng.integers(-2, 3, shape)
    else:
        found = rng.choice([np.nan, 1.0, 2.0, -np.inf, np.inf], shape)
    array = channels_last(found.astype(np.float32))
    array.flags.writeable = False
    return array


def same(real, expected, close=False):
    assert (real.shape, real.dtype, layout_of(real)) == (
        expected.shape,
        expected.dtype,
        layout_of(expected),
    )
    if close:
        np.testing.assert_allclose(real, expected, rtol=2e-6, atol=5e-6)  # sums up to about 10
    else:
        np.testing.assert_array_equal(real, expected)


@st.composite
def geometries(draw, dilated):
    """(shape, kernel, stride, padding, dilation, ceil_mode) that infer accepts."""
    n = draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * n))
    stride = draw(st.tuples(*[st.integers(1, 5)] * n))
    dilation = draw(st.tuples(*[st.integers(1, 3 if dilated else 1)] * n))
    padding = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in kernel)
    sizes = tuple(draw(st.integers(max(1, d), 9)) for d in dilation)
    ceil = draw(st.booleans())
    axes = zip(sizes, kernel, stride, padding, dilation, strict=True)
    assume(min(output_size(*axis, ceil) for axis in axes) >= 1)
    shape = (draw(st.integers(0, 3)), draw(st.sampled_from(CHANNELS)), *sizes)
    return shape, kernel, stride, padding, dilation, ceil


ORDERS = st.sampled_from([channels_last, np.ascontiguousarray])


@pytest.mark.parametrize("values", ["few", "not finite"])
@given(case=geometries(dilated=True), order=ORDERS)
@settings(max_examples=100, deadline=None)
def test_max_pooling(values, case, order):
    shape, *attrs, ceil = case
    x = order(image(shape, values))
    assert pool._takes_pool((spec_of(x),), (*attrs, ceil)) or layout_of(x) == "contiguous"
    expected = MaxPool.forward(np, x, *attrs, ceil)
    found = pool.max_pool(np, x, *attrs, ceil)
    for a, b in zip(found, expected, strict=True):
        same(a, b)
    for g in (image(found[0].shape, "few", 6), np.ascontiguousarray(image(found[0].shape, values))):
        spread = pool.max_pool_scatter(np, g, found[1], shape, *attrs)
        with np.errstate(invalid="ignore"):
            same(spread, MaxPoolScatter.forward(np, g, expected[1], shape, *attrs))


@pytest.mark.parametrize("values", ["many", "not finite"])
@pytest.mark.parametrize("divisor", [None, 3, -2])
@pytest.mark.parametrize("include_pad", [True, False])
@given(case=geometries(dilated=False), order=ORDERS)
@settings(max_examples=40, deadline=None)
def test_average_pooling(values, divisor, include_pad, case, order):
    shape, kernel, stride, padding, _, ceil = case
    x, attrs = order(image(shape, values)), (kernel, stride, padding, ceil, include_pad, divisor)
    with np.errstate(invalid="ignore"):
        expected = AvgPool.forward(np, x, *attrs)
        same(pool.avg_pool(np, x, *attrs), expected, close=True)
        g = order(image(expected.shape, values, 6))
        expected = AvgPoolInputGrad.forward(np, g, shape, *attrs)
        same(pool.avg_pool_input_grad(np, g, shape, *attrs), expected, close=True)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_adaptive_pooling(data):
    n = data.draw(st.integers(1, 3))
    sizes = data.draw(st.tuples(*[st.integers(1, 9)] * n))
    positions = data.draw(st.one_of(st.just((1,) * n), st.tuples(*[st.integers(1, 11)] * n)))
    shape = (data.draw(st.integers(0, 3)), data.draw(st.sampled_from(CHANNELS)), *sizes)
    assume(math.prod(sizes) > 1)
    order = data.draw(ORDERS)
    x = order(image(shape))
    expected = AdaptiveAvgPool.forward(np, x, positions)
    same(pool.adaptive_avg_pool(np, x, positions), expected, close=True)
    g = order(image(expected.shape, seed=6))
    expected = AdaptiveAvgPoolInputGrad.forward(np, g, shape)
    assert pool._takes_adaptive_grad((spec_of(g),), (shape,)) or layout_of(g) == "contiguous"
    same(pool.adaptive_avg_pool_input_grad(np, g, shape), expected, close=True)
    few = order(image(shape, "few", 7))
    _, _, argmax = expected = AdaptiveMaxPool.forward(np, few, positions)
    if pool._takes_adaptive_max((spec_of(few),), (positions,)):
        assert argmax.dtype == np.uint8
        for a, b in zip(pool.adaptive_max_pool(np, few, positions), expected, strict=True):
            same(a, b)
    whole = order(image(argmax.shape, "few", 6))
    attrs = (shape, None, None, None, None)
    expected = MaxPoolScatter.forward(np, whole, argmax, *attrs)
    if argmax.dtype == np.uint8:
        takes = pool._takes_scatter((spec_of(whole), spec_of(argmax)), attrs)
        assert takes or layout_of(argmax) == "contiguous"
        same(pool.max_pool_scatter(np, whole, argmax, *attrs), expected)


def test_the_mean_of_many_pixels_keeps_its_digits():
    x = image((1, 3, 300, 400)) + np.float32(50)
    mean = pool.adaptive_avg_pool(np, channels_last(x), (1, 1))
    np.testing.assert_allclose(mean, x.mean((2, 3), np.float64, keepdims=True), rtol=2e-6)


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(workers):
    x, attrs = image((3, 20, 9, 7)), ((3, 2), (2, 1), ((1, 1), (1, 0)))
    before = threads.get_num_threads()

    def results():
        y, k = pool.max_pool(np, x, *attrs, (1, 1), True)
        means = pool.avg_pool(np, x, *attrs, True, False, None)
        return (
            y,
            pool.max_pool_scatter(np, y, k, x.shape, *attrs, (1, 1)),
            means,
            pool.avg_pool_input_grad(np, means, x.shape, *attrs, True, False, None),
        )

    expected = results()
    try:
        threads.set_num_threads(workers)
        for _ in range(3):
            for a, b in zip(results(), expected, strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        threads.set_num_threads(before)


def test_gradients_through_the_engine():
    grads = []
    for provider in ("numba", "reference"):
        with kernels.use(provider):
            tensor = tg.tensor(image((2, 16, 9, 9))).contiguous("channels_last").requires_grad_()
            y = F.avg_pool2d(F.max_pool2d(tensor, 2, ceil_mode=True), 2, 1)
            (F.adaptive_avg_pool2d(y**2, 1).flatten(1).sin() ** 2).sum().backward()
            grads.append(tensor.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-5, atol=1e-6)


def test_what_is_declined():
    near, pads = (1, 1), ((0, 0), (0, 0))
    x = image((2, 16, 8, 8))
    spec = spec_of(x)
    max_attrs = ((2, 2), (2, 2), pads, near, False)
    assert pool._takes_pool((spec,), max_attrs)
    assert not pool._takes_pool((spec._replace(dtype=np.dtype("float64")),), max_attrs)
    assert pool._takes_pool((spec._replace(layout="contiguous"),), max_attrs)
    few = spec._replace(shape=(2, 7, 8, 8), layout="contiguous")
    assert not pool._takes_pool((few,), max_attrs)  # a vector would not be filled
    assert pool._takes_adaptive_max((spec,), ((2, 2),))
    assert not pool._takes_adaptive_max((spec._replace(shape=(2, 16, 32, 32)),), ((2, 2),))
    assert not pool._takes_pool((spec,), ((20, 20), *max_attrs[1:]))  # no byte numbers so many taps
    means = ((2, 2), (2, 2), pads, False, True, None)
    assert pool._takes_means((spec,), means)
    assert not pool._takes_means((spec,), ((7, 7), (1, 1), *means[2:]))
    grad = spec._replace(shape=(2, 16, 4, 4))
    argmax = grad._replace(dtype=np.dtype("uint8"))
    assert pool._takes_scatter((grad, argmax), (x.shape, *max_attrs[:4]))
    for other in (grad, argmax._replace(shape=(2, 16, 4, 3)), argmax._replace(shape=(1, 16, 4, 4))):
        assert not pool._takes_scatter((grad, other), (x.shape, *max_attrs[:4]))
    assert not pool._takes_means_grad((grad._replace(shape=(2, 15, 4, 4)),), (x.shape, *means))


@pytest.mark.parametrize("values", ["few", "not finite"])
@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray])
def test_the_largest_of_a_plane_is_that_of_loops(values, order):
    x = order(image((3, 5, 7, 9), values))
    output, indices, _ = AdaptiveMaxPool.forward(np, x, (1, 1))
    for n, c in np.ndindex(3, 5):
        plane = x[n, c].reshape(-1)
        nan = np.flatnonzero(np.isnan(plane))
        place = nan[-1] if nan.size else int(np.flatnonzero(plane == plane.max())[0])
        assert indices[n, c, 0, 0] == place
        np.testing.assert_array_equal(output[n, c, 0, 0], plane[place])


def test_a_gradient_in_rows_is_taken_whatever_the_channels():
    specs = [spec_of(np.zeros((2, 3, 4, 4), kind)) for kind in ("float32", "uint8")]
    attributes = (2, 3, 8, 8), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)
    assert pool._takes_scatter(tuple(specs), attributes)
    assert not pool._takes_scatter((specs[0], specs[1]._replace(dtype=np.dtype("i4"))), attributes)
