"""Different elements, membership, counts and bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops.bins import BinCount, Histc, SearchSorted
from tinygrad_cv.ops.sets import IsIn, Unique
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(22)
X = rng.normal(size=(3, 4))
WHOLE = rng.integers(-2, 3, (4, 3))
ROWS = np.array([[1, 2], [0, 5], [1, 2], [0, 5], [0, 4], [0, 4]])
LABELS = np.array([4, 0, 1, 4, 1, 4])
EDGES = np.array([-1.0, 0.0, 0.0, 0.5, 2.0])
TABLE = np.sort(rng.normal(size=(3, 5)), axis=1)
BY_DATA = {
    "meta": "data-dependent",
    "infer": "the shape depends on the values",
    "empty": "fewer elements have other groups",
    "memory": "the order of the elements matters",
}


def naive_unique(x, consecutive=False):
    """(values, inverse, counts) of a list of hashable things."""
    if consecutive:
        starts = [i for i in range(len(x)) if i == 0 or x[i] != x[i - 1]]
        groups = [sum(s <= i for s in starts) - 1 for i in range(len(x))]
        return [x[i] for i in starts], groups, [groups.count(k) for k in range(len(starts))]
    values = sorted(set(x))
    return values, [values.index(v) for v in x], [x.count(v) for v in values]


def first_places(x, dim, consecutive=False):
    rows = [tuple(r.reshape(-1).tolist()) for r in np.moveaxis(x, dim, 0)]
    values, groups, counts = naive_unique(rows, consecutive)
    first = [groups.index(k) for k in range(len(values))]
    return np.array(first), np.array(groups), np.array(counts)


def naive_search(numbers, values, right=False):
    found = np.empty(values.shape, int)
    for at in np.ndindex(values.shape):
        line = numbers[at[:-1]] if numbers.ndim > 1 else numbers
        below = [n <= values[at] if right else n < values[at] for n in line.tolist()]
        found[at] = sum(below)
    return found


def naive_histc(x, bins, low, high):
    counts = np.zeros(bins)
    for value in x.reshape(-1).tolist():
        if low <= value <= high:
            counts[min(int((value - low) * bins / (high - low)), bins - 1)] += 1
    return counts


CASES = [
    Case(Unique, (ROWS * 1.0,), (0, False), reference=lambda x: first_places(x, 0), skip=BY_DATA),
    Case(
        Unique,
        (ROWS * 1.0,),
        (0, True),
        reference=lambda x: first_places(x, 0, True),
        skip=BY_DATA,
        name="neighbours",
    ),
    Case(tg.unique, (X,), reference=lambda x: np.sort(x.reshape(-1)), skip=BY_DATA),
    Case(
        tg.unique_consecutive,
        (X,),
        reference=lambda x: x.reshape(-1),
        torch=lambda x: torch.unique_consecutive(x.detach()),
        skip=BY_DATA,
    ),
    Case(
        IsIn,
        (WHOLE, np.array([2, -1])),
        reference=lambda x, t: np.array([[v in t.tolist() for v in row] for row in x.tolist()]),
        torch=torch.isin,
    ),
    Case(
        BinCount,
        (LABELS,),
        (7,),
        reference=lambda x: np.array([x.tolist().count(k) for k in range(7)]),
        skip=BY_DATA,
    ),
    Case(
        tg.bincount,
        (LABELS, rng.normal(size=6)),
        reference=lambda x, w: np.array([w[x == k].sum() for k in range(5)]),
        torch=torch.bincount,
        skip=BY_DATA | {"torch": "PyTorch gives no gradient to the weights"},
        name="weights",
    ),
    Case(
        Histc,
        (X,),
        (5, -1.0, 2.0),
        reference=lambda x: naive_histc(x, 5, -1.0, 2.0),
        torch=lambda x: torch.histc(x, 5, -1.0, 2.0),
        order=0,
    ),
    Case(
        tg.histc,
        (X, 4),
        reference=lambda x, n: naive_histc(x, n, x.min(), x.max()),
        diff=[],
        name="range of the elements",
    ),
    *(
        Case(
            SearchSorted,
            (numbers, values),
            (right, np.dtype("int64")),
            reference=lambda s, v, right=right: naive_search(s, v, right),
            torch=lambda s, v, right=right: torch.searchsorted(s, v, right=right),
            skip={"memory": "the numbers are sorted", "empty": "other axes must agree"},
            name=f"{name} {right}",
            order=0,
        )
        for right in (False, True)
        for name, numbers, values in (
            ("vector", EDGES, np.array([[0.0, 0.5, 3.0], [-2.0, 0.1, 2.0]])),
            ("rows", TABLE, np.concatenate([TABLE[:, 1:3], rng.normal(size=(3, 4))], 1)),
        )
    ),
    Case(tg.bucketize, (X, EDGES), torch=torch.bucketize, skip={"memory": "sorted"}, order=0),
]

BAD = [
    Bad(tg.unique, (X, True, False, False, 2), error=RangeError, match="dim 2"),
    Bad(tg.unique, (np.zeros((3, 0)), True, False, False, 0), error=ShapeError, match="no elem"),
    Bad(tg.unique_consecutive, (X, False, False, 2), error=RangeError, match="dim 2"),
    Bad(tg.isin, (X, "a"), error=DTypeError, match="must be a tensor or a number, not str"),
    Bad(tg.isin, (None, X), error=DTypeError, match="not NoneType"),
    Bad(tg.bincount, (WHOLE,), error=ShapeError, match="must be a vector"),
    Bad(tg.bincount, (EDGES,), error=DTypeError, match="must be integer"),
    Bad(tg.bincount, (WHOLE[0] - 9,), error=RangeError, match="must not be negative"),
    Bad(tg.bincount, (LABELS, EDGES), error=ShapeError, match="one weight"),
    Bad(tg.bincount, (LABELS, None, -1), error=RangeError, match="minlength = -1"),
    Bad(tg.histc, (LABELS,), error=DTypeError, match="must be floating"),
    Bad(tg.histc, (X, 0), error=ArgumentError, match="bins = 0"),
    Bad(tg.histc, (X, 4, 1, 0), error=ArgumentError, match="less than min"),
    Bad(tg.histc, (X, 4, 0, math.inf), error=RangeError, match="not finite"),
    Bad(tg.histc, (X * math.nan, 4), error=RangeError, match="not finite"),
    Bad(tg.histc, (X, 4, "a"), error=DTypeError, match="min must be a number"),
    Bad(tg.searchsorted, (TABLE, X[:2]), error=ShapeError, match="agree with the input"),
    Bad(tg.searchsorted, (np.array(1.0), X), error=ShapeError, match="needs an axis"),
    Bad(tg.searchsorted, (EDGES, LABELS), error=DTypeError, match="int64"),
    Bad(tg.searchsorted, (EDGES, X), {"side": "up"}, error=ArgumentError, match="no side 'up'"),
    Bad(
        tg.searchsorted,
        (EDGES, X),
        {"side": "left", "right": True},
        error=ArgumentError,
        match="do not go together",
    ),
    Bad(
        tg.searchsorted, (EDGES, X), {"sorter": LABELS}, error=ShapeError, match="shape of the seq"
    ),
    Bad(tg.searchsorted, (EDGES, X), {"sorter": EDGES}, error=DTypeError, match="must be int64"),
    Bad(tg.searchsorted, (EDGES, "a"), error=DTypeError, match="a number, not str"),
    Bad(tg.bucketize, ("a", EDGES), error=DTypeError, match="a number, not str"),
    Bad(tg.bucketize, (X, TABLE), error=ShapeError, match="must be a vector"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("function", ["unique", "unique_consecutive"])
@pytest.mark.parametrize("dim", [None, 0, 1, -1])
@pytest.mark.parametrize("x", [ROWS, WHOLE, WHOLE * 1.0, WHOLE > 0, ROWS[:0], np.zeros((2, 2, 1))])
def test_unique_as_torch(function, dim, x):
    if dim == 0 and not len(x):
        return  # PyTorch refuses
    more = {"return_inverse": True, "return_counts": True, "dim": dim}
    if x.shape[0] == 0 and dim is not None:
        with pytest.raises(ShapeError):
            getattr(tg, function)(tg.tensor(x), **more)
        return
    ours = getattr(tg, function)(tg.tensor(x), **more)
    theirs = getattr(torch, function)(torch.tensor(x), **more)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert a.shape == tuple(b.shape)


def test_no_nan_is_equal_to_another():
    x = np.array([math.nan, 1.0, math.nan, 1.0])
    values, counts = tg.unique(tg.tensor(x), return_counts=True)
    np.testing.assert_array_equal(values.numpy(), [1.0, math.nan, math.nan])
    assert counts.tolist() == [2, 1, 1]
    assert not tg.isin(tg.tensor(x), tg.tensor([math.nan]))[0].item()


def test_the_first_of_equal_elements_gets_the_gradient():
    x = tg.tensor([3.0, 1.0, 3.0], requires_grad=True)
    (tg.unique(x) * tg.tensor([5.0, 7.0])).sum().backward()
    assert x.grad.tolist() == [7.0, 5.0, 0.0]


def test_what_depends_on_the_data_is_refused_on_meta():
    x = tg.zeros(3, device="meta")
    for call in (tg.unique, tg.unique_consecutive, lambda x: tg.bincount(x.long())):
        with pytest.raises(GraphError, match="meta device"):
            call(x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_dtype_of_bincount_as_torch(dtype):
    for weights in (None, np.arange(6).astype(dtype)):
        given = [] if weights is None else [weights]
        ours = tg.bincount(tg.tensor(LABELS), *map(tg.tensor, given), minlength=6)
        theirs = torch.bincount(torch.tensor(LABELS), *map(torch.tensor, given), minlength=6)
        assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
        assert ours.tolist() == theirs.tolist()
    assert tg.bincount(tg.tensor([], dtype="int64"), minlength=2).tolist() == [0, 0]


def test_numbers_dtypes_and_sides_of_searchsorted():
    edges = tg.tensor(EDGES)
    assert tg.searchsorted(edges, 0.0).item() == 1
    assert tg.searchsorted(edges, 0.0, side="right").item() == 3
    assert tg.bucketize(0.0, edges, right=True).shape == ()
    assert tg.bucketize(tg.tensor([0.5, 2.0]), tg.tensor([1, 2])).tolist() == [0, 1]
    assert tg.searchsorted(edges, edges, out_int32=True).dtype == "int32"
    turned = tg.tensor(EDGES[::-1].copy())
    sorter = tg.argsort(turned)
    assert tg.searchsorted(turned, 0.3, sorter=sorter).item() == 3
    assert tg.searchsorted(edges, tg.tensor([math.nan], dtype="float64")).tolist() == [5]


def test_isin_takes_a_number_and_can_be_turned():
    x = tg.tensor([1, 2, 3])
    assert tg.isin(x, 2).tolist() == [False, True, False]
    assert tg.isin(x, 2, invert=True).tolist() == [True, False, True]
    assert tg.isin(2, x).item()
    assert tg.isin(x, tg.tensor([2.5, 3.0])).tolist() == [False, False, True]
