"""Regions of interest: every sample and every pixel by loops after the published algorithms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.backend import roi
from tinygrad_cv.backend.roi import Regions
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.roi_align import RoIAlign, RoIAlignInputGrad
from tinygrad_cv.ops.roi_pool import RoIPool
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
rng = np.random.default_rng(12)


def distinct(*shape):
    """Values without ties, far enough apart for differences."""
    return rng.permutation(math.prod(shape)).reshape(shape) * 0.37 - 2.0


def bilinear(x, y_at, x_at):
    """[(pixel, weight)] of a sample, for [H, W]."""
    height, width = x
    if y_at < -1 or y_at > height or x_at < -1 or x_at > width:
        return []
    ends = []
    for at, size in ((y_at, height), (x_at, width)):
        at = max(at, 0.0)
        low = int(at)
        if low >= size - 1:
            low = high = size - 1
            at = float(low)
        else:
            high = low + 1
        ends.append(((low, 1 - (at - low)), (high, at - low)))
    return [((i, j), a * b) for i, a in ends[0] for j, b in ends[1]]


def bins_of(box, sizes, size, scale, sampling, aligned):
    """{(p, q): [(pixel, weight)]} of one box, with weights that make a mean."""
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (n * scale - shift for n in box)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    step = height / size[0], width / size[1]
    grid = [sampling if sampling > 0 else math.ceil(s) for s in step]
    count = max(grid[0] * grid[1], 1)
    found = {}
    for p in range(size[0]):
        for q in range(size[1]):
            found[p, q] = []
            for i in range(grid[0]):
                for j in range(grid[1]):
                    y_at = y1 + p * step[0] + (i + 0.5) * step[0] / grid[0]
                    x_at = x1 + q * step[1] + (j + 0.5) * step[1] / grid[1]
                    found[p, q] += [(k, w / count) for k, w in bilinear(sizes, y_at, x_at)]
    return found


def naive_align(size, scale=1.0, sampling=-1, aligned=False):
    def run(x, rois):
        out = np.zeros((len(rois), x.shape[1], *size))
        for k, (image, *box) in enumerate(rois.tolist()):
            for place, taps in bins_of(box, x.shape[2:], size, scale, sampling, aligned).items():
                for pixel, weight in taps:
                    out[(k, slice(None), *place)] += weight * x[(int(image), slice(None), *pixel)]
        return out

    return run


def naive_align_grad(shape, size, scale=1.0, sampling=-1, aligned=False):
    def run(g, rois):
        dx = np.zeros(shape)
        for k, (image, *box) in enumerate(rois.tolist()):
            for place, taps in bins_of(box, shape[2:], size, scale, sampling, aligned).items():
                for pixel, weight in taps:
                    dx[(int(image), slice(None), *pixel)] += weight * g[(k, slice(None), *place)]
        return dx

    return run


def rounded(number):
    """Half away from zero, as C does."""
    return int(math.copysign(math.floor(abs(number) + 0.5), number))


def naive_pool(size, scale=1.0):
    """Values, and places in the whole input."""

    def run(x, rois):
        _, c, height, width = x.shape
        values, places = np.zeros((len(rois), c, *size)), np.full((len(rois), c, *size), -1)
        for k, channel, p, q in np.ndindex(*values.shape):
            image, x1, y1, x2, y2 = (rounded(v) if i == 0 else rounded(v * scale)
                                     for i, v in enumerate(rois[k].tolist()))  # fmt: skip
            ends = []
            for first, last, at, bins, limit in (
                (y1, y2, p, size[0], height),
                (x1, x2, q, size[1], width),
            ):
                step = max(last - first + 1, 1) / bins
                low, high = math.floor(at * step) + first, math.ceil((at + 1) * step) + first
                ends.append(range(min(max(low, 0), limit), min(max(high, 0), limit)))
            best, place = np.finfo(x.dtype).min, -1
            for i in ends[0]:
                for j in ends[1]:
                    if x[image, channel, i, j] > best:
                        best = x[image, channel, i, j]
                        place = ((image * c + channel) * height + i) * width + j
            values[k, channel, p, q] = best if len(ends[0]) and len(ends[1]) else 0
            places[k, channel, p, q] = place
        return values, places

    return run


def spread(run):
    def gradient(g, x, rois):
        dx = np.zeros(x.size)
        for value, place in zip(g.ravel(), run(x, rois)[1].ravel(), strict=True):
            if place >= 0:
                dx[place] += value
        return (dx.reshape(x.shape),)

    return gradient


ROIS = np.array(
    [
        [0, 1.3, 0.7, 5.1, 4.4],
        [1, -2.6, -1.2, 3.3, 9.5],  # beyond the image on two sides
        [1, 2.0, 3.0, 2.2, 3.1],  # less than a pixel
        [0, 4.0, 4.5, 1.0, 2.5],  # ends before it begins
        [1, 30.0, 30.0, 40.0, 40.0],  # outside
        [0, 0.0, 0.0, 6.0, 5.0],
    ]
)
SHAPE = (2, 3, 5, 6)
OPTIONS = [
    ("plain", (2, 3), 1.0, -1, False),
    ("aligned", (2, 2), 1.0, -1, True),
    ("two samples", (3, 2), 1.0, 2, False),
    ("three samples, aligned", (1, 2), 0.7, 3, True),
    ("scaled", (2, 2), 0.5, 0, False),
    ("enlarging", (4, 7), 2.0, 1, True),
]
LIST = [ROIS[ROIS[:, 0] == n, 1:] for n in range(2)]
ORDERED = np.concatenate([ROIS[ROIS[:, 0] == n] for n in range(2)])


def cases():
    for name, size, scale, sampling, aligned in OPTIONS:
        options = (size, scale, sampling, aligned)
        regions = Regions(ROIS, *options)
        shared = {"name": name, "batch": ()}
        x, g = distinct(*SHAPE), rng.normal(size=(len(ROIS), 3, *size))
        reference = naive_align(*options)
        yield Case(F.roi_align, (x, ROIS), options, reference=reference, diff=(0,), **shared)
        yield Case(
            RoIAlign, (x,), (regions,), reference=lambda x, f=reference: f(x, ROIS), **shared
        )
        reference = naive_align_grad(SHAPE, *options)
        yield Case(RoIAlignInputGrad, (g,), (SHAPE, regions), **shared,
                   reference=lambda g, f=reference: f(g, ROIS))  # fmt: skip
        run = naive_pool(size, scale)
        yield Case(
            F.roi_pool,
            (x, ROIS),
            (size, scale),
            reference=lambda x, rois, run=run: run(x, rois)[0],
            gradient=spread(run),
            diff=(0,),
            **shared,
        )
    yield Case(RoIPool, (x,), (Regions(ROIS, (2, 2)),), batch=(),
               reference=lambda x: naive_pool((2, 2))(x, ROIS)[0])  # fmt: skip
    yield Case(F.roi_align, (x, LIST, 2), diff=(0,), name="boxes of each image", batch=(),
               reference=lambda x, boxes, size: naive_align((2, 2))(x, ORDERED))  # fmt: skip
    yield Case(F.roi_pool, (x, LIST, 2), diff=(0,), name="boxes of each image", batch=(),
               reference=lambda x, boxes, size: naive_pool((2, 2))(x, ORDERED)[0])  # fmt: skip
    run, ties = naive_pool((2, 2)), rng.integers(0, 3, SHAPE).astype(float)
    yield Case(F.roi_pool, (ties, ROIS, 2), diff=(0,), name="ties", kinks=True, batch=(),
               reference=lambda x, rois, size: run(x, rois)[0],
               gradient=lambda g, x, rois, size: spread(run)(g, x, rois))  # fmt: skip


CASES = list(cases())


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@pytest.mark.parametrize("entries", [1, 300, 1 << 19])
def test_parts_of_the_regions_make_no_difference(entries, monkeypatch):
    monkeypatch.setattr(roi, "ENTRIES", entries)
    monkeypatch.setattr(roi, "ELEMENTS", entries)
    x = distinct(*SHAPE)
    rois = np.concatenate([ROIS + np.array([0, d, d / 2, 3 * d, d]) for d in range(5)])
    np.testing.assert_allclose(F.roi_align(x, rois, 3).numpy(), naive_align((3, 3))(x, rois))
    ties = rng.integers(0, 3, SHAPE).astype(float)
    found = RoIPool.forward(np, ties, Regions(rois, (3, 3)))
    for a, b in zip(found, naive_pool((3, 3))(ties, rois), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_stays_in_its_regions():
    x = distinct(*SHAPE)
    x[0, :, 1, 1], x[1, :, 4, 2], x[1, 1, :2] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = naive_align((2, 3))(x, ROIS)
    np.testing.assert_array_equal(np.isfinite(F.roi_align(x, ROIS, (2, 3)).numpy()),
                                  np.isfinite(expected))  # fmt: skip
    leaf, run = tg.tensor(x, requires_grad=True), naive_pool((3, 3))
    y = F.roi_pool(leaf, ROIS, 3)
    np.testing.assert_array_equal(y.detach().numpy(), run(x, ROIS)[0])
    y.backward(tg.ones_like(y))
    np.testing.assert_array_equal(leaf.grad.numpy(), spread(run)(np.ones(y.shape), x, ROIS)[0])


def test_no_regions_and_no_images():
    x = tg.zeros(2, 3, 5, 6, requires_grad=True)
    for function in (F.roi_align, F.roi_pool):
        y = function(x, tg.zeros(0, 5), 2)
        assert y.shape == (0, 3, 2, 2)
        x.grad = None
        y.sum().backward()
        assert x.grad.abs().sum().item() == 0
        assert function(x, [tg.zeros(0, 4), tg.zeros(1, 4)], 2).shape == (1, 3, 2, 2)
        assert function(tg.zeros(0, 3, 5, 6), tg.zeros(0, 5), 2).shape == (0, 3, 2, 2)


def test_samples_at_the_edge_of_what_counts():
    x = np.arange(1.0, 31.0).reshape(1, 1, 5, 6)
    for centre, expected in [
        ((-1, -1), 1),
        ((-1.01, -1), 0),
        ((6, 5), 30),
        ((6, 5.01), 0),
        ((6, -1), 6),
        ((2.5, 4.9), 27.5),
    ]:
        box = [0, *(c - 1 for c in centre), *(c + 1 for c in centre)]
        assert F.roi_align(x, np.array([box], float), 1, sampling_ratio=1).item() == expected


def test_a_region_much_larger_than_the_image():
    x = distinct(1, 1, 5, 6)
    rois = np.array([[0, -9e4, -9e4, 9e4, 9e4]])
    found = F.roi_align(x, rois, 2).numpy()
    assert 0 < abs(found).max() < 1e-6


def test_channels_last_stays():
    x = tg.tensor(distinct(*SHAPE)).contiguous(memory_format="channels_last").requires_grad_()
    for function in (F.roi_align, F.roi_pool):
        y = function(x, ROIS, 2)
        assert layout_of(y.array) == "channels_last"
        assert tg.autograd.grad(y.sum(), x)[0].shape == SHAPE


def test_boxes_get_no_gradient():
    rois = tg.tensor(ROIS, requires_grad=True)
    for function in (F.roi_align, F.roi_pool):
        assert not function(tg.tensor(distinct(*SHAPE)), rois, 2).requires_grad


def test_flops():
    x = spec_of(np.zeros(SHAPE))
    assert RoIAlign.flops(x, Regions(ROIS, (2, 2), 1.0, 2)) == 8 * 4 * 6 * 3 * 4
    assert RoIPool.flops(x, Regions(ROIS, (2, 2))) == 6 * 3 * 4
    assert repr(Regions(ROIS, (2, 3))) == "<6 regions to 2x3>"  # as pictures show it


def test_boxes_overwritten_before_backward_make_no_difference():
    x, rois = tg.tensor(distinct(*SHAPE), requires_grad=True), tg.tensor(ROIS)
    y = F.roi_align(x, rois, 2)
    (expected,) = tg.autograd.grad(y.sum(), x, retain_graph=True)
    rois[:, 1:] = 0.0
    assert tg.autograd.grad(y.sum(), x)[0].tolist() == expected.tolist()


def test_boxes_without_values_are_refused():
    rois = tg.tensor(ROIS).to("meta")
    for function in (F.roi_align, F.roi_pool):
        assert function(tg.zeros(*SHAPE, dtype="float64", device="meta"), rois, 2).shape[0] == 6
        with pytest.raises(BackendError, match="the boxes lie on meta"):
            function(tg.zeros(*SHAPE, dtype="float64"), rois, 2)


def zeros(*shape):
    return np.zeros(shape, np.float32)


IMAGE = zeros(2, 3, 5, 6)
WRONG = np.array([[0.0, 1, 1, 2, 2], [2, 1, 1, 2, 2]], np.float32)
NAN = np.full((1, 5), np.nan, np.float32)
REGIONS = Regions(ROIS.astype(np.float32), (2, 2))
BAD = (
    [
        Bad(RoIAlign, (zeros(3, 5, 6), REGIONS), error=ShapeError, match="needs 4 axes"),
        Bad(RoIPool, (zeros(3, 5, 6), REGIONS), error=ShapeError, match="needs 4 axes"),
        Bad(
            RoIAlignInputGrad,
            (zeros(6, 3, 2, 3), SHAPE, REGIONS),
            error=ShapeError,
            match=r"must have shape \(6, 3, 2, 2\)",
        ),
    ]
    + [
        Bad(function, (*args,), error=error, match=match)
        for function in (F.roi_align, F.roi_pool)
        for args, error, match in [
            ((zeros(3, 5, 6), zeros(1, 5), 2), ShapeError, "needs 4 axes"),
            ((zeros(1, 3, 0, 6), zeros(1, 5), 2), ShapeError, "no pixels"),
            ((IMAGE.astype(int), zeros(1, 5), 2), DTypeError, "must be float"),
            ((IMAGE, zeros(1, 4), 2), ShapeError, r"\[K, 5\]"),
            ((IMAGE, zeros(5), 2), ShapeError, r"\[K, 5\]"),
            ((IMAGE, [zeros(1, 5)], 2), ShapeError, "boxes of image 0"),
            ((IMAGE, [zeros(1, 4), 3], 2), ShapeError, "boxes of image 1"),
            ((IMAGE, [zeros(1, 4)] * 3, 2), ShapeError, "boxes for 3 images"),
            ((IMAGE, [], 2), ArgumentError, "list of boxes is empty"),
            ((IMAGE, "boxes", 2), DTypeError, "boxes must be a tensor"),
            ((IMAGE, zeros(1, 5).astype(float), 2), DTypeError, "float64"),
            ((IMAGE, WRONG, 2), RangeError, r"boxes\[1\] is in image 2"),
            ((IMAGE, -WRONG, 2), RangeError, r"boxes\[1\] is in image -2"),
            ((IMAGE, WRONG * np.float32(1e7), 2), RangeError, "0 <= image < 2"),
            ((IMAGE, NAN, 2), RangeError, "image nan"),
            ((IMAGE, WRONG[:1] * np.float32(1e7), 2), ArgumentError, "beyond 1,000,000"),
            ((IMAGE, zeros(1, 5), 0), ArgumentError, "output_size must be at least 1"),
            ((IMAGE, zeros(1, 5), (1, 2, 3)), ArgumentError, "output_size"),
            ((IMAGE, zeros(1, 5), 2.5), DTypeError, "whole numbers"),
            ((IMAGE, WRONG[:1], 2, 1e6), ArgumentError, "beyond 1"),
            ((IMAGE, zeros(1, 5), 2, "1"), DTypeError, "spatial_scale must be a number"),
        ]
    ]
    + [
        Bad(F.roi_align, (IMAGE, zeros(1, 5), 2, *more), error=error, match=match)
        for more, error, match in [
            ((1, 1.5), DTypeError, "sampling_ratio must be a whole number"),
            ((1, 101), ArgumentError, "at most 100"),
            ((1, 2, "no"), DTypeError, "aligned must be True or False"),
            ((np.inf,), ArgumentError, "must be finite"),
        ]
    ]
)


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)
