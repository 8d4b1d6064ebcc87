"""Rectifiers with another left half: values by their definitions, kinks, draws, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.loops import naive
from tinygrad_cv.backend.random import uniform
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.rectifier import Prelu, Rrelu
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(21)
inf, nan = math.inf, math.nan
F, TF = tg.nn.functional, torch.nn.functional
X = rng.uniform(0.1, 3, (3, 4)) * rng.choice([-1, 1], (3, 4))
IMAGE = rng.uniform(0.1, 3, (2, 6, 3, 2)) * rng.choice([-1, 1], (2, 6, 3, 2))
FAR = np.array([0.0, -0.0, 50.0, -50.0, 800.0, -800.0])
KINKS = np.array([0.0, 1.0, -1.0, 0.5])
ENDS = np.array([inf, -inf, nan])
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


def distinct(*shape):
    return rng.permutation(math.prod(shape)).reshape(shape) * 1.0


# function, attributes, definition, PyTorch's
TABLE = [
    (F.selu, (), lambda v: SCALE * (v if v > 0 else ALPHA * math.expm1(v)), TF.selu),
    (F.celu, (), lambda v: v if v > 0 else math.expm1(v), TF.celu),
    (F.celu, (0.5,), lambda v: v if v > 0 else 0.5 * math.expm1(2 * v), lambda x: TF.celu(x, 0.5)),
    (
        F.celu,
        (-2.0,),
        lambda v: v if v > 0 else -2 * math.expm1(v / -2),
        lambda x: TF.celu(x, -2.0),
    ),
    (
        F.threshold,
        (1.0, -2.5),
        lambda v: v if v > 1 else -2.5,
        lambda x: TF.threshold(x, 1.0, -2.5),
    ),
    (
        F.rrelu,
        (0.1, 0.3),
        lambda v: v if v > 0 else 0.2 * v,
        lambda x: TF.rrelu(x, 0.1, 0.3),
    ),
    (F.rrelu, (), lambda v: v if v > 0 else 11 / 48 * v, TF.rrelu),
]


def prelu_loop(x, w):
    out = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        slope = w.reshape(-1)[place[1] if w.size > 1 else 0]
        out[place] = x[place] if x[place] > 0 else slope * x[place]
    return out


def maxout_loop(size, dim=1):
    def loop(x):
        rows = np.moveaxis(x, dim, -1)
        out = np.zeros((*rows.shape[:-1], rows.shape[-1] // size))
        for place in np.ndindex(out.shape):
            first = place[-1] * size
            out[place] = max(rows[place[:-1]][first : first + size])
        return np.moveaxis(out, -1, dim)

    return loop


def torch_maxout(size, dim=1):
    return lambda x: x.unflatten(dim, (-1, size)).max(dim % x.ndim + 1).values


def sloped(lower, upper, key):
    """With the slopes that the stream has for the key."""

    def loop(x):
        drawn, out = uniform(key, x.shape), np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            slope = lower + (upper - lower) * float(drawn[place])
            out[place] = slope * x[place] if x[place] <= 0 else x[place]
        return out

    return loop


CASES = [
    *(Case(f, (X,), attrs=a, reference=naive(d), torch=t, name=f"{a}") for f, a, d, t in TABLE),
    *(Case(f, (IMAGE,), attrs=a, reference=naive(d), name=f"{a}") for f, a, d, _ in TABLE[:3]),
    *(
        Case(f, (X[0, 0],), attrs=a, reference=naive(d), torch=t, name=f"0-d {a}")
        for f, a, d, t in TABLE
    ),
    *(Case(f, (FAR,), attrs=a, torch=t, order=0, name=f"far {a}") for f, a, _, t in TABLE),
    *(Case(f, (KINKS,), attrs=a, torch=t, order=0, name=f"kinks {a}") for f, a, _, t in TABLE),
    *(
        Case(f, (ENDS,), attrs=a, torch=t, order=0, diff=(), name=f"ends {a}")
        for f, a, _, t in TABLE
    ),
    *(
        Case(F.prelu, (x, w), reference=prelu_loop, torch=TF.prelu)
        for x, w in (
            (X, np.array([0.25])),
            (X, np.array(0.25)),
            (X, rng.normal(size=4)),
            (X[0], np.array([1.75])),
            (X[0, 0], np.array(-0.5)),
            (X[0, 0], np.array([-0.5])),
            (IMAGE, rng.normal(size=6)),
            (IMAGE, rng.normal(size=1)),
            (IMAGE[0], rng.normal(size=3)),
        )
    ),
    Case(F.prelu, (KINKS, np.array([0.25])), torch=TF.prelu, order=0, name="kinks"),
    Case(F.prelu, (ENDS, np.array([0.25])), torch=TF.prelu, order=0, name="ends"),
    Case(Prelu, (IMAGE, rng.normal(size=(1, 6, 1, 1))), reference=prelu_loop),
    *(
        Case(F.maxout, (x,), attrs=a, reference=maxout_loop(*a), torch=torch_maxout(*a))
        for x, a in (
            (distinct(3, 12), (2,)),
            (distinct(3, 12), (1,)),
            (distinct(3, 12), (12, -1)),
            (distinct(6, 6), (3, 0)),
            (distinct(2, 6, 3, 2), (3,)),
            (distinct(6), (2, 0)),
        )
    ),
    Case(
        F.maxout,
        (np.array([[1.0, 1.0, nan, nan, 2.0, nan, inf, -inf]]),),
        attrs=(2,),
        torch=torch_maxout(2),
        order=0,
        name="ties and NaN",
    ),
    Case(Rrelu, (X,), attrs=(0.1, 0.9, (3, 5)), reference=sloped(0.1, 0.9, (3, 5))),
    Case(Rrelu, (IMAGE,), attrs=(-0.5, 0.5, (3, 6)), reference=sloped(-0.5, 0.5, (3, 6))),
    Case(
        F.rrelu,
        (X,),
        kwargs={"training": True},
        reference=sloped(1 / 8, 1 / 3, (0, 0)),
        name="training",
    ),
    Case(
        F.rrelu,
        (X,),
        attrs=(0.25, 0.25),
        kwargs={"training": True},
        torch=lambda x: TF.rrelu(x, 0.25, 0.25, training=True),
        name="one slope",
    ),
    Case(
        F.rrelu,
        (np.concatenate([ENDS, KINKS]),),
        attrs=(0.25, 0.25, True),
        torch=lambda x: TF.rrelu(x, 0.25, 0.25, training=True),
        order=0,
        name="ends",
    ),
]

INTEGERS, ONE = np.arange(3), np.ones(1)
BAD = [
    *(Bad(f, (INTEGERS,), error=DTypeError, match="floating") for f in (F.selu, F.celu, F.rrelu)),
    Bad(F.threshold, (INTEGERS > 1, 0, 1), error=DTypeError, match="bool"),
    Bad(F.threshold, (X, "a", 1.0), error=DTypeError, match="threshold must be a number"),
    Bad(F.celu, (X, 0), error=ArgumentError, match="alpha must not be 0"),
    Bad(F.celu, (X, "a"), error=DTypeError, match="alpha must be a number"),
    Bad(F.prelu, (INTEGERS, INTEGERS[:1]), error=DTypeError, match="floating"),
    Bad(F.prelu, (X, ONE.astype("f4")), error=DTypeError, match="float64 and float32"),
    Bad(F.prelu, (X, 0.5), error=DTypeError, match="weight must be a tensor"),
    Bad(F.prelu, (X, np.ones(3)), error=ShapeError, match="each of 4 channels"),
    Bad(F.prelu, (X, np.ones((1, 4))), error=ShapeError, match="each of 4 channels"),
    Bad(F.prelu, (X[0], np.ones(4)), error=ShapeError, match="each of 1 channels"),
    Bad(F.prelu, (X, np.ones(0)), error=ShapeError, match="each of 4 channels"),
    Bad(Prelu, (X, np.ones(3)), error=ShapeError, match="broadcast"),
    Bad(F.rrelu, (X, 0.5, 0.1), error=ArgumentError, match="in order, they are 0.5 and 0.1"),
    Bad(F.rrelu, (X, 0.1, inf), error=ArgumentError, match="finite"),
    Bad(F.rrelu, (X, nan, 1.0), error=ArgumentError, match="finite"),
    Bad(F.rrelu, (X, "a"), error=DTypeError, match="lower must be a number"),
    Bad(F.maxout, (X, 3), error=ShapeError, match="does not divide the 4 channels"),
    Bad(F.maxout, (X, 8), error=ShapeError, match="does not divide the 4 channels"),
    Bad(F.maxout, (X, 0), error=ArgumentError, match="at least 1"),
    Bad(F.maxout, (X, 1.5), error=DTypeError, match="whole number"),
    Bad(F.maxout, (X, 2, 2), error=RangeError, match="out of range"),
    Bad(F.maxout, (X[0, 0], 1, 0), error=ShapeError, match="no axis"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_third_order_of_the_smooth_parts():
    for f in (F.selu, F.celu):
        check_case(Case(f, (X,), torch=getattr(TF, f.__name__), order=3))


@pytest.mark.parametrize("gradient", [2.0, nan, inf])
@pytest.mark.parametrize("name", ["selu", "celu"])
def test_the_gradient_at_nan_is_that_of_torch(name, gradient):
    values = np.array([nan, -9.0, 0.0])  # of few numbers: PyTorch's vectors differ in NaN
    x, theirs = tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    getattr(F, name)(x).backward(tg.full((3,), gradient, dtype="float64"))
    getattr(TF, name)(theirs).backward(torch.full((3,), gradient, dtype=torch.float64))
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize(
    "function",
    [F.selu, F.celu, F.rrelu, lambda x, inplace: F.threshold(x, 1.0, 2.0, inplace)],
)
def test_in_place_writes_into_the_input(function):
    x = tg.tensor([-1.0, 2.0], requires_grad=True)
    y, z = x * 3, x * 3
    assert function(y, inplace=True) is y
    assert y.tolist() == function(z, inplace=False).tolist()
    y.sum().backward()
    (expected,) = tg.autograd.grad(function(z, inplace=False).sum(), [x])
    assert x.grad.tolist() == expected.tolist()


def test_threshold_of_integers_stays_integer():
    x = [-2, 0, 1, 5]
    y, theirs = F.threshold(tg.tensor(x), 0.5, 1.5), TF.threshold(torch.tensor(x), 0.5, 1.5)
    assert y.dtype == "int64"
    assert y.tolist() == theirs.tolist()


def test_the_gradient_at_zero():
    found = {}
    for name in ("selu", "celu"):
        x = tg.zeros(1, dtype="float64", requires_grad=True)
        getattr(F, name)(x).backward()
        found[name] = x.grad.item()
    assert found == {"selu": pytest.approx(1.7580993408473766), "celu": 1.0}


def test_slopes_are_uniform_and_the_same_in_every_layout_and_dtype():
    x = tg.full((8, 3, 20, 20), -1.0)
    y = F.rrelu(x, 0.2, 0.6, True, generator=tg.Generator(5))
    assert (y.numpy() <= -0.2).all()
    assert (y.numpy() >= -0.6).all()
    assert y.mean().item() == pytest.approx(-0.4, abs=0.01)
    assert y.std().item() == pytest.approx(0.4 / math.sqrt(12), abs=0.005)
    last = F.rrelu(x.contiguous("channels_last"), 0.2, 0.6, True, generator=tg.Generator(5))
    assert (y.numpy() == last.numpy()).all()
    double = F.rrelu(x.double(), 0.2, 0.6, True, generator=tg.Generator(5))
    np.testing.assert_allclose(y.numpy(), double.numpy(), rtol=1e-6)


def test_slopes_come_from_the_stream():
    x = tg.full((100,), -1.0)
    tg.manual_seed(3)
    first, second = F.rrelu(x, training=True), F.rrelu(x, training=True)
    tg.manual_seed(3)
    assert (F.rrelu(x, training=True).numpy() == first.numpy()).all()
    assert (first.numpy() != second.numpy()).any()
    generator = tg.Generator(0)
    F.rrelu(x, training=False, generator=generator)
    F.rrelu(x.to("meta"), training=True, generator=generator)
    assert generator.get_state().tolist() == [0, 0]


def test_channels_last_memory_stays_channels_last():
    x = tg.tensor(rng.normal(size=(2, 8, 4, 4))).contiguous("channels_last")
    for f in (
        F.selu,
        F.celu,
        lambda x: F.threshold(x, 0.0, 1.0),
        lambda x: F.prelu(x, tg.ones(8, dtype="float64")),
        lambda x: F.rrelu(x, training=True),
        F.rrelu,
    ):
        assert f(x).array.strides == x.array.strides
    pooled = F.maxout(x, 2)
    assert pooled.array.strides == pooled.contiguous("channels_last").array.strides


def test_no_channel_and_no_image():
    assert F.maxout(tg.zeros(0, 6), 3).shape == (0, 2)
    assert F.maxout(tg.zeros(2, 0), 3).shape == (2, 0)
    assert F.prelu(tg.zeros(2, 0), tg.zeros(0)).shape == (2, 0)
    w = tg.ones(3, requires_grad=True)
    F.prelu(tg.zeros(0, 3), w).sum().backward()
    assert w.grad.tolist() == [0.0] * 3
