"""Compiled regions of interest and non-maximum suppression: what the reference gives."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import roi, threads
from tinygrad_cv.backend.roi import Regions
from tinygrad_cv.backend.spec import layout_of, spec_of
from tinygrad_cv.ops.nms import Nms
from tinygrad_cv.ops.roi_align import RoIAlign, RoIAlignInputGrad
from tinygrad_cv.ops.roi_pool import RoIPool

F = tg.nn.functional


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(roi, "SMALLEST", 0)
    monkeypatch.setattr(roi, "FEWEST", 0)


def image(shape, values, memory, seed=5):
    rng = np.random.default_rng(seed)
    if values == "few":  # many ties
        found = rng.integers(-2, 3, shape)
    else:
        found = rng.choice([np.nan, np.inf, -np.inf, 1.0, 2.0], shape)
    found = found.astype(np.float32)
    if memory == "channels_last":
        found = np.moveaxis(np.ascontiguousarray(np.moveaxis(found, 1, -1)), -1, 1)
    found.flags.writeable = False
    return found


def some_rois(count, images, seed=6):
    rng = np.random.default_rng(seed)
    first = rng.uniform(-5, 14, (count, 2))
    corners = np.concatenate([first, first + rng.uniform(-2, 12, (count, 2))], 1)
    return np.concatenate([rng.integers(0, images, (count, 1)), corners], 1).astype(np.float32)


@pytest.mark.parametrize("values", ["few", "not finite"])
@pytest.mark.parametrize("memory", ["contiguous", "channels_last"])
def test_pooling_is_the_reference(values, memory):
    for channels in (1, 5, 35):
        for size in ((1, 1), (3, 2), (7, 7)):
            x = image((3, channels, 9, 11), values, memory)
            regions = Regions(some_rois(17, 3), size, 0.8)
            assert roi._takes_pool((spec_of(x),), (regions,))
            expected = RoIPool.forward(np, x, regions)
            for a, b in zip(roi.roi_pool(np, x, regions), expected, strict=True):
                assert (a.dtype, layout_of(a)) == (b.dtype, layout_of(b))
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("memory", ["contiguous", "channels_last"])
@pytest.mark.parametrize("options", [(0.8, -1, False), (1.0, 2, True), (0.5, 1, False)])
def test_means_are_those_of_the_reference(options, memory):
    for channels in (1, 5, 35):
        for size in ((1, 1), (3, 2)):
            x = image((3, channels, 9, 11), "few", memory)
            regions = Regions(some_rois(17, 3), size, *options)
            assert roi._takes_input((spec_of(x),), (regions,))
            close(roi.roi_align(np, x, regions), RoIAlign.forward(np, x, regions))
            g = image((17, channels, *size), "few", memory, 8)
            assert roi._takes_grad((spec_of(g),), (x.shape, regions))
            expected = RoIAlignInputGrad.forward(np, g, x.shape, regions)
            close(roi.roi_align_input_grad(np, g, x.shape, regions), expected)


def test_an_image_of_one_pixel():
    x, regions = image((2, 5, 1, 1), "few", "contiguous"), Regions(some_rois(7, 2), (2, 2))
    close(roi.roi_align(np, x, regions), RoIAlign.forward(np, x, regions))
    for a, b in zip(roi.roi_pool(np, x, regions), RoIPool.forward(np, x, regions), strict=True):
        close(a, b)


def close(found, expected):
    assert (found.shape, found.dtype, layout_of(found)) == (
        expected.shape,
        expected.dtype,
        layout_of(expected),
    )
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_what_is_not_finite_stays_in_its_regions():
    x = image((3, 5, 9, 11), "not finite", "contiguous")
    regions = Regions(some_rois(17, 3), (4, 4), 1.0, -1)
    with np.errstate(invalid="ignore"):
        expected = RoIAlign.forward(np, x, regions)
    np.testing.assert_array_equal(np.isnan(roi.roi_align(np, x, regions)), np.isnan(expected))


@pytest.mark.parametrize("with_classes", [False, True])
def test_suppression_is_the_reference(with_classes):
    rng = np.random.default_rng(7)
    for n in (0, 1, 60, 500):
        first = rng.integers(0, 20, (n, 2))
        boxes = np.concatenate([first, first + rng.integers(0, 9, (n, 2))], 1).astype(np.float32)
        scores, classes = rng.integers(0, 9, n).astype(np.float32), rng.integers(0, 3, n)
        scores[::7], boxes[::11, 1] = np.nan, np.nan
        for threshold in (0.0, 0.25, 0.5, 1.0):
            given = (boxes, scores, classes if with_classes else None, threshold)
            expected = Nms.forward(np, *given)
            found = roi.nms(np, *given)
            assert found.dtype == expected.dtype == np.int64
            np.testing.assert_array_equal(found, expected)


def test_the_functions_run_on_them(monkeypatch):
    from tinygrad_cv.backend.cpu.compiled import roi as compiled

    seen = []
    for name in ("means", "spread", "largest", "suppress"):
        kernel = getattr(compiled, name)
        monkeypatch.setattr(
            compiled, name, lambda *args, f=kernel, name=name: (seen.append(name), f(*args))
        )
    x, rois = tg.tensor(image((3, 4, 9, 11), "few", "contiguous")), tg.tensor(some_rois(9, 3))
    F.roi_align(x.clone().requires_grad_(), rois, 3).sum().backward()
    assert seen == ["means", "spread"]
    pooled, kept = F.roi_pool(x, rois, 3), F.nms(rois[:, 1:], rois[:, 1], 0.3)
    assert seen[2:] == ["largest", "suppress"]
    with kernels.use("reference"):
        assert F.roi_pool(x, rois, 3).tolist() == pooled.tolist()
        assert F.nms(rois[:, 1:], rois[:, 1], 0.3).tolist() == kept.tolist()
    assert len(seen) == 4


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_any_number_of_threads(workers):
    before = threads.get_num_threads()
    threads.set_num_threads(workers)
    try:
        test_pooling_is_the_reference("few", "channels_last")
        test_means_are_those_of_the_reference((1.0, 2, True), "channels_last")
    finally:
        threads.set_num_threads(before)


def test_small_cases_are_left_to_the_reference(monkeypatch):
    monkeypatch.setattr(roi, "SMALLEST", 1 << 14)
    monkeypatch.setattr(roi, "FEWEST", 1000)
    x = spec_of(np.zeros((3, 4, 9, 11), np.float32))
    assert not roi._takes_pool((x,), (Regions(some_rois(9, 3), (3, 3)),))
    boxes, scores = spec_of(np.zeros((999, 4))), spec_of(np.zeros(999))
    assert not roi._takes_boxes((boxes, scores, None), (0.5,))
