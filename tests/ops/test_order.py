"""Sorting, ranks and quantiles: values, positions, ties and NaN."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.loops import along
from tinygrad_cv.backend.order import order
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.order import Sort, TopK
from tinygrad_cv.ops.rank import KthValue, Median, MedianDim
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(21)
X = rng.normal(size=(3, 4))
CUBE = rng.normal(size=(2, 5, 4))
TIED = np.array([[2.0, 1.0, 2.0, 1.0, 0.0], [3.0, 3.0, 3.0, -1.0, -1.0]])
NAN = np.array([[2.0, math.nan, 1.0], [math.nan, math.nan, math.nan], [5.0, 3.0, 4.0]])
EDGES = np.array([[0.0, -0.0, math.inf, -math.inf, math.nan, -1.0, -0.0, -math.nan, math.nan]])


def naive_sort(x, dim, descending=False, count=None):
    """Values and positions by Python's stable sort; NaN is the largest."""
    lines = np.moveaxis(x, dim, -1)
    values, places = np.empty(lines.shape), np.empty(lines.shape, int)
    for at in np.ndindex(lines.shape[:-1]):
        line = lines[at].tolist()

        def key(i, line=line):
            return (1, 0) if math.isnan(line[i]) else (0, line[i])

        found = list(range(len(line)))
        if descending:  # Python keeps equal elements in their order here too
            found = sorted(found, key=key, reverse=True)
        else:
            found = sorted(found, key=key)
        places[at], values[at] = found, [line[i] for i in found]
    values, places = (np.moveaxis(a[..., :count], -1, dim) for a in (values, places))
    return values, places


def naive_quantile(part, way="linear"):
    def of_line(line):
        line = sorted(line)
        rank = part * (len(line) - 1)
        low, high = math.floor(rank), math.ceil(rank)
        weight = {"linear": rank - low, "lower": 0, "higher": 1, "midpoint": 0.5}.get(way)
        if weight is None:
            weight = round(rank) - low
        return line[low] + weight * (line[high] - line[low])

    return of_line


CASES = [
    Case(Sort, (X,), (0, False), reference=lambda x: naive_sort(x, 0), torch=lambda x: x.sort(0)),
    Case(
        Sort,
        (TIED,),
        (1, True),
        reference=lambda x: naive_sort(x, 1, True),
        torch=lambda x: torch.sort(x, dim=1, descending=True, stable=True),
        kinks=True,
    ),
    Case(TopK, (CUBE,), (2, 1, True), reference=lambda x: naive_sort(x, 1, True, 2)),
    Case(
        KthValue,
        (CUBE,),
        (2, 2, True),
        reference=lambda x: tuple(a[..., 1:2] for a in naive_sort(x, 2)),
        torch=lambda x: x.kthvalue(2, 2, True),
    ),
    Case(
        MedianDim,
        (CUBE,),
        (1, False, False),
        reference=lambda x: tuple(a[:, 2] for a in naive_sort(x, 1)),
        torch=lambda x: x.median(1),
    ),
    Case(
        Median,
        (X,),
        (False,),
        reference=lambda x: sorted(x.reshape(-1).tolist())[5],
        torch=lambda x: x.median(),
    ),
    Case(
        tg.median,
        (TIED,),
        torch=lambda x: x.median(),
        gradient=lambda g, x: g * (x == 1.0) / 2,
        kinks=True,
        name="ties",
    ),
    Case(tg.sort, (CUBE,), reference=lambda x: naive_sort(x, -1), name="last axis"),
    Case(tg.sort, (np.array(2.0),), torch=lambda x: x.sort(), name="0-d"),
    Case(
        tg.argsort,
        (CUBE, 1),
        reference=lambda x, d: naive_sort(x, d)[1],
        torch=torch.argsort,
        order=0,
    ),
    Case(tg.msort, (X,), reference=lambda x: naive_sort(x, 0)[0], torch=torch.msort),
    Case(tg.topk, (X, 2), torch=torch.topk),
    Case(
        tg.topk,
        (CUBE, 3, 1, False),
        reference=lambda x, k, d, _: naive_sort(x, d, count=3),
        torch=lambda x, *a: torch.topk(x, *a),
        name="smallest",
    ),
    Case(tg.topk, (X, 0), torch=torch.topk, name="none"),
    Case(tg.topk, (X, 4, 1), torch=torch.topk, name="all"),
    Case(tg.topk, (np.array(2.0), 1), torch=torch.topk, name="0-d"),
    Case(tg.kthvalue, (X, 3), torch=torch.kthvalue),
    Case(
        tg.kthvalue,
        (CUBE, 1, 0),
        kwargs={"keepdim": True},
        torch=partial(torch.kthvalue, keepdim=True),
    ),
    Case(tg.median, (X, -1, True), torch=torch.median),
    Case(tg.median, (np.array(2.0), 0), torch=torch.median, name="0-d"),
    Case(tg.nanmedian, (X, 0), torch=torch.nanmedian),
    *(
        Case(
            tg.quantile,
            (CUBE, 0.3),
            kwargs={"dim": 1, "interpolation": way},
            reference=lambda x, q, way=way: along(naive_quantile(q, way), 1)(x),
            torch=partial(torch.quantile, dim=1, interpolation=way),
            name=way,
        )
        for way in ("linear", "lower", "higher", "nearest", "midpoint")
    ),
    Case(
        tg.quantile,
        (X, np.array([0.0, 0.4, 1.0])),
        reference=lambda x, q: np.array([naive_quantile(p)(x.reshape(-1)) for p in q.tolist()]),
        torch=torch.quantile,
        diff=[0],
        name="several",
        skip={"empty": "of no elements", "memory": "q is ordered"},
    ),
    Case(
        tg.quantile,
        (X, np.array([0.3, 0.6]), 0, True),
        torch=torch.quantile,
        skip={"float32": "q in float32 moves the ranks"},
        name="of parts that get a gradient",
    ),
    Case(tg.nanquantile, (X, 0.3, 1), torch=torch.nanquantile),
]

BAD = [
    Bad(tg.sort, (X, 2), error=RangeError, match="dim 2"),
    Bad(tg.sort, (X, 0.5), error=DTypeError, match="whole number"),
    Bad(tg.argsort, (X, -3), error=RangeError, match="dim -3"),
    Bad(tg.topk, (X, 5), error=RangeError, match="k = 5, but there are 4"),
    Bad(tg.topk, (X, -1, 0), error=RangeError, match="k = -1"),
    Bad(tg.topk, (X, 1.5), error=DTypeError, match="whole number"),
    Bad(tg.kthvalue, (X, 0), error=RangeError, match="k = 0"),
    Bad(tg.kthvalue, (X, 4, 0), error=RangeError, match="1 <= k <= 3"),
    Bad(tg.kthvalue, (np.zeros((0, 3)), 1, 0), error=RangeError, match="0 elements"),
    Bad(tg.median, (np.zeros((3, 0)), 1), error=ShapeError, match="no element"),
    Bad(tg.median, (np.zeros(0, int),), error=ShapeError, match="no element"),
    Bad(tg.nanmedian, (np.zeros((3, 0)), 1), error=ShapeError, match="no element"),
    Bad(tg.median, (X, 2), error=RangeError, match="dim 2"),
    Bad(tg.quantile, (np.zeros((0,)), 0.5), error=ShapeError, match="no element"),
    Bad(tg.quantile, (X, 1.5), error=RangeError, match="between 0 and 1"),
    Bad(tg.quantile, (X, np.zeros((1, 1))), error=ShapeError, match="a vector"),
    Bad(tg.quantile, (X, np.array([0, 1])), error=DTypeError, match="q must be floating"),
    Bad(tg.quantile, (X.astype(int), 0.5), error=DTypeError, match="must be floating"),
    Bad(
        tg.quantile,
        (X, 0.5),
        {"interpolation": "cubic"},
        error=ArgumentError,
        match="no interpolation 'cubic'",
    ),
    Bad(tg.nanquantile, (X, 0.5, 3), error=RangeError, match="dim 3"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8", "uint8", "bool"])
def test_order_of_ties_nan_infinities_and_signed_zeros(dtype, descending):
    x = EDGES if dtype[0] == "f" else np.array([[3, -2, 3, 0, -128, 127, 0, -2]])
    if dtype in ("uint8", "bool"):
        x = np.abs(x)
    x = np.concatenate([x] * 5, 1).astype(dtype)
    theirs = torch.tensor(x).sort(dim=1, descending=descending, stable=True)
    ours = tg.sort(tg.tensor(x), 1, descending)
    np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
    np.testing.assert_array_equal(ours.indices.numpy(), theirs.indices.numpy())
    assert ours.values.dtype == dtype
    for count in (0, 1, 7):
        found = order(np, x, descending, count)
        np.testing.assert_array_equal(found, theirs.indices.numpy()[:, :count])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", ["median", "nanmedian"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_median_with_nan_as_torch(function, keepdim, dtype):
    x = NAN.astype(dtype)
    ours = getattr(tg, function)(tg.tensor(x), 1, keepdim)
    theirs = getattr(torch, function)(torch.tensor(x), 1, keepdim)
    np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
    known = [0, 2] if function == "nanmedian" else [0, 1, 2]  # which NaN of many is left open
    np.testing.assert_array_equal(ours.indices.numpy()[known], theirs.indices.numpy()[known])


@pytest.mark.parametrize("function", ["median", "nanmedian"])
@pytest.mark.parametrize("x", [NAN, NAN[1], NAN[2], NAN[:0]])
def test_median_of_all_with_nan_as_torch(function, x):
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = getattr(tg, function)(ours), getattr(torch, function)(theirs)
    np.testing.assert_array_equal(y.detach().numpy(), z.detach().numpy())
    y.backward()
    z.backward()
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("function", ["quantile", "nanquantile"])
@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("q", [0.3, [0.0, 0.25, 1.0]])
def test_quantiles_with_nan_as_torch(function, dim, keepdim, q):
    ours, theirs = tg.tensor(NAN, requires_grad=True), torch.tensor(NAN, requires_grad=True)
    y = getattr(tg, function)(ours, q, dim, keepdim)
    given = q if isinstance(q, float) else torch.tensor(q, dtype=torch.float64)
    z = getattr(torch, function)(theirs, given, dim, keepdim)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy())
    assert y.shape == tuple(z.shape)
    y.sum().backward()
    z.sum().backward()
    if function == "quantile" or dim is None:
        np.testing.assert_allclose(ours.grad.numpy()[::2], theirs.grad.numpy()[::2])


def test_names_and_methods():
    x = tg.tensor(X)
    assert x.sort(descending=True).values[0, 0].item() == X[0].max()
    assert x.topk(k=1, axis=0).indices.tolist() == [X.argmax(0).tolist()]
    assert x.sort(True).values[0, 0].item() == X[0].max()
    assert x.argsort(axis=0).shape == x.shape
    assert x.median(axis=0, keepdims=True).values.shape == (1, 4)
    assert x.kthvalue(1, axis=0).values.tolist() == X.min(0).tolist()
    assert tg.quantile(x, 0.5, axis=1, keepdims=True).shape == (3, 1)
    assert x.median(keepdim=True).shape == (1, 1)
    scalar = tg.quantile(tg.tensor(2.0), [0.1, 0.2], 0, True)
    assert scalar.tolist() == [2.0, 2.0]
