"""Arithmetic, powers, rounded division: values, gradients, broadcasting, dtypes, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops import arithmetic, division, power
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(1)
inf, nan = math.inf, math.nan


def normal(*shape):
    return rng.normal(size=shape)


def positive(*shape):
    return rng.uniform(0.5, 2.0, size=shape)


def away_from_zero(*shape):
    return positive(*shape) * rng.choice([-1, 1], size=shape)


def elementwise(function):
    """The function of two numbers, applied pair by pair on broadcast arrays."""

    def loop(a, b):
        a, b = np.broadcast_arrays(a, b)
        out = np.zeros(a.shape)
        for place in np.ndindex(a.shape):
            out[place] = function(float(a[place]), float(b[place]))
        return out

    return loop


SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((2, 1, 3), (4, 1)),
    ((), (2, 3)),
    ((2, 3, 2, 2), (1, 3, 1, 1)),
]

CASES = [
    *(
        Case(op, (a(*left), b(*right)), reference=elementwise(f), torch=theirs)
        for left, right in SHAPES
        for op, f, theirs, a, b in (
            (arithmetic.Add, lambda x, y: x + y, torch.add, normal, normal),
            (arithmetic.Sub, lambda x, y: x - y, torch.sub, normal, normal),
            (arithmetic.Mul, lambda x, y: x * y, torch.mul, normal, normal),
            (arithmetic.Div, lambda x, y: x / y, torch.div, normal, away_from_zero),
            (power.Pow, lambda x, y: x**y, torch.pow, positive, normal),
        )
    ),
    *(
        Case(
            op, (normal(*left) * 5, away_from_zero(*right)), reference=elementwise(f), torch=theirs
        )
        for left, right in SHAPES[:3]
        for op, f, theirs in (
            (
                division.FloorDivide,
                lambda x, y: math.floor(x / y),
                lambda x, y: torch.div(x, y, rounding_mode="floor"),
            ),
            (
                division.TruncDivide,
                lambda x, y: math.trunc(x / y),
                lambda x, y: torch.div(x, y, rounding_mode="trunc"),
            ),
            (division.Remainder, lambda x, y: x - math.floor(x / y) * y, torch.remainder),
            (division.Fmod, math.fmod, torch.fmod),
        )
    ),
    Case(arithmetic.Neg, (normal(3, 4),), reference=lambda x: 0 - x, torch=torch.neg),
    Case(power.Square, (normal(3, 4),), reference=lambda x: x * x, torch=torch.square),
    Case(
        power.Reciprocal, (away_from_zero(3, 4),), reference=lambda x: 1 / x, torch=torch.reciprocal
    ),
    *(
        Case(
            f,
            (normal(3), normal(3)),
            kwargs={"alpha": alpha},
            reference=reference,
            torch=lambda x, y, t=t, alpha=alpha: t(x, y, alpha=alpha),
        )
        for f, alpha, reference, t in (
            (tg.add, 2.5, lambda x, y: x + 2.5 * y, torch.add),
            (tg.sub, -2, lambda x, y: x + 2 * y, torch.sub),
            (tg.rsub, 1, lambda x, y: y - x, torch.rsub),
        )
    ),
    *(
        Case(lambda x, f=f: f(x), (away_from_zero(2, 3),), reference=f, name=f"scalar {k}", torch=f)
        for k, f in enumerate(
            (
                lambda x: x + 2,
                lambda x: 2 + x,
                lambda x: x - 2.5,
                lambda x: 2.5 - x,
                lambda x: x * 3,
                lambda x: 3 * x,
                lambda x: x / 4,
                lambda x: 4 / x,
                lambda x: x**2,
                lambda x: x**3,
                lambda x: x**-1,
                lambda x: x**1,
                lambda x: x**0,
                lambda x: 2.5**x,
                lambda x: -x,
                lambda x: +x * 1,
            )
        )
    ),
    Case(tg.pow, (positive(3),), attrs=(0.5,), reference=lambda x: np.sqrt(x), name="half"),
    Case(
        tg.pow, (positive(3),), attrs=(-1.5,), reference=lambda x: 1 / (x * np.sqrt(x)), name="-1.5"
    ),
    Case(
        tg.pow,
        (np.array([-1.0, 0.0, 2.0]), np.array([0.0, 0.0, 0.0])),
        diff=["exponent"],
        torch=lambda x, y: x**y,
        order=0,
        name="exponent 0",
    ),
    Case(
        power.Pow,
        (
            np.array([0.0, 0.0, -1.0, 0.0, inf, 2.0]),
            np.array([0.0, 1.0, 2.0, -1.0, 0.0, nan]),
        ),
        torch=torch.pow,
        order=0,
        name="edges",
    ),
    Case(
        tg.pow, (np.array([0.0, 2.0]),), attrs=(0.5,), torch=torch.sqrt, order=0, name="root at 0"
    ),
    Case(
        lambda x: 0.0**x, (np.array([0.0, 1.0, -1.0]),), torch=lambda x: 0.0**x, order=0, name="0^x"
    ),
    Case(
        lambda x: (-2.0) ** x,
        (np.array([2.0, 0.5]),),
        torch=lambda x: (-2.0) ** x,
        order=0,
        name="(-2)^x",
    ),
    Case(
        arithmetic.Div,
        (np.array([1.0, 0.0, -1.0]), np.zeros(3)),
        torch=torch.div,
        order=0,
        name="by 0",
    ),
    Case(
        division.Remainder,
        (np.array([5.0, -5.0]), np.zeros(2)),
        torch=torch.remainder,
        order=0,
        name="by 0",
    ),
    *(
        Case(
            tg.lerp,
            (normal(3, 2), normal(3, 2), weight),
            reference=lambda a, b, w: a + w * (b - a),
            torch=torch.lerp,
            name=f"{k}",
        )
        for k, weight in enumerate((0.3, 0.8, rng.uniform(0, 1, (3, 2)), rng.uniform(0.6, 1, 2)))
    ),
]

BAD = [
    *(
        Bad(f, (normal(2, 3), normal(4)), error=ShapeError, match="broadcast")
        for f in (tg.add, tg.sub, tg.mul, tg.div, tg.pow, tg.floor_divide, tg.remainder, tg.fmod)
    ),
    Bad(tg.sub, (np.ones(2, bool), np.ones(2, bool)), error=DTypeError, match="bool"),
    Bad(tg.neg, (np.ones(2, bool),), error=DTypeError, match="~x"),
    Bad(tg.pow, (np.arange(3), -1), error=ArgumentError, match="negative integer"),
    Bad(tg.pow, (np.arange(3), -np.arange(3)), error=ArgumentError, match="negative integer"),
    Bad(tg.floor_divide, (np.arange(3), 0), error=ArgumentError, match="by 0"),
    Bad(tg.remainder, (np.arange(3), np.arange(3)), error=ArgumentError, match="by 0"),
    Bad(tg.fmod, (np.arange(3), 0), error=ArgumentError, match="by 0"),
    Bad(division.TruncDivide, (np.arange(3), 0), error=ArgumentError, match="by 0"),
    Bad(division.TruncDivide, (normal(2, 3), normal(4)), error=ShapeError, match="broadcast"),
    Bad(
        tg.div,
        (normal(2), 2.0),
        {"rounding_mode": "up"},
        error=ArgumentError,
        match="rounding_mode",
    ),
    Bad(tg.add, (np.arange(3), np.arange(3)), {"alpha": 0.5}, error=DTypeError, match="alpha"),
    Bad(tg.lerp, (np.arange(3), np.arange(3), 0.5), error=DTypeError, match="floating"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


NUMBERS = (True, 3, 2.5)
DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**", "//", "%"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_results_are_those_of_torch(symbol, dtype):
    ours, theirs = tg.ones(2, dtype=dtype), torch.ones(2, dtype=getattr(torch, dtype))
    others = [(tg.ones(2, dtype=d), torch.ones(2, dtype=getattr(torch, d))) for d in DTYPES]
    others += [(number, number) for number in NUMBERS]
    names = {"a": None, "b": None}
    for a, b in others:
        names = {"x": theirs, "y": b}
        try:
            expected = eval(f"x {symbol} y", {}, names)
        except (RuntimeError, NotImplementedError):
            continue  # PyTorch has no such kernel
        result = eval(f"x {symbol} y", {}, {"x": ours, "y": a})
        assert result.dtype.name == str(expected.dtype).removeprefix("torch."), (symbol, dtype, a)
        assert result.tolist() == expected.tolist()


def test_lerp_reaches_both_ends_exactly():
    a, b = tg.tensor([0.1, 1e8]), tg.tensor([0.7, -3.3])
    for weight in (1.0, tg.ones(2)):
        assert tg.lerp(a, b, weight).tolist() == b.tolist()
    assert tg.lerp(a, b, 0.0).tolist() == a.tolist()


def test_large_integers_divide_exactly():
    x = tg.tensor([2**62 + 1, -(2**62) - 1])
    assert tg.div(x, 3, rounding_mode="trunc").tolist() == [(2**62 + 1) // 3, -((2**62 + 1) // 3)]


def test_array_on_the_left_gives_a_tensor_with_a_gradient():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0], np.float32) * x + np.float64(2) * x
    y.sum().backward()
    assert x.grad.tolist() == [5.0, 6.0]
    assert y.dtype == tg.float32


def test_scalar_exponents_of_small_powers_need_no_general_power():
    """The gradient of a square must be exact for negative inputs, infinite ones and 0."""
    x = tg.tensor([-3.0, 0.0], requires_grad=True)
    (x**2).sum().backward()
    assert x.grad.tolist() == [-6.0, 0.0]
