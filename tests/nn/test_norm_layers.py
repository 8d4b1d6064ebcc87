"""Layers of normalisation against PyTorch's; both placements of batch normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.nn.alike import check_layer
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

# (name, positional arguments, keyword arguments, input shape)
LAYERS = [
    ("GroupNorm", (2, 6), {}, (2, 6, 3, 4)),
    ("GroupNorm", (3, 6), {"affine": False, "eps": 0.1}, (2, 6, 4)),
    ("GroupNorm", (1, 4), {"bias": False}, (3, 4)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm1d", (3,), {"affine": True}, (3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 4, 5)),
    ("InstanceNorm2d", (3,), {"track_running_stats": True, "momentum": 1.0}, (3, 4, 5)),
    ("InstanceNorm2d", (3, 0.1), {"affine": True, "bias": False}, (2, 3, 4, 5)),
    ("InstanceNorm3d", (2,), {"track_running_stats": True, "momentum": 0.3}, (2, 2, 2, 3, 2)),
    ("LayerNorm", (5,), {}, (2, 3, 5)),
    ("LayerNorm", ((3, 4),), {"bias": False, "eps": 0.1}, (2, 3, 4)),
    ("LayerNorm", ([3, 4],), {"elementwise_affine": False}, (2, 3, 4)),
    ("RMSNorm", (5,), {}, (2, 3, 5)),
    ("RMSNorm", ((3, 4),), {"eps": 0.1, "elementwise_affine": False}, (2, 3, 4)),
    ("LocalResponseNorm", (3,), {"alpha": 0.1, "k": 2.0}, (2, 5, 3, 4)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_is_torchs(name, args, kwargs, shape):
    check_layer(name, args, kwargs, shape)


BAD = [
    (nn.GroupNorm, (4, 6), ArgumentError, "1, 2, 3, 6"),
    (nn.GroupNorm, (0, 6), ArgumentError, "num_groups must be positive"),
    (nn.GroupNorm, (2, 6, "b"), DTypeError, "eps must be a number"),
    (nn.GroupNorm, (2, 6, 1e-5, 1), DTypeError, "affine must be True or False"),
    (nn.InstanceNorm2d, (0,), ArgumentError, "num_features"),
    (nn.LayerNorm, ((),), ArgumentError, "one axis or more"),
    (nn.LayerNorm, (0,), ArgumentError, "at least 1"),
    (nn.LayerNorm, (2.0,), DTypeError, "whole number"),
    (nn.RMSNorm, (3, "b"), DTypeError, "eps must be a number"),
    (nn.LocalResponseNorm, (0,), ArgumentError, "size must be positive"),
    (nn.LocalResponseNorm, (2, None), DTypeError, "alpha must be a number"),
]


@pytest.mark.parametrize(("layer", "args", "error", "match"), BAD)
def test_bad_arguments(layer, args, error, match):
    with pytest.raises(error, match=match) as caught:
        layer(*args)
    for repair in caught.value.repairs:
        layer(*[repair.get("num_groups", args[0]), *args[1:]])


def test_bad_inputs_name_the_layer():
    net = nn.Sequential(nn.InstanceNorm2d(3, affine=True))
    with pytest.raises(ShapeError, match=r"num_features=4\.") as caught:
        net(tg.zeros(2, 4, 5, 5))
    assert "in model.0 (InstanceNorm2d)" in str(caught.value)
    with pytest.raises(ShapeError, match="must have 3 or 4 axes"):
        net(tg.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"n = 1[\s\S]*in InstanceNorm1d$"):
        nn.InstanceNorm1d(3)(tg.zeros(2, 3, 1))
    with pytest.raises(ShapeError) as caught:
        nn.InstanceNorm1d(3)(tg.zeros(3))
    assert caught.value.repair is None  # the batch axis is not what is missing
    with pytest.raises(ShapeError, match=r"num_channels=4[\s\S]*in GroupNorm$"):
        nn.GroupNorm(2, 6)(tg.zeros(2, 4, 3))


@pytest.mark.parametrize(
    ("layer", "shape", "fits"),
    [
        (nn.BatchNorm1d, (2, 3, 4, 4), nn.BatchNorm2d),
        (nn.BatchNorm2d, (4, 3), nn.BatchNorm1d),
        (nn.BatchNorm2d, (2, 3, 4, 4, 4), nn.BatchNorm3d),
        (nn.BatchNorm3d, (4, 3, 5), nn.BatchNorm1d),
        (nn.InstanceNorm1d, (2, 3, 4, 4), nn.InstanceNorm2d),
        (nn.InstanceNorm2d, (3, 4), nn.InstanceNorm1d),
    ],
)
def test_the_layer_for_this_number_of_axes_is_named(layer, shape, fits):
    with pytest.raises(ShapeError) as caught:
        layer(3)(tg.rand(*shape))
    assert caught.value.repair == f"This is an input for nn.{fits.__name__}."
    fits(3)(tg.rand(*shape))
    with pytest.raises(ShapeError) as caught:
        nn.BatchNorm2d(3)(tg.rand(3, 4, 4))
    assert caught.value.repair == "x.unsqueeze(0) adds the batch axis."


def test_without_numbers_per_channel_another_number_of_channels_is_a_warning():
    with pytest.warns(UserWarning, match="has 4 channels in axis 1, the layer 3"):
        y = nn.InstanceNorm1d(3)(tg.rand(2, 4, 5))
    assert y.shape == (2, 4, 5)


@pytest.mark.parametrize("before_relu", [True, False])
def test_both_placements_of_batch_norm_train_as_torch(before_relu):
    def network(nn):
        pair = [nn.BatchNorm2d(4, momentum=None), nn.ReLU()]
        pair = pair if before_relu else pair[::-1]
        return nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), *pair, nn.Conv2d(4, 1, 3)).double()

    ours, theirs = network(nn), network(torch.nn)
    ours.load_state_dict(theirs.state_dict())
    optimizers = [
        tg.optim.SGD(ours.parameters(), 0.1),
        torch.optim.SGD(theirs.parameters(), 0.1),
    ]
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.normal(size=(4, 2, 7, 7))
        for net, optimizer, tensor in zip(
            (ours, theirs), optimizers, (tg.tensor, torch.tensor), strict=True
        ):
            optimizer.zero_grad()
            (net(tensor(x)) ** 2).mean().backward()
            optimizer.step()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), atol=1e-9)


def test_device_and_dtype():
    meta = nn.Sequential(nn.GroupNorm(1, 2, device="meta"), nn.LayerNorm(3, device="meta"))
    assert meta(tg.zeros(1, 2, 3).to("meta")).shape == (1, 2, 3)
    assert nn.RMSNorm(3, dtype="float64").weight.dtype == tg.float64
    assert nn.InstanceNorm1d(3, affine=True, dtype="float64").bias.dtype == tg.float64
