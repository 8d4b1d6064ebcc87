"""LeNet-5: the network that read digits on cheques."""

from __future__ import annotations

from typing import Any

from tinygrad_cv import nn
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.models._arguments import check_axes, one_of
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.ops._spatial import per_axis

__all__ = ["LeNet"]

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
_POOLS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


class LeNet(nn.Module):
    """Two convolutions of 5x5 with pooling, then fully connected layers: images [N, C, 32, 32] to
    scores [N, classes].

    ::

        [C, 32, 32] -conv1-> [6, 28, 28] -pool-> [6, 14, 14] -conv2-> [16, 10, 10]
                    -pool-> [16, 5, 5] -conv3-> [120] -fc1-> [84] -fc2-> [classes]

    ``LeNet(activation="relu", pool="max")`` is the way it is mostly built today. Different from the
    paper: ``conv2`` reads all maps instead of chosen ones, pooling has no weights, and the last
    layer is linear instead of distances to drawn patterns.

    Args:
        num_classes: the number of scores.
        in_channels: C.
        activation: "tanh", "relu" or "sigmoid".
        pool: "avg" or "max", over 2x2.
        padding: of ``conv1``; 2 takes images of 28x28, such as those of MNIST.
        device, dtype: of the parameters.

    State: ``conv1``, ``conv2``, ``conv3``, ``fc1``, ``fc2``, each with weight and bias; 61,706
    numbers for 10 classes.

    Raises:
        ArgumentError: a number below 1, or an unknown activation or pool.
        ShapeError: an input that is not [N, C, 32, 32], with ``padding`` less accordingly.

    Source: LeCun et al., "Gradient-based learning applied to document recognition" (Proceedings of
    the IEEE, 1998).

    >>> import tinygrad_cv as tg
    >>> tg.models.LeNet()(tg.zeros(2, 1, 32, 32)).shape
    (2, 10)
    >>> tg.models.LeNet(activation="relu", pool="max", padding=2)(tg.zeros(2, 1, 28, 28)).shape
    (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        activation: str = "tanh",
        pool: str = "avg",
        padding: int = 0,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        positive(name, num_classes=num_classes, in_channels=in_channels)
        self.num_classes, self.in_channels = num_classes, in_channels
        (self.padding,) = per_axis(name, "padding", padding, 1, least=0)
        factory = {"device": device, "dtype": dtype}
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=self.padding, **factory)
        self.conv2 = nn.Conv2d(6, 16, 5, **factory)
        self.conv3 = nn.Conv2d(16, 120, 5, **factory)
        self.fc1 = nn.Linear(120, 84, **factory)
        self.fc2 = nn.Linear(84, num_classes, **factory)
        self.activation = one_of(name, "activation", activation, _ACTIVATIONS)()
        self.pool = one_of(name, "pool", pool, _POOLS)(2)

    def forward(self, input: Any) -> Any:
        check_axes(type(self).__name__, input, "N, C, H, W")
        side = 32 - 2 * self.padding
        if input.shape[2:] != (side, side):
            raise ShapeError(
                type(self).__name__,
                f"with padding={self.padding} images are {side}x{side}",
                law=["H = W = 32 - 2*padding", f"      = 32 - 2*{self.padding} = {side}"],
                values=[("input", input.shape, "[N, C, H, W]")],
                repair="Resize the images with F.interpolate, or change the padding.",
                repairs=[{"input": (*input.shape[:2], side, side)}] if side > 0 else [],
            )
        act = self.activation
        maps = self.pool(act(self.conv1(input)))
        maps = self.pool(act(self.conv2(maps)))
        codes = act(self.conv3(maps)).flatten(1)
        return self.fc2(act(self.fc1(codes)))
