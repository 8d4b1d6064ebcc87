"""The layer of the median filter: its function, its looks, refusals when it is made."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.nn import functional as F

LAYERS: list[tuple] = []  # that PyTorch has, too

rng = np.random.default_rng(4)
LAYERS_ELSEWHERE = ["MedianFilter"]  # PyTorch has none


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((3,), "kernel_size=3, stride=1, padding=0"),
        (((2, 3), 2, 1), "kernel_size=(2, 3), stride=2, padding=1"),
        (
            (5, 1, "same", "reflect"),
            "kernel_size=5, stride=1, padding='same', padding_mode=reflect",
        ),
        ((2, 1, ((1, 0), (1, 0)), "zeros", "upper"),
         "kernel_size=2, stride=1, padding=((1, 0), (1, 0)), even=upper"),
    ],
)  # fmt: skip
def test_it_is_its_function(args, text):
    x = tg.tensor(rng.normal(size=(2, 3, 7, 6)))
    layer = nn.MedianFilter(*args)
    assert layer(x).tolist() == F.median_filter(x, *args).tolist()
    assert repr(layer) == f"MedianFilter({text})"
    assert layer.state_dict() == {}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"kernel_size": 3, "stride": 0}, "stride"),
        ({"kernel_size": 3, "padding": "full"}, "unknown padding 'full'"),
        ({"kernel_size": 3, "padding_mode": "mirror"}, "unknown padding_mode"),
        ({"kernel_size": 3, "even": "both"}, "unknown even"),
    ],
)
def test_what_no_image_could_be_filtered_with_is_refused_at_once(options, match):
    with pytest.raises(ArgumentError, match=match):
        nn.MedianFilter(**options)
    with pytest.raises(DTypeError, match="whole numbers"):
        nn.MedianFilter(2.5)
