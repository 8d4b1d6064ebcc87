"""Reshape, permute and their relatives; flip, roll, repeat; diagonals; memory order; slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops import diagonal, layout, rearrange, shape, slicing
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(3)


def normal(*sizes):
    return rng.normal(size=sizes)


def same(name, *attrs, **options):
    """A case of tg.name against torch.name with the same arguments."""
    function = getattr(tg, name)
    return Case(
        function,
        (options.pop("x"),),
        attrs,
        torch=lambda t: getattr(torch, name)(t, *attrs),
        name=" ".join(map(str, attrs)),
        **options,
    )


def method(name, *attrs, **options):
    """A case of Tensor.name against torch.Tensor.name with the same arguments."""

    def function(x):
        return getattr(x, name)(*attrs)

    def oracle(t):
        return getattr(t, name)(*attrs)

    function.__name__ = name
    return Case(
        function, (options.pop("x"),), torch=oracle, name=" ".join(map(str, attrs)), **options
    )


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


NO_PIECES = {"empty": "an axis of size 0 gives no tensors"}

CASES = [
    Case(shape.Reshape, (normal(2, 6),), ((3, 4),), reference=lambda x: x.reshape(3, 4)),
    Case(shape.Permute, (normal(2, 3, 4),), ((2, 0, 1),), reference=lambda x: x.transpose(2, 0, 1)),
    Case(layout.Layout, (normal(2, 3, 2, 2),), ("channels_last",), reference=np.copy),
    Case(layout.Layout, (normal(2, 1, 2, 2),), ("channels_last",), reference=np.copy, name="C=1"),
    Case(layout.Layout, (normal(2, 3, 4),), ("contiguous",), reference=np.copy, name="rows"),
    Case(layout.Clone, (normal(2, 3, 4),), reference=np.copy),
    Case(
        layout.Clone,
        (normal(2, 3, 2, 2),),
        reference=np.copy,
        torch=lambda t: t.clone(),
        name="4-d",
    ),
    Case(layout.Clone, (normal(2, 3, 4),), reference=np.copy),
    Case(rearrange.Flip, (normal(2, 3),), ((1,),), reference=lambda x: x[:, ::-1]),
    Case(rearrange.Roll, (normal(5, 2),), ((2,), (0,)), reference=lambda x: x[[3, 4, 0, 1, 2]]),
    Case(
        rearrange.Repeat, (normal(2, 3),), ((2, 1, 3),), reference=lambda x: np.tile(x, (2, 1, 3))
    ),
    Case(diagonal.Triangle, (normal(3, 4),), (True, 0), reference=np.tril),
    Case(diagonal.Triangle, (normal(3, 4),), (False, 1), reference=lambda x: np.triu(x, 1)),
    Case(
        diagonal.Diagonal, (normal(3, 4),), (1, 0, 1), reference=lambda x: x[[0, 1, 2], [1, 2, 3]]
    ),
    Case(
        diagonal.DiagonalGrad,
        (normal(3),),
        ((4, 3), -1, 0, 1),
        reference=lambda g: np.diag(g, -1)[:, :3],
    ),
    Case(
        slicing.Slice, (normal(4, 5),), ((1, (0, 5, 2)),), reference=lambda x: x[1, ::2], name="key"
    ),
    Case(
        slicing.SliceGrad,
        (normal(3),),
        ((4, 5), (1, (0, 5, 2))),
        reference=lambda g: (
            np.stack([0 * g, g, 0 * g, 0 * g])[:, [0, 0, 1, 1, 2]] * [1, 0, 1, 0, 1]
        ),
    ),
    # Reshape and its faces.
    same("reshape", (2, -1), x=normal(3, 4)),
    same("reshape", (), x=normal(1, 1)),
    same("reshape", (-1,), x=normal(0, 3)),
    same("reshape", (0, 7), x=normal(0, 3)),
    same("reshape", (1, 1), x=normal()),
    method("reshape", 4, 3, x=normal(3, 4)),
    method("reshape", -1, x=normal()),
    method("view", 2, 6, x=normal(3, 4)),
    method("view", (2, 6), x=normal(3, 4)),
    same("flatten", x=normal(2, 3, 4)),
    same("flatten", 1, x=normal(2, 3, 4)),
    same("flatten", -2, -1, x=normal(2, 3, 4)),
    same("flatten", x=normal()),
    same("flatten", 1, x=normal(0, 3, 4)),
    same("unflatten", -1, (2, -1), x=normal(3, 4)),
    same("squeeze", x=normal(1, 3, 1)),
    same("squeeze", 0, x=normal(1, 3, 1)),
    same("squeeze", (0, -1), x=normal(1, 3, 1)),
    same("squeeze", 1, x=normal(1, 3, 1)),
    same("unsqueeze", 0, x=normal(2, 3)),
    same("unsqueeze", -1, x=normal(2, 3)),
    same("unsqueeze", -1, x=normal()),
    same("permute", (1, -1, 0), x=normal(2, 3, 4)),
    same("permute", (), x=normal()),
    method("permute", 2, 0, 1, x=normal(2, 3, 4)),
    method("permute", 0, 2, 3, 1, x=channels_last(normal(2, 3, 2, 2))),
    method("permute", 0, 3, 1, 2, x=normal(2, 3, 2, 2)),
    same("transpose", 0, -1, x=normal(2, 3, 4)),
    same("transpose", 0, -1, x=normal()),
    same("swapaxes", 1, 0, x=normal(2, 3)),
    same("movedim", -1, 1, x=normal(2, 3, 4, 5)),
    same("movedim", (0, 1), (-1, 0), x=normal(2, 3, 4)),
    Case(lambda x: x.T, (normal(2, 3),), torch=lambda t: t.T, name="T"),
    Case(lambda x: x.T, (normal(2, 3, 4),), reference=np.transpose, name="T"),
    Case(lambda x: x.mT, (normal(2, 3, 4),), torch=lambda t: t.mT, name="mT"),
    Case(
        lambda x, y: x.view_as(y),
        (normal(2, 3), normal(6)),
        torch=lambda t, u: t.view_as(u),
        diff=[0],
    ),
    Case(
        lambda x: x.contiguous("channels_last"),
        (normal(2, 3, 4, 5),),
        torch=lambda t: t.contiguous(memory_format=torch.channels_last),
        name="contiguous",
    ),
    # Moving elements.
    same("flip", (0,), x=normal(3, 2)),
    same("flip", (0, -1), x=normal(3, 2, 2)),
    same("flip", (1,), x=channels_last(normal(2, 3, 2, 2))),
    method("flip", 0, 1, x=normal(3, 2)),
    same("fliplr", x=normal(2, 3)),
    same("flipud", x=normal(2, 3)),
    same("roll", 2, x=normal(3, 4)),
    same("roll", 1, 0, x=normal(3, 4)),
    same("roll", (1, -7), (0, -1), x=normal(3, 4)),
    same("roll", (1, 1), (0, 0), x=normal(3, 4)),
    same("roll", 1, x=normal(0, 3)),
    same("tile", (2,), x=normal(2, 3)),
    same("tile", (2, 1, 2), x=normal(2, 3)),
    same("tile", (), x=normal(2)),
    method("repeat", 2, 3, x=normal(2)),
    method("repeat", 2, 0, x=normal(2, 2)),
    method("repeat", 2, 3, x=normal()),
    same("tril", x=normal(3, 3)),
    same("tril", -1, x=normal(2, 3, 4)),
    same("triu", 1, x=normal(2, 3, 4)),
    same("triu", 9, x=normal(2, 2)),
    same("diagonal", x=normal(3, 3)),
    same("diagonal", -1, x=normal(4, 3)),
    same("diagonal", 5, x=normal(3, 3)),
    same("diagonal", 1, -1, 0, x=normal(3, 2, 4)),
    same("diag_embed", x=normal(2, 3)),
    same("diag_embed", 1, 0, -1, x=normal(2, 3)),
    same("diag", x=normal(3)),
    same("diag", -1, x=normal(3, 4)),
    same("trace", x=normal(3, 4)),
    # Cutting.
    same("select", 1, -1, x=normal(2, 3)),
    same("narrow", 1, 1, 2, x=normal(2, 4)),
    same("narrow", 0, -2, 1, x=normal(3, 2)),
    same("narrow", 0, 2, 0, x=normal(2, 2)),
    same("split", 2, x=normal(5, 2)),
    same("split", (1, 0, 2), 1, x=normal(2, 3)),
    same("split", 2, x=normal(0, 2)),
    same("split", 2, x=channels_last(normal(4, 3, 2, 2))),
    same("chunk", 4, x=normal(5)),
    same("chunk", 3, 1, x=normal(2, 2)),
    same("chunk", 2, 1, x=channels_last(normal(2, 4, 2, 2))),
    same("chunk", 3, x=normal(0)),
    same("tensor_split", 3, x=normal(7, 2)),
    same("tensor_split", (1, 4), 1, x=normal(2, 6)),
    same("tensor_split", (2, 1, 9), x=normal(4)),
    same("unbind", skip=NO_PIECES, x=normal(2, 3)),
    same("unbind", -1, skip=NO_PIECES, x=normal(2, 3)),
]
for _case in CASES:
    if getattr(_case.function, "__name__", "") == "<lambda>":
        _case.function.__name__ = _case.name or "view_as"

X = normal(2, 3, 4)
METHOD = {"operator": "a method", "repair": "its arguments have no names"}
BAD = [
    Bad(slicing.Slice, (X, (2,)), error=RangeError, match="index 2 is out of range for axis 0"),
    Bad(
        slicing.SliceGrad,
        (normal(6), (4, 5), (1, (0, 5, 2))),
        error=ShapeError,
        match=r"the key takes \(3,\) of \(4, 5\)",
    ),
    Bad(tg.reshape, (X, (5, -1)), error=ShapeError, match=r"2\*3\*4 = 24"),
    Bad(tg.reshape, (X, (5, 4, -1)), error=ShapeError, match=r"fits: \(3, 4, -1\)"),
    Bad(tg.reshape, (X, (5, 5)), error=ShapeError, match="24 elements do not fit"),
    Bad(tg.reshape, (X, (3, 4)), error=ShapeError, match=r"\(3, 8\)"),
    Bad(tg.reshape, (X, (-1, -1)), error=ShapeError, match="only one size can be -1"),
    Bad(tg.reshape, (X, (-2, 12)), error=ShapeError, match="negative"),
    Bad(tg.reshape, (normal(0, 3), (0, -1)), error=ShapeError, match="any number would fit"),
    Bad(tg.reshape, (X, (2.0, 12)), error=DTypeError, match="whole number, not float 2.0"),
    Bad(tg.Tensor.view, (X, 5, 5), error=ShapeError, match="^view: 24", skip=METHOD),
    Bad(tg.Tensor.view, (X, 2, "a"), error=DTypeError, match="^view: size must", skip=METHOD),
    Bad(tg.Tensor.size, (X, 3), error=RangeError, match="^size: dim 3 is out of", skip=METHOD),
    Bad(tg.Tensor.size, (X, "a"), error=DTypeError, match="^size: dim must be", skip=METHOD),
    Bad(tg.Tensor.size, (normal(), 0), error=RangeError, match="^size: a 0-d", skip=METHOD),
    Bad(tg.flatten, (X, 2, 1), error=ArgumentError, match="start_dim = 2 comes after"),
    Bad(tg.flatten, (X, 3), error=RangeError, match="dim 3 is out of range for 3 axes"),
    Bad(tg.unflatten, (X, 2, (3, -1)), error=ShapeError, match=r"3\*\? = 3"),
    Bad(tg.squeeze, (X, -4), error=RangeError, match="-3 <= dim <= 2"),
    Bad(tg.squeeze, (X, (0, 0)), error=ArgumentError, match="twice"),
    Bad(tg.unsqueeze, (X, 4), error=RangeError, match="-4 <= dim <= 3"),
    Bad(tg.permute, (X, (0, 1)), error=ArgumentError, match="each of the 3 axes once"),
    Bad(tg.permute, (X, (0, 1, 1)), error=ArgumentError, match="twice"),
    Bad(tg.transpose, (X, 0, 3), error=RangeError, match="dim 3"),
    Bad(tg.movedim, (X, (0, 1), 0), error=ArgumentError, match="2 axes, destination 1"),
    Bad(tg.flip, (X, (0, -3)), error=ArgumentError, match="twice"),
    Bad(tg.flip, (X, (5,)), error=RangeError, match="dim 5"),
    Bad(tg.roll, (X, (1, 2)), error=ArgumentError, match="2 shifts"),
    Bad(tg.roll, (X, (1, 2), 0), error=ArgumentError, match="2 shifts for 1 dims"),
    Bad(rearrange.repeat, (X, (2, 2)), error=ShapeError, match="2 repeats for 3 axes"),
    Bad(rearrange.repeat, (X, (1, 1, -2)), error=ShapeError, match="negative"),
    Bad(tg.tril, (normal(3),), error=ShapeError, match="at least 2 axes"),
    Bad(tg.triu, (normal(3),), error=ShapeError, match="at least 2 axes"),
    Bad(tg.diagonal, (normal(3),), error=ShapeError, match="at least 2 axes"),
    Bad(tg.diagonal, (X, 0, 1, -2), error=ArgumentError, match="both axis 1"),
    Bad(tg.diag, (X,), error=ShapeError, match="vector or a matrix"),
    Bad(tg.diag_embed, (normal(),), error=ShapeError, match="at least 1 axis"),
    Bad(tg.trace, (X,), error=ShapeError, match="matrix"),
    Bad(
        tg.select, (X, 1, 3), error=RangeError, match="index 3 is out of range for axis 1 of size 3"
    ),
    Bad(tg.select, (normal(), 0, 0), error=ShapeError, match="no axis"),
    Bad(tg.narrow, (X, 2, 1, 4), error=RangeError, match=r"1 \+ 4 <= 4 is false"),
    Bad(tg.split, (X, (1, 1), 1), error=ShapeError, match=r"1 \+ 1 = 2"),
    Bad(tg.split, (X, 0), error=ShapeError, match="size 0"),
    Bad(tg.chunk, (X, 0), error=ArgumentError, match="not positive"),
    Bad(tg.tensor_split, (X, 0), error=ArgumentError, match="0 sections"),
    Bad(layout.contiguous, (X, "nhwc"), error=ArgumentError, match="unknown memory format"),
    Bad(
        layout.contiguous,
        (normal(2, 2), "channels_last"),
        error=ShapeError,
        match="at least one more",
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


SIZES = st.lists(st.integers(0, 4), max_size=4)


@given(SIZES, st.data())
@settings(max_examples=60, deadline=None)
def test_reshape_and_permute_follow_numpy(sizes, data):
    x = np.arange(np.prod(sizes), dtype=float).reshape(sizes)
    dims = data.draw(st.permutations(range(len(sizes))))
    moved = tg.tensor(x, requires_grad=True).permute(dims)
    assert np.array_equal(moved.detach().numpy(), x.transpose(dims))
    count = data.draw(st.integers(0, len(sizes)))
    new = (*x.transpose(dims).shape[:count], -1)
    if 0 in new or (x.size == 0 and 0 in new[:-1]):
        return
    flat = moved.reshape(new)
    assert np.array_equal(flat.detach().numpy(), x.transpose(dims).reshape(new))
    flat.sum().backward()


@given(SIZES, st.data())
@settings(max_examples=60, deadline=None)
def test_layout_of_views_is_known_without_data(sizes, data):
    """The spec of a permuted, reshaped or sliced view says what its strides say."""
    x = np.zeros(sizes)
    if len(sizes) > 2 and data.draw(st.booleans()):
        x = channels_last(x)
    real, meta = tg.Tensor(x), tg.Tensor(x).to("meta")
    for _ in range(2):
        dims = data.draw(st.permutations(range(real.ndim)))
        real, meta = real.permute(dims), meta.permute(dims)
        if 0 in sizes:
            continue
        if not in_one_of_two_orders(real.array):
            return
        assert meta.array.layout == layout_of(real.array)
        new = data.draw(st.sampled_from([(-1,), (*real.shape, 1), (1, *real.shape), real.shape]))
        real, meta = real.reshape(new), meta.reshape(new)
        assert meta.array.layout == layout_of(real.array)
        if not in_one_of_two_orders(real.array):
            return


def in_one_of_two_orders(array):
    """A spec knows no others, so only such views are followed."""
    return layout_of(array) == "channels_last" or array.flags.c_contiguous


def test_views_share_memory():
    x = tg.zeros(2, 3, 4)
    for y in (x.reshape(6, 4), x.permute(2, 0, 1), x.unsqueeze(0), x[0], x[:, ::2], x.diagonal()):
        assert np.shares_memory(x.array, y.array)
        assert y.is_view
    for y in (x.flip(0), x.roll(1), x.repeat(1, 1, 1), x.tril()):
        assert not np.shares_memory(x.array, y.array)


def test_contiguous_returns_the_input_if_nothing_is_to_do():
    x = tg.zeros(2, 3, 4, 5)
    assert x.contiguous() is x
    y = x.contiguous(memory_format="channels_last")
    assert layout_of(y.array) == "channels_last"
    assert y.contiguous(memory_format="channels_last") is y
    assert y.contiguous(memory_format="contiguous_format").array.flags.c_contiguous
    one = tg.zeros(2, 1, 4, 5)
    assert one.contiguous("channels_last") is one, "one channel is in both orders"


def test_reshape_of_channels_last_keeps_a_view_where_there_is_one():
    x = tg.Tensor(channels_last(normal(2, 3, 4, 5)))
    assert np.shares_memory(x.array, x.flatten(2).array)
    assert layout_of(x.flatten(2).array) == "channels_last"
    assert not np.shares_memory(x.array, x.flatten(1).array)
    assert np.array_equal(x.flatten(1).numpy(), x.numpy().reshape(2, -1))


def test_view_refuses_to_reinterpret_bytes():
    with pytest.raises(DTypeError, match=r"x\.to\(dtype\)"):
        tg.zeros(4).view(tg.int32)


def test_matrix_transpose_needs_a_matrix():
    with pytest.raises(ShapeError, match="at least 2 axes"):
        _ = tg.zeros(4).mT


def test_roll_and_repeat_interleave_of_a_0d_tensor():
    x = tg.tensor(3.0)
    assert tg.roll(x, 2).tolist() == 3.0
    with pytest.raises(RangeError, match="a 0-d tensor has no dim 0"):
        tg.roll(x, 2, 0)
    assert tg.repeat_interleave(x, 2, 0).tolist() == [3.0, 3.0]
