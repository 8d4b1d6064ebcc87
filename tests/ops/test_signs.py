"""Signs, shifts, compound arithmetic and second names: values, gradients, edges, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.loops import naive
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops import compound, shift, signs
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(24)
inf, nan = math.inf, math.nan
X = rng.uniform(0.2, 3, (3, 4)) * rng.choice([-1, 1], (3, 4))
Y = rng.uniform(0.2, 3, (3, 4)) * rng.choice([-1, 1], (3, 4))
EDGES = np.array([0.0, -0.0, 1.0, -1.0, inf, -inf, nan])
WHOLE = np.array([[5, -3, 0, 7], [1, -1, 2, -8]])
FAR = np.array([0, 1, 70, -1])
SMALL = np.array([200, 1, 0, 255], "uint8")
PAIRS = (
    np.array([0.0, 0.0, 0.0, -0.0, inf, -inf, nan, -1.0, 2.0]),
    np.array([0.0, -0.0, 1.0, -2.0, -inf, 3.0, 1.0, nan, -0.0]),
)


def step(x, v):
    return 1.0 if x > 0 else v if x == 0 else 0.0


def left(a, b):
    wide = (int(a) << int(b)) % 2**64 if 0 <= b < 64 else 0
    return wide - 2**64 if wide >= 2**63 else wide


def right(a, b):
    return int(a) >> int(b) if 0 <= b < 64 else (-1 if a < 0 else 0)


def of_both(function):
    def loop(*inputs):
        arrays = np.broadcast_arrays(*inputs)
        flat = zip(*(a.ravel() for a in arrays), strict=True)
        return np.array([function(*values) for values in flat]).reshape(arrays[0].shape)

    return loop


CASES = [
    *(
        Case(op, (a, b), reference=of_both(f), torch=t)
        for op, f, t in (
            (signs.Copysign, math.copysign, torch.copysign),
            (compound.Hypot, math.hypot, torch.hypot),
        )
        for a, b in ((X, Y), (X, Y[0]), (X[:, :1], Y), (X, Y[0, 0]))
    ),
    Case(signs.Copysign, PAIRS, torch=torch.copysign, order=0, name="edges"),
    Case(compound.Hypot, PAIRS, torch=torch.hypot, order=0, name="edges"),
    *(
        Case(
            lambda x, n=n: tg.copysign(x, n),
            (X,),
            torch=lambda x, n=n: torch.copysign(x, n),
            name=f"{n}",
        )
        for n in (-1, -0.0, 2.5)
    ),
    Case(signs.Heaviside, (X, Y), reference=of_both(step), torch=None),
    Case(signs.Heaviside, (X, Y[0]), reference=of_both(step)),
    Case(
        signs.Heaviside,
        (EDGES, np.full(7, 0.5)),
        torch=torch.heaviside,
        order=0,
        diff=(),
        name="edges",
    ),
    Case(
        signs.Heaviside,
        (EDGES, np.arange(7.0)),
        reference=of_both(step),
        gradient=lambda g, x, v: (0 * g, g * (x == 0)),
        order=0,
        name="gradients at 0",
    ),
    Case(lambda x: tg.heaviside(x, 0.5), (X,), reference=lambda x: of_both(step)(x, 0.5)),
    *(
        Case(f, (EDGES,), torch=t, order=0, diff=(), name="edges")
        for f, t in (
            (tg.signbit, torch.signbit),
            (tg.isposinf, torch.isposinf),
            (tg.isneginf, torch.isneginf),
            (tg.sgn, torch.sgn),
        )
    ),
    Case(signs.SignBit, (X,), reference=lambda x: x < 0),
    Case(signs.IsPosInf, (X,), reference=lambda x: x > 9),
    Case(signs.IsNegInf, (X,), reference=lambda x: x > 9),
    Case(tg.sgn, (X,), reference=naive(lambda v: (v > 0) - (v < 0))),
    Case(lambda x: tg.positive(x) * 1, (X,), reference=lambda x: x, torch=torch.positive),
    *(
        Case(op, (a, b), reference=of_both(f), torch=t, order=0)
        for op, f, t in (
            (shift.BitwiseLeftShift, left, torch.bitwise_left_shift),
            (shift.BitwiseRightShift, right, torch.bitwise_right_shift),
        )
        for a, b in ((WHOLE, np.arange(4)), (WHOLE, np.full((2, 4), 3)), (WHOLE, FAR))
    ),
    *(
        Case(f, (SMALL, np.array([1, 7, 9, 8], "uint8")), torch=t, order=0, name="uint8")
        for f, t in (
            (tg.bitwise_left_shift, torch.bitwise_left_shift),
            (tg.bitwise_right_shift, torch.bitwise_right_shift),
        )
    ),
    *(
        Case(f, (X,), reference=lambda x, c=c: x * c, torch=t)
        for f, t, c in (
            (tg.deg2rad, torch.deg2rad, math.pi / 180),
            (tg.rad2deg, torch.rad2deg, 180 / math.pi),
        )
    ),
    Case(
        tg.float_power,
        (abs(X), Y),
        reference=of_both(lambda a, b: a**b),
        torch=torch.float_power,
        skip={"float32": "it computes in float64"},
    ),
    Case(
        lambda x: tg.float_power(2, x),
        (X,),
        torch=lambda x: torch.float_power(2, x),
        skip={"float32": "it computes in float64"},
    ),
    Case(
        lambda x: tg.float_power(x, 3),
        (X,),
        torch=lambda x: torch.float_power(x, 3),
        skip={"float32": "it computes in float64"},
        name="cube",
    ),
    *(
        Case(
            f,
            (X, Y, Y[0] + 4),
            kwargs={"value": v},
            reference=of_both(lambda a, b, c, d=d, v=v: a + v * d(b, c)),
            torch=lambda a, b, c, t=t, v=v: t(a, b, c, value=v),
            name=f"{v}",
        )
        for f, t, d in (
            (tg.addcmul, torch.addcmul, lambda b, c: b * c),
            (tg.addcdiv, torch.addcdiv, lambda b, c: b / c),
        )
        for v in (1, 0.5, -2)
    ),
    Case(
        tg.addcdiv, (EDGES, EDGES, EDGES[::-1].copy()), torch=torch.addcdiv, order=0, name="edges"
    ),
    Case(tg.ldexp, (X, Y), reference=of_both(lambda a, b: a * 2**b), torch=torch.ldexp),
    # PyTorch's gradient takes 2^-1 of integers for 0
    Case(
        tg.ldexp,
        (X, WHOLE[0]),
        reference=of_both(lambda a, b: a * 2.0**b),
        torch=lambda a, b: torch.ldexp(a, b.double()),
    ),
    Case(tg.ldexp, (EDGES, np.arange(7)), torch=torch.ldexp, order=0, name="edges"),
]

BAD = [
    *(
        Bad(f, (X, np.zeros(3)), error=ShapeError, match="broadcast")
        for f in (tg.copysign, tg.hypot, tg.heaviside)
    ),
    *(
        Bad(f, (X, None), error=DTypeError, match="cannot compute with None")
        for f in (tg.copysign, tg.hypot, tg.heaviside)
    ),
    *(
        Bad(f, ("a",), error=DTypeError, match="input must be .*, not str 'a'")
        for f in (tg.signbit, tg.isposinf, tg.isneginf, tg.positive)
    ),
    Bad(tg.positive, (X > 0,), error=DTypeError, match="bool has no sign"),
    *(
        Bad(f, arguments, error=error, match=match)
        for f in (tg.bitwise_left_shift, tg.bitwise_right_shift)
        for arguments, error, match in (
            ((X, 1), DTypeError, "not in float64"),
            ((WHOLE, 1.0), DTypeError, "not in float32"),
            ((WHOLE > 0, WHOLE > 0), DTypeError, "not in bool"),
            ((WHOLE, np.zeros(3, int)), ShapeError, "broadcast"),
        )
    ),
    Bad(tg.addcmul, (X, Y, np.zeros(3)), error=ShapeError, match="broadcast"),
    Bad(tg.addcmul, (X, Y, 2.0), error=DTypeError, match="tensor2 must be a tensor"),
    Bad(tg.addcmul, (X, Y, Y), {"value": "a"}, error=DTypeError, match="value must be a number"),
    Bad(tg.addcmul, (WHOLE,) * 3, {"value": math.nan}, error=ArgumentError, match="whole number"),
    Bad(tg.addcdiv, (X, WHOLE[0], WHOLE[0]), error=DTypeError, match="quotient of integers"),
    Bad(tg.addcdiv, (X, 1.0, Y), error=DTypeError, match="tensor1 must be a tensor"),
    Bad(tg.ldexp, (X, "a"), error=DTypeError, match="other must be"),
    Bad(tg.float_power, (X, "a"), error=DTypeError, match="exponent must be"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_shifts_by_the_signs_of_python():
    x, theirs = tg.tensor(WHOLE), torch.tensor(WHOLE)
    assert (x << 2).tolist() == (theirs << 2).tolist()
    assert (x >> 1).tolist() == (theirs >> 1).tolist()
    assert (3 << tg.tensor([1, 2])).tolist() == [6, 12]
    assert (100 >> tg.tensor([1, 2])).tolist() == [50, 25]
    small = tg.tensor([-100], dtype="int8")
    assert [(small >> 9).tolist(), (small << 1).tolist()] == [[-1], [56]]
    assert (small >> 9).dtype == "int8"
    y = x
    y <<= 1
    assert y.tolist() == (theirs << 1).tolist()


def test_a_bool_is_shifted_as_an_integer_by_an_integer():
    assert (tg.tensor([True, False]) << 1).tolist() == [2, 0]


@pytest.mark.parametrize("name", ["signbit", "isposinf", "isneginf", "sgn", "deg2rad", "rad2deg"])
def test_integers_and_bool(name):
    for values in ([-2, 0, 2], [True, False]):
        y, theirs = getattr(tg, name)(tg.tensor(values)), getattr(torch, name)(torch.tensor(values))
        assert str(theirs.dtype) == f"torch.{y.dtype}"
        np.testing.assert_allclose(y.numpy(), theirs.numpy(), rtol=1e-6)


def test_integers_become_floats():
    x = tg.tensor([-3, 4])
    assert tg.copysign(x, -1).tolist() == [-3.0, -4.0]
    assert tg.hypot(x, 4).dtype == tg.ldexp(x, x).dtype == "float32"
    assert tg.ldexp(tg.tensor([1.0], dtype="float64"), tg.tensor([200])).item() == 2.0**200
    assert tg.ldexp(tg.tensor([1.5]), 3).tolist() == [12.0]
    assert tg.ldexp(1.5, tg.tensor([3])).tolist() == [12.0]
    assert tg.heaviside(x, 1).dtype == "int64"
    assert tg.addcmul(x, x, x, value=2).tolist() == [15, 36]
    assert tg.addcmul(x, tg.tensor([0.5, 1.0]), x).dtype == "float32"


def test_hypot_does_not_overflow_on_the_way():
    assert tg.hypot(tg.tensor([3e200], dtype="float64"), 4e200).item() == pytest.approx(5e200)
    assert tg.hypot(tg.tensor([3e30]), tg.tensor([4e30])).item() == pytest.approx(5e30)


def test_float_power_is_in_float64():
    for base, exponent in ((tg.tensor([1.5]), 2), (tg.tensor([2]), -1), (2, tg.tensor([3]))):
        assert tg.float_power(base, exponent).dtype == "float64"
    x = tg.tensor([1.5], requires_grad=True)
    tg.float_power(x, 3).backward(tg.ones(1, dtype="float64"))
    assert (x.grad.dtype, x.grad.tolist()) == ("float32", [6.75])


def test_positive_is_the_input_itself():
    x = tg.tensor([1.0])
    assert tg.positive(x) is x


ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "fix": "trunc", "greater": "gt",
    "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne",
}  # fmt: skip


@pytest.mark.parametrize("name", ALIASES)
def test_second_names(name):
    assert hasattr(torch, name)
    assert hasattr(torch.Tensor, name)
    x = tg.tensor([0.5, -1.5, 1.5], dtype="float64")
    arguments = (0.5,) if ALIASES[name] in ("gt", "ge", "lt", "le", "ne") else ()
    arguments = (x,) if name == "arctan2" else arguments
    found, expected = getattr(x, name)(*arguments), getattr(x, ALIASES[name])(*arguments)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    np.testing.assert_array_equal(getattr(tg, name)(x, *arguments).numpy(), expected.numpy())


def test_numpys_functions_of_these_names():
    x = tg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    other = np.array([3.0, 0.5])
    for name in ("hypot", "logaddexp", "logaddexp2", "copysign", "heaviside", "float_power"):
        y = getattr(np, name)(x * x, other)
        np.testing.assert_allclose(y.detach().numpy(), getattr(np, name)([1.0, 4.0], other))
        assert y.requires_grad
    for name in ("deg2rad", "rad2deg", "signbit", "positive", "sinc", "i0"):
        y = getattr(np, name)(x)
        np.testing.assert_allclose(y.detach().numpy(), getattr(np, name)([1.0, -2.0]))
    np.testing.assert_array_equal(np.left_shift(tg.tensor([1, 2]), 3).numpy(), [8, 16])
    np.testing.assert_array_equal(np.right_shift(tg.tensor([8, 2]), 1).numpy(), [4, 1])
