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

ROOT = Path(__file__).resolve().parents[2]
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


# All algorithms at sizes that leave rests everywhere, in a process that runs in the mode.
PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_cpu_convolution import arrays, compare, convolution, cpu_winograd, lanes, threads
from tinygrad_cv.backend.cpu import checking, compiling
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH
FAMILIES = "convolution", "depthwise", "images", "winograd"
assert checking.ON
convolution.SMALLEST = cpu_winograd.FEWEST = 0
threads.set_num_threads(3)
near = ((1, 1), (1, 1))
compare(*arrays((2, 16, 9, 11), (3, 3), 33), (1, 1), near, (1, 1), 1)
compare(*arrays((3, 20, 3, 2), (3, 3), 17), (1, 1), near, (1, 1), 1)
compare(*arrays((2, 150, 2, 2), (3, 3), 150), (1, 1), near, (1, 1), 1)
compare(*arrays((1, 450, 2, 2), (3, 3), 450), (1, 1), near, (1, 1), 1)
compare(*arrays((1, 130, 5, 6), (3, 3), 140), (1, 1), near, (1, 1), 1)
compare(*arrays((1, 260, 5, 6), (3, 3), 390), (1, 1), near, (1, 1), 1)
compare(*arrays((1, 20, 3, 5, 6), (2, 3, 3), 24), (1, 1, 1), ((1, 0), *near), (1, 1, 1), 1)
compare(*arrays((2, 34, 13, 16), (3, 3), 33), (2, 2), near, (1, 1), 1)
compare(*arrays((2, 50, 17, 15), (3, 3), 65), (2, 2), ((0, 1), (2, 1)), (1, 1), 1)
compare(*arrays((1, 140, 7, 8), (3, 3), 130), (2, 2), near, (1, 1), 1)
compare(*arrays((1, 300, 8, 7), (3, 3), 390), (2, 2), ((2, 0), (1, 1)), (1, 1), 1)
compare(*arrays((1, 36, 3, 7, 8), (2, 3, 3), 40), (1, 2, 2), ((1, 0), *near), (1, 1, 1), 1)
compare(*arrays((2, 33, 7, 9), (3, 3), 17), (2, 3), near, (2, 1), 1)
compare(*arrays((2, 24, 7, 5), (1, 1), 40), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
compare(*arrays((2, 32, 7, 5), (3, 2), 48, 2), (1, 2), near, (1, 1), 2)
compare(*arrays((2, 21, 7, 5), (3, 3), 21, 21), (2, 1), near, (1, 2), 21)
compare(*arrays((1, 21, 5, 16), (5, 5), 21, 21), (1, 1), ((2, 2), (2, 2)), (1, 1), 21)
compare(*arrays((1, 270, 3, 5), (1, 1), 300), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
compare(*arrays((2, 3, 11, 13), (5, 3), 9), (2, 1), near, (1, 1), 1)
lanes.FILLED, n = 0, WIDTH + 1
compare(*arrays((n, 3, 11, 13), (5, 3), 5), (2, 1), near, (1, 1), 1)
compare(*arrays((n, 1, 7, 7), (5, 5), 6), (1, 1), near, (1, 1), 1)
compare(*arrays((n, 2, 3, 7, 5), (2, 3, 3), 3), (1, 1, 2), ((1, 0), *near), (2, 1, 2), 1)
unused = [k.name for k in compiling.kernels() if k.made is None]
print([name for name in unused if name.startswith(FAMILIES)])
"""


@pytest.mark.slow
def test_every_convolution_keeps_within_its_arrays():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "TINYGRAD_CV_CHECK_BOUNDS": "1",
            "PYTHONPATH": str(ROOT),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
