"""Gates and shrinking functions: values by their definitions, kinks, far tails, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.loops import naive
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(22)
inf, nan = math.inf, math.nan
F, TF = tg.nn.functional, torch.nn.functional
X = rng.uniform(0.6, 2.9, (3, 4)) * rng.choice([-1, 1], (3, 4))
WIDE = np.concatenate([X, X * 2, X / 10])
IMAGE = rng.normal(size=(2, 3, 4, 2))
FAR = np.array([0.0, -0.0, 50.0, -50.0, 800.0, -800.0])
KINKS = np.array([3.0, -3.0, 0.5, -0.5, 1.0, -1.0, 0.0])
ENDS = np.array([inf, -inf, nan])


def hard_gate(v):
    return min(max(v + 3, 0), 6) / 6


def mish(v):
    return v * math.tanh(math.log1p(math.exp(v)))


def log_sigmoid(v):
    return -math.log(1 + math.exp(-v))


def hard_shrink(bound):
    return lambda v: v if abs(v) > bound else 0.0


def soft_shrink(bound):
    return lambda v: math.copysign(max(abs(v) - bound, 0), v)


# function, attributes, definition, PyTorch's
TABLE = [
    # PyTorch's own gradient takes 1/6 in float32
    (F.hardsigmoid, (), hard_gate, lambda x: TF.relu6(x + 3) / 6),
    (F.hardswish, (), lambda v: v * hard_gate(v), TF.hardswish),
    (F.mish, (), mish, TF.mish),
    (F.logsigmoid, (), log_sigmoid, TF.logsigmoid),
    (F.softsign, (), lambda v: v / (1 + abs(v)), TF.softsign),
    (F.tanhshrink, (), lambda v: v - math.tanh(v), TF.tanhshrink),
    (F.hardshrink, (), hard_shrink(0.5), TF.hardshrink),
    (F.hardshrink, (1.5,), hard_shrink(1.5), lambda x: TF.hardshrink(x, 1.5)),
    (F.hardshrink, (-1.0,), lambda v: v, lambda x: TF.hardshrink(x, -1.0)),
    (F.softshrink, (), soft_shrink(0.5), TF.softshrink),
    (F.softshrink, (1.5,), soft_shrink(1.5), lambda x: TF.softshrink(x, 1.5)),
    (F.softshrink, (0.0,), lambda v: v, lambda x: TF.softshrink(x, 0.0)),
]
SMOOTH = [F.mish, F.logsigmoid, F.softsign, F.tanhshrink]


def glu_loop(dim):
    def loop(x):
        rows = np.moveaxis(x, dim, -1)
        half = rows.shape[-1] // 2
        out = np.zeros((*rows.shape[:-1], half))
        for place in np.ndindex(out.shape):
            gate = rows[(*place[:-1], place[-1] + half)]
            out[place] = rows[place] / (1 + math.exp(-gate))
        return np.moveaxis(out, -1, dim)

    return loop


def softmin_loop(dim):
    def loop(x):
        rows = np.moveaxis(x, dim, -1)
        out = np.zeros(rows.shape)
        for place in np.ndindex(rows.shape[:-1]):
            powers = [math.exp(-v) for v in rows[place]]
            out[place] = [p / sum(powers) for p in powers]
        return np.moveaxis(out, -1, dim)

    return loop


CASES = [
    *(
        Case(f, (x,), attrs=a, reference=naive(d), torch=t, name=f"{a}")
        for f, a, d, t in TABLE
        for x in (WIDE, IMAGE * 2 + 0.1)
    ),
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
        Case(
            F.glu,
            (x,),
            attrs=a,
            reference=glu_loop(*(a or (-1,))),
            torch=lambda x, a=a: TF.glu(x, *a),
        )
        for x, a in ((X, ()), (IMAGE, (2,)), (IMAGE, (-2,)), (IMAGE, (0,)), (X[:2, 0], ()))
    ),
    Case(F.glu, (FAR,), torch=TF.glu, order=0, name="far"),
    *(
        Case(
            F.softmin,
            (x,),
            attrs=(dim,),
            reference=softmin_loop(dim),
            torch=lambda x, d=dim: TF.softmin(x, d),
        )
        for x, dim in ((X, 1), (X, 0), (IMAGE, -3))
    ),
    Case(F.softmin, (FAR,), attrs=(0,), torch=lambda x: TF.softmin(x, 0), order=0, name="far"),
]

INTEGERS = np.arange(4)
BAD = [
    *(
        Bad(f, (INTEGERS,), error=DTypeError, match="floating")
        for f in (
            F.hardsigmoid,
            F.hardswish,
            F.mish,
            F.logsigmoid,
            F.hardshrink,
            F.softshrink,
            F.glu,
        )
    ),
    *(
        Bad(f, ("a",), error=DTypeError, match="input must be a tensor, not str 'a'")
        for f in (F.hardsigmoid, F.hardswish, F.mish, F.logsigmoid, F.softsign, F.tanhshrink)
    ),
    Bad(F.softsign, (INTEGERS > 1,), error=DTypeError, match="bool"),
    Bad(F.hardshrink, (X, "a"), error=DTypeError, match="lambd must be a number"),
    Bad(F.softshrink, (X, "a"), error=DTypeError, match="lambd must be a number"),
    Bad(F.softshrink, (X, -1), error=ArgumentError, match="lambd must be finite and not negative"),
    Bad(F.softshrink, (X, inf), error=ArgumentError, match="lambd must be finite"),
    Bad(F.softshrink, (X, nan), error=ArgumentError, match="it is nan"),
    Bad(F.glu, (X[:, :3],), error=ShapeError, match="size 3 has no two halves"),
    Bad(F.glu, (X, 0), error=ShapeError, match="3 / 2"),
    Bad(F.glu, (X[0, 0],), error=ShapeError, match="no axis"),
    Bad(F.glu, (X, 2), error=RangeError, match="out of range"),
    Bad(F.softmin, (X,), error=ArgumentError, match="softmin: the axis must be given"),
    Bad(F.softmin, (INTEGERS, 0), error=DTypeError, match="floating"),
    Bad(F.softmin, (X, 2), error=RangeError, match="out of range"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_third_order_of_smooth_activations():
    for f in SMOOTH:
        check_case(Case(f, (X,), torch=getattr(TF, f.__name__), order=3))


@pytest.mark.parametrize(
    ("name", "at", "slope"),
    [
        ("hardsigmoid", -3.0, 0.0),
        ("hardsigmoid", 3.0, 0.0),
        ("hardswish", -3.0, 0.0),
        ("hardswish", 3.0, 1.0),
        ("hardshrink", 0.5, 0.0),
        ("softshrink", -0.5, 0.0),
    ],
)
def test_the_derivative_at_a_kink(name, at, slope):
    x = tg.tensor([at], requires_grad=True)
    getattr(F, name)(x).sum().backward()
    assert x.grad.item() == slope


@pytest.mark.parametrize("gradient", [2.0, nan, inf])
@pytest.mark.parametrize("name", ["hardsigmoid", "hardswish", "hardshrink", "softshrink"])
def test_the_gradient_at_nan_is_that_of_torch(name, gradient):
    values = np.array([nan, -9.0, 0.2])  # of few numbers: PyTorch's vectors differ in NaN
    x, theirs = tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    getattr(F, name)(x).backward(tg.full((3,), gradient, dtype="float64"))
    getattr(TF, name)(theirs).backward(torch.full((3,), gradient, dtype=torch.float64))
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("function", [F.hardsigmoid, F.hardswish, F.mish, F.silu, F.leaky_relu,
                                      F.elu, F.hardtanh, F.relu6, F.relu])  # fmt: skip
def test_in_place_writes_into_the_input(function):
    x = tg.tensor([-0.5, 0.25], requires_grad=True)
    y, z = x * 3, x * 3
    assert function(y, inplace=True) is y
    assert y.tolist() == function(z).tolist()
    y.sum().backward()
    (expected,) = tg.autograd.grad(function(z).sum(), [x])
    assert x.grad.tolist() == expected.tolist()
    with tg.no_grad():
        assert function(z, inplace=True).tolist() == y.tolist()


def test_small_values_keep_their_relative_accuracy_in_float32():
    x = tg.tensor([-20.0, -50.0])
    assert F.mish(x).tolist() == pytest.approx([mish(v) for v in (-20, -50)], rel=1e-6)
    assert F.logsigmoid(-x).tolist() == pytest.approx(
        [-math.log1p(math.exp(v)) for v in (-20, -50)], rel=1e-6
    )
    assert F.mish(tg.tensor([3e38, 100.0])).tolist() == pytest.approx([3e38, 100.0])


def test_integers_become_floats():
    for f, t in ((F.softsign, TF.softsign), (F.tanhshrink, TF.tanhshrink)):
        y = f(tg.tensor([-2, 0, 2]))
        assert y.dtype == "float32"
        assert y.tolist() == pytest.approx(t(torch.tensor([-2, 0, 2])).tolist())


def test_channels_last_memory_stays_channels_last():
    x = tg.tensor(IMAGE).contiguous("channels_last")
    for f, attributes, _, _ in TABLE:
        assert f(x, *attributes).array.strides == x.array.strides, f.__name__
    assert F.softmin(x, 1).array.strides == x.array.strides
    gated = F.glu(x, 2)
    assert gated.array.strides == gated.contiguous("channels_last").array.strides


def test_nothing_to_gate():
    assert F.glu(tg.zeros(2, 0)).shape == (2, 0)
    assert F.glu(tg.zeros(0, 4)).shape == (0, 2)
