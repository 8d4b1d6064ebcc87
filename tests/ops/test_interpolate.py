"""Resizing by the letter of its equations, against PyTorch, and refusals with their repairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.resizing import Axis
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.interpolate import Resize, ResizeGrad
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(43)
F = tg.nn.functional
TF = torch.nn.functional


def normal(*sizes):
    return rng.normal(size=sizes)


# The equations, one position at a time ------------------------------------------------------------


def keys(x, a):
    """The cubic convolution kernel."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


FILTERS = {
    "linear": (1, lambda x: max(1 - abs(x), 0.0)),
    "cubic": (2, lambda x: keys(x, -0.5)),
    "lanczos": (3, lambda x: sinc(x) * sinc(x / 3) if abs(x) < 3 else 0.0),
}


def weights_of(p, axis):
    """{pixel: weight} of position p."""
    size, out = axis.size, axis.out
    if axis.align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = 1 / axis.scale if axis.scale else size / out
    found = {}

    def add(pixel, weight):
        pixel = min(max(pixel, 0), size - 1)
        found[pixel] = found.get(pixel, 0.0) + weight

    if axis.antialias:
        radius, function = FILTERS[axis.mode]
        wide = max(step, 1.0)
        centre = step * (p + 0.5)
        taps = {
            i: function((i + 0.5 - centre) / wide)
            for i in range(size)
            if abs(i + 0.5 - centre) < radius * wide
        }
        for i, weight in taps.items():
            add(i, weight / sum(taps.values()))
        return found
    source = step * p if axis.align_corners else step * (p + 0.5) - 0.5
    if axis.mode == "nearest":
        add(math.floor(step * p), 1.0)
    elif axis.mode == "nearest-exact":
        add(math.floor(source + 0.5), 1.0)
    elif axis.mode == "linear":
        source = max(source, 0.0)
        i = math.floor(source)
        add(i, 1 - (source - i))
        add(i + 1, source - i)
    else:
        i = math.floor(source)
        for k in range(-1, 3):
            add(i + k, keys(source - i - k, -0.75))
    return found


def naive(axes, back=False):
    def resize(x):
        for number, axis in enumerate(axes):
            line = np.moveaxis(x, 2 + number, 0)
            y = np.zeros((axis.size if back else axis.out, *line.shape[1:]))
            for p in range(axis.out):
                for i, weight in weights_of(p, axis).items():
                    if back:
                        y[i] += weight * line[p]
                    else:
                        y[p] += weight * line[i]
            x = np.moveaxis(y, 0, 2 + number)
        return x

    return resize


MODES = [
    ("nearest", False, False),
    ("nearest-exact", False, False),
    ("linear", False, False),
    ("linear", True, False),
    ("cubic", False, False),
    ("cubic", True, False),
    ("linear", False, True),
    ("linear", True, True),
    ("cubic", False, True),
    ("lanczos", False, True),
]
SIZES = [
    ((3, 5), (7, 4), (None, None)),
    ((8, 4), (3, 4), (None, None)),
    ((1, 6), (3, 1), (None, None)),
    ((5, 3), (8, 4), (1.7, 1.5)),
]


def operator_cases():
    for mode, align, antialias in MODES:
        for old, new, scales in SIZES:
            axes = tuple(
                Axis(s, o, mode, align, scale, antialias)
                for s, o, scale in zip(old, new, scales, strict=True)
            )
            name = f"{mode}{' aligned' * align}{' antialias' * antialias} to {new}"
            shared = {"name": name, "batch": [0], "rtol": 1e-9}
            yield Case(Resize, (normal(2, 2, *old),), (axes,), reference=naive(axes), **shared)
            yield Case(
                ResizeGrad, (normal(2, 2, *new),), (axes,), reference=naive(axes, True), **shared
            )
    for old, new in (((5,), (8,)), ((4,), (2,)), ((3, 2, 4), (2, 4, 5))):
        axes = tuple(Axis(s, o, "linear") for s, o in zip(old, new, strict=True))
        yield Case(Resize, (normal(2, 3, *old),), (axes,), reference=naive(axes), batch=[0])


def by_torch(shape, **kwargs):
    return Case(
        F.interpolate,
        (normal(*shape),),
        (),
        kwargs,
        torch=lambda t: TF.interpolate(t, **kwargs),
        name=" ".join(f"{k}={v}" for k, v in kwargs.items()),
        batch=[0],
    )


IMAGE = (2, 3, 5, 6)
CASES = [
    *operator_cases(),
    by_torch((2, 3, 7), size=4),
    by_torch((2, 3, 7), scale_factor=2.5, mode="linear"),
    by_torch((2, 3, 7), size=11, mode="nearest-exact"),
    by_torch((2, 3, 7), size=3, mode="area"),
    by_torch(IMAGE, scale_factor=2),
    by_torch(IMAGE, scale_factor=(1.5, 0.5), mode="nearest-exact"),
    by_torch(IMAGE, size=(8, 4), mode="area"),
    by_torch(IMAGE, scale_factor=0.6, mode="area"),
    by_torch(IMAGE, size=(8, 11), mode="bilinear"),
    by_torch(IMAGE, size=(8, 11), mode="bilinear", align_corners=True),
    by_torch(IMAGE, scale_factor=1.7, mode="bilinear"),
    by_torch(IMAGE, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
    by_torch(IMAGE, size=(1, 1), mode="bilinear", align_corners=True),
    by_torch(IMAGE, size=(7, 3), mode="bicubic"),
    by_torch(IMAGE, scale_factor=(2.2, 1.3), mode="bicubic"),
    by_torch(IMAGE, size=(9, 4), mode="bicubic", align_corners=True),
    by_torch(IMAGE, size=(2, 9), mode="bilinear", antialias=True),
    by_torch((1, 2, 9, 12), scale_factor=0.4, mode="bilinear", antialias=True),
    by_torch((1, 2, 9, 12), size=(4, 5), mode="bicubic", antialias=True),
    by_torch((1, 2, 9, 12), size=(4, 5), mode="bicubic", antialias=True, align_corners=True),
    by_torch((1, 2, 9, 12), size=(4, 20), mode="lanczos", antialias=True),
    by_torch((1, 2, 3, 4, 5), scale_factor=(2, 1.5, 0.5)),
    by_torch((1, 2, 3, 4, 5), size=(2, 7, 6), mode="trilinear"),
    by_torch((1, 2, 3, 4, 5), size=(4, 3, 5), mode="trilinear", align_corners=True),
    by_torch((1, 2, 4, 4, 5), size=(2, 3, 2), mode="area"),
]

X, ROW = normal(1, 2, 4, 5), normal(1, 2, 4)
WHOLE = rng.integers(0, 9, (1, 2, 4, 5))
BAD = [
    Bad(Resize, (X, (Axis(4, 2, "linear"),) * 2), error=ShapeError, match=r"sizes \(4, 4\)"),
    Bad(ResizeGrad, (X, (Axis(2, 4, "linear"),) * 2), error=ShapeError, match=r"sizes \(4, 4\)"),
    Bad(F.interpolate, (X,), error=ArgumentError, match="neither is given"),
    Bad(F.interpolate, (X, 4, 2.0), error=ArgumentError, match="both are given"),
    Bad(F.interpolate, (X, 4), {"mode": "cubic"}, error=ArgumentError, match="mode 'cubic'"),
    Bad(F.interpolate, (X[0], 4), {"mode": "bilinear"}, error=ShapeError, match="has 3 axes"),
    Bad(F.interpolate, (X, 4), {"mode": "trilinear"}, error=ShapeError, match="mode='bilinear'"),
    Bad(F.interpolate, (X, 4), {"mode": "linear"}, error=ShapeError, match="has 4 axes"),
    Bad(F.interpolate, (X[0, 0], 4), error=ShapeError, match="has 2 axes"),
    Bad(F.interpolate, (X, (4, 5, 6)), error=ArgumentError, match="size needs one int or 2"),
    Bad(F.interpolate, (X, (4, 0)), error=ArgumentError, match="size must be at least 1"),
    Bad(F.interpolate, (X, (4.5, 2)), error=DTypeError, match="whole numbers"),
    Bad(F.interpolate, (X, None, (2.0,) * 3), error=ArgumentError, match="one number or 2"),
    Bad(F.interpolate, (X, None, "2"), error=DTypeError, match="scale_factor must be a number"),
    Bad(F.interpolate, (X, None, math.inf), error=ArgumentError, match="must be finite"),
    Bad(F.interpolate, (X, None, 0.2), error=ShapeError, match=r"floor\(4 \* 0.2\) = 0"),
    Bad(F.interpolate, (X, None, -1.0), error=ShapeError, match="no pixels"),
    Bad(F.interpolate, (normal(1, 2, 0, 4), 3), error=ShapeError, match="has no pixels"),
    Bad(
        F.interpolate,
        (X, 4),
        {"align_corners": False},
        error=ArgumentError,
        match="not for 'nearest'",
    ),
    Bad(
        F.interpolate,
        (X, 4),
        {"mode": "area", "align_corners": True},
        error=ArgumentError,
        match="not for 'area'",
    ),
    Bad(F.interpolate, (X, 4), {"antialias": True}, error=ArgumentError, match="not for 'nearest'"),
    Bad(
        F.interpolate,
        (X, 4),
        {"mode": "lanczos"},
        error=ArgumentError,
        match="needs antialias=True",
    ),
    Bad(
        F.interpolate,
        (X, 4),
        {"recompute_scale_factor": True},
        error=ArgumentError,
        match="not with size",
    ),
    Bad(F.interpolate, (WHOLE, 4), {"mode": "bilinear"}, error=DTypeError, match="int64"),
    Bad(F.interpolate, (WHOLE > 3, 4), {"mode": "bicubic"}, error=DTypeError, match="bool"),
    Bad(F.interpolate, (WHOLE, 4), {"mode": "area"}, error=DTypeError, match="int64"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_memory_layout_is_kept(mode):
    x = tg.Tensor(normal(2, 3, 4, 5))
    assert layout_of(F.interpolate(x, 6, mode=mode).array) == "contiguous"
    lying = F.interpolate(x.contiguous("channels_last"), 6, mode=mode)
    assert layout_of(lying.array) == "channels_last"


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_takes_any_dtype(mode):
    x = rng.integers(0, 200, (1, 2, 4, 5)).astype(np.uint8)
    expected = TF.interpolate(torch.from_numpy(x), (7, 3), mode=mode).numpy()
    for dtype in ("uint8", "int64", "bool"):
        y = F.interpolate(tg.Tensor(x.astype(dtype)), (7, 3), mode=mode)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.numpy(), expected.astype(dtype))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_bytes_are_rounded(mode, antialias):
    """PyTorch's weights of bytes are whole numbers, so that it may round the other way,
    along both axes."""
    x = rng.integers(0, 256, (1, 3, 12, 9)).astype(np.uint8)
    options = {"mode": mode, "antialias": antialias}
    y = F.interpolate(tg.Tensor(x), (7, 14), **options)
    expected = TF.interpolate(torch.from_numpy(x), (7, 14), **options).numpy()
    assert y.dtype == np.uint8
    assert abs(y.numpy().astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_nearest_pixels_between_two_are_torchs(mode, dtype, axes):
    """Where rounding decides: 18.5 * 6 / 37 is 3, or just below. PyTorch finds the pixels of images
    in float32."""
    if (axes, dtype, mode) in ((1, "float32", "nearest-exact"), (3, "float32", "nearest-exact")):
        sizes = [(6, 37), (5, 27)]  # of 2400 pairs, 3 differ there by PyTorch's fused products
    else:
        sizes = [(old, new) for old in range(1, 31, 3) for new in range(1, 60)]
    for old, new in sizes:
        x = np.arange(old, dtype=dtype).reshape(1, 1, old, *(1,) * (axes - 1))
        size = (new, *(2,) * (axes - 1))
        y = F.interpolate(tg.Tensor(x), size, mode=mode).numpy()
        np.testing.assert_array_equal(y, TF.interpolate(torch.from_numpy(x), size, mode=mode))


def test_what_is_not_finite_stays_in_its_windows():
    x = np.array([[[[np.inf, 2.0, 3.0, 4.0, 5.0, 6.0]]]])
    y = F.interpolate(tg.Tensor(x), (1, 2), mode="bilinear", antialias=True).numpy()
    assert np.isinf(y[0, 0, 0, 0])
    assert np.isfinite(y[0, 0, 0, 1])
    g = np.array([[[[np.nan, 1.0]]]])
    axes = (Axis(1, 1, "nearest"), Axis(6, 2, "nearest"))
    dx = ResizeGrad.call(tg.Tensor(g), axes).numpy()
    np.testing.assert_array_equal(dx, [[[[np.nan, 0, 0, 1, 0, 0]]]])


@given(
    st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic"]),
    st.booleans(),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(1, 40), st.integers(2, 40)),
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_any_sizes_are_torchs(mode, align, old, new, dtype, antialias):
    """Two positions at least across: PyTorch's antialias repeats the first row where there is
    one."""
    nearest = mode.startswith("nearest")
    options = {"mode": mode, "align_corners": None if nearest else align}
    options["antialias"] = antialias and not nearest
    x = np.random.default_rng(3).normal(size=(1, 2, *old)).astype(dtype)
    y = F.interpolate(tg.Tensor(x), new, **options)
    expected = TF.interpolate(torch.from_numpy(x), new, **options).numpy()
    close = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(y.numpy(), expected, rtol=close, atol=close)
