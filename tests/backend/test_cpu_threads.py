"""Threads of compiled kernels: their number, user threads, forks, and the layer without TBB."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import openblas
from tinygrad_cv.backend.cpu import convolution, threads

OPTIONS = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)

# Runs a convolution in four threads at once, then in a forked child, and prints the layer, and what
# the program's setting of it is.
PROGRAM = """
import os, sys, threading
import numba
import numpy as np
from tinygrad_cv.backend.cpu import convolution, threads
if sys.argv[1] == "no TBB":
    threads._load_tbb = lambda: False
if sys.argv[1] == "running":
    numba.config.THREADING_LAYER = "workqueue"
    numba.get_num_threads()
    numba.config.THREADING_LAYER = "default"
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
print(threads.layer(), numba.threading_layer(), numba.config.THREADING_LAYER)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("case", ["any", "no TBB", "running", "asked for"])
def test_user_threads_and_a_forked_child(case):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_THREADING_LAYER"}
    setting = "workqueue" if case == "asked for" else "default"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, case],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment | {"NUMBA_THREADING_LAYER": setting},
    )
    assert done.returncode == 0, done.stderr
    expected = threads.layer() if case == "any" else "workqueue"
    # TBB may have said before that it restarts its threads.
    assert done.stdout.split()[-3:] == [expected, expected, setting]


def test_tbb_is_found_where_its_wheel_put_it(monkeypatch):
    wheel = Path("user", "lib", "libtbb.so.12")

    class File:
        name = threads._NAMES.get(sys.platform, "libtbb.so.12")

        def locate(self):
            return wheel

    monkeypatch.setattr(importlib.metadata, "files", lambda package: [File()])
    first, *others = threads._tbb_paths()
    assert first == str(wheel)
    assert others[-1] == File.name

    def none(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", none)
    assert list(threads._tbb_paths()) == others


# Sets the number of threads, and prints those of NumPy's BLAS before, with 1 and with 1000, and of
# a forked child that has made a product.
BLAS = """
import ctypes, os
import numpy as np
import tinygrad_cv as tg
from tinygrad_cv.backend import openblas
ask = openblas.function(openblas.library()[1], "get_num_threads")
found = [ask()]
for count in (1, 1000):
    tg.set_num_threads(count)
    assert tg.get_num_threads() == count
    found.append(ask())
tg.set_num_threads(1)
a = np.ones((300, 300), np.float32)
assert (a @ a == 300).all()
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        os._exit(0 if (a @ a == 300).all() and ask() == tg.get_num_threads() == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
print(*found)
"""


def test_the_products_of_numpy_follow():
    if openblas.library() is None:
        pytest.skip("NumPy has another BLAS than OpenBLAS")
    plain = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {k: v for k, v in os.environ.items() if k not in plain}
    done = subprocess.run(
        [sys.executable, "-c", BLAS], capture_output=True, text=True, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(n) for n in (threads.processors(), 1, threads.processors())]


def test_another_blas_keeps_its_number(monkeypatch):
    before = threads.get_num_threads()
    monkeypatch.setattr(openblas, "_paths", lambda: iter(["/dev/null", "no such library"]))
    openblas._setter.cache_clear()
    try:
        tg.set_num_threads(before)
    finally:
        openblas._setter.cache_clear()
    assert openblas.library() is None


# Trains in this process and in one that is spawned, and prints the kernels that both have used.
SPAWN = """
import multiprocessing
import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.backend.cpu import compiling, threads

def train(steps):
    tg.manual_seed(0)
    tg.set_num_threads(2)
    net = nn.Sequential(nn.Conv2d(8, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 16 * 16, 10))
    images, labels = tg.rand(16, 8, 32, 32), tg.arange(16) % 10
    optimizer, losses = tg.optim.Adam(net.parameters()), []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    used = [kernel.name for kernel in compiling.kernels() if kernel.made is not None]
    return losses, used, threads.layer()

if __name__ == "__main__":
    here = train(3)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(train, (3,))
    assert there == here, (here, there)
    print(*here[1])
"""


def test_a_spawned_child_trains_as_its_parent(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(SPAWN)  # a file, which the child can import
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert done.returncode == 0, done.stderr
    families = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"elementwise", "linear", "norm", "optim", "pool"} < families


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


def test_who_holds_an_array_is_counted_right():
    from tinygrad_cv.backend.cpu import sets

    x, w = np.ones((300, 70), np.float32), np.ones(70, np.float32)
    before = [sys.getrefcount(a) for a in (x, w)]
    y, mean, var = sets._layer_norm(np, x, w, w, 1, 1e-5)
    g = (y, np.zeros_like(mean), np.zeros_like(var))
    dx, _, _ = sets._layer_norm_vjp(np, g, (True,) * 3, x, w, mean, var, 1, 1e-5)
    assert [sys.getrefcount(a) for a in (x, w)] == before
    assert sys.getrefcount(dx) == sys.getrefcount(var)
