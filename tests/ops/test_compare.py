"""Comparisons, logic and bits: values against Python's own, dtypes, NaN, refusals."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops import compare, logic
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(3)
inf, nan = math.inf, math.nan
A = rng.integers(-2, 3, (3, 4)).astype(float)
B = rng.integers(-2, 3, (3, 4)).astype(float)
SPECIAL = np.array([0.0, 1.0, nan, inf, -inf, -0.0])
INTS = rng.integers(-9, 9, (3, 4))
BOOLS = rng.random((3, 4)) > 0.5


def pairs(function):
    """The function of two Python values, applied pair by pair."""

    def loop(a, b):
        a, b = np.broadcast_arrays(a, b)
        out = [function(x.item(), y.item()) for x, y in zip(a.flat, b.flat, strict=True)]
        return np.array(out).reshape(a.shape)

    return loop


def each(function):
    return lambda x: np.array([function(v.item()) for v in x.flat]).reshape(x.shape)


COMPARISONS = [
    (compare.Eq, operator.eq, torch.eq),
    (compare.Ne, operator.ne, torch.ne),
    (compare.Lt, operator.lt, torch.lt),
    (compare.Le, operator.le, torch.le),
    (compare.Gt, operator.gt, torch.gt),
    (compare.Ge, operator.ge, torch.ge),
    (logic.LogicalAnd, lambda a, b: bool(a) and bool(b), torch.logical_and),
    (logic.LogicalOr, lambda a, b: bool(a) or bool(b), torch.logical_or),
    (logic.LogicalXor, lambda a, b: bool(a) != bool(b), torch.logical_xor),
]

CASES = [
    *(Case(op, (A, B), reference=pairs(f), torch=t) for op, f, t in COMPARISONS),
    *(Case(op, (A, B[0]), reference=pairs(f), name="broadcast") for op, f, _ in COMPARISONS),
    *(Case(op, (INTS, A), reference=pairs(f), name="mixed") for op, f, _ in COMPARISONS),
    *(
        Case(op, (SPECIAL, SPECIAL[::-1].copy()), torch=t, name="special")
        for op, _, t in COMPARISONS
    ),
    *(
        Case(op, (SPECIAL,), reference=each(f), torch=t)
        for op, f, t in (
            (compare.IsNan, math.isnan, torch.isnan),
            (compare.IsInf, math.isinf, torch.isinf),
            (compare.IsFinite, math.isfinite, torch.isfinite),
            (logic.LogicalNot, operator.not_, torch.logical_not),
        )
    ),
    Case(
        compare.IsClose,
        (np.array([1.0, 1.0, inf, nan]), np.array([1.0 + 1e-6, 1.1, inf, nan])),
        attrs=(1e-5, 1e-8, True),
        reference=lambda a, b: np.array([True, False, True, True]),
        torch=lambda a, b: torch.isclose(a, b, equal_nan=True),
        skip={"float32": "1e-6 is near its resolution"},
    ),
    *(
        Case(op, (x, y), reference=pairs(f), torch=t)
        for x, y in ((INTS, INTS[::-1].copy()), (BOOLS, ~BOOLS[::-1]))
        for op, f, t in (
            (logic.BitwiseAnd, operator.and_, torch.bitwise_and),
            (logic.BitwiseOr, operator.or_, torch.bitwise_or),
            (logic.BitwiseXor, operator.xor, torch.bitwise_xor),
        )
    ),
    Case(logic.BitwiseNot, (INTS,), reference=each(operator.invert), torch=torch.bitwise_not),
    Case(logic.BitwiseNot, (BOOLS,), reference=each(operator.not_), torch=torch.bitwise_not),
    *(
        Case(f, (A,), kwargs={"dim": dim, "keepdim": keep}, torch=t, name=f"{dim}")
        for f, theirs in ((tg.all, torch.all), (tg.any, torch.any))
        for dim, keep in ((0, False), (-1, True), ((0, 1), False))
        for t in (lambda x, f=theirs, d=dim, k=keep: f(x, d, k),)
    ),
    Case(tg.all, (A,), reference=lambda x: all(x.flat)),
    Case(tg.any, (A * 0,), reference=lambda x: any(x.flat)),
]

BAD = [
    *(
        Bad(f, (np.zeros((2, 3)), np.zeros(4)), error=ShapeError, match="broadcast")
        for f in (
            tg.eq,
            tg.ne,
            tg.lt,
            tg.le,
            tg.gt,
            tg.ge,
            tg.logical_and,
            tg.logical_or,
            tg.logical_xor,
            tg.isclose,
        )
    ),
    *(
        Bad(f, (INTS, A), error=DTypeError, match="float64")
        for f in (tg.bitwise_and, tg.bitwise_or, tg.bitwise_xor)
    ),
    Bad(tg.bitwise_and, (INTS, INTS[:2]), error=ShapeError, match="broadcast"),
    Bad(tg.bitwise_not, (A,), error=DTypeError, match="float64"),
    Bad(tg.all, (A, 2), error=RangeError, match="out of range"),
    Bad(tg.any, (A, (0, 0)), error=ArgumentError, match="twice"),
    Bad(tg.any, (A, 0), {"axis": 1}, error=ArgumentError, match="two names"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_symbols():
    x, y = tg.tensor([1, 2, 3]), tg.tensor([3, 2, 1])
    results = [
        x == y,
        x != y,
        x < y,
        x <= y,
        x > y,
        x >= y,
        x > 2,
        (x > 1) & (y > 1),
        (x > 2) | (y > 2),
    ]
    assert all(r.dtype == tg.bool_ for r in results)
    assert [r.tolist() for r in results[:3]] == [
        [False, True, False],
        [True, False, True],
        [True, False, False],
    ]
    assert (~(x == y)).tolist() == [True, False, True]
    assert ((x == y) ^ True).tolist() == [True, False, True]
    assert (x & 1).tolist() == (1 & x).tolist() == [1, 0, 1]


def test_results_carry_no_gradient():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for result in (x > 1, x == x, tg.isnan(x), tg.all(x), tg.isclose(x, x)):
        assert not result.requires_grad


def test_integers_and_floats_are_compared_in_their_common_dtype():
    exact = 2**53 + 1
    assert (tg.tensor([exact]) == tg.tensor([float(exact)], dtype="float64")).tolist() == [True]
    assert (tg.tensor([exact]) == tg.tensor([exact - 1])).tolist() == [False]


def test_whole_comparisons_give_python_bools():
    x = tg.tensor([1.0, nan])
    assert tg.allclose(x, x) is False
    assert tg.allclose(x, x, equal_nan=True) is True
    assert tg.equal(tg.tensor([1.0]), tg.tensor([1.0])) is True
    assert tg.equal(tg.tensor([1.0]), tg.tensor([[1.0]])) is False
    assert tg.zeros(0).all().item() is True
    assert tg.zeros(0).any().item() is False


@pytest.mark.parametrize("other", [None, "a", object(), {}, len, "float32", [1.0, "a"]])
def test_what_is_no_number_is_never_equal(other):
    """As in PyTorch; the functions, which say what they take, refuse it."""
    for t in (tg.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])):
        assert (t == other) is False
        assert (t != other) is True
        assert (other == t) is False
    with pytest.raises(DTypeError, match="cannot compute with"):
        tg.eq(tg.tensor([1.0, 2.0]), other)
    with pytest.raises(DTypeError, match="lt: cannot compute with"):
        tg.tensor([1.0, 2.0]) < other  # noqa: B015


@pytest.mark.parametrize("other", [1j, np.ones(2, complex)])
def test_numbers_without_a_form_here_are_refused_and_not_unequal(other):
    for symbol in (operator.eq, operator.ne):
        with pytest.raises(DTypeError):
            symbol(tg.ones(2), other)


def test_truth_of_uint8_stays_uint8():
    x = tg.tensor([0, 3], dtype="uint8")
    assert (x.any().dtype, x.any().item(), x.all().item()) == (tg.uint8, 1, 0)


def test_a_data_dependent_answer_on_meta_says_so():
    x = tg.zeros(2, device="meta")
    for function in (tg.allclose, tg.equal):
        with pytest.raises(tg.GraphError, match=rf"^{function.__name__}: .* no values to compare"):
            function(x, x)
