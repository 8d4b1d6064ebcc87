"""Convolution: values by the letter of the equation, its closed family, refusals with repairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, ShapeError
from tinygrad_cv.ops.conv import Conv, ConvInputGrad, ConvWeightGrad
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
rng = np.random.default_rng(7)


def normal(*shape):
    return rng.normal(size=shape)


def places(x, weight, out, stride, padding, dilation, groups):
    """All (n, o, p, c, k, index of x) that the equation of ``Conv`` names, one by one."""
    size = x.shape[2:]
    per_group = weight.shape[0] // groups
    for n, o in np.ndindex(x.shape[0], weight.shape[0]):
        for p in np.ndindex(*out):
            for c, *k in np.ndindex(*weight.shape[1:]):
                at = [
                    p[a] * stride[a] + k[a] * dilation[a] - padding[a][0] for a in range(len(size))
                ]
                if all(0 <= i < s for i, s in zip(at, size, strict=True)):
                    channel = (o // per_group) * weight.shape[1] + c
                    yield (n, o, *p), (o, c, *k), (n, channel, *at)


def out_size(x_shape, w_shape, stride, padding, dilation):
    return tuple(
        (x_shape[2 + a] + sum(padding[a]) - dilation[a] * (w_shape[2 + a] - 1) - 1) // stride[a] + 1
        for a in range(len(stride))
    )


def naive(stride, padding, dilation, groups):
    def conv(x, weight, bias=None):
        out = out_size(x.shape, weight.shape, stride, padding, dilation)
        y = np.zeros((x.shape[0], weight.shape[0], *out))
        if bias is not None:
            y += bias.reshape(-1, *(1,) * len(out))
        for yi, wi, xi in places(x, weight, out, stride, padding, dilation, groups):
            y[yi] += x[xi] * weight[wi]
        return y

    return conv


def naive_input_grad(shape, stride, padding, dilation, groups):
    def grad(g, weight):
        dx = np.zeros(shape)
        for yi, wi, xi in places(dx, weight, g.shape[2:], stride, padding, dilation, groups):
            dx[xi] += g[yi] * weight[wi]
        return dx

    return grad


def naive_weight_grad(shape, stride, padding, dilation, groups):
    def grad(x, g):
        dw = np.zeros(shape)
        for yi, wi, xi in places(x, dw, g.shape[2:], stride, padding, dilation, groups):
            dw[wi] += g[yi] * x[xi]
        return dw

    return grad


def attributes(n, stride=1, padding=0, dilation=1, groups=1):
    each = tuple((v,) * n if isinstance(v, int) else v for v in (stride, dilation))
    pads = ((padding,) * 2,) * n if isinstance(padding, int) else padding
    return each[0], pads, each[1], groups


# name, input, weight, bias?, attributes
GEOMETRIES = [
    ("plain", (2, 3, 5, 4), (4, 3, 3, 2), True, attributes(2)),
    ("no bias", (2, 3, 5, 4), (4, 3, 3, 2), False, attributes(2)),
    ("padded", (2, 5, 4, 4), (4, 5, 3, 3), True, attributes(2, padding=1)),
    ("strided", (2, 4, 7, 6), (3, 4, 3, 3), False, attributes(2, stride=(2, 3), padding=1)),
    ("stride over kernel", (1, 4, 8, 8), (2, 4, 2, 2), False, attributes(2, stride=3)),
    ("dilated", (1, 4, 9, 8), (2, 4, 3, 3), False, attributes(2, dilation=(3, 2), padding=2)),
    ("stride and dilation", (1, 4, 11, 9), (2, 4, 3, 2), True, attributes(2, (4, 2), 2, (2, 3))),
    ("one sided", (1, 2, 4, 5), (2, 2, 3, 2), False, attributes(2, padding=((0, 2), (1, 0)))),
    ("1x1", (2, 5, 3, 3), (4, 5, 1, 1), True, attributes(2)),
    ("1x1 strided", (2, 5, 5, 4), (4, 5, 1, 1), False, attributes(2, stride=2)),
    ("1x1 padded", (1, 5, 2, 2), (2, 5, 1, 1), False, attributes(2, padding=1)),
    ("groups", (2, 6, 4, 4), (4, 3, 3, 2), True, attributes(2, padding=1, groups=2)),
    ("1x1 groups", (2, 6, 3, 2), (4, 3, 1, 1), False, attributes(2, groups=2)),
    ("depthwise", (2, 5, 5, 4), (5, 1, 3, 3), True, attributes(2, padding=1, groups=5)),
    ("depthwise strided", (2, 3, 6, 7), (3, 1, 3, 2), False, attributes(2, 2, 1, (1, 2), 3)),
    ("depthwise multiplier", (1, 3, 4, 4), (6, 1, 2, 2), False, attributes(2, groups=3)),
    ("1d", (2, 4, 7), (3, 4, 3), True, attributes(1, stride=2, padding=1)),
    ("1d depthwise", (2, 4, 6), (4, 1, 3), False, attributes(1, padding=1, groups=4)),
    ("3d", (1, 4, 3, 4, 4), (2, 4, 2, 3, 2), True, attributes(3, (1, 2, 1), 1)),
    ("3d depthwise", (1, 2, 3, 4, 3), (2, 1, 2, 2, 2), False, attributes(3, groups=2)),
]


def operator_cases():
    for name, x_shape, w_shape, has_bias, attrs in GEOMETRIES:
        x, w = normal(*x_shape), normal(*w_shape)
        g = normal(x_shape[0], w_shape[0], *out_size(x_shape, w_shape, *attrs[:3]))
        bias = normal(w_shape[0]) if has_bias else None
        yield Case(Conv, (x, w, bias), attrs, reference=naive(*attrs), name=name, batch=[0])
        yield Case(
            ConvInputGrad,
            (g, w),
            (x_shape, *attrs),
            reference=naive_input_grad(x_shape, *attrs),
            name=name,
            batch=(),
        )
        yield Case(
            ConvWeightGrad,
            (x, g),
            (w_shape, *attrs),
            reference=naive_weight_grad(w_shape, *attrs),
            name=name,
            batch=(0, 1),
        )


def face_cases():
    for n in (1, 2, 3):
        conv = getattr(F, f"conv{n}d")
        transposed = getattr(F, f"conv_transpose{n}d")
        shape = (6, 5, 4)[:n]
        x, w, b = normal(2, 4, *shape), normal(6, 2, *(3, 2, 2)[:n]), normal(6)
        options = {"stride": 2, "padding": 1, "groups": 2}
        torch_conv = getattr(torch.nn.functional, f"conv{n}d")
        yield Case(
            conv,
            (x, w, b),
            kwargs=options,
            torch=lambda x, w, b, f=torch_conv, o=options: f(x, w, b, **o),
            batch=[0],
        )
        w, b = normal(4, 3, *(3, 2, 2)[:n]), normal(6)
        options = {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2, "dilation": 2}
        torch_transposed = getattr(torch.nn.functional, f"conv_transpose{n}d")
        yield Case(
            transposed,
            (x[..., :2], w, b),
            kwargs=options,
            torch=lambda x, w, b, f=torch_transposed, o=options: f(x, w, b, **o),
            batch=[0],
        )
    one = (normal(3, 6, 5), normal(4, 3, 2, 3), normal(4))
    yield Case(F.conv2d, one, torch=torch.nn.functional.conv2d, name="one image", batch=())
    same = (normal(1, 3, 6, 5), normal(2, 3, 5, 3))
    yield Case(
        F.conv2d,
        same,
        kwargs={"padding": "same", "dilation": (1, 2)},
        torch=lambda x, w: torch.nn.functional.conv2d(x, w, padding="same", dilation=(1, 2)),
        name="same",
        batch=[0],
    )
    one = (normal(3, 2, 2), normal(3, 2, 3, 3), normal(2))
    yield Case(
        F.conv_transpose2d,
        one,
        torch=torch.nn.functional.conv_transpose2d,
        name="one image",
        batch=(),
    )
    yield Case(
        F.conv_matrix,
        (normal(2, 2, 2, 2),),
        kwargs={"input_size": (3, 4), "stride": (1, 2)},
        reference=lambda w: naive_matrix(w, (3, 4), (1, 2)),
        batch=(),
    )


def naive_matrix(weight, size, stride):
    channels = weight.shape[1]
    columns = []
    for pixel in range(channels * size[0] * size[1]):
        image = np.zeros(channels * size[0] * size[1])
        image[pixel] = 1
        conv = naive(stride, ((0, 0), (0, 0)), (1, 1), 1)
        columns.append(conv(image.reshape(1, channels, *size), weight).ravel())
    return np.stack(columns, axis=1)


CASES = [*operator_cases(), *face_cases()]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


def test_output_size_chooses_among_the_sizes_that_stride_allows():
    x, w = tg.tensor(normal(1, 2, 3, 3)), tg.tensor(normal(2, 4, 3, 3))
    for size in (5, 6):
        y = F.conv_transpose2d(x, w, stride=2, padding=1, output_size=(size, size))
        assert y.shape == (1, 4, size, size)
        assert F.conv2d(y, w, stride=2, padding=1).shape == x.shape
    with pytest.raises(ShapeError, match=r"from \(5, 5\) to \(6, 6\)"):
        F.conv_transpose2d(x, w, stride=2, padding=1, output_size=(7, 7))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (4, 1), (3, 2)])
def test_same_padding_gives_ceil_of_size_over_stride(stride, size, kernel, dilation):
    x, w = normal(1, 1, size), normal(1, 1, kernel)
    y = F.conv1d(tg.tensor(x), tg.tensor(w), None, stride, "same", dilation)
    assert y.shape[2] == -(-size // stride)
    total = max((y.shape[2] - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    padded = np.pad(x, ((0, 0), (0, 0), (total // 2, total - total // 2)))
    wanted = naive((stride,), ((0, 0),), (dilation,), 1)(padded, w)
    np.testing.assert_allclose(y.numpy(), wanted, atol=1e-12)


def test_valid_padding_is_none():
    x, w = tg.tensor(normal(1, 2, 5, 5)), tg.tensor(normal(3, 2, 3, 3))
    assert (F.conv2d(x, w, padding="valid").numpy() == F.conv2d(x, w).numpy()).all()


def test_the_output_is_channels_last_in_memory():
    x = tg.tensor(normal(2, 3, 6, 6).astype(np.float32), requires_grad=True)
    y = F.conv2d(x, tg.tensor(normal(4, 3, 3, 3).astype(np.float32)))
    assert layout_of(y.array) == "channels_last"
    y.sum().backward()
    assert layout_of(x.grad.array) == "channels_last"


def test_integers_convolve_exactly():
    x, w = rng.integers(-9, 9, (2, 3, 5, 5)), rng.integers(-9, 9, (4, 3, 3, 3))
    wanted = naive((1, 1), ((1, 1), (1, 1)), (1, 1), 1)(x, w)
    y = F.conv2d(tg.tensor(x), tg.tensor(w), padding=1)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.numpy(), wanted)


def test_infinities_pass_without_a_warning():
    x = np.full((1, 1, 2, 2), np.inf)
    y = F.conv2d(tg.tensor(x), tg.tensor(np.array([[[[1.0, -1.0], [0.0, 1.0]]]])))
    assert np.isnan(y.numpy()).all()


def test_flops_count_multiplications_and_additions():
    x, w, b = (spec_of(np.zeros(s)) for s in ((2, 4, 8, 8), (6, 2, 3, 3), (6,)))
    attrs = attributes(2, stride=2, padding=1, groups=2)
    positions = 2 * 4 * 4
    assert Conv.flops(x, w, None, *attrs) == 2 * positions * 6 * 2 * 9
    assert Conv.flops(x, w, b, *attrs) == 2 * positions * 6 * 2 * 9 + positions * 6
    g = Conv.infer(x, w, None, *attrs)
    assert ConvInputGrad.flops(g, w, x.shape, *attrs) == Conv.flops(x, w, None, *attrs)
    assert ConvWeightGrad.flops(x, g, w.shape, *attrs) == Conv.flops(x, w, None, *attrs)


def zeros(*shape):
    return np.zeros(shape, np.float32)


BAD = [
    Bad(F.conv2d, (zeros(1, 3, 3, 32), zeros(8, 3, 7, 3)), error=ShapeError, match="H_in >= 7"),
    Bad(
        F.conv2d,
        (zeros(1, 3, 3, 4), zeros(8, 3, 7, 3)),
        {"padding": 1, "dilation": (1, 3)},
        error=ShapeError,
        match="kernel <= 5 along H and kernel <= 2 along W",
    ),
    Bad(
        F.conv2d,
        (zeros(1, 3, 3, 4), zeros(8, 3, 6, 3)),
        {"padding": ((0, 1), (0, 0)), "stride": 2},
        error=ShapeError,
        match=r"floor\(\(3 \+ 0 \+ 1 - 1\*\(6 - 1\) - 1\) / 2\) \+ 1 = 0",
    ),
    Bad(F.conv1d, (zeros(3, 4), zeros(2, 3, 5)), error=ShapeError, match="L_in >= 5"),
    Bad(
        F.conv3d, (zeros(1, 2, 1, 8, 8), zeros(4, 2, 3, 3, 3)), error=ShapeError, match="D_in >= 3"
    ),
    Bad(F.conv2d, (zeros(1, 4, 8, 8), zeros(8, 3, 3, 3)), error=ShapeError, match="4 != 1 . 3"),
    Bad(
        F.conv2d,
        (zeros(1, 8, 8, 3), zeros(8, 3, 3, 3)),
        error=ShapeError,
        match=r"input.permute\(0, 3, 1, 2\)",
        name="channels last",
    ),
    Bad(
        F.conv2d,
        (zeros(5, 8, 8), zeros(8, 1, 3, 3)),
        error=ShapeError,
        match=r"grey images: input\.unsqueeze\(1\), or else make the layer",
        name="no channel axis",
    ),
    Bad(
        F.conv2d,
        (np.zeros((1, 3, 8, 8), "uint8"), np.zeros((8, 3, 3, 3), "float32")),
        error=DTypeError,
        match=r"\.to\('float32'\); / 255 then",
        name="pixels as they come",
    ),
    Bad(
        F.conv2d,
        (zeros(1, 6, 8, 8), zeros(8, 3, 3, 3)),
        error=ShapeError,
        match="groups=2",
        name="groups forgotten",
    ),
    Bad(
        F.conv2d,
        (zeros(1, 6, 8, 8), zeros(8, 2, 3, 3)),
        {"groups": 3},
        error=ShapeError,
        match="O = 8 channels cannot be split into groups = 3",
    ),
    Bad(
        F.conv2d,
        (zeros(1, 3, 8, 8), zeros(8, 3, 3, 3), zeros(3)),
        error=ShapeError,
        match="bias must have shape",
    ),
    Bad(F.conv2d, (zeros(1, 3, 8, 8), zeros(8, 3, 3)), error=ShapeError, match="weight needs 4"),
    Bad(F.conv2d, (zeros(8, 8), zeros(8, 3, 3, 3)), error=ShapeError, match="input needs 4"),
    Bad(
        F.conv2d,
        (zeros(1, 3, 8, 8), zeros(8, 3, 3, 3).astype(np.float64)),
        error=DTypeError,
        match="float32 and float64",
    ),
    Bad(
        F.conv2d,
        (zeros(1, 3, 8, 8).astype(bool), zeros(8, 3, 3, 3).astype(bool)),
        error=DTypeError,
        match="bool",
    ),
    *[
        Bad(F.conv2d, (zeros(1, 3, 8, 8), zeros(8, 3, 3, 3)), kwargs, error=error, match=match)
        for kwargs, error, match in [
            ({"stride": 0}, ArgumentError, "stride must be at least 1"),
            ({"stride": (1, -2)}, ArgumentError, "stride must be at least 1"),
            ({"stride": (1, 2, 3)}, ArgumentError, "one per axis H, W"),
            ({"dilation": 0}, ArgumentError, "dilation must be at least 1"),
            ({"groups": 0}, ArgumentError, "groups must be at least 1"),
            ({"padding": -1}, ArgumentError, "padding must be at least 0"),
            ({"padding": ((1, 1),)}, ArgumentError, "2 pair"),
            ({"padding": "full"}, ArgumentError, "unknown padding 'full'"),
            ({"stride": 1.5}, DTypeError, "whole numbers"),
        ]
    ],
    Bad(
        F.conv_transpose2d,
        (zeros(1, 3, 1, 2), zeros(3, 8, 3, 3)),
        {"padding": 2},
        error=ShapeError,
        match="nothing is left",
    ),
    Bad(
        F.conv_transpose2d,
        (zeros(1, 4, 3, 3), zeros(3, 8, 3, 3)),
        error=ShapeError,
        match="the input has 4 channels, the weight takes 3",
    ),
    Bad(
        F.conv_transpose2d,
        (zeros(1, 3, 3, 3), zeros(3, 8, 3, 3)),
        {"groups": 2},
        error=ShapeError,
        match="cannot be split",
    ),
    Bad(
        F.conv_transpose2d,
        (zeros(1, 3, 3, 3), zeros(3, 8, 3, 3), zeros(3)),
        error=ShapeError,
        match="bias must have shape",
    ),
    Bad(
        F.conv_transpose2d,
        (zeros(1, 3, 3, 3), zeros(3, 8, 3, 3)),
        {"output_padding": 1},
        error=ArgumentError,
        match="smaller than stride or dilation",
    ),
    Bad(
        F.conv_transpose1d,
        (zeros(1, 3, 3), zeros(3, 8, 3).astype(np.float64)),
        error=DTypeError,
        match="float32 and float64",
    ),
    Bad(F.conv_matrix, (zeros(3, 3), (4, 4)), error=ShapeError, match="needs 4 axes"),
]


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)


def test_the_error_of_a_kernel_that_does_not_fit_reads_as_designed():
    with pytest.raises(ShapeError) as caught:
        F.conv2d(tg.zeros(1, 3, 3, 32), tg.zeros(8, 3, 7, 3))
    assert str(caught.value) == (
        "conv2d: the kernel does not fit the input\n"
        "  H_out = floor((H_in + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1\n"
        "        = floor((3 + 2*0 - 1*(7 - 1) - 1) / 1) + 1 = -3\n"
        "  input  (1, 3, 3, 32)  [N, C, H, W]\n"
        "  weight (8, 3, 7, 3)   [O, C/groups, KH, KW]\n"
        "  Any of these fits: H_in >= 7, padding >= 2, kernel <= 3."
    )
    assert caught.value.repairs == [
        {"input": (1, 3, 7, 32)},
        {"padding": 2},
        {"kernel_size": 3},
    ]


sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(deadline=None, max_examples=100)
@given(sizes, sizes, sizes, sizes, st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_every_repair_of_a_kernel_that_does_not_fit_works(size, kernel, stride, padding, dilation):
    args = (zeros(1, 2, *size), zeros(3, 2, *kernel))
    padding = tuple(p - 1 for p in padding)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if all(s + 2 * p >= r for s, p, r in zip(size, padding, reach, strict=True)):
        return
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    check_bad(Bad(F.conv2d, args, options, error=ShapeError, match="fits"))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_inputs_on_different_devices_are_refused_by_the_function_that_was_called(name, n):
    function = getattr(tg.nn.functional, f"{name}{n}d")
    with pytest.raises(BackendError, match=rf"^{name}{n}d: the inputs are on different devices"):
        function(tg.ones(1, 2, *(4,) * n), tg.ones(2, 2, *(3,) * n, device="meta"))
