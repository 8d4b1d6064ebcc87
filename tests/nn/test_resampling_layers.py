"""Layers that move and resample pixels, against PyTorch's."""

from __future__ import annotations

import pytest

from tests.nn.alike import check_layer
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, TinygradError

# (name, positional arguments, keyword arguments, input shape)
LAYERS = [
    ("Unfold", (3,), {}, (2, 3, 5, 6)),
    ("Unfold", ((2, 3), 2, 1), {"stride": (1, 2)}, (2, 3, 6, 7)),
    ("Fold", ((4, 5), 2), {}, (2, 12, 12)),
    ("Fold", ((5, 6), (2, 3), (2, 1), (1, 2)), {"stride": 2}, (2, 6, 12)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 2)),
    ("PixelUnshuffle", (3,), {}, (2, 2, 6, 3)),
    ("ChannelShuffle", (3,), {}, (2, 6, 3, 2)),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": (1.5, 2), "mode": "bicubic"}, (2, 3, 4, 5)),
    ("Upsample", (7,), {"mode": "linear", "align_corners": True}, (2, 3, 4)),
    ("Upsample", ((2, 5, 3),), {"mode": "trilinear"}, (1, 2, 3, 4, 3)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (2, 3, 4, 5)),
    ("UpsamplingBilinear2d", ((7, 6),), {}, (2, 3, 4, 5)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_is_torchs(name, args, kwargs, shape):
    check_layer(name, args, kwargs, shape)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: nn.Unfold(0), ArgumentError, "kernel_size"),
        (lambda: nn.Unfold(2, padding=-1), ArgumentError, "padding"),
        (lambda: nn.Fold((4, 5, 6), 2), ArgumentError, "output_size"),
        (lambda: nn.Fold(4, "b"), TinygradError, "kernel_size"),
        (lambda: nn.PixelShuffle(0), ArgumentError, "upscale_factor"),
        (lambda: nn.PixelUnshuffle(1.5), DTypeError, "downscale_factor"),
        (lambda: nn.ChannelShuffle(-2), ArgumentError, "groups"),
        (lambda: nn.Upsample(4, mode="cubic"), ArgumentError, "mode 'cubic'"),
        (lambda: nn.Upsample(scale_factor="2"), DTypeError, "scale_factor"),
    ],
)
def test_arguments_are_checked_at_once(make, error, match):
    with pytest.raises(error, match=match):
        make()
