"""Focal loss after torchvision, and dice loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.pairs import each, refusals
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(42)
F, TF = tg.nn.functional, torch.nn.functional
inf, nan = math.inf, math.nan
X, P, Q = rng.normal(size=(3, 4, 2)), *rng.uniform(0.05, 0.95, size=(2, 3, 4, 2))
HARD = rng.integers(0, 2, size=X.shape).astype(float)


def logits(x, t):
    s = 1 / (1 + math.exp(-x))
    return -(t * math.log(s) + (1 - t) * math.log(1 - s))


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


CASES = [
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

BAD = [
    *refusals(F.sigmoid_focal_loss, old=False),
    *refusals(F.dice_loss, old=False),
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


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "dice_loss"])
def test_labels_of_other_dtypes(name, dtype):
    function, labels = getattr(F, name), HARD.astype(dtype)
    found = function(tg.tensor(P.astype("f4")), tg.tensor(labels))
    assert found.dtype == np.float32
    expected = function(tg.tensor(P.astype("f4")), tg.tensor(HARD.astype("f4")))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_scores_that_would_overflow_a_sigmoid():
    x, t = np.array([1000.0, -1000.0, 1000.0]), np.array([0.0, 1.0, 1.0])
    loss = F.sigmoid_focal_loss(tg.tensor(x), tg.tensor(t))
    assert loss.tolist() == [750.0, 250.0, 0.0]


def test_two_empty_masks_are_alike():
    assert F.dice_loss(tg.zeros(2, 3), tg.zeros(2, 3), reduction="none").tolist() == [0, 0]
    assert math.isnan(F.dice_loss(tg.zeros(1, 3), tg.zeros(1, 3), smooth=0.0).item())


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (F.dice_loss, "target"),
        (F.sigmoid_focal_loss, "targets"),
        (F.binary_cross_entropy_with_logits, "target"),
    ],
)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
def test_numbers_of_classes_are_to_be_made_one_hot(loss, name, shape):
    x, labels = tg.rand(*shape), tg.zeros(shape[0], *shape[2:], dtype="int64")
    with pytest.raises(ShapeError) as caught:
        loss(x, labels)
    repair = f"F.one_hot({name}, 3).movedim(-1, 1)"
    assert repair in caught.value.repair
    loss(x, eval(repair, {"F": F, name: labels}))
