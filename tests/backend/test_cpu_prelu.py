"""The compiled rectifier with a learned slope equals its reference, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import prelu, threads
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.nn import functional as F


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(prelu, "SMALLEST", 0)


def image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def results(provider, x, w, layouts):
    """The output and both gradients; input and gradient lie in the given layouts."""
    leaf, slope = tg.tensor(x), tg.tensor(w).requires_grad_()
    leaf = (leaf.contiguous(layouts[0]) if x.ndim > 2 else leaf).detach().requires_grad_()
    given = tg.tensor(image(x.shape, 2))
    with kernels.use(provider):
        y = F.prelu(leaf, slope)
        y.backward(given.contiguous(layouts[1]) if x.ndim > 2 else given)
    return y.detach().array, leaf.grad.numpy(), slope.grad.numpy()


def compare(x, w, layouts=("contiguous", "contiguous")):
    found, expected = (results(p, x, w, layouts) for p in ("numba", "reference"))
    assert layout_of(found[0]) == layout_of(expected[0])
    for real, wanted, bound in zip(found, expected, (1e-7, 1e-7, 2e-5), strict=True):
        assert real.dtype == np.float32
        np.testing.assert_allclose(real, wanted, rtol=bound, atol=bound)


LAYOUTS = st.sampled_from(["contiguous", "channels_last"])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.booleans(), LAYOUTS, LAYOUTS)
@settings(max_examples=60, deadline=None)
def test_any_shape_and_layout(shape, shared, one, two):
    channels = shape[1] if len(shape) > 1 else 1
    compare(image(shape), image(1 if shared else channels, 1), (one, two))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("channels", [1, 17])
def test_what_is_not_finite_is_carried(layout, channels):
    x = image((4, 17, 9, 7))
    x[0, 0, :3], x[1, 1, :3], x[2, 2, :3], x[3, 3, :3] = np.nan, np.inf, -np.inf, -0.0
    with np.errstate(invalid="ignore"):
        compare(x, image(channels, 1), (layout, layout))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("channels", [1, 33])
def test_large_arrays_and_any_number_of_threads(layout, channels, monkeypatch):
    monkeypatch.undo()
    x, before = image((8, 33, 31, 20)), threads.get_num_threads()
    try:
        for workers in (1, 2, 5):
            threads.set_num_threads(workers)
            compare(x, image(channels, 1), (layout, layout))
    finally:
        threads.set_num_threads(before)


def test_the_error_of_a_slope_does_not_grow_with_the_numbers():
    x, w = abs(image((2, 1, 1024, 1024))) * -1, np.array([0.25], np.float32)
    leaf, slope = tg.tensor(x), tg.tensor(w).requires_grad_()
    with kernels.use("numba"):
        F.prelu(leaf.requires_grad_(), slope).sum().backward()
    assert slope.grad.item() == pytest.approx(x.sum(dtype=np.float64), rel=1e-6)


def test_only_one_gradient_and_other_shapes_of_the_slope():
    x, w = tg.tensor(image((3, 5, 7, 6))), tg.tensor(image(5, 1))
    for needs in ((True, False), (False, True)):
        found = []
        for provider in ("numba", "reference"):
            a, b = (t.detach().requires_grad_(n) for t, n in zip((x, w), needs, strict=True))
            with kernels.use(provider):
                F.prelu(a, b).sum().backward()
            found.append((a if needs[0] else b).grad.numpy())
        np.testing.assert_allclose(*found, rtol=1e-5)
    other = tg.tensor(image((3, 5, 7, 6), 3))
    call = tg.core.op.REGISTRY["prelu"].call
    with kernels.use("numba"):
        y = call(x, other)
    expected = np.where(x.numpy() > 0, x.numpy(), x.numpy() * other.numpy())
    np.testing.assert_array_equal(y.numpy(), expected)


def test_no_image_and_no_channel():
    for shape in ((0, 3, 4, 4), (2, 0, 3)):
        x, w = np.ones(shape, np.float32), np.ones(shape[1], np.float32)
        compare(x, w)


def test_second_derivatives():
    found = []
    for provider in ("numba", "reference"):
        x = tg.tensor(image((4, 6, 5, 3))).requires_grad_()
        w = tg.tensor(image(6, 1)).requires_grad_()
        with kernels.use(provider):
            first = tg.autograd.grad((F.prelu(x, w) ** 2).sum(), [x, w], create_graph=True)
            (first[0].sum() + (first[1] ** 2).sum()).backward()
        found.append(np.concatenate([x.grad.numpy().ravel(), w.grad.numpy()]))
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)


def test_who_serves():
    served = tg.kernels("prelu")
    assert served["prelu"][0] == served["prelu.vjp"][0] == "numba (cpu)"
