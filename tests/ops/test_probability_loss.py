"""Losses of probabilities, and likelihoods: element by element, against naive formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.pairs import REDUCTIONS, both, each, like_torch, refusals, scalars
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(41)
F, TF = tg.nn.functional, torch.nn.functional
inf, nan = math.inf, math.nan
SHAPE = (3, 4, 2)


def normal(*shape):
    return rng.normal(size=shape)


def chance(*shape):
    return rng.uniform(0.05, 0.95, size=shape)


def cross(x, t):
    return -(t * max(math.log(x), -100) + (1 - t) * max(math.log(1 - x), -100))


def logits(x, t, p=1.0):
    s = 1 / (1 + math.exp(-x))
    return -(p * t * math.log(s) + (1 - t) * math.log(1 - s))


def divergence(x, t):
    return (t * math.log(t) if t else 0.0) - t * x


X, T = normal(*SHAPE), normal(*SHAPE)
P, Q = chance(*SHAPE), chance(*SHAPE)
HARD = rng.integers(0, 2, size=SHAPE).astype(float)
WEIGHT = rng.uniform(0.5, 2, size=SHAPE)
ENDS = np.array([0.0, 1.0, 0.0, 1.0, 0.5]), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
ZEROS = np.array([[0.0, 0.3, 0.7], [1.0, 0.0, 0.0]])
COUNTS = rng.integers(0, 6, size=SHAPE).astype(float)


CASES = [
    *scalars(F.binary_cross_entropy),
    *scalars(F.binary_cross_entropy_with_logits),
    *scalars(F.poisson_nll_loss, full=True),
    *scalars(F.poisson_nll_loss, log_input=False),
    *like_torch(F.binary_cross_entropy, (P, Q), cross),
    *like_torch(F.binary_cross_entropy, (P, HARD), cross, name="hard"),
    *like_torch(
        F.binary_cross_entropy,
        (P, Q, WEIGHT),
        lambda x, t, w: w * cross(x, t),
        diff=("input", "target"),
        name="weight",
    ),
    *like_torch(
        F.binary_cross_entropy,
        (P, Q, rng.uniform(0.5, 2, size=2)),
        lambda x, t, w: w * cross(x, t),
        diff=("input", "target"),  # PyTorch has no gradient for the weight
        name="weight of the last axis",
    ),
    *like_torch(F.binary_cross_entropy_with_logits, (X, Q), logits),
    *like_torch(
        F.binary_cross_entropy_with_logits,
        (X, HARD, WEIGHT),
        lambda x, t, w: w * logits(x, t),
        diff=("input", "target"),
        name="weight",
    ),
    *(
        Case(
            lambda input, target, pos_weight, r=reduction: F.binary_cross_entropy_with_logits(
                input, target, pos_weight=pos_weight, reduction=r
            ),
            (X, Q, rng.uniform(0.5, 3, size=2)),
            reference=each(logits, reduction),
            torch=lambda x, t, p, r=reduction: TF.binary_cross_entropy_with_logits(
                x, t, pos_weight=p, reduction=r
            ),
            diff=("input", "target"),
            name=f"pos_weight {reduction}",
            batch=(0, 1),
        )
        for reduction in REDUCTIONS
    ),
    *like_torch(F.kl_div, (np.log(P), Q), divergence, ("sum", "none")),
    *like_torch(F.kl_div, (np.log(P), Q[:1]), divergence, reductions=("sum",), name="broadcast"),
    *like_torch(
        F.kl_div,
        (np.log(chance(2, 3)), ZEROS),
        divergence,
        ("sum", "none"),
        diff=("input",),
        name="zeros",
    ),
    *like_torch(
        F.kl_div,
        (np.log(P), np.log(Q)),
        lambda x, u: math.exp(u) * (u - x),
        ("sum", "none"),
        log_target=True,
    ),
    *(
        Case(
            F.kl_div,
            (np.log(P), Q),
            kwargs={"reduction": "batchmean"},
            reference=each(divergence, "mean", over=SHAPE[0]),
            torch=lambda x, t: TF.kl_div(x, t, reduction="batchmean"),
            name="batchmean",
        )
        for _ in range(1)
    ),
    *like_torch(F.poisson_nll_loss, (X, COUNTS), lambda x, t: math.exp(x) - t * x),
    *like_torch(
        F.poisson_nll_loss,
        (P, COUNTS),
        lambda x, t: x - t * math.log(x + 1e-8),
        log_input=False,
    ),
    *like_torch(
        F.poisson_nll_loss,
        (X, COUNTS + 0.5),
        lambda x, t: (
            math.exp(x)
            - t * x
            + (t * math.log(t) - t + 0.5 * math.log(2 * math.pi * t) if t > 1 else 0)
        ),
        full=True,
    ),
    *like_torch(
        F.poisson_nll_loss,
        (X, np.array([[0.0, 1.0]])),
        lambda x, t: math.exp(x) - t * x,
        full=True,
        diff=("input",),
        name="full at 0 and 1, broadcast",
        reductions=("none",),
    ),
    *like_torch(
        F.gaussian_nll_loss,
        (X, T, P),
        lambda x, t, v: 0.5 * (math.log(v) + (x - t) ** 2 / v),
    ),
    *like_torch(
        F.gaussian_nll_loss,
        (X, T, P[:, :, :1]),
        lambda x, t, v: 0.5 * (math.log(v) + (x - t) ** 2 / v + math.log(2 * math.pi)),
        full=True,
        name="full, one variance for the last axis",
    ),
]

WRONG = {"reduction": "median"}
OLD = {"size_average": True}
BAD = [
    *refusals(F.binary_cross_entropy),
    *refusals(F.binary_cross_entropy_with_logits),
    *refusals(F.kl_div, shapes="broadcast", repair="reduction='mean' warns, and should"),
    *refusals(F.poisson_nll_loss, shapes="broadcast", integers=True),
    Bad(F.binary_cross_entropy, (P, Q.astype("f4")), error=DTypeError, match="float64"),
    Bad(F.binary_cross_entropy, (P, Q.reshape(4, 3, 2)), error=ShapeError, match="reshape"),
    Bad(F.binary_cross_entropy, (P + 0.5, Q), error=ArgumentError, match="with_logits"),
    Bad(F.binary_cross_entropy, (np.array([nan]), np.ones(1)), error=ArgumentError, match="nan"),
    Bad(F.binary_cross_entropy, (P, Q, normal(3)), error=ShapeError, match="does not broadcast"),
    Bad(F.binary_cross_entropy, (P, Q, normal(2, *SHAPE)), error=ShapeError, match="broadcast"),
    Bad(
        F.binary_cross_entropy_with_logits,
        (X, Q),
        {"pos_weight": normal(3)},
        error=ShapeError,
        match="pos_weight does not broadcast",
    ),
    Bad(F.poisson_nll_loss, (X, T), {"eps": None}, error=DTypeError, match="eps"),
    Bad(F.gaussian_nll_loss, (X, T, -P), error=ArgumentError, match="negative"),
    Bad(F.gaussian_nll_loss, (X, T, -1.0), error=ArgumentError, match="negative"),
    Bad(F.gaussian_nll_loss, (X, T, P), {"eps": 0.0}, error=ArgumentError, match="eps"),
    Bad(F.gaussian_nll_loss, (X, T, P[:2]), error=ShapeError, match="do not fit"),
    Bad(F.gaussian_nll_loss, (X, T, P[:, :1, :1]), error=ShapeError, match="do not fit"),
    Bad(F.gaussian_nll_loss, (X, T[:2], P), error=ShapeError, match="broadcast"),
    Bad(F.gaussian_nll_loss, (X, T, P), {"reduction": "max"}, error=ArgumentError, match="max"),
    Bad(F.gaussian_nll_loss, (HARD.astype(int), T, P), error=DTypeError, match="must be float"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_0_and_1(dtype):
    """Finite, by PyTorch's bounds; the gradient of the target too."""
    inputs = [x.astype(dtype) for x in ENDS]
    ours, theirs = both("binary_cross_entropy", inputs, (0,), reduction="none")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "inputs", "options"),
    [
        (
            "binary_cross_entropy_with_logits",
            ([nan, inf, -inf, inf, -inf, 0.0], [0.0, 0.0, 1.0, 1.0, 0.0, nan]),
            {},
        ),
        ("kl_div", ([nan, -inf, -inf, 0.0], [0.5, 0.5, 0.0, nan]), {}),
        ("kl_div", ([nan, -1.0, -1.0], [-0.5, -inf, nan]), {"log_target": True}),
        ("poisson_nll_loss", ([nan, -inf, inf], [1.0, 1.0, 1.0]), {}),
        ("poisson_nll_loss", ([0.0, -1.0, nan], [1.0, 1.0, 1.0]), {"log_input": False}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite(name, inputs, options, dtype):
    inputs = [np.array(x, dtype) for x in inputs]
    ours, theirs = both(name, inputs, (0,), reduction="none", **options)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("var", [[1e-9, 0.0, nan, 2.0], [1e-7, 1.0, 1e-6, inf]])
def test_variances_below_eps_get_the_gradient_of_eps(var):
    inputs = [np.array([0.5, 1.0, 2.0, 0.0]), np.zeros(4), np.array(var)]
    ours, theirs = both("gaussian_nll_loss", inputs, (0, 1, 2), reduction="none")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 1, 2), (3, 4, 2)])
def test_shapes_of_the_variance(shape):
    var = chance(*shape)
    ours, theirs = both("gaussian_nll_loss", [X, T, var], (0, 1, 2), reduction="none")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_one_number_as_variance():
    ours = F.gaussian_nll_loss(tg.tensor(X), tg.tensor(T), 0.5)
    theirs = TF.gaussian_nll_loss(torch.tensor(X), torch.tensor(T), 0.5)
    assert ours.item() == pytest.approx(theirs.item())
    assert F.gaussian_nll_loss(tg.tensor(1.0), tg.tensor(3.0), 1).item() == 2


@pytest.mark.parametrize(
    "function",
    [F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.poisson_nll_loss],
)
def test_mean_of_nothing_is_nan(function):
    assert math.isnan(function(tg.zeros(0, 2), tg.zeros(0, 2)).item())
    assert function(tg.zeros(0, 2), tg.zeros(0, 2), reduction="sum").item() == 0


def test_the_mean_of_a_divergence_warns():
    with pytest.warns(UserWarning, match="batchmean"):
        loss = F.kl_div(tg.tensor(np.log(P)), tg.tensor(Q))
    assert loss.item() == pytest.approx(float(each(divergence)(np.log(P), Q)))


def test_the_divergence_of_one_number():
    ours = F.kl_div(tg.tensor(-0.5), tg.tensor(0.25), reduction="batchmean")
    theirs = TF.kl_div(torch.tensor(-0.5), torch.tensor(0.25), reduction="batchmean")
    assert ours.item() == pytest.approx(theirs.item())


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_labels_of_other_dtypes(dtype):
    function = F.binary_cross_entropy_with_logits
    found = function(tg.tensor(X.astype("f4")), tg.tensor(HARD.astype(dtype)))
    assert found.dtype == np.float32
    expected = function(tg.tensor(X.astype("f4")), tg.tensor(HARD.astype("f4")))
    assert found.item() == expected.item()


def test_scores_that_would_overflow_a_sigmoid():
    x, t = np.array([1000.0, -1000.0, 1000.0]), np.array([0.0, 1.0, 1.0])
    loss = F.binary_cross_entropy_with_logits(tg.tensor(x), tg.tensor(t), reduction="none")
    assert loss.tolist() == [1000.0, 1000.0, 0.0]
