"""Exponentials, logarithms, trigonometry, rounding, choosing: values, gradients, edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend.array import as_device
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops import convert, rounding, select, trig
from tinygrad_cv.ops import math as ops_math
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(2)
inf, nan = math.inf, math.nan
CPU = as_device("cpu")
EDGES = np.array([0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 800.0, -800.0])


def naive(function):
    """A function of one number, applied to each element."""

    def loop(x):
        out = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            out[place] = function(float(x[place]))
        return out

    return loop


def between(low, high, *shape):
    return rng.uniform(low, high, size=shape)


M, T = ops_math, trig
# operator, the function of one number, PyTorch's, and a domain away from poles
TABLE = [
    (M.Exp, math.exp, torch.exp, (-3, 3)),
    (M.Exp2, lambda x: 2**x, torch.exp2, (-3, 3)),
    (M.Expm1, math.expm1, torch.expm1, (-3, 3)),
    (M.Log, math.log, torch.log, (0.2, 5)),
    (M.Log2, math.log2, torch.log2, (0.2, 5)),
    (M.Log10, math.log10, torch.log10, (0.2, 5)),
    (M.Log1p, math.log1p, torch.log1p, (-0.8, 5)),
    (M.Sqrt, math.sqrt, torch.sqrt, (0.2, 5)),
    (M.Rsqrt, lambda x: 1 / math.sqrt(x), torch.rsqrt, (0.2, 5)),
    (M.Erf, math.erf, torch.erf, (-2, 2)),
    (T.Sin, math.sin, torch.sin, (-4, 4)),
    (T.Cos, math.cos, torch.cos, (-4, 4)),
    (T.Tan, math.tan, torch.tan, (-1.2, 1.2)),
    (T.Asin, math.asin, torch.asin, (-0.9, 0.9)),
    (T.Acos, math.acos, torch.acos, (-0.9, 0.9)),
    (T.Atan, math.atan, torch.atan, (-4, 4)),
    (T.Sinh, math.sinh, torch.sinh, (-3, 3)),
    (T.Cosh, math.cosh, torch.cosh, (-3, 3)),
    (T.Asinh, math.asinh, torch.asinh, (-4, 4)),
    (T.Acosh, math.acosh, torch.acosh, (1.2, 4)),
    (T.Atanh, math.atanh, torch.atanh, (-0.9, 0.9)),
]
STEPS = [
    (rounding.Floor, math.floor, torch.floor),
    (rounding.Ceil, math.ceil, torch.ceil),
    (rounding.Trunc, math.trunc, torch.trunc),
    (select.Sign, lambda x: (x > 0) - (x < 0), torch.sign),
]


def where_loop(c, a, b):
    c, a, b = np.broadcast_arrays(c, a, b)
    return np.array(
        [x if k else y for k, x, y in zip(c.flat, a.flat, b.flat, strict=True)]
    ).reshape(c.shape)


def median_of_three(x, low, high):
    return naive(lambda v: sorted((low, v, high))[1])(x)


mask = rng.random((3, 4)) > 0.4
x34 = between(-2, 2, 3, 4)

CASES = [
    *(Case(op, (between(*d, 3, 4),), reference=naive(f), torch=t) for op, f, t, d in TABLE),
    *(
        Case(op, (between(*d),), reference=naive(f), torch=t, name="0-d")
        for op, f, t, d in TABLE[:3]
    ),
    *(Case(op, (EDGES,), torch=t, order=0, name="edges", rtol=1e-9) for op, _, t, _ in TABLE),
    *(Case(op, (x34 * 3,), reference=naive(f), torch=t) for op, f, t in STEPS),
    *(Case(op, (EDGES,), torch=t, order=0, name="edges") for op, _, t in STEPS),
    Case(rounding.Frac, (x34,), reference=naive(lambda v: v - math.trunc(v)), torch=torch.frac),
    Case(rounding.Round, (x34,), attrs=(0,), reference=naive(round), torch=torch.round),
    Case(
        rounding.Round, (x34,), attrs=(2,), reference=naive(lambda v: round(v, 2)), name="decimals"
    ),
    Case(tg.round, (np.array([0.5, 1.5, 2.5, -0.5]),), torch=torch.round, order=0, name="halves"),
    Case(rounding.ZeroMap, (x34,), reference=np.zeros_like),
    Case(rounding.ZeroMap, (EDGES,), reference=np.zeros_like, order=0, name="edges"),
    Case(
        trig.Atan2, (x34, between(-2, 2, 4)), reference=np.vectorize(math.atan2), torch=torch.atan2
    ),
    Case(
        trig.Atan2,
        (np.array([0.0, 0.0, 1.0, 0.0]), np.array([0.0, -1.0, 0.0, 1.0])),
        torch=torch.atan2,
        order=0,
        name="axes",
    ),
    Case(select.Abs, (x34,), reference=naive(abs), torch=torch.abs),
    Case(select.Abs, (np.array([0.0, -0.0, inf, -inf]),), torch=torch.abs, order=0, name="edges"),
    *(
        Case(op, (a, b), reference=np.vectorize(f), torch=t)
        for op, f, t in ((select.Maximum, max, torch.maximum), (select.Minimum, min, torch.minimum))
        for a, b in ((x34, between(-2, 2, 3, 4)), (x34, between(-2, 2, 4)), (x34, between(-2, 2)))
    ),
    *(
        Case(
            op,
            (np.array([1.0, 2.0, nan, 1.0, inf]), np.array([1.0, 0.0, 1.0, nan, inf])),
            torch=t,
            order=0,
            name="ties and NaN",
        )
        for op, t in ((select.Maximum, torch.maximum), (select.Minimum, torch.minimum))
    ),
    Case(select.Masked, (x34, mask), reference=lambda x, m: where_loop(m, x, 0.0)),
    Case(
        select.Masked,
        (x34, mask[0]),
        reference=lambda x, m: where_loop(m, x, 0.0),
        name="broadcast",
    ),
    Case(select.Masked, (EDGES, EDGES > 0), reference=lambda x, m: where_loop(m, x, 0.0), order=0),
    *(
        Case(select.Where, (c, a, b), reference=where_loop, torch=torch.where)
        for c, a, b in (
            (mask, x34, between(-2, 2, 3, 4)),
            (mask, x34, between(-2, 2, 4)),
            (mask[0], x34, between(-2, 2)),
            (rng.random((70, 70)) > 0.5, between(-2, 2, 70, 70), between(-2, 2, 70, 70)),
        )
    ),
    Case(
        lambda c, x: tg.where(c, x, 2.5),
        (mask, x34),
        reference=lambda c, x: where_loop(c, x, 2.5),
        torch=lambda c, x: torch.where(c, x, 2.5),
    ),
    Case(
        lambda c, x: tg.where(c, 2, x),
        (mask, x34),
        reference=lambda c, x: where_loop(c, 2, x),
        torch=lambda c, x: torch.where(c, 2, x),
    ),
    Case(
        lambda c: tg.where(c, 1.0, 0.0),
        (mask,),
        reference=lambda c: where_loop(c, 1.0, 0.0),
        order=0,
    ),
    *(
        Case(
            tg.clamp,
            (x34,),
            kwargs={"min": low, "max": high},
            reference=lambda x, a=low, b=high: median_of_three(
                x, -inf if a is None else a, inf if b is None else b
            ),
            torch=lambda x, a=low, b=high: x.clamp(a, b),
            name=f"{low} {high}",
        )
        for low, high in ((-1, 1), (-0.5, None), (None, 0.5))
    ),
    Case(tg.clamp, (EDGES,), attrs=(-1, 1), torch=lambda x: x.clamp(-1, 1), order=0, name="edges"),
    Case(
        tg.clamp,
        (np.arange(4.0),),
        attrs=(2, 1),
        torch=lambda x: x.clamp(2, 1),
        order=0,
        name="crossed",
    ),
    Case(
        tg.clamp,
        (x34, between(-1, 0, 4), between(0, 1, 3, 1)),
        reference=lambda x, a, b: np.minimum(np.maximum(x, a), b),
        torch=torch.clamp,
        name="tensors",
    ),
    Case(
        tg.clamp,
        (
            np.array([0.0, 1.0, 2.0, 1.0]),
            np.array([0.0, 2.0, 3.0, nan]),
            np.array([1.0, 3.0, 1.0, 2.0]),
        ),
        torch=torch.clamp,
        order=0,
        diff=["input", "max"],
        name="tensor edges",
    ),
    Case(
        tg.clip,
        (x34,),
        attrs=(-1, 1),
        reference=lambda x: median_of_three(x, -1, 1),
        torch=lambda x: torch.clip(x, -1, 1),
    ),
    Case(
        select.NanToNum,
        (EDGES,),
        attrs=(0.5, None, -3.0),
        reference=lambda x: np.nan_to_num(x, nan=0.5, neginf=-3.0),
        torch=lambda x: torch.nan_to_num(x, 0.5, None, -3.0),
        order=0,
    ),
    Case(tg.nan_to_num, (x34,), reference=lambda x: x, torch=torch.nan_to_num),
    Case(
        convert.Cast,
        (x34,),
        attrs=(np.dtype("float64"),),
        reference=lambda x: x,
        skip={"float32": "its dtype is asked for"},
    ),
    Case(
        lambda x: x.float().double(),
        (np.arange(4.0),),
        reference=lambda x: x,
        skip={"float32": "it ends in float64"},
        name="to and fro",
        order=0,
    ),
    Case(lambda x: x.long(), (x34,), reference=naive(math.trunc), name="long", order=0, diff=()),
    Case(
        convert.Move,
        (x34,),
        attrs=(CPU, CPU),
        reference=lambda x: x,
        skip={"device": "it goes where it is told to"},
    ),
    Case(lambda x: x.to(x.dtype) * 1, (x34,), reference=lambda x: x, name="to"),
]

# They take every dtype and every shape: what they can refuse is what is not an array.
UNARY = """exp exp2 expm1 log log2 log10 log1p sqrt rsqrt erf sin cos tan asin acos atan sinh cosh
asinh acosh atanh floor ceil trunc frac sign abs square reciprocal isnan isinf isfinite logical_not
nan_to_num round sigmoid tanh clone nonzero"""

BAD = [
    *(
        Bad(getattr(tg, name), ("a",), error=DTypeError, match="input must be .*, not str 'a'")
        for name in UNARY.split()
    ),
    Bad(tg.logical_not, (None,), error=DTypeError, match="not NoneType None"),
    Bad(tg.where, (np.ones((2, 2), bool), x34, 0.0), error=ShapeError, match="broadcast"),
    Bad(tg.where, (x34, x34, x34), error=DTypeError, match="bool"),
    Bad(tg.where, (mask, 1.0), error=ArgumentError, match="given together"),
    Bad(tg.where, (mask,), {"other": 1.0}, error=ArgumentError, match="given together"),
    Bad(tg.clamp, (x34, "a"), error=DTypeError, match="min must be a number or a tensor"),
    Bad(tg.clamp, (x34, 0, [1, 2]), error=DTypeError, match="max must be a number or a tensor"),
    Bad(tg.clamp, (x34,), error=ArgumentError, match="at least one"),
    Bad(tg.clamp, (mask, 0, 1), error=DTypeError, match="bool"),
    Bad(tg.maximum, (x34, np.zeros(3)), error=ShapeError, match="broadcast"),
    Bad(tg.minimum, (x34, np.zeros(3)), error=ShapeError, match="broadcast"),
    Bad(tg.atan2, (x34, np.zeros(3)), error=ShapeError, match="broadcast"),
    Bad(select.Masked, (x34, np.ones(3, bool)), error=ShapeError, match="broadcast"),
    Bad(
        tg.Tensor.to,
        (x34, None),
        error=ArgumentError,
        match="neither",
        skip={"operator": "a method"},
    ),
    Bad(
        tg.Tensor.to,
        (x34, "float16"),
        error=DTypeError,
        match="float16",
        skip={"operator": "", "shapes": ""},
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("op", [row[0] for row in TABLE], ids=lambda op: op.name)
def test_integers_become_floats_and_values_outside_the_domain_do_not_warn(op):
    assert op.call(tg.tensor([1, 2])).dtype == tg.float32
    assert op.call(tg.tensor([True, False])).dtype == tg.float32
    assert op.call(tg.tensor(EDGES)).shape == EDGES.shape


def test_erf_in_both_precisions():
    x = np.linspace(-6, 6, 301)
    for dtype, tolerance in (("float32", 2e-7), ("float64", 1e-15)):
        assert (
            np.abs(tg.erf(tg.tensor(x, dtype=dtype)).numpy() - scipy.special.erf(x)).max()
            < tolerance
        )


def test_rounding_leaves_integers_alone():
    x = tg.tensor([1, -2])
    for function in (tg.floor, tg.ceil, tg.trunc, tg.round):
        result = function(x)
        assert result.dtype == tg.int64
        assert result.tolist() == [1, -2]
        assert result.array is not x.array


def test_clamp_of_integers():
    assert tg.clamp(tg.tensor([1, 5]), 0.5, 2.5).dtype == tg.float32
    assert tg.clamp(tg.tensor([1, 5]), max=np.int64(3)).tolist() == [1, 3]
    assert tg.clamp(tg.tensor([1, 200], dtype="uint8"), -5, 300).tolist() == [1, 200]
    assert tg.clamp(tg.tensor([1.0, 5.0]), np.float64(2), np.float64(3)).dtype == tg.float32


def test_masking_removes_infinite_gradients():
    x = tg.tensor([0.0, 4.0], requires_grad=True)
    tg.where(x > 0, tg.sqrt(x), x * 3).sum().backward()
    assert np.isnan(x.grad.numpy()[0])  # 0 * inf inside sqrt's own rule, as in PyTorch
    x.grad = None
    tg.sqrt(tg.where(x > 0, x, 1.0)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_to_refuses_what_it_cannot_do():
    for thing in (tg.ones(2), tg.nn.Linear(2, 2)):
        with pytest.raises(tg.ArgumentError, match="non_blocking=True is not supported"):
            thing.to("cpu", non_blocking=True)
        thing.to("cpu", non_blocking=False)


def test_to_reads_its_arguments_as_torch_does():
    x = tg.tensor([1.5, 2.5])
    assert x.to("float32") is x
    assert x.to("cpu") is x
    assert x.to(tg.float64).dtype == tg.float64
    assert x.to("cpu", "int64").tolist() == [1, 2]
    assert x.to(tg.tensor(1)).dtype == tg.int64
    assert x.to(dtype=float, copy=True) is not x
    assert x.to("meta").device.type == "meta"
    assert [x.double().dtype, x.int().dtype, x.bool().dtype] == [tg.float64, tg.int32, tg.bool_]
    assert round(tg.tensor([1.26]), 1).tolist() == pytest.approx([1.3])
    assert abs(tg.tensor([-1.0])).tolist() == [1.0]


def test_gradients_come_back_in_the_old_dtype():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype == tg.float32
    assert x.grad.tolist() == [3.0, 3.0]


def test_where_as_a_method_and_with_scalars():
    x = tg.tensor([-1.0, 2.0])
    assert x.where(x > 0, 0.0).tolist() == [0.0, 2.0]
    assert tg.where(x > 0, 1, 0).dtype == tg.int64
    assert tg.where(x > 0, 1.0, 0.0).dtype == tg.float32
    assert tg.where(x > 0, tg.tensor([1, 1]), x).dtype == tg.float32


@pytest.mark.parametrize(
    "values", [[[0, 1], [2, 0]], [True, False], [0.0, -0.5, nan], 1, 0, [[0, 0]]]
)
def test_where_of_a_condition_alone_gives_its_positions(values):
    found = tg.where(tg.tensor(values))
    assert type(found) is tuple
    assert [t.tolist() for t in found] == [t.tolist() for t in torch.where(torch.tensor(values))]
    assert all(t.dtype == tg.int64 for t in found)
    x = tg.tensor(values)
    if x.shape:
        assert (x[found] != 0).all()


def test_square_of_bool_is_an_integer():
    y = tg.square(tg.tensor([True, False]))
    assert (y.dtype, y.tolist()) == ("int64", [1, 0])
