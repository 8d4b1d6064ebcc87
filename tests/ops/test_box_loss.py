"""Losses of boxes against loops, and against torchvision's formulas written in PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(43)
F = tg.nn.functional
LOSSES = {
    "general": F.generalized_box_iou_loss,
    "distance": F.distance_box_iou_loss,
    "complete": F.complete_box_iou_loss,
}


def boxes(*shape):
    corners, sizes = rng.uniform(0, 5, (*shape, 2)), rng.uniform(1, 6, (*shape, 2))
    return np.concatenate([corners, corners + sizes], -1)


def one(kind, a, b, eps):
    """The loss of a pair of boxes."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = a.tolist(), b.tolist()
    width, height = min(x2, u2) - max(x1, u1), min(y2, v2) - max(y1, v1)
    common = width * height if width > 0 and height > 0 else 0.0
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
    iou = common / (union + eps)
    w, h = max(x2, u2) - min(x1, u1), max(y2, v2) - min(y1, v1)
    if kind == "general":
        return 1 - iou + (w * h - union) / (w * h + eps)
    dx, dy = (x1 + x2) / 2 - (u1 + u2) / 2, (y1 + y2) / 2 - (v1 + v2) / 2
    loss = 1 - iou + (dx**2 + dy**2) / (w**2 + h**2 + eps)
    if kind == "distance":
        return loss
    v = 4 / math.pi**2 * (math.atan2(u2 - u1, v2 - v1) - math.atan2(x2 - x1, y2 - y1)) ** 2
    return loss + v / (1 - iou + v + eps) * v


def naive(kind, reduction, eps):
    def reference(a, b):
        out = np.zeros(a.shape[:-1])
        for place in np.ndindex(out.shape):
            out[place] = one(kind, a[place], b[place], eps)
        total = math.fsum(out.ravel())
        if reduction == "none":
            return out
        return np.array(total / out.size if reduction == "mean" else total)

    return reference


def oracle(kind, reduction, eps):
    def function(a, b):
        (x1, y1, x2, y2), (u1, v1, u2, v2) = a.unbind(-1), b.unbind(-1)
        low, high = torch.maximum, torch.minimum
        width, height = high(x2, u2) - low(x1, u1), high(y2, v2) - low(y1, v1)
        mask = (width > 0) & (height > 0)
        common = torch.zeros_like(x1)
        common[mask] = width[mask] * height[mask]
        union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
        iou = common / (union + eps)
        w, h = low(x2, u2) - high(x1, u1), low(y2, v2) - high(y1, v1)
        if kind == "general":
            loss = 1 - (iou - (w * h - union) / (w * h + eps))
        else:
            centre = ((x2 + x1) / 2 - (u1 + u2) / 2) ** 2 + ((y2 + y1) / 2 - (v1 + v2) / 2) ** 2
            loss = 1 - iou + centre / (w**2 + h**2 + eps)
        if kind == "complete":
            ours, theirs = torch.atan((x2 - x1) / (y2 - y1)), torch.atan((u2 - u1) / (v2 - v1))
            v = 4 / torch.pi**2 * (theirs - ours) ** 2
            with torch.no_grad():
                alpha = v / (1 - iou + v + eps)
            loss = loss + alpha * v
        return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]

    return function


def case(kind, inputs, reduction="none", eps=1e-7, **options):
    if kind == "complete":  # its factor alpha counts as a constant, which differences do not know
        options.setdefault("order", 0)
    return Case(
        LOSSES[kind],
        inputs,
        kwargs={"reduction": reduction, "eps": eps},
        reference=naive(kind, reduction, eps),
        torch=oracle(kind, reduction, eps),
        name=f"{options.pop('name', '')} {reduction}",
        batch=(0, 1) if inputs[0].ndim == 2 else None,
        **options,
    )


A, B = boxes(7), boxes(7)
FAR = A + 20
UNIT = np.array([0.0, 0.0, 2.0, 2.0])
TOUCHING = (
    np.stack([UNIT, UNIT, UNIT]),
    np.stack([[2.0, 0, 4, 2], UNIT + 2, [1.0, 0, 3, 2]]),
)

CASES = [
    *(
        case(kind, pair, reduction, name=name)
        for kind in LOSSES
        for pair, reduction, name in (
            ((A, B), "none", ""),
            ((A, B), "mean", ""),
            ((A, B), "sum", ""),
            ((A, FAR), "none", "apart"),
            ((A[0], B[0]), "none", "one pair"),
            ((A[:6].reshape(2, 3, 4), B[:6].reshape(2, 3, 4)), "none", "more axes"),
        )
    ),
    *(case(kind, (A, B), eps=0.1, name="eps") for kind in LOSSES),
    *(case(kind, (A, A), order=0, name="the same") for kind in LOSSES),
    *(case(kind, TOUCHING, order=0, name="touching") for kind in LOSSES),
]

BAD = [
    bad
    for function in LOSSES.values()
    for bad in (
        Bad(function, (A, B[:3]), error=ShapeError, match="in pairs"),
        Bad(function, (A[:, :3], B[:, :3]), error=ShapeError, match="4 numbers"),
        Bad(function, (np.array(1.0), np.array(1.0)), error=ShapeError, match="4 numbers"),
        Bad(function, (A, B), {"reduction": "xyz"}, error=ArgumentError, match="xyz"),
        Bad(function, (A, B), {"eps": "1"}, error=DTypeError, match="eps"),
    )
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("function", LOSSES.values())
def test_no_boxes(function):
    a = tg.zeros(0, 4, requires_grad=True)
    loss = function(a, tg.zeros(0, 4), reduction="mean")
    assert loss.item() == 0
    loss.backward()
    assert a.grad.shape == (0, 4)


@pytest.mark.parametrize("function", LOSSES.values())
def test_boxes_of_integers(function):
    loss = function(tg.tensor([0, 0, 2, 2]), tg.tensor([[0, 0, 2, 2]])[0])
    assert loss.dtype == np.float32
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_the_same_box_has_no_loss_and_distance_counts():
    assert F.generalized_box_iou_loss(tg.tensor(UNIT), tg.tensor(UNIT)).item() < 1e-6
    near, far = (F.generalized_box_iou_loss(tg.tensor(UNIT), tg.tensor(UNIT + d)) for d in (3, 9))
    assert 1 < near.item() < far.item() < 2
