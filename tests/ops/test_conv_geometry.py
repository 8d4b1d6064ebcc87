"""Convolution: the lecture's matrices, and any geometry against PyTorch."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.convolution import Window, depthwise, few_outputs, im2col
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.conv import Conv, ConvInputGrad, ConvWeightGrad
from tinygrad_cv.testing import Bad, check_bad, parametrize_cases

F = tg.nn.functional
rng = np.random.default_rng(8)


def normal(*shape):
    return rng.normal(size=shape)


# What the lecture computes by letters: a 3x3 image, a 2x2 kernel, a 2x2 result.

IMAGE = np.array([[3.0, 1.0, 4.0], [1.0, 5.0, 9.0], [2.0, 6.0, 5.0]])
KERNEL = np.array([[2.0, 7.0], [1.0, 8.0]])
GRAD = np.array([[1.0, 2.0], [3.0, 5.0]])


def lecture_matrix(w):
    (a, b), (c, d) = w
    return np.array(
        [
            [a, b, 0, c, d, 0, 0, 0, 0],
            [0, a, b, 0, c, d, 0, 0, 0],
            [0, 0, 0, a, b, 0, c, d, 0],
            [0, 0, 0, 0, a, b, 0, c, d],
        ]
    )


def test_lecture_forward_and_backward_are_matrix_products():
    image = tg.tensor(IMAGE[None, None], requires_grad=True)
    kernel = tg.tensor(KERNEL[None, None], requires_grad=True)
    h = F.conv2d(image, kernel)
    h.backward(tg.tensor(GRAD[None, None]))
    matrix = lecture_matrix(KERNEL)
    assert h.shape == (1, 1, 2, 2)
    np.testing.assert_array_equal(h.detach().numpy().ravel(), matrix @ IMAGE.ravel())
    assert image.grad.shape == (1, 1, 3, 3)  # 2x2 -> 3x3: backward enlarges
    np.testing.assert_array_equal(image.grad.numpy().ravel(), matrix.T @ GRAD.ravel())
    patches = np.array([IMAGE[i : i + 2, j : j + 2].ravel() for i, j in np.ndindex(2, 2)]).T
    np.testing.assert_array_equal(kernel.grad.numpy().ravel(), patches @ GRAD.ravel())
    np.testing.assert_array_equal(
        F.conv_matrix(tg.tensor(KERNEL[None, None]), (3, 3)).numpy(), matrix
    )


def test_transposed_convolution_is_convolution_of_the_zero_inserted_image():
    for stride, padding, dilation, extra in itertools.product((1, 2, 3), (0, 1), (1, 2), (0, 1)):
        if extra >= max(stride, dilation):
            continue
        x, w = normal(2, 3, 4, 3), normal(3, 2, 3, 2)
        stuffed = np.zeros((2, 3, 3 * stride + 1, 2 * stride + 1))
        stuffed[:, :, ::stride, ::stride] = x
        # Of the full result, ``padding`` rows go at each side and ``extra`` come back at the end.
        reach = [dilation * (k - 1) for k in w.shape[2:]]
        padded = np.pad(stuffed, ((0, 0), (0, 0), *((r, r + extra) for r in reach)))
        flipped = np.ascontiguousarray(w.swapaxes(0, 1)[:, :, ::-1, ::-1])
        full = F.conv2d(tg.tensor(padded), tg.tensor(flipped), dilation=dilation).numpy()
        rows, columns = full.shape[2:]
        wanted = full[:, :, padding : rows - padding, padding : columns - padding]
        found = F.conv_transpose2d(
            tg.tensor(x), tg.tensor(w), None, stride, padding, extra, 1, dilation
        )
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12)


geometry = st.integers(1, 3).flatmap(
    lambda n: st.tuples(
        st.tuples(*[st.integers(1, 9)] * n),
        st.tuples(*[st.integers(1, 4)] * n),
        st.tuples(*[st.integers(1, 4)] * n),
        st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * n),
        st.tuples(*[st.integers(1, 3)] * n),
        st.sampled_from([(1, 1, 1), (1, 4, 3), (2, 1, 2), (3, 2, 1), (5, 1, 1), (1, 5, 1)]),
        st.integers(0, 2),
    )
)


@settings(deadline=None, max_examples=150)
@given(geometry, st.sampled_from(["contiguous", "channels_last"]), st.booleans())
def test_any_geometry_equals_torch(parts, layout, tiny_blocks):
    size, kernel, stride, padding, dilation, (groups, inputs, outputs), images = parts
    n = len(size)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if any(s + sum(p) < r for s, p, r in zip(size, padding, reach, strict=True)):
        return
    x = normal(images, groups * inputs, *size)
    w = normal(groups * outputs, inputs, *kernel)
    if layout == "channels_last":
        x, w = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) for a in (x, w))
    attrs = (stride, padding, dilation, groups)
    before = im2col.BLOCK, im2col.FEWEST_ROWS, depthwise.BLOCK
    if tiny_blocks:  # so that even these small images are cut along every axis
        im2col.BLOCK, im2col.FEWEST_ROWS, depthwise.BLOCK = 1, 3, 64
    try:
        y = Conv.call(x, w, None, *attrs)
        g = normal(*y.shape)
        dx = ConvInputGrad.call(g, w, x.shape, *attrs)
        dw = ConvWeightGrad.call(x, g, w.shape, *attrs)
    finally:
        im2col.BLOCK, im2col.FEWEST_ROWS, depthwise.BLOCK = before
    assert spec_of(y) == Conv.infer(spec_of(x), spec_of(w), None, *attrs)
    assert spec_of(dx) == ConvInputGrad.infer(spec_of(g), spec_of(w), x.shape, *attrs)
    tx, tw = (torch.tensor(a.copy(order="C"), requires_grad=True) for a in (x, w))
    flat = tuple(p for pair in reversed(padding) for p in pair)
    padded = torch.nn.functional.pad(tx, flat)
    ty = getattr(torch.nn.functional, f"conv{n}d")(padded, tw, None, stride, 0, dilation, groups)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-9, atol=1e-9)
    if images:
        gx, gw = torch.autograd.grad(ty, (tx, tw), torch.tensor(g))
        np.testing.assert_allclose(dx, gx.numpy(), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(dw, gw.numpy(), rtol=1e-9, atol=1e-9)
    else:
        assert dx.shape == x.shape
        assert not dw.any()


def test_a_block_never_holds_more_than_its_limit():
    x = np.zeros((3, 64, 40, 40), np.float32)
    window = Window((3, 3), (1, 1), (-1, -1), (1, 1))
    sizes = [c.nbytes for _, c in im2col.columns(np, x, (40, 40), window, 1)]
    assert max(sizes) <= im2col.BLOCK
    assert sum(sizes) == x.nbytes * 9


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("shape", "weight", "match"),
    [
        ((2, 3, 0), (3, 4, 3), "only its batch may be empty"),
        ((3, 0), (3, 4, 3), "only its batch may be empty"),
        ((2, 3, 0, 5), (3, 4, 5, 3), "only its batch may be empty"),
        ((2, 0, 4), (0, 4, 3), "the weight has an axis of size 0"),
        ((2, 3, 4), (3, 0, 3), "the weight has an axis of size 0"),
        ((2, 3, 4), (3, 4, 0), "the weight has an axis of size 0"),
    ],
)
def test_a_transposed_convolution_of_nothing_is_refused_as_in_torch(shape, weight, match, stride):
    name = f"conv_transpose{len(weight) - 2}d"
    with pytest.raises(RuntimeError):
        getattr(torch.nn.functional, name)(torch.ones(shape), torch.ones(weight), stride=stride)
    arrays = (np.ones(shape), np.ones(weight))
    function = getattr(tg.nn.functional, name)
    check_bad(Bad(function, arrays, {"stride": stride}, error=tg.ShapeError, match=match))


def test_a_transposed_convolution_of_an_empty_batch_has_gradients():
    tensors = [tg.ones(*s, requires_grad=True) for s in ((0, 3, 5), (3, 4, 3), (4,))]
    y = tg.nn.functional.conv_transpose1d(*tensors)
    assert y.shape == (0, 4, 7)
    y.sum().backward()
    for tensor in tensors:
        assert tensor.grad.shape == tensor.shape
        assert not tensor.grad.numpy().any()


def test_huge_numbers_of_groups_are_refused_at_once():
    with pytest.raises(tg.ShapeError, match="groups must divide 4, for example 4"):
        tg.nn.functional.conv2d(tg.ones(1, 3, 5, 5), tg.ones(4, 3, 2, 2), groups=2**60)


@pytest.mark.parametrize(
    ("sizes", "kernel", "stride", "padding", "dilation"),
    [
        ((9, 7), (3, 3), (1, 1), (0, 0), (1, 1)),
        ((9, 7), (5, 3), (1, 2), (2, 1), (1, 1)),
        ((9, 7), (3, 2), (1, 1), (4, 0), (2, 3)),
        ((1, 8), (3, 3), (1, 1), (5, 1), (1, 1)),  # some taps along H see padding only
        ((2, 3), (3, 1), (1, 1), (6, 1), (5, 1)),  # and some positions
        ((30,), (4,), (1,), (3,), (2,)),
        ((5, 4, 6), (3, 3, 2), (1, 2, 1), (1, 1, 1), (1, 1, 2)),
    ],
)
@pytest.mark.parametrize("block", [1, few_outputs.BLOCK])
def test_few_output_channels_give_what_any_number_gives(
    monkeypatch, block, sizes, kernel, stride, padding, dilation
):
    monkeypatch.setattr(few_outputs, "BLOCK", block)
    n = len(sizes)
    x, w, b = normal(3, 9, *sizes), normal(5, 9, *kernel), normal(5)
    window = Window(kernel, stride, tuple(-p for p in padding), dilation)
    assert few_outputs.serves(w[None], window)
    conv, torch_conv = getattr(F, f"conv{n}d"), getattr(torch.nn.functional, f"conv{n}d")
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    y = conv(tg.tensor(x), tg.tensor(w), tg.tensor(b), **options).numpy()
    expected = torch_conv(*map(torch.from_numpy, (x, w, b)), **options).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("tap", [0, 1, 2])
@pytest.mark.parametrize("padding", [(1, 1), (4, 0), (0, 5)])
@pytest.mark.parametrize("outputs", [5, 12])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_the_zeros_of_the_padding_are_multiplied(outputs, padding, tap, value):
    x, w = normal(2, 9, 3, 5), normal(outputs, 9, 3, 2)
    w[1, 4, tap, 1] = value
    window = Window((3, 2), (1, 1), (-padding[0], 0), (1, 1))
    assert few_outputs.serves(w[None], window) == (outputs == 5)
    around = np.pad(x, ((0, 0), (0, 0), padding, (0, 0)))
    with np.errstate(all="ignore"):
        y = Conv.forward(np, x, w, None, (1, 1), (padding, (0, 0)), (1, 1), 1)
        expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (around, w))).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)


def test_columns_of_one_row_per_tap_give_the_same_weight_gradient():
    x, g = normal(2, 3, 8, 9), normal(2, 4, 8, 9)  # few input channels
    attributes = ((4, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    found = ConvWeightGrad.forward(np, x, g, *attributes)
    expected = torch.nn.grad.conv2d_weight(
        torch.from_numpy(x), (4, 3, 3, 3), torch.from_numpy(g), padding=1
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-10)


# The gradients refuse what no forward call can have given.

GEOMETRY = ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)  # stride, padding, dilation, groups

BAD = [
    Bad(
        ConvInputGrad,
        (normal(2, 4, 3, 3), normal(4, 3, 3, 2), (2, 3, 5, 5), *GEOMETRY),
        error=ShapeError,
        match=r"the output gradient must have shape \(2, 4, 3, 4\)",
    ),
    Bad(
        ConvInputGrad,
        (normal(2, 4, 3, 3), normal(4, 3, 3, 2).astype("f4"), (2, 3, 5, 4), *GEOMETRY),
        error=DTypeError,
        match="the dtypes differ: float64 and float32",
    ),
    Bad(
        ConvWeightGrad,
        (normal(2, 3, 5, 4), normal(2, 4, 2, 3), (4, 3, 3, 2), *GEOMETRY),
        error=ShapeError,
        match=r"the output gradient must have shape \(2, 4, 3, 3\)",
    ),
    Bad(
        ConvInputGrad,
        (normal(2, 4, 3, 3), normal(4, 3, 3, 3), (2, 6, 5, 5), *GEOMETRY),
        error=ShapeError,
        match="the input has 6 channels, the weight takes 3",
    ),
    Bad(
        ConvWeightGrad,
        (normal(2, 3, 5, 5), normal(2, 4, 3, 3), (4, 6, 3, 3), *GEOMETRY),
        error=ShapeError,
        match="the input has 3 channels, the weight takes 6",
    ),
    Bad(
        ConvWeightGrad,
        (normal(2, 6, 5, 5), normal(2, 5, 3, 3), (5, 3, 3, 3), *GEOMETRY[:3], 2),
        error=ShapeError,
        match="O = 5 channels cannot be split into groups = 2",
    ),
]


@parametrize_cases(BAD)
def test_bad_input_of_a_gradient_is_refused(bad):
    check_bad(bad)


@pytest.mark.parametrize(
    ("n", "shape", "way"),
    [
        (2, (2, 16, 12, 3), lambda x: x.permute(0, 3, 1, 2)),
        (2, (16, 12, 3), lambda x: x.permute(2, 0, 1)),
        (3, (2, 6, 5, 4, 3), lambda x: x.permute(0, 4, 1, 2, 3)),
        (3, (2, 6, 3, 5, 4), lambda x: x.movedim(2, 1)),  # the frames of a clip first
        (3, (2, 3, 5, 4), lambda x: x.unsqueeze(2)),  # images, which have no depth
        (2, (2, 3, 5), lambda x: x.unsqueeze(2)),
        (2, (2, 4, 3, 3), None),  # every axis could be that of the channels
    ],
)
def test_where_the_channels_seem_to_be(n, shape, way):
    """The input is shown as it was given, and what is said about it works."""
    image, weight = tg.ones(*shape), tg.ones(2, 3, *(1,) * n)
    with pytest.raises(ShapeError) as caught:
        getattr(F, f"conv{n}d")(image, weight)
    assert f"input  {shape}" in str(caught.value)
    found = re.search(r"input(\.\w+\([\d, ]+\))", caught.value.repair)
    assert (found is None) is (way is None)
    if way is not None:
        moved = eval(f"image{found[1]}", {"image": image})
        assert moved.shape == way(image).shape
        getattr(F, f"conv{n}d")(moved, weight)
