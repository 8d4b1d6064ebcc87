"""Special functions and functions made of logarithms: values, derivatives of every order, edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import torch

import tinygrad_cv as tg
from tests.ops.loops import naive
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops import special
from tinygrad_cv.ops.logarithm import LogAddExp, LogAddExp2, Logit, Xlogy
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(23)
inf, nan = math.inf, math.nan


def between(low, high, *shape):
    return rng.uniform(low, high, size=shape)


def polygamma(n):
    """The sum of its first terms and an integral for the rest."""

    def value(x):
        powers = [(x + k) ** -(n + 1) for k in range(2000)]
        rest = (x + 2000 - 0.5) ** -n / n  # midpoint rule
        return (-1) ** (n + 1) * math.factorial(n) * (math.fsum(powers) + rest)

    return value


def digamma(x):
    shifted = x + 30
    far = math.log(shifted) - 1 / (2 * shifted) - 1 / (12 * shifted**2) + 1 / (120 * shifted**4)
    return far - math.fsum(1 / (x + k) for k in range(30))


def bessel(order):
    """``1/pi integral_0^pi e^(x cos t) cos(order t) dt``."""

    def value(x):
        def wave(t):
            return math.exp(x * math.cos(t)) * math.cos(order * t)

        return scipy.integrate.quad(wave, 0, math.pi, epsabs=1e-13)[0] / math.pi

    return value


def erfinv(x):
    low, high = -6.0, 6.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < x else (low, middle)
    return low


def sinc(x):
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def sinc_derivative(order):
    """``integral_0^1 d^order/dx^order cos(pi x t) dt``."""

    def value(x):
        def wave(t):
            return (math.pi * t) ** order * math.cos(math.pi * (x * t + order / 2))

        return scipy.integrate.quad(wave, 0, 1, epsabs=1e-12, limit=200)[0]

    return value


def logit(x):
    return math.log(x) - math.log(1 - x)


def torch_polygamma(n):
    return lambda x: torch.polygamma(n, x)


# operator, the function of one number, PyTorch's, and a domain away from poles
TABLE = [
    (special.Erfc, math.erfc, torch.erfc, (-2, 2)),
    (special.Erfinv, erfinv, torch.erfinv, (-0.95, 0.95)),
    (special.Lgamma, math.lgamma, torch.lgamma, (0.2, 6)),
    (special.Lgamma, math.lgamma, torch.lgamma, (-1.8, -1.2)),
    (special.Digamma, digamma, torch.digamma, (0.3, 6)),
    (special.Digamma, digamma, torch.digamma, (-0.8, -0.2)),
    (special.BesselI0, bessel(0), torch.i0, (-6, 6)),
    (special.BesselI1, bessel(1), torch.special.i1, (-6, 6)),
    (tg.sinc, sinc, torch.sinc, (-4, 4)),
    (tg.logit, logit, torch.logit, (0.05, 0.95)),
]
EDGES = np.array([0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 800.0, -800.0])
ODDS = np.array([nan, -1.0, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 2.0])
PAIRS = (
    np.array([0.0, 0.0, 0.0, inf, -inf, nan, -1.0, 2.0, 0.0, 800.0, -inf]),
    np.array([0.0, -1.0, nan, inf, -inf, 1.0, 2.0, 0.0, 3.0, -800.0, 2.0]),
)
DERIVATIVES = np.array([-3.3, -1.0, -0.4, -1e-3, 0.0, 1e-9, 0.1, 0.31, 0.33, 0.63, 0.65, 1.5, 7.0])
BINARY = [
    (LogAddExp, lambda a, b: math.log(math.exp(a) + math.exp(b)), torch.logaddexp),
    (LogAddExp2, lambda a, b: math.log2(2**a + 2**b), torch.logaddexp2),
    (Xlogy, lambda a, b: a * math.log(b), torch.xlogy),
]
LEFT, RIGHT = between(-2, 2, 3, 4), between(0.2, 3, 3, 4)

CASES = [
    *(
        Case(op, (between(*d, 3, 4),), reference=naive(f), torch=t, name=f"{d}", rtol=1e-9)
        for op, f, t, d in TABLE
    ),
    *(
        Case(op, (between(*d),), reference=naive(f), torch=t, name=f"0-d {d}", rtol=1e-9)
        for op, f, t, d in TABLE
    ),
    *(
        Case(op, (between(*d, 2, 3, 2, 2),), reference=naive(f), name=f"image {d}", rtol=1e-9)
        for op, f, _, d in TABLE[:1] + TABLE[-2:]
    ),
    *(
        Case(op, (EDGES,), torch=t, order=0, name="edges", diff=())
        for op, t in (
            (tg.erfc, torch.erfc),
            (tg.erfinv, torch.erfinv),
            (tg.lgamma, torch.lgamma),
            (tg.digamma, torch.digamma),
            (tg.logit, torch.logit),
        )
    ),
    Case(tg.i0, (EDGES[[0, 1, 2, 3, 6]],), torch=torch.i0, order=0, name="edges"),
    *(
        Case(
            special.Polygamma,
            (between(*d, 3, 4),),
            attrs=(n,),
            reference=naive(polygamma(n)),
            torch=torch_polygamma(n),
            name=f"{n} {d}",
            rtol=1e-7,
        )
        for n in (1, 2, 3)
        for d in ((0.5, 4), (-0.8, -0.2))
    ),
    Case(tg.polygamma, (0, between(0.3, 6, 3)), reference=lambda n, x: naive(digamma)(x)),
    Case(
        tg.polygamma,
        (5, between(0.5, 3, 3)),
        reference=lambda n, x: naive(polygamma(5))(x),
        torch=torch.polygamma,
        rtol=1e-8,
    ),
    *(
        Case(
            special.Sinc,
            (DERIVATIVES,),
            attrs=(n,),
            reference=naive(sinc_derivative(n)),
            name=f"derivative {n}",
            rtol=1e-8,
        )
        for n in range(5)
    ),
    Case(tg.sinc, (np.array([0.0, 1.0, -0.0, 2.0]),), torch=torch.sinc, order=1, name="zeros"),
    Case(tg.sinc, (EDGES[:7],), torch=torch.sinc, order=0, name="edges"),
    *(
        Case(Logit, (between(0.15, 0.85, 3, 4),), attrs=(e,), reference=naive(logit), name=f"{e}")
        for e in (None, 0.1)
    ),
    *(
        Case(
            tg.logit,
            (ODDS,),
            attrs=(e,),
            torch=lambda x, e=e: torch.logit(x, e),
            order=0,
            name=f"odds {e}",
        )
        for e in (None, -1.0, 0.0, 0.1, 0.7, 1.5)
    ),
    *(
        Case(op, (a, b), reference=np.vectorize(f), torch=t)
        for op, f, t in BINARY
        for a, b in ((LEFT, RIGHT), (LEFT, RIGHT[0]), (LEFT[:, :1], RIGHT), (LEFT, RIGHT[0, 0]))
    ),
    *(Case(op, PAIRS, torch=t, order=0, name="edges") for op, _, t in BINARY),
    *(
        Case(
            lambda x, n=n: tg.xlogy(x, n),
            (np.array([0.0, -1.0, 2.0]),),
            order=0,
            torch=lambda x, n=n: torch.xlogy(x, n),
            name=f"number {n}",
        )
        for n in (0.0, -1.0, 2.0)
    ),
    Case(lambda x: tg.xlogy(2.0, x), (RIGHT,), torch=lambda x: torch.xlogy(2.0, x), name="of 2"),
    Case(lambda x: tg.xlogy(x, 3), (LEFT,), torch=lambda x: torch.xlogy(x, 3), name="log 3"),
    Case(
        lambda x: tg.logaddexp(x, 1.0),
        (LEFT,),
        reference=lambda x: np.log(np.exp(x) + math.e),
        name="with 1",
    ),
]

NUMBERLESS = ("digamma", "erfc", "erfinv", "i0", "lgamma", "logit", "sinc")
BAD = [
    *(
        Bad(getattr(tg, name), ("a",), error=DTypeError, match="input must be .*, not str 'a'")
        for name in NUMBERLESS
    ),
    Bad(tg.polygamma, (-1, LEFT), error=ArgumentError, match="at least 0, it is -1"),
    Bad(tg.polygamma, (1.5, LEFT), error=DTypeError, match="whole number, not 1.5"),
    Bad(tg.polygamma, (1, "a"), error=DTypeError, match="input must be .*, not str 'a'"),
    Bad(tg.logit, (LEFT, "a"), error=DTypeError, match="eps must be a number"),
    *(
        Bad(f, (LEFT, np.zeros(3)), error=ShapeError, match="broadcast")
        for f in (tg.logaddexp, tg.logaddexp2, tg.xlogy)
    ),
    *(
        Bad(f, (LEFT, None), error=DTypeError, match="cannot compute with None")
        for f in (tg.logaddexp, tg.logaddexp2, tg.xlogy)
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("name", ["erfc", "erfinv", "lgamma", "digamma", "i0", "sinc", "logit"])
def test_integers_become_floats(name):
    x = [1, 0]
    y, theirs = getattr(tg, name)(tg.tensor(x)), getattr(torch, name)(torch.tensor(x))
    assert y.dtype == "float32"
    np.testing.assert_allclose(y.numpy(), theirs.numpy(), rtol=1e-6)
    assert getattr(tg.tensor(x), name)().tolist() == y.tolist()
    assert getattr(tg, name)(tg.tensor([True])).dtype == "float32"


def test_polygamma_as_a_method():
    x = tg.tensor([1.0, 2.5])
    assert x.polygamma(2).tolist() == tg.polygamma(2, x).tolist()
    assert tg.polygamma(np.int64(1), x).tolist() == x.polygamma(1).tolist()
    assert tg.polygamma(171, x).isfinite().tolist() == [False, False]  # 171! is above all floats


@pytest.mark.parametrize("at", [-0.9999999, 0.0, 1e-30, 1e-5, 1.0])
def test_every_derivative_of_i0_near_zero(at):
    """By the series ``sum_k (x/2)^2k / k!^2``, derived term by term."""
    x = tg.tensor(at, dtype="float64", requires_grad=True)
    value = tg.i0(x)
    for order in range(1, 6):
        (value,) = tg.autograd.grad(value, [x], create_graph=True)
        terms = [
            math.perm(2 * k, order) * at ** (2 * k - order) / (4**k * math.factorial(k) ** 2)
            for k in range((order + 1) // 2, 30)
        ]
        assert value.item() == pytest.approx(math.fsum(terms), rel=1e-9, abs=1e-12)


def test_every_derivative_of_sinc_at_zero():
    x = tg.zeros(1, dtype="float64", requires_grad=True)
    value = tg.sinc(x).sum()
    for order in range(1, 7):
        (slope,) = tg.autograd.grad(value, [x], create_graph=True)
        value = slope.sum()
        expected = 0 if order % 2 else (-1) ** (order // 2) * math.pi**order / (order + 1)
        assert value.item() == pytest.approx(expected, abs=1e-12)


def test_precision_in_float32():
    x = np.linspace(0.1, 9, 301)
    for name in ("erfc", "gammaln", "digamma", "i0"):
        ours = getattr(tg, {"gammaln": "lgamma"}.get(name, name))(tg.tensor(x, dtype="float32"))
        exact = getattr(scipy.special, name)(x.astype("f4").astype("f8"))
        np.testing.assert_allclose(ours.numpy(), exact, rtol=2e-6, atol=1e-6)


def test_sums_in_the_logarithm_do_not_overflow():
    x = tg.tensor([1000.0, -1000.0], requires_grad=True)
    y = tg.logaddexp(x, x)
    assert y.tolist() == pytest.approx([1000 + math.log(2), -1000 + math.log(2)])
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
