"""The mode that checks bounds: planted faults are named, and the kernels have none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import checking, compiling

READ, WRITE = "Array(float32, 1, 'C', readonly=True)", "float32[::1]"


@pytest.fixture
def kernel(monkeypatch):
    """Compile a function in the mode, without a cache."""
    monkeypatch.setattr(checking, "ON", True)
    monkeypatch.setattr(compiling.cache, "place", lambda name: None)

    def make(function, *arguments, parallel=False):
        return compiling.compiled(f"void({', '.join(arguments)})", parallel)(function)

    return make


def test_one_float_past_scratch_memory_is_named(kernel):
    from tinygrad_cv.backend.cpu.compiled.vector import zero

    def planted(x, scratch):
        zero(scratch.ctypes.data, scratch.size * 4 + 4)

    with pytest.raises(tg.BackendError) as caught:
        kernel(planted, READ, WRITE)(
            np.ones(3, np.float32), memory.scratch((8,), np.float32, "test.scratch")
        )
    assert str(caught.value) == (
        "test_cpu_checking.planted: the kernel wrote up to 4 bytes past the end of scratch, (8,) "
        "float32"
    )


def test_one_float_before_an_output(kernel):
    from tinygrad_cv.backend.cpu.compiled.vector import zero

    def planted(y):
        zero(y.ctypes.data - 4, 8)

    y = memory.empty((1 << 17,), np.float32)  # so large that it comes from the pool
    with pytest.raises(tg.BackendError, match="wrote up to 4 bytes before y, \\(131072,\\)"):
        kernel(planted, WRITE)(y)


def test_an_input_that_is_written(kernel):
    from tinygrad_cv.backend.cpu.compiled.vector import zero

    def planted(x, y):
        zero(x.ctypes.data + 8, 4)

    x = np.ones(3, np.float32)
    with pytest.raises(tg.BackendError, match="planted: the kernel wrote into the read-only x"):
        kernel(planted, READ, WRITE)(x, x.copy())
    np.testing.assert_array_equal(x, 1)


def test_an_index_out_of_bounds(kernel):
    from numba import njit

    from tinygrad_cv.backend.cpu.compiled.tasks import shared

    @njit
    def helper(y, k):
        y[k] = 1

    def planted(y, task):
        for k in shared(0, y.size + 1, task):
            y[k] = 1

    def planted_below(y, task):
        for k in shared(0, y.size + 1, task):
            helper(y, k)

    for function in (planted, planted_below):
        with pytest.raises(tg.BackendError, match=f"{function.__name__}: an index is out of bound"):
            kernel(function, WRITE, parallel=True)(np.zeros(3, np.float32))


def test_a_read_past_the_end_spoils_the_result(kernel):
    from tinygrad_cv.backend.cpu.compiled.vector import copy

    def planted(x, y):
        copy(y.ctypes.data, x.ctypes.data + 4, y.size * 4)

    y = np.zeros(3, np.float32)
    kernel(planted, READ, WRITE)(np.ones(3, np.float32), y)
    np.testing.assert_array_equal(y, [1, 1, np.nan])


def test_a_right_kernel_gives_what_it_gives_otherwise(kernel):
    def powers(x, y):
        for k in range(1, y.size):
            y[k] = 2 * x[k - 1]

    y = np.ones(3, np.float32)
    kernel(powers, READ, WRITE)(y, y)  # one array, given twice
    np.testing.assert_array_equal(y, [1, 2, 4])
    kernel(powers, READ, WRITE)(np.full(3, 7, np.float32), y)
    np.testing.assert_array_equal(y, [1, 14, 14])


def test_one_float_past_an_array_at_an_address(kernel):
    from tinygrad_cv.backend.cpu.compiled.vector import zero

    def planted(addresses, kind, floats):
        zero(addresses[kind, 1], floats * 4)

    run = kernel(planted, "int64[:, ::1]", "int64", "int64")
    names = {"parameter": True, "gradient": False}

    def step(kind, floats):
        lists = [[np.ones((3, 2), np.float32) for _ in names] for _ in range(2)]
        lists[1][0] = np.ones((2, 3), np.float32).T  # the order of the axes does not matter
        places = np.array([[a.ctypes.data for a in arrays] for arrays in lists]).T.copy()
        with checking.behind_guards("optim.planted", names, lists, places) as addresses:
            run(addresses, kind, floats)
        return lists

    (p, g), (changed, h) = step(0, 4)
    np.testing.assert_array_equal([p, g, h], 1)
    np.testing.assert_array_equal(changed.T.ravel(), [0, 0, 0, 0, 1, 1])
    with pytest.raises(
        tg.BackendError, match=r"optim.planted: .* 4 bytes past the end of paramete"
    ):
        step(0, 7)
    with pytest.raises(
        tg.BackendError, match="wrote into the read-only gradient, \\(6,\\) float32"
    ):
        step(1, 1)


def test_a_float_too_many_in_a_row_of_working_memory(kernel):
    from tinygrad_cv.backend.cpu.case import thread_rows
    from tinygrad_cv.backend.cpu.compiled.vector import zero

    def planted(scratch, floats):
        zero(scratch.ctypes.data, floats * 4)

    run = kernel(planted, "float32[:, ::1]", "int64")
    run(thread_rows("planted", 1, 9), 9)
    with pytest.raises(tg.BackendError, match="4 bytes past the end of scratch"):
        run(thread_rows("planted", 1, 9), 10)


@pytest.mark.slow
def test_every_kernel_keeps_within_its_arrays():
    here = Path(__file__).resolve()
    done = subprocess.run(
        [sys.executable, here.parent / "every_kernel.py"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "TINYGRAD_CV_CHECK_BOUNDS": "1",
            "PYTHONPATH": str(here.parents[2]),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"  # the kernels that stayed unused
