"""Sums into rows: by NumPy, on the stand-in, and the C text of the kernel compiled for the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_cv.backend import scatter
from tinygrad_cv.backend.scatter import sum_rows

RNG = np.random.default_rng(0)


def naive(flat: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    table = np.zeros((count, rows.shape[1]), rows.dtype)
    for place, row in zip(flat, rows, strict=True):
        table[place] += row
    return table


def problem(size: int, width: int, count: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    flat = RNG.integers(0, count, size) if count else np.zeros(0, np.int64)
    return flat, (RNG.standard_normal((flat.size, width)) * 8).astype(dtype)


SHAPES = [
    (7, 3, 4),
    (7, 1, 4),
    (0, 3, 4),
    (5, 0, 4),
    (100, 2, 3),
    (3, 2, 100),
    (1, 1, 1),
    (0, 2, 0),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_those_of_a_loop(shape: tuple[int, int, int], dtype: Any) -> None:
    flat, rows = problem(*shape, dtype)
    table = sum_rows(np, flat, rows, shape[2])
    assert table.dtype == dtype
    np.testing.assert_allclose(table, naive(flat, rows, shape[2]), rtol=1e-6, atol=1e-6)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_any_index(places: list[int], width: int) -> None:
    flat = np.array(places, np.int64)
    rows = RNG.standard_normal((flat.size, width))
    np.testing.assert_allclose(sum_rows(np, flat, rows, 6), naive(flat, rows, 6), atol=1e-12)


def test_one_infinity_stays_where_it_is() -> None:
    flat, rows = np.array([0, 1, 1, 2]), np.array([[1.0], [np.inf], [1.0], [2.0]])
    assert sum_rows(np, flat, rows, 3).ravel().tolist() == [1, np.inf, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", SHAPES)
def test_on_the_stand_in(shape: tuple[int, int, int], dtype: Any) -> None:
    pytest.importorskip("cupy")
    from tests.cupy_standin import installed

    flat, rows = problem(*shape, dtype)
    with installed() as cupy:
        places, values = cupy.asarray(flat), cupy.asarray(rows)
        cupy.counts.reset()
        table = sum_rows(cupy.module, places, values, shape[2])
        assert cupy.counts.to_host == 0
        np.testing.assert_allclose(table.get(), naive(flat, rows, shape[2]), rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [*SHAPES, (100_000, 8, 50)])
def test_on_a_gpu(shape: tuple[int, int, int], dtype: Any) -> None:
    import cupy

    flat, rows = problem(*shape, dtype)
    tables = [
        sum_rows(cupy, cupy.asarray(flat), cupy.asarray(rows), shape[2]).get() for _ in range(3)
    ]
    np.testing.assert_allclose(tables[0], naive(flat, rows, shape[2]), rtol=1e-4, atol=1e-3)
    for table in tables[1:]:
        np.testing.assert_array_equal(table, tables[0])


@pytest.mark.parametrize(("kind", "dtype"), [("float", np.float32), ("double", np.float64)])
def test_the_text_of_the_kernel(tmp_path: Path, kind: str, dtype: Any) -> None:
    pytest.importorskip("cupy")
    from tests.cupy_standin import compiler

    if compiler.COMPILER is None:
        pytest.skip("no C++ compiler")
    kernel = compiler.kernels_of(scatter._kernel.__wrapped__)
    run = compiler.compiled(kernel, {"T": kind}, tmp_path)
    for shape in [s for s in SHAPES if s[0] and s[1]]:
        flat, rows = problem(*shape, dtype)
        order = np.argsort(flat, kind="stable")
        bounds = np.searchsorted(flat[order], np.arange(shape[2] + 1))
        table = np.full((shape[2], shape[1]), np.nan, dtype)
        run(table.size, rows, order, bounds, shape[1], table)
        np.testing.assert_array_equal(table, naive(flat, rows, shape[2]))
