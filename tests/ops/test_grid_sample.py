"""Sampling of images at points, point by point, against PyTorch, at kinks, and refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.grid_sample import AffineGrid, AffineGridGrad
from tinygrad_cv.ops.sample import PutPixels, Sample, SampleCells, TakePixels
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(47)
F = tg.nn.functional
TF = torch.nn.functional


def normal(*sizes):
    return rng.normal(size=sizes)


# The equations, one point at a time ---------------------------------------------------------------


def keys(x):
    """The cubic convolution kernel with a = -0.75."""
    x = abs(x)
    if x < 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def bounded(u, size, padding, align):
    """Where u is read."""
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        while high > low and not low <= u <= high:
            u = 2 * low - u if u < low else 2 * high - u
        u = u if high > low else 0.0
    return u if padding == "zeros" else min(max(u, 0.0), size - 1.0)


def taps(u, size, mode, padding, align):
    """[(pixel, weight)] along one axis; a pixel may be outside."""
    if mode == "bicubic":
        i = math.floor(u)
        return [(int(bounded(i + k, size, padding, align)), keys(u - i - k)) for k in range(-1, 3)]
    u = bounded(u, size, padding, align)
    if mode == "nearest":
        return [(round(u), 1.0)]
    i = math.floor(u)
    return [(i, 1 - (u - i)), (i + 1, u - i)]


def naive_sample(mode, padding, align, normalized):
    def sample(x, points):
        n, c, *sizes = x.shape
        y = np.zeros((n, c, *points.shape[1:-1]))
        for at in np.ndindex(*points.shape[:-1]):
            lines = []
            for axis, size in enumerate(sizes):
                u = points[(*at, len(sizes) - 1 - axis)]
                if normalized:
                    u = (u + 1) * (size - 1) / 2 if align else ((u + 1) * size - 1) / 2
                lines.append(taps(u, size, mode, padding, align))
            for combination in itertools.product(*lines):
                pixel = tuple(i for i, _ in combination)
                if all(0 <= i < s for i, s in zip(pixel, sizes, strict=True)):
                    weight = math.prod(w for _, w in combination)
                    y[(at[0], slice(None), *at[1:])] += weight * x[(at[0], slice(None), *pixel)]
        return y

    return sample


def naive_take(x, index):
    flat = x.reshape(*x.shape[:2], -1)
    y = np.zeros((*x.shape[:2], index.shape[1]))
    for n, c, m in np.ndindex(*y.shape):
        y[n, c, m] = flat[n, c, index[n, m]] if index[n, m] >= 0 else 0
    return y


def naive_put(shape):
    def put(g, index):
        x = np.zeros((*shape[:2], math.prod(shape[2:])))
        for n, c, m in np.ndindex(*g.shape):
            if index[n, m] >= 0:
                x[n, c, index[n, m]] += g[n, c, m]
        return x.reshape(shape)

    return put


def naive_affine(sizes, align):
    def grid(theta):
        n = len(sizes)
        y = np.zeros((len(theta), *sizes, n))
        for at in np.ndindex(*y.shape[:-1]):
            point = [1.0]
            for p, size in zip(at[1:], sizes, strict=True):
                edge = 1 if align else (size - 1) / size
                point.insert(0, -edge + 2 * edge * p / (size - 1) if size > 1 else 0.0)
            y[at] = theta[at[0]] @ point
        return y

    return grid


def naive_affine_grad(sizes, align):
    def spread(g):
        n = len(sizes)
        theta = np.zeros((len(g), n, n + 1))
        for a, b in np.ndindex(n, n + 1):
            one = np.zeros((1, n, n + 1))
            one[0, a, b] = 1
            theta[:, a, b] = (g * naive_affine(sizes, align)(one)).sum(tuple(range(1, n + 2)))
        return theta

    return spread


PADDINGS = ["zeros", "border", "reflection"]
INDEX = np.array([[0, 5, -1, 3, 5], [2, 2, 2, 0, -1]])


def sample_cases():
    for mode, padding, align in itertools.product(
        ["bilinear", "nearest", "bicubic"], PADDINGS, [False, True]
    ):
        attrs = (mode, padding, align, True)
        for sizes, out, many in [((4, 5), (3, 4), 3), ((3, 4, 2), (2, 3, 2), 2)]:
            if mode == "bicubic" and len(sizes) == 3:
                continue
            # A shift keeps nearest points away from its jumps.
            points = rng.uniform(-1.5, 1.5, (2, *out, len(sizes)))
            if mode == "nearest":
                points = np.round(points * 20) / 20 + 0.013
            yield Case(
                Sample,
                (normal(2, many, *sizes), points),
                attrs,
                reference=naive_sample(*attrs),
                name=f"{mode} {padding}{' aligned' * align}",
                batch=[0, 1],
            )
    pixels = ("bilinear", "zeros", False, False)
    yield Case(
        Sample,
        (normal(2, 3, 4, 5), rng.uniform(-1.5, 5.5, (2, 2, 3, 2))),
        pixels,
        reference=naive_sample(*pixels),
        name="pixels",
        batch=[0, 1],
    )


def by_torch(sizes, out, *attrs):
    points = rng.uniform(-1.5, 1.5, (2, *out, len(sizes)))
    return Case(
        F.grid_sample,
        (normal(2, 3, *sizes), points),
        attrs,
        torch=lambda x, g: TF.grid_sample(x, g, *attrs),
        name=" ".join(map(str, attrs)),
        batch=[0, 1],
    )


def affine_case(size, align):
    n = len(size) - 2
    return Case(
        F.affine_grid,
        (normal(size[0], n, n + 1),),
        (size, align),
        torch=lambda t: TF.affine_grid(t, size, align_corners=align),
        name=f"{size} {align}",
        skip={"empty": "the batch is an argument"},
    )


CASES = [
    *sample_cases(),
    Case(TakePixels, (normal(2, 3, 2, 3), INDEX), reference=naive_take, name="flat"),
    Case(
        PutPixels,
        (normal(2, 3, 5), INDEX),
        ((2, 3, 2, 3),),
        reference=naive_put((2, 3, 2, 3)),
        skip={"empty": "the batch belongs to the shape"},
    ),
    Case(
        SampleCells,
        (np.array([[[0.25, -0.5]], [[3.5, 1.0]]]),),
        ((2, 3), "bilinear", "zeros", False, False),
        # Cells of a 2 x 3 image: x = 0.25 and y = -0.5, then x = 3.5 and y = 1.
        reference=lambda points: (
            np.array([[[-1], [-1]], [[-1], [-1]], [[0], [-1]], [[1], [-1]]]),
            np.ones((2, 1, 2)),
            np.array([[[0.0, 1.0]], [[-3.0, -1.0]]]),
        ),
        order=0,
    ),
    by_torch((4, 5), (3, 4), "bilinear", "zeros", False),
    by_torch((4, 5), (3, 4), "bicubic", "reflection", True),
    by_torch((4, 1), (3, 4), "bilinear", "reflection", True),
    by_torch((3, 4, 2), (2, 3, 2), "bilinear", "border", False),
    *(
        Case(op, (normal(*shape),), (sizes, align), reference=naive(sizes, align), batch=[0])
        for sizes, align in [((3, 4), False), ((3, 4), True), ((2, 1, 3), False)]
        for op, naive, shape in [
            (AffineGrid, naive_affine, (2, len(sizes), len(sizes) + 1)),
            (AffineGridGrad, naive_affine_grad, (2, *sizes, len(sizes))),
        ]
    ),
    affine_case((2, 3, 4, 5), False),
    affine_case((1, 1, 1, 3), False),
    affine_case((2, 3, 4, 1, 2), False),
    affine_case((2, 3, 4, 3, 2), True),
]

X, G = normal(2, 3, 4, 5), normal(2, 3, 3, 2)
HOW = ("bilinear", "zeros", False, True)
BAD = [
    Bad(Sample, (X, normal(2, 3, 3), *HOW), error=ShapeError, match="points and input"),
    Bad(Sample, (X[:, :, :0], G, *HOW), error=ShapeError, match="no pixels"),
    Bad(SampleCells, (normal(2, 3, 3), (4, 5), *HOW), error=ShapeError, match="points and input"),
    Bad(TakePixels, (X, INDEX[:1]), error=ShapeError, match="index"),
    Bad(PutPixels, (normal(2, 3, 4), INDEX, X.shape), error=ShapeError, match="index and input"),
    Bad(AffineGridGrad, (G, (3, 4), False), error=ShapeError, match=r"are \(3, 4, 2\)"),
    Bad(F.grid_sample, (X, G, "cubic"), error=ArgumentError, match="unknown mode 'cubic'"),
    Bad(F.grid_sample, (X, G, "nearest", "wrap"), error=ArgumentError, match="padding_mode 'wrap'"),
    Bad(F.grid_sample, (X[0], G), error=ShapeError, match="it has 3 axes"),
    Bad(F.grid_sample, (X, normal(2, 3, 3, 3)), error=ShapeError, match="2 coordinates"),
    Bad(F.grid_sample, (X, normal(2, 3, 2)), error=ShapeError, match="4 axes"),
    Bad(F.grid_sample, (X, normal(1, 3, 3, 2)), error=ShapeError, match="2 images and 1 grids"),
    Bad(F.grid_sample, (normal(2, 3, 0, 5), G), error=ShapeError, match="no pixels"),
    Bad(
        F.grid_sample,
        (normal(2, 3, 2, 4, 5), normal(2, 2, 3, 3, 3), "bicubic"),
        error=ShapeError,
        match="bicubic",
    ),
    Bad(F.grid_sample, (X, "b"), error=DTypeError, match="grid must be a tensor"),
    Bad(F.affine_grid, (None, (2, 1, 4, 4)), error=DTypeError, match="theta must be a tensor"),
    Bad(F.grid_sample, (X, G.astype("float32")), error=DTypeError, match="float64 and float32"),
    Bad(F.grid_sample, (X.astype(int), G.astype(int)), error=DTypeError, match="int64"),
    Bad(F.affine_grid, (normal(2, 2, 3), (2, 3, 4)), error=ArgumentError, match="3 numbers"),
    Bad(F.affine_grid, (normal(2, 2, 3), (2, 3, 4, 0)), error=ArgumentError, match="at least 1"),
    Bad(F.affine_grid, (normal(2, 3, 3), (2, 1, 4, 4)), error=ShapeError, match=r"\(2, 2, 3\)"),
    Bad(F.affine_grid, (normal(2, 2, 3), (3, 1, 4, 4)), error=ShapeError, match=r"\(3, 2, 3\)"),
    Bad(F.affine_grid, (normal(2, 2, 3) > 0, (2, 1, 4, 4)), error=DTypeError, match="bool"),
    Bad(F.affine_grid, (normal(2, 2, 3), (2, 1, 4.5, 4)), error=DTypeError, match="whole number"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_pixels_and_bounds_it_is_torchs(mode, padding, align, dtype):
    """Points exactly on pixels, between them, and far outside: values and both gradients."""
    x = rng.normal(size=(2, 3, 4, 8)).astype(dtype)
    u = rng.integers(-12, 24, (2, 6, 7, 2)) / 2
    size = np.array([8, 4])
    grid = (2 * u / (size - 1) - 1 if align else (2 * u + 1) / size - 1).astype(dtype)
    ours = [tg.tensor(a, requires_grad=True) for a in (x, grid)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, grid)]
    y = F.grid_sample(*ours, mode, padding, align)
    z = TF.grid_sample(*theirs, mode, padding, align)
    close = {"rtol": 1e-9, "atol": 1e-9} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), **close)
    g = rng.normal(size=y.shape).astype(dtype)
    exact = dtype == "float64" or not align  # thirds and sevenths round to either side of a pixel
    for a, b in zip(
        tg.autograd.grad(y, ours, tg.tensor(g)),
        torch.autograd.grad(z, theirs, torch.tensor(g)),
        strict=True,
    ):
        if exact:
            np.testing.assert_allclose(a.numpy(), b.numpy(), **close)


def test_a_point_that_is_no_number_gives_nan():
    x = tg.Tensor(normal(1, 2, 3, 4))
    grid = tg.Tensor(np.array([[[[np.nan, 0.0], [0.0, np.inf], [0.0, 0.0]]]]))
    y = F.grid_sample(x, grid).numpy()
    np.testing.assert_array_equal(np.isnan(y[0, :, 0]), [[True, True, False]] * 2)
    y = F.grid_sample(x, grid, padding_mode="border").numpy()
    np.testing.assert_array_equal(np.isnan(y[0, :, 0]), [[True, False, False]] * 2)
    assert np.isfinite(F.grid_sample(x, grid, "nearest").numpy()).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_that_are_not_read_do_not_matter(dtype):
    x = np.ones((1, 1, 2, 2), dtype)
    x[0, 0, 0, 0] = np.nan
    points = np.full((1, 40, 40, 2), 5.0, dtype)  # outside
    points[0, 0, 0] = 1.0
    y = F.grid_sample(tg.Tensor(x), tg.Tensor(points), align_corners=True).numpy()
    assert y[0, 0, 0, 0] == 1
    assert not y.reshape(-1)[1:].any()


def test_a_border_that_is_clipped_stays_differentiable_at_infinity():
    grid = tg.tensor(np.array([[[[np.inf, 0.2]]]]), requires_grad=True)
    y = F.grid_sample(tg.Tensor(normal(1, 1, 3, 4)), grid, padding_mode="border")
    (g,) = tg.autograd.grad(y.sum(), [grid], create_graph=True)
    assert g[0, 0, 0, 0].item() == 0
    assert np.isfinite(g.detach().numpy()).all()


def test_the_identity_gives_the_image_back():
    x = normal(2, 3, 4, 5)
    theta = np.tile(np.eye(2, 3), (2, 1, 1))
    for align in (False, True):
        grid = F.affine_grid(tg.Tensor(theta), x.shape, align)
        y = F.grid_sample(tg.Tensor(x), grid, align_corners=align)
        np.testing.assert_allclose(y.numpy(), x, atol=1e-12)
        assert layout_of(y.array) == "channels_last"


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_case_is_torchs(data):
    n = data.draw(st.integers(2, 3))
    sizes = data.draw(st.tuples(*[st.integers(1, 6)] * n))
    out = data.draw(st.tuples(*[st.integers(1, 4)] * n))
    channels = data.draw(st.sampled_from([1, 2, 16, 19]))
    mode = data.draw(st.sampled_from(["bilinear", "bicubic"] if n == 2 else ["bilinear"]))
    padding, align = data.draw(st.sampled_from(PADDINGS)), data.draw(st.booleans())
    seeded = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = seeded.normal(size=(2, channels, *sizes))
    grid = seeded.normal(size=(2, *out, n))
    y = F.grid_sample(tg.Tensor(x), tg.Tensor(grid), mode, padding, align).numpy()
    z = TF.grid_sample(torch.tensor(x), torch.tensor(grid), mode, padding, align).numpy()
    np.testing.assert_allclose(y, z, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("function", "name", "shape", "other", "repair"),
    [
        (F.grid_sample, "input", (3, 5, 5), tg.zeros(1, 2, 4, 2), "input.unsqueeze(0)"),
        (F.grid_sample, "grid", (2, 2, 4, 3), tg.zeros(2, 3, 5, 5), "grid.movedim(1, -1)"),
        (F.grid_sample, "grid", (4, 3, 2), tg.zeros(2, 3, 5, 5), "grid.expand(2, -1, -1, -1)"),
        (F.grid_sample, "grid", (1, 4, 3, 2), tg.zeros(2, 3, 5, 5), "grid.expand(2, -1, -1, -1)"),
        (F.grid_sample, "grid", (2, 4, 3, 1), tg.zeros(2, 3, 5, 5), None),
        (F.affine_grid, "theta", (4, 6), (4, 3, 5, 5), "theta.reshape(-1, 2, 3)"),
        (F.affine_grid, "theta", (4, 12), (4, 3, 5, 5, 5), "theta.reshape(-1, 3, 4)"),
        (F.affine_grid, "theta", (4, 3, 3), (4, 3, 5, 5), "theta[:, :2]"),
        (F.affine_grid, "theta", (2, 3), (4, 3, 5, 5), "theta.expand(4, -1, -1)"),
        (F.affine_grid, "theta", (1, 2, 3), (4, 3, 5, 5), "theta.expand(4, -1, -1)"),
    ],
)
def test_the_usual_mistakes_get_a_repair_that_works(function, name, shape, other, repair):
    given = tg.zeros(*shape)
    call = (lambda x: function(other, x)) if name == "grid" else lambda x: function(x, other)
    with pytest.raises(ShapeError) as caught:
        call(given)
    if repair is None:
        assert caught.value.repair is None
    else:
        assert repair in caught.value.repair
        call(eval(repair, {name: given}))
