"""Embedding and one-hot against loops and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops.embedding import Embedding, EmbeddingGrad
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(47)
F, TF = tg.nn.functional, torch.nn.functional
TABLE = rng.normal(size=(6, 3))
INDEX = np.array([[1, 5, 1, 0], [2, 2, 1, 4]])
SHARE = np.array([[1.0, 0.5, 0.0, 2.0], [1.0, 0.25, 1.0, 0.0]])


def rows(index, table):
    out = np.zeros((*index.shape, table.shape[1]))
    for place in np.ndindex(index.shape):
        out[place] = table[index[place]]
    return out


def added(values, index, share, count=6):
    out = np.zeros((count, values.shape[-1]))
    for place in np.ndindex(index.shape):
        out[index[place]] += values[place] * (1.0 if share is None else share[place])
    return out


def hot(classes):
    def reference(labels):
        out = np.zeros((*labels.shape, classes), np.int64)
        for place in np.ndindex(labels.shape):
            out[(*place, labels[place])] = 1
        return out

    return reference


CASES = [
    *(
        Case(
            F.embedding,
            (index, TABLE),
            reference=rows,
            torch=TF.embedding,
            diff=("weight",),
            batch=(0,) if index.ndim else None,
        )
        for index in (INDEX, INDEX[0], np.array(3), INDEX[:, :, None])
    ),
    *(
        Case(
            F.embedding,
            (INDEX, TABLE),
            kwargs=options,
            reference=rows,
            torch=lambda i, w, o=options: TF.embedding(i, w, **o),
            diff=("weight",),
            order=0,  # the gradient is not that of the function, on purpose
            batch=(0,),
            name=",".join(options),
        )
        for options in (
            {"padding_idx": 1},
            {"padding_idx": -5},
            {"scale_grad_by_freq": True},
            {"padding_idx": 2, "scale_grad_by_freq": True},
        )
    ),
    Case(Embedding, (TABLE, INDEX, None), reference=lambda w, i, s: rows(i, w), batch=(1,)),
    Case(
        EmbeddingGrad,
        (rng.normal(size=(2, 4, 3)), INDEX, None),
        (6,),
        reference=added,
        batch=(0, 1),
    ),
    Case(
        EmbeddingGrad,
        (rng.normal(size=(2, 4, 3)), INDEX, SHARE),
        (6,),
        reference=added,
        diff=("input",),
        batch=(0, 1, 2),
    ),
    *(
        Case(
            F.one_hot,
            (labels,),
            kwargs={"num_classes": 6},
            reference=hot(6),
            torch=lambda x: TF.one_hot(x, 6),
        )
        for labels in (INDEX, INDEX[0], np.array(2))
    ),
    Case(
        F.one_hot,
        (INDEX,),
        reference=hot(6),
        torch=TF.one_hot,
        name="told by the labels",
        skip={"meta": "the number of classes depends on the labels"},
    ),
]

BAD = [
    Bad(F.embedding, (INDEX, TABLE[:, 0]), error=ShapeError, match="two axes"),
    Bad(F.embedding, (INDEX * 1.0, TABLE), error=DTypeError, match="integers"),
    Bad(F.embedding, (INDEX + 1, TABLE), error=RangeError, match="index 6 is out of range"),
    Bad(F.embedding, (INDEX - 1, TABLE), error=RangeError, match="index -1"),
    Bad(F.embedding, (INDEX, TABLE), {"padding_idx": 6}, error=RangeError, match="padding_idx 6"),
    Bad(F.embedding, (INDEX, TABLE), {"padding_idx": -7}, error=RangeError, match="padding_idx"),
    Bad(F.embedding, (INDEX, TABLE), {"padding_idx": 1.5}, error=DTypeError, match="padding_idx"),
    Bad(F.embedding, (INDEX, TABLE), {"max_norm": 1.0}, error=ArgumentError, match="max_norm"),
    Bad(F.embedding, (INDEX, TABLE), {"sparse": True}, error=ArgumentError, match="sparse"),
    Bad(F.one_hot, (INDEX, 5), error=RangeError, match="index 5"),
    Bad(F.one_hot, (INDEX - 1,), error=RangeError, match="index -1"),
    Bad(F.one_hot, (INDEX, 0), error=RangeError, match="out of range"),
    Bad(F.one_hot, (INDEX, -2), error=ArgumentError, match="0 or more"),
    Bad(F.one_hot, (INDEX * 1.0,), error=DTypeError, match="integers", skip={"meta": "GraphError"}),
    Bad(F.one_hot, (INDEX > 1, 2), error=DTypeError, match="integers"),
    Bad(F.one_hot, (np.zeros((0, 2), int),), error=ArgumentError, match="Give num_classes"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_indices_of_every_integer_dtype(dtype):
    index = tg.tensor(INDEX.astype(dtype))
    np.testing.assert_array_equal(F.embedding(index, tg.tensor(TABLE)).numpy(), TABLE[INDEX])
    assert F.one_hot(index, 6).dtype == np.int64


def test_a_gradient_that_is_nan_at_the_padding_stays_there():
    table = tg.tensor(TABLE, requires_grad=True)
    weights = np.ones((2, 4, 3))
    weights[INDEX == 1] = np.nan
    F.embedding(tg.tensor(INDEX), table, padding_idx=1).backward(tg.tensor(weights))
    assert not table.grad[1].numpy().any()
    assert np.isfinite(table.grad.numpy()).all()


def test_one_hot_on_meta_needs_the_number_of_classes():
    labels = tg.tensor(INDEX).to("meta")
    assert F.one_hot(labels, 6).shape == (2, 4, 6)
    with pytest.raises(GraphError, match="num_classes"):
        F.one_hot(labels)


def test_no_index_at_all():
    table = tg.tensor(TABLE, requires_grad=True)
    y = F.embedding(tg.zeros(0, 2, dtype="int64"), table)
    assert y.shape == (0, 2, 3)
    y.sum().backward()
    assert not table.grad.numpy().any()
