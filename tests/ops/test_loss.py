"""Cross-entropy, negative log-likelihood, squared and absolute difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.classes import ClassPick, ClassPlace
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(14)
inf, nan = math.inf, math.nan
F = tg.nn.functional
TF = torch.nn.functional


def normal(*shape):
    return rng.normal(size=shape)


def labels(classes, *shape):
    return rng.integers(0, classes, size=shape)


def naive_cross_entropy(
    x, target, weight=None, reduction="mean", ignore=-100, smoothing=0.0, log=True
):
    """By loops over positions and classes."""
    losses, total, out = 0.0, 0.0, np.zeros(target.shape)
    for place in np.ndindex(*target.shape):
        t = target[place]
        if t == ignore:
            continue
        scores = [x[(place[0], c, *place[1:])] for c in range(x.shape[1])]
        log_sum = math.log(sum(math.exp(s) for s in scores)) if log else 0.0
        loss = 0.0
        for c, score in enumerate(scores):
            w = 1.0 if weight is None else weight[c]
            share = (1 - smoothing) * (c == t) + smoothing / len(scores)
            loss += w * share * (log_sum - score)
        out[place] = loss
        losses += loss
        total += 1.0 if weight is None else weight[t]
    return (
        out if reduction == "none" else np.array(losses / total if reduction == "mean" else losses)
    )


def label_case(x, target, weight=None, name="", **options):
    ours = {"reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0, **options}
    return Case(
        F.cross_entropy,
        (x, target, weight),
        kwargs=ours,
        reference=lambda *a: naive_cross_entropy(
            *a, ours["reduction"], ours["ignore_index"], ours["label_smoothing"]
        ),
        torch=lambda *a: TF.cross_entropy(*a, **ours),
        diff=("input",),
        batch=(0, 1),
        name=name or ",".join(f"{k}={v}" for k, v in options.items()),
    )


def nll_case(x, target, weight=None, **options):
    return Case(
        F.nll_loss,
        (x, target, weight),
        kwargs=options,
        reference=lambda *a: naive_cross_entropy(
            *a, options.get("reduction", "mean"), options.get("ignore_index", -100), log=False
        ),
        torch=lambda *a: TF.nll_loss(*a, **options),
        diff=("input",),
        batch=(0, 1),
        name=",".join(f"{k}={v}" for k, v in options.items()),
    )


def probabilities(*shape):
    p = rng.uniform(0.1, 1, size=shape)
    return p / p.sum(axis=1, keepdims=True)


def probability_case(x, target, weight=None, **options):
    return Case(
        F.cross_entropy,
        (x, target, weight),
        kwargs=options,
        torch=lambda *a: TF.cross_entropy(*a, **options),
        diff=("input", "target"),
        batch=(0, 1),
        name="probabilities " + ",".join(f"{k}={v}" for k, v in options.items()),
    )


WEIGHT = rng.uniform(0.5, 2, size=4)
IGNORED = np.array([0, 3, 2, 0, 1])
PICKED = labels(4, 3, 1, 2)


def place(v, label, classes=4):
    out = np.zeros((v.shape[0], classes, *v.shape[2:]))
    for i in np.ndindex(*v.shape):
        out[(i[0], label[i], *i[2:])] = v[i]
    return out


def pick(x, label):
    out = np.zeros(label.shape)
    for i in np.ndindex(*label.shape):
        out[i] = x[(i[0], label[i], *i[2:])]
    return out


def distance(power, reduction):
    def reference(x, t):
        values = abs(x - t) ** power
        if reduction == "none":
            return values
        return np.array(math.fsum(values.ravel()) / (values.size if reduction == "mean" else 1))

    return reference


CASES = [
    *(
        Case(
            f,
            (np.array(1.5), np.array(-0.5)),
            kwargs={"reduction": reduction},
            torch=lambda *a, t=t, reduction=reduction: t(*a, reduction=reduction),
            name=f"0-d {reduction}",
        )
        for f, t in ((F.mse_loss, TF.mse_loss), (F.l1_loss, TF.l1_loss))
        for reduction in ("mean", "sum", "none")
    ),
    label_case(normal(5, 4), labels(4, 5)),
    label_case(normal(5, 4), labels(4, 5), reduction="sum"),
    label_case(normal(5, 4), labels(4, 5), reduction="none"),
    label_case(normal(5, 4), labels(4, 5), WEIGHT, name="weight"),
    label_case(normal(5, 4), IGNORED, ignore_index=0),
    label_case(normal(5, 4), IGNORED, WEIGHT, ignore_index=3, reduction="none"),
    label_case(normal(5, 4), np.array([0, -100, 2, -100, 1]), WEIGHT, name="default ignore_index"),
    label_case(normal(5, 4), IGNORED, label_smoothing=0.1),
    label_case(normal(5, 4), IGNORED, WEIGHT, label_smoothing=0.2, ignore_index=0),
    label_case(normal(5, 4), IGNORED, WEIGHT, label_smoothing=1.0, reduction="sum"),
    label_case(normal(2, 4, 3, 2), labels(4, 2, 3, 2), WEIGHT, name="dense"),
    label_case(normal(2, 4, 3), labels(4, 2, 3), reduction="none", label_smoothing=0.1),
    label_case(normal(3, 1).round(), labels(1, 3), name="one class"),
    probability_case(normal(5, 4), probabilities(5, 4)),
    probability_case(
        normal(5, 4), probabilities(5, 4), WEIGHT, label_smoothing=0.1, reduction="sum"
    ),
    probability_case(normal(2, 4, 3), probabilities(2, 4, 3), reduction="none"),
    nll_case(normal(5, 4), labels(4, 5)),
    nll_case(normal(5, 4), IGNORED, WEIGHT, ignore_index=0),
    nll_case(normal(2, 4, 3), labels(4, 2, 3), WEIGHT, reduction="none"),
    nll_case(normal(2, 4, 3), labels(4, 2, 3), reduction="sum"),
    Case(ClassPick, (normal(3, 4, 2), PICKED), reference=pick, batch=(0, 1)),
    Case(ClassPlace, (normal(3, 1, 2), PICKED), (4,), reference=place, batch=(0, 1)),
    *(
        Case(
            function,
            (normal(3, 4, 2), normal(3, 4, 2)),
            kwargs={"reduction": reduction},
            reference=distance(power, reduction),
            torch=lambda x, t, f=oracle, r=reduction: f(x, t, reduction=r),
            batch=(0, 1),
            name=reduction,
        )
        for function, oracle, power in ((F.mse_loss, TF.mse_loss, 2), (F.l1_loss, TF.l1_loss, 1))
        for reduction in ("mean", "sum", "none")
    ),
    Case(
        F.l1_loss,
        (np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 3.0])),
        reference=distance(1, "mean"),
        torch=TF.l1_loss,
        kinks=True,
        name="at equality",
        batch=(),
    ),
]

X = normal(5, 4)
BAD = [
    Bad(
        F.cross_entropy,
        (X, np.array([[0], [1], [3], [2], [0]])),
        error=ShapeError,
        match=r"target\.reshape\(5,\)",
    ),
    Bad(
        F.cross_entropy,
        (X, np.array([0, 1, 4, 2, 0])),
        error=RangeError,
        match=r"label 4 at position \(2,\)",
    ),
    Bad(
        F.cross_entropy, (X, np.array([0, 1, -1, 2, 0])), error=RangeError, match="ignore_index=-1"
    ),
    Bad(
        F.cross_entropy,
        (normal(2, 4, 3), np.array([[0, 1, 2], [0, 7, 1]])),
        error=RangeError,
        match=r"label 7 at position \(1, 1\) is outside 0 \.\.\. 3",
    ),
    Bad(F.nll_loss, (X, labels(4, 3)), error=ShapeError, match="labels need shape"),
    Bad(F.nll_loss, (X, np.array([9, 9, 0, 0, 0])), error=RangeError, match="1 more label"),
    Bad(F.cross_entropy, (X, labels(4, 3)), error=ShapeError, match=r"need shape \(5,\)"),
    Bad(F.cross_entropy, (normal(2, 4, 3), labels(4, 2)), error=ShapeError, match=r"\(2, 3\)"),
    Bad(F.cross_entropy, (X, labels(2, 5, 4)), error=ShapeError, match="argmax"),
    Bad(F.cross_entropy, (X, normal(5)), error=DTypeError, match="integers"),
    Bad(F.cross_entropy, (X, np.ones(5, bool)), error=DTypeError, match="bool"),
    Bad(F.cross_entropy, (labels(3, 5, 4), labels(4, 5)), error=DTypeError, match="must be float"),
    Bad(F.cross_entropy, (labels(4, 5), X), error=DTypeError, match="input and target exchanged"),
    Bad(
        F.cross_entropy,
        (normal(2, 3, 5, 4), labels(3, 2, 3, 5)),
        error=ShapeError,
        match=r"classes seem to be last: input\.movedim\(-1, 1\)\.",
    ),
    Bad(F.cross_entropy, (normal(5, 0), labels(4, 5)), error=ShapeError, match="no class"),
    Bad(F.cross_entropy, (X, labels(4, 5), normal(3)), error=ShapeError, match="4 classes"),
    Bad(
        F.cross_entropy,
        (X, labels(4, 5), WEIGHT.astype("f4")),
        error=DTypeError,
        match="weight.to.'float64'",
    ),
    Bad(
        F.cross_entropy,
        (X, labels(4, 5)),
        {"reduction": "median"},
        error=ArgumentError,
        match="median",
    ),
    Bad(
        F.cross_entropy,
        (X, labels(4, 5)),
        {"label_smoothing": 1.5},
        error=ArgumentError,
        match="1.5",
    ),
    Bad(
        F.cross_entropy,
        (X, labels(4, 5)),
        {"size_average": True},
        error=ArgumentError,
        match="reduction",
    ),
    Bad(
        F.cross_entropy,
        (X, probabilities(5, 4)),
        {"ignore_index": 1},
        error=ArgumentError,
        match="labels",
    ),
    Bad(F.mse_loss, (X, normal(5, 3)), error=ShapeError, match="broadcast"),
    Bad(F.mse_loss, (labels(4, 5, 4), labels(4, 5, 4)), error=DTypeError, match=r"input\.to"),
    Bad(F.mse_loss, (X, X), {"reduction": "max"}, error=ArgumentError, match="max"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_all_ignored():
    x = tg.tensor(X, requires_grad=True)
    target = tg.full((5,), -100, dtype="int64")
    assert math.isnan(F.cross_entropy(x, target).item())
    assert F.cross_entropy(x, target, reduction="sum").item() == 0
    F.cross_entropy(x, target, reduction="sum").backward()
    assert not x.grad.numpy().any()


def test_one_sample_without_a_batch():
    scores = X[0]
    loss = F.cross_entropy(tg.tensor(scores), tg.tensor(2))
    assert loss.item() == pytest.approx(
        TF.cross_entropy(torch.tensor(scores), torch.tensor(2)).item()
    )
    assert F.cross_entropy(tg.tensor(scores), tg.tensor(2), reduction="none").shape == ()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_labels_of_every_integer_dtype(dtype):
    target = np.array([0, 1, 2, 3, 0], dtype)
    expected = naive_cross_entropy(X, target)
    assert F.cross_entropy(tg.tensor(X), tg.tensor(target)).item() == pytest.approx(float(expected))


def test_large_scores_do_not_overflow():
    x = tg.tensor(np.array([[1000.0, 0.0], [-1000.0, 0.0]], "f4"), requires_grad=True)
    loss = F.cross_entropy(x, tg.tensor([0, 0]), reduction="none")
    assert loss.tolist() == [0.0, 1000.0]
    loss.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [-1.0, 1.0]]


def test_infinite_scores_give_torchs_values():
    x = np.array([[-np.inf, 0.0], [-np.inf, -np.inf]])
    ours = F.cross_entropy(tg.tensor(x), tg.tensor([1, 0]), reduction="none").numpy()
    theirs = TF.cross_entropy(torch.tensor(x), torch.tensor([1, 0]), reduction="none").numpy()
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, np.array([0.0, 2.0, 3.0])])
@pytest.mark.parametrize("scores", [(nan, 0.0, 1.0), (inf, 0.0, 1.0), (-inf, -inf, -inf)])
def test_scores_that_are_not_finite_at_ignored_and_weightless_labels(scores, weight, reduction):
    """An ignored one does not reach the loss; a class of weight 0 is counted, and does."""
    x = np.array([scores, (1.0, 2.0, 3.0), scores])
    theirs_weight = None if weight is None else torch.tensor(weight)
    for target in ([-100, 1, -100], [-100, 0, -100], [0, 1, -100]):
        for name, options in (
            ("cross_entropy", {}),
            ("cross_entropy", {"label_smoothing": 0.1}),
            ("nll_loss", {}),
        ):
            ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            options |= {"reduction": reduction}
            loss = getattr(F, name)(ours, tg.tensor(target), weight, **options)
            expected = getattr(TF, name)(theirs, torch.tensor(target), theirs_weight, **options)
            np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy())
            loss.sum().backward()
            expected.sum().backward()
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-15)


@pytest.mark.parametrize("function", ["cross_entropy", "nll_loss"])
def test_a_gradient_that_is_nan_at_an_ignored_label_stays_there(function):
    x = tg.tensor(X[:2], requires_grad=True)
    loss = getattr(F, function)(x, tg.tensor([-100, 1]), reduction="none")
    loss.backward(tg.tensor([nan, 1.0], dtype="float64"))
    assert not x.grad[0].numpy().any()
    assert np.isfinite(x.grad.numpy()).all()


def test_shapes_that_only_broadcast_warn():
    with pytest.warns(UserWarning, match="is that meant"):
        loss = F.mse_loss(tg.tensor(normal(3, 1)), tg.tensor(normal(3)), reduction="none")
    assert loss.shape == (3, 3)


def test_mean_of_nothing_is_nan():
    assert math.isnan(F.mse_loss(tg.zeros(0, 2), tg.zeros(0, 2)).item())
    assert math.isnan(F.cross_entropy(tg.zeros(0, 2), tg.zeros(0, dtype="int64")).item())


def test_class_weights_get_no_gradient():
    weight = tg.tensor(WEIGHT, requires_grad=True)
    with pytest.raises(ArgumentError, match="detach"):
        F.cross_entropy(tg.tensor(X), tg.tensor([0, 1, 2, 3, 0]), weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_where_all_labels_are_ignored_the_gradient_is_0_as_in_torch(weight, smoothing):
    options = {"label_smoothing": smoothing}
    x, labels = tg.tensor(X, requires_grad=True), np.full(5, -100)
    loss = F.cross_entropy(x, tg.tensor(labels), weight, **options)
    loss.backward()
    theirs = torch.tensor(X, requires_grad=True)
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    TF.cross_entropy(theirs, torch.tensor(labels), w, **options).backward()
    assert math.isnan(loss.item())
    np.testing.assert_array_equal(x.grad.numpy(), theirs.grad.numpy())
    x.grad = None
    F.nll_loss(x, tg.tensor(labels)).backward()
    assert not x.grad.numpy().any()
