"""Laws that hold for any shapes and values: broadcasting, sums of gradients, indexing."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_cv as tg
from tinygrad_cv.testing import assert_close, vjp

settings.register_profile("project", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("project")

VALUES = st.floats(0.25, 4).map(lambda v: round(v, 3)) | st.floats(-4, -0.25)
FOUR = (operator.add, operator.sub, operator.mul, operator.truediv)


@st.composite
def operands(draw: st.DrawFn, count: int = 2) -> list[np.ndarray]:
    """Arrays that broadcast against each other, zero-size ones included."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=4, max_side=4))
    return [draw(hnp.arrays(np.float64, s, elements=VALUES)) for s in shapes.input_shapes]


def leaves(*arrays: np.ndarray) -> list[tg.Tensor]:
    return [tg.tensor(a).requires_grad_() for a in arrays]


def gradients(y: tg.Tensor, inputs: list[tg.Tensor], cotangent: np.ndarray) -> list[np.ndarray]:
    grads = vjp([y], inputs, [tg.tensor(cotangent)])
    return [np.asarray(g.numpy()) for g in grads]


def sum_to(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The adjoint of broadcasting, from NumPy alone."""
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and array.shape[i] != 1)
    return np.asarray(array.sum(axis=stretched, keepdims=True)).reshape(shape)


@pytest.mark.parametrize("function", FOUR, ids=lambda f: f.__name__)
@given(arrays=operands())
def test_arithmetic_broadcasts_as_numpy_does(function: Any, arrays: list[np.ndarray]) -> None:
    a, b = arrays
    expected = np.asarray(function(a, b))
    assert_close(function(tg.tensor(a), tg.tensor(b)), expected, 0, 0, dtype=True)
    assert_close(function(tg.tensor(a), b), expected, 0, 0)
    assert_close(function(a, tg.tensor(b)), expected, 0, 0)


@pytest.mark.parametrize("function", FOUR, ids=lambda f: f.__name__)
@given(arrays=operands(), seed=st.integers(0, 99))
def test_gradients_of_broadcast_arithmetic(
    function: Any, arrays: list[np.ndarray], seed: int
) -> None:
    a, b = arrays
    x, y = leaves(a, b)
    out = function(x, y)
    g = np.asarray(np.random.default_rng(seed).standard_normal(out.shape))
    one = np.ones_like(g)
    by_hand = {
        "add": (g, g),
        "sub": (g, -g),
        "mul": (g * b * one, g * a * one),
        "truediv": (g / b * one, -g * a / b**2 * one),
    }[function.__name__]
    for actual, expected, shape in zip(gradients(out, [x, y], g), by_hand, (a.shape, b.shape), strict=True):  # fmt: skip # noqa: E501
        assert_close(actual, sum_to(np.asarray(expected), shape), 1e-12, 1e-12)


@given(arrays=operands(3), seed=st.integers(0, 99))
def test_the_gradient_of_a_sum_is_the_sum_of_gradients(arrays: list[np.ndarray], seed: int) -> None:
    def first(a: Any, b: Any, c: Any) -> Any:
        return a * b / c + c

    def second(a: Any, b: Any, c: Any) -> Any:
        return tg.exp(-a * a) * b + c * c

    inputs = leaves(*arrays)
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    g = np.asarray(np.random.default_rng(seed).standard_normal(shape))
    together = gradients(first(*inputs) + second(*inputs), inputs, g)
    one = gradients(first(*inputs), inputs, g)
    two = gradients(second(*inputs), inputs, g)
    for t, a, b in zip(together, one, two, strict=True):
        assert_close(t, a + b, 1e-12, 1e-12)


@given(arrays=operands(1), factor=st.floats(-3, 3), seed=st.integers(0, 99))
def test_the_gradient_is_linear_in_the_cotangent(
    arrays: list[np.ndarray], factor: float, seed: int
) -> None:
    (x,) = leaves(*arrays)
    g = np.asarray(np.random.default_rng(seed).standard_normal(arrays[0].shape))
    (one,) = gradients(tg.tanh(x) * x, [x], g)
    (scaled,) = gradients(tg.tanh(x) * x, [x], g * factor)
    assert_close(scaled, one * factor, 1e-12, 1e-12)


@given(arrays=operands(1))
def test_a_value_used_twice_gets_both_gradients(arrays: list[np.ndarray]) -> None:
    (x,) = leaves(*arrays)
    y = x * 2
    (grad,) = gradients(y * y + y, [x], np.ones(arrays[0].shape))
    assert_close(grad, 8 * arrays[0] + 2, 1e-12, 1e-12)


@given(data=st.data())
def test_basic_indexing_is_numpys_and_its_gradient_counts(data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=4)))
    array = np.arange(array.size, dtype=np.float64).reshape(array.shape)
    index = data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))
    (x,) = leaves(array)
    picked = x[index]
    expected = np.asarray(array[index])
    assert_close(picked, expected, 0, 0)
    counts = np.zeros(array.shape)
    counts[index] = 1
    (grad,) = gradients(picked, [x], np.ones(expected.shape))
    assert_close(grad, counts, 0, 0)


@given(data=st.data())
def test_integer_indexing_is_numpys_and_its_gradient_counts(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    index = data.draw(hnp.integer_array_indices(shape))
    (x,) = leaves(array)
    picked = x[tuple(i.astype(np.int64) for i in index)]
    assert_close(picked, np.asarray(array[index]), 0, 0)
    counts = np.zeros(shape)
    np.add.at(counts, index, 1)
    (grad,) = gradients(picked, [x], np.ones(picked.shape))
    assert_close(grad, counts, 0, 0)


@given(arrays=operands(1), keepdims=st.booleans(), data=st.data())
def test_sums_are_numpys_over_any_axes(
    arrays: list[np.ndarray], keepdims: bool, data: st.DataObject
) -> None:
    (array,) = arrays
    axes = data.draw(st.lists(st.integers(0, max(array.ndim - 1, 0)), unique=True, min_size=1))
    axis = tuple(axes) if array.ndim else None
    (x,) = leaves(array)
    out = x.sum(axis=axis, keepdims=keepdims)
    expected = np.asarray(array.sum(axis=axis, keepdims=keepdims))
    assert_close(out, expected, 1e-12, 1e-12)
    (grad,) = gradients(out, [x], np.ones(expected.shape))
    assert_close(grad, np.ones(array.shape), 0, 0)
