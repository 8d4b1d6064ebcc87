"""Pooling by the p-norm, and max unpooling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(32)
F = tg.nn.functional
TF = torch.nn.functional


def normal(*shape):
    return rng.normal(size=shape)


def positive(*shape):
    return rng.uniform(0.5, 2.0, size=shape)


def naive_lp(x, p, kernel, stride):
    """Whole windows only, value by value."""
    n = len(kernel)
    lead, sizes = x.shape[:-n], x.shape[-n:]
    out = [(size - k) // s + 1 for size, k, s in zip(sizes, kernel, stride, strict=True)]
    y = np.empty((*lead, *out))
    for place in np.ndindex(*y.shape):
        first, window = place[:-n], place[-n:]
        starts = [q * s for q, s in zip(window, stride, strict=True)]
        values = [
            x[(*first, *(a + k for a, k in zip(starts, tap, strict=True)))]
            for tap in np.ndindex(*kernel)
        ]
        if math.isinf(p):
            pick = max if p > 0 else min
            y[place] = pick(abs(v) for v in values)
        else:
            y[place] = sum(v**p for v in values) ** (1 / p)
    return y


def naive_unpool(x, indices, n, size):
    y = np.zeros((*x.shape[:-n], math.prod(size)))
    for place in np.ndindex(*x.shape):
        y[(*place[:-n], indices[place])] = x[place]
    return y.reshape(*x.shape[:-n], *size)


def winners(*shape, size):
    """Different places in each plane."""
    count, n = math.prod(size), len(size)
    planes = [rng.permutation(count)[: math.prod(shape[-n:])] for _ in range(math.prod(shape[:-n]))]
    return np.array(planes).reshape(shape)


def lp(n, x, p, kernel, stride=None, **options):
    function = getattr(F, f"lp_pool{n}d")
    step = kernel if stride is None else stride
    return Case(
        function,
        (x, p, kernel, stride),
        reference=lambda x, p, *_: naive_lp(x, p, kernel, step),
        torch=getattr(TF, f"lp_pool{n}d") if n > 1 else lambda x, p, k, s: TF.lp_pool1d(
            x, p, k[0], None if s is None else s[0]
        ),
        **{"batch": (0,), "name": f"p{p}"} | options,
    )  # fmt: skip


def unpool(n, shape, kernel, stride=None, padding=0, size=None, output_size=None, **options):
    function = f"max_unpool{n}d"
    return Case(
        getattr(F, function),
        (normal(*shape), winners(*shape, size=size), kernel, stride, padding, output_size),
        reference=lambda x, i, *_: naive_unpool(x, i, n, size),
        torch=getattr(TF, function),
        **options,
    )


CASES = [
    lp(1, normal(2, 3, 7), 2, (3,), (2,)),
    lp(1, positive(3, 8), 1.5, (2,), batch=None),
    lp(2, normal(2, 2, 5, 6), 2, (2, 3)),
    lp(2, normal(2, 2, 5, 6), 2.0, (3, 2), (1, 2), name="overlapping"),
    lp(2, positive(2, 2, 4, 4), 3, (2, 2)),
    lp(2, positive(2, 2, 4, 4), 0.5, (2, 2), rtol=1e-9),
    lp(2, positive(2, 2, 4, 4), -1.5, (2, 2)),
    lp(2, normal(2, 2, 4, 4), 1, (2, 2)),
    lp(2, normal(2, 2, 4, 5), math.inf, (2, 2)),
    lp(2, normal(2, 2, 4, 5), -math.inf, (2, 2)),
    lp(3, normal(2, 1, 3, 4, 4), 2, (2, 2, 2), (1, 2, 1)),
    Case(
        F.lp_pool2d, (normal(2, 2, 5, 5), 2, 2), kwargs={"ceil_mode": True},
        torch=lambda x, p, k: TF.lp_pool2d(x, p, k, ceil_mode=True), name="ceil",
    ),
    Case(
        F.lp_pool1d, (np.array([[[0.0, 0.0, 1.0, -1.0, 0.0, 2.0, -1.0, 1.0]]]), 3, 2),
        torch=TF.lp_pool1d, name="sums of 0", order=0,
    ),
    Case(
        F.lp_pool1d, (np.array([[[0.0, 0.0, 1.0, -1.0, 0.0, 2.0]]]), 1, 2),
        torch=TF.lp_pool1d, name="sums of 0, p1", order=0,
    ),
    Case(
        F.lp_pool1d, (np.array([[[1.0, np.nan, np.inf, 1.0, 2.0, 1.0]]]), 2, 2),
        torch=TF.lp_pool1d, name="not finite", order=0,
        skip={"float32": "NaN", "kernels": "NaN", "memory": "NaN"},
    ),
    unpool(1, (2, 3, 4), 2, size=(8,), batch=(0, 1)),
    unpool(1, (3, 4), 3, 2, 1, size=(7,), name="a single sample"),
    unpool(2, (2, 3, 2, 3), 2, size=(4, 6), batch=(0, 1)),
    unpool(2, (2, 2, 2, 3), (3, 2), (2, 1), (1, 0), size=(3, 4), name="rectangular"),
    unpool(2, (2, 2, 2, 2), 2, size=(5, 5), output_size=(5, 5), name="output_size"),
    unpool(2, (2, 2, 2, 2), 2, size=(4, 5), output_size=(2, 2, 4, 5), name="output shape"),
    unpool(3, (2, 1, 2, 1, 2), 2, size=(4, 2, 4), batch=(0, 1)),
]  # fmt: skip

INSIDE = np.arange(4).reshape(1, 1, 2, 2)

BAD = [
    Bad(F.lp_pool2d, (normal(1, 1, 4, 4), 0, 2), error=ArgumentError, match="other than 0"),
    Bad(F.lp_pool2d, (normal(1, 1, 4, 4), math.nan, 2), error=ArgumentError, match="nan"),
    Bad(F.lp_pool2d, (normal(1, 1, 4, 4), "2", 2), error=DTypeError, match="norm_type must be"),
    Bad(F.lp_pool2d, (normal(4, 4), 2, 2), error=ShapeError, match="4 axes"),
    Bad(F.lp_pool1d, (normal(1, 1, 4), 2, 5), error=ShapeError, match="does not fit"),
    Bad(F.lp_pool2d, (normal(1, 4, 0), 2, 2), error=ShapeError, match="no pixels"),
    Bad(F.lp_pool2d, (normal(1, 1, 4, 4), 2, 0), error=ArgumentError, match="at least 1"),
    Bad(F.lp_pool3d, (np.ones((1, 1, 2, 2, 2), bool), 2, 2), error=DTypeError, match="bool"),
    Bad(
        F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE[:, :, :1], 2), error=ShapeError,
        match="shape of the input",
    ),
    Bad(F.max_unpool2d, (normal(2, 2), INSIDE[0, 0], 2), error=ShapeError, match="4 axes"),
    Bad(
        F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE.astype(float), 2), error=DTypeError,
        match="must be int64",
    ),
    Bad(F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE + 13, 2), error=RangeError, match="index 16"),
    Bad(F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE - 1, 2), error=RangeError, match="index -1"),
    Bad(
        F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE, 2), {"output_size": (6, 4)},
        error=ArgumentError, match="along H it must be above 2 and below 6",
    ),
    Bad(
        F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE, 2), {"output_size": (4,)},
        error=ArgumentError, match="2 or 4 numbers",
    ),
    Bad(
        F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE, 2, 1, 3), error=ShapeError,
        match=r"size \(-3, -3\)", skip={"repair": "the indices lie outside a smaller plane"},
    ),
    Bad(F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE, 0), error=ArgumentError, match="at least 1"),
    Bad(F.max_unpool2d, (normal(1, 1, 2, 2), INSIDE, 2.0), error=DTypeError, match="whole"),
    Bad(F.max_unpool2d, (normal(1, 1, 2, 2), 3, 2), error=DTypeError, match="must be a tensor"),
    Bad(
        F.max_unpool2d, (np.ones((1, 1, 0, 2)), np.ones((1, 1, 0, 2), int), 2), error=ShapeError,
        match="nothing to unpool",
    ),
]  # fmt: skip


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_a_window_of_zeros_has_no_slope_at_any_order():
    for p in (0.5, 1, 1.5, 2, 3):
        x = tg.zeros(1, 1, 4, dtype="float64", requires_grad=True)
        y = F.lp_pool1d(x, p, 2).sum()
        (first,) = tg.autograd.grad(y, x, create_graph=True)
        assert first.tolist() == [[[0] * 4]]
        if p != 1:  # whose slope is constant
            (second,) = tg.autograd.grad(first.sum(), x)
            assert second.tolist() == [[[0] * 4]]


def test_pooling_undone():
    x = tg.tensor(normal(2, 3, 7, 8)).requires_grad_()
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, indices, 2, output_size=x.shape)
    kept = back.detach().numpy() != 0
    np.testing.assert_array_equal(back.detach().numpy()[kept], x.detach().numpy()[kept])
    assert kept.sum() == y.numel()
    (gradient,) = tg.autograd.grad(back.sum(), x)
    np.testing.assert_array_equal(gradient.numpy(), kept)


def test_of_several_values_for_one_place_the_last_stands():
    x = tg.tensor([[1.0, 5.0, 2.0]], requires_grad=True)
    y = F.max_unpool1d(x, tg.tensor([[0, 0, 1]]), 2)
    assert y.tolist() == [[5, 2, 0, 0, 0, 0]]
    (y * tg.arange(1.0, 7.0)).sum().backward()
    assert x.grad.tolist() == [[1, 1, 2]]  # as in PyTorch, both get it


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_indices_of_torch_fit(kind):
    y, indices = TF.max_pool2d(torch.tensor(normal(1, 2, 5, 5)), 3, 2, 1, return_indices=True)
    expected = TF.max_unpool2d(y, indices, 3, 2, 1).numpy()
    ours = F.max_unpool2d(tg.tensor(y.numpy()), tg.tensor(indices.numpy()).to(kind), 3, 2, 1)
    np.testing.assert_array_equal(ours.numpy(), expected)
