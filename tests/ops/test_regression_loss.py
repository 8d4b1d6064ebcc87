"""Smooth L1 and Huber loss, and weights of the losses of regression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.pairs import REDUCTIONS, both, each, like_torch, refusals, scalars
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(42)
F, TF = tg.nn.functional, torch.nn.functional
inf, nan = math.inf, math.nan
X, T = rng.normal(size=(2, 3, 4, 2))
WEIGHT = rng.uniform(0.5, 2, size=X.shape)


def smooth(beta):
    return lambda x, t: (x - t) ** 2 / (2 * beta) if abs(x - t) < beta else abs(x - t) - beta / 2


def huber(delta):
    return lambda x, t: (
        (x - t) ** 2 / 2 if abs(x - t) <= delta else delta * (abs(x - t) - delta / 2)
    )


def weighted(function, formula, by_weight):
    def reference(reduction):
        plain = each(formula, "none")

        def run(x, t, w):
            losses = plain(x, t) * w
            count = w.sum() if by_weight else w.size
            return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / count}[reduction]

        return run

    oracle = getattr(TF, function.__name__)
    return [
        Case(
            lambda input, target, weight, r=reduction: function(
                input, target, weight=weight, reduction=r
            ),
            (X, T, WEIGHT),
            reference=reference(reduction),
            torch=lambda x, t, w, r=reduction: oracle(x, t, weight=w, reduction=r),
            name=f"{function.__name__} weight {reduction}",
            batch=(0, 1, 2),
        )
        for reduction in REDUCTIONS
    ]


CASES = [
    *scalars(F.smooth_l1_loss),
    *scalars(F.huber_loss, delta=0.2),
    *like_torch(F.smooth_l1_loss, (X, T), smooth(1.0)),
    *like_torch(F.smooth_l1_loss, (X, T), smooth(0.3), beta=0.3),
    *like_torch(F.smooth_l1_loss, (X, T), lambda x, t: abs(x - t), beta=0.0),
    *like_torch(
        F.smooth_l1_loss,
        (np.array([0.0, 1.0, -1.0, 2.0]), np.zeros(4)),
        smooth(1.0),
        name="at the knees",
        kinks=True,
    ),
    *like_torch(F.huber_loss, (X, T), huber(1.0)),
    *like_torch(F.huber_loss, (X, T), huber(0.4), delta=0.4),
    *like_torch(
        F.huber_loss,
        (np.array([0.0, 2.0, -2.0, 5.0]), np.zeros(4)),
        huber(2.0),
        delta=2.0,
        name="at the knees",
        kinks=True,
    ),
    *weighted(F.mse_loss, lambda x, t: (x - t) ** 2, True),
    *weighted(F.l1_loss, lambda x, t: abs(x - t), True),
    *weighted(F.huber_loss, huber(1.0), False),
]

BAD = [
    *refusals(F.smooth_l1_loss, shapes="broadcast"),
    *refusals(F.huber_loss, old=False, shapes="broadcast"),
    Bad(F.huber_loss, (X, T.astype("f4")), error=DTypeError, match=r"to\('float64'\)"),
    *(
        Bad(f, (X.astype(int), T.astype(int)), error=DTypeError, match="must be float")
        for f in (F.mse_loss, F.smooth_l1_loss, F.huber_loss)
    ),
    Bad(F.l1_loss, (X.astype(int), T.astype(int)), error=DTypeError, match="mean of int64"),
    Bad(F.smooth_l1_loss, (X, T), {"beta": -1.0}, error=ArgumentError, match="negative"),
    Bad(F.smooth_l1_loss, (X, T), {"beta": "b"}, error=DTypeError, match="beta must be a number"),
    Bad(F.huber_loss, (X, T), {"delta": 0.0}, error=ArgumentError, match="greater than 0"),
    Bad(F.huber_loss, (X, T), {"delta": nan}, error=ArgumentError, match="greater than 0"),
    Bad(F.huber_loss, (X, T), {"weight": WEIGHT[0]}, error=ShapeError, match="same shape"),
    Bad(F.mse_loss, (X, T), {"weight": WEIGHT[0]}, error=ShapeError, match="same shape"),
    Bad(F.l1_loss, (X, T), {"weight": WEIGHT[:, :1]}, error=ShapeError, match="same shape"),
    Bad(F.mse_loss, (X, T), {"weight": WEIGHT.astype("f4")}, error=DTypeError, match="float32"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite(name, dtype):
    inputs = [np.array(x, dtype) for x in ([nan, inf, -inf, inf], [0.0, 0.0, 0.0, inf])]
    ours, theirs = both(name, inputs, (0, 1), reduction="none")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("function", [F.mse_loss, F.smooth_l1_loss, F.huber_loss])
def test_mean_of_nothing_is_nan(function):
    assert math.isnan(function(tg.zeros(0, 2), tg.zeros(0, 2)).item())
    assert function(tg.zeros(0, 2), tg.zeros(0, 2), reduction="sum").item() == 0


@pytest.mark.parametrize("function", [F.smooth_l1_loss, F.huber_loss])
def test_shapes_that_only_broadcast_warn(function):
    with pytest.warns(UserWarning, match="is that meant"):
        assert function(tg.zeros(3, 1), tg.zeros(3), reduction="none").shape == (3, 3)
