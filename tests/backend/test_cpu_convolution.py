"""Compiled convolution: every algorithm equals the float64 reference, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import convolution, lanes, threads
from tinygrad_cv.backend.cpu import winograd as cpu_winograd
from tinygrad_cv.backend.cpu.compiled import forms, winograd
from tinygrad_cv.backend.cpu.compiled.vector import WIDTH
from tinygrad_cv.backend.cpu.lanes import BROAD
from tinygrad_cv.ops.conv import Conv, ConvInputGrad, ConvWeightGrad

FAST, EXACT = 3e-5, 5e-6  # bounds on the error of Winograd and of direct sums, relative to values


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(convolution, "SMALLEST", 0)
    monkeypatch.setattr(cpu_winograd, "FEWEST", 0)


def arrays(shape, kernel, outputs, groups=1, seed=0, bias=True):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((outputs, shape[1] // groups, *kernel)).astype(np.float32)
    w /= np.sqrt(w[0].size)
    return x, w, rng.standard_normal(outputs).astype(np.float32) if bias else None


def compare(x, w, b, stride, padding, dilation, groups, rtol=FAST):
    """All three operators of a convolution against their references in float64."""
    options = (stride, padding, dilation, groups)
    assert convolution._takes_conv(tuple(a if a is None else spec(a) for a in (x, w, b)), options)
    wide = [a if a is None else a.astype(np.float64) for a in (x, w, b)]
    expected = Conv.forward(np, *wide, *options)
    real = convolution.conv(np, x, w, b, *options)
    close(real, expected, rtol)
    g = np.random.default_rng(9).standard_normal(expected.shape).astype(np.float32)
    expected = ConvInputGrad.forward(np, g.astype(np.float64), wide[1], x.shape, *options)
    close(convolution.conv_input_grad(np, g, w, x.shape, *options), expected, rtol)
    expected = ConvWeightGrad.forward(np, wide[0], g.astype(np.float64), w.shape, *options)
    close(convolution.conv_weight_grad(np, x, g, w.shape, *options), expected, rtol)


def spec(array):
    from tinygrad_cv.backend.spec import spec_of

    return spec_of(array)


def close(real, expected, rtol):
    assert real.shape == expected.shape
    assert real.dtype == np.float32
    scale = max(np.abs(expected).max(), 1.0)
    assert np.abs(real - expected).max() <= rtol * scale


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(
    ("shape", "outputs"),
    [
        ((2, 16, 9, 11), 32),
        ((1, 24, 4, 4), 20),
        ((3, 70, 7, 5), 130),
        ((1, 300, 6, 6), 300),
        ((5, 16, 5, 4), 16),
        ((64, 17, 4, 4), 33),
    ],
)
def test_winograd(shape, outputs, padding):
    x, w, b = arrays(shape, (3, 3), outputs)
    pads = ((padding, padding),) * 2
    assert convolution._algorithm(case(x, w, pads)) == "winograd"
    compare(x, w, b, (1, 1), pads, (1, 1), 1)


@pytest.mark.parametrize("padding", [((0, 0), (1, 1)), ((1, 0), (0, 2)), ((2, 0), (2, 0))])
@pytest.mark.parametrize(
    ("shape", "outputs"),
    [
        ((2, 32, 16, 15), 32),
        ((1, 40, 7, 8), 36),
        ((3, 70, 14, 8), 130),
        ((1, 140, 8, 7), 130),
        ((1, 300, 15, 7), 300),
        ((40, 33, 7, 8), 35),
    ],
)
def test_winograd_at_stride_2(shape, outputs, padding):
    x, w, b = arrays(shape, (3, 3), outputs)
    assert convolution._algorithm(case(x, w, padding, (2, 2))) == "winograd"
    compare(x, w, b, (2, 2), padding, (1, 1), 1)


@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "groups"),
    [
        ((2, 64, 9, 11), (3, 3), 64, 4),
        ((3, 32, 8, 8), (3, 3), 96, 2),  # more outputs than inputs
        ((1, 210, 5, 4), (3, 3), 102, 3),  # odd numbers in a group, longer than a piece
        ((1, 34, 3, 6, 7), (2, 3, 3), 40, 2),
        ((1, 400, 4, 4), (3, 3), 280, 2),  # each thread's gradient of U exceeds its cache
    ],
)
@pytest.mark.parametrize("padding", [0, 1])
def test_winograd_in_groups(shape, kernel, outputs, groups, padding):
    x, w, b = arrays(shape, kernel, outputs, groups)
    n = len(kernel)
    ones, pads = (1,) * n, ((padding, padding),) * n
    assert convolution._algorithm(case(x, w, pads, ones, ones, groups)) == "winograd"
    compare(x, w, b, ones, pads, ones, groups)


def test_groups_whose_transformed_weights_are_many_use_direct_sums():
    x, w, b = arrays((1, 500, 4, 4), (3, 3), 300, 2)
    pads = ((1, 1),) * 2
    assert convolution._algorithm(case(x, w, pads, groups=2)) == "taps"
    compare(x, w, b, (1, 1), pads, (1, 1), 2, EXACT)


@pytest.mark.parametrize(("depth", "front"), [(1, 0), (3, 0), (3, 1), (2, 2)])
def test_winograd_at_stride_2_in_three_dimensions(depth, front):
    pads = ((front, 1), (1, 1), (1, 0))
    for channels, outputs in ((40, 33), (260, 200)):
        x, w, b = arrays((1, channels, 4, 8, 8), (depth, 3, 3), outputs)
        assert convolution._algorithm(case(x, w, pads, (1, 2, 2), (1, 1, 1))) == "winograd"
        compare(x, w, b, (1, 2, 2), pads, (1, 1, 1), 1)


@pytest.mark.parametrize(
    ("stride", "size", "padding"), [((2, 1), 8, 1), ((1, 2), 8, 1), ((2, 2), 9, 1), ((2, 2), 8, 3)]
)
def test_strides_that_winograd_leaves_to_direct_sums(stride, size, padding):
    x, w, b = arrays((2, 40, size, size), (3, 3), 36)
    pads = ((padding, padding),) * 2
    assert convolution._algorithm(case(x, w, pads, stride)) == "taps"
    compare(x, w, b, stride, pads, (1, 1), 1, EXACT)


@pytest.mark.parametrize("form", range(4))
def test_every_form_is_a_convolution(form):
    """In one dimension, in float64; with the products in order of any target."""
    bt, g, at, _, by_u, by_m = forms.FORMS[form]
    rng = np.random.default_rng(form)
    pixels, w = rng.standard_normal((bt.shape[1],) * 2), rng.standard_normal((3, 3))
    turned = w[::-1, ::-1] if form == forms.SPREAD else w
    v, u = (bt @ pixels @ bt.T).ravel(), (g @ turned @ g.T).ravel()
    sums = np.zeros(at.shape[1] ** 2)
    for a, b, c, _ in by_m:
        sums[c] += v[a] * u[b]
    outputs = at @ sums.reshape(at.shape[1], -1) @ at.T
    expected = np.zeros_like(outputs)
    for i, j, p, q in np.ndindex(*outputs.shape, *pixels.shape):
        if form == forms.SPREAD:  # output 0 is an odd pixel, which the middle tap brings
            a, b = i - 2 * p + 1, j - 2 * q + 1
        else:
            stride = 2 if form == forms.APART else 1
            a, b = p - stride * i, q - stride * j
        if 0 <= a < 3 and 0 <= b < 3:
            expected[i, j] += w[a, b] * pixels[p, q]
    np.testing.assert_allclose(outputs, expected, atol=1e-12)
    assert sorted(map(tuple, by_u[:, :3])) == sorted(map(tuple, by_m[:, :3]))
    for target, ordered in ((1, by_u), (2, by_m)):
        for k, first in enumerate(ordered[:, 3]):
            assert (ordered[first : k + 1, target] == ordered[k, target]).all()
            assert first == 0 or ordered[first - 1, target] != ordered[k, target]


@pytest.mark.parametrize("front", [0, 1, 2])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("shape", "outputs"), [((2, 16, 5, 7, 6), 32), ((1, 70, 3, 4, 4), 70), ((1, 300, 3, 5, 4), 160)]
)
def test_winograd_in_three_dimensions(shape, outputs, depth, front):
    x, w, b = arrays(shape, (depth, 3, 3), outputs)
    pads = ((front, 0), (1, 1), (1, 1))
    assert convolution._algorithm(case(x, w, pads, (1, 1, 1), (1, 1, 1))) == "winograd"
    compare(x, w, b, (1, 1, 1), pads, (1, 1, 1), 1)


def case(x, w, padding, stride=(1, 1), dilation=(1, 1), groups=1):
    return convolution._case(x.shape, w.shape, stride, padding, dilation, groups)


@pytest.mark.parametrize("workers", [1, 3, 5])
def test_any_number_of_threads(workers):
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        x, w, b = arrays((3, 20, 9, 9), (3, 3), 150)
        compare(x, w, b, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
        compare(x, w, b, (2, 2), ((1, 1), (1, 1)), (1, 1), 1, EXACT)
        compare(*arrays((3, 40, 8, 8), (3, 3), 150), (2, 2), ((1, 1), (1, 1)), (1, 1), 1)
        x, w, b = arrays((2, 300, 5, 5), (3, 3), 200)
        compare(x, w, b, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    finally:
        threads.set_num_threads(before)


@pytest.mark.parametrize(
    ("algorithm", "channels", "outputs", "groups"),
    [("groups", 5, 5, 5), ("groups", 40, 40, 40), ("groups", 12, 36, 12), ("groups", 28, 7, 7),
     ("groups", 18, 30, 6), ("groups", 64, 64, 16), ("taps", 24, 16, 1), ("taps", 32, 48, 2),
     ("taps", 3, 99, 3), ("taps", 80, 64, 4), ("taps", 54, 2, 2),
     ("rows", 3, 8, 1), ("rows", 1, 6, 1), ("images", 1, 6, 1), ("images", 20, 3, 1),
     ("images", 5, 1, 1)],
)  # fmt: skip
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_geometry(algorithm, channels, outputs, groups, data):
    n = data.draw(st.integers(1, 3))
    sizes = st.tuples(*[st.integers(1, 4)] * n)
    kernel, stride = data.draw(sizes), data.draw(st.tuples(*[st.integers(1, 3)] * n))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * n))
    padding = data.draw(st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * n))
    room = [d * (k - 1) + 1 - sum(p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    size = tuple(data.draw(st.integers(max(1, least), 8)) for least in room)
    counts = [1, 2, WIDTH, 2 * WIDTH + 1] if algorithm == "images" else [1, 2, 3]
    shape = data.draw(st.sampled_from(counts)), channels, *size
    x, w, b = arrays(shape, kernel, outputs, groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "FILLED", 0 if algorithm == "images" else 2)
        found = convolution._algorithm(case(x, w, padding, stride, dilation, groups))
        assert found in (algorithm, "winograd")
        compare(x, w, b, stride, padding, dilation, groups, EXACT if found == algorithm else FAST)


@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "padding"),
    [
        ((3 * WIDTH, 1, 28, 28), 5, 6, 2),
        ((2 * WIDTH - 1, 6, 14, 14), 5, WIDTH, 0),
        ((WIDTH, 4, 40, 100), 7, 5, 3),  # in strips
        ((WIDTH + 3, 7, 11, 13), 5, BROAD - 1, 2),
    ],
)
def test_images_side_by_side(shape, kernel, outputs, padding):
    x, w, b = arrays(shape, (kernel, kernel), outputs)
    pads = ((padding, padding),) * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "FILLED", 0)
        patch.setattr(lanes, "STRIP", 64 << 10)
        lanes._strip.cache_clear()
        assert convolution._algorithm(case(x, w, pads)) == "images"
        compare(x, w, b, (1, 1), pads, (1, 1), 1, EXACT)
    lanes._strip.cache_clear()


def test_images_do_not_mix():
    x, w, b = arrays((WIDTH, 3, 9, 9), (3, 3), 5)
    options = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    expected = convolution.conv(np, x, w, b, *options)
    x[2] = np.nan
    x[WIDTH - 1, 1, 4, 4] = np.inf
    found = convolution.conv(np, x, w, b, *options)
    assert np.isnan(found[2]).all()
    assert not np.isfinite(found[WIDTH - 1, :, 3:6, 3:6]).any()
    assert np.isfinite(found[WIDTH - 1]).sum() == 5 * (81 - 9)
    rest = [k for k in range(WIDTH - 1) if k != 2]
    np.testing.assert_array_equal(found[rest], expected[rest])


def test_which_cases_fill_the_lanes():
    def fills(images, channels, outputs, kernel, size=32):
        x = np.zeros((images, channels, size, size), np.float32)
        w = np.zeros((outputs, channels, kernel, kernel), np.float32)
        return lanes.fills(case(x, w, ((0, 0), (0, 0))))

    assert fills(WIDTH, 1, 6, 5)
    assert fills(WIDTH, 6, WIDTH, 5)
    assert not fills(WIDTH // 2, 1, 6, 5)  # too few images
    assert not fills(WIDTH, 3, WIDTH, 3)  # too little work for turning
    assert not fills(WIDTH, 6, BROAD, 5)
    assert not fills(WIDTH, 3, 2, 7, 1200)  # too much memory


@pytest.mark.parametrize("padding", [((0, 1), (0, 0)), ((0, 0), (0, 2)), ((1, 0), (0, 1))])
def test_a_kernel_of_one_pixel_with_padding(padding):
    x, w, b = arrays((2, 16, 4, 5), (1, 1), 24)
    compare(x, w, b, (1, 1), padding, (1, 1), 1, EXACT)


def test_a_kernel_of_one_pixel_that_strides_into_padding():
    x, w, _ = arrays((2, 16, 4, 5), (1, 1), 24, bias=False)
    compare(x, w, None, (2, 2), ((0, 4), (0, 5)), (1, 1), 1, EXACT)  # as many outputs as pixels


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("shape", "outputs", "groups"),
    [((2, 16, 5, 41), 17, 1), ((1, 270, 3, 5), 300, 1), ((3, 80, 9, 8), 48, 2)],
)
def test_kernels_of_one_pixel(shape, outputs, groups, stride):
    x, w, b = arrays(shape, (1, 1), outputs, groups)
    for bias in (b, None):
        options = ((stride, stride), ((0, 0), (0, 0)), (1, 1), groups)
        compare(x, w, bias, *options, EXACT)


def test_memory_orders_and_read_only_inputs():
    x, w, b = arrays((2, 16, 8, 8), (3, 3), 32)
    options = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    expected = convolution.conv(np, x, w, b, *options)
    other = (
        np.asfortranarray(x),
        np.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1),
    )
    for array in other:
        array.flags.writeable = False
    np.testing.assert_array_equal(convolution.conv(np, *other, b, *options), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_where_a_direct_sum_carries_it(value, stride):
    x, w, _ = arrays((1, 32, 12 * stride, 12 * stride), (3, 3), 32, bias=False)
    x[0, 3, 5, 6] = value
    options = ((stride, stride), ((1, 1), (1, 1)), (1, 1), 1)
    assert convolution._algorithm(case(x, w, ((1, 1), (1, 1)), options[0])) == "winograd"
    y = convolution.conv(np, x, w, None, *options)
    wide, wide_w = x.astype(np.float64), w.astype(np.float64)
    expected = Conv.forward(np, wide, wide_w, None, *options)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))
    g = np.ones_like(y)
    g[0, 3, 5, 6] = value
    dx = convolution.conv_input_grad(np, g, w, x.shape, *options)
    expected = ConvInputGrad.forward(np, g.astype(np.float64), wide_w, x.shape, *options)
    np.testing.assert_array_equal(np.isfinite(dx), np.isfinite(expected))
    g = np.ones_like(y)
    dw = convolution.conv_weight_grad(np, x, g, w.shape, *options)
    expected = ConvWeightGrad.forward(np, wide, g.astype(np.float64), w.shape, *options)
    np.testing.assert_array_equal(np.isnan(dw), np.isnan(expected))


def test_few_tiles_or_channels_at_stride_2_are_summed_directly(monkeypatch):
    monkeypatch.setattr(cpu_winograd, "FEWEST", 16)
    x, w, b = arrays((15, 40, 8, 8), (3, 3), 36)
    options = ((2, 2), ((1, 1), (1, 1)), (1, 1), 1)
    monkeypatch.setattr(winograd, "blocks", None)  # it would be called
    expected = Conv.forward(np, *[a.astype(np.float64) for a in (x, w, b)], *options)
    close(convolution.conv(np, x, w, b, *options), expected, EXACT)
    few, narrow, _ = arrays((2, 24, 8, 8), (3, 3), 36)
    assert convolution._algorithm(case(few, narrow, options[1], (2, 2))) == "taps"


def test_a_gradient_stands_on_its_own_memory():
    """So that ``.grad`` takes it as it is."""
    x, w, _ = arrays((2, 128, 16, 16), (3, 3), 128)
    g = np.ones((2, 128, 16, 16), np.float32)
    dw = convolution.conv_weight_grad(np, x, g, w.shape, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    dx = convolution.conv_input_grad(np, g, w, x.shape, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    assert isinstance(dw.base, memory.Block)
    assert isinstance(dx.base, memory.Block)
    assert dw.transpose(2, 3, 1, 0).flags.c_contiguous


def test_the_same_bits_every_time():
    x, w, b = arrays((4, 64, 16, 16), (3, 3), 96)
    options = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    g = convolution.conv(np, x, w, b, *options)
    dw = convolution.conv_weight_grad(np, x, g, w.shape, *options)
    for _ in range(5):
        np.testing.assert_array_equal(convolution.conv(np, x, w, b, *options), g)
        np.testing.assert_array_equal(convolution.conv_weight_grad(np, x, g, w.shape, *options), dw)


def test_what_is_declined():
    def takes(x, w, **options):
        chosen = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
        return convolution._takes_conv(
            (spec(x), spec(w), None), tuple({**chosen, **options}.values())
        )

    x, w, _ = arrays((2, 16, 8, 8), (3, 3), 32)
    assert takes(x, w)
    assert not takes(x.astype(np.float64), w.astype(np.float64))
    assert not takes(x[:0], w)
    few, narrow, _ = arrays((2, 4, 8, 8), (3, 3), 4, groups=2)
    assert takes(few, narrow, groups=2)
    assert not takes(*arrays((1, 1, 65, 65), (65, 64), 1)[:2])  # a window as large as the picture


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [64, 256])
def test_exact_convolution_is_direct(channels, stride):
    x, w, _ = arrays((2, channels, 16 * stride, 16 * stride), (3, 3), 64, bias=False)
    options = ((stride, stride), ((1, 1), (1, 1)), (1, 1), 1)
    expected = Conv.forward(np, x.astype(np.float64), w.astype(np.float64), None, *options)
    errors = {}
    try:
        for precision in ("exact", "fast"):
            tg.set_convolution_precision(precision)
            error = convolution.conv(np, x, w, None, *options) - expected
            errors[precision] = np.sqrt((error**2).mean())
    finally:
        tg.set_convolution_precision("fast")
    assert errors["exact"] < 1e-6
    assert errors["exact"] < errors["fast"] < 2e-6
    with pytest.raises(tg.ArgumentError, match="'fast' or 'exact', not 'double'"):
        tg.set_convolution_precision("double")
