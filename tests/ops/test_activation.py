"""Activations and softmax: values by their definitions, kinks, far tails, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError
from tinygrad_cv.ops import softmax
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(4)
inf, nan = math.inf, math.nan
F, TF = tg.nn.functional, torch.nn.functional
X = rng.uniform(0.1, 3, (3, 4)) * rng.choice([-1, 1], (3, 4))
FAR = np.array([0.0, -0.0, 50.0, -50.0, 800.0, -800.0])
ENDS = np.array([inf, -inf, nan])


def naive(function):
    """A function of one number, applied to each element."""

    def loop(x):
        out = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            out[place] = function(float(x[place]))
        return out

    return loop


def normal_distribution(v):
    return 0.5 * (1 + math.erf(v / math.sqrt(2)))


def tanh_gelu(v):
    return v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


def softmax_loop(x, dim):
    rows = np.moveaxis(x, dim, -1)
    out = np.zeros(rows.shape)
    for place in np.ndindex(rows.shape[:-1]):
        powers = [math.exp(v) for v in rows[place]]
        out[place] = [p / sum(powers) for p in powers]
    return np.moveaxis(out, -1, dim)


# function, attributes, definition, PyTorch's
TABLE = [
    (F.relu, (), lambda v: max(v, 0), TF.relu),
    (F.leaky_relu, (), lambda v: v if v > 0 else 0.01 * v, TF.leaky_relu),
    (F.leaky_relu, (2.0,), lambda v: v if v > 0 else 2 * v, lambda x: TF.leaky_relu(x, 2.0)),
    (F.leaky_relu, (-0.5,), lambda v: v if v > 0 else -0.5 * v, lambda x: TF.leaky_relu(x, -0.5)),
    (F.elu, (), lambda v: v if v > 0 else math.expm1(v), TF.elu),
    (F.elu, (1.5,), lambda v: v if v > 0 else 1.5 * math.expm1(v), lambda x: TF.elu(x, 1.5)),
    (F.hardtanh, (), lambda v: min(max(v, -1), 1), TF.hardtanh),
    (F.hardtanh, (-0.3, 2.0), lambda v: min(max(v, -0.3), 2), lambda x: TF.hardtanh(x, -0.3, 2.0)),
    (F.relu6, (), lambda v: min(max(v, 0), 6), TF.relu6),
    (F.sigmoid, (), lambda v: 1 / (1 + math.exp(-v)), torch.sigmoid),
    (F.tanh, (), math.tanh, torch.tanh),
    (F.gelu, (), lambda v: v * normal_distribution(v), TF.gelu),
    (F.gelu, ("tanh",), tanh_gelu, lambda x: TF.gelu(x, approximate="tanh")),
    (F.silu, (), lambda v: v / (1 + math.exp(-v)), TF.silu),
    (F.softplus, (), lambda v: math.log1p(math.exp(v)), TF.softplus),
    (
        F.softplus,
        (2.0, 4.0),
        lambda v: v if 2 * v > 4 else math.log1p(math.exp(2 * v)) / 2,
        lambda x: TF.softplus(x, 2.0, 4.0),
    ),
]
KINKS = np.array([0.0, -1.0, 1.0, 6.0, 2.0, -0.3])

CASES = [
    *(Case(f, (X,), attrs=a, reference=naive(d), torch=t, name=f"{a}") for f, a, d, t in TABLE),
    *(
        Case(f, (X[0, 0],), attrs=a, reference=naive(d), torch=t, name=f"0-d {a}")
        for f, a, d, t in TABLE[:9]
    ),
    *(Case(f, (FAR,), attrs=a, torch=t, order=0, name=f"far {a}") for f, a, _, t in TABLE),
    *(Case(f, (KINKS,), attrs=a, torch=t, order=0, name=f"kinks {a}") for f, a, _, t in TABLE),
    *(
        Case(
            f,
            (ENDS,),
            attrs=a,
            torch=lambda x, t=t: t(x).detach(),
            order=0,
            diff=(),
            name=f"ends {a}",
        )
        for f, a, _, t in TABLE
    ),
    *(
        Case(
            softmax.Softmax,
            (x,),
            attrs=(dim,),
            reference=lambda x, d=dim: softmax_loop(x, d),
            torch=lambda x, d=dim: x.softmax(d),
        )
        for x, dim in (
            (X, 1),
            (X, 0),
            (rng.normal(size=(2, 3, 2, 2)), 1),
            (rng.normal(size=(1, 1)), 0),
        )
    ),
    *(
        Case(
            softmax.LogSoftmax,
            (x,),
            attrs=(dim,),
            reference=lambda x, d=dim: np.log(softmax_loop(x, d)),
            torch=lambda x, d=dim: x.log_softmax(d),
        )
        for x, dim in ((X, 1), (X, 0), (rng.normal(size=(2, 3, 2, 2)), 1))
    ),
    *(
        Case(
            f,
            (
                np.array(
                    [[1000.0, -1000.0, 0.0], [-inf, 0.0, 1.0], [-inf, -inf, -inf], [nan, 1.0, 2.0]]
                ),
            ),
            attrs=(1,),
            torch=lambda x, t=t: t(x, 1),
            order=0,
            name="edges",
        )
        for f, t in ((tg.softmax, torch.softmax), (tg.log_softmax, torch.log_softmax))
    ),
    *(
        Case(f, (np.array(2.0),), attrs=(0,), torch=lambda x, t=t: t(x, 0), name="0-d")
        for f, t in ((tg.softmax, torch.softmax), (tg.log_softmax, torch.log_softmax))
    ),
    *(
        Case(
            tg.logsumexp,
            (x,),
            attrs=(dim, keep),
            reference=lambda x, d=dim, k=keep: np.log(np.exp(x).sum(d, keepdims=k)),
            torch=lambda x, d=dim, k=keep: x.logsumexp(d, k),
        )
        for x, dim, keep in (
            (X, 1, False),
            (X, (0, 1), True),
            (rng.normal(size=(2, 3, 4)), (0, 2), False),
        )
    ),
    Case(tg.logsumexp, (X,), reference=lambda x: np.log(np.exp(x).sum()), name="all"),
    Case(
        tg.logsumexp,
        (np.array([[-inf, -inf], [inf, 1.0], [-inf, 1.0], [1000.0, 999.0], [nan, 0.0]]),),
        attrs=(1,),
        torch=lambda x: x.logsumexp(1),
        order=0,
        name="edges",
    ),
]

INTEGERS = np.arange(3)
BAD = [
    *(
        Bad(f, (INTEGERS,), error=DTypeError, match="floating")
        for f in (F.leaky_relu, F.elu, F.gelu, F.silu, F.softplus)
    ),
    Bad(F.relu, (INTEGERS > 1,), error=DTypeError, match="bool"),
    Bad(F.hardtanh, (INTEGERS > 1,), error=DTypeError, match="bool"),
    Bad(tg.softmax, (INTEGERS, 0), error=DTypeError, match="floating"),
    Bad(tg.softmax, (X,), error=ArgumentError, match="axis must be given"),
    Bad(tg.log_softmax, (X,), error=ArgumentError, match="axis must be given"),
    Bad(tg.softmax, (X, 2), error=RangeError, match="out of range"),
    Bad(tg.log_softmax, (X, -3), error=RangeError, match="out of range"),
    Bad(tg.logsumexp, (X, 2), error=RangeError, match="out of range"),
    Bad(F.gelu, (X, "erf"), error=ArgumentError, match="approximate"),
    Bad(F.hardtanh, (X, 1, -1), error=ArgumentError, match="above"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_third_order_of_smooth_activations():
    for f in (F.gelu, F.silu, F.softplus, F.sigmoid, F.tanh):
        check_case(
            Case(
                f, (X,), torch=getattr(torch, f.__name__, None) or getattr(TF, f.__name__), order=3
            )
        )


def test_infinite_gradients_do_not_pass_a_closed_relu():
    x = tg.tensor([-1.0, 1.0], requires_grad=True)
    F.relu(x).backward(tg.tensor([inf, inf]))
    assert x.grad.tolist() == [0.0, inf]


def test_in_place_writes_into_the_input():
    x = tg.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    z = F.relu(y, inplace=True)
    assert z is y
    z.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]
    assert y.tolist() == [0.0, 6.0]


def test_small_values_keep_their_relative_accuracy_in_float32():
    x = tg.tensor([-20.0, -50.0])
    exact = [math.exp(-20) / (1 + math.exp(-20)), math.exp(-50) / (1 + math.exp(-50))]
    assert F.sigmoid(x).tolist() == pytest.approx(exact, rel=1e-6)
    assert F.softplus(x).tolist() == pytest.approx(
        [math.log1p(math.exp(v)) for v in (-20, -50)], rel=1e-6
    )


def test_empty_softmax():
    assert tg.softmax(tg.zeros(0, 3), 0).shape == (0, 3)
    assert tg.log_softmax(tg.zeros(3, 0), 1).shape == (3, 0)
    assert tg.logsumexp(tg.zeros(3, 0), 1).tolist() == [-inf] * 3


def test_channels_last_memory_stays_channels_last():
    x = tg.tensor(rng.normal(size=(2, 8, 4, 4))).contiguous("channels_last")
    for f in (F.relu, F.leaky_relu, F.elu, F.sigmoid, F.tanh, F.gelu, F.silu, F.softplus, F.relu6):
        assert f(x).array.strides == x.array.strides, f.__name__
    assert tg.softmax(x, 1).array.strides == x.array.strides


def test_relu_hides_no_nan_in_its_gradient():
    values = np.array([nan, 0.0, -1.0, 2.0])
    x, theirs = tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    tg.relu(x).backward(tg.tensor([3.0, 3.0, 3.0, 3.0]))
    torch.relu(theirs).backward(torch.full((4,), 3.0, dtype=torch.float64))
    assert x.grad.tolist() == theirs.grad.tolist() == [3.0, 0.0, 0.0, 3.0]


@pytest.mark.parametrize("gradient", [2.0, nan, inf])
@pytest.mark.parametrize("name", ["hardtanh", "relu6", "elu", "leaky_relu", "relu"])
def test_the_gradient_at_nan_is_that_of_torch(name, gradient):
    values = np.array([nan, -9.0, 0.0, 0.5, 1.0, 6.0, 9.0])
    x, theirs = tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    getattr(F, name)(x).backward(tg.full((7,), gradient, dtype="float64"))
    getattr(torch.nn.functional, name)(theirs).backward(
        torch.full((7,), gradient, dtype=torch.float64)
    )
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize(("lo", "hi"), [(-1.0, 1.0), (0, 6), (-inf, 2.0)])
def test_hardtanh_of_integers_stays_integer(lo, hi):
    y = F.hardtanh(tg.tensor([-3, 0, 9]), lo, hi)
    assert y.dtype == "int64"
    assert y.tolist() == np.clip([-3, 0, 9], lo, hi).tolist()
