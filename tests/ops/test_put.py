"""Copies with other values in a slice, a diagonal, flat positions or a mask; positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(25)


def normal(*sizes):
    return rng.normal(size=sizes)


X, CUBE = normal(3, 4), normal(2, 3, 4)
MASK = np.array([[True, False, True, False], [False] * 4, [False, True, True, True]])
BELONGS = {"empty": "src belongs to the shape"}


def naive_select(x, src, dim, index):
    y = x.copy()
    np.moveaxis(y, dim, 0)[index] = src
    return y


def naive_masked(x, mask, source):
    y = np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape)).copy()
    mask, rest = np.broadcast_to(mask, y.shape), iter(source.reshape(-1))
    for at in np.ndindex(y.shape):
        if mask[at]:
            y[at] = next(rest)
    return y


CASES = [
    Case(
        tg.select_scatter,
        (CUBE, normal(2, 4), 1, -1),
        reference=naive_select,
        torch=torch.select_scatter,
        skip=BELONGS,
    ),
    Case(tg.select_scatter, (normal(3), normal(), 0, 1), torch=torch.select_scatter, name="0-d"),
    Case(
        tg.slice_scatter,
        (CUBE, normal(2, 3, 2), 2, 1, None, 2),
        torch=torch.slice_scatter,
        skip=BELONGS,
    ),
    Case(tg.slice_scatter, (X, normal(2, 4), 0, -2), torch=torch.slice_scatter, skip=BELONGS),
    Case(tg.slice_scatter, (X, normal(3, 4)), torch=torch.slice_scatter, name="all"),
    Case(tg.slice_scatter, (X, normal(0, 4), 0, 3, 2), torch=torch.slice_scatter, name="nothing"),
    Case(tg.diagonal_scatter, (X, normal(3)), torch=torch.diagonal_scatter, skip=BELONGS),
    Case(
        tg.diagonal_scatter,
        (CUBE, normal(3, 2), -1, 2, 0),
        torch=torch.diagonal_scatter,
        skip=BELONGS,
        name="planes",
    ),
    Case(
        tg.diagonal_scatter,
        (CUBE, normal(2, 3), 1, 1, 2),
        torch=torch.diagonal_scatter,
        skip=BELONGS,
        name="matrices",
    ),
    Case(
        tg.diagonal_scatter, (X, normal(0), 4), torch=torch.diagonal_scatter, name="none", order=1
    ),
    Case(
        tg.put,
        (X, np.array([[0, 5], [-1, 5]]), normal(2, 2)),
        reference=lambda x, i, s: np.put(y := x.copy(), i, s) or y,
        name="last stands",
    ),
    Case(
        tg.put,
        (X, np.array([[0, 5], [-1, 5]]), normal(4), True),
        torch=torch.Tensor.put,
        name="added",
    ),
    Case(tg.put, (normal(), np.array(0), normal()), torch=torch.Tensor.put, name="0-d"),
    Case(
        tg.masked_scatter,
        (X, MASK, normal(8)),
        reference=naive_masked,
        torch=torch.masked_scatter,
        skip=BELONGS,
    ),
    Case(
        tg.masked_scatter,
        (normal(4), MASK, normal(3, 2)),
        reference=naive_masked,
        torch=torch.masked_scatter,
        skip=BELONGS,
        name="broadcast",
    ),
    Case(
        tg.masked_scatter,
        (X, np.zeros((3, 4), bool), normal(0)),
        torch=torch.masked_scatter,
        name="nothing",
        diff=[0],
    ),
    *(
        Case(
            tg.unravel_index,
            (np.array([[0, 5], [11, -1]]), shape),
            torch=torch.unravel_index,
            name=f"{shape}",
            skip={"empty": "nothing to look for"},
        )
        for shape in ((3, 4), (12,), (2, 1, 6))
    ),
]

BAD = [
    Bad(tg.select_scatter, (X, X[:2], 0, 0), error=ShapeError, match=r"shape \(4,\)"),
    Bad(tg.select_scatter, (X, X[0], 0, 3), error=RangeError, match="index 3"),
    Bad(tg.select_scatter, (np.array(1.0), X[0], 0, 0), error=ShapeError, match="no axis"),
    Bad(tg.slice_scatter, (X, X[:1], 0, 1), error=ShapeError, match=r"shape \(2, 4\)"),
    Bad(tg.slice_scatter, (X, X, 0, 0, 3, 0), error=RangeError, match="step = 0"),
    Bad(tg.slice_scatter, (X, X, 2), error=RangeError, match="dim 2"),
    Bad(tg.slice_scatter, (X, X, 0, 0.5), error=DTypeError, match="start must be a whole"),
    Bad(tg.diagonal_scatter, (X, X[0]), error=ShapeError, match=r"shape \(3,\)"),
    Bad(tg.diagonal_scatter, (X, X[0], 0, 1, 1), error=ArgumentError, match="both axis 1"),
    Bad(tg.diagonal_scatter, (X[0], X[0]), error=ShapeError, match="at least 2 axes"),
    Bad(tg.put, (X, np.array([1, 2]), X[0]), error=ShapeError, match="one element"),
    Bad(tg.put, (X, np.array([12]), X[0, :1]), error=RangeError, match="index 12"),
    Bad(tg.put, (X, np.array([1.0]), X[0, :1]), error=DTypeError, match="must be int64"),
    Bad(tg.put, (X, np.array([1]), np.array([1])), error=DTypeError, match="source int64"),
    Bad(tg.masked_scatter, (X, X, X), error=DTypeError, match="must be bool"),
    Bad(tg.masked_scatter, (X, MASK[:2], X), error=ShapeError, match="do not broadcast"),
    Bad(
        tg.masked_scatter,
        (X, MASK, X[0]),
        error=ShapeError,
        match="takes 5 elements, the source has 4",
        skip={"meta": "the mask has no values there"},
    ),
    Bad(tg.masked_scatter, (X, MASK, MASK), error=DTypeError, match="source bool"),
    Bad(tg.tril_indices, (-1, 2), error=ShapeError, match="negative"),
    Bad(tg.triu_indices, (2, 2.5), error=DTypeError, match="whole number"),
    Bad(tg.triu_indices, (2, 2), {"dtype": "float32"}, error=DTypeError, match="integers"),
    Bad(tg.unravel_index, (X, (3, 4)), error=DTypeError, match="must be integers"),
    Bad(tg.unravel_index, (np.array([12]), (3, 4)), error=RangeError, match="index 12"),
    Bad(
        tg.unravel_index,
        (np.array([1]), (3, -4)),
        error=ShapeError,
        match="negative",
        skip={"shapes": "the sizes are wrong, not the indices"},
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("offset", [-4, -1, 0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (0, 3), (3, 0), (1, 1)])
@pytest.mark.parametrize("name", ["tril_indices", "triu_indices"])
def test_indices_of_triangles_as_torch(name, shape, offset):
    ours, theirs = getattr(tg, name)(*shape, offset), getattr(torch, name)(*shape, offset)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert ours.shape == tuple(theirs.shape)
    assert ours.dtype == "int64"
    assert getattr(tg, name)(*shape, offset, device="meta").shape == ours.shape
    assert getattr(tg, name)(*shape, offset, dtype="int32").dtype == "int32"


def test_the_source_of_a_mask_gets_the_gradient_of_what_was_taken():
    source = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tg.tensor([0.0, 0.0, 0.0], requires_grad=True)
    y = tg.masked_scatter(x, tg.tensor([True, False, True]), source)
    (y * tg.tensor([5.0, 6.0, 7.0])).sum().backward()
    assert source.grad.tolist() == [5.0, 7.0, 0.0]
    assert x.grad.tolist() == [0.0, 6.0, 0.0]
