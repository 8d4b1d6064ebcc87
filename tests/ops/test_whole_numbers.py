"""Integers where PyTorch computes with them: means cut to integers, whole factors, sums."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
RNG = np.random.default_rng(0)


def whole(*shape, dtype="int64", low=-9):
    return RNG.integers(low, 10, shape).astype(dtype)


POOLS = [
    ((2,), {}),
    ((3,), {"stride": 2, "padding": 1}),
    ((3,), {"stride": 2, "padding": 1, "count_include_pad": False}),
    ((3,), {"stride": 2, "padding": 1, "ceil_mode": True}),
]


def both(name, inputs, *attrs, order=0, **kwargs):
    """A case of the function of this name in both libraries."""
    ours, theirs = (getattr(F, name, None) or getattr(tg, name), getattr(TF, name, None))
    theirs = theirs or getattr(torch, name)
    return Case(
        ours,
        inputs,
        attrs,
        kwargs,
        torch=lambda *xs: theirs(*xs, *attrs, **kwargs),
        order=order,
        name=",".join(f"{k}={v}" for k, v in kwargs.items()),
        rtol=1e-6,
    )


A, B, SIGNS = whole(4, 3), whole(4, 3), np.array([1, -1, 1, -1])
M, V = whole(3, 3), whole(3)
CASES = [
    *(
        both(f"avg_pool{n}d", (whole(2, 3, *(7, 6, 5)[:n]),), *attrs, **kwargs)
        for n in (1, 2, 3)
        for attrs, kwargs in POOLS
    ),
    both("avg_pool2d", (whole(3, 6, 6),), 2, divisor_override=-3),
    both("l1_loss", (A, B), reduction="sum"),
    both("l1_loss", (A, B), reduction="none"),
    both("hinge_embedding_loss", (A, whole(4, 3, low=-1)), margin=1.5, reduction="none"),
    both("hinge_embedding_loss", (A, SIGNS[:, None]), reduction="sum"),
    both("margin_ranking_loss", (A, B, np.sign(B)), margin=0.5),
    both("poisson_nll_loss", (A, B)),
    both("cosine_embedding_loss", (A, B, SIGNS)),
    both("cosine_embedding_loss", (A > 0, B > 0, SIGNS), reduction="none"),
    both("pairwise_distance", (A, B), p=1.0),
    both("triplet_margin_with_distance_loss", (A, B, A[::-1].copy())),
    both("div", (A, whole(4, 3, low=1)), rounding_mode="trunc"),
    both("div", (A / 2, whole(4, 3, low=1) * 1.0), rounding_mode="trunc"),
    both("bilinear", (whole(2, 3), whole(2, 4), whole(5, 3, 4), whole(5))),
    *(both("addmm", (M, M, M), beta=b, alpha=a) for b, a in ((0.6, 0.2), (-1.9, 2.9), (2, 3))),
    both("addmv", (V, M, V), beta=1.5, alpha=2.5),
    both("addr", (M, V, V), beta=2, alpha=-3),
    both("addbmm", (M, whole(2, 3, 3), whole(2, 3, 3)), beta=0.6, alpha=1.2),
    both("baddbmm", (M, whole(2, 3, 3), whole(2, 3, 3)), beta=1.6, alpha=0.2),
    *(both("addcmul", (A, B, A), value=v) for v in (0.2, 2.9, -1.5, 3)),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@pytest.mark.parametrize(
    ("name", "arrays", "attrs"),
    [
        ("lp_pool2d", (whole(1, 2, 4, 4),), (2.0, 2)),
        ("triplet_margin_loss", (A, B, A[::-1].copy()), (1.5,)),
        ("triplet_margin_loss", (A, B.astype("f4"), A[::-1].astype("f8")), (1.5,)),
    ],
)
def test_integers_become_floats(name, arrays, attrs):
    y = getattr(F, name)(*map(tg.tensor, arrays), *attrs)
    z = getattr(TF, name)(*map(torch.tensor, arrays), *attrs)
    assert y.dtype.name == str(z.dtype).removeprefix("torch.")
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=2e-6)


BAD = [
    *(
        Bad(f, (M, *rest), {"alpha": v}, error=ArgumentError, match="must be a whole number")
        for f, rest in ((tg.addmm, (M, M)), (tg.addbmm, (M[None], M[None])))
        for v in (float("nan"), float("inf"))
    ),
    Bad(tg.addr, (M, V, V), {"beta": 2.0}, error=DTypeError, match="beta must be an integer"),
    Bad(tg.addmm, (np.ones((3, 2, 2)), M * 1.0, M * 1.0), error=ShapeError, match="broadcast"),
    Bad(tg.addmv, (np.ones(4), np.ones((1, 4)), np.ones(4)), error=ShapeError, match="broadcast"),
    Bad(tg.addcmul, (A, B, A), {"value": "2"}, error=DTypeError, match="value must be a number"),
]


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "smooth_l1_loss"])
@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f8", "f4"), ("f8", "i8"), ("i8", "f4")])
def test_two_dtypes_are_promoted(loss, dtypes):
    arrays = [x.astype(d) for x, d in zip((A, B), dtypes, strict=True)]
    ours = [tg.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    theirs = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    y, z = getattr(F, loss)(*ours), getattr(TF, loss)(*theirs)
    assert y.dtype.name == str(z.dtype).removeprefix("torch.")
    np.testing.assert_allclose(y.item(), z.item(), rtol=1e-6)
    y.backward()
    z.backward()
    for a, b in zip(ours, theirs, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if b.grad is not None:
            assert a.grad.dtype == a.dtype
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6)


ENDS = [(1.9, 7.9, 4), (-1.9, 3.5, 3), (0, 10, 4), (10, 0, 5), (-3, 4, 6), (1.5, 1.5, 1), (2, 9, 0)]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "float64"])
def test_ranges_cut_their_ends_first(ends, dtype):
    kind = getattr(torch, dtype)
    y = tg.linspace(*ends, dtype=dtype)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), torch.linspace(*ends, dtype=kind).numpy(), rtol=3e-7)
    first, last, n = ends[0] / 4, ends[1] / 4, ends[2]
    for base in (10.0, 2.5):
        y, z = (
            tg.logspace(first, last, n, base, dtype=dtype),
            torch.logspace(first, last, n, base, dtype=kind),
        )
        np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=2e-6)


@pytest.mark.parametrize("function", [tg.linspace, tg.logspace])
def test_ends_that_no_integer_holds_are_refused(function):
    for value in (float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="does not fit into int64"):
            function(0, value, 3, dtype="int64")
        assert np.isnan(function(0, value, 3).numpy()[1:]).all()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32"])
def test_sums_to_a_size_have_the_dtype_of_a_sum(dtype):
    x = (whole(2, 3) > 0).astype(dtype)
    for shape, size in (((2, 3), (2, 1)), ((2, 3), (2, 3)), ((2, 3), ()), ((), ())):
        array = x if shape else x[0, 0]
        y = tg.tensor(array).sum_to_size(size)
        z = torch.tensor(array).sum_to_size(size)
        assert y.dtype.name == str(z.dtype).removeprefix("torch.")
        assert y.tolist() == z.tolist()
