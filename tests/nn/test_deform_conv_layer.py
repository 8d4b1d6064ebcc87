"""The layer of deformable convolution: torchvision's arguments, keys and looks."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, ShapeError

F = nn.functional


def test_constructor_keys_and_looks():
    names = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"]
    parameters = inspect.signature(nn.DeformConv2d).parameters
    assert list(parameters)[:8] == [*names, "groups", "bias"]
    layer = nn.DeformConv2d(4, 6, (3, 2), 2, 1, (1, 2), groups=2)
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        "weight": (6, 2, 3, 2),
        "bias": (6,),
    }
    shown = "DeformConv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding=(1, 1), "
    assert repr(layer) == shown + "dilation=(1, 2), groups=2)"
    bare = nn.DeformConv2d(4, 6, 3, bias=False)
    assert repr(bare) == "DeformConv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), bias=False)"
    assert list(bare.state_dict()) == ["weight"]


def test_initial_values_are_those_of_a_convolution():
    layer = nn.DeformConv2d(8, 64, 3)
    bound = 1 / math.sqrt(8 * 9)
    for values in (layer.weight, layer.bias):
        assert bound / 2 < abs(values.detach().numpy()).max() <= bound


def test_it_learns_offsets_and_masks():
    tg.manual_seed(0)
    offsets, masks = nn.Conv2d(3, 18, 3, padding=1), nn.Conv2d(3, 9, 3, padding=1)
    layer = nn.DeformConv2d(3, 5, 3, padding=1)
    x = tg.randn(2, 3, 6, 7)
    y = layer(x, offsets(x), tg.sigmoid(masks(x)))
    expected = F.deform_conv2d(
        x, offsets(x), layer.weight, layer.bias, padding=1, mask=tg.sigmoid(masks(x))
    )
    np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    (y * y).sum().backward()
    for module in (offsets, masks, layer):
        assert all(abs(p.grad.numpy()).max() > 0 for p in module.parameters())
    assert layer(x, offsets(x)).shape == (2, 5, 6, 7)  # v1


def test_refusals():
    with pytest.raises(ArgumentError, match="groups = 2"):
        nn.DeformConv2d(3, 4, 3, groups=2)
    with pytest.raises(ArgumentError, match="kernel_size"):
        nn.DeformConv2d(3, 4, 0)
    with pytest.raises(ShapeError, match="offset must be"):
        nn.DeformConv2d(3, 4, 3)(tg.zeros(1, 3, 8, 8), tg.zeros(1, 18, 8, 8))
