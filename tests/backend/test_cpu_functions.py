"""Exponentials, logarithms and the activations made of them equal float64 within stated errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

pytest.importorskip("numba")
from numba import njit

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import elementwise, threads
from tinygrad_cv.backend.cpu.compiled import functions
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.nn import functional as F
from tinygrad_cv.ops import _elementwise


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Kernels serve small arrays too, which else never come to the table."""
    monkeypatch.setattr(elementwise, "SMALLEST", 0)
    monkeypatch.setattr(_elementwise, "SMALL", -1)


@pytest.fixture
def used(monkeypatch):
    """The kernels that ran, by name."""
    names, run = [], elementwise._run

    def recorded(kernel, arrays, numbers):
        result = run(kernel, arrays, numbers)
        names.extend([kernel] if result is not None else [])
        return result

    monkeypatch.setattr(elementwise, "_run", recorded)
    return names


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38], np.float32)
# Every 9973rd of all float32 numbers, and those at which something changes.
EDGES = [-104, -103.97, -103.28, -88.8, -87.34, 88.72, 88.73, 1.1754944e-38, 0.70710677, 1, 20, -20]
EVERY = np.arange(0, 1 << 32, 9973, dtype=np.uint64).astype(np.uint32).view(np.float32)
EVERY = np.concatenate([EVERY, SPECIAL, np.array(EDGES, np.float32)])

# The function in float64, where it is used, and its error in units in the last place.
SCALAR = {
    "exp": (np.exp, lambda x: x == x, 1.1),
    "expm1": (np.expm1, lambda x: x <= 0, 0.9),
    "log": (np.log, lambda x: x == x, 0.8),
    "log1p": (np.log1p, lambda x: (x >= 0) & (x <= 1), 1.9),
    "sigmoid": (special.expit, lambda x: x > -88.7, 2.2),
    "tanh": (np.tanh, lambda x: x == x, 2.4),
}


def over(function):
    """The function of a scalar, applied to an array."""

    @njit
    def loop(x, y):
        for k in range(x.size):
            y[k] = function(x[k])

    return loop


@pytest.mark.parametrize("name", SCALAR)
def test_the_error_of_a_function_over_all_float32_numbers(name):
    exact, used, ulps = SCALAR[name]
    x = EVERY[used(EVERY) | np.isnan(EVERY)]
    y = np.empty_like(x)
    over(getattr(functions, name))(x, y)
    with np.errstate(all="ignore"):
        expected = exact(x.astype(np.float64))
        rounded = expected.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    unit = np.spacing(abs(rounded[finite])).astype(np.float64)
    assert (abs(y[finite] - expected[finite]) / unit).max() < ulps


def test_the_tail_of_the_normal_distribution():
    x = np.linspace(-13, 13, 100_001).astype(np.float32)
    y = np.empty_like(x)
    tail = functions.tail
    over(njit(lambda value: tail(value)[0]))(x, y)
    wide = x.astype(np.float64)
    expected = special.ndtr(-abs(wide))
    assert (abs(y - expected) / expected / (5e-7 + 1e-7 * wide**2)).max() < 1


OPERATORS = {
    "celu": lambda x: F.celu(x, 0.7),
    "elu": lambda x: F.elu(x, 0.7),
    "exp": tg.exp,
    "gelu": F.gelu,
    "gelu, tanh": lambda x: F.gelu(x, "tanh"),
    "hardshrink": lambda x: F.hardshrink(x, 1.25),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 2.0),
    "log": tg.log,
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "relu6": F.relu6,
    "selu": F.selu,
    "sigmoid": tg.sigmoid,
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, 1.5, 10.0),
    "softshrink": lambda x: F.softshrink(x, 1.25),
    "softsign": F.softsign,
    "sqrt": tg.sqrt,
    "tanh": tg.tanh,
}
POSITIVE = {"log", "sqrt"}


def results(name, values, provider="numba", layout="contiguous", dtype="float32"):
    """The output and the gradient."""
    x = tg.tensor(values.astype(dtype))
    x = (x.contiguous(layout) if values.ndim > 2 else x).detach().requires_grad_()
    with kernels.use(provider):
        y = OPERATORS[name](x)
        g = tg.tensor(np.linspace(0.5, 1, values.size, dtype=dtype).reshape(values.shape))
        y.backward(g.contiguous(layout) if values.ndim > 2 else g)
    return y.detach().numpy(), x.grad.numpy()


def runs(name):
    """How many kernels give the value and the gradient; that of exp is a plain product."""
    return 1 if name == "exp" else 2


def image(name, shape, seed=0):
    values = 3 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return abs(values) + np.float32(0.01) if name in POSITIVE else values


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 6), (2, 17, 9, 33), (4, 3, 2, 3, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_gradients_in_float64(name, shape, layout, used):
    x = image(name, shape)
    found = results(name, x, layout=layout)
    assert len(used) == runs(name)
    expected = results(name, x, "reference", dtype="float64")
    for real, exact, bound in zip(found, expected, (3e-7, 2.5e-6), strict=True):
        assert real.dtype == np.float32
        assert (abs(real - exact) / np.maximum(1, abs(exact))).max() < bound
    assert layout_of(found[0]) == layout_of(x if layout == "contiguous" else _last(x))


def _last(x):
    return tg.tensor(x).contiguous("channels_last").array


@pytest.mark.parametrize("name", OPERATORS)
def test_a_wide_range(name, used):
    x = np.concatenate([np.linspace(-60, 60, 20_001), np.logspace(-37, 1.9, 2000)])
    x = x.astype(np.float32)
    x = abs(x) + np.float32(1e-3) if name in POSITIVE else x
    found = results(name, x)
    assert len(used) == runs(name)
    expected = results(name, x, "reference", dtype="float64")
    for real, exact, bound in zip(found, expected, (3e-7, 2.5e-6), strict=True):
        error = abs(real - exact) / np.maximum(1, abs(exact))
        # The rounded argument of an exponential counts as often as the argument is large.
        assert (error / np.maximum(1, abs(x) if name == "exp" else 1)).max() < bound


@pytest.mark.parametrize("name", OPERATORS)
def test_what_is_not_finite_is_as_in_the_reference(name, used):
    x = np.tile(np.concatenate([SPECIAL, np.float32([-1, 1, 1e20, -1e20, 89, -89, 104])]), 40)
    for real, expected in zip(results(name, x), results(name, x, "reference"), strict=True):
        np.testing.assert_array_equal(np.isnan(real), np.isnan(expected))
        np.testing.assert_array_equal(np.isinf(real), np.isinf(expected))
        np.testing.assert_allclose(real, expected, rtol=1e-5, atol=1e-6)
    assert len(used) == runs(name)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_same_bits_with_any_number_of_threads(name, used):
    x, before, found = image(name, (3, 17, 9, 31)), threads.get_num_threads(), []
    try:
        for workers in (1, 1, 2, 5):
            threads.set_num_threads(workers)
            # A thread may begin anywhere, so that a number is in a vector or in the rest.
            found.append(np.stack(results(name, x)).tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(set(found)) == 1
    assert len(used) == 4 * runs(name)


@pytest.mark.parametrize("name", OPERATORS)
def test_what_lies_otherwise_is_left_to_the_reference(name):
    strided = tg.tensor(image(name, (4, 6, 8, 10)))[..., ::2]
    with kernels.use("numba"):
        found = OPERATORS[name](strided)
    with kernels.use("reference"):
        np.testing.assert_array_equal(found.numpy(), OPERATORS[name](strided).numpy())
    x = tg.tensor(image(name, (4, 6, 8, 10))).requires_grad_()
    with kernels.use("numba"):
        OPERATORS[name](x).backward(tg.ones(4, 6, 8, 10).contiguous("channels_last"))
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("name", OPERATORS)
def test_no_number_and_one_number(name, used):
    for shape in ((0, 3, 4, 4), (0,), ()):
        y, gradient = results(name, np.ones(shape, np.float32))
        assert y.shape == gradient.shape == shape
    assert len(used) == 3 * runs(name)


@pytest.mark.parametrize("name", OPERATORS)
def test_second_derivatives(name):
    found = []
    for provider in ("numba", "reference"):
        x = tg.tensor(image(name, (40, 50))).requires_grad_()
        with kernels.use(provider):
            (first,) = tg.autograd.grad((OPERATORS[name](x) ** 2).sum(), [x], create_graph=True)
            first.sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)


def test_who_serves():
    names = "celu elu gelu gelu_tanh hardshrink hardsigmoid hardswish hardtanh log logsigmoid mish"
    for name in (names + " selu silu softplus softshrink softsign sqrt tanh").split():
        served = tg.kernels(name)
        assert served[name][0] == served[f"{name}.vjp"][0] == "numba (cpu)"
    for name in ("exp", "sigmoid"):
        assert tg.kernels(name)[name][0] == "numba (cpu)"


def test_no_warning_and_an_ieee_value():
    x = tg.tensor(np.tile(np.float32([200, -200, 0, -1]), 100)).requires_grad_()
    for function in OPERATORS.values():
        function(x).sum().backward()


def test_a_celu_whose_exponentials_grow_is_left_to_the_reference(used):
    x = tg.tensor(image("celu", (3, 5, 7, 6))).requires_grad_()
    with kernels.use("numba"):
        F.celu(x, -2.0).sum().backward()
    assert not {"celu", "celu_gradient"} & set(used)
    np.testing.assert_allclose(
        x.grad.numpy(), np.where(x.detach().numpy() > 0, 1, np.exp(x.detach().numpy() / -2)), 1e-5
    )
