"""Windows: unfold and fold, Tensor.unfold, and the shuffles of pixels and channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.unfold import Fold, Unfold
from tinygrad_cv.ops.windows import Windows, WindowsGrad
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(41)
F = tg.nn.functional
TF = torch.nn.functional


def normal(*sizes):
    return rng.normal(size=sizes)


# kernel, stride, padding, dilation
NEAR = ((0, 0), (0, 0))
GEOMETRIES = [
    ("2x2", (2, 3, 4, 5), (2, 2), (1, 1), NEAR, (1, 1)),
    ("strided", (1, 2, 7, 6), (3, 2), (2, 3), ((1, 1), (0, 2)), (1, 1)),
    ("dilated", (2, 1, 6, 7), (2, 3), (1, 2), ((0, 1), (2, 2)), (3, 2)),
    ("one tap", (1, 3, 4, 3), (1, 1), (2, 1), NEAR, (1, 1)),
    ("wide padding", (1, 1, 2, 2), (2, 2), (3, 3), ((4, 4), (3, 3)), (1, 1)),
    ("1d", (2, 3, 8), (3,), (2,), ((1, 0),), (2,)),
    ("3d", (1, 2, 4, 3, 4), (2, 2, 3), (2, 1, 1), ((0, 0), (1, 0), (0, 0)), (1, 1, 1)),
]


def pairs_of(shape, kernel, stride, padding, dilation):
    """(row, column, pixel) for every tap of every window that lies inside one image."""
    n = len(kernel)
    counts = [
        (shape[2 + a] + sum(padding[a]) - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1
        for a in range(n)
    ]
    found = []
    for column, p in enumerate(np.ndindex(*counts)):
        for row, k in enumerate(np.ndindex(*kernel)):
            i = tuple(p[a] * stride[a] + k[a] * dilation[a] - padding[a][0] for a in range(n))
            if all(0 <= i[a] < shape[2 + a] for a in range(n)):
                found.append((row, column, i))
    return found, int(np.prod(kernel)), int(np.prod(counts))


def naive_unfold(x, *geometry):
    found, taps, count = pairs_of(x.shape, *geometry)
    y = np.zeros((x.shape[0], x.shape[1] * taps, count))
    for n, c in np.ndindex(*x.shape[:2]):
        for row, column, i in found:
            y[n, c * taps + row, column] = x[(n, c, *i)]
    return y


def naive_fold(y, shape, *geometry):
    found, taps, _ = pairs_of(shape, *geometry)
    x = np.zeros(shape)
    for n, c in np.ndindex(*shape[:2]):
        for row, column, i in found:
            x[(n, c, *i)] += y[n, c * taps + row, column]
    return x


def operator_cases():
    for name, shape, *geometry in GEOMETRIES:
        kernel, stride, padding, dilation = geometry
        x = normal(*shape)
        yield Case(
            Unfold,
            (x,),
            (kernel, stride, padding, dilation),
            reference=lambda x, g=geometry: naive_unfold(x, *g),
            name=name,
            batch=[0],
        )
        yield Case(
            Fold,
            (normal(*naive_unfold(x, *geometry).shape),),
            (shape[2:], kernel, stride, padding, dilation),
            reference=lambda y, s=shape, g=geometry: naive_fold(y, s, *g),
            name=name,
            batch=[0],
        )


def naive_windows(dim, size, step):
    def windows(x):
        count = (x.shape[dim] - size) // step + 1
        rows = [np.take(x, range(p * step, p * step + size), dim) for p in range(count)]
        rows = [np.moveaxis(row, dim, -1) for row in rows]
        return np.stack(rows, dim)

    return windows


def naive_windows_grad(shape, dim, size, step):
    def spread(g):
        x = np.zeros(shape)
        line = np.moveaxis(x, dim, -1)
        g = np.moveaxis(g, dim, -2)
        for at in np.ndindex(*g.shape):
            *rest, p, k = at
            line[(*rest, p * step + k)] += g[at]
        return x

    return spread


def windows_cases():
    for shape, dim, size, step in [
        ((7,), 0, 3, 2),
        ((2, 6, 3), 1, 2, 1),
        ((2, 6, 3), -1, 3, 1),
        ((2, 3, 5, 4), 3, 2, 2),
        ((2, 3, 9), 2, 2, 4),
        ((3, 4), 1, 1, 1),
        ((3, 4), 1, 0, 2),
        ((2, 3, 8, 2), 2, 7, 1),
    ]:
        axis = dim % len(shape)
        count = (shape[axis] - size) // step + 1
        yield Case(
            tg.Tensor.unfold,
            (normal(*shape),),
            (dim, size, step),
            torch=lambda t, a=(dim, size, step): t.unfold(*a),
            name=f"{dim} {size} {step}",
        )
        if size:
            yield Case(
                Windows,
                (normal(*shape),),
                (axis, size, step),
                reference=naive_windows(axis, size, step),
            )
        grad = (*shape[:axis], count, *shape[axis + 1 :], size)
        yield Case(
            WindowsGrad,
            (normal(*grad),),
            (shape, axis, size, step),
            reference=naive_windows_grad(shape, axis, size, step),
            skip={"empty": "the windows belong to the shape"},
        )


def by_torch(name, shape, *attrs, **kwargs):
    return Case(
        getattr(F, name),
        (normal(*shape),),
        attrs,
        kwargs,
        torch=lambda t: getattr(TF, name)(t, *attrs, **kwargs),
        name=" ".join(map(str, attrs)),
    )


def naive_channel_shuffle(x, groups):
    y = np.empty_like(x)
    width = x.shape[1] // groups
    for g in range(groups):
        for k in range(width):
            y[:, k * groups + g] = x[:, g * width + k]
    return y


def naive_pixel_shuffle(x, r):
    *lead, channels, h, w = x.shape
    y = np.empty((*lead, channels // r**2, h * r, w * r))
    for c, i, j, a, b in np.ndindex(channels // r**2, h, w, r, r):
        y[..., c, i * r + a, j * r + b] = x[..., (c * r + a) * r + b, i, j]
    return y


def shuffle_case(name, naive, shape, factor):
    return Case(
        getattr(F, name),
        (normal(*shape),),
        (factor,),
        reference=lambda x: naive(x, factor),
        torch=lambda t: getattr(TF, name)(t, factor),
        batch=[0] if len(shape) > 3 else None,
    )


def naive_pixel_unshuffle(x, r):
    *lead, c, height, width = x.shape
    y = np.empty((*lead, c * r * r, height // r, width // r))
    for k, i, j in np.ndindex(c, height, width):
        y[..., (k * r + i % r) * r + j % r, i // r, j // r] = x[..., k, i, j]
    return y


CASES = [
    *operator_cases(),
    *windows_cases(),
    by_torch("unfold", (2, 3, 5, 6), 3),
    by_torch("unfold", (2, 3, 7, 6), (2, 3), (2, 1), (1, 2), (2, 3)),
    by_torch("unfold", (3, 5, 4), 2, padding=1, stride=2),
    by_torch("fold", (2, 12, 12), (4, 5), 2),
    by_torch("fold", (2, 6, 12), (5, 6), (2, 3), (2, 1), (1, 2), (2, 2)),
    by_torch("fold", (8, 9), 4, 2),
    shuffle_case("pixel_shuffle", naive_pixel_shuffle, (2, 8, 3, 2), 2),
    shuffle_case("pixel_shuffle", naive_pixel_shuffle, (18, 2, 1), 3),
    shuffle_case("pixel_shuffle", naive_pixel_shuffle, (2, 1, 3, 4, 2, 3), 2),
    shuffle_case("pixel_shuffle", naive_pixel_shuffle, (2, 3, 2, 2), 1),
    shuffle_case("pixel_unshuffle", naive_pixel_unshuffle, (2, 2, 6, 4), 2),
    shuffle_case("pixel_unshuffle", naive_pixel_unshuffle, (1, 3, 6), 3),
    shuffle_case("pixel_unshuffle", naive_pixel_unshuffle, (2, 1, 3, 2, 4), 2),
    shuffle_case("channel_shuffle", naive_channel_shuffle, (2, 6, 3, 2), 3),
    shuffle_case("channel_shuffle", naive_channel_shuffle, (2, 6, 3), 2),
    shuffle_case("channel_shuffle", naive_channel_shuffle, (1, 8, 2, 3, 2), 4),
]

X = normal(1, 2, 4, 4)
BAD = [
    Bad(F.unfold, (X, 5), error=ShapeError, match="does not fit"),
    Bad(F.unfold, (X[0], (2, 3), 3), error=ShapeError, match="does not fit"),
    Bad(F.unfold, (X[0, 0], 2), error=ShapeError, match="has 2 axes"),
    Bad(F.unfold, (X, (2, 2, 2)), error=ArgumentError, match="kernel_size needs one int or 2"),
    Bad(F.unfold, (X, -1), error=ArgumentError, match="kernel_size must be at least 1"),
    Bad(F.unfold, (X, 2, 0), error=ArgumentError, match="dilation must be at least 1"),
    Bad(F.unfold, (X, 2, 1, -1), error=ArgumentError, match="padding must be at least 0"),
    Bad(F.unfold, (X, 2, 1, 0, 0), error=ArgumentError, match="stride must be at least 1"),
    Bad(F.unfold, (X, 2.5), error=DTypeError, match="whole numbers"),
    Bad(F.fold, (normal(1, 12, 12), (4, 5), (4, 4)), error=ShapeError, match="no multiple"),
    Bad(F.fold, (normal(1, 12, 11), (4, 5), 2), error=ShapeError, match="12 windows.* 11 columns"),
    Bad(F.fold, (normal(12, 11), (4, 5), 2), error=ShapeError, match="12 windows"),
    Bad(F.fold, (normal(1, 12, 12), (4, 5), 6), error=ShapeError, match="6 <= 4 is false"),
    Bad(F.fold, (normal(1, 1, 12, 12), (4, 5), 2), error=ShapeError, match="has 4 axes"),
    Bad(F.fold, (normal(1, 12, 12), (4, 5, 6), 2), error=ArgumentError, match="output_size needs"),
    Bad(F.fold, (normal(1, 12, 12) > 0, (4, 5), 2), error=DTypeError, match="bool"),
    Bad(tg.Tensor.unfold, (normal(5), 0, 6, 1), error=ShapeError, match="6 <= 5 is false"),
    Bad(tg.Tensor.unfold, (normal(5), 0, 2, 0), error=ArgumentError, match="step = 0"),
    Bad(tg.Tensor.unfold, (normal(5), 0, -1, 1), error=ArgumentError, match="size = -1"),
    Bad(tg.Tensor.unfold, (normal(5), 1, 2, 1), error=RangeError, match="dim 1 is out of range"),
    Bad(tg.Tensor.unfold, (normal(5), 0, 1.5, 1), error=DTypeError, match="size must be a whole"),
    Bad(WindowsGrad, (normal(3, 2), (5,), 0, 2, 1), error=ShapeError, match=r"are \(4, 2\)"),
    Bad(F.pixel_shuffle, (normal(1, 6, 2, 2), 2), error=ShapeError, match="no whole C"),
    Bad(F.pixel_shuffle, (normal(4, 2), 2), error=ShapeError, match="it has 2"),
    Bad(F.pixel_shuffle, (normal(1, 4, 2, 2), 0), error=ArgumentError, match="at least 1, got 0"),
    Bad(F.pixel_shuffle, (normal(1, 4, 2, 2), 2.0), error=DTypeError, match="whole number"),
    Bad(F.pixel_unshuffle, (normal(1, 2, 5, 4), 2), error=ShapeError, match="5 = H \\* 2"),
    Bad(F.pixel_unshuffle, (normal(1, 2, 4, 1), 2), error=ShapeError, match="1 = W \\* 2"),
    Bad(F.pixel_unshuffle, (normal(1, 2, 4, 4), -2), error=ArgumentError, match="got -2"),
    Bad(F.channel_shuffle, (normal(1, 6, 2), 4), error=ShapeError, match="6 % 4 = 2"),
    Bad(F.channel_shuffle, (normal(2, 6), 2), error=ShapeError, match="it has 2"),
    Bad(F.channel_shuffle, (normal(1, 6, 2), 0), error=ArgumentError, match="got 0"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.pixel_unshuffle(x, 2),
        lambda x: F.channel_shuffle(x, 2),
    ],
)
def test_channels_last_memory_is_kept(call):
    x = tg.Tensor(normal(2, 8, 4, 6))
    lying = x.contiguous("channels_last")
    assert layout_of(call(lying).array) == "channels_last"
    assert layout_of(call(x).array) == "contiguous"
    np.testing.assert_array_equal(call(lying).numpy(), call(x).numpy())


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_integers_and_bools_move(dtype):
    x = rng.integers(0, 2, (1, 4, 4, 4)).astype(dtype)
    t = torch.from_numpy(x)
    for name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"):
        ours, theirs = getattr(F, name)(tg.Tensor(x), 2), getattr(TF, name)(t, 2)
        assert ours.dtype == x.dtype
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_array_equal(tg.Tensor(x).unfold(2, 3, 1).numpy(), t.unfold(2, 3, 1).numpy())
    assert F.unfold(tg.Tensor(x), 2).dtype == x.dtype


def test_windows_share_memory():
    x = tg.arange(6.0)
    assert np.shares_memory(x.unfold(0, 3, 1).array, x.array)


def test_one_number_is_its_own_window():
    assert tg.tensor(5.0).unfold(0, 1, 1).tolist() == [5.0]
    assert tg.tensor(5.0).unfold(0, 0, 1).shape == (0,)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_fold_is_the_adjoint_of_unfold(data):
    two = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = (data.draw(two) for _ in range(3))
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    sizes = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    room = [
        n + 2 * p - d * (k - 1) for n, p, d, k in zip(sizes, padding, dilation, kernel, strict=True)
    ]
    assume(min(room) >= 1)
    x = rng.normal(size=(2, 3, *sizes))
    columns = F.unfold(tg.Tensor(x), kernel, dilation, padding, stride).numpy()
    expected = TF.unfold(torch.from_numpy(x), kernel, dilation, padding, stride).numpy()
    np.testing.assert_array_equal(columns, expected)
    g = rng.normal(size=columns.shape)
    image = F.fold(tg.Tensor(g), sizes, kernel, dilation, padding, stride).numpy()
    np.testing.assert_allclose((image * x).sum(), (g * columns).sum(), rtol=1e-9, atol=1e-9)
