"""The layers of regions of interest: their functions, looks as torchvision's, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.nn import functional as F

LAYERS: list[tuple] = []  # that PyTorch has, too

rng = np.random.default_rng(4)
ROIS = [tg.tensor([[0.0, 1.0, 4.0, 5.0]]), tg.tensor([[2.0, 2.0, 9.0, 7.5], [1.0, 0.0, 3.0, 1.0]])]
LAYERS_ELSEWHERE = ["RoIAlign", "RoIPool"]  # torchvision has them


@pytest.mark.parametrize(
    ("layer", "function", "text"),
    [
        (
            nn.RoIAlign((2, 3), 0.5, 2),
            lambda x: F.roi_align(x, ROIS, (2, 3), 0.5, 2),
            "RoIAlign(output_size=(2, 3), spatial_scale=0.5, sampling_ratio=2, aligned=False)",
        ),
        (
            nn.RoIAlign(2, 1.0, -1, True),
            lambda x: F.roi_align(x, ROIS, 2, aligned=True),
            "RoIAlign(output_size=2, spatial_scale=1.0, sampling_ratio=-1, aligned=True)",
        ),
        (
            nn.RoIPool(3, 0.5),
            lambda x: F.roi_pool(x, ROIS, 3, 0.5),
            "RoIPool(output_size=3, spatial_scale=0.5)",
        ),
    ],
)
def test_it_is_its_function(layer, function, text):
    x = tg.tensor(rng.normal(size=(2, 3, 6, 7)).astype("float32"))
    assert layer(x, ROIS).tolist() == function(x).tolist()
    assert repr(layer) == text
    assert layer.state_dict() == {}


def test_what_no_image_could_be_read_with_is_refused_at_once():
    with pytest.raises(ArgumentError, match="output_size must be at least 1"):
        nn.RoIAlign(0, 1.0, 2)
    with pytest.raises(DTypeError, match="spatial_scale must be a number"):
        nn.RoIPool(2, None)
    with pytest.raises(DTypeError, match="sampling_ratio must be a whole number"):
        nn.RoIAlign(2, 1.0, 2.0)
