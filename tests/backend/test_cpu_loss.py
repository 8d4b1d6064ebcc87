"""Compiled cross-entropy against the reference in float64."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend.cpu import loss

F = tg.nn.functional
SHAPES = [(5, 7), (3, 1), (64, 300), (2, 4, 9, 5), (3, 17, 6), (2, 3, 2, 3, 4)]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(loss, "SMALLEST", 0)


def scores(shape, seed=0):
    """Normal numbers in channels-last memory, and labels."""
    rng = np.random.default_rng(seed)
    values = 3 * rng.standard_normal((shape[0], *shape[2:], shape[1])).astype(np.float32)
    return np.moveaxis(values, -1, 1), rng.integers(0, shape[1], (shape[0], *shape[2:]))


def planes(shape):
    """The same scores in row-major memory."""
    x, target = scores(shape)
    return np.ascontiguousarray(x), target


def both(x, target, slope=None, **options):
    """Loss and gradient of float32 scores, by the kernels, and of float64 ones."""
    found = []
    for values in (x, x.astype(np.float64)):
        given = {k: v.astype(values.dtype) if k == "weight" else v for k, v in options.items()}
        leaf = tg.Tensor(values).requires_grad_()
        y = F.cross_entropy(leaf, target, **given)
        y.backward(tg.ones_like(y) if slope is None else tg.Tensor(slope.astype(values.dtype)))
        found.append((y.detach().numpy(), leaf.grad.numpy()))
    return found


@pytest.fixture
def calls(monkeypatch):
    """How often the kernels ran."""
    from tinygrad_cv.backend.cpu.compiled import loss as kernels

    seen = []

    def count(name):
        kernel = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda *args: (seen.append(name), kernel(*args)))

    count("cross_entropy")
    count("cross_entropy_gradient")
    count("cross_entropy_planes")
    count("cross_entropy_planes_gradient")
    return seen


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient(shape, weighted, ignored, reduction, calls):
    x, target = scores(shape)
    options = {"reduction": reduction}
    if weighted:
        options["weight"] = np.linspace(0.5, 2, shape[1]).astype(np.float32)
    if ignored:
        target = target.copy()
        target.reshape(-1)[::3] = -100
    rng = np.random.default_rng(1)
    slope = rng.standard_normal(target.shape) if reduction == "none" else None
    (y, dx), (expected, expected_dx) = both(x, target, slope, **options)
    assert calls == ["cross_entropy", "cross_entropy_gradient"]
    assert y.dtype == dx.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(dx, expected_dx, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"ignore_index": 0}])
@pytest.mark.parametrize(
    "shape", [(2, 4, 9, 5), (3, 17, 6), (2, 3, 2, 3, 4), (1, 5, 17, 41), (3, 1, 300)]
)
def test_planes(shape, options, reduction, calls, monkeypatch):
    monkeypatch.setattr(loss, "FEWEST", 0)
    x, target = planes(shape)
    slope = np.random.default_rng(1).standard_normal(target.shape) if reduction == "none" else None
    weight = np.linspace(0.5, 2, shape[1]).astype(np.float32)
    found = both(x, target, slope, weight=weight, reduction=reduction, **options)
    (y, dx), (expected, expected_dx) = found
    assert calls == ["cross_entropy_planes", "cross_entropy_planes_gradient"]
    assert dx.flags.c_contiguous
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(dx, expected_dx, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_a_plane_goes_where_the_reference_carries_it(value):
    x, target = planes((2, 4, 5, 9))
    x[0, 1, 2, 3] = value
    (y, dx), (expected, expected_dx) = both(x, target, np.ones(target.shape), reduction="none")
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(dx, expected_dx, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_goes_where_the_reference_carries_it(value):
    x, target = scores((4, 20))
    x[1, 3] = x[2, int(target[2])] = value
    for reduction in ("none", "mean"):
        with tg.use_kernels("reference"), np.errstate(all="ignore"):
            expected = both(x, target, reduction=reduction)[0]
        found = both(x, target, reduction=reduction)[0]
        for real, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(real, wanted, rtol=1e-5, atol=1e-6)


def test_the_second_derivative_is_that_of_the_reference(calls):
    x, target = scores((6, 5))
    direction = tg.Tensor(scores((6, 5), 2)[0])
    found = []
    for values in (x, x.astype(np.float64)):
        leaf = tg.Tensor(values).requires_grad_()
        (slope,) = tg.autograd.grad(F.cross_entropy(leaf, target), [leaf], create_graph=True)
        along = (slope * direction.to(slope.dtype)).sum()
        found.append(tg.autograd.grad(along, [leaf])[0].numpy())
    assert "cross_entropy" in calls
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


def test_the_same_bits_with_any_number_of_threads():
    x, target = scores((37, 130))
    expected = both(x, target)[0]
    before = tg.get_num_threads()
    try:
        for count in (1, 2, 3, 2):
            tg.set_num_threads(count)
            for real, wanted in zip(both(x, target)[0], expected, strict=True):
                np.testing.assert_array_equal(real, wanted)
    finally:
        tg.set_num_threads(before)


def test_labels_out_of_range_are_refused_as_ever():
    x, target = scores((4, 5))
    target[2] = 5
    with pytest.raises(tg.errors.RangeError, match="the label 5 at position"):
        F.cross_entropy(tg.Tensor(x), target)


def test_what_is_declined(calls):
    x, target = scores((4, 5, 3, 3))
    F.cross_entropy(tg.Tensor(np.ascontiguousarray(x)), target)  # scores of a position lie apart
    F.cross_entropy(tg.Tensor(x), target, label_smoothing=0.1)
    F.cross_entropy(tg.Tensor(x.astype(np.float64)), target)
    F.cross_entropy(tg.Tensor(x[:0]), target[:0], reduction="sum")
    assert calls == []
