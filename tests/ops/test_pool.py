"""Pooling: values and winners by the letter of the equations, ties, NaN, refusals with repairs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops import _pooling
from tinygrad_cv.ops.adaptive_pool import (
    AdaptiveAvgPool,
    AdaptiveAvgPoolInputGrad,
    AdaptiveMaxPool,
)
from tinygrad_cv.ops.avg_pool import AvgPool, AvgPoolInputGrad
from tinygrad_cv.ops.pool import MaxPool, MaxPoolGather, MaxPoolScatter, MaxPoolWithIndices
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
TF = torch.nn.functional
rng = np.random.default_rng(3)

LECTURE = np.array(
    [[2.0, 3.0, 3.0, 4.0], [6.0, 7.0, 8.0, 9.0], [4.0, 3.0, 2.0, 0.0], [2.0, 3.0, 4.0, 5.0]]
)


def distinct(*shape):
    """Values without ties, far enough apart for differences."""
    return rng.permutation(math.prod(shape)).reshape(shape) * 0.37 - 2.0


def normal(*shape):
    return rng.normal(size=shape)


def regular(shape, kernel, stride, padding, dilation=None, ceil_mode=False):
    """For every output position the taps of its window: {p: [(tap, pixel), ...]}."""
    n = len(kernel)
    dilation = dilation or (1,) * n
    counts = []
    for a in range(n):
        room = shape[2 + a] + sum(padding[a]) - dilation[a] * (kernel[a] - 1) - 1
        count = (math.ceil if ceil_mode else math.floor)(room / stride[a]) + 1
        if ceil_mode and (count - 1) * stride[a] >= shape[2 + a] + padding[a][0]:
            count -= 1
        counts.append(count)
    windows = {}
    for p in np.ndindex(*counts):
        windows[p] = []
        for tap, k in enumerate(np.ndindex(*kernel)):
            i = tuple(p[a] * stride[a] + k[a] * dilation[a] - padding[a][0] for a in range(n))
            if all(0 <= i[a] < shape[2 + a] for a in range(n)):
                windows[p].append((tap, i))
    return windows


def adaptive(shape, output_size):
    sizes = shape[2:]
    windows = {}
    for p in np.ndindex(*output_size):
        ranges = [
            range(q * s // c, math.ceil((q + 1) * s / c))
            for q, s, c in zip(p, sizes, output_size, strict=True)
        ]
        windows[p] = list(enumerate(itertools.product(*ranges)))
    return windows


def naive_max(windows):
    """Values and flat positions: the first largest pixel of the window, or its last NaN."""

    def pool(x):
        out = tuple(max(p[a] for p in windows) + 1 for a in range(x.ndim - 2))
        values, flat = np.zeros((*x.shape[:2], *out)), np.zeros((*x.shape[:2], *out), np.int64)
        for nc in np.ndindex(*x.shape[:2]):
            for p, taps in windows.items():
                best = taps[0][1]
                for _, i in taps:
                    if x[(*nc, *i)] > x[(*nc, *best)] or np.isnan(x[(*nc, *i)]):
                        best = i
                values[(*nc, *p)] = x[(*nc, *best)]
                flat[(*nc, *p)] = np.ravel_multi_index(best, x.shape[2:])
        return values, flat

    return pool


def naive_mean(windows, count):
    """``count(p, taps)`` is what window p divides by."""

    def pool(x):
        out = tuple(max(p[a] for p in windows) + 1 for a in range(x.ndim - 2))
        values = np.zeros((*x.shape[:2], *out))
        for nc in np.ndindex(*x.shape[:2]):
            for p, taps in windows.items():
                values[(*nc, *p)] = sum(x[(*nc, *i)] for _, i in taps) / count(p, taps)
        return values

    return pool


def naive_spread(windows, shape, count):
    def spread(g):
        dx = np.zeros(shape)
        for nc in np.ndindex(*shape[:2]):
            for p, taps in windows.items():
                for _, i in taps:
                    dx[(*nc, *i)] += g[(*nc, *p)] / count(p, taps)
        return dx

    return spread


def naive_scatter(windows, shape):
    def scatter(g, argmax):
        dx = np.zeros(shape)
        for nc in np.ndindex(*shape[:2]):
            for p, taps in windows.items():
                dx[(*nc, *dict(taps)[argmax[(*nc, *p)]])] += g[(*nc, *p)]
        return dx

    return scatter


def naive_gather(windows):
    def gather(x, argmax):
        y = np.zeros(argmax.shape)
        for nc in np.ndindex(*x.shape[:2]):
            for p, taps in windows.items():
                y[(*nc, *p)] = x[(*nc, *dict(taps)[argmax[(*nc, *p)]])]
        return y

    return gather


def any_winners(shape, windows):
    """Some tap inside the input for every window."""
    out = tuple(max(p[a] for p in windows) + 1 for a in range(len(shape) - 2))
    argmax = np.zeros((*shape[:2], *out), np.uint8)
    for place in np.ndindex(*argmax.shape):
        taps = windows[place[2:]]
        argmax[place] = taps[rng.integers(len(taps))][0]
    return argmax


def included(shape, kernel, stride, padding):
    """The number of pixels of a window, padding included but not what ceil_mode reaches beyond."""

    def count(p, taps):
        size = 1
        for a, k in enumerate(kernel):
            start = p[a] * stride[a] - padding[a][0]
            size *= min(start + k, shape[2 + a] + padding[a][1]) - start
        return size

    return count


# name, input, kernel, stride, padding, dilation, ceil_mode
GEOMETRIES = [
    ("2x2", (2, 3, 4, 6), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False),
    ("uncovered rest", (1, 2, 5, 7), (2, 3), (2, 3), ((0, 0), (0, 0)), (1, 1), False),
    ("overlapping", (2, 2, 6, 5), (3, 3), (2, 1), ((1, 1), (1, 1)), (1, 1), False),
    ("gaps", (1, 2, 7, 7), (2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1), False),
    ("ceil", (1, 2, 6, 5), (3, 2), (2, 2), ((1, 1), (0, 0)), (1, 1), True),
    ("ceil, last window dropped", (1, 1, 3, 4), (2, 2), (2, 3), ((1, 1), (1, 1)), (1, 1), True),
    ("one sided", (1, 2, 5, 4), (3, 2), (2, 1), ((1, 0), (0, 1)), (1, 1), False),
    ("dilated", (1, 2, 7, 8), (2, 3), (2, 1), ((1, 1), (2, 2)), (2, 2), False),
    ("one tap", (1, 2, 4, 3), (1, 1), (2, 1), ((0, 0), (0, 0)), (1, 1), False),
    ("1d", (2, 3, 8), (3,), (2,), ((1, 1),), (1,), False),
    ("3d", (1, 2, 4, 5, 4), (2, 2, 2), (2, 1, 2), ((0, 0), (1, 1), (0, 0)), (1, 1, 1), False),
]

ADAPTIVE = [
    ("global", (2, 3, 4, 5), (1, 1)),
    ("regular", (1, 2, 6, 4), (3, 2)),
    ("irregular", (2, 2, 7, 5), (3, 4)),
    ("enlarging", (1, 2, 2, 3), (5, 4)),
    ("1d", (2, 3, 7), (4,)),
    ("3d", (1, 2, 3, 5, 4), (2, 3, 4)),
]


def operator_cases():
    for name, shape, kernel, stride, padding, dilation, ceil in GEOMETRIES:
        windows = regular(shape, kernel, stride, padding, dilation, ceil)
        shared = {"name": name, "batch": [0]}
        attrs = (kernel, stride, padding, dilation)
        pool = naive_max(windows)
        values = Case(
            MaxPool,
            (distinct(*shape),),
            (*attrs, ceil),
            reference=lambda x, f=pool: f(x)[0],
            **shared,
        )
        yield values
        yield Case(
            MaxPoolWithIndices, (distinct(*shape),), (*attrs, ceil), reference=pool, **shared
        )
        argmax = any_winners(shape, windows)
        g = normal(*argmax.shape)
        scatter = naive_scatter(windows, shape)
        yield Case(
            MaxPoolScatter, (g, argmax), (shape, *attrs), reference=scatter, name=name, batch=()
        )
        gather = naive_gather(windows)
        yield Case(
            MaxPoolGather,
            (normal(*shape), argmax),
            attrs,
            reference=gather,
            name=name,
            batch=[0, 1],
        )
        if set(dilation) == {1}:
            for include, divisor in [(True, None), (False, None), (True, 3)]:
                inside = included(shape, kernel, stride, padding) if include else _taps
                count = (lambda p, taps: 3) if divisor else inside
                attrs = (kernel, stride, padding, ceil, include, divisor)
                label = f"{name}, {'padding counts' if include else 'pixels count'}, by {divisor}"
                mean = naive_mean(windows, count)
                yield Case(AvgPool, (normal(*shape),), attrs, reference=mean, name=label, batch=[0])
                spread = naive_spread(windows, shape, count)
                yield Case(
                    AvgPoolInputGrad,
                    (g,),
                    (shape, *attrs),
                    reference=spread,
                    name=label,
                    batch=(),
                )
    for name, shape, size in ADAPTIVE:
        windows = adaptive(shape, size)
        shared = {"name": name, "batch": [0]}
        mean = naive_mean(windows, _taps)
        yield Case(AdaptiveAvgPool, (normal(*shape),), (size,), reference=mean, **shared)
        spread = naive_spread(windows, shape, _taps)
        g = normal(*shape[:2], *size)
        yield Case(AdaptiveAvgPoolInputGrad, (g,), (shape,), reference=spread, name=name, batch=())
        yield Case(
            AdaptiveMaxPool, (distinct(*shape),), (size,), reference=naive_max(windows), **shared
        )


def _taps(p, taps):
    return len(taps)


def face_cases():
    for n in (1, 2, 3):
        shape = (2, 3, *(7, 6, 5)[:n])
        for name, options in [
            ("max", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
            ("max", {"kernel_size": 2, "return_indices": True}),
            ("avg", {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
            ("adaptive_avg", {"output_size": (3, 2, 4)[:n]}),
            ("adaptive_max", {"output_size": (3, 2, 4)[:n]}),
        ]:
            face, theirs = (getattr(module, f"{name}_pool{n}d") for module in (F, TF))
            yield Case(
                face,
                (distinct(*shape),),
                kwargs=options,
                torch=lambda x, f=theirs, o=options: f(x, **o),
                batch=[0],
            )
    image = distinct(3, 6, 5)
    yield Case(
        F.max_pool2d,
        (image,),
        (2,),
        torch=lambda x: TF.max_pool2d(x, 2),
        name="one image",
        batch=(),
    )
    yield Case(
        F.avg_pool2d,
        (image,),
        (2,),
        torch=lambda x: TF.avg_pool2d(x, 2),
        name="one image",
        batch=(),
    )
    yield Case(
        F.adaptive_avg_pool2d,
        (image,),
        ((None, 2),),
        torch=lambda x: TF.adaptive_avg_pool2d(x, (None, 2)),
        name="one image",
        batch=(),
    )


CASES = [*operator_cases(), *face_cases()]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


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
    if any(
        not taps for taps in regular(shape, kernel, stride, pairs, dilation, ceil_mode).values()
    ):
        return  # a dilated window that sees no pixel: PyTorch reads outside the input
    mine = tg.tensor(x).contiguous(layout).requires_grad_()
    block = _pooling.BLOCK
    _pooling.BLOCK = 1 if one_by_one else block
    try:
        y, indices = getattr(F, f"max_pool{n}d")(mine, **options)
        g = normal(*y.shape)
        y.backward(tg.tensor(g))
    finally:
        _pooling.BLOCK = block
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


def test_flops():
    x = spec_of(np.zeros((2, 3, 8, 8)))
    pool = ((2, 2), (2, 2), ((0, 0), (0, 0)))
    assert MaxPool.flops(x, *pool, (1, 1), False) == 2 * 3 * 4 * 4 * 4
    assert MaxPoolWithIndices.flops(x, *pool, (1, 1), False) == 2 * 3 * 4 * 4 * 4
    assert AvgPool.flops(x, *pool, False, True, None) == 2 * 3 * 4 * 4 * 5
    assert AdaptiveAvgPool.flops(x, (1, 1)) == 2 * 3 * (64 + 1)


def zeros(*shape):
    return np.zeros(shape, np.float32)


BAD = [
    Bad(F.max_pool2d, (zeros(1, 3, 2, 2), 3), error=ShapeError, match="H_in >= 3 and W_in >= 3"),
    Bad(F.max_pool2d, (zeros(3, 4, 2), (2, 5)), error=ShapeError, match="kernel <= 2"),
    Bad(
        F.max_pool1d,
        (zeros(1, 3, 4), 3),
        {"dilation": 2, "ceil_mode": True, "stride": 1},
        error=ShapeError,
        match=r"ceil\(\(4 \+ 2\*0 - 2\*\(3 - 1\) - 1\) / 1\) \+ 1 = 0",
    ),
    Bad(F.avg_pool3d, (zeros(1, 1, 1, 4, 4), 2), error=ShapeError, match="D_in >= 2"),
    Bad(F.avg_pool2d, (zeros(1, 3, 2, 2), 3), error=ShapeError, match="padding >= 1"),
    Bad(F.max_pool2d, (zeros(4, 4), 2), error=ShapeError, match="input needs 4 axes"),
    Bad(F.adaptive_avg_pool2d, (zeros(4, 4), 2), error=ShapeError, match="input needs 4 axes"),
    Bad(F.adaptive_avg_pool2d, (zeros(1, 3, 0, 4), 2), error=ShapeError, match="nothing to pool"),
    Bad(F.max_pool2d, (zeros(1, 1, 4, 4).astype(bool), 2), error=DTypeError, match="bool"),
    Bad(F.avg_pool2d, (zeros(1, 1, 4, 4).astype(int), 2), error=DTypeError, match="floating"),
    Bad(F.adaptive_avg_pool1d, (zeros(1, 1, 4).astype(int), 2), error=DTypeError, match="floating"),
    Bad(F.adaptive_max_pool1d, (zeros(1, 1, 4), 0), error=ArgumentError, match="at least 1"),
    Bad(F.adaptive_max_pool2d, (zeros(1, 1, 4, 4), (1, 2, 3)), error=ArgumentError, match="H, W"),
    Bad(
        F.avg_pool2d,
        (zeros(1, 1, 4, 4), 2),
        {"divisor_override": 0},
        error=ArgumentError,
        match="other than 0",
    ),
    *[
        Bad(F.max_pool2d, (zeros(1, 3, 8, 8), 3), kwargs, error=error, match=match)
        for kwargs, error, match in [
            ({"padding": 2}, ArgumentError, "at most half"),
            ({"padding": -1}, ArgumentError, "padding must be at least 0"),
            ({"stride": 0}, ArgumentError, "stride must be at least 1"),
            ({"dilation": (1, 0)}, ArgumentError, "dilation must be at least 1"),
            ({"stride": "2"}, DTypeError, "whole numbers"),
        ]
    ],
    Bad(F.max_pool2d, (zeros(1, 3, 8, 8), 0), error=ArgumentError, match="kernel_size must be"),
    Bad(F.max_pool2d, (zeros(1, 3, 8, 8), (1, 2, 3)), error=ArgumentError, match="per axis H, W"),
]


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)
