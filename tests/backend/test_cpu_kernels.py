"""The compiled kernels: chosen where they say, equal to the reference, absent without Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.backend import cpu, kernels
from tinygrad_cv.backend.cpu import compiling, threads, worth
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.ops.pool import MaxPool, MaxPoolScatter

numba = pytest.importorskip("numba")
F = tg.nn.functional

GEOMETRIES = [
    # input, kernel, stride, padding
    ((3, 16, 8, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((2, 17, 7, 9), (3, 2), (2, 1), ((1, 1), (1, 0))),
    ((1, 16, 5, 5), (2, 3), (3, 3), ((0, 0), (1, 1))),
    ((2, 33, 4, 4), (4, 4), (1, 1), ((2, 2), (2, 1))),
    ((2, 16, 3, 5), (1, 1), (1, 2), ((0, 0), (0, 0))),
    ((0, 16, 4, 4), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((3, 6, 9, 7), (2, 2), (2, 2), ((0, 0), (0, 0))),  # the last pixels are in no window
    ((2, 70, 4, 6), (2, 3), (2, 3), ((1, 0), (0, 0))),  # as many taps as pixels, one is outside
    ((2, 1, 4, 7), (2, 1), (3, 3), ((0, 1), (0, 0))),
]


@pytest.fixture
def any_size(monkeypatch):
    """The kernels take small images too."""
    monkeypatch.setattr(cpu.pool, "SMALLEST", 0)


def channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def image(shape, values="few"):
    rng = np.random.default_rng(5)
    if values == "few":  # many ties
        found = rng.integers(-2, 3, shape)
    else:
        found = rng.choice([np.nan, 1.0, 2.0, -np.inf, np.inf], shape)
    array = channels_last(found.astype(np.float32))
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("values", ["few", "not finite"])
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), GEOMETRIES)
def test_values_and_winners_equal_the_reference(shape, kernel, stride, padding, values):
    x, attrs = image(shape, values), (kernel, stride, padding, (1, 1))
    expected = MaxPool.forward(np, x, *attrs, False)
    found = cpu.pool.max_pool(np, x, *attrs, False)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a.dtype, layout_of(a)) == (b.dtype, layout_of(b))
    g = channels_last(np.random.default_rng(6).normal(size=found[0].shape).astype(np.float32))
    spread = cpu.pool.max_pool_scatter(np, g, found[1], shape, *attrs)
    expected = MaxPoolScatter.forward(np, g, expected[1], shape, *attrs)
    np.testing.assert_allclose(spread, expected, rtol=1e-6, atol=1e-6)
    assert layout_of(spread) == layout_of(expected)


def test_the_table_names_the_provider_and_a_context_forces_one(any_size):
    served_by = tg.kernels("max_pool")["max_pool"]
    assert served_by[-1] == "reference"
    assert "numba (cpu)" in served_by
    spec = (Spec((2, 16, 8, 8), np.dtype("float32"), "channels_last"),)
    attrs = ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False)
    rows = kernels.candidates("max_pool")
    assert kernels.choose(rows, "cpu", spec, attrs).provider == "numba"
    with kernels.use("reference"):
        assert kernels.choose(rows, "cpu", spec, attrs) is None


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"dtype": np.dtype("float64")}, None),
        ({"layout": "contiguous", "shape": (2, 7, 64, 64)}, None),
        ({}, (0, (20, 20))),
    ],
)
def test_what_a_kernel_does_not_serve_it_declines(any_size, change, attribute):
    spec = Spec((2, 16, 64, 64), np.dtype("float32"), "channels_last")._replace(**change)
    attrs = [(2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False]
    if attribute:
        attrs[attribute[0]] = attribute[1]
    assert kernels.choose(kernels.candidates("max_pool"), "cpu", (spec,), tuple(attrs)) is None


def test_an_unknown_provider():
    with (
        pytest.raises(
            tg.ArgumentError, match=r"^use_kernels: no kernel comes from 'cuda'; .*numba"
        ),
        tg.use_kernels("cuda"),
    ):
        pass


def test_small_images_do_not_load_the_compiler():
    code = (
        "import tinygrad_cv as tg, sys; F = tg.nn.functional;"
        "from tinygrad_cv.backend.cpu import pool;"
        "pool.SMALLEST = int(sys.argv[1]) or pool.SMALLEST;"
        "x = tg.ones(1, 16, 8, 8).contiguous('channels_last').requires_grad_();"
        "(F.max_pool2d(x, 2).sum() + F.avg_pool2d(x, 2).sum()).backward();"
        "print('numba' in sys.modules)"
    )
    found = [
        subprocess.run([sys.executable, "-c", code, smallest], capture_output=True, text=True)
        for smallest in ("0", "1")
    ]
    assert [done.stdout.strip() for done in found] == ["False", "True"]


def test_a_layer_that_starts_slowly_takes_larger_arrays_only(monkeypatch):
    monkeypatch.setattr(threads, "_layer", "tbb")
    assert worth.repays(1000, 1000)
    assert not worth.repays(999, 1000)
    monkeypatch.setattr(threads, "_layer", "workqueue")
    assert worth.repays(8000, 1000)
    assert not worth.repays(7999, 1000)
    assert not worth.repays(8000, 1000, slow=9)


def test_gradients_are_those_of_the_reference(any_size):
    x = image((2, 16, 8, 8))
    grads = []
    for provider in ("numba", "reference"):
        with kernels.use(provider):
            tensor = tg.tensor(x).contiguous("channels_last").requires_grad_()
            F.max_pool2d(F.max_pool2d(tensor, 3, 2, 1) ** 2, 2).sum().backward()
            grads.append(tensor.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-6)


def test_a_numba_that_cannot_be_imported_leaves_the_reference(any_size, monkeypatch):
    def never(*args):
        raise AssertionError("the kernel was called")

    rows = [row._replace(function=never) for row in kernels.TABLE["max_pool"]]
    monkeypatch.setitem(kernels.TABLE, "max_pool", rows)
    x = tg.tensor(image((2, 16, 8, 8))).contiguous("channels_last")
    with pytest.raises(AssertionError, match="the kernel was called"):
        F.max_pool2d(x, 2)
    monkeypatch.setattr(worth, "usable", lambda: False)
    expected = MaxPool.forward(np, x.numpy(), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False)[0]
    np.testing.assert_array_equal(F.max_pool2d(x, 2).numpy(), expected)


def test_without_numba_nothing_is_registered():
    code = (
        "import importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'numba' else find(name, *a);"
        "import tinygrad_cv as tg, sys;"
        "assert 'numba (cpu)' not in tg.kernels('max_pool')['max_pool'];"
        "assert tg.nn.functional.max_pool2d(tg.ones(8, 16, 32, 32), 2).shape == (8, 16, 16, 16);"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_may_pool_at_the_same_time():
    x = image((4, 16, 16, 16))
    attrs = ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False)
    expected = MaxPool.forward(np, x, *attrs)[0]
    with ThreadPoolExecutor(4) as pool:
        for y, _ in pool.map(lambda _: cpu.pool.max_pool(np, x, *attrs), range(32)):
            np.testing.assert_array_equal(y, expected)


def test_machine_code_of_every_kernel_can_be_found_on_disk_again():
    """Numba hashes what a closure holds, and compiled functions in it differ in every process."""
    made = compiling.kernels()
    assert len(made) > 20
    assert [kernel.name for kernel in made if kernel.function.__closure__] == []


def test_a_second_process_compiles_nothing(tmp_path):
    code = (
        "import numpy as np, numba.core.event as e;"
        "from tinygrad_cv.backend.cpu.compiled import winograd;"
        "w, u = np.ones((1, 3, 3, 16, 16), 'f'), np.empty((1, 36, 16, 16), 'f');"
        "room = np.empty((1, winograd.TRANSPOSED), 'f');"
        "seen = e.RecordingListener();"
        "e.register('numba:compile', seen);"
        "winograd.weights(1, w, u, room, 0); print(len(seen.buffer) > 0)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment).stdout
        for _ in range(2)
    ]
    assert [text.decode().strip() for text in found] == ["True", "False"]


shared = None  # for Numba, once it is known to be there


def _in_two_phases(source, between, out, total, workers, task):
    for q in shared(0, workers, task):
        between[q] += source[q]
    if task < 0:
        for q in range(workers):
            total[0] += between[q]
    for q in shared(1, workers, task):
        out[q] += between[workers - 1 - q]
    if task < 0:
        total[1] += 1


def _one_fails(x, workers, task):
    for q in shared(0, workers, task):
        if x[q] < 0:
            raise ValueError("negative")
        x[q] = 7


@pytest.fixture
def parallel():
    """Compile a function of this module with arrays of floats and a number of tasks."""
    from tinygrad_cv.backend.cpu.compiled import tasks

    globals().update(shared=tasks.shared)  # a closure would not do

    def make(function, arrays):
        vectors = ", ".join(["float32[::1]"] * arrays)
        return compiling.compiled(f"void({vectors}, int64)", parallel=True)(function)

    return make


@pytest.mark.parametrize("count", [0, 1, 2, 64])
def test_shared_loops_end_before_what_follows_them(parallel, count):
    """And every iteration is done once."""
    kernel = parallel(_in_two_phases, 4)
    source = np.arange(1, 65, dtype=np.float32)
    between, out, total = np.zeros_like(source), np.zeros_like(source), np.zeros(2, np.float32)
    kernel(source, between, out, total, count)
    np.testing.assert_array_equal(out[:count], source[:count][::-1])
    np.testing.assert_array_equal(out[count:], 0)
    assert total[0] == source[:count].sum()
    assert total[1] == 1


def test_an_error_of_a_task_is_one_of_the_kernel(parallel):
    kernel = parallel(_one_fails, 1)
    x = np.ones(5, np.float32)
    kernel(x, 5)
    np.testing.assert_array_equal(x, 7)
    x[3] = -1
    with pytest.raises(ValueError, match="negative"):
        kernel(x, 5)
    x[3] = 1
    kernel(x, 5)
    np.testing.assert_array_equal(x, 7)
