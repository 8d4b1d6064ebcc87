"""Compiled batch norm and elementwise operators equal their references, gradients included."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import elementwise, norm
from tinygrad_cv.nn import functional as F


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(norm, "SMALLEST", 0)
    monkeypatch.setattr(elementwise, "SMALLEST", 0)


def image(*shape, seed=0, offset=0.0):
    values = np.random.default_rng(seed).standard_normal(shape) + offset
    return values.astype(np.float32)


def results(function, provider, *arrays, layout="channels_last"):
    """The output and all gradients."""
    leaves = [tg.tensor(a) for a in arrays]
    leaves = [t.contiguous(layout) if t.ndim > 2 else t for t in leaves]
    leaves = [t.detach().requires_grad_() for t in leaves]
    with kernels.use(provider):
        y = function(*leaves)
        (y * tg.arange(float(y.numel())).reshape(y.shape).sin()).sum().backward()
    return [y.detach().numpy(), *(t.grad.numpy() for t in leaves)]


SHAPES = [(2, 3, 4, 5), (4, 16, 7, 7), (1, 40, 3, 3), (64, 5), (3, 8, 2, 3, 4), (300, 2, 1, 1)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [*SHAPES, (16, 8, 64, 33)])  # the last in several blocks
def test_batch_norm(shape, training):
    c = shape[1]

    def function(x, w, b):
        return F.batch_norm(x, tg.zeros(c), tg.ones(c), w, b, training)

    arrays = image(*shape), image(c, seed=1), image(c, seed=2)
    for real, expected in zip(
        results(function, "numba", *arrays), results(function, "reference", *arrays), strict=True
    ):
        np.testing.assert_allclose(real, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("value", [0.1, 7.3, 100.0, 1e4])
def test_a_constant_channel_becomes_its_bias(value):
    x = tg.tensor(np.full((6, 8, 9, 10), value, np.float32)).contiguous("channels_last")
    bias = tg.arange(8.0)
    with kernels.use("numba"):
        y = F.batch_norm(x, None, None, bias=bias, training=True)
    np.testing.assert_array_equal(
        y.numpy(), np.broadcast_to(np.arange(8.0)[:, None, None], x.shape)
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "cut",
    [
        lambda a: a[:, :7], lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a[:20, :20].T,
        lambda a: np.broadcast_to(a[:1], (30, 14)), lambda a: a.reshape(40, 14, 1, 1)[:, :7],
    ],
)  # fmt: skip
def test_rows_with_gaps(cut, training):
    x = tg.from_numpy(cut(image(40, 14)))
    mean, var = tg.zeros(x.shape[1]) + 0.5, tg.ones(x.shape[1]) * 2
    found = []
    for provider in ("numba", "reference"):
        with kernels.use(provider):
            y = F.batch_norm(x, mean.clone(), var.clone(), training=training)
        found.append(y.numpy())
    np.testing.assert_allclose(*found, atol=2e-6)


def test_batch_norm_without_weights_and_with_a_large_mean():
    def function(x):
        return F.batch_norm(x, None, None, training=True)

    x = image(8, 16, 9, 9, offset=300.0)
    (real, _), (expected, _) = (results(function, p, x) for p in ("numba", "reference"))
    np.testing.assert_allclose(real, expected, atol=1e-4)
    exact = x.astype(np.float64)
    exact = exact - exact.mean((0, 2, 3), keepdims=True)
    exact /= np.sqrt((exact**2).mean((0, 2, 3), keepdims=True) + 1e-5)
    assert np.abs(real - exact).max() < 1e-4


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_and_addition(shape, layout):
    shape = (*shape, 1) if len(shape) == 2 else shape
    shape = (40 * shape[0], 16 * shape[1], *shape[2:])  # beyond the short path

    def function(x, y):
        return (x + y).relu() + y

    arrays = image(*shape), image(*shape, seed=1)
    for real, expected in zip(
        results(function, "numba", *arrays, layout=layout),
        results(function, "reference", *arrays, layout=layout),
        strict=True,
    ):
        np.testing.assert_array_equal(real, expected)


def test_what_is_not_finite_is_carried():
    x = image(64, 16, 8, 8)
    x[0, 0, 0, 0], x[1, 1, 1, 1], x[2, 2, 2, 2] = np.nan, np.inf, -np.inf
    for function in (
        tg.relu,
        lambda t: t + t,
        lambda t: F.batch_norm(t, None, None, training=True),
    ):
        real, expected = (results(function, p, x) for p in ("numba", "reference"))
        for a, b in zip(real, expected, strict=True):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_array_equal(np.isinf(a), np.isinf(b))


def test_strided_operands_are_left_to_numpy():
    x = tg.tensor(image(64, 16, 8, 20))[..., ::2]
    with kernels.use("numba"):
        real = (x + x).relu().numpy()
    np.testing.assert_array_equal(real, np.maximum(2 * x.numpy(), 0))


def test_who_serves():
    assert tg.kernels("batch_norm")["batch_norm"][0] == "numba (cpu)"
    assert tg.kernels("relu")["relu.vjp"][0] == "numba (cpu)"
