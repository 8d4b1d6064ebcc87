"""Dropout: inverted scaling, masks from the counter-based stream, whole channels, edges."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.backend.random import keep_mask
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.dropout import Dropout
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(13)
F = tg.nn.functional


def normal(*shape):
    return rng.normal(size=shape)


def dropped(p, key, shared=0):
    def reference(x):
        drawn = (*x.shape[: x.ndim - shared], *[1] * shared)
        return x * keep_mask(key, drawn, 1 - p) * (1 / (1 - p))

    return reference


def case(p, shape, shared=0, **options):
    reference = dropped(p, (3, 5), shared)
    return Case(Dropout, (normal(*shape),), (p, (3, 5), shared), reference=reference, **options)


CASES = [
    case(0.3, (4, 5)),
    case(0.5, (2, 3, 4, 5), name="images"),
    case(0.5, (2, 3, 4, 5), 2, name="channels"),
    case(0.9, (7,), name="vector"),
    Case(F.dropout, (normal(3, 4),), kwargs={"p": 0.25}, reference=dropped(0.25, (0, 0))),
    Case(F.dropout, (normal(3, 4),), kwargs={"p": 0.0}, reference=lambda x: x, name="p0"),
    Case(F.dropout, (normal(3, 4),), kwargs={"p": 1.0}, reference=lambda x: 0 * x, name="p1"),
    Case(
        F.dropout, (normal(3, 4),), kwargs={"training": False}, reference=lambda x: x, name="eval"
    ),
    Case(F.dropout1d, (normal(2, 3, 4),), reference=dropped(0.5, (0, 0), 1)),
    Case(F.dropout2d, (normal(3, 4, 5),), reference=dropped(0.5, (0, 0), 2)),
    Case(F.dropout3d, (normal(2, 3, 2, 2, 2),), reference=dropped(0.5, (0, 0), 3)),
]

BAD = [
    Bad(F.dropout, (normal(3), -0.1), error=ArgumentError, match="probability to drop"),
    Bad(F.dropout, (normal(3), 1.5), error=ArgumentError, match="1 - p"),
    Bad(F.dropout, (normal(3), float("nan")), error=ArgumentError, match="nan"),
    Bad(F.dropout, (np.ones(3, int),), error=DTypeError, match="int64"),
    Bad(F.dropout2d, (normal(3, 4),), error=ShapeError, match="3 or 4 axes"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_share_of_zeros_and_mean():
    y = F.dropout(tg.ones(1000, 100), 0.2, generator=tg.Generator(1)).numpy()
    assert (y == 0).mean() == pytest.approx(0.2, abs=0.005)
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert set(np.unique(y).tolist()) == {0.0, float(np.float32(1.25))}


def test_the_same_seed_gives_the_same_mask_in_every_layout():
    x = tg.ones(4, 3, 8, 8)
    one = F.dropout(x, generator=tg.Generator(5))
    other = F.dropout(x.contiguous("channels_last"), generator=tg.Generator(5))
    assert (one.numpy() == other.numpy()).all()
    assert other.array.strides == x.contiguous("channels_last").array.strides


def test_each_call_draws_anew_from_the_default_generator():
    x = tg.ones(100)
    tg.manual_seed(3)
    first, second = F.dropout(x), F.dropout(x)
    tg.manual_seed(3)
    again = F.dropout(x)
    assert (first.numpy() == again.numpy()).all()
    assert (first.numpy() != second.numpy()).any()


def test_nothing_is_drawn_when_nothing_can_drop():
    generator = tg.Generator(0)
    x = tg.ones(3)
    assert F.dropout(x, 0.0, generator=generator) is x
    assert F.dropout(x, 0.5, training=False, generator=generator) is x
    F.dropout(x.to("meta"), 0.5, generator=generator)
    assert generator.get_state().tolist() == [0, 0]
