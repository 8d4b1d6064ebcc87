"""Padding in every mode, cropping, and their adjoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.pad import Pad, PadBorder, PadBorderGrad, pad_axes
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(17)
F = tg.nn.functional
TF = torch.nn.functional
NUMPY = {"reflect": "reflect", "symmetric": "symmetric", "replicate": "edge", "circular": "wrap"}


def normal(*sizes):
    return rng.normal(size=sizes)


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def by_torch(shape, *attrs):
    return Case(
        F.pad,
        (normal(*shape),),
        attrs,
        torch=lambda t: TF.pad(t, *attrs),
        name=" ".join(map(str, attrs)),
    )


def by_numpy(shape, widths, mode):
    """A case of every axis at once, against np.pad."""

    def padded(x):
        return pad_axes(x, widths, mode)

    padded.__name__ = "pad"
    return Case(
        padded, (normal(*shape),), reference=lambda x: np.pad(x, widths, NUMPY[mode]), name=mode
    )


WIDTHS = ((0, 0), (2, 1), (0, 3))
CASES = [
    Case(
        Pad,
        (normal(2, 3),),
        (((1, 0), (0, 2)), 1.5),
        reference=lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=1.5),
    ),
    Case(Pad, (normal(4, 5),), (((-1, -2), (0, -4)), 0), reference=lambda x: x[1:2, :1]),
    Case(
        Pad,
        (normal(4, 3),),
        (((-1, 2), (3, -1)), 0),
        reference=lambda x: np.pad(x[1:, :2], ((0, 2), (3, 0))),
        name="mixed",
    ),
    Case(Pad, (normal(3),), (((-2, 2),), 7.0), reference=lambda x: np.append(x[2:], [7.0, 7.0])),
    Case(
        Pad,
        (channels_last(normal(2, 3, 3, 2)),),
        (((0, 0), (0, 1), (1, 1), (2, 0)), 0),
        reference=lambda x: np.pad(x, ((0, 0), (0, 1), (1, 1), (2, 0))),
        name="channels_last",
    ),
    *(
        Case(
            PadBorder,
            (normal(2, 3, 4),),
            (WIDTHS, mode),
            reference=lambda x, mode=mode: np.pad(x, WIDTHS, NUMPY[mode]),
            name=mode,
        )
        for mode in NUMPY
    ),
    *(
        Case(
            PadBorderGrad,
            (normal(2, 6, 7),),
            (WIDTHS, mode),
            # The matrix of the padding, transposed.
            reference=lambda g, mode=mode: np.einsum(
                "pi,p->i",
                np.stack(
                    [np.pad(e.reshape(2, 3, 4), WIDTHS, NUMPY[mode]).ravel() for e in np.eye(24)], 1
                ),
                g.ravel(),
            ).reshape(2, 3, 4),
            name=mode,
            skip={"empty": "the widths belong to the shape"},
        )
        for mode in NUMPY
    ),
    by_torch((2, 3), (1, 2)),
    by_torch((2, 3), (1, 2), "constant", 2.5),
    by_torch((2, 3), (1, 2, 0, 3), "constant", -1.0),
    by_torch((2, 3, 4, 5), (1, 2, 0, 3, 1, 1)),
    by_torch((3,), (-1, 4)),
    by_torch((3, 4), (-1, -1, 2, -1)),
    by_torch((0, 3), (1, 1, 0, 2)),
    by_torch((2, 3), ()),
    by_torch((2, 3, 5), (4, 2), "reflect"),
    by_torch((2, 3, 5), (0, 4), "reflect"),
    by_torch((2, 3, 4, 5), (1, 2, 3, 0), "reflect"),
    by_torch((2, 3, 4, 5), (1, 2, 3, 0), "replicate"),
    by_torch((2, 3, 4, 5), (7, 0, 0, 9), "replicate"),
    by_torch((2, 3, 4, 5), (5, 5, 4, 0), "circular"),
    by_torch((1, 2, 3, 3, 3), (1, 1, 2, 0, 1, 0), "reflect"),
    by_torch((2, 3, 4), (-1, 3), "reflect"),
    by_torch((2, 3, 4), (-1, 3), "replicate"),
    by_torch((2, 3, 4), (-1, 3), "circular"),
    by_torch((2, 3, 4), (-1, -2), "circular"),
    by_torch((2, 3, 4), (-1, -2), "replicate"),
    *(by_numpy((3, 4), ((2, 1), (1, 3)), mode) for mode in NUMPY),
    *(by_numpy((2, 3, 2), ((1, 1), (0, 2), (1, 0)), mode) for mode in NUMPY),
]

X = normal(1, 2, 3, 4)
BAD = [
    Bad(F.pad, (X, (1,)), error=ShapeError, match="takes two"),
    Bad(F.pad, (X, (1,) * 10), error=ShapeError, match="10 widths for 4 axes"),
    Bad(F.pad, (X, (1, 1.5)), error=DTypeError, match="whole number"),
    Bad(F.pad, (X, (-2, -3)), error=ShapeError, match=r"4 \+ -2 \+ -3 = -1"),
    Bad(F.pad, (X, (4, 0), "reflect"), error=ShapeError, match="4 <= 3 is false"),
    Bad(F.pad, (X, (0, 5), "circular"), error=ShapeError, match="width <= n"),
    Bad(F.pad, (X, (5, 0), "symmetric"), error=ShapeError, match="border of 5 from 4 positions"),
    Bad(F.pad, (normal(2, 0), (1, 0), "replicate"), error=ShapeError, match="from 0 positions"),
    Bad(F.pad, (X, (1, 1), "mirror"), error=ArgumentError, match="unknown mode 'mirror'"),
    Bad(F.pad, (X, (1, 1), "reflect", 1.0), error=ArgumentError, match="takes no value"),
    Bad(F.pad, (np.arange(3), (1, 1), "constant", 0.5), error=DTypeError, match="int64"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("mode", ["constant", *NUMPY])
def test_channels_last_memory_is_kept(mode):
    x = tg.Tensor(channels_last(normal(2, 3, 4, 5)))
    assert layout_of(F.pad(x, (1, 1, 2, 1), mode).array) == "channels_last"


def test_integers_and_bools_are_padded():
    assert F.pad(tg.tensor([1, 2]), (1, 1), value=9).tolist() == [9, 1, 2, 9]
    assert F.pad(tg.tensor([True]), (1, 0)).tolist() == [False, True]
    assert F.pad(tg.tensor([1, 2, 3]), (1, 1), "reflect").dtype == np.int64


@given(
    st.sampled_from(sorted(NUMPY)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_borders_follow_numpy(mode, sizes, data):
    widest = [n - 1 if mode == "reflect" else n for n in sizes]
    widths = tuple((data.draw(st.integers(0, w)), data.draw(st.integers(0, w))) for w in widest)
    x = np.arange(np.prod(sizes), dtype=float).reshape(sizes)
    assert np.array_equal(
        pad_axes(tg.Tensor(x), widths, mode).numpy(), np.pad(x, widths, NUMPY[mode])
    )
