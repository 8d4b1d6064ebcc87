"""scatter_reduce, index_reduce and scatter with a reduction."""

from __future__ import annotations

import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.scatter_reduce import FactorOrder, ScatterMax, ScatterMin, ScatterProd
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(24)
X = rng.normal(size=(3, 4))
INDEX = np.array([[0, 2, 2, 1], [2, 2, 0, 1]])
SRC = rng.normal(size=(2, 4))
ZEROS = np.array([[1.5, 0.0, 2.0, 0.0], [0.0, 0.0, -1.0, 3.0], [2.0, 2.0, 0.0, 1.0]])
ZERO_SRC = np.array([[0.0, 2.0, 0.0, -2.0], [3.0, 0.0, 0.5, 0.0]])
TIED, TIED_SRC = np.ones((3, 4)), np.array([[1.0, 1.0, 0.0, 2.0], [1.0, 1.0, 1.0, 2.0]])
CUBE, DEEP = rng.normal(size=(2, 3, 4)), rng.integers(0, 3, (2, 5, 3))
FITTED = {"empty": "the index belongs to the shape"}
WAYS = ("sum", "prod", "mean", "amax", "amin")


def naive(x, index, src, dim, way, include_self=True):
    reduce = {"sum": sum, "prod": math.prod, "amax": max, "amin": min}
    reduce["mean"] = lambda values: sum(values) / len(values)
    found = {}
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        found.setdefault(tuple(place), []).append(src[at])
    y = x.copy()
    for place, values in found.items():
        y[place] = reduce[way]([x[place], *values] if include_self else values)
    return y


def naive_args(x, dim, index, src, way):
    return naive(x, index, src, dim, way)


def order_of(index, include_self):
    """What FactorOrder promises, for an index into 3 positions."""
    factors = [(p if include_self or p not in index else -1 - p, p) for p in range(3)]
    factors += [(p, 3 + i) for i, p in enumerate(index)]
    factors.sort(key=lambda f: f[0])
    runs = [run for run, _ in factors]
    rounds = len(index).bit_length()
    size = len(runs)
    before = [[i >= 2**k and runs[i] == runs[i - 2**k] for i in range(size)] for k in range(rounds)]
    behind = [
        [i + 2**k < size and runs[i] == runs[i + 2**k] for i in range(size)] for k in range(rounds)
    ]
    positions = [-1 - r if r < 0 else r for r in runs]
    counts = [r >= 0 for r in runs]
    places = [place for _, place in factors]
    return tuple(map(np.array, (places, positions, counts, before, behind)))


def index_reduce(*args, **kwargs):
    """PyTorch's, which says once that it is in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.index_reduce(*args, **kwargs)


CASES = [
    *(
        Case(
            op,
            (X, INDEX, SRC),
            (0, include_self),
            reference=lambda x, i, s, w=way, h=include_self: naive(x, i, s, 0, w, h),
            torch=partial(
                lambda x, i, s, w, h: torch.scatter_reduce(x, 0, i, s, w, include_self=h),
                w=way,
                h=include_self,
            ),
            skip=FITTED,
            name=f"{include_self}",
            order=3,
        )
        for op, way in ((ScatterMax, "amax"), (ScatterMin, "amin"), (ScatterProd, "prod"))
        for include_self in (True, False)
    ),
    *(
        Case(
            FactorOrder,
            (np.array([2, 0, 2, 2]),),
            ((3,), 0, include_self),
            reference=lambda i, h=include_self: order_of(i.tolist(), h),
            name=f"{include_self}",
        )
        for include_self in (True, False)
    ),
    *(
        Case(
            tg.scatter_reduce,
            (CUBE, 1, DEEP, rng.normal(size=(2, 5, 3)), way),
            kwargs={"include_self": include_self},
            reference=lambda x, d, i, s, w, h=include_self: naive(x, i, s, d, w, h),
            torch=partial(torch.scatter_reduce, include_self=include_self),
            name=f"{way} {include_self}",
            skip=FITTED,
        )
        for way in WAYS
        for include_self in (True, False)
    ),
    *(
        Case(
            tg.scatter_reduce,
            (ZEROS, 0, INDEX, ZERO_SRC, "prod"),
            kwargs={"include_self": include_self},
            torch=partial(torch.scatter_reduce, include_self=include_self),
            name=f"zeros {include_self}",
            skip=FITTED,
            order=3,
        )
        for include_self in (True, False)
    ),
    *(
        Case(
            tg.scatter_reduce,
            (TIED, 0, INDEX, TIED_SRC, way),
            torch=torch.scatter_reduce,
            kinks=True,
            name=f"ties {way}",
            skip=FITTED,
        )
        for way in ("amax", "amin")
    ),
    *(
        Case(
            tg.scatter_reduce,
            (rng.normal(size=()), 0, np.array(0), rng.normal(size=()), way),
            torch=torch.scatter_reduce,
            name=f"0-d {way}",
        )
        for way in WAYS
    ),
    *(
        Case(
            tg.index_reduce,
            (X, 1, np.array([2, 0, 2]), rng.normal(size=(3, 3)), way),
            kwargs={"include_self": include_self},
            reference=lambda x, d, i, s, w, h=include_self: naive(
                x, np.broadcast_to(i, (3, 3)), s, d, w, h
            ),
            torch=partial(index_reduce, include_self=include_self),
            name=f"{way} {include_self}",
        )
        for way in WAYS[1:]
        for include_self in (True, False)
    ),
    Case(
        lambda x, i, s: tg.scatter(x, 0, i, s, reduce="multiply"),
        (X, INDEX, SRC),
        reference=lambda x, i, s: naive(x, i, s, 0, "prod"),
        name="scatter product",
        skip=FITTED,
    ),
    *(
        Case(
            tg.scatter_reduce,
            (CUBE, 1, DEEP, rng.normal(size=(2, 6, 4)), way),
            reference=naive_args,
            name=f"longer src {way}",
            skip=FITTED,
        )
        for way in WAYS
    ),
]
CASES[-6].function.__name__ = "scatter"

BAD = [
    Bad(
        tg.scatter_reduce,
        (X, 0, INDEX, SRC, "max"),
        error=ArgumentError,
        match="no reduction 'max'",
    ),
    Bad(tg.scatter_reduce, (X, 0, INDEX + 1, SRC, "prod"), error=RangeError, match="index 3"),
    Bad(tg.scatter_reduce, (X, 0, INDEX, SRC[:1], "amin"), error=ShapeError, match="as long"),
    Bad(tg.scatter_reduce, (X, 0, INDEX * 1.0, SRC, "amax"), error=DTypeError, match="int64"),
    Bad(tg.scatter_reduce, (X, 2, INDEX, SRC, "sum"), error=RangeError, match="dim 2"),
    Bad(tg.index_reduce, (X, 0, INDEX, SRC, "prod"), error=ShapeError, match="a vector"),
    Bad(tg.index_reduce, (X, 0, INDEX[0], SRC, "prod"), error=ShapeError, match="source must"),
    Bad(tg.index_reduce, (X, 0, np.array([3, 0]), SRC, "prod"), error=RangeError, match="index 3"),
    Bad(tg.index_reduce, (X, 0, np.array([1, 0]), SRC, "sum"), error=ArgumentError, match="sum"),
    Bad(
        tg.scatter,
        (X, 0, INDEX, SRC),
        {"reduce": "max"},
        error=ArgumentError,
        match="max",
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_dtypes_as_torch(way, include_self, dtype):
    x, src = (rng.integers(0, 9, s).astype(dtype) for s in ((3, 4), (2, 4)))
    ask = {"include_self": include_self}
    ours = tg.scatter_reduce(*map(tg.tensor, (x,)), 0, tg.tensor(INDEX), tg.tensor(src), way, **ask)
    theirs = torch.tensor(x).scatter_reduce(0, torch.tensor(INDEX), torch.tensor(src), way, **ask)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_nan_and_infinities_as_torch(way):
    x = np.array([1.0, math.nan, math.inf, 2.0, 0.0])
    src, index = np.array([math.nan, 1.0, -math.inf, 3.0]), np.array([0, 1, 2, 4])
    ours = tg.scatter_reduce(tg.tensor(x), 0, tg.tensor(index), tg.tensor(src), way)
    theirs = torch.tensor(x).scatter_reduce(0, torch.tensor(index), torch.tensor(src), way)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_an_element_that_is_left_out_shares_no_gradient():
    x = tg.tensor([5.0, 1.0], requires_grad=True)
    src = tg.tensor([5.0, 5.0], requires_grad=True)
    index = tg.tensor([0, 0])
    tg.scatter_reduce(x, 0, index, src, "amax", include_self=False).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]
    assert src.grad.tolist() == [0.5, 0.5]


def test_a_number_can_be_scattered_with_a_reduction():
    x = tg.tensor([1.0, 2.0, 3.0])
    index = tg.tensor([0, 2])
    assert tg.scatter(x, 0, index, value=4.0, reduce="multiply").tolist() == [4.0, 2.0, 12.0]
    assert tg.scatter(x, 0, index, value=4.0, reduce="add").tolist() == [5.0, 2.0, 7.0]
