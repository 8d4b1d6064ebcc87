"""x[...] = v of every kind, as a pure function and in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend.scatter import sum_rows, write_rows
from tinygrad_cv.errors import DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.index import SetFill, SetItem
from tinygrad_cv.ops.places import parse
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(8)
all_, rest = slice(None), Ellipsis


def normal(*sizes):
    return rng.normal(size=sizes)


X = normal(3, 4, 5)
MASK = np.array([[True, False, False, True], [False] * 4, [True, True, False, True]])
TWICE = ([0, 2, 0, 0],)


def places(shape, key):
    return parse("getitem", np.empty(shape), key)[1]


def naive_sum(shape, key):
    def reference(g):
        out = np.zeros(shape)
        np.add.at(out, key, g)
        return out

    return reference


def written(key):
    def reference(x, v):
        out = x.copy()
        out[key] = v
        return out

    return reference


CASES = [
    Case(
        SetItem,
        (X, normal(4, 1, 5)),
        (((None, None, 1),) * 3, places(X.shape, TWICE)),
        reference=written(TWICE),
    ),
    Case(
        SetItem,
        (X, normal(4, 3)),
        ((1, (None, None, 1), (0, 5, 2)), None),
        reference=written((1, all_, slice(0, 5, 2))),
        name="range",
    ),
    Case(
        SetFill,
        (X,),
        (2.5, ((0, 2, 1), 1, (None, None, 1)), None),
        reference=lambda x: written((slice(0, 2), 1))(x, 2.5),
    ),
    Case(
        lambda x, v: tg.index_put(x, (1, rest, [0, 0, 3]), v),
        (X, normal(4, 3)),
        reference=lambda x, v: np.stack([x[0], written((all_, [0, 0, 3]))(x[1], v), x[2]]),
        name="index_put",
    ),
    Case(
        lambda x, v: tg.index_put(x, ([1, 1, 0], all_, [0, 0, 2]), v),
        (X, normal(3, 4)),
        reference=written(([1, 1, 0], all_, [0, 0, 2])),
        name="index_put apart",
    ),
    Case(
        lambda x, v: tg.index_put(x, MASK, v),
        (X, normal(5)),
        reference=written(MASK),
        name="index_put mask",
    ),
    Case(
        lambda x, v: tg.index_put(x, (slice(None, None, -2), 1), v),
        (X, normal(1, 2, 5)),
        reference=written((slice(None, None, -2), 1)),
        name="index_put range",
    ),
    Case(
        lambda x: tg.index_put(x, ([0, 0], 1), -2.0),
        (X,),
        reference=lambda x: written(([0, 0], 1))(x, -2.0),
        name="index_put number",
    ),
    Case(
        lambda x, v: tg.index_put(x, ([1, 1, 2],), v, accumulate=True),
        (X[0], normal(3, 5)),
        reference=lambda x, v: x + naive_sum(x.shape, [1, 1, 2])(v),
        torch=lambda x, v: x.index_put((torch.tensor([1, 1, 2]),), v, accumulate=True),
        name="index_put accumulate",
    ),
    Case(
        lambda x, v: tg.index_put(x, (slice(1, 3), [0, 0]), v, accumulate=True),
        (X[0], normal()),
        reference=lambda x, v: x + naive_sum(x.shape, (slice(1, 3), [0, 0]))(v),
        name="index_put accumulate range",
    ),
]
for _case in CASES:
    if getattr(_case.function, "__name__", "") == "<lambda>":
        _case.function.__name__ = "index_put"

BAD = [
    Bad(
        tg.index_put,
        (X, 0, normal(3)),
        error=ShapeError,
        match=r"\(3,\) does not broadcast to \(4, 5\)",
    ),
    Bad(tg.index_put, (X, [0, 1], normal(3, 4, 5)), error=ShapeError, match="does not broadcast"),
    Bad(tg.index_put, (X, 5, 1.0), error=RangeError, match="index 5"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_the_last_write_wins_and_gets_the_gradient():
    x = tg.zeros(3, requires_grad=True)
    v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = tg.index_put(x, [1, 1, 0], v)
    assert y.tolist() == [3.0, 2.0, 0.0]
    (y * tg.tensor([10.0, 20.0, 30.0])).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 30.0]
    assert v.grad.tolist() == [0.0, 20.0, 10.0]


def test_assignment_in_place():
    x = tg.zeros(2, 3)
    v = tg.tensor([1.0, 2.0], requires_grad=True)
    x[:, 1] = v
    assert x.tolist() == [[0, 1, 0], [0, 2, 0]]
    x[tg.tensor([True, False])] = 5
    assert x.tolist() == [[5, 5, 5], [0, 2, 0]]
    x.sum().backward()
    assert v.grad.tolist() == [0.0, 1.0]


def test_unrecorded_assignment_touches_only_what_it_writes():
    x = tg.arange(5.0)
    before = x.array
    x[1:] = x[:-1]
    assert x.array is before
    assert x.tolist() == [0, 0, 1, 2, 3]
    x[[1, 2, 3, 4]] = x[:4]
    assert x.tolist() == [0, 0, 0, 1, 2]
    x[x > 0] = tg.tensor([7.0, 8.0])
    assert x.tolist() == [0, 0, 0, 7, 8]
    for key, value, error in ((9, 1.0, RangeError), ([0, 1], tg.zeros(3), ShapeError)):
        with pytest.raises(error):
            x[key] = value
    assert x.tolist() == [0, 0, 0, 7, 8]
    small = tg.zeros(2, dtype="uint8")
    with pytest.raises(DTypeError, match="300 does not fit into uint8"):
        small[0] = 300


def test_values_are_cast_to_the_dtype_written_to():
    whole = tg.zeros(3, dtype="int64")
    assert tg.index_put(whole, 1, tg.tensor(2.7)).tolist() == [0, 2, 0]
    x = tg.zeros(2, dtype="float32")
    v = tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    y = tg.index_put(x, slice(None), v)
    assert y.dtype == np.float32
    y.sum().backward()
    assert v.grad.dtype == np.float64


class Other:
    """NumPy under another name: takes the way of every array module that is not NumPy."""

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_sums_over_repeated_positions(width, dtype):
    flat = rng.integers(0, 7, 200)
    rows = (rng.normal(size=(200, width)) * 10).astype(dtype)
    expected = np.zeros((9, width), "float64")
    np.add.at(expected, flat, rows)
    actual = sum_rows(np, flat, rows, 9)
    assert actual.dtype == np.dtype(dtype)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)
    assert sum_rows(np, flat[:0], rows[:0], 9).shape == (9, width)


@pytest.mark.parametrize("xp", [np, Other()], ids=["numpy", "other"])
def test_the_last_of_several_writes_stands(xp):
    first, second = rng.integers(0, 3, 40), rng.integers(0, 2, 40)
    rows = rng.normal(size=(40, 5))
    table, expected = np.zeros((3, 2, 5)), np.zeros((3, 2, 5))
    for i, j, row in zip(first, second, rows, strict=True):
        expected[i, j] = row
    write_rows(xp, table, (first, second), rows)
    assert np.array_equal(table, expected)
