"""Layers that put a border around their input, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.nn.alike import check_layer
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

WIDTHS = (1, 2, 2, 0, 1, 1)  # left, right, top, bottom, front, back
SHAPE = (2, 3, 4, 5, 6)
KINDS = ("Circular", "Constant", "Reflection", "Replication", "Zero")


def values(kind):
    return (2.5,) if kind == "Constant" else ()


# (name, positional arguments, keyword arguments, input shape)
LAYERS = [
    (f"{kind}Pad{n}d", (widths, *values(kind)), {}, shape)
    for kind in KINDS
    for n in (1, 2, 3)
    for widths, shape in (
        (2, (2, 3, *SHAPE[-n:])),
        (WIDTHS[: 2 * n], SHAPE[-n - 1 :]),
        (list(WIDTHS[: 2 * n]), (0, 2, *SHAPE[-n:])),
    )
]
LAYERS += [
    ("ConstantPad1d", (1, -1), {}, (5,)),
    ("ConstantPad2d", ((-1, 2, 0, -2),), {"value": 1}, (2, 1, 4, 5)),
    ("ZeroPad2d", (-1,), {}, (2, 1, 4, 5)),
    ("ZeroPad2d", (1,), {}, (4, 5)),
    ("ZeroPad3d", (1,), {}, (2, 2, 2, 2, 3, 4)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_is_torchs(name, args, kwargs, shape):
    check_layer(name, args, kwargs, shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_channels_last_stays(kind, n):
    x = np.moveaxis(np.random.default_rng(0).normal(size=(2, *SHAPE[-n:], 3)), -1, 1)
    out = getattr(nn, f"{kind}Pad{n}d")(1, *values(kind))(tg.tensor(x))
    expected = getattr(torch.nn, f"{kind}Pad{n}d")(1, *values(kind))(torch.tensor(x.copy()))
    np.testing.assert_array_equal(out.numpy(), expected.numpy())


def test_the_inside_of_a_constant_border_keeps_its_dtype():
    layer = nn.ConstantPad1d(1, 7)
    assert layer(tg.tensor([[1, 2]])).tolist() == [[7, 1, 2, 7]]
    assert layer(tg.tensor([[1.0]])).dtype == tg.float32
    with pytest.raises(DTypeError, match="does not fit into int64"):
        nn.ConstantPad1d(1, 0.5)(tg.tensor([[1, 2]]))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: nn.ZeroPad1d(1.5), DTypeError, "padding"),
        (lambda: nn.ZeroPad1d("1"), DTypeError, "padding"),
        (lambda: nn.ZeroPad1d(None), DTypeError, "padding"),
        (lambda: nn.ZeroPad1d((1, 2, 3)), ArgumentError, r"one int or 2: \(left, right\)"),
        (lambda: nn.ReflectionPad2d((1, 2)), ArgumentError, r"\(left, right, top, bottom\)"),
        (lambda: nn.CircularPad3d((1, 2, 3, 4)), ArgumentError, "one int or 6"),
        (lambda: nn.ReplicationPad1d(()), ArgumentError, "one int or 2"),
        (lambda: nn.ConstantPad2d(1, "b"), DTypeError, "value must be a number"),
        (lambda: nn.ConstantPad2d(1, None), DTypeError, "value must be a number"),
    ],
)
def test_arguments_are_checked_at_once(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("kind", ["Circular", "Reflection", "Replication"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_number_of_axes_is_checked(kind, n):
    layer = nn.Sequential(getattr(nn, f"{kind}Pad{n}d")(1))
    for ndim in (n, n + 3):
        with pytest.raises(ShapeError, match=rf"must have {n + 1} or {n + 2} axes") as caught:
            layer(tg.zeros((2,) * ndim))
        assert f"in model.0 ({kind}Pad{n}d)" in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape", "match"),
    [
        (nn.ReflectionPad1d(3), (1, 1, 3), "width <= n - 1"),
        (nn.CircularPad1d(4), (1, 1, 3), "width <= n"),
        (nn.ReplicationPad2d(1), (1, 1, 0, 3), "cannot fill"),
        (nn.ZeroPad1d(-2), (1, 1, 3), "more is taken away"),
        (nn.ZeroPad2d(1), (3,), "4 widths for 1 axes"),
    ],
)
def test_borders_that_cannot_be(layer, shape, match):
    with pytest.raises(ShapeError, match=match):
        layer(tg.zeros(shape))
