"""Compiled borders: those of the reference, number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import padding, threads
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.ops.pad import Pad, PadBorder
from tinygrad_cv.ops.slicing import SliceGrad, sliced_shape

MODES = ("reflect", "symmetric", "replicate", "circular")
MEMORIES = ("contiguous", "channels_last", "reversed")
CASES = [
    # shape, widths
    ((2, 3, 5, 7), ((0, 0), (0, 0), (1, 2), (3, 1))),
    ((2, 3, 5, 7), ((0, 0), (0, 0), (0, 0), (2, 2))),
    ((2, 3, 5, 7), ((0, 0), (0, 0), (4, 0), (0, 0))),
    ((2, 4, 5, 7), ((0, 0), (2, 1), (1, 0), (0, 2))),
    ((2, 4, 1, 1), ((1, 1), (0, 0), (0, 0), (0, 0))),
    ((1, 17, 4, 3, 5), ((0, 0), (0, 0), (1, 2), (2, 0), (3, 3))),
    ((9,), ((8, 7),)),
]


def image(shape, memory="contiguous"):
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[0], x.reshape(-1)[-1] = np.nan, np.inf
    if memory == "channels_last" and x.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return x[..., ::-1] if memory == "reversed" else x


def same(found, expected):
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, layout_of(found)) == (expected.dtype, layout_of(expected))


def compare(shape, widths, memory):
    """With every mode and some values, cropped afterwards, and with every width of the other sign
    that leaves something."""
    x = image(shape, memory)
    fits = all(max(pair) < n or pair == (0, 0) for n, pair in zip(shape, widths, strict=True))
    for mode in MODES if fits else ():
        same(padding.pad_border(np, x, widths, mode), PadBorder.forward(np, x, widths, mode))
    for value in (0, 2.5, -np.inf, np.nan):
        y = Pad.forward(np, x, widths, value)
        same(padding.pad(np, x, widths, value), y)
    back = tuple((-a, -b) for a, b in widths)
    same(padding.pad(np, y, back, 0), x if memory != "reversed" else np.ascontiguousarray(x))
    mixed = tuple((a, -min(b, n - 1)) for n, (a, b) in zip(shape, widths, strict=True))
    if any(pair != (0, 0) for pair in mixed):
        same(padding.pad(np, x, mixed, 3), Pad.forward(np, x, mixed, 3))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(("shape", "widths"), CASES)
def test_the_border_is_the_reference(shape, widths, memory):
    before = threads.get_num_threads()
    try:
        for workers in (1, 3):
            threads.set_num_threads(workers)
            compare(shape, widths, memory)
    finally:
        threads.set_num_threads(before)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_widths(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    widths = tuple(
        (data.draw(st.integers(-n // 2, 3)), data.draw(st.integers(-(n - n // 2), 3)))
        if data.draw(st.booleans())
        else (0, 0)
        for n in shape
    )
    if any(a < -n or b < -n or n + a + b < 0 for n, (a, b) in zip(shape, widths, strict=True)):
        return
    x = image(shape, data.draw(st.sampled_from(MEMORIES)))
    found = padding.pad(np, x, widths, 1.5)
    if found is not None:
        same(found, Pad.forward(np, x, widths, 1.5))


ALL = (None, None, 1)
KEYS = [
    ((2, 3, 5, 7), (ALL, ALL, (1, 4, 1), (2, 7, 1))),
    ((2, 3, 5, 7), (ALL, ALL, ALL, (None, -1, 1))),
    ((2, 3, 5, 7), (ALL, (1, 2, 1), ALL, ALL)),
    ((2, 3, 5, 7), (ALL, 1, ALL, ALL)),
    ((2, 3, 5, 7), (-1, ALL, None, ALL, ALL)),
    ((2, 3, 5, 7), (ALL, ALL, ALL, 3)),
    ((2, 3, 5, 7), (None, ALL, 2, (-3, None, 1), (0, 7, 1))),
]


def compare_slice(shape, key, memory):
    grad = image(sliced_shape(shape, key), memory)
    same(padding.slice_grad(np, grad, shape, key), SliceGrad.forward(np, grad, shape, key))


@pytest.mark.parametrize("memory", ["contiguous", "reversed"])
@pytest.mark.parametrize(("shape", "key"), KEYS)
def test_the_gradient_of_a_slice(shape, key, memory):
    compare_slice(shape, key, memory)
    if all(type(entry) is tuple for entry in key):
        compare_slice(shape, key, "channels_last")


def test_slices_that_are_declined():
    for key in ((ALL, (None, None, 2)), (ALL, (None, None, -1)), (ALL, ALL)):
        grad = image(sliced_shape((4, 6), key))
        assert padding.slice_grad(np, grad, (4, 6), key) is None


def test_what_is_declined(monkeypatch):
    x = image((2, 3, 4, 5))
    assert padding.pad(np, x, ((1, 0), (0, 0), (0, 0), (1, 0)), 0) is None
    assert padding.pad(np, x, ((0, 0),) * 4, 0) is None
    assert padding.pad(np, x, ((0, 0),) * 3 + ((-5, 0),), 0) is None
    monkeypatch.setattr(padding, "SMALLEST", 100)
    for array, wanted in ((x, True), (x.astype(np.float64), False), (x[:1], False)):
        specs, attributes = (spec_of(array),), (((0, 0),) * 3 + ((1, 1),), 0)
        found = kernels.choose(kernels.candidates("pad"), "cpu", specs, attributes)
        assert (found is not None) == wanted
