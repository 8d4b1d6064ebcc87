"""Running extrema and sums of exponentials, reductions that pass over NaN, counts, differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.loops import along
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.recurrence import Recurrence
from tinygrad_cv.ops.running import Cummax, Cummin, LogCumSumExp
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(23)
X = rng.normal(size=(3, 4))
CUBE = rng.normal(size=(2, 5, 4))
TIED = np.array([[2.0, 1.0, 2.0, 1.0, 0.0], [3.0, 3.0, -3.0, -4.0, -4.0]])
HOLES = np.array([[2.0, math.nan, 1.0], [math.nan, 5.0, math.nan], [5.0, 3.0, 4.0]])
WIDE = np.array([[-900.0, -2.0, 500.0, 499.0], [3.0, -800.0, -math.inf, 4.0]])


def lines(function):
    """A function of a list that gives a list, along axis ``dim``."""

    def loop(x, dim):
        moved = np.moveaxis(x, dim, -1)
        y = np.empty(moved.shape)
        for at in np.ndindex(moved.shape[:-1]):
            y[at] = function(moved[at].tolist())
        return np.moveaxis(y, -1, dim)

    return loop


def naive_extremum(better):
    def both(x, dim):
        def places(line):
            best, found = 0, []
            for i, value in enumerate(line):
                if better(value, line[best]) or value == line[best]:
                    best = i
                found.append(best)
            return found

        index = lines(places)(x, dim).astype(int)
        return np.take_along_axis(x, index, dim), index

    return both


def naive_recurrence(x, a, dim, reverse):
    x, a = np.moveaxis(x, dim, 0), np.moveaxis(a, dim, 0)
    y = x.copy()
    for k in reversed(range(len(x))) if reverse else range(len(x)):
        if reverse and k + 1 < len(x):
            y[k] += a[k + 1] * y[k + 1]
        elif not reverse and k > 0:
            y[k] += a[k] * y[k - 1]
    return np.moveaxis(y, 0, dim)


def log_sums(line):
    return [math.log(sum(map(math.exp, line[: i + 1]))) for i in range(len(line))]


CASES = [
    Case(
        Cummax,
        (TIED,),
        (1,),
        reference=lambda x: naive_extremum(float.__gt__)(x, 1),
        torch=lambda x: x.cummax(1),
        kinks=True,
    ),
    Case(
        Cummin,
        (CUBE,),
        (1,),
        reference=lambda x: naive_extremum(float.__lt__)(x, 1),
        torch=lambda x: x.cummin(1),
    ),
    Case(tg.cummax, (X, 0), torch=torch.cummax),
    Case(tg.cummin, (X, -1), torch=torch.cummin),
    Case(tg.cummax, (np.array(1.5), 0), torch=torch.cummax, name="0-d"),
    Case(
        LogCumSumExp,
        (CUBE,),
        (1,),
        reference=lambda x: lines(log_sums)(x, 1),
        torch=lambda x: x.logcumsumexp(1),
        order=3,
    ),
    Case(tg.logcumsumexp, (X, 0), torch=torch.logcumsumexp),
    Case(tg.logcumsumexp, (np.array(1.5), 0), torch=torch.logcumsumexp, name="0-d"),
    *(
        Case(
            Recurrence,
            (CUBE, rng.normal(size=CUBE.shape)),
            (dim, reverse),
            reference=lambda x, a, d=dim, r=reverse: naive_recurrence(x, a, d, r),
            name=f"{dim} {reverse}",
            order=3,
        )
        for dim in (1, 2)
        for reverse in (False, True)
    ),
    *(
        Case(tg.nansum, (x, dim), torch=torch.nansum, name=name)
        for x, dim, name in ((X, 1, ""), (CUBE, (0, -1), "two"), (np.array(2.0), None, "0-d"))
    ),
    Case(tg.nansum, (CUBE, 1, True), reference=lambda x, *_: along(sum, 1, True)(x)),
    Case(tg.nanmean, (X, 0), torch=torch.nanmean),
    Case(tg.nanmean, (CUBE, (0, 2), True), torch=torch.nanmean),
    Case(
        tg.count_nonzero,
        (np.where(X > 0, X, 0),),
        reference=lambda x: np.array(sum(v != 0 for v in x.reshape(-1))),
        order=0,
    ),
    Case(tg.count_nonzero, (CUBE, (0, 2)), torch=torch.count_nonzero, order=0),
    Case(
        tg.diff,
        (X,),
        reference=lambda x: np.array([[b - a for a, b in itertools.pairwise(r)] for r in x]),
        torch=torch.diff,
    ),
    Case(tg.diff, (X, 2, 1), torch=torch.diff, name="twice"),
    Case(tg.diff, (X, 9, 0), torch=torch.diff, name="nothing left"),
    Case(tg.diff, (X, 0, 0), torch=torch.diff, name="never"),
    Case(tg.diff, (X, 1, 0, rng.normal(size=(2, 4)), rng.normal(size=(1, 4))), torch=torch.diff),
    Case(tg.dist, (X, rng.normal(size=4)), torch=torch.dist),
    *(
        Case(tg.dist, (X, rng.normal(size=(3, 4)), p), torch=torch.dist, name=f"{p}")
        for p in (1, 3.5, math.inf)
    ),
    Case(tg.dist, (X, X + np.eye(3, 4), 0), reference=lambda x, y, p: np.array(3.0), order=0),
]

BAD = [
    Bad(tg.cummax, (X,), error=DTypeError, match="dim"),
    Bad(tg.cummin, (X, 2), error=RangeError, match="dim 2"),
    Bad(tg.logcumsumexp, (X, 2), error=RangeError, match="dim 2"),
    Bad(tg.logcumsumexp, (X.astype(int), 0), error=DTypeError, match="must be floating"),
    Bad(tg.nansum, (X, (0, 0)), error=ArgumentError, match="named twice"),
    Bad(tg.nansum, (X, 2), error=RangeError, match="dim 2"),
    Bad(tg.nanmean, (X.astype(int),), error=DTypeError, match="must be floating"),
    Bad(tg.nanmean, (X, -3), error=RangeError, match="dim -3"),
    Bad(tg.count_nonzero, (X, (0, -2)), error=ArgumentError, match="named twice"),
    Bad(tg.diff, (np.array(1.0),), error=ShapeError, match="no neighbours"),
    Bad(tg.diff, (X, -1), error=RangeError, match="n = -1"),
    Bad(tg.diff, (X, 1.5), error=DTypeError, match="whole number"),
    Bad(tg.diff, (X, 1, 2), error=RangeError, match="dim 2"),
    Bad(tg.diff, (X, 1, 0, X[:, :2]), error=ShapeError, match="all axes but 0"),
    Bad(tg.diff, (X, 1, 0, X[0]), error=ShapeError, match="must agree"),
    Bad(tg.dist, (X, X[:2]), error=ShapeError, match="broadcast", skip={"operator": "sub"}),
    Bad(tg.dist, (X, X, "nuc"), error=ArgumentError, match="nuc", skip={"operator": "norm"}),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("function", ["cummax", "cummin"])
def test_running_extrema_of_all_dtypes_and_nan_as_torch(function, dtype):
    x = HOLES if dtype[0] == "f" else np.array([[3, 1, 3], [0, 0, 2], [1, 1, 1]])
    for dim in (0, 1):
        ours = getattr(tg, function)(tg.tensor(x.astype(dtype)), dim)
        theirs = getattr(torch, function)(torch.tensor(x.astype(dtype)), dim)
        np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
        np.testing.assert_array_equal(ours.indices.numpy(), theirs.indices.numpy())
        assert ours.values.dtype == dtype


def test_logcumsumexp_of_a_wide_range_as_torch():
    ours, theirs = tg.tensor(WIDE, requires_grad=True), torch.tensor(WIDE, requires_grad=True)
    y, z = tg.logcumsumexp(ours, 1), torch.logcumsumexp(theirs, 1)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    g = rng.normal(size=WIDE.shape)
    y.backward(tg.tensor(g))
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-300)


def test_nothing_is_not_a_number_before_the_first_finite_one():
    x = tg.tensor([-math.inf, -math.inf, 1.0], requires_grad=True)
    y = tg.logcumsumexp(x, 0)
    assert y.tolist() == [-math.inf, -math.inf, 1.0]
    (grad,) = tg.autograd.grad(y[2], x, create_graph=True)
    assert grad.tolist() == [0.0, 0.0, 1.0]
    (second,) = tg.autograd.grad(grad.sum(), x)
    assert second.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dim", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("function", ["nansum", "nanmean"])
def test_nan_is_passed_over_as_in_torch(function, dim, keepdim):
    ours, theirs = tg.tensor(HOLES, requires_grad=True), torch.tensor(HOLES, requires_grad=True)
    y = getattr(tg, function)(ours, dim, keepdim)
    z = getattr(torch, function)(theirs, dim, keepdim)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy())
    assert y.shape == tuple(z.shape)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


def test_of_nothing_and_of_integers():
    assert math.isnan(tg.nanmean(tg.tensor([])).item())
    assert math.isnan(tg.nanmean(tg.tensor([math.nan])).item())
    assert tg.nansum(tg.tensor([True, True])).item() == 2
    assert tg.nansum(tg.tensor([1, 2]), dtype="float32").dtype == "float32"
    assert tg.nanmean(tg.tensor([1, 2]), dtype="float64").item() == 1.5
    assert tg.count_nonzero(tg.tensor(math.nan)).item() == 1
    assert tg.diff(tg.tensor([True, False, False])).tolist() == [True, False]
    assert tg.diff(tg.tensor([])).shape == (0,)


def test_numpy_names_of_the_axis():
    x = tg.tensor(X)
    for name in ("cummax", "cummin"):
        assert getattr(tg, name)(x, axis=1).values.shape == X.shape
    assert tg.logcumsumexp(x, axis=-1).shape == X.shape
    assert tg.diff(x, axis=0).shape == (2, 4)
    assert tg.nansum(x, axis=0, keepdims=True).shape == (1, 4)
    assert tg.nanmean(x, axis=0, keepdims=True).shape == (1, 4)
    assert tg.count_nonzero(x, axis=(0,)).shape == (4,)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("correction", [0, 1, 2, 2.5, 12, 13])
def test_variances_with_a_correction_as_torch(correction):
    for name in ("var", "std", "var_mean", "std_mean"):
        for dim in (None, 1, (0, -1), -2):
            ask = {"dim": dim, "correction": correction, "keepdim": True}
            ours, theirs = getattr(tg, name)(tg.tensor(X), **ask), None
            theirs = getattr(torch, name)(torch.tensor(X), **ask)
            pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
            for a, b in pairs:
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_a_list_or_tuple_of_no_axes_means_all():
    x = tg.tensor(X)
    for name in ("sum", "mean", "amax", "nansum", "nanmean"):
        whole = getattr(tg, name)(x).item()
        assert getattr(tg, name)(x, []).item() == getattr(tg, name)(x, ()).item() == whole
