"""Reductions: values by loops, gradients, ties, axes, accuracy in float32, refusals."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend import sums
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops import argmax, expand, extrema, reduce, scan
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(5)
inf, nan = math.inf, math.nan
X = rng.normal(size=(2, 3, 4))
ONE_ZERO = np.array([[0.0, 2.0], [3.0, -4.0]])
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 0.0], [4.0, 5.0, 6.0]])
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])


def along(function, dim, keepdim=False):
    """A function of a list of numbers, applied to every group that a reduction over dim makes."""

    def loop(x):
        dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
        dims = sorted(d % x.ndim for d in dims) if x.ndim else []
        rest = [d for d in range(x.ndim) if d not in dims]
        rows = np.transpose(x, rest + dims).reshape([x.shape[d] for d in rest] + [-1])
        out = np.zeros(rows.shape[:-1])
        for place in np.ndindex(out.shape):
            out[place] = function(rows[place].tolist())
        return np.expand_dims(out, dims) if keepdim else out

    return loop


def variance(correction):
    def function(values):
        m = math.fsum(values) / len(values)
        return math.fsum((v - m) ** 2 for v in values) / (len(values) - correction)

    return function


def quiet(function):
    """PyTorch's function without its warnings."""

    def call(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return call


def p_norm(p):
    if p == inf:
        return lambda values: max(abs(v) for v in values)
    if p == -inf:
        return lambda values: min(abs(v) for v in values)
    if p == 0:
        return lambda values: sum(v != 0 for v in values)
    return lambda values: sum(abs(v) ** p for v in values) ** (1 / p)


DIMS = [(None, False), (0, False), (-1, True), ((0, 2), False), ((2, 0), True)]

CASES = [
    *(
        Case(
            ours,
            (X,),
            kwargs={"dim": d, "keepdim": k},
            reference=along(f, d, k),
            torch=lambda x, t=t, d=d, k=k: t(x, d, keepdim=k),
            name=f"{d}{k}",
        )
        for ours, f, t in (
            (
                tg.sum,
                math.fsum,
                lambda x, d, keepdim: torch.sum(x, (0, 1, 2) if d is None else d, keepdim),
            ),
            (tg.mean, lambda v: math.fsum(v) / len(v), torch.mean),
            (tg.var, variance(1), torch.var),
            (tg.std, lambda v: math.sqrt(variance(1)(v)), torch.std),
            (tg.amax, max, lambda x, d, keepdim: torch.amax(x, () if d is None else d, keepdim)),
            (tg.amin, min, lambda x, d, keepdim: torch.amin(x, () if d is None else d, keepdim)),
            (tg.norm, p_norm(2), lambda x, d, keepdim: torch.norm(x, 2, d, keepdim)),
        )
        for d, k in DIMS
    ),
    *(
        Case(
            f,
            (np.array(1.5),),
            kwargs={"dim": d},
            reference=lambda x, r=r: np.array(r),
            name=f"0-d {d}",
        )
        for f, r in ((tg.sum, 1.5), (tg.mean, 1.5), (tg.amax, 1.5), (tg.amin, 1.5), (tg.prod, 1.5))
        for d in (None, 0, -1)
    ),
    Case(
        tg.var, (X,), kwargs={"dim": 1, "correction": 0}, reference=along(variance(0), 1), order=3
    ),
    Case(tg.var, (X,), attrs=(1, False), reference=along(variance(0), 1), name="biased"),
    Case(
        tg.std,
        (X,),
        attrs=(False,),
        reference=along(lambda v: math.sqrt(variance(0)(v)), None),
        name="biased",
    ),
    *(
        Case(
            f,
            (a,),
            kwargs={"dim": 1, "correction": c},
            torch=lambda x, t=t, c=c: t(x, 1, correction=c),
            order=0,
            name=f"few {c}",
        )
        for f, t in ((tg.var, quiet(torch.var)), (tg.std, quiet(torch.std)))
        for a, c in ((np.array([[2.0, 2.0]]), 1), (np.array([[2.0, 2.0]]), 2))
    ),
    Case(
        tg.var,
        (np.array([[2.0]]),),
        attrs=(1,),
        torch=quiet(lambda x: x.var(1)),
        order=0,
        name="one",
    ),
    Case(tg.var_mean, (X,), kwargs={"dim": 1}, torch=lambda x: torch.var_mean(x, 1)),
    Case(tg.std_mean, (X,), kwargs={"dim": (0, 1)}, torch=lambda x: torch.std_mean(x, (0, 1))),
    *(
        Case(
            tg.norm,
            (X,),
            attrs=(p, (0, 2)),
            reference=along(p_norm(p), (0, 2)),
            torch=lambda x, p=p: torch.linalg.vector_norm(x, p, (0, 2)),
            name=f"{p}",
        )
        for p in (0, 0.5, 1, 1.5, 2, 3, inf, -inf, -1)
    ),
    *(
        Case(tg.norm, (a,), attrs=(p,), torch=lambda x, p=p: x.norm(p), order=0, name=f"{k} {p}")
        for k, a in (
            ("zeros", np.zeros(2)),
            ("a zero", np.array([0.0, 1.0, -2.0])),
            ("ties", np.array([2.0, -2.0, 1.0])),
        )
        for p in (0.5, 1, 1.5, 2, 3, inf, -inf)
    ),
    *(
        Case(
            tg.prod,
            (a,),
            kwargs={"dim": d},
            reference=along(math.prod, d),
            torch=lambda x, d=d: x.prod() if d is None else x.prod(d),
            name=f"{d}",
            order=3,
        )
        for a, d in ((ONE_ZERO, None), (X, 0), (ZEROS, 0), (ZEROS, -1))
    ),
    *(
        Case(
            f,
            (a,),
            attrs=(d,),
            reference=lambda x, r=r, d=d: r(x, d),
            torch=lambda x, t=t, d=d: t(x, d),
            name=f"{d}",
        )
        for f, r, t in (
            (tg.cumsum, np.cumsum, torch.cumsum),
            (tg.cumprod, np.cumprod, torch.cumprod),
        )
        for a in (X, ZEROS)
        for d in (0, -1)
    ),
    Case(
        scan.Cumsum,
        (X,),
        attrs=(1, True),
        reference=lambda x: np.flip(np.cumsum(np.flip(x, 1), 1), 1),
    ),
    Case(
        scan.Cumprod,
        (ZEROS,),
        attrs=(1, True),
        reference=lambda x: np.flip(np.cumprod(np.flip(x, 1), 1), 1),
        order=3,
    ),
    Case(tg.cumsum, (np.array(2.0),), attrs=(0,), reference=lambda x: x, name="0-d"),
    Case(tg.cumprod, (np.array(2.0),), attrs=(0,), reference=lambda x: x, name="0-d"),
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
        Case(f, (TIES,), torch=t, order=0, name="ties")
        for f, t in ((tg.max, torch.max), (tg.min, torch.min))
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
            torch=lambda x, t=t, d=d, k=k: t(x, d, k),
            name=f"{d}{k}",
        )
        for f, t in ((tg.argmax, torch.argmax), (tg.argmin, torch.argmin))
        for d, k in ((None, False), (0, False), (-1, True))
    ),
    Case(argmax.Argmax, (TIES,), attrs=(1, False), reference=lambda x: np.array([1, 0])),
    Case(
        argmax.IndexMask,
        (np.array([2, 0]),),
        attrs=(3, 1, False),
        reference=lambda i: np.eye(3)[i] > 0,
    ),
    *(
        Case(
            expand.Expand, (a,), attrs=attrs, reference=lambda x, s=attrs[0]: np.broadcast_to(x, s)
        )
        for a, attrs in (
            (rng.normal(size=(3, 1)), ((2, 3, 4),)),
            (np.array(2.0), ((2, 2),)),
            (X, ((2, 3, 4),)),
        )
    ),
    Case(
        expand.Expand,
        (rng.normal(size=(2, 4)),),
        attrs=((2, 3, 4, 5), (1, 3)),
        reference=lambda x: np.broadcast_to(x[:, None, :, None], (2, 3, 4, 5)),
        name="new axes",
        batch=(),
    ),
    *(
        Case(
            expand.SumTo,
            (X,),
            attrs=(shape,),
            reference=lambda x, d=d, s=shape: along(math.fsum, d)(x).reshape(s),
            batch=(),
        )
        for shape, d in (
            ((), None),
            ((4,), (0, 1)),
            ((3, 1), (0, 2)),
            ((2, 1, 4), (1,)),
            ((1, 1, 1), None),
        )
    ),
    Case(
        expand.SumTo,
        (X,),
        attrs=((2, 3, 4),),
        reference=lambda x: x,
        name="nothing to sum",
        batch=(),
    ),
    Case(
        expand.SumTo,
        (X,),
        attrs=((2, 1), (2,)),
        reference=lambda x: x.sum((1, 2)).reshape(2, 1),
        name="axes",
        batch=(),
    ),
    Case(
        lambda x: x.expand(-1, 3, -1),
        (rng.normal(size=(2, 1, 4)),),
        reference=lambda x: np.repeat(x, 3, 1),
    ),
    Case(
        lambda x: x.expand(5, -1),
        (rng.normal(size=3),),
        reference=lambda x: np.stack([x] * 5),
        batch=(),
    ),
    Case(
        lambda x, y: x.expand_as(y),
        (np.ones(3), X[:, :, :3]),
        diff=[0],
        reference=lambda x, y: y * 0 + x,
    ),
    Case(
        reduce.Sum,
        (rng.normal(size=(40, 3, 9, 9)),),
        attrs=((0, 2, 3), False),
        reference=along(math.fsum, (0, 2, 3)),
        name="large",
    ),
    Case(
        reduce.Sum,
        (rng.normal(size=(3000, 5)),),
        attrs=((0,), True),
        reference=along(math.fsum, 0, True),
        name="tall",
    ),
]

BAD = [
    *(
        Bad(f, (X, 3), error=RangeError, match="out of range")
        for f in (
            tg.sum,
            tg.mean,
            tg.var,
            tg.std,
            tg.prod,
            tg.amax,
            tg.amin,
            tg.max,
            tg.min,
            tg.argmax,
            tg.argmin,
            tg.cumsum,
            tg.cumprod,
        )
    ),
    *(
        Bad(f, (X, (1, -2)), error=ArgumentError, match="twice")
        for f in (tg.sum, tg.mean, tg.var, tg.std, tg.amax)
    ),
    *(
        Bad(f, (X, 0), {"axis": 1}, error=ArgumentError, match="two names")
        for f in (tg.sum, tg.mean, tg.max, tg.prod)
    ),
    Bad(tg.sum, (X, 1.5), error=DTypeError, match="whole number"),
    Bad(tg.cumsum, (X,), error=DTypeError, match="dim"),
    *(
        Bad(f, (np.arange(3),), error=DTypeError, match="floating")
        for f in (tg.mean, tg.var, tg.std, tg.norm)
    ),
    *(
        Bad(f, (np.zeros((2, 0)),), error=ShapeError, match="no element")
        for f in (tg.amax, tg.amin, tg.argmax, tg.argmin)
    ),
    *(
        Bad(f, (np.zeros((2, 0)), 1), error=ShapeError, match="no element")
        for f in (tg.max, tg.min, tg.argmax)
    ),
    Bad(tg.argmax, (np.ones(3, bool),), error=DTypeError, match="bool"),
    Bad(tg.var, (X, 1, True), {"correction": 0}, error=ArgumentError, match="two names"),
    Bad(tg.norm, (X, "nuc"), error=ArgumentError, match="fro"),
    Bad(tg.norm, (np.zeros(0), inf), error=ShapeError, match="no elements"),
    Bad(expand.expand, (X, 2, 3, 5), error=ShapeError, match="broadcast"),
    Bad(expand.expand, (X, 3, 4), error=ShapeError, match="broadcast"),
    Bad(expand.expand, (X, -1, 2, 3, 4), error=ShapeError, match="broadcast"),
    Bad(
        expand.SumTo,
        (np.zeros((2, 3)), (4,)),
        error=ShapeError,
        match="broadcast",
        skip={"meta": ""},
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_empty_reductions():
    x = tg.zeros(0, 3)
    assert tg.sum(x).item() == 0
    assert tg.prod(x).item() == 1
    assert math.isnan(tg.mean(x).item())
    assert math.isnan(tg.var(x).item())
    assert tg.norm(x).item() == 0
    assert tg.sum(x, 0).tolist() == [0, 0, 0]
    assert tg.mean(x, 1).shape == (0,)
    assert tg.amax(x, 1).shape == (0,)
    values, indices = tg.max(x, 1)
    assert (values.shape, indices.shape, indices.dtype) == ((0,), (0,), tg.int64)


def test_integers_are_summed_in_int64():
    for dtype in ("bool", "uint8", "int8", "int32", "int64"):
        x = tg.ones(300, dtype=dtype)
        for result in (tg.sum(x), tg.prod(x), tg.cumsum(x, 0), tg.cumprod(x, 0)):
            assert result.dtype == tg.int64
        assert tg.sum(x).item() == 300
    assert tg.sum(tg.ones(3), dtype="float64").dtype == tg.float64
    assert tg.mean(tg.tensor([1, 2]), dtype="float32").item() == 1.5


def test_names_of_numpy_and_named_tuples():
    x = tg.tensor(X)
    assert tg.sum(x, axis=(0, 1), keepdims=True).shape == (1, 1, 4)
    assert x.mean(axis=1).shape == (2, 4)
    assert x.max(axis=1).values.shape == (2, 4)
    assert x.argmax(axis=1, keepdims=True).shape == (2, 1, 4)
    assert x.max(dim=0)._fields == ("values", "indices")


def test_an_expanded_tensor_is_a_view_that_refuses_writes():
    x = tg.zeros(1, 3)
    y = x.expand(4, 3)
    assert np.shares_memory(y.array, x.array)
    assert not y.array.flags.writeable


LAYOUTS = {
    "channels_last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "contiguous": lambda x: x,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_float32_sums_over_all_but_the_channels_are_accurate(layout, channels):
    x = LAYOUTS[layout]((rng.normal(size=(32, channels, 48, 48)) + 3).astype(np.float32))
    exact = x.astype(np.float64).sum((0, 2, 3))
    assert np.abs(sums.channel_sum(np, x) / exact - 1).max() < 1e-6
    assert np.abs(tg.sum(tg.tensor(x), (0, 2, 3)).numpy() / exact - 1).max() < 1e-6
    spread = x.astype(np.float64).var((0, 2, 3))
    assert np.abs(tg.var(tg.tensor(x), (0, 2, 3), correction=0).numpy() / spread - 1).max() < 2e-6


def test_float32_sums_of_long_columns_are_accurate():
    x = (rng.normal(size=(200_001, 4)) + 3).astype(np.float32)
    exact = x.astype(np.float64).sum(0)
    assert np.abs(sums.total(np, x, (0,)) / exact - 1).max() < 1e-6
    assert sums.total(np, x, (0,), keepdim=True).shape == (1, 4)


def test_infinite_values_go_through_blocked_sums():
    x = np.ones((3000, 4), np.float32)
    x[7, 0], x[8, 1], x[9, 1], x[10, 2] = inf, inf, -inf, nan
    result = tg.sum(tg.tensor(x), 0).numpy()
    assert result[0] == inf
    assert np.isnan(result[1])
    assert np.isnan(result[2])
    assert result[3] == 3000


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
