"""Layers of adaptive max pooling, p-norm pooling, unpooling, alpha dropout and stochastic depth."""

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
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 8)),
    ("AdaptiveMaxPool2d", ((2, None),), {}, (2, 3, 7, 5)),
    ("AdaptiveMaxPool3d", (1,), {}, (1, 2, 3, 4, 5)),
    ("LPPool1d", (2, 3), {"stride": 2}, (2, 3, 8)),
    ("LPPool2d", (2, (2, 3)), {"ceil_mode": True}, (2, 3, 7, 8)),
    ("LPPool2d", (float("inf"), 2), {}, (2, 3, 6, 6)),
    ("LPPool3d", (1, 2), {}, (1, 2, 4, 4, 4)),
    ("AlphaDropout", (0.0,), {}, (2, 3)),
    ("FeatureAlphaDropout", (1.0,), {}, (2, 3, 4)),
]
UNPOOLS = [
    (1, (2,), {}, (2, 3, 8), None),
    (2, (2,), {}, (2, 3, 4, 6), None),
    (2, (3, 2, 1), {}, (1, 2, 7, 5), None),
    (2, ((2, 3),), {"stride": (2, 3)}, (1, 2, 5, 7), (5, 7)),
    (3, (2,), {}, (1, 2, 4, 4, 2), None),
]
# Their calls take indices, so they are compared below; torch.nn has no layers of stochastic depth.
LAYERS_ELSEWHERE = [f"MaxUnpool{n}d" for n in (1, 2, 3)] + ["DropPath", "StochasticDepth"]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_is_torchs(name, args, kwargs, shape):
    check_layer(name, args, kwargs, shape)


@pytest.mark.parametrize(("n", "args", "kwargs", "shape", "size"), UNPOOLS)
def test_unpooling_is_torchs(n, args, kwargs, shape, size):
    x = np.random.default_rng(0).normal(size=shape)
    results, looks = [], []
    for library, tensor in ((nn, tg.tensor), (torch.nn, torch.tensor)):
        pool = getattr(library, f"MaxPool{n}d")(*args, **kwargs, return_indices=True)
        unpool = getattr(library, f"MaxUnpool{n}d")(*args, **kwargs)
        results.append(unpool(*pool(tensor(x)), output_size=size).numpy())
        looks.append(repr(unpool))
    np.testing.assert_array_equal(*results)
    assert looks[0] == looks[1]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_adaptive_indices_are_torchs(n):
    x = np.random.default_rng(0).normal(size=(2, 3, *range(5, 5 + n)))
    _, ours = getattr(nn, f"AdaptiveMaxPool{n}d")(2, return_indices=True)(tg.tensor(x))
    _, theirs = getattr(torch.nn, f"AdaptiveMaxPool{n}d")(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


BAD = [
    (nn.AdaptiveMaxPool2d, (0,), ArgumentError, "output_size must be at least 1"),
    (nn.AdaptiveMaxPool2d, (2, 2), DTypeError, "return_indices must be True or False"),
    (nn.LPPool2d, (0, 2), ArgumentError, "other than 0"),
    (nn.LPPool2d, ("b", 2), DTypeError, "norm_type must be a number"),
    (nn.LPPool2d, (2, 0), ArgumentError, "kernel_size must be at least 1"),
    (nn.LPPool3d, (2, (2, 2)), ArgumentError, "one int or 3"),
    (nn.MaxUnpool2d, (2, 0), ArgumentError, "stride must be at least 1"),
    (nn.MaxUnpool2d, (2, 2, -1), ArgumentError, "padding must be at least 0"),
    (nn.AlphaDropout, (1.5,), ArgumentError, "1 - p"),
    (nn.StochasticDepth, (1.5, "row"), ArgumentError, "1 - p"),
    (nn.StochasticDepth, (0.5, "line"), ArgumentError, "'row' or 'batch'"),
    (nn.DropPath, ("b",), DTypeError, "p must be a number"),
]


@pytest.mark.parametrize(("layer", "args", "error", "match"), BAD)
def test_bad_arguments(layer, args, error, match):
    with pytest.raises(error, match=match):
        layer(*args)


def test_a_bad_size_names_the_layer():
    net = nn.Sequential(nn.LPPool2d(2, 5))
    with pytest.raises(ShapeError, match=r"does not fit[\s\S]*in model.0 \(LPPool2d\)"):
        net(tg.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("layer", [nn.AlphaDropout, nn.FeatureAlphaDropout, nn.DropPath])
def test_layers_draw_from_their_generator_in_training_only(layer):
    one, other = (layer(0.5, generator=tg.Generator(3)) for _ in range(2))
    x = tg.ones(50, 4)
    assert one(x).tolist() == other(x).tolist() != x.tolist()
    assert one(x).tolist() != other.eval()(x).tolist()
    assert other(x) is x
