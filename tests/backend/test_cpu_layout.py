"""Copies from one memory order to the other, by a kernel: the same values, in the new order."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend.cpu import layout
from tinygrad_cv.backend.layout import pixels
from tinygrad_cv.backend.spec import layout_of, spec_of

ORDERS = ("contiguous", "channels_last")


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(layout, "SMALLEST", 0)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (1, 1), (33, 15), (5, 48), (50, 137)])
def test_matrices_are_transposed(rows, columns, dtype):
    source = np.arange(3 * rows * columns, dtype=np.int64).reshape(3, rows, columns).astype(dtype)
    target = np.full((3, columns, rows), 99, dtype)
    layout.transposed(source, target)
    np.testing.assert_array_equal(target, source.swapaxes(1, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.float64])
@pytest.mark.parametrize(
    "shape",
    [(2, 8, 3, 5), (1, 19, 4, 4), (3, 16, 40), (2, 33, 2, 3, 4), (2, 3, 9, 9), (2, 9, 1, 1)],
)
def test_there_and_back(shape, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, shape).astype(dtype)
    x.flags.writeable = False
    there = layout.reordered(x, "channels_last")
    assert pixels(there).flags.c_contiguous
    assert layout_of(layout.reordered(there, "channels_last")) == layout_of(there)
    back = layout.reordered(there, "contiguous")
    assert back.flags.c_contiguous
    for found in (there, back, layout.contiguous_pixels(x).transpose(0, -1, *range(1, x.ndim - 1))):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, x)


def test_what_is_taken(monkeypatch):
    spec = spec_of(np.zeros((2, 16, 8, 8), np.float32))
    assert layout._takes((spec,), ("channels_last",))
    assert not layout._takes((spec,), ("contiguous",))
    assert not layout._takes((spec._replace(shape=(2, 3, 8, 8)),), ("channels_last",))
    assert not layout._takes((spec._replace(dtype=np.dtype("float64")),), ("channels_last",))
    monkeypatch.setattr(layout, "SMALLEST", 1 << 15)
    assert not layout._takes((spec,), ("channels_last",))


def test_an_image_with_gaps_is_copied_by_numpy():
    x = tg.tensor(np.arange(2 * 16 * 8 * 16, dtype=np.float32).reshape(2, 16, 8, 16))
    gaps = x[:, :, :, ::2]
    assert layout._layout(np, gaps.array, "channels_last") is None
    copy = gaps.contiguous("channels_last")
    assert layout_of(copy.array) == "channels_last"
    np.testing.assert_array_equal(copy.array, x.array[..., ::2])
