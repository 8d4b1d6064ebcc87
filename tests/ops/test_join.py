"""cat, stack and their relatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.join import Cat, Stack
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(5)


def normal(*sizes):
    return rng.normal(size=sizes)


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def pieces(*shapes):
    return (tuple(normal(*s) for s in shapes),)


IMAGES = (tuple(channels_last(normal(2, c, 3, 2)) for c in (3, 2)),)

CASES = [
    Case(Cat, pieces((2, 3), (1, 3)), (0,), reference=lambda xs: np.concatenate(xs, 0)),
    Case(Cat, pieces((2, 3), (2, 0), (2, 1)), (1,), reference=lambda xs: np.concatenate(xs, 1)),
    Case(Cat, pieces((2, 3)), (1,), reference=lambda xs: xs[0], name="one"),
    Case(Cat, IMAGES, (1,), reference=lambda xs: np.concatenate(xs, 1), name="channels_last"),
    Case(Stack, pieces((2, 3), (2, 3)), (1,), reference=lambda xs: np.stack(xs, 1)),
    Case(Stack, pieces((), (), ()), (0,), reference=lambda xs: np.stack(xs, 0)),
    Case(tg.cat, pieces((2, 3), (2, 1)), (-1,), torch=lambda xs: torch.cat(xs, -1)),
    Case(tg.cat, pieces((0,), (2, 3), (0,)), reference=lambda xs: xs[1], diff=[1], name="empty"),
    Case(tg.concat, pieces((2,), (3,)), torch=torch.concat),
    Case(tg.concatenate, pieces((2,), (3,)), kwargs={"axis": 0}, torch=torch.concatenate),
    Case(tg.stack, pieces((2, 3), (2, 3)), (-1,), torch=lambda xs: torch.stack(xs, -1)),
    Case(tg.stack, pieces((2,), (2,)), kwargs={"axis": 1}, reference=lambda xs: np.stack(xs, 1)),
    Case(tg.hstack, pieces((2, 3), (2, 1)), torch=torch.hstack),
    Case(tg.hstack, pieces((), (2,)), torch=torch.hstack, name="vectors"),
    Case(tg.vstack, pieces((3,), (2, 3)), torch=torch.vstack),
    Case(tg.vstack, pieces((), ()), torch=torch.vstack, name="0-d"),
    Case(tg.dstack, pieces((2, 3), (2, 3)), torch=torch.dstack),
    Case(tg.dstack, pieces((2,), (2,)), torch=torch.dstack, name="vectors"),
]

BAD = [
    Bad(
        tg.cat,
        pieces((2, 3), (2, 4)),
        error=ShapeError,
        match=r"4 along axis 1, tensors\[0\] has 3",
    ),
    Bad(tg.cat, pieces((2, 3), (2, 3, 1)), error=ShapeError, match="3 axes"),
    Bad(tg.cat, pieces((2, 3), (4, 4)), error=ShapeError, match="agree but in axis 0"),
    Bad(tg.cat, (*pieces((2, 3)), 2), error=RangeError, match="dim 2"),
    Bad(tg.cat, pieces(()), error=ShapeError, match="Use stack"),
    Bad(tg.cat, ([1, 2],), error=ShapeError, match="Use stack"),
    Bad(tg.cat, ([normal(2), 1.0],), error=ShapeError, match=r"Use t\.reshape\(1\)"),
    Bad(tg.cat, (["a"],), error=DTypeError, match=r"tensors\[0\] must be a tensor, not 'a'"),
    Bad(tg.stack, ([normal(), None],), error=DTypeError, match=r"tensors\[1\] must be a tensor"),
    Bad(tg.cat, ([],), error=ArgumentError, match="at least one"),
    Bad(tg.cat, (normal(2, 3),), error=DTypeError, match="list or tuple"),
    Bad(tg.stack, pieces((2, 3), (2, 4)), error=ShapeError, match="must be equal"),
    Bad(tg.stack, ([],), error=ArgumentError, match="at least one"),
    Bad(tg.stack, (*pieces((2, 3)), 4), error=RangeError, match="dim 4"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_cat_promotes_like_torch():
    parts = [np.ones(2, "int64"), np.ones(2, "float32"), np.ones(2, "bool")]
    ours = tg.cat([tg.Tensor(p) for p in parts])
    assert ours.dtype == np.float32
    assert ours.tolist() == torch.cat([torch.from_numpy(p) for p in parts]).tolist()
    whole = tg.tensor([1, 2])
    x = tg.tensor([0.5], dtype="float64", requires_grad=True)
    tg.cat([whole, x]).sum().backward()
    assert x.grad.dtype == np.float64


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("empty", ["float64", "float32", "int64", "bool"])
def test_an_empty_vector_counts_for_the_dtype_as_in_torch(empty, first):
    for full in ("float32", "int32", "bool"):
        parts = [np.zeros(0, empty), np.ones((2, 2), full)]
        parts = parts if first else parts[::-1]
        ours, theirs = (
            tg.cat(list(map(tg.tensor, parts))),
            torch.cat(list(map(torch.tensor, parts))),
        )
        assert ours.dtype == theirs.numpy().dtype
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_lists_of_numbers_are_tensors_of_their_own():
    assert tg.cat([[1, 2], [3]]).tolist() == np.concatenate([[1, 2], [3]]).tolist()
    assert tg.stack([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert tg.cat(tensors=[[1], [2]]).tolist() == [1, 2]


def test_cat_keeps_channels_last_memory():
    a, b = (tg.Tensor(channels_last(normal(2, c, 3, 3))) for c in (3, 5))
    assert layout_of(tg.cat([a, b], 1).array) == "channels_last"
    assert layout_of(tg.cat([a, a], 0).array) == "channels_last"
    mixed = tg.cat([a, tg.Tensor(normal(2, 4, 3, 3))], 1)
    assert layout_of(mixed.array) == "channels_last"


def test_numpy_functions_give_tensors():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = np.concatenate([x, x * 2])
    assert isinstance(y, tg.Tensor)
    assert isinstance(np.stack([x, x]), tg.Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_one_tensor_may_stand_twice():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (tg.cat([x, x]) * tg.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]


@pytest.mark.parametrize("count", [1, 50])
def test_many_pieces(count):
    xs = [tg.tensor(normal(2), requires_grad=True) for _ in range(count)]
    (tg.cat(xs) ** 2).sum().backward()
    for x in xs:
        np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())
