"""Least ranks, equal parts, quarter turns, windows, grids, blocks and new tensors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(26)


def normal(*sizes):
    return rng.normal(size=sizes)


X, CUBE, V = normal(3, 4), normal(2, 3, 4), normal(4)


def named(name, function):
    function.__name__ = name
    return function


def method(name, *arguments):
    """A method of tensors as a function, of ours and of PyTorch's."""
    return named(name, lambda x: getattr(x, name)(*arguments))


def naive_kron(a, b):
    ndim = max(a.ndim, b.ndim)
    a, b = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    y = np.empty([m * n for m, n in zip(a.shape, b.shape, strict=True)])
    for i in np.ndindex(a.shape):
        for j in np.ndindex(b.shape):
            y[tuple(p * n + q for p, n, q in zip(i, b.shape, j, strict=True))] = a[i] * b[j]
    return y


def naive_windows(x, dim, size, step):
    x = np.moveaxis(x, dim, -1)
    starts = range(0, x.shape[-1] - size + 1, step)
    windows = np.stack([x[..., s : s + size] for s in starts], -2)
    return np.moveaxis(windows, -2, dim)


CASES = [
    Case(tg.ravel, (CUBE,), reference=lambda x: x.reshape(-1), torch=torch.ravel),
    Case(tg.t, (X,), reference=np.transpose, torch=torch.t),
    Case(tg.t, (V,), torch=torch.t),
    Case(tg.adjoint, (CUBE,), torch=torch.adjoint),
    Case(tg.swapdims, (CUBE, 0, -1), torch=torch.swapdims),
    Case(tg.moveaxis, (CUBE, (0, 1), (-1, 0)), torch=torch.moveaxis),
    *(
        Case(
            tg.rot90,
            (CUBE, k, dims),
            reference=lambda x, k, d: np.rot90(x, k, d),
            torch=torch.rot90,
            name=f"{k} {dims}",
        )
        for k, dims in ((0, (0, 1)), (1, (1, 2)), (2, (0, 2)), (-1, (-1, 0)), (5, (2, 1)))
    ),
    *(
        Case(getattr(tg, name), (x,), torch=getattr(torch, name), name=f"{x.ndim}")
        for name in ("atleast_1d", "atleast_2d", "atleast_3d")
        for x in (normal(), V, X, CUBE)
    ),
    Case(tg.atleast_2d, (V, X), torch=torch.atleast_2d, name="two"),
    Case(tg.column_stack, ([normal(3), X, normal(3, 1)],), torch=torch.column_stack, name="mixed"),
    Case(tg.column_stack, ([normal(), normal()],), torch=torch.column_stack),
    Case(tg.row_stack, ([V, X],), torch=torch.row_stack),
    Case(tg.hsplit, (X, 2), torch=torch.hsplit),
    Case(tg.hsplit, (V, (1, 3)), torch=torch.hsplit),
    Case(tg.vsplit, (X, 3), torch=torch.vsplit),
    Case(tg.dsplit, (CUBE, 2), torch=torch.dsplit),
    Case(tg.split_with_sizes, (X, (1, 3), 1), torch=torch.split_with_sizes),
    Case(tg.broadcast_tensors, (normal(3, 1), V), torch=torch.broadcast_tensors),
    Case(tg.diagflat, (normal(2, 2), -1), torch=torch.diagflat),
    Case(method("sum_to_size", 1, 4), (CUBE,), torch=method("sum_to_size", 1, 4)),
    Case(method("sum_to_size", (3, 4)), (X,), torch=method("sum_to_size", (3, 4)), name="same"),
    # Grids.
    *(
        Case(
            named("meshgrid", lambda *v, way=way: tg.meshgrid(*v, indexing=way)),
            (normal(2), normal(3), normal(4)),
            reference=lambda *v, way=way: tuple(np.meshgrid(*v, indexing=way)),
            torch=lambda *v, way=way: torch.meshgrid(*v, indexing=way),
            name=way,
        )
        for way in ("ij", "xy")
    ),
    Case(
        tg.cartesian_prod,
        (normal(2), normal(3), normal(2)),
        reference=lambda *v: np.array(list(itertools.product(*v))),
        torch=torch.cartesian_prod,
    ),
    Case(tg.cartesian_prod, (V,), torch=torch.cartesian_prod, name="one"),
    *(
        Case(
            tg.combinations,
            (V, r, again),
            torch=torch.combinations,
            name=f"{r} {again}",
            skip={} if r else {"needs": "nothing is taken", "torch": "no gradient there"},
            reference=lambda x, r, again: np.array(
                list(
                    (itertools.combinations_with_replacement if again else itertools.combinations)(
                        x, r
                    )
                )
            ).reshape((-1, r) if r else (0,)),
        )
        for r in (0, 1, 2, 3, 4)
        for again in (False, True)
    ),
    Case(tg.block_diag, (X, V, normal(), normal(0, 2)), torch=torch.block_diag),
    Case(tg.kron, (X, normal(2, 3)), reference=naive_kron, torch=torch.kron),
    Case(tg.kron, (V, CUBE), reference=naive_kron, torch=torch.kron),
    Case(tg.kron, (normal(), V), torch=torch.kron, name="0-d"),
    # Bounds.
    Case(tg.clamp_min, (X, 0.1), torch=torch.clamp_min),
    Case(tg.clamp_max, (X, normal(4)), torch=torch.clamp_max),
]

BAD = [
    Bad(tg.t, (CUBE,), error=ShapeError, match="at most 2 axes"),
    Bad(tg.adjoint, (V,), error=ShapeError, match="at least 2 axes"),
    Bad(tg.swapdims, (X, 0, 2), error=RangeError, match="dim 2", skip={"operator": "transpose"}),
    Bad(tg.moveaxis, (X, 0, 2), error=RangeError, match="dim 2", skip={"operator": "movedim"}),
    Bad(tg.rot90, (V,), error=ShapeError, match="at least 2 axes"),
    Bad(tg.rot90, (X, 1, (0, 0)), error=ArgumentError, match="two different axes"),
    Bad(tg.rot90, (X, 1, (0,)), error=ArgumentError, match="two different axes"),
    Bad(tg.rot90, (X, 1, (0, 2)), error=RangeError, match="dim 2"),
    Bad(tg.rot90, (X, 1.5), error=DTypeError, match="whole number"),
    Bad(tg.atleast_2d, (X, 3), error=DTypeError, match="takes tensors, not int"),
    Bad(tg.column_stack, (X,), error=DTypeError, match="a list or tuple"),
    Bad(tg.column_stack, ([X, V],), error=ShapeError, match="axis 0", skip={"operator": "cat"}),
    Bad(tg.hsplit, (normal(), 1), error=ShapeError, match="at least 1 axis"),
    Bad(tg.hsplit, (X, 3), error=ShapeError, match="4 mod 3 = 0 is false"),
    Bad(tg.vsplit, (V, 2), error=ShapeError, match="at least 2 axes"),
    Bad(tg.vsplit, (X, 0), error=ShapeError, match="0 equal parts"),
    Bad(tg.dsplit, (X, 2), error=ShapeError, match="at least 3 axes"),
    Bad(
        tg.split_with_sizes,
        (X, (1, 1)),
        error=ShapeError,
        match="sum to 3",
        skip={"repair": "split takes one size too", "operator": "split"},
    ),
    Bad(tg.broadcast_tensors, (X, normal(3)), error=ShapeError, match="do not broadcast"),
    Bad(tg.broadcast_tensors, (X, 1), error=DTypeError, match="not int"),
    Bad(tg.Tensor.sum_to_size, (X, 2, 4), error=ShapeError, match="does not broadcast"),
    Bad(tg.meshgrid, (X, V), error=ShapeError, match=r"tensors\[0\] has 2 axes"),
    Bad(tg.meshgrid, (V, np.arange(3)), error=DTypeError, match="dtypes differ"),
    Bad(tg.meshgrid, (V,), {"indexing": "ji"}, error=ArgumentError, match="'ij' or 'xy'"),
    Bad(tg.meshgrid, (), error=ArgumentError, match="at least one"),
    Bad(tg.cartesian_prod, (normal(), V), error=ShapeError, match="has 0 axes"),
    Bad(tg.combinations, (X,), error=ShapeError, match="must be a vector"),
    Bad(tg.combinations, (V, -1), error=RangeError, match="r = -1"),
    Bad(tg.block_diag, (CUBE,), error=ShapeError, match="has 3 axes"),
    Bad(tg.block_diag, (X, "a"), error=DTypeError, match="not str"),
    Bad(tg.logspace, (0, 1, -1), error=ArgumentError, match="negative"),
    Bad(tg.logspace, (0, "b", 2), error=DTypeError, match="end must be a number"),
]
for _bad in BAD:
    if _bad.function is tg.Tensor.sum_to_size:
        _bad.function.__name__ = _bad.function.__name__.lstrip("_")


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_lists_stand_for_several_tensors():
    one, two = tg.tensor([1]), tg.tensor([2, 3])
    assert [x.shape for x in tg.atleast_2d([one, two])] == [(1, 1), (1, 2)]
    assert [x.shape for x in tg.meshgrid([one, two])] == [(1, 2), (1, 2)]
    assert tg.cartesian_prod([one, two]).tolist() == [[1, 2], [1, 3]]
    assert tg.block_diag([one, two]).shape == (2, 3)
    assert len(tg.broadcast_tensors([one, two])) == 2


def test_transposes_as_attributes():
    assert np.array_equal(tg.tensor(X).H.numpy(), X.T)
    assert tg.tensor(CUBE).mH.shape == (2, 4, 3)


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool"])
def test_new_tensors_have_the_dtype_of_the_old(dtype):
    x, y = tg.zeros(2, dtype=dtype), torch.zeros(2, dtype=getattr(torch, dtype))
    pairs = [
        (x.new_zeros(2, 3), y.new_zeros(2, 3)),
        (x.new_ones((2,)), y.new_ones((2,))),
        (x.new_full((2, 1), 1), y.new_full((2, 1), 1)),
        (x.new_tensor([0, 1]), y.new_tensor([0, 1])),
        (x.new_zeros(2, dtype="float32"), y.new_zeros(2, dtype=torch.float32)),
        (x.short(), y.short()),
        (x.char(), y.char()),
        (x.byte(), y.byte()),
        (tg.arange(2).type_as(x), torch.arange(2).type_as(y)),
    ]
    for ours, theirs in pairs:
        assert ours.tolist() == theirs.tolist()
        assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert x.new_empty(3).shape == (3,)
    with pytest.raises(ArgumentError, match="full: these arguments cannot be used"):
        x.new_full((2,), np.zeros(2))
    assert x.to("meta").new_ones(2).device.type == "meta"
    assert tg.zeros(2).new_tensor(1.0, requires_grad=True).requires_grad


def test_logspace_as_torch():
    for arguments in ((0, 2, 5), (-1, 1, 3, 2.0), (0, 1, 1), (0, 1, 0), (3, -3, 7, 0.5)):
        ours, theirs = tg.logspace(*arguments), torch.logspace(*arguments)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
        assert ours.dtype == "float32"
    assert tg.logspace(0, 2, 3, dtype="int64").tolist() == [1, 10, 100]


def test_strides_and_orders_as_torch():
    for shape in ((), (3,), (2, 3), (2, 3, 4, 5)):
        ours, theirs = tg.zeros(shape), torch.zeros(shape)
        for a, b in ((ours, theirs), (ours.T, theirs.permute(tuple(range(theirs.ndim))[::-1]))):
            assert a.stride() == b.stride()
            assert a.is_contiguous() == b.is_contiguous()
    image = tg.zeros(2, 3, 4, 5).contiguous("channels_last")
    assert image.is_contiguous(memory_format="channels_last")
    assert not image.is_contiguous()
    assert image.to("meta").is_contiguous("channels_last")
    assert image.stride(-1) == 3
    assert image.nelement() == tg.numel(image) == 120
    assert image.ndimension() == 4
    with pytest.raises(ArgumentError, match="no memory format"):
        image.is_contiguous("rows")
    with pytest.raises(RangeError, match="no axis"):
        tg.tensor(1).stride(0)


def test_rotations_come_round():
    x = tg.tensor(X)
    turned = x
    for _ in range(4):
        turned = tg.rot90(turned)
    assert np.array_equal(turned.numpy(), X)
    assert tg.kron(tg.eye(2), x).shape == (6, 8)
    assert math.prod(tg.combinations(tg.arange(5), 3).shape) == 30


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.argsort(x, axis=0),
        lambda x: np.argwhere(x > 0),
        lambda x: np.atleast_3d(x),
        lambda x: np.bincount(x[0] > 0 if isinstance(x, np.ndarray) else (x[0] > 0).long()),
        lambda x: np.column_stack([x, x[:, 0]]),
        lambda x: np.count_nonzero(x, axis=1),
        lambda x: np.diff(x, 2, axis=0),
        lambda x: np.hsplit(x, 2)[1],
        lambda x: np.vsplit(x, 3)[1],
        lambda x: np.isin(x, x[0]),
        lambda x: np.kron(x, x),
        lambda x: np.nanmean(x, axis=0, keepdims=True),
        lambda x: np.nansum(x, 1),
        lambda x: np.quantile(x, 0.3, axis=0),
        lambda x: np.nanquantile(x, [0.3, 0.5], 1),
        lambda x: np.ravel(x),
        lambda x: np.vdot(x[0], x[1]),
        lambda x: np.take_along_axis(x, np.array([[0], [1], [-1]]), axis=1),
    ],
)
def test_numpy_functions_give_tensors(call):
    found = call(tg.tensor(X))
    assert isinstance(found, tg.Tensor)
    np.testing.assert_allclose(found.numpy(), call(X), rtol=1e-12)


@pytest.mark.parametrize("call", [np.median, np.sort, np.unique, lambda x: np.cross(x, x)])
def test_numpy_functions_of_another_meaning_are_refused(call):
    with pytest.raises(DTypeError, match="no form for Tensors"):
        call(tg.tensor(X))


def test_sizes_of_one_broadcast_in_sums_of_products():
    a, b = rng.normal(size=(1, 1, 3)), rng.normal(size=(2, 1, 2))
    expected = torch.tensordot(torch.tensor(a), torch.tensor(b), dims=([0, 1], [2, 0]))
    found = tg.tensordot(tg.tensor(a), tg.tensor(b), ([0, 1], [2, 0]))
    np.testing.assert_allclose(found.numpy(), expected.numpy())


def test_cuts_may_be_a_tensor():
    x = tg.arange(5)
    assert [t.tolist() for t in tg.tensor_split(x, tg.tensor([1, 3]))] == [[0], [1, 2], [3, 4]]
    assert [t.tolist() for t in tg.tensor_split(x, tg.tensor(2))] == [[0, 1, 2], [3, 4]]


def test_whole_numbers_are_made_of_whole_numbers():
    assert tg.arange(0.0, -8.5, -4.0, dtype="int64").tolist() == [0, -4]
    with pytest.raises(tg.ArgumentError, match="less than 1 is 0"):
        tg.arange(0, 4, 0.5, dtype="int64")


def test_no_difference_is_the_input():
    x = tg.tensor([1.0, 4.0])
    assert tg.diff(x, n=0, prepend=tg.tensor([0.0])).tolist() == [1.0, 4.0]


def test_what_is_refused_as_in_torch():
    x = tg.ones(2, 3)
    with pytest.raises(tg.ShapeError, match="no rows"):
        tg.flipud(tg.tensor(1.0))
    with pytest.raises(tg.ArgumentError, match="rtol must be 0 or more"):
        tg.isclose(x, x, rtol=-1.0)
    for function in (tg.scatter, tg.scatter_add):
        with pytest.raises(tg.DTypeError, match="src must have the dtype of the input"):
            function(x, 0, tg.tensor([[0]]), tg.ones(1, 1, dtype="float64"))
    assert tg.nn.functional.avg_pool2d(tg.ones(1, 4, 4), 2, ()).shape == (1, 2, 2)


@pytest.mark.parametrize("name", ["expand_as", "reshape_as", "view_as", "type_as"])
@pytest.mark.parametrize("other", [None, 3, "b"])
def test_what_a_tensor_is_to_be_like_is_a_tensor(name, other):
    with pytest.raises(DTypeError, match="_as: other must be a tensor"):
        getattr(tg.zeros(3), name)(other)
