"""Choosing among boxes: suppression by a loop over pairs, ties and NaN, small boxes, masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from tinygrad_cv.ops.nms import Nms
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
rng = np.random.default_rng(9)
NO_INFER = {"infer": "the number of boxes depends on the data", "meta": "so it does there"}


def some_boxes(n, seed=0):
    random = np.random.default_rng(seed)
    first = random.integers(0, 8, (n, 2))
    return np.concatenate([first, first + random.integers(0, 7, (n, 2))], -1).astype(float)


def naive(threshold):
    """Every box in turn, and every box that is kept so far."""

    def suppress(boxes, scores, classes=None):
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        kept = []
        for i in order:
            if all(
                (classes is not None and classes[i] != classes[j])
                or not iou(boxes[i].tolist(), boxes[j].tolist()) > threshold
                for j in kept
            ):
                kept.append(i)
        return np.array(kept, np.int64)

    return suppress


def iou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - width * height
    return width * height / union if union else np.nan


BOXES, SCORES = some_boxes(30), rng.permutation(30) * 0.01
CLASSES = rng.integers(0, 3, 30)

CASES = [
    *[
        Case(F.nms, (BOXES, SCORES), (t,), reference=naive(t), order=0, skip=NO_INFER, diff=())
        for t in (0.0, 0.3, 0.5, 1.0)
    ],
    Case(F.nms, (BOXES, SCORES // 0.1), (0.4,), reference=naive(0.4), order=0, skip=NO_INFER,
         name="ties", diff=()),
    Case(F.batched_nms, (BOXES, SCORES, CLASSES), (0.3,), reference=naive(0.3), order=0,
         skip=NO_INFER, diff=()),
    Case(Nms, (BOXES, SCORES, CLASSES), (0.3,), reference=naive(0.3), order=0, skip=NO_INFER),
    Case(F.remove_small_boxes, (BOXES,), (3,), order=0, skip=NO_INFER, diff=(),
         reference=lambda boxes: np.array(
             [i for i, b in enumerate(boxes) if b[2] - b[0] >= 3 and b[3] - b[1] >= 3], np.int64)),
]  # fmt: skip


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@given(n=st.integers(0, 25), seed=st.integers(0, 99), threshold=st.sampled_from([0.1, 0.25, 0.5]))
@settings(max_examples=60, deadline=None)
def test_any_boxes(n, seed, threshold):
    boxes, random = some_boxes(n, seed), np.random.default_rng(seed)
    scores, classes = random.integers(0, 5, n).astype("float32"), random.integers(0, 2, n)
    found = F.nms(boxes.astype("float32"), scores, threshold)
    assert found.dtype == "int64"
    assert found.tolist() == naive(threshold)(boxes, scores).tolist()
    found = F.batched_nms(boxes.astype("float32"), scores, classes, threshold)
    assert found.tolist() == naive(threshold)(boxes, scores, classes).tolist()


def test_order_of_ties_and_nan():
    boxes = tg.tensor([[float(10 * i), 0.0, 10.0 * i + 1, 1.0] for i in range(6)])
    scores = tg.tensor([0.5, np.nan, 0.7, 0.5, np.inf, np.nan])
    assert F.nms(boxes, scores, 0.5).tolist() == [1, 5, 4, 2, 0, 3]


def test_an_iou_equal_to_the_threshold_suppresses_nothing():
    boxes = tg.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0], [4.0, 4.0, 4.0, 4.0]])
    scores = tg.tensor([3.0, 2.0, 1.0])
    assert F.nms(boxes, scores, 0.5).tolist() == [0, 1, 2]
    assert F.nms(boxes, scores, 0.4999999).tolist() == [0, 2]


def test_what_depends_on_values_is_refused_on_meta():
    boxes, scores = tg.zeros(3, 4, device="meta"), tg.zeros(3, device="meta")
    idxs = tg.zeros(3, dtype="int64", device="meta")
    for name, use in (
        ("nms", lambda: F.nms(boxes, scores, 0.5)),
        ("batched_nms", lambda: F.batched_nms(boxes, scores, idxs, 0.5)),
        ("remove_small_boxes", lambda: F.remove_small_boxes(boxes, 1)),
    ):
        with pytest.raises(GraphError, match=f"^{name}: how many boxes"):
            use()


def box_around(mask):
    y, x = np.nonzero(mask)
    return [x.min(), y.min(), x.max(), y.max()]


@pytest.mark.parametrize("dtype", ["bool", "float64", "uint8"])
def test_masks_to_boxes(dtype):
    masks = (rng.random((7, 5, 9)) < 0.06).astype(dtype)
    masks[:, 3, 2] = 1
    found = F.masks_to_boxes(masks)
    assert found.dtype == "float32"
    assert found.tolist() == [box_around(mask) for mask in masks]
    assert F.masks_to_boxes(tg.tensor(masks).to("meta")).shape == (7, 4)
    assert F.masks_to_boxes(masks[:0]).shape == (0, 4)


def zeros(*shape):
    return np.zeros(shape, np.float32)


INTS = np.zeros(3, int)
BAD = [
    Bad(F.nms, (zeros(3, 5), zeros(3), 0.5), error=ShapeError, match=r"\[N, 4\]"),
    Bad(F.nms, (zeros(4), zeros(4), 0.5), error=ShapeError, match=r"\[N, 4\]"),
    Bad(F.nms, (zeros(3, 4), zeros(4), 0.5), error=ShapeError, match="one score for each"),
    Bad(F.nms, (zeros(3, 4), zeros(3, 1), 0.5), error=ShapeError, match="one score for each"),
    Bad(F.nms, (zeros(3, 4).astype(int), zeros(3), 0.5), error=DTypeError, match="boxes must be"),
    Bad(F.nms, (zeros(3, 4), INTS, 0.5), error=DTypeError, match="scores must be float"),
    Bad(F.nms, (zeros(3, 4), zeros(3), "0.5"), error=DTypeError, match="iou_threshold"),
    Bad(F.nms, (zeros(3, 4), None, 0.5), error=DTypeError, match="scores must be a tensor"),
    Bad(F.batched_nms, (zeros(3, 4), zeros(3), zeros(3), 0.5), error=DTypeError, match="idxs"),
    Bad(F.batched_nms, (zeros(3, 4), zeros(3), INTS[:2], 0.5), error=ShapeError, match="one class"),
    Bad(F.batched_nms, (zeros(3, 4), zeros(2), INTS, 0.5), error=ShapeError, match="one score"),
    Bad(F.remove_small_boxes, (zeros(3, 4), "1"), error=DTypeError, match="min_size must be"),
    Bad(F.remove_small_boxes, (zeros(3), 1), error=ShapeError, match="four numbers"),
    Bad(F.masks_to_boxes, (zeros(3, 4),), error=ShapeError, match=r"\[N, H, W\]"),
    Bad(F.masks_to_boxes, (zeros(3, 0, 4),), error=ShapeError, match=r"\[N, H, W\]"),
    Bad(F.masks_to_boxes, (np.eye(3)[:, None] * np.array([[[1.0]], [[0]], [[1]]]),),
        error=ArgumentError, match="mask 1 has no pixel"),
]  # fmt: skip


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)
