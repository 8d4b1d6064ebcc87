"""Boxes: areas, formats, overlaps and clipping against loops over single boxes, and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
rng = np.random.default_rng(8)


def some_boxes(*lead):
    """Boxes of which many overlap, without equal coordinates."""
    first = rng.uniform(0, 10, (*lead, 2))
    return np.concatenate([first, first + rng.uniform(1, 9, (*lead, 2))], -1)


def to_corners(box, fmt):
    a, b, c, d = box
    if fmt == "xywh":
        return a, b, a + c, b + d
    if fmt == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d


def from_corners(box, fmt):
    x1, y1, x2, y2 = box
    if fmt == "xywh":
        return x1, y1, x2 - x1, y2 - y1
    if fmt == "cxcywh":
        return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    return x1, y1, x2, y2


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def each(function):
    """A function of one box, for every box."""

    def loop(boxes):
        rows = [function(box) for box in boxes.reshape(-1, 4).tolist()]
        return np.array(rows, float).reshape(*boxes.shape[:-1], *np.shape(rows)[1:])

    return loop


def every_pair(function):
    """A function of two boxes, for every pair."""

    def loop(boxes1, boxes2):
        lead = np.broadcast_shapes(boxes1.shape[:-2], boxes2.shape[:-2])
        boxes1, boxes2 = (np.broadcast_to(b, lead + b.shape[-2:]) for b in (boxes1, boxes2))
        out = np.zeros((*lead, boxes1.shape[-2], boxes2.shape[-2]))
        for place in np.ndindex(*out.shape):
            *k, n, m = place
            out[place] = function(boxes1[(*k, n)].tolist(), boxes2[(*k, m)].tolist())
        return out

    return loop


def shared_and_union(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return width * height, area(a) + area(b) - width * height


def iou(a, b, fmt="xyxy"):
    shared, union = shared_and_union(to_corners(a, fmt), to_corners(b, fmt))
    return shared / union


def giou(a, b):
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    union = shared_and_union(a, b)[1]
    return iou(a, b) - (hull - union) / hull


def diou(a, b, eps=1e-7):
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    dx, dy = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    return iou(a, b) - (dx * dx + dy * dy) / (diagonal + eps)


def ciou(a, b, eps=1e-7):
    slopes = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    v = 4 / math.pi**2 * (slopes[0] - slopes[1]) ** 2
    return diou(a, b, eps) - v / (1 - iou(a, b) + v + eps) * v


def torch_iou(a, b):
    first, last = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    shared = (last - first).clamp(min=0).prod(-1)
    return shared / (
        (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1) - shared
    )


def torch_ciou(a, b, eps=1e-7):
    """The weight of the last term gets no gradient."""
    value = torch_iou(a, b)
    hull = torch.max(a[:, None, 2:], b[:, 2:]) - torch.min(a[:, None, :2], b[:, :2])
    apart = (a[:, None, :2] + a[:, None, 2:] - b[:, :2] - b[:, 2:]) / 2
    distance = value - (apart**2).sum(-1) / ((hull**2).sum(-1) + eps)
    slopes = [torch.atan((box[:, 2] - box[:, 0]) / (box[:, 3] - box[:, 1])) for box in (a, b)]
    v = 4 / math.pi**2 * (slopes[0][:, None] - slopes[1]) ** 2
    with torch.no_grad():
        weight = v / (1 - value + v + eps)
    return distance - weight * v


FORMATS = ("xyxy", "xywh", "cxcywh")
A, B = some_boxes(4), some_boxes(3)
FAR = np.array([[20.0, 30.0, 21.0, 33.0], [0.0, 0.0, 2.0, 2.0]])

CASES = [
    *[
        Case(F.box_area, (some_boxes(2, 3),), (fmt,), name=fmt,
             reference=each(lambda box, fmt=fmt: area(to_corners(box, fmt))))
        for fmt in FORMATS
    ],
    *[
        Case(F.box_convert, (some_boxes(5),), (a, b), name=f"{a} to {b}",
             reference=each(lambda box, a=a, b=b: from_corners(to_corners(box, a), b)))
        for a in FORMATS for b in FORMATS
    ],
    Case(F.box_convert, (some_boxes(),), ("xyxy", "xywh"), name="one box",
         reference=lambda box: np.array(from_corners(box, "xywh"))),
    Case(F.box_iou, (A, B), reference=every_pair(iou), torch=torch_iou),
    Case(F.box_iou, (A, FAR), reference=every_pair(iou), torch=torch_iou, name="apart"),
    Case(F.box_iou, (some_boxes(2, 1, 3), some_boxes(4, 2)), reference=every_pair(iou)),
    *[
        Case(F.box_iou, (A, B), (fmt,), name=fmt,
             reference=every_pair(lambda a, b, fmt=fmt: iou(a, b, fmt)))
        for fmt in FORMATS[1:]
    ],
    Case(F.generalized_box_iou, (A, B), reference=every_pair(giou)),
    Case(F.generalized_box_iou, (A, FAR), reference=every_pair(giou), name="apart"),
    Case(F.distance_box_iou, (A, B), reference=every_pair(diou)),
    Case(F.distance_box_iou, (A, FAR), (0.1,), name="apart",
         reference=every_pair(lambda a, b: diou(a, b, 0.1))),
    # The derivative is not that of the value, as a factor of it counts as constant.
    Case(F.complete_box_iou, (A, B), reference=every_pair(ciou), torch=torch_ciou, order=0),
    Case(F.complete_box_iou, (A, FAR), reference=every_pair(ciou), torch=torch_ciou, order=0,
         name="apart"),
    Case(F.clip_boxes_to_image, (some_boxes(5) - 4,), ((7, 6.5),),
         reference=each(lambda box: [min(max(n, 0), e)
                                     for n, e in zip(box, (6.5, 7, 6.5, 7), strict=True)])),
]  # fmt: skip


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


def test_equal_boxes_and_boxes_that_touch():
    same = tg.tensor([[1.0, 1.0, 3.0, 4.0]], requires_grad=True)
    for function in (F.box_iou, F.generalized_box_iou, F.distance_box_iou, F.complete_box_iou):
        assert function(same, same.detach()).tolist() == [[1.0]]
    box = [[0.0, 0.0, 1.0, 1.0]]
    for side in ([[1.0, 0.0, 2.0, 1.0]], [[0.0, 1.0, 1.0, 2.0]], box):
        ours, theirs = tg.tensor(box, requires_grad=True), torch.tensor(box, requires_grad=True)
        F.box_iou(ours, tg.tensor(side)).sum().backward()
        torch_iou(theirs, torch.tensor(side)).sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-6)


def test_second_derivatives_of_ciou_are_those_of_pytorch():
    a, b = tg.tensor(A, requires_grad=True), tg.tensor(B)
    (g,) = tg.autograd.grad(F.complete_box_iou(a, b).sum(), a, create_graph=True)
    (found,) = tg.autograd.grad((g * g).sum(), a)
    x, y = torch.tensor(A, requires_grad=True), torch.tensor(B)
    (h,) = torch.autograd.grad(torch_ciou(x, y).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad((h * h).sum(), x)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-9)


def test_boxes_without_an_area():
    point = tg.tensor([[1.0, 1.0, 1.0, 1.0]])
    assert np.isnan(F.box_iou(point, point).item())
    assert F.box_iou(point, tg.tensor([[0.0, 0.0, 2.0, 2.0]])).item() == 0


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers(dtype):
    boxes = tg.tensor([[0, 0, 20, 20], [10, 0, 30, 20]]).to(dtype)
    assert F.box_area(boxes).tolist() == [400, 400]
    assert F.box_area(boxes).dtype == ("int32" if dtype == "uint8" else dtype)
    np.testing.assert_allclose(F.box_iou(boxes, boxes).numpy(), [[1, 1 / 3], [1 / 3, 1]])
    assert F.box_convert(boxes, "xyxy", "cxcywh").tolist()[1] == [20, 10, 20, 20]
    assert F.box_convert(boxes, "xyxy", "xywh").dtype == dtype
    assert F.clip_boxes_to_image(boxes, (15, 25)).tolist()[1] == [10, 0, 25, 15]


def test_no_boxes():
    none, one = tg.zeros(0, 4), tg.ones(1, 4)
    assert F.box_area(none).shape == (0,)
    assert F.box_iou(none, one).shape == (0, 1)
    assert F.complete_box_iou(one, none).shape == (1, 0)
    assert F.clip_boxes_to_image(none, (3, 3)).shape == (0, 4)


def zeros(*shape):
    return np.zeros(shape, np.float32)


BAD = [
    *[
        Bad(function, (array, *more), error=error, match=match)
        for function, more in (
            (F.box_area, ()),
            (F.box_convert, ("xyxy", "xywh")),
            (F.clip_boxes_to_image, ((3, 4),)),
        )
        for array, error, match in (
            (zeros(3, 5), ShapeError, "four numbers for each box"),
            (zeros(), ShapeError, "four numbers"),
            (zeros(3, 4) > 0, DTypeError, "not bool"),
        )
    ],
    *[
        Bad(function, args, error=ShapeError, match=match)
        for function in (
            F.box_iou,
            F.generalized_box_iou,
            F.distance_box_iou,
            F.complete_box_iou,
        )
        for args, match in (
            ((zeros(4), zeros(3, 4)), r"\[N, 4\]"),
            ((zeros(3, 4), zeros(4)), "boxes2 must be"),
            ((zeros(3, 4), zeros(3, 5)), "boxes2 must be"),
            ((zeros(2, 3, 4), zeros(3, 3, 4)), "do not broadcast"),
        )
    ],
    Bad(F.box_area, (zeros(3, 4), "xyhw"), error=ArgumentError, match="cxcywh"),
    Bad(F.box_iou, (zeros(3, 4), zeros(3, 4), None), error=ArgumentError, match="fmt must be"),
    Bad(F.box_convert, (zeros(3, 4), "xyxy", "yx"), error=ArgumentError, match="out_fmt"),
    Bad(F.box_convert, (zeros(3, 4), "", "xyxy"), error=ArgumentError, match="in_fmt"),
    Bad(F.box_convert, ("boxes", "xyxy", "xywh"), error=DTypeError, match="must be a tensor"),
    Bad(F.box_iou, (zeros(3, 4), None), error=DTypeError, match="boxes2 must be a tensor"),
    Bad(F.clip_boxes_to_image, (zeros(3, 4), 5), error=ArgumentError, match="height, width"),
    Bad(F.clip_boxes_to_image, (zeros(3, 4), (5,)), error=ArgumentError, match="two numbers"),
    Bad(F.clip_boxes_to_image, (zeros(3, 4), (5, "4")), error=DTypeError, match="size must be"),
    Bad(F.distance_box_iou, (zeros(3, 4), zeros(3, 4), None), error=DTypeError, match="eps must"),
    Bad(F.complete_box_iou, (zeros(3, 4), zeros(3, 4), "x"), error=DTypeError, match="eps must"),
]


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)
