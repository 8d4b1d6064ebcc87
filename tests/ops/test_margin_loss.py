"""Losses with a margin against loops and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.pairs import REDUCTIONS, both, like_torch
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(44)
F, TF = tg.nn.functional, torch.nn.functional
SHAPE = (3, 4, 2)


def normal(*shape):
    return rng.normal(size=shape)


X, Y = normal(*SHAPE), normal(*SHAPE)
SIGNS = rng.choice([-1.0, 1.0], size=SHAPE)
ROWS, LABELS = normal(5, 4), np.array([0, 3, 2, 0, 1])
WEIGHT = rng.uniform(0.5, 2, size=4)
MANY = np.array([[3, 0, -1, 1], [2, -1, 2, 2], [-1, 0, 1, 2], [0, 1, 2, 3], [1, 1, 0, -1]])
TRUTHS = rng.integers(0, 2, size=(5, 4)).astype(float)


def over_rows(loss, reduction):
    """``loss(row, *others)`` for every row, then the reduction."""

    def reference(x, target, *others):
        single = x.ndim == 1
        rows, targets = (x[None], target.reshape(1, -1)) if single else (x, target)
        losses = np.array([loss(r, t, *others) for r, t in zip(rows, targets, strict=True)])
        if reduction == "none":
            return losses.reshape(target.shape if target.size == 1 else ()) if single else losses
        return np.array(losses.mean() if reduction == "mean" else losses.sum())

    return reference


def multi_margin(p, margin):
    def loss(x, y, weight=None):
        y = int(np.asarray(y).reshape(()))
        terms = [max(0.0, margin - x[y] + x[c]) ** p for c in range(len(x)) if c != y]
        return math.fsum(terms) / len(x) * (1.0 if weight is None else weight[y])

    return loss


def multilabel_margin(x, t):
    labels = []
    for y in t.tolist():
        if y < 0:
            break
        labels.append(y)
    total = 0.0
    for y in labels:
        for c in range(len(x)):
            if c not in labels:
                total += max(0.0, 1 - x[y] + x[c])
    return total / len(x)


def multilabel_soft(x, t, weight=None):
    total = 0.0
    for c in range(len(x)):
        s = 1 / (1 + math.exp(-x[c]))
        w = 1.0 if weight is None else weight[c]
        total -= w * (t[c] * math.log(s) + (1 - t[c]) * math.log(1 - s))
    return total / len(x)


def rows_case(name, loss, inputs, reduction, label="", **options):
    oracle = getattr(TF, name)
    return Case(
        getattr(F, name),
        inputs,
        kwargs={**options, "reduction": reduction},
        reference=over_rows(loss, reduction),
        torch=lambda *a: oracle(*a, **options, reduction=reduction),
        diff=("input",),
        batch=(0, 1) if inputs[0].ndim == 2 else None,
        name=f"{label}{reduction}",
    )


CASES = [
    *like_torch(
        F.hinge_embedding_loss,
        (X, SIGNS),
        lambda x, t: x if t == 1 else max(0, 1 - x),
        diff=("input",),
    ),
    *like_torch(
        F.hinge_embedding_loss,
        (X, SIGNS[:1]),
        lambda x, t: x if t == 1 else max(0, 0.3 - x),
        margin=0.3,
        diff=("input",),
        name="broadcast",
        reductions=("mean",),
    ),
    *like_torch(
        F.hinge_embedding_loss,
        (np.array([1.0, 1.0, 0.5, 0.5]), np.array([-1, 1, 0, 7])),
        lambda x, t: (x if t != -1 else 0) + (max(0, 1 - x) if t != 1 else 0),
        name="at the margin, and other targets",
        kinks=True,
    ),
    *(
        Case(
            F.margin_ranking_loss,
            (X, Y, target),
            kwargs={"margin": margin, "reduction": reduction},
            reference=lambda a, b, t, m=margin, r=reduction: {
                "none": lambda v: v,
                "mean": lambda v: np.array(math.fsum(v.ravel()) / v.size),
                "sum": lambda v: np.array(math.fsum(v.ravel())),
            }[r](np.maximum(0, m - t * (a - b))),
            torch=lambda a, b, t, m=margin, r=reduction: TF.margin_ranking_loss(
                a, b, t, margin=m, reduction=r
            ),
            diff=("input1", "input2"),
            batch=(0, 1, 2),
            name=f"{margin} {reduction}",
        )
        for margin, target in ((0.0, SIGNS), (0.5, SIGNS.astype(int)))
        for reduction in REDUCTIONS
    ),
    Case(
        F.margin_ranking_loss,
        (np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([1.0, -1.0])),
        torch=TF.margin_ranking_loss,
        kinks=True,
        name="ties",
    ),
    *like_torch(
        F.soft_margin_loss,
        (X, SIGNS),
        lambda x, t: math.log1p(math.exp(-t * x)),
        diff=("input",),
    ),
    *(
        rows_case("multi_margin_loss", multi_margin(p, m), (ROWS, LABELS), r, p=p, margin=m)
        for p, m in ((1, 1.0), (2, 1.0), (1, 0.3), (2, 0.3))
        for r in REDUCTIONS
    ),
    *(
        Case(
            F.multi_margin_loss,
            (ROWS, LABELS, 1, 1.0, WEIGHT),
            kwargs={"reduction": reduction},
            reference=lambda x, t, p, m, w, r=reduction: over_rows(multi_margin(p, m), r)(x, t, w),
            torch=lambda *a, r=reduction: TF.multi_margin_loss(*a, reduction=r),
            diff=("input",),
            batch=(0, 1),
            name=f"weight {reduction}",
        )
        for reduction in REDUCTIONS
    ),
    *(
        rows_case("multi_margin_loss", multi_margin(1, 1.0), (ROWS[0], np.array(y)), r, "one row ")
        for y in (2, [2])
        for r in REDUCTIONS
    ),
    *(
        rows_case("multilabel_margin_loss", multilabel_margin, pair, r)
        for pair in ((ROWS, MANY), (ROWS[0], MANY[0]))
        for r in REDUCTIONS
    ),
    *(
        rows_case("multilabel_soft_margin_loss", multilabel_soft, (ROWS, TRUTHS), r)
        for r in REDUCTIONS
    ),
    *(
        rows_case("multilabel_soft_margin_loss", multilabel_soft, (ROWS, TRUTHS, WEIGHT), r, "w ")
        for r in REDUCTIONS
    ),
    Case(
        F.multilabel_soft_margin_loss,
        (X, (SIGNS + 1) / 2),
        kwargs={"reduction": "none"},
        torch=lambda x, t: TF.multilabel_soft_margin_loss(x, t, reduction="none"),
        name="three axes",
        batch=(0, 1),
    ),
]

FUNCTIONS = {
    F.hinge_embedding_loss: (X, SIGNS),
    F.margin_ranking_loss: (X, Y, SIGNS),
    F.soft_margin_loss: (X, SIGNS),
    F.multi_margin_loss: (ROWS, LABELS),
    F.multilabel_margin_loss: (ROWS, MANY),
    F.multilabel_soft_margin_loss: (ROWS, TRUTHS),
}
BAD = [
    *(
        Bad(f, a, {"reduction": "median"}, error=ArgumentError, match="median")
        for f, a in FUNCTIONS.items()
    ),
    *(
        Bad(f, a, {"reduce": True}, error=ArgumentError, match="of old")
        for f, a in FUNCTIONS.items()
    ),
    *(
        Bad(f, (a[0].astype(int), *a[1:]), error=DTypeError, match="must be float")
        for f, a in FUNCTIONS.items()
        if f not in (F.hinge_embedding_loss, F.margin_ranking_loss)
    ),
    Bad(F.hinge_embedding_loss, (X.astype(int), SIGNS), error=DTypeError, match="mean of int64"),
    *(
        Bad(f, (X, SIGNS[:, :3]), error=ShapeError, match="broadcast")
        for f in (F.hinge_embedding_loss, F.soft_margin_loss)
    ),
    Bad(F.hinge_embedding_loss, (X, None), error=DTypeError, match="target must be a tensor"),
    Bad(F.hinge_embedding_loss, (X, 1.0), error=DTypeError, match="target must be a tensor"),
    Bad(F.hinge_embedding_loss, (X, SIGNS), {"margin": "1"}, error=DTypeError, match="margin"),
    Bad(F.margin_ranking_loss, (X, Y, SIGNS[0]), error=ShapeError, match="number of axes"),
    Bad(F.margin_ranking_loss, (X, Y[:, :3], SIGNS), error=ShapeError, match="broadcast"),
    Bad(F.multi_margin_loss, (ROWS, LABELS), {"p": 3}, error=ArgumentError, match="1 or 2"),
    Bad(F.multi_margin_loss, (ROWS, LABELS[:3]), error=ShapeError, match="one label"),
    Bad(F.multi_margin_loss, (ROWS, LABELS[:, None]), error=ShapeError, match="one label"),
    Bad(F.multi_margin_loss, (X, LABELS[:3]), error=ShapeError, match="one label"),
    Bad(F.multi_margin_loss, (ROWS, LABELS + 1), error=RangeError, match="label 4 is outside 0"),
    Bad(F.multi_margin_loss, (ROWS, LABELS - 1), error=RangeError, match="label -1"),
    Bad(F.multi_margin_loss, (ROWS, LABELS * 1.0), error=DTypeError, match="integers"),
    Bad(
        F.multi_margin_loss,
        (ROWS, LABELS),
        {"weight": WEIGHT[:3]},
        error=ShapeError,
        match="4 classes",
    ),
    Bad(
        F.multi_margin_loss,
        (ROWS, LABELS),
        {"weight": WEIGHT[:, None]},
        error=ShapeError,
        match="4 classes",
    ),
    Bad(F.multilabel_margin_loss, (ROWS, MANY[:3]), error=ShapeError, match="same shape"),
    Bad(F.multilabel_margin_loss, (X, X.astype(int)), error=ShapeError, match=r"\[N, C\]"),
    Bad(F.multilabel_margin_loss, (ROWS, MANY - 1), error=RangeError, match="-2 is outside -1"),
    Bad(F.multilabel_margin_loss, (ROWS, MANY + 1), error=RangeError, match="label 4"),
    Bad(F.multilabel_margin_loss, (ROWS, MANY * 1.0), error=DTypeError, match="integers"),
    Bad(F.multilabel_soft_margin_loss, (ROWS, TRUTHS[:, :3]), error=ShapeError, match="broadcast"),
    Bad(
        F.multilabel_soft_margin_loss,
        (ROWS, TRUTHS, WEIGHT[:3]),
        error=ShapeError,
        match="broadcast",
    ),
    Bad(
        F.multilabel_soft_margin_loss,
        (np.array(1.0), np.array(1.0)),
        error=ShapeError,
        match="no classes",
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss"])
def test_the_gradient_where_a_difference_is_just_the_margin_is_0(name):
    x = np.array([[1.0, 0.0, 0.5, 2.0]])
    target = np.array([0]) if name == "multi_margin_loss" else np.array([[0, -1, 3, 3]])
    ours, theirs = both(name, (x, target))
    np.testing.assert_allclose(ours[1], theirs[1])
    assert ours[1][0, 1] == 0


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_of_every_integer_dtype(dtype):
    found = F.multi_margin_loss(tg.tensor(ROWS), tg.tensor(LABELS.astype(dtype)))
    expected = TF.multi_margin_loss(torch.tensor(ROWS), torch.tensor(LABELS))
    assert found.item() == pytest.approx(expected.item())


def test_a_soft_margin_does_not_overflow():
    x = tg.tensor([-1000.0, 1000.0], requires_grad=True)
    loss = F.soft_margin_loss(x, tg.tensor([1, 1]), reduction="none")
    assert loss.tolist() == [1000.0, 0.0]
    loss.sum().backward()
    assert x.grad.tolist() == [-1.0, 0.0]


def test_no_label_at_all():
    x, t = np.array(ROWS), np.full((5, 4), -1)
    ours, theirs = both("multilabel_margin_loss", (x, t))
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert not ours[1].any()


def test_a_single_score_is_a_row_of_one():
    score = tg.tensor(3.0)
    assert F.multi_margin_loss(score, tg.tensor(0)).item() == 0
    assert F.multilabel_margin_loss(score, tg.tensor(0)).item() == 0
