"""x[...] of every kind, and writing at chosen positions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops.index import Index, IndexGrad, getitem
from tinygrad_cv.ops.places import Places, parse
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(7)
all_, new, rest = slice(None), None, Ellipsis


def normal(*sizes):
    return rng.normal(size=sizes)


X = normal(3, 4, 5)
MASK = np.array([[True, False, False, True], [False] * 4, [True, True, False, True]])
MATRIX = np.array([[0, 2], [1, 0]])


def torch_index(key):
    """The same key for torch: arrays as torch tensors."""
    if isinstance(key, tuple):
        return tuple(torch_index(k) for k in key)
    return torch.from_numpy(key) if isinstance(key, np.ndarray) else key


def reading(key, x=X, numpy=True, name="", **options):
    """A case of x[key] with the key as a constant; NumPy agrees unless ints stand beside arrays."""

    def read(t):
        return t[key]

    read.__name__ = "getitem"
    if numpy:
        options.setdefault("reference", lambda a: a[key])
    return Case(read, (x,), torch=lambda t: t[torch_index(key)], name=name, **options)


def numpy_only(key, x=X, **options):
    def read(t):
        return t[key]

    read.__name__ = "getitem"
    return Case(read, (x,), reference=lambda a: a[key], **options)


def places(shape, key):
    return parse("getitem", np.empty(shape), key)[1]


def naive_sum(shape, key):
    def reference(g):
        out = np.zeros(shape)
        np.add.at(out, key, g)
        return out

    return reference


TWICE = ([0, 2, 0, 0],)

CASES = [
    # The operators.
    Case(Index, (X,), (places(X.shape, TWICE), False), reference=lambda x: x[TWICE]),
    Case(Index, (X,), (places(X.shape, (all_, [1, 1])), False), reference=lambda x: x[:, [1, 1]]),
    Case(Index, (X,), (places(X.shape, MASK), False), reference=lambda x: x[MASK], name="mask"),
    Case(
        Index,
        (X,),
        (places(X.shape, ([0, 1], all_, [2, 2])), False),
        reference=lambda x: x[[0, 1], :, [2, 2]],
        name="apart",
    ),
    Case(
        Index,
        (X,),
        (places(X.shape, TWICE), True),
        reference=lambda x: x[TWICE] * np.reshape([0, 1, 0, 1], (4, 1, 1)),
        name="last",
    ),
    Case(
        IndexGrad,
        (normal(4, 4, 5),),
        (X.shape, places(X.shape, TWICE), False),
        reference=naive_sum(X.shape, TWICE),
    ),
    Case(
        IndexGrad,
        (normal(3, 2, 2, 5),),
        (X.shape, places(X.shape, (all_, MATRIX)), False),
        reference=naive_sum(X.shape, (all_, MATRIX)),
        name="inner",
    ),
    Case(
        IndexGrad,
        (normal(4, 4, 5),),
        (X.shape, places(X.shape, TWICE), True),
        reference=lambda g: np.stack([g[3], 0 * g[0], g[1]]),
        name="last",
    ),
    # Basic keys.
    reading(1),
    reading(-1),
    reading(rest),
    reading(()),
    reading(all_),
    reading((0, 1, 2)),
    reading((0, rest, -1)),
    reading((slice(0, 2), all_, 1)),
    reading(slice(5, 1)),
    reading((all_, slice(1, None, 2))),
    reading((new, all_, new, 1)),
    reading((rest, new)),
    reading(new, x=normal()),
    reading((rest,), x=normal()),
    reading((np.int64(1), slice(np.int32(1), None))),
    numpy_only(np.array(2), name="0-d array"),
    numpy_only(slice(None, None, -1), name="reversed"),
    numpy_only((slice(None, None, -2), slice(3, 0, -1)), name="backwards"),
    # Index arrays.
    reading([0, 2]),
    reading([-1, 0, -1], name="again"),
    reading([]),
    reading(MATRIX, name="matrix"),
    reading((all_, MATRIX), name="matrix inside"),
    reading((rest, [0, 0, 4])),
    reading(([0, 1], [1, 1])),
    reading(([0, 1], [1, 1], [2, -1])),
    reading((MATRIX, [1, 3]), name="broadcast"),
    reading(([0, 1], all_, [1, 1]), name="apart"),
    reading((all_, [0, 1], new, [1, 1]), name="new axis between"),
    reading((slice(0, 2), [0, 1], slice(1, None))),
    reading((0, [1, 1]), name="int before"),
    reading((0, all_, [1, 1]), numpy=False, name="int apart"),
    reading(([1, 1], all_, 0), numpy=False, name="int after"),
    reading((new, [1, 0])),
    numpy_only((range(2), rest), name="range"),
    reading(np.array([1, 0], np.int32), name="int32"),
    # Masks.
    reading(MASK, name="mask"),
    reading((MASK, [0] * 5), name="mask and list"),
    reading((all_, np.array([True, False, True, True])), name="inner mask"),
    reading((all_, [True, False, True, True]), name="list mask"),
    reading((MASK, 1), name="mask and int"),
    reading(([0, 1], all_, np.array([True, False, False, True, False])), name="mask apart"),
    reading(np.zeros((3, 4), bool), name="nothing"),
    reading(X > 0, name="all axes"),
    reading(True),
    reading(False),
    reading((True, [1, 2])),
    # The index as an input.
    Case(getitem, (X, np.array([2, 0, 2])), reference=lambda x, i: x[i], name="input"),
    Case(
        getitem,
        (X, MASK),
        reference=lambda x, m: x[m],
        name="mask input",
        skip={"meta": "data-dependent", "empty": "the mask belongs to the shape"},
    ),
]

BAD = [
    Bad(
        Index,
        (normal(6, 4), places(X.shape, TWICE), False),
        error=ShapeError,
        match=r"made for sizes \(3,\) of the axes \(0,\)",
    ),
    Bad(
        IndexGrad,
        (normal(4, 4, 4), X.shape, places(X.shape, TWICE), False),
        error=ShapeError,
        match=r"the index takes \(4, 4, 5\) of \(3, 4, 5\)",
    ),
    Bad(getitem, (X, 3), error=RangeError, match=r"index 3 is out of range for axis 0 of size 3"),
    Bad(getitem, (X, (0, -5)), error=RangeError, match=r"-4 <= index < 4"),
    Bad(getitem, (X, (0, 0, 0, 0)), error=RangeError, match="4 indices for 3 axes"),
    Bad(getitem, (normal(), 0), error=RangeError, match="1 indices for 0 axes"),
    Bad(getitem, (X, [0, 3]), error=RangeError, match="index 3 is out of range for axis 0"),
    Bad(
        getitem, (X, (all_, [[-5]])), error=RangeError, match="index -5 is out of range for axis 1"
    ),
    Bad(getitem, (X, MASK[:, :3]), error=ShapeError, match=r"the axes it covers, \(3, 4\)"),
    Bad(getitem, (X, (all_, MASK)), error=ShapeError, match=r"\(4, 5\)"),
    Bad(getitem, (X, ([0, 1], [0, 1, 2])), error=ShapeError, match="do not broadcast"),
    Bad(getitem, (X, 1.5), error=DTypeError, match="not float 1.5"),
    Bad(getitem, (X, "a"), error=DTypeError, match="not str"),
    Bad(getitem, (X, [0.5]), error=DTypeError, match="float64"),
    Bad(getitem, (X, [[0], [1, 2]]), error=DTypeError, match="list cannot be an index"),
    Bad(
        getitem, (X, np.zeros(3, np.uint8)), error=DTypeError, match="PyTorch reads uint8 as a mask"
    ),
    Bad(getitem, (X, (rest, rest)), error=ArgumentError, match="one ellipsis"),
    Bad(getitem, (X, slice(None, None, 0)), error=ArgumentError, match="step of 0"),
]


@parametrize_cases(CASES)
def test_case(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's deprecations
        check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_unknown_shapes_are_refused_on_meta():
    x = tg.zeros(3, 4, device="meta")
    mask = tg.zeros(3, 4, dtype="bool", device="meta")
    with pytest.raises(GraphError, match="getitem: the shape of the result depends on the values"):
        _ = x[mask]
    with pytest.raises(GraphError, match="getitem"):
        _ = x[tg.zeros((), dtype="int64", device="meta")]
    with pytest.raises(GraphError, match="getitem"):
        _ = tg.zeros(3, 4)[mask]
    index = tg.zeros(2, 5, dtype="int64", device="meta")
    assert x[index].shape == (2, 5, 4)
    assert x[:, [1, 2]].shape == (3, 2)


def test_the_index_is_copied():
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    index = np.array([0, 0])
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0]


def test_places_print_short():
    _, found = parse("getitem", np.empty((3, 4)), ([0, 1],))
    assert isinstance(found, Places)
    assert repr(found) == "Places(dims=(0,), shape=(2,))"


# Keys of every kind, drawn at random


@st.composite
def keyed(draw):
    """(shape, key) with a key that NumPy and PyTorch read alike."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    arrays = draw(st.booleans())
    count = draw(st.integers(0, len(sizes)))
    common = draw(st.sampled_from([(2,), (1, 2), (3, 1)]))
    key, axis, size = [], 0, int(np.prod(common))
    while axis < count:
        n = sizes[axis]
        kind = draw(st.sampled_from(["slice", "array" if arrays else "int", "new", "mask"]))
        if kind == "new":
            key.append(None)
            continue
        if kind == "int":
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "array":
            positions = st.integers(-n, n - 1)
            values = draw(st.lists(positions, min_size=size, max_size=size))
            key.append(np.array(values).reshape(common))
        elif kind == "mask" and arrays and not any(isinstance(k, np.ndarray) for k in key):
            key.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
            arrays = False
        else:
            bound = st.none() | st.integers(-n - 1, n + 1)
            step = draw(st.sampled_from([None, 1, 2] + ([] if arrays else [-1, -2])))
            key.append(slice(draw(bound), draw(bound), step))
        axis += 1
    if draw(st.booleans()):
        key.insert(len(key), Ellipsis)
    return tuple(sizes), tuple(key)


@given(keyed())
@settings(max_examples=200, deadline=None)
def test_reads_and_writes_follow_numpy(drawn):
    shape, key = drawn
    masks = [k for k in key if isinstance(k, np.ndarray) and k.dtype == bool]
    ints = any(type(k) is int for k in key)
    if masks and ints:
        return  # NumPy counts ints as arrays beside a mask, PyTorch does not
    a = np.arange(np.prod(shape), dtype=float).reshape(shape)
    x = tg.tensor(a, requires_grad=True)
    y = x[key]
    assert np.array_equal(y.detach().numpy(), a[key])

    weight = np.arange(1.0, y.numel() + 1).reshape(y.shape)
    (y * tg.Tensor(weight)).sum().backward()
    expected = np.zeros(shape)
    np.add.at(expected, key, weight)
    assert np.array_equal(x.grad.numpy(), expected)

    b = a.copy()
    b[key] = weight
    assert np.array_equal(tg.index_put(tg.Tensor(a), key, tg.Tensor(weight)).numpy(), b)
