"""Compiled sums, differences, products and quotients: those of NumPy, bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import arithmetic, threads
from tinygrad_cv.backend.spec import broadcast_layout, layout_of, spec_of

UFUNCS = (np.add, np.subtract, np.multiply, np.divide)

# The second against [2, 3, 17, 9]: numbers of channels, rows, columns, images, a plane, one
BROADCAST = [(3, 1, 1), (9,), (17, 1), (2, 1, 1, 1), (2, 1, 17, 9), (2, 3, 1, 1), (1, 1, 17, 9), ()]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(arithmetic, "SMALLEST", 0)


def numbers(shape, memory="contiguous", seed=0):
    rng = np.random.default_rng(seed)
    if memory == "slice":  # of something larger, along every axis
        whole = rng.standard_normal(tuple(n + 2 for n in shape)).astype(np.float32)
        return whole[tuple(slice(1, n + 1) for n in shape)]
    if memory == "channels_last" and len(shape) > 2:
        rows = rng.standard_normal((shape[0], *shape[2:], shape[1])).astype(np.float32)
        return np.moveaxis(rows, -1, 1)
    return rng.standard_normal(shape).astype(np.float32)


def compare(a, b):
    """Both ways round; how many of the eight were served."""
    served = 0
    for x, y in ((a, b), (b, a)):
        for number, ufunc in enumerate(UFUNCS):
            found = arithmetic.combined(number, np, x, y)
            if found is None:
                continue
            served += 1
            with np.errstate(all="ignore"):
                expected = ufunc(x, y)
            np.testing.assert_array_equal(found, expected)
            arrays = [spec_of(v) for v in (x, y) if isinstance(v, np.ndarray)]
            assert found.dtype == np.float32
            assert layout_of(found) == broadcast_layout(expected.shape, tuple(arrays))
    return served


MEMORIES = ("contiguous", "channels_last", "slice")


@pytest.mark.parametrize("shape", BROADCAST)
@pytest.mark.parametrize("memory", MEMORIES)
def test_broadcasting(shape, memory):
    compare(numbers((2, 3, 17, 9), memory), numbers(shape, seed=1))
    compare(numbers((2, 3, 17, 9), memory), numbers(shape, "slice", seed=1))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_two(data):
    shape = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    pair = []
    for seed in (0, 1):
        kept = [n if data.draw(st.integers(0, 2)) else 1 for n in shape]
        kept = kept[data.draw(st.integers(0, len(kept))) :]
        pair.append(numbers(tuple(kept), data.draw(st.sampled_from(MEMORIES)), seed))
    compare(*pair)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (numbers((2, 64, 5, 7)), numbers((64, 1, 1))),
        (numbers((2, 64, 5, 7), "channels_last"), numbers((64, 1, 1))),
        (numbers((40, 30)), numbers((30,))),
        (numbers((40, 30)), numbers((40, 1))),
        (numbers((40, 1)), numbers((30,))),
        (numbers((2, 3, 20, 20), "channels_last"), numbers((3, 1, 1))),  # a short line, repeated
        (numbers((5, 3, 40, 40), "channels_last"), numbers((5, 3, 1, 1))),
        (numbers((9, 40, 2, 2)), numbers((40, 1, 1))),  # short lines, one number each
        (numbers((5, 6, 20, 20))[:, :, 1:], numbers((5, 6, 20, 20))[:, :, :-1]),
        (numbers((5, 6, 20, 20))[..., 1:], numbers((5, 6, 20, 20))[..., :-1]),
        (numbers((5, 6, 20, 20))[..., 1:, 1:], numbers((5, 6, 20, 20))[..., :-1, :-1]),
        (numbers((300, 3)), 2.5),
        (numbers((300, 3)), 7),
    ],
)
def test_what_is_served(first, second):
    assert compare(first, second) == 8


def test_what_is_declined():
    x = numbers((40, 30))
    for other in (x[::-1], x.T[:30].T[:, ::-1], numbers((30, 40)).T):
        assert compare(x, other) == 0
    assert compare(x[:, ::2], x[:, ::2]) == 0  # numbers that are not neighbours
    assert compare(np.broadcast_to(x[:, :1], (40, 30)), np.broadcast_to(x[:, :1], (40, 30))) == 0
    assert compare(numbers((300, 3))[:, :2], numbers((300, 2))) == 0  # lines too short
    assert compare(x[:0], x[:0]) == 0


def test_nan_infinity_and_zero():
    with np.errstate(over="ignore"):
        odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 3e38, 1], np.float32)
    for pair in ((odd[:, None], odd), (np.tile(odd, 8), np.repeat(odd, 8)), (odd, 1e-40)):
        assert compare(*pair) == 8


def test_copies():
    x = numbers((2, 16, 9, 10))
    x[0, 0, 0, :3] = np.nan, np.inf, -0.0
    last = numbers((2, 16, 9, 10), "channels_last")
    for view in (x, x[:, 3:9], x[:, :, 1:-1, 1:], x[::2], last, x[0, 0, 0], x[:1, 3]):
        found = arithmetic.clone(np, view)
        np.testing.assert_array_equal(found.view(np.int32), np.array(view).view(np.int32))
        assert layout_of(found) == layout_of(view)
        assert not np.may_share_memory(found, view)
    for view in (
        last[:, 2:],
        x.swapaxes(0, 1),
        x[..., ::-1],
        x[..., ::2],
        np.broadcast_to(x, (3, *x.shape)),
    ):
        assert arithmetic.clone(np, view) is None
    copy = tg.tensor(last).clone()
    assert copy.array.strides == last.strides
    np.testing.assert_array_equal(copy.numpy(), last)


def test_any_number_of_threads():
    before = threads.get_num_threads()
    try:
        for workers in (1, 2, 5):
            threads.set_num_threads(workers)
            assert compare(numbers((3, 17, 11, 7)), numbers((17, 1, 1))) == 8
            assert compare(numbers((1, 1)), numbers((1, 11))) == 8
    finally:
        threads.set_num_threads(before)


def test_who_serves(monkeypatch):
    def chosen(name, *specs):
        found = kernels.choose(kernels.candidates(name), "cpu", specs, ())
        return found is not None and found.provider == "numba"

    monkeypatch.setattr(arithmetic, "SMALLEST", 100)
    large, wide = spec_of(numbers((10, 10))), spec_of(np.zeros((10, 10)))
    for name in ("add", "sub", "mul", "div"):
        assert chosen(name, large, large)
        assert chosen(name, large, 2.0)
        assert chosen(name, spec_of(numbers((10, 1))), spec_of(numbers((10,))))
        assert not chosen(name, spec_of(numbers((9, 1))), spec_of(numbers((10,))))
        assert not chosen(name, large, wide)
        assert not chosen(name, wide, 2.0)


@pytest.mark.parametrize("memory", MEMORIES)
def test_gradients(memory):
    x, c = numbers((2, 16, 9, 7), memory), numbers((16, 1, 1), seed=1)
    results = []
    for provider in ("numba", "reference"):
        leaves = [tg.tensor(a).requires_grad_() for a in (x, c)]
        with kernels.use(provider):
            y = leaves[0] / leaves[1] - leaves[1] * (leaves[0] + 2) + (1 - leaves[0])
            y.sum().backward()
        results.append([leaf.grad.numpy() for leaf in leaves])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_shapes_that_do_not_broadcast_are_explained():
    for first, second in itertools.permutations([tg.ones(200, 3), tg.ones(200, 2)]):
        with pytest.raises(tg.ShapeError, match="the shapes do not broadcast"):
            first + second
