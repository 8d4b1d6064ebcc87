"""The fully connected layer: values, its closed family of three operators, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.linear import Linear, LinearInputGrad, LinearWeightGrad
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(11)
F = tg.nn.functional


def naive_linear(x, weight, bias=None):
    out = np.zeros((*x.shape[:-1], weight.shape[0]))
    for place in np.ndindex(*x.shape[:-1]):
        for o in range(weight.shape[0]):
            out[(*place, o)] = sum(x[place][i] * weight[o, i] for i in range(weight.shape[1]))
            if bias is not None:
                out[(*place, o)] += bias[o]
    return out


def naive_weight_grad(g, x):
    out = np.zeros((g.shape[-1], x.shape[-1]))
    for place in np.ndindex(*g.shape[:-1]):
        for o in range(out.shape[0]):
            for i in range(out.shape[1]):
                out[o, i] += g[place][o] * x[place][i]
    return out


def normal(*shape):
    return rng.normal(size=shape)


CASES = [
    *(
        Case(
            F.linear,
            (normal(*shape), normal(4), bias),
            reference=lambda x, w, b=None: (
                naive_linear(x, w[None])[..., 0] + (0 if b is None else b)
            ),
            torch=torch.nn.functional.linear,
            name="one output",
            batch=(0,) if len(shape) > 1 else (),
        )
        for shape in ((4,), (3, 4), (2, 3, 4))
        for bias in (None, normal())
        if bias is None or len(shape) != 2  # PyTorch refuses a bias for a matrix
    ),
    Case(
        Linear,
        (normal(5, 4), normal(3, 4), normal(3)),
        reference=naive_linear,
        torch=torch.nn.functional.linear,
    ),
    Case(Linear, (normal(5, 4), normal(3, 4), None), reference=naive_linear, name="no bias"),
    Case(
        Linear,
        (normal(4), normal(3, 4), normal(3)),
        reference=naive_linear,
        name="one sample",
        batch=(),
    ),
    Case(
        Linear,
        (normal(2, 3, 2, 4), normal(3, 4), normal(3)),
        reference=naive_linear,
        name="leading axes",
    ),
    Case(Linear, (normal(0, 4), normal(3, 4), normal(3)), reference=naive_linear, name="no sample"),
    Case(LinearInputGrad, (normal(5, 3), normal(3, 4)), reference=lambda g, w: g @ w),
    Case(
        LinearInputGrad,
        (normal(3), normal(3, 4)),
        reference=lambda g, w: g @ w,
        name="one sample",
        batch=(),
    ),
    Case(LinearWeightGrad, (normal(5, 3), normal(5, 4)), reference=naive_weight_grad, batch=(0, 1)),
    Case(
        LinearWeightGrad,
        (normal(2, 5, 3), normal(2, 5, 4)),
        reference=naive_weight_grad,
        batch=(0, 1),
    ),
    Case(
        F.linear,
        (normal(5, 4), normal(3, 4), normal(3)),
        reference=naive_linear,
        torch=torch.nn.functional.linear,
    ),
]

BAD = [
    Bad(
        LinearInputGrad,
        (normal(5, 6), normal(3, 4)),
        error=ShapeError,
        match="axis -1 of grad and axis 0 of weight must have the same size",
    ),
    Bad(
        LinearWeightGrad,
        (normal(10, 3), normal(5, 4)),
        error=ShapeError,
        match="axis 0 of grad and axis 0 of input must have the same size",
    ),
    Bad(F.linear, (normal(5, 3), normal(2, 4)), error=ShapeError, match="I = 4"),
    Bad(F.linear, (normal(2, 3, 4), normal(5, 12)), error=ShapeError, match=r"flatten\(1\)"),
    Bad(F.linear, (normal(), normal(2, 4)), error=ShapeError, match="no axis"),
    Bad(F.linear, (normal(5, 4), normal()), error=ShapeError, match="2 axes"),
    Bad(F.linear, (normal(5, 4), normal(2, 2, 4)), error=ShapeError, match="2 axes"),
    Bad(F.linear, (normal(5, 4), normal(3)), error=ShapeError, match="I = 3"),
    Bad(F.linear, (normal(), normal(3)), error=ShapeError, match="I = 3"),
    Bad(F.linear, (normal(5, 4), normal(4), normal(1)), error=ShapeError, match="without axes"),
    Bad(F.linear, (normal(5, 4), normal(2, 4), normal(3)), error=ShapeError, match=r"\(2,\)"),
    Bad(
        F.linear,
        (normal(5, 4), normal(2, 4).astype("f4")),
        error=DTypeError,
        match="float32, float64",
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def repair_of(input, weight):
    with pytest.raises(ShapeError) as caught:
        F.linear(tg.ones(*input), tg.ones(*weight))
    return caught.value.repair


def test_what_the_layer_was_made_for_is_named():
    """Features behind images of another size, maps that are not flattened, features elsewhere."""
    assert "in_features=2048" in repair_of((2, 8 * 16 * 16), (10, 8 * 14 * 14))
    assert "nn.AdaptiveAvgPool2d(P) before flatten, with C*P*P = 1568" in repair_of(
        (2, 8 * 16 * 16), (10, 8 * 14 * 14)
    )
    assert "AdaptiveAvgPool" not in repair_of((2, 10), (3, 12))

    text = repair_of((2, 8, 4, 4), (10, 8 * 7 * 7))
    assert "in_features=4, or flatten(1) and in_features=128" in text
    assert "nn.AdaptiveAvgPool2d(7) before flatten." in text
    pooled = tg.nn.AdaptiveAvgPool2d(7)(tg.ones(2, 8, 4, 4)).flatten(1)
    assert F.linear(pooled, tg.ones(10, 8 * 7 * 7)).shape == (2, 10)

    for shape, axis in [((2, 8, 5, 5), 1), ((8, 1), 0), ((2, 8, 8, 5), 2)]:
        assert f"input.movedim({axis}, -1)" in repair_of(shape, (10, 8))
        F.linear(tg.ones(*shape).movedim(axis, -1), tg.ones(10, 8))


def test_frozen_weight_does_not_keep_the_input():
    x = tg.tensor(normal(5, 4), requires_grad=True)
    y = F.linear(x, tg.tensor(normal(3, 4)))
    assert [array.shape for array in y.node.saved] == [(3, 4)]


def test_infinite_values_do_not_warn():
    x = tg.tensor([[np.inf, -np.inf]])
    assert np.isnan(F.linear(x, tg.ones(1, 2)).item())


def test_columns_and_rows_of_any_memory_order():
    x = np.asfortranarray(normal(6, 4))
    w = np.asfortranarray(normal(3, 4))
    assert F.linear(tg.tensor(x), tg.tensor(w)).numpy() == pytest.approx(naive_linear(x, w))
