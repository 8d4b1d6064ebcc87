"""Pooling: the lecture's example, edge values, and any geometry against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend import pooling
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops.pool import MaxPool

F = tg.nn.functional
TF = torch.nn.functional
rng = np.random.default_rng(4)


def normal(*shape):
    return rng.normal(size=shape)


def distinct(*shape):
    return rng.permutation(math.prod(shape)).reshape(shape) * 0.37 - 2.0


LECTURE = np.array(
    [[2.0, 3.0, 3.0, 4.0], [6.0, 7.0, 8.0, 9.0], [4.0, 3.0, 2.0, 0.0], [2.0, 3.0, 4.0, 5.0]]
)


def test_lecture_max_pooling_forward_and_backward():
    x = tg.tensor(LECTURE[None, None], requires_grad=True)
    y = F.max_pool2d(x, 2)
    assert y.tolist() == [[[[7.0, 9.0], [4.0, 5.0]]]]
    loss = np.array([[10.0, 20.0], [30.0, 40.0]])
    y.backward(tg.tensor(loss[None, None]))
    won = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], won * loss.repeat(2, 0).repeat(2, 1))


def test_lecture_average_pooling_forward_and_backward():
    x = tg.tensor(LECTURE[None, None], requires_grad=True)
    y = F.avg_pool2d(x, 2)
    assert y.tolist() == [[[[4.5, 6.0], [3.0, 2.75]]]]
    loss = np.array([[10.0, 20.0], [30.0, 40.0]])
    y.backward(tg.tensor(loss[None, None]))
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], loss.repeat(2, 0).repeat(2, 1) / 4)


def test_ties_go_to_the_first_pixel_and_nan_to_the_last():
    x = tg.tensor([[[1.0, 5.0, 5.0, 5.0]]], requires_grad=True)
    values, indices = F.max_pool1d(x, 4, return_indices=True)
    assert (values.tolist(), indices.tolist()) == ([[[5.0]]], [[[1]]])
    values.sum().backward()
    assert x.grad.tolist() == [[[0.0, 1.0, 0.0, 0.0]]]
    nan = float("nan")
    values, indices = F.max_pool1d(tg.tensor([[[nan, 9.0, nan, 1.0]]]), 4, return_indices=True)
    assert math.isnan(values.item())
    assert indices.item() == 2


def test_minus_infinity_is_a_value_and_padding_is_not():
    x = tg.full((1, 1, 3), -math.inf)
    values, indices = F.max_pool1d(x, 3, 1, 1, return_indices=True)
    assert values.tolist() == [[[-math.inf] * 3]]
    assert indices.tolist() == [[[0, 0, 1]]]
    assert F.max_pool1d(tg.full((1, 1, 3), -7.0), 3, 1, 1).tolist() == [[[-7.0] * 3]]


def test_an_infinite_gradient_stays_with_the_winner():
    x = tg.tensor([[[1.0, 2.0]]], requires_grad=True)
    F.max_pool1d(x, 2).backward(tg.tensor([[[math.inf]]]))
    assert x.grad.tolist() == [[[0.0, math.inf]]]


def test_integers_have_a_maximum():
    x = rng.integers(-9, 9, (2, 3, 6, 6))
    y = F.max_pool2d(tg.tensor(x), 3, 2, 1)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.numpy(), TF.max_pool2d(torch.tensor(x), 3, 2, 1).numpy())


def test_windows_of_more_than_256_pixels():
    x = distinct(1, 1, 20, 20)
    values, indices = F.max_pool2d(tg.tensor(x), 20, return_indices=True)
    assert values.item() == x.max()
    assert indices.item() == x.argmax()


@pytest.mark.parametrize("pool", [F.max_pool2d, lambda x, _: F.adaptive_max_pool2d(x, 1)])
def test_windows_of_more_than_256_pixels_can_be_differentiated_twice(pool):
    x = tg.tensor(distinct(1, 1, 20, 20)).requires_grad_()
    y = pool(x, 20)
    (g,) = tg.autograd.grad((y * y).sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    winner = x.detach().numpy() == x.detach().numpy().max()
    np.testing.assert_array_equal(g.detach().numpy(), winner * 2 * y.item())
    np.testing.assert_array_equal(h.numpy(), winner * 2.0)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_pooling_keeps_the_memory_layout(layout):
    x = tg.tensor(distinct(2, 3, 6, 6)).contiguous(layout).requires_grad_()
    for pool in (
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 3, 2, 1),
        lambda x: F.adaptive_avg_pool2d(x, 4),
    ):
        y = pool(x)
        assert layout_of(y.array) == layout
        g = tg.tensor(normal(*y.shape)).contiguous(layout)
        (grad,) = tg.autograd.grad(y, x, g)
        assert layout_of(grad.array) == layout


axis = st.tuples(
    st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3)
)
geometry = st.integers(1, 3).flatmap(lambda n: st.tuples(*[axis] * n))
layouts = st.sampled_from(["contiguous", "channels_last"])


def relayout(x, layout):
    if layout == "contiguous":
        return x
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def sees(size, count, kernel, stride, padding, dilation):
    """True if every window of an axis has a tap inside the input."""
    return all(
        any(0 <= p * stride + k * dilation - padding < size for k in range(kernel))
        for p in range(count)
    )


@settings(deadline=None, max_examples=150)
@given(geometry, st.booleans(), layouts, st.integers(1, 3), st.booleans(), st.randoms())
def test_any_max_pooling_equals_torch(axes, ceil_mode, layout, images, one_by_one, random):
    size, kernel, stride, padding, dilation = zip(*axes, strict=True)
    padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    n = len(size)
    shape = (images, 2, *size)
    x = np.array([random.choice([0.0, 1.0, 2.0, np.nan, -np.inf]) for _ in range(math.prod(shape))])
    x = relayout(x.reshape(shape), layout)
    options = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
        "return_indices": True,
    }
    tx = torch.tensor(x.copy(order="C"), requires_grad=True)
    pairs = tuple((p, p) for p in padding)
    try:
        ty, ti = getattr(TF, f"max_pool{n}d")(tx, **options)
    except RuntimeError:
        with pytest.raises(ShapeError):
            getattr(F, f"max_pool{n}d")(tg.tensor(x), **options)
        return
    if not all(map(sees, size, ty.shape[2:], kernel, stride, padding, dilation)):
        # PyTorch gives -inf and an index outside the input, and its backward writes there.
        with pytest.raises(ShapeError, match="would see only padding"):
            getattr(F, f"max_pool{n}d")(tg.tensor(x), **options)
        return
    mine = tg.tensor(x).contiguous(layout).requires_grad_()
    block = pooling.BLOCK
    pooling.BLOCK = 1 if one_by_one else block
    try:
        y, indices = getattr(F, f"max_pool{n}d")(mine, **options)
        g = normal(*y.shape)
        y.backward(tg.tensor(g))
    finally:
        pooling.BLOCK = block
    np.testing.assert_array_equal(y.detach().numpy(), ty.detach().numpy())
    np.testing.assert_array_equal(indices.numpy(), ti.numpy())
    (gx,) = torch.autograd.grad(ty, tx, torch.tensor(g))
    np.testing.assert_allclose(mine.grad.numpy(), gx.numpy(), atol=1e-12)
    attrs = (kernel, stride, pairs, dilation, ceil_mode)
    promised = MaxPool.infer(spec_of(x), *attrs)
    assert tuple(map(spec_of, MaxPool.forward(np, x, *attrs))) == promised


@settings(deadline=None, max_examples=150)
@given(
    geometry, st.booleans(), st.booleans(), st.sampled_from([None, 2]), layouts, st.integers(0, 2)
)
def test_any_average_pooling_equals_torch(axes, ceil_mode, include, divisor, layout, images):
    size, kernel, stride, padding, _ = zip(*axes, strict=True)
    padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    n = len(size)
    x = relayout(normal(images, 3, *size), layout)
    options = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": include,
        "divisor_override": divisor,
    }
    theirs = {k: v for k, v in options.items() if n > 1 or k != "divisor_override"}
    tx = torch.tensor(x.copy(order="C"), requires_grad=True)
    try:
        ty = getattr(TF, f"avg_pool{n}d")(tx, **theirs)
    except RuntimeError:
        return
    mine = tg.tensor(x).contiguous(layout).requires_grad_()
    y = getattr(F, f"avg_pool{n}d")(mine, **options)
    assert tuple(y.shape) == tuple(ty.shape)
    if n == 1 and divisor is not None:
        return
    g = normal(*y.shape)
    y.backward(tg.tensor(g))
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-9, atol=1e-9)
    if images:
        (gx,) = torch.autograd.grad(ty, tx, torch.tensor(g))
        np.testing.assert_allclose(mine.grad.numpy(), gx.numpy(), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3), layouts)
def test_any_adaptive_pooling_equals_torch(axes, layout):
    size, wanted = zip(*axes, strict=True)
    n = len(size)
    x = distinct(2, 3, *size)
    for kind in ("avg", "max"):
        tx = torch.tensor(x, requires_grad=True)
        mine = tg.tensor(x).contiguous(layout).requires_grad_()
        options = {"return_indices": True} if kind == "max" else {}
        found = getattr(F, f"adaptive_{kind}_pool{n}d")(mine, wanted, **options)
        theirs = getattr(TF, f"adaptive_{kind}_pool{n}d")(tx, wanted, **options)
        if kind == "max":
            np.testing.assert_array_equal(found[1].numpy(), theirs[1].numpy())
            found, theirs = found[0], theirs[0]
        np.testing.assert_allclose(found.detach().numpy(), theirs.detach().numpy(), rtol=1e-9)
        g = normal(*found.shape)
        found.backward(tg.tensor(g))
        (gx,) = torch.autograd.grad(theirs, tx, torch.tensor(g))
        np.testing.assert_allclose(mine.grad.numpy(), gx.numpy(), rtol=1e-9, atol=1e-9)
