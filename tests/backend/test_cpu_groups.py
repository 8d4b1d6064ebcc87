"""Compiled convolution in groups: depthwise, few channels per group, and products."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.backend.test_cpu_convolution import EXACT, arrays, case, compare
from tinygrad_cv.backend.cpu import convolution
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(convolution, "SMALLEST", 0)


@pytest.mark.parametrize("width", [1, 7, 14, 23])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [((3, 3), 1, 1, 1), ((3, 3), 2, 1, 1), ((5, 5), 1, 1, 2), ((2, 7), 3, 1, 3), ((4, 4), 2, 3, 5),
     ((1, 1), 2, 1, 0)],
)  # fmt: skip
def test_depthwise_in_rows_of_any_width(width, kernel, stride, dilation, padding):
    x, w, b = arrays((2, 19, 9, width), kernel, 19, 19)
    pads = ((padding, padding), (padding, padding + 1))
    assert convolution._algorithm(case(x, w, pads, (stride,) * 2, (dilation,) * 2, 19)) == "groups"
    compare(x, w, b, (stride,) * 2, pads, (dilation,) * 2, 19, EXACT)


@pytest.mark.parametrize(("deep", "wide"), [(4, 4), (1, 3), (3, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("groups", [2, 8, 11])
def test_vectors_hold_whole_groups(deep, wide, groups):
    """More groups than lanes, fewer, and a rest; kernels of 3, 5 and 4 taps in a line."""
    for kernel, stride, dilation in (((3, 3), 1, 1), ((1, 5), 2, 1), ((4, 4), 1, 2)):
        x, w, b = arrays((2, deep * groups, 9, 15), kernel, wide * groups, groups)
        pads = ((2, 3), (2, 2))
        options = (stride,) * 2, pads, (dilation,) * 2, groups
        taken = case(x, w, pads, options[0], options[2], groups)
        assert convolution._algorithm(taken) == (
            "groups" if 2 * max(deep, wide) <= WIDTH else "taps"
        )
        compare(x, w, b, *options, EXACT)


@pytest.mark.parametrize("small", [0, convolution.SMALL_GROUP])
def test_weight_gradients_of_groups(small, monkeypatch):
    """By one product for each tap and line, or with the pixels copied."""
    monkeypatch.setattr(convolution, "SMALL_GROUP", small)
    for stride, dilation, size in ((1, 1, 9), (2, 1, 80), (3, 2, 40)):
        x, w, b = arrays((2, 36, 11, size), (3, 3), 50, 2)
        compare(x, w, b, (1, stride), ((1, 1), (2, 1)), (dilation, 1), 2, EXACT)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_groups_do_not_mix(value):
    x, w, _ = arrays((1, 24, 5, 6), (3, 3), 24, 6, bias=False)
    x[0, 9, 2, 3] = value  # in the third group
    options = ((1, 1), ((1, 1), (1, 1)), (1, 1), 6)
    for found in (
        convolution.conv(np, x, w, None, *options)[0],
        convolution.conv_input_grad(np, x, w, x.shape, *options)[0],
        convolution.conv_weight_grad(np, x, np.ones_like(x), w.shape, *options),
    ):
        spoilt = ~np.isfinite(found.reshape(24, -1)).all(axis=1)
        assert set(np.flatnonzero(spoilt)) == {8, 9, 10, 11}


@pytest.mark.parametrize("place", [(0, 0), (5, 0), (4, 5), (8, 12)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_depthwise_touches_no_pixel_that_a_window_does_not_see(value, place):
    x, w, _ = arrays((1, 16, 9, 13), (3, 3), 16, 16, bias=False)
    x[0, 3, *place] = value
    options = ((1, 1), ((1, 1), (1, 1)), (1, 1), 16)
    near = np.zeros((9, 13), bool)
    near[max(place[0] - 1, 0) : place[0] + 2, max(place[1] - 1, 0) : place[1] + 2] = True
    y = convolution.conv(np, x, w, None, *options)
    np.testing.assert_array_equal(~np.isfinite(y[0, 3]), near)
    dx = convolution.conv_input_grad(np, x, w, x.shape, *options)
    np.testing.assert_array_equal(~np.isfinite(dx[0, 3]), near)
    dw = convolution.conv_weight_grad(np, x, np.ones_like(x), w.shape, *options)
    for found in (y[0], dx[0], dw):
        assert np.isfinite(np.delete(found, 3, axis=0)).all()
