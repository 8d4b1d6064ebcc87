"""New tensors: values, dtypes, devices, random streams, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

X = np.arange(6.0).reshape(2, 3)

CASES = [
    Case(tg.zeros_like, (X,), reference=np.zeros_like, diff=(), order=0),
    Case(tg.ones_like, (X,), reference=np.ones_like, diff=(), order=0),
    Case(tg.full_like, (X,), attrs=(2.5,), reference=lambda x: x * 0 + 2.5, diff=(), order=0),
    Case(tg.bernoulli, (np.array([0.0, 1.0]),), reference=lambda p: p, diff=(), order=0),
]

BAD = [
    Bad(tg.zeros, (2, -1), error=ShapeError, match="negative"),
    Bad(tg.ones, ((-1,),), error=ShapeError, match="negative"),
    Bad(tg.empty, (-1,), error=ShapeError, match="negative"),
    Bad(tg.full, ((2, -3), 1), error=ShapeError, match="negative"),
    Bad(tg.eye, (-2,), error=ShapeError, match="negative"),
    Bad(tg.rand, (-2,), error=ShapeError, match="negative"),
    Bad(tg.randn, (2, -2), error=ShapeError, match="negative"),
    Bad(tg.randperm, (-2,), error=ShapeError, match="negative"),
    Bad(tg.zeros, (2.5,), error=DTypeError, match="whole number"),
    Bad(tg.arange, (0, 5, 0), error=ArgumentError, match="step of 0"),
    Bad(tg.arange, (0, 5, -1), error=ArgumentError, match="does not lead"),
    Bad(tg.arange, (0, float("inf")), error=ArgumentError, match="finite"),
    Bad(tg.linspace, (0, 1, -1), error=ArgumentError, match="negative"),
    Bad(tg.full, ((2,), "a"), error=DTypeError, match="number"),
    Bad(tg.randint, (5, 5, (2,)), error=ArgumentError, match="no integer"),
    Bad(tg.randint, (5,), error=ArgumentError, match="size"),
    Bad(tg.rand, (2,), {"generator": 3}, error=DTypeError, match="Generator"),
    Bad(tg.rand, (2,), {"dtype": "int64"}, error=DTypeError, match="int64", skip={"operator": ""}),
    Bad(tg.bernoulli, (np.array([0.5, 1.5]),), error=ArgumentError, match=r"\[0, 1\]"),
    Bad(tg.bernoulli, (np.array([0, 1]),), error=DTypeError, match="floating"),
    Bad(tg.from_numpy, ([1, 2],), error=DTypeError, match="NumPy"),
    Bad(tg.from_numpy, ("text",), error=DTypeError, match="NumPy"),
    Bad(tg.tensor, ([[1, 2], [3]],), error=ArgumentError, match="lengths"),
    *(
        Bad(tg.tensor, (data,), kwargs, error=DTypeError, match="cannot be made of")
        for data in ("a", 1j, None, [1, "a"], object())
        for kwargs in ({}, {"dtype": "float32"})
    ),
    Bad(tg.tensor, (np.float16(1),), error=DTypeError, match="float16"),
    Bad(
        tg.tensor,
        ([1.0],),
        {"dtype": "complex64"},
        error=DTypeError,
        match="complex64",
        skip={"operator": ""},
    ),
    Bad(
        tg.tensor,
        ([1],),
        {"requires_grad": True},
        error=DTypeError,
        match="int64",
        skip={"operator": ""},
    ),
    Bad(tg.zeros, (2,), {"device": "tpu"}, error=ArgumentError, match="tpu", skip={"operator": ""}),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize(
    "data",
    [
        True,
        3,
        2.5,
        [1, 2],
        [1.0, 2],
        [[True]],
        [],
        np.float32(1),
        np.float64(1),
        np.arange(3),
        np.zeros(2),
    ],
    ids=repr,
)
def test_tensor_takes_the_dtype_that_torch_takes(data):
    ours, theirs = tg.tensor(data), torch.tensor(data)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert ours.shape == tuple(theirs.shape)
    assert ours.tolist() == theirs.tolist()


def test_tensor_copies_and_as_tensor_shares():
    array = np.zeros(3, np.float32)
    copied, shared, also = tg.tensor(array), tg.as_tensor(array), tg.from_numpy(array)
    array[0] = 7
    assert copied.tolist() == [0, 0, 0]
    assert shared.tolist() == also.tolist() == [7, 0, 0]
    assert tg.as_tensor(shared) is shared
    assert tg.tensor(shared).array is not shared.array
    assert not np.shares_memory(tg.tensor(array[::-1]).array, array)


def test_tensor_of_tensors_and_of_a_tensor_with_a_gradient():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.tensor(x, requires_grad=True)
    assert y.is_leaf
    assert y.requires_grad
    assert tg.tensor([tg.tensor(1.0), tg.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_filled_tensors():
    assert tg.zeros(2, 3).shape == tg.zeros((2, 3)).shape == tg.zeros([2, 3]).shape == (2, 3)
    assert tg.zeros(()).shape == tg.zeros().shape == ()
    assert tg.ones(2, dtype="bool").tolist() == [True, True]
    assert (tg.full((2,), 1).dtype, tg.full((2,), 1.0).dtype, tg.full((2,), True).dtype) == (
        tg.int64,
        tg.float32,
        tg.bool_,
    )
    assert tg.full((2,), np.float64(1.5), dtype="float64").tolist() == [1.5, 1.5]
    assert tg.empty(4, requires_grad=True).requires_grad


def test_like_keeps_dtype_and_memory_order():
    x = tg.tensor(np.zeros((2, 3, 4, 4), np.float64)).contiguous("channels_last")
    for function in (tg.zeros_like, tg.ones_like, tg.empty_like):
        y = function(x)
        assert (y.dtype, y.shape, y.array.strides) == (x.dtype, x.shape, x.array.strides)
    assert tg.zeros_like(x, dtype="int32").dtype == tg.int32


@pytest.mark.parametrize(
    "arguments",
    [
        (5,),
        (0,),
        (2, 7),
        (0, 10, 3),
        (5, 0, -2),
        (0, 1, 0.1),
        (1.0, 2.0),
        (0, 1, 0.3),
        (5.0,),
        (3, 3),
    ],
)
def test_arange_as_torch(arguments):
    ours, theirs = tg.arange(*arguments), torch.arange(*arguments)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert ours.numpy() == pytest.approx(theirs.numpy(), rel=1e-6)


@pytest.mark.parametrize(
    "arguments", [(0, 1, 5), (1, -1, 3), (2, 3, 1), (0, 1, 0), (0.1, 0.7, 100)]
)
def test_linspace_as_torch(arguments):
    assert tg.linspace(*arguments).numpy() == pytest.approx(
        torch.linspace(*arguments).numpy(), rel=1e-6
    )


def test_eye():
    assert tg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert tg.eye(0).shape == (0, 0)


def test_meta_has_shapes_and_draws_nothing():
    generator = tg.Generator(3)
    before = generator.get_state().tolist()
    for x in (
        tg.zeros(2, 3, device="meta"),
        tg.rand(2, 3, device="meta", generator=generator),
        tg.randn(2, 3, device="meta", generator=generator),
        tg.randint(3, (2, 3), device="meta", generator=generator),
        tg.bernoulli(tg.zeros(2, 3, device="meta"), generator=generator),
    ):
        assert (x.device.type, x.shape) == ("meta", (2, 3))
    assert generator.get_state().tolist() == before
    assert tg.arange(5, device="meta").shape == (5,)


def test_random_streams_repeat():
    def draw():
        tg.manual_seed(5)
        return [
            tg.rand(3),
            tg.randn(3),
            tg.randint(0, 9, (3,)),
            tg.randperm(5),
            tg.bernoulli(tg.rand(4)),
        ]

    for a, b in zip(draw(), draw(), strict=True):
        assert a.tolist() == b.tolist()
    a, b = (tg.rand(3, generator=tg.Generator(s)) for s in (1, 2))
    assert a.tolist() != b.tolist()
    state = tg.default_generator.get_state().tolist()
    tg.rand(3, generator=tg.Generator(1))
    assert tg.default_generator.get_state().tolist() == state


def test_random_values_have_the_right_distribution():
    g = tg.Generator(0)
    u, n = (
        tg.rand(20_000, generator=g).numpy(),
        tg.randn(20_000, generator=g, dtype="float64").numpy(),
    )
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01
    assert abs(n.mean()) < 0.03
    assert abs(n.std() - 1) < 0.02
    k = tg.randint(2, 5, (9000,), generator=g).numpy()
    assert np.bincount(k).tolist()[:2] == [0, 0]
    assert np.bincount(k)[2:].min() > 2800
    assert sorted(tg.randperm(50, generator=g).tolist()) == list(range(50))
    assert abs(tg.bernoulli(tg.full((20_000,), 0.3), generator=g).numpy().mean() - 0.3) < 0.02
    assert tg.rand_like(tg.zeros(2, dtype="float64")).dtype == tg.float64
    assert tg.randn_like(tg.zeros(2, 2)).shape == (2, 2)
