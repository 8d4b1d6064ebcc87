"""Alpha dropout and stochastic depth: masks from the counter-based stream, moments, edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend.random import keep_mask
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.alpha_dropout import AlphaDropout
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(33)
F = tg.nn.functional
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU


def normal(*shape):
    return rng.normal(size=shape)


def alpha(p, key=(0, 0), shared=0):
    """Klambauer et al., section 2: affine numbers from the moments that must stay."""

    def reference(x):
        low = -ALPHA * SCALE
        keep = keep_mask(key, (*x.shape[: x.ndim - shared], *[1] * shared), 1 - p)
        mixed = np.where(np.broadcast_to(keep, x.shape), x, low)
        mean, var = p * low, (1 - p) * (1 + p * low**2)  # of x with mean 0 and variance 1
        return (mixed - mean) / var**0.5

    return reference


def paths(p, shared):
    def reference(x):
        keep = keep_mask((0, 0), (*x.shape[: x.ndim - shared], *[1] * shared), 1 - p)
        return x * keep / (1 - p)

    return reference


CASES = [
    Case(AlphaDropout, (normal(4, 5),), (0.3, (3, 5), 0), reference=alpha(0.3, (3, 5))),
    Case(AlphaDropout, (normal(2, 3, 4, 5),), (0.5, (3, 5), 0), reference=alpha(0.5, (3, 5))),
    Case(AlphaDropout, (normal(2, 3, 4, 5),), (0.5, (3, 5), 2), reference=alpha(0.5, (3, 5), 2)),
    Case(F.alpha_dropout, (normal(3, 4), 0.25, True), reference=lambda x, *_: alpha(0.25)(x)),
    Case(F.alpha_dropout, (normal(3, 4),), reference=lambda x: x, name="evaluation"),
    Case(F.alpha_dropout, (normal(3, 4), 0.0, True), reference=lambda x, *_: x, name="p0"),
    Case(
        F.alpha_dropout, (normal(3, 4), 1.0, True), reference=lambda x, *_: 0 * x, name="p1",
        torch=torch.nn.functional.alpha_dropout,
    ),
    Case(
        F.feature_alpha_dropout, (normal(3, 4, 2, 2), 0.5, True),
        reference=lambda x, *_: alpha(0.5, shared=2)(x),
    ),
    Case(
        F.feature_alpha_dropout, (normal(3, 4), 0.5, True),
        reference=lambda x, *_: alpha(0.5)(x),
    ),
    Case(F.drop_path, (normal(4, 3, 2), 0.5), reference=lambda x, p: paths(0.5, 2)(x)),
    Case(F.drop_path, (normal(4, 3, 2, 2), 0.3), reference=lambda x, p: paths(0.3, 3)(x)),
    Case(
        F.drop_path, (normal(4, 3), 0.3, "batch"), reference=lambda x, *_: paths(0.3, 2)(x),
        name="batch",
    ),
    Case(F.drop_path, (normal(4, 3), 0.0), reference=lambda x, p: x, name="p0"),
    Case(F.drop_path, (normal(4, 3), 1.0), reference=lambda x, p: 0 * x, name="p1"),
    Case(
        F.drop_path, (normal(4, 3), 0.5, "row", False), reference=lambda x, *_: x,
        name="evaluation",
    ),
    Case(F.drop_path, (np.array(2.0), 0.2, "batch"), reference=lambda x, *_: paths(0.2, 0)(x)),
    Case(
        F.stochastic_depth, (normal(4, 3, 2), 0.5, "row"),
        reference=lambda x, *_: paths(0.5, 2)(x),
    ),
]  # fmt: skip

BAD = [
    Bad(F.alpha_dropout, (normal(3), -0.1), error=ArgumentError, match="1 - p"),
    Bad(F.alpha_dropout, (normal(3), float("nan")), error=ArgumentError, match="nan"),
    Bad(F.alpha_dropout, (np.ones(3, int), 0.5, True), error=DTypeError, match="int64"),
    Bad(F.alpha_dropout, (normal(3), "b"), error=DTypeError, match="p must be a number"),
    Bad(F.feature_alpha_dropout, (normal(3), 0.5, True), error=ShapeError, match="channels"),
    Bad(F.feature_alpha_dropout, (normal(3, 2), 2.0, True), error=ArgumentError, match="1 - p"),
    Bad(F.drop_path, (normal(3, 2), 1.5), error=ArgumentError, match="1 - p"),
    Bad(F.drop_path, (normal(3, 2), 0.5, "column"), error=ArgumentError, match="'column'"),
    Bad(F.drop_path, (np.array(1.0), 0.5), error=ShapeError, match="no samples"),
    Bad(F.drop_path, (np.ones((3, 2), int), 0.5), error=DTypeError, match="int64"),
    Bad(F.stochastic_depth, (normal(3, 2), 0.5, None), error=ArgumentError, match="None"),
]  # fmt: skip


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_mean_and_variance_stay(p):
    x = tg.tensor(normal(500, 400))
    y = F.alpha_dropout(x, p, True, generator=tg.Generator(1)).numpy()
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_values_are_torchs(p):
    """Kept and dropped values are the same map of x; which are kept is each library's own."""
    x = np.full(1000, 0.75)
    theirs = torch.nn.functional.alpha_dropout(torch.tensor(x), p, True).numpy()
    ours = F.alpha_dropout(tg.tensor(x), p, True, generator=tg.Generator(0)).numpy()
    np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-12)


def test_one_draw_for_each_sample_or_for_all():
    x = tg.ones(50, 4, 3)
    rows = F.drop_path(x, 0.5, generator=tg.Generator(0)).numpy().reshape(50, 12)
    assert (rows.min(1) == rows.max(1)).all()
    assert set(rows[:, 0].tolist()) == {0.0, 2.0}
    for seed in range(5):
        y = F.drop_path(x, 0.5, "batch", generator=tg.Generator(seed)).numpy()
        assert y.min() == y.max()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, g: F.alpha_dropout(x, 0.5, True, generator=g),
        lambda x, g: F.feature_alpha_dropout(x, 0.5, True, generator=g),
        lambda x, g: F.drop_path(x, 0.5, generator=g),
    ],
)
def test_the_same_seed_drops_the_same_in_every_layout(function, layout):
    x = tg.ones(4, 3, 8, 8)
    expected = function(x, tg.Generator(5))
    y = function(x.contiguous(layout), tg.Generator(5))
    assert (y.numpy() == expected.numpy()).all()
    assert y.array.strides == x.contiguous(layout).array.strides
    assert (function(x, tg.Generator(6)).numpy() != expected.numpy()).any()


def test_nothing_is_drawn_when_nothing_can_drop():
    generator, x = tg.Generator(0), tg.ones(3, 2)
    for function in (F.alpha_dropout, F.feature_alpha_dropout):
        assert function(x, 0.0, True, generator=generator) is x
        assert function(x, 0.5, generator=generator) is x
        function(x.to("meta"), 0.5, True, generator=generator)
    assert F.drop_path(x, 0.5, training=False, generator=generator) is x
    F.drop_path(x.to("meta"), 0.5, generator=generator)
    assert generator.get_state().tolist() == [0, 0]


def test_in_place():
    x = tg.ones(100)
    assert F.alpha_dropout(x, 0.5, True, inplace=True) is x
    assert len(set(x.tolist())) == 2
