"""Reductions: values by loops, gradients, ties, axes, accuracy in float32, refusals."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.loops import along
from tinygrad_cv.backend import sums
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops import expand, reduce
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(5)
inf, nan = math.inf, math.nan
X = rng.normal(size=(2, 3, 4))


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
            (tg.norm, p_norm(2), lambda x, d, keepdim: torch.norm(x, 2, d, keepdim)),
        )
        for d, k in DIMS
    ),
    *(
        Case(
            f,
            (np.array(1.5),),
            kwargs={"dim": d},
            reference=lambda x: x,
            name=f"0-d {d}",
        )
        for f in (tg.sum, tg.mean)
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
        for p in (0.5, 1, 1.5, 2, 3, inf, -inf, -0.5, -1, -2)
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
        for f in (tg.sum, tg.mean, tg.var, tg.std)
    ),
    *(
        Bad(f, (X, (1, -2)), error=ArgumentError, match="twice")
        for f in (tg.sum, tg.mean, tg.var, tg.std)
    ),
    *(
        Bad(f, (X, 0), {"axis": 1}, error=ArgumentError, match="two names")
        for f in (tg.sum, tg.mean)
    ),
    Bad(tg.sum, (X, 1.5), error=DTypeError, match="whole number"),
    *(
        Bad(f, (np.arange(3),), error=DTypeError, match="floating")
        for f in (tg.mean, tg.var, tg.std, tg.norm)
    ),
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
    assert math.isnan(tg.mean(x).item())
    assert math.isnan(tg.var(x).item())
    assert tg.norm(x).item() == 0
    assert tg.sum(x, 0).tolist() == [0, 0, 0]
    assert tg.mean(x, 1).shape == (0,)


def test_integers_are_summed_in_int64():
    for dtype in ("bool", "uint8", "int8", "int32", "int64"):
        x = tg.ones(300, dtype=dtype)
        assert tg.sum(x).dtype == tg.int64
        assert tg.sum(x).item() == 300
    assert tg.sum(tg.ones(3), dtype="float64").dtype == tg.float64
    assert tg.mean(tg.tensor([1, 2]), dtype="float32").item() == 1.5


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float32"])
@pytest.mark.parametrize("of", ["bool", "uint8", "int16", "float64"])
def test_the_dtype_asked_for_is_the_dtype_of_the_result(of, dtype):
    """Small integers wrap, bool is any for a sum and all for a product."""
    values = np.array([[200, 0.75, 1], [3, 100, 1]]).astype(of)
    ours, theirs = tg.tensor(values), torch.tensor(values)
    for name in ("sum", "prod", "cumsum", "cumprod"):
        if dtype == "bool" and name.startswith("cum"):  # PyTorch has none
            assert getattr(ours, name)(0, dtype=dtype).dtype == "bool"
            continue
        for dim in (0, 1) if name.startswith("cum") else (None, 0, 1):
            options = {"dtype": getattr(torch, dtype)} | ({} if dim is None else {"dim": dim})
            expected = getattr(theirs, name)(**options).numpy()
            result = getattr(ours, name)(dim, dtype=dtype).numpy()
            assert result.dtype == expected.dtype == dtype
            np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_a_dtype_reaches_the_sum_and_product_of_nothing_and_the_meta_device():
    for name, value in (("sum", False), ("prod", True)):
        empty = getattr(tg.zeros(0), name)(dtype="bool")
        assert (empty.item(), empty.dtype) == (value, tg.bool_)
        meta = getattr(tg.zeros(2, 3, device="meta"), name)(1, keepdim=True, dtype="int32")
        assert (meta.shape, meta.dtype) == ((2, 1), tg.int32)


def test_names_of_numpy():
    x = tg.tensor(X)
    assert tg.sum(x, axis=(0, 1), keepdims=True).shape == (1, 1, 4)
    assert x.mean(axis=1).shape == (2, 4)


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


def test_a_sum_over_some_of_the_channels_is_as_accurate_as_over_all():
    x = np.random.default_rng(3).normal(size=(4, 32, 32, 24)).astype(np.float32) + 100
    for part in (x, x[..., :9], x[..., 9:], x[1:, ..., 3:8]):
        part = part.transpose(0, 3, 1, 2)
        expected = part.sum((0, 2, 3), dtype=np.float64)
        found = sums.total(np, part, (0, 2, 3))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(sums.total(np, x.ravel(), (0,)), x.sum(dtype=np.float64), rtol=1e-6)
