"""Similarity, distance, and the losses of embeddings, against loops and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.ops.pairs import REDUCTIONS
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.similarity import SquareSum, VecDot
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(45)
F, TF = tg.nn.functional, torch.nn.functional
inf = math.inf


def normal(*shape):
    return rng.normal(size=shape)


def cosine(a, b, eps=1e-8):
    lengths = [math.sqrt(math.fsum(v * v for v in x)) for x in (a, b)]
    dot = math.fsum(v * w for v, w in zip(a, b, strict=True))
    return dot / (max(lengths[0], eps) * max(lengths[1], eps))


def distance(a, b, p=2.0, eps=1e-6):
    sizes = [abs(v - w + eps) for v, w in zip(a, b, strict=True)]
    if p == inf:
        return max(sizes)
    return math.fsum(s**p for s in sizes) ** (1 / p)


def along(function, axis):
    """The function of two vectors, for all pairs along an axis."""

    def reference(x, y):
        x, y = np.broadcast_arrays(x, y)
        x, y = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
        out = np.zeros(x.shape[:-1])
        for place in np.ndindex(out.shape):
            out[place] = function(x[place], y[place])
        return out

    return reference


def summary(losses, reduction):
    if reduction == "none":
        return losses
    return np.array(losses.mean() if reduction == "mean" else losses.sum())


def cosine_loss(margin, reduction):
    def reference(a, b, t):
        rows = (a[None], b[None], [t]) if a.ndim == 1 else (*np.broadcast_arrays(a, b), t)
        losses = []
        for x, y, s in zip(*rows, strict=True):
            c = cosine(x, y, 1e-12)
            losses.append(1 - c if s == 1 else max(0, c - margin) if s == -1 else 0.0)
        losses = np.array(losses)
        return summary(losses[0] if a.ndim == 1 else losses, reduction)

    return reference


def triplet(margin, p, swap, reduction, function=distance):
    def reference(a, b, c):
        a, b, c = np.broadcast_arrays(a, b, c)
        out = np.zeros(a.shape[:-1])
        for k in np.ndindex(out.shape):
            options = {"p": p} if function is distance else {}
            near, far = function(a[k], b[k], **options), function(a[k], c[k], **options)
            if swap:
                far = min(far, function(b[k], c[k], **options))
            out[k] = max(0, near - far + margin)
        return summary(out, reduction)

    return reference


A, B, C = normal(5, 3), normal(5, 3), normal(5, 3)
IMAGES = normal(2, 3, 2, 4), normal(2, 3, 2, 4)
SIGNS = np.array([1, -1, 1, -1, 0])

CASES = [
    *(
        Case(
            SquareSum,
            (IMAGES[0],),
            (dims, keepdim),
            reference=lambda a, d=dims, k=keepdim: np.sum(a * a, axis=d, keepdims=k),
            name=f"{dims} {keepdim}",
        )
        for dims, keepdim in (((3,), False), ((1, 2, 3), True), ((1,), False))
    ),
    *(
        Case(
            VecDot,
            pair,
            (dims, keepdim),
            reference=lambda a, b, d=dims, k=keepdim: np.sum(a * b, axis=d, keepdims=k),
            name=f"{dims} {keepdim}",
        )
        for pair in (IMAGES, (normal(2, 1, 3, 1024), normal(2, 1, 3, 1024)))
        for dims, keepdim in (((3,), False), ((1, 2, 3), True), ((1,), False), ((0, 2), False))
    ),
    *(
        Case(
            F.cosine_similarity,
            pair,
            kwargs={"dim": dim},
            reference=along(cosine, dim),
            torch=lambda x, y, d=dim: TF.cosine_similarity(x, y, dim=d),
            rtol=1e-9,
        )
        for pair, dim in (
            ((A, B), 1),
            ((A, B), 0),
            ((A, B), -1),
            (IMAGES, 1),
            (IMAGES, 3),
            ((A, B[0]), 1),
            ((A[0], B[0]), 0),
            ((A[:, None], B), 2),
        )
    ),
    Case(
        F.cosine_similarity,
        (np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 2.0], [0.0, 0.0]])),
        reference=along(cosine, 1),
        torch=TF.cosine_similarity,
        order=0,
        name="zeros",
    ),
    *(
        Case(
            F.pairwise_distance,
            pair,
            kwargs={"p": p},
            reference=along(lambda a, b, p=p: distance(a, b, p), -1),
            torch=lambda x, y, p=p: TF.pairwise_distance(x, y, p=p),
            name=f"p={p}",
        )
        for pair, p in (
            ((A, B), 2.0),
            ((A, B), 1),
            ((A, B), 3.0),
            ((A, B), inf),
            ((A, B[0]), 2.0),
            ((A[0], B[0]), 2.0),
            (IMAGES, 2.0),
        )
    ),
    Case(
        F.pairwise_distance,
        (A, B),
        kwargs={"eps": 0.1, "keepdim": True},
        reference=lambda a, b: along(lambda x, y: distance(x, y, eps=0.1), -1)(a, b)[:, None],
        torch=lambda a, b: TF.pairwise_distance(a, b, eps=0.1, keepdim=True),
        name="keepdim",
    ),
    Case(
        F.pairwise_distance,
        (A, A),
        reference=along(distance, -1),
        torch=TF.pairwise_distance,
        order=0,
        name="equal",
    ),
    *(
        Case(
            F.normalize,
            (x,),
            kwargs={"p": p, "dim": dim},
            reference=lambda x, p=p, dim=dim: (
                x
                / np.expand_dims(
                    along(lambda a, b: max(distance(a, b, p, 0.0), 1e-12), dim)(x, 0 * x), dim
                )
            ),
            torch=lambda x, p=p, dim=dim: TF.normalize(x, p=p, dim=dim),
            order=3,
            name=f"p={p} dim={dim}",
        )
        for x, p, dim in (
            (A, 2.0, 1),
            (A, 2.0, 0),
            (A, 1, -1),
            (A, 3.0, 1),
            (IMAGES[0], 2.0, 1),
            (A[0], 2.0, 0),
        )
    ),
    Case(
        F.normalize,
        (np.array([[0.0, 0.0], [3.0, 4.0]]),),
        torch=TF.normalize,
        order=0,
        name="a vector of zeros",
    ),
    Case(F.normalize, (A,), kwargs={"p": inf}, torch=lambda x: TF.normalize(x, p=inf), name="inf"),
    *(
        Case(
            F.cosine_embedding_loss,
            inputs,
            kwargs={"margin": margin, "reduction": reduction},
            reference=cosine_loss(margin, reduction),
            torch=lambda a, b, t, m=margin, r=reduction: TF.cosine_embedding_loss(
                a, b, t, margin=m, reduction=r
            ),
            diff=("input1", "input2"),
            batch=(0, 1, 2) if inputs[0].ndim == 2 else None,
            name=f"{margin} {reduction}",
            rtol=1e-9,
        )
        for inputs, margin in (
            ((A, B, SIGNS), 0.0),
            ((A, B, SIGNS * 1.0), 0.3),
            ((A[0], B[0], np.array(1)), 0.0),
        )
        for reduction in REDUCTIONS
    ),
    *(
        Case(
            F.triplet_margin_loss,
            inputs,
            kwargs={"margin": margin, "p": p, "swap": swap, "reduction": reduction},
            reference=triplet(margin, p, swap, reduction),
            torch=lambda *x, m=margin, p=p, s=swap, r=reduction: TF.triplet_margin_loss(
                *x, margin=m, p=p, swap=s, reduction=r
            ),
            batch=(0, 1, 2) if inputs[0].ndim == 2 else None,
            name=f"{margin} {p} {swap} {reduction}",
        )
        for inputs, margin, p, swap, reduction in (
            ((A, B, C), 1.0, 2.0, False, "mean"),
            ((A, B, C), 1.0, 2.0, True, "none"),
            ((A, B, C), 0.5, 1.0, True, "sum"),
            ((A, B, C), 2.0, 3.0, False, "none"),
            ((A[0], B[0], C[0]), 1.0, 2.0, False, "mean"),
            ((A, B[:1], C), 1.0, 2.0, False, "mean"),
            ((IMAGES[0], IMAGES[1], -IMAGES[0]), 1.0, 2.0, False, "none"),
        )
    ),
    *(
        Case(
            F.triplet_margin_with_distance_loss,
            (A, B, C),
            kwargs={"swap": swap, "reduction": reduction},
            reference=triplet(1.0, 2.0, swap, reduction),
            torch=lambda *x, s=swap, r=reduction: TF.triplet_margin_with_distance_loss(
                *x, swap=s, reduction=r
            ),
            name=f"{swap} {reduction}",
        )
        for swap, reduction in ((False, "mean"), (True, "none"), (True, "sum"))
    ),
    Case(
        F.triplet_margin_with_distance_loss,
        (A, B, C),
        kwargs={"distance_function": lambda x, y: 1 - F.cosine_similarity(x, y), "margin": 0.7},
        reference=triplet(0.7, None, False, "mean", lambda a, b: 1 - cosine(a, b)),
        torch=lambda *x: TF.triplet_margin_with_distance_loss(
            *x, distance_function=lambda a, b: 1 - TF.cosine_similarity(a, b), margin=0.7
        ),
        name="by the cosine",
        rtol=1e-9,
    ),
]

INTEGERS = np.ones((5, 3), int)
TRIPLETS = (F.triplet_margin_loss, F.triplet_margin_with_distance_loss)
BAD = [
    *(
        Bad(f, (A, normal(5, 4)), error=ShapeError, match="broadcast")
        for f in (F.cosine_similarity, F.pairwise_distance)
    ),
    Bad(F.cosine_similarity, (INTEGERS, INTEGERS), error=DTypeError, match="x1 must be float"),
    Bad(F.cosine_similarity, (A, B), {"dim": 2}, error=RangeError, match="out of range"),
    Bad(F.cosine_similarity, (A, B), {"eps": None}, error=DTypeError, match="eps"),
    Bad(F.pairwise_distance, (A, B), {"p": "fro"}, error=DTypeError, match="p must be a number"),
    Bad(F.normalize, (INTEGERS,), error=DTypeError, match="must be float"),
    Bad(F.normalize, (A[0],), error=RangeError, match="dim 1 is out of range"),
    Bad(F.normalize, (A,), {"out": A}, error=ArgumentError, match="out"),
    Bad(F.normalize, (A,), {"p": None}, error=DTypeError, match="p must be"),
    Bad(F.cosine_embedding_loss, (A, B, SIGNS), {"reduction": "x"}, error=ArgumentError, match="x"),
    Bad(F.cosine_embedding_loss, (A, B, SIGNS[:, None]), error=ShapeError, match=r"\[N, D\]"),
    Bad(F.cosine_embedding_loss, (A, B, np.array(1)), error=ShapeError, match=r"\[N, D\]"),
    Bad(F.cosine_embedding_loss, (A[0], B[0], SIGNS), error=ShapeError, match=r"\[N, D\]"),
    Bad(F.cosine_embedding_loss, (A, B, SIGNS[:3]), error=ShapeError, match="target needs"),
    Bad(F.cosine_embedding_loss, (A, B[:, :2], SIGNS), error=ShapeError, match="broadcast"),
    *(
        bad
        for f in TRIPLETS
        for bad in (
            Bad(f, (A, B, C), {"margin": 0.0}, error=ArgumentError, match="greater than 0"),
            Bad(f, (A, B, C), {"margin": -1}, error=ArgumentError, match="greater than 0"),
            Bad(f, (A, B, C[0]), error=ShapeError, match="number of axes"),
            Bad(f, (A, B[:4], C), error=ShapeError, match="broadcast"),
            Bad(f, (A, B, C), {"reduction": "x"}, error=ArgumentError, match="x"),
        )
    ),
    Bad(
        F.triplet_margin_with_distance_loss,
        (A, B, C),
        {"distance_function": 2},
        error=DTypeError,
        match="must be a function",
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_several_axes_are_one_vector():
    found = F.normalize(tg.tensor(IMAGES[0]), dim=(1, 2, 3))
    lengths = np.sqrt((found.numpy() ** 2).sum((1, 2, 3)))
    np.testing.assert_allclose(lengths, 1)


def test_channels_last_stays():
    x = tg.tensor(IMAGES[0]).contiguous("channels_last")
    assert F.normalize(x).array.strides == x.array.strides


@pytest.mark.parametrize("name", ["cosine_similarity", "pairwise_distance"])
def test_dtypes_are_promoted_as_in_torch(name):
    ours = getattr(F, name)(tg.tensor(A.astype("f4")), tg.tensor(B))
    theirs = getattr(TF, name)(torch.tensor(A.astype("f4")), torch.tensor(B))
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


def test_a_long_dot_product_is_accurate_in_float32():
    """In blocks; a plain sum of as many floats would be off by more."""
    x = (rng.normal(size=(2, 1 << 20)) + 3).astype("f4")
    found = VecDot.call(tg.tensor(x), tg.tensor(x), (1,), False)
    exact = (x.astype(float) ** 2).sum(1)
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-6)
