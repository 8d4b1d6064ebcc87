"""Compiled group, instance, layer and RMS normalisation, and batch normalisation of planes, equal
their references, gradients included."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import norm, sets
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.nn import functional as F

PER_CHANNEL = {
    "batch": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "groups": lambda x, w, b: F.group_norm(x, 2, w, b),
    "one group": lambda x, w, b: F.group_norm(x, 1, w, b),
    "instances": lambda x, w, b: F.instance_norm(x, None, None, w, b),
}
SHAPES = [(2, 4, 4, 5), (3, 16, 7, 7), (1, 40, 3, 3), (5, 6, 17), (2, 8, 2, 3, 4), (2, 2, 64, 65)]
ROWS = [(3, 5), (70, 33), (2, 2048), (1, 5000), (130, 1), (7, 3, 16)]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(sets, "SMALLEST", 0)
    monkeypatch.setattr(norm, "SMALLEST", 0)


def image(*shape, seed=0, offset=0.0):
    values = np.random.default_rng(seed).standard_normal(shape) + offset
    return values.astype(np.float32)


def results(function, provider, *arrays, layout="contiguous", needs=None):
    """The output and the gradients."""
    leaves = [None if a is None else tg.tensor(a) for a in arrays]
    leaves[0] = leaves[0].contiguous(layout).detach()
    wanted = [k for k, t in enumerate(leaves) if t is not None and (needs is None or k in needs)]
    for k in wanted:
        leaves[k] = leaves[k].detach().requires_grad_()
    with kernels.use(provider):
        y = function(*leaves)
        slopes = tg.arange(float(y.numel())).reshape(y.shape).sin().contiguous(layout)
        found = tg.autograd.grad(y, [leaves[k] for k in wanted], slopes)
    return [y.detach().numpy(), *(g.numpy() for g in found)]


def compare(function, *arrays, **options):
    pairs = [results(function, p, *arrays, **options) for p in ("numba", "reference")]
    for real, expected in zip(*pairs, strict=True):
        np.testing.assert_allclose(real, expected, rtol=2e-5, atol=3e-5)
        assert layout_of(real) == layout_of(expected)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PER_CHANNEL)
def test_of_images(kind, shape, layout):
    c = shape[1]
    compare(PER_CHANNEL[kind], image(*shape), image(c, seed=1), image(c, seed=2), layout=layout)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("kind", PER_CHANNEL)
@pytest.mark.parametrize("needs", [(0,), (1,), (2,), (0, 2)])
def test_only_some_gradients(kind, layout, needs):
    arrays = image(3, 4, 5, 6), image(4, seed=1), image(4, seed=2)
    compare(PER_CHANNEL[kind], *arrays, layout=layout, needs=needs)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("kind", PER_CHANNEL)
def test_without_weight_or_bias(kind, layout):
    x = image(3, 4, 5, 6)
    compare(PER_CHANNEL[kind], x, None, image(4), layout=layout)
    compare(PER_CHANNEL[kind], x, image(4), None, layout=layout)
    compare(lambda x: PER_CHANNEL[kind](x, None, None), x, layout=layout)


@pytest.mark.parametrize("groups", [1, 3, 30])
def test_groups_without_positions(groups):
    compare(lambda x, w, b: F.group_norm(x, groups, w, b), image(50, 30), image(30), image(30))


@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("affine", [True, False])
def test_of_rows(shape, affine):
    size = shape[-1]
    others = (image(size, seed=1), image(size, seed=2)) if affine else (None, None)
    compare(lambda x, w, b: F.layer_norm(x, size, w, b), image(*shape), *others)
    compare(lambda x, w: F.rms_norm(x, size, w, 1e-3), image(*shape), others[0])


def test_of_whole_images():
    shape = (4, 3, 5)
    compare(
        lambda x, w, b: F.layer_norm(x, shape, w, b),
        image(2, *shape), image(*shape, seed=1), image(*shape, seed=2),
    )  # fmt: skip


def test_batch_norm_of_planes_in_evaluation():
    def function(x, w, b):
        mean, var = tg.arange(6.0), tg.arange(6.0) + 0.5
        return F.batch_norm(x, mean, var, w, b)

    compare(function, image(3, 6, 5, 4), image(6, seed=1), image(6, seed=2))


@pytest.mark.parametrize("value", [0.1, 7.3, 100.0, 1e4])
@pytest.mark.parametrize("kind", PER_CHANNEL)
def test_a_constant_set_becomes_its_bias(kind, value):
    x, bias = tg.tensor(np.full((3, 4, 5, 7), value, np.float32)), tg.arange(4.0)
    with kernels.use("numba"):
        y = PER_CHANNEL[kind](x, None, bias)
    expected = np.broadcast_to(np.arange(4.0)[:, None, None], x.shape)
    np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("kind", PER_CHANNEL)
def test_statistics_are_accurate_however_far_the_values_are_from_zero(kind, offset, layout):
    x = image(2, 4, 112, 112, offset=offset)
    x[:, :, :2] += 300  # a few lines are far from the others
    exact = PER_CHANNEL[kind](tg.tensor(x.astype("f8")), None, None).numpy()
    with kernels.use("numba"):
        y = PER_CHANNEL[kind](tg.tensor(x).contiguous(layout), None, None).numpy()
    np.testing.assert_allclose(y, exact, atol=1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_what_is_not_finite_stays_in_its_set(layout):
    x = image(4, 4, 6, 6)
    x[0, 0, 0, 0], x[1, 1, 1, 1], x[2, 2, 2, 2] = np.nan, np.inf, -np.inf
    pairs = [
        results(PER_CHANNEL["groups"], p, x, None, None, layout=layout)
        for p in ("numba", "reference")
    ]
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))


def test_memory_with_gaps():
    x = image(6, 8, 5, 12)
    for cut in (x[:, ::2], x[..., ::3], x[::-1], x.transpose(0, 2, 1, 3)):
        c = cut.shape[1]
        found = []
        for provider in ("numba", "reference"):
            with kernels.use(provider):
                found.append(F.group_norm(tg.from_numpy(cut), c).numpy())
        np.testing.assert_allclose(*found, atol=2e-6)


def test_empty_batches():
    for shape in ((0, 4, 3, 3), (0, 4)):
        x = tg.zeros(*shape, requires_grad=True)
        w = tg.ones(4, requires_grad=True)
        with kernels.use("numba"):
            F.group_norm(x, 2, w).sum().backward()
        assert x.grad.shape == shape
        assert w.grad.tolist() == [0] * 4


def test_who_serves():
    for op in ("group_norm", "instance_norm", "layer_norm", "rms_norm"):
        served = tg.kernels(op)
        assert served[op][0] == served[f"{op}.vjp"][0] == "numba (cpu)"
