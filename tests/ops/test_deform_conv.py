"""Deformable convolution, tap by tap; with zero offsets it is a convolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.deform_conv import DeformConv2d, DeformPoints
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(53)
F = tg.nn.functional


def normal(*sizes):
    return rng.normal(size=sizes)


# The equation, one tap at a time ------------------------------------------------------------------


def pixel(image, h, w):
    height, width = image.shape
    return image[h, w] if 0 <= h < height and 0 <= w < width else 0.0


def read(image, h, w):
    """The value between the pixels, 0 outside; and its derivatives down and right, in the cell
    behind the point."""
    i, j = math.floor(h), math.floor(w)
    a, b = h - i, w - j
    corners = [[pixel(image, i + di, j + dj) for dj in (0, 1)] for di in (0, 1)]
    (nw, ne), (sw, se) = corners
    value = (1 - a) * ((1 - b) * nw + b * ne) + a * ((1 - b) * sw + b * se)
    return value, (1 - b) * (sw - nw) + b * (se - ne), (1 - a) * (ne - nw) + a * (se - sw)


def every_tap(x, offset, weight, stride, padding, dilation):
    """(n, c, o-range, tap, position, place) of every product."""
    n, c, *_ = x.shape
    o, inner, kh, kw = weight.shape
    taps, groups = kh * kw, c // inner
    each = offset.shape[1] // (2 * taps)
    for image, channel in np.ndindex(n, c):
        group, d = channel // inner, channel // (c // each)
        outputs = range(group * o // groups, (group + 1) * o // groups)
        for tap, p, q in np.ndindex(taps, *offset.shape[2:]):
            shift = offset[image, 2 * (d * taps + tap) : 2 * (d * taps + tap) + 2, p, q]
            h = p * stride[0] - padding[0][0] + tap // kw * dilation[0] + shift[0]
            w = q * stride[1] - padding[1][0] + tap % kw * dilation[1] + shift[1]
            yield image, channel, outputs, d * taps + tap, tap, (p, q), (h, w)


def naive(stride, padding, dilation):
    def convolve(x, offset, mask, weight, bias):
        y = np.zeros((len(x), len(weight), *offset.shape[2:]))
        if bias is not None:
            y += bias[:, None, None]
        inner, _, kw = weight.shape[1:]
        for n, c, outputs, number, tap, at, place in every_tap(
            x, offset, weight, stride, padding, dilation
        ):
            value = read(x[n, c], *place)[0]
            if mask is not None:
                value *= mask[(n, number, *at)]
            for o in outputs:
                y[(n, o, *at)] += weight[o, c % inner, tap // kw, tap % kw] * value
        return y

    return convolve


def naive_offset_gradient(stride, padding, dilation):
    def gradient(g, x, offset, mask, weight, bias):
        found = np.zeros(offset.shape)
        inner, _, kw = weight.shape[1:]
        for n, c, outputs, number, tap, at, place in every_tap(
            x, offset, weight, stride, padding, dilation
        ):
            slopes = read(x[n, c], *place)[1:]
            column = sum(
                g[(n, o, *at)] * weight[o, c % inner, tap // kw, tap % kw] for o in outputs
            )
            if mask is not None:
                column *= mask[(n, number, *at)]
            for axis in range(2):
                found[(n, 2 * number + axis, *at)] += column * slopes[axis]
        return (found,)

    return gradient


def naive_points(kernel, stride, padding, dilation):
    def points(offset):
        n, channels, *out = offset.shape
        taps = math.prod(kernel)
        each = channels // (2 * taps)
        y = np.zeros((n * each, taps, *out, 2))
        for image, d, tap, p, q in np.ndindex(n, each, taps, *out):
            down, right = offset[image, 2 * (d * taps + tap) : 2 * (d * taps + tap) + 2, p, q]
            y[image * each + d, tap, p, q] = (
                q * stride[1] - padding[1][0] + tap % kernel[1] * dilation[1] + right,
                p * stride[0] - padding[0][0] + tap // kernel[1] * dilation[0] + down,
            )
        return y

    return points


NEAR = ((0, 0), (0, 0))
# name, input, weight, groups of offsets, stride, padding, dilation
GEOMETRIES = [
    ("plain", (2, 2, 4, 5), (3, 2, 2, 2), 1, (1, 1), NEAR, (1, 1)),
    ("strided", (1, 2, 5, 6), (2, 2, 3, 2), 1, (2, 1), ((1, 1), (0, 1)), (1, 2)),
    ("groups", (2, 4, 4, 3), (4, 2, 2, 2), 1, (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ("groups of offsets", (1, 4, 3, 4), (3, 4, 2, 1), 2, (1, 1), NEAR, (1, 1)),
    ("both", (1, 6, 3, 3), (4, 3, 2, 2), 3, (1, 1), ((1, 0), (0, 1)), (1, 1)),
    ("one pixel each", (3, 3, 3, 3), (2, 3, 1, 1), 3, (2, 2), NEAR, (1, 1)),
]


def out_size(shape, kernel, stride, padding, dilation):
    axes = zip(shape[2:], kernel, stride, padding, dilation, strict=True)
    return tuple((s + sum(p) - d * (k - 1) - 1) // t + 1 for s, k, t, p, d in axes)


def arrays(shape, weight, each, *geometry, integers=False):
    out = out_size(shape, weight[2:], *geometry)
    taps = each * math.prod(weight[2:])
    offset = normal(shape[0], 2 * taps, *out) * 1.5
    if integers:
        offset = rng.integers(-2, 3, offset.shape).astype(float)
    mask = rng.uniform(0.1, 1, (shape[0], taps, *out))
    return normal(*shape), offset, mask, normal(*weight), normal(weight[0])


def operator_cases():
    for name, shape, weight, each, *geometry in GEOMETRIES:
        x, offset, mask, w, b = arrays(shape, weight, each, *geometry)
        shared = {"reference": naive(*geometry), "name": name, "rtol": 1e-9}
        yield Case(DeformConv2d, (x, offset, mask, w, b), geometry, batch=[0, 1, 2], **shared)
        yield Case(DeformConv2d, (x, offset, None, w, None), geometry, batch=[0, 1], **shared)
        x, offset, mask, w, b = arrays(shape, weight, each, *geometry, integers=True)
        yield Case(
            DeformConv2d,
            (x, offset, mask, w, b),
            geometry,
            diff=["offset"],
            kinks=True,
            gradient=naive_offset_gradient(*geometry),
            **shared | {"name": f"{name} on pixels"},
        )
        yield Case(
            DeformPoints,
            (offset,),
            (weight[2:], *geometry),
            reference=naive_points(weight[2:], *geometry),
            name=name,
            batch=[0],
        )


def public(x, offset, mask, weight, bias):
    return F.deform_conv2d(x, offset, weight, bias, 2, (1, 0), 1, mask)


CASES = [
    *operator_cases(),
    Case(
        public,
        arrays((2, 2, 4, 5), (2, 2, 2, 2), 1, (2, 2), ((1, 1), (0, 0)), (1, 1)),
        reference=naive((2, 2), ((1, 1), (0, 0)), (1, 1)),
        rtol=1e-9,
        skip={"empty": "covered by the operator's cases"},
    ),
]

X, O, M, W, B = arrays((2, 4, 4, 4), (6, 2, 3, 3), 2, (1, 1), NEAR, (1, 1))
BAD = [
    Bad(F.deform_conv2d, (X[0], O, W), error=ShapeError, match="input must have 4 axes"),
    Bad(F.deform_conv2d, (X, O[0], W), error=ShapeError, match="offset must have 4 axes"),
    Bad(F.deform_conv2d, (X, O, W[0]), error=ShapeError, match="weight must have 4 axes"),
    Bad(F.deform_conv2d, (X, O, normal(6, 3, 3, 3)), error=ShapeError, match="4 / 3 must be whole"),
    Bad(F.deform_conv2d, (X, O, normal(5, 2, 3, 3)), error=ShapeError, match="divide O = 5"),
    Bad(F.deform_conv2d, (X, O[:, :20], W), error=ShapeError, match="20 = 2"),
    Bad(F.deform_conv2d, (X, normal(2, 54, 2, 2), W), error=ShapeError, match="dividing 4"),
    Bad(F.deform_conv2d, (X, O[..., :1], W), error=ShapeError, match=r"must be \(2, 36, 2, 2\)"),
    Bad(F.deform_conv2d, (X, O[:1], W), error=ShapeError, match="offset must be"),
    Bad(F.deform_conv2d, (X, O, W), {"mask": M[:, :9]}, error=ShapeError, match="mask must be"),
    Bad(F.deform_conv2d, (X, O, W, B[:5]), error=ShapeError, match="O = 6"),
    Bad(F.deform_conv2d, (X[:, :, :2], O, W), error=ShapeError, match="does not fit"),
    Bad(F.deform_conv2d, (X, O, W, None, 0), error=ArgumentError, match="stride must be at least"),
    Bad(F.deform_conv2d, (X, O, W, None, 1, -1), error=ArgumentError, match="padding must be"),
    Bad(F.deform_conv2d, (X, O, W, None, 1, 0, (1, 1, 1)), error=ArgumentError, match="dilation"),
    Bad(F.deform_conv2d, (X, O.astype("float32"), W), error=DTypeError, match="float32"),
    Bad(
        F.deform_conv2d,
        (X.astype(int), O.astype(int), W.astype(int)),
        error=DTypeError,
        match="int64",
    ),
    Bad(F.deform_conv2d, (X, O, "b"), error=DTypeError, match="a str"),
]


SMALL, WIDE = normal(2, 18, 4, 4), normal(2, 18, 6, 6)  # offsets of a 3x3 kernel on 6x6 pixels
IMAGE, KERNEL = normal(2, 4, 6, 6), normal(3, 4, 3, 3)
GEOMETRY = [
    # what is given, the padding or stride it is given with, and which of the two would fit
    (SMALL, {"padding": 1}, {"padding": 0}),
    (WIDE, {}, {"padding": 1}),
    (WIDE, {"padding": 1, "dilation": 2}, {"padding": 2}),
    (WIDE, {"stride": 2, "padding": 1}, {"stride": 1}),
    (WIDE[:, :, ::2, ::2], {"padding": 1}, {"stride": 2}),
    (WIDE[:, :, :5, :2], {"padding": 1}, None),
    (WIDE[:, :, :0], {"padding": 1}, None),
]
BAD += [
    Bad(
        F.deform_conv2d,
        (IMAGE, offset, KERNEL),
        options,
        error=ShapeError,
        match="use {}={} here".format(*next(iter(fits.items())))
        if fits
        else r"padding and dilation of this one\.|shape \(2, 18, 6, 6\)\.",
        name=f"{offset.shape} {options}",
    )
    for offset, options, fits in GEOMETRY
]


def test_offsets_and_mask_of_one_convolution_are_to_be_split():
    both = tg.ones(2, 27, 6, 6, dtype="float64")
    with pytest.raises(ShapeError, match=r"offset\.split\(\[18, 9\], dim=1\)"):
        F.deform_conv2d(tg.Tensor(IMAGE), both, tg.Tensor(KERNEL), padding=1)
    offset, mask = both.split([18, 9], dim=1)
    F.deform_conv2d(tg.Tensor(IMAGE), offset, tg.Tensor(KERNEL), padding=1, mask=mask)


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("each", [1, 4])
def test_zero_offsets_are_a_convolution(dtype, groups, each):
    x = tg.tensor(normal(3, 4, 7, 6).astype(dtype), requires_grad=True)
    w = tg.tensor(normal(6, 4 // groups, 3, 2).astype(dtype), requires_grad=True)
    b = tg.tensor(normal(6).astype(dtype), requires_grad=True)
    expected = F.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), groups)
    offset = tg.zeros(3, 2 * each * 6, *expected.shape[2:], dtype=dtype)
    y = F.deform_conv2d(x, offset, w, b, (2, 1), (1, 2), (1, 2))
    g = tg.tensor(normal(*y.shape).astype(dtype))
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), **close)
    assert layout_of(y.array) == "channels_last"
    for a, c in zip(
        tg.autograd.grad(y, [x, w, b], g), tg.autograd.grad(expected, [x, w, b], g), strict=True
    ):
        np.testing.assert_allclose(a.numpy(), c.numpy(), **close)


def test_what_is_outside_reads_zero_and_has_no_gradient():
    """The bounds of a point: -1 and the size, where the cell behind has no pixel any more."""
    x = tg.tensor(np.ones((1, 1, 3, 3)))
    w = tg.tensor(np.ones((1, 1, 1, 1)))
    for shift, value, slope in [(-1.5, 0, 0), (-1.0, 0, 1), (-0.5, 0.5, 1), (2.5, 0.5, -1)]:
        offset = tg.tensor(np.array([shift, 0.0]).reshape(1, 2, 1, 1), requires_grad=True)
        y = F.deform_conv2d(x, offset, w, stride=3)
        (g,) = tg.autograd.grad(y.sum(), [offset])
        assert (y.item(), g[0, 0, 0, 0].item()) == (value, slope)
    offset = tg.tensor(np.array([3.0, 0.0]).reshape(1, 2, 1, 1), requires_grad=True)
    y = F.deform_conv2d(x, offset, w, stride=3)
    assert (y.item(), tg.autograd.grad(y.sum(), [offset])[0].tolist()[0][0]) == (0, [[0.0]])


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_batch_and_groups(data):
    two = st.tuples(st.integers(1, 2), st.integers(1, 2))
    groups, each = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    c, o = groups * each, groups * data.draw(st.integers(1, 2))
    stride, dilation, kernel = data.draw(two), data.draw(two), data.draw(two)
    padding = data.draw(st.sampled_from([NEAR, ((1, 1), (0, 2))]))
    shape = (data.draw(st.integers(0, 3)), c, 4, 3)
    geometry = (stride, padding, dilation)
    x, offset, mask, w, b = arrays(shape, (o, c // groups, *kernel), each, *geometry)
    y = F.deform_conv2d(
        tg.Tensor(x), tg.Tensor(offset), tg.Tensor(w), tg.Tensor(b), *geometry, tg.Tensor(mask)
    )
    np.testing.assert_allclose(
        y.numpy(), naive(*geometry)(x, offset, mask, w, b), rtol=1e-9, atol=1e-9
    )
