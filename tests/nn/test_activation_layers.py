"""Activation layers against PyTorch's: looks, keys, values, gradients, arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.nn.alike import check_arguments, check_layer
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

rng = np.random.default_rng(25)

# (name, positional arguments, keyword arguments, input shape)
LAYERS_ELSEWHERE = ["Maxout"]  # PyTorch has none
LAYERS = [
    ("CELU", (), {}, (2, 3)),
    ("CELU", (0.5, True), {}, (2, 3)),
    ("GLU", (), {}, (2, 6)),
    ("GLU", (1,), {}, (2, 4, 3)),
    ("Hardshrink", (), {}, (2, 3)),
    ("Hardshrink", (1.5,), {}, (2, 3)),
    ("Hardsigmoid", (), {}, (2, 3)),
    ("Hardswish", (), {}, (2, 3)),
    ("Hardtanh", (), {}, (2, 3)),
    ("Hardtanh", (-0.5, 2, True), {}, (2, 3)),
    ("LogSigmoid", (), {}, (2, 3)),
    ("Mish", (), {}, (2, 3)),
    ("PReLU", (), {}, (2, 3)),
    ("PReLU", (3, 0.5), {}, (2, 3, 4)),
    ("RReLU", (0.25, 0.25), {}, (2, 3)),
    ("ReLU6", (), {}, (2, 3)),
    ("SELU", (), {}, (2, 3)),
    ("SiLU", (), {}, (2, 3)),
    ("Softmax2d", (), {}, (2, 3, 4, 2)),
    ("Softmin", (1,), {}, (2, 3)),
    ("Softplus", (), {}, (2, 3)),
    ("Softplus", (2.0, 1.0), {}, (2, 3)),
    ("Softshrink", (), {}, (2, 3)),
    ("Softshrink", (0.1,), {}, (2, 3)),
    ("Softsign", (), {}, (2, 3)),
    ("Tanhshrink", (), {}, (2, 3)),
    ("Threshold", (0.1, 20.0), {}, (2, 3)),
]
IN_PLACE = [
    "CELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Mish",
    "RReLU",
    "ReLU6",
    "SELU",
    "SiLU",
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_is_torchs(name, args, kwargs, shape):
    if args and args[-1] is True:  # in place: the input of the comparison is a leaf
        args = args[:-1]
        assert repr(getattr(nn, name)(*args, True)) == repr(getattr(torch.nn, name)(*args, True))
    check_layer(name, args, kwargs, shape)


@pytest.mark.parametrize("name", sorted({name for name, *_ in LAYERS}))
def test_constructors_have_torchs_arguments(name):
    check_arguments(name)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name):
    layer, theirs = getattr(nn, name)(inplace=True), getattr(torch.nn, name)(inplace=True)
    assert repr(layer) == repr(theirs)
    layer.eval()
    theirs.eval()
    values = rng.normal(size=(3, 4))
    x = tg.tensor(values, requires_grad=True)
    other = torch.tensor(values, requires_grad=True)
    y, z = x * 2, other * 2
    assert layer(y) is y
    y.sum().backward()
    theirs(z).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=1e-7)


@pytest.mark.parametrize("name", [*IN_PLACE, "Threshold"])
def test_an_input_given_to_the_class_is_no_option(name):
    x = tg.ones(2)
    with pytest.raises(DTypeError, match="must be") as caught:
        getattr(nn, name)(*((1.0, x) if name == "Threshold" else (x,)))
    assert f"nn.{name}()(x)" in caught.value.repair


def test_maxout():
    layer = nn.Maxout(3)
    assert repr(layer) == "Maxout(pool_size=3, dim=1)"
    x = rng.normal(size=(2, 6, 4))
    expected = x.reshape(2, 2, 3, 4).max(2)
    np.testing.assert_array_equal(layer(tg.tensor(x)).numpy(), expected)
    np.testing.assert_array_equal(
        nn.Maxout(2, -1)(tg.tensor(x)).numpy(),
        np.maximum(*np.moveaxis(x.reshape(2, 6, 2, 2), -1, 0)),
    )
    with pytest.raises(ArgumentError, match="pool_size must be positive"):
        nn.Maxout(0)
    with pytest.raises(DTypeError, match="whole number"):
        nn.Maxout(1.5)
    with pytest.raises(ShapeError, match="does not divide the 4 channels") as caught:
        nn.Sequential(nn.Maxout(3))(tg.zeros(2, 4))
    assert "model.0 (Maxout)" in str(caught.value)


def test_prelu_learns_and_loads():
    layer = nn.PReLU(3, dtype="float64")
    assert layer.weight.dtype == tg.float64
    assert layer.weight.tolist() == [0.25] * 3
    theirs = torch.nn.PReLU(3, 0.1)
    layer.load_state_dict(theirs.state_dict())
    assert layer.weight.tolist() == pytest.approx([0.1] * 3)
    layer(tg.full((2, 3), -2.0, dtype="float64")).sum().backward()
    assert layer.weight.grad.tolist() == [-4.0] * 3
    for number in (0, -1):
        with pytest.raises(ArgumentError, match="num_parameters must be positive"):
            nn.PReLU(number)
    with pytest.raises(DTypeError, match="init must be a number"):
        nn.PReLU(1, "a")
    assert nn.PReLU(device="meta").weight.device.type == "meta"


def test_rrelu_draws_in_training_only():
    x = tg.full((100,), -1.0)
    layer, again = (nn.RReLU(0.1, 0.9, generator=tg.Generator(3)) for _ in range(2))
    first = layer(x)
    assert first.tolist() == again(x).tolist()
    assert len(set(first.tolist())) > 90
    assert layer.eval()(x).tolist() == [-0.5] * 100


@pytest.mark.parametrize(
    ("layer", "args", "kwargs", "match"),
    [
        (nn.Hardtanh, (1.0, 1.0), {}, "is not below"),
        (nn.Hardtanh, (), {"min_value": -1.0}, "of old"),
        (nn.Softmin, (), {}, "dim=1"),
    ],
)
def test_bad_arguments(layer, args, kwargs, match):
    with pytest.raises(ArgumentError, match=match) as caught:
        layer(*args, **kwargs)
    for repair in caught.value.repairs:
        layer(*args, **{**kwargs, **repair})


@pytest.mark.parametrize(
    ("layer", "x", "error"),
    [
        (nn.CELU(0.0), tg.ones(2), ArgumentError),
        (nn.RReLU(0.5, 0.1), tg.ones(2), ArgumentError),
        (nn.Softshrink(-1.0), tg.ones(2), ArgumentError),
        (nn.GLU(), tg.ones(2, 3), ShapeError),
        (nn.Softmax2d(), tg.ones(2, 3), ShapeError),
    ],
)
def test_refusals_name_the_layer(layer, x, error):
    with pytest.raises(error) as caught:
        nn.Sequential(layer)(x)
    assert f"model.0 ({type(layer).__name__})" in str(caught.value)
