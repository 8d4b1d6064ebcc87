"""Compiled products, activations and dropout equal their references, gradients included."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import elementwise, threads
from tinygrad_cv.nn import functional as F


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(elementwise, "SMALLEST", 0)


FUNCTIONS = {
    "neg": lambda x, y: -x + y,
    "mul": lambda x, y: x * y,
    "leaky": lambda x, y: F.leaky_relu(x, 0.1) * y,
    "steep": lambda x, y: F.leaky_relu(x, 3.0) + y,
    "flat": lambda x, y: F.leaky_relu(x, 0.0) + y,
    "sigmoid": lambda x, y: F.sigmoid(x) * y,
    "tanh": lambda x, y: F.tanh(x) * y,
    "dropout": lambda x, y: F.dropout(x, 0.3, generator=tg.Generator(3)) * y,
    "all dropped": lambda x, y: F.dropout(x, 1.0, generator=tg.Generator(3)) * y,
    "channels": lambda x, y: F.dropout2d(x, 0.3, generator=tg.Generator(3)) * y,
}

# Where digits are lost: 1 - y^2 for y near 1.
ABSOLUTE = {"tanh": 2e-6}


def results(function, provider, x, y, layouts):
    """The output and both gradients, the operands lying in the given layouts."""
    leaves = [
        tg.tensor(a).contiguous(layout).detach().requires_grad_()
        for a, layout in zip((x, y), layouts, strict=True)
    ]
    with kernels.use(provider):
        output = function(*leaves)
        weights = np.linspace(-1, 1, output.numel(), dtype=np.float32).reshape(output.shape)
        output.backward(tg.tensor(weights).contiguous(layouts[0]))
    return [output.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def compare(name, x, y, layouts, rtol=1e-6):
    found, expected = (results(FUNCTIONS[name], p, x, y, layouts) for p in ("numba", "reference"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=ABSOLUTE.get(name, 1e-7))


def image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_shape_and_layout(name, data):
    shape = data.draw(st.tuples(*[st.integers(1, 7)] * 4))
    layouts = data.draw(st.tuples(*[st.sampled_from(["contiguous", "channels_last"])] * 2))
    compare(name, image(shape), image(shape, 1), layouts)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_what_is_not_finite_is_carried(name, layout):
    x, y = image((4, 16, 9, 7)), image((4, 16, 9, 7), 1)
    x[0, 0, :3], x[1, 1, :3], x[2, 2, :3], x[3, 3, :3] = np.nan, np.inf, -np.inf, -0.0
    with np.errstate(invalid="ignore"):
        compare(name, x, y, (layout, layout))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_large_arrays_and_any_number_of_threads(name, monkeypatch):
    monkeypatch.undo()
    x, y = image((8, 32, 33, 20)), image((8, 32, 33, 20), 1)
    before = threads.get_num_threads()
    try:
        for workers in (1, 2, 5):
            threads.set_num_threads(workers)
            compare(name, x, y, ("channels_last", "channels_last"))
    finally:
        threads.set_num_threads(before)


def test_the_mask_is_that_of_the_stream():
    x = image((3, 5, 4, 4))
    masks = []
    for provider in ("numba", "reference"):
        with kernels.use(provider):
            y = F.dropout(tg.tensor(x).contiguous("channels_last"), generator=tg.Generator(7))
            masks.append(y.numpy() != 0)
    np.testing.assert_array_equal(*masks)


def test_who_serves():
    for name in ("neg", "leaky_relu", "dropout"):
        assert tg.kernels(name)[name][0] == "numba (cpu)"
    for name in ("leaky_relu", "sigmoid", "tanh", "dropout"):
        assert tg.kernels(name)[f"{name}.vjp"][0] == "numba (cpu)"


def test_a_number_beside_a_tensor_without_axes_is_none_for_a_kernel():
    assert (tg.tensor(1) + 1.5).item() == (1.5 + tg.tensor(1)).item() == 2.5
    assert (tg.tensor(2) * 1.5).item() == 3


def test_small_arrays_do_not_load_the_compiler():
    code = (
        "import tinygrad_cv as tg, sys; F = tg.nn.functional;"
        "x = tg.ones(4, 4, requires_grad=True);"
        "F.dropout(F.leaky_relu(x.relu().tanh().sigmoid() * x)).sum().backward();"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("operate", [lambda x: x * 3, lambda x: 3 * x, lambda x: x + 3])
def test_a_0d_tensor_and_a_number_are_served(operate):
    assert operate(tg.tensor(2)).item() == operate(2)
    assert operate(tg.tensor(2.0)).item() == operate(2)
