"""Choosing by a mask, bit by bit: the same as ``np.where`` for every dtype and memory order."""

import numpy as np
import pytest

from tinygrad_cv.backend.select import LARGE, choose, keep

RNG = np.random.default_rng(5)
DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]
SHAPES = [(), (0, 3), (7,), (2, 3, 4, 5), (2, 8, 20, 20)]


def sample(shape, dtype, channels_last=False):
    values = np.asarray(RNG.standard_normal(shape) * 5).astype(dtype)
    if np.dtype(dtype).kind == "f" and values.ndim and values.size:
        values.reshape(-1)[::3] = np.nan
        values.reshape(-1)[1::3] = -np.inf
    if channels_last and values.ndim == 4:
        values = np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)
    return values


def mask_of(shape):
    return np.asarray(RNG.random(shape) < 0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_keep_and_choose_are_where(shape, dtype, channels_last):
    a, b = sample(shape, dtype, channels_last), sample(shape, dtype)
    mask = mask_of(shape)
    assert shape != SHAPES[-1] or a.size >= LARGE
    for found, expected in (
        (keep(np, a, mask), np.where(mask, a, np.zeros((), dtype))),
        (keep(np, a, mask, np.empty_like(b)), np.where(mask, a, np.zeros((), dtype))),
        (choose(np, mask, a, b), np.where(mask, a, b)),
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_keep_broadcasts():
    values, mask = sample((2, 3, 4, 5), "float32"), mask_of((3, 1, 5))
    np.testing.assert_array_equal(keep(np, values, mask), np.where(mask, values, 0))


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_keep_has_the_memory_order_of_the_values(dtype):
    values = sample((2, 3, 4, 5), dtype, channels_last=True)
    assert keep(np, values, mask_of(values.shape)).strides == values.strides
