"""A small C3D: convolution over time and space, for short clips."""

from __future__ import annotations

from typing import Any

from tinygrad_cv import nn
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.models._arguments import check_axes, positives
from tinygrad_cv.nn._arguments import positive

__all__ = ["C3D"]


class C3D(nn.Module):
    """Convolutions of 3x3x3 and max pooling, for clips: [N, C, T, H, W] to scores [N, classes].

    As in the paper every kernel is 3x3x3 with padding 1, and the first pooling is 1x2x2, so that
    time is not merged too early; the others are 2x2x2. It is smaller than the paper's: one
    convolution per stage, one hidden layer, and the mean over time and space in front of them,
    which takes clips of any length and size.

    Args:
        num_classes: the number of scores.
        in_channels: C.
        widths: the channels of each stage.
        hidden: the width of the hidden layer.
        dropout: the probability to drop a value of the hidden layer, in training.
        device, dtype: of the parameters.

    S stages need T >= 2**(S - 1) and H, W >= 2**S.

    State: ``features.conv1`` ..., ``fc1``, ``fc2``, each with weight and bias.

    Raises:
        ArgumentError: no widths, a number below 1, or a probability outside [0, 1].
        ShapeError: an input without 5 axes, with other channels, or too short or small.

    Source: Tran et al., "Learning spatiotemporal features with 3D convolutional networks" (ICCV
    2015).

    >>> import tinygrad_cv as tg
    >>> net = tg.models.C3D(num_classes=5, widths=(4, 8))
    >>> net(tg.zeros(2, 3, 8, 16, 16)).shape
    (2, 5)
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        widths: Any = (16, 32, 64),
        hidden: int = 64,
        dropout: float = 0.5,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        positive(name, num_classes=num_classes, in_channels=in_channels, hidden=hidden)
        self.num_classes, self.in_channels = num_classes, in_channels
        self.widths = positives(name, "widths", widths)
        factory = {"device": device, "dtype": dtype}
        stages: dict[str, nn.Module] = {}
        channels = in_channels
        for number, width in enumerate(self.widths, 1):
            stages[f"conv{number}"] = nn.Conv3d(channels, width, 3, padding=1, **factory)
            stages[f"relu{number}"] = nn.ReLU()
            stages[f"pool{number}"] = nn.MaxPool3d((1, 2, 2) if number == 1 else 2)
            channels = width
        self.features = nn.Sequential(stages)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.fc1 = nn.Linear(channels, hidden, **factory)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, num_classes, **factory)

    def forward(self, input: Any) -> Any:
        name, stages = type(self).__name__, len(self.widths)
        check_axes(name, input, "N, C, T, H, W")
        needed = (2 ** (stages - 1), 2**stages, 2**stages)
        if any(size < least for size, least in zip(input.shape[2:], needed, strict=True)):
            wanted = tuple(map(max, input.shape[2:], needed))
            raise ShapeError(
                name,
                f"a clip of {input.shape[2:]} is too small for {stages} stages of pooling",
                law=[
                    "T >= 2**(stages - 1), H >= 2**stages, W >= 2**stages",
                    "T >= {}, H >= {}, W >= {}".format(*needed),
                ],
                values=[("input", input.shape, "[N, C, T, H, W]")],
                repair="Use longer or larger clips, or fewer widths.",
                repairs=[{"input": (*input.shape[:2], *wanted)}],
            )
        pooled = self.pool(self.features(input)).flatten(1)
        return self.fc2(self.dropout(self.relu(self.fc1(pooled))))
