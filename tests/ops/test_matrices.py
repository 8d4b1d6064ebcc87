"""Products of vectors and matrices, powers, inverses, and distances of rows."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.matrices import Inverse
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(27)


def normal(*sizes):
    return rng.normal(size=sizes)


X, V = normal(3, 4), normal(4)
SQUARES = normal(2, 3, 3) + 3 * np.eye(3)
FITTED = {"empty": "matrices that are not square any more"}


def naive_power(x, n):
    y = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    factor = x if n >= 0 else np.stack([np.linalg.solve(m, np.eye(len(m))) for m in x])
    for _ in range(abs(n)):
        y = y @ factor
    return y


def naive_distances(a, b, p=2.0):
    y = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-2]))
    a, b = (np.broadcast_to(x, (*y.shape[:-2], *x.shape[-2:])) for x in (a, b))
    for at in np.ndindex(y.shape):
        gaps = [abs(u - v) for u, v in zip(a[at[:-1]], b[*at[:-2], at[-1]], strict=True)]
        if p == math.inf:
            y[at] = max(gaps)
        elif p == 0:
            y[at] = sum(gap != 0 for gap in gaps)
        else:
            y[at] = sum(gap**p for gap in gaps) ** (1 / p)
    return y


CASES = [
    Case(tg.vdot, (V, normal(4)), reference=lambda a, b: (a * b).sum(), torch=torch.vdot),
    Case(tg.ger, (V, normal(3)), torch=torch.outer),
    Case(tg.addmv, (normal(3), X, V), torch=torch.addmv),
    Case(
        tg.addmv,
        (normal(), X, V),
        kwargs={"beta": 0.5, "alpha": -2},
        reference=lambda c, m, v: 0.5 * c - 2 * m @ v,
        torch=partial(torch.addmv, beta=0.5, alpha=-2),
        name="weighted",
    ),
    Case(tg.addr, (X, normal(3), V), kwargs={"beta": 2}, torch=partial(torch.addr, beta=2)),
    Case(tg.addbmm, (normal(3, 5), normal(2, 3, 4), normal(2, 4, 5)), torch=torch.addbmm),
    Case(
        tg.cross,
        (normal(2, 3), normal(2, 3)),
        reference=np.cross,
        torch=torch.linalg.cross,
        skip={"empty": "three are needed"},
    ),
    Case(
        tg.cross,
        (normal(3, 4), normal(3, 1), 0),
        torch=torch.cross,
        name="broadcast",
        skip={"empty": "three are needed"},
    ),
    Case(
        Inverse,
        (SQUARES,),
        reference=lambda x: naive_power(x, -1),
        torch=torch.inverse,
        skip=FITTED,
        order=3,
    ),
    *(
        Case(
            tg.matrix_power,
            (SQUARES, n),
            reference=naive_power,
            torch=torch.matrix_power,
            name=f"{n}",
            skip=FITTED | ({"torch": "a constant there"} if n == 0 else {}),
        )
        for n in (-2, -1, 0, 1, 2, 3, 6)
    ),
    *(
        Case(
            tg.cdist,
            (normal(2, 3, 4), normal(5, 4), p),
            reference=naive_distances,
            torch=torch.cdist if p not in (0, 0.5) else None,
            name=f"{p}",
            order=2 if p else 0,
        )
        for p in (0, 0.5, 1, 1.5, 2.0, 3, math.inf)
    ),
    Case(tg.cdist, (normal(3, 0), normal(2, 0)), reference=lambda a, b: np.zeros((3, 2))),
    Case(tg.cdist, (normal(0, 4), X), torch=torch.cdist),
    # What einsum reads: an ellipsis, and a letter twice.
    *(
        Case(
            tg.einsum,
            (equation, *operands),
            reference=np.einsum,
            torch=torch.einsum,
            name=f"{k}",
        )
        for k, (equation, operands) in enumerate(
            [
                ("...ij,...jk->...ik", (normal(2, 1, 3, 4), normal(5, 4, 2))),
                ("ii->i", (normal(3, 3),)),
                ("ii", (normal(3, 3),)),
                ("...ii->...", (normal(2, 3, 3),)),
                ("bij,bjk,k->bi", (normal(2, 3, 4), normal(2, 4, 5), normal(5))),
                ("i...->...", (normal(2, 3, 4),)),
                ("iji,j->ij", (normal(3, 2, 3), normal(2))),
            ]
        )
    ),
]

BAD = [
    Bad(tg.vdot, (X, V), error=ShapeError, match="1 and 1 axes"),
    Bad(tg.ger, (X, V), error=ShapeError, match="1 and 1 axes", skip={"operator": "outer"}),
    Bad(tg.addmv, (V, V, V), error=ShapeError, match="2 and 1 axes"),
    Bad(tg.addmv, (V, X, V), error=ShapeError, match="broadcast"),
    Bad(tg.addr, (X, X, V), error=ShapeError, match="1 and 1 axes"),
    Bad(tg.addbmm, (X, X, X), error=ShapeError, match="3 and 3 axes"),
    Bad(tg.cross, (X, X, 1), error=ShapeError, match="size 3 along axis 1"),
    Bad(tg.cross, (V, V), error=ShapeError, match="4 = 4 = 3 is false"),
    Bad(tg.cross, (X, V), error=ShapeError, match="equally many axes"),
    Bad(tg.cross, (X, X, 2), error=RangeError, match="dim 2"),
    Bad(tg.inverse, (X,), error=ShapeError, match="square"),
    Bad(tg.inverse, (np.eye(2, dtype=int),), error=DTypeError, match="floating"),
    Bad(tg.inverse, (np.zeros((2, 2)),), error=ArgumentError, match="singular"),
    Bad(tg.matrix_power, (X, 2), error=ShapeError, match="square"),
    Bad(tg.matrix_power, (SQUARES, 0.5), error=DTypeError, match="whole number"),
    Bad(tg.cdist, (X, V), error=ShapeError, match="at least 2 axes"),
    Bad(tg.cdist, (X, normal(3, 5)), error=ShapeError, match="4 and 5 long"),
    Bad(tg.cdist, (normal(2, 3, 4), normal(3, 3, 4)), error=ShapeError, match="leading axes"),
    Bad(tg.cdist, (X, X, -1.0), error=ArgumentError, match="0 or more"),
    Bad(tg.cdist, (X, X, 2.0, "mm"), error=ArgumentError, match="no compute_mode 'mm'"),
    Bad(tg.cdist, (X, np.ones((2, 4), int)), error=DTypeError, match="floating"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_equal_rows_have_distance_and_gradient_0():
    x = tg.tensor(X, requires_grad=True)
    y = tg.cdist(x, tg.tensor(X))
    assert np.array_equal(np.diagonal(y.detach().numpy()), np.zeros(3))
    y[0, 0].backward()
    assert np.array_equal(x.grad.numpy(), np.zeros((3, 4)))


def test_an_input_that_counts_nothing_may_be_anything():
    y = tg.addmv(tg.tensor([math.nan]), tg.tensor(X), tg.tensor(V), beta=0)
    assert np.isfinite(y.numpy()).all()


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_powers_keep_the_dtype(dtype):
    x = tg.tensor([[1, 1], [0, 1]]).to(dtype)
    for n in (0, 1, 5):
        assert tg.matrix_power(x, n).dtype == dtype
        assert tg.matrix_power(x, n).tolist() == [[1, n], [0, 1]]
