"""Losses of two tensors element by element: regression, probabilities, likelihoods, focal, dice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:kl_div")

rng = np.random.default_rng(41)
F, TF = tg.nn.functional, torch.nn.functional
inf, nan = math.inf, math.nan
REDUCTIONS = ("mean", "sum", "none")
SHAPE = (3, 4, 2)


def normal(*shape):
    return rng.normal(size=shape)


def chance(*shape):
    return rng.uniform(0.05, 0.95, size=shape)


def each(formula, reduction="mean", weight=None, over=None):
    """The formula of a loss, element by element, then the reduction."""

    def reference(*arrays):
        arrays = [a for a in arrays if a is not None]
        out = np.zeros(np.broadcast_shapes(*(a.shape for a in arrays)))
        wide = [np.broadcast_to(a, out.shape) for a in arrays]
        for place in np.ndindex(out.shape):
            out[place] = formula(*(float(a[place]) for a in wide))
        if reduction == "none":
            return out
        total = math.fsum(out.ravel())
        return np.array(total if reduction == "sum" else total / (over or out.size))

    return reference


def smooth(beta):
    return lambda x, t: (x - t) ** 2 / (2 * beta) if abs(x - t) < beta else abs(x - t) - beta / 2


def huber(delta):
    return lambda x, t: (
        (x - t) ** 2 / 2 if abs(x - t) <= delta else delta * (abs(x - t) - delta / 2)
    )


def cross(x, t):
    return -(t * max(math.log(x), -100) + (1 - t) * max(math.log(1 - x), -100))


def logits(x, t, p=1.0):
    s = 1 / (1 + math.exp(-x))
    return -(p * t * math.log(s) + (1 - t) * math.log(1 - s))


def divergence(x, t):
    return (t * math.log(t) if t else 0.0) - t * x


def focal(alpha, gamma):
    def formula(x, t):
        p = 1 / (1 + math.exp(-x))
        right = p * t + (1 - p) * (1 - t)
        weight = 1.0 if alpha < 0 else alpha * t + (1 - alpha) * (1 - t)
        return weight * (1 - right) ** gamma * logits(x, t)

    return formula


def torch_focal(alpha, gamma, reduction):
    """torchvision's, which is not installed, from PyTorch's functions."""

    def oracle(x, t):
        p = torch.sigmoid(x)
        cross = TF.binary_cross_entropy_with_logits(x, t, reduction="none")
        loss = cross * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
        if alpha >= 0:
            loss = (alpha * t + (1 - alpha) * (1 - t)) * loss
        return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]

    return oracle


def dice(smooth, reduction):
    def reference(x, t):
        losses = []
        for a, b in zip(x, t, strict=True):
            both = math.fsum((a * b).ravel())
            losses.append(
                1 - (2 * both + smooth) / (math.fsum(a.ravel()) + math.fsum(b.ravel()) + smooth)
            )
        losses = np.array(losses)
        return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]

    return reference


def torch_dice(smooth, reduction):
    def oracle(x, t):
        x, t = x.reshape(len(x), -1), t.reshape(len(t), -1)
        loss = 1 - (2 * (x * t).sum(1) + smooth) / (x.sum(1) + t.sum(1) + smooth)
        return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]

    return oracle


def like_torch(function, inputs, formula, reductions=REDUCTIONS, **options):
    """A case for each reduction; the oracle is PyTorch's function of the same name."""
    oracle = getattr(TF, function.__name__)
    extra = {k: options.pop(k) for k in ("diff", "kinks", "skip", "name") if k in options}
    name = extra.pop("name", ",".join(f"{k}={v}" for k, v in options.items()))
    return [
        Case(
            function,
            inputs,
            kwargs={**options, "reduction": reduction},
            reference=each(formula, reduction),
            torch=lambda *a, r=reduction: oracle(*a, **options, reduction=r),
            name=f"{name} {reduction}",
            batch=[k for k, x in enumerate(inputs) if x is not None and x.ndim == 3],
            **extra,
        )
        for reduction in reductions
    ]


X, T = normal(*SHAPE), normal(*SHAPE)
P, Q = chance(*SHAPE), chance(*SHAPE)
HARD = rng.integers(0, 2, size=SHAPE).astype(float)
WEIGHT = rng.uniform(0.5, 2, size=SHAPE)
ENDS = np.array([0.0, 1.0, 0.0, 1.0, 0.5]), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
ZEROS = np.array([[0.0, 0.3, 0.7], [1.0, 0.0, 0.0]])
COUNTS = rng.integers(0, 6, size=SHAPE).astype(float)


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
    *(
        Case(
            function,
            (np.array(0.4), np.array(0.7)),
            kwargs={**options, "reduction": reduction},
            torch=lambda *a, name=function.__name__, o=options, r=reduction: getattr(TF, name)(
                *a, **o, reduction=r
            ),
            name=f"0-d {reduction} {options or ''}",
        )
        for reduction in REDUCTIONS
        for function, options in (
            (F.smooth_l1_loss, {}),
            (F.huber_loss, {}),
            (F.binary_cross_entropy, {}),
            (F.binary_cross_entropy_with_logits, {}),
            (F.kl_div, {}),
            (F.kl_div, {"log_target": True}),
            (F.poisson_nll_loss, {"full": True}),
            (F.poisson_nll_loss, {"log_input": False}),
        )
    ),
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
    *like_torch(F.kl_div, (np.log(P), Q), divergence),
    *like_torch(F.kl_div, (np.log(P), Q[:1]), divergence, reductions=("sum",), name="broadcast"),
    *like_torch(F.kl_div, (np.log(chance(2, 3)), ZEROS), divergence, diff=("input",), name="zeros"),
    *like_torch(
        F.kl_div,
        (np.log(P), np.log(Q)),
        lambda x, u: math.exp(u) * (u - x),
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
    *(
        Case(
            F.sigmoid_focal_loss,
            (X, target),
            kwargs={"alpha": alpha, "gamma": gamma, "reduction": reduction},
            reference=each(focal(alpha, gamma), reduction),
            torch=torch_focal(alpha, gamma, reduction),
            name=f"{alpha} {gamma} {reduction}",
            batch=(0, 1),
        )
        for alpha, gamma, reduction, target in (
            (0.25, 2.0, "none", HARD),
            (0.25, 2.0, "mean", Q),
            (-1, 2.0, "sum", HARD),
            (0.6, 1.5, "sum", Q),
            (0.6, 0.0, "none", Q),
            (1.0, 1.0, "none", Q),
        )
    ),
    *(
        Case(
            F.dice_loss,
            (P, target),
            kwargs={"smooth": s, "reduction": reduction},
            reference=dice(s, reduction),
            torch=torch_dice(s, reduction),
            name=f"{s} {reduction}",
            batch=(0, 1),
        )
        for s, reduction, target in (
            (1.0, "mean", HARD),
            (0.0, "none", Q),
            (0.5, "sum", Q),
        )
    ),
]

WRONG = {"reduction": "median"}
OLD = {"size_average": True}
BAD = [
    *(
        Bad(f, (P, Q), WRONG, error=ArgumentError, match="median", name="reduction")
        for f in (
            F.smooth_l1_loss,
            F.huber_loss,
            F.binary_cross_entropy,
            F.binary_cross_entropy_with_logits,
            F.kl_div,
            F.poisson_nll_loss,
            F.sigmoid_focal_loss,
            F.dice_loss,
        )
    ),
    *(
        Bad(f, (P, Q), OLD, error=ArgumentError, match="of old", name="old")
        for f in (
            F.smooth_l1_loss,
            F.binary_cross_entropy,
            F.binary_cross_entropy_with_logits,
            F.kl_div,
            F.poisson_nll_loss,
        )
    ),
    *(
        Bad(f, (P, Q[:2]), error=ShapeError, match="same shape", name="shapes")
        for f in (
            F.binary_cross_entropy,
            F.binary_cross_entropy_with_logits,
            F.sigmoid_focal_loss,
            F.dice_loss,
        )
    ),
    *(
        Bad(f, (P, Q[:, :3]), error=ShapeError, match="broadcast", name="shapes")
        for f in (F.smooth_l1_loss, F.huber_loss, F.kl_div, F.poisson_nll_loss)
    ),
    *(
        Bad(f, (HARD.astype(int), HARD.astype(int)), error=DTypeError, match="must be float")
        for f in (
            F.smooth_l1_loss,
            F.huber_loss,
            F.binary_cross_entropy,
            F.binary_cross_entropy_with_logits,
            F.kl_div,
            F.poisson_nll_loss,
            F.sigmoid_focal_loss,
            F.dice_loss,
        )
    ),
    *(
        Bad(f, (P, Q.astype("f4")), error=DTypeError, match=r"to\('float64'\)", name="dtypes")
        for f in (F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy)
    ),
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
    Bad(F.smooth_l1_loss, (X, T), {"beta": -1.0}, error=ArgumentError, match="negative"),
    Bad(F.smooth_l1_loss, (X, T), {"beta": "b"}, error=DTypeError, match="beta must be a number"),
    Bad(F.huber_loss, (X, T), {"delta": 0.0}, error=ArgumentError, match="greater than 0"),
    Bad(F.huber_loss, (X, T), {"delta": nan}, error=ArgumentError, match="greater than 0"),
    Bad(F.huber_loss, (X, T), {"weight": WEIGHT[0]}, error=ShapeError, match="same shape"),
    Bad(F.mse_loss, (X, T), {"weight": WEIGHT[0]}, error=ShapeError, match="same shape"),
    Bad(F.l1_loss, (X, T), {"weight": WEIGHT[:, :1]}, error=ShapeError, match="same shape"),
    Bad(F.mse_loss, (X, T), {"weight": WEIGHT.astype("f4")}, error=DTypeError, match="float32"),
    Bad(F.poisson_nll_loss, (X, T), {"eps": None}, error=DTypeError, match="eps"),
    Bad(F.gaussian_nll_loss, (X, T, -P), error=ArgumentError, match="negative"),
    Bad(F.gaussian_nll_loss, (X, T, -1.0), error=ArgumentError, match="negative"),
    Bad(F.gaussian_nll_loss, (X, T, P), {"eps": 0.0}, error=ArgumentError, match="eps"),
    Bad(F.gaussian_nll_loss, (X, T, P[:2]), error=ShapeError, match="do not fit"),
    Bad(F.gaussian_nll_loss, (X, T, P[:, :1, :1]), error=ShapeError, match="do not fit"),
    Bad(F.gaussian_nll_loss, (X, T[:2], P), error=ShapeError, match="broadcast"),
    Bad(F.gaussian_nll_loss, (X, T, P), WRONG, error=ArgumentError, match="median"),
    Bad(F.gaussian_nll_loss, (HARD.astype(int), T, P), error=DTypeError, match="must be float"),
    Bad(F.sigmoid_focal_loss, (X, HARD), {"alpha": 1.5}, error=ArgumentError, match="alpha"),
    Bad(F.sigmoid_focal_loss, (X, HARD), {"gamma": "2"}, error=DTypeError, match="gamma"),
    Bad(F.dice_loss, (np.array(0.5), np.array(1.0)), error=ShapeError, match="no batch axis"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def both(name, inputs, wanted=(0,), **options):
    """Values and gradients of ours and PyTorch's function."""
    found = []
    for module, make in ((F, tg.tensor), (TF, torch.tensor)):
        leaves = [make(x) for x in inputs]
        for k in wanted:
            leaves[k].requires_grad_()
        loss = getattr(module, name)(*leaves, **options)
        loss.sum().backward()
        found.append([loss.detach().numpy(), *(leaves[k].grad.numpy() for k in wanted)])
    return found


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
        ("mse_loss", ([nan, inf, -inf], [0.0, 0.0, 0.0]), {}),
        ("l1_loss", ([nan, inf, -inf, inf], [0.0, 0.0, 0.0, inf]), {}),
        ("smooth_l1_loss", ([nan, inf, -inf], [0.0, 0.0, 0.0]), {}),
        ("huber_loss", ([nan, inf, -inf], [0.0, 0.0, 0.0]), {}),
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
    [F.mse_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy, F.poisson_nll_loss],
)
def test_mean_of_nothing_is_nan(function):
    assert math.isnan(function(tg.zeros(0, 2), tg.zeros(0, 2)).item())
    assert function(tg.zeros(0, 2), tg.zeros(0, 2), reduction="sum").item() == 0


@pytest.mark.parametrize("function", [F.smooth_l1_loss, F.huber_loss])
def test_shapes_that_only_broadcast_warn(function):
    with pytest.warns(UserWarning, match="is that meant"):
        assert function(tg.zeros(3, 1), tg.zeros(3), reduction="none").shape == (3, 3)


def test_the_mean_of_a_divergence_warns():
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(tg.zeros(2, 2), tg.ones(2, 2))


def test_the_divergence_of_one_number():
    ours = F.kl_div(tg.tensor(-0.5), tg.tensor(0.25), reduction="batchmean")
    theirs = TF.kl_div(torch.tensor(-0.5), torch.tensor(0.25), reduction="batchmean")
    assert ours.item() == pytest.approx(theirs.item())


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize(
    "name", ["binary_cross_entropy_with_logits", "sigmoid_focal_loss", "dice_loss"]
)
def test_labels_of_other_dtypes(name, dtype):
    function = getattr(F, name)
    x = chance(4, 3).astype("f4")
    t = rng.integers(0, 2, size=(4, 3))
    found = function(tg.tensor(x), tg.tensor(t.astype(dtype)))
    assert found.dtype == np.float32
    expected = function(tg.tensor(x), tg.tensor(t.astype("f4")))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_scores_that_would_overflow_a_sigmoid():
    x, t = np.array([1000.0, -1000.0, 1000.0]), np.array([0.0, 1.0, 1.0])
    loss = F.binary_cross_entropy_with_logits(tg.tensor(x), tg.tensor(t), reduction="none")
    assert loss.tolist() == [1000.0, 1000.0, 0.0]
    loss = F.sigmoid_focal_loss(tg.tensor(x), tg.tensor(t))
    assert loss.tolist() == [750.0, 250.0, 0.0]


def test_two_empty_masks_are_alike():
    assert F.dice_loss(tg.zeros(2, 3), tg.zeros(2, 3), reduction="none").tolist() == [0, 0]
    assert math.isnan(F.dice_loss(tg.zeros(1, 3), tg.zeros(1, 3), smooth=0.0).item())
