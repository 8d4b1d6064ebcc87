"""Max pooling on the GPU: the kernels on the stand-in, and their C text compiled for the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.cupy import pool
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.ops.pool import MaxPool, MaxPoolScatter
from tinygrad_cv.testing import Case, check_case, parametrize_cases

pytest.importorskip("cupy")

from tests.cupy_standin import compiler, installed
from tests.ops.test_pool import CASES

NUMBERS = np.array([0.0, 1.0, -1.0, 2.0, np.nan, -np.inf, np.inf, 0.5])


@pytest.fixture(scope="module", params=["float", "double"])
def texts(request: Any, tmp_path_factory: Any) -> tuple[Any, Any, Any]:
    """(dtype, pool, scatter): the C texts as functions."""
    if compiler.COMPILER is None:
        pytest.skip("no C++ compiler")
    folder: Path = tmp_path_factory.mktemp("kernels")
    both = compiler.kernels_of(pool._kernels.__wrapped__)
    functions = [compiler.compiled(kernel, {"T": request.param}, folder) for kernel in both]
    return {"float": np.float32, "double": np.float64}[request.param], *functions


@st.composite
def geometries(draw: Any) -> tuple[Any, ...]:
    """(shape, kernel_size, stride, padding, dilation, channels last) that fit."""
    n = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(n))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(n))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(n))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(
        (draw(st.integers(0, (span) // 2)), draw(st.integers(0, span // 2))) for span in spans
    )
    sizes = tuple(span + draw(st.integers(0, 4)) for span in spans)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *sizes)
    return shape, kernel, stride, padding, dilation, draw(st.booleans())


def arranged(array: np.ndarray, last: bool) -> np.ndarray:
    return np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1) if last else array.copy()


class Spy:
    """In the place of CuPy: kernels that are C texts."""

    def __init__(self, pool_text: Any, scatter_text: Any) -> None:
        self.empty, self.moveaxis = np.empty, np.moveaxis
        self.texts = tuple(
            lambda *args, size, text=text: text(size, *args) for text in (pool_text, scatter_text)
        )


@given(geometry=geometries(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_the_texts_are_the_reference(texts: Any, geometry: Any, seed: int) -> None:
    """Values, winners and gradients, with ties, NaN and infinities, in both memory orders."""
    dtype, *functions = texts
    shape, kernel, stride, padding, dilation, last = geometry
    rng = np.random.default_rng(seed)
    x = arranged(rng.choice(NUMBERS, shape).astype(dtype), last)
    spy = Spy(*functions)
    attributes = (kernel, stride, padding, dilation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_kernels", lambda xp: xp.texts)
        y, taps = pool.max_pool(spy, x, *attributes, False)
        expected, winners = MaxPool.forward(np, x, *attributes, False)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(taps, winners)
        assert (y.dtype, layout_of(y)) == (dtype, layout_of(expected))
        g = arranged(rng.integers(-9, 9, y.shape).astype(dtype), not last)
        spread = pool.max_pool_scatter(spy, g, taps, shape, *attributes)
        np.testing.assert_array_equal(
            spread, MaxPoolScatter.forward(np, g, winners, shape, *attributes)
        )


@parametrize_cases([case for case in CASES if "max_pool" in case.id])
def test_the_generic_checks_on_the_stand_in(case: Case) -> None:
    """The kernels against the reference, in both memory orders and precisions."""
    with installed():
        check_case(case, "cuda")


class TestTable:
    def test_serves_cuda_only(self) -> None:
        for name in ("max_pool", "max_pool_scatter"):
            assert "cupy (cuda)" in tg.kernels(name)[name]

    def test_is_one_launch_each_way(self) -> None:
        with installed() as cupy:
            x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)), device="cuda")
            x.requires_grad_()
            cupy.counts.reset()
            y = tg.nn.functional.max_pool2d(x, 2)
            assert cupy.counts.launches == 1
            g = tg.ones_like(y)
            cupy.counts.reset()
            (dx,) = tg.autograd.grad(y, x, g)
            assert cupy.counts.launches <= 2  # the kernel, and a copy that the caller owns
            assert dx.sum().item() == 2 * 3 * 16

    @pytest.mark.parametrize(
        "call",
        [
            lambda x: tg.nn.functional.max_pool2d(x, 3, ceil_mode=True),
            lambda x: tg.nn.functional.max_pool2d(x.to("int64"), 2),
            lambda x: tg.nn.functional.max_pool2d(x, 17, 1, 8),
            lambda x: tg.nn.functional.adaptive_max_pool2d(x, 3),
        ],
        ids=["ceil_mode", "integers", "more than 256 taps", "adaptive"],
    )
    def test_what_it_declines_is_served_by_the_reference(self, call: Any) -> None:
        values = np.random.default_rng(0).normal(size=(1, 2, 10, 10))
        expected = call(tg.tensor(values))
        with installed():
            assert call(tg.tensor(values, device="cuda")).tolist() == expected.tolist()

    def test_an_empty_batch(self) -> None:
        with installed():
            x = tg.zeros(0, 3, 4, 4, device="cuda", requires_grad=True)
            y = tg.nn.functional.max_pool2d(x, 2)
            y.sum().backward()
            assert (y.shape, x.grad.shape) == ((0, 3, 2, 2), (0, 3, 4, 4))
