"""Threads of compiled kernels: their number, user threads, forks, and the layer without TBB."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend.cpu import convolution, threads

OPTIONS = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)

# Runs a convolution in four threads at once, then in a forked child, and prints the layer.
PROGRAM = """
import os, sys, threading
import numpy as np
from tinygrad_cv.backend.cpu import convolution, threads
if sys.argv[1] == "workqueue":
    threads._load_tbb = lambda: False
x = np.random.default_rng(0).standard_normal((4, 32, 16, 16)).astype(np.float32)
w = np.ones((32, 32, 3, 3), np.float32)
run = lambda: convolution.conv(np, x, w, None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
expected, found = run(), []
def many():
    for _ in range(20):
        found.append(np.array_equal(run(), expected))
workers = [threading.Thread(target=many) for _ in range(4)]
[t.start() for t in workers]; [t.join() for t in workers]
assert len(found) == 80 and all(found)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(run(), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(run(), expected)
print(threads.layer())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("layer", ["any", "workqueue"])
def test_user_threads_and_a_forked_child(layer):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, layer], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    expected = threads.layer() if layer == "any" else "workqueue"
    assert done.stdout.split()[-1] == expected  # TBB may have said that it restarts its threads


def test_scratch_memory_belongs_to_one_thread():
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((2, 16, 8, 8)).astype(np.float32) for _ in range(8)]
    w = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    expected = [convolution.conv(np, x, w, None, *OPTIONS) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: convolution.conv(np, x, w, None, *OPTIONS), inputs * 4))
    for a, b in zip(found, expected * 4, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_number_of_threads_follows_the_environment():
    code = "import tinygrad_cv as tg; print(tg.get_num_threads())"
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stdout.strip() == b"3"


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "2"])
def test_a_bad_number_of_threads(count):
    before = tg.get_num_threads()
    with pytest.raises(tg.ArgumentError, match="at least 1"):
        tg.set_num_threads(count)
    assert tg.get_num_threads() == before
