"""Attention and the bilinear layer's function against loops and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(48)
F, TF = tg.nn.functional, torch.nn.functional
attention = F.scaled_dot_product_attention


def normal(*shape):
    return rng.normal(size=shape)


def one_head(q, k, v, allowed, added, scale):
    out = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        scores = {
            j: scale * math.fsum(q[i] * k[j]) + added[i, j]
            for j in range(len(k))
            if allowed[i, j] and added[i, j] > -math.inf
        }
        top = max(scores.values(), default=0)
        total = math.fsum(math.exp(s - top) for s in scores.values())
        for j, s in scores.items():
            out[i] += math.exp(s - top) / total * v[j]
    return out


def naive(causal=False, scale=None, groups=1):
    def reference(q, k, v, mask=None):
        k, v = (np.repeat(x, groups, -3) if groups > 1 else x for x in (k, v))
        front = np.broadcast_shapes(*(x.shape[:-2] for x in (q, k, v)))
        size = (q.shape[-2], k.shape[-2])
        q, k, v = (np.broadcast_to(x, (*front, *x.shape[-2:])) for x in (q, k, v))
        allowed, added = np.ones((*front, *size), bool), np.zeros((*front, *size))
        if causal:
            allowed = allowed & np.tri(*size, dtype=bool)
        elif mask is not None and mask.dtype == bool:
            allowed = allowed & mask
        elif mask is not None:
            added = added + mask
        out = np.zeros((*front, size[0], v.shape[-1]))
        for place in np.ndindex(front):
            factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
            parts = [x[place] for x in (q, k, v, allowed, added)]
            out[place] = one_head(*parts, factor)
        return out

    return reference


Q, K, V = normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 2)
SEEN = rng.random((4, 6)) < 0.5
SEEN[0], SEEN[1] = True, False  # one query sees all, one sees nothing
ADDED = normal(2, 1, 4, 6)
WITH_HOLES = np.where(SEEN, 0.3, -math.inf)

CASES = [
    Case(attention, (Q, K, V), reference=naive(), torch=TF.scaled_dot_product_attention),
    Case(attention, (Q[0, 0], K[0, 0], V[0, 0]), reference=naive(), name="two axes"),
    Case(attention, (Q, K[:1], V[:, :1]), reference=naive(), name="broadcast"),
    Case(
        attention,
        (Q, K, V),
        kwargs={"is_causal": True},
        reference=naive(causal=True),
        torch=lambda *a: TF.scaled_dot_product_attention(*a, is_causal=True),
        name="causal",
    ),
    Case(
        attention,
        (K, Q, normal(2, 3, 4, 2)),
        kwargs={"is_causal": True, "scale": 0.7},
        reference=naive(causal=True, scale=0.7),
        torch=lambda *a: TF.scaled_dot_product_attention(*a, is_causal=True, scale=0.7),
        name="causal, more queries than keys",
    ),
    *(
        Case(
            attention,
            (Q, K, V, mask),
            reference=naive(),
            torch=lambda *a: TF.scaled_dot_product_attention(*a),
            diff=("query", "key", "value"),
            name=name,
            batch=(0, 1, 2) if mask.ndim < 4 else (0, 1, 2, 3),
        )
        for name, mask in (
            ("bool", SEEN),
            ("float", ADDED),
            ("holes", WITH_HOLES),
            ("bool for each head", rng.random((2, 3, 4, 6)) < 0.7),
        )
    ),
    Case(
        attention,
        (Q, K, V, np.array([True, False, True, True, False, True])),
        reference=naive(),
        name="bool for each key",
        batch=(0, 1, 2),
    ),
    Case(attention, (Q, K, V, ADDED), reference=naive(), name="gradient of the mask"),
    Case(
        attention,
        (normal(2, 4, 3, 5), normal(2, 2, 6, 5), normal(2, 2, 6, 2)),
        kwargs={"enable_gqa": True},
        reference=naive(groups=2),
        torch=lambda *a: TF.scaled_dot_product_attention(*a, enable_gqa=True),
        name="groups",
    ),
    *(
        Case(
            F.bilinear,
            inputs,
            reference=lambda a, b, w, c=None: (
                np.array(
                    [
                        [x @ m @ y for m in w]
                        for x, y in zip(a.reshape(-1, 3), b.reshape(-1, 2), strict=True)
                    ]
                ).reshape(*a.shape[:-1], len(w))
                + (0 if c is None else c)
            ),
            torch=TF.bilinear,
            name=name,
            batch=(0, 1) if inputs[0].ndim > 1 else None,
        )
        for name, inputs in (
            ("", (normal(5, 3), normal(5, 2), normal(4, 3, 2), normal(4))),
            ("no bias", (normal(2, 5, 3), normal(2, 5, 2), normal(4, 3, 2))),
            ("one vector", (normal(3), normal(2), normal(4, 3, 2), normal(4))),
        )
    ),
]

W = normal(4, 3, 2)
BAD = [
    Bad(attention, (Q[0, 0, 0], K, V), error=ShapeError, match="two axes"),
    Bad(attention, (Q, K[..., :3], V), error=ShapeError, match="5 features, keys 3"),
    Bad(attention, (Q, K, V[:, :, :4]), error=ShapeError, match="6 keys, but 4 values"),
    Bad(attention, (Q, normal(2, 2, 6, 5), V), error=ShapeError, match="broadcast"),
    Bad(attention, (Q, K.astype("f4"), V), error=DTypeError, match="float32"),
    Bad(attention, (Q.astype(int), K, V), error=DTypeError, match="must be float"),
    Bad(attention, (Q, K, V, SEEN.astype(int)), error=DTypeError, match="mask != 0"),
    Bad(attention, (Q, K, V, ADDED.astype("f4")), error=DTypeError, match="float64"),
    Bad(attention, (Q, K, V, SEEN[:3]), error=ShapeError, match="broadcast"),
    Bad(attention, (Q[:, :, :1], K, V, SEEN), error=ShapeError, match="does not broadcast"),
    Bad(attention, (Q, K, V, SEEN), {"is_causal": True}, error=ArgumentError, match="together"),
    Bad(attention, (Q, K, V), {"dropout_p": 1.5}, error=ArgumentError, match="1.5", name="p",
        skip={"operator": "dropout says it"}),
    Bad(attention, (Q, K, V), {"scale": "x"}, error=DTypeError, match="scale"),
    Bad(
        attention,
        (Q, normal(2, 2, 6, 5), normal(2, 2, 6, 5)),
        {"enable_gqa": True},
        error=ShapeError,
        match="no multiple",
    ),
    Bad(
        attention,
        (Q[0, 0], K[0, 0], V[0, 0]),
        {"enable_gqa": True},
        error=ShapeError,
        match="no multiple",
    ),
    Bad(F.bilinear, (normal(5, 3), normal(5, 2), W[0]), error=ShapeError, match="three axes"),
    Bad(F.bilinear, (normal(5, 3), normal(4, 2), W), error=ShapeError, match="in front"),
    Bad(F.bilinear, (normal(5, 2), normal(5, 3), W), error=ShapeError, match="takes 3 and 2"),
    Bad(
        F.bilinear, (normal(5, 3), normal(5, 2), W, normal(3)), error=ShapeError, match="4 elements"
    ),
    Bad(F.bilinear, (normal(5, 3).astype(int), normal(5, 2), W), error=DTypeError, match="float"),
]  # fmt: skip


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("mask", [SEEN, WITH_HOLES])
def test_a_query_that_sees_nothing_gets_zeros_and_a_gradient_of_0(mask):
    q, k, v = (tg.tensor(x, requires_grad=True) for x in (Q, K, V))
    out = attention(q, k, v, tg.tensor(mask))
    assert not out[:, :, 1].detach().numpy().any()
    out.sum().backward()
    assert not q.grad[:, :, 1].numpy().any()
    assert all(np.isfinite(x.grad.numpy()).all() for x in (q, k, v))


def test_dropped_weights_are_made_up_for():
    q, k = tg.zeros(1, 4), tg.zeros(4000, 4)
    out = attention(q, k, tg.ones(4000, 1), dropout_p=0.5)
    assert 0.9 < out.item() < 1.1
    assert attention(q, k, tg.ones(4000, 1), dropout_p=1.0).item() == 0


def test_no_key_at_all():
    out = attention(tg.ones(2, 3), tg.ones(0, 3), tg.ones(0, 4))
    assert out.tolist() == [[0.0] * 4] * 2
