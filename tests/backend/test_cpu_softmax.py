"""Compiled softmax: any axis and memory order equals the float64 reference, gradients too."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend.cpu import softmax, threads
from tinygrad_cv.backend.kernels import candidates
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.ops.softmax import LogSoftmax, Softmax

OPS = {"softmax": Softmax, "log_softmax": LogSoftmax}
SHAPES = [
    ((5,), 0),
    ((3, 40), 1),
    ((40, 3), 0),
    ((7, 4), 1),
    ((2, 5, 3, 7), 1),
    ((2, 6, 17, 33), 1),
]
SHAPES += [
    ((2, 6, 17, 33), 1),
    ((2, 6, 5, 7), 3),
    ((2, 6, 5, 7), 0),
    ((1, 300, 20), 1),
    ((4, 1000), 1),
]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(softmax, "SMALLEST", 0)
    monkeypatch.setattr(softmax, "SHORT", 1)


def serving(name):
    return next(k.function for k in candidates(name) if k.provider == "numba")


def lying(array, layout):
    if layout == "contiguous" or array.ndim < 3:
        return array
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def compare(name, shape, dim, layout, values="many"):
    rng = np.random.default_rng(3)
    x = lying((4 * rng.standard_normal(shape)).astype(np.float32), layout)
    if values != "many":
        x = lying(rng.choice([np.nan, np.inf, -np.inf, 1.0, 2.0], shape).astype(np.float32), layout)
    x.flags.writeable = False
    expected = OPS[name].forward(np, x.astype(np.float64), dim)
    found = serving(name)(np, x, dim)
    assert found.dtype == np.float32
    assert layout_of(found) == layout_of(x)
    np.testing.assert_allclose(found, expected, rtol=5e-6, atol=2e-6)
    if values != "many":
        return
    g = lying(rng.standard_normal(shape).astype(np.float32), layout)
    gradient = serving(f"{name}.vjp")(np, g, (True,), found, dim)
    wide = OPS[name].vjp_input
    wanted = wide(*map(tg.tensor, (g.astype(np.float64), expected)), dim).numpy()
    np.testing.assert_allclose(gradient[0], wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_it_equals_the_reference(name, shape, dim, layout, workers):
    before = threads.get_num_threads()
    threads.set_num_threads(workers)
    try:
        compare(name, shape, dim, layout)
        with np.errstate(invalid="ignore"):
            compare(name, shape, dim, layout, "not finite")
    finally:
        threads.set_num_threads(before)


def test_what_is_declined(monkeypatch):
    forward, gradient = serving("softmax"), serving("softmax.vjp")
    x = np.ones((4, 8), np.float32)
    assert forward(np, x[:, ::2], 1) is None
    assert gradient(np, x.astype(np.float64), (True,), x.astype(np.float64), 1) is None
    monkeypatch.setattr(softmax, "SHORT", 9)
    assert forward(np, x, 1) is None
    monkeypatch.setattr(softmax, "SMALLEST", 1 << 15)
    assert gradient(np, x, (True,), x, 1) is None


def test_gradients_through_the_engine():
    x = tg.tensor(np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32))
    for function in (tg.softmax, tg.log_softmax):
        grads = []
        for provider in ("numba", "reference"):
            leaf = x.detach().requires_grad_()
            with tg.use_kernels(provider):
                (function(leaf, 1) ** 2).sum().backward()
            grads.append(leaf.grad.numpy())
        np.testing.assert_allclose(*grads, rtol=2e-5, atol=2e-5)
