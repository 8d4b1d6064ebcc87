"""Receptive fields against the support of a gradient, gridding against counting by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import models
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.nn import functional as F

CHAINS = [
    [],
    [(3,)],
    [1, 5],
    [(3, 2, 1), (3, 1, 1, 2), (2, 2)],
    [(5,), (2, 2), (5,), (2, 2)],
    [(7, 2, 3), (3, 2, 1), (3, 1, 1), (3, 1, 1), (3, 2, 1)],
    [(3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 5, 5)],
    [(1, 3), (4, 1, 2, 3), (2, 2, 1)],
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_the_field_is_where_the_gradient_is(chain):
    field = models.receptive_field(chain)
    x = tg.ones(1, 1, 150, dtype="float64", requires_grad=True)
    y = x * 1
    for layer in chain:
        layer = (layer,) if isinstance(layer, int) else layer
        kernel, stride, padding, dilation = (*layer, *(1, 1, 0, 1)[len(layer) :])
        y = F.conv1d(y, np.ones((1, 1, kernel)), None, stride, padding, dilation)
    whole = 0  # the fields that no border cuts
    for p in range(y.shape[2]):
        first, last = (field.start + p * field.stride + k for k in (0, field.size - 1))
        if first >= 0 and last < 150:
            (gradient,) = tg.autograd.grad(y[0, 0, p], x, retain_graph=True)
            used = np.flatnonzero(gradient.numpy())
            assert (used[0], used[-1]) == (first, last)
            whole += 1
    assert whole >= 2


def test_a_generator_may_give_the_layers():
    assert models.receptive_field((3, 2) for _ in range(3)) == (15, 8, 0)


@pytest.mark.parametrize(
    ("layers", "error", "match"),
    [
        (3, ArgumentError, "list of"),
        ("ab", ArgumentError, "list of"),
        ([(3, 1, 1, 1, 1)], ArgumentError, r"layers\[0\] is \(kernel"),
        ([(3,), ()], ArgumentError, r"layers\[1\]"),
        ([(0,)], ArgumentError, "the kernel of"),
        ([(3, 0)], ArgumentError, "the stride of"),
        ([(3, 1, -1)], ArgumentError, "the padding of"),
        ([(3, 1, 1, 0)], ArgumentError, "the dilation of"),
        ([2.5], DTypeError, r"layers\[0\]"),
        ([(3, "a")], DTypeError, r"layers\[0\]"),
    ],
)
def test_layers_that_cannot_be(layers, error, match):
    with pytest.raises(error, match=match):
        models.receptive_field(layers)


def counted(rates, kernel):
    """Every way through the taps, one after the other."""
    rows, columns = (1 + (k - 1) * sum(rates) for k in kernel)
    counts = np.zeros((rows, columns), int)
    for row in itertools.product(*(range(kernel[0]) for _ in rates)):
        for column in itertools.product(*(range(kernel[1]) for _ in rates)):
            i, j = (sum(t * r for t, r in zip(taps, rates, strict=True)) for taps in (row, column))
            counts[i, j] += 1
    return counts


@pytest.mark.parametrize("rates", [(1,), (3,), (2, 2, 2), (1, 2, 5), (5, 2, 1), (1, 2, 9)])
@pytest.mark.parametrize("kernel", [3, 2, (3, 1)])
def test_gridding_is_what_can_be_counted(rates, kernel):
    found = models.gridding(rates, kernel)
    assert found.dtype == tg.int64
    expected = counted(rates, (kernel, kernel) if isinstance(kernel, int) else kernel)
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("rates", [(2, 2, 2), (1, 2, 5)])
def test_gridding_is_the_gradient_of_ones(rates):
    x = tg.ones(1, 1, 19, 19, dtype="float64", requires_grad=True)
    y = x
    for rate in rates:
        y = F.conv2d(y, np.ones((1, 1, 3, 3)), None, 1, rate, rate)
    y[0, 0, 9, 9].backward()
    size, _, start = models.receptive_field((3, 1, rate, rate) for rate in rates)
    inside = slice(9 + start, 9 + start + size)
    seen = x.grad[0, 0].numpy()
    np.testing.assert_array_equal(seen[inside, inside], models.gridding(rates).numpy())
    assert seen.sum() == 9**3


def test_holes_of_2_2_2_and_none_of_1_2_5():
    holes = models.gridding((2, 2, 2)).numpy() == 0
    assert holes.shape == (13, 13)
    assert (~holes).sum() == 49
    assert models.gridding((1, 2, 5)).shape == (17, 17)
    assert models.gridding((1, 2, 5)).numpy().min() == 1


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_rule_finds_the_holes(kernel):
    for count in (1, 2, 3, 4):
        for rates in itertools.combinations_with_replacement(range(1, 9), count):
            holes = bool((models.gridding(rates, (kernel, 1)) == 0).any())
            told = models.has_gridding(rates[::-1], kernel)
            assert told == holes if kernel == 3 else told >= holes, rates


@pytest.mark.parametrize("function", [models.gridding, models.has_gridding])
@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        (((),), ArgumentError, "rates is empty"),
        (((1, 0),), ArgumentError, "rates must be positive"),
        (((1, 2.5),), DTypeError, "rates"),
        ((None,), DTypeError, "rates"),
        (((1, 2), 0), ArgumentError, "kernel_size must be"),
        (((1, 2), "3"), DTypeError, "kernel_size must be"),
    ],
)
def test_rates_that_cannot_be(function, args, error, match):
    with pytest.raises(error, match=match):
        function(*args)


def test_counts_and_kernels_beyond_the_rule():
    with pytest.raises(ArgumentError, match="int64 counts"):
        models.gridding([1] * 30)
    with pytest.raises(ArgumentError, match="kernels of 3 and more") as caught:
        models.has_gridding([1, 2], 2)
    assert models.has_gridding([1, 2], **caught.value.repairs[0]) is False
