"""Largest and smallest elements: values, indices, ties, NaN, refusals."""

from __future__ import annotations

import math

import numpy as np
import torch

import tinygrad_cv as tg
from tests.ops.loops import along
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops import argmax, extrema
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(6)
nan = math.nan
X = rng.normal(size=(2, 3, 4))
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
DIMS = [(None, False), (0, False), (-1, True), ((0, 2), False), ((2, 0), True)]

CASES = [
    *(
        Case(
            ours,
            (X,),
            kwargs={"dim": d, "keepdim": k},
            reference=along(f, d, k),
            torch=lambda x, t=t, d=d, k=k: t(x, () if d is None else d, k),
            name=f"{d}{k}",
        )
        for ours, f, t in ((tg.amax, max, torch.amax), (tg.amin, min, torch.amin))
        for d, k in DIMS
    ),
    *(
        Case(f, (np.array(1.5),), kwargs={"dim": d}, reference=lambda x: x, name=f"0-d {d}")
        for f in (tg.amax, tg.amin)
        for d in (None, 0, -1)
    ),
    *(
        Case(
            f,
            (X,),
            attrs=(d, k),
            torch=lambda x, t=t, d=d, k=k: t(x, d, k),
            reference=lambda x, r=r, d=d, k=k: r(x, d, k),
            name=f"{d}",
        )
        for f, t, r in (
            (tg.max, torch.max, lambda x, d, k: (x.max(d, keepdims=k), x.argmax(d, keepdims=k))),
            (tg.min, torch.min, lambda x, d, k: (x.min(d, keepdims=k), x.argmin(d, keepdims=k))),
        )
        for d, k in ((0, False), (1, True), (-1, False))
    ),
    *(
        Case(f, (a,), attrs=(1,), torch=lambda x, t=t: t(x, 1), order=0, name="ties or NaN")
        for f, t in (
            (tg.max, torch.max),
            (tg.min, torch.min),
            (tg.amax, torch.amax),
            (tg.amin, torch.amin),
        )
        for a in (TIES, np.array([[1.0, nan, 2.0, nan]]))
    ),
    *(
        Case(f, (a,), torch=t, order=0, name="ties or NaN")
        for f, t in ((tg.max, torch.max), (tg.min, torch.min))
        for a in (TIES, np.array([[1.0, nan, 2.0, nan]]), np.array(nan))
    ),
    *(
        Case(op, (X,), attrs=((0, 1, 2), k), reference=lambda x, f=f, k=k: f(x, keepdims=k))
        for op, f in ((extrema.Max, np.max), (extrema.Min, np.min))
        for k in (False, True)
    ),
    Case(tg.max, (X, X[::-1].copy()), reference=np.maximum, name="of two"),
    Case(tg.min, (X, X[::-1].copy()), reference=np.minimum, name="of two"),
    Case(tg.max, (np.array(2.0),), attrs=(0,), torch=lambda x: x.max(0), name="0-d"),
    Case(tg.aminmax, (X,), kwargs={"dim": 1}, torch=lambda x: tuple(torch.aminmax(x, dim=1))),
    *(
        Case(
            f,
            (X,),
            kwargs={"dim": d, "keepdim": k},
            reference=lambda x, n=n, d=d, k=k: n(x, d, keepdims=k),
            torch=lambda x, t=t, d=d, k=k: t(x, d, k),
            name=f"{d}{k}",
        )
        for f, n, t in (
            (tg.argmax, np.argmax, torch.argmax),
            (tg.argmin, np.argmin, torch.argmin),
        )
        for d, k in ((None, False), (0, False), (-1, True))
    ),
    Case(argmax.Argmax, (TIES,), attrs=(1, False), reference=lambda x: np.array([1, 0])),
    Case(argmax.Argmin, (-TIES,), attrs=(1, False), reference=lambda x: np.array([1, 0])),
    Case(
        argmax.IndexMask,
        (np.array([2, 0]),),
        attrs=(3, 1, False),
        reference=lambda i: np.eye(3)[i] > 0,
    ),
]

BAD = [
    *(
        Bad(f, (X, 3), error=RangeError, match="out of range")
        for f in (tg.amax, tg.amin, tg.max, tg.min, tg.argmax, tg.argmin)
    ),
    Bad(tg.amax, (X, (1, -2)), error=ArgumentError, match="twice"),
    Bad(tg.max, (X, 0), {"axis": 1}, error=ArgumentError, match="two names"),
    *(
        Bad(f, (np.zeros((2, 0)),), error=ShapeError, match="no element")
        for f in (tg.amax, tg.amin, tg.argmax, tg.argmin)
    ),
    *(
        Bad(f, (np.zeros((2, 0)), 1), error=ShapeError, match="no element")
        for f in (tg.max, tg.min, tg.argmax)
    ),
    *(
        Bad(f, (np.zeros(0),), error=ShapeError, match="no element")
        for f in (tg.max, tg.min, tg.aminmax)
    ),
    Bad(tg.aminmax, (np.zeros((2, 0)),), {"dim": 1}, error=ShapeError, match="no element"),
    Bad(tg.argmax, (np.ones(3, bool),), error=DTypeError, match="bool"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_nothing_to_choose_from_is_fine_where_there_is_no_result():
    x = tg.zeros(0, 3)
    assert tg.amax(x, 1).shape == (0,)
    values, indices = tg.max(x, 1)
    assert (values.shape, indices.shape, indices.dtype) == ((0,), (0,), tg.int64)


def test_names_of_numpy_and_named_tuples():
    x = tg.tensor(X)
    assert x.max(axis=1).values.shape == (2, 4)
    assert x.argmax(axis=1, keepdims=True).shape == (2, 1, 4)
    assert x.max(dim=0)._fields == ("values", "indices")


def test_ties_share_or_pick():
    for function, expected in (
        (lambda x: x.max(), [0.5, 0.5, 0.0]),
        (lambda x: x.amax(0), [0.5, 0.5, 0.0]),
        (lambda x: x.max(0).values, [1.0, 0.0, 0.0]),
    ):
        x = tg.tensor([1.0, 1.0, 0.0], requires_grad=True)
        function(x).backward()
        assert x.grad.tolist() == expected


def test_extrema_of_integers_and_bools():
    assert tg.amax(tg.tensor([1, 5, 2])).item() == 5
    assert tg.amax(tg.tensor([True, False])).item() is True
    assert [t.tolist() for t in extrema.max(tg.tensor([[1, 5], [7, 2]]), 1)] == [[5, 7], [1, 0]]
