"""Compiled convolution multiplies the zeros of the padding too, where it shows: 0 * inf is NaN."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.backend.test_cpu_convolution import arrays, case
from tinygrad_cv.backend.cpu import convolution, lanes
from tinygrad_cv.backend.cpu import winograd as cpu_winograd
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH
from tinygrad_cv.ops.conv import Conv, ConvInputGrad, ConvWeightGrad

# algorithm, input, kernel, outputs, stride, padding, dilation, groups
NEAR, ONE = ((1, 1), (1, 1)), (1, 1)
CASES = [
    ("winograd", (2, 16, 9, 11), (3, 3), 32, ONE, NEAR, ONE, 1),
    ("winograd", (1, 300, 6, 5), (3, 3), 300, ONE, ((1, 0), (2, 1)), ONE, 1),
    ("winograd", (2, 32, 8, 16), (3, 3), 33, (2, 2), ((1, 0), (1, 1)), ONE, 1),
    ("winograd", (1, 16, 3, 6, 5), (2, 3, 3), 17, (1, 1, 1), ((1, 0), *NEAR), (1, 1, 1), 1),
    ("taps", (2, 24, 13), (5,), 16, (1,), ((2, 2),), (1,), 1),
    ("taps", (2, 16, 9, 8), (3, 2), 24, (2, 1), ((1, 2), (0, 1)), (1, 2), 1),
    ("winograd", (2, 32, 6, 5), (3, 3), 48, ONE, NEAR, ONE, 2),
    ("taps", (2, 32, 6, 5), (3, 2), 48, ONE, NEAR, ONE, 2),
    ("taps", (2, 16, 4, 5), (1, 1), 24, ONE, ((0, 1), (2, 0)), ONE, 1),
    ("taps", (2, 16, 4, 5), (2, 2), 24, (2, 1), ((0, 0), (0, 0)), ONE, 1),
    ("taps", (2, 16, 3, 4), (2, 2), 24, ONE, ((4, 3), (0, 2)), ONE, 1),  # outputs see zeros only
    ("taps", (1, 16, 3, 5, 4), (3, 2, 2), 5, (1, 2, 1), ((1, 1), (0, 1), (1, 0)), (1, 1, 2), 1),
    ("groups", (2, 19, 17), (3,), 19, (2,), ((2, 1),), (1,), 19),
    ("groups", (2, 19, 9, 14), (5, 5), 19, (1, 2), ((2, 2), (2, 2)), ONE, 19),
    ("groups", (1, 16, 3, 5, 9), (3, 3, 3), 16, (1, 1, 1), ((1, 1), *NEAR), (1, 2, 1), 16),
    ("groups", (2, 19, 3, 9), (2, 2), 19, ONE, ((3, 0), (0, 1)), ONE, 19),  # the same
    ("groups", (2, 12, 7, 9), (3, 3), 24, (2, 1), NEAR, ONE, 6),
    ("rows", (2, 3, 17), (3,), 8, (1,), ((1, 2),), (2,), 1),
    ("rows", (2, 3, 7, 9), (5, 3), 8, (2, 1), ((2, 2), (1, 1)), ONE, 1),
    ("rows", (1, 2, 3, 5, 6), (3, 3, 3), 5, (1, 1, 1), ((1, 1), *NEAR), (1, 1, 1), 1),
    ("rows", (2, 3, 1, 6), (3, 3), 8, ONE, NEAR, ONE, 1),  # two lines of taps meet zeros only
    ("images", (WIDTH + 1, 2, 13), (3,), 5, (1,), ((1, 1),), (1,), 1),
    ("images", (WIDTH + 1, 3, 7, 8), (3, 5), 5, (1, 2), ((1, 1), (2, 2)), ONE, 1),
    ("images", (WIDTH, 1, 3, 6, 5), (3, 3, 3), 3, (1, 1, 1), ((1, 1), *NEAR), (1, 2, 1), 1),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def served(request, monkeypatch):
    """Input, weight and output gradient of a case, and its options."""
    algorithm, shape, kernel, outputs, *options = request.param
    monkeypatch.setattr(convolution, "SMALLEST", 0)
    monkeypatch.setattr(cpu_winograd, "FEWEST", 0)
    monkeypatch.setattr(lanes, "FILLED", 0 if algorithm == "images" else 2)
    x, w, _ = arrays(shape, kernel, outputs, options[-1], bias=False)
    stride, padding, dilation, groups = options
    found = case(x, w, padding, stride, dilation, groups)
    assert convolution._algorithm(found) == algorithm
    g = np.random.default_rng(9).standard_normal((shape[0], outputs, *found.positions))
    return x, w, g.astype(np.float32), options


@pytest.mark.parametrize("place", [0, -1, "middle"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["input", "weight", "gradient", "input and weight"])
def test_what_is_not_finite_meets_the_zeros_of_the_padding(served, which, value, place):
    x, w, g, options = served
    for name, array in (("input", x), ("weight", w), ("gradient", g)):
        if name in which:
            array[tuple(n // 2 if place == "middle" else place for n in array.shape)] = value
    wide_x, wide_w, wide_g = (a.astype(np.float64) for a in (x, w, g))
    with np.errstate(all="ignore"):
        outputs = Conv.forward(np, wide_x, wide_w, None, *options)
        pixels = ConvInputGrad.forward(np, wide_g, wide_w, x.shape, *options)
        taps = ConvWeightGrad.forward(np, wide_x, wide_g, w.shape, *options)
        alike(Conv.call(x, w, None, *options), outputs)
        alike(ConvInputGrad.call(g, w, x.shape, *options), pixels)
        alike(ConvWeightGrad.call(x, g, w.shape, *options), taps)


def alike(real, expected):
    """The same NaN and infinities, and the same numbers elsewhere."""
    np.testing.assert_allclose(real, expected, rtol=1e-3, atol=1e-3)


def test_what_is_finite_is_left_to_the_loops(served):
    x, w, g, options = served
    assert convolution.conv_input_grad(np, g, w, x.shape, *options) is not None
    assert convolution.conv_weight_grad(np, x, g, w.shape, *options) is not None
    x[...] = np.nan
    assert convolution.conv(np, x, w, None, *options) is not None
