"""Networks and blocks made of :mod:`tinygrad_cv.nn`, and what their outputs see of the input."""

from tinygrad_cv.models.c3d import C3D
from tinygrad_cv.models.dilated import HybridDilatedConv, gridding, has_gridding
from tinygrad_cv.models.lenet import LeNet
from tinygrad_cv.models.receptive_field import ReceptiveField, receptive_field
from tinygrad_cv.models.separable import DepthwiseSeparableConv2d

__all__ = [
    "C3D",
    "DepthwiseSeparableConv2d",
    "HybridDilatedConv",
    "LeNet",
    "ReceptiveField",
    "gridding",
    "has_gridding",
    "receptive_field",
]
