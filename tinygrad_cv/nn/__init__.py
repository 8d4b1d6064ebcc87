"""Networks: Module, layers, initial values, and the functions behind them."""

from __future__ import annotations

from tinygrad_cv.nn import functional, init
from tinygrad_cv.nn.activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from tinygrad_cv.nn.containers import ModuleDict, ModuleList, Sequential
from tinygrad_cv.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tinygrad_cv.nn.deform_conv import DeformConv2d
from tinygrad_cv.nn.dropout import Dropout, Dropout1d, Dropout2d, Dropout3d
from tinygrad_cv.nn.linear import Flatten, Identity, Linear, Unflatten
from tinygrad_cv.nn.loss import CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from tinygrad_cv.nn.parameter import Parameter
from tinygrad_cv.nn.pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from tinygrad_cv.nn.unfold import ChannelShuffle, Fold, PixelShuffle, PixelUnshuffle, Unfold
from tinygrad_cv.nn.upsampling import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "ChannelShuffle",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "DeformConv2d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Flatten",
    "Fold",
    "Identity",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Unflatten",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "functional",
    "init",
]
