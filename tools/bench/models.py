"""The networks of the benchmark, written once.

Both engines use the same names, so a builder gets the engine's module (``tinygrad_cv`` or
``torch``) as ``ns`` and one text makes the network in either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["BATCHES", "MOMENTUM", "NETWORKS", "RATE", "Network", "batch", "chosen", "initial_state"]


class Network(NamedTuple):
    """A network with the data it is measured on, and the depths and image sizes of its sweeps.

    ``dense`` networks have one label per pixel, the others one per sample.
    """

    build: Callable[..., Any]
    input: tuple[int, ...]
    batch: int
    classes: int
    dense: bool = False
    depths: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


def lenet(ns: Any) -> Any:
    """LeNet-5 with ReLU and max pooling, 28x28 grey images."""
    nn = ns.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def vgg8(ns: Any, depth: int = 2) -> Any:
    """Three stages of ``depth`` 3x3 convolutions with batch norm and ReLU, each with a pool."""
    nn, layers, channels = ns.nn, [], 3
    for width in (64, 128, 256):
        for _ in range(depth):
            layers += conv_bn_relu(nn, channels, width)
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *head(nn, channels))


def resnet18(ns: Any, depth: int = 2) -> Any:
    """ResNet-18 with the 3x3 stem used for 32x32 images (He et al., 2015, section 4.2): four stages
    of ``depth`` blocks."""
    nn, F = ns.nn, ns.nn.functional

    class Block(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.shortcut = nn.Sequential()
            if stride != 1 or channels != width:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
                )

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    layers, channels = conv_bn_relu(nn, 3, 64), 64
    for width in (64, 128, 256, 512):
        for place in range(depth):
            stride = 2 if place == 0 and width > 64 else 1
            layers.append(Block(channels, width, stride))
            channels = width
    return nn.Sequential(*layers, *head(nn, channels))


def depthwise(ns: Any, depth: int = 2) -> Any:
    """A stem, a depthwise-separable block and two stages of ``depth`` more (Howard et al.,
    MobileNets, 2017)."""
    nn, channels = ns.nn, 32
    layers = conv_bn_relu(nn, 3, 32)
    stages = ((width, 1 if place else 2) for width in (128, 256) for place in range(depth))
    for width, stride in ((64, 1), *stages):
        layers += conv_bn_relu(nn, channels, channels, stride=stride, groups=channels)
        layers += conv_bn_relu(nn, channels, width, kernel=1)
        channels = width
    return nn.Sequential(*layers, *head(nn, channels))


def unet(ns: Any) -> Any:
    """U-Net, 32 to 256 channels, with batch norm and padding (Ronneberger et al., 2015)."""
    nn = ns.nn

    def double(channels: int, width: int) -> Any:
        return nn.Sequential(*conv_bn_relu(nn, channels, width), *conv_bn_relu(nn, width, width))

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.down3 = double(3, 32), double(32, 64), double(64, 128)
            self.bottom = double(128, 256)
            self.up3, self.join3 = nn.ConvTranspose2d(256, 128, 2, stride=2), double(256, 128)
            self.up2, self.join2 = nn.ConvTranspose2d(128, 64, 2, stride=2), double(128, 64)
            self.up1, self.join1 = nn.ConvTranspose2d(64, 32, 2, stride=2), double(64, 32)
            self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(32, 4, 1)

        def forward(self, x: Any) -> Any:
            a = self.down1(x)
            b = self.down2(self.pool(a))
            c = self.down3(self.pool(b))
            y = self.bottom(self.pool(c))
            y = self.join3(ns.cat([c, self.up3(y)], 1))
            y = self.join2(ns.cat([b, self.up2(y)], 1))
            y = self.join1(ns.cat([a, self.up1(y)], 1))
            return self.last(y)

    return UNet()


def c3d(ns: Any) -> Any:
    """A small C3D: 3x3x3 convolutions over clips of 16 frames (Tran et al., 2015)."""
    nn, layers, channels = ns.nn, [], 3
    for width, pool in ((32, (1, 2, 2)), (64, 2), (128, 2), (256, 2)):
        layers += [nn.Conv3d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool3d(pool)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels, 10))


def conv_bn_relu(
    nn: Any, channels: int, width: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> list[Any]:
    """Convolution without bias, batch norm, ReLU."""
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU()]


def head(nn: Any, channels: int) -> list[Any]:
    """Global average pooling and a linear classifier."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


NETWORKS = {
    "lenet": Network(lenet, (1, 28, 28), 64, 10),
    "vgg8": Network(vgg8, (3, 32, 32), 64, 10, depths=(1, 2, 4, 8), sizes=(16, 32, 64)),
    "resnet18": Network(resnet18, (3, 32, 32), 32, 10, depths=(1, 2, 4), sizes=(16, 32, 64)),
    "depthwise": Network(
        depthwise, (3, 32, 32), 32, 10, depths=(1, 2, 4, 8), sizes=(16, 32, 64, 128)
    ),
    "unet": Network(unet, (3, 64, 64), 8, 4, dense=True, sizes=(32, 64, 128)),
    "c3d": Network(c3d, (3, 16, 56, 56), 4, 10, sizes=(28, 56, 112)),
}
BATCHES = (4, 8, 16, 32, 64)
RATE, MOMENTUM = 0.01, 0.9  # of the gradient descent in every engine


def chosen(
    name: str, batch: int | None = None, depth: int | None = None, size: int | None = None
) -> Network:
    """A network as it is measured by default, or with another batch, depth or image size."""
    network = NETWORKS[name]
    if batch is not None:
        network = network._replace(batch=batch)
    if depth is not None:
        if not network.depths:
            raise ValueError(f"{name} has one depth; leave it out of sweeps over depth")
        network = network._replace(build=functools.partial(network.build, depth=depth))
    if size is not None:
        if not network.sizes:
            raise ValueError(f"{name} takes images of one size; leave it out of sweeps over size")
        network = network._replace(input=(*network.input[:-2], size, size))
    return network


def initial_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights that depend on nothing but the names and shapes, hence the same in every engine."""
    rng = np.random.default_rng(0)
    state = {}
    for name in sorted(shapes):
        shape = shapes[name]
        if name.endswith(("running_var", "num_batches_tracked")) or len(shape) == 1:
            value = 0.0 if name.endswith(("bias", "running_mean", "num_batches_tracked")) else 1.0
            state[name] = np.full(shape, value, np.float32)
        else:
            scale = np.sqrt(2.0 / np.prod(shape[1:]))
            state[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return state


def batch(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, the same in every engine."""
    rng = np.random.default_rng(1)
    images = rng.standard_normal((network.batch, *network.input)).astype(np.float32)
    places = network.input[1:] if network.dense else ()
    return images, rng.integers(0, network.classes, (network.batch, *places))
