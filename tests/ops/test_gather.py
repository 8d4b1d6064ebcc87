"""gather, scatter, and the named functions of indexing: select, add, fill, masks, nonzero."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops.gather import Gather, GatherGrad, Scatter, ScatterFill
from tinygrad_cv.ops.nonzero import NonZero
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(11)


def normal(*sizes):
    return rng.normal(size=sizes)


X = normal(3, 4)
INDEX = np.array([[0, 2, 2, 1], [2, 2, 0, 1]])  # along dim 0, positions repeat in columns 1 and 3
SMALL = np.array([[0, 3, 0], [1, 1, 1]])  # along dim 1, and shorter than X along dim 0
CUBE = normal(2, 3, 4)
DEEP = rng.integers(0, 3, (2, 5, 3))
POSITIONS = np.array([2, 0, 2])
MASK = np.array([[True, False, True, False], [False] * 4, [False, True, True, True]])
BY_DATA = {"meta": "data-dependent", "empty": "the mask belongs to the shape"}
NO_INFER = BY_DATA | {"infer": "the shape depends on the values"}
FITTED = {"empty": "the index belongs to the shape"}


def naive_gather(x, index, dim):
    y = np.empty(index.shape)
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        y[at] = x[tuple(place)]
    return y


def naive_scatter(x, index, src, dim, add=False):
    y = x.copy()
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        y[tuple(place)] = src[at] + (y[tuple(place)] if add else 0)
    return y


def last_writes(index, dim):
    """1 where no later entry goes to the same position, else 0."""
    won = np.zeros(index.shape)
    seen = set()
    for at in reversed(list(np.ndindex(index.shape))):
        place = (*at[:dim], int(index[at]), *at[dim + 1 :])
        won[at] = place not in seen
        seen.add(place)
    return won


def along(dim):
    return {"dim": dim}


CASES = [
    Case(Gather, (X, INDEX), (0, False), reference=lambda x, i: naive_gather(x, i, 0), skip=FITTED),
    Case(Gather, (X, SMALL), (1, False), reference=lambda x, i: naive_gather(x, i, 1), skip=FITTED),
    Case(
        Gather,
        (X, INDEX),
        (0, True),
        reference=lambda x, i: naive_gather(x, i, 0) * last_writes(i, 0),
        name="last",
        skip=FITTED,
    ),
    Case(
        GatherGrad,
        (normal(2, 4), INDEX),
        ((3, 4), 0, False),
        reference=lambda g, i: naive_scatter(np.zeros((3, 4)), i, g, 0, add=True),
    ),
    Case(
        GatherGrad,
        (normal(2, 4), INDEX),
        ((3, 4), 0, True),
        reference=lambda g, i: naive_scatter(np.zeros((3, 4)), i, g, 0),
        name="last",
    ),
    Case(
        Scatter,
        (X, INDEX, normal(2, 4)),
        (0,),
        reference=lambda x, i, s: naive_scatter(x, i, s, 0),
        skip=FITTED,
    ),
    Case(
        ScatterFill,
        (X, INDEX),
        (1.5, 0),
        reference=lambda x, i: naive_scatter(x, i, np.full(i.shape, 1.5), 0),
        skip=FITTED,
    ),
    Case(NonZero, (MASK * X,), reference=np.argwhere, skip=NO_INFER, order=0),
    # Gather and scatter.
    Case(tg.gather, (X, 0, INDEX), torch=torch.gather),
    Case(tg.gather, (X, -1, SMALL), torch=torch.gather),
    Case(tg.gather, (CUBE, 1, DEEP), torch=torch.gather),
    Case(tg.gather, (normal(), 0, np.array(0)), torch=torch.gather, name="0-d"),
    Case(tg.gather, (X, 0, np.zeros((0, 4), int)), torch=torch.gather, name="nothing"),
    Case(
        tg.take_along_dim,
        (X, np.argsort(X, 1)),
        kwargs=along(1),
        torch=lambda x, i: torch.take_along_dim(x, i, 1),
    ),
    Case(
        tg.take_along_dim,
        (CUBE, np.array([[[-1]], [[0]]])),
        kwargs=along(1),
        torch=lambda x, i: torch.take_along_dim(x, i, 1),
        name="broadcast",
    ),
    Case(
        tg.take_along_dim,
        (X, np.array([[5, 11], [0, 5]])),
        torch=torch.take_along_dim,
        name="flat",
    ),
    Case(
        tg.scatter,
        (X, 0, INDEX, normal(3, 5)),
        reference=lambda x, d, i, s: naive_scatter(x, i, s, 0),
        name="longer src",
    ),
    Case(
        tg.scatter,
        (CUBE, 1, DEEP[:, :2], normal(2, 2, 3)),
        reference=lambda x, d, i, s: naive_scatter(x, i, s, 1),
    ),
    Case(
        lambda x, i: tg.scatter(x, 0, i, value=2.0),
        (X, INDEX),
        torch=lambda x, i: torch.scatter(x, 0, i, 2.0),
        name="scatter value",
    ),
    Case(
        lambda x, i, s: tg.scatter(x, 0, i, s, reduce="add"),
        (X, INDEX, normal(2, 4)),
        torch=lambda x, i, s: torch.scatter_add(x, 0, i, s),
        name="scatter add",
    ),
    Case(tg.scatter, (normal(), 0, np.array(0), normal()), torch=torch.scatter, name="0-d"),
    Case(tg.scatter_add, (X, 0, INDEX, normal(2, 4)), torch=torch.scatter_add),
    Case(
        tg.scatter_add,
        (X, 1, SMALL, normal(3, 3)),
        reference=lambda x, d, i, s: naive_scatter(x, i, s, 1, add=True),
        name="longer src",
    ),
    Case(tg.scatter_add, (normal(), 0, np.array(0), normal()), torch=torch.scatter_add, name="0-d"),
    # Along one axis.
    Case(tg.index_select, (X, 0, POSITIONS), torch=torch.index_select),
    Case(tg.index_select, (CUBE, -1, POSITIONS), torch=torch.index_select),
    Case(tg.index_add, (X, 0, POSITIONS, normal(3, 4)), torch=torch.index_add),
    Case(
        tg.index_add,
        (X, 1, POSITIONS, normal(3, 3)),
        kwargs={"alpha": -2},
        torch=lambda x, d, i, s: torch.index_add(x, d, i, s, alpha=-2),
    ),
    Case(
        tg.index_copy,
        (X, 1, POSITIONS[:2], normal(3, 2)),
        torch=torch.index_copy,
    ),
    Case(
        tg.index_fill,
        (X, 1, POSITIONS, 3.0),
        torch=torch.index_fill,
    ),
    Case(tg.take, (X, np.array([[0, 5], [-1, 5]])), torch=torch.take),
    Case(tg.repeat_interleave, (X, 2), torch=torch.repeat_interleave),
    Case(
        tg.repeat_interleave, (X, 2), kwargs=along(1), torch=lambda x, n: x.repeat_interleave(n, 1)
    ),
    Case(
        tg.repeat_interleave,
        (X,),
        ([1, 0, 2], 0),
        torch=lambda x: x.repeat_interleave(torch.tensor([1, 0, 2]), 0),
    ),
    # Masks.
    Case(tg.masked_fill, (X, MASK, -1.0), torch=torch.masked_fill),
    Case(tg.masked_fill, (normal(4), MASK, 2), torch=torch.masked_fill, name="broadcast"),
    Case(
        tg.masked_fill,
        (X, MASK, normal()),
        torch=lambda x, m, v: torch.where(m, v, x),
        name="tensor value",
    ),
    Case(tg.masked_select, (X, MASK), torch=torch.masked_select, skip=BY_DATA),
    Case(tg.masked_select, (X, MASK[0]), torch=torch.masked_select, skip=BY_DATA, name="broadcast"),
    Case(tg.nonzero, (X * MASK,), torch=torch.nonzero, skip=NO_INFER, order=0),
    Case(
        lambda x: tg.nonzero(x, as_tuple=True),
        (X * MASK,),
        reference=np.nonzero,
        skip=NO_INFER,
        order=0,
        name="nonzero",
    ),
    Case(
        tg.argwhere,
        (X * MASK,),
        reference=np.argwhere,
        torch=torch.argwhere,
        skip=NO_INFER,
        order=0,
    ),
    Case(tg.nonzero, (np.array(2.0),), torch=torch.nonzero, skip=NO_INFER, order=0, name="0-d"),
]
for _case in CASES:
    if getattr(_case.function, "__name__", "") == "<lambda>":
        _case.function.__name__ = _case.name.partition(" ")[0]

HIGH = np.array([[0, 1, 2, 3]])
BAD = [
    Bad(
        tg.gather,
        (X, 0, HIGH),
        error=RangeError,
        match="index 3 is out of range for axis 0 of size 3",
    ),
    Bad(tg.gather, (X, 0, HIGH - 1), error=RangeError, match="index -1 is out"),
    Bad(tg.gather, (X, 1, np.zeros((4, 1), int)), error=ShapeError, match="4 <= 3 is false"),
    Bad(tg.gather, (X, 1, POSITIONS), error=ShapeError, match="as many axes"),
    Bad(tg.gather, (X, 2, INDEX), error=RangeError, match="dim 2"),
    Bad(tg.gather, (X, 0, INDEX * 1.0), error=DTypeError, match="must be int64"),
    Bad(
        tg.take_along_dim, (X, np.zeros((2, 3), int), 1), error=ShapeError, match="do not broadcast"
    ),
    Bad(tg.take_along_dim, (X, np.array([[4]]), 1), error=RangeError, match="-4 <= index < 4"),
    Bad(tg.scatter, (X, 0, INDEX, normal(1, 4)), error=ShapeError, match="at least as long"),
    Bad(tg.scatter, (X, 0, INDEX), error=ArgumentError, match="either src or value"),
    Bad(
        tg.scatter,
        (X, 0, INDEX, normal(2, 4)),
        {"reduce": "mean"},
        error=ArgumentError,
        match="mean",
    ),
    Bad(tg.scatter_add, (X, 0, HIGH, normal(1, 4)), error=RangeError, match="index 3"),
    Bad(tg.scatter_add, (X, 0, INDEX, normal(8)), error=ShapeError, match="at least as long"),
    Bad(tg.index_select, (X, 0, POSITIONS - 3), error=RangeError, match="index -1 is out"),
    Bad(tg.index_select, (X, 0, INDEX), error=ShapeError, match="must be a vector"),
    Bad(tg.index_select, (X, 0, POSITIONS * 1.0), error=DTypeError, match="float64"),
    Bad(tg.index_select, (X, 0, POSITIONS > 1), error=DTypeError, match="mask"),
    Bad(tg.index_add, (X, 0, POSITIONS, normal(2, 4)), error=ShapeError, match=r"shape \(3, 4\)"),
    Bad(tg.index_copy, (X, 0, POSITIONS, normal(3, 1)), error=ShapeError, match=r"shape \(3, 4\)"),
    Bad(tg.index_fill, (X, 0, np.array([3]), 0.0), error=RangeError, match="index 3"),
    Bad(
        tg.take,
        (X, np.array([12])),
        error=RangeError,
        match="size 12",
        skip={"operator": "getitem"},
    ),
    Bad(tg.repeat_interleave, (X, [1, 2], 0), error=ShapeError, match="one repeat, or 3"),
    Bad(tg.repeat_interleave, (X, -1, 0), error=ShapeError, match="none negative"),
    Bad(
        tg.repeat_interleave,
        (X, 2, 0),
        {"output_size": 5},
        error=ShapeError,
        match="the repeats give 6",
    ),
    Bad(tg.masked_fill, (X, INDEX, 0.0), error=DTypeError, match="must be bool"),
    Bad(tg.masked_fill, (X, MASK, normal(2)), error=ShapeError, match="one number"),
    Bad(tg.masked_fill, (INDEX, MASK[:2], 0.5), error=DTypeError, match="does not fit into int64"),
    Bad(
        tg.masked_select,
        (X, MASK[:2]),
        error=ShapeError,
        match="do not broadcast",
        skip={"meta": "refused there for having no values"},
    ),
    Bad(tg.masked_select, (X, X), error=DTypeError, match="must be bool"),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("function", [tg.nonzero, tg.argwhere])
def test_nonzero_needs_values(function):
    with pytest.raises(GraphError, match="nonzero"):
        function(tg.zeros(3, device="meta"))


def test_methods():
    x = tg.Tensor(X)
    assert np.array_equal(x.gather(0, tg.Tensor(INDEX)).numpy(), naive_gather(X, INDEX, 0))
    assert x.masked_fill(x > 0, 0.0).numpy().max() == 0
    assert x.index_select(1, np.array([1])).shape == (3, 1)


def torch_gives(function, *arguments):
    """PyTorch's result, or None where it refuses."""
    try:
        return function(*(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments))
    except (RuntimeError, IndexError):
        return None


@pytest.mark.parametrize("function", ["index_select", "index_add", "index_copy", "index_fill"])
@pytest.mark.parametrize(
    ("shape", "dim", "index"),
    [
        ((2, 3), 1, [-1, 0]),
        ((2, 3), -1, [-3]),
        ((2, 3), 1, [-4]),
        ((2, 3), 0, []),
        ((2, 3), 1, 2),
        ((0, 3), 0, []),
        ((0, 3), 1, [2, 0]),
        ((3, 0), 0, [1]),
        ((), 0, [0]),
        ((), -1, 0),
        ((), 0, [1]),
    ],
)
def test_negative_empty_and_0d_arguments_as_torch(function, shape, dim, index):
    x, index = np.arange(float(np.prod(shape))).reshape(shape), np.array(index, int)
    wanted = list(shape)
    if shape:
        wanted[dim] = index.size
    rest = {"index_select": (), "index_fill": (9.0,)}.get(function, (np.full(wanted, 7.0),))
    expected = torch_gives(getattr(torch, function), x, dim, index, *rest)
    arguments = [tg.tensor(a) if isinstance(a, np.ndarray) else a for a in (x, dim, index, *rest)]
    arguments[0].requires_grad_()
    if expected is None:
        with pytest.raises(RangeError, match="out of range"):
            getattr(tg, function)(*arguments)
        return
    y = getattr(tg, function)(*arguments)
    np.testing.assert_array_equal(y.detach().numpy(), expected.numpy())
    assert y.shape == expected.shape
    y.sum().backward()
    theirs = torch.tensor(x, requires_grad=True)
    torch_gives(getattr(torch, function), theirs, dim, index, *rest).sum().backward()
    np.testing.assert_array_equal(arguments[0].grad.numpy(), theirs.grad.numpy())


def test_index_select_of_one_element_takes_it_once():
    with pytest.raises(ShapeError, match="has one element, the index has 2"):
        tg.index_select(tg.tensor(5.0), 0, tg.tensor([0, 0]))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *(("bool", value) for value in (2, 0, True)),
        *(("uint8", value) for value in (-255, -1, 255)),
        *(("float32", value) for value in (2, False)),
        ("int8", -128),
        ("int32", 2**31 - 1),
        ("int64", True),
    ],
)
def test_masked_fill_keeps_the_dtype(dtype, value):
    mask = np.array([True, False])
    ours = tg.masked_fill(tg.ones(2, dtype=dtype), mask, value)
    theirs = torch.ones(2, dtype=getattr(torch, dtype)).masked_fill(torch.tensor(mask), value)
    assert ours.dtype == dtype
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", 256), ("uint8", -256), ("int8", 128), ("int64", 2**63)]
)
def test_masked_fill_refuses_what_does_not_fit(dtype, value):
    with pytest.raises(RuntimeError):
        torch.ones(2, dtype=getattr(torch, dtype)).masked_fill(torch.tensor([True, False]), value)
    with pytest.raises(DTypeError, match=f"{value} does not fit into {dtype}"):
        tg.masked_fill(tg.ones(2, dtype=dtype), np.array([True, False]), value)


def test_index_add_of_integers():
    x = tg.index_add(tg.zeros(2, dtype="int64"), 0, tg.tensor([1, 1]), tg.tensor([2, 3]))
    assert x.dtype == np.int64
    assert x.tolist() == [0, 5]
