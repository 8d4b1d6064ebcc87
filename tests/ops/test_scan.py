"""Running sums and products, and the product of all: zeros are no special case."""

from __future__ import annotations

import math

import numpy as np
import torch

import tinygrad_cv as tg
from tests.ops.loops import along
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError
from tinygrad_cv.ops import scan
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(7)
X = rng.normal(size=(2, 3, 4))
ONE_ZERO = np.array([[0.0, 2.0], [3.0, -4.0]])
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 0.0], [4.0, 5.0, 6.0]])

CASES = [
    *(
        Case(tg.prod, (np.array(1.5),), kwargs={"dim": d}, reference=lambda x: x, name=f"0-d {d}")
        for d in (None, 0, -1)
    ),
    *(
        Case(
            tg.prod,
            (a,),
            kwargs={"dim": d},
            reference=along(math.prod, d),
            torch=lambda x, d=d: x.prod() if d is None else x.prod(d),
            name=f"{d}",
            order=3,
        )
        for a, d in ((ONE_ZERO, None), (X, 0), (ZEROS, 0), (ZEROS, -1))
    ),
    *(
        Case(
            f,
            (a,),
            attrs=(d,),
            reference=lambda x, r=r, d=d: r(x, d),
            torch=lambda x, t=t, d=d: t(x, d),
            name=f"{d}",
        )
        for f, r, t in (
            (tg.cumsum, np.cumsum, torch.cumsum),
            (tg.cumprod, np.cumprod, torch.cumprod),
        )
        for a in (X, ZEROS)
        for d in (0, -1)
    ),
    Case(
        scan.Cumsum,
        (X,),
        attrs=(1, True),
        reference=lambda x: np.flip(np.cumsum(np.flip(x, 1), 1), 1),
    ),
    Case(
        scan.Cumprod,
        (ZEROS,),
        attrs=(1, True),
        reference=lambda x: np.flip(np.cumprod(np.flip(x, 1), 1), 1),
        order=3,
    ),
    Case(tg.cumsum, (np.array(2.0),), attrs=(0,), reference=lambda x: x, name="0-d"),
    Case(tg.cumprod, (np.array(2.0),), attrs=(0,), reference=lambda x: x, name="0-d"),
]

BAD = [
    *(
        Bad(f, (X, 3), error=RangeError, match="out of range")
        for f in (tg.prod, tg.cumsum, tg.cumprod)
    ),
    Bad(tg.prod, (X, 0), {"axis": 1}, error=ArgumentError, match="two names"),
    Bad(tg.cumsum, (X,), error=DTypeError, match="dim"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_products_of_nothing_and_of_integers():
    assert tg.prod(tg.zeros(0, 3)).item() == 1
    assert tg.prod(tg.zeros(0, 3), 0, keepdim=True).tolist() == [[1.0, 1.0, 1.0]]
    assert tg.prod(tg.zeros(2, 3), keepdim=True).shape == (1, 1)
    for dtype in ("bool", "uint8", "int8", "int32", "int64"):
        x = tg.ones(300, dtype=dtype)
        for result in (tg.prod(x), tg.cumsum(x, 0), tg.cumprod(x, 0)):
            assert result.dtype == tg.int64
        assert tg.cumsum(x, 0)[-1].item() == 300
