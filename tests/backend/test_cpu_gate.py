"""The compiled gated linear unit equals its reference, in every layout and along every axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import gate, threads
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.nn import functional as F


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(gate, "SMALLEST", 0)


def image(shape, seed=0):
    return 3 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def results(provider, x, dim, layouts):
    """The output and the gradient; input and gradient lie in the given layouts."""
    leaf = tg.tensor(x)
    leaf = (leaf.contiguous(layouts[0]) if x.ndim > 2 else leaf).detach().requires_grad_()
    with kernels.use(provider):
        y = F.glu(leaf, dim)
        given = tg.tensor(image(y.shape, 2))
        y.backward(given.contiguous(layouts[1]) if x.ndim > 2 else given)
    return y.detach().array, leaf.grad.array


def compare(x, dim, layouts=("contiguous", "contiguous")):
    found, expected = (results(p, x, dim, layouts) for p in ("numba", "reference"))
    assert layout_of(found[0]) == layout_of(expected[0])
    for real, wanted in zip(found, expected, strict=True):
        assert real.dtype == np.float32
        # 1 - s loses digits where s is nearly 1.
        np.testing.assert_allclose(real, wanted, rtol=3e-5, atol=1e-5)


LAYOUTS = st.sampled_from(["contiguous", "channels_last"])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.data(), LAYOUTS, LAYOUTS)
@settings(max_examples=60, deadline=None)
def test_any_shape_axis_and_layout(shape, data, one, two):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    shape[dim] *= 2
    compare(image(shape), dim, (one, two))


@pytest.mark.parametrize("dim", [0, 1, 3])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_what_is_not_finite_is_carried(dim, layout):
    x = image((4, 16, 9, 8))
    x[0, 0, :3], x[1, 1, :3], x[2, 2, :3], x[3, 3, :3] = np.nan, np.inf, -np.inf, -0.0
    x[0, 9, :3], x[1, 10, :3], x[2, 11, :3] = np.nan, np.inf, -np.inf
    compare(x, dim, (layout, layout))


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_large_arrays_and_any_number_of_threads(dim, layout, monkeypatch):
    monkeypatch.undo()
    x, before = image((8, 34, 30, 20)), threads.get_num_threads()
    try:
        for workers in (1, 2, 5):
            threads.set_num_threads(workers)
            compare(x, dim, (layout, layout))
    finally:
        threads.set_num_threads(before)


def test_strided_input_and_no_image():
    strided = tg.tensor(image((4, 6, 8, 10)))[:, :, ::2]
    with kernels.use("numba"):
        found = F.glu(strided, 1)
    with kernels.use("reference"):
        np.testing.assert_allclose(found.numpy(), F.glu(strided, 1).numpy(), rtol=2e-6)
    compare(image((0, 4, 3)), 1)
    compare(image((2, 4, 0)), 1)


def test_who_serves():
    served = tg.kernels("glu")
    assert served["glu"][0] == served["glu.vjp"][0] == "numba (cpu)"
