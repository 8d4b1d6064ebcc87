"""autograd.Function on the strict stand-in of CuPy, on a device that is not the current one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.functions import Engine, cube_of, linear_of, sinh_of
from tinygrad_cv.autograd import Function, grad, verify
from tinygrad_cv.autograd.function import once_differentiable
from tinygrad_cv.testing import Case, check_case

pytest.importorskip("cupy")

from tests.cupy_standin import installed

X = np.random.default_rng(0).standard_normal((4, 3))


@pytest.fixture(autouse=True)
def _cupy() -> Iterator[Any]:
    with installed(devices=2) as module:
        yield module


def test_the_generic_checks():
    linear, cube = linear_of(Engine(tg)), cube_of(Engine(tg))
    inputs = (X, X[:2], X[0, :2])
    check_case(Case(linear.apply, inputs, reference=lambda x, w, b: x @ w.T + b), "cuda:1")
    check_case(Case(cube.apply, (X,), attrs=(2.0,), reference=lambda x: 2 * x**3), "cuda:1")


def test_what_the_plan_makes_lies_on_the_device():
    """Zeros for outputs without a gradient, sums over broadcast axes, refusals."""

    class Both(Function):
        @staticmethod
        def forward(ctx, x, b):
            ctx.half = x / 2
            return x * b, x + b, x > 0

        @staticmethod
        def backward(ctx, g, h, i):
            assert {t.device for t in (g, h, i, ctx.half)} == {tg.device("cuda:1")}
            return g + h, g * ctx.half

    x = tg.tensor(X, device="cuda:1", requires_grad=True)
    b = tg.tensor(X[0], device="cuda:1", requires_grad=True)
    (g,) = grad(Both.apply(x, b)[0].sum(), b, create_graph=True)
    assert g.device == tg.device("cuda:1")
    np.testing.assert_allclose(g.detach().cpu().numpy(), X.sum(0) / 2, rtol=1e-12)
    with pytest.raises(tg.GraphError, match="was computed in forward and saved"):
        grad(g.sum(), x)


def test_once_differentiable_and_verify():
    class Sin(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    x = tg.tensor(X, device="cuda:1", requires_grad=True)
    (g,) = grad(Sin.apply(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().cpu().numpy(), np.cos(X), rtol=1e-12)
    with pytest.raises(tg.GraphError, match="once_differentiable"):
        grad(g.sum(), x)
    report = verify(lambda x: sinh_of(Engine(tg)).apply(Sin.apply(x))[0], x)
    assert report.ok, str(report)
    assert report.open == []
